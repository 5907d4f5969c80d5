"""Engines of TensorRT: their sizes, and the use of cached ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import i2i
from i2i.runtime import ProviderError
from i2i.runtime.providers import engine_cache, tensorrt_session
from tests import tiny
from tests.runtime.providers.gpu import Card
from tests.runtime.tiles.networks import network, photo


def test_tensorrt_has_an_engine_for_each_bucket_of_sizes(
    card: Card,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = i2i.load(tiny.brighter(tmp_path / "m.onnx"), "tensorrt")
    assert model.provider == "tensorrt"
    assert [each[0] for each in card.asked[0]] == ["CUDAExecutionProvider", "C"]  # images of unusual sizes
    for height, width in ((100, 300), (64, 512), (900, 700), (100, 300)):
        image = np.full((height, width, 3), 9, np.uint8)
        assert (model(image, to="rain") == 29).all()
    asked = [providers[0] for providers in card.asked[1:]]
    assert [name for name, _ in asked] == ["TensorrtExecutionProvider"] * 2
    settings = asked[0][1]
    assert settings["trt_profile_min_shapes"] == "x:1x64x64x3,target:1"
    assert settings["trt_profile_opt_shapes"] == "x:8x256x256x3,target:8"
    assert settings["trt_profile_max_shapes"] == "x:16x512x512x3,target:16"
    assert asked[1][1]["trt_profile_max_shapes"] == "x:4x1024x1024x3,target:4"
    assert [model.executor.at_once(side, 64) for side in (64, 600, 2048)] == [16, 4, 1]
    assert model.executor.at_once(64, 64, 3) == 3
    assert settings["trt_fp16_enable"] == settings["trt_int8_enable"] == "0"
    assert settings["trt_engine_cache_enable"] == "1"
    assert len(list(engine_cache.folder(model.path).glob("tensorrt-*"))) == 2
    assert not list(engine_cache.folder(model.path).glob(".i2i-*"))
    again = i2i.load(model.path, "tensorrt")
    again(np.zeros((100, 300, 3), np.uint8), to="rain")
    kept = Path(card.asked[-1][0][1]["trt_engine_cache_path"])
    assert kept.parent == engine_cache.folder(model.path)
    assert kept.name.startswith("tensorrt-")
    again(np.zeros((5, 300, 3), np.uint8), to="rain")
    again(np.zeros((6, 300, 3), np.uint8), to="rain")
    notes = [record.getMessage() for record in caplog.records]
    assert sum("builds its engine" in text for text in notes) == 2
    assert sum("run on CUDA" in text for text in notes) == 1


def test_an_unusable_engine_is_rebuilt_once(card: Card, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An engine that was changed in the cache, one that is refused, and one that is refused as soon as it is built."""
    path, image = tiny.inverter(tmp_path / "m.onnx"), np.zeros((64, 64, 3), np.uint8)

    def notes() -> list[str]:
        found = [record.getMessage() for record in caplog.records]
        caplog.clear()
        return found

    def kept() -> Path:
        (place,) = engine_cache.folder(path).iterdir()
        return place / "graph_sm90.engine"

    i2i.load(path, "tensorrt")(image)
    i2i.load(path, "tensorrt")(image)
    assert len(card.built) == len(notes()) == 1
    kept().write_bytes(b"engin3")
    for _ in range(2):
        assert (i2i.load(path, "tensorrt")(image) == 255).all()
    said = notes()
    assert len(card.built) == 2
    assert "the engine that was kept is damaged" in said[0]
    assert "builds its engine" in said[1]
    assert len(said) == 2
    kept().unlink()
    i2i.load(path, "tensorrt")(image)
    assert len(card.built) == 3
    notes()
    card.refuses = b"engine"  # as another driver does
    assert (i2i.load(path, "tensorrt")(image) == 255).all()
    assert len(card.built) == 4
    said = notes()
    assert "could not deserialize" in said[0]
    assert "is thrown away" in said[0]
    assert "builds its engine" in said[1]
    before = kept().read_bytes()
    card.breaks = True
    with pytest.raises(ProviderError, match=r"no builder.*TensorRT does not take it"):
        i2i.load(path, "tensorrt")(image)
    assert len(card.built) == 5
    assert kept().read_bytes() == before  # until there is another


