"""Real images to calibrate another precision with, and held-out images to measure its loss."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from i2i.data.layout import Source, domain_folders, find_layout, half_of, list_sources
from i2i.data.one_set import images_in, split_folder
from i2i.images import Image, list_images, read_image
from i2i.images.derive import derive_image
from i2i.runtime import processing
from i2i.runtime.errors import ModelError
from i2i.runtime.model.targets import GENERATOR
from i2i.sampling import latent
from i2i.spec import Spec

SIDE = 256  # pixels of a crop, where the image has as many
CALIBRATION, HELD_OUT = 16, 8  # number of images; without calibration, only held-out ones
FEWEST_CALIBRATION, FEWEST_HELD_OUT = 8, 4
SEEDS = 32  # of a generator, to measure the loss on, and as many others to calibrate with
ODD = ((0, 0), (1, 3), (31, 2), (5, 64))  # rows and columns that held-out crops are smaller by, in turn


@dataclass(frozen=True)
class CalibrationImages:
    """Images [h, w, c] in the range and type of a Spec's source, or z [length] of a generator. None is in both sets."""

    calibration: tuple[np.ndarray, ...]
    held_out: tuple[np.ndarray, ...]


def gather(folder: str | os.PathLike[str] | None, run: Path | None, spec: Spec, calibrated: bool) -> CalibrationImages:
    """Read the images of ``folder``, or of the run's own source domain if it is None.

    Which images are held out depends only on the files' names. Of large images the middle is taken, reduced so that it
    shows enough. Without ``calibrated`` all are held out.

    A generator takes no images: its z are those of the first seeds.

    Raises ValueError if there are too few, and ImageError for one that cannot be read.
    """
    if spec.kind == GENERATOR and spec.prior is not None:
        if folder is not None:
            raise ValueError("a generator is calibrated and measured on seeds, not on images; leave out --calibrate")
        seeds = latent(spec.prior, range(SEEDS * (1 + calibrated)))
        return CalibrationImages(tuple(seeds[SEEDS:]), tuple(seeds[:SEEDS]))
    if folder is not None:
        where = Path(folder)
        if not where.is_dir():
            raise ValueError(f"{where}: there is no such folder; give one with images of the kind the model is for")
        sources = [Source(path, path.relative_to(where).as_posix()) for path in list_images(where)]
    elif run is not None:
        where, sources = run, _of_run(run, spec)
    else:
        raise ValueError("no images to measure the loss on; give a folder of them: --calibrate DIR, calibrate=...")
    wanted = HELD_OUT + CALIBRATION * calibrated
    fewest = FEWEST_HELD_OUT + FEWEST_CALIBRATION * calibrated
    images = _different(sources, wanted, spec)
    if len(images) < fewest:
        raise ValueError(
            f"{where}: {len(images)} different image{'s' * (len(images) != 1)}, and at least {fewest} are needed"
            + (
                f", {FEWEST_CALIBRATION} to calibrate and {FEWEST_HELD_OUT} to measure the loss on"
                if calibrated
                else ""
            )
            + "; give a folder of more: --calibrate DIR"
        )
    held_out = max(FEWEST_HELD_OUT, min(HELD_OUT, len(images) // 3)) if calibrated else len(images)
    try:
        ready = [_middle(processing.prepare(image, spec), spec) for image in images]
    except ModelError as error:
        raise ValueError(f"{where}: {error}") from error
    return CalibrationImages(
        tuple(ready[held_out:]),
        tuple(_odd(array, ODD[i % len(ODD)], spec) for i, array in enumerate(ready[:held_out])),
    )


def _of_run(run: Path, spec: Spec) -> list[Source]:
    """Return the run's training images of the model's source domain."""
    instead = "give a folder of images with --calibrate DIR"
    try:
        settings = json.loads((run / "run.json").read_text()).get("settings") or {}
    except (OSError, ValueError) as error:
        raise ValueError(f"{run} does not say what it was trained on; {instead}") from error
    data, a, b = (settings.get(place) for place in ("data", "a", "b"))
    if data is None and a is None and b is None:
        raise ValueError(f"{run} was not trained on images of this machine; {instead}")
    try:
        if settings.get("teacher"):  # it made the other domain
            root = split_folder(Path(str(data or a)), "train", "a folder of images")
            return [Source(image.path, image.name) for image in images_in(root)]
        if spec.domains and data is not None:
            return _of_domains(Path(data), spec)
        x, y, _ = list_sources(find_layout("train", data, a, b, spec.derive), "unpaired")
        return x if spec.direction[0] == "a" else y
    except (OSError, ValueError) as error:
        raise ValueError(f"the images that {run} was trained on are no longer there ({error}); {instead}") from error


def _of_domains(root: Path, spec: Spec) -> list[Source]:
    """Return the images of the training split in the folders of a model's domains; all of it for attributes."""
    if spec.attributes:
        return [Source(image.path, image.name) for image in images_in(split_folder(root, "train", "images"))]
    folders = domain_folders(root, "train")[0]
    if missing := [name for name in spec.domains if name not in folders]:
        raise ValueError(f"{root} has no folder of training images for {', '.join(missing)}")
    return [
        Source(path, f"{name}/{path.relative_to(folders[name]).as_posix()}")
        for name in spec.domains
        for path in list_images(folders[name])
    ]


def _different(sources: Iterable[Source], wanted: int, spec: Spec) -> list[Image]:
    """Return up to ``wanted`` images of different content, in an order that depends only on their names."""
    seen: set[bytes] = set()
    images: list[Image] = []
    for source in sorted(sources, key=lambda source: hashlib.sha256(source.name.encode()).digest()):
        if len(images) == wanted:
            break
        image = half_of(read_image(source.path), source.half)
        if source.derive:
            image = derive_image(image, source.derive, source.name)
        elif "mask:" in spec.derive and (image.alpha is None or image.alpha.min() > 0):  # no hole to fill
            image = derive_image(image, spec.derive, source.name)
        digest = hashlib.sha256(image.pixels.tobytes()).digest()
        if digest not in seen:
            seen.add(digest)
            images.append(image)
    return images


def _middle(array: np.ndarray, spec: Spec) -> np.ndarray:
    """Return the middle of an image [h, w, c], at most ``SIDE`` pixels a side, from an image less than twice as
    large.
    """
    factor = max(1, min(array.shape[:2]) // SIDE)
    if factor > 1:
        h, w, c = array.shape
        blocks = array[: h // factor * factor, : w // factor * factor].reshape(h // factor, factor, -1, factor, c)
        means = blocks.mean((1, 3), dtype=np.float64)
        array = (means if spec.source.dtype == "float32" else np.rint(means)).astype(array.dtype)
    h, w = (_taken(side, 0, spec) for side in array.shape[:2])
    top, left = (array.shape[0] - h) // 2, (array.shape[1] - w) // 2
    return np.ascontiguousarray(array[top : top + h, left : left + w])


def _odd(array: np.ndarray, less: Sequence[int], spec: Spec) -> np.ndarray:
    """Return a part of [h, w, c] whose sides are smaller by ``less``, but at least two thirds of what they were."""
    h, w = (_taken(side, min(off, side // 3), spec) for side, off in zip(array.shape[:2], less, strict=True))
    return np.ascontiguousarray(array[:h, :w])


def _taken(side: int, less: int, spec: Spec) -> int:
    """Return the usable part of a side: at most ``SIDE`` minus ``less`` pixels, for a bare network a valid size."""
    side = min(side, SIDE) - less
    if spec.io == "pixels":
        return side
    least = -(-spec.minimum // spec.multiple) * spec.multiple
    if side < least:
        raise ValueError(f"an image has a side of {side} pixels, and this bare network takes at least {least}")
    return side // spec.multiple * spec.multiple
