"""Models by name and by default; ``i2i.translate`` returns an array for an array and a path for a path."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import i2i
from i2i.images import Image, ImageError, read_image, write_image
from i2i.runtime import ModelError
from i2i.runtime.api import SomeFailedError
from i2i.runtime.jobs import single
from i2i.runtime.model import catalog
from i2i.spec import METADATA_KEY, Domain, Spec
from tests import tiny

FORTH = replace(tiny.RGB, source=Domain("horses"), target=Domain("zebras"))
BACK = replace(FORTH, direction="b2a", source=FORTH.target, target=FORTH.source)


def a_run(path: Path, status: str = "finished", at: float = 1e9, exports: tuple[str, ...] = ("a2b", "b2a")) -> Path:
    """A run's folder, without PyTorch: weights whose headers say what they are, and perhaps exports."""
    (path / "weights").mkdir(parents=True)
    for spec in (FORTH, BACK):
        weights = path / "weights" / f"{spec.direction}.safetensors"
        header = json.dumps({"__metadata__": {METADATA_KEY: spec.to_json()}}).encode()
        weights.write_bytes(len(header).to_bytes(8, "little") + header)
        os.utime(weights, (at, at))
        if spec.direction in exports:
            os.utime(tiny.inverter(path / "onnx" / f"{spec.direction}.onnx", spec), (at + 1, at + 1))
    (path / "run.json").write_text(json.dumps({"method": "cyclegan", "status": status, "step": 7}))
    os.utime(path / "run.json", (at, at))
    return path


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with runs/ in it and no models from elsewhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(catalog, "weights", list)
    return tmp_path


def test_the_newest_finished_run_is_taken(root: Path) -> None:
    a_run(Path("runs/old"), at=1e9)
    a_run(Path("runs/new"), at=1e9 + 5)
    a_run(Path("runs/running"), "running", at=1e9 + 9)
    (root / "runs" / "broken").mkdir()
    (root / "runs" / "broken" / "run.json").write_text("{")
    choice = catalog.resolve()
    assert choice == catalog.Choice(Path("runs/new/onnx/a2b.onnx"), f"the newest finished run, {Path('runs/new')}")
    assert [run.path.name for run in catalog.runs()] == ["new", "old", "running"]
    assert catalog.resolve("old", "horses").path == Path("runs/old/onnx/b2a.onnx")
    assert catalog.resolve(root / "runs" / "running").path.name == "a2b.onnx"


def test_without_a_run_the_default_is_taken_and_without_that_none(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ModelError, match="no finished run under runs/ and none comes with this install; give one with -m"
    ):
        catalog.resolve()
    entry = catalog.Weights("day2night", tiny.inverter(root / "w" / "day2night.onnx"), {})
    monkeypatch.setattr(catalog, "weights", lambda: [entry])
    assert catalog.resolve() == catalog.Choice(entry.path, "the default; no finished run under runs/")
    assert catalog.resolve("day2night").path == entry.path
    with pytest.raises(ModelError, match="none of day2night"):
        catalog.resolve("night2day")
    with pytest.raises(ModelError, match=r"nowhere\.onnx: no such model file"):
        catalog.resolve("nowhere.onnx")


@pytest.mark.parametrize("model", ["runs/one", "runs/one/onnx/a2b.onnx", None])
def test_a_wrong_domain_lists_the_right_ones(root: Path, model: str | None) -> None:
    a_run(Path("runs/one"))
    with pytest.raises(ModelError, match="does not translate to 'cows'; it translates to zebras"):
        catalog.resolve(model, "cows")


