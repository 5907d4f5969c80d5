"""Write exported files: convert, compare with PyTorch, describe, and rename when complete."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import onnx
import torch
from torch import nn

from i2i.atomic import atomically, check_kind
from i2i.errors import ExportError
from i2i.exporter import onnx_graph, parity
from i2i.exporter.calibration import CalibrationImages, gather
from i2i.exporter.pixel_graph import Drawn, Pixels, Styles, WithTarget, WithText
from i2i.exporter.precision import reduced
from i2i.networks import per_image
from i2i.networks.latent import Decoder
from i2i.runtime.graphs.onnx_file import described, read_spec
from i2i.runtime.memory.estimate import measure_values_per_pixel
from i2i.runtime.model import styles, targets
from i2i.runtime.model.catalog import by_name
from i2i.runtime.model.inference import Inference
from i2i.runtime.model.targets import To
from i2i.runtime.providers.table import open_session
from i2i.spec import ENERGY, PRECISIONS, STYLE_ENCODER, TRANSLATOR, Spec
from i2i.text import known_keywords

Generators = Mapping[str, tuple[nn.Module, Spec]]
NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)


@known_keywords
def export(
    run: str | os.PathLike[str] | Generators,
    path: str | os.PathLike[str] | None = None,
    *,
    to: To | None = None,
    io: str = "pixels",
    precision: str = "fp32",
    calibrate: str | os.PathLike[str] | None = None,
    weights: str = "best",
) -> Path:
    """Export one generator of a run as an ONNX file, compared with PyTorch before it is written.

    Args:
        run: the folder of a run, or generators by direction as returned by ``i2i.engine.load_generators``; or, for
            another precision, an exported file in fp32.
        path: file to write, replaced if it exists; default ``RUN/onnx/DIRECTION.onnx``, with io and precision in its
            name if they are not the default (``a2b.tensor.onnx``, ``a2b.int8.onnx``); for an exported file,
            ``NAME.PRECISION.onnx`` beside it.
        to: the target domain by name, or a direction ("b2a"); default the run's first direction. A model of several
            domains is exported with all of them.
        io: "pixels", images in and images out; or "tensor", the bare network on values from -1 to 1.
        precision: "fp32"; "fp16", half the size and faster on GPUs (a CPU computes it in float32); or "int8", a quarter
            of the size and faster on CPUs. Both are refused below a PSNR of 60 dB (int8: 45 dB, or a value off by more
            than 8 of 255).
        calibrate: folder of typical input images, at least 4, for int8 at least 12, to calibrate int8 and to measure
            the loss of a precision; default the training images. A generator is measured on seeds, without images.
        weights: of a run: "best", those that ``i2i.train(eval_every=N)`` chose on validation images, which are the
            newest ones where it chose none; or "newest", whose file has it in its name (``a2b.newest.onnx``).

    Returns the path of the file.

    Raises ValueError for a run without such a generator or without images to measure on, and ExportError (a
    ValueError), leaving no file, if the file's results differ from the network's, or a precision loses more than its
    limits.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision is {precision!r}; choose {', '.join(PRECISIONS)}")
    if calibrate is not None and precision == "fp32":
        raise ValueError("images to calibrate with are only used for fp16 and int8")
    if not isinstance(run, Mapping) and Path(run).suffix == ".onnx":
        if to is not None or io != "pixels" or weights != "best":
            raise ValueError(f"{run} is an exported file: its direction, io and weights cannot be changed")
        return convert(Path(run), path, precision, calibrate)
    if not isinstance(run, Mapping):
        run = by_name(Path(run))
    generators = directions(run, weights)
    direction = choose(generators, to)
    if path is None:
        if isinstance(run, Mapping):
            raise ValueError("generators without a run folder need a path for the file")
        path = default_path(Path(run), direction, io, precision, weights)
    net, spec = generators[direction]
    spec = replace(spec, io=io)
    if precision == "fp32":
        return export_network(net, spec, path)
    folder = Path(run) if not isinstance(run, Mapping) and Path(run).is_dir() else None
    pictures = gather(calibrate, folder, describe(net, spec), precision == "int8")
    return export_network(net, spec, path, precision, pictures)


