"""An exported generator as a function of seeds."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Iterator, Mapping
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

from i2i import sampling
from i2i.runtime.errors import ModelError
from i2i.runtime.graphs.onnx_file import read_spec
from i2i.runtime.log import note
from i2i.runtime.model import targets
from i2i.runtime.model.drawing import Drawing
from i2i.runtime.model.targets import To
from i2i.runtime.system.host import cores
from i2i.text import as_given, printable
from i2i.words import text_input


class Generator:
    """A generator: ``generator.sample(n, seed=0)`` returns ``n`` new images, uint8 [n, h, w, c].

    The same seed gives the same image, alone or among others; ``generator(z)`` takes the latent input itself. One of
    several classes is asked for one, ``sample(8, to="cat")``, or bound to it: ``cats = generator.toward("cat")``.

    A generator can be copied, and pickled by its path; any number of threads may share it.

    Attributes:
        spec: what the file takes and returns; ``spec.prior`` describes z, its codes and the size of the images.
        to: the class or the attributes that it is bound to; None if it is not, or has none.
        text: the sentence that it is bound to by ``saying``, else None.
        provider: the provider that really runs it, a key of ``PROVIDERS``.
        on_cpu: True if it runs on the processor, one image per core at a time.
        threads: processor threads that it may use.
    """

    def __init__(
        self, path: Path, provider: str = "auto", threads: int | None = None, allow_fallback: bool = False
    ) -> None:
        """Open ``path``.

        Raises ModelError for a file that is no generator or cannot be run, and ProviderError for a provider that does
        not load.
        """
        if threads is not None and threads < 1:
            raise ValueError(f"threads is {threads}; expected at least 1")
        self.path, self.threads = path, threads or cores()
        self._requested, self._allow_fallback = provider, allow_fallback
        spec = targets.check_kind(read_spec(path), targets.GENERATOR, printable(path))
        assert spec is not None
        assert spec.prior is not None
        self.spec, self.prior = spec, spec.prior
        self._drawing = Drawing(path, spec, provider, self.threads, allow_fallback)
        self.provider, self.on_cpu = self._drawing.provider, self._drawing.on_cpu
        self.to: tuple[str, ...] | None = None
        self.text: str | None = None

    def __copy__(self) -> Generator:
        """Return a generator with the same session."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other

    def __deepcopy__(self, memo: dict[int, Any]) -> Generator:
        """Return a generator with the same session, which any number of threads may share."""
        return copy.copy(self)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the path and the options: the file is opened again where it is unpickled."""
        arguments = (Path(os.path.abspath(self.path)), self._requested, self.threads, self._allow_fallback)
        return _unpickled, (arguments, self.to, self.text)

    def __repr__(self) -> str:
        return f"<i2i generator {self.path.name}: {targets.way(self.spec, self.to)} on {self.provider}>"

    def toward(self, to: To | None) -> Generator:
        """Return this generator bound to a class or to attributes, with the same session; None keeps the binding.

        Raises ModelError, with the known names, for an unknown one, and if a generator of several is not bound.
        """
        if to is None and self.to is not None:
            return self
        bound = copy.copy(self)
        bound.to = targets.aim(self.spec, to, printable(self.path))
        return bound

    def saying(self, text: str | None) -> Generator:
        """Return this generator bound to a sentence, with the same session; None keeps the binding.

        A note names the words that the generator does not know. Raises ValueError for a generator that was not trained
        on captions, and for a text without a word.
        """
        if text is None:
            return self
        for words in text_input(self.prior, text)[1]:
            note(words)
        bound = copy.copy(self)
        bound.text = text
        return bound

    @property
    def name(self) -> str:
        """Name for results: that of the file, or of the run if the file is one of a run, and of the class."""
        run = targets.run_of(self.path)
        stem = self.path.stem.removesuffix(f".{self.spec.precision}") if run is None else as_given(run).name
        return self.named(stem)

    def named(self, stem: str) -> str:
        """Return ``stem`` and the class or the attributes that it is bound to, as the name of a file or a folder."""
        names = () if self.to is None else self.to or ("none",)
        return re.sub(r"[^\w.-]+", "-", "-".join([stem, *names]))

    def sample(
        self,
        n: int = 1,
        *,
        seed: int = 0,
        to: To | None = None,
        codes: Mapping[str, float] | None = None,
        truncate: float | None = None,
        mean: str | None = None,
        spread: float = 0.5,
        text: str | None = None,
    ) -> np.ndarray:
        """Return the images of the seeds ``seed`` to ``seed + n - 1``: uint8 [n, h, w, c], uint16 if it has 16 bits.

        Args:
            n: number of images, from 1.
            seed: first seed, 0 to 2^32 - 1.
            to: the class to draw, or attributes, as :func:`i2i.generate` takes them.
            codes: values of named codes: a categorical one's index, or a number from -1 to 1 (up to 3 either way).
            truncate: redraw noise whose magnitude exceeds this, above 0; for normal noise.
            mean: a sum of the means of labels, such as "smiling-woman - calm-woman + calm-man", around which images
                are drawn; for methods with an encoder.
            spread: factor on the noise around ``mean``, from 0.
            text: the sentence to draw, for a generator that was trained on captions; a note names unknown words.

        Raises ModelError for a class that it does not draw and for results that are not finite, and ValueError for a
        wrong argument.
        """
        return self.saying(text)(self.latent(n, seed, codes, truncate, mean, spread), to=to)

    def latent(
        self,
        n: int = 1,
        seed: int = 0,
        codes: Mapping[str, float] | None = None,
        truncate: float | None = None,
        mean: str | None = None,
        spread: float = 0.5,
    ) -> np.ndarray:
        """Return the z of ``sample``, float32 [n, spec.prior.length]. Raises ValueError for a wrong argument."""
        if not 0 <= spread < inf:
            raise ValueError(f"spread is {spread}; expected a number from 0 on, such as 0.5")
        z = sampling.latent(self.prior, sampling.seeds(n, seed), truncate)
        if mean is not None:
            z = sampling.arithmetic(self.prior, mean) + np.float32(spread) * z
        return sampling.with_codes(self.prior, z, codes or {})

    def __call__(self, z: np.ndarray, *, to: To | None = None) -> np.ndarray:
        """Return the images of z, float32 [n, spec.prior.length] or one row of it: uint8 [n, h, w, c] or [h, w, c].

        Raises ModelError for other arrays, for a ``to`` that it does not draw and for results that are not finite.
        """
        images = np.stack(list(self.draw(np.atleast_2d(z), to=to)))
        return images[0] if np.ndim(z) == 1 else images

    def draw(self, z: np.ndarray, *, to: To | None = None) -> Iterator[np.ndarray]:
        """Yield the image of each row of z, in order, with few of them in memory. Raises as ``__call__`` does."""
        yield from self._drawing(self._checked(z), self._given(to))

    def _checked(self, z: np.ndarray) -> np.ndarray:
        length, array = self.prior.length, np.asarray(z)
        if array.dtype.kind != "f" or array.ndim != 2 or array.shape[1] != length or not len(array):
            raise ModelError(
                f"{self.path.name} is a generator: it takes no image but z, float32 [n, {length}], and got "
                f"{array.dtype} {list(array.shape)}; sample(n, seed=0) draws z"
            )
        return array.astype(np.float32)

    def _given(self, to: To | None) -> list[np.ndarray]:
        """Return the graph's inputs behind z for one image, in their order: [1] or [1, k]."""
        names = self.toward(to).to
        if self.prior.words and self.text is None:
            raise ModelError(f"{self.path.name} draws what a sentence says; give a text, such as 'a house at night'")
        words = [] if self.text is None else [text_input(self.prior, self.text)[0]]
        return words if names is None else [*words, targets.vector(self.spec, names)]


def _unpickled(arguments: tuple[Any, ...], to: tuple[str, ...] | None, text: str | None) -> Generator:
    generator = Generator(*arguments)
    generator.to, generator.text = to, text
    return generator
