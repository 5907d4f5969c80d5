"""Facts about the files of a dataset, from decoding each file once and again only when it has changed."""

from __future__ import annotations

import gc
import hashlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from i2i.cache import cache_folder
from i2i.data.file_index import FileIndex
from i2i.images import Image, ImageError, decode_image
from i2i.images.codecs import versions
from i2i.images.header import open_regular
from i2i.images.image import kind_of
from i2i.progress import say
from i2i.runtime.system.host import cores
from i2i.text import os_error

ROWS = 128  # of an image in which even pixels are counted
MOST_THREADS = 32  # that decode at a time: each takes some 60 MB with photos of 12 megapixels
DARK = 4  # a domain without values above this part of full scale is dark
FORM = f"facts 3, {versions()}"  # of the index; another makes all files new
WRITE_EVERY = 60.0  # seconds between two writes of the index, which are all that a kill can lose

Extremes = tuple[tuple[float, float], ...]
"""The lowest and the highest value, of all channels or of each."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts about one image file.

    ``extremes`` are the lowest and the highest value in the left and in the right half: of a picture over all channels,
    of bands of each.
    """

    size: tuple[int, int]  # height, width
    channels: int
    bits: int
    alpha: bool
    transparent: bool  # somewhere alpha is less than full
    flat: bool  # one colour throughout
    frames: int
    format: str
    digest: bytes
    bytes: int
    highest: tuple[int, int] = (0, 0)
    """The largest value below full scale in the left and in the right half; 0 for bands."""
    extremes: tuple[Extremes, Extremes] = ((), ())
    bands: str = ""  # type of the values; empty for a picture
    even: tuple[float, float] = (0.0, 0.0)
    """Share of the pixels in the left and in the right half that equal their neighbours; 0 for bands."""

    @property
    def kind(self) -> str:
        """The kind of its values in words."""
        return kind_of(self.bands, self.channels) if self.bands else "pictures"


def inspect_files(
    paths: Sequence[Path], progress: Callable[[int, int], None] | None = None
) -> tuple[dict[Path, Facts], dict[Path, ImageError]]:
    """Return the facts of each file, and the errors of those that cannot be read.

    Only files that are new or changed since they were last decoded are decoded, in threads: the facts of the others are
    in an index in the user's cache folder. Of processes that ask for the same files at the same time, the first
    decodes them, and the others wait for it.
    """
    failed = dict[Path, ImageError]()
    with _uncollected():
        index = FileIndex(cache_folder() / "index", paths, FORM)
        facts = index.known(_from_row)

    def report() -> None:
        if progress:
            progress(len(facts) + len(failed), len(paths))

    if len(facts) < len(paths):
        with index.turn(report):
            facts = index.known(_from_row)
            for path, found in _inspected(index, [path for path in paths if path not in facts]):
                if isinstance(found, ImageError):
                    failed[path] = found
                else:
                    facts[path] = found
                report()
    return {path: facts[path] for path in paths if path in facts}, failed


