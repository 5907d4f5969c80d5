"""Functions shared by all kinds of datasets: reading files, a domain's pixel form, the order of an epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from i2i.data.inspection import SHOWN, Facts, Report, inspect_files, named
from i2i.errors import DataError
from i2i.images import Image, convert, seen
from i2i.spec import EDGE, Background, Domain
from i2i.text import plural


def read_all(
    paths: Sequence[Path], max_bad: int, progress: Callable[[int, int], None] | None, left_out: int = 0
) -> tuple[dict[Path, Facts], list[str]]:
    """Return the facts of all readable files and the errors of the others. Raises DataError for more than ``max_bad``.

    ``progress`` is called with (files done, all files). ``left_out`` files count towards ``max_bad``.
    """
    facts, failed = inspect_files(paths, progress)
    if len(failed) + left_out > max_bad:
        limit = f"at most {max_bad} may be, with --max-bad"
        if left_out:
            limit = f"with {left_out} without a counterpart; at most {max_bad} may be left out, with --max-bad"
        raise DataError(
            f"{len(failed)} of {plural(len(paths), 'file')} cannot be read ({limit}):\n{named([*failed.values()])}"
        )
    return facts, [str(error) for error in failed.values()]


def warn_of(report: Report, left_out: Sequence[str]) -> None:
    """Add the files left out to the report's warnings: the first by name, then the number of the others."""
    report.warnings += [f"left out: {error}" for error in left_out[:SHOWN]]
    if len(left_out) > SHOWN:
        report.warnings.append(f"left out: {len(left_out) - SHOWN} more")


def domain_of(name: str, found: Sequence[Facts], channels: str | int) -> Domain:
    """Return the common form of a domain's images; with channels "auto", grey if all of them are grey."""
    if channels == "auto":
        channels = 1 if all(fact.channels == 1 for fact in found) else 3
    return Domain(name, int(channels), 16 if all(fact.bits == 16 for fact in found) else 8)


def form_of(domain: Domain, found: Iterable[Facts], background: Background) -> str:
    """Describe the form of a domain in words."""
    colour = {1: "grey", 3: "RGB", 4: "RGBA"}[domain.channels]
    form = f"{domain.bits}-bit {colour}"
    if domain.channels != 4 and (clear := sum(fact.transparent for fact in found)):
        where = "filled from the visible colours" if background == EDGE else f"on a grey of {background}"
        form += f" ({clear} with transparency, {where})"
    return form


def in_form(image: Image, domain: Domain, background: Background) -> np.ndarray:
    """Return the image's pixels in the form of its domain, [h, w, channels].

    Alpha is a fourth channel where the domain has one, else what is transparent is seen over the ``background``.
    """
    if domain.channels != 4:
        return convert(seen(image, background), domain.channels, domain.bits)
    colour = convert(image.pixels, 3, domain.bits)
    if image.alpha is None:
        alpha = np.full(colour.shape[:2], domain.peak, colour.dtype)
    else:
        alpha = convert(image.alpha[..., None], 1, domain.bits)[..., 0]
    return np.dstack([colour, alpha])


def index_at(position: int, count: int, seed: int) -> int:
    """Return the index of the image at a position of the endless sequence: each once per epoch, in a new order."""
    return int(_permutation(count, seed, position // count)[position % count])


@lru_cache(maxsize=8)
def _permutation(count: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch, count)).permutation(count)
