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

from i2i.runtime.video.frame import chroma_location
from i2i.runtime.video.frame import colour as colours
from i2i.runtime.video.frame.item import Item
from i2i.runtime.video.sink import encoders
from i2i.runtime.video.sink.stream_copy import Copies, tags_of
from i2i.runtime.video.source.camera import Source


class Film:
    """A video that is being written; its size is that of the first result.

    ``render`` may be called from any thread, the others from one.
    """

    def __init__(self, path: Path, target: Path, reader: Source, deep: bool) -> None:
        """``path`` is what is written, ``target`` what it will be called: its suffix names the container.

        Raises ValueError where codec, container and options do not go together.
        """
        self.path, self.target, self.reader = path, target, reader
        self.frames = 0
        self.one_size = True
        self.notes: list[str] = []
        self.deep, self.bits, self.is_rgb = deep, 8, False  # the last two of what is written
        clip, options = reader.clip, reader.options
        keep = options.rotation == "keep" or clip.turn is None
        self._matrix = clip.matrix if keep else None
        self.sar = reader.sar
        self._size: tuple[int, int] | None = None  # height and width of the results
        self._shift = 0  # in units of the time base
        self._durations: dict[int, int] = {}  # time -> how long it is shown: not every encoder hands that on
        self.plan = encoders.plan(target, options, clip, deep)
        self._output: Any = None
        self._end = 0  # of what is encoded
        self._lead: int | None = None  # from the first packet's decoding to its showing
        self._early: list[Packet] = []  # what comes before the first frame

    def render(self, picture: np.ndarray) -> VideoFrame:
        """RGB [h, w, 3] as a frame of the encoder's format."""
        form, used = self.plan.pixel_format(*picture.shape[:2]), self.reader.clip.used
        return colours.from_rgb(picture, form, replace(used, location=self._location(form)))

    def _location(self, pixel_format: str) -> int:
        return chroma_location.held(pixel_format, self.plan.encoder.name, self.reader.clip.colour.location)

    def write(self, frame: VideoFrame, item: Item) -> None:
        if self._output is None:
            self._open(frame, item)
        assert (frame.height, frame.width) == self._size
        self.copies.write(self._early + item.packets)
        self._early = []
        used = self.tags
        for number, time in enumerate(item.times):
            last = number == len(item.times) - 1
            frame.pts, frame.time_base = time + self._shift, self.reader.time_base
            frame.duration = item.duration if last else item.times[number + 1] - time
            frame.color_primaries, frame.color_trc = used.primaries, used.transfer
            self._durations[frame.pts] = frame.duration
            for packet in self._stream.encode(frame):
                self._put(self._output, packet)
            self.frames += 1

    def others(self, item: Item) -> None:
        """Copies the packets of an item that has no frame."""
        if self._output is None:
            self._early += item.packets
        else:
            self.copies.write(item.packets)

    def close(self) -> None:
        """Ends the file so that it plays, whatever is in it."""
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
        self.copies.finish()
        self.notes += self.copies.notes

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
        options = {}
        if plan.container in ("mp4", "mov"):
            options = {"movflags": "+faststart", "movie_timescale": str(_timescale(base, reader.others))}
        self._output = av.open(str(self.path), "w", format=plan.container, container_options=options)
        self._size = (frame.height, frame.width)
        self.copies = Copies(reader, self._output)
        self._shift = max(0, -item.times[0])
        rate = reader.options.fps or reader.clip.rate
        settings = plan.options | chroma_location.option(frame.format.name, self._location(frame.format.name))
        self._stream: VideoStream = self._output.add_stream(plan.encoder.name, rate=rate, options=settings)
        self._describe(frame)
        self.copies.add_streams(self._early + item.packets)
        self.copies.add_tags(self._shift * base)
        try:
            self._stream.codec_context.open()
        except (av.FFmpegError, OSError) as error:
            raise encoders.unopenable(plan.encoder, plan.options, error, self.target) from error
        self._output.start_encoding()

    def _describe(self, frame: VideoFrame) -> None:
        """All that the stream of pictures says of itself."""
        plan, reader = self.plan, self.reader
        self.bits, self.is_rgb = colours.bits(frame.format.name), frame.format.is_rgb
        context = self._stream.codec_context
        context.width, context.height, context.pix_fmt = frame.width, frame.height, frame.format.name
        context.time_base = reader.time_base
        self._stream.time_base = reader.time_base
        context.sample_aspect_ratio = self.sar
        context.flags |= Flags.frame_duration
        if plan.encoder.tag and plan.container in ("mp4", "mov"):
            context.codec_tag = plan.encoder.tag
        used = reader.clip.used
        self.tags = tags = reader.clip.colour.tags(frame.width, frame.height, used)
        context.color_primaries, context.color_trc = tags.primaries, tags.transfer
        if self.is_rgb:
            context.colorspace, context.color_range = colours.RGB, colours.FULL
        else:
            context.colorspace, context.color_range = tags.matrix, tags.range
        if self._matrix is not None:
            self._stream.set_display_matrix(self._matrix)
        self._stream.metadata.update(tags_of(reader.stream.metadata))
        self._stream.disposition = reader.stream.disposition


def _timescale(base: Fraction, others: list[Any]) -> int:
    """Units a second in which the edit lists of MP4, by which streams begin, are exact: else they round to 1 ms."""
    scale = base.denominator
    for stream in others:
        both = math.lcm(scale, stream.time_base.denominator if stream.time_base else 1)
        scale = both if both < 1 << 24 else scale
    while scale < 1000:
        scale *= 2
    return scale
