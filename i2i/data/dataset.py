"""Checked datasets: a sample is a pure function of (position, seed, view)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from i2i.data.captions import read_captions
from i2i.data.inspection import Report
from i2i.data.layout import Folder, find_layout
from i2i.data.many_domains import has_domains, read_domains
from i2i.data.one_set import has_images, read_images
from i2i.data.reader import Reader
from i2i.data.transforms import View
from i2i.data.two_domains import read_sides
from i2i.errors import DataError
from i2i.images.domains import kind as describe
from i2i.spec import EDGE, Background, Domain, parse_background, parse_ranges
from i2i.text import known_keywords

KINDS = ("pairs", "unpaired", "domains", "images", "captions")


class Dataset(Protocol):
    """Readable images of a source and a target domain, of many domains, or of one set.

    ``len`` is the length of an epoch.
    """

    kind: str
    source: Domain
    target: Domain
    report: Report
    fingerprint: str
    """Hash of the names, sizes and labels of all files; a run only continues with the same data."""
    domains: tuple[str, ...]
    """Names of the labels "c" of a sample; empty if there are none."""
    hyperparameters: dict[str, Any]
    """Keywords of the translator's constructor that the data decides, beyond the channels."""
    contents: Mapping[Path, bytes]
    """Digest of each file of these images: BLAKE2b of 16 bytes."""
    reader: Reader

    def hold_out(self, share: float) -> dict[str, list[str]]:
        """Leave out a ``share`` of the images (0 to 1), by a hash of their names; return their names by role.

        Raises DataError for a domain of which fewer than two would be held out, or none left.
        """
        ...

    def __len__(self) -> int: ...

    def sample(self, position: int, seed: int, view: View) -> dict[str, Tensor]:
        """Return the sample at a position of the endless sequence 0, 1, 2, ...

        Images are float32 [c, h, w] in [-1, 1]: "x" and "y", "x" and its labels "c", float32 [domains], "x" alone, or
        "x" with "text", int64 [words], a caption of it, and "wrong", one of another image. Raises ImageError for a file
        that can no longer be read.
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
    captions: Folder | None = None,
    background: Background = EDGE,
    range: str | None = None,
    derive: str | None = None,
) -> Dataset:
    """Find the images and decode each once; raise a DataError that names every file training would fail on.

    Args:
        kind: "pairs" matches A and B by name, or splits files that contain both; "unpaired" takes two sets as they are;
            "domains" takes any number of sets, or one set and a table of attributes; "images" takes one set, with the
            labels of "domains" where the folder has several domains or there is a table; "captions" takes one set with
            captions in a table or in text files.
        data: one folder with all domains, in any of the usual layouts; or else
        a, b: a folder of each of two domains.
        direction: "a2b" or "b2a", for two domains.
        split: "train", "val" or "test".
        channels: of all domains; "auto" is grey for a domain whose images are all grey, else colour. With 4 the
            network sees alpha.
        max_bad: number of unreadable files, images without a row and rows without an image that are left out and listed
            in the report instead of raising.
        progress: called with (files done, all files).
        attributes: path of the table, CelebA's or CSV.
        select: which domains or attributes to use, in order: names separated by commas.
        captions: path of the table of captions, CSV; by default ``captions.csv`` in the folder ``data``, else a text
            file beside each image.
        background: colour under transparent pixels for a network without alpha: "edge", the image's own visible
            colours continued, or the level (0 to 255) of a grey that the image is composited on.
        range: values that are -1 and 1 to a network, "LOW..HIGH" or "a=LOW..HIGH b=LOW..HIGH", with commas between
            those of several channels, or "found"; by default 0 to 255 or 65535 for pictures, and found for bands.
        derive: makes the source images of the target's, as "jpeg:20"; see i2i.images.derive. The target's folder is
            ``b`` or ``data``.
    """
    background = parse_background(background)
    try:
        ranges = parse_ranges(range)
    except ValueError as error:
        raise DataError(str(error)) from error
    given = {"kind": (kind, KINDS), "direction": (direction, ("a2b", "b2a")), "channels": (channels, ("auto", 1, 3, 4))}
    for name, (value, choices) in given.items():
        if value not in choices:
            raise DataError(f"{name} is {value!r}; choose one of {', '.join(map(str, choices))}")
    if captions is not None and kind != "captions":
        raise DataError(f"--captions is for methods that learn from captions; this one trains on {kind} data")
    if derive and kind != "pairs":
        raise DataError(f"--derive makes pairs, and this method trains on {kind} data; choose pix2pix, for example")
    if kind in ("domains", "images", "captions"):
        if a is not None or b is not None or direction != "a2b":
            what = "many domains" if kind == "domains" else "one set of images"
            layout = "with one folder per domain" if kind == "domains" else "with the images"
            raise DataError(f"this method takes {what}, not A, B and a direction; give --data DIR {layout}")
        if ranges.keys() - {""}:
            raise DataError(f"range is {range!r}; this method has no a and b: expected LOW..HIGH")
        if kind == "captions":
            if attributes is not None or select is not None:
                raise DataError("--attributes and --select are for labelled images; this method learns from captions")
            return _pictures(
                read_captions(data, split, channels, max_bad, progress, captions, background, ranges.get(""))
            )
        rest = data, split, channels, max_bad, progress, attributes, select, background, ranges.get("")
        return read_domains(*rest) if kind == "domains" else _pictures(read_images(*rest))
    if attributes is not None or select is not None:
        raise DataError(f"--attributes and --select are for many domains; this method trains on {kind} data")
    return read_sides(kind, data, a, b, direction, split, channels, max_bad, progress, background, ranges, derive)


def _pictures(dataset: Dataset) -> Dataset:
    """Return the dataset. Raises DataError for one of bands."""
    if dataset.source.bands:
        raise DataError(
            f"generators learn from pictures, grey or RGB of 8 or 16 bits, and these have {describe(dataset.source)}; "
            "methods that translate images take them, such as pix2pix or cyclegan"
        )
    return dataset


def has_split(
    split: str,
    data: Folder | None = None,
    a: Folder | None = None,
    b: Folder | None = None,
    *,
    kind: str = "unpaired",
    attributes: Folder | None = None,
    derive: str | None = None,
) -> bool:
    """True if the split exists and is not simply all the data."""
    try:
        if kind == "domains":
            return data is not None and has_domains(split, data, attributes is not None)
        if kind in ("images", "captions"):
            return data is not None and has_images(split, data)
        find_layout(split, data, a, b, derive)
    except DataError:
        return False
    return True


@known_keywords
def check(
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
    captions: Folder | None = None,
    background: Background = EDGE,
    range: str | None = None,
    derive: str | None = None,
) -> Report:
    """Check the images that a training would read: decode each once, and return a report of what is there.

    Args:
        kind: of the data: "pairs", A and B matched by name or side by side in one file; "unpaired", two sets; or
            "domains", any number of sets, or one set and a table of attributes; or "images", one set, with labels where
            it has folders of several classes or a table; or "captions", one set with captions.
        data: folder of all domains: aligned A|B files, ``trainA`` and ``trainB``, or a folder per domain.
        a: folder of the first domain's images, with ``b`` instead of ``data``.
        b: folder of the second domain's images.
        direction: "a2b" or "b2a", for two domains.
        split: part of the data set to read: "train", "val" or "test".
        channels: per image: 1 (grey), 3 (RGB), 4 (RGB with alpha), or "auto", as the files have.
        max_bad: number of unreadable files to skip before the data is refused, from 0.
        progress: called with the number of files done and of all files.
        attributes: table of attributes, as CelebA's or CSV.
        select: domains or attributes to use, names separated by commas; by default all.
        captions: table of captions, CSV; by default captions.csv in ``data``, else a text file beside each image.
        background: colour under transparent pixels: "edge", the image's visible colours continued, or 0 to 255, a grey
            level.
        range: values of the images that are lowest and highest to a network, "LOW..HIGH" for all, or
            "a=LOW..HIGH b=LOW..HIGH", or "found", what the images have; default 0 to 255 or 65535, and "found" for
            bands (float32, int16, two channels or more than three).
        derive: how pairs are made of the images of ``b`` or ``data`` alone, as "jpeg:20"; see ``i2i.train``.

    Returns the report; ``str(report)`` is its text.

    Raises DataError, which names every file that training would fail on, and ValueError for another wrong argument.
    """
    return read_folders(
        kind,
        data=data,
        a=a,
        b=b,
        direction=direction,
        split=split,
        channels=channels,
        max_bad=max_bad,
        progress=progress,
        attributes=attributes,
        select=select,
        captions=captions,
        background=background,
        range=range,
        derive=derive,
    ).report
