"""Image-to-image models that were found on the net, against the same by hand: each convention written out once more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import PIL.Image
import pytest

import i2i
from i2i.runtime import ModelError
from i2i.runtime.adapters import annotate

Reference = Callable[[str], Path]
OPTIONS = {
    "fns_candy": {"range": "0..255", "order": "bgr", "fit": "resize"},
    "fns_mosaic": {"range": "0..255", "fit": "resize"},  # it declares its order itself
    "AnimeGANv3_tiny_Cute": {"range": "-1..1", "order": "rgb"},
    "srgan_netG_x2": {"range": "0..1", "order": "rgb", "fit": "resize"},
    "super_resolution_y_x3": {"range": "0..1", "order": "y", "fit": "resize"},
    "zero_dce_curves": {"range": "0..1", "order": "rgb", "result": "curves"},
}


def bare(path: Path, tensor: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: tensor.astype(np.float32)})[0][0]


def levels(image: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def first(image: np.ndarray) -> np.ndarray:
    return image.transpose(2, 0, 1)[None]


def last(image: np.ndarray) -> np.ndarray:
    return image.transpose(1, 2, 0)


def photo(reference: Reference, height: int, width: int) -> np.ndarray:
    image = np.asarray(PIL.Image.open(reference("data/hard_images/real_photo/chelsea.png")).convert("RGB"))
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


@pytest.mark.parametrize("name", [pytest.param("fns_candy", marks=pytest.mark.slow), "fns_mosaic"])
def test_fast_neural_style(reference: Reference, name: str) -> None:
    path, image = reference(f"data/onnx/{name}.onnx"), photo(reference, 720, 720)
    model = i2i.load(path, "cpu", **OPTIONS[name])
    assert (model.spec.form.layout, model.spec.form.size, model.spec.form.order) == ("nchw", (720, 720), "bgr")
    expected = levels(last(bare(path, first(image[..., ::-1])))[..., ::-1])
    np.testing.assert_allclose(model(image).astype(int), expected, atol=1)
    assert np.abs(expected.astype(int) - image).mean() > 30  # it is another picture


def test_animegan(reference: Reference) -> None:
    path, image = reference("data/onnx/AnimeGANv3_tiny_Cute.onnx"), photo(reference, 96, 80)
    model = i2i.load(path, "cpu", **OPTIONS["AnimeGANv3_tiny_Cute"])
    assert (model.spec.form.layout, model.spec.form.size, model.spec.multiple) == ("nhwc", None, 16)
    expected = levels((bare(path, image[None] / 127.5 - 1) + 1) * 127.5)
    np.testing.assert_allclose(model(image).astype(int), expected, atol=1)
    padded = np.pad(image[:90, :77], ((0, 6), (0, 3), (0, 0)), "symmetric")
    expected = levels((bare(path, padded[None] / 127.5 - 1) + 1) * 127.5)[:90, :77]
    np.testing.assert_allclose(model(image[:90, :77]).astype(int), expected, atol=1)
    for size in ((1, 1), (17, 400)):
        assert model(photo(reference, *size)).shape == (*size, 3)


def test_srgan(reference: Reference) -> None:
    path, image = reference("data/onnx/srgan_netG_x2.onnx"), photo(reference, 44, 44)
    model = i2i.load(path, "cpu", **OPTIONS["srgan_netG_x2"])
    assert (model.spec.scale, model.spec.form.size) == (2, (44, 44))
    np.testing.assert_allclose(model(image).astype(int), levels(255 * last(bare(path, first(image / 255)))), atol=1)
    assert model(photo(reference, 50, 71)).shape == (100, 142, 3)
    large = photo(reference, 88, 88)
    expected = cv2.resize(large, (176, 176), interpolation=cv2.INTER_CUBIC).astype(int)
    errors = {
        fit: np.abs(i2i.load(path, "cpu", **OPTIONS["srgan_netG_x2"] | {"fit": fit})(large) - expected).mean()
        for fit in ("resize", "tile")
    }
    assert errors["tile"] < 0.6 * errors["resize"]  # the detail is kept


def test_luma_super_resolution(reference: Reference) -> None:
    """As its tutorial has it: Y through the model, Cb and Cr by bicubic interpolation; here with OpenCV's colours."""
    path, image = reference("data/onnx/super_resolution_y_x3.onnx"), photo(reference, 224, 224)
    model = i2i.load(path, "cpu", **OPTIONS["super_resolution_y_x3"])
    luma_and_colour = cv2.cvtColor(np.float32(image / 255), cv2.COLOR_RGB2YCrCb)
    large = cv2.resize(luma_and_colour, (672, 672), interpolation=cv2.INTER_CUBIC)
    large[..., 0] = np.clip(bare(path, luma_and_colour[None, None, ..., 0])[0], 0, 1)
    expected = levels(255 * cv2.cvtColor(large, cv2.COLOR_YCrCb2RGB)).astype(int)
    result = model(image)
    assert result.shape == (672, 672, 3)
    np.testing.assert_allclose(result, expected, atol=1)
    assert model(photo(reference, 30, 51)).shape == (90, 153, 3)


def test_zero_dce(reference: Reference) -> None:
    path, image = reference("data/onnx/zero_dce_curves.onnx"), photo(reference, 90, 160) // 3
    with pytest.raises(
        ModelError, match=r"which is no picture in 0\.\.1; give another --range, --output-range or --result"
    ):
        i2i.load(path, "cpu", range="0..1", order="rgb", fit="resize")
    model = i2i.load(path, "cpu", **OPTIONS["zero_dce_curves"])
    x = image / 255
    curves = last(bare(path, first(x)))
    for _ in range(8):
        x = x + curves * (x * x - x)
    np.testing.assert_allclose(model(image).astype(int), levels(255 * x), atol=1)
    assert model(image).mean() > 1.5 * image.mean()
    dark = photo(reference, 45, 333) // 3
    assert model(dark).shape == dark.shape
    assert model(dark).mean() > 1.5 * dark.mean()


@pytest.mark.parametrize("name", [name for name in OPTIONS if not name.startswith("fns")])  # which take seconds
def test_each_model_names_the_options_it_needs_and_a_copy_keeps_them(
    reference: Reference, name: str, tmp_path: Path
) -> None:
    path = reference(f"data/onnx/{name}.onnx")
    with pytest.raises(ModelError, match=r"Give the rest: --range LOW\.\.HIGH --order "):
        i2i.load(path, "cpu")
    model = i2i.load(path, "cpu", **OPTIONS[name])
    annotate.write(path, tmp_path / "copy.onnx", model.spec)
    image = photo(reference, 50, 70)
    np.testing.assert_array_equal(i2i.load(tmp_path / "copy.onnx", "cpu")(image), model(image))
