"""Writing a video file: the pictures encoded, all else copied."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.codec.context import Flags
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from i2i.lost import NOTHING, Lost
from i2i.runtime.system.host import same_priority
from i2i.runtime.video.frame import chroma_location
from i2i.runtime.video.frame import colour as colours
from i2i.runtime.video.frame.item import Item
from i2i.runtime.video.sink import encoders
from i2i.runtime.video.sink.base import Sink
from i2i.runtime.video.sink.contents import Contents, is_lossless, lost, of_file, of_source
from i2i.runtime.video.sink.delays import set_length
from i2i.runtime.video.sink.stream_copy import StreamCopies
from i2i.runtime.video.source.camera import Source
from i2i.runtime.video.source.frames import Frames


class VideoFile(Sink):
    """A video that is being written; its size is that of the first result.

    ``render`` may be called from any thread, the others from one.
    """

    def __init__(self, path: Path, target: Path, reader: Source | Frames, deep: bool, quality: int = 95) -> None:
        """Open ``path`` for writing; the suffix of ``target``, its final name, decides the container.

        Raises ValueError where codec, container and options do not go together.
        """
        super().__init__()
        self.path, self.target, self.reader = path, target, reader
        self._deep, self._bits, self._is_rgb = deep, 8, False  # the last two of what is written
        clip, options = reader.clip, reader.options
        keep = options.rotation == "keep" or clip.turn is None
        self.matrix = clip.matrix if keep else None
        self.sar = reader.sar
        self._size: tuple[int, int] | None = None  # height and width of the results
        self._shift = 0  # in units of the time base
        self._durations: dict[int, int] = {}  # time -> how long it is shown: not every encoder hands that on
        self.plan = encoders.plan(target, options, clip, deep, quality)
        self.alpha = self.plan.encoder.alpha
        self._base = self.plan.encoder.tick or reader.time_base
        self._next = 0  # the earliest time of the next frame
        self._first: int | None = None  # when the first frame is shown
        self._until = 0  # and the last one no more
        self._reduced = self._halved = False  # colours of a frame, and pixels that were half transparent
        self._output: Any = None
        self._end = 0  # of what is encoded
        self._lead: int | None = None  # from the first packet's decoding to its showing
        self._early: list[Packet] = []  # what comes before the first frame

    def render(self, picture: np.ndarray, alpha: np.ndarray | None = None) -> VideoFrame:
        """Convert RGB [h, w, 3], and alpha [h, w] if the codec has alpha, to a frame of the encoder's format."""
        form, used = self.plan.pixel_format(*picture.shape[:2]), self.reader.clip.used
        if self.alpha:
            return self._animated(form, *(_eight_bits(each) for each in (picture, alpha)))
        return colours.from_rgb(picture, form, replace(used, location=self._location(form)))

    def _animated(self, form: str, picture: np.ndarray, alpha: np.ndarray | None) -> VideoFrame:
        if form == "pal8":
            from i2i.runtime.video.sink.palette import to_palette  # with Pillow, which a video does without

            frame, reduced = to_palette(picture, alpha)
            self._reduced |= reduced
            self._halved |= alpha is not None and bool(((alpha > 0) & (alpha < 255)).any())
            return frame
        if alpha is None:
            alpha = np.full(picture.shape[:2], 255, np.uint8)
        return VideoFrame.from_ndarray(np.dstack([picture, alpha]), "rgba").reformat(format=form, threads=1)

    def _location(self, pixel_format: str) -> int:
        return chroma_location.held(pixel_format, self.plan.encoder.locations, self.reader.clip.colour.location)

    def write(self, frame: VideoFrame, item: Item) -> None:
        if self._output is None:
            self._open(frame, item)
        assert (frame.height, frame.width) == self._size
        self.copies.write(self._early + item.packets)
        self._early = []
        used = self.tags
        for number, time in enumerate(item.times):
            last = number == len(item.times) - 1
            unit = self.reader.time_base / self._base
            frame.pts, frame.time_base = max(self._next, round((time + self._shift) * unit)), self._base
            duration = item.duration if last else item.times[number + 1] - time
            frame.duration = max(1, round((time + self._shift + duration) * unit) - frame.pts)
            self._next, self._until = frame.pts + 1, frame.pts + frame.duration
            self._first = frame.pts if self._first is None else self._first
            frame.color_primaries, frame.color_trc = used.primaries, used.transfer
            self._durations[frame.pts] = frame.duration
            for packet in self._stream.encode(frame):
                self._put(self._output, packet)
            self.frames += 1

    def others(self, item: Item) -> None:
        """Copy the packets of an item that has no frame."""
        if self._output is None:
            self._early += item.packets
        else:
            self.copies.write(item.packets)

    def close(self) -> None:
        """End the file so that it plays, however many frames it has."""
        if self._output is None:
            return
        output, self._output = self._output, None
        try:
            packets = self._stream.encode(None)
            for packet in packets:
                if self.frames <= 2:  # of so few x265 leaves the decoding times unset; they need no other order
                    packet.dts = packet.pts
                self._put(output, packet, packet is packets[-1])
        finally:
            output.close()
        if self.plan.encoder.loop is not None and self.frames > 1:
            seconds = (self._until - (self._first or 0)) * self._base
            if not set_length(self.path, self.plan.container, seconds):  # libwebp merges equal frames
                self.notes.append("all frames are equal, so the WebP is a still picture")
            fastest = self.plan.encoder.fastest
            if fastest is not None and self.frames > fastest * seconds:  # which of an animation is known only now
                self.notes.append(
                    f"its frames are more than {fastest} a second, and players show such a "
                    f"{self.plan.encoder.name.upper()} slowly: --fps {fastest} or less prevents it"
                )
        self.copies.finish()
        self.notes += self.copies.notes
        if self._reduced:
            self.notes.append("a GIF holds 256 colours a frame: others were mixed of these by dithering")
        if self._halved:
            self.notes.append("a GIF holds no half-transparent pixels: those of 50 % and more became opaque")

    def lost(self) -> Lost:
        """Return what the closed file lacks of the source."""
        if not self.frames:
            return NOTHING
        wanted = of_source(self.reader)
        bits, copies, options = self._bits, self.copies, self.plan.options
        lossless = is_lossless(self.plan.encoder.name) or "lossless" in options or options.get("crf") == "0"
        if self.plan.encoder.loop is not None:
            held = Contents(bits, lossless=lossless, plays=self.reader.clip.plays or 0)
        else:
            tags = self.tags
            seen: dict[str, Any] = {"primaries": tags.primaries, "transfer": tags.transfer}
            if not self._is_rgb:  # which has no matrix and is full
                seen |= {"matrix": tags.matrix, "range": tags.range}
            wanted = replace(wanted, **seen)
            held = replace(of_file(self.path, bits, turned=True), lossless=lossless)
            held = replace(held, range=wanted.range) if self._is_rgb else held
        wanted = replace(
            wanted,
            streams=frozenset(),  # those of the source that were not copied are known one by one
            unread=(*wanted.unread, *copies.dropped),
            chapters=len(copies.chapters),
            metadata=frozenset(copies.titles),
        )
        return lost(f"{self.plan.encoder.name} in {self.target.suffix}", wanted, held)

    def _put(self, output: Any, packet: Any, last: bool = False) -> None:
        packet.duration = self._durations.pop(packet.pts, packet.duration)
        self._end = max(self._end, packet.pts + packet.duration)
        self._lead = packet.pts - packet.dts if self._lead is None else self._lead
        if last and self.plan.container in ("mp4", "mov"):
            # These end with the packet that is decoded last, which need not be the one shown last.
            until = min(self._end - self._lead - packet.dts, self._end - packet.pts)
            packet.duration = max(packet.duration, until)
        output.mux(packet)

    def _open(self, frame: VideoFrame, item: Item) -> None:
        reader, plan = self.reader, self.plan
        base = reader.time_base
        options = dict(plan.muxer)
        if plan.container in ("mp4", "mov"):
            options |= {"movflags": "+faststart", "movie_timescale": str(_timescale(base, reader.others))}
        self._output = av.open(str(self.path), "w", format=plan.container, container_options=options)
        self._size = (frame.height, frame.width)
        self.copies = StreamCopies(reader, self._output)
        self._shift = max(0, -item.times[0])
        if (note := plan.note(frame.format.name, frame.height, frame.width)) is not None:
            self.notes.append(note)
        rate = reader.options.fps or reader.clip.rate
        rate = rate if plan.encoder.most is None else min(rate, Fraction(plan.encoder.most))
        form = frame.format.name
        settings = plan.settings(form) | chroma_location.option(form, self._location(form))
        self._stream: VideoStream = self._output.add_stream(plan.encoder.name, rate=rate, options=settings)
        self._describe(frame)
        self.copies.add_streams(self._early + item.packets)
        self.copies.add_tags(self._shift * base)
        try:
            with same_priority():
                self._stream.codec_context.open()
        except (av.FFmpegError, OSError) as error:
            raise encoders.unopenable(plan.encoder, plan.options, error, self.target) from error
        self._output.start_encoding()

    def _describe(self, frame: VideoFrame) -> None:
        """Set size, format, times and tags of the video stream."""
        plan, reader = self.plan, self.reader
        self._bits, self._is_rgb = colours.bits(frame.format.name), frame.format.is_rgb or self.alpha
        context = self._stream.codec_context
        context.width, context.height, context.pix_fmt = frame.width, frame.height, frame.format.name
        context.time_base = self._stream.time_base = self._base
        context.sample_aspect_ratio = self.sar
        context.flags |= Flags.frame_duration
        if plan.encoder.tag and plan.container in ("mp4", "mov"):
            context.codec_tag = plan.encoder.tag
        used = reader.clip.used
        self.tags = tags = reader.clip.colour.tags(frame.width, frame.height, used)
        context.color_primaries, context.color_trc = tags.primaries, tags.transfer
        if self._is_rgb:
            context.colorspace, context.color_range = colours.RGB, colours.FULL
        else:
            context.colorspace, context.color_range = tags.matrix, tags.range
        if self.matrix is not None:
            self._stream.set_display_matrix(self.matrix)
        titles = self.copies.titles_of(reader.stream.metadata)
        self._stream.metadata.update({key: titles[key] for key in titles if key.lower() != "alpha_mode"})
        self._stream.disposition = reader.stream.disposition


def _eight_bits(array: np.ndarray | None) -> Any:
    """Return 16 bits as 8."""
    if array is None or array.dtype == np.uint8:
        return array
    return np.rint(array / np.float32(257)).astype(np.uint8)


def _timescale(base: Fraction, others: list[Any]) -> int:
    """Return a time scale in which MP4's edit lists, the starts of its streams, are exact and not rounded to 1 ms."""
    scale = base.denominator
    for stream in others:
        both = math.lcm(scale, stream.time_base.denominator if stream.time_base else 1)
        scale = both if both < 1 << 24 else scale
    while scale < 1000:
        scale *= 2
    return scale
