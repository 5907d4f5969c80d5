"""A checked dataset: what training sees at each position, as a pure function of (position, seed, view)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from torch import Tensor

from i2i.data.domains import has_domains, read_domains
from i2i.data.inspection import Report
from i2i.data.layout import Folder, find_layout
from i2i.data.sides import read_sides
from i2i.data.transforms import View
from i2i.errors import DataError
from i2i.spec import EDGE, Background, Domain, parse_background


class Dataset(Protocol):
    """Images that could all be read, of a source and a target domain, or of many domains; ``len`` is an epoch."""

    kind: str
    source: Domain
    target: Domain
    report: Report
    fingerprint: str
    """A hash of the names and sizes of all files, and of their labels: a run is only continued with the same."""
    domains: tuple[str, ...]
    """Names of the labels "c" of a sample, where it has any."""
    hyperparameters: dict[str, Any]
    """What a translator's constructor must know of the data beyond its channels."""

    def __len__(self) -> int: ...

    def sample(self, position: int, seed: int, view: View) -> dict[str, Tensor]:
        """What position 0, 1, 2 ... of the endless sequence shows: images float32 [c, h, w] in [-1, 1], "x" and "y";
        or "x" and its labels "c", float32 [domains].

        Raises ImageError for a file that has become unreadable.
        """
        ...


def read_folders(
    kind: str,
    *,
    data: Folder | None = None,
    a: Folder | None = None,
    b: Folder | None = None,
    direction: str = "a2b",
    split: str = "train",
    channels: str | int = "auto",
    max_bad: int = 0,
    progress: Callable[[int, int], None] | None = None,
    attributes: Folder | None = None,
    select: str | None = None,
    background: Background = EDGE,
) -> Dataset:
    """Finds the images, decodes each once, and raises a DataError that names every file training would stumble on.

    Args:
        kind: "pairs" matches A and B by name, or splits files that hold both; "unpaired" takes two sets as they are;
            "domains" takes any number of sets, or one and a table of what each of its images shows.
        data: one folder that holds all domains, in any of the usual ways; or else
        a, b: a folder of each of two domains.
        direction: "a2b" or "b2a", of two domains.
        split: "train", "val" or "test".
        channels: of all domains; "auto" is grey for a domain whose images are all grey, else colour. With 4 the
            network sees alpha.
        max_bad: unreadable files that are left out, and listed in the report, instead of being an error; and images
            without a row in the table, and rows without an image.
        progress: is told (files done, all files).
        attributes: the table, as CelebA's or CSV.
        select: which of the domains, or of the table's attributes, and in which order: names parted by commas.
        background: what a network without alpha sees where an image is transparent: "edge", the image's own visible
            colours continued, or the level (0 to 255) of a grey that the image is composited on.
    """
    background = parse_background(background)
    if (
        kind not in ("pairs", "unpaired", "domains")
        or direction not in ("a2b", "b2a")
        or channels not in ("auto", 1, 3, 4)
    ):
        raise DataError(f"kind {kind!r}, direction {direction!r}, channels {channels!r}: not a choice that there is")
    if kind == "domains":
        if a is not None or b is not None or direction != "a2b":
            raise DataError("many domains have no A, B and direction; give --data DIR with one folder a domain in it")
        return read_domains(data, split, channels, max_bad, progress, attributes, select, background)
    if attributes is not None or select is not None:
        raise DataError(f"--attributes and --select are about many domains, and this method trains on {kind} data")
    return read_sides(kind, data, a, b, direction, split, channels, max_bad, progress, background)


def has_split(
    split: str,
    data: Folder | None = None,
    a: Folder | None = None,
    b: Folder | None = None,
    *,
    kind: str = "unpaired",
    attributes: Folder | None = None,
) -> bool:
    """Whether that split is there, and is not merely all there is."""
    try:
        if kind == "domains":
            return data is not None and has_domains(split, data, attributes is not None)
        find_layout(split, data, a, b)
    except DataError:
        return False
    return True


def check(kind: str, **folders: object) -> Report:
    """What ``read_folders`` finds with the same arguments; raises its DataError."""
    return read_folders(kind, **folders).report  # type: ignore[arg-type]
