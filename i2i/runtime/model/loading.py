"""``i2i.load``: a model file as a translator or a generator."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from i2i.runtime.adapters.options import ModelOptions, Range
from i2i.runtime.graphs.onnx_file import read_spec
from i2i.runtime.model import catalog, targets
from i2i.runtime.model.generator import Generator
from i2i.runtime.model.model import Model
from i2i.runtime.model.targets import To
from i2i.text import known_keywords


@known_keywords
def load(
    model: str | os.PathLike[str] | None = None,
    provider: str = "auto",
    threads: int | None = None,
    allow_fallback: bool = False,
    *,
    to: To | None = None,
    layout: str | None = None,
    range: Range | str | None = None,
    output_range: Range | str | None = None,
    order: str | None = None,
    multiple: int | None = None,
    fit: str | None = None,
    result: str | None = None,
    input: Mapping[str, float | Sequence[float] | str] | None = None,
) -> Model | Generator:
    """Open a translator as a function of images, or a generator as a function of seeds.

    The file is an export of i2i, or a third-party ONNX model, which is a translator.

    Args:
        model: an ``.onnx`` file, a run's folder, or a name that ``i2i models`` lists; by default the newest finished
            run under ``runs/``, else the default model. A run that was not exported is exported, which needs PyTorch.
        provider: auto | cpu | cuda | tensorrt | openvino. ``auto`` takes CUDA or the CPU, and ``model.provider`` is the
            one that was taken; the others raise ProviderError if they do not load.
        threads: processor threads that the model may use; by default all cores.
        allow_fallback: let the processor run nodes that work on pixels and that a GPU's provider cannot run; otherwise
            they raise ProviderError, which names them.
        to: the domain to translate to, attributes, or a direction ("b2a"), as ``Model.toward`` and
            :func:`i2i.translate` take it.
        layout: of a third-party model: "nchw" (channels first) or "nhwc".
        range: of a third-party model: input values of black and white, (0, 255) or "0..255".
        output_range: of a third-party model: output values of black and white; by default as ``range``.
        order: of a third-party model: channel order "rgb", "bgr", "grey" or "y" (luma only; colour is taken from the
            source).
        multiple: of a third-party model: height and width must be multiples of this; by default found.
        fit: of a third-party model of one fixed size: "resize" images to it and results back, or "tile" them.
        result: of a third-party model: "image", or "curves" that brighten the image (Zero-DCE).
        input: of a third-party model: the value of each input beside the image, by name: a number that fills it, all of
            its numbers, or "mask" or "kept" for the mask of what is to be filled in.

    ``i2i describe`` writes the options of a third-party model into a copy of the file, which then needs none.

    Returns the :class:`Model`, or the :class:`Generator` if the file is one: ``load(m)(image)``, ``load(m).sample(8)``.
    Of a run that has both it is the translator, and the generator with ``to="generate"``.

    Raises ModelError for a model that cannot be found or run, with the options that a third-party model needs,
    ProviderError for a provider that does not load, and ValueError for a wrong argument.
    """
    given: Any = (
        layout,
        range,
        output_range,
        order,
        multiple,
        fit,
        result,
        input,
    )  # ranges may be text, which is converted
    options = ModelOptions(*given)
    choice = catalog.resolve(model, to, require_to=False, kind=None)
    spec = read_spec(choice.path)
    if spec is not None and spec.kind == targets.GENERATOR:
        if options:
            raise ValueError(f"{choice.path}: options of a third-party model, and this is a generator of i2i")
        loaded: Model | Generator = Generator(choice.path, provider, threads, allow_fallback)
        return loaded if choice.to is None else loaded.toward(choice.to)
    loaded = Model(choice.path, provider, threads, options=options, allow_fallback=allow_fallback)
    return loaded if choice.to is None else loaded.toward(choice.to)
