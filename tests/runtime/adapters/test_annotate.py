"""A description in a copy of the file: the runtime needs nothing else, and other programs ignore it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

import i2i
from i2i.images import Image, read_image, write_image
from i2i.runtime import ModelError, Options, translate_folder
from i2i.runtime.adapters import annotate
from i2i.runtime.adapters.options import ModelOptions
from i2i.runtime.graphs.onnx_file import described, read_spec
from i2i.runtime.jobs.folder import job_key
from i2i.spec import METADATA_KEY, SCHEMA, Form, Spec
from tests import tiny
from tests.runtime.adapters import models


def picture(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The negative of bytes in BGR, described."""
    path = models.mirror(tmp_path / "negative.onnx", 255)
    spec = i2i.load(path, "cpu", range="0..255", order="bgr").spec
    annotate.write(path, tmp_path / "described.onnx", spec)
    return tmp_path / "described.onnx"


def test_the_copy_needs_no_options(copy: Path) -> None:
    original = copy.with_name("negative.onnx")
    assert copy.read_bytes().startswith(original.read_bytes())
    assert METADATA_KEY in {entry.key for entry in onnx.load(copy).metadata_props}  # for every reader of ONNX
    model = i2i.load(copy, "cpu")
    assert (model.spec.form.order, model.spec.form.range, model.spec.schema) == ("bgr", (0, 255), 2)
    assert (model.spec.source.name, model.spec.target.name) == ("image", "negative")
    np.testing.assert_array_equal(model(picture(5, 7, 3)), 255 - picture(5, 7, 3))
    with pytest.raises(ModelError, match="it contains no i2i description"):
        i2i.load(original, "cpu")


def test_it_is_not_tried_again(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from i2i.runtime.adapters import probe

    monkeypatch.setattr(probe, "settle_size", lambda *_: pytest.fail("a probe"))
    i2i.load(copy, "cpu")


def test_given_options_override_the_description(copy: Path) -> None:
    model = i2i.load(copy, "cpu", order="rgb")
    assert (model.spec.form.order, model.spec.form.range) == ("rgb", (0, 255))
    again = copy.with_name("again.onnx")
    annotate.write(copy, again, model.spec)
    assert read_spec(again) == model.spec
    assert [entry.key for entry in onnx.load(again).metadata_props].count(METADATA_KEY) == 1
    onnx.checker.check_model(onnx.load(again))
    with pytest.raises(ModelError, match=r"is no picture in 0\.\.1"):
        i2i.load(copy, "cpu", range="0..1")


def test_an_export_describes_itself(tmp_path: Path) -> None:
    path = tiny.inverter(tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="describes itself; range, order can be given for third-party models"):
        i2i.load(path, "cpu", order="bgr", range="0..1")


def test_no_file_is_replaced_without_overwrite(copy: Path, tmp_path: Path) -> None:
    original, spec = tmp_path / "negative.onnx", read_spec(copy)
    before = original.read_bytes()
    for target, words in (
        (original, "is the model itself"),
        (copy, "exists already"),
        (tmp_path, "is a folder; give the name of a file in it, such as .*negative.onnx"),
    ):
        with pytest.raises(ValueError, match=words):
            annotate.write(original, target, spec)
    annotate.write(original, copy, replace(spec, method="other"), overwrite=True)
    assert read_spec(copy).method == "other"
    assert original.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["described.onnx", "negative.onnx"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dtype": "float16"}, "its description states float16, nchw, 3 channels"),
        ({"layout": "nhwc"}, "its height is 3 and its width free; expected both fixed or both free"),
        ({"order": "grey"}, "1 channel\\b"),
        ({"size": (8, 8)}, r"the size \(8, 8\)"),
    ],
)
def test_a_description_of_another_graph_is_refused(copy: Path, change: dict, words: str) -> None:
    spec = read_spec(copy)
    path = copy.with_name("wrong.onnx")
    path.write_bytes(copy.read_bytes() + described(replace(spec, form=replace(spec.form, **change))))
    with pytest.raises(ModelError, match=rf"{words}; but the model expects 'x': float32"):
        i2i.load(path, "cpu")