def test_a_run_is_exported_when_it_has_no_export_or_an_old_one(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = a_run(Path("runs/one"), exports=("a2b",))
    asked = []

    def export(run: Path, *, to: str) -> Path:
        asked.append((run, to))
        return tiny.inverter(root / "exported.onnx")

    monkeypatch.setitem(sys.modules, "i2i.exporter", SimpleNamespace(export=export))
    assert catalog.resolve(path, "zebras").path == path / "onnx" / "a2b.onnx"
    assert asked == []
    assert catalog.resolve(path, "horses").path == root / "exported.onnx"
    os.utime(path / "weights" / "a2b.safetensors")  # trained on
    assert "exported now" in catalog.resolve(path).why
    assert asked == [(path, "b2a"), (path, "a2b")]


def test_an_export_that_names_its_weights_is_known_whatever_the_times_are(root: Path) -> None:
    path = a_run(Path("runs/one"), exports=())
    weights = path / "weights" / "a2b.safetensors"
    spec = replace(FORTH, recipe={"weights": hashlib.sha256(weights.read_bytes()).hexdigest()})
    file = tiny.inverter(path / "onnx" / "a2b.onnx", spec)
    os.utime(file, (1, 1))  # as after copying a folder
    run = catalog.read_run(path)
    assert run is not None
    assert run.exported("a2b") == file
    weights.write_bytes(weights.read_bytes() + b"more")  # trained on, and exported before that was saved
    os.utime(weights, (0, 0))
    assert run.exported("a2b") is None


def test_a_direction_is_as_good_as_a_domain(root: Path) -> None:
    path = a_run(Path("runs/one"))
    for to, file in (("b2a", "b2a.onnx"), ("horses", "b2a.onnx"), ("a2b", "a2b.onnx")):
        assert catalog.resolve(path, to).path == path / "onnx" / file
        assert catalog.resolve(to=to).path == path / "onnx" / file
        assert catalog.resolve(path / "onnx" / file, to).path == path / "onnx" / file
    with pytest.raises(ModelError, match=r"does not translate to 'b2a'; it translates to zebras \(a2b\)"):
        catalog.resolve(path / "onnx" / "a2b.onnx", "b2a")


DAMAGED = {
    "cut": b"\x40\0\0\0\0\0\0\0{",
    "empty": b"",
    "no table": b"\x02\0\0\0\0\0\0\0[]",
    "not ours": b"\x02\0\0\0\0\0\0\0{}",
    "endless": b"\xff" * 9,
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_run_is_named_and_no_other_taken_for_it(root: Path, content: bytes) -> None:
    a_run(Path("runs/old"), at=1e9)
    new = a_run(Path("runs/new"), at=1e9 + 5)
    file = new / "weights" / "b2a.safetensors"
    file.write_bytes(content)
    os.utime(new / "run.json", (1e9 + 5, 1e9 + 5))
    for model in (None, "new", "runs/new"):
        with pytest.raises(ModelError, match=r"^runs/new/weights/b2a\.safetensors: damaged, or not .* with -m$"):
            catalog.resolve(model)
    with pytest.raises(ModelError, match=r"b2a\.safetensors"):
        catalog.find()
    assert [(run.path.name, run.error is None) for run in catalog.runs()] == [("new", False), ("old", True)]
    assert catalog.resolve("old").path == Path("runs/old/onnx/a2b.onnx")
    a_run(Path("runs/newer"), at=1e9 + 9)
    assert catalog.resolve().path == Path("runs/newer/onnx/a2b.onnx")


def test_exports_of_the_bare_network_are_for_other_programs(root: Path) -> None:
    import shutil

    path = a_run(Path("runs/one"), exports=("a2b",))
    bare = replace(FORTH, io="tensor")
    tiny.inverter(path / "onnx" / "a2b.tensor.onnx", bare)
    tiny.inverter(path / "onnx" / "b2a.tensor.onnx", replace(BACK, io="tensor"))
    shutil.rmtree(path / "weights")
    run = catalog.read_run(path)
    assert run is not None
    assert list(run.directions) == ["a2b"]
    assert run.exported("b2a") is None
    assert i2i.load(path / "onnx" / "a2b.tensor.onnx", "cpu").name == "zebras"


def test_exports_alone_are_enough(root: Path) -> None:
    import shutil

    path = a_run(Path("runs/one"))
    shutil.rmtree(path / "weights")
    assert catalog.resolve(path, "horses").path == path / "onnx" / "b2a.onnx"


def test_the_models_that_come_with_i2i_are_sound() -> None:
    import hashlib

    for entry in catalog.weights():
        data = entry.path.read_bytes()
        assert hashlib.sha256(data).hexdigest() == entry.facts["sha256"]
        assert len(data) == entry.facts["size"] < 3_000_000
        image = np.random.default_rng(0).integers(0, 256, (33, 50, 3), np.uint8)
        assert i2i.load(entry.path, "cpu")(image).shape == image.shape


@pytest.fixture
def negative(tmp_path: Path) -> Path:
    return tiny.inverter(tmp_path / "negative.onnx")


def test_an_array_gives_an_array(negative: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 6, 3), np.uint8)
    np.testing.assert_array_equal(i2i.translate(image, model=negative), 255 - image)
    np.testing.assert_array_equal(i2i.translate(image, model=i2i.load(negative)), 255 - image)
    with pytest.raises(ValueError, match="an array comes back as an array"):
        i2i.translate(image, "out.png", negative)  # type: ignore[call-overload]


def test_a_path_gives_a_path(negative: Path, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for name in ("a.png", "b.png"):
        write_image(source / name, Image(np.zeros((4, 4, 3), np.uint8)))
    assert i2i.translate(source, model=negative, provider="cpu") == tmp_path / "in-negative"
    assert i2i.translate(str(source), str(tmp_path / "out"), i2i.load(negative)) == tmp_path / "out"
    assert i2i.translate(source / "a.png", model=negative) == source / "a-negative.png"
    assert i2i.translate(source / "a.png", tmp_path / "new" / "c.jpg", negative) == tmp_path / "new" / "c.jpg"
    assert read_image(tmp_path / "new" / "c.jpg").format == "JPEG"
    assert i2i.translate(source / "a.png", tmp_path, negative, format="webp") == tmp_path / "a.webp"
    assert int(read_image(tmp_path / "a.webp").pixels.min()) > 250


def test_a_slash_at_the_end_means_a_folder(negative: Path, tmp_path: Path) -> None:
    source = tmp_path / "a.png"
    write_image(source, Image(np.zeros((4, 4, 3), np.uint8)))
    assert i2i.translate(source, f"{tmp_path}/out/deep/", negative) == tmp_path / "out" / "deep" / "a.png"
    assert i2i.translate(source, f"{tmp_path}/out{os.sep}", negative, format="jpeg") == tmp_path / "out" / "a.jpg"
    with pytest.raises(ValueError, match=r"a\.png is a file, and the slash at the end means a folder"):
        i2i.translate(source, f"{source}/", negative, overwrite=True)


def test_an_image_beyond_the_memory_is_named(negative: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    write_image(tmp_path / "a.png", Image(np.zeros((4, 4, 3), np.uint8)))
    monkeypatch.setattr(single, "read_image", full)
    with pytest.raises(ImageError, match=r"a\.png: it does not fit into the memory"):
        i2i.translate(tmp_path / "a.png", None, negative)


def test_the_results_of_a_run_are_named_after_the_domain(tmp_path: Path) -> None:
    model = tiny.inverter(tmp_path / "a2b.onnx", replace(FORTH, target=Domain("big zebras/2")))
    write_image(tmp_path / "a.png", Image(np.zeros((4, 4, 3), np.uint8)))
    assert i2i.translate(tmp_path / "a.png", model=model) == tmp_path / "a-big-zebras-2.png"


def test_nothing_is_overwritten_by_default(negative: Path, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        write_image(tmp_path / name, Image(np.zeros((4, 4, 3), np.uint8)))
    for overwrite in (False, True):
        for target in (tmp_path / "a.png", tmp_path):
            with pytest.raises(ValueError, match="originals are never overwritten"):
                i2i.translate(tmp_path / "a.png", target, negative, overwrite=overwrite)
    with pytest.raises(ValueError, match="is there already"):
        i2i.translate(tmp_path / "a.png", tmp_path / "b.png", negative)
    assert int(read_image(tmp_path / "b.png").pixels.max()) == 0
    i2i.translate(tmp_path / "a.png", tmp_path / "b.png", negative, overwrite=True)
    assert int(read_image(tmp_path / "b.png").pixels.min()) == 255
    with pytest.raises(ValueError, match="no such file or folder"):
        i2i.translate(tmp_path / "c.png", None, negative)


def test_a_folder_with_bad_files_is_translated_and_then_raises(negative: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_image(tmp_path / "in" / "a.png", Image(np.zeros((4, 4, 3), np.uint8)))
    (tmp_path / "in" / "bad.png").write_bytes(b"no image")
    with pytest.raises(SomeFailedError, match=r"1 of 2 images failed:\n.*bad\.png") as error:
        i2i.translate(tmp_path / "in", tmp_path / "out", negative)
    assert error.value.exit_status == 1
    assert (tmp_path / "out" / "a.png").exists()


def test_a_spec_survives_its_file() -> None:
    assert Spec.from_json(FORTH.to_json()) == FORTH
