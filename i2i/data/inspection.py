"""Reports and warnings about the files of a dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from i2i.data.facts import DARK, Facts, inspect_files
from i2i.data.pixel_format import form_of, warnings_of
from i2i.errors import DataError
from i2i.spec import Background, Domain
from i2i.text import plural

EVEN = 1 / 3
"""Share of even pixels from which images are drawings: photographs have up to a tenth, on average over a domain."""
REDUCED, ENLARGED = 0.4, 2.0
"""Scales of training images between which translation at their own size is not noted as different."""
SHOWN = 20  # files that a message names; the others are counted


@dataclass
class Report:
    """The result of reading a dataset; ``str`` gives the whole text."""

    lines: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    even: dict[str, float] = field(default_factory=dict)
    """Mean share of the pixels of a domain's images that equal their neighbours, by domain."""
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Median height and width of a domain's images, by domain."""

    def __str__(self) -> str:
        return "\n".join([*self.lines, *(f"warning: {warning}" for warning in self.warnings)])


def named(items: Sequence[object], limit: int = SHOWN) -> str:
    """Return the first items, one per line, and the number of the others."""
    more = [f"... and {len(items) - limit} more"] if len(items) > limit else []
    return "\n".join(f"  {item}" for item in [*items[:limit], *more])


def describe_domain(name: str, role: str, facts: dict[str, Facts], domain: Domain, background: Background) -> Report:
    """Describe one domain. ``facts`` are keyed by image name; ``domain`` is the common form of its pixels."""
    report, form = Report(), form_of(domain, facts.values(), background)
    formats = ", ".join(f"{count} {kind}" for kind, count in Counter(f.format for f in facts.values()).most_common())
    sizes = Counter(f.size for f in facts.values())
    small, large = min(sizes, key=lambda size: size[0] * size[1]), max(sizes, key=lambda size: size[0] * size[1])
    span = f"{small[1]} x {small[0]}" + (f" to {large[1]} x {large[0]}" if len(sizes) > 1 else "")
    report.lines.append(f"{role} {name}: {plural(len(facts), 'image')} ({formats}), {span} pixels, read as {form}")

    def warn(text: str, names: Sequence[str]) -> None:
        if names:
            shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
            report.warnings.append(f"{name}: {len(names)} {text}: {shown}")

    warn("of one colour throughout", [n for n, f in facts.items() if f.flat])
    warn("with several frames, of which the first is used", [n for n, f in facts.items() if f.frames > 1])
    for text, names in warnings_of(domain, facts):
        warn(text, names)
    if domain.range is None and not domain.bands:
        report.warnings += _dark(name, facts.values())
    deep = [n for n, f in facts.items() if f.bits == 16]
    if deep and len(deep) < len(facts):
        warn("of 16 bits among images of 8 bits, to which they are reduced", deep)
    grey = [n for n, f in facts.items() if f.channels == 1 and not f.bands]
    if grey and len(grey) < len(facts):
        warn("grey among images of colour", grey)
    seen: dict[bytes, str] = {}
    twice = [f"{n} = {seen[f.digest]}" for n, f in facts.items() if seen.setdefault(f.digest, n) != n]
    warn("that repeat another file", twice)
    if len(facts) == 1:
        report.warnings.append(f"{name}: only one image; a translator learns little from it")
    height, width = (round(median(f.size[axis] for f in facts.values())) for axis in (0, 1))
    report.sizes[name] = height, width
    report.even[name] = sum(sum(f.even) / 2 for f in facts.values()) / len(facts)
    return report


def flat_note(even: Mapping[str, float], norm: object) -> str:
    """Return a note that images are too flat for the normalisation ``norm`` of a generator, or an empty string."""
    flat = [f"{name} {share:.0%}" for name, share in even.items() if share > EVEN]
    if norm != "instance" or not flat:
        return ""
    return (
        f"note: pixels that equal their neighbours: {', '.join(flat)}, as in drawings, maps and masks. Instance "
        "normalisation removes the colour of flat areas, which --set norm=group keeps, and --set residual=true where "
        "translations resemble their sources"
    )


def scale_note(sizes: Mapping[str, tuple[int, int]], covered: tuple[float, float]) -> str:
    """Return a note that images become much smaller or larger until they cover a size in training, or "".

    A translator gets images at their own size, where it has not seen such structures.
    """
    scales = {name: max(part / side for part, side in zip(covered, size, strict=True)) for name, size in sizes.items()}
    far = {name: scale for name, scale in scales.items() if not REDUCED <= scale <= ENLARGED}
    if not far:
        return ""
    words = [
        f"{name} ({sizes[name][1]} x {sizes[name][0]} pixels) "
        + (f"reduced {1 / scale:.1f} times" if scale < 1 else f"enlarged {scale:.1f} times")
        for name, scale in far.items()
    ]
    return (
        f"note: training resizes images: {', '.join(words)}. Translation takes them at their own size, where "
        "structures have other sizes than in training: choose a --size nearer to theirs"
        + (", or --augment crop:4, which reduces them less and crops;" if min(far.values()) < 1 else ";")
        + " or translate images resized as for training"
    )


def _dark(name: str, facts: Collection[Facts]) -> list[str]:
    """Return a warning if no image uses more than a quarter of its range, full scale (a common "no class") apart."""
    top, peak = max((max(fact.highest), 2**fact.bits - 1) for fact in facts)
    if not top or any(max(fact.highest) * DARK > 2**fact.bits - 1 for fact in facts):
        return []
    if peak > 255:
        bits = top.bit_length()
        most = 2**bits - 1
        fix = f"they fill {bits} of 16 bits: give their range: --range 0..{most}, or of one domain a=0..{most}"
    else:
        spread = f"multiply all below {peak} by {peak // top} or save each class in its own colour"
        fix = f"if they are class numbers, {spread}"
    images = plural(len(facts), "image")
    return [f"{name}: no value above {top} of {peak} in {images}, so the network sees almost black; {fix}"]


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