def test_an_engine_that_cannot_be_cached_is_used_with_a_note(
    card: Card, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tiny.inverter(tmp_path / "m.onnx")
    engine_cache.folder(path).write_text("a file where the folder should be")
    assert (i2i.load(path, "tensorrt")(np.zeros((64, 64, 3), np.uint8)) == 255).all()
    said = [record.getMessage() for record in caplog.records]
    assert sum("the compiled model is not kept" in text for text in said) == 1
    assert "trt_engine_cache_path" not in card.asked[-1][0][1]


def test_a_partial_engine_is_never_used_and_is_deleted(card: Card, tmp_path: Path) -> None:
    """A job that is killed while TensorRT builds, beside one that is still at work."""
    import subprocess
    import sys

    path = tiny.inverter(tmp_path / "m.onnx")
    program = """
import os, sys
from pathlib import Path
from i2i.runtime.providers import engine_cache
with engine_cache.building(Path(sys.argv[1])) as folder:
    (folder / "graph_sm90.engine").write_bytes(b"half")
    print(folder, flush=True)
    sys.stdin.readline()
    os.kill(os.getpid(), 9)
"""
    command = [sys.executable, "-c", program, engine_cache.place(path, "tensorrt", "other settings")]
    killed, at_work = (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)
    )
    folders = []
    for process in (killed, at_work):
        assert process.stdout is not None
        folders.append(Path(process.stdout.readline().strip()))
    killed.communicate("\n")
    assert all(folder.is_dir() for folder in folders)
    i2i.load(path, "tensorrt")(np.zeros((64, 64, 3), np.uint8))
    assert [folder.is_dir() for folder in folders] == [False, True]
    at_work.communicate("\n")
    with engine_cache.building(engine_cache.place(path, "tensorrt")):
        assert not folders[1].exists()
    (kept,) = engine_cache.folder(path).iterdir()  # nothing was put into the last
    assert engine_cache.is_whole(kept)


def test_tensorrt_follows_the_models_precision_and_a_fixed_size(tmp_path: Path) -> None:
    assert tensorrt_session.provider_options("fp16", {}, None) == {"trt_fp16_enable": "1", "trt_int8_enable": "0"}
    assert tensorrt_session.provider_options("int8", {}, None)["trt_int8_enable"] == "1"
    fixed = [([1, 3, 224, 224], (1, 3, 224, 224))]
    assert tensorrt_session.bucket_of(fixed) == 0
    free: list = ["n", "h", "w", 3]
    cases = {(1, 64, 64, 3): 512, (16, 64, 64, 3): 512, (1, 64, 2048, 3): 2048, (4, 900, 900, 3): 1024}
    outside = [(17, 64, 64, 3), (1, 63, 64, 3), (1, 64, 2049, 3), (2, 64, 2048, 3)]
    for shape, bucket in {**cases, **dict.fromkeys(outside)}.items():
        assert tensorrt_session.bucket_of([(free, shape)]) == bucket


def test_tensorrt_that_does_not_load_is_an_error(card: Card, tmp_path: Path) -> None:
    path = tiny.inverter(tmp_path / "m.onnx")
    card.loads.remove("TensorrtExecutionProvider")
    with pytest.raises(ProviderError, match=r"TensorRT did not load \(libnvinfer.* and cuda would run instead.*pip"):
        i2i.load(path, "tensorrt")
    card.loads.clear()
    with pytest.raises(ProviderError, match="CUDA did not load"):
        i2i.load(path, "tensorrt")


def test_tiles_under_tensorrt_run_on_cuda(card: Card, tmp_path: Path) -> None:
    """Their graphs contain the statistics of one image; building an engine for each would take minutes."""
    model = i2i.load(network(tmp_path / "net.onnx"), "tensorrt").tiled(256)
    model(photo(300, 300))
    assert {each[0][0] for each in card.asked} == {"CUDAExecutionProvider"}
