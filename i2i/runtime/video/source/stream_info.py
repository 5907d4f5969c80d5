"""Facts of a video stream, from its file and first frame."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from i2i.runtime.video.frame import colour as colours
from i2i.runtime.video.frame.colour import Colour
from i2i.runtime.video.frame.rotation import Rotation, read_matrix, rotation_of

_FASTEST = 240  # frames a second up to which FFmpeg's guess, which may be the unit of the times, is a rate
_USUAL = Fraction(30)  # where the file says none, as the recordings of browsers

# FFmpeg's names of side data, in words.
_EXTRAS = {
    "MASTERING_DISPLAY_METADATA": "HDR10's mastering display",
    "CONTENT_LIGHT_LEVEL": "HDR10's light levels",
    "DYNAMIC_HDR_PLUS": "HDR10+",
    "DOVI_METADATA": "Dolby Vision",
    "A53_CC": "closed captions",
    "STEREO3D": "stereo layout",
    "SPHERICAL": "spherical layout",
}


@dataclass(frozen=True)
class StreamInfo:
    """Facts of a video stream.

    Attributes:
        width, height: of the stored frames.
        pixel_format: FFmpeg's name of the pixel format.
        colour: the stated tags; they may be unspecified.
        sar: width of a pixel over its height.
        matrix: the nine numbers of the display matrix, None for none.
        rate: frames a second on average.
        time_base: the unit of the frames' times.
        declared: number of frames that the file states, after edit lists; None if it states none.
        length: duration in seconds that the file states.
        codec: FFmpeg's name of the decoder.
    """

    width: int
    height: int
    pixel_format: str
    colour: Colour
    sar: Fraction
    matrix: tuple[int, ...] | None
    rate: Fraction
    time_base: Fraction
    declared: int | None = None
    length: float | None = None
    codec: str = "rawvideo"
    interlaced: bool = False
    lost: tuple[str, ...] = ()
    """Names of contents that are not read, such as HDR10's light levels."""
    plays: int | None = None
    """How often an animation is shown, 0 for without end; None for a video."""
    lossless: bool = False
    """True for a lossless WebP, whose result is one too."""

    @property
    def bits(self) -> int:
        return colours.bits(self.pixel_format)

    @property
    def used(self) -> Colour:
        """Colour by which the frames are converted."""
        return self.colour.resolved(self.width, self.height, colours.default_range(self.pixel_format, self.codec))

    @property
    def turn(self) -> Rotation | None:
        """Rotation that makes frames upright; None for a display matrix that is not by right angles."""
        return Rotation() if self.matrix is None else rotation_of(self.matrix)

    @property
    def chroma(self) -> str:
        """420, 422 or 444; grey counts as 420, and RGB as rgb, but for an animation: few players show 4:4:4."""
        if self.plays is not None:
            return "420"
        form = av.VideoFormat(self.pixel_format)
        if form.is_rgb or self.pixel_format.startswith("pal"):
            return "rgb"
        if len(form.components) < 3:
            return "420"
        across, down = form.chroma_width(16), form.chroma_height(16)
        return {(8, 8): "420", (8, 16): "422"}.get((across, down), "444" if (across, down) == (16, 16) else "420")


def describe(stream: VideoStream, frame: VideoFrame, length: float | None) -> StreamInfo:
    """Return the facts of a stream with that first frame."""
    matrix = None
    found: Any = list(frame.side_data)
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    if data is not None:
        matrix = read_matrix(bytes(data))
    guess = stream.guessed_rate
    rate = stream.average_rate or (guess if guess and guess <= _FASTEST else _USUAL)
    return StreamInfo(
        frame.width,
        frame.height,
        frame.format.name,
        Colour.of(frame, stream.codec_context.name),
        stream.sample_aspect_ratio or Fraction(1),
        matrix if matrix is None or rotation_of(matrix) != Rotation() else None,
        rate,
        stream.time_base or 1 / rate,
        # The index of MP4 is whole when the file is opened, and holds what an edit list lets through.
        len(stream.index_entries) or None if stream.frames and "mp4" in stream.container.format.name else None,
        length,
        stream.codec_context.name,
        frame.interlaced_frame,
        tuple(sorted({words for data in found if (words := _EXTRAS.get(data.type.name))} | _hidden(stream, frame))),
    )


def _hidden(stream: VideoStream, frame: VideoFrame) -> set[str]:
    """Return the alpha of a VP8 or VP9 stream: WebM stores it beside the pictures, where decoders skip it."""
    mode = {key.lower(): value for key, value in stream.metadata.items()}.get("alpha_mode", "0")
    return {"alpha"} if mode != "0" and len(frame.format.components) in (1, 3) else set()
