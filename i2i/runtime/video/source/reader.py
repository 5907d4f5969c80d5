"""Read a video file: its frames with their times, and the packets of its other streams."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from typing import IO, Any

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from i2i.runtime.video.errors import VideoError
from i2i.runtime.video.frame.item import Item
from i2i.runtime.video.frame.rotation import Rotation
from i2i.runtime.video.frame.timestamps import Timestamps
from i2i.runtime.video.options import VideoOptions
from i2i.runtime.video.source.integrity import Integrity
from i2i.runtime.video.source.joined import Clock
from i2i.runtime.video.source.pipe import Pipe
from i2i.runtime.video.source.stream_info import StreamInfo, describe
from i2i.text import plural

_HELD = 4 << 20  # bytes of packets that may lie between two frames, before they are handed on without one
_BEFORE = 512 << 20  # bytes of packets that may come before the first frame, without which no file can be begun
_NO_FRAME = (
    "more than {:g} MiB of other streams come before its first frame; begin nearer to that with --start, or remove the "
    "stream with ffmpeg's -map"
)
_ANYWHERE = ("mpegts", "mpeg", "flv")  # their clocks begin at any time, as in broadcasts; results begin at 0
_LATE = 60  # seconds after which a file of another kind is a part of a broadcast too, and no video with a pause first
_STILL = 0.1  # seconds from the start to the first frame for which the frame before it is shown
_BARE = ("h264", "hevc", "vvc")  # pictures alone, and none of their times; of other codecs FFmpeg counts them
_LISTS = ("concat", "dash", "hls", "sdp")  # which lead to other files, whatever they are called


class Reader:
    """An open video, as a context that closes it.

    Attributes:
        clip: what its first frame and its header say.
        stream: its pictures; cover art is none.
        others: the streams that can be copied.
        time_base: the unit of the items' times, 1 / fps where that was asked for.
        damage: what could not be read, complete once the items are at their end.
        live: whether it goes on until somebody ends it.
        span: the seconds of the file at which the result begins and before which it ends, None for the file's end.
    """

    live = False

    def __init__(
        self,
        source: str | IO[bytes] | Pipe,
        options: VideoOptions,
        name: str | None = None,
        max_pixels: int | None = None,
    ) -> None:
        """Open the file. Raises VideoError if it cannot be opened, or has no video stream or frames of more pixels."""
        self.name, self.options, self._source = name or str(source), options, source
        self.container = _open(source, self.name)
        try:
            self.stream = self._pictures()
            self.stream.thread_type = "AUTO"
            coder = self.stream.codec_context
            coder.thread_count = 0
            check_size(self.name, coder.width, coder.height, max_pixels)
            if max_pixels is not None:
                coder.options = {"max_pixels": str(max_pixels)}  # for frames that differ from what the header says
            self.others = [s for s in self.container.streams if s is not self.stream and s.type != "unknown"]
            self._begin = begin = (self.container.start_time or 0) / av.time_base
            self._step = float(1 / (self.stream.average_rate or 25))
            self.damage = Integrity(begin, float(self.stream.average_rate or 0) or None)
            self._start = options.start + begin if options.start else None
            self._end = options.end + begin if options.end is not None else None
            form = self.container.format.name
            zero = self._start if self._start is not None else begin if form in _ANYWHERE or begin > _LATE else 0.0
            self.span = _seconds(zero), None if self._end is None else _seconds(self._end)
            self._frames: Iterator[Item] = iter(())
            self._before: VideoFrame | None = None  # the last frame before the start, until one is shown
            self._over = False  # whether the end is reached
            first = self._find_first(seekable=isinstance(source, str))
            assert first.frame is not None
            length = self.container.duration / av.time_base if self.container.duration else None
            said = form in ("avi", "matroska,webm")  # of others FFmpeg estimates it
            if said and length is not None and 0 < begin < length:
                length -= begin  # it is counted from zero
            self.clip: StreamInfo = describe(self.stream, first.frame, length)
            self.damage.tail = length if said else None
            self.time_base: Fraction = 1 / options.fps if options.fps else self.clip.time_base
            self._first = first
        except BaseException:
            self.container.close()
            raise

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.container.close()

    def stop(self) -> None:
        """End a pipe, which would be waited for while nothing comes."""
        if isinstance(self._source, Pipe):
            self._source.stop()

    @property
    def expected(self) -> int | None:
        """Approximate number of frames; None if the file does not state it."""
        clip, options = self.clip, self.options
        seconds = clip.length if clip.length is not None else float((clip.declared or 0) / clip.rate)
        if not seconds:
            return None
        if clip.declared and not self._cut and not options.fps:
            return clip.declared - self.damage.skipped
        shown = min(seconds, options.end if options.end is not None else seconds) - options.start
        return max(0, round(shown * (options.fps or clip.rate)))

    @property
    def sar(self) -> Fraction:
        """Width over height of the result's pixels."""
        return pixel_shape(self.clip, self.options)

    @property
    def _cut(self) -> bool:
        return self._start is not None or self._end is not None

    def _find_first(self, seekable: bool) -> Item:
        """Return the first frame to translate, with the packets before it; ``_frames`` continues from there.

        In a file without an index, such as MPEG-TS, a seek may end after the key frame that it needs: it is repeated
        from further back, and at last from the beginning. Raises VideoError if there is no frame.
        """
        places: list[float | None] = [None]
        if self._cut and self.container.format.name in _BARE:
            raise VideoError(self.name, "its frames have no times: leave out --start and --end, or give it a container")
        if self._start is not None and seekable:
            places = [self._start, max(self._begin, self._start - 10), None]
        for place in places:
            if seekable and self._start is not None:
                with suppress(av.FFmpegError):  # what cannot be sought in is read from its beginning
                    self.container.seek(round((self._begin if place is None else place) * av.time_base))
            self._frames = self._decode()
            early: list[Packet] = []
            size = 0
            for item in self._frames:
                early += item.packets
                if item.frame is None:
                    size += sum(map(_memory, item.packets))
                    if size > _BEFORE:
                        raise VideoError(self.name, _NO_FRAME.format(_BEFORE / (1 << 20)))
                    continue
                late = self._start is not None and (item.frame.time or 0.0) - self._start > 2 * self._step
                if late and place is not None:
                    break
                if self._start is not None:
                    self.damage.restart()  # what lies before was not asked for
                return replace(item, packets=early)
        reason = self.damage.nothing(self._cut)
        if not seekable and "mp4" in self.container.format.name:
            reason += (
                "; a pipe cannot go back to an index behind the pictures; ffmpeg's -movflags faststart puts it first"
            )
        raise VideoError(self.name, reason)

    def items(self) -> Iterator[Item]:
        """Yield every frame in order of time, with the packets that lie before it; those behind the last come last.

        A frame waits for the next one, which ends the time for which it is shown, and the packets between the two wait
        behind it. Where these exceed ``_HELD`` bytes, all go ahead of the frame; each stream keeps its order.
        """
        times = Timestamps(self.stream.time_base or self.clip.time_base, self.clip.rate, self.options.fps, self.span[0])
        waiting, behind = self._first, list[Packet]()
        for item in self._frames:
            if item.frame is not None:
                yield from self._timed(times, waiting, item.frame)
                waiting, behind = replace(item, packets=behind + item.packets), []
                continue
            if behind:
                yield Item(packets=waiting.packets + behind)
                waiting = replace(waiting, packets=[])
            behind = item.packets
        yield from self._timed(times, waiting, None)
        if behind:
            yield Item(packets=behind)
        self.damage.finish(self.clip, self._cut)
        if self._clock.restarts:
            self.damage.notes.append(
                f"its clock goes back {plural(self._clock.restarts, 'time')}, as where recordings are joined: each was "
                "moved behind the one before"
            )
        if times.mended:
            self.damage.notes.append(
                f"replaced the times of {plural(times.mended, 'frame')}, missing or before the last frame's"
            )

    def _timed(self, times: Timestamps, item: Item, following: VideoFrame | None) -> Iterator[Item]:
        assert item.frame is not None
        shown, duration = times.of(item.frame, following)
        if not shown:  # dropped by a lower rate; what lay before it is not
            item = replace(item, frame=None)
        yield replace(item, times=shown, duration=duration)

    def _decode(self) -> Iterator[Item]:
        """Yield the frames within start and end, in order, each with the packets of other streams before it."""
        packets: list[Packet] = []
        held = 0  # bytes that they take
        self._before, self._over = None, False
        sounding = {stream.index for stream in self.others if stream.type == "audio"}
        for packet in self._demux():
            if packet.stream is not self.stream:
                if self._within(packet, sounding):
                    packets.append(packet)
                    held += _memory(packet)
                if self._over and not sounding:
                    break
                if held > _HELD // 3:  # three batches may lie between two frames
                    yield Item(packets=packets)
                    packets, held = [], 0
                continue
            if self._over:
                continue
            for frame in self._asked(self._decoded(packet)):
                yield Item(frame, packets=packets)
                packets, held = [], 0
            if self._over and not sounding:
                break
        if self._before is not None and (self.damage.ended or 0.0) > self.span[0] + _STILL:  # sound goes on
            yield Item(self._at_start(self._before), packets=packets)
            packets = []
        if packets:
            yield Item(packets=packets)

    def _asked(self, frames: list[VideoFrame]) -> Iterator[VideoFrame]:
        """Yield the frames within start and end, with one that is on display at the start; the end sets ``_over``."""
        for frame in frames:
            when = frame.time if frame.pts is not None else None
            if self._start is not None and when is not None and when < self._start - 1e-6:
                self._before = frame
                continue
            self._over = self._end is not None and when is not None and when >= self._end - 1e-6
            if self._before is not None and when is not None and (self._over or when - self.span[0] > _STILL):
                yield self._at_start(self._before)
            self._before = None
            if self._over:
                return
            self.damage.frames += 1
            yield frame

    def _at_start(self, frame: VideoFrame) -> VideoFrame:
        """Return the frame that is on display at the start, as one that begins there."""
        self.damage.frames += 1
        assert frame.pts is not None
        assert frame.time_base is not None
        until, frame.pts = frame.pts + frame.duration, round(self.span[0] / frame.time_base)
        frame.duration = max(0, until - frame.pts)
        return frame

    def _demux(self) -> Iterator[Packet]:
        self._clock = Clock(1 / (self.stream.average_rate or Fraction(25)))
        packets = self.container.demux([self.stream, *(s for s in self.others if s.type != "attachment")])
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.FFmpegError as error:
                self.damage.unreadable(error.strerror or str(error))
                yield from self._flush()
                return
            self._clock.move(packet, packet.stream is self.stream)
            self.damage.saw(packet, packet.stream is self.stream)
            yield packet

    def _flush(self) -> Iterator[Packet]:
        """Return an empty packet, on which a decoder returns the frames that it still holds."""
        packet = Packet()
        packet.stream = self.stream
        yield packet

    def _decoded(self, packet: Packet) -> list[VideoFrame]:
        try:
            frames: list[Any] = packet.decode()
        except av.FFmpegError as error:
            self.damage.undecodable(error.strerror or str(error))
            return []
        for frame in frames:
            self.damage.decoded(frame)
        return frames

    def _within(self, packet: Packet, sounding: set[int]) -> bool:
        """True if a packet of another stream should be copied; removes ended streams from ``sounding``."""
        if packet.size == 0:
            sounding.discard(packet.stream.index)
            return False
        if is_cover(packet.stream):
            packet.pts = packet.dts = 0  # it has none
            return True
        if packet.dts is None:
            return False
        when = float((packet.pts if packet.pts is not None else packet.dts) * packet.time_base)
        if self._end is not None and when >= self._end:
            sounding.discard(packet.stream.index)
            return False
        return self._start is None or when >= self._start

    def _pictures(self) -> VideoStream:
        videos = [stream for stream in self.container.streams.video if not is_cover(stream)]
        if not videos:
            kinds = ", ".join(sorted({stream.type for stream in self.container.streams})) or "nothing"
            raise VideoError(self.name, f"it holds no video stream (only {kinds})")
        best = self.container.streams.best("video")
        chosen = best if isinstance(best, VideoStream) and best in videos else videos[0]
        if chosen.codec_context is None:
            raise VideoError(self.name, "its video codec is not among those that this FFmpeg decodes")
        return chosen


