"""Files that claim to be models."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from safetensors.numpy import save_file

import i2i
from i2i.runtime import ModelError
from i2i.runtime.graphs import onnx_file
from i2i.runtime.graphs.onnx_file import read_spec
from i2i.spec import METADATA_KEY
from tests import tiny


def test_the_description_is_read_wherever_it_stands(tmp_path: Path) -> None:
    path = tiny.inverter(tmp_path / "model.onnx")
    assert read_spec(path) == tiny.RGB
    # Bytes after a message extend it, and the last value of a field counts.
    entry = onnx.StringStringEntryProto(key=METADATA_KEY, value=tiny.DEEP.to_json())
    with path.open("ab") as file:
        file.write(onnx.ModelProto(metadata_props=[entry]).SerializeToString())
    assert read_spec(path) == tiny.DEEP


def test_a_file_is_checked_once_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To choose a model and to open it each need its description."""
    looks = []
    look_over = onnx_file._look_over
    monkeypatch.setattr(onnx_file, "_look_over", lambda data: looks.append(1) or look_over(data))
    path = tiny.inverter(tmp_path / "model.onnx")
    assert read_spec(path) == read_spec(path)
    assert len(looks) == 1
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ModelError, match="truncated"):
        read_spec(path)
    assert len(looks) == 2


def test_a_file_overwritten_with_its_old_time_is_checked_again(tmp_path: Path) -> None:
    """As ``cp -p`` does it."""
    path, other = tiny.inverter(tmp_path / "a.onnx"), tiny.inverter(tmp_path / "b.onnx")
    other.write_bytes(other.read_bytes().replace(b"negative", b"evitagen"))
    for made in (path, other):
        os.utime(made, (1e9, 1e9))
    assert read_spec(path) != read_spec(other)
    shutil.copystat(other, Path(shutil.copyfile(other, path)))
    assert read_spec(path) == read_spec(other)


def test_a_model_without_description_has_none(tmp_path: Path) -> None:
    assert read_spec(tiny.write(tmp_path / "m.onnx", [helper.make_node("Identity", ["x"], ["y"])], None)) is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"<!DOCTYPE html><html>404</html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (np.random.default_rng(1).bytes(5000), "not an ONNX model"),
        (b"\x00" * 100, "not an ONNX model"),
        (b"\x08\x08", "contains no graph"),
        ("half", "truncated"),
        (None, "no such model file"),
    ],
)
def test_files_that_are_no_models_are_errors_with_a_reason(
    tmp_path: Path, content: bytes | str | None, reason: str
) -> None:
    path = tmp_path / "model.onnx"
    if content == "half":
        whole = tiny.inverter(path).read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    elif isinstance(content, bytes):
        path.write_bytes(content)
    for read in (read_spec, i2i.load):
        with pytest.raises(ModelError, match=reason) as error:
            read(path)
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("name", ["model.pt", "model.onnx"])
def test_a_pickle_is_not_executed(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(pickle.dumps(Bomb(tmp_path / "marker")))
    with pytest.raises(ModelError, match="pickle, which could run code: `i2i import`"):
        i2i.load(tmp_path / name)
    assert not (tmp_path / "marker").exists()
    (tmp_path / name).write_bytes(b"PK\x03\x04" + bytes(50))  # as torch.save writes since 1.6
    with pytest.raises(ModelError, match="PyTorch checkpoint"):
        i2i.load(tmp_path / name)
    save_file({"w": np.ones(2, np.float32)}, tmp_path / name)
    with pytest.raises(ModelError, match="a safetensors file: `i2i import` makes a run"):
        i2i.load(tmp_path / name)


def external(path: Path, location: str, *, nested: bool = False) -> Path:
    """An inverter whose constant is in another file; nested: in a branch of a graph within the graph."""
    tiny.inverter(path)
    model = onnx.load(path)
    constant = next(tensor for tensor in model.graph.initializer if tensor.name == "peak")
    constant.CopyFrom(numpy_helper.from_array(np.full((1,), 255, np.float32), "peak"))
    constant.ClearField("raw_data")
    constant.data_location = onnx.TensorProto.EXTERNAL
    constant.external_data.add(key="location", value=location)
    constant.external_data.add(key="length", value="4")
    if nested:
        branch = helper.make_graph([helper.make_node("Identity", ["peak"], ["p"])], "branch", [], [
            helper.make_tensor_value_info("p", onnx.TensorProto.FLOAT, [1])], [constant])  # fmt: skip
        model.graph.initializer.remove(constant)
        model.graph.node.append(helper.make_node("If", ["c"], ["unused"], then_branch=branch, else_branch=branch))
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("how", ["../secret", "absolute", "symlink", "hard link", "beside it", "missing"])
@pytest.mark.parametrize("nested", [False, True])
def test_a_model_opens_no_other_file(tmp_path: Path, how: str, nested: bool) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(np.float32(255).tobytes())
    folder = tmp_path / "models"
    folder.mkdir()
    location = {"../secret": "../secret", "absolute": str(secret)}.get(how, "weights.bin")
    if how == "symlink":
        (folder / "weights.bin").symlink_to(secret)
    elif how == "hard link":
        os.link(secret, folder / "weights.bin")
    elif how == "beside it":
        (folder / "weights.bin").write_bytes(secret.read_bytes())
    path = external(folder / "model.onnx", location, nested=nested)
    with pytest.raises(
        ModelError,
        match=r"weights in another file .* is not read; `i2i describe .* -o .*-described\.onnx` writes one file",
    ):
        i2i.load(path)


def using(path: Path, domain: str, *, nested: bool = False, own: bool = False) -> Path:
    """A model with an operator of another domain; nested: in a branch; own: defined in the file itself."""
    tiny.inverter(path)
    model = onnx.load(path)
    strange = helper.make_node("Mine", ["peak"], ["p"], domain=domain)
    if nested:
        branch = helper.make_graph(
            [strange], "branch", [], [helper.make_tensor_value_info("p", onnx.TensorProto.FLOAT, [])]
        )
        strange = helper.make_node("If", ["c"], ["p"], then_branch=branch, else_branch=branch)
    model.graph.node.append(strange)
    model.opset_import.append(helper.make_opsetid(domain, 1))
    if own:
        body, opsets = helper.make_node("Neg", ["a"], ["b"]), [helper.make_opsetid("", 18)]
        model.functions.append(helper.make_function(domain, "Mine", ["a"], ["b"], [body], opsets))
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("domain", ["my.ops", "ai.onnx.contrib", "com.microsoft.extensions"])
@pytest.mark.parametrize("nested", [False, True])
def test_operators_that_come_in_a_library_are_refused(tmp_path: Path, domain: str, nested: bool) -> None:
    path = using(tmp_path / "m.onnx", domain, nested=nested)
    for read in (read_spec, i2i.load):
        with pytest.raises(ModelError, match=rf"uses operators of '{domain}', which need a library of program code"):
            read(path)


def test_operators_that_the_file_defines_are_its_own(tmp_path: Path) -> None:
    path = using(tmp_path / "m.onnx", "my.ops", own=True)
    assert (i2i.load(path, "cpu")(np.zeros((4, 4, 3), np.uint8)) == 255).all()


def test_a_description_of_a_later_schema_says_what_to_do(tmp_path: Path) -> None:
    path = tiny.inverter(tmp_path / "model.onnx")
    path.write_bytes(path.read_bytes().replace(b'"schema": 1', b'"schema": 9'))
    with pytest.raises(ModelError, match="upgrade i2i"):
        read_spec(path)
