"""Where the chroma of 4:2:0 and 4:2:2 lies between the luma: taken for elsewhere, colours stand half a pixel off.

FFmpeg's decoders say it with each frame, and libswscale heeds it where the other frame says it too; of the two PyAV
tells nothing. So it is seen on a picture that is given a frame's properties, and said by a filter.
"""

from __future__ import annotations

import threading
from fractions import Fraction

import av
import numpy as np
from av.filter import Graph
from av.video.reformatter import Interpolation

# As FFmpeg numbers them. What nobody says libswscale takes for CENTRE, and players for LEFT.
UNSAID, LEFT, CENTRE, TOP_LEFT, TOP, BOTTOM_LEFT, BOTTOM = range(7)
NAMES = {LEFT: "left", CENTRE: "center", TOP_LEFT: "topleft", TOP: "top", BOTTOM_LEFT: "bottomleft", BOTTOM: "bottom"}

# By half pixels to the right of a luma sample, and down.
_PLACES = ((TOP_LEFT, LEFT, BOTTOM_LEFT), (TOP, UNSAID, BOTTOM))
# Decoders that always say it, as the standards' default if need be; that of HEVC of 4:2:0 alone, as encoders do.
_SAYING = ("h264", "hevc", "mjpeg", "mpeg1video")
_own = threading.local()


def is_subsampled(pixel_format: str) -> bool:
    """True if a chroma sample of that format covers several pixels."""
    form = av.VideoFormat(pixel_format)
    return (form.chroma_width(16), form.chroma_height(16)) != (16, 16)


def _is_420(pixel_format: str) -> bool:
    return av.VideoFormat(pixel_format).chroma_height(16) == 8


def find(frame: av.VideoFrame, codec: str) -> int:
    """Where a decoded frame says that its chroma lies; LEFT, as most have it, if it has one for each pixel."""
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
    says = codec in _SAYING and (codec != "hevc" or _is_420(frame.format.name))
    return CENTRE if found == UNSAID and says else found


def held(pixel_format: str, locations: tuple[int, ...], location: int) -> int:
    """Return where chroma is to lie for an encoder that can write ``locations``: there, or at the LEFT.

    Players assume LEFT where the file does not state it.
    """
    written = location in locations and _is_420(pixel_format)
    return location if written or location == UNSAID else LEFT


def option(pixel_format: str, location: int) -> dict[str, str]:
    """Return the encoder's option for that location, or no option."""
    return {"chroma_sample_location": NAMES[location]} if location in NAMES and _is_420(pixel_format) else {}


def said(frame: av.VideoFrame, location: int) -> av.VideoFrame:
    """A frame of RGB that says where the chroma made of it shall lie."""
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
