"""Normalisation statistics of a whole image: estimated from patches, or exact in several passes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np

from i2i.runtime import processing
from i2i.runtime.errors import ModelError
from i2i.runtime.graphs.instance_norm import CORE, WEIGHTS, Statistics
from i2i.runtime.graphs.onnx_file import OpenedFile
from i2i.runtime.session import Session
from i2i.runtime.system.host import available_memory
from i2i.runtime.tiles import patch_sampling
from i2i.runtime.tiles.grid import STEP, Span
from i2i.spec import Domain, Spec

_BEYOND = 2**31 - 1
TAKES = 2048
"""Bytes per pixel of a tile; generators with 64 filters take about 1,000."""


class Network(Protocol):
    """A model that can be run in tiles."""

    @property
    def path(self) -> Path:
        """Its file."""

    @property
    def file(self) -> OpenedFile:
        """The file as it was when it was opened."""

    @property
    def spec(self) -> Spec:
        """Description of the file's input and output."""

    def open_graph(self, graph: bytes) -> Session:
        """Open a rewritten graph of the file."""

    def open_in_float32(self, graph: bytes) -> Session:
        """Open a rewritten graph of the file with float32 in place of every float16."""


class Picture(Protocol):
    """Image that is read in parts, in the graph's input format."""

    height: int
    width: int

    def read(self, rows: slice, columns: slice) -> np.ndarray:
        """Return [rows, columns, c] in the source's range."""


class Runner:
    """Sessions of the rewritten forms of one model, for one ``target`` (its second input, or None)."""

    def __init__(self, network: Network, target: np.ndarray | None) -> None:
        self.network, self.target = network, target
        self.forms = Statistics(network.file.unchanged())

    def open(self, form: bytes) -> Callable[..., list[np.ndarray]]:
        """Return the form as a function of a batch [n, h, w, c] and of its further inputs by name.

        It computes again in float32 if float16 overflows, and raises ModelError if the form fails.
        """
        network = self.network
        session = network.open_graph(form)
        names = [port.name for port in session.inputs]
        in_float32 = cache(lambda: network.open_in_float32(form))

        def run(batch: np.ndarray, **further: np.ndarray) -> list[np.ndarray]:
            feeds = {names[0]: np.ascontiguousarray(batch), **further}
            if self.target is not None:
                feeds[names[1]] = np.repeat(self.target, len(batch), axis=0)
            try:
                results = session.run(feeds)
                if network.spec.precision == "fp16" and not all(map(processing.all_finite, results)):
                    results = in_float32().run(feeds)
                return results
            except ModelError as error:
                shape = " x ".join(map(str, batch.shape))
                raise ModelError(f"{network.path.name} failed on a tile [{shape}]: {error}") from error

        return run


def sampled(runner: Runner, picture: Picture, domain: Domain) -> list[np.ndarray]:
    """Estimate the statistics of an image of that domain from patches."""
    patches, seen = [], []
    whole, count = np.zeros(1), 0
    size = patch_sampling.PATCH
    free = available_memory()
    room = patch_sampling.MOST if free is None else free // 2 // (size**2 * TAKES)  # they are one batch
    most = max(patch_sampling.FEWEST, room)
    places = patch_sampling.places(picture.height, picture.width, most)
    for top, left in places:
        patch = picture.read(slice(top, top + size), slice(left, left + size))
        patches.append(patch)
        seen.append(patch_sampling.features(patch, domain).mean((0, 1), dtype=np.float64))
    for top in range(0, picture.height, size):
        strip = patch_sampling.features(picture.read(slice(top, top + size), slice(0, picture.width)), domain)
        whole = whole + strip.sum((0, 1), dtype=np.float64)
        count += strip.shape[0] * strip.shape[1]
    weights = patch_sampling.weights(np.stack(seen), whole / count)
    run = runner.open(runner.forms.joint())
    (used,) = run(np.stack(patches), **{WEIGHTS: weights.reshape(-1, 1, 1, 1)})
    return runner.forms.split(used)


def gathered(
    runner: Runner, picture: Picture, down: list[Span], across: list[Span], tick: Callable[[], None]
) -> list[np.ndarray]:
    """Return the exact statistics of the image, level by level, in passes over the tiles ``down`` x ``across``.

    Each pass uses the statistics of the levels before. Calls ``tick`` after each tile.
    """
    forms = runner.forms
    known: dict[int, np.ndarray] = {}
    strides = _strides(runner)
    for level in range(1, forms.levels + 1):
        norms = [norm for norm in forms.norms if norm.level == level]
        run = runner.open(forms.gathering(level, known, strides))
        sums = [_Moments(norm.channels) for norm in norms]
        for rows in down:
            for columns in across:
                (top, bottom), (left, right) = _core(rows, picture.height), _core(columns, picture.width)
                core = np.array([top, left, bottom, right], np.int64)
                results = run(picture.read(rows.seen, columns.seen)[None], **{CORE: core})
                for i, moments in enumerate(sums):
                    mean, variance, shape = results[3 * i : 3 * i + 3]
                    moments.add(mean.ravel(), variance.ravel(), int(shape[2] * shape[3]))
                tick()
        known |= {norm.index: moments.statistics() for norm, moments in zip(norms, sums, strict=True)}
    return [known[norm.index] for norm in forms.norms]


def _core(span: Span, length: int) -> tuple[int, int]:
    """Return start and end of a tile's core, relative to the start of its input."""
    # The last core ends with the map, since the stride does not divide every length.
    stop = _BEYOND if span.core.stop == length else span.core.stop - span.seen.start
    return span.core.start - span.seen.start, stop


def _strides(runner: Runner) -> list[int]:
    """Return the stride of each normalised map. Raises ModelError if one is not a divisor of STEP."""
    side = 2 * STEP
    spec: Spec = runner.network.spec
    shapes = runner.open(runner.forms.shapes())(np.zeros((1, side, side, spec.source.channels), spec.dtype))
    strides = [side // int(shape[2]) if len(shape) == 4 and shape[2] else 0 for shape in shapes]
    for shape, stride in zip(shapes, strides, strict=True):
        if not stride or STEP % stride or tuple(shape[2:]) != (side // stride,) * 2:
            raise ModelError(
                f"{runner.network.path.name} cannot be tiled: it has feature maps of {shape.tolist()} for {side} pixels"
            )
    return strides


class _Moments:
    """Mean and variance combined part by part (Chan et al. 1983), in double precision."""

    def __init__(self, channels: int) -> None:
        self.count, self.mean, self.squares = 0, np.zeros(channels), np.zeros(channels)

    def add(self, mean: np.ndarray, variance: np.ndarray, count: int) -> None:
        total = self.count + count
        off = mean.astype(np.float64) - self.mean
        self.squares += variance.astype(np.float64) * count + off**2 * self.count * count / total
        self.mean = self.mean + off * count / total
        self.count = total

    def statistics(self) -> np.ndarray:
        return np.stack([self.mean, self.squares / self.count], 1).astype(np.float32)
