"""Conversion between the YUV of a video and the RGB of a model, with the matrix and range that the video states.

libswscale converts. Measured on colour patches with FFmpeg 8: with these flags 8-bit RGB is at most 2 levels off the
formula (its defaults: 4), YUV comes back within 1 level, and of real clips luma within 65 dB and the chroma of 4:2:0
within 53 (49 with bilinear upsampling). The same flags turn RGB48 into noise, so pictures of more than 8 bits are
converted through planar GBR; there white is 255 * 256, not 65535.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from i2i.runtime.video.errors import VideoError
from i2i.runtime.video.frame import chroma_location

BT709, UNSPECIFIED, FCC, BT601, SMPTE240M, BT2020 = 1, 2, 4, 6, 7, 9  # matrices, as ITU-T H.273 numbers them
RGB = 0
LIMITED, FULL = 1, 2
HDR = (16, 18)  # the transfers PQ and HLG

# Untagged grey has the limited range in codecs whose standards say so, and the full range in all others: raw, lossless
# and still-image codecs of cameras, microscopes and archives. FFmpeg and OpenCV return their values unchanged.
_LIMITED_GREY = ("h264", "hevc", "vvc", "av1", "libdav1d", "vp9", "libvpx-vp9", "mpeg1video", "mpeg2video", "mpeg4")
_MATRICES = {BT709: 1, FCC: 4, 5: 5, BT601: 5, SMPTE240M: 7, BT2020: 9}  # H.273 -> libswscale
_EXACT = Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
_FROM_YUV, _TO_YUV = _EXACT | Interpolation.BICUBIC, _EXACT | Interpolation.AREA  # how chroma grows, and shrinks
_WHITE = 255 * 256  # of libswscale's 16-bit RGB where it comes from YUV
_own = threading.local()


@dataclass(frozen=True)
class Colour:
    """Colour tags as H.273 numbers them, 2 (for the range 0) if unspecified, and the chroma location as
    ``chroma_location`` numbers it."""

    matrix: int = UNSPECIFIED
    range: int = 0
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    location: int = chroma_location.LEFT

    @classmethod
    def of(cls, frame: av.VideoFrame, codec: str) -> Colour:
        """Return the colour tags of a decoded frame."""
        primaries, transfer, location = frame.color_primaries, frame.color_trc, chroma_location.find(frame, codec)
        return cls(int(frame.colorspace), int(frame.color_range), int(primaries), int(transfer), location)

    def resolved(self, width: int, height: int, range: int = LIMITED) -> Colour:
        """Return the colour with a matrix and a range, also where the video names none.

        As players do, BT.709 for HD and BT.601 for SD, and ``range``, the default of its codec and pixel format.
        """
        matrix = self.matrix if self.matrix not in (UNSPECIFIED, RGB, 3) else guess(width, height)
        return replace(self, matrix=matrix, range=self.range or range)

    def tags(self, width: int, height: int, used: Colour) -> Colour:
        """Return the tags to write for frames of this size made with ``used``: the source's own, and matrix and
        range where a player would guess others."""
        matrix = self.matrix
        if matrix in (RGB, 3) or (matrix == UNSPECIFIED and used.matrix != guess(width, height)):
            matrix = used.matrix
        return replace(self, matrix=matrix, range=self.range or (FULL if used.range == FULL else 0))


def guess(width: int, height: int) -> int:
    """Return the matrix that players assume if none is stated."""
    return BT709 if width >= 1280 or height > 576 else BT601


def default_range(pixel_format: str, codec: str) -> int:
    """Return the range of frames that name none: FULL for RGB, for JPEG's YUV and for most grey, else LIMITED."""
    form = av.VideoFormat(pixel_format)
    if form.is_rgb or pixel_format.startswith(("yuvj", "pal", "mono")):
        return FULL
    grey = pixel_format.startswith(("gray", "ya"))
    return FULL if grey and codec not in _LIMITED_GREY else LIMITED


def bits(pixel_format: str) -> int:
    """Return the bits of a sample."""
    return max((component.bits for component in av.VideoFormat(pixel_format).components), default=8)


