"""Conversion of frames to 256 colours, for GIF."""

from __future__ import annotations

import av
import numpy as np
import PIL.Image

OPAQUE = 128  # alpha from which on a pixel is shown


def to_palette(picture: np.ndarray, alpha: np.ndarray | None = None) -> tuple[av.VideoFrame, bool]:
    """Return RGB [h, w, 3] of uint8 as a frame of pal8, and True if its colours had to be approximated.

    A frame of up to 256 colours, of which transparency takes one, is kept as it is. Others get a palette by median cut,
    and their colours are mixed of it (Floyd-Steinberg dithering). Pixels of ``alpha`` [h, w] below 128 are transparent.
    """
    clear = None if alpha is None or alpha.min() >= OPAQUE else alpha < OPAQUE
    limit = 256 if clear is None else 255
    codes = picture.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    if clear is not None:
        codes[clear] = codes[~clear][0] if not clear.all() else 0
    colours, indices = np.unique(codes, return_inverse=True)
    palette = np.zeros((256, 4), np.uint8)  # blue, green, red, alpha
    palette[:, 3] = 255  # also of what is not used: the encoder looks for the first that is transparent
    reduced = len(colours) > limit
    if reduced:
        image = PIL.Image.fromarray(picture)
        few = image.quantize(limit, PIL.Image.Quantize.MEDIANCUT)
        indices = np.asarray(image.quantize(palette=few, dither=PIL.Image.Dither.FLOYDSTEINBERG))
        entries = np.array(few.getpalette(), np.uint8).reshape(-1, 3)
        palette[: len(entries), :3] = entries[:, ::-1]
    else:
        palette[: len(colours), :3] = np.stack([colours, colours >> 8, colours >> 16], axis=1).astype(np.uint8)
    indices = indices.reshape(picture.shape[:2]).astype(np.uint8)
    if clear is not None:
        indices[clear] = 255
        palette[255] = 0
    frame = av.VideoFrame(picture.shape[1], picture.shape[0], "pal8")
    rows = np.zeros((frame.planes[0].height, frame.planes[0].line_size), np.uint8)
    rows[:, : picture.shape[1]] = indices
    frame.planes[0].update(rows.tobytes())
    frame.planes[1].update(palette.tobytes())
    return frame, reduced
