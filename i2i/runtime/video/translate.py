"""Translate a video with a model, from file to file."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import av
import cv2
import numpy as np

from i2i.atomic import FULL
from i2i.images import Image, convert, flatten, unmix
from i2i.images.domains import kind
from i2i.images.header import NO_LIMIT
from i2i.lost import Lost
from i2i.runtime import processing
from i2i.runtime.errors import ModelError
from i2i.runtime.jobs.options import Options
from i2i.runtime.model.model import Model
from i2i.runtime.video.detect import animation, camera
from i2i.runtime.video.errors import InterruptedVideo, VideoError
from i2i.runtime.video.frame import colour as colours
from i2i.runtime.video.frame.item import Item
from i2i.runtime.video.interrupt import Interrupt
from i2i.runtime.video.options import STEADY_TIME, VideoOptions
from i2i.runtime.video.pipeline import Pipeline, TranslatedFrame
from i2i.runtime.video.sink.base import Sink
from i2i.runtime.video.sink.image_folder import ImageFolder
from i2i.runtime.video.sink.video_file import VideoFile
from i2i.runtime.video.sink.y4m import Y4MStream
from i2i.runtime.video.source.camera import Camera, Source
from i2i.runtime.video.source.pipe import stoppable
from i2i.runtime.video.source.reader import Reader, check_size, rotation_applied
from i2i.runtime.video.temporal.flicker import Flicker
from i2i.runtime.video.temporal.smoothing import Infer, Smoother
from i2i.runtime.video.workspace import check_target, keep, publish, workspace
from i2i.spec import Spec

Observer = Callable[[np.ndarray, np.ndarray, float], object]
"""Called with each frame in order: source and result, RGB [h, w, 3], upright, and the second at which it is shown. An
observer with a method ``looks(number)`` gets only the frames, counted from 0, for which that returns True."""


@dataclass
class VideoSummary:
    """Summary of a video job; ``damage`` describes what could not be read, None if everything was read.

    ``flicker`` and ``source_flicker`` are the changes of result and source from frame to frame, in levels of 255, where
    nothing should change (:class:`Flicker`); None if there was nothing to measure.
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
    *,
    whole: bool = False,
    max_pixels: int | None = None,
) -> VideoSummary:
    """Translate every frame of ``source`` into the video ``target``, and copy its other streams.

    Args:
        source: a file, "-" for a video on standard input, or "camera:0", which runs until Ctrl-C.
        target: the file to write; a folder, if ``options.format`` names an image format for the frames; an open file,
            for raw frames as YUV4MPEG2; or None, for the observers alone.
        report: called after each frame, in this thread.
        observers: called with the source and result of each frame, or of those that they ask for.
        whole: write nothing at all of a source that is damaged, or after Ctrl-C.
        max_pixels: refuse a file with frames of more, before they take memory; None: take any.

    A file gets its name when it is complete; after Ctrl-C (InterruptedVideo) the frames so far are kept as
    NAME.partial.SUFFIX, unless that is there already. The intact frames of a damaged source are translated, and
    ``damage`` describes the rest. Raises VideoError for a source or target that cannot be read or written, ModelError
    for frames that the model cannot take, and ValueError for wrong use.
    """
    options, video = options or Options(), video or VideoOptions()
    start, encoded = time.perf_counter(), isinstance(target, Path) and not options.format
    if not encoded and (idle := video.of_an_encoder()):
        raise ValueError(f"--{', --'.join(idle)}: for an encoded video, and these are bare frames; leave it out")
    if isinstance(target, Path):
        check_target(source, target, options)
    elif options.format:
        raise ValueError(f"--format {options.format}: of a folder of frames; a pipe of them is YUV4MPEG2")
    with open_source(source, video, max_pixels) as reader:
        summary = VideoSummary(target if isinstance(target, Path) else None, notes=remarks(reader))
        flicker = Flicker()
        if bands := next((each for each in (model.spec.source, model.spec.target) if each.bands), None):
            raise ModelError(f"{model.path.name}: a video has pictures, and {bands.name!r} has {kind(bands)}")
        if model.spec.inpaints:
            raise ModelError(
                f"{model.path.name} fills the transparent parts of images, and a video is translated whole; write its "
                "frames as images with the parts to fill transparent, and translate their folder"
            )
        run = _Job(model.toward(None), reader, options, summary, report, [flicker, *observers])
        if isinstance(target, Path):
            _into_file(run, target, whole)
        else:
            run.carry(Sink() if target is None else Y4MStream(target, reader, run.deep))
    summary.flicker, summary.source_flicker = flicker.of_result, flicker.of_source
    summary.seconds = time.perf_counter() - start
    return summary


