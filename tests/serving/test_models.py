"""Models that are loaded, replaced and unloaded while the service runs."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from i2i.images import decode_image
from i2i.runtime import ModelError
from i2i.runtime.model.model import Model
from i2i.serving.metrics import Metrics
from i2i.serving.problems import ProblemError
from i2i.serving.settings import Settings
from i2i.serving.work.store import ModelStore
from tests import tiny
from tests.serving.conftest import Running, ask, encoded, picture, running, wait_for

PIXELS = picture(8, 8) // 4
DATA = encoded(PIXELS)


def shifted(path: Path, weight: float) -> Path:
    """Write 255 + weight * x under the name in one step, as a deployment does."""
    new = tiny.inverter(path.with_suffix(".new"), weights=weight)
    os.replace(new, path)
    return path


def result(here: Running, model: str) -> np.ndarray:
    return decode_image(here.translate(DATA, model).body).pixels


def refresh(here: Running) -> None:
    here.service.store.refresh()


def test_a_folder_is_followed(tmp_path: Path) -> None:
    shifted(tmp_path / "a.onnx", -1)
    with running(tmp_path) as here:
        first = here.get("/v2/models/a").json["versions"]
        shifted(tmp_path / "b.onnx", -2)
        shifted(tmp_path / "a.onnx", -3)
        refresh(here)
        assert (result(here, "a") == 255 - 3 * PIXELS.astype(int)).all()
        assert (result(here, "b") == 255 - 2 * PIXELS.astype(int)).all()
        assert here.get("/v2/models/a").json["versions"] != first
        (tmp_path / "a.onnx").unlink()
        refresh(here)
        assert here.translate(DATA, "a").status == 404
        assert here.translate(DATA, "b").status == 200


def test_a_file_that_cannot_be_loaded_leaves_the_old_model(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shifted(tmp_path / "a.onnx", -1)
    with running(tmp_path) as here:
        (tmp_path / "a.onnx").write_bytes(b"half a model")
        refresh(here)
        refresh(here)
        assert caplog.text.count("model a: kept as it is") == 1
        assert (result(here, "a") == 255 - PIXELS).all()
        assert here.metric('i2i_model_loads_total{model="a",outcome="failed"}') == 1
        shifted(tmp_path / "a.onnx", -2)
        refresh(here)
        assert (result(here, "a") == 255 - 2 * PIXELS.astype(int)).all()


def test_watching_waits_until_a_file_has_settled(tmp_path: Path) -> None:
    store = ModelStore([str(tmp_path)], Settings(provider="cpu"), Metrics())
    shifted(tmp_path / "a.onnx", -1)
    store.load()
    shifted(tmp_path / "b.onnx", -1)
    store.refresh(settled=True)
    assert [each.name for each in store.all()] == ["a"]
    store.refresh(settled=True)
    assert [each.name for each in store.all()] == ["a", "b"]


def test_a_watched_folder_is_followed_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("i2i.serving.server.WATCH", 0.05)
    shifted(tmp_path / "a.onnx", -1)
    with running(tmp_path, watch=True) as here:
        shifted(tmp_path / "a.onnx", -2)
        wait_for(lambda: (result(here, "a") == 255 - 2 * PIXELS.astype(int)).all())


@pytest.mark.parametrize("swaps", [20, pytest.param(100, marks=pytest.mark.slow)])
def test_models_are_swapped_under_load_without_a_failed_request(tmp_path: Path, swaps: int) -> None:
    """Every result is that of one of the two models, whole."""
    path = shifted(tmp_path / "a.onnx", -1)
    expected = [encoded(np.clip(255 + weight * PIXELS.astype(int), 0, 255).astype(np.uint8)) for weight in (-1, -2)]
    with running(tmp_path) as here:
        statuses: list[int] = []
        wrong: list[bytes] = []
        over = threading.Event()

        def client() -> None:
            while not over.is_set():
                answer = ask(here.port, "POST", "/v1/translate/a", DATA)
                statuses.append(answer.status)
                if answer.body not in expected:
                    wrong.append(answer.body)

        threads = [threading.Thread(target=client) for _ in range(4)]
        for thread in threads:
            thread.start()
        for swap in range(swaps):
            shifted(path, -1 - (swap + 1) % 2)
            refresh(here)
        over.set()
        for thread in threads:
            thread.join()
        assert set(statuses) == {200}
        assert wrong == []
        assert len(statuses) > swaps
        assert here.metric('i2i_model_loads_total{model="a",outcome="loaded"}') == swaps + 1


def test_a_large_image_after_the_swap_of_a_file_goes_through_the_loaded_model(tmp_path: Path) -> None:
    """A second session takes large images; opened from the file that is there now, it would be another model's."""
    path = shifted(tmp_path / "a.onnx", -1)
    large = picture(520, 520)
    with running(path) as here:
        shifted(path, -2)
        answer = here.translate(encoded(large, "BMP"), "a")
        assert (decode_image(answer.body).pixels == 255 - large).all()


