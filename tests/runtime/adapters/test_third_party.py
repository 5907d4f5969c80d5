"""Third-party models, of which only the shapes are known: facts that are found, options that are needed, and pixels."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from onnx import helper

import i2i
from i2i.runtime import ModelError, NonFiniteError
from i2i.runtime.adapters.fixed_size import tiled
from tests.runtime.adapters import models

RGB: dict = {"range": "0..1", "order": "rgb"}
IDENTITY = [helper.make_node("Identity", ["x"], ["y"])]


def picture(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, shape, dtype)


@pytest.mark.parametrize(("given", "about"), [("0..1", 1), ("-1..1", 0), ("0..255", 255), ((16, 235), 251)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_given_range_is_used(tmp_path: Path, given: object, about: float, dtype: type) -> None:
    model = i2i.load(models.mirror(tmp_path / "m.onnx", about), "cpu", range=given, order="rgb")
    for shape in [(5, 7, 3), (2, 5, 7, 3), (600, 500, 3)]:
        image = picture(*shape, dtype=dtype)
        np.testing.assert_array_equal(model(image), np.iinfo(dtype).max - image)


def test_another_range_comes_out(tmp_path: Path) -> None:
    """x in 0..1, and what the graph returns, 1 - x, read as -1..1."""
    path = models.mirror(tmp_path / "m.onnx", 1)
    model = i2i.load(path, "cpu", order="rgb", range="0..1", output_range="-1..1")
    image = picture(8, 9, 3)
    np.testing.assert_allclose(model(image), (2 - image / 255) / 2 * 255, atol=0.51)


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_layout_is_found_and_order_is_given(tmp_path: Path, layout: str, order: str) -> None:
    model = i2i.load(models.tinted(tmp_path / "m.onnx", layout), "cpu", range="0..1", order=order)
    assert model.spec.form.layout == layout
    image = picture(6, 5, 3) // 2
    tint = np.array([0.1, 0.2, 0.3])[:: 1 if order == "rgb" else -1]
    np.testing.assert_allclose(model(image), image + 255 * tint, atol=0.51)


def test_a_larger_result_has_its_size_and_its_alpha(tmp_path: Path) -> None:
    model = i2i.load(models.larger(tmp_path / "m.onnx", 3), "cpu", **RGB)
    assert model.spec.scale == 3
    image = picture(5, 7, 4)
    image[..., 3] = 255
    image[:2, :2, 3] = 0
    result = model(image, background=0)
    assert result.shape == (15, 21, 4)
    np.testing.assert_array_equal(result[9:, 9:, :3], image[3:, 3:, :3].repeat(3, 0).repeat(3, 1))
    np.testing.assert_array_equal(result[12:, 12:, 3], 255)
    np.testing.assert_array_equal(result[:3, :3, 3], 0)
    assert model(picture(2, 5, 7, 3)).shape == (2, 15, 21, 3)


@pytest.mark.parametrize(("make", "multiple"), [(lambda p: models.in_blocks(p, 8), 8), (models.rounding_up, 2)])
def test_the_multiple_is_found_and_padded_to(tmp_path: Path, make: object, multiple: int) -> None:
    """Found by an error within the graph, or by a result of another size."""
    model = i2i.load(make(tmp_path / "m.onnx"), "cpu", **RGB)
    assert (model.spec.multiple, model.spec.minimum) == (multiple, multiple)
    for size in [(1, 1), (8, 16), (9, 31)]:
        image = picture(*size, 3)
        assert model(image).shape == image.shape
        if multiple == 8:
            np.testing.assert_array_equal(model(image), image)
    with pytest.raises(ModelError, match=rf"multiples of {multiple // 2} are not enough"):
        i2i.load(model.path, "cpu", **RGB, multiple=multiple // 2)
    assert i2i.load(model.path, "cpu", **RGB, multiple=3 * multiple).spec.multiple == 3 * multiple


def test_images_are_resized_to_a_fixed_size_on_request(tmp_path: Path) -> None:
    path = models.larger(tmp_path / "m.onnx", 2, (1, 3, 20, 24))
    with pytest.raises(ModelError, match=r"found: layout nchw, range 0..1, order rgb, size 20 x 24. .*: --fit resize"):
        i2i.load(path, "cpu", **RGB)
    model = i2i.load(path, "cpu", **RGB, fit="resize")
    exact = picture(20, 24, 3)
    np.testing.assert_array_equal(model(exact), exact.repeat(2, 0).repeat(2, 1))
    smooth = cv2.resize(picture(4, 4, 3) // 2 + 60, (120, 100), interpolation=cv2.INTER_CUBIC)
    assert model(smooth).shape == (200, 240, 3)
    expected = cv2.resize(smooth, (240, 200), interpolation=cv2.INTER_CUBIC)
    assert np.abs(model(smooth).astype(int) - expected).mean() < 3


@pytest.mark.parametrize("size", [(20, 24), (21, 24), (64, 90), (5, 7), (7, 100), (1, 1)])
def test_tiles_of_a_fixed_size_join_without_a_seam(tmp_path: Path, size: tuple[int, int]) -> None:
    model = i2i.load(models.larger(tmp_path / "m.onnx", 2, (1, 3, 20, 24)), "cpu", **RGB, fit="tile")
    image = picture(*size, 3)
    np.testing.assert_array_equal(model(image), image.repeat(2, 0).repeat(2, 1))


def test_where_tiles_differ_they_are_blended() -> None:
    """Each tile becomes its own mean: on a ramp the result rises, where tiles side by side would be stairs."""
    ramp = np.tile(np.linspace(0, 1, 128, dtype=np.float32), (32, 1))[..., None]
    result = tiled(lambda tile: np.full_like(tile, tile.mean()), ramp, (32, 32), 1)[..., 0]
    steps = np.diff(result[0])
    assert steps.min() > -1e-6
    assert steps.max() < 0.04  # tiles cut side by side would step by 0.25
    np.testing.assert_allclose(result, result[:1].repeat(32, 0), atol=1e-6)


def test_luma_models_get_the_colour_of_the_image(tmp_path: Path) -> None:
    shape = ("n", 1, "h", "w")
    image = picture(9, 8, 3)
    same = i2i.load(models.graph(tmp_path / "same.onnx", IDENTITY, shape=shape), "cpu", range="0..1", order="y")
    np.testing.assert_array_equal(same(image), image)
    # The negative of the luma, with red - luma and blue - luma as they were.
    negative = i2i.load(models.mirror(tmp_path / "negative.onnx", 1, shape), "cpu", range="0..1", order="y")
    luma = image @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(
        negative(image), np.clip(image - luma[..., None] + (255 - luma)[..., None], 0, 255), atol=0.6
    )
    larger = i2i.load(models.larger(tmp_path / "larger.onnx", 2, shape), "cpu", range="0..1", order="y")
    flat = np.full((6, 7, 3), (200, 40, 90), np.uint8)
    np.testing.assert_array_equal(larger(flat), np.full((12, 14, 3), (200, 40, 90)))
    grey = larger(picture(6, 7, 1))
    assert grey.shape == (12, 14, 3)
    np.testing.assert_array_equal(grey, grey[..., :1].repeat(3, 2))


def test_a_grey_model_makes_grey_images(tmp_path: Path) -> None:
    model = i2i.load(models.mirror(tmp_path / "m.onnx", 1, ("n", 1, "h", "w")), "cpu", range="0..1", order="grey")
    image = picture(6, 7)
    np.testing.assert_array_equal(model(image), 255 - image)
    assert model(picture(6, 7, 3)).shape == (6, 7, 1)


@pytest.mark.parametrize("channels", [3, 24])
def test_curves_brighten_the_image_itself(tmp_path: Path, channels: int) -> None:
    path = models.constant(tmp_path / "m.onnx", -0.25, (1, 3, 16, 24), channels)
    model = i2i.load(path, "cpu", **RGB, result="curves")  # their fixed size loses nothing, so no fit is asked for
    image = picture(40, 50, 3)
    x = image / 255
    for _ in range(8):
        x = x - 0.25 * (x * x - x)
    np.testing.assert_allclose(model(image), 255 * x, atol=0.51)


def test_bytes_are_in_the_range_of_bytes(tmp_path: Path) -> None:
    path = models.graph(tmp_path / "m.onnx", IDENTITY, shape=(1, "h", "w", 3), types=("uint8", "uint8"))
    model = i2i.load(path, "cpu", order="rgb")
    assert (model.spec.form.range, model.spec.form.output_range) == ((0, 255), (0, 255))
    assert (model.spec.source.bits, model.spec.target.bits) == (8, 8)  # a video of 10 bits gets a note
    np.testing.assert_array_equal(model(picture(5, 6, 3)), picture(5, 6, 3))


def test_half_precision(tmp_path: Path) -> None:
    path = models.graph(tmp_path / "m.onnx", IDENTITY, types=("float16", "float16"))
    np.testing.assert_array_equal(i2i.load(path, "cpu", **RGB)(picture(5, 6, 3)), picture(5, 6, 3))


def test_declarations_in_the_file_are_used(tmp_path: Path) -> None:
    says = {"Image.BitmapPixelFormat": "Bgr8", "Image.NominalPixelRange": "NominalRange_0_255"}
    model = i2i.load(models.mirror(tmp_path / "m.onnx", 255, says=says), "cpu")
    assert (model.spec.form.order, model.spec.form.range) == ("bgr", (0, 255))
    assert i2i.load(model.path, "cpu", order="rgb").spec.form.order == "rgb"  # a given order overrides it


@pytest.mark.parametrize(
    ("shape", "given", "asked"),
    [
        (models.FREE, {}, "--range LOW..HIGH --order rgb|bgr (a test picture changes least in 0..1)"),
        (models.FREE, {"range": "0..1"}, "found: layout nchw, range 0..1. Give the rest: --order rgb|bgr. "),
        (("n", "c", "h", "w"), {}, "--layout nchw|nhwc --range LOW..HIGH --order rgb|bgr. "),
        (("n", 3, 30, 3), RGB, "found: range 0..1, order rgb. Give the rest: --layout nchw|nhwc. "),
        (("n", 1, "h", "w"), {"range": "0..1"}, "Give the rest: --order grey|y. "),
        (("n", 3, 8, 8), {"layout": "nchw"}, "--range LOW..HIGH --order rgb|bgr --fit resize"),
    ],
)
def test_all_missing_options_are_asked_for_at_once(tmp_path: Path, shape: tuple, given: dict, asked: str) -> None:
    path = models.graph(tmp_path / "m.onnx", IDENTITY, shape=shape)
    with pytest.raises(ModelError) as error:
        i2i.load(path, "cpu", **given)
    assert asked in str(error.value)
    assert "\n" not in str(error.value)


def test_free_channels_are_those_of_the_order(tmp_path: Path) -> None:
    path = models.graph(tmp_path / "m.onnx", IDENTITY, shape=("n", "c", "h", "w"))
    assert i2i.load(path, "cpu", layout="nchw", **RGB).spec.source.channels == 3
    assert i2i.load(path, "cpu", layout="nchw", range="0..1", order="grey").spec.source.channels == 1


@pytest.mark.parametrize(
    ("shape", "given", "words"),
    [
        ((1, 3, 8, 8), {"layout": "nhwc"}, "layout nhwc does not fit its shape"),
        ((1, 3, "h", "w"), {"order": "grey"}, "order grey does not fit 3 channels"),
        ((1, 1, "h", "w"), {"order": "bgr"}, "order bgr does not fit 1 channel;"),
        ((1, 7, 9, 5), {}, "takes no images"),
        ((1, 3, 8, "w"), {}, "height is 8 and its width free"),
        ((4, 3, "h", "w"), {}, "batch is fixed at 4"),
        (("n", 3, "h"), {}, "has 3 axes"),
    ],
)
def test_graphs_that_contradict_the_options_are_refused(tmp_path: Path, shape: tuple, given: dict, words: str) -> None:
    path = models.graph(tmp_path / "m.onnx", IDENTITY, shape=shape)
    with pytest.raises(ModelError, match=words) as error:
        i2i.load(path, "cpu", **{**RGB, **given})
    assert str(error.value).startswith(f"{path}: ")
    assert "the model expects 'x': float32" in str(error.value)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"range": "wide"}, "range is 'wide'; expected LOW..HIGH, such as 0..255"),
        ({"range": "1..1"}, "two numbers that differ"),
        ({"range": "nan..1"}, "two numbers that differ"),
        ({"order": "grb"}, "order is 'grb'; choose one of rgb, bgr, grey, y"),
        ({"fit": "crop"}, "fit is 'crop'; choose one of"),
        ({"multiple": 0}, "at least 1"),
    ],
)
def test_invalid_options_are_named(tmp_path: Path, given: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        i2i.load(models.mirror(tmp_path / "m.onnx", 1), "cpu", **given)


def test_a_picture_outside_of_the_range_shows_that_the_range_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"from 0\.\d+ to 0\.9\d+, which is no picture in 0\.\.255; give another --range"
    ):
        i2i.load(models.graph(tmp_path / "m.onnx", IDENTITY), "cpu", **RGB, output_range="0..255")
    with pytest.raises(ModelError, match=r"values from 0\.5 to 0\.5"):
        i2i.load(models.constant(tmp_path / "c.onnx", 0.5), "cpu", **RGB)
    with pytest.raises(ModelError, match=r"values from -0\.\d+ to -0\.\d+, which is no picture .* --result"):
        i2i.load(models.mirror(tmp_path / "n.onnx", 0), "cpu", **RGB)


def test_nan_is_an_error_and_no_black_picture(tmp_path: Path) -> None:
    """Also within the luma, which is clipped before it gets its colour."""
    node = [helper.make_node("Div", ["x", "x"], ["one"]), helper.make_node("Mul", ["one", "x"], ["y"])]
    for channels, order in ((3, "rgb"), (1, "y")):
        path = models.graph(tmp_path / "m.onnx", node, shape=("n", channels, "h", "w"))
        model = i2i.load(path, "cpu", range=(0.5, 1), order=order)
        object.__setattr__(model.spec.form, "range", (0.0, 1.0))
        object.__setattr__(model.spec.form, "output_range", (0.0, 1.0))
        with pytest.raises(NonFiniteError):
            model(np.zeros((4, 4, 3), np.uint8))


def test_sizes_that_are_not_a_whole_multiple_are_refused(tmp_path: Path) -> None:
    node = [helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[2, 2], strides=[2, 2])]
    path = models.graph(tmp_path / "m.onnx", node, output=("n", 3, "h2", "w2"))
    with pytest.raises(ModelError, match="returns 32 x 32 for 64 x 64 pixels"):
        i2i.load(path, "cpu", **RGB)


def test_values_that_look_like_another_range_are_noted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    half = [helper.make_node("Mul", ["x", "half"], ["z"]), helper.make_node("Add", ["z", "half"], ["y"])]
    path = models.graph(tmp_path / "m.onnx", half, {"half": np.float32(0.5)})
    i2i.load(path, "cpu", range="-1..1", order="rgb")  # it returns 0..1
    assert "while -1..1 is taken for black to white" in caplog.text
    caplog.clear()
    i2i.load(path, "cpu", range="-1..1", order="rgb", output_range="0..1")
    assert caplog.text == ""


def test_a_fourth_channel_is_named_as_alpha(tmp_path: Path, i2i_inside) -> None:
    path = models.mirror(tmp_path / "m.onnx", 1, ("n", 4, "h", "w"))
    assert "order rgb and alpha" in i2i_inside("describe", path, "--range", "0..1", "--order", "rgb").stdout
