"""The proof that a file does what the network does: both are run, and their results compared."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from i2i.exporter.graph import ExportError
from i2i.exporter.pixels import checkerboard
from i2i.spec import Spec

LEVELS = 1  # of a uint8 graph: two roundings of nearly the same number
OF_RANGE = 1e-4  # of a float graph
SEED = 20170330


def measure(path: Path, module: nn.Module, spec: Spec) -> dict[str, Any]:
    """Runs the file in ONNX Runtime and ``module`` in PyTorch (both on the CPU) on noise and on smooth images.

    Returns what was measured: ``largest`` difference and its ``limit`` in ``unit`` ("levels" of 255, or "of the
    range"), ``differing`` (the share of the values that differ by half a level or, for floats, half the limit),
    ``inputs`` [images, height, width] and the versions of both. Raises ExportError if they disagree, and if the
    network itself gives values that are not finite.
    """
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    whole = spec.dtype == "uint8"
    scale, limit = (1.0, LEVELS) if whole else (2.0 if spec.io == "tensor" else float(spec.target.peak), OF_RANGE)
    largest, differing, values = 0.0, 0, 0
    for image in _probes(spec):
        with torch.inference_mode():
            want = module(image)
        _check_finite(want, spec, image)
        got = session.run(["translation"], {"image": image.numpy()})[0]
        if got.shape != want.shape:
            raise ExportError(f"ONNX Runtime returned {got.shape} for {tuple(image.shape)}; PyTorch {want.shape}")
        off = np.abs(got.astype(np.float64) - want.numpy().astype(np.float64)) / scale
        if not off.max() <= limit:  # so that NaN is a mismatch as well
            raise ExportError(
                f"the exported graph is not the network: {_size(spec, image)} differ by {off.max():.3g} "
                f"{'levels of 255' if whole else 'of the range'}, and {limit:g} is allowed "
                f"(PyTorch {torch.__version__}, ONNX Runtime {onnxruntime.__version__}). No file was written"
            )
        largest, differing, values = max(largest, off.max()), differing + (off > limit / 2).sum(), values + off.size
    return {
        "largest": float(f"{largest:.3g}"),
        "limit": limit,
        "unit": "levels" if whole else "of the range",
        "differing": float(f"{differing / values:.3g}"),
        "inputs": _inputs(spec),
        "torch": torch.__version__,
        "onnxruntime": onnxruntime.__version__,
    }


def _inputs(spec: Spec) -> list[list[int]]:
    """Images, height and width to try: batches of 1 and 3 at three sizes, the costliest once.

    They are the smallest size worth an opinion, below the network's minimum where the graph pads but a few pixels
    high, since a flat image has no statistics but rounding errors, in which any two programs differ; an odd
    rectangle; and a usual size.
    """
    small, rectangle, usual = (max(2, spec.minimum - 1), 37), (119, 203), (256, 256)
    inputs = [(1, *small), (3, *small), (1, *rectangle), (3, *rectangle), (1, *usual)]
    if spec.io == "pixels":
        return [list(sizes) for sizes in inputs]
    return [
        [n, *(-(-max(side, spec.minimum) // spec.multiple) * spec.multiple for side in size)] for n, *size in inputs
    ]


def _probes(spec: Spec) -> Iterator[Tensor]:
    """Inputs of the graph's type: every other image is smooth, and the rest are noise."""
    generator = torch.Generator().manual_seed(SEED)
    for n, h, w in _inputs(spec):
        noise = torch.rand(n, spec.source.channels, h, w, generator=generator)
        waves = torch.rand(n, spec.source.channels, 4, 4, generator=generator)
        smooth = interpolate(waves, (h, w), mode="bicubic").clamp(0, 1)
        image = torch.where((torch.arange(n) % 2 == 0)[:, None, None, None], smooth, noise)
        if spec.io == "tensor":
            yield image * 2 - 1
        else:
            pixels = (image * spec.source.peak).round().permute(0, 2, 3, 1).contiguous()
            yield pixels.to(getattr(torch, spec.dtype))


def _check_finite(want: Tensor, spec: Spec, image: Tensor) -> None:
    if spec.dtype == "uint8":
        mark = checkerboard(want.shape[1], want.shape[2])[..., None]
        finite = not bool((want == mark).all(dim=(1, 2, 3)).any())
    else:
        finite = bool(want.isfinite().all())
    if not finite:
        raise ExportError(
            f"the network's output is not finite for {_size(spec, image)}: its weights are damaged, or its training "
            "diverged. Export an earlier state. No file was written"
        )


def _size(spec: Spec, image: Tensor) -> str:
    n, h, w = image.shape[:3] if spec.io == "pixels" else (image.shape[0], *image.shape[2:])
    return f"{n} image{'s' * (n > 1)} of {h}x{w}"
