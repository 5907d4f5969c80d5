"""A large image through a model: its statistics first, then its tiles, row by row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from i2i.runtime import processing
from i2i.runtime.errors import ModelError
from i2i.runtime.graphs.instance_norm import Values
from i2i.runtime.system.host import available_memory
from i2i.runtime.tiles.grid import BLEND, STEP, Span, cut
from i2i.runtime.tiles.shared_statistics import Picture, Runner, gathered, sampled
from i2i.spec import Spec

SIDE = 768
"""Pixels of a tile where there is memory. Tiles of 1024 would see 5 % less twice, and take 1.8 times the memory."""
_SMALLER = (512, 384, 256)
_TAKES = 2048  # bytes for each pixel of a tile; generators with 64 filters take about 1,000
NEAR = 32
"""Of what lies further away than that, a result knows little: 52 dB on a network with random weights."""

Progress = Callable[[int, int], None]
"""Is called with the tiles that are done, and all there are; a pass over the image for statistics counts as well."""


class Array:
    """A picture that is in memory."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.height, self.width = array.shape[:2]

    def read(self, rows: slice, columns: slice) -> np.ndarray:
        return self.array[rows, columns]


@dataclass(frozen=True)
class Tiling:
    """How an image is cut.

    ``exact`` goes over it once for each normalisation that rests on another, and gathers the statistics of the whole
    image; else they are those of patches. ``side`` is that of what the network sees at once, a multiple of 32.
    """

    exact: bool = False
    side: int = SIDE


def check(spec: Spec, name: str) -> None:
    """ModelError unless the model can be tiled without a seam."""
    if spec.form is not None:
        raise ModelError(
            f"{name} cannot be tiled: others made it, and nothing says how far a pixel of its result sees. Make the "
            "image smaller; a file that takes one size alone can be run part by part (fit tile)"
        )
    if spec.tiling == "no" or spec.receptive_field is None:
        raise ModelError(
            f"{name} cannot be tiled: a pixel of its result depends on the whole image, not only on its "
            "neighbourhood. Make the image smaller, or take a model whose `receptive_field` is known"
        )
    if spec.io != "pixels":
        raise ModelError(f"{name} is a bare network; `i2i export --io pixels` writes a file that can be tiled")


def side(spec: Spec, exact: bool) -> int:
    """Of a tile, in pixels: what half of the free memory holds, up to SIDE, and enough for what tiles see twice."""
    free = available_memory()
    found = next((s for s in (SIDE, *_SMALLER) if free is None or s * s * _TAKES <= free // 2), _SMALLER[-1])
    return max(found, 2 * halo(spec, exact) + 2 * STEP)


def halo(spec: Spec, exact: bool) -> int:
    """What a tile sees beyond its core, in pixels: a multiple of STEP."""
    reach = (spec.receptive_field or 1) // 2 + 1 + BLEND
    if not exact and spec.tiling == "statistics":
        reach = min(reach, NEAR)
    return -(-reach // STEP) * STEP


def translate_tiled(
    graph: Any,
    image: np.ndarray,
    target: np.ndarray | None = None,
    tiling: Tiling | None = None,
    progress: Progress | None = None,
) -> np.ndarray:
    """[h, w, c] as the graph takes it, tile by tile, to [h, w, c'].

    Raises ModelError for a model that cannot be tiled, and NonFiniteError.
    """
    result: np.ndarray | None = None
    top = 0
    for strip in strips(graph, Array(image), target, tiling or Tiling(), progress):
        if result is None:
            result = np.empty((*image.shape[:2], strip.shape[2]), strip.dtype)
        result[top : top + len(strip)] = strip
        top += len(strip)
    assert result is not None
    return result


def strips(
    graph: Any, picture: Picture, target: np.ndarray | None, tiling: Tiling, progress: Progress | None = None
) -> Iterator[np.ndarray]:
    """The result from top to bottom, in strips [rows, width, c'] of as many rows as a tile has, or fewer.

    ``graph`` has a ``path``, ``spec``, ``provider`` and ``threads``; ``target`` is the second input of a model of
    several domains, [1] or [1, D].
    """
    spec: Spec = graph.spec
    check(spec, graph.path.name)
    around = halo(spec, tiling.exact)
    if tiling.side < 2 * around + 2 * STEP:
        raise ModelError(
            f"tiles of {tiling.side} pixels are too small for {graph.path.name}, which sees {around} pixels beyond "
            f"each; take at least {2 * around + 2 * STEP}"
        )
    length = tiling.side // STEP * STEP
    down, across = cut(picture.height, length, around), cut(picture.width, length, around)
    runner = Runner(graph, target)
    if spec.tiling == "statistics" and not runner.forms.norms:
        raise ModelError(
            f"{graph.path.name} normalises by the whole image in a way that is not known here, so it cannot be tiled"
        )
    passes = runner.forms.levels if tiling.exact else 0
    done, total = 0, (passes + 1) * len(down) * len(across)

    def tick() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    if not runner.forms.norms:
        values: Values = []
    elif tiling.exact:
        values = gathered(runner, picture, down, across, tick)
    else:
        values = sampled(runner, picture, spec.source.peak)
    run = runner.open(runner.forms.fixed(values))
    carried: np.ndarray | None = None
    for rows in down:
        strip = _row(run, picture, rows, across, tick)
        if carried is not None:
            strip[: len(carried)] += carried
        whole = rows.kept.stop - rows.kept.start - (2 * BLEND if rows is not down[-1] else 0)
        carried = strip[whole:]
        yield np.rint(strip[:whole]).astype(np.uint8) if spec.dtype == "uint8" else strip[:whole]


def _row(
    run: Callable[..., list[np.ndarray]], picture: Picture, rows: Span, across: list[Span], tick: Callable[[], None]
) -> np.ndarray:
    """A row of tiles, float32 [kept rows, width, c'], weighted towards the rows above and below."""
    strip: np.ndarray | None = None
    for columns in across:
        (result,) = run(picture.read(rows.seen, columns.seen)[None])
        processing.check_finite(result[0])
        if strip is None:
            strip = np.zeros((rows.kept.stop - rows.kept.start, picture.width, result.shape[3]), np.float32)
        weights = rows.ramp()[:, None, None] * columns.ramp()[:, None]
        strip[:, columns.kept] += weights * result[0, rows.inside, columns.inside]
        tick()
    assert strip is not None
    return strip
