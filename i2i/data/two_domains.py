"""Datasets of two domains, paired or unpaired."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, from_numpy

from i2i.data.facts import Facts
from i2i.data.inspection import Report, describe_domain, named, read_all, warn_of
from i2i.data.layout import Folder, Layout, Source, find_layout, list_sources
from i2i.data.masks import Masks, find_masks
from i2i.data.pixel_format import Ranges, domain_of
from i2i.data.reader import Reader, Wanted
from i2i.data.shuffle import index_at
from i2i.data.transforms import View, altered, cut, place, recoloured, to_tensor
from i2i.data.validation_split import check_held_out, hold_out
from i2i.errors import DataError
from i2i.images.derive import derive, derived_domain
from i2i.spec import Background, Domain
from i2i.text import plural

ROLES = ("source", "target")
FEW, COMMON = 10, 0.1  # pairs, or share of them, up to which one image makes them copies of each other


class TwoDomains:
    """Readable images of a source domain (x) and a target domain (y).

    In pairs, equal positions belong together. ``len`` is an epoch: the number of pairs, or of images in the larger
    domain.
    """

    def __init__(
        self, kind: str, source: Domain, target: Domain, x: Sequence[Source], y: Sequence[Source], report: Report,
        fingerprint: str, background: Background, contents: Mapping[Path, bytes],
    ) -> None:  # fmt: skip
        self.kind, self.source, self.target = kind, source, target
        self.report, self.fingerprint = report, fingerprint
        self.domains: tuple[str, ...] = ()
        self.hyperparameters: dict[str, Any] = {}
        self.contents = contents
        self.masks: tuple[Masks | None, Masks | None] = (None, None)
        self._x, self._y, self.reader = x, y, Reader(background)

    def hold_out(self, share: float) -> dict[str, list[str]]:
        """Leave out a share of the images, by a hash of their names; return their names, of each role."""
        kept: list[list[Source]]
        held: list[list[Source]]
        if self.kind == "pairs":
            rest, out = hold_out(
                list(zip(self._x, self._y, strict=True)), share, lambda pair: pair[0].name, self._contents_of_pairs()
            )
            kept, held = ([[pair[side] for pair in pairs] for side in (0, 1)] for pairs in (rest, out))
        else:
            halves = [hold_out(side, share, lambda s: s.name, lambda s: (self.contents[s.path],))
                      for side in (self._x, self._y)]  # fmt: skip
            kept, held = ([half[n] for half in halves] for n in (0, 1))
        for domain, rest_of, out_of in zip((self.source, self.target), kept, held, strict=True):
            check_held_out(domain.name, share, len(rest_of), len(out_of))
        self._x, self._y = kept
        self.contents = {source.path: self.contents[source.path] for side in kept for source in side}
        left_out = {role: [source.name for source in side] for role, side in zip(ROLES, held, strict=True)}
        counts = " and ".join(f"{len(names)} of {role}" for role, names in left_out.items())
        self.report.lines.append(f"validation: {counts}, chosen by a hash of their names, are not trained on")
        return left_out

    def _contents_of_pairs(self) -> Callable[[tuple[Source, Source]], tuple[Any, ...]]:
        """Return a function from a pair to what makes another its copy: an equal x or y, as of one truth of several x.

        An image that is in many pairs, such as a map without any class, makes none of them a copy by itself.
        """
        many = max(COMMON * len(self._x), FEW)
        counts = [Counter(self.contents[source.path] for source in side) for side in (self._x, self._y)]

        def contents(pair: tuple[Source, Source]) -> tuple[Any, ...]:
            keys = [(side, self.contents[source.path]) for side, source in enumerate(pair)]
            return (tuple(keys), *(key for key in keys if counts[key[0]][key[1]] <= many))

        return contents

    def __len__(self) -> int:
        return max(len(self._x), len(self._y))

    def sample(self, position: int, seed: int, view: View) -> dict[str, Tensor]:
        """Return "x" and "y", float32 [c, h, w] in [-1, 1], at a position of the endless sequence 0, 1, 2, ...

        Each source image is seen once per epoch of its own length, in a new order each epoch. An unpaired target is
        drawn at random. Raises ImageError for a file that can no longer be read.
        """
        seed %= 2**64  # NumPy takes no negative one
        rng = np.random.default_rng((seed, position))
        index = index_at(position, len(self._x), seed)
        placement = other = place(view, rng)
        left = self._x[index]
        if self.kind == "pairs":
            right = self._y[index]
        else:
            right, other = self._y[int(rng.integers(len(self._y)))], place(view, rng)
        if left.derive:
            (pixels,) = self.reader(view, Wanted(right.path, self.target, right.half))
            y = recoloured(cut(pixels, view, placement), self.target, view, placement)
            x = derive(y, left.derive, np.random.default_rng((seed, position, 1)))
            view = replace(view, colour=0.0)  # x has the new colours of y
        else:
            wanted = Wanted(left.path, self.source, left.half), Wanted(right.path, self.target, right.half)
            x, y = self.reader(view, *wanted)
            x, y = cut(x, view, placement), cut(y, view, other)
        found = {
            "x": altered(to_tensor(x, self.source), view, placement, self.source.alpha, source=True),
            "y": altered(to_tensor(y, self.target), view, other, self.target.alpha),
        }
        for name, masks, source, at in zip(
            ("mask", "mask_y"), self.masks, (left, right), (placement, other), strict=True
        ):
            if masks is not None:
                found[name] = from_numpy(masks.read(self.reader, source.path, view, at))
        return found

    def add_masks(self, folder: Folder, direction: str) -> None:
        """Take the masks in a folder into the samples, those of the source as "mask"; see ``find_masks``.

        If it has the folders a and b, they are those of both domains, and "mask_y" has those of the target.
        """
        sides = [Path(folder, name) for name in ("a", "b")]
        both = all(side.is_dir() for side in sides)
        there, back = sides if direction == "a2b" else sides[::-1]
        x = find_masks(there if both else folder, self._x)
        y = find_masks(back, self._y) if both else None
        self.masks = x, y
        prints = (self.fingerprint, x.fingerprint, y.fingerprint if y else "")
        self.fingerprint = hashlib.sha256(" ".join(prints).encode()).hexdigest()
        words = "source and target" if both else "source"
        self.report.lines.append(f"masks: {folder}, of the {words}")


def read_sides(
    kind: str, data: Folder | None, a: Folder | None, b: Folder | None, direction: str, split: str,
    channels: str | int, max_bad: int, progress: Callable[[int, int], None] | None,
    background: Background, ranges: Mapping[str, Ranges], derived: str | None,
) -> TwoDomains:  # fmt: skip
    """Read a dataset of kind "pairs" or "unpaired"; see ``read_folders``."""
    if derived and (kind != "pairs" or direction != "a2b"):
        raise DataError("--derive makes pairs, from A to B: choose a method that learns from pairs, such as pix2pix")
    layout = find_layout(split, data, a, b, derived)
    sides = list_sources(layout, kind)
    if sides[2]:
        raise DataError(f"{plural(len(sides[2]), 'problem')} with the data:\n{named(sides[2])}")
    paths = list(dict.fromkeys(source.path for side in sides[:2] for source in side))
    facts, left_out = read_all(paths, max_bad, progress)
    one, two = _keep(kind, sides[0], sides[1], facts)
    _refuse(kind, layout, one, two, facts)
    if direction == "b2a":
        one, two = two, one
    names = layout.names if direction == "a2b" else layout.names[::-1]
    found: list[dict[str, Facts]] = [{s.name: _half(facts[s.path], s) for s in side} for side in (one, two)]
    source, target = (
        domain_of(name, side, channels, ranges.get(letter, ranges.get("")))
        for name, side, letter in zip(names, found, direction.split("2"), strict=True)
    )
    if derived:
        try:
            source = derived_domain(target, derived)
        except ValueError as error:
            raise DataError(str(error)) from error
    report = _report(kind, layout, (source, target), found, background)
    warn_of(report, left_out)
    contents = {path: fact.digest for path, fact in facts.items()}
    fingerprint = _fingerprint(kind, one, two, facts)
    return TwoDomains(kind, source, target, one, two, report, fingerprint, background, contents)


def _keep(kind: str, a: list[Source], b: list[Source], facts: dict[Path, Facts]) -> tuple[list[Source], list[Source]]:
    """Return the readable images; of a pair, both or neither."""
    if kind == "unpaired":
        return [s for s in a if s.path in facts], [s for s in b if s.path in facts]
    kept = [(s, t) for s, t in zip(a, b, strict=True) if s.path in facts and t.path in facts]
    return [s for s, _ in kept], [t for _, t in kept]


def _refuse(kind: str, layout: Layout, a: list[Source], b: list[Source], facts: dict[Path, Facts]) -> None:
    """Raise DataError for readable images that do not form a dataset."""
    problems = []
    if layout.aligned:
        for source in a:
            height, width = facts[source.path].size
            if width % 2:
                problems.append(f"{source.path}: {width} x {height} has no two halves; A | B side by side is even")
    elif kind == "pairs":
        for s, t in zip(a, b, strict=True):
            (h, w), (high, wide) = facts[s.path].size, facts[t.path].size
            if (h, w) != (high, wide):
                problems.append(f"{s.path} is {w} x {h} and its pair {t.path} is {wide} x {high}")
    if not a or not b:
        problems.append(f"{layout.a if not a else layout.b}: no image in it can be read")
    if problems:
        raise DataError(f"{plural(len(problems), 'problem')} with the data:\n{named(problems)}")


def _report(
    kind: str,
    layout: Layout,
    domains: tuple[Domain, Domain],
    found: Sequence[dict[str, Facts]],
    background: Background,
) -> Report:
    where = f"{layout.a}, A | B side by side" if layout.aligned else f"{layout.a} and {layout.b}"
    report = Report([f"{kind}: {layout.b}, A made of B by {layout.derive}" if layout.derive else f"{kind}: {where}"])
    for role, domain, images in zip(ROLES, domains, found, strict=True):
        if layout.derive and role == "source":
            continue
        part = describe_domain(domain.name, role, images, domain, background)
        report.lines += part.lines
        report.warnings += part.warnings
        report.even |= part.even
        report.sizes |= part.sizes
    if layout.aligned and any(height > 1.1 * width for height, width in report.sizes.values()):
        report.warnings.append(
            f"{layout.a}: each file is cut into two images side by side, which are narrower than high here; if a file "
            "is one image, give two folders, --a DIR --b DIR"
        )
    if not (layout.aligned or layout.derive):
        of_target = {fact.digest: name for name, fact in found[1].items()}
        both = [f"{name} = {of_target[fact.digest]}" for name, fact in found[0].items() if fact.digest in of_target]
        if both:
            report.warnings.append(f"{plural(len(both), 'file')} in both domains: " + ", ".join(both[:5]))
    return report


def _half(facts: Facts, source: Source) -> Facts:
    height, width = facts.size
    if source.half is None:
        return facts
    left_or_right = source.half
    highest, extremes = (facts.highest[left_or_right],) * 2, (facts.extremes[left_or_right],) * 2
    even = (facts.even[left_or_right],) * 2
    return replace(facts, size=(height, width // 2), highest=highest, extremes=extremes, even=even)


def _fingerprint(kind: str, x: list[Source], y: list[Source], facts: dict[Path, Facts]) -> str:
    known = hashlib.sha256(kind.encode() + "".join(f"\0{way}" for way in {s.derive for s in x if s.derive}).encode())
    for side in (x, y):
        known.update(b"\0side\0")
        for source in side:
            line = f"{source.name}\0{source.half}\0{facts[source.path].size}\0{facts[source.path].bytes}\n"
            known.update(line.encode("utf-8", "surrogateescape"))
    return known.hexdigest()
