"""Models of several domains and of attributes: ``to``, wherever it can be given."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import i2i
from i2i.images import Image, read_image, write_image
from i2i.runtime import Model, ModelError, Options, translate_folder
from i2i.runtime.jobs.folder import job_key
from i2i.runtime.model import catalog, executor, targets
from i2i.spec import METADATA_KEY, Spec
from tests import tiny

DOMAINS = tiny.WEATHER.domains


@pytest.fixture
def weather(tmp_path: Path) -> Model:
    return i2i.load(tiny.brighter(tmp_path / "weather.onnx"), "cpu", threads=1)


@pytest.fixture
def faces(tmp_path: Path) -> Model:
    return i2i.load(tiny.brighter(tmp_path / "faces.onnx", tiny.FACES), "cpu", threads=1)


def grey(level: int = 100, n: int = 0) -> np.ndarray:
    return np.full(((n,) if n else ()) + (4, 5, 3), level, np.uint8)


def a_run(path: Path, spec: Spec = tiny.WEATHER, at: float = 1e9, exported: bool = True) -> Path:
    """The folder of a finished run with one generator of several domains."""
    weights = path / "weights" / "any.safetensors"
    weights.parent.mkdir(parents=True)
    header = json.dumps({"__metadata__": {METADATA_KEY: spec.to_json()}}).encode()
    weights.write_bytes(len(header).to_bytes(8, "little") + header)
    os.utime(weights, (at, at))
    if exported:
        tiny.brighter(path / "onnx" / "any.onnx", spec)
    (path / "run.json").write_text(json.dumps({"method": "stargan", "status": "finished", "step": 7}))
    os.utime(path / "run.json", (at, at))
    return path


@pytest.mark.parametrize("io", ["pixels", "tensor"])
def test_each_domain_by_its_name(tmp_path: Path, io: str) -> None:
    model = i2i.load(tiny.brighter(tmp_path / "m.onnx", replace(tiny.WEATHER, io=io)), "cpu")
    for index, name in enumerate(DOMAINS):
        assert (model(grey(), to=name) == 110 + 10 * index).all()
        assert (model(grey(n=3), to=name) == 110 + 10 * index).all()
        assert (model.toward(name)(grey()) == 110 + 10 * index).all()
        assert (model.toward(name).run(np.zeros((4, 6, 7, 3), model.spec.dtype)).round() == 10 + 10 * index).all()


@pytest.mark.parametrize(
    ("to", "level"),
    [
        ("male", 101),
        ("young", 102),
        ("male,smiling", 105),
        (" smiling , young", 106),
        ("", 100),
        (["male", "young", "smiling"], 107),
        (("young",), 102),
        ([], 100),
    ],
)
def test_attributes_are_those_that_are_named_and_no_other(faces: Model, to: targets.To, level: int) -> None:
    assert (faces(grey(), to=to) == level).all()
    assert (faces.toward(to)(grey(n=2)) == level).all()


@pytest.mark.parametrize(("to", "level"), [("a,b", 110), ('"a,b"', 110), ("c", 120), (["a,b"], 110)])
def test_a_domain_with_a_comma_in_its_name(tmp_path: Path, to: targets.To, level: int) -> None:
    spec = replace(tiny.WEATHER, domains=("a,b", "c", "d"))
    assert (i2i.load(tiny.brighter(tmp_path / "m.onnx", spec), "cpu")(grey(), to=to) == level).all()


@pytest.mark.parametrize(("to", "level"), [('"a,b"', 101), ("a,b", 101), ('"a,b",d', 105), ("d,c", 106)])
def test_an_attribute_with_a_comma_in_its_name(tmp_path: Path, to: targets.To, level: int) -> None:
    model = i2i.load(tiny.brighter(tmp_path / "m.onnx", replace(tiny.FACES, domains=("a,b", "c", "d"))), "cpu")
    assert (model(grey(), to=to) == level).all()
    with pytest.raises(ModelError, match=r"""attributes are missing: .* of "a,b", c, d; --to '"a,b",c' gives"""):
        model(grey())


def test_without_a_domain_the_error_lists_them(weather: Model, faces: Model) -> None:
    with pytest.raises(ModelError, match=r"weather\.onnx: a domain is missing: .* of cloudy, rain, shine: --to cloudy"):
        weather(grey())
    with pytest.raises(ModelError, match="a domain is missing"):
        weather.run(grey(n=1))
    with pytest.raises(ModelError, match=r"attributes are missing: .* of male, young, smiling; --to male,young"):
        faces(grey())


@pytest.mark.parametrize("to", ["snow", "any", "", "rain,shine", ["rain", "shine"], [], 1, b"rain", "Rain"])
def test_a_wrong_domain_is_an_error_that_lists_the_known_ones(weather: Model, to: targets.To) -> None:
    with pytest.raises(ModelError, match=r"does not translate to .*; it translates to cloudy, rain, shine$"):
        weather(grey(), to=to)


@pytest.mark.parametrize("to", ["bald", "male,bald", ["male", "male,young"], 0])
def test_a_wrong_attribute_is_an_error_that_lists_the_known_ones(faces: Model, to: targets.To) -> None:
    with pytest.raises(ModelError, match=r"does not translate to .*; it translates to male, young, smiling$"):
        faces.toward(to)


def test_a_model_of_one_direction_takes_its_own_name_alone(tmp_path: Path) -> None:
    model = i2i.load(tiny.inverter(tmp_path / "m.onnx"), "cpu")
    assert model.toward(None) is model
    for to in ("negative", "a2b"):
        assert model.toward(to) is model
        assert (model(grey(), to=to) == 155).all()
    for to in ("photo", "b2a", ["negative"], ""):
        with pytest.raises(ModelError, match=r"does not translate to .*; it translates to negative \(a2b\)"):
            model(grey(), to=to)


def test_a_bound_model_shares_the_sessions_and_can_be_bound_again(
    weather: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "open_session", lambda *_, **__: pytest.fail("a second session"))
    rain = weather.toward("rain")
    assert (weather.to, rain.to) == (None, ("rain",))
    assert rain.toward(None) is rain.toward("rain") is rain
    assert (rain(grey()) == 120).all()
    assert (rain(grey(), to="shine") == 130).all()
    assert (rain(grey()) == 120).all()
    assert repr(rain) == "<i2i model weather.onnx: weather -> rain on cpu>"
    assert repr(weather) == "<i2i model weather.onnx: weather -> cloudy, rain, shine on cpu>"


def test_large_images_have_one_session_for_all_domains(weather: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    real = executor.open_session
    monkeypatch.setattr(executor, "open_session", lambda *a, **k: opened.append(a) or real(*a, **k))
    for index, name in enumerate(DOMAINS):
        assert (weather(np.full((600, 500, 3), 7, np.uint8), to=name) == 17 + 10 * index).all()
    assert len(opened) == 1


def test_memory_is_measured_with_a_target(faces: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("i2i.runtime.memory.estimate.available_memory", lambda: 1 << 30)
    faces(np.zeros((800, 800, 3), np.uint8), to="young")
    assert 10 < faces.executor.memory.bytes_per_pixel < 400


def test_results_are_named_after_the_file_and_the_domain(tmp_path: Path) -> None:
    names = {}
    for file in ("weather", "any", "any.tensor"):
        model = i2i.load(tiny.brighter(tmp_path / f"{file}.onnx"), "cpu")
        names[file] = model.toward("rain").name
    assert names == {"weather": "weather-rain", "any": "rain", "any.tensor": "rain"}
    faces = i2i.load(tiny.brighter(tmp_path / "any.onnx", tiny.FACES), "cpu")
    assert [faces.toward(to).name for to in ("male,young", [])] == ["male-young", "none"]
    same = i2i.load(tiny.inverter(tmp_path / "b2b.onnx", replace(tiny.RGB, direction="b2b")), "cpu")
    assert same.name == "b2b"  # a reconstruction is no translation to b


@pytest.mark.parametrize(
    ("spec", "kind", "shape"),
    [
        (tiny.WEATHER, "float32", ["n", 3]),
        (tiny.WEATHER, "int64", ["n", 1]),
        (tiny.WEATHER, "int64", [1]),
        (tiny.FACES, "float32", ["n", 4]),
        (tiny.FACES, "float32", ["n"]),
        (tiny.FACES, "int64", ["n"]),
    ],
)
def test_another_second_input_is_refused(tmp_path: Path, spec: Spec, kind: str, shape: list) -> None:
    from onnx import helper

    inputs = [("x", "uint8", ["n", "h", "w", 3]), ("target", kind, shape)]
    path = tiny.write(tmp_path / "m.onnx", [helper.make_node("Identity", ["x"], ["y"])], spec, {}, inputs)
    with pytest.raises(ModelError, match=r"promises uint8 \[N, H, W, 3\], .* but the model expects 'x': .* 'target': "):
        i2i.load(path)


def test_no_second_input_is_refused(tmp_path: Path) -> None:
    path = tiny.inverter(tmp_path / "m.onnx", replace(tiny.RGB, domains=("sun", "rain")))
    with pytest.raises(ModelError, match=r"promises uint8 \[N, H, W, 3\], int64 \[N\] to uint8 .*; export it again"):
        i2i.load(path)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number in range(3):
        (tmp_path / "photos").mkdir(exist_ok=True)
        write_image(tmp_path / "photos" / f"{number}.png", Image(grey(number)))
    return tmp_path / "photos"


def test_a_folder_toward_a_domain_and_then_another(weather: Model, photos: Path, tmp_path: Path) -> None:
    for model, to, done in ((weather, "rain", 3), (weather.toward("rain"), None, 0), (weather, "shine", 3)):
        summary = translate_folder(model.toward(to), photos, tmp_path / "out", Options(overwrite=to == "shine"))
        assert (summary.done, summary.skipped) == (done, 3 - done)
    with pytest.raises(ValueError, match=r"to was \['shine'\] and is \['rain'\]"):
        translate_folder(weather.toward("rain"), photos, tmp_path / "out")
    for number in range(3):
        assert (read_image(tmp_path / "out" / f"{number}.png").pixels == number + 30).all()
    with pytest.raises(ModelError, match="a domain is missing"):
        translate_folder(weather, photos, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_batches_on_a_device_have_a_target_for_each_image(
    weather: Model, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The code path of a GPU, on a model that claims to run on one."""
    rain, seen = weather.toward("rain"), []
    session = rain.executor._session
    plain = session.run

    def watched(feeds: dict[str, np.ndarray], output: object) -> list[np.ndarray]:
        if feeds["x"].shape[1:] == grey(0).shape:  # and no larger one, of which the memory is measured
            seen.append((len(feeds["x"]), feeds["target"].tolist()))
        return plain(feeds)

    monkeypatch.setattr(session, "run", watched)
    monkeypatch.setattr(rain, "on_cpu", False)
    assert translate_folder(rain, photos, tmp_path / "out", Options(batch=3)).done == 3
    assert sum(n for n, _ in seen) == 3
    assert all(target == [1] * n for n, target in seen)
    assert (read_image(tmp_path / "out" / "2.png").pixels == 22).all()


