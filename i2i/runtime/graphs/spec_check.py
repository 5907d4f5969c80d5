"""Check of an export's inputs and outputs against its Spec."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from i2i.runtime.errors import ModelError
from i2i.runtime.session import Session
from i2i.spec import STYLE_ENCODER, Spec


def check(spec: Spec, session: Session, path: Path) -> None:
    """Check that the graph has the inputs and outputs of its Spec. Raises ModelError, naming both, if not."""
    inputs, outputs = session.inputs, session.outputs
    source, target = _promises(spec)
    sound = len(inputs) == len(source) and len(outputs) == len(target)
    for node, (dtype, sizes) in zip((*inputs, *outputs), source + target, strict=False):
        fits = len(node.shape) == len(sizes) and node.dtype == dtype
        sound = sound and fits and all(map(_fits, node.shape, sizes))
    if not sound:
        promised = " to ".join(
            ", ".join(f"{dtype} [{', '.join(map(str, sizes))}]" for dtype, sizes in ends) for ends in (source, target)
        )
        raise ModelError(
            f"{path}: its description promises {promised} (any N, H, W), but the model expects {describe(session)}; "
            "export it again"
        )


def _promises(spec: Spec) -> tuple[list[tuple[str, tuple[str | int, ...]]], list[tuple[str, tuple[str | int, ...]]]]:
    """Return type and sizes of the inputs and of the outputs by the Spec; a name is a free size."""

    def image(channels: int) -> tuple[str, tuple[str | int, ...]]:
        return spec.dtype, ("N", "H", "W", channels) if spec.io == "pixels" else ("N", channels, "H", "W")

    prior = spec.prior
    latent: tuple[str, tuple[str | int, ...]] = "float32", ("N", 0 if prior is None else prior.length)
    inputs = [latent if spec.generates else image(spec.source.channels)]
    if prior is not None and prior.words:
        inputs.append(("int64", ("N", prior.words)))
    if spec.domains:
        inputs.append(("float32", ("N", len(spec.domains))) if spec.attributes else ("int64", ("N",)))
    if spec.style is not None:
        inputs.append(latent)
    if spec.kind == STYLE_ENCODER:
        return inputs, [latent]
    dtype, sizes = image(spec.target.channels)
    if spec.generates and prior is not None:
        sizes = tuple({"H": prior.size[0], "W": prior.size[1]}.get(str(size), size) for size in sizes)
    return inputs, [(dtype, sizes)]


def _fits(size: int | str | None, promised: int | str) -> bool:
    """True if a size of the graph is free, or is the promised number."""
    return not isinstance(size, int) or size == promised


def describe(session: Session) -> str:
    """Return the names, types and shapes of a graph's inputs and outputs as text."""
    return " and returns ".join(
        ", ".join(f"{node.name!r}: {node.dtype} {_shape(node.shape)}" for node in nodes)
        for nodes in (session.inputs, session.outputs)
    )


def _shape(shape: Sequence[int | str | None]) -> str:
    if not shape:
        return "(the model does not state its shape)"
    layout = ""
    if len(shape) == 4:
        layout = {True: " (channels first)", False: " (channels last)"}.get(shape[1] in (1, 3, 4), "")
        layout = layout if shape[1] in (1, 3, 4) or shape[3] in (1, 3, 4) else ""
    return f"[{', '.join(str(size) if size is not None else '?' for size in shape)}]{layout}"
