"""Third-party models with inputs beside the image: constants of every shape, and masks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

import i2i
from i2i.images import Image, read_image, write_image
from i2i.runtime import ModelError, Options
from i2i.runtime.adapters import extra_inputs
from i2i.runtime.adapters.options import ModelOptions
from i2i.runtime.jobs.folder import MixedError, translate_folder
from i2i.spec import SCHEMA
from tests import tiny
from tests.conftest import Command
from tests.runtime.adapters.models import FREE, two_outputs

GIVEN = {"range": "0..1", "order": "rgb"}
PHOTO = np.random.default_rng(0).integers(0, 256, (10, 14, 3), np.uint8)


def blend(path: Path, shape: Sequence[object], dtype: str = "float32") -> Path:
    """x + s (1 - 2 x): the image for a strength s of 0, its negative for 1."""
    nodes = [
        helper.make_node("Cast", ["s"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["x", "two"], ["m"]),
        helper.make_node("Sub", ["one", "m"], ["d"]),
        helper.make_node("Mul", ["f", "d"], ["p"]),
        helper.make_node("Add", ["x", "p"], ["y"]),
    ]
    constants = {"one": np.asarray(1, np.float32), "two": np.asarray(2, np.float32)}
    inputs = [("x", "float32", list(FREE)), ("s", dtype, list(shape))]
    return tiny.write(path, nodes, None, constants, inputs, [("y", "float32", list(FREE))])


def filler(
    path: Path, shape: Sequence[object], image: Sequence[object] = FREE, dtype: str = "float32", hole: str = "f"
) -> Path:
    """0.2 where the mask is 1 (of bytes 255), or where it is 0 with a ``hole`` of "k", elsewhere the image.

    The mask is the first input.
    """
    other = {"f": "k", "k": "f"}[hole]
    nodes = [
        helper.make_node("Cast", ["hole"], ["c"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["c", "white"], ["f"]),
        helper.make_node("Sub", ["one", "f"], ["k"]),
        helper.make_node("Mul", ["x", other], ["a"]),
        helper.make_node("Mul", [hole, "fill"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["y"]),
    ]
    constants = {
        "one": np.asarray(1, np.float32),
        "fill": np.asarray(0.2, np.float32),
        "white": np.asarray(255 if dtype == "uint8" else 1, np.float32),
    }
    inputs = [("hole", dtype, list(shape)), ("x", "float32", list(image))]
    return tiny.write(path, nodes, None, constants, inputs, [("y", "float32", list(image))])


def blended(strength: float) -> np.ndarray:
    return np.rint(PHOTO + strength * (255 - 2.0 * PHOTO)).astype(np.uint8)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize(
    "shape", [(), (1,), (1, 1), ("n", 1), (1, 1, 1, 1), ("n", 1, "h", "w"), ("n", 3, "h", "w")], ids=str
)
def test_a_number_fills_an_input_of_any_shape(shape: tuple[object, ...], dtype: str, tmp_path: Path) -> None:
    path = blend(tmp_path / "blend.onnx", shape, dtype)
    model = i2i.load(path, "cpu", **GIVEN, input={"s": 0.25})
    assert np.abs(model(PHOTO).astype(int) - blended(0.25)).max() <= 1
    assert model.spec.schema == SCHEMA


def test_whole_numbers(tmp_path: Path) -> None:
    model = i2i.load(blend(tmp_path / "blend.onnx", ("n",), "int64"), "cpu", **GIVEN, input={"s": 1})
    assert np.array_equal(model(PHOTO), 255 - PHOTO)


def test_several_numbers_are_all_values(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Reshape", ["w", "shape"], ["r"]),
        helper.make_node("Mul", ["x", "r"], ["y"]),
    ]
    inputs = [("x", "float32", list(FREE)), ("w", "float32", [1, 3])]
    path = tmp_path / "tint.onnx"
    tiny.write(path, nodes, None, {"shape": np.array([1, 3, 1, 1])}, inputs, [("y", "float32", list(FREE))])
    model = i2i.load(path, "cpu", **GIVEN, input={"w": [1, 0.5, 0.2]})
    assert np.abs(model(PHOTO) - PHOTO * [1, 0.5, 0.2]).max() <= 0.5
    with pytest.raises(ModelError, match=r"'w' is \[1, 3\], and has not as many values as were given: 2"):
        i2i.load(path, "cpu", **GIVEN, input={"w": [1, 0.5]})


HOLES = {
    "nchw": ("mask", ("n", 1, "h", "w"), FREE, "float32"),
    "bytes": ("mask", (1, 1, "h", "w"), FREE, "uint8"),
    "nhwc": ("mask", ("n", "h", "w", 1), ("n", "h", "w", 3), "float32"),
    "a fixed size": ("mask", (1, 1, 10, 14), (1, 3, 10, 14), "float32"),
    "kept": ("kept", ("n", 1, "h", "w"), FREE, "float32", "k"),
}


@pytest.mark.parametrize("case", HOLES)
def test_transparent_parts_are_the_mask(case: str, tmp_path: Path) -> None:
    word, *rest = HOLES[case]
    model = i2i.load(filler(tmp_path / "fill.onnx", *rest), "cpu", **GIVEN, fit="resize", input={"hole": word})
    alpha = np.full(PHOTO.shape[:2], 255, np.uint8)
    alpha[2:5, 3:9] = 0
    alpha[7, 7] = 100  # half-transparent: no hole
    result = model(np.dstack([PHOTO, alpha]))
    expected = PHOTO.copy()
    expected[alpha == 0] = 51
    assert np.array_equal(result, expected)
    assert np.array_equal(model(PHOTO), PHOTO)  # without holes


def test_a_mask_is_resized_with_its_image(tmp_path: Path) -> None:
    path = filler(tmp_path / "fill.onnx", (1, 1, 20, 28), (1, 3, 20, 28))
    model = i2i.load(path, "cpu", **GIVEN, fit="resize", input={"hole": "mask"})
    alpha = np.full(PHOTO.shape[:2], 255, np.uint8)
    alpha[2:6, 4:10] = 0
    result = model(np.dstack([PHOTO, alpha]))
    assert np.array_equal(result[alpha > 0], PHOTO[alpha > 0])
    assert np.abs(result[3:5, 5:9].astype(int) - 51).max() <= 1


def test_what_is_missing_or_wrong_is_named(tmp_path: Path) -> None:
    path = blend(tmp_path / "blend.onnx", (1,))
    for given, message in (
        (
            None,
            r"it has the inputs 'x', 's'; expected one, an image, and values for the others, as --input",
        ),
        ({"sigma": 1}, r"it has no input 'sigma'; it has 'x', 's'"),
        ({"s": 1, "x": 1}, "each of its inputs has a value, and none is left for the image"),
        ({"s": "mask"}, r"'s' is \[1\]; a mask is \[n, 1, h, w\], \[n, h, w, 1\] or \[n, h, w\]"),
    ):
        with pytest.raises(ModelError, match=message):
            i2i.load(path, "cpu", **GIVEN, input=given)
    ports = [extra_inputs.Port("x", "float32", ["n", 3, "h", "w"]), extra_inputs.Port("k", "int64", [1])]
    with pytest.raises(ModelError, match=r"'k' is int64, which cannot be 1\.9"):
        extra_inputs.check(ports, [("k", 1.9)], "nchw")
    with pytest.raises(ValueError, match="input s is 'much'; expected a number, numbers with commas between, or mask"):
        i2i.load(path, "cpu", **GIVEN, input={"s": "much"})
    with pytest.raises(ValueError, match=r"input is '0\.5'; expected NAME=VALUE, such as sigma=0\.1"):
        ModelOptions(input=("0.5",))
    with pytest.raises(ModelError, match="input can be given for third-party models"):
        i2i.load("day2night", "cpu", input={"s": 1})
    with pytest.raises(ModelError, match=r"it has 2 outputs .*writes a copy with the output of that name"):
        i2i.load(two_outputs(tmp_path / "two.onnx"), "cpu", **GIVEN)


def test_from_the_command_line(tmp_path: Path, i2i_inside: Command) -> None:
    path, copy = blend(tmp_path / "blend.onnx", (1,)), tmp_path / "copy.onnx"
    (tmp_path / "in").mkdir()
    write_image(tmp_path / "in" / "a.png", Image(PHOTO))
    words = ["--range", "0..1", "--order", "rgb"]
    done = i2i_inside("describe", path, *words)
    assert done.returncode == 2
    assert "it has the inputs 'x', 's'; expected" in done.stderr
    done = i2i_inside("describe", path, "--input", "s=0.25")  # the error repeats what was given
    assert "--input s=0.25 --range LOW..HIGH --order rgb|bgr -o" in done.stderr
    done = i2i_inside("describe", path, *words, "--input", "s=0.25", "-o", copy)
    assert done.returncode == 0, done.stderr
    assert "range 0..1, input s 0.25, any size" in done.stdout

    done = i2i_inside("translate", tmp_path / "in", tmp_path / "out", "-m", copy)
    assert done.returncode == 0, done.stderr
    assert np.abs(read_image(tmp_path / "out" / "a.png").pixels.astype(int) - blended(0.25)).max() <= 1
    done = i2i_inside("translate", tmp_path / "in", tmp_path / "out", "-m", copy, "--input", "s=1")
    assert done.returncode == 2
    assert "has results of a job that differs from this one" in done.stderr
    one = tmp_path / "one.png"
    done = i2i_inside("translate", tmp_path / "in" / "a.png", one, "-m", copy, "--input", "s=1")
    assert done.returncode == 0, done.stderr
    assert np.array_equal(read_image(one).pixels, 255 - PHOTO)


def test_other_numbers_change_the_job(tmp_path: Path) -> None:
    path = blend(tmp_path / "blend.onnx", (1,))
    (tmp_path / "in").mkdir()
    write_image(tmp_path / "in" / "a.png", Image(PHOTO))
    one, two = (i2i.load(path, "cpu", **GIVEN, input={"s": value}) for value in (0.3, 0.4))
    translate_folder(one, tmp_path / "in", tmp_path / "out")
    with pytest.raises(MixedError, match="input was"):
        translate_folder(two, tmp_path / "in", tmp_path / "out")


def test_a_mask_file_makes_the_holes(tmp_path: Path, i2i_inside: Command) -> None:
    path, copy = filler(tmp_path / "fill.onnx", ("n", 1, "h", "w")), tmp_path / "copy.onnx"
    words = ["--range", "0..1", "--order", "rgb", "--input", "hole=mask", "-o", copy]
    assert i2i_inside("describe", path, *words).returncode == 0
    mask = np.zeros((*PHOTO.shape[:2], 1), np.uint8)
    mask[1:4, 2:8] = 255
    mask[6, 6] = 100  # less than half
    for name, image in (("a", Image(PHOTO)), ("mask", Image(mask))):
        write_image(tmp_path / f"{name}.png", image)
    done = i2i_inside("translate", tmp_path / "a.png", tmp_path / "b.png", "-m", copy, "--mask", tmp_path / "mask.png")
    assert done.returncode == 0, done.stderr
    expected = PHOTO.copy()
    expected[mask[..., 0] == 255] = 51
    assert np.array_equal(read_image(tmp_path / "b.png").pixels, expected)
    write_image(tmp_path / "mask.png", Image(mask[1:]))
    options = Options(mask=tmp_path / "mask.png")
    summary = translate_folder(i2i.load(copy, "cpu"), _folder(tmp_path), tmp_path / "out", options)
    assert summary.failed == 1


def _folder(place: Path) -> Path:
    (place / "in").mkdir()
    write_image(place / "in" / "a.png", Image(PHOTO))
    return place / "in"
