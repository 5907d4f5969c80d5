"""Names of what a generator writes, and the two forms of still images: a file for each seed, and a contact sheet."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from i2i.atomic import clear_temporaries
from i2i.images import Image, ImageError, convert, flatten, write_image
from i2i.runtime import processing
from i2i.runtime.jobs.image_file import stop_if_full
from i2i.runtime.model.generator import Generator
from i2i.runtime.model.targets import run_of
from i2i.sheets import sheet
from i2i.text import printable

Progress = Callable[[int, int], object]
"""Called with the number of finished images and of all images."""

SHEETS = (".png", ".jpg", ".jpeg", ".webp")
MOST = 10_000
"""Most images of a contact sheet."""
_WIDTH = 1536  # of a contact sheet of small images, about, in pixels; that of large ones is at most twice as wide


def destination(generator: Generator, out: str | os.PathLike[str] | None, suffix: str) -> Path:
    """Return the folder (``suffix`` is "") or the file to write: ``out``, or by default one beside the model.

    The default is in the run's folder for a file of a run. An ``out`` that is a folder, or ends with a slash, gets the
    file by its default name.
    """
    name = f"{generator.name}{suffix}"
    if out is None:
        folder = run_of(generator.path) or generator.path.parent
        return folder / (name if suffix else generator.named("generated"))
    path = Path(out)
    if suffix and (path.is_dir() or os.fspath(out).endswith(("/", os.sep))):
        return path / name
    return path


def file_name(seed: int) -> str:
    """Return the name of the file of a seed's image, ``000042.png``."""
    return f"{seed:06d}.png"


def check_new(path: Path, overwrite: bool) -> None:
    """Raise ValueError for a file that exists, or a folder in its place."""
    if path.is_dir():
        raise ValueError(f"{printable(path)} is a folder; give the name of a file")
    if path.exists() and not overwrite:
        raise ValueError(f"{printable(path)} is there already; choose another name with --out, or --overwrite")


def write_files(
    generator: Generator, z: np.ndarray, seeds: Sequence[int], folder: Path, overwrite: bool, progress: Progress
) -> None:
    """Write the image of each row of z as a PNG file named by its seed, such as ``000042.png``; each whole or not.

    Raises ImageError, or StoppedError where the disk is full.
    """
    paths = [folder / file_name(seed) for seed in seeds]
    for path in paths:
        check_new(path, overwrite)
    folder.mkdir(parents=True, exist_ok=True)
    clear_temporaries(folder)
    for done, (path, array) in enumerate(zip(paths, generator.draw(z), strict=True), 1):
        (image,) = processing.to_images(array)
        try:
            write_image(path, image, "PNG")
        except ImageError as error:
            stop_if_full(error.__cause__, path)
            raise
        progress(done, len(paths))


def write_sheet(
    generator: Generator, z: np.ndarray, seeds: Sequence[int], path: Path, overwrite: bool, progress: Progress
) -> None:
    """Write one picture of all images, row by row, about as many columns as rows; the first row has its seeds above.

    Small images are enlarged by a whole factor.
    """
    if path.suffix.lower() not in SHEETS:
        raise ValueError(f"{printable(path)}: a contact sheet is written as {', '.join(SHEETS)}")
    check_new(path, overwrite)
    if len(z) > MOST:
        raise ValueError(f"n is {len(z)}; expected at most {MOST} for a contact sheet")
    columns = math.ceil(math.sqrt(len(z)))
    images = []
    for array in generator.draw(z):
        images.append(as_rgb(array))
        progress(len(images), len(z))
    images += [np.full_like(images[0], 255)] * (-len(images) % columns)
    rows = [images[at : at + columns] for at in range(0, len(images), columns)]
    captions = [f"seed {seed}" if at == 0 else str(seed) for at, seed in enumerate(seeds[:columns])]
    if len(z) > columns:
        captions[-1] += " ..."
    cell = _WIDTH // columns
    sheet(rows, captions, path, cell=max(32, min(192, cell)), largest=max(64, 2 * cell))


def as_rgb(array: np.ndarray) -> np.ndarray:
    """Return a generated image [h, w, c] as uint8 [h, w, 3], alpha composited on white."""
    image: Image = processing.to_images(array)[0]
    return convert(image.pixels if image.alpha is None else flatten(image), 3, 8)
