"""Out-of-memory fallback: halve the batch, then tile the image. Each step is logged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from i2i.runtime.errors import ModelError, TooLargeError
from i2i.runtime.log import note

if TYPE_CHECKING:
    from i2i.runtime.tiles.shared_statistics import Network
    from i2i.runtime.tiles.tiler import Tiling
    from i2i.spec import Spec

    class Runnable(Network, Protocol):
        """A model that can be run on whole images, and in tiles."""

        def run(self, batch: np.ndarray, target: np.ndarray | None) -> np.ndarray:
            """Translate [n, h, w, c]. Raises TooLargeError if the memory does not suffice."""


WORDS = ("auto", "exact", "off")


def _silent(text: str) -> None:
    """Show no message."""


@dataclass(frozen=True)
class Tile:
    """When and how images are translated in tiles."""

    how: str | int = "auto"
    """``auto``: tiles if the memory does not suffice for the whole image, with the statistics of patches. ``exact``:
    tiles if the image is larger than one, with the statistics of the whole image, which takes one pass over it for each
    normalisation. A number: tiles of that side in pixels if the image is larger. ``off``: never."""
    progress: Callable[[int, int], None] | None = None
    """Called with the tiles that are done and the number of all tiles; each pass of ``exact`` counts as well."""
    say: Callable[[str], object] = note
    """Called with a message for each step that the memory makes necessary; None: no messages."""

    def __post_init__(self) -> None:
        if self.say is None:
            object.__setattr__(self, "say", _silent)

    @classmethod
    def of(cls, text: str | int, **callbacks: Callable) -> Tile:
        """Make a Tile of a word or a number, also as text. Raises ValueError for anything else."""
        if isinstance(text, str) and text.isascii() and text.isdigit():
            text = int(text)
        if text not in WORDS and not (isinstance(text, int) and text > 0):
            raise ValueError(f"tile is {text!r}; choose {', '.join(WORDS)} or the side of a tile in pixels")
        return cls(text, **callbacks)

    def tiling(self, spec: Spec) -> Tiling:
        """Return the side of the tiles and their kind of statistics for a model with that Spec."""
        from i2i.runtime.tiles.tiler import Tiling, side

        exact = self.how == "exact"
        return Tiling(exact, side(spec, exact) if isinstance(self.how, str) else self.how)


def run(network: Runnable, batch: np.ndarray, target: np.ndarray | None, tile: Tile) -> np.ndarray:
    """Run a batch as ``network.run`` does, in tiles if ``tile`` asks for it or the memory makes it necessary.

    Raises TooLargeError if the memory does not suffice and the model cannot be tiled, or ``tile`` is off.
    """
    if tile.how in ("auto", "off"):
        try:
            return network.run(batch, target)
        except TooLargeError as error:
            if len(batch) > 1:
                return _halves(network, batch, target, tile)
            if tile.how == "off":
                raise
            return _in_tiles(network, batch, target, tile, error)
    if len(batch) > 1:
        return np.concatenate([run(network, image[None], target, tile) for image in batch])
    from i2i.runtime.tiles.tiler import translate_tiled  # slow to import

    tiling = tile.tiling(network.spec)
    if max(batch.shape[1:3]) <= tiling.side:
        return network.run(batch, target)
    return translate_tiled(network, batch[0], target, tiling, tile.progress)[None]


def _halves(network: Runnable, batch: np.ndarray, target: np.ndarray | None, tile: Tile) -> np.ndarray:
    half = len(batch) // 2
    tile.say(f"{len(batch)} images are too many at once; going on with {len(batch) - half}")
    return np.concatenate([run(network, part, target, tile) for part in (batch[:half], batch[half:])])


def _in_tiles(
    network: Runnable, batch: np.ndarray, target: np.ndarray | None, tile: Tile, error: TooLargeError
) -> np.ndarray:
    from i2i.runtime.tiles.tiler import check, translate_tiled

    try:
        check(network.spec, network.path.name)
    except ModelError as other:
        raise TooLargeError(f"{error}. {other}") from error
    height, width = batch.shape[1:3]
    tile.say(f"{width} x {height} pixels are too many at once; going on in tiles")
    return translate_tiled(network, batch[0], target, tile.tiling(network.spec), tile.progress)[None]
