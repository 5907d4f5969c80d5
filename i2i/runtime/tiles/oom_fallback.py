"""Images that do not fit into memory: smaller batches first, then tiles. Each step is logged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from i2i.runtime.errors import ModelError, TooLargeError
from i2i.runtime.log import note
from i2i.text import plural

if TYPE_CHECKING:
    from i2i.runtime.tiles.shared_statistics import Network
    from i2i.runtime.tiles.tiler import Tiling
    from i2i.spec import Spec

    class Executor(Network, Protocol):
        """A model that can be run on whole images, and in tiles."""

        def run(self, batch: np.ndarray, target: np.ndarray | None = None) -> np.ndarray:
            """Translate [n, h, w, c]. Raises TooLargeError if the memory does not suffice."""


WORDS = ("auto", "exact", "off")


def _silent(text: str) -> None:
    """Show no message."""


@dataclass(frozen=True)
class Tile:
    """Choice of when and how images are translated in tiles.

    ``how`` is one of:

    - ``auto``: tiles if the whole image does not fit into memory, with statistics estimated from patches;
    - ``exact``: tiles if the image is larger than one, with the statistics of the whole image, which takes one pass
      over it for each level of normalisations;
    - a number: tiles of that side in pixels, if the image is larger than one;
    - ``off``: never.
    """

    how: str | int = "auto"
    progress: Callable[[int, int], None] | None = None
    """Called with the number of finished tiles and of all tiles; each pass of ``exact`` counts too."""
    say: Callable[[str], object] = note
    """Called with a message when memory forces smaller batches or tiles."""

    @classmethod
    def of(
        cls,
        text: str | int,
        progress: Callable[[int, int], None] | None = None,
        say: Callable[[str], object] | None = note,
    ) -> Tile:
        """Return the Tile for a word or a side, also as text. Raises ValueError for anything else."""
        if isinstance(text, str) and text.isascii() and text.isdigit():
            text = int(text)
        if text not in WORDS and not (isinstance(text, int) and text > 0):
            raise ValueError(f"tile is {text!r}; choose {', '.join(WORDS)} or the side of a tile in pixels")
        return cls(text, progress, say or _silent)

    def tiling(self, spec: Spec) -> Tiling:
        """Return how images are cut for a model with this Spec."""
        from i2i.runtime.tiles.tiler import Tiling, side

        exact = self.how == "exact"
        return Tiling(exact, side(spec, exact) if isinstance(self.how, str) else self.how)


def run(graph: Executor, batch: np.ndarray, target: np.ndarray | None, tile: Tile) -> np.ndarray:
    """Run the graph on a batch, in tiles if ``tile`` asks for them or memory requires it.

    Args:
        batch: [n, h, w, c] in the source's channels, range and type.
        target: second input of a model of several domains, [1] or [1, D]; else None.

    Raises TooLargeError if memory is too small and the model cannot be tiled or ``tile`` forbids it.
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
    from i2i.runtime.tiles.tiler import translate_tiled  # slow to import

    tiling = tile.tiling(graph.spec)
    if max(batch.shape[1:3]) <= tiling.side:
        return graph.run(batch, target)
    return translate_tiled(graph, batch[0], target, tiling, tile.progress)[None]


def _halves(graph: Executor, batch: np.ndarray, target: np.ndarray | None, tile: Tile) -> np.ndarray:
    half = len(batch) // 2
    tile.say(f"{plural(len(batch), 'image')} at once do not fit into memory; continuing with {len(batch) - half}")
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
    tile.say(f"{width} x {height} pixels at once do not fit into memory; continuing in tiles")
    return translate_tiled(graph, batch[0], target, tile.tiling(graph.spec), tile.progress)[None]
