"""A video through a model, from file to file."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

import av
import cv2
import numpy as np

from i2i.images import Image, convert
from i2i.runtime import processing
from i2i.runtime.jobs.options import Options
from i2i.runtime.model.model import Model
from i2i.runtime.video.detect import camera
from i2i.runtime.video.errors import InterruptedVideo, VideoError
from i2i.runtime.video.frame import colour as colours
from i2i.runtime.video.frame.item import Item
from i2i.runtime.video.interrupt import Interrupt
from i2i.runtime.video.options import STEADY_TIME, VideoOptions
from i2i.runtime.video.pipeline import Done, Pipeline
from i2i.runtime.video.sink.discard import Nowhere
from i2i.runtime.video.sink.image_folder import Frames
from i2i.runtime.video.sink.verify import lost
from i2i.runtime.video.sink.video_file import Film
from i2i.runtime.video.sink.y4m import Pipe
from i2i.runtime.video.source.camera import Camera, Source
from i2i.runtime.video.source.reader import Reader, turn_applied
from i2i.runtime.video.temporal.flicker import Flicker
from i2i.runtime.video.temporal.smoothing import Infer, Steady
from i2i.runtime.video.workspace import check_target, give_name, keep, workplace
from i2i.spec import Spec
from i2i.text import not_found

Observer = Callable[[np.ndarray, np.ndarray, float], object]
"""Sees every frame in its order: source and result, RGB [h, w, 3], upright, and the second at which it is shown; one
that has a method ``looks(number)`` sees only those, counted from 0, for which that is true."""


class Sink(Protocol):
    """What takes the results: a file, a folder of images, a pipe."""

    frames: int
    notes: list[str]
    one_size: bool
    """True if all frames have the size of the first."""

    def render(self, picture: np.ndarray) -> Any: ...
    def write(self, rendered: Any, item: Item) -> None: ...
    def others(self, item: Item) -> None: ...
    def close(self) -> None: ...


@dataclass
class VideoSummary:
    """What became of a video; ``damage`` says what of the source could not be read, None if it was whole.

    ``flicker`` and ``source_flicker`` are by how many levels of 255 result and source change from frame to frame where
    they should not (:class:`Flicker`), None where there was nothing to measure it on.
    """

    path: Path | None
    frames: int = 0
    expected: int | None = None
    seconds: float = 0.0
    damage: str | None = None
    notes: list[str] = field(default_factory=list)
    flicker: float | None = None
    source_flicker: float | None = None


def translate_video(
    model: Model,
    source: str | Path,
    target: Path | IO[bytes] | None,
    options: Options | None = None,
    video: VideoOptions | None = None,
    report: Callable[[VideoSummary], None] | None = None,
    observers: Sequence[Observer] = (),
) -> VideoSummary:
    """Translates every frame of ``source`` into the video ``target``, with all else that the source holds.

    Args:
        source: a file, "-" for a video on standard input, or "camera:0", which goes on until Ctrl-C.
        target: the file to write; the folder, where ``options.format`` names a format of images for the frames; an
            open file that gets raw frames as YUV4MPEG2; or None, where only the observers look.
        report: is called after each frame, in this thread.
        observers: see each source and result, or those they look at.

    A file has its name once it is whole; after Ctrl-C (InterruptedVideo) what there is plays as NAME.partial.SUFFIX.
    Of a damaged source the frames that it has are translated, and the summary's ``damage`` says so. Raises VideoError
    for what cannot be read or written, ModelError for what the model cannot take, and ValueError for wrong use.
    """
    options, video = options or Options(), video or VideoOptions()
    start, encoded = time.perf_counter(), isinstance(target, Path) and not options.format
    if not encoded and (idle := video.of_an_encoder()):
        raise ValueError(f"--{', --'.join(idle)}: of a film that is encoded, and here are bare frames; leave it out")
    if isinstance(target, Path):
        check_target(source, target, options)
    elif options.format:
        raise ValueError(f"--format {options.format}: of a folder of frames; a pipe of them is YUV4MPEG2")
    with open_source(source, video) as reader:
        summary = VideoSummary(target if isinstance(target, Path) else None, notes=remarks(reader, model.spec, encoded))
        flicker = Flicker()
        run = _Run(model.toward(None), reader, options, summary, report, [flicker, *observers])
        if isinstance(target, Path):
            _into_file(run, target)
        else:
            run.carry(Nowhere() if target is None else Pipe(target, reader, run.deep))
    summary.flicker, summary.source_flicker = flicker.of_result, flicker.of_source
    summary.seconds = time.perf_counter() - start
    return summary


def open_source(source: str | Path, video: VideoOptions) -> Source:
    """The frames of a file, of standard input or of a camera. Raises VideoError."""
    number = camera(source)
    if number is not None:
        return Camera(number, video)
    if str(source) == "-":
        return Reader(sys.stdin.buffer, video, "standard input")
    if not os.path.exists(source):
        raise ValueError(not_found(source))
    return Reader(str(source), video)


def _into_file(run: _Run, target: Path) -> None:
    """A video or a folder of frames, under its name once it is whole."""
    format = run.options.format
    with workplace(target) as place:
        result = place / ("frames" if format else f"film{target.suffix}")
        sink: Sink
        if format:
            sink = Frames(result, run.reader, format, run.options.quality, run.deep)
        else:
            sink = Film(result, target, run.reader, run.deep)
        try:
            run.carry(sink)
        except KeyboardInterrupt as error:
            sink.close()
            raise InterruptedVideo(sink.frames, keep(result, target, sink.frames)) from error
        except BaseException as error:
            with suppress(Exception):
                sink.close()
            if isinstance(error, OSError | av.FFmpegError):
                raise _explained(error, target) from error
            raise
        if isinstance(sink, Film):
            run.summary.notes += lost(result, sink)
        give_name(result, target)


@dataclass
class _Run:
    """One job's model, frames and settings."""

    model: Model
    reader: Source
    options: Options
    summary: VideoSummary
    report: Callable[[VideoSummary], None] | None
    observers: Sequence[Observer]

    resized: str | None = None
    """The note of a source whose frames change their size."""

    def __post_init__(self) -> None:
        spec, clip = self.model.spec, self.reader.clip
        self.deep = is_deep(self.reader, spec)
        self.turn, self.colour = turn_applied(clip, self.reader.options), clip.used
        colours.check(self.colour, clip.pixel_format, self.reader.name)

    def carry(self, sink: Sink) -> None:
        """All frames through the model into the sink, which is closed at the end."""
        clip, summary, reader = self.reader.clip, self.summary, self.reader
        summary.expected = reader.expected
        area, items = clip.width * clip.height, self._marked(reader.items())
        with Interrupt() as interrupt, Pipeline(self.model, area, self.options.batch) as pipeline:
            steady: Steady | None = None
            if reader.options.steady:
                seconds, longest = reader.options.steady_time or STEADY_TIME, max(clip.width, clip.height)
                steady = Steady(pipeline.model, seconds, pipeline.side_by_side, longest)
                items = steady.places(items, reader.time_base)
                summary.notes += [steady.note] if steady.note else []
            try:
                for done in pipeline.run(items, lambda item, infer: self._work(item, infer, sink, steady)):
                    with interrupt.hold():
                        if isinstance(done, Item):
                            sink.others(done)
                            continue
                        sink.write(done.rendered, done.item)
                        summary.frames = sink.frames
                    self._tell(done)
            except KeyboardInterrupt:
                if not reader.live:  # whereas a camera is ended so
                    raise
        sink.close()
        if self.resized is not None and sink.one_size:
            summary.notes.append(self.resized)
        summary.notes += sink.notes + reader.damage.notes
        summary.damage = reader.damage.text() if reader.damage.found else None

    def _marked(self, items: Iterable[Item]) -> Iterator[Item]:
        """Each frame with the observers that look at it: of no other the source and the result are kept."""
        number, clip = 0, self.reader.clip
        for item in items:
            if (frame := item.frame) is not None:
                item.observers = [each for each in self.observers if getattr(each, "looks", lambda _: True)(number)]
                if self.resized is None and (frame.width, frame.height) != (clip.width, clip.height):
                    second = self.reader.options.start + float(item.times[0] * self.reader.time_base)
                    self.resized = (
                        f"from frame {number + 1} ({second:.2f} s) on its frames are {frame.width} x {frame.height} "
                        f"and not {clip.width} x {clip.height}: they were scaled to the first size; --end stops before "
                        "them, and --format png writes frames of any size"
                    )
                number += 1
            yield item

    def _work(self, item: Item, infer: Infer, sink: Sink, steady: Steady | None) -> Done:
        """One frame, in a thread of its own."""
        assert item.frame is not None
        try:
            picture = self.turn.apply(self._rgb(item.frame, sink.one_size))
            item.frame = None  # its memory is wanted for the next ones
            ready = processing.prepare(Image(picture), self.model.spec, self.options.background)
            if steady is None or item.place is None:
                result = finished(infer(ready), self.model.spec, self.deep)
            else:
                through = steady.infer(item.place, infer)
                result = steady.blend(item.place, picture, finished(through(ready), self.model.spec, self.deep))
        except BaseException:
            if steady is not None and item.place is not None:
                steady.fail(item.place)
            raise
        rendered = sink.render(result)
        return Done(item, rendered, picture, result) if item.observers else Done(item, rendered, None, None)

    def _rgb(self, frame: av.VideoFrame, one_size: bool) -> np.ndarray:
        """Return a frame as RGB [h, w, 3], with ``one_size`` scaled to the first frame's size, as FFmpeg does it."""
        clip = self.reader.clip
        if (frame.width, frame.height) == (clip.width, clip.height):
            return colours.to_rgb(frame, self.colour, self.deep)
        tags = colours.Colour.of(frame, clip.codec)  # of another stream that was joined to the first
        used = tags.resolved(frame.width, frame.height, colours.default_range(frame.format.name, clip.codec))
        colours.check(used, frame.format.name, self.reader.name)
        picture = colours.to_rgb(frame, used, self.deep)
        if not one_size:
            return picture
        smaller = clip.width * clip.height < frame.width * frame.height
        kind = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
        return cv2.resize(picture, (clip.width, clip.height), interpolation=kind)

    def _tell(self, done: Done) -> None:
        if done.source is not None and done.result is not None:
            for observe in done.item.observers:
                observe(done.source, done.result, float(done.item.times[0] * self.reader.time_base))
        if self.report is not None:
            self.report(self.summary)


