"""Providers of a GPU on a simulated card: the options given to them, and the use of their answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import i2i
from i2i.cli import main
from i2i.images import Image, write_image
from i2i.runtime import ModelError, ProviderError
from i2i.runtime.graphs.onnx_file import read_spec
from i2i.runtime.providers import placement
from i2i.runtime.system import cuda, host
from tests import tiny
from tests.runtime.providers.gpu import Card
from tests.runtime.tiles.networks import network, photo

WEIGHTS = Path(__file__).parents[3] / "weights"


def test_nodes_that_only_compute_shapes_may_be_on_the_processor(card: Card) -> None:
    """The default model pads to a multiple by the size of the image, and draws a checkerboard of it."""
    card.without = {"Shape", "Squeeze", "Unsqueeze", "Range", "Mod", "Equal"}
    assert i2i.load(WEIGHTS / "day2night.onnx", "cuda").provider == "cuda"


def test_a_node_of_pixels_on_the_processor_is_an_error_that_names_it(card: Card) -> None:
    card.without = {"Shape", "Resize", "Tanh"}
    path = WEIGHTS / "day2night.onnx"
    with pytest.raises(ProviderError, match=r"cuda cannot run Resize \(node_\S+\), .*Tanh .*--allow-fallback") as error:
        i2i.load(path, "cuda")
    assert "Shape" not in str(error.value)
    assert error.value.exit_status == 4
    with pytest.raises(ProviderError, match="Tanh"):
        i2i.load(path, "auto")
    assert i2i.load(path, "cuda", allow_fallback=True).provider == "cuda"


def test_the_command_line_prints_the_provider_and_allows_fallback(
    card: Card, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    card.without = {"Shape", "Resize"}
    write_image(tmp_path / "a.png", Image(photo(40, 50)))
    words = ["translate", str(tmp_path / "a.png"), "-m", str(WEIGHTS / "day2night.onnx"), "--batch", "auto"]
    for more, status, said in (
        (["--provider", "cuda"], 4, "error: "),
        (["--provider", "cuda", "--allow-fallback"], 0, ", on cuda"),
        (["--provider", "cpu", "--overwrite"], 0, ", on cpu"),
        (["--provider", "cpu", "--batch", "0"], 2, "0 is not in the range"),
    ):
        with pytest.raises(SystemExit) as end:
            main([*words, *more])
        assert end.value.code == status
        assert said in capsys.readouterr().err
    with pytest.raises(ProviderError, match="Resize"):
        i2i.translate(photo(40, 50), model=WEIGHTS / "day2night.onnx", provider="cuda")
    i2i.translate(photo(40, 50), model=WEIGHTS / "day2night.onnx", provider="cuda", allow_fallback=True)


def test_a_card_that_opens_no_session_is_reported(card: Card, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    card.fails = "CUDA failure 999: unknown error"
    path = tiny.inverter(tmp_path / "m.onnx")
    for provider in ("cuda", "tensorrt"):
        with pytest.raises(ProviderError, match=r"on a GPU: CUDA failure 999"):
            i2i.load(path, provider)
    assert i2i.load(path, "auto").provider == "cpu"
    assert ["CUDA failure 999" in record.getMessage() for record in caplog.records] == [True]
    broken = tiny.write(tmp_path / "n.onnx", [tiny.helper.make_node("Frobnicate", ["x"], ["y"])], tiny.RGB)
    with pytest.raises(ModelError, match="Frobnicate"):
        i2i.load(broken, "cuda")


def test_branches_on_pixels_depend_on_pixels(tmp_path: Path) -> None:
    """Nodes within a branch, which has no inputs of its own, and one that the file does not have."""
    from onnx import TensorProto, helper

    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [None]) for name in "xy")
    then = helper.make_graph([helper.make_node("Neg", ["x"], ["t"], "negated")], "then", [], [y.__class__(name="t")])
    other = helper.make_graph(
        [helper.make_node("Shape", ["x"], ["s"], "measured")], "else", [], [y.__class__(name="s")]
    )
    nodes = [
        helper.make_node("Size", ["x"], ["n"], "counted"),
        helper.make_node("If", ["n"], ["y"], "choice", then_branch=then, else_branch=other),
    ]
    path = tmp_path / "m.onnx"
    path.write_bytes(helper.make_model(helper.make_graph(nodes, "g", [x], [y])).SerializeToString())
    from types import SimpleNamespace

    there = [("Size", "counted"), ("If", "choice"), ("Neg", "negated"), ("Shape", "measured"), ("Transpose", "new")]
    nodes_there = [SimpleNamespace(op_type=kind, name=name) for kind, name in there]
    part = SimpleNamespace(ep_name="CPUExecutionProvider", get_nodes=lambda: nodes_there)
    session = SimpleNamespace(get_provider_graph_assignment_info=lambda: [part])
    assert placement.left_to_cpu(session, path) == ["If (choice)", "Neg (negated)", "Transpose (new)"]


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_no_card_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, provider: str) -> None:
    monkeypatch.setattr(host, "cuda_devices", list)
    with pytest.raises(ProviderError, match=f"provider {provider} was asked for, but the NVIDIA driver shows no card"):
        i2i.load(tiny.inverter(tmp_path / "m.onnx"), provider)


@pytest.mark.gpu
@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_on_a_card_the_pixels_are_those_of_the_cpu(tmp_path: Path, provider: str) -> None:
    import shutil

    path = shutil.copy(WEIGHTS / "day2night.onnx", tmp_path / "m.onnx")
    assert read_spec(path) is not None
    here, there = (i2i.load(path, where) for where in ("cpu", provider))
    assert there.provider == provider
    for size in ((256, 256), (200, 300), (256, 256)):
        image = photo(*size)
        assert np.abs(here(image).astype(int) - there(image)).max() <= 2  # TensorFloat-32
    locked = cuda.page_locked(1000)
    locked[:] = 7
    assert locked.sum() == 7000
    free = cuda.free_memory()
    assert free is not None
    assert free > 1 << 28
    assert 1 <= there.executor.batch_size.batch(256 * 256) <= 16


@pytest.mark.gpu
def test_many_sizes_take_no_more_of_a_card_than_the_largest(tmp_path: Path) -> None:
    """30 of them, and 30 again."""
    model = i2i.load(network(tmp_path / "net.onnx"), "cuda")
    model(np.zeros((500, 500, 3), np.uint8))
    before = cuda.free_memory()
    assert before is not None
    taken = []
    for side in [*range(100, 400, 10)] * 2:
        model(np.zeros((side, 600 - side, 3), np.uint8))
        taken.append(before - (cuda.free_memory() or 0))
    assert max(taken) < 500 << 20
    assert taken[-1] - taken[29] < 64 << 20
