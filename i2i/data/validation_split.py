"""The images that are held out from training, for validation: a share of them, by a hash of their names."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Hashable, Sequence
from typing import TypeVar

from i2i.errors import DataError
from i2i.text import plural

FEWEST_HELD_OUT = 2  # images of a domain, which a distance of two sets needs
_Image = TypeVar("_Image")


def hold_out(
    images: Sequence[_Image],
    share: float,
    name: Callable[[_Image], str],
    contents: Callable[[_Image], Collection[Hashable]],
) -> tuple[list[_Image], list[_Image]]:
    """Return the images to train on, and those that are held out: a ``share`` from 0 to 1, by a hash of their names.

    Names count without their suffix, and nothing else does, so that a set that grows keeps its split, and images of one
    name in two folders are on one side. Copies of a held-out image, with one of its ``contents``, are held out as well,
    and so are copies of these.
    """

    def chosen(image: _Image) -> bool:
        stem = os.path.splitext(name(image))[0].encode("utf-8", "surrogateescape")
        return int.from_bytes(hashlib.sha256(stem).digest()[:8], "big") < share * 2**64

    shown = [contents(image) for image in images]
    copies: set[Hashable] = set()
    found = {content for image in images if chosen(image) for content in contents(image)}
    while found:
        copies |= found
        found = {content for each in shown if not copies.isdisjoint(each) for content in each} - copies
    sides: tuple[list[_Image], list[_Image]] = ([], [])
    for image, each in zip(images, shown, strict=True):
        sides[not copies.isdisjoint(each)].append(image)
    return sides


def check_held_out(name: str, share: float, rest: int, held: int) -> None:
    """Raise DataError if a domain has too few images for a ``share`` of them to be held out."""
    if held < FEWEST_HELD_OUT or not rest:
        raise DataError(
            f"{name}: a share of {share:g} of {plural(rest + held, 'image')} holds out {held} for validation and "
            f"leaves {rest} to train on; expected at least {FEWEST_HELD_OUT} and 1: give another "
            "--val-share, or a val split"
        )
