"""Datasets of one set of images, which generators learn from; with labels where the folder has them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from i2i.data.facts import Facts
from i2i.data.inspection import Report, describe_domain, named, read_all, warn_of
from i2i.data.layout import SPLITS, Folder, domain_folders, domain_name, existing, subfolders
from i2i.data.many_domains import ManyDomains, read_domains
from i2i.data.pixel_format import Ranges, domain_of
from i2i.data.reader import Reader, Wanted
from i2i.data.shuffle import index_at
from i2i.data.transforms import View, altered, cut, place, to_tensor
from i2i.data.validation_split import check_held_out, hold_out
from i2i.errors import DataError
from i2i.images import list_images
from i2i.spec import Background, Domain
from i2i.text import plural

UNLABELLED = "none"
"""Value of ``select`` that reads the folders of several domains as one set."""
_EXPECTED = """one of
  DIR/train/*.jpg  or DIR/*.jpg                  one set of images
  DIR/train/CLASS/*.jpg  or DIR/CLASS/*.jpg      labelled images: a folder for each of two classes or more
  DIR/*.jpg  with --attributes FILE              labelled images: a table of their attributes"""


@dataclass(frozen=True)
class SetImage:
    """An image file, and its name below the folder of the data."""

    path: Path
    name: str


class OneSet:
    """Readable images without labels. ``len`` is an epoch: every image once."""

    kind = "images"
    _images: Sequence[SetImage]

    def __init__(
        self, domain: Domain, images: list[SetImage], report: Report, fingerprint: str, background: Background,
        contents: Mapping[Path, bytes],
    ) -> None:  # fmt: skip
        self.source = self.target = domain
        self.report, self.fingerprint, self.contents = report, fingerprint, contents
        self.domains: tuple[str, ...] = ()
        self.hyperparameters: dict[str, Any] = {"domains": 0, "attributes": False}
        self._images, self.reader = images, Reader(background)

    def hold_out(self, share: float) -> dict[str, list[str]]:
        """Leave out a share of the images, by a hash of their names; return their names."""
        kept, held = hold_out(self._images, share, lambda image: image.name, lambda image: (self.contents[image.path],))
        check_held_out(self.source.name, share, len(kept), len(held))
        self._images = kept
        self.contents = {image.path: self.contents[image.path] for image in kept}
        self.report.lines.append(
            f"validation: {plural(len(held), 'image')}, chosen by a hash of their names, are not trained on"
        )
        return {"images": [image.name for image in held]}

    def __len__(self) -> int:
        return len(self._images)

    def sample(self, position: int, seed: int, view: View) -> dict[str, Tensor]:
        """Return "x", float32 [c, h, w] in [-1, 1]; each image once per epoch, in a new order each epoch.

        Raises ImageError for a file that can no longer be read.
        """
        seed %= 2**64  # NumPy takes no negative one
        placement = place(view, np.random.default_rng((seed, position)))
        image = self._images[index_at(position, len(self._images), seed)]
        (pixels,) = self.reader(view, Wanted(image.path, self.source))
        x = to_tensor(cut(pixels, view, placement), self.source)
        return {"x": altered(x, view, placement, self.source.alpha)}


def read_images(
    data: Folder | None, split: str, channels: str | int, max_bad: int,
    progress: Callable[[int, int], None] | None, attributes: Folder | None, select: str | None,
    background: Background, ranges: Ranges | None,
) -> OneSet | ManyDomains:  # fmt: skip
    """Read a dataset of kind "images"; see ``read_folders``. Folders of several classes are labels."""
    if data is None:
        raise DataError(f"no data: give --data DIR, {_EXPECTED}")
    root = existing(data)
    if attributes is not None or (select != UNLABELLED and len(domain_folders(root, split)[0]) > 1):
        return read_domains(data, split, channels, max_bad, progress, attributes, select, background, ranges)
    if select not in (None, UNLABELLED):
        raise DataError(f"--select {select}: {root} has no folders of several classes to choose from")
    folder = split_folder(root, split, _EXPECTED)
    images = images_in(folder)
    if not images:
        raise DataError(f"{folder}: no images in this folder. Expected {_EXPECTED}")
    return OneSet(
        *described(root, images, f"images: {folder}, without labels", channels, max_bad, progress, background, ranges)
    )


Described = tuple[Domain, list[Any], Report, str, Background, Mapping[Path, bytes]]


def described(
    root: Path, images: Sequence[SetImage], title: str, channels: str | int, max_bad: int,
    progress: Callable[[int, int], None] | None, background: Background, ranges: Ranges | None,
    left_out: Sequence[str] = (),
) -> Described:  # fmt: skip
    """Decode each image once, and return the arguments of ``OneSet``. ``left_out`` counts towards ``max_bad``."""
    facts, unreadable = read_all([image.path for image in images], max_bad, progress, len(left_out))
    images = [image for image in images if image.path in facts]
    if not images:
        raise DataError(f"{root}: no image in it can be read")
    mine = {image.name: facts[image.path] for image in images}
    domain = domain_of(domain_name(root), mine, channels, ranges)
    part = describe_domain(domain.name, "images", mine, domain, background)
    report = Report([title, *part.lines], part.warnings, sizes=part.sizes)
    warn_of(report, [*left_out, *unreadable])
    contents = {path: fact.digest for path, fact in facts.items()}
    return domain, images, report, _fingerprint(images, facts), background, contents


def images_in(folder: Path) -> list[SetImage]:
    """Return the images of a folder and the folders in it. Raises DataError for a folder that cannot be read."""
    problems: list[str] = []
    paths = list_images(folder, lambda error: problems.append(str(error)))
    if problems:
        raise DataError(f"{plural(len(problems), 'problem')} with the data:\n{named(problems)}")
    return [SetImage(path, path.relative_to(folder).as_posix()) for path in paths]


def has_images(split: str, data: Folder) -> bool:
    """True if the split exists and is not simply all the data."""
    return split in subfolders(existing(data))


def split_folder(root: Path, split: str, expected: str) -> Path:
    """Return the folder of a split's images: DIR/SPLIT, or DIR itself where there are no splits. Raises DataError."""
    folders = subfolders(root)
    if split in folders:
        return folders[split]
    if split != "train" or folders.keys() & SPLITS:
        raise DataError(f"{root}: no '{split}' data here. Expected {expected}")
    return root


def _fingerprint(images: Sequence[SetImage], facts: dict[Path, Facts]) -> str:
    known = hashlib.sha256(b"images")
    for image in images:
        line = f"\0{image.name}\0{facts[image.path].size}\0{facts[image.path].bytes}"
        known.update(line.encode("utf-8", "surrogateescape"))
    return known.hexdigest()