def open_source(source: str | Path, video: VideoOptions, max_pixels: int | None = None) -> Source:
    """Open a file, standard input or a camera. Raises VideoError, also for a file with frames of more pixels."""
    number = camera(source)
    if number is not None:
        return Camera(number, video)
    if str(source) == "-":
        return Reader(stoppable(sys.stdin.buffer), video, "standard input")
    if not os.path.exists(source):
        raise ValueError(f"{source}: no such file or folder")
    if (header := animation(source, NO_LIMIT)) is not None:
        from i2i.runtime.video.source.animation import Animation  # with Pillow, which a video does without

        check_size(str(source), header.width, header.height, max_pixels)
        return Animation(str(source), header, video)
    return Reader(str(source), video, max_pixels=max_pixels)


def _into_file(run: _Job, target: Path, whole: bool) -> None:
    """Write a video or a folder of frames in a workspace, and rename it when it is complete.

    With ``whole`` nothing is kept of a damaged source, and of an interrupted job.
    """
    format = run.options.format
    with workspace(target) as place:
        result = place / ("frames" if format else f"video{target.suffix}")
        sink: Sink
        if format:
            sink = ImageFolder(result, run.reader, format, run.options.quality, run.deep)
        else:
            sink = VideoFile(result, target, run.reader, run.deep, run.options.quality)
        try:
            run.carry(sink)
        except KeyboardInterrupt as error:
            sink.close()
            partial = None if whole else keep(result, target, sink.frames)
            raise InterruptedVideo(sink.frames, partial) from error
        except BaseException as error:
            with suppress(Exception):
                sink.close()
            if isinstance(error, OSError | av.FFmpegError):
                raise _explained(error, target) from error
            raise
        if whole and run.summary.damage is not None:
            run.summary.path = None
            return
        publish(result, target)