def test_the_key_of_a_job_depends_on_the_domain(weather: Model, faces: Model) -> None:
    keys = [job_key(weather.toward(name), Options()) for name in DOMAINS]
    assert len(set(keys)) == 3
    assert job_key(faces.toward("male,young"), Options()) == job_key(faces.toward(["young", "male"]), Options())


def test_the_public_function_takes_a_domain(weather: Model, photos: Path, tmp_path: Path) -> None:
    np.testing.assert_array_equal(i2i.translate(grey(), model=weather, to="rain"), grey(120))
    np.testing.assert_array_equal(i2i.translate(grey(), model=weather.path, to="shine"), grey(130))
    np.testing.assert_array_equal(i2i.translate(grey(), model=weather.toward("cloudy")), grey(110))
    with pytest.raises(ModelError, match="one of cloudy, rain, shine"):
        i2i.translate(grey(), model=weather)
    with pytest.raises(ModelError, match="it translates to cloudy, rain, shine"):
        i2i.translate(photos, model=weather.path, to="snow")
    assert i2i.translate(photos, model=weather, to="rain") == tmp_path / "photos-weather-rain"
    run = a_run(tmp_path / "runs" / "w")
    assert i2i.translate(photos, model=run, to="shine", provider="cpu") == tmp_path / "photos-shine"
    assert (read_image(tmp_path / "photos-shine" / "1.png").pixels == 31).all()