def test_a_folder_and_the_key_of_its_job(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    write_image(tmp_path / "photos" / "a.png", Image(picture(6, 5, 3)))
    model = i2i.load(copy, "cpu", 1)
    for done in (1, 0):
        assert translate_folder(model, tmp_path / "photos", tmp_path / "out", Options()).done == done
    np.testing.assert_array_equal(read_image(tmp_path / "out" / "a.png").pixels, 255 - picture(6, 5, 3))


FORM = Form("nchw", "rgb", (0, 1), (-1, 1), size=(3, 4), scale=2)


def test_a_form_is_read_as_it_was_written_and_specs_without_one_as_before() -> None:
    spec = replace(tiny.RGB, io="described", form=FORM, schema=SCHEMA)
    assert Spec.from_json(spec.to_json()) == spec
    older = {key: value for key, value in json.loads(tiny.RGB.to_json()).items() if key != "form"}
    assert Spec.from_json(json.dumps(older)) == tiny.RGB
    assert older["schema"] == 1  # what needs no form is for older readers too


@pytest.mark.parametrize(
    "change",
    [
        {"form": None},
        {"io": "pixels"},
        {"form": {"layout": "nchw"}},
        *(
            {"form": {**json.loads(json.dumps(FORM.__dict__)), **wrong}}
            for wrong in (
                {"layout": "hwcn"},
                {"order": "xyz"},
                {"range": [1, 1]},
                {"range": [0, float("inf")]},
                {"range": 5},
                {"output_range": ["a", "b"]},
                {"scale": 0},
                {"scale": "2"},
                {"size": [0, 4]},
                {"size": [4]},
                {"dtype": "object"},
                {"fit": "guess"},
                {"unknown": 1},
            )
        ),
    ],
)
def test_a_damaged_form_is_a_sentence(change: dict) -> None:
    facts = {**json.loads(replace(tiny.RGB, io="described", form=FORM).to_json()), **change}
    with pytest.raises(ValueError) as error:  # noqa: PT011  (each has words of its own)
        Spec.from_json(json.dumps(facts))
    assert "\n" not in str(error.value)


def test_the_key_of_a_job_depends_on_the_options(copy: Path) -> None:
    original = copy.with_name("negative.onnx")
    keys = {
        job_key(i2i.load(original, "cpu", range="0..255", order=order, multiple=multiple), Options())
        for order, multiple in (("rgb", 1), ("bgr", 1), ("bgr", 4))
    }
    assert len(keys) == 3


def test_the_public_function_takes_a_copy_or_a_model_that_is_loaded_with_options(copy: Path, tmp_path: Path) -> None:
    image, given = picture(6, 5, 3), {"range": (0, 255), "order": "rgb"}
    original = copy.with_name("negative.onnx")
    np.testing.assert_array_equal(i2i.translate(image, model=copy, provider="cpu"), 255 - image)
    (tmp_path / "photos").mkdir()
    write_image(tmp_path / "photos" / "a.png", Image(image))
    out = i2i.translate(tmp_path / "photos", tmp_path / "out", copy, provider="cpu")
    np.testing.assert_array_equal(read_image(out / "a.png").pixels, 255 - image)
    model = i2i.load(original, "cpu", **given)  # on all cores, and a folder opens it once more, side by side
    assert i2i.translate(tmp_path / "photos", tmp_path / "out2", model) == tmp_path / "out2"
    with pytest.raises(ModelError, match=r"`i2i describe .*negative\.onnx --range LOW\.\.HIGH .*i2i\.load takes"):
        i2i.translate(image, model=original, provider="cpu")
    with pytest.raises(TypeError, match=r"translate\(\) has no argument 'order'"):
        i2i.translate(image, model=model, order="bgr")


def test_the_copy_states_the_values_of_its_largest_tensor(tmp_path: Path) -> None:
    """4 x 4 pixels of three channels for each; as measured from a file that does not state them."""
    path = models.larger(tmp_path / "m.onnx", 4)
    given = ModelOptions.of({"range": "0..1", "order": "rgb"})
    spec, _ = annotate.describe(path, given)
    assert spec.values_per_pixel == 48
    annotate.write(path, tmp_path / "copy.onnx", spec)
    assert i2i.load(tmp_path / "copy.onnx", "cpu").spec.values_per_pixel == 48
    older = i2i.load(path, "cpu", range="0..1", order="rgb")
    assert older.spec == replace(spec, values_per_pixel=None)
    assert older.executor.tensor_sizes.values_per_pixel() == 48
    annotate.write(path, tmp_path / "older.onnx", older.spec)
    assert annotate.describe(tmp_path / "older.onnx")[0] == spec  # an older copy, described again


def test_values_that_do_not_grow_or_cannot_be_measured_are_not_stated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ModelOptions.of({"range": "0..1", "order": "rgb", "fit": "resize"})
    fixed = models.larger(tmp_path / "fixed.onnx", 2, (1, 3, 20, 24))
    assert annotate.describe(fixed, given)[0].values_per_pixel is None
    monkeypatch.setattr("i2i.runtime.memory.estimate.with_shapes", lambda model: b"no model")
    assert annotate.describe(models.larger(tmp_path / "free.onnx", 2), given)[0].values_per_pixel is None


@pytest.mark.parametrize("value", [0, -3, 0.5, "many", [3], float("nan"), float("inf")])
def test_a_number_of_values_that_no_tensor_has_is_refused(value: object) -> None:
    facts = {**json.loads(tiny.RGB.to_json()), "values_per_pixel": value}
    with pytest.raises(ValueError, match=r"values_per_pixel is .*; expected a number from 1 on|not an i2i description"):
        Spec.from_json(json.dumps(facts))


def test_a_description_without_a_number_of_values_is_read() -> None:
    facts = json.loads(tiny.RGB.to_json())
    assert facts.pop("values_per_pixel") is None
    assert Spec.from_json(json.dumps(facts)) == tiny.RGB
    assert Spec.from_json(json.dumps(facts | {"values_per_pixel": 8.25})).values_per_pixel == 8.25
