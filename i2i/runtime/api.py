"""``i2i.translate``: an array to an array, a path to a path."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack, cast, overload

import numpy as np

from i2i.errors import I2IError
from i2i.images import MAX_PIXELS
from i2i.runtime.jobs.options import Options
from i2i.runtime.jobs.single import PathLike, destination, folder_destinations, translate_file
from i2i.runtime.log import note
from i2i.runtime.model import catalog, targets
from i2i.runtime.model.generator import Generator
from i2i.runtime.model.model import Model
from i2i.runtime.model.styles import StyleLike
from i2i.runtime.model.targets import To
from i2i.runtime.video.detect import is_video, video_target
from i2i.runtime.video.errors import DamagedError
from i2i.runtime.video.options import NAMES, OF_IMAGES, VideoOptions, changed
from i2i.spec import Background
from i2i.text import is_url, is_url_of_folder, known_keywords, plural, printable

if TYPE_CHECKING:
    from fractions import Fraction

    from i2i.runtime.jobs.folder import Outcome, Summary


class SomeFailedError(I2IError):
    """Some files of a folder could not be translated; ``failed`` contains them, each with its reason."""

    exit_status = 1

    def __init__(self, failed: list[Outcome], summary: Summary, noun: str = "image") -> None:
        self.failed, self._summary, self._noun = failed, summary, noun
        notes = "\n".join(outcome.note for outcome in failed[:20])
        super().__init__(f"{summary.failed} of {plural(summary.total, noun)} failed:\n{notes}")

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what it is made of, as a process pool does."""
        return type(self), (self.failed, self._summary, self._noun)


class TranslateOptions(TypedDict, total=False):
    """Keywords of :func:`translate`, for its overloads; its own signature has their defaults."""

    to: To | None
    style: StyleLike | None
    seed: int | None
    provider: str
    allow_fallback: bool
    tile: str | int | None
    format: str | None
    quality: int
    background: Background | None
    max_pixels: int
    overwrite: bool
    batch: int | None
    workers: int | None
    suffix: str
    mask: PathLike | None
    keep_metadata: bool
    shard: str | None
    gpus: int | str | None
    start: float | str
    end: float | str | None
    fps: Fraction | float | str | None
    codec: str
    crf: int | None
    preset: str | None
    rotation: str
    steady: bool
    steady_time: float | None
    videos: bool