@contextmanager
def _uncollected() -> Iterator[None]:
    """Search for no garbage meanwhile: there is none, and the search takes a third of the time with 100,000 images.

    Decoding leaves some: 64 kB an image, of Pillow's headers.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _inspected(index: FileIndex, paths: Sequence[Path]) -> Iterator[tuple[Path, Facts | ImageError]]:
    """Yield each file with its facts or its error, and write the facts to the index."""
    written = time.monotonic()
    try:
        with ThreadPoolExecutor(min(cores(), MOST_THREADS), "i2i-check") as pool:
            for path, found in zip(paths, pool.map(_inspect, paths), strict=True):
                if isinstance(found, Facts):
                    index.add(path, _to_row(found))
                yield path, found
                if time.monotonic() - written > WRITE_EVERY:
                    written = _write(index)
    finally:
        if written < math.inf:
            _write(index)


def _write(index: FileIndex) -> float:
    """Write the index, and return the time; infinity, after a note, if it cannot be written."""
    try:
        index.write()
    except OSError as error:
        say(f"note: each start will decode all images, since their index cannot be written: {os_error(error)}; "
            "set another cache folder in the environment variable I2I_CACHE")  # fmt: skip
        return math.inf
    return time.monotonic()


def _to_row(facts: Facts) -> list[Any]:
    """Return the facts as values of JSON."""
    kind = facts.channels, facts.bits, facts.alpha, facts.transparent, facts.flat, facts.frames, facts.format
    halves = *facts.highest, *facts.extremes, facts.bands, *facts.even
    return [*facts.size, *kind, facts.digest.hex(), facts.bytes, *halves]


def _from_row(row: list[Any]) -> Facts:
    height, width, channels, bits, alpha, transparent, flat, frames, format, digest, size, left, right, *more = row
    one, other, bands, *even = more
    return Facts(
        (height, width), channels, bits, alpha, transparent, flat, frames, format, bytes.fromhex(digest), size,
        (left, right), (_pairs(one), _pairs(other)), bands, (even[0], even[1]),
    )  # fmt: skip


def _pairs(values: list[list[float]]) -> Extremes:
    return tuple((low, high) for low, high in values)


def _inspect(path: Path) -> Facts | ImageError:
    try:
        with open_regular(path) as file:
            data = file.read()
        image = decode_image(data, path)
    except ImageError as error:
        return error
    except OSError as error:
        return ImageError(path, error.strerror or str(error))
    first = image.pixels[:1, :1]
    flat = bool((image.pixels[:, 0] == first[:, 0]).all()) and bool((image.pixels == first).all())
    if image.alpha is not None and flat:
        flat = bool((image.alpha == image.alpha[0, 0]).all())
    return Facts(
        (image.height, image.width), image.channels, image.bits, image.alpha is not None,
        image.alpha is not None and int(image.alpha.min()) < 2**image.bits - 1, flat, image.frames, image.format,
        hashlib.blake2b(data, digest_size=16).digest(), len(data), (0, 0) if image.bands else _highest(image.pixels),
        _extremes(image), image.bands, (0.0, 0.0) if image.bands else _even(image.pixels),
    )  # fmt: skip


def _extremes(image: Image) -> tuple[Extremes, Extremes]:
    middle = image.width // 2

    def extremes(part: np.ndarray) -> Extremes:
        if not part.size:  # the left half of a column
            part = image.pixels
        if not image.bands:
            return ((int(part.min()), int(part.max())),)
        # One axis after the other, which is 15 times as fast as both at once.
        return tuple(zip(part.min(0).min(0).tolist(), part.max(0).max(0).tolist(), strict=True))

    return extremes(image.pixels[:, :middle]), extremes(image.pixels[:, middle:])


def _highest(pixels: np.ndarray) -> tuple[int, int]:
    """Return the largest value below full scale in the left and in the right half of pixels [h, w, c].

    Where a few pixels show that a half is not dark, its value is only a lower bound: most images end there.
    """
    peak, middle = np.iinfo(pixels.dtype).max, pixels.shape[1] // 2

    def highest(part: np.ndarray) -> int:
        some = int(part[::16, ::16].max(initial=0, where=part[::16, ::16] < peak))
        return some if some * DARK > peak else int(part.max(initial=0, where=part < peak))

    return highest(pixels[:, :middle]), highest(pixels[:, middle:])


def _even(pixels: np.ndarray) -> tuple[float, float]:
    """Return the share of pixels [h, w, c] in each half that equal their neighbours, from at most ``ROWS`` rows."""
    every, middle = max(1, (len(pixels) - 1) // ROWS), pixels.shape[1] // 2
    upper = pixels[:-1:every]
    alike = (upper == pixels[1::every][: len(upper)]).all(-1)[:, :-1] & (upper[:, :-1] == upper[:, 1:]).all(-1)
    left, right = (round(float(part.mean()), 3) if part.size else 0.0 for part in np.split(alike, [middle], axis=1))
    return left, right
