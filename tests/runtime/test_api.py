"""The public functions: their signatures, what ``load`` opens, and models that are pickled and copied."""

from __future__ import annotations

import copy
import inspect
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import get_overloads

import numpy as np
import pytest

import i2i
from i2i.runtime import ModelError, Options, api
from i2i.runtime.adapters.options import ModelOptions
from i2i.runtime.api import SomeFailedError, TranslateOptions, translate
from i2i.runtime.model import model as model_module
from i2i.runtime.video.options import VideoOptions
from tests import tiny
from tests.runtime.adapters import models
from tests.runtime.tiles.networks import photo


def test_translate_shows_the_fields_of_the_options_with_their_defaults() -> None:
    shown = inspect.signature(translate).parameters
    stated = {each.name: each.default for kind in (Options, VideoOptions) for each in fields(kind)}
    own = {"src", "dst", "model", "to", "provider", "allow_fallback", "tile", "style", "seed", "videos"}
    assert {name: shown[name].default for name in stated} == stated
    assert set(shown) == set(stated) | own
    keywords = {name: each.annotation for name, each in shown.items() if each.kind is each.KEYWORD_ONLY}
    assert set(keywords) == set(shown) - {"src", "dst", "model"}
    # The overloads, whose results differ, take the same keywords of the same types.
    assert {name: each.__forward_arg__ for name, each in TranslateOptions.__annotations__.items()} == keywords
    assert [inspect.signature(each).return_annotation for each in get_overloads(translate)] == ["np.ndarray", "Path"]
    for overload in get_overloads(translate):
        *named, options = inspect.signature(overload).parameters.values()
        assert [each.name for each in named] == ["src", "dst", "model"]
        assert (options.kind, options.annotation) == (options.VAR_KEYWORD, "Unpack[TranslateOptions]")


def test_translate_passes_every_option_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = {"format": "JPEG", "quality": 1, "background": 2, "overwrite": True, "batch": 4}
    options = {
        **both, "max_pixels": 3, "workers": 5, "suffix": "s", "mask": tmp_path, "keep_metadata": True, "shard": "1/2",
        "gpus": 2,
    }  # fmt: skip
    video = {
        "start": 1.0, "end": 2.0, "fps": 5, "codec": "hevc", "crf": 6, "preset": "p", "rotation": "keep",
        "steady": True, "steady_time": 0.5,
    }  # fmt: skip
    passed: list[object] = []
    for name in ("_translate_video", "_translate_folder"):
        monkeypatch.setattr(api, name, lambda model, src, target, *given: passed.extend(given))
    model = i2i.load(tiny.inverter(tmp_path / "m.onnx"), "cpu", 1)
    translate("a.mp4", tmp_path / "b.mp4", model, **both, **video)
    translate(tmp_path, tmp_path / "out", model, **options)
    assert passed == [Options(**both), VideoOptions(**video), Options(**options), None]
    for kind, given in ((Options, options), (VideoOptions, video)):  # none is at its default
        assert all(getattr(kind(**given), each.name) != each.default for each in fields(kind))


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("a.mp4", {"workers": 2, "suffix": "-x"}, "suffix, workers: for images, and the source is a video"),
        ("a.mp4", {"max_pixels": 9}, "max_pixels: for images"),
        ("a.mp4", {"keep_metadata": True}, "keep_metadata: for images"),
        ("a.mp4", {"shard": "1/2", "gpus": 2}, "shard, gpus: for folders, and the source is not a folder"),
        ("a.png", {"shard": "1/2"}, "shard: for folders"),
        (np.zeros((2, 2, 3), np.uint8), {"gpus": 1}, "gpus: for folders"),
    ],
)
def test_options_that_say_nothing_about_the_source_are_refused(source: object, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        translate(source, model="none", **options)  # before the model is looked for


def test_load_shows_the_options_of_third_party_models() -> None:
    shown = inspect.signature(i2i.load).parameters
    assert {each.name: each.default for each in fields(ModelOptions)}.items() <= {
        name: parameter.default for name, parameter in shown.items()
    }.items()
    assert not any(parameter.kind is parameter.VAR_KEYWORD for parameter in shown.values())


def test_load_takes_a_name_a_runs_folder_and_a_domain(tmp_path: Path) -> None:
    assert i2i.load("day2night", "cpu").path.name == "day2night.onnx"
    weather = tiny.brighter(tmp_path / "weather.onnx")
    grey = np.full((4, 4, 3), 100, np.uint8)
    assert i2i.load(weather, "cpu").to is None  # a model of several domains need not be bound
    assert (i2i.load(weather, "cpu", to="rain")(grey) == 120).all()
    with pytest.raises(ModelError, match="it translates to cloudy, rain, shine"):
        i2i.load(weather, "cpu", to="snow")
    with pytest.raises(
        ModelError, match=r"no model 'night2day': it is no file, no folder of a run, and none of .*day2night"
    ):
        i2i.load("night2day", "cpu")


def test_a_model_is_pickled_by_its_path_and_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tiny.brighter(Path("weather.onnx"))
    rain = i2i.load("weather.onnx", "cpu", threads=1).toward("rain").tiled(512)
    data = pickle.dumps(rain)
    assert len(data) < 2000
    monkeypatch.chdir("/")
    model = pickle.loads(data)
    assert (model.to, model.tile, model.threads, model.provider) == (("rain",), rain.tile, 1, "cpu")
    assert (model(np.full((4, 4, 3), 100, np.uint8)) == 120).all()
    foreign = i2i.load(models.mirror(tmp_path / "m.onnx", 1), "cpu", range="0..1", order="rgb")
    image = photo(9, 8)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(foreign))(image), foreign(image))
    (tmp_path / "weather.onnx").unlink()
    with pytest.raises(ModelError, match="a pickled model is opened again from its file"):
        pickle.loads(data)