def test_which_file_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "weights", list)
    run = a_run(tmp_path / "w")
    file = run / "onnx" / "any.onnx"
    assert catalog.resolve(run, "rain") == catalog.Choice(file, f"run {run}", "rain")
    assert catalog.resolve("w", "rain", tmp_path).to == "rain"
    assert catalog.resolve(None, "shine", tmp_path) == catalog.Choice(file, f"the newest finished run, {run}", "shine")
    assert catalog.resolve(file, "cloudy") == catalog.Choice(file, "as asked", "cloudy")
    faces = a_run(tmp_path / "f", tiny.FACES)
    for to in ("male,young", ["male", "young"], ""):
        assert catalog.resolve(faces, to).to == to
    for model in (run, file):
        with pytest.raises(ModelError, match=r": a domain is missing: .* of cloudy, rain, shine"):
            catalog.resolve(model)
        with pytest.raises(ModelError, match=r"does not translate to 'snow'; it translates to cloudy, rain, shine$"):
            catalog.resolve(model, "snow")


def test_a_run_is_exported_only_once_it_is_known_where_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    run, asked = a_run(tmp_path / "w", exported=False), []

    def export(path: Path, *, to: str) -> Path:
        asked.append((path, to))
        return tiny.brighter(tmp_path / "any.onnx")

    monkeypatch.setitem(sys.modules, "i2i.exporter", SimpleNamespace(export=export))
    for to in (None, "snow", "any"):
        with pytest.raises(ModelError, match="cloudy, rain, shine"):
            catalog.resolve(run, to)
    assert asked == []
    assert catalog.resolve(run, "rain").to == "rain"
    assert asked == [(run, "any")]


