"""Datasets of many domains: one folder per domain, or one folder and a table of attributes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from i2i.data import rows
from i2i.data.attributes import Table, chosen, read_table
from i2i.data.facts import Facts
from i2i.data.inspection import Report, describe_domain, named, read_all, warn_of
from i2i.data.layout import SPLITS, Folder, domain_folders, domain_name, existing, subfolders
from i2i.data.pixel_format import Ranges, domain_of
from i2i.data.reader import Reader, Wanted
from i2i.data.shuffle import index_at
from i2i.data.transforms import View, altered, cut, place, to_tensor
from i2i.data.validation_split import check_held_out, hold_out
from i2i.errors import DataError
from i2i.images import IMAGE_SUFFIXES, list_images
from i2i.spec import Background, Domain
from i2i.text import plural

_EXPECTED = """one of
  DIR/train/DOMAIN/*.jpg   or DIR/DOMAIN/*.jpg: a folder for each of two domains or more
  DIR/*.jpg                with --attributes FILE: a table of the images' attributes"""


@dataclass(frozen=True)
class LabelledImage:
    """An image and its label: 1 or 0 for every domain or attribute."""

    path: Path
    name: str  # relative to the folder of the data, for messages and for the fingerprint
    label: tuple[int, ...]


class ManyDomains:
    """Readable images with labels. ``len`` is an epoch: every image once."""

    kind = "domains"

    def __init__(
        self, domain: Domain, domains: tuple[str, ...], attributes: bool, images: list[LabelledImage], report: Report,
        fingerprint: str, background: Background, contents: Mapping[Path, bytes],
    ) -> None:  # fmt: skip
        self.source = self.target = domain
        self.domains, self.report, self.fingerprint = domains, report, fingerprint
        self.hyperparameters: dict[str, Any] = {"domains": len(domains), "attributes": attributes}
        self.contents = contents
        self._images, self.reader = images, Reader(background)

    def hold_out(self, share: float) -> dict[str, list[str]]:
        """Leave out a share of the images, by a hash of their names; return their names."""
        kept, held = hold_out(
            self._images, share, lambda image: image.name, lambda image: (self.contents[image.path],)
        )  # fmt: skip
        for number, name in enumerate(self.domains):
            rest, out = (sum(image.label[number] for image in side) for side in (kept, held))
            check_held_out(name, share, rest, out)
        self._images = kept
        self.contents = {image.path: self.contents[image.path] for image in kept}
        self.report.lines.append(
            f"validation: {plural(len(held), 'image')}, chosen by a hash of their names, are not trained on"
        )
        return {"images": [image.name for image in held]}

    def __len__(self) -> int:
        return len(self._images)

    def sample(self, position: int, seed: int, view: View) -> dict[str, Tensor]:
        """Return "x", float32 [c, h, w] in [-1, 1], and "c", float32 [domains]: one-hot, or 1 for each attribute.

        Each image is seen once per epoch, in a new order each epoch, so domains appear as often as they have images.
        Raises ImageError for a file that can no longer be read.
        """
        seed %= 2**64  # NumPy takes no negative one
        placement = place(view, np.random.default_rng((seed, position)))
        image = self._images[index_at(position, len(self._images), seed)]
        (pixels,) = self.reader(view, Wanted(image.path, self.source))
        return {
            "x": altered(to_tensor(cut(pixels, view, placement), self.source), view, placement, self.source.alpha),
            "c": torch.tensor(image.label, dtype=torch.float32),
        }


def read_domains(
    data: Folder | None, split: str, channels: str | int, max_bad: int,
    progress: Callable[[int, int], None] | None, attributes: Folder | None, select: str | None,
    background: Background, ranges: Ranges | None,
) -> ManyDomains:  # fmt: skip
    """Read a dataset of kind "domains"; see ``read_folders``."""
    if data is None:
        raise DataError("no data: give --data DIR with one folder per domain in it, or with --attributes FILE")
    root, table = existing(data), read_table(attributes) if attributes is not None else None
    if table is None:
        domains, images = _in_folders(root, split, select)
        left_out: list[str] = []
    else:
        domains, images, left_out = _in_table(root, split, table, select)
        if len(left_out) > max_bad:
            raise DataError(
                f"images or rows of {table.path} without a counterpart: {len(left_out)} (at most {max_bad} may be left "
                f"out, with --max-bad):\n{named(left_out)}"
            )
    facts, unreadable = read_all([image.path for image in images], max_bad, progress, len(left_out))
    images = [image for image in images if image.path in facts]
    if empty := [name for i, name in enumerate(domains) if table is None and not any(m.label[i] for m in images)]:
        raise DataError(f"{root}: no image of the domain {empty[0]!r} can be read")
    if not images:
        raise DataError(f"{root}: no image in it can be read")
    mine = {image.name: facts[image.path] for image in images}
    domain = domain_of(domain_name(root), mine, channels, ranges)
    report = Report([f"domains: {root}, {len(domains)} " + ("domains" if table is None else f"of {table.path.name}")])
    if table is None:
        _describe_folders(report, domain, domains, images, facts, background)
        if loose := _loose(domain_folders(root, split)[1]):
            subject, are = ("images", "are") if loose > 1 else ("image", "is")
            report.warnings.append(f"{loose} {subject} beside the domains' folders {are} left out")
    else:
        _describe_table(report, domain, domains, images, facts, background)
    warn_of(report, left_out + unreadable)
    fingerprint = _fingerprint(domains, images, facts)
    contents = {path: fact.digest for path, fact in facts.items()}
    return ManyDomains(domain, domains, table is not None, images, report, fingerprint, background, contents)


def has_domains(split: str, data: Folder, attributes: bool) -> bool:
    """True if the split exists and is not simply all the data."""
    root = existing(data)
    return split in subfolders(root) if attributes else bool(domain_folders(root, split)[0])


def _loose(folder: Path) -> int:
    """Count the images directly in a folder."""
    files = (path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and path.name[0] != ".")
    return sum(path.is_file() for path in files)


def _in_folders(root: Path, split: str, select: str | None) -> tuple[tuple[str, ...], list[LabelledImage]]:
    found, inside = domain_folders(root, split)
    there = tuple(found)
    domains = tuple(there[i] for i in chosen(there, select, inside)) if there else ()
    if len(domains) < 2:
        what = f"the one domain {domains[0]!r} is not enough" if domains else "there is no folder of a domain"
        raise DataError(f"{inside}: {what}; expected {_EXPECTED}")
    problems: list[str] = []
    images = []
    for i, name in enumerate(domains):
        label = tuple(int(i == other) for other in range(len(domains)))
        if splits := sorted(subfolders(found[name]).keys() & SPLITS):
            problems.append(
                f"{found[name]} has {' and '.join(splits)} inside; expected them above: {root}/train/{name}"
            )
        paths = list_images(found[name], lambda error: problems.append(str(error)))
        if not paths and not problems:
            problems.append(f"{found[name]}: no images in this folder")
        images += [LabelledImage(path, f"{name}/{path.relative_to(found[name]).as_posix()}", label) for path in paths]
    if problems:
        raise DataError(f"{plural(len(problems), 'problem')} with the data:\n{named(problems)}")
    return domains, images


def _in_table(
    root: Path, split: str, table: Table, select: str | None
) -> tuple[tuple[str, ...], list[LabelledImage], list[str]]:
    """Return the selected names, the labelled images of the split, and the rows and images without a counterpart.

    A row names its image by its path below the data folder, by a path below a folder above it, or by the file name
    alone. With splits, one table covers all of them.
    """
    columns = chosen(table.names, select, table.path)
    folders = subfolders(root)
    inside = folders.get(split, root / split) if folders.keys() & SPLITS else root
    if not inside.is_dir() or (inside == root and split != "train"):
        raise DataError(f"{root}: no '{split}' data here")
    problems: list[str] = []
    everything = list_images(root, lambda error: problems.append(str(error)))
    named_by = rows.Images(root, everything)
    images, left_out, used = [], [], set()
    for name, values in table.rows.items():
        paths = named_by(name)
        if len(paths) > 1:
            problems.append(f"{name}: there are {len(paths)} images of this name, {paths[0]} and {paths[1]}")
        elif not paths:
            left_out.append(f"{name}: the table has a row, but {root} has no such image")
        elif paths[0] in used:
            problems.append(f"{name}: {paths[0]} already has a row")
        else:
            used.add(paths[0])
            if paths[0].is_relative_to(inside):
                images.append(LabelledImage(paths[0], name, tuple(values[column] for column in columns)))
    if problems:
        raise DataError(f"{plural(len(problems), 'problem')} with the data:\n{named(problems)}")
    left_out += [f"{path}: no row in {table.path.name}" for path in everything if path not in used]
    return tuple(table.names[column] for column in columns), images, left_out


def _describe_folders(
    report: Report, domain: Domain, domains: tuple[str, ...], images: list[LabelledImage], facts: dict[Path, Facts],
    background: Background,
) -> None:  # fmt: skip
    seen: dict[bytes, str] = {}
    both = []
    for i, name in enumerate(domains):
        mine = {image.name: facts[image.path] for image in images if image.label[i]}
        part = describe_domain(name, "domain", mine, domain, background)
        report.sizes |= part.sizes
        report.lines += part.lines
        report.warnings += part.warnings
        both += [f"{image} = {seen[fact.digest]}" for image, fact in mine.items() if fact.digest in seen]
        seen |= {fact.digest: image for image, fact in mine.items()}
    if both:
        report.warnings.append(f"{plural(len(both), 'file')} in two domains: " + ", ".join(both[:5]))


def _describe_table(
    report: Report, domain: Domain, domains: tuple[str, ...], images: list[LabelledImage], facts: dict[Path, Facts],
    background: Background,
) -> None:  # fmt: skip
    mine = {image.name: facts[image.path] for image in images}
    part = describe_domain(domain.name, "images", mine, domain, background)
    report.sizes |= part.sizes
    report.lines += part.lines
    report.warnings += part.warnings
    counts = np.sum([image.label for image in images], axis=0)
    report.lines.append("attributes: " + ", ".join(f"{n} {k}" for n, k in zip(domains, counts, strict=True)))
    for name, count in zip(domains, counts, strict=True):
        if count in (0, len(images)):
            what = "no image has it" if count == 0 else "every image has it"
            report.warnings.append(f"attribute {name}: {what}, so it cannot be learned")


def _fingerprint(domains: tuple[str, ...], images: list[LabelledImage], facts: dict[Path, Facts]) -> str:
    known = hashlib.sha256("\n".join(("domains", *domains)).encode("utf-8", "surrogateescape"))
    for image in images:
        line = f"\0{image.name}\0{image.label}\0{facts[image.path].size}\0{facts[image.path].bytes}"
        known.update(line.encode("utf-8", "surrogateescape"))
    return known.hexdigest()