@overload
def translate(
    src: np.ndarray,
    dst: None = None,
    model: Model | Generator | PathLike | None = None,
    **options: Unpack[TranslateOptions],
) -> np.ndarray: ...
@overload
def translate(
    src: PathLike,
    dst: PathLike | None = None,
    model: Model | Generator | PathLike | None = None,
    **options: Unpack[TranslateOptions],
) -> Path: ...
@known_keywords
def translate(
    src: np.ndarray | PathLike,
    dst: PathLike | None = None,
    model: Model | Generator | PathLike | None = None,
    *,
    to: To | None = None,
    style: StyleLike | None = None,
    seed: int | None = None,
    provider: str = "auto",
    allow_fallback: bool = False,
    tile: str | int | None = None,
    format: str | None = None,
    quality: int = 95,
    background: Background | None = None,
    max_pixels: int = MAX_PIXELS,
    overwrite: bool = False,
    batch: int | None = None,
    workers: int | None = None,
    suffix: str = "",
    mask: PathLike | None = None,
    keep_metadata: bool = False,
    shard: str | None = None,
    gpus: int | str | None = None,
    start: float | str = 0.0,
    end: float | str | None = None,
    fps: Fraction | float | str | None = None,
    codec: str = "auto",
    crf: int | None = None,
    preset: str | None = None,
    rotation: str = "apply",
    steady: bool = False,
    steady_time: float | None = None,
    videos: bool = False,
) -> np.ndarray | Path:
    """Translate an array, an image file, a folder of images or a video, and return the same kind: array, or path.

    Args:
        src: an array as :class:`Model` takes it, or a path.
        dst: file or folder to write, a folder if it ends with a slash; default beside ``src``, with the model's name
            added to its own. Folders of images and of their results may be URLs: ``s3://bucket/in/``, an HTTP listing,
            or whatever fsspec opens (``pip install "i2i[remote]"``).
        model: a Model, an ``.onnx`` file, a run's folder, or a name that ``i2i models`` lists; default the newest
            finished run under ``runs/``, else the default model. A third-party file that does not describe itself is
            opened with :func:`i2i.load`, or described once with ``i2i describe -o``. A generator takes no image, and is
            refused: see :func:`i2i.generate`.
        to: the domain to translate to, attributes that the results get (a list of names, or one with commas), or
            a direction ("b2a"), for a model that has several; default the model's first direction.
        style: an example image of the target domain, a path or an array, or the numbers of a style, for a model with
            styles, as :meth:`Model.styled` takes it; default that of ``seed``.
        seed: draw the style of a model with styles, 0 to 4294967295; default as the model has it, or 0.
        provider: auto | cpu | cuda | tensorrt | openvino, as :func:`i2i.load` takes it, unless ``model`` is loaded
            already; default "auto".
        allow_fallback: let the processor run nodes that a GPU's provider cannot run, as :func:`i2i.load` takes it;
            default False.
        tile: when images are translated in tiles: "auto", "exact", "off", or the side of a tile in pixels, as
            :meth:`Model.tiled` takes it; default as the model has it, or "auto".
        format: of every output, such as "PNG"; with a format, a video becomes a folder of frames; default that of the
            source.
        quality: of JPEG, WebP and AVIF, 0 to 100; default 95.
        background: what the model sees under transparent pixels: "edge", the image's visible colours continued, or 0 to
            255, a grey level; default as in training.
        max_pixels: an image of more pixels is refused, from 1; default 100000000 (100 megapixels).
        overwrite: replace existing files, and translate again what is done; default False.
        batch: images of one size at once on a GPU, from 1; default as many as fit into its memory.
        workers: images that are read, translated and written side by side, from 1; default by the number of cores.
        suffix: text between the name of every translated image and its extension; default "".
        mask: a mask, or for a folder one of the same name for each image, with the extension of any image format: the
            result is pasted into the source where it is white; default None.
        keep_metadata: keep EXIF and XMP of images, which may contain where a photo was taken; default False.
        shard: part of a folder to translate, "2/7" for the second of seven; default all of it.
        gpus: graphics cards that share a folder, a process each, from 1, or "all"; a script that uses it needs the
            usual ``if __name__ == "__main__"``; default one, in this process.
        start: skip frames of a video before this time: seconds, "m:ss" or "h:mm:ss"; default 0.
        end: skip frames of a video after this time, in the same form; default its end.
        fps: constant frame rate of a video in frames per second, above 0 and up to 1000, as a number or "30000/1001";
            default the source's frame times.
        codec: of a video: "auto", "h264", "hevc", "av1", "prores", "ffv1", "h264_nvenc", "hevc_nvenc" or "av1_nvenc";
            default "auto", AV1 in ``.webm``, HEVC for more than 8 bits, else H.264.
        crf: constant rate factor of a video, lower is better: 0 to 51 for H.264 and HEVC, 0 to 63 for AV1; default 18
            for H.264, 20 for HEVC, 24 for AV1, on NVIDIA cards 20, 22 and 28. ProRes and FFV1 have none.
        preset: the video encoder's speed preset, by its own name; default "veryfast", for AV1 "10", on NVIDIA cards
            "p5". ProRes and FFV1 have none.
        rotation: of a video: "apply", rotate the frames upright; or "keep", keep the rotation tag; default "apply".
        steady: reduce flicker of a video: smooth statistics and results over time; default False.
        steady_time: time constant of ``steady`` in seconds, above 0 and up to 10; default 0.4.
        videos: translate the videos of a folder, not its images; default False.

    Returns the translated array, or the path of the file or folder that was written; a URL as text.

    Raises ValueError for wrong use, and ModelError, ImageError and VideoError for what cannot be translated; after a
    folder in which some files could not be, SomeFailedError, and after a video of which only a part could be read,
    DamagedError (all I2IErrors).
    """
    settings = Options(
        format=format, quality=quality, background=background, max_pixels=max_pixels, overwrite=overwrite, batch=batch,
        workers=workers, suffix=suffix, mask=None if mask is None else Path(mask), keep_metadata=keep_metadata,
        shard=shard, gpus=gpus,
    )  # fmt: skip
    times: Any = {"start": start, "end": end, "fps": fps}  # may be text, which is converted
    video = VideoOptions(
        **times, codec=codec, crf=crf, preset=preset, rotation=rotation, steady=steady, steady_time=steady_time
    )
    path = src if isinstance(src, str | os.PathLike) else None
    of_video = path is not None and is_video(path, dst)
    _check_options(path, of_video, videos, video, settings)
    folder = _folder(src, dst)
    if isinstance(model, Generator):
        raise targets.wrong_kind(targets.GENERATOR, printable(model.path))
    if not isinstance(model, Model):
        several = of_video or folder is not None
        choice = catalog.resolve(model, to)
        model, to = Model(choice.path, provider, side_by_side=several, allow_fallback=allow_fallback), choice.to
    if style is not None or seed is not None:
        model = model.styled(style, seed=seed)
    model = model.toward(to) if tile is None else model.toward(to).tiled(tile)
    if not isinstance(src, str | os.PathLike):
        if dst is not None:
            raise ValueError("an array comes back as an array; only a path has a destination")
        return model(src, settings.background)
    if of_video:
        return _translate_video(model, src, video_target(src, dst, model.name, settings.format), settings, video)
    if folder is None:
        return translate_file(model, Path(src), destination(Path(src), dst, model.name, settings), settings)
    return _translate_folder(model, folder, dst, settings, video if videos else None)


