"""Masks of images: where a translation may change them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from i2i.data.facts import inspect_files
from i2i.data.inspection import named
from i2i.data.layout import Folder, Source, existing
from i2i.data.reader import Reader, Wanted
from i2i.data.transforms import Placement, View, cut
from i2i.errors import DataError
from i2i.images import name_images
from i2i.spec import Domain
from i2i.text import plural

MASK = Domain("mask", 1, 8)


class Masks:
    """The mask of each image of one side, by the image's file: white where it may change, black where it stays."""

    def __init__(self, files: Mapping[Path, Path]) -> None:
        self.files = files

    def read(self, reader: Reader, source: Path, view: View, placement: Placement) -> np.ndarray:
        """Return the mask of an image as a crop of it is placed, float32 [1, h, w] from 0 to 1. Raises ImageError."""
        (pixels,) = reader(view, Wanted(self.files[source], MASK))
        found: np.ndarray = cut(pixels, view, placement).transpose(2, 0, 1).astype(np.float32) / MASK.peak
        return found

    @property
    def fingerprint(self) -> str:
        """Hash of all masks' names and contents."""
        known = hashlib.sha256()
        for path in self.files.values():
            known.update(path.name.encode("utf-8", "surrogateescape") + hashlib.sha256(path.read_bytes()).digest())
        return known.hexdigest()


def find_masks(folder: Folder, images: Sequence[Source]) -> Masks:
    """Return the masks of images, which have their relative names, with any extension, and their sizes.

    Raises DataError for images without one, for masks of another size, and for images that are halves of a file.
    """
    root = existing(folder)
    if any(image.half is not None for image in images):
        raise DataError("masks are of images in files of their own, and these are side by side in one file")
    by_name: dict[str, list[str]] = {}
    for name in name_images(root):
        by_name.setdefault(_stem(name), []).append(name)
    files = {}
    for image in images:
        found = by_name.get(_stem(image.name), [])
        if len(found) > 1 and image.name not in found:
            raise DataError(
                f"{root}: several masks of {image.name}: {', '.join(found)}; expected one: remove the others"
            )
        if found:
            files[image.path] = root / (image.name if image.name in found else found[0])
    if missing := [str(image.path) for image in images if image.path not in files]:
        raise DataError(
            f"{root}: no mask for {plural(len(missing), 'image')}; expected one of the same name for each:"
            f"\n{named(missing)}"
        )
    _check_sizes(files)
    return Masks(files)


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


def _check_sizes(files: Mapping[Path, Path]) -> None:
    facts, failed = inspect_files([*files, *files.values()])
    if failed:
        raise DataError(f"{plural(len(failed), 'mask')} cannot be read:\n{named([*failed.values()])}")
    clear = [str(mask) for mask in files.values() if facts[mask].transparent]
    if clear:
        raise DataError(
            f"{plural(len(clear), 'mask')} with transparency, where nothing is black or white; save them without, on "
            f"black:\n{named(clear)}"
        )
    wrong = [
        f"{mask}: {its[1]} x {its[0]}, and its image is {size[1]} x {size[0]}"
        for path, mask in files.items()
        for size, its in [(facts[path].size, facts[mask].size)]
        if size != its
    ]
    if wrong:
        raise DataError(f"{plural(len(wrong), 'mask')} of another size than the image:\n{named(wrong)}")