def test_a_model_is_opened_once_in_a_process_that_unpickles_it_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tiny.inverter(tmp_path / "m.onnx")
    data = [pickle.dumps(i2i.load(path, "cpu", 1).tiled(side)) for side in (256, 512)]
    first, second = map(pickle.loads, data)
    assert first.executor is second.executor
    assert (first.tile.how, second.tile.how) == (256, 512)
    tiny.tinted(path)  # the file has changed
    assert (pickle.loads(data[0])(np.zeros((4, 4, 3), np.uint8)) == [1, 2, 3]).all()
    model_module._reopened.cache_clear()


def test_copies_share_the_sessions(tmp_path: Path) -> None:
    model = i2i.load(tiny.inverter(tmp_path / "m.onnx"), "cpu", 1)
    for other in (copy.copy(model), copy.deepcopy(model), copy.deepcopy({"model": model})["model"]):
        assert other is not model
        assert other.executor is model.executor
        assert (other(np.zeros((4, 4, 3), np.uint8)) == 255).all()


def test_a_pool_of_processes_maps_a_model_over_images(tmp_path: Path) -> None:
    model = i2i.load(tiny.inverter(tmp_path / "m.onnx"), "cpu", 1)
    images = [photo(9 + number, 8) for number in range(5)]
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        for image, result in zip(images, pool.map(model, images, timeout=120), strict=True):
            np.testing.assert_array_equal(result, 255 - image)


@pytest.mark.parametrize(("shape", "first"), [((4, 4, 5), False), ((3, 40, 50), True), ((2, 3, 40, 50), True)])
def test_channels_first_are_distinguished_from_too_many_channels(tmp_path: Path, shape: tuple, first: bool) -> None:
    model = i2i.load(tiny.inverter(tmp_path / "m.onnx"), "cpu", 1)
    with pytest.raises(ModelError, match=r"1 to 4 channels last, got uint8 \[") as error:
        model(np.zeros(shape, np.uint8))
    assert ("channels seem to come first" in str(error.value)) == first


def test_the_error_of_a_folder_survives_a_process_pool(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "bad.png").write_bytes(b"bad")
    with pytest.raises(SomeFailedError) as caught:
        translate(tmp_path / "in", tmp_path / "out", tiny.inverter(tmp_path / "invert.onnx"), provider="cpu")
    error = pickle.loads(pickle.dumps(caught.value))
    assert (type(error), str(error)) == (SomeFailedError, str(caught.value))
    assert error.failed == caught.value.failed
