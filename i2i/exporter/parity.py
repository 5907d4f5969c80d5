"""Parity check: run the exported file and the network, and compare their results."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from i2i.errors import ExportError
from i2i.exporter import ports
from i2i.exporter.pixel_graph import Drawn, Pixels
from i2i.runtime.errors import ModelError
from i2i.runtime.processing import all_finite
from i2i.runtime.providers.table import open_session
from i2i.spec import STYLE_ENCODER, Spec

LEVELS = 1  # of a uint8 graph: two roundings of nearly the same number
OF_RANGE = 1e-4  # of a float graph
SEED = 20170330


def measure(path: Path, module: nn.Module, spec: Spec) -> dict[str, Any]:
    """Compare the file in ONNX Runtime with ``module`` in PyTorch (both on the CPU) on noise and smooth images.

    A model of several domains is run for each of them; one of attributes for each, for none and for all; one with
    styles in a style for each image. Numbers of a style encoder are compared relative to the largest one, from 1.

    Returns the measurements: ``largest`` difference and its ``limit`` in ``unit`` ("levels" of 255, or "of the range"),
    ``differing`` (the share of values that differ by half a level or, for floats, half the limit), ``against``
    (PyTorch's precision: "float32", or "float64" if some images needed it, and then also ``largest_from_float32``),
    ``inputs`` [images, height, width] and the versions of both. Raises ExportError if they disagree, or if the network
    itself returns values that are not finite.
    """
    translate = _opened(path, spec)
    in_levels = spec.dtype == "uint8" and spec.kind != STYLE_ENCODER
    limit = LEVELS if in_levels else OF_RANGE
    largest, from_float32, differing, values = 0.0, 0.0, 0, 0
    for probe in _probes(spec):
        got = translate([tensor.numpy() for tensor in probe])
        off = _differences(got, _run(module, probe, spec), spec)
        from_float32 = max(from_float32, off.max())
        if not off.max() <= limit:  # so that NaN is a mismatch as well
            # PyTorch itself may be inexact: its normalisation of a map that is nearly flat, as at the
            # bottom of a U-Net, cancels most of the digits of float32. Double precision decides.
            off = _differences(got, _run(_double(module), probe, spec), spec)
        if not off.max() <= limit:
            raise ExportError(
                f"the exported graph is not the network: {_size(spec, probe[0])} differ by {off.max():.3g} "
                f"{'levels of 255' if in_levels else 'of the range'}, and {limit:g} is allowed "
                f"(PyTorch {torch.__version__}, ONNX Runtime {onnxruntime.__version__}). No file was written"
            )
        largest, differing, values = max(largest, off.max()), differing + (off > limit / 2).sum(), values + off.size
    by_double = from_float32 > limit
    return {
        "largest": float(f"{largest:.3g}"),
        "against": "float64" if by_double else "float32",
        **({"largest_from_float32": float(f"{from_float32:.3g}")} if by_double else {}),
        "limit": limit,
        "unit": "levels" if in_levels else "of the range",
        "differing": float(f"{differing / values:.3g}"),
        "inputs": _inputs(spec),
        "torch": torch.__version__,
        "onnxruntime": onnxruntime.__version__,
    }


def _opened(path: Path, spec: Spec) -> Callable[[list[np.ndarray]], np.ndarray]:
    """Open the file in ONNX Runtime on the CPU, as a function of its inputs."""
    names = [end.name for end in ports.inputs(spec)]
    try:
        session = open_session(path, "cpu")
    except ModelError as error:
        raise ExportError(f"ONNX Runtime {onnxruntime.__version__} refuses the graph: {error}") from error

    def translate(probe: list[np.ndarray]) -> np.ndarray:
        try:
            return session.run(dict(zip(names, probe, strict=True)))[0]
        except Exception as error:
            raise ExportError(f"ONNX Runtime {onnxruntime.__version__} fails on {probe[0].shape}: {error}") from error

    return translate


def _run(module: nn.Module, probe: tuple[Tensor, ...], spec: Spec) -> np.ndarray:
    image = probe[0]
    if spec.io == "tensor":
        exact = next((p.dtype for p in module.parameters()), image.dtype)
        probe = tuple(tensor.to(exact) if tensor.is_floating_point() else tensor for tensor in probe)
    with torch.inference_mode():
        result = module(*probe)
    if not all_finite(result.numpy()):
        raise ExportError(
            f"the network's output is not finite for {_size(spec, image)}: its weights are damaged, or its training "
            "diverged. Export an earlier state. No file was written"
        )
    return result.numpy()


def _double(module: nn.Module) -> nn.Module:
    module = copy.deepcopy(module).double()
    if isinstance(module, Pixels | Drawn):
        module.dtype = torch.float64
    return module


def _differences(got: np.ndarray, want: np.ndarray, spec: Spec) -> np.ndarray:
    """Return differences in levels for a uint8 graph, as a share of the range for a float graph."""
    if got.shape != want.shape:
        raise ExportError(f"ONNX Runtime returned {got.shape} where PyTorch returned {want.shape}. No file was written")
    span: Any
    if spec.kind == STYLE_ENCODER:
        span = max(1.0, float(np.abs(want).max()))
    else:
        span = 1 if spec.dtype == "uint8" else 2 if spec.io == "tensor" else 2 * np.array(spec.target.half)
    return np.abs(got.astype(np.float64) - want.astype(np.float64)) / span


def _inputs(spec: Spec) -> list[list[int]]:
    """Return the images, height and width to test: batches of 1 and 3 at three sizes, the costliest once.

    They are a small odd size, below the network's minimum if it has one; an odd rectangle; and a usual size. None is
    flat, since a flat image's statistics are only rounding errors, in which any two programs differ. For several
    domains, the larger batch of the smallest size covers all targets.
    """
    if spec.generates and spec.prior is not None:
        return [[n, *spec.prior.size] for n in (1, max(8, len(spec.domains) + 2 * spec.attributes))]
    small, rectangle, usual = (spec.minimum - 1 if spec.minimum > 2 else 21, 37), (119, 203), (256, 256)
    many = max(3, len(spec.domains) + 2 * spec.attributes)
    inputs = [(1, *small), (many, *small), (1, *rectangle), (3, *rectangle), (1, *usual)]
    if spec.io == "pixels":
        return [list(sizes) for sizes in inputs]
    return [
        [n, *(-(-max(side, spec.minimum) // spec.multiple) * spec.multiple for side in size)] for n, *size in inputs
    ]


def _probes(spec: Spec) -> Iterator[tuple[Tensor, ...]]:
    """Yield inputs of the graph's types: every other image is smooth, and the rest are noise. For a
    generator, yield z of the first seeds.
    """
    if spec.generates:
        yield from (ports.drawn(spec, n) for n, *_ in _inputs(spec))
        return
    generator = torch.Generator().manual_seed(SEED)
    for start, (n, h, w) in enumerate(_inputs(spec)):
        noise = torch.rand(n, spec.source.channels, h, w, generator=generator)
        waves = torch.rand(n, spec.source.channels, 4, 4, generator=generator)
        smooth = interpolate(waves, (h, w), mode="bicubic").clamp(0, 1)
        image = torch.where((torch.arange(n) % 2 == 0)[:, None, None, None], smooth, noise)
        image = image * 2 - 1 if spec.io == "tensor" else ports.as_stored(image, spec)
        yield image, *ports.further(spec, n, start)


def _size(spec: Spec, image: Tensor) -> str:
    if spec.generates:
        return f"{len(image)} image{'s' * (len(image) > 1)}"
    n, h, w = image.shape[:3] if spec.io == "pixels" else (image.shape[0], *image.shape[2:])
    return f"{n} image{'s' * (n > 1)} of {h}x{w}"