def to_rgb(frame: av.VideoFrame, colour: Colour, deep: bool) -> np.ndarray:
    """Return a frame as RGB [h, w, 3], uint16 of 0..65535 if ``deep``, else uint8; ``colour`` is resolved."""
    form = frame.format.name
    if form.startswith(("gray", "ya8", "ya16")):
        return _grey(frame, colour, deep)
    rgb = av.VideoFormat(form).is_rgb or form.startswith("pal")
    frame.color_range = FULL if rgb else colour.range
    if not rgb:
        frame.colorspace = colour.matrix
    wanted = "rgb24" if rgb else "gbrp"  # from YUV the same to the bit as RGB24, in less than half the time
    if deep:
        wanted = "gbrap16le" if form == "gbrap16le" else "gbrp16le"  # to leave alpha out of it libswscale fails
    converted = _reformatter("in").reformat(
        frame, format=wanted, dst_color_range=FULL, interpolation=_FROM_YUV, threads=1
    )
    picture = converted.to_ndarray()[..., :3]
    if deep and not rgb:
        picture = np.minimum(np.rint(picture * np.float32(65535 / _WHITE)), 65535).astype(np.uint16)
    return picture


def alpha_of(frame: av.VideoFrame, deep: bool) -> np.ndarray | None:
    """Return a frame's alpha [h, w], uint16 if ``deep``, else uint8; None if it has none or is wholly opaque."""
    if not any(part.is_alpha for part in frame.format.components):
        return None
    wanted = "gbrap16le" if deep else "rgba"
    alpha = _reformatter("alpha").reformat(frame, format=wanted, threads=1).to_ndarray()[..., 3]
    return None if int(alpha.min()) == (65535 if deep else 255) else np.ascontiguousarray(alpha)


def thumbnail(frame: av.VideoFrame, width: int, height: int) -> np.ndarray:
    """Return the luma of a frame of any format, reduced to that size: uint8 [height, width]."""
    small = _reformatter("small").reformat(
        frame, width=width, height=height, format="gray", interpolation=Interpolation.AREA, threads=1
    )
    return small.to_ndarray()


def from_rgb(picture: np.ndarray, pixel_format: str, colour: Colour) -> av.VideoFrame:
    """Return RGB [h, w, 3] of uint8 or uint16 as a frame of that format, in the matrix, range and chroma location of
    ``colour``, which is resolved."""
    deep = picture.dtype == np.uint16
    rgb = av.VideoFormat(pixel_format).is_rgb
    if deep and not rgb:
        picture = np.rint(picture * np.float32(_WHITE / 65535)).astype(np.uint16)
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "gbrp16le" if deep else "rgb24")
    if colour.location != chroma_location.UNSTATED and chroma_location.is_subsampled(pixel_format):
        frame = chroma_location.stated(frame, colour.location)
    frame.color_range = FULL
    if rgb:
        return _reformatter("out").reformat(frame, format=pixel_format, interpolation=_TO_YUV, threads=1)
    frame = _reformatter("out").reformat(
        frame,
        format=pixel_format,
        dst_colorspace=_MATRICES[colour.matrix],
        dst_color_range=colour.range,
        interpolation=_TO_YUV,
        threads=1,
    )
    frame.colorspace = colour.matrix  # libswscale knows one number for both matrices of BT.601
    return frame


def check(colour: Colour, pixel_format: str, source: object) -> None:
    """Raise VideoError for a matrix or a pixel format that cannot be converted."""
    if pixel_format.startswith(("grayf", "yaf")):
        raise VideoError(source, f"its grey is in floating point ({pixel_format}); convert it to integers")
    if colour.matrix not in _MATRICES:
        raise VideoError(source, f"its colour matrix (number {colour.matrix} of H.273) cannot be converted to RGB")


def _grey(frame: av.VideoFrame, colour: Colour, deep: bool) -> np.ndarray:
    """Stretch or compress the range of grey, which libswscale always takes for full."""
    depth = frame.format.components[0].bits
    plane = frame.planes[0]
    kind = np.dtype(np.uint8 if depth == 8 else np.uint16 if frame.format.name.endswith("le") else ">u2")
    step = len(frame.format.components) if frame.format.name.startswith("ya") else 1
    rows = np.frombuffer(memoryview(plane), kind).reshape(plane.height, -1)[:, : plane.width * step : step]
    scale = 2 ** (depth - 8)
    black, white = (16 * scale, 235 * scale) if colour.range == LIMITED else (0, 2**depth - 1)
    peak, type_ = (65535, np.uint16) if deep else (255, np.uint8)
    table = np.clip(np.rint((np.arange(2**depth) - black) * (peak / (white - black))), 0, peak).astype(type_)
    return np.repeat(table[rows][..., None], 3, axis=2)


def _reformatter(way: str) -> VideoReformatter:
    """Return this thread's converter, which keeps tables for the formats that it saw last."""
    if not hasattr(_own, way):
        setattr(_own, way, VideoReformatter())
    return getattr(_own, way)
