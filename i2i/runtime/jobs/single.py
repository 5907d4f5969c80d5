"""Translate a few named files, or bytes, one after another."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from i2i.atomic import clear_temporaries
from i2i.images import Image, ImageError, decode_image, read_header, read_image
from i2i.images.encode import KEPT
from i2i.runtime.jobs import image_file
from i2i.runtime.jobs.options import Options
from i2i.runtime.jobs.oversized import in_strips
from i2i.runtime.jobs.planning import image_task
from i2i.runtime.log import note
from i2i.runtime.model.model import Model
from i2i.text import is_url, not_found, printable

PathLike = str | os.PathLike[str]


def folder_destinations(
    source: Path | str, dst: PathLike | None, names: Sequence[str], options: Options
) -> list[Path | str]:
    """Return what :func:`destinations` does, where the source or ``dst`` may be the URL of a folder.

    Raises ValueError for a URL without ``dst``.
    """
    if not is_url(source) and (dst is None or not is_url(dst)):
        return [*destinations(Path(source), dst, names, options)]
    if dst is None:
        raise ValueError(f"{source} is a URL: name the folder of the results, at a URL or on this machine")
    folder = str(dst).rstrip("/")
    if len(names) == 1:
        return [folder if is_url(dst) else Path(dst)]
    _refuse_equal(names)
    return [f"{folder}/{name}" if is_url(dst) else Path(dst) / name for name in names]


def destination(source: Path, dst: PathLike | None, name: str, options: Options) -> Path:
    """Return the file or folder to write: ``dst``, by default beside the source.

    For an image, a ``dst`` that ends with a slash is a folder for the file, which need not exist. Raises ValueError if
    it is a file.
    """
    if dst is None:
        return beside(source, name, options)
    target = Path(dst)
    if source.is_dir() or not os.fspath(dst).endswith(("/", os.sep)):  # a Path does not keep the slash
        if options.suffix and not (source.is_dir() or target.is_dir()):
            raise ValueError(
                f"{target} is the full name of the result, so --suffix has no effect: leave one of them out"
            )
        return target
    if target.exists() and not target.is_dir():
        raise ValueError(
            f"{target} is a file, and the slash at the end means a folder; leave the slash out, or give another name"
        )
    return target / options.output_name(source)


def destinations(source: Path, dst: PathLike | None, names: Sequence[str], options: Options) -> list[Path]:
    """Return what :func:`destination` does for each of the models called ``names``.

    With several models the results of a folder go to DST/MODEL/, those of photo.jpg to DST/photo-MODEL.jpg; without
    DST all go beside the source. Raises ValueError for two models of one name.
    """
    if len(names) == 1:
        return [destination(source, dst, names[0], options)]
    _refuse_equal(names)
    if dst is None or not source.is_dir():
        results = [beside(source, name, options, always=True) for name in names]
        if dst is None:
            return results
        if Path(dst).is_file() or Path(dst).suffix.lower() in KEPT:
            raise ValueError(f"{dst} is one image, and {len(names)} models make as many: give a folder")
        return [Path(dst) / result.name for result in results]
    return [Path(dst) / name for name in names]


def _refuse_equal(names: Sequence[str]) -> None:
    """Raise ValueError for two models of one name."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            f"two models are called {twice[0]}, so their results would have equal names: run one at a time"
        )


def beside(source: Path, name: str, options: Options, always: bool = False) -> Path:
    """Return the default destination: next to the source, with the model's name appended to its own.

    In the name of a file, a given suffix replaces the model's name, or follows it with ``always``.
    """
    if source.is_dir():
        folder = source.resolve()
        return folder.with_name(f"{folder.name}-{name}")
    suffix = f"-{name}{options.suffix}" if always or not options.suffix else options.suffix
    return source.with_name(replace(options, suffix=suffix).output_name(source))


def translate_file(model: Model, source: Path, target: Path, options: Options) -> Path:
    """Translate one file to ``target``, or into it if it is a folder; log what is lost, return the written file.

    Raises ValueError for wrong use, and ModelError or ImageError for a file that cannot be translated.
    """
    return translate_files([(model, target)], source, options)[0]


def translate_files(pairs: Sequence[tuple[Model, Path]], source: Path, options: Options) -> list[Path]:
    """Translate a file as :func:`translate_file` does, with several models and their targets; decode it once."""
    if not source.exists():
        raise ValueError(not_found(source))
    targets = [target / options.output_name(source) if target.is_dir() else target for _, target in pairs]
    for target in targets:
        if not target.exists():
            continue
        if os.path.samefile(source, target):
            raise ValueError(f"{target} is the image to translate; originals are never overwritten")
        if not options.overwrite:
            raise ValueError(f"{target} is there already; choose another name, or --overwrite")
    header = read_header(source, options.max_pixels)
    tasks = [image_task(source, target, options, header) for target in targets]
    try:
        image: Image | None = None
        for (model, _), task, target in zip(pairs, tasks, targets, strict=True):
            clear_temporaries(target.parent, target.name)
            if strips := in_strips(task, model, options):
                target.parent.mkdir(parents=True, exist_ok=True)
                lost = strips.run(options)
            else:
                image = image or read_image(source, options.max_pixels, options.keep_metadata)
                result = image_file.translate(image, model, options, _infer(model), task.format, source.name)
                target.parent.mkdir(parents=True, exist_ok=True)
                lost = image_file.write(result, target, task.format, options)
            if lost:
                note(f"{printable(target)}: {lost}")
    except MemoryError as error:
        raise ImageError(source, image_file.NO_MEMORY) from error
    return targets


def translate_bytes(model: Model, data: bytes, options: Options, name: str = "<bytes>") -> Image:
    """Translate the bytes of a file; ``name`` is for the error. Raises ModelError or ImageError."""
    try:
        if options.mask is not None and options.mask.is_dir():
            raise ValueError(f"{name} has no name to find a mask by in {options.mask}; give the mask's own file")
        image = decode_image(data, name, options.max_pixels, options.keep_metadata)
        return image_file.translate(image, model, options, _infer(model))
    except MemoryError as error:
        raise ImageError(name, image_file.NO_MEMORY) from error


def _infer(model: Model) -> Callable[[np.ndarray], np.ndarray]:
    return lambda image: model.run(image[None])[0]
