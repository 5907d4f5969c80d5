"""Contents of a video file, read through PyAV and without i2i: the reference of every comparison."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np


@dataclass
class Facts:
    """Contents of one file: its pictures, and its other streams packet by packet."""

    times: list[Fraction] = field(default_factory=list)  # in seconds
    length: Fraction = Fraction(0)  # to the end of the last frame
    size: tuple[int, int] = (0, 0)  # width and height
    pixel_format: str = ""
    codec: str = ""
    colour: tuple[int, int, int, int] = (2, 0, 2, 2)  # matrix, range, primaries, transfer
    sar: Fraction = Fraction(1)
    rotation: int = 0
    sound: dict[str, list[tuple[str, Fraction]]] = field(default_factory=dict)  # md5 and time of each packet
    tags: dict[str, str] = field(default_factory=dict)
    chapters: list[tuple[Fraction, Fraction, str]] = field(default_factory=list)
    streams: list[str] = field(default_factory=list)  # kind and codec
    planes: list[list[np.ndarray]] = field(default_factory=list)


def facts(path: Path, planes: bool = False) -> Facts:
    """Read a file to its end; the pixels too if ``planes``. Decoding errors are ignored."""
    found = Facts()
    with av.open(str(path)) as container:
        stream = next(s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic)
        stream.thread_type = "AUTO"
        found.codec = stream.codec_context.name
        found.sar = stream.sample_aspect_ratio or Fraction(1)
        found.tags = dict(container.metadata)
        found.streams = [f"{s.type} {getattr(s, 'name', '')}" for s in container.streams]
        for chapter in container.chapters():
            base = chapter["time_base"]
            title = chapter["metadata"].get("title", "")
            found.chapters.append((chapter["start"] * base, chapter["end"] * base, title))
        for packet in container.demux([s for s in container.streams if s.type != "attachment"]):
            if packet.stream is not stream:
                if packet.size:
                    key = f"{packet.stream.index} {packet.stream.type} {packet.stream.name}"
                    time = (packet.pts if packet.pts is not None else packet.dts or 0) * packet.time_base
                    found.sound.setdefault(key, []).append((hashlib.md5(bytes(packet)).hexdigest(), time))
                continue
            try:
                frames = packet.decode()
            except av.FFmpegError:
                continue
            for frame in frames:
                _add(found, frame, planes)
    return found


def _add(found: Facts, frame: av.VideoFrame, planes: bool) -> None:
    found.times.append(frame.pts * frame.time_base)
    found.length = (frame.pts + (frame.duration or 0)) * frame.time_base
    found.size, found.pixel_format = (frame.width, frame.height), frame.format.name
    found.colour = (int(frame.colorspace), int(frame.color_range), int(frame.color_primaries), int(frame.color_trc))
    found.rotation = frame.rotation
    if planes:
        deep = max(part.bits for part in frame.format.components) > 8
        found.planes.append([_plane(plane, np.dtype(np.uint16 if deep else np.uint8)) for plane in frame.planes])


def _plane(plane: av.video.plane.VideoPlane, kind: np.dtype) -> np.ndarray:
    return np.frombuffer(plane, kind).reshape(plane.height, -1)[:, : plane.width].copy()


def psnr(first: list[list[np.ndarray]], second: list[list[np.ndarray]], plane: int = 0, peak: float = 255) -> float:
    """Return the PSNR of one plane over all frames; 0 is luma."""
    errors = [(a[plane].astype(float) - b[plane]) ** 2 for a, b in zip(first, second, strict=True)]
    error = float(np.mean([each.mean() for each in errors]))
    return float("inf") if error == 0 else 10 * np.log10(peak**2 / error)
