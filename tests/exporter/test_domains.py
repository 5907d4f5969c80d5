"""One file for several domains, or for attributes: its second input, and the same pixels as PyTorch for each."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file
from torch import Tensor, nn

from i2i.cli.export import command, describe
from i2i.exporter import ExportError, export, export_network, parity, writer
from i2i.exporter.pixel_graph import Pixels, WithTarget
from i2i.exporter.ports import targets
from i2i.networks import per_image
from i2i.runtime import NonFiniteError, load
from i2i.runtime.graphs.onnx_file import read_spec
from i2i.spec import METADATA_KEY, Domain, Spec
from i2i.translators import Translator
from tests.exporter.conftest import Small, exported_once, pictures, with_weights

NAMES = ("cloudy", "rain", "shine", "sunrise")


class Conditional(nn.Module):
    """A small network whose colours depend on c; constant planes beside x would be lost to its instance norm."""

    minimum, receptive_field = Small.minimum, Small.receptive_field

    def __init__(self, in_channels: int = 3, out_channels: int = 3, *, domains: int = 4) -> None:
        super().__init__()
        self.body, self.tint = Small(in_channels, out_channels), nn.Linear(domains, out_channels)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        return (self.body(x) + self.tint(c)[:, :, None, None]).tanh()


class Many(Translator):
    """A translator of one's own between several domains."""

    data = "domains"

    def __init__(self, in_channels: int, out_channels: int, *, domains: int, attributes: bool) -> None:
        super().__init__()
        self.G = Conditional(in_channels, out_channels, domains=domains)

    def exports(self) -> dict[str, nn.Module]:
        return {"any": self.G}


def spec(attributes: bool = False, io: str = "pixels", bits: int = 8, names: tuple[str, ...] = NAMES) -> Spec:
    weather = Domain("weather", 3, bits)
    return Spec("stargan", "any", weather, weather, domains=names, attributes=attributes, io=io)


Case = tuple[Path, Conditional, Spec]
CASES = {
    "domains": spec(),
    "domains, 16 bits": spec(bits=16),
    "domains, tensor": spec(io="tensor"),
    "attributes": spec(True),
    "attributes, tensor": spec(True, "tensor"),
}


SLOW = ("domains, 16 bits", "attributes, tensor")  # each part of them is in another case


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in CASES]
)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    return exported(request.param, tmp_path_factory)


