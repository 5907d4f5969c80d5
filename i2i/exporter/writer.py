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

from i2i.atomic import atomically
from i2i.errors import ExportError
from i2i.exporter import graph, parity
from i2i.exporter.pictures import Pictures, gather
from i2i.exporter.pixels import Pixels, Toward
from i2i.exporter.precision import reduced
from i2i.networks import per_image
from i2i.runtime.graphs.onnx_file import read_spec
from i2i.runtime.model import targets
from i2i.runtime.model.targets import To
from i2i.spec import METADATA_KEY, PRECISIONS, Spec

Generators = Mapping[str, tuple[nn.Module, Spec]]
NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)


def export(
    run: str | Path | Generators,
    path: str | Path | None = None,
    *,
    to: To | None = None,
    io: str = "pixels",
    precision: str = "fp32",
    calibrate: str | Path | None = None,
) -> Path:
    """Exports one generator of a run as an ONNX file, which is proven against PyTorch before it appears.

    Args:
        run: the folder of a run, or generators by direction as ``i2i.engine.load_generators`` gives them; or, for
            another precision, a file in fp32 that was exported before.
        path: of the file; by default that of ``default_path``.
        to: the domain to translate to, by name, or a direction ("b2a"); by default the run's first direction. What
            translates to several domains is exported with all of them.
        io: "pixels" (takes and returns images) or "tensor" (the bare network on [-1, 1]).
        precision: "fp32"; "fp16", half the size, and faster on GPUs (a CPU computes it in float32); or "int8", a
            quarter of the size, and faster on CPUs.
        calibrate: a folder of images such as the model will see, from which eight bits are calibrated, and on others of
            which the loss of a precision is measured; by default those that the run was trained on.

    Returns the path of the file. Raises ValueError for a run without such a generator or images to measure on, and
    ExportError (a ValueError), leaving no file, where the file would not do what the network does, or a precision
    loses more than the limits in ``i2i.exporter.precision``.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision is {precision!r}; choose {', '.join(PRECISIONS)}")
    if calibrate is not None and precision == "fp32":
        raise ValueError("images to calibrate with are for another precision: fp16 or int8")
    if not isinstance(run, Mapping) and Path(run).suffix == ".onnx":
        if to is not None or io != "pixels":
            raise ValueError(f"{run} is an export already: its direction and its io are what they are")
        return convert(Path(run), path, precision, calibrate)
    generators = directions(run)
    direction = choose(generators, to)
    if path is None:
        if isinstance(run, Mapping):
            raise ValueError("where should the file go? generators alone have no run folder: give a path")
        path = default_path(Path(run), direction, io, precision)
    net, spec = generators[direction]
    spec = replace(spec, io=io)
    if precision == "fp32":
        return export_network(net, spec, path)
    folder = Path(run) if not isinstance(run, Mapping) and Path(run).is_dir() else None
    pictures = gather(calibrate, folder, describe(net, spec), precision == "int8")
    return export_network(net, spec, path, precision, pictures)


def convert(
    model: Path, path: str | Path | None = None, precision: str = "fp16", calibrate: str | Path | None = None
) -> Path:
    """Brings a file that was exported in fp32 to another precision, as ``export`` does; by default beside it, as
    ``NAME.fp16.onnx``. Raises ValueError and ExportError."""
    spec = read_spec(model)
    if spec is None or spec.form is not None or spec.precision != "fp32":
        what = "others made it" if spec is None or spec.form is not None else f"it is in {spec.precision}"
        raise ValueError(f"{model}: {what}; only an export in fp32 is brought to another precision, fp16 or int8")
    if precision == "fp32":
        raise ValueError(f"{model} is an export in fp32 already; say which other precision it shall have, fp16 or int8")
    path = Path(path) if path is not None else model.with_suffix(f".{precision}.onnx")
    if path.exists() and path.samefile(model):
        raise ValueError(f"{path} is the model itself, which stays as it is; give the file another name")
    pictures = gather(calibrate, None, spec, precision == "int8")
    _check_name(path)
    data = reduced(model.read_bytes(), spec, precision, pictures)
    path.parent.mkdir(parents=True, exist_ok=True)
    atomically(path, lambda temporary: temporary.write_bytes(data))
    return path


def default_path(run: Path, direction: str, io: str, precision: str = "fp32") -> Path:
    """``RUN/onnx/DIRECTION.onnx``, or beside ``run`` where that is one file of weights.

    A file that takes no pixels or is in another precision says so in its name (``DIRECTION.tensor.onnx``,
    ``DIRECTION.int8.onnx``): the plain name is that of the file which the run translates with.
    """
    marks = [io] * (io != "pixels") + [precision] * (precision != "fp32")
    suffix = "".join(f".{mark}" for mark in (*marks, "onnx"))
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


def export_network(
    net: nn.Module, spec: Spec, path: str | Path, precision: str = "fp32", pictures: Pictures | None = None
) -> Path:
    """Writes ``net`` ([n, c, h, w] in [-1, 1] to the same) as an ONNX file under ``path``; ``net`` is left as it is.

    Where ``spec`` has domains, ``net`` takes c as well, float32 [n, domains], and the file has a second input.

    What ``spec`` says of the network's size rule, receptive field and tiling is taken from the network where it has
    such attributes; its parity is what is measured here. Another ``precision`` than fp32 needs ``pictures``.

    Raises ExportError, and leaves no file, if the graph does not have the promised form, its results are not the
    network's, or the precision loses too much of them.
    """
    path = Path(path)
    if spec.io not in ("pixels", "tensor"):
        raise ValueError(f"io is {spec.io!r}; choose pixels or tensor")
    _check_name(path)
    net = copy.deepcopy(per_image(net)).cpu().float().requires_grad_(False)
    _check_weights(net)
    spec = describe(net, spec)
    module = Toward(net, spec) if spec.domains else net
    if spec.io == "pixels":
        module = Pixels(module, spec)
    path.parent.mkdir(parents=True, exist_ok=True)
    atomically(path, lambda temporary: _write(temporary, module.eval(), spec, precision, pictures))
    return path


def _write(file: Path, module: nn.Module, spec: Spec, precision: str, pictures: Pictures | None) -> None:
    file.write_bytes(_serialise(graph.to_onnx(module, spec)))
    spec = replace(spec, parity=parity.measure(file, module, spec))
    if precision != "fp32":
        assert pictures is not None, "the loss of a precision shows on images"
        file.write_bytes(reduced(file.read_bytes(), spec, precision, pictures))
    else:
        _append_description(file, spec)


def _check_name(path: Path) -> None:
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give the name of a file in it, such as {path / 'model.onnx'}")


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
