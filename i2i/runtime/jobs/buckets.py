"""``i2i.batches``: images of equal size together, for frameworks that give a function one batch at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from i2i.images import MAX_PIXELS, WRITABLE, Image, ImageError, decode_image, encode_image, read_image
from i2i.text import is_url, known_keywords

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class Batch:
    """Images of equal size, channels and type.

    Attributes:
        names: the path of each image as it was given, or the name that was given with its bytes.
        images: uint8 or uint16 [n, h, w, c], as a :class:`Model` takes them: grey or RGB, with alpha behind if the
            files have it; bands in their own type.
    """

    names: list[PathLike]
    images: np.ndarray
    _sources: list[Image]

    def __len__(self) -> int:
        return len(self.names)

    def encode(
        self, results: np.ndarray | Sequence[np.ndarray], format: str | None = None, quality: int = 95
    ) -> list[bytes]:
        """Return the files of the results, each in the format of its source, with its colour profile and resolution.

        Args:
            results: an array for each image, of its height and width or a multiple, with or without alpha behind.
            format: of every file, such as "PNG"; default that of each source, PNG where it is not written.
            quality: of JPEG, WebP and AVIF, 0 to 100.

        Raises ValueError for another number of results, and ImageError for one that the format cannot contain.
        """
        files = []
        for name, source, result in zip(self.names, self._sources, results, strict=True):
            form = format.upper() if format else source.format if source.format in WRITABLE else "PNG"
            files.append(encode_image(_like(source, np.asarray(result)), form, quality, name=os.fspath(name)))
        return files


@known_keywords
def batches(
    paths: Iterable[PathLike | tuple[str, bytes]],
    size: int = 16,
    *,
    max_pixels: int = MAX_PIXELS,
    waiting: int = 2**29,
    on_error: Callable[[ImageError], object] | None = None,
) -> Iterator[Batch]:
    """Return an iterator over images in batches of equal size, for Spark, Beam and others: a GPU needs equal sizes.

    Padding images to a common size would change the pixels of their results, so those of each size wait for others of
    it. The same paths give the same batches, whatever the machine: a framework may repeat a task.

    Args:
        paths: image files; files at URLs, through fsspec; or pairs of a name and the bytes of a file.
        size: images of a full batch, from 1; default 16.
        max_pixels: an image of more pixels is an error; default 100000000 (100 megapixels).
        waiting: bytes of decoded images that wait at most; beyond it the largest incomplete batch goes; default
            536870912 (512 MiB).
        on_error: called with the error of each file that is no image, which is left out; default None, raise it.

    Returns the iterator; a file is read when its batch is asked for.

    Raises ValueError for a wrong size, and the iterator raises ImageError for a file that cannot be read.
    """
    if size < 1 or waiting < 1:
        raise ValueError(f"size is {size} and waiting {waiting}; expected at least 1")
    return _batches(paths, size, max_pixels, waiting, on_error)


def _batches(
    paths: Iterable[PathLike | tuple[str, bytes]],
    size: int,
    max_pixels: int,
    waiting: int,
    on_error: Callable[[ImageError], object] | None,
) -> Iterator[Batch]:
    buckets: dict[tuple[object, ...], list[tuple[PathLike, Image]]] = {}
    held = 0
    for each in paths:
        name = each[0] if isinstance(each, tuple) else each
        try:
            image = _read(each, max_pixels)
        except ImageError as error:
            if on_error is None:
                raise
            on_error(error)
            continue
        key: tuple[object, ...] = (image.pixels.shape, image.pixels.dtype, image.alpha is not None)
        bucket = buckets.setdefault(key, [])
        bucket.append((name, image))
        held += _bytes(image)
        while buckets and (len(bucket) >= size or held > waiting):
            key = key if len(bucket) >= size else max(buckets, key=lambda key: len(buckets[key]))
            full = buckets.pop(key)
            held -= sum(_bytes(image) for _, image in full)
            yield _batch(full)
            bucket = []
    for bucket in buckets.values():
        yield _batch(bucket)


def _read(item: PathLike | tuple[str, bytes], max_pixels: int) -> Image:
    if isinstance(item, tuple):
        return decode_image(item[1], item[0], max_pixels)
    if not is_url(item):
        return read_image(Path(item), max_pixels)
    from i2i.runtime.jobs.remote.location import read_file

    return decode_image(read_file(str(item)), str(item), max_pixels)


def _bytes(image: Image) -> int:
    return image.pixels.nbytes + (0 if image.alpha is None else image.alpha.nbytes)


def _batch(bucket: Sequence[tuple[PathLike, Image]]) -> Batch:
    arrays = [
        image.pixels if image.alpha is None else np.concatenate([image.pixels, image.alpha[..., None]], axis=2)
        for _, image in bucket
    ]
    return Batch([name for name, _ in bucket], np.stack(arrays), [image for _, image in bucket])


def _like(source: Image, result: np.ndarray) -> Image:
    """Return the result as an image that keeps what its source has beside the pixels."""
    result = result[..., None] if result.ndim == 2 else result
    alpha = result[..., -1] if result.shape[2] in (2, 4) and not source.bands else None
    pixels = result if alpha is None else result[..., :-1]
    icc = source.icc if pixels.shape[2] == source.channels else None
    return replace(source, pixels=np.ascontiguousarray(pixels), alpha=alpha, icc=icc, metadata=None)