def _folder(src: np.ndarray | PathLike, dst: PathLike | None) -> Path | str | None:
    """Return the source if it is a folder, one at a URL as text; else None, or ValueError if ``dst`` is a URL."""
    if isinstance(src, str | os.PathLike):
        if is_url_of_folder(src):
            return str(src)
        if os.path.isdir(src):
            return Path(src)
    if dst is not None and is_url(dst):
        raise ValueError(f"{dst}: a URL is for the results of a folder, and the source is not a folder")
    return None


def _check_options(
    source: PathLike | None, of_video: bool, videos: bool, video: VideoOptions, options: Options
) -> None:
    """Raise ValueError for options that say nothing about what is translated; ``source`` is None for an array."""
    if videos and (source is None or not os.path.isdir(source)):
        raise ValueError("videos is for folders, and the source is not a folder")
    if not (of_video or videos) and (idle := changed(video, NAMES)):
        raise ValueError(f"{', '.join(sorted(idle))}: for videos only, and the source is not a video")
    if options.mask is not None and (of_video or source is None):
        raise ValueError("mask is for image files and folders of them, and the source is an array or a video")
    if of_video and (idle := changed(options, OF_IMAGES)):
        raise ValueError(f"{', '.join(idle)}: for images, and the source is a video; leave it out")
    folder = source is not None and (is_url_of_folder(source) or os.path.isdir(source))
    if not folder and (idle := changed(options, ("shard", "gpus"))):
        raise ValueError(f"{', '.join(idle)}: for folders, and the source is not a folder; leave it out")


def _translate_folder(
    model: Model, source: Path | str, dst: PathLike | None, options: Options, video: VideoOptions | None
) -> Path:
    """Translate the images of a folder, or with ``video`` its videos."""
    (target,) = folder_destinations(source, dst, [model.name], options)
    failed: list[Outcome] = []

    def report(outcome: Outcome, _: Summary) -> None:
        if outcome.status == "failed":
            failed.append(outcome)
        elif video is not None and outcome.note:
            note(outcome.note)

    if video is not None:
        from i2i.runtime.video.folder import translate_videos

        if not isinstance(target, Path):
            raise ValueError(f"{target}: a URL is for the results of images, and these are videos")
        summary = translate_videos(model, Path(source), target, options, video, report)
    else:
        from i2i.runtime.jobs.folder import translate_folder

        summary = translate_folder(model, source, target, options, report)
    for text in summary.losses.notes():
        note(text)
    if failed:
        raise SomeFailedError(failed, summary, "image" if video is None else "video")
    return cast(Path, target)


def _translate_video(model: Model, source: PathLike, target: Path, options: Options, video: VideoOptions) -> Path:
    from i2i.runtime.video import translate_video

    done = translate_video(model, Path(source), target, options, video)
    for text in done.notes:
        note(f"{printable(target)}: {text}")
    if done.damage is not None:
        raise DamagedError(source, f"{done.damage}; what there was is in {target}", target)
    return target
