"""Writing the file: the graph, the proof, the description, and only then the name."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import onnx
import torch
from torch import nn

from i2i.exporter import graph, parity
from i2i.exporter.graph import ExportError
from i2i.exporter.pixels import Pixels, Toward
from i2i.files import atomically
from i2i.networks import per_image
from i2i.runtime import targets
from i2i.runtime.targets import To
from i2i.spec import METADATA_KEY, Spec

Generators = Mapping[str, tuple[nn.Module, Spec]]
NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)


def export(
    run: str | Path | Generators, path: str | Path | None = None, *, to: To | None = None, io: str = "pixels"
) -> Path:
    """Exports one generator of a run as an ONNX file, which is proven against PyTorch before it appears.

    Args:
        run: the folder of a run, or generators by direction as ``i2i.engine.load_generators`` gives them.
        path: of the file; by default that of ``default_path``.
        to: the domain to translate to, by name, or a direction ("b2a"); by default the run's first direction. What
            translates to several domains is exported with all of them.
        io: "pixels" (takes and returns images) or "tensor" (the bare network on [-1, 1]).

    Returns the path of the file. Raises ValueError for a run without such a generator, and ExportError (a
    ValueError), leaving no file, where the file would not do what the network does.
    """
    generators = directions(run)
    direction = choose(generators, to)
    if path is None:
        if isinstance(run, Mapping):
            raise ValueError("where should the file go? generators alone have no run folder: give a path")
        path = default_path(Path(run), direction, io)
    net, spec = generators[direction]
    return export_network(net, replace(spec, io=io), path)


def default_path(run: Path, direction: str, io: str) -> Path:
    """``RUN/onnx/DIRECTION.onnx``, or beside ``run`` where that is one file of weights.

    A file that takes no pixels says so in its name (``DIRECTION.tensor.onnx``): the plain name is that of the file
    which the run translates with.
    """
    suffix = ".onnx" if io == "pixels" else f".{io}.onnx"
    return run / "onnx" / f"{direction}{suffix}" if run.is_dir() else run.with_suffix(suffix)


def choose(generators: Generators, to: To | None) -> str:
    """The direction that ``to``, a domain's name or a direction, means; the first for None. Raises ValueError."""
    return targets.choose(_specs(generators), to, "this run")


def directions(run: str | Path | Generators) -> Generators:
    """The generators of a run, by direction, translations first: at least one. Raises ValueError."""
    if not isinstance(run, Mapping):
        from i2i.engine import load_generators  # the loop is not needed to export a network alone

        run = load_generators(run)
    if not run:
        raise ValueError("no generators to export; expected at least one, as i2i.engine.load_generators gives them")
    return {direction: run[direction] for direction in targets.ordered(_specs(run))}


def _specs(generators: Generators) -> dict[str, Spec]:
    return {direction: spec for direction, (_, spec) in generators.items()}


def export_network(net: nn.Module, spec: Spec, path: str | Path) -> Path:
    """Writes ``net`` ([n, c, h, w] in [-1, 1] to the same) as an ONNX file under ``path``; ``net`` is left as it is.

    Where ``spec`` has domains, ``net`` takes c as well, float32 [n, domains], and the file has a second input.

    What ``spec`` says of the network's size rule, receptive field and tiling is taken from the network where it has
    such attributes; its parity is what is measured here. Raises ExportError, and leaves no file, if the graph does
    not have the promised form or its results are not the network's.
    """
    path = Path(path)
    if spec.io not in ("pixels", "tensor"):
        raise ValueError(f"io is {spec.io!r}; choose pixels or tensor")
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give the name of a file in it, such as {path / 'model.onnx'}")
    net = copy.deepcopy(per_image(net)).cpu().float().requires_grad_(False)
    _check_weights(net)
    spec = describe(net, spec)
    module = Toward(net, spec) if spec.domains else net
    if spec.io == "pixels":
        module = Pixels(module, spec)
    path.parent.mkdir(parents=True, exist_ok=True)
    atomically(path, lambda temporary: _write(temporary, module.eval(), spec))
    return path


def _write(file: Path, module: nn.Module, spec: Spec) -> None:
    file.write_bytes(_serialise(graph.to_onnx(module, spec)))
    _append_description(file, replace(spec, parity=parity.measure(file, module, spec)))


def describe(net: nn.Module, spec: Spec) -> Spec:
    """``spec`` with what the network itself knows best."""
    known = {name: getattr(net, name) for name in ("minimum", "multiple", "receptive_field") if hasattr(net, name)}
    spec = replace(spec, **known)
    if spec.receptive_field is None:
        tiling = "no"
    elif any(isinstance(module, NORMS) for module in net.modules()):
        tiling = "statistics"
    else:
        tiling = "exact"
    return replace(spec, tiling=tiling)


def _check_weights(net: nn.Module) -> None:
    broken = [name for name, tensor in net.state_dict().items() if not bool(torch.isfinite(tensor).all())]
    if broken:
        raise ExportError(
            f"{len(broken)} of the network's weights hold values that are not finite ({', '.join(broken[:5])}): "
            "its training diverged. Export an earlier state. No file was written"
        )


def _serialise(model: onnx.ModelProto) -> bytes:
    if model.ByteSize() >= onnx.checker.MAXIMUM_PROTOBUF:
        raise ExportError(
            f"the network takes {model.ByteSize() / 2**30:.1f} GiB, and a single ONNX file holds 2. No file was written"
        )
    return model.SerializeToString()


def _append_description(file: Path, spec: Spec) -> None:
    """Adds the Spec to a written model: protobuf reads what follows a message as more of it.

    So the bytes that were proven stay as they are, and only the description, with the proof in it, comes behind.
    """
    entry = onnx.StringStringEntryProto(key=METADATA_KEY, value=spec.to_json())
    with file.open("r+b") as stream:  # unlike "ab", this makes no file of a description alone where the model is gone
        stream.seek(0, os.SEEK_END)
        stream.write(onnx.ModelProto(metadata_props=[entry]).SerializeToString())