def convert(
    model: Path,
    path: str | os.PathLike[str] | None = None,
    precision: str = "fp16",
    calibrate: str | os.PathLike[str] | None = None,
) -> Path:
    """Convert an exported fp32 file to another precision, as ``export`` does; by default beside it as
    ``NAME.fp16.onnx``. Raises ValueError and ExportError.
    """
    spec = read_spec(model)
    if spec is None or spec.form is not None or spec.precision != "fp32":
        what = "a third-party model" if spec is None or spec.form is not None else f"in {spec.precision}"
        raise ValueError(f"{model}: {what}; only an export in fp32 can be converted to another precision, fp16 or int8")
    if precision == "fp32":
        raise ValueError(f"{model} is already in fp32; choose another precision, fp16 or int8")
    path = Path(path) if path is not None else model.with_suffix(f".{precision}.onnx")
    if path.exists() and path.samefile(model):
        raise ValueError(f"{path} is the model itself; give the file another name")
    pictures = gather(calibrate, None, spec, precision == "int8")
    _check_name(path)
    if spec.values_per_pixel is None and spec.kind != targets.GENERATOR:  # an older export
        spec = replace(spec, values_per_pixel=_values_per_pixel(model, spec))
    data = reduced(model.read_bytes(), spec, precision, pictures)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside, there = styles.encoder_path(path, precision), styles.encoder_path(model)
    if spec.style is not None and there.is_file() and not (beside.exists() and beside.samefile(there)):
        encoder = there.read_bytes()
        atomically(beside, lambda temporary: temporary.write_bytes(encoder))
    atomically(path, lambda temporary: temporary.write_bytes(data))
    return path


def default_path(run: Path, direction: str, io: str, precision: str = "fp32", weights: str = "best") -> Path:
    """Return ``RUN/onnx/DIRECTION.onnx``, or a path beside ``run`` if that is one file of weights.

    Files with other io, weights or precision have it in their name (``DIRECTION.tensor.onnx``,
    ``DIRECTION.newest.onnx``, ``DIRECTION.int8.onnx``); the run translates with the file of the plain name.
    """
    marks = [io] * (io != "pixels") + [weights] * (weights != "best") + [precision] * (precision != "fp32")
    suffix = "".join(f".{mark}" for mark in (*marks, "onnx"))
    return run / "onnx" / f"{direction}{suffix}" if run.is_dir() else run.with_suffix(suffix)


def choose(generators: Generators, to: To | None) -> str:
    """Return the direction of ``to``, a domain's name or a direction; the first for None. Raises ValueError."""
    return targets.choose(_specs(generators), to, "this run")


def directions(run: str | os.PathLike[str] | Generators, weights: str = "best") -> Generators:
    """Return the generators of a run by direction, translations first. Raises ValueError if there are none."""
    if not isinstance(run, Mapping):
        from i2i.engine import load_generators  # exporting a network alone does not need the loop

        run = load_generators(run, weights)
    if not run:
        raise ValueError("no generators to export; expected at least one, as i2i.engine.load_generators gives them")
    if scores := [spec.method for _, spec in run.values() if spec.kind == ENERGY]:
        raise ValueError(
            f"a run of {scores[0]} has no export: its network scores images, and only its gradients make new ones. Use "
            "i2i.engine.load_translator(RUN).sample(n, seed) in Python"
        )
    return {direction: run[direction] for direction in targets.ordered(_specs(run))}


def _specs(generators: Generators) -> dict[str, Spec]:
    return {direction: spec for direction, (_, spec) in generators.items()}


