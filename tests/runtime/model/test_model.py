"""A model as a function of arrays, and where it runs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from onnx import helper

import i2i
from i2i.images import convert
from i2i.runtime import ModelError, NonFiniteError, Options, ProviderError
from i2i.runtime.jobs.folder import job_key
from i2i.runtime.memory import estimate
from i2i.runtime.model.model import Model
from i2i.runtime.providers import onnxruntime_session
from i2i.runtime.system import host
from i2i.spec import Domain, Spec
from tests import tiny


def picture(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, shape, dtype)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    folder = tmp_path_factory.mktemp("models")
    specs = {"rgb": tiny.RGB, "grey": tiny.GREY, "rgba": tiny.RGBA, "deep": tiny.DEEP, "deep grey": tiny.DEEP_GREY}
    made = {name: tiny.inverter(folder / f"{name}.onnx", spec) for name, spec in specs.items()}
    made["to grey"] = tiny.to_grey(folder / "to_grey.onnx")
    made["bare"] = tiny.inverter(folder / "bare.onnx", replace(tiny.RGB, io="tensor", minimum=4))
    return {name: i2i.load(path, "cpu", threads=1) for name, path in made.items()}


@pytest.mark.parametrize("name", ["rgb", "deep", "bare"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(5, 7, 3), (3, 5, 7, 3), (1, 5, 7, 3), (600, 500, 3)])
def test_colour_comes_back_in_its_shape_and_type(models: dict, name: str, dtype: type, shape: tuple) -> None:
    image = picture(*shape, dtype=dtype)
    result = models[name](image)
    peak = np.iinfo(dtype).max
    expected = peak - image
    if dtype == np.uint16 and name != "deep":  # a model of 8 bits sees the nearest of its levels
        expected = peak - np.stack([convert(convert(i, 3, 8), 3, 16) for i in image.reshape(-1, *shape[-3:])]).reshape(
            shape
        )
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize(("name", "dtype"), [("grey", np.uint8), ("deep grey", np.uint16), ("grey", np.uint16)])
def test_grey_stays_grey_where_the_model_is_of_grey(models: dict, name: str, dtype: type) -> None:
    for shape in [(6, 5), (6, 5, 1), (2, 6, 5, 1)]:
        image = picture(*shape, dtype=dtype)
        if name == "grey" and dtype == np.uint16:
            image = image // 257 * 257  # what a model of 8 bits can tell apart
        np.testing.assert_array_equal(models[name](image), np.iinfo(dtype).max - image)


def test_channels_are_those_of_the_target(models: dict) -> None:
    assert models["to grey"](picture(4, 5)).shape == (4, 5)
    assert models["to grey"](picture(4, 5, 3)).shape == (4, 5, 1)
    assert models["rgb"](picture(4, 5)).shape == (4, 5, 3)
    assert models["rgb"](picture(2, 4, 5, 1)).shape == (2, 4, 5, 3)
    grey = models["grey"](picture(4, 5, 3))
    np.testing.assert_array_equal(grey, 255 - convert(picture(4, 5, 3), 1, 8))  # by its luma


@pytest.mark.parametrize(("channels", "name"), [(4, "rgb"), (2, "grey"), (4, "deep"), (2, "rgb")])
def test_alpha_is_carried_over_and_colours_are_seen_on_the_background(models: dict, channels: int, name: str) -> None:
    image = picture(6, 5, channels)
    image[0, 0, -1], image[1, 1, -1] = 0, 255
    result = models[name](image, background=40)
    np.testing.assert_array_equal(result[..., -1], image[..., -1])
    np.testing.assert_array_equal(result[0, 0, :-1], 215)  # 255 - 40: only the background is seen
    np.testing.assert_array_equal(result[1, 1, :-1], np.broadcast_to(255 - image[1, 1, :-1], result[1, 1, :-1].shape))


@pytest.mark.parametrize(("channels", "name"), [(4, "rgb"), (2, "grey"), (4, "deep"), (2, "rgb")])
def test_half_transparent_pixels_have_their_own_colours(models: dict, channels: int, name: str) -> None:
    """Not those of a background, which would show as a fringe; and what a file hides does not count."""
    image = picture(40, 50, channels)
    image[..., -1] = np.clip((np.arange(50) - 10) * 7, 0, 255)  # 0, then half, then full
    result = models[name](image)
    visible = image[..., -1] > 0
    np.testing.assert_array_equal(result[..., -1], image[..., -1])
    expected = np.broadcast_to(255 - image[..., :-1], result[..., :-1].shape)
    np.testing.assert_array_equal(result[visible][:, :-1], expected[visible])
    other = image.copy()
    other[~visible, :-1] = 90
    np.testing.assert_array_equal(models[name](other), result)
    on_white = models[name](image, background=255).astype(int)
    shown = np.abs(on_white - result)[..., :-1] * (image[..., -1:] / 255)
    assert shown.max() <= 1.01  # un-mixed, up to rounding


def test_an_export_that_names_no_background_was_trained_on_white(tmp_path: Path) -> None:
    spec = json.loads(tiny.RGB.to_json())
    assert spec.pop("background") == "edge"
    old = Spec.from_json(json.dumps(spec))
    assert old.background == 255
    image = np.zeros((4, 5, 4), np.uint8)
    for background, seen in ((255, 255), (7, 7), ("edge", 255)):
        model = i2i.load(tiny.inverter(tmp_path / f"{background}.onnx", replace(old, background=background)), "cpu")
        np.testing.assert_array_equal(model(image)[..., :3], 255 - seen)
        np.testing.assert_array_equal(model(image, background=9)[..., :3], 255 - 9)
    with pytest.raises(ValueError, match="background is 256; expected edge or 0 to 255"):
        model(image, background=256)


def test_a_model_of_four_channels_sees_and_makes_alpha(models: dict) -> None:
    image = picture(6, 5, 4)
    np.testing.assert_array_equal(models["rgba"](image), 255 - image)
    opaque = models["rgba"](picture(6, 5, 3))
    assert opaque.shape == (6, 5, 4)
    np.testing.assert_array_equal(opaque[..., 3], 0)  # 255 - 255


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((4, 4, 3), np.float32), r"got float32 \[4, 4, 3\]: scale it to 0..255"),
        (np.zeros((4, 4, 3), np.int64), "got int64"),
        (np.zeros((3, 40, 50), np.uint8), "channels seem to come first"),
        (np.zeros((4, 4, 5), np.uint8), r"1 to 4 channels last, got uint8 \[4, 4, 5\]"),
        (np.zeros((0, 4, 3), np.uint8), "got uint8"),
        (np.zeros((1, 1, 4, 4, 3), np.uint8), "got uint8"),
        (np.zeros(4, np.uint8), "got uint8"),
        ([[1, 2]], "got a list; numpy.asarray"),
    ],
)
def test_other_arrays_are_refused_with_what_was_expected(models: dict, array: np.ndarray, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        models["rgb"](array)


def test_a_bare_network_names_the_sizes_it_takes(models: dict) -> None:
    with pytest.raises(ModelError, match=r"at least 4 pixels .* got 7 x 3"):
        models["bare"](picture(3, 7, 3))


def test_nan_is_an_error_and_no_black_picture(tmp_path: Path) -> None:
    deep = i2i.load(tiny.not_a_number(tmp_path / "nan.onnx"), "cpu")
    assert (deep(np.full((4, 4, 3), 7, np.uint16)) == 1).all()
    with pytest.raises(NonFiniteError, match="non-finite output"):
        deep(np.zeros((4, 4, 3), np.uint16))


def test_the_checkerboard_of_a_uint8_graph_is_recognised_and_nothing_else(tmp_path: Path) -> None:
    model = i2i.load(tiny.checkerboard(tmp_path / "board.onnx"), "cpu")
    for size in [(4, 4), (5, 7), (1, 16), (64, 33)]:
        with pytest.raises(NonFiniteError, match="non-finite output"):
            model(np.full((*size, 3), 255, np.uint8))
    board = (255 * (np.indices((8, 8)).sum(0) % 2)).astype(np.uint8)[..., None].repeat(3, 2)
    for other in (255 - board, board[:3, :5], board // 2):  # its reverse, one of too few pixels, a fainter one
        np.testing.assert_array_equal(model(other), other)
    almost = board.copy()
    almost[7, 7, 2] = 1
    np.testing.assert_array_equal(model(almost), almost)


IDENTITY = [helper.make_node("Identity", ["x"], ["y"])]


@pytest.mark.parametrize(
    ("inputs", "outputs", "words"),
    [
        (
            [("x", "uint8", ["n", "h", "w", 4])],
            [("y", "uint8", ["n", "h", "w", 4])],
            r"expects 'x': uint8 \[n, h, w, 4\]",
        ),
        ([("x", "uint8", ["h", "w", 3])], [("y", "uint8", ["h", "w", 3])], r"expects 'x': uint8 \[h, w, 3\]"),
        ([("x", "float16", ["n", 3, "h", "w"])], [("y", "float16", ["n", 3, "h", "w"])], r"float16 .*channels first"),
        ([("x", "uint8", ["n", 224, 224, 3])], [("y", "uint8", ["n", 224, 224, 3])], r"\[n, 224, 224, 3\]"),
        ([("x", "uint8", ["n", "h", "w", 3])], [("y", "uint8", ["n", "h", "w", 3]), ("x2", "uint8", [1])], "x2"),
    ],
)
def test_a_graph_that_is_not_as_described_is_refused(tmp_path: Path, inputs: list, outputs: list, words: str) -> None:
    nodes = IDENTITY + [helper.make_node("Identity", ["c"], [name]) for name, *_ in outputs[1:]]
    path = tiny.write(tmp_path / "m.onnx", nodes, tiny.RGB, {"c": np.zeros(1, np.uint8)}, inputs, outputs)
    with pytest.raises(ModelError, match=words) as error:
        i2i.load(path)
    assert "promises uint8 [N, H, W, 3]" in str(error.value)


def test_a_third_party_model_needs_its_form(tmp_path: Path) -> None:
    shape = ["n", 3, 720, 720]
    path = tiny.write(tmp_path / "m.onnx", IDENTITY, None, {}, [("x", "float32", shape)], [("y", "float32", shape)])
    with pytest.raises(ModelError, match=r"model expects 'x': float32 \[n, 3, 720, 720\] \(channels first\)"):
        i2i.load(path)


def test_unknown_operators_and_opsets_are_errors(tmp_path: Path) -> None:
    path = tiny.write(tmp_path / "m.onnx", [helper.make_node("Frobnicate", ["x"], ["y"])], tiny.RGB)
    with pytest.raises(ModelError, match=r"cannot run this model.*Frobnicate"):
        i2i.load(path)
    path = tiny.write(tmp_path / "m.onnx", [helper.make_node("Mine", ["x"], ["y"], domain="my.ops")], tiny.RGB)
    with pytest.raises(ModelError, match=r"cannot run this model.*my\.ops"):
        i2i.load(path)
    path = tiny.write(tmp_path / "m.onnx", IDENTITY, tiny.RGB, opset=999)
    with pytest.raises(ModelError, match=r"cannot run this model.*opset"):
        i2i.load(path)


def test_cuda_that_is_not_there_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tiny.inverter(tmp_path / "m.onnx")
    monkeypatch.setattr(host, "cuda_devices", list)
    with pytest.raises(ProviderError, match="shows no card"):
        i2i.load(path, "cuda")
    assert ProviderError.exit_status == 4


def test_the_provider_is_read_from_the_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that falls back silently, as ONNX Runtime's does: CUDA is listed, asked for, and not used."""
    path = tiny.inverter(tmp_path / "m.onnx")
    real = onnxruntime_session.onnxruntime()
    asked = []

    def silent(path: str, options: object, providers: list, **_: object) -> object:
        asked.append(providers)
        return real.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    fake = SimpleNamespace(
        InferenceSession=silent,
        SessionOptions=real.SessionOptions,
        RunOptions=real.RunOptions,
        get_available_providers=lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
        __version__="fake",
        __file__=real.__file__,
    )
    monkeypatch.setattr(onnxruntime_session, "onnxruntime", lambda: fake)
    monkeypatch.setattr(host, "cuda_devices", lambda: ["a card"])
    with pytest.raises(ProviderError, match=r"CUDA did not load .*cpu would run instead"):
        i2i.load(path, "cuda")
    assert asked[0][0][0] == "CUDAExecutionProvider"
    assert i2i.load(path, "auto").provider == "cpu"
    assert i2i.load(path, "cpu").provider == "cpu"
    assert asked[-1] == ["CPUExecutionProvider"]
    with pytest.raises(ValueError, match="choose from auto, cpu, cuda, tensorrt, openvino"):
        i2i.load(path, "tpu")


