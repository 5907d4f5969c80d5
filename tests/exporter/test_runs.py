"""From the folder of a run: the command, and weights that do not fit."""

from __future__ import annotations

import functools
import json
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

import i2i.engine
from i2i.cli.export import command
from i2i.engine import load_generators
from i2i.exporter import default_path, export, writer
from i2i.networks import per_image
from i2i.runtime import load
from i2i.runtime.graphs.onnx_file import read_spec
from i2i.spec import METADATA_KEY, Domain, Spec
from i2i.translators import translator_class
from tests.exporter.conftest import by_hand, pictures, run, spec, with_weights

METHOD, HYPERPARAMETERS = "tests.exporter.conftest:Both", {"gain": 1.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two generators between grey horses and zebras in colour, with untrained weights."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("runs") / "run"
    horses, zebras = Domain("horses", channels=1), Domain("zebras", channels=3)
    nets = translator_class(METHOD)(1, 3, **HYPERPARAMETERS).exports()
    (path / "weights").mkdir(parents=True)
    for direction, net in nets.items():
        source, target = (horses, zebras) if direction == "a2b" else (zebras, horses)
        recipe = {"channels": [1, 3], "hyperparameters": HYPERPARAMETERS}
        described = Spec(METHOD, direction, source, target, recipe=recipe)
        header = {METADATA_KEY: described.to_json(), "export": direction}
        save_file(net.state_dict(), path / "weights" / f"{direction}.safetensors", metadata=header)
    return path


def test_the_command_exports_every_direction(folder: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(command, [str(folder), "--triton", str(tmp_path)])
    assert result.exit_code == 0, result.output
    lines, places = result.output.splitlines()[::2], result.output.splitlines()[1::2]
    assert len(lines) == 2
    assert places == [str(tmp_path / "run-a2b"), str(tmp_path / "run-b2a")]
    assert all((Path(place) / "1" / "model.onnx").is_file() for place in places)
    for line, direction, names in zip(lines, ("a2b", "b2a"), ("horses -> zebras", "zebras -> horses"), strict=True):
        path = folder / "onnx" / f"{direction}.onnx"
        promise = read_spec(path)
        assert promise is not None
        assert line.startswith(f"{path}  {names}  {path.stat().st_size / 1e6:.1f} MB  at most ")
        assert f"at most {promise.parity['largest']:g} of 255 levels from PyTorch" in line
        net = per_image(load_generators(folder)[direction][0])
        image = pictures(1, 21, 34, promise)
        assert np.abs(run(path, image) - by_hand(net, image, promise).round()).max() <= 1
    grey = load(folder / "onnx" / "b2a.onnx")(pictures(1, 21, 34, spec())[0])
    assert grey.shape == (21, 34, 1)


def test_the_command_exports_one_direction_to_a_file(
    folder: Path,
    tmp_path: Path,
    exports: dict[str, tuple[Path, torch.nn.Module, Spec]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graph = functools.partial(with_weights, exports["tensor"][0])  # of such a network
    monkeypatch.setattr("i2i.exporter.onnx_graph.to_onnx", graph)
    file = tmp_path / "new" / "h.onnx"
    result = CliRunner().invoke(command, [str(folder), "-o", str(file), "--to", "horses", "--io", "tensor"])
    assert result.exit_code == 0, result.output
    promise = read_spec(file)
    assert promise is not None
    assert (promise.target.name, promise.io, promise.method) == ("horses", "tensor", METHOD)
    assert promise.recipe["hyperparameters"] == HYPERPARAMETERS
    assert [path.name for path in file.parent.iterdir()] == ["h.onnx"]


@pytest.mark.parametrize("arguments", [(), ("--to", "horses")])
def test_a_bare_network_does_not_replace_the_file_that_translates(
    folder: Path, tmp_path: Path, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(net: torch.nn.Module, promise: Spec, path: Path) -> Path:
        path.write_text(promise.io)
        return path

    monkeypatch.setattr(writer, "export_network", write)
    monkeypatch.setattr("i2i.cli.export.describe", str)
    run = tmp_path / "run"
    shutil.copytree(folder / "weights", run / "weights")
    (run / "onnx").mkdir()
    for direction in ("a2b", "b2a"):
        (run / "onnx" / f"{direction}.onnx").write_bytes(b"takes pixels")
    result = CliRunner().invoke(command, [str(run), "--io", "tensor", *arguments])
    assert result.exit_code == 0, result.output
    wanted = ["b2a"] if arguments else ["a2b", "b2a"]
    for direction in ("a2b", "b2a"):
        assert (run / "onnx" / f"{direction}.onnx").read_bytes() == b"takes pixels"
        file = run / "onnx" / f"{direction}.tensor.onnx"
        assert file.exists() == (direction in wanted)
        assert not file.exists() or file.read_text() == "tensor"


def test_the_default_name_beside_one_file_of_weights(tmp_path: Path) -> None:
    weights = tmp_path / "a2b.safetensors"
    assert default_path(weights, "a2b", "pixels") == tmp_path / "a2b.onnx"
    assert default_path(weights, "a2b", "tensor") == tmp_path / "a2b.tensor.onnx"


def test_the_command_reads_the_weights_once(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    written: list[str] = []

    def load_once(run: Path, weights: str) -> dict[str, tuple[torch.nn.Module, Spec]]:
        read.append(run)
        return load_generators(run, weights)

    def note(net: torch.nn.Module, promise: Spec, path: Path) -> Path:
        written.append(path.name)
        return path

    monkeypatch.setattr(i2i.engine, "load_generators", load_once)
    monkeypatch.setattr(writer, "export_network", note)
    monkeypatch.setattr("i2i.cli.export.describe", str)
    result = CliRunner().invoke(command, [str(folder)])
    assert result.exit_code == 0, result.output
    assert written == ["a2b.onnx", "b2a.onnx"]
    assert read == [folder]


def test_a_domain_or_run_that_is_not_there(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"translates to zebras \(a2b\), horses \(b2a\)"):
        export(folder, to="dogs")
    with pytest.raises(ValueError, match="no weights"):
        export(tmp_path)
    result = CliRunner().invoke(command, [str(tmp_path / "none")])
    assert isinstance(result.exception, ValueError)
    assert "no such run or file; give the folder of a run, such as runs/NAME, or an .onnx file" in str(result.exception)


def test_a_run_is_exported_by_its_name(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "horses").symlink_to(folder)
    result = CliRunner().invoke(command, ["horses", "--to", "a2b", "-o", "made.onnx"])
    assert result.exit_code == 0, result.output
    (tmp_path / "photo.png").write_text("precious")
    result = CliRunner().invoke(command, ["horses", "--to", "a2b", "-o", "photo.png"])
    assert "photo.png exists, and is no .onnx file to replace" in str(result.exception)


def test_without_pytorch_one_sentence_says_what_to_install(folder: Path) -> None:
    program = "import sys; sys.modules['torch'] = None; from i2i.cli import main; main(['export', sys.argv[1]])"
    done = subprocess.run([sys.executable, "-c", program, str(folder)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr == 'error: this needs torch, which is not installed: pip install "i2i[train]"\n'
    assert done.stdout == ""


def _damaged(case: str, good: bytes) -> bytes:
    (size,) = struct.unpack("<Q", good[:8])
    header = json.loads(good[8 : 8 + size])
    if case == "empty":
        return b""
    if case == "text":
        return b"<html>not found</html>"
    if case == "truncated":
        return good[: len(good) // 2]
    if case == "huge header":
        return struct.pack("<Q", 2**62) + good[8:]
    if case == "bad JSON":
        return good[:8] + b"{" * size + good[8 + size :]
    assert case == "offsets"
    name = next(name for name in header if name != "__metadata__")
    header[name]["data_offsets"] = [0, 2**40]
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + good[8 + size :]


@pytest.mark.parametrize("case", ["empty", "text", "truncated", "huge header", "bad JSON", "offsets"])
def test_a_damaged_file_of_weights_is_named(folder: Path, tmp_path: Path, case: str) -> None:
    bad = tmp_path / "weights" / "a2b.safetensors"
    bad.parent.mkdir()
    bad.write_bytes(_damaged(case, (folder / "weights" / "a2b.safetensors").read_bytes()))
    with pytest.raises(ValueError, match=r"weights/a2b\.safetensors is damaged"):
        export(tmp_path)
    assert not (tmp_path / "onnx").exists()


def test_weights_that_do_not_fit_list_the_first_five_mismatches(folder: Path, tmp_path: Path) -> None:
    good = folder / "weights" / "a2b.safetensors"
    described = load_generators(good)["a2b"][1]
    tensors = load_file(good)
    names = sorted(tensors)
    tensors[names[0]] = tensors[names[0]][:1].clone()  # another shape
    del tensors[names[1]]  # missing
    tensors |= {f"extra.{number}": torch.zeros(1) for number in range(5)}
    (tmp_path / "weights").mkdir()
    header = {METADATA_KEY: described.to_json(), "export": "a2b"}
    save_file(tensors, tmp_path / "weights" / "a2b.safetensors", metadata=header)
    with pytest.raises(ValueError, match=r"does not fit its network:(?s:.*)and 2 more$") as caught:
        load_generators(tmp_path)
    lines = str(caught.value).splitlines()[1:-1]
    assert len(lines) == 5
    assert any(names[0] in line and "expected" in line and "got (1," in line for line in lines)
    assert any(names[1] in line and "got none" in line for line in lines)


def test_third_party_weights_are_an_error_that_names_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    save_file({"w": torch.zeros(1)}, tmp_path / "weights" / "a2b.safetensors")
    with pytest.raises(ValueError, match=r"a2b\.safetensors does not say what network it is for"):
        export(tmp_path)