def finished(result: np.ndarray, spec: Spec, deep: bool) -> np.ndarray:
    """What the graph returned, [h, w, c], as RGB [h, w, 3] of uint16 if ``deep``, else of uint8.

    Raises NonFiniteError for what is no picture. Its size need not be that of the frame that went in.
    """
    processing.check_finite(result)
    if result.dtype != np.uint8:
        kind = np.uint8 if spec.target.bits == 8 else np.uint16
        result = np.clip(np.rint(result), 0, spec.target.peak).astype(kind)
    return convert(np.ascontiguousarray(result[..., :3]) if result.shape[2] == 4 else result, 3, 16 if deep else 8)


def is_deep(reader: Source, spec: Spec) -> bool:
    """Whether the frames keep more than 8 bits from end to end."""
    return reader.clip.bits > 8 and min(spec.source.bits, spec.target.bits) > 8


def remarks(reader: Source, spec: Spec, encoded: bool) -> list[str]:
    """What a user should know of the result, a film if ``encoded`` and else bare frames, before it is there."""
    clip, notes = reader.clip, []
    if clip.bits > 8 and not is_deep(reader, spec):
        hdr = " (HDR)" if clip.colour.transfer in colours.HDR else ""
        notes.append(f"its {clip.bits} bits{hdr} become 8, which is what the model takes and returns")
    if clip.extras:
        notes.append(f"not carried over: {', '.join(clip.extras)}")
    if clip.turn is None:
        notes.append("its frames are turned by no right angle; they are translated as stored")
    if clip.matrix is not None and not encoded and (clip.turn is None or reader.options.rotation == "keep"):
        notes.append("the tag that says how to turn its frames is lost, which bare frames have no place for")
    if clip.colour.transfer in colours.HDR and not encoded:
        notes.append("the tags that say that it is HDR are lost, which bare frames have no place for")
    if clip.interlaced:
        notes.append("it is interlaced; each frame is translated whole, with both of its fields")
    if any(part.is_alpha for part in av.VideoFormat(clip.pixel_format).components):
        notes.append("its transparency is left out")
    return notes


def _explained(error: Exception, target: Path) -> Exception:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO):
        return VideoError(target, f"{os.strerror(error.errno or 0)}: stopped here, and nothing was kept")
    return error if not isinstance(error, av.FFmpegError) else VideoError(target, error.strerror or str(error))
