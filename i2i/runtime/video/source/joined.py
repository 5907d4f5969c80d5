"""One time line for a file of joined recordings, where the clock goes back."""

from __future__ import annotations

from fractions import Fraction

from av.packet import Packet

from i2i.runtime.video.frame.timestamps import BACK


class Clock:
    """Clock of a file that moves each recording behind the one before, by the same time in all streams."""

    def __init__(self, step: Fraction) -> None:
        """Begin with the file; ``step`` is how long a picture is shown that does not say it."""
        self._step = step
        self._moved = [Fraction(0)]  # seconds by which each recording is moved
        self._pictures = [float("-inf")]  # the last decoding time of each one's pictures, by its own clock
        self._end = Fraction(0)  # of pictures and sound so far
        self._places: dict[int, tuple[int, float]] = {}  # stream -> its recording, and its latest decoding time there

    @property
    def restarts(self) -> int:
        """Return how often it has gone back."""
        return len(self._moved) - 1

    def move(self, packet: Packet, picture: bool) -> None:
        """Move the times of the file's next packet by those of the recordings before its own.

        The next recording begins where the clock of a stream goes back, and behind that of the pictures: a single wrong
        time of sound is none. The other streams are in it once theirs go back.
        """
        stamp = packet.dts if packet.pts is None else packet.pts
        if stamp is None or packet.time_base is None:
            return
        number, last = self._places.get(packet.stream.index, (self.restarts, float("-inf")))
        time = last if packet.dts is None else float(packet.dts * packet.time_base)
        shown = stamp * packet.time_base
        if time < (last if number < self.restarts else min(last, self._pictures[number]) - BACK):
            number, last = number + 1, time
            if number == len(self._moved):
                self._moved.append(self._end - shown)
                self._pictures.append(float("-inf"))
        self._places[packet.stream.index] = number, max(last, time)
        if picture:
            self._pictures[number] = time
        move = round(self._moved[number] / packet.time_base)
        if move:
            packet.dts = None if packet.dts is None else packet.dts + move
            packet.pts = None if packet.pts is None else packet.pts + move
        if picture or packet.stream.type == "audio":
            length = (packet.duration or 0) * packet.time_base or (self._step if picture else 0)
            self._end = max(self._end, shown + self._moved[number] + length)
