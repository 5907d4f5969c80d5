"""An exported model as a function of images."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from i2i.images import Image
from i2i.runtime import processing
from i2i.runtime.adapters.options import NOTHING, Told
from i2i.runtime.model import targets
from i2i.runtime.model.executor import Graph
from i2i.runtime.model.targets import To
from i2i.runtime.providers.onnxruntime_session import on_processor
from i2i.runtime.system.host import cores
from i2i.runtime.tiles.fallback import Tile, run
from i2i.spec import Background, Spec, parse_background

if TYPE_CHECKING:
    from i2i.runtime.memory.batcher import Batcher

DIRECTIONS = ("a2b", "b2a", "any")  # names of files that say nothing to whoever finds the results


def load(
    path: str | Path,
    provider: str = "auto",
    threads: int | None = None,
    allow_fallback: bool = False,
    **told: Any,
) -> Model:
    """Opens an ``.onnx`` file as a function of images: an export, or one that others made.

    Args:
        provider: auto | cpu | cuda | tensorrt | openvino. ``auto`` takes CUDA or the CPU, whichever there is, and
            ``model.provider`` says what that was; the others raise ProviderError if they do not load.
        threads: processor threads that the model may use; by default all cores.
        allow_fallback: whether nodes that work on pixels may run on the processor if a GPU's provider cannot run them;
            else that is a ProviderError, which names them.
        told: of a model that others made, what cannot be found with certainty: layout="nchw" or "nhwc", range="0..255"
            or (0, 255), output_range, order="rgb", "bgr", "grey" or "y", multiple, fit="resize" or "tile",
            result="image" or "curves". ``i2i describe`` writes them into a copy of the file, which then needs none.

    Raises ModelError for a file that cannot be run, with the reason, and with the names of what has to be told.
    """
    return Model(Path(path), provider, threads, told=Told.of(told), allow_fallback=allow_fallback)


class Model:
    """A translator: ``model(image)`` returns the translated image, of the same height, width and type.

    A model that others made may return ``spec.scale`` times the height and width.

    One of several domains is asked for one of them, ``model(image, to="rain")``, or bound to it once and for all:
    ``rain = model.toward("rain")``. For attributes ``to`` names those that the image shall have, and it gets no other:
    ``to=["Male", "Young"]``, ``to="Male,Young"``, ``to=[]``.

    Attributes:
        spec: what the file promises, or what was found and told of a model that others made.
        told: what was told of it.
        to: the domain or the attributes that it is bound to; None if it is not, or has one direction.
        provider: where it really runs: ``cpu``, ``cuda``, ``tensorrt`` or ``openvino``.
        tile: when it takes images in tiles, and how; ``tiled`` makes a model that does otherwise.
        threads: that it may use on a processor: together on one image, or ``side_by_side`` on as many images, called
            from as many threads, which gets more done.
    """

    def __init__(
        self,
        path: Path,
        provider: str = "auto",
        threads: int | None = None,
        side_by_side: bool = False,
        told: Told = NOTHING,
        allow_fallback: bool = False,
    ) -> None:
        if threads is not None and threads < 1:
            raise ValueError(f"threads is {threads}; expected at least 1")
        self.path, self.threads, self.side_by_side = path, threads or cores(), side_by_side
        self.told, self._allow_fallback = told, allow_fallback
        self.graph = Graph(path, provider, self.threads, side_by_side, told, allow_fallback)
        self.spec: Spec = self.graph.spec
        self.provider = self.graph.provider
        self.to: tuple[str, ...] | None = None
        self.tile = Tile()

    def toward(self, to: To | None) -> Model:
        """This model bound to a domain or to attributes, with the same sessions; None leaves it as it is bound.

        Raises ModelError, with what there is, for what it does not translate to, and if it has to be bound and is not.
        """
        if to is None and self.to is not None:
            return self
        names = targets.aim(self.spec, to, str(self.path))
        if names == self.to:
            return self
        bound = copy.copy(self)
        bound.to = names
        return bound

    def tiled(self, how: str | int, **callbacks: Callable) -> Model:
        """This model with the same sessions, taking images in tiles as ``how`` says, with the callbacks of ``Tile``:
        ``auto`` (where the memory does not hold them whole), ``exact``, the side of a tile in pixels, or ``off``.

        Raises ValueError for anything else.
        """
        other = copy.copy(self)
        other.tile = Tile.of(how, **callbacks)
        return other

    @property
    def on_processor(self) -> bool:
        """Whether it runs on the processor, where one image a core gets most done, and not on a device beside it."""
        return on_processor(self.provider)

    def for_many(self) -> Model:
        """This model, opened anew if several of its inferences could run side by side on the processor and do not."""
        if not self.on_processor or self.side_by_side:
            return self
        other = Model(self.path, self.provider, self.threads, True, self.told, self._allow_fallback).toward(self.to)
        other.tile = self.tile
        return other

    def batcher(self, batch: int | None, callers: int) -> Batcher:
        """Gathers the images of so many threads into batches of ``batch``, or of as many as the memory has room for."""
        from i2i.runtime.memory.batcher import Batcher  # one image alone does without

        self.graph.room.holds(1)  # measured now, while no other model of the job is at work
        return Batcher(self.run, lambda shape: self.graph.at_once(shape[0], shape[1], batch), callers)

    @property
    def target(self) -> np.ndarray | None:
        """The graph's second input for one image, as ``targets.vector`` makes it; None if it has a single direction.

        Raises ModelError if it has to be bound and is not.
        """
        names = self.toward(None).to
        return None if names is None else targets.vector(self.spec, names)

    @property
    def name(self) -> str:
        """What its results are named after: the file, or the domain it translates to if the file is one of a run.

        Where there are several domains, the file and the domain. In which precision it computes is nothing to them.
        """
        stem = self.path.stem.removesuffix(f".{self.spec.precision}")
        told = stem.removesuffix(".tensor") not in DIRECTIONS
        parts = [stem] if told else []
        if self.to is not None:
            parts += self.to or ["none"]
        elif not told:
            parts = [self.spec.target.name]
        return re.sub(r"[^\w.-]+", "-", "-".join(parts))

    def __repr__(self) -> str:
        return f"<i2i model {self.path.name}: {targets.way(self.spec, self.to)} on {self.provider}>"

    def __call__(self, image: np.ndarray, background: Background | None = None, *, to: To | None = None) -> np.ndarray:
        """Translates [h, w], [h, w, c] or [n, h, w, c] of uint8 or uint16; h, w and the type come back as they were,
        h and w times ``spec.scale``.

        Channels are grey, RGB, or either with alpha behind, which is carried over. ``background`` is what the model
        sees where the image is transparent: "edge", the image's own colours continued, or the level (0 to 255) of a
        grey that it is composited on; by default what the model was trained with. Grey and colour, 8 and 16 bits are
        converted to what the model takes. The result has the colour channels of the model's target; [h, w] returns as
        [h, w] if that is grey, else as [h, w, 3].

        Raises ModelError for other arrays, for a ``to`` that it does not translate to, for results that are not
        finite, and for images beyond the memory.
        """
        model = self.toward(to)
        images = processing.to_images(image, self.path.name)
        return processing.from_images(model.translate(images, background), image)

    def translate(self, images: Sequence[Image], background: Background | None = None) -> list[Image]:
        """Translates images of one size, on a GPU several together."""
        background = None if background is None else parse_background(background)
        ready = [processing.prepare(image, self.spec, background) for image in images]
        size = 1 if self.on_processor or len(images) < 2 else self.graph.at_once(*images[0].pixels.shape[:2])
        batches = [np.stack(ready[at : at + size]) for at in range(0, len(ready), size)]
        results = [result for batch in batches for result in self.run(batch)]
        pairs = zip(results, images, strict=True)
        return [processing.restore(result, image, self.spec, background) for result, image in pairs]

    def run(self, batch: np.ndarray) -> np.ndarray:
        """The bare graph: [n, h, w, c] in the source's channels, range and ``spec.dtype``, to the target's."""
        return run(self.graph, batch, self.target, self.tile)
