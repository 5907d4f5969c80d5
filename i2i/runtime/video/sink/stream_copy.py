"""Copy sound, subtitles, covers, attachments, chapters and titles, and name those that cannot be copied."""

from __future__ import annotations

import errno
import io
from fractions import Fraction
from typing import Any

import av
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream

from i2i.runtime.video.source.reader import is_cover
from i2i.text import plural

# Tags in which a container or an encoder describes itself; the result has another one.
_OF_THE_FILE = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration", "handler_name", "vendor_id"}
_OF_THE_FILE |= {"number_of_frames", "number_of_bytes", "bps", "_statistics_tags", "_statistics_writing_app"}
_OF_THE_FILE |= {"_statistics_writing_date_utc", "rotate"}
_TIMECODE = {"mp4", "mov", "matroska", "webm"}  # containers whose muxers write it from the tag of the pictures
_EARLY = "timecode (of the first frame, which --start skips)"
_PICTURES = {"mjpeg": ("jpg", "jpeg")}  # codec -> suffix, and what it is called in MIME; others as they are called


class StreamCopies:
    """The streams of one output that are copied from its source, and the notes of what was left out."""

    def __init__(self, reader: Any, output: OutputContainer) -> None:
        self.reader, self.output = reader, output
        self.notes: list[str] = []
        self.dropped: list[str] = []  # names of streams and tags that the container does not hold
        self.titles: dict[str, str] = {}
        self.chapters: list[Any] = []
        self._streams: dict[int, Stream] = {}  # index in the source -> in the output
        self._last: dict[int, int] = {}  # index in the source -> decoding time of the last packet
        self._dropped: dict[tuple[int, str], int] = {}  # index in the source and reason -> packets
        self._shift = Fraction(0)  # seconds that all moves, where the first frame would be before zero

    def add_streams(self, first: list[Packet]) -> None:
        """Add a stream for each one that the container takes, before the header is written.

        ``first`` are the packets before the first frame, with the covers among them.
        """
        chapters = self.reader.container.chapters()
        for stream in self.reader.others:
            name = getattr(stream, "name", None) or "unknown"
            if holds_chapters(stream, chapters) or (holds_timecode(stream) and self.output.format.name in _TIMECODE):
                continue  # written by the muxer itself
            try:
                if stream.type == "data" or (stream.type == "attachment" and self.output.format.name != "matroska"):
                    raise ValueError("it is not held")
                if is_cover(stream) and self.output.format.name != "mp4":
                    self._attach(stream, [bytes(packet) for packet in first if packet.stream.index == stream.index])
                else:
                    self._streams[stream.index] = self._add(stream)
            except (ValueError, av.FFmpegError):
                self.dropped.append(f"stream {stream.index} ({stream.type}, {name})")

    def titles_of(self, metadata: dict[str, str]) -> dict[str, str]:
        """Return the tags that also describe the result: the timecode of the first frame is not that of a later one."""
        tags = tags_of(metadata)
        early = [key for key in tags if key.lower() == "timecode"] if self.reader.options.start else []
        for key in early:
            del tags[key]
        if early and _EARLY not in self.dropped:
            self.dropped.append(_EARLY)
        return tags

    def _attach(self, cover: Any, pictures: list[bytes]) -> None:
        """Add a cover as an attachment of Matroska. Raises ValueError in another container."""
        if self.output.format.name != "matroska" or not pictures:
            raise ValueError("it is not held")
        suffix, kind = _PICTURES.get(cover.name, (cover.name, cover.name))
        self.output.add_attachment(f"cover.{suffix}", f"image/{kind}", pictures[0])

    def _add(self, stream: Any) -> Stream:
        if stream.type == "attachment":
            tags = stream.metadata
            name = tags.get("filename", f"attachment-{stream.index}")
            return self.output.add_attachment(name, tags.get("mimetype", "application/octet-stream"), stream.data)
        _try(stream, self.output.format.name)
        copy = self.output.add_stream_from_template(stream, opaque=True)
        if stream.type == "video" and not is_cover(stream):
            self.notes.append(f"stream {stream.index}, another video, was copied as it is")
        copy.metadata.update(tags_of(stream.metadata))
        copy.disposition = stream.disposition
        return copy

    def add_tags(self, shift: Fraction) -> None:
        """Copy the titles, and the chapters within start and end, shifted like all times."""
        first, until = self.reader.span
        self._shift = shift - first
        titles = self.titles_of(self.reader.container.metadata)
        self.output.metadata.update(titles)
        elsewhere = {"timecode"} if self.output.format.name in _TIMECODE else set()  # with the pictures
        self.titles = {key: value for key, value in titles.items() if key.lower() not in elsewhere}
        for chapter in self.reader.container.chapters():
            base = chapter["time_base"] or Fraction(1, 1000)
            move = round(self._shift / base)
            start, end = chapter["start"] + move, chapter["end"] + move
            if until is not None:  # a video lasts as long as its chapters
                end = min(end, round((until + self._shift) / base))
            if end > max(0, start):
                moved: Any = {**chapter, "start": max(0, start), "end": end}
                self.chapters.append(moved)
        if self.chapters:
            self.output.set_chapters(self.chapters)

    def write(self, packets: list[Packet]) -> None:
        for packet in packets:
            source = packet.stream.index
            if source not in self._streams:
                continue
            if packet.size == 2 and packet.stream.name == "mov_text":  # a pause, as the muxer writes it by itself
                continue
            assert packet.dts is not None  # the reader leaves out others
            if packet.dts < self._last.get(source, packet.dts):
                self._drop(source, "their times go back in the source")
                continue
            self._last[source] = packet.dts
            packet.stream = self._streams[source]
            move = round(self._shift / packet.time_base)
            for name in ("pts", "dts"):
                if (value := getattr(packet, name)) is not None:
                    setattr(packet, name, value + move)
            try:
                self.output.mux(packet)
            except av.FFmpegError as error:
                if not isinstance(error, av.InvalidDataError) and error.errno != errno.EINVAL:
                    raise
                self._drop(source, f"{self.output.format.name} does not take them")

    def _drop(self, source: int, reason: str) -> None:
        self._dropped[source, reason] = self._dropped.get((source, reason), 0) + 1

    def finish(self) -> None:
        """Note the packets that were dropped."""
        for (index, reason), count in self._dropped.items():
            self.notes.append(f"{plural(count, 'packet')} of stream {index} dropped: {reason}")


