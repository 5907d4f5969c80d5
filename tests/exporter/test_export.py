"""The exported file: its form and its pixels; no file is written if it would be wrong."""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from i2i.cli.export import describe
from i2i.exporter import ExportError, export, export_network, onnx_graph, parity, writer
from i2i.exporter.pixel_graph import Pixels
from i2i.networks import per_image
from i2i.networks.blocks import InstanceNorm2d
from i2i.runtime import NonFiniteError, load
from i2i.runtime.graphs.onnx_file import described, read_spec
from i2i.spec import METADATA_KEY, Spec
from tests.exporter.conftest import Small, Undefined, by_hand, pictures, run, spec

Exports = dict[str, tuple[Path, nn.Module, Spec]]


@pytest.mark.parametrize("name", ["resnet", "unet16", "grey", "tensor"])
def test_the_file_says_what_it_is(exports: Exports, name: str) -> None:
    path, net, promise = exports[name]
    model = onnx.load(path)
    onnx.checker.check_model(model)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]
    assert model.ir_version == 8  # the least of opset 18, so that older releases of ONNX Runtime read it
    assert not model.functions
    assert [value.name for value in (*model.graph.input, *model.graph.output)] == ["image", "translation"]
    for value, domain in zip((*model.graph.input, *model.graph.output), (promise.source, promise.target), strict=True):
        sizes = [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]
        c = domain.channels
        assert sizes == (["n", "h", "w", c] if promise.io == "pixels" else ["n", c, "h", "w"])
        want = onnx.TensorProto.UINT8 if name in ("resnet", "grey") else onnx.TensorProto.FLOAT
        assert value.type.tensor_type.elem_type == want
        assert promise.dtype in value.doc_string
    assert model.producer_name == "i2i"
    assert "'labels' to 'photo'" in model.doc_string

    kinds = Counter(node.op_type for node in model.graph.node)
    norms = sum(isinstance(module, nn.InstanceNorm2d) for module in net.modules())
    assert kinds["InstanceNormalization"] == norms
    assert not {"ReduceMean", "BatchNormalization", "GroupNormalization", "If", "Loop"} & set(kinds)
    assert sum(kinds.values()) < 130

    (entry,) = model.metadata_props
    assert entry.key == METADATA_KEY
    found = Spec.from_json(entry.value)
    tiling = "no" if name == "unet16" else "statistics"
    known = {"minimum": net.minimum, "receptive_field": net.receptive_field, "tiling": tiling}
    assert replace(found, parity={}, values_per_pixel=None) == replace(promise, **known)
    assert found.parity["largest"] <= found.parity["limit"] == (1 if found.dtype == "uint8" else 1e-4)
    assert {n for n, _, _ in found.parity["inputs"]} == {1, 3}
    assert len({(h, w) for _, h, w in found.parity["inputs"]}) == 3
    smallest = min(h for _, h, _ in found.parity["inputs"])
    assert smallest < net.minimum or promise.io == "tensor" or net.minimum == 1
    assert found.parity["torch"] == torch.__version__
    assert found.parity["against"] == "float32"
    assert "largest_from_float32" not in found.parity


@pytest.mark.parametrize("name", ["resnet", "unet16", "grey", "tensor"])
def test_the_file_states_the_values_of_its_largest_tensor(exports: Exports, name: str, tmp_path: Path) -> None:
    """As they are measured from a file that does not state them, and never measured again."""
    path, _, _ = exports[name]
    stated = load(path, "cpu").spec
    assert stated.values_per_pixel is not None
    older = tmp_path / "older.onnx"
    older.write_bytes(path.read_bytes() + described(replace(stated, values_per_pixel=None)))
    model = load(older, "cpu")
    assert model.spec.values_per_pixel is None
    assert model.executor.tensor_sizes.values_per_pixel() == stated.values_per_pixel
    if name in ("grey", "tensor"):  # eight channels, each side with two pixels more at both ends
        assert stated.values_per_pixel == pytest.approx(8 * (132**2 - 68**2) / (3 * 64**2))


def test_the_file_is_alone_and_holds_no_path(exports: Exports) -> None:
    path = exports["resnet"][0]
    assert sorted(p.name for p in path.parent.iterdir()) == ["grey.onnx", "resnet.onnx", "tensor.onnx", "unet16.onnx"]
    content = path.read_bytes()
    for trace in (b"stack_trace", b".py", str(Path.cwd()).encode(), str(Path(torch.__file__).parent).encode()):
        assert trace not in content


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", ["resnet", "unet16", "grey"])
def test_same_pixels_as_torch_at_any_size(exports: Exports, name: str, batch: int) -> None:
    path, net, promise = exports[name]
    for h, w in ((3, 3), (7, 5), (1, 300), (57, 91), (64, 128)):
        image = pictures(batch, h, w, promise, seed=h)
        got = run(path, image)
        want = by_hand(net, image, promise)
        assert got.dtype == promise.dtype
        assert got.shape == (batch, h, w, promise.target.channels)
        limit = 1 if promise.dtype == "uint8" else 1e-4 * promise.target.peak
        assert np.abs(got - (want.round() if promise.dtype == "uint8" else want)).max() <= limit


