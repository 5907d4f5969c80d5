"""Protocol of a figure: how it was measured, on which images, and the traps that these are in."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from i2i.data.layout import Source
from i2i.evaluation.pictures import RESIZE
from i2i.images import ImageError, read_header
from i2i.text import plural

LOSSY = frozenset(("JPEG", "WEBP", "AVIF", "HEIC"))
FEW = 2000  # images, below which the bias of the Frechet distance is of the order of differences between methods
NOT_ENCODED = "not encoded"


@dataclass(frozen=True)
class Facts:
    """Facts of a set of image files, from their headers: how many, sizes and formats, the most frequent first."""

    count: int
    sizes: tuple[tuple[int, int], ...]  # width, height
    formats: tuple[str, ...]
    alpha: bool

    @property
    def size(self) -> str:
        """The size in words: "256x256", or the range of different ones."""
        if len(self.sizes) == 1:
            return "{}x{}".format(*self.sizes[0])
        widths, heights = zip(*self.sizes, strict=True)
        return f"{min(widths)}x{min(heights)} to {max(widths)}x{max(heights)}"


def survey(sources: Sequence[Source]) -> Facts:
    """Read the headers of image files. Raises ImageError for a file that cannot be read."""
    sizes, formats, alpha = Counter[tuple[int, int]](), Counter[str](), False
    for source in sources:
        header = read_header(source.path)
        width = header.width
        if source.half is not None:
            if width % 2:
                raise ImageError(source.path, f"{width} pixels wide; two images side by side have an even width")
            width //= 2
        sizes[width, header.height] += 1
        formats[header.format] += 1
        alpha |= header.alpha
    ordered = [tuple(key for key, _ in counter.most_common()) for counter in (sizes, formats)]
    return Facts(len(sources), ordered[0], ordered[1], alpha)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Protocol:
    """Conditions under which a figure was measured. Figures of different protocols are not comparable."""

    results: int
    """Number of images that were judged."""
    reference: str
    """Where the real images are."""
    content: str | None
    """Digest of what the real images and the sources show, whatever their names, formats and place."""
    real: int
    """Number of real images."""
    paired: bool
    split: str | None
    """Of the data: test, val, train; None for a folder as it is."""
    size: str
    """How images were brought to a size before translation and comparison."""
    image_sizes: str
    """Of results and of real images."""
    formats: str
    """Of results and of real images, as they were decoded."""
    features: str | None
    """Name, hash and input of the feature extractor."""
    judge: str | None
    kid_subset: int | None
    kid_subsets: int
    seed: int
    background: str | None
    """Behind transparent pixels; None where there are none."""
    labels: str | None = None
    """Digest of the label maps and of their palette, for a judge that is a segmenter."""
    expected: str | None = None
    """The class that a judge should see: its name, or "of each folder"."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def line(self) -> str:
        """The protocol as one line for people."""
        if not self.real:
            return f"{plural(self.results, 'frame')} of {self.reference}, {self.formats}; {self.size}"
        parts = [
            f"{plural(self.results, 'result')} against {plural(self.real, 'real image')} of {self.reference}"
            + f" ({', '.join(each for each in (self.split, f'content {self.content}') if each)})",
            "pairs" if self.paired else "no pairs",
            self.size,
            self.image_sizes,
            self.formats,
        ]
        parts += [f"features {self.features}"] if self.features else []
        parts += [f"KID of {self.kid_subsets} subsets of {self.kid_subset}"] if self.kid_subset else []
        parts += [f"judge {self.judge}"] if self.judge else []
        parts += [f"label maps {self.labels}"] if self.labels else []
        parts += [f"class {self.expected}"] if self.expected else []
        parts += [f"transparency on {self.background}"] if self.background else []
        return "; ".join([*parts, f"seed {self.seed}"])

    def differences(self, other: Protocol | dict[str, Any]) -> list[str]:
        """Return in what two protocols differ, in words; empty where figures may stand in one table.

        Where images lie, and what their split is called, does not count if their content is the same.
        """
        theirs = other if isinstance(other, dict) else other.to_dict()
        same = self.content is not None and self.content == theirs.get("content")
        return [
            f"{f.name.replace('_', ' ')}: {getattr(self, f.name)} against {theirs.get(f.name)}"
            for f in fields(self)
            if getattr(self, f.name) != theirs.get(f.name) and not (same and f.name in ("reference", "split"))
        ]


def sizing(size: tuple[int, int] | None) -> str:
    """Return how images are brought to a size, in words."""
    if size is None:
        return "images at their own size"
    return f"images resized to cover {size[1]}x{size[0]} ({RESIZE}) and cropped at the centre"


def warnings_of(results: Facts, real: Facts, features: bool, resized: bool) -> list[str]:
    """Return the traps that these images are in."""
    found = []
    if LOSSY & set(results.formats) and not LOSSY & set(real.formats):
        found.append(
            f"the results are {', '.join(results.formats)} and the real images {', '.join(real.formats)}: lossy "
            "compression alone changes every figure; save the results as PNG"
        )
    if not resized and results.sizes[0] != real.sizes[0]:
        found.append(
            f"most results are {_of(results.sizes[0])} and most real images {_of(real.sizes[0])}: sharpness alone sets "
            "them apart; --size brings both to one size"
        )
    if features and min(real.count, results.count) < FEW:
        found.append(
            f"of fewer images than {FEW:,} the Frechet distance is biased upwards by about as much as methods differ; "
            "trust KID, which is not, and compare FD only at the same number of images"
        )
    return found


def _of(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def leaks(images: Iterable[tuple[str, str, str]], trained: dict[str, str]) -> list[str]:
    """Return the names of images, given as role, name and digest, whose decoded content is among the trained ones."""
    return [f"{name} = {trained[digest]}" for _, name, digest in images if digest in trained]


def of_files(files: Iterable[Path]) -> str:
    """Return a digest of the bytes of files, whatever their names."""
    digests = sorted(hashlib.sha256(file.read_bytes()).hexdigest() for file in files)
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()[:12]


def content(images: Iterable[tuple[str, str, str]]) -> str:
    """Return a digest of a set of images, given as role, name and digest, which does not depend on their names."""
    lines = "\n".join(sorted(f"{role} {digest}" for role, _, digest in images))
    return hashlib.sha256(lines.encode()).hexdigest()[:12]
