"""Models in half precision on images that overflow it: computed again in float32, or an error that says so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from i2i.runtime import NonFiniteError, load
from i2i.runtime.graphs.float32 import widened
from i2i.runtime.model import catalog, executor
from i2i.spec import Spec
from tests import tiny
from tests.runtime.tiles.networks import SPEC, network, photo

HALF = replace(tiny.RGB, precision="fp16")


class Card:
    """A session as a GPU would have it, which the CPU has not: ONNX Runtime computes float16 in float32 there.

    Float16 ends at 65504, so 400 x does for x beyond 163; of such an image an export returns a checkerboard.
    """

    def __init__(self, session: Any) -> None:
        self.session, self.runs = session, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.session, name)

    def run(self, feeds: dict[str, np.ndarray], output: Any = None) -> list[np.ndarray]:
        self.runs += 1
        (result,) = self.session.run(feeds, output)
        mark = (255 * (np.indices(result.shape[1:3]).sum(0) % 2)).astype(np.uint8)[..., None]
        return [np.where(feeds["x"].max((1, 2, 3), keepdims=True) > 65504 / 400, mark, result)]


def steep(path: Path, spec: Spec = HALF) -> Path:
    """400 x in float16, and / 400 in float32: x again."""
    nodes = [
        helper.make_node("Cast", ["x"], ["half"], to=TensorProto.FLOAT16),
        helper.make_node("Mul", ["half", "gain"], ["large"]),
        helper.make_node("Cast", ["large"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["float", "whole"], ["back"]),
        helper.make_node("Cast", ["back"], ["y"], to=TensorProto.UINT8),
    ]
    constants = {"gain": np.array(400, np.float16), "whole": np.array(400, np.float32)}
    return tiny.write(path, nodes, spec, constants)


@pytest.fixture
def images() -> list[np.ndarray]:
    """A dark one and a bright one."""
    return [np.full((5, 6, 3), level, np.uint8) for level in (20, 200)]


def test_an_image_that_overflows_float16_is_computed_in_float32(
    tmp_path: Path, images: list[np.ndarray], caplog: pytest.LogCaptureFixture
) -> None:
    model = load(steep(tmp_path / "steep.onnx"), "cpu")
    model.executor._session = Card(model.executor._session)
    np.testing.assert_array_equal(model(images[0]), images[0])
    assert not caplog.records
    for _ in range(2):
        np.testing.assert_array_equal(model(images[1]), images[1])
    np.testing.assert_array_equal(model.run(np.stack(images)), np.stack(images))
    assert model.executor._session.runs == 4
    assert [record.getMessage() for record in caplog.records] == [
        "steep.onnx: float16 overflows on some images; those are computed in float32"
    ]


def test_tiles_that_overflow_float16_are_computed_in_float32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the image is bright a tile is a checkerboard, and statistics are no numbers."""
    opened, cards = executor.Executor.open_graph, []

    class Forms(Card):
        def run(self, feeds: dict[str, np.ndarray], output: Any = None) -> list[np.ndarray]:
            results = self.session.run(feeds, output)
            self.runs += 1
            if feeds["x"].max() <= 65504 / 400:
                return results
            board = (255 * (np.indices(results[0].shape[1:3]).sum(0) % 2)).astype(np.uint8)[..., None]
            return [
                np.full_like(each, np.nan) if each.dtype == np.float32 else board + 0 * each if each.ndim == 4 else each
                for each in results
            ]

    def wrapped(*given: Any, **options: Any) -> Card:
        cards.append(Forms(opened(*given, **options)))
        return cards[-1]

    image = np.minimum(photo(160, 180), 150)
    image[130:, 150:] = 250
    normalising = network(tmp_path / "net.onnx", replace(SPEC, precision="fp16"))
    plain = steep(tmp_path / "steep.onnx", replace(HALF, receptive_field=1, tiling="any"))
    monkeypatch.setattr("i2i.runtime.tiles.tiler.side", lambda *_: 128)
    for path, how in ((normalising, 128), (normalising, "exact"), (plain, 128)):
        want = load(path, "cpu", 1).tiled(how)(image)
        with monkeypatch.context() as patch:
            patch.setattr(executor.Executor, "open_graph", wrapped)
            caplog.clear()
            np.testing.assert_array_equal(load(path, "cpu", 1).tiled(how)(image), want)
        assert [record.getMessage() for record in caplog.records] == [
            f"{path.name}: float16 overflows on some images; those are computed in float32"
        ]
    assert max(card.runs for card in cards) >= 4


def test_overflow_of_float32_is_an_error(
    tmp_path: Path, images: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = executor.open_session
    monkeypatch.setattr(executor, "open_session", lambda *given, **options: Card(opened(*given, **options)))
    model = load(steep(tmp_path / "steep.onnx"), "cpu")
    np.testing.assert_array_equal(model(images[0]), images[0])
    with pytest.raises(NonFiniteError, match="non-finite output"):
        model(images[1])


def test_a_widened_model_has_no_float16_left(tmp_path: Path) -> None:
    model = onnx.load_model_from_string(widened(steep(tmp_path / "steep.onnx").read_bytes()))
    onnx.checker.check_model(model)
    assert TensorProto.FLOAT16 not in {tensor.data_type for tensor in model.graph.initializer}
    casts = [a.i for node in model.graph.node if node.op_type == "Cast" for a in node.attribute]
    assert casts == [TensorProto.FLOAT, TensorProto.FLOAT, TensorProto.UINT8]


def test_a_run_translates_with_its_file_in_float32_and_results_have_the_same_name(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"method": "x", "status": "finished", "step": 1}')
    for name, precision in (("a2b", "fp32"), ("a2b.int8", "int8"), ("b2a.fp16", "fp16")):
        path = tiny.inverter(tmp_path / "onnx" / f"{name}.onnx", replace(tiny.RGB, precision=precision))
        assert load(path, "cpu").name == "negative"
    run = catalog.read_run(tmp_path)
    assert run is not None
    assert list(run.directions) == ["a2b"]
    zebra = tiny.inverter(tmp_path / "zebra.int8.onnx", replace(tiny.RGB, precision="int8"))
    assert load(zebra, "cpu").name == "zebra"
