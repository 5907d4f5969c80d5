"""Model repositories of Triton: the schema by its own protobuf classes, and the files in plain ONNX Runtime."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from i2i.runtime import ModelError
from i2i.serving.triton import write_repository
from i2i.spec import Spec
from tests import tiny
from tests.serving.conftest import picture


@pytest.fixture(scope="module")
def parse() -> Any:
    """Return a function that parses ``config.pbtxt`` with the schema in Triton's client, which needs no gRPC for it."""
    found = importlib.util.find_spec("tritonclient")
    if found is None or found.submodule_search_locations is None:
        pytest.skip("tritonclient is not installed")
    path = Path(found.submodule_search_locations[0]) / "grpc" / "model_config_pb2.py"
    spec = importlib.util.spec_from_file_location("model_config_pb2", path)
    assert spec is not None
    assert spec.loader is not None
    schema = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(schema)
    from google.protobuf import text_format

    return lambda text: text_format.Parse(text, schema.ModelConfig())


def test_the_configuration_follows_the_schema(tmp_path: Path, parse: Any) -> None:
    place = write_repository(tiny.inverter(tmp_path / "night.onnx"), tmp_path / "repository")
    assert place == tmp_path / "repository" / "night"
    config = parse((place / "config.pbtxt").read_text())
    assert (config.name, config.backend, config.max_batch_size) == ("night", "onnxruntime", 8)
    (entry,), (output,) = config.input, config.output
    assert (entry.name, entry.data_type, list(entry.dims)) == ("x", 2, [-1, -1, 3])  # TYPE_UINT8
    assert (output.name, output.data_type, list(output.dims)) == ("y", 2, [-1, -1, 3])
    assert config.HasField("dynamic_batching")
    assert not config.dynamic_batching.preferred_batch_size
    assert [list(each.inputs["x"].dims) for each in config.model_warmup] == [[64, 64, 3], [256, 256, 3]]
    values = {key: value.string_value for key, value in config.parameters.items()}
    assert values == {"cudnn_conv_algo_search": "1", "arena_extend_strategy": "1"}


@pytest.mark.parametrize(
    ("write", "name", "dims", "reshaped"),
    [
        (lambda path: tiny.brighter(path), "target", [1], True),
        (lambda path: tiny.brighter(path, tiny.FACES), "target", [3], False),
        (lambda path: tiny.styled(path), "style", [3], False),
    ],
)
def test_second_inputs(tmp_path: Path, parse: Any, write: Any, name: str, dims: list[int], reshaped: bool) -> None:
    place = write_repository(write(tmp_path / "m.onnx"), tmp_path / "repository")
    config = parse((place / "config.pbtxt").read_text())
    second = config.input[1]
    assert (second.name, list(second.dims), second.HasField("reshape")) == (name, dims, reshaped)
    assert list(second.reshape.shape) == []
    assert [list(each.inputs[name].dims) for each in config.model_warmup] == [dims] * 2


@pytest.mark.parametrize("spec", [tiny.RGB, tiny.GREY, tiny.DEEP])
def test_the_files_run_in_onnx_runtime_as_configured(tmp_path: Path, parse: Any, spec: Spec) -> None:
    place = write_repository(tiny.inverter(tmp_path / "m.onnx", spec), tmp_path / "repository", "a name")
    assert place.name == "a-name"
    config = parse((place / "config.pbtxt").read_text())
    session = onnxruntime.InferenceSession(place / "1" / "model.onnx", providers=["CPUExecutionProvider"])
    assert [each.name for each in session.get_inputs()] == [each.name for each in config.input]
    assert [each.name for each in session.get_outputs()] == [each.name for each in config.output]
    images = np.stack([picture(8, 8, spec.source.channels, seed=seed) for seed in range(2)]).astype(spec.dtype)
    assert (session.run(None, {"x": images})[0] == spec.source.peak - images).all()


def test_versions(tmp_path: Path) -> None:
    model, repository = tmp_path / "m.onnx", tmp_path / "repository"
    tiny.inverter(model)
    for _ in range(2):  # the second adds nothing
        place = write_repository(model, repository)
        assert sorted(each.name for each in place.iterdir()) == ["1", "config.pbtxt"]
    tiny.inverter(model, weights=-2)
    write_repository(model, repository)
    assert sorted(each.name for each in place.iterdir()) == ["1", "2", "config.pbtxt"]
    assert (place / "2" / "model.onnx").read_bytes() == model.read_bytes()


def test_what_triton_is_not_given(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="export the run with --io pixels"):
        write_repository(tiny.inverter(tmp_path / "t.onnx", Spec(**{**vars(tiny.RGB), "io": "tensor"})), tmp_path / "r")
    with pytest.raises(ModelError, match="is a generator"):
        write_repository(tiny.draws(tmp_path / "g.onnx"), tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_the_command_adds_a_file_as_it_is(tmp_path: Path, i2i_inside) -> None:
    model = tiny.inverter(tmp_path / "m.onnx")
    done = i2i_inside("export", model, "--triton", tmp_path / "repository")
    assert (done.returncode, done.stdout) == (0, f"{tmp_path}/repository/m\n"), done.stderr
    assert (tmp_path / "repository" / "m" / "1" / "model.onnx").read_bytes() == model.read_bytes()
