"""Files exported once for all tests, and a second implementation of pixel graphs, in NumPy."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from i2i.atomic import lock
from i2i.exporter import export_network, onnx_graph
from i2i.networks import ResNet, UNet
from i2i.spec import Domain, Spec
from i2i.translators import Translator


class Small(nn.Module):
    """Three convolutions with an instance norm between them, quick to export."""

    minimum = 4
    receptive_field = 7

    def __init__(self, in_channels: int = 3, out_channels: int = 3) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.ReflectionPad2d(3),
            nn.Conv2d(in_channels, 8, 3),
            nn.InstanceNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3),
            nn.ReLU(),
            nn.Conv2d(8, out_channels, 3),
            nn.Tanh(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


class Both(Translator):
    """A translator of one's own, reached by its dotted path."""

    def __init__(self, in_channels: int, out_channels: int, *, gain: float = 1.0) -> None:
        super().__init__()
        self.there, self.back = Small(in_channels, out_channels), Small(out_channels, in_channels)

    def exports(self) -> dict[str, nn.Module]:
        return {"a2b": self.there, "b2a": self.back}


class Undefined(nn.Module):
    """Inverts the image, and divides by zero where it is all white."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        dark = (1 - x).mean((1, 2, 3), keepdim=True)
        return -x * (dark / dark)


def spec(source: tuple[int, int] = (3, 8), target: tuple[int, int] = (3, 8), io: str = "pixels") -> Spec:
    """A Spec from (channels, bits) of both domains."""
    return Spec("pix2pix", "a2b", Domain("labels", *source), Domain("photo", *target), io=io, recipe={"ngf": 4})


def by_hand(net: nn.Module, image: np.ndarray, promise: Spec) -> np.ndarray:
    """Return the expected result for ``image`` [n, h, w, c], as float64 in the target's range, not rounded."""
    h, w = image.shape[1:3]
    missing = [max(0, getattr(net, "minimum", 1) - side) for side in (h, w)]
    x = np.pad(image, ((0, 0), (0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
    x = 2 * x.astype(np.float32) / promise.source.peak - 1
    with torch.inference_mode():
        y = net(torch.from_numpy(x.transpose(0, 3, 1, 2).copy())).numpy()
    y = y.transpose(0, 2, 3, 1)[:, :h, :w].astype(np.float64)
    return np.clip((y + 1) / 2 * promise.target.peak, 0, promise.target.peak)


def pictures(n: int, h: int, w: int, promise: Spec, seed: int = 0) -> np.ndarray:
    """Noise [n, h, w, c] in the type that ``promise`` asks for."""
    values = np.random.default_rng(seed).integers(0, promise.source.peak + 1, (n, h, w, promise.source.channels))
    return values.astype(promise.dtype)


def run(path: Path, image: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["translation"], {"image": image})[0]


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, nn.Module, Spec]]:
    return all_exports(tmp_path_factory)


def all_exports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, nn.Module, Spec]]:
    """File, network as it is to be used, and Spec asked for: a ResNet, a 16-bit U-Net, 3 -> 1 channels, a bare net."""
    torch.manual_seed(0)
    cases = {
        "resnet": (ResNet(blocks=1, ngf=4), spec()),
        "unet16": (UNet(1, 3, depth=3, ngf=4, norm="instance", dropout=False), spec((1, 16), (3, 16))),
        "grey": (Small(3, 1), spec((3, 8), (1, 8))),
        "tensor": (Small(3, 1), spec((3, 8), (1, 8), io="tensor")),
    }
    for net, _ in cases.values():
        for name, parameter in net.named_parameters():
            if name.endswith("bias"):
                nn.init.normal_(parameter, 0, 0.1)  # one that is zero is left out of the graph
    folder = of_all_workers(tmp_path_factory) / "exports"
    with alone(folder.with_suffix(".lock")):
        for name, (net, promise) in cases.items():
            if not (folder / f"{name}.onnx").exists():
                export_network(net.eval(), promise, folder / f"{name}.onnx")
    return {name: (folder / f"{name}.onnx", net.eval(), promise) for name, (net, promise) in cases.items()}


def with_weights(path: Path, module: nn.Module, spec: Spec) -> onnx.ModelProto:
    """Return the graph of the exported file ``path`` with the weights of ``module``, which is such a network."""
    model, weights = onnx.load(path), module.state_dict()
    for tensor in model.graph.initializer:
        if tensor.name in weights:
            values = weights.pop(tensor.name).numpy()
            assert list(tensor.dims) == list(values.shape), tensor.name
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    assert not weights, "this is another network"
    onnx_graph._check_form(model, spec)
    onnx_graph._tidy(model, spec)
    return model


def exported_once(net: nn.Module, promise: Spec, name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the export of ``net`` under a name of its own, written by the first test that asks for it."""
    path = of_all_workers(tmp_path_factory) / name / "any.onnx"
    with alone(path.parent.with_suffix(".lock")):
        return path if path.exists() else export_network(net, promise, path)


def of_all_workers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the test session's folder for temporary files, the same in all of its processes."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Lock ``path`` against the other processes of the test session."""
    with path.open("w") as file:
        while True:
            try:
                lock(file)
                break
            except BlockingIOError:
                time.sleep(0.1)
        yield
