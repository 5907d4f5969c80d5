"""Fallback when memory does not suffice: smaller batches, then tiles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import i2i
from i2i.runtime.errors import TooLargeError
from i2i.runtime.memory import estimate
from i2i.runtime.model import executor
from i2i.runtime.model.model import Model
from i2i.runtime.tiles import shared_statistics, tiler
from i2i.runtime.tiles.oom_fallback import Tile
from tests import tiny
from tests.runtime.tiles.networks import network, photo, psnr

IMAGE = photo(820, 900)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return i2i.load(network(tmp_path_factory.mktemp("net") / "net.onnx"), "cpu", threads=1)


@pytest.fixture(autouse=True)
def free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Free memory that suffices, whatever else runs on the machine."""
    for part in (estimate, tiler, shared_statistics):
        monkeypatch.setattr(part, "available_memory", lambda: 16 << 30)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A memory that holds one image of half a million pixels."""
    plain = executor.Executor.run

    def run(self: executor.Executor, batch: np.ndarray, target: np.ndarray | None = None) -> np.ndarray:
        if batch.shape[0] * batch.shape[1] * batch.shape[2] > 500_000:
            raise TooLargeError("it would take too much memory")
        return plain(self, batch, target)

    monkeypatch.setattr(executor.Executor, "run", run)


def test_images_that_fit_are_not_tiled(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("i2i.runtime.tiles.tiler.translate_tiled", lambda *_: pytest.fail("tiled"))
    assert model(IMAGE).shape == IMAGE.shape
    for how in ("exact", 768):
        assert model.tiled(how)(IMAGE[:700, :768]).shape == (700, 768, 3)


@pytest.mark.usefixtures("short")
def test_images_that_do_not_fit_are_tiled_with_a_note(model: Model, caplog: pytest.LogCaptureFixture) -> None:
    said: list[str] = []
    progress: list[tuple[int, int]] = []
    result = model.tiled("auto", say=said.append, progress=lambda *now: progress.append(now))(IMAGE)
    whole = i2i.load(model.path, "cpu", threads=1).tiled(2048)(IMAGE[:400])  # within the memory
    assert said == ["900 x 820 pixels at once do not fit into memory; continuing in tiles"]
    assert progress[-1] == (4, 4)
    assert whole.shape == (400, 900, 3)
    assert not caplog.messages
    np.testing.assert_array_equal(model(IMAGE), result)  # the default is auto
    assert caplog.messages == said


def test_tiles_are_nearly_the_whole(model: Model) -> None:
    whole = model(IMAGE)
    assert psnr(model.tiled(256)(IMAGE), whole) > 28
    assert psnr(model.tiled("exact")(IMAGE), whole) > 60


@pytest.mark.usefixtures("short")
def test_a_batch_is_halved_first(model: Model) -> None:
    said: list[str] = []
    images = np.stack([IMAGE[:400, :600] + np.uint8(i) for i in range(5)])
    together = model.tiled("auto", say=said.append).run(images)
    np.testing.assert_array_equal(together, np.concatenate([model.run(image[None]) for image in images]))
    assert said == [
        "5 images at once do not fit into memory; continuing with 3",
        "3 images at once do not fit into memory; continuing with 2",
    ]
    np.testing.assert_array_equal(model.tiled("auto", say=None).run(images), together)  # without a note


@pytest.mark.usefixtures("short")
def test_images_that_cannot_be_tiled_are_errors(model: Model, tmp_path: Path) -> None:
    with pytest.raises(TooLargeError, match=r"^it would take too much memory$"):
        model.tiled("off")(IMAGE)
    whole = i2i.load(tiny.inverter(tmp_path / "no.onnx"), "cpu", threads=1)
    with pytest.raises(
        TooLargeError, match=r"too much memory\. no\.onnx cannot be tiled: a pixel of its result depends"
    ):
        whole(IMAGE)


def test_tile_is_a_mode_or_a_side() -> None:
    assert Tile.of("512") == Tile.of(512) == Tile(512)
    for wrong in ("none", "0", -1, "-5", "1.5", ""):
        with pytest.raises(ValueError, match="choose auto, exact, off or the side"):
            Tile.of(wrong)


def test_the_memory_of_the_machine_decides(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model refuses a too large image before the kernel kills the process."""
    monkeypatch.setattr(estimate, "available_memory", lambda: 1 << 20)
    said: list[str] = []
    other = i2i.load(model.path, "cpu", threads=1).tiled("auto", say=said.append)
    assert other(IMAGE).shape == IMAGE.shape
    assert len(said) == 1
