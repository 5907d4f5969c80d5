"""``i2i.translate``: what comes back is of the kind that went in."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np

from i2i.files import clear_temporaries
from i2i.images import Image, ImageError, decode_image, read_header, read_image
from i2i.runtime import files, models
from i2i.runtime.files import Options
from i2i.runtime.foreign.told import taken_from
from i2i.runtime.plan import KEPT
from i2i.runtime.session import Model
from i2i.runtime.tiles.large import plan
from i2i.runtime.video.errors import DamagedError
from i2i.runtime.video.kinds import is_video, video_target
from i2i.runtime.video.options import NAMES, VideoOptions

if TYPE_CHECKING:
    from i2i.runtime.folder import Outcome, Summary

PathLike = str | os.PathLike[str]


class SomeFailedError(ValueError):
    """A folder was translated but for some of its files; ``failed`` says of each why."""

    exit_status = 1

    def __init__(self, failed: list[Outcome], summary: Summary) -> None:
        self.failed = failed
        notes = "\n".join(outcome.note for outcome in failed[:20])
        super().__init__(f"{summary.failed} of {summary.total} images were not translated:\n{notes}")


@overload
def translate(
    src: np.ndarray, dst: None = None, model: Model | PathLike | None = None, **options: object
) -> np.ndarray: ...
@overload
def translate(
    src: PathLike, dst: PathLike | None = None, model: Model | PathLike | None = None, **options: object
) -> Path: ...
def translate(src, dst=None, model=None, *, to=None, provider="auto", allow_fallback=False, tile=None, **options):
    """Translates an array, an image file, a folder of images or a video, and returns the same kind: array, or path.

    Args:
        src: an array as :class:`Model` takes it, or a path.
        dst: the file or folder to write, a folder if it ends with a slash; by default beside ``src``, with the
            model's name behind its own.
        model: a Model, an ``.onnx`` file, a run's folder, or a name that ``i2i models`` lists; by default the newest
            finished run under ``runs/``, else the default model.
        to: the domain to translate to, attributes that the images shall have (a list of names, or one with commas), or
            a direction ("b2a"), where the model could go several ways.
        provider: auto | cpu | cuda | tensorrt | openvino, as :func:`i2i.load` takes it, with ``allow_fallback``;
            unless ``model`` is loaded already.
        tile: auto | exact | off, or the side of a tile in pixels: when images are cut, as :class:`Tile` says; by
            default as the model has it, or auto.
        options: format, quality, background, max_pixels, overwrite, batch, workers, suffix, keep_metadata, shard,
            as in :class:`Options`; of a video start, end, fps, codec, crf, preset, rotation, steady, steady_time,
            as in :class:`VideoOptions`. With a format, a video becomes a folder of frames. Of a model that
            others made: layout, range, order and more, as :func:`i2i.load` takes them.

    Raises ValueError for wrong use, and ModelError, ImageError and VideoError (all ValueErrors) for what cannot be
    translated; after a folder in which some files could not be, SomeFailedError, and after a video of which only a part
    could be read, DamagedError (both ValueErrors).
    """
    of_video, told = {name: options.pop(name) for name in NAMES & options.keys()}, taken_from(options)
    settings, video = Options(**options), VideoOptions(**of_video)
    film = isinstance(src, str | os.PathLike) and is_video(src, dst)
    if of_video and not film:
        raise ValueError(f"{', '.join(sorted(of_video))}: for videos, and this is none")
    if not isinstance(model, Model):
        several = film or (not isinstance(src, np.ndarray) and os.path.isdir(src))
        choice = models.resolve(model, to)
        model, to = Model(choice.path, provider, None, several, told, allow_fallback), choice.to
    elif told:
        raise ValueError(f"{', '.join(told.said())}: the model is loaded already; i2i.load takes them")
    model = model.toward(to) if tile is None else model.toward(to).tiled(tile)
    if film:
        return _translate_video(model, src, video_target(src, dst, model.name, settings.format), settings, video)
    if not isinstance(src, str | os.PathLike):
        if dst is not None:
            raise ValueError("an array comes back as an array; only a path has a destination")
        return model(src, settings.background)
    source = Path(src)
    target = destination(source, dst, model.name, settings)
    if not source.is_dir():
        return translate_file(model, source, target, settings)
    from i2i.runtime.folder import translate_folder

    failed: list[Outcome] = []
    summary = translate_folder(
        model,
        source,
        target,
        settings,
        lambda outcome, _: failed.append(outcome) if outcome.status == "failed" else None,
    )
    if failed:
        raise SomeFailedError(failed, summary)
    return target


def _translate_video(model: Model, source: PathLike, target: Path, options: Options, video: VideoOptions) -> Path:
    from i2i.runtime.video import translate_video

    done = translate_video(model, Path(source), target, options, video)
    if done.damage is not None:
        raise DamagedError(source, f"{done.damage}; what there was is in {target}", target)
    return target


def destination(source: Path, dst: PathLike | None, name: str, options: Options) -> Path:
    """The file or folder to write: ``dst``, or beside the source without one.

    For an image, a ``dst`` with a slash at its end is a folder, there already or not, that gets the file. Raises
    ValueError if it is a file.
    """
    if dst is None:
        return beside(source, name, options)
    target = Path(dst)
    if source.is_dir() or not os.fspath(dst).endswith(("/", os.sep)):  # a Path does not keep the slash
        if options.suffix and not (source.is_dir() or target.is_dir()):
            raise ValueError(f"{target} is the whole name of the result, and a suffix is asked for: leave one out")
        return target
    if target.exists() and not target.is_dir():
        raise ValueError(
            f"{target} is a file, and the slash behind it asks for a folder; leave it out, or name another"
        )
    return target / options.output_name(source)


def destinations(source: Path, dst: PathLike | None, names: Sequence[str], options: Options) -> list[Path]:
    """:func:`destination` for each of several models that are called ``names``.

    A folder's results go to DST/MODEL/, an image's to DST/IMAGE-MODEL.png; without DST all go beside the source.
    """
    if len(names) == 1:
        return [destination(source, dst, names[0], options)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"two models are called {twice[0]}, and so would be their results: run them apart")
    if dst is None or not source.is_dir():
        results = [beside(source, name, options, always=True) for name in names]
        if dst is None:
            return results
        if Path(dst).is_file() or Path(dst).suffix.lower() in KEPT:
            raise ValueError(f"{dst} is one image, and {len(names)} models make as many: name a folder")
        return [Path(dst) / result.name for result in results]
    return [Path(dst) / name for name in names]


def beside(source: Path, name: str, options: Options, always: bool = False) -> Path:
    """Where results go if nobody says: next to the source, under its name with the model's behind.

    A suffix that was asked for stands in place of the model's in the name of a file, or with ``always`` behind it.
    """
    if source.is_dir():
        folder = source.resolve()
        return folder.with_name(f"{folder.name}-{name}")
    suffix = f"-{name}{options.suffix}" if always or not options.suffix else options.suffix
    return source.with_name(replace(options, suffix=suffix).output_name(source))


def translate_file(model: Model, source: Path, target: Path, options: Options) -> Path:
    """Translates one file to ``target``, or into it if it is a folder; returns the file that was written.

    Raises ValueError for wrong use, and ModelError or ImageError for what cannot be translated.
    """
    return translate_files([(model, target)], source, options)[0]


def translate_files(
    pairs: Sequence[tuple[Model, Path]],
    source: Path,
    options: Options,
    note: Callable[[str], object] = lambda text: None,
) -> list[Path]:
    """:func:`translate_file` with several models, each with its target; the image is decoded once.

    ``note`` is told what else there is to say of the results.
    """
    if not source.exists():
        raise ValueError(f"{source}: no such file or folder")
    targets = [target / options.output_name(source) if target.is_dir() else target for _, target in pairs]
    for target in targets:
        if not target.exists():
            continue
        if os.path.samefile(source, target):
            raise ValueError(f"{target} is the image to translate; originals are never overwritten")
        if not options.overwrite:
            raise ValueError(f"{target} is there already; choose another name, or --overwrite")
    header = read_header(source, options.max_pixels)
    for target in targets:  # before there is work that would be lost
        files.output_format(source, target, header.format, options)
    try:
        image: Image | None = None
        for (model, _), target in zip(pairs, targets, strict=True):
            clear_temporaries(target.parent, target.name)
            if large := plan(source, target, model, options, header):
                target.parent.mkdir(parents=True, exist_ok=True)
                lost = large.translate(target, options)
            else:
                image = image or read_image(source, options.max_pixels, options.keep_metadata)
                result = files.translate(image, model, options, _infer(model))
                target.parent.mkdir(parents=True, exist_ok=True)
                lost = files.write(result, source, target, options)
            if lost:
                note(f"{target}: {lost}")
    except MemoryError as error:
        raise ImageError(source, files.NO_MEMORY) from error
    return targets


def translate_bytes(model: Model, data: bytes, options: Options, name: str = "<bytes>") -> Image:
    """Translates the bytes of a file; ``name`` is for the error. Raises ModelError or ImageError."""
    try:
        image = decode_image(data, name, options.max_pixels, options.keep_metadata)
        return files.translate(image, model, options, _infer(model))
    except MemoryError as error:
        raise ImageError(name, files.NO_MEMORY) from error


def _infer(model: Model) -> Callable[[np.ndarray], np.ndarray]:
    return lambda image: model.run(image[None])[0]
