"""Codecs that a result can be written in: one row each, with its containers, quality and chroma location."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av

from i2i.runtime.video.detect import CONTAINERS
from i2i.runtime.video.errors import VideoError
from i2i.runtime.video.frame import chroma_location
from i2i.runtime.video.options import VideoOptions
from i2i.runtime.video.source.stream_info import StreamInfo

os.environ.setdefault("SVT_LOG", "1")  # errors only: the AV1 encoder writes to stderr by itself


@dataclass(frozen=True)
class Encoder:
    """One codec: FFmpeg's encoder, its pixel formats by bits and chroma, its containers and its options.

    An animation's ``options`` are of its container, where ``loop`` names the one for the loop count.
    """

    name: str
    formats: dict[tuple[int, str], str]  # (8 or 10 bits, chroma of the source) -> pixel format
    containers: tuple[str, ...] = ("mp4", "mov", "matroska")
    crf: tuple[str, int] | None = None  # the option that sets the quality, and its default
    worst: int = 51  # the largest value of that option; some encoders take more and use this
    preset: str | None = None  # the default speed
    options: dict[str, str] = field(default_factory=dict)
    tag: str | None = None  # four letters that Apple's players ask for
    locations: tuple[int, ...] = ()  # where chroma of 4:2:0 may lie, as it can write
    loop: str | None = None  # the container's option for the loop count: the codec is that of an animation
    tick: Fraction | None = None  # the unit of its times, where that is not the source's
    fastest: int | None = None  # frames a second, above which players show it slower
    most: int | None = None  # frames a second, above which it does not open, whatever the times of the frames
    alpha: bool = False  # whether it can hold transparent pixels


CHROMA = ("420", "422", "444", "rgb")


def _forms(**forms: str) -> dict[tuple[int, str], str]:
    """From ``b8="420 422 444 rgb"`` and ``b10=...``: a pixel format for each chroma of a source."""
    rows = {int(bits[1:]): zip(CHROMA, row.split(), strict=True) for bits, row in forms.items()}
    return {(bits, chroma): form for bits, row in rows.items() for chroma, form in row}


_YUV = _forms(b8="yuv420p yuv422p yuv444p yuv444p", b10="yuv420p10le yuv422p10le yuv444p10le yuv444p10le")
_420 = _forms(b8="yuv420p yuv420p yuv420p yuv420p", b10="yuv420p10le yuv420p10le yuv420p10le yuv420p10le")
_PRORES = _forms(**dict.fromkeys(("b8", "b10"), "yuv422p10le yuv422p10le yuv444p10le yuv444p10le"))
_GBR = _forms(b8="bgr0 bgr0 bgr0 bgr0", b10="gbrp16le gbrp16le gbrp16le gbrp16le")  # the model's pixels as they are
_NV8 = _forms(b8="yuv420p yuv420p yuv444p yuv444p")
_NV = _NV8 | _forms(b10="p010le p010le yuv444p16le yuv444p16le")
_QUIET = {"x265-params": "log-level=none"}
_VBR = {"rc": "vbr", "b": "0"}  # the quality is ``cq``, at whatever rate

_RGBA = _forms(b8="rgba rgba rgba rgba")
_BGRA = _forms(b8="bgra bgra bgra bgra")
_PALETTE = _forms(b8="pal8 pal8 pal8 pal8")
_ANY, _AV1 = tuple(chroma_location.NAMES), (chroma_location.LEFT, chroma_location.TOP_LEFT)

_ALL = ("mp4", "matroska", "webm")

ENCODERS = {
    "h264": Encoder("libx264", _YUV, crf=("crf", 18), preset="veryfast", locations=_ANY),
    "hevc": Encoder("libx265", _YUV, crf=("crf", 20), preset="veryfast", options=_QUIET, tag="hvc1", locations=_ANY),
    "av1": Encoder("libsvtav1", _420, _ALL, crf=("crf", 24), worst=63, preset="10", locations=_AV1, most=240),
    "prores": Encoder("prores_ks", _PRORES, ("mov", "matroska"), options={"vendor": "apl0"}),
    "ffv1": Encoder("ffv1", _GBR, ("matroska",), options={"level": "3", "slices": "4", "slicecrc": "1"}),
    "h264_nvenc": Encoder("h264_nvenc", _NV8, crf=("cq", 20), preset="p5", options=_VBR),
    "hevc_nvenc": Encoder("hevc_nvenc", _NV, crf=("cq", 22), preset="p5", options=_VBR, tag="hvc1"),
    "av1_nvenc": Encoder("av1_nvenc", _NV, _ALL, crf=("cq", 28), preset="p5", options=_VBR),
    "gif": Encoder("gif", _PALETTE, ("gif",), loop="loop", tick=Fraction(1, 100), fastest=50, alpha=True),
    "apng": Encoder("apng", _RGBA, ("apng",), loop="plays", alpha=True),
    "webp": Encoder("libwebp_anim", _BGRA, ("webp",), loop="loop", tick=Fraction(1, 1000), alpha=True),
}


@dataclass(frozen=True)
class Plan:
    """Encoder, container and their options for one job."""

    encoder: Encoder
    container: str
    even: str  # the pixel format
    odd: str  # and that of a result with a side of odd length, which 4:2:0 and 4:2:2 of H.264 and HEVC cannot have
    options: dict[str, str]
    muxer: dict[str, str] = field(default_factory=dict)  # options of the container

    def pixel_format(self, height: int, width: int) -> str:
        return self.odd if height % 2 or width % 2 else self.even

    def settings(self, pixel_format: str) -> dict[str, str]:
        """Return the encoder's options for frames of that format."""
        if self.encoder.name != "prores_ks":
            return self.options
        return self.options | {"profile": "4444" if "444" in pixel_format else "hq"}

    def note(self, pixel_format: str, height: int, width: int) -> str | None:
        """Return a note on a format that few players show."""
        if pixel_format == self.even or self.encoder.name == "prores_ks":
            return None
        return (
            f"the result has {width} x {height} pixels, and {self.encoder.name} holds an odd side in 4:4:4 alone, "
            "which few players show: --codec av1 (.mp4, .mkv, .webm) holds it in 4:2:0"
        )