def exported(name: str, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Return one of CASES, exported once for all tests."""
    torch.manual_seed(0)
    promise, net = CASES[name], Conditional().eval()
    return exported_once(net, promise, name, tmp_path_factory), net, promise


def run(path: Path, image: np.ndarray, target: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["translation"], {"image": image, "target": target})[0]


def marked(images: np.ndarray) -> list[bool]:
    """Return for each image True if it is the mark of a result that is not finite."""
    if images.dtype == np.uint8:
        odd = np.indices(images.shape[1:3]).sum(0) % 2
        return [bool((image == 255 * odd[..., None]).all()) for image in images]
    return [bool(np.isnan(image).all()) for image in images]


def test_the_file_describes_its_inputs(case: Case) -> None:
    path, _, promise = case
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    image, target = model.graph.input
    assert (image.name, target.name) == ("image", "target")
    sizes = [size.dim_param or size.dim_value for size in target.type.tensor_type.shape.dim]
    assert sizes == (["n", 4] if promise.attributes else ["n"])
    kind = onnx.TensorProto.FLOAT if promise.attributes else onnx.TensorProto.INT64
    assert target.type.tensor_type.elem_type == kind
    listed = ", ".join(NAMES if promise.attributes else (f"{index} {name}" for index, name in enumerate(NAMES)))
    assert listed in target.doc_string
    assert target.doc_string in model.doc_string
    assert f"of 'weather' to each of several {'attributes' if promise.attributes else 'domains'}" in model.doc_string
    found = read_spec(path)
    assert found is not None
    known = {"minimum": 4, "receptive_field": 7, "tiling": "statistics"}
    assert replace(found, parity={}, values_per_pixel=None) == replace(promise, **known)
    assert max(n for n, _, _ in found.parity["inputs"]) >= 4
    assert found.parity["largest"] <= found.parity["limit"]
    weather = "any of cloudy, rain, shine, sunrise" if promise.attributes else "cloudy, rain, shine, sunrise"
    assert f"  weather -> {weather}  " in describe(path)


@pytest.mark.parametrize("size", [(1, 1, 9), (5, 3, 2), (3, 40, 57)])
def test_same_pixels_as_torch_for_every_target_in_one_batch(case: Case, size: tuple[int, int, int]) -> None:
    path, net, promise = case
    n, h, w = size
    if promise.io == "tensor":
        h, w = max(h, 4), max(w, 4)
        image = torch.rand(n, 3, h, w) * 2 - 1
        module: nn.Module = WithTarget(per_image(net), promise)
    else:
        image = torch.from_numpy(pictures(n, h, w, promise))
        module = Pixels(WithTarget(per_image(net), promise), replace(promise, minimum=4))
    for start in range(6):
        target = targets(promise, n, start)
        with torch.inference_mode():
            want = module(image, target).numpy()
        got = run(path, image.numpy(), target.numpy())
        assert got.shape == want.shape == tuple(image.shape)
        limit = 1 if promise.dtype == "uint8" else 1e-4 * (promise.target.peak if promise.io == "pixels" else 2)
        assert np.abs(got.astype(np.float64) - want).max() <= limit


def test_the_network_sees_c_and_each_image_its_own(case: Case) -> None:
    """c is the one-hot vector of the index, or the attributes; not the batch's first, and not left out."""
    path, net, promise = case
    one = np.full((1, 24, 24, 3), 200, promise.dtype)
    one[:, 5:9, 3:20] = 20
    image = one if promise.io == "pixels" else (one.transpose(0, 3, 1, 2) / 127.5 - 1).astype(np.float32)
    together = np.repeat(image, 4, axis=0)
    target = np.eye(4, dtype=np.float32) if promise.attributes else np.arange(4)
    got = run(path, together, target)
    for index in range(4):
        alone = run(path, image, target[index : index + 1])[0]
        assert np.array_equal(got[index], alone) or np.abs(got[index] - alone.astype(float)).max() < 1e-3
        x = torch.from_numpy(image.astype(np.float32))
        if promise.io == "pixels":
            x = (x / (promise.source.peak / 2) - 1).permute(0, 3, 1, 2)
        with torch.inference_mode():
            y = net(x, torch.eye(4)[index : index + 1])
        if promise.io == "pixels":
            y = ((y + 1) / 2 * promise.target.peak).permute(0, 2, 3, 1)
        limit = 1.01 if promise.dtype == "uint8" else 1e-4 * promise.target.peak
        assert np.abs(alone - y[0].numpy()).max() <= limit


def test_a_target_that_is_none_marks_its_image_and_no_other(case: Case) -> None:
    path, _, promise = case
    image = pictures(6, 20, 31, replace(promise, io="pixels"))
    if promise.io == "tensor":
        image = image.transpose(0, 3, 1, 2).astype(np.float32).copy() / 127.5 - 1
    if promise.attributes:
        target = np.array([[1, 0, 1, 1]] * 6, np.float32)
        target[1, 2], target[2, 0], target[4, 3], target[5] = np.nan, -1, np.inf, 0
        none = [False, True, True, False, True, False]
    else:
        target = np.array([0, 4, -1, 3, 2**40, 1])
        none = [False, True, True, False, True, False]
    assert marked(run(path, image, target)) == none


def test_the_runtime_runs_the_file(case: Case) -> None:
    path, _, promise = case
    model = load(path, "cpu")
    image = pictures(2, 20, 31, replace(promise, io="pixels")).astype(np.uint8)
    results = [model(image, to=name) for name in NAMES]
    assert all(result.shape == image.shape and result.dtype == np.uint8 for result in results)
    assert len({result.tobytes() for result in results}) == 4
    if promise.io == "pixels" and promise.dtype == "uint8":
        target = targets(promise, 3)[2:].repeat(2, *[1] * promise.attributes).numpy()
        assert np.array_equal(results[2], run(path, image, target))


def test_every_domain_is_probed_however_many_there_are() -> None:
    promise = spec(names=tuple(f"domain {number}" for number in range(30)))
    asked = [target for _, target in parity._probes(promise)]
    assert set(torch.cat(asked).tolist()) == set(range(30))
    assert all(target.dtype == torch.int64 for target in asked)
    asked = torch.cat([target for _, target in parity._probes(replace(promise, attributes=True))])
    rows = {tuple(row) for row in asked.tolist()}
    assert rows == {*map(tuple, torch.eye(30).tolist()), (0.0,) * 30, (1.0,) * 30}


class Partial(Conditional):
    """A network whose result is not finite for the last of its domains."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Identity()  # quicker to export

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        return super().forward(x, c) / (1 - c[:, -1])[:, None, None, None]


def test_a_domain_that_is_not_finite_is_found(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="output is not finite for 4 images of 3x37"):
        export_network(Partial(), spec(), tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_network_of_other_domains_is_an_error(tmp_path: Path) -> None:
    net = Conditional(domains=3)
    net.body = nn.Identity()  # quicker to export
    with pytest.raises(ExportError, match="could not export Pixels"):
        export_network(net, spec(), tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


class Constant(nn.Module):
    """A network that ignores both inputs."""

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        return x * 0


def test_a_network_that_ignores_its_domain_still_has_both_inputs(tmp_path: Path) -> None:
    path = export_network(Constant(), spec(), tmp_path / "m.onnx")
    image = pictures(2, 5, 6, spec())
    assert (run(path, image, np.array([0, 1])) == 128).all()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four domains with untrained weights."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("runs") / "weather"
    (path / "weights").mkdir(parents=True)
    method, hyperparameters = "tests.exporter.test_domains:Many", {"domains": 4, "attributes": False}
    recipe = {"channels": [3, 3], "hyperparameters": hyperparameters}
    header = replace(spec(), method=method, recipe=recipe)
    net = Many(3, 3, **hyperparameters).exports()["any"]
    metadata = {METADATA_KEY: header.to_json(), "export": "any"}
    save_file(net.state_dict(), path / "weights" / "any.safetensors", metadata=metadata)
    return path


@pytest.mark.parametrize("to", [None, "rain", "any"])
def test_a_run_is_one_file_whatever_the_domain(
    folder: Path, tmp_path: Path, to: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[tuple[tuple[str, ...], Path]] = []
    monkeypatch.setattr(writer, "export_network", lambda net, promise, path: written.append((promise.domains, path)))
    export(folder, to=to)
    assert written == [(NAMES, folder / "onnx" / "any.onnx")]
    with pytest.raises(ValueError, match="does not translate to 'snow'; it translates to cloudy, rain, shine, sunrise"):
        export(folder, to="snow")


def test_the_command_writes_it_and_lists_its_domains(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path, _, _ = exported("domains", tmp_path_factory)  # whose graph it is
    monkeypatch.setattr("i2i.exporter.onnx_graph.to_onnx", functools.partial(with_weights, path))
    result = CliRunner().invoke(command, [str(folder), "--to", "shine"])
    assert result.exit_code == 0, result.output
    assert result.output.startswith(f"{folder / 'onnx' / 'any.onnx'}  weather -> cloudy, rain, shine, sunrise  ")
    model = load(folder / "onnx" / "any.onnx", "cpu")
    assert model.toward("shine").name == "shine"
    result = CliRunner().invoke(command, [str(folder), "--to", "snow"])
    assert isinstance(result.exception, ValueError)
    assert "it translates to cloudy, rain, shine, sunrise" in str(result.exception)

    monkeypatch.setattr("i2i.runtime.model.targets.vector", lambda spec, names: np.array([4]))
    with pytest.raises(NonFiniteError):  # a runtime that asks for a domain that is none hears of it
        model(pictures(1, 9, 9, spec())[0], to="rain")
