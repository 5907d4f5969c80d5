"""Curves as SVG within a page: one chart for each figure, one line for each run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

from i2i.reporting.records import Points

WIDTH, HEIGHT = 320, 180
LEFT, RIGHT, TOP, BOTTOM = 46, 308, 10, 152
MOST = 400  # points of a line; more are averaged
COLOURS = 6  # lines of different colours and dashes, in the style sheet


@dataclass(frozen=True)
class Line:
    """One run's line: its number, which decides the colour, its name and its points."""

    number: int
    name: str
    points: Points


def chart(title: str, lines: Sequence[Line], best: float | None = None) -> Markup:
    """Return a chart as an ``svg`` element. ``best`` is a step to mark."""
    lines = [Line(line.number, line.name, thinned(line.points)) for line in lines if line.points]
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points]
    x_ticks, y_ticks = ticks(min(0.0, *xs), max(xs), 3), ticks(min(ys), max(ys), 4)
    x_low, x_high = min(0.0, *xs), max(max(xs), 1e-9)
    y_low, y_high = min(y_ticks[0], min(ys)), max(y_ticks[-1], max(ys))

    def at(x: float, y: float) -> tuple[float, float]:
        across = (x - x_low) / (x_high - x_low or 1)
        up = (y - y_low) / (y_high - y_low or 1)
        return LEFT + across * (RIGHT - LEFT), BOTTOM - up * (BOTTOM - TOP)

    parts = []
    for y in y_ticks:
        height = at(0, y)[1]
        parts.append(f'<path class="grid" d="M{LEFT} {height:.1f}H{RIGHT}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 6}" y="{height + 4:.1f}" text-anchor="end">{number(y)}</text>')
    for x in x_ticks:
        across = at(x, 0)[0]
        if across <= RIGHT:
            place = f'x="{across:.1f}" y="{BOTTOM + 18}" text-anchor="middle"'
            parts.append(f'<text class="tick" {place}>{number(x)}</text>')
    if best is not None and x_low <= best <= x_high:
        across = at(best, 0)[0]
        parts.append(f'<path class="best" d="M{across:.1f} {TOP}V{BOTTOM}"/>')
    for line in lines:
        spots = [at(*point) for point in line.points]
        style = f"line line-{line.number % COLOURS}"
        if len(spots) > 1:
            parts.append(f'<path class="{style}" d="M{"L".join(f"{x:.1f} {y:.1f}" for x, y in spots)}"/>')
        if len(spots) <= 12:
            parts += [f'<circle class="{style}" cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>' for x, y in spots]
    ends = [(line.name, number(line.points[0][1]), number(line.points[-1][1])) for line in lines]
    spoken = "; ".join(f"{name}: from {first} to {last}" for name, first, last in ends)
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, HEIGHT, f"{title} by step. {spoken}", Markup("".join(parts))
    )


def thinned(points: Points, most: int = MOST) -> Points:
    """Return at most ``most`` points: the means of equal parts where there are more."""
    if len(points) <= most:
        return points
    parts = np.array_split(np.array(points, dtype=np.float64), most)
    return [(float(part[:, 0].mean()), float(part[:, 1].mean())) for part in parts]


def ticks(low: float, high: float, count: int) -> list[float]:
    """Return round numbers that span ``low`` to ``high``, about ``count`` steps of 1, 2 or 5 times a power of ten."""
    if not high > low:
        margin = abs(high) / 2 or 1.0
        low, high = low - margin, high + margin
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [n * step for n in range(first, last + 1)]


def number(value: float) -> str:
    """Return a number of three digits for people: "0.25", "12k", "1e-05"."""
    size = abs(value)
    if size >= 10_000_000 or 0 < size < 0.0005:
        return f"{value:.3g}"
    if size >= 10_000:
        return f"{value / 1000:.4g}k"
    return f"{value:.3f}".rstrip("0").rstrip(".") if size < 10 else f"{value:.4g}"


def legend(names: Sequence[str]) -> list[tuple[Markup, str]]:
    """Return the sample of each line and its name."""
    sample = '<svg class="sample" viewBox="0 0 28 8" aria-hidden="true"><path class="line line-{}" d="M1 4H27"/></svg>'
    return [(Markup(sample).format(escape(n % COLOURS)), name) for n, name in enumerate(names)]