def holds_chapters(stream: Any, chapters: list[Any]) -> bool:
    """True if a stream is that of an MP4's chapters."""
    return bool(chapters) and getattr(stream, "name", None) == "bin_data"


def holds_timecode(stream: Any) -> bool:
    """True if a stream is that of an MP4's timecode, which is also a tag."""
    return stream.type == "data" and "timecode" in stream.metadata


def _try(stream: Any, container: str) -> None:
    """Raise FFmpeg's error for a stream that it adds to such a container and then cannot write.

    FFmpeg refuses some streams only with the header, or, in MP4, samples of unnamed channels at the end, when the whole
    result would be lost.
    """
    with av.open(io.BytesIO(), "w", format=container) as trial:
        copy = trial.add_stream_from_template(stream, opaque=True)
        trial.start_encoding()
        if stream.name.startswith("pcm_"):
            packet = Packet(bytes(5760))
            packet.stream, packet.pts, packet.dts, packet.time_base = copy, 0, 0, stream.time_base
            trial.mux(packet)


def tags_of(metadata: dict[str, str]) -> dict[str, str]:
    """Return the metadata that describes the content: not the file, nor FFmpeg ("software" in AVI)."""
    of_content = {key: value for key, value in metadata.items() if not value.startswith("Lavf")}
    return {key: value for key, value in of_content.items() if key.lower().partition("-")[0] not in _OF_THE_FILE}