def test_names(tmp_path: Path, models: Path) -> None:
    def names(*sources: str) -> list[str]:
        store = ModelStore(sources, Settings(provider="cpu"), Metrics())
        store.load()
        return [each.name for each in store.all()]

    shutil.copy(models / "tiny.onnx", tmp_path / "a b.onnx")
    assert names(f"night={models / 'tiny.onnx'}", str(tmp_path / "a b.onnx")) == ["night", "a-b"]
    shutil.copy(models / "tiny.onnx", tmp_path / "tag→nacht.onnx")
    assert names(str(tmp_path / "tag→nacht.onnx")) == ["tag-nacht"]  # it stands in a header
    with pytest.raises(ValueError, match="two models are called tiny"):
        names(str(models / "tiny.onnx"), str(models))
    with pytest.raises(ValueError, match="is no name of a model"):
        names(f"a/b={models / 'tiny.onnx'}")


@pytest.mark.parametrize(
    ("error", "match", "source"),
    [
        (ModelError, "no such model file", "none.onnx"),
        (ModelError, "no model 'none'", "none"),
        (ModelError, "is a generator, which takes no image", "shapes.onnx"),
        (ValueError, "a service needs a model", "empty"),
    ],
)
def test_what_cannot_be_served_is_an_error_at_the_start(
    tmp_path: Path, models: Path, error: type[Exception], match: str, source: str
) -> None:
    (tmp_path / "empty").mkdir()
    place = models / source if source == "shapes.onnx" else source if source == "none" else tmp_path / source
    with pytest.raises(error, match=match), running(place):
        pass


def test_requests_before_the_models_are_loaded(tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loading, init = threading.Event(), Model.__init__

    def slow(self: Model, *arguments: object, **options: object) -> None:
        assert loading.wait(30)
        init(self, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Model, "__init__", slow)
    with running(models / "tiny.onnx", ready=False) as here:
        assert [here.get(f"/v2/health/{each}").status for each in ("live", "ready")] == [200, 503]
        assert here.translate(DATA).status == 404  # no model is known yet
        loading.set()
        wait_for(lambda: here.get("/v2/health/ready").status == 200)
        assert here.translate(DATA).status == 200


def test_a_stopping_service_refuses_new_requests(models: Path) -> None:
    with running(models / "tiny.onnx") as here:
        here.service.stop()
        with pytest.raises(ProblemError, match="the service is stopping") as error:
            _ = here.service.pool
        assert error.value.status == 503


def test_a_run_that_cannot_be_exported_leaves_the_models(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    shifted(tmp_path / "a.onnx", -1)

    def without_torch(_: object) -> None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    with running(tmp_path) as here:
        monkeypatch.setattr("i2i.serving.work.store.paths_of", without_torch)
        refresh(here)
        assert "models are kept as they are: No module named 'torch'" in caplog.text
        assert (result(here, "a") == 255 - PIXELS).all()