def test_a_reconstruction_is_not_taken_for_a_translation(tmp_path: Path) -> None:
    """A run with both has files of the names a2a, a2b, b2a and b2b; a2a comes first by name."""
    ends = {"a": tiny.RGB.source, "b": tiny.RGB.target}
    ways = {
        d: replace(tiny.RGB, direction=d, source=ends[d[0]], target=ends[d[2]]) for d in ("a2a", "a2b", "b2a", "b2b")
    }
    assert targets.choose(ways, None, "") == "a2b"
    assert targets.choose(ways, "negative", "") == "a2b"
    assert targets.choose(ways, "photo", "") == "b2a"
    assert targets.choose(ways, "a2a", "") == "a2a"
    assert list(targets.ordered(ways)) == ["a2b", "b2a", "a2a", "b2b"]
    for direction, spec in ways.items():
        tiny.inverter(tmp_path / "run" / "onnx" / f"{direction}.onnx", spec)
    (tmp_path / "run" / "run.json").write_text(json.dumps({"method": "unit", "status": "finished", "step": 7}))
    assert catalog.resolve(tmp_path / "run").path.stem == "a2b"
    assert catalog.resolve(tmp_path / "run", "photo").path.stem == "b2a"
    with pytest.raises(ModelError, match=r"translates to negative \(a2b\), photo \(b2a\), photo \(a2a\), negative"):
        catalog.resolve(tmp_path / "run", "cows")
