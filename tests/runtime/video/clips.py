"""Small videos made with PyAV, with known contents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.codec.context import Flags

KR_KB = {1: (0.2126, 0.0722), 4: (0.30, 0.11), 5: (0.299, 0.114), 6: (0.299, 0.114), 7: (0.212, 0.087)}
KR_KB[9] = (0.2627, 0.0593)  # ITU-T H.273, table 4
LOSSLESS = {
    "libx264": {"qp": "0", "preset": "ultrafast"},
    "ffv1": {},
    "libx265": {"x265-params": "lossless=1:log-level=none"},
}


@dataclass
class Made:
    """What a clip is to be; times are in units of ``base``."""

    times: Sequence[int] = tuple(range(0, 12 * 512, 512))
    base: Fraction = Fraction(1, 12800)
    size: tuple[int, int] = (64, 48)
    codec: str = "libx264"
    pixel_format: str = "yuv420p"
    options: dict[str, str] | None = None  # None: lossless
    colour: tuple[int, int, int, int] = (2, 0, 2, 2)  # matrix, range, primaries, transfer, as tagged
    sar: Fraction | None = None
    matrix: Sequence[int] | None = None
    picture: Callable[[int], np.ndarray] | None = None  # RGB of frame k; by default a pattern that moves
    planes: Callable[[int], list[np.ndarray]] | None = None  # or its planes
    sound: float = 0.0  # seconds of it
    tags: dict[str, str] = field(default_factory=dict)
    chapters: Sequence[tuple[float, float, str]] = ()
    subtitle: str | None = None
    spoken: tuple[int, int] = (100, 200)  # when its line is shown, and how long, in milliseconds
    cover: bytes | None = None
    attachment: bytes | None = None
    last: int = 512  # how long the last frame is shown
    container: str | None = None
    muxer: dict[str, str] = field(default_factory=dict)


def pattern(number: int, width: int, height: int) -> np.ndarray:
    """Smooth colours that move, with a white square in the top left corner: RGB [h, w, 3]."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin((x * fx + y * fy) / 16 + number / 4) for fx, fy in ((1, 0), (0, 1), (1, 1))]
    picture = np.stack([128 + 90 * wave for wave in waves], axis=2).astype(np.uint8)
    picture[: height // 4, : width // 4] = 255
    return picture


def make(path: Path, made: Made | None = None, **changes: object) -> Path:
    """Write the clip."""
    made = made or Made(**changes)  # type: ignore[arg-type]
    output = av.open(str(path), "w", format=made.container, container_options=made.muxer)
    options = LOSSLESS.get(made.codec, {}) if made.options is None else made.options
    stream = output.add_stream(made.codec, rate=round(1 / (made.base * 512)) or 25, options=dict(options))
    context = stream.codec_context
    context.width, context.height, context.pix_fmt = *made.size, made.pixel_format
    context.time_base = stream.time_base = made.base
    context.flags |= Flags.frame_duration
    context.colorspace, context.color_range, context.color_primaries, context.color_trc = made.colour
    if made.sar is not None:
        context.sample_aspect_ratio = made.sar
    if made.matrix is not None:
        stream.set_display_matrix(made.matrix)
    extras = _extras(output, made)
    output.metadata.update(made.tags)
    chapters: list[Any] = []
    milliseconds = Fraction(1, 1000)
    for number, (begin, end, title) in enumerate(made.chapters):
        times = {"start": round(1000 * begin), "end": round(1000 * end), "time_base": milliseconds}
        chapters.append({"id": number, **times, "metadata": {"title": title}})
    output.set_chapters(chapters)
    for number, time in enumerate(made.times):
        frame = _frame(made, number)
        frame.pts, frame.time_base = int(time), made.base
        following = made.times[number + 1] if number + 1 < len(made.times) else time + made.last
        frame.duration = int(following - time)
        while extras and extras[0][0] <= time * made.base:
            extras.pop(0)[1]()
        output.mux(stream.encode(frame))
    for _, write in extras:
        write()
    for packet in stream.encode(None):
        if len(made.times) <= 2:  # x265 leaves the decoding times of so few frames uninitialized
            packet.dts = packet.pts
        output.mux(packet)
    output.close()
    return path


def _frame(made: Made, number: int) -> av.VideoFrame:
    width, height = made.size
    if made.planes is None:
        picture = pattern(number, width, height) if made.picture is None else made.picture(number)
        frame = av.VideoFrame.from_ndarray(picture, "rgb24")
        matrix = {6: 5, 2: 5}.get(made.colour[0], made.colour[0])
        frame = frame.reformat(
            format=made.pixel_format, dst_colorspace=matrix, dst_color_range=made.colour[1] or 1, src_color_range=2
        )
    else:
        frame = av.VideoFrame(width, height, made.pixel_format)
        for plane, values in zip(frame.planes, made.planes(number), strict=True):
            rows = np.frombuffer(memoryview(plane), values.dtype).reshape(plane.height, -1).copy()
            rows[:, : plane.width] = values
            plane.update(rows.tobytes())
    frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc = made.colour
    return frame


def _extras(output: av.container.OutputContainer, made: Made) -> list[tuple[float, Callable[[], object]]]:
    """What is written beside the pictures, each with its second."""
    extras: list[tuple[float, Callable[[], object]]] = []
    if made.sound:
        extras += _sound(output, made.sound)
    if made.subtitle is not None:
        titles = output.add_mux_stream(made.subtitle, time_base=Fraction(1, 1000))

        def write() -> None:
            text = b"first line" if made.subtitle != "mov_text" else b"\x00\x0afirst line"
            packet = av.Packet(text)
            begin, packet.duration = made.spoken
            packet.stream, packet.pts, packet.dts = titles, begin, begin
            packet.time_base = Fraction(1, 1000)
            output.mux(packet)

        extras.append((made.spoken[0] / 1000, write))
    if made.cover is not None:
        cover = output.add_mux_stream("mjpeg", width=16, height=16)
        cover.disposition = av.stream.Disposition.attached_pic
        extras.append((0.0, lambda: output.mux(_still(made.cover or b"", cover))))
    if made.attachment is not None:
        output.add_attachment("font.ttf", "font/ttf", made.attachment)
    return sorted(extras, key=lambda extra: extra[0])


def _still(data: bytes, stream: av.stream.Stream) -> av.Packet:
    packet = av.Packet(data)
    packet.stream, packet.pts, packet.dts, packet.time_base = stream, 0, 0, Fraction(1, 90000)
    return packet


def _sound(output: av.container.OutputContainer, seconds: float) -> list[tuple[float, Callable[[], object]]]:
    rate, size = 48000, 960
    codec = "libopus" if output.format.name in ("webm", "matroska") else "aac"
    size = size if codec == "libopus" else 1024
    stream = output.add_stream(codec, rate=rate)
    chunks = []
    for number in range(int(seconds * rate / size)):
        samples = np.sin(np.arange(number * size, (number + 1) * size) * 0.05).astype(np.float32)
        if codec == "libopus":
            frame = av.AudioFrame.from_ndarray((samples * 9000).astype(np.int16).repeat(2)[None], "s16", "stereo")
        else:
            frame = av.AudioFrame.from_ndarray(np.stack([samples, samples]), "fltp", "stereo")
        frame.sample_rate, frame.pts, frame.time_base = rate, number * size, Fraction(1, rate)
        chunks.append((number * size / rate, lambda frame=frame: output.mux(stream.encode(frame))))
    chunks.append((seconds, lambda: output.mux(stream.encode(None))))
    return chunks


def to_yuv(rgb: np.ndarray, matrix: int, full: bool, bits: int = 8) -> np.ndarray:
    """RGB [h, w, 3] of 0..255 as Y, Cb, Cr [3, h, w], not rounded (ITU-T H.273, equations 20 to 40)."""
    red, green, blue = np.moveaxis(rgb.astype(float) / 255, 2, 0)
    kr, kb = KR_KB[matrix]
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    chroma = [(blue - luma) / (2 * (1 - kb)), (red - luma) / (2 * (1 - kr))]
    scale = 2 ** (bits - 8)
    if full:
        peak = 2**bits - 1
        return np.stack([luma * peak, *(each * peak + 128 * scale for each in chroma)])
    return np.stack([(219 * luma + 16) * scale, *((224 * each + 128) * scale for each in chroma)])


def to_rgb(yuv: np.ndarray, matrix: int, full: bool, bits: int = 8) -> np.ndarray:
    """The reverse, [..., 3] to [..., 3] of 0..255."""
    kr, kb = KR_KB[matrix]
    scale, peak = 2 ** (bits - 8), 2**bits - 1
    luma, cb, cr = np.moveaxis(yuv.astype(float), -1, 0)
    if full:
        luma, cb, cr = luma / peak, (cb - 128 * scale) / peak, (cr - 128 * scale) / peak
    else:
        luma = (luma / scale - 16) / 219
        cb, cr = ((each / scale - 128) / 224 for each in (cb, cr))
    red, blue = luma + 2 * (1 - kr) * cr, luma + 2 * (1 - kb) * cb
    green = (luma - kr * red - kb * blue) / (1 - kr - kb)
    return 255 * np.stack([red, green, blue], axis=-1)