def check_size(name: str, width: int, height: int, most: int | None) -> None:
    """Raise VideoError if frames of this size have more pixels than ``most``, unless that is None."""
    if most is not None and width * height > most:
        raise VideoError(
            name, f"its frames of {width} x {height} are {width * height:,} pixels, more than the limit of {most:,}"
        )


def rotation_applied(clip: StreamInfo, options: VideoOptions) -> Rotation:
    """Return the rotation applied to frames before translation."""
    return clip.turn if options.rotation == "apply" and clip.turn is not None else Rotation()


def pixel_shape(clip: StreamInfo, options: VideoOptions) -> Fraction:
    """Return width over height of the result's pixels, which changes when a frame is turned."""
    return 1 / clip.sar if rotation_applied(clip, options).swaps else clip.sar


def _memory(packet: Packet) -> int:
    """Return about how many bytes a packet takes."""
    return packet.size + 512


def _seconds(time: float) -> Fraction:
    return Fraction(time).limit_denominator(10**6)


def is_cover(stream: Stream) -> bool:
    """True if a stream is cover art."""
    return bool(stream.disposition & (Disposition.attached_pic | Disposition.timed_thumbnails))


def _open(source: str | IO[bytes] | Pipe, name: str) -> InputContainer:
    try:
        # With "file:" a colon in its name makes no address of it.
        container = av.open(f"file:{source}" if isinstance(source, str) else source, "r", metadata_errors="replace")
    except av.FFmpegError as error:
        reason = "it ends before its first frame" if isinstance(error, EOFError) else error.strerror or str(error)
        if isinstance(error, av.InvalidDataError):
            reason = "it is no video that FFmpeg can open: damaged, cut off before its index, or something else"
        raise VideoError(name, reason) from error
    if container.format.name in _LISTS:
        container.close()
        raise VideoError(name, f"it is a playlist ({container.format.name}), not a video; give the videos in it")
    return container