def container_of(target: Path, animated: bool = False) -> str:
    """Return FFmpeg's name of the container that a suffix stands for; .png is one for an animation alone.

    Raises ValueError for one that is not written.
    """
    suffix = target.suffix.lower()
    name = "apng" if animated and suffix == ".png" else CONTAINERS.get(suffix)
    if name is None:
        raise ValueError(
            f"{target}: videos are written as {', '.join(sorted(CONTAINERS))}; give it one of these suffixes, or "
            "--format png for a folder of frames"
        )
    return name


def plan(target: Path, options: VideoOptions, clip: StreamInfo, deep: bool, quality: int = 95) -> Plan:
    """Return the encoder for a result of more than 8 bits if ``deep``; ``quality``, 0 to 100, is that of WebP.

    Raises ValueError for a codec that does not go into the container, or that has no such option.
    """
    container = container_of(target, clip.plays is not None)
    codec = options.codec
    if codec == "auto":
        codec = container if container in ENCODERS else "av1" if container == "webm" else "hevc" if deep else "h264"
    encoder = ENCODERS[codec]
    if container not in encoder.containers:
        fitting = [suffix for suffix, name in CONTAINERS.items() if name in encoder.containers]
        raise ValueError(f"{target}: {codec} does not go into {target.suffix}; choose {', '.join(fitting)}")
    if encoder.name.endswith("_nvenc"):
        _check_nvenc(codec)
    settings = dict(encoder.options)
    for name, value in (("crf", options.crf), ("preset", options.preset)):
        if value is not None and getattr(encoder, name) is None:
            raise ValueError(f"{codec} has no --{name}; leave it out")
    if encoder.crf is not None:
        if (options.crf or 0) > encoder.worst:
            raise ValueError(f"{codec} takes a --crf from 0 to {encoder.worst}, and {options.crf} was given")
        settings[encoder.crf[0]] = str(encoder.crf[1] if options.crf is None else options.crf)
    if encoder.preset is not None:
        settings["preset"] = options.preset or encoder.preset
    if codec == "webp":
        settings |= {"lossless": "1"} if quality == 100 or clip.lossless else {"quality": str(quality)}
    rate = options.fps or clip.rate
    if encoder.fastest is not None and rate > encoder.fastest:
        raise ValueError(
            f"{target}: players show a {codec.upper()} of more than {encoder.fastest} frames a second slowly, and "
            f"these are {float(rate):.5g}: give --fps {encoder.fastest} or less"
        )
    bits = 10 if (deep and (10, "420") in encoder.formats) else 8
    even, odd = encoder.formats[bits, clip.chroma], encoder.formats[bits, "444"]
    return Plan(encoder, container, even, odd, settings, _muxer(encoder, clip))


def _muxer(encoder: Encoder, clip: StreamInfo) -> dict[str, str]:
    """Return the option for an animation's loop count, which of a video is without end."""
    if encoder.loop is None:
        return {}
    plays = clip.plays or 0
    if encoder.name == "gif" and plays:  # it counts repetitions, -1 for none
        plays = plays - 1 or -1
    return {encoder.loop: str(plays)}


def _check_nvenc(codec: str) -> None:
    """Raise ValueError, with the remedy, if NVIDIA's encoder does not open: FFmpeg lists it even without a card."""
    context = av.CodecContext.create(codec, "w")
    context.width, context.height, context.pix_fmt = 256, 256, "yuv420p"  # type: ignore[attr-defined]
    context.time_base = Fraction(1, 25)
    try:
        context.open()
    except (av.FFmpegError, OSError) as error:
        software = codec.removesuffix("_nvenc")
        raise ValueError(
            f"--codec {codec} needs an NVIDIA card with an encoder and its driver, and here it does not open "
            f"({getattr(error, 'strerror', None) or error}); --codec {software} encodes on the processor"
        ) from error


def unopenable(encoder: Encoder, options: dict[str, str], error: Exception, source: object) -> VideoError:
    """Return the error for an encoder that rejects its settings."""
    given = " ".join(f"{name}={value}" for name, value in options.items())
    reason = f"the encoder {encoder.name} does not open with {given} ({error}); check --preset and --crf"
    return VideoError(source, reason)