@pytest.mark.parametrize("name", ["resnet", "unet16", "grey"])
def test_a_single_pixel_comes_back_as_one(exports: Exports, name: str) -> None:
    path, _, promise = exports[name]
    got = run(path, pictures(2, 1, 1, promise))  # flat, so that its statistics are rounding errors: no value to expect
    assert got.shape == (2, 1, 1, promise.target.channels)
    assert np.isfinite(got).all()


def test_the_16_bit_file_has_more_than_256_levels(exports: Exports) -> None:
    path = exports["unet16"][0]
    ramp = np.linspace(0, 65535, 64 * 64, dtype=np.float32).reshape(1, 64, 64, 1)
    assert len(np.unique(run(path, ramp).round())) > 2000


def test_the_tensor_file_is_the_bare_network(exports: Exports) -> None:
    path, net, _ = exports["tensor"]
    x = torch.rand(2, 3, 9, 14) * 2 - 1
    with torch.inference_mode():
        assert np.abs(run(path, x.numpy()) - net(x).numpy()).max() < 1e-5


def test_test_time_semantics_are_fixed_and_the_network_is_left_alone(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Dropout(0.5), nn.Conv2d(8, 3, 3, padding=1), nn.Tanh()
    ).train()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    path = export_network(net, spec(), tmp_path / "m.onnx")
    image = pictures(3, 40, 33, spec())
    once = run(path, image)
    assert np.array_equal(once, run(path, image)), "dropout is on"
    assert np.array_equal(once[1:2], run(path, image[1:2])), "an image depends on the others of its batch"
    assert np.abs(once - by_hand(per_image(net), image, spec()).round()).max() <= 1
    assert net.training
    assert all(p.requires_grad for p in net.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_only_the_image_that_is_not_finite_is_marked_in_the_file(tmp_path: Path) -> None:
    image = pictures(3, 20, 31, spec())
    image[1] = 255
    path = export_network(Undefined(), spec(), tmp_path / "u.onnx")
    got = run(path, image)
    rows, columns = np.indices((20, 31))
    assert np.array_equal(got[1], np.repeat((255 * ((rows + columns) % 2)).astype(np.uint8)[..., None], 3, 2))
    assert np.abs(got[[0, 2]] - (255.0 - image[[0, 2]])).max() <= 1

    model = load(path)
    assert np.array_equal(model(image[0]), got[0])
    with pytest.raises(NonFiniteError):
        model(image[1])


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 3, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


@pytest.fixture(scope="module")
def traced(exports: Exports) -> tuple[Linear, onnx.ModelProto]:
    """A network and the graph that PyTorch's exporter makes of it."""
    made: list[onnx.ModelProto] = []
    honest = torch.onnx.export

    def note(*given: object, **options: object) -> torch.onnx.ONNXProgram:
        program = honest(*given, **options)
        made.append(copy.deepcopy(program.model_proto))
        return program

    torch.manual_seed(0)
    net = Linear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.onnx, "export", note)
        onnx_graph.to_onnx(Pixels(net, spec()), spec())
    return net, made[0]


@pytest.fixture
def linear(traced: tuple[Linear, onnx.ModelProto], monkeypatch: pytest.MonkeyPatch) -> Linear:
    """The same network for errors after tracing, which is done once for all tests."""
    net, model = copy.deepcopy(traced)
    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: SimpleNamespace(model_proto=model))
    return net


