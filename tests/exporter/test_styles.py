"""A translator with styles: two files, whose results are those of the networks, whole, in tiles and in float16."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from i2i.exporter import export, export_network, precision
from i2i.exporter.precision_loss import Limits
from i2i.images import Image, write_image
from i2i.networks import per_image
from i2i.networks.munit import Restyle
from i2i.runtime import Model
from i2i.runtime.graphs.onnx_file import read_spec
from i2i.sampling import latent
from i2i.spec import STYLE_ENCODER, Domain, Spec
from i2i.translators.munit import MUNIT
from tests.exporter.conftest import by_hand, pictures

Files = tuple[Path, Restyle, Spec]


class Bound(torch.nn.Module):
    """A network of (x, style) with its style."""

    def __init__(self, net: Restyle, style: np.ndarray) -> None:
        super().__init__()
        self.net, self.style, self.minimum = net, torch.from_numpy(style), net.minimum

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x, self.style)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    torch.manual_seed(0)
    translator = MUNIT(3, 1, ngf=4, ndf=2, blocks=1, style=3, hidden=6)
    spec = Spec("munit", "a2b", Domain("day"), Domain("night", 1), prior=translator.prior(), schema=3)
    net = per_image(translator.exports()["a2b"])
    assert isinstance(net, Restyle)
    return export_network(net, spec, tmp_path_factory.mktemp("styles") / "m.onnx"), net, spec


def test_both_files_describe_their_inputs(files: Files) -> None:
    path, _, spec = files
    assert sorted(file.name for file in path.parent.iterdir()) == ["m.onnx", "m.style.onnx"]
    translator, encoder = read_spec(path), read_spec(path.with_name("m.style.onnx"))
    assert translator is not None
    assert encoder is not None
    assert (translator.kind, translator.style, translator.tiling) == ("translator", spec.prior, "statistics")
    assert (encoder.kind, encoder.source, encoder.prior) == (STYLE_ENCODER, Domain("night", 1), spec.prior)
    assert encoder.parity["largest"] <= 1e-4
    assert translator.parity["largest"] <= 1
    assert translator.parity["unit"] == "levels"
    assert encoder.parity["unit"] == "of the range"
    for file, ends in (
        (path, {"image": ["n", "h", "w", 3], "style": ["n", 3], "translation": ["n", "h", "w", 1]}),
        (path.with_name("m.style.onnx"), {"image": ["n", "h", "w", 1], "style": ["n", 3]}),
    ):
        graph = onnx.load(file).graph
        for value in (*graph.input, *graph.output):
            assert [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim] == ends[value.name]
    assert "normal noise, N(0, 1)" in onnx.load(path).graph.input[1].doc_string


def test_each_image_of_a_batch_gets_its_own_style(files: Files) -> None:
    path, net, spec = files
    image = pictures(3, 33, 46, spec)
    style = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {"image": image, "style": style})
    want = by_hand(Bound(net, style), image, spec).round()
    assert got.shape == (3, 33, 46, 1)
    assert np.abs(got - want).max() <= 1
    (turned,) = session.run(None, {"image": image, "style": style[[1, 2, 0]]})
    assert (np.abs(turned.astype(int) - got).mean((1, 2, 3)) > 1).all()


def test_the_runtime_draws_the_same_styles_and_finds_that_of_an_example(files: Files) -> None:
    path, net, spec = files
    model, image = Model(path, "cpu"), pictures(1, 33, 46, spec)
    assert spec.prior is not None
    for seed in (0, 9):
        want = by_hand(Bound(net, latent(spec.prior, [seed])), image, spec).round()
        assert np.abs(model.styled(seed=seed)(image[0]).astype(float) - want[0]).max() <= 1
    assert (model(image[0]) == model.styled(seed=0)(image[0])).all()
    night = np.random.default_rng(1).integers(0, 256, (40, 30, 1), np.uint8)
    with torch.no_grad():
        found = net.of_style(torch.from_numpy(night.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None])
    assert model.styled(night).target == pytest.approx(found.numpy(), abs=1e-4)


def test_exact_tiles_are_the_whole_image(files: Files) -> None:
    model = Model(files[0], "cpu").styled(seed=2)
    image = pictures(1, 300, 250, files[2])[0]
    whole, tiled = model(image).astype(int), model.tiled("exact")(image)
    assert np.abs(whole - tiled).max() <= 1


def test_float16_has_the_same_inputs_and_the_same_encoder(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(precision.LIMITS, "fp16", Limits(50, 3))  # weights that are random lose more than trained ones
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(4):
        write_image(folder / f"{number}.png", Image(pictures(1, 64, 64, files[2], seed=number)[0]))
    half = export(files[0], tmp_path / "m.fp16.onnx", precision="fp16", calibrate=folder)
    assert (tmp_path / "m.style.onnx").read_bytes() == files[0].with_name("m.style.onnx").read_bytes()
    model, whole = Model(half, "cpu"), Model(files[0], "cpu")
    image = pictures(1, 33, 46, files[2])[0]
    assert np.abs(model.styled(seed=3)(image).astype(int) - whole.styled(seed=3)(image)).max() <= 2
    assert model.styled(image[..., :1]).style == whole.styled(image[..., :1]).style


def test_int8_is_calibrated_on_styles_and_keeps_the_encoder(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loose = Limits(25, 60)  # weights that are random lose more than trained ones
    monkeypatch.setitem(precision.LIMITS, "int8", loose)
    monkeypatch.setattr(precision, "SAFE", loose)
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(12):
        write_image(folder / f"{number:02}.png", Image(pictures(1, 32, 32, files[2], seed=number)[0]))
    small = export(files[0], tmp_path / "m.int8.onnx", precision="int8", calibrate=folder)
    assert sorted(file.name for file in tmp_path.glob("*.onnx")) == ["m.int8.onnx", "m.style.onnx"]
    found = read_spec(small)
    assert found is not None
    assert (found.precision, found.style) == ("int8", files[2].prior)
    assert found.loss["convolutions"][0] > 0
    model, image = Model(small, "cpu"), pictures(1, 33, 46, files[2])[0]
    whole = Model(files[0], "cpu").styled(seed=3)(image).astype(int)
    assert np.abs(model.styled(seed=3)(image) - whole).mean() < np.abs(model.styled(seed=4)(image) - whole).mean() / 2
    assert model.styled(image[..., :1]).style == Model(files[0], "cpu").styled(image[..., :1]).style
