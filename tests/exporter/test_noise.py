"""Exports of generators from noise: labels, other precisions, what is refused, and the translators beside them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from i2i.exporter import ExportError, export, export_network
from i2i.exporter.calibration import SEEDS, gather
from i2i.runtime import Generator, load
from i2i.runtime.graphs.onnx_file import read_spec
from i2i.sampling import latent
from i2i.spec import Code, Domain, Prior, Spec

PRIOR = Prior(5, (12, 10), codes=(Code("kind", 3),))
SHAPES = Spec("own", "generate", Domain("shapes"), Domain("shapes"), kind="generator", prior=PRIOR, schema=3)
LABELS = ("cat", "dog", "owl")


class Painter(nn.Module):
    """Convolutions over a projected z, with labels where there are any."""

    def __init__(self, labels: int = 0) -> None:
        super().__init__()
        self.project = nn.Linear(PRIOR.length + labels, 8 * 12 * 10)
        self.layers = nn.Sequential(
            *(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(8, 3, 3, padding=1), nn.Tanh()),
        )

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        x = z if c is None else torch.cat([z, c], 1)
        return self.layers(self.project(x).view(-1, 8, 12, 10))


def painter(labels: int = 0) -> Painter:
    torch.manual_seed(0)
    return Painter(labels).eval()


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_network(painter(), SHAPES, tmp_path_factory.mktemp("shapes") / "shapes.onnx")


def levels(net: nn.Module, *given: Tensor) -> np.ndarray:
    with torch.inference_mode():
        return ((net(*given) + 1) * 127.5).permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("attributes", [False, True])
def test_labels_are_a_second_input(tmp_path: Path, attributes: bool) -> None:
    spec = replace(SHAPES, domains=LABELS, attributes=attributes)
    net = painter(3)
    generator = load(export({"generate": (net, spec)}, tmp_path / "m.onnx"), "cpu")
    assert isinstance(generator, Generator)
    z = torch.from_numpy(latent(PRIOR, range(4)))
    cases: list[tuple[str | list[str], list[float]]] = [("dog", [0, 1, 0]), ("owl", [0, 0, 1])]
    for to, label in [*cases, *([(["cat", "owl"], [1, 0, 1]), ([], [0, 0, 0])] if attributes else [])]:
        want = levels(net, z, torch.tensor(label, dtype=torch.float32).repeat(4, 1))
        assert np.abs(generator.sample(4, to=to) - want).max() <= 1


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_another_precision_is_measured_on_seeds(shapes: Path, precision: str) -> None:
    path = export(shapes, precision=precision)
    assert path == shapes.with_name(f"shapes.{precision}.onnx")
    spec = read_spec(path)
    assert spec is not None
    assert (spec.kind, spec.prior, spec.precision) == ("generator", PRIOR, precision)
    assert spec.loss["held_out"] == SEEDS
    assert spec.loss["psnr"] is None or spec.loss["psnr"] >= (60 if precision == "fp16" else 45)
    assert spec.loss.get("calibration") == (SEEDS if precision == "int8" else None)
    whole, reduced = load(shapes, "cpu").sample(8, seed=500), load(path, "cpu").sample(8, seed=500)
    assert 0 <= np.abs(whole.astype(int) - reduced).max() <= 8
    assert whole.std() > 5


def test_seeds_of_calibration_are_not_those_of_the_measurement() -> None:
    both, held_out = gather(None, None, SHAPES, True), gather(None, None, SHAPES, False)
    assert (len(both.calibration), len(both.held_out)) == (SEEDS, SEEDS)
    assert (len(held_out.calibration), len(held_out.held_out)) == (0, SEEDS)
    together = np.stack(both.calibration + both.held_out)
    assert len(np.unique(together, axis=0)) == 2 * SEEDS


def test_images_to_calibrate_a_generator_with_are_refused(shapes: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a generator is calibrated and measured on seeds, not on images; leave out"):
        export(shapes, precision="fp16", calibrate=tmp_path)


def test_no_int8_of_a_generator_without_convolutions(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(PRIOR.length, 360), nn.Tanh(), nn.Unflatten(1, (3, 12, 10)))
    path = export_network(net, SHAPES, tmp_path / "m.onnx")
    with pytest.raises(ExportError, match=r"no convolution .* No file was written\. Use --precision fp16$"):
        export(path, precision="int8")
    assert [file.name for file in tmp_path.iterdir()] == ["m.onnx"]


def test_a_bare_network_draws_the_same(shapes: Path, tmp_path: Path) -> None:
    bare = export({"generate": (painter(), SHAPES)}, tmp_path / "m.onnx", io="tensor")
    assert np.abs(load(bare, "cpu").sample(3).astype(int) - load(shapes, "cpu").sample(3)).max() <= 1
