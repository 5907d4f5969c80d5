"""Infer batches of pixels in a session: conversion to the graph's inputs, the inference, and conversion back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from i2i.runtime import processing
from i2i.runtime.errors import ModelError, ProviderError, TooLargeError
from i2i.runtime.session import Output, Session
from i2i.spec import Form, Spec
from i2i.text import plural


class Inference:
    """Inferences of the model with that Spec, in whatever session; ``path`` names the model in errors."""

    def __init__(self, path: Path, spec: Spec) -> None:
        self._path, self._spec = path, spec

    def __call__(self, session: Session, batch: np.ndarray, target: np.ndarray | None) -> np.ndarray:
        """Translate [n, h, w, c] in the source's channels, range and ``spec.dtype`` to the target's.

        ``target`` is the second input for one image, a domain, attributes or a style, where there is one.

        Raises TooLargeError if the memory does not suffice, ProviderError, and ModelError for any other failure.
        """
        spec = self._spec
        if spec.form is not None:
            from i2i.runtime.adapters import convert, extra_inputs  # third-party models only

            def infer(tensor: np.ndarray, form: Form, mask: np.ndarray | None) -> np.ndarray:
                return self._run(session, extra_inputs.feeds(session.inputs, form, tensor, mask), tensor)

            return convert.translate(infer, batch, spec)
        if spec.io == "tensor":
            self._check_multiple(*batch.shape[2:0:-1])
            numbers = self._with_target(session, processing.to_tensor(batch, spec.source), target)
            return processing.from_tensor(numbers, spec.target)
        return self._with_target(session, batch, target, Output((*batch.shape[:3], spec.target.channels), spec.dtype))

    def blank(self, session: Session, side: int) -> np.ndarray:
        """Translate a blank image of that side in pixels, to any domain, in any style."""
        names = len(self._spec.domains)
        domain = np.zeros((1, names), np.float32) if self._spec.attributes else np.zeros(1, np.int64)
        image = np.zeros((1, side, side, self._spec.source.channels), self._spec.dtype)
        if self._spec.style is not None:
            return self(session, image, np.zeros((1, self._spec.style.length), np.float32))
        return self(session, image, domain if names else None)

    def _with_target(
        self, session: Session, batch: np.ndarray, target: np.ndarray | None, output: Output | None = None
    ) -> np.ndarray:
        given = [batch] if target is None else [batch, np.repeat(target, len(batch), axis=0)]
        feeds = {port.name: value for port, value in zip(session.inputs, given, strict=True)}
        return self._run(session, feeds, batch, output)

    def _run(
        self, session: Session, feeds: Mapping[str, np.ndarray], batch: np.ndarray, output: Output | None = None
    ) -> np.ndarray:
        shape = " x ".join(map(str, batch.shape))
        try:
            return session.run(feeds, output)[0]
        except TooLargeError as error:
            raise TooLargeError(
                f"{session.provider} memory does not hold this image ({shape}); make it smaller"
            ) from error
        except ProviderError:
            raise
        except ModelError as error:
            raise ModelError(f"{self._path.name} failed on {batch.dtype} [{shape}]: {error}") from error

    def _check_multiple(self, width: int, height: int) -> None:
        """Raise ModelError for a size that a bare network does not take. A pixel graph pads."""
        least, multiple = self._spec.minimum, self._spec.multiple
        if min(width, height) < least or width % multiple or height % multiple:
            raise ModelError(
                f"{self._path.name} is a bare network that takes at least {plural(least, 'pixel')} in multiples "
                f"of {multiple}, got {width} x {height}; `i2i export --io pixels` writes one that takes any size"
            )