def test_a_mismatch_is_an_error_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linear: Linear
) -> None:
    """The network changes by two levels of 255 between tracing and comparison."""
    honest = onnx_graph.to_onnx

    def poison(module: nn.Module, promise: Spec) -> onnx.ModelProto:
        model = honest(module, promise)
        with torch.no_grad():
            module.net.body[0].bias += 4 / 255
        return model

    monkeypatch.setattr(onnx_graph, "to_onnx", poison)
    with pytest.raises(ExportError, match=r"not the network.*differ by 2 levels of 255, and 1 is allowed"):
        export_network(linear, spec(), tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


class Flat(nn.Module):
    """Adds the normalised mean of the image, which is zero except for PyTorch's rounding errors at 10000."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = InstanceNorm2d(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.norm(x.mean((2, 3), keepdim=True) + 10000)


def test_where_pytorch_itself_is_off_double_precision_decides(tmp_path: Path) -> None:
    promise = spec((3, 16), (3, 16))
    image = torch.from_numpy(pictures(1, 32, 32, promise))
    assert (Pixels(Flat(), promise)(image) - image).abs().max() > 1e-3 * 65535
    path = export_network(Flat(), promise, tmp_path / "m.onnx")
    assert np.abs(run(path, image.numpy()) - image.numpy()).max() < 1e-5 * 65535
    proof = read_spec(path).parity
    assert proof["largest"] < 1e-5
    assert (proof["against"], proof["largest_from_float32"] > proof["limit"]) == ("float64", True)
    assert f"from PyTorch in double precision ({proof['largest_from_float32']:g} from single)" in describe(path)


def test_an_earlier_file_survives_a_failed_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linear: Linear
) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"the last good one")

    def full(file: Path, promise: Spec) -> None:
        raise OSError(28, "No space left on device", str(file))

    monkeypatch.setattr(writer, "_append_description", full)
    with pytest.raises(OSError, match="No space left"):
        export_network(linear, spec(), path)
    assert path.read_bytes() == b"the last good one"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_gone_before_it_is_described_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linear: Linear
) -> None:
    """For example if another program moved the temporary file; a description alone is no model."""

    def take_away(file: Path, module: nn.Module, promise: Spec) -> dict[str, object]:
        file.unlink()
        return {"largest": 0.0}

    monkeypatch.setattr(parity, "measure", take_away)
    with pytest.raises(FileNotFoundError):
        export_network(linear, spec(), tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("damage", "said"), [("op_type", "refuses the graph.*Nonsense"), ("size", r"fails on \(1, 21, 37, 3\)")]
)
def test_a_graph_that_onnxruntime_cannot_run_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linear: Linear, damage: str, said: str
) -> None:
    honest = onnx_graph.to_onnx

    def break_it(module: nn.Module, promise: Spec) -> onnx.ModelProto:
        model = honest(module, promise)
        node = next(node for node in model.graph.node if node.op_type == "Clip")
        if damage == "op_type":
            node.op_type = "Nonsense"
        else:  # a reshape to a size that no image has
            model.graph.initializer.append(onnx.helper.make_tensor("size", onnx.TensorProto.INT64, [1], [7]))
            node.op_type, node.input[:] = "Reshape", [node.input[0], "size"]
            del model.graph.value_info[:]
        return model

    monkeypatch.setattr(onnx_graph, "to_onnx", break_it)
    with pytest.raises(ExportError, match=said):
        export_network(linear, spec(), tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_another_opset_than_asked_for_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linear: Linear
) -> None:
    monkeypatch.setattr(onnx_graph, "OPSET", 17)  # PyTorch gives 18, without a word
    with pytest.raises(ExportError, match=r"not in plain opset 17: it imports ai\.onnx 18"):
        export_network(linear, spec(), tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_weights_that_are_not_finite_are_named(tmp_path: Path) -> None:
    net = Small()
    with torch.no_grad():
        net.body[4].weight[0, 0, 0, 0] = torch.nan
    with pytest.raises(ExportError, match=r"body\.4\.weight.*diverged"):
        export_network(net, spec(), tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


class Overflows(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.exp().exp().exp().exp()


def test_a_network_that_overflows_is_refused() -> None:
    for promise in (spec(), spec((3, 16), (3, 16)), spec(io="tensor")):
        net = Overflows()
        module = net if promise.io == "tensor" else Pixels(net, promise)
        with pytest.raises(ExportError, match=r"output is not finite for 1 image of 21x37"):
            parity._run(module, next(parity._probes(promise)), promise)


def test_the_wrong_domains_are_an_error(tmp_path: Path, linear: Linear) -> None:
    with pytest.raises(ExportError, match=r"'translation'.*expected type 2, uint8 \[n, h, w, 1\], grey"):
        export_network(linear, spec((3, 8), (1, 8)), tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_which_generator_and_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []

    def note(net: nn.Module, promise: Spec, path: Path) -> Path:
        written.append((net, promise.io, path))
        return path

    monkeypatch.setattr(writer, "export_network", note)
    there, back = Small(), Small()
    generators = {
        "a2b": (there, spec()),
        "b2a": (back, replace(spec(), direction="b2a", source=spec().target, target=spec().source)),
    }
    export(generators, tmp_path / "x.onnx")
    export(generators, tmp_path / "y.onnx", to="labels", io="tensor")
    export(generators, tmp_path / "z.onnx", to="b2a")
    assert written == [
        (there, "pixels", tmp_path / "x.onnx"),
        (back, "tensor", tmp_path / "y.onnx"),
        (back, "pixels", tmp_path / "z.onnx"),
    ]
    with pytest.raises(ValueError, match=r"not translate to 'zebras'; it translates to photo \(a2b\), labels \(b2a\)"):
        export(generators, tmp_path / "x.onnx", to="zebras")
    with pytest.raises(ValueError, match="need a path for the file"):
        export(generators)
    with pytest.raises(ValueError, match="no generators to export; expected at least one"):
        export({}, tmp_path / "x.onnx")
    with pytest.raises(ValueError, match="choose pixels or tensor"):
        export_network(there, spec(io="voxels"), tmp_path / "x.onnx")
    with pytest.raises(ValueError, match="is a folder"):
        export_network(there, spec(), tmp_path)


def test_the_exporter_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    export_network(Linear(), spec(), tmp_path / "m.onnx")
    assert capfd.readouterr() == ("", "")