def test_an_image_beyond_the_memory_is_refused_before_it_is_tried(
    models: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = models["rgb"]
    monkeypatch.setattr(estimate, "available_memory", lambda: 100 << 20)
    monkeypatch.setattr(model.executor.memory, "bytes_per_pixel", 1000.0)
    with pytest.raises(ModelError, match=r"400 x 1000 pixels would take about 0.4 GiB"):
        model(picture(1000, 400, 3))
    monkeypatch.setattr(model.executor.memory, "bytes_per_pixel", 100.0)
    assert model(picture(1000, 400, 3)).shape == (1000, 400, 3)


def test_memory_is_measured_on_a_blank_image(models: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "available_memory", lambda: 1 << 30)
    monkeypatch.setattr(models["deep"].executor.memory, "bytes_per_pixel", None)
    models["deep"](picture(800, 800, 3))
    # Two float32 copies of three channels at the least, 24 bytes; no more than a few.
    assert 10 < models["deep"].executor.memory.bytes_per_pixel < 400


@pytest.mark.parametrize("text", ["bfc_arena.cc:376 Failed to allocate memory for requested buffer", "std::bad_alloc"])
def test_running_out_of_memory_has_its_own_error(models: dict, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError(text)

    session = models["rgb"].executor._session
    monkeypatch.setattr(session, "_session", SimpleNamespace(run=fail))
    with pytest.raises(ModelError, match="memory does not hold this image"):
        models["rgb"](picture(4, 4, 3))


def test_the_self_test_runs_a_model_and_sees_wrong_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    from i2i.runtime import selftest

    assert selftest.run("cpu")[0] == "cpu"
    broken = selftest.inverter().replace(np.float32(-1).tobytes(), np.float32(-0.5).tobytes())
    monkeypatch.setattr(selftest, "inverter", lambda: broken)
    with pytest.raises(ModelError, match="pixels are wrong"):
        selftest.run("cpu")


def test_domains_name_themselves(models: dict) -> None:
    assert repr(models["rgb"]) == "<i2i model rgb.onnx: photo -> negative on cpu>"
    assert models["rgb"].spec.source == Domain("photo")


def test_a_file_that_was_replaced_is_not_mixed_with_what_was_opened(tmp_path: Path) -> None:
    path = tiny.inverter(tmp_path / "m.onnx")
    model, small, large = i2i.load(path, "cpu", threads=1), picture(8, 8, 3), picture(600, 600, 3)
    assert (model(small) == 255 - small).all()
    tiny.inverter(tmp_path / "other.onnx", weights=-0.5).replace(path)
    assert (model(small) == 255 - small).all()
    tiles, key = lambda: model.tiled("exact")(large), lambda: job_key(model, Options())
    for later in (lambda: model(large), model.for_many, tiles, key):
        with pytest.raises(ModelError, match=r"m\.onnx: the model's file has changed since it was opened; open"):
            later()
    path.unlink()
    with pytest.raises(ModelError, match="has changed since it was opened"):
        model(large)
