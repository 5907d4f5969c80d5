"""Translation of a large image: its statistics first, then its tiles, row by row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from i2i.runtime import processing
from i2i.runtime.errors import ModelError
from i2i.runtime.graphs.instance_norm import Values
from i2i.runtime.system.host import available_memory
from i2i.runtime.tiles.grid import BLEND, STEP, Span, cut
from i2i.runtime.tiles.shared_statistics import TAKES, Network, Picture, Runner, gathered, sampled
from i2i.spec import Spec

SIDE = 768
"""Side of a tile in pixels if memory allows. 1024 would process 5 % less twice and take 1.8 times the memory."""
_SMALLER = (512, 384, 256)
NEAR = 32
"""Pixels of context that suffice with estimated statistics: 52 dB on a ResNet with random weights."""

Progress = Callable[[int, int], None]
"""Called with the number of finished tiles and of all tiles; passes over the image for statistics count too."""


class Array:
    """Picture in memory, [h, w, c]."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.height, self.width = array.shape[:2]

    def read(self, rows: slice, columns: slice) -> np.ndarray:
        return self.array[rows, columns]


@dataclass(frozen=True)
class Tiling:
    """Parameters of the cut.

    With ``exact`` the statistics are those of the whole image, in one pass per level of normalisations; else they are
    estimated from patches. ``side`` is the side of a network input in pixels, a multiple of 32.
    """

    exact: bool = False
    side: int = SIDE


def check(spec: Spec, name: str) -> None:
    """Raise ModelError, with the reason and the model's ``name``, if it cannot be tiled without seams."""
    if spec.form is not None:
        raise ModelError(
            f"{name} cannot be tiled: it is a third-party model of unknown receptive field. Make the image smaller; "
            "a model of one fixed size runs in parts after `i2i describe --fit tile`"
        )
    if spec.tiling == "no" or spec.receptive_field is None:
        raise ModelError(
            f"{name} cannot be tiled: a pixel of its result depends on the whole image, not only on its "
            "neighbourhood. Leave out --tile, make the image smaller, or use a model whose generator is no U-Net"
        )
    if spec.io != "pixels":
        raise ModelError(f"{name} is a bare network; `i2i export --io pixels` writes a file that can be tiled")


def side(spec: Spec, exact: bool) -> int:
    """Return the side of a tile in pixels: as half of the free memory allows, up to SIDE, but wider than its halo."""
    free = available_memory()
    found = next((s for s in (SIDE, *_SMALLER) if free is None or s * s * TAKES <= free // 2), _SMALLER[-1])
    return max(found, 2 * halo(spec, exact) + 2 * STEP)


def halo(spec: Spec, exact: bool) -> int:
    """Return the pixels that a tile needs beyond its core, a multiple of STEP."""
    reach = (spec.receptive_field or 1) // 2 + 1 + BLEND
    if not exact and spec.tiling == "statistics":
        reach = min(reach, max(NEAR, reach // 4))  # networks that halve more often see much of what is far
    return -(-reach // STEP) * STEP


def translate_tiled(
    network: Network,
    image: np.ndarray,
    target: np.ndarray | None = None,
    tiling: Tiling | None = None,
    progress: Progress | None = None,
) -> np.ndarray:
    """Translate [h, w, c], in the graph's input format, to [h, w, c'] in tiles.

    Args as in :func:`strips`. Raises ModelError for a model that cannot be tiled, and NonFiniteError for a result with
    NaN or infinity.
    """
    result: np.ndarray | None = None
    top = 0
    for strip in strips(network, Array(image), target, tiling or Tiling(), progress):
        if result is None:
            result = np.empty((*image.shape[:2], strip.shape[2]), strip.dtype)
        result[top : top + len(strip)] = strip
        top += len(strip)
    assert result is not None
    return result


def strips(
    network: Network, picture: Picture, target: np.ndarray | None, tiling: Tiling, progress: Progress | None = None
) -> Iterator[np.ndarray]:
    """Yield the result from top to bottom in strips [rows, width, c'], each at most as high as a tile.

    Args:
        network: an open model.
        picture: the image, in the graph's input format.
        target: second input of a model of several domains, [1] or [1, D]; else None.
        tiling: side of a tile, and how statistics are measured.
        progress: called after each tile.

    Raises ModelError for a model that cannot be tiled or tiles that are too small for it, and NonFiniteError.
    """
    spec: Spec = network.spec
    check(spec, network.path.name)
    around = halo(spec, tiling.exact)
    if tiling.side < 2 * around + 2 * STEP:
        raise ModelError(
            f"tiles of {tiling.side} pixels are too small for {network.path.name}, which needs {around} pixels beyond "
            f"each; choose at least {2 * around + 2 * STEP}"
        )
    length = tiling.side // STEP * STEP
    down, across = cut(picture.height, length, around), cut(picture.width, length, around)
    runner = Runner(network, target)
    if spec.tiling == "statistics" and not runner.forms.norms:
        raise ModelError(
            f"{network.path.name} cannot be tiled: it normalises over the whole image without "
            "InstanceNormalization nodes"
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
        values = sampled(runner, picture, spec.source)
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
    """Translate a row of tiles to float32 [kept rows, width, c'], weighted to blend with the rows above and below."""
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