def export_network(
    net: nn.Module,
    spec: Spec,
    path: str | os.PathLike[str],
    precision: str = "fp32",
    pictures: CalibrationImages | None = None,
) -> Path:
    """Write ``net`` ([n, c, h, w] in [-1, 1] to the same) as an ONNX file to ``path``; ``net`` is not changed.

    For a generator ``net`` takes z, float32 [n, length], instead; and text, int64 [n, words], if its prior has words. A
    translator with a prior also takes a style, float32 [n, length]; its own module ``of_style``, if it has one, from an
    image to a style, becomes the file ``NAME.style.onnx`` beside ``path``.

    If ``spec`` has domains, ``net`` also takes c, float32 [n, domains], and the file has a second input.

    The network's size rule, receptive field and tiling are taken from its attributes where it has them; the parity is
    measured here. A ``precision`` other than fp32 needs ``pictures``.

    Raises ExportError, and leaves no file, if the graph does not have the form of ``spec``, its results differ from the
    network's, or the precision loses too much.
    """
    path = Path(path)
    if spec.io not in ("pixels", "tensor"):
        raise ValueError(f"io is {spec.io!r}; choose pixels or tensor")
    _check_name(path)
    net = copy.deepcopy(per_image(net)).cpu().float().requires_grad_(False)
    _check_weights(net)
    spec = describe(net, spec)
    module = WithTarget(net, spec) if spec.domains else net
    if spec.prior is not None and spec.prior.words:
        module = WithText(net, spec)
    if spec.kind == STYLE_ENCODER:
        module = Styles(module, spec)
    elif spec.io == "pixels":
        module = Drawn(module, spec) if spec.generates else Pixels(module, spec)
    path.parent.mkdir(parents=True, exist_ok=True)
    if spec.style is not None and isinstance(encoder := getattr(net, "of_style", None), nn.Module):
        about = replace(spec, kind=STYLE_ENCODER, source=spec.target, io="pixels")
        export_network(encoder, about, styles.encoder_path(path, precision))
    atomically(path, lambda temporary: _write(temporary, module.eval(), spec, precision, pictures))
    return path


def _write(file: Path, module: nn.Module, spec: Spec, precision: str, pictures: CalibrationImages | None) -> None:
    model = _serialise(onnx_graph.to_onnx(module, spec))
    file.write_bytes(model)
    spec = replace(spec, parity=parity.measure(file, module, spec))
    if spec.kind == TRANSLATOR:
        spec = replace(spec, values_per_pixel=_values_per_pixel(file, spec))
    if precision == "fp32":
        # Protobuf merges what follows a message into it, so the bytes that were compared stay unchanged.
        file.write_bytes(model + described(spec))
    else:
        assert pictures is not None, "the loss of a precision is measured on images"
        file.write_bytes(reduced(model, spec, precision, pictures))


def _values_per_pixel(file: Path, spec: Spec) -> float:
    infer = Inference(file, spec).blank
    return measure_values_per_pixel(file.read_bytes(), spec, infer, lambda graph: open_session(graph, "cpu"))


def _check_name(path: Path) -> None:
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give the name of a file in it, such as {path / 'model.onnx'}")
    check_kind(path, ".onnx")


def describe(net: nn.Module, spec: Spec) -> Spec:
    """Return ``spec`` with the facts that the network itself knows."""
    known = {name: getattr(net, name) for name in ("minimum", "multiple", "receptive_field") if hasattr(net, name)}
    spec = replace(spec, **known)
    if spec.prior is not None and isinstance(net, Decoder):
        pairs = zip(spec.prior.means, net.latent_means(), strict=True)
        means = tuple(replace(mean, z=tuple(float(f"{number:.6g}") for number in z)) for mean, z in pairs)
        spec = replace(spec, prior=replace(spec.prior, means=means))
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
            f"the network takes {model.ByteSize() / 2**30:.1f} GiB; one ONNX file has at most 2. No file was written"
        )
    return model.SerializeToString()
