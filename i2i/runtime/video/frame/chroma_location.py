"""Location of chroma samples between luma samples in 4:2:0 and 4:2:2; a wrong one shifts colours by half a pixel.

FFmpeg's decoders state it for each frame, and libswscale respects it if both frames state it, but PyAV exposes neither.
So the location is measured on a picture that is given a frame's properties, and set by a filter.
"""

from __future__ import annotations

import threading
from fractions import Fraction

import av
import numpy as np
from av.filter import Graph
from av.video.reformatter import Interpolation

# As FFmpeg numbers them. Where none is stated, libswscale assumes CENTRE, and players assume LEFT.
UNSTATED, LEFT, CENTRE, TOP_LEFT, TOP, BOTTOM_LEFT, BOTTOM = range(7)
NAMES = {LEFT: "left", CENTRE: "center", TOP_LEFT: "topleft", TOP: "top", BOTTOM_LEFT: "bottomleft", BOTTOM: "bottom"}

# By half pixels to the right of a luma sample, and down.
_PLACES = ((TOP_LEFT, LEFT, BOTTOM_LEFT), (TOP, UNSTATED, BOTTOM))
# Decoders that always state a location, the standard's default if the file has none; for HEVC only with 4:2:0.
_STATING = ("h264", "hevc", "mjpeg", "mpeg1video")
_own = threading.local()


def is_subsampled(pixel_format: str) -> bool:
    """True if a chroma sample of that format covers several pixels."""
    form = av.VideoFormat(pixel_format)
    return (form.chroma_width(16), form.chroma_height(16)) != (16, 16)


def _is_420(pixel_format: str) -> bool:
    return av.VideoFormat(pixel_format).chroma_height(16) == 8


def find(frame: av.VideoFrame, codec: str) -> int:
    """Return the chroma location that a decoded frame states; LEFT, the usual one, for 4:4:4."""
    if not is_subsampled(frame.format.name):
        return LEFT
    tags = frame.colorspace, frame.color_range
    frame.colorspace, frame.color_range = 6, 1  # irrelevant here, and not all can be converted
    try:
        side = 16 if (frame.width, frame.height) != (16, 16) else 32
        small = frame.reformat(side, side, "yuv420p", interpolation=Interpolation.POINT, threads=1)
    finally:
        frame.colorspace, frame.color_range = tags
    ramp = np.clip(64 + 16 * np.arange(side // 2), 0, 240).astype(np.uint8)  # 128, which is grey, in the fifth place
    square = np.tile(ramp, (side // 2, 1))
    for plane, values in zip(small.planes, (np.full((side, side), 128, np.uint8), square.T, square), strict=True):
        rows = np.zeros((plane.height, plane.line_size), np.uint8)
        rows[:, : plane.width] = values
        plane.update(rows.tobytes())
    exact = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
    red, _, blue = small.reformat(format="rgb24", interpolation=exact, threads=1).to_ndarray()[8, 8].astype(float)
    base = (128 - 16) * 255 / 219
    across, down = round((base - red) / 6.4), round((base - blue) / 8.1)  # by quarters of a step of the ramp, in BT.601
    found = _PLACES[min(max(across, 0), 1)][min(max(down, 0), 2)]
    says = codec in _STATING and (codec != "hevc" or _is_420(frame.format.name))
    return CENTRE if found == UNSTATED and says else found


def held(pixel_format: str, locations: tuple[int, ...], location: int) -> int:
    """Return the chroma location for an encoder that can write ``locations``: the given one if it can, else LEFT.

    Players assume LEFT where the file does not state it.
    """
    written = location in locations and _is_420(pixel_format)
    return location if written or location == UNSTATED else LEFT


def option(pixel_format: str, location: int) -> dict[str, str]:
    """Return the encoder's option for that location, or no option."""
    return {"chroma_sample_location": NAMES[location]} if location in NAMES and _is_420(pixel_format) else {}


def stated(frame: av.VideoFrame, location: int) -> av.VideoFrame:
    """Return an RGB frame that states the location of the chroma to be made of it."""
    wanted = frame.width, frame.height, frame.format.name, location
    if getattr(_own, "wanted", None) != wanted:
        graph = Graph()
        graph.threads = 1
        begin = graph.add_buffer(None, frame.width, frame.height, frame.format, time_base=Fraction(1, 25))
        says, end = graph.add("setparams", f"chroma_location={NAMES[location]}"), graph.add("buffersink")
        graph.link_nodes(begin, says, end).configure()
        _own.graph, _own.wanted = graph, wanted
    _own.graph.vpush(frame)
    return _own.graph.vpull()
