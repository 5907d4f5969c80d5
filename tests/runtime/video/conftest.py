"""Models for the tests of videos."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from i2i.runtime import Model
from i2i.spec import Domain
from tests import tiny


def _model(path: Path) -> Model:
    return Model(path, "cpu", 2, side_by_side=True)


@pytest.fixture(scope="session")
def identity_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "identity.onnx"
    return tiny.write(path, [helper.make_node("Identity", ["x"], ["y"])], tiny.RGB)


@pytest.fixture(scope="session")
def identity(identity_file: Path) -> Model:
    return _model(identity_file)


@pytest.fixture(scope="session")
def deep_identity(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """An identity model of 16 bits."""
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    ends = [[(name, "float32", ["n", "h", "w", 3])] for name in "xy"]
    return _model(tiny.write(tmp_path_factory.mktemp("models") / "deep.onnx", nodes, tiny.DEEP, {}, *ends))


@pytest.fixture(scope="session")
def quarter(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A model that keeps every fourth row and column: results of another size that are cheap to encode."""
    nodes = [helper.make_node("Slice", ["x", "from", "to", "axes", "steps"], ["y"])]
    constants = {"from": [0, 0], "to": [2**30, 2**30], "axes": [1, 2], "steps": [4, 4]}
    arrays = {name: np.array(value, np.int64) for name, value in constants.items()}
    return _model(tiny.write(tmp_path_factory.mktemp("models") / "quarter.onnx", nodes, _named("small"), arrays))


@pytest.fixture(scope="session")
def twice(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A model that doubles width and height."""
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=1),
        helper.make_node("Resize", ["f", "", "scales"], ["g"], mode="nearest", nearest_mode="floor"),
        helper.make_node("Cast", ["g"], ["y"], to=2),
    ]
    scales = {"scales": np.array([1, 2, 2, 1], np.float32)}
    return _model(tiny.write(tmp_path_factory.mktemp("models") / "twice.onnx", nodes, _named("large"), scales))


def _named(name: str):
    return replace(tiny.RGB, target=Domain(name))
