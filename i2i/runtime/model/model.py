"""An exported model as a function of images."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from i2i.images import Image
from i2i.runtime import processing
from i2i.runtime.adapters.options import NO_OPTIONS, ModelOptions
from i2i.runtime.errors import ModelError
from i2i.runtime.log import note
from i2i.runtime.model import styles, targets
from i2i.runtime.model.executor import Executor
from i2i.runtime.model.styles import Style, StyleLike
from i2i.runtime.model.targets import To
from i2i.runtime.system.host import cores
from i2i.runtime.tiles.oom_fallback import Tile, run
from i2i.spec import Background, Spec, parse_background

if TYPE_CHECKING:
    from i2i.runtime.memory.batcher import Batcher

DIRECTIONS = ("a2b", "b2a", "any")  # file names that do not tell what the results show


@lru_cache(maxsize=1)
def _reopened(_state: tuple[int, ...], *arguments: Any) -> Model:
    """Open a model that was pickled. A worker of a process pool gets the same model with every task, and keeps it."""
    return Model(*arguments)


def _unpickled(arguments: tuple[Any, ...], to: tuple[str, ...] | None, tile: Tile, style: Style | None) -> Model:
    path: Path = arguments[0]
    try:
        stat = path.stat()
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror or error}; a pickled model is opened again from its file") from error
    model = copy.copy(_reopened((os.getpid(), stat.st_mtime_ns, stat.st_size), *arguments))
    model.to, model.tile, model.style = to, tile, style
    return model


class Model:
    """A translator: ``model(image)`` returns the translated image, of the same height, width and type.

    A third-party model may return ``spec.scale`` times the height and width.

    One of several domains is asked for one of them, ``model(image, to="rain")``, or bound to it once and for all:
    ``rain = model.toward("rain")``. For attributes ``to`` names those that the image is to have, and it gets no other:
    ``to=["Male", "Young"]``, ``to="Male,Young"``, ``to=[]``.

    One with styles has many results of an image, and is bound to a style: ``model.styled(seed=3)``,
    ``model.styled("example.jpg")``; without, to that of seed 0.

    A model can be pickled, by its path and options, and copied; copies share its sessions.

    Attributes:
        spec: what the file takes and returns; for a third-party model as found and given.
        options: what the user said about a third-party model.
        to: the domain or the attributes that it is bound to; None if it is not, or has one direction.
        style: the style that it is bound to; None if it has no styles.
        provider: the provider that really runs it, a key of ``PROVIDERS``.
        on_cpu: True if it runs on the processor, where one image per core is the fastest, and not in batches.
        tile: when and how images are cut into tiles; ``tiled`` returns a model with other settings.
        threads: processor threads: together on one image, or with ``side_by_side`` on as many images, called from as
            many threads, which is faster for many images.
    """

    def __init__(
        self,
        path: Path,
        provider: str = "auto",
        threads: int | None = None,
        side_by_side: bool = False,
        options: ModelOptions = NO_OPTIONS,
        allow_fallback: bool = False,
    ) -> None:
        if threads is not None and threads < 1:
            raise ValueError(f"threads is {threads}; expected at least 1")
        self.path, self.threads, self.side_by_side = path, threads or cores(), side_by_side
        self.options, self._allow_fallback, self._requested = options, allow_fallback, provider
        self.executor = Executor(path, provider, self.threads, side_by_side, options, allow_fallback)
        self.spec: Spec = self.executor.spec
        self.provider, self.on_cpu = self.executor.provider, self.executor.on_cpu
        self.to: tuple[str, ...] | None = None
        self.style = styles.default(self.spec)
        self.tile = Tile()

    def __copy__(self) -> Model:
        """Return a model with the same sessions."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other

    def __deepcopy__(self, memo: dict[int, Any]) -> Model:
        """Return a model with the same sessions, which any number of threads may share."""
        return copy.copy(self)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the path and the options: the model is opened again where it is unpickled."""
        path = Path(os.path.abspath(self.path))
        arguments = (path, self._requested, self.threads, self.side_by_side, self.options, self._allow_fallback)
        return _unpickled, (arguments, self.to, self.tile, self.style)

    def toward(self, to: To | None) -> Model:
        """Return this model bound to a domain or to attributes, with the same sessions; None keeps the binding.

        Raises ModelError, with the known names, for an unknown one, and if a model of several domains is not bound.
        """
        if to is None and self.to is not None:
            return self
        names = targets.aim(self.spec, to, str(self.path))
        if names == self.to:
            return self
        bound = copy.copy(self)
        bound.to = names
        return bound

    def styled(self, style: StyleLike | None = None, *, seed: int | None = None) -> Model:
        """Return this model bound to a style, with the same sessions; the style of seed 0 if none is given.

        Args:
            style: an example image of the target domain, as its path or as an array of uint8 or uint16, or the numbers
                of a style, float32 [length]. A large example is reduced to 1024 pixels a side.
            seed: draw the style by a seed, 0 to 2^32 - 1; the same one on every machine.

        Raises ModelError for a model without styles and for an example without the style encoder beside the model,
        ImageError for an image that cannot be read, and ValueError for a wrong argument.
        """
        bound = copy.copy(self)
        bound.style = styles.choose(self.spec, self.executor.file, style, seed)
        return bound

    def tiled(
        self,
        how: str | int,
        *,
        progress: Callable[[int, int], None] | None = None,
        say: Callable[[str], object] | None = note,
    ) -> Model:
        """Return this model with the same sessions, which translates large images in tiles.

        Args:
            how: "auto", if the whole image does not fit into memory; "exact", with the normalisation statistics of the
                whole image; the side of a tile in pixels, from 1; or "off".
            progress: called with the number of finished tiles and of all tiles.
            say: called with a message when memory forces smaller batches or tiles; by default it goes to the log; None:
                no messages.

        Raises ValueError for any other ``how``.
        """
        other = copy.copy(self)
        other.tile = Tile.of(how, progress, say)
        return other

    def for_many(self) -> Model:
        """Return a model that runs several inferences side by side, if it runs on the processor."""
        if not self.on_cpu or self.side_by_side:
            return self
        path = self.executor.file.unchanged()
        other = Model(path, self.provider, self.threads, True, self.options, self._allow_fallback).toward(self.to)
        other.tile, other.style = self.tile, self.style
        return other

    def batcher(
        self, batch: int | None, callers: int, wait: float | None = None, observe: Callable[[int], object] | None = None
    ) -> Batcher:
        """Return a batcher of so many threads' images, in batches of ``batch`` or as many as fit into memory.

        Args:
            wait: seconds that an image waits at most for others of its size.
            observe: called with the number of images of each batch before it runs.
        """
        from i2i.runtime.memory.batcher import WAIT, Batcher  # one image alone does without

        def run(images: np.ndarray) -> np.ndarray:
            if observe is not None:
                observe(len(images))
            return self.run(images)

        self.executor.batch_size.fits(1)  # measured now, while no other model of the job is at work
        return Batcher(
            run,
            lambda shape: self.executor.at_once(shape[0], shape[1], batch),
            callers,
            WAIT if wait is None else wait,
        )

    @property
    def target(self) -> np.ndarray | None:
        """Second input of the graph for one image, a style or what ``targets.vector`` makes; None if it has none.

        Raises ModelError if a model of several domains is not bound.
        """
        if self.style is not None:
            return self.style.array
        names = self.toward(None).to
        return None if names is None else targets.vector(self.spec, names)

    @property
    def name(self) -> str:
        """Name for results: that of the file, or of the target domain if the file is one of a run.

        With several domains, it is the name of the file and of the domain; a style that was chosen is added, as
        "seed3" or "like-EXAMPLE". The precision does not change it.
        """
        stem = self.path.stem.removesuffix(f".{self.spec.precision}")
        telling = stem.removesuffix(".tensor") not in DIRECTIONS
        parts = [stem] if telling else []
        if self.to is not None:
            parts += self.to or ["none"]
        elif not telling:
            parts = [self.spec.target.name]
        if self.style is not None and self.style.given:
            parts.append(self.style.origin)
        return re.sub(r"[^\w.-]+", "-", "-".join(parts))

    def __repr__(self) -> str:
        return f"<i2i model {self.path.name}: {targets.way(self.spec, self.to)} on {self.provider}>"

    def __call__(self, image: np.ndarray, background: Background | None = None, *, to: To | None = None) -> np.ndarray:
        """Translate [h, w], [h, w, c] or [n, h, w, c] of uint8 or uint16 to the same type, with h and w times
        ``spec.scale``.

        Channels are grey, RGB, or either with alpha behind, which is carried over. ``background`` is what the model
        sees where the image is transparent: "edge", the image's own colours continued, or the level (0 to 255) of a
        grey that it is composited on; by default what the model was trained with. Grey and colour, 8 and 16 bits are
        converted to what the model takes. The result has the colour channels of the model's target; [h, w] returns as
        [h, w] if that is grey, else as [h, w, 3].

        A model of bands takes the type, channels and range of ``spec.source`` instead, float64 for float32 too, and
        returns those of ``spec.target``; nothing is converted, and values beyond the range are clipped.

        Raises ModelError for other arrays, for a ``to`` that it does not translate to, for results that are not
        finite, and for images beyond the memory.
        """
        model = self.toward(to)
        images = processing.to_images(image, self.path.name, self.spec.source)
        return processing.from_images(model.translate(images, background), image)

    def sample(self, *_: object, **__: object) -> NoReturn:
        """Raise ModelError: a translator takes images; :meth:`Generator.sample` is of a generator."""
        raise targets.wrong_kind(targets.TRANSLATOR, str(self.path))

    def translate(self, images: Sequence[Image], background: Background | None = None) -> list[Image]:
        """Translate images of one size, on a GPU in batches."""
        background = None if background is None else parse_background(background)
        ready = [processing.prepare(image, self.spec, background) for image in images]
        size = 1 if self.on_cpu or len(images) < 2 else self.executor.at_once(*images[0].pixels.shape[:2])
        batches = [np.stack(ready[at : at + size]) for at in range(0, len(ready), size)]
        results = [result for batch in batches for result in self.run(batch)]
        pairs = zip(results, images, strict=True)
        return [processing.restore(result, image, self.spec, background) for result, image in pairs]

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Run the bare graph on [n, h, w, c] in the source's channels, range and ``spec.dtype``, to the target's."""
        return run(self.executor, batch, self.target, self.tile)
