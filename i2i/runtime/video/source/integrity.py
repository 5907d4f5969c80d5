"""Check that a video is complete: decoders fill gaps, and a truncated container ends like a complete one."""

from __future__ import annotations

from av.packet import Packet
from av.video.frame import VideoFrame

from i2i.runtime.video.source.stream_info import StreamInfo
from i2i.text import plural

_GAP = 0.5  # seconds without a packet of any stream, where there are streams whose packets are all of a length
_TAIL = 0.25  # seconds that may be missing at the end


class Integrity:
    """Counts of the frames read and missing in one video."""

    def __init__(self, begin: float = 0.0, rate: float | None = None) -> None:
        """Begin at the start time that the file states; ``rate`` is in frames a second if it is constant."""
        self._begin, self._step = begin, 1 / rate if rate else None
        self.frames = 0  # that were asked for
        self.skipped = 0  # that an edit list leaves out
        self.notes: list[str] = []
        self.tail: float | None = None  # seconds that the file lasts, where it says so and not FFmpeg
        self._packets = 0
        self._bad = 0
        self._errors: dict[str, None] = {}  # reasons, in the order in which they came
        self._reached: float | None = None  # the end of the pictures and the sound that were read
        self.ended: float | None = None  # and that of any stream
        self._sound: float | None = None  # the time of the last packet of sound
        self._holes = 0.0
        self._shown: float | None = None  # the time of the last frame
        self._even, self._jumps = 0, 0.0  # frames that came when they should, and seconds without one
        self.expected: int | None = None  # frames that it should have, once it is read

    @property
    def found(self) -> bool:
        return bool(self._errors)

    def text(self) -> str:
        """Return a sentence on how much of a damaged video could be read."""
        known = self.expected and self.expected >= self.frames
        count = f"{self.frames} of {plural(self.expected or 0, 'frame')}" if known else plural(self.frames, "frame")
        return f"damaged: {count} ({'; '.join(self._errors)})"

    def nothing(self, cut: bool) -> str:
        """Return the reason why there is no frame."""
        if self._errors:
            return f"no frame of it can be decoded ({next(iter(self._errors))})"
        return "it has no frame between start and end" if cut else "it holds no frame"

    def restart(self) -> None:
        """Discard the damage before the first frame that was asked for."""
        self.frames = 1
        self._errors, self._bad, self._holes, self._even, self._jumps = {}, 0, 0.0, 0, 0.0

    def saw(self, packet: Packet, picture: bool) -> None:
        if packet.size == 0:
            return
        if picture:
            self._packets += 1
            self.skipped += packet.is_discard
        if packet.is_corrupt:
            self._say("a packet is incomplete")
        time = packet.pts if packet.pts is not None else packet.dts
        if time is None or packet.time_base is None:
            return
        begin = float(time * packet.time_base)
        if packet.stream.type == "audio":  # sound has no pauses, unlike pictures and subtitles
            if self._sound is not None and begin - self._sound > _GAP and begin - (self._reached or begin) > _GAP:
                self._holes += begin - self._sound
            self._sound = max(self._sound or begin, begin)
        end = begin + float((packet.duration or 0) * packet.time_base)
        self.ended = end if self.ended is None else max(self.ended, end)
        if picture or packet.stream.type == "audio":
            self._reached = end if self._reached is None else max(self._reached, end)

    def decoded(self, frame: VideoFrame) -> None:
        self._bad += frame.is_corrupt
        if frame.time is None:
            return
        step = frame.time - self._shown if self._shown is not None else 0.0
        if self._step is not None and abs(step - self._step) < 0.002:
            self._even += 1
        elif step > max(_GAP, 10 * (self._step or 0)):
            self._jumps += step
        self._shown = frame.time

    def undecodable(self, reason: str) -> None:
        self._say(f"a frame cannot be decoded: {reason}")

    def unreadable(self, reason: str) -> None:
        self._say(f"it cannot be read to its end: {reason}")

    def finish(self, clip: StreamInfo, cut: bool) -> None:
        """Judge the whole video once it is read; nothing is known beyond a part that was ``cut`` out."""
        if self._bad:
            self._say(plural(self._bad, "incomplete frame"))
        holes = self._holes
        # A picture may stand still while sound goes on, and an index of MP4 counts what should be there.
        if self._sound is None and not clip.declared and self._even > 0.9 * self.frames:
            holes = self._jumps
        if holes:
            self._say(f"{holes:.1f} seconds are missing in the middle")
        if cut:
            return
        self.expected = clip.declared - self.skipped if clip.declared else None
        if self.expected is None and clip.length is not None:
            self.expected = round(clip.length * clip.rate)
        if clip.declared:
            missing = clip.declared > self._packets
        else:
            missing = self.tail is not None and (self.ended or 0.0) - self._begin < self.tail - _TAIL
        sent = self._packets - self.skipped
        lost = sent - self.frames if clip.declared else 0
        if clip.interlaced and 2 * self.frames >= sent - 1:  # a packet may hold one of the two fields of a frame
            lost = 0
        if missing:
            self._say("it ends too early")
        elif lost > 0 and not self._errors:
            self._say(plural(lost, "missing frame"))

    def _say(self, reason: str) -> None:
        self._errors[reason] = None
