"""What is done with images that the memory does not hold: fewer at once, then tiles. Each step is said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from i2i.runtime.errors import ModelError, TooLargeError
from i2i.runtime.log import note

if TYPE_CHECKING:
    from pathlib import Path

    from i2i.runtime.tiles.tiler import Tiling
    from i2i.spec import Spec

    class Executor(Protocol):
        """A graph that runs whole images, or tiles of them."""

        spec: Spec
        path: Path

        def run(self, batch: np.ndarray, target: np.ndarray | None = None) -> np.ndarray: ...


WORDS = ("auto", "exact", "off")


@dataclass(frozen=True)
class Tile:
    """When images are translated in tiles, and how.

    ``how`` is ``auto`` (tiles where the memory does not hold the whole image, under the statistics of patches that
    stand for it), ``exact`` (tiles wherever there is room for two, under the statistics of the whole image, which takes
    a pass over it for each normalisation), the side of a tile in pixels (tiles of it wherever there is room for two),
    or ``off``.
    """

    how: str | int = "auto"
    progress: Callable[[int, int], None] | None = None
    """Is called with the tiles that are done, and all there are; each pass of ``exact`` counts as well."""
    say: Callable[[str], object] = note
    """Is told what the memory makes necessary; None: nobody is."""

    def __post_init__(self) -> None:
        if self.say is None:
            object.__setattr__(self, "say", lambda text: None)

    @classmethod
    def of(cls, text: str | int, **callbacks: Callable) -> Tile:
        """Takes "512" for 512. Raises ValueError for what is neither a word nor a positive number."""
        if isinstance(text, str) and text.isascii() and text.isdigit():
            text = int(text)
        if text not in WORDS and not (isinstance(text, int) and text > 0):
            raise ValueError(f"tile is {text!r}; choose {', '.join(WORDS)} or the side of a tile in pixels")
        return cls(text, **callbacks)

    def tiling(self, spec: Spec) -> Tiling:
        """How an image that is cut is cut, for a model with that Spec."""
        from i2i.runtime.tiles.tiler import Tiling, side

        exact = self.how == "exact"
        return Tiling(exact, side(spec, exact) if isinstance(self.how, str) else self.how)


def run(graph: Executor, batch: np.ndarray, target: np.ndarray | None, tile: Tile) -> np.ndarray:
    """``graph.run``, in tiles where that is asked for or the memory makes it necessary.

    Raises TooLargeError where the memory does not suffice and the model cannot be tiled, or is not to be.
    """
    if tile.how in ("auto", "off"):
        try:
            return graph.run(batch, target)
        except TooLargeError as error:
            if len(batch) > 1:
                return _halves(graph, batch, target, tile)
            if tile.how == "off":
                raise
            return _instead(graph, batch, target, tile, error)
    if len(batch) > 1:
        return np.concatenate([run(graph, image[None], target, tile) for image in batch])
    from i2i.runtime.tiles.tiler import translate_tiled  # which takes a while to import

    tiling = tile.tiling(graph.spec)
    if max(batch.shape[1:3]) <= tiling.side:
        return graph.run(batch, target)
    return translate_tiled(graph, batch[0], target, tiling, tile.progress)[None]


def _halves(graph: Executor, batch: np.ndarray, target: np.ndarray | None, tile: Tile) -> np.ndarray:
    half = len(batch) // 2
    tile.say(f"{len(batch)} images are too many at once; going on with {len(batch) - half}")
    return np.concatenate([run(graph, part, target, tile) for part in (batch[:half], batch[half:])])


def _instead(
    graph: Executor, batch: np.ndarray, target: np.ndarray | None, tile: Tile, error: TooLargeError
) -> np.ndarray:
    from i2i.runtime.tiles.tiler import check, translate_tiled

    try:
        check(graph.spec, graph.path.name)
    except ModelError as other:
        raise TooLargeError(f"{error}. {other}") from error
    height, width = batch.shape[1:3]
    tile.say(f"{width} x {height} pixels are too many at once; going on in tiles")
    return translate_tiled(graph, batch[0], target, tile.tiling(graph.spec), tile.progress)[None]