@dataclass
class _Job:
    """One job's model, frames and settings."""

    model: Model
    reader: Source
    options: Options
    summary: VideoSummary
    report: Callable[[VideoSummary], None] | None
    observers: Sequence[Observer]

    resized: str | None = None
    """The note of a source whose frames change their size."""
    composed: bool = False
    """True if transparent frames were put on the background."""

    def __post_init__(self) -> None:
        spec, clip = self.model.spec, self.reader.clip
        self.deep = is_deep(self.reader, spec)
        self.turn, self.colour = rotation_applied(clip, self.reader.options), clip.used
        colours.check(self.colour, clip.pixel_format, self.reader.name)

    def carry(self, sink: Sink) -> None:
        """Translate all frames into the sink, and close it."""
        clip, summary, reader = self.reader.clip, self.summary, self.reader
        summary.expected = reader.expected
        area, items = clip.width * clip.height, self._marked(reader.items())
        with Interrupt() as interrupt, Pipeline(self.model, area, self.options.batch, reader.live) as pipeline:
            steady: Smoother | None = None
            if reader.options.steady:
                seconds, longest = reader.options.steady_time or STEADY_TIME, max(clip.width, clip.height)
                steady = Smoother(pipeline.model, seconds, pipeline.side_by_side, longest)
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
            finally:
                if isinstance(reader, Reader):
                    reader.stop()
        sink.close()
        if self.resized is not None and sink.one_size:
            summary.notes.append(self.resized)
        summary.notes += sink.notes + reader.damage.notes
        lost = sink.lost()
        if self.composed:
            lost = Lost.of((f"alpha (composited on a grey of level {self._grey})", *lost.what), lost.holder)
        if lost:
            summary.notes.append(str(lost))
        summary.damage = reader.damage.text() if reader.damage.found else None

    def _marked(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield each frame with the observers that ask for it; source and result are kept for these frames only."""
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

    def _work(self, item: Item, infer: Infer, sink: Sink, steady: Smoother | None) -> TranslatedFrame:
        """Translate one frame, in a worker thread."""
        assert item.frame is not None
        try:
            image = self._image(item.frame, sink)
            item.frame = None  # its memory is wanted for the next ones
            ready = processing.prepare(image, self.model.spec, self.options.background)
            if steady is None or item.place is None:
                result = self._result(infer(ready), image)
            else:
                through = steady.infer(item.place, infer)
                result = self._result(through(ready), image)
                result = Image(steady.blend(item.place, image.pixels, result.pixels), result.alpha)
        except BaseException:
            if steady is not None and item.place is not None:
                steady.fail(item.place)
            raise
        if result.alpha is not None and not sink.alpha:  # the model's, as that of the source was put on the grey
            self.composed = True
            result = Image(flatten(result, self._grey))
        rendered = sink.render(result.pixels, result.alpha)
        seen = (image.pixels, result.pixels) if item.observers else (None, None)
        return TranslatedFrame(item, rendered, *seen)

    def _result(self, array: np.ndarray, image: Image) -> Image:
        """Return the graph's result for a frame, with the alpha of the model, else that of the frame in its size."""
        result, alpha = finished(array, self.model.spec, self.deep), image.alpha
        if self.model.spec.target.alpha or alpha is None:
            return result
        colours = result.pixels
        if alpha.shape != colours.shape[:2]:
            alpha = cv2.resize(alpha, colours.shape[1::-1], interpolation=cv2.INTER_CUBIC)
        elif processing.is_mixed(self.model.spec, self.options.background):
            colours = unmix(colours, alpha)
        return Image(colours, alpha)

    @property
    def _grey(self) -> int:
        """Level of the background under a result that cannot hold its source's transparency."""
        background = self.options.background
        return background if isinstance(background, int) else 255

    def _image(self, frame: av.VideoFrame, sink: Sink) -> Image:
        """Return a frame upright, in the size and with the transparency that the sink holds."""
        alpha = colours.alpha_of(frame, self.deep)
        image = Image(self._rgb(frame), alpha)
        clip = self.reader.clip
        if sink.one_size and (frame.width, frame.height) != (clip.width, clip.height):  # scaled, as FFmpeg does it
            image = Image(self._scaled(image.pixels), None if alpha is None else self._scaled(alpha))
        if alpha is not None and not sink.alpha:
            self.composed = True
            image = Image(flatten(image, self._grey))
        alpha = None if image.alpha is None else self.turn.apply(image.alpha[..., None])[..., 0]
        return Image(self.turn.apply(image.pixels), alpha)

    def _rgb(self, frame: av.VideoFrame) -> np.ndarray:
        clip = self.reader.clip
        if (frame.width, frame.height) == (clip.width, clip.height):
            return colours.to_rgb(frame, self.colour, self.deep)
        tags = colours.Colour.of(frame, clip.codec)  # of another stream that was joined to the first
        used = tags.resolved(frame.width, frame.height, colours.default_range(frame.format.name, clip.codec))
        colours.check(used, frame.format.name, self.reader.name)
        return colours.to_rgb(frame, used, self.deep)

    def _scaled(self, picture: np.ndarray) -> np.ndarray:
        """Return a picture of another size in that of the first frame."""
        width, height = self.reader.clip.width, self.reader.clip.height
        kind = cv2.INTER_AREA if width * height < picture.shape[0] * picture.shape[1] else cv2.INTER_CUBIC
        return cv2.resize(picture, (width, height), interpolation=kind)

    def _tell(self, done: TranslatedFrame) -> None:
        if done.source is not None and done.result is not None:
            for observe in done.item.observers:
                observe(done.source, done.result, float(done.item.times[0] * self.reader.time_base))
        if self.report is not None:
            self.report(self.summary)


def finished(result: np.ndarray, spec: Spec, deep: bool) -> Image:
    """Convert the graph's result, [h, w, c], to RGB and, if the model returns it, alpha: 16 bits if ``deep``, else 8.

    Alpha that is wholly opaque is left out, as ``alpha_of`` leaves out that of a source. Raises NonFiniteError for
    values that are not finite. The size may differ from that of the source frame.
    """
    processing.check_finite(result)
    result, bits = processing.stored(result, spec.target), 16 if deep else 8
    if not spec.target.alpha:
        return Image(convert(result, 3, bits))
    colours = convert(np.ascontiguousarray(result[..., :3]), 3, bits)
    alpha = convert(np.ascontiguousarray(result[..., 3:]), 1, bits)[..., 0]
    return Image(colours, None if int(alpha.min()) == 2**bits - 1 else alpha)


def is_deep(reader: Source, spec: Spec) -> bool:
    """True if the frames keep more than 8 bits from end to end."""
    return reader.clip.bits > 8 and min(spec.source.bits, spec.target.bits) > 8


def remarks(reader: Source) -> list[str]:
    """Return notes on the result that hold for every kind of output."""
    clip, notes = reader.clip, []
    if clip.turn is None:
        notes.append("its frames are turned by no right angle; they are translated as stored")
    if clip.interlaced:
        notes.append("it is interlaced; each frame is translated whole, with both of its fields")
    return notes


def _explained(error: Exception, target: Path) -> Exception:
    if isinstance(error, OSError) and error.errno in (*FULL, errno.EROFS, errno.EIO):
        return VideoError(target, f"{os.strerror(error.errno or 0)}: stopped here, and nothing was kept")
    return error if not isinstance(error, av.FFmpegError) else VideoError(target, error.strerror or str(error))
