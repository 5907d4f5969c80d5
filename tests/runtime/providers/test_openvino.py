"""OpenVINO behind the methods of an ONNX Runtime session: the same pixels, from any thread, and its cache."""

from __future__ import annotations

import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import i2i
from i2i.cli import main
from i2i.images import Image, read_image, write_image
from i2i.runtime import Model, ModelError, NonFiniteError, ProviderError, translate_folder
from i2i.runtime.providers import engine_cache
from i2i.runtime.providers.openvino_session import OpenVinoSession, reason
from i2i.runtime.video import translate_video
from tests import tiny
from tests.conftest import Command
from tests.runtime.tiles.networks import network, photo
from tests.runtime.video.clips import make
from tests.runtime.video.facts import facts

WEIGHTS = Path(__file__).parents[3] / "weights"


@pytest.fixture(scope="module", autouse=True)
def _installed() -> None:
    pytest.importorskip("openvino")


def levels_apart(model: Path, image: np.ndarray, **options: object) -> int:
    """The largest difference between OpenVINO's and ONNX Runtime's results."""
    results = [i2i.load(model, provider, 1, **options)(image) for provider in ("cpu", "openvino")]
    assert results[0].shape == results[1].shape
    return int(np.abs(results[0].astype(int) - results[1]).max())


@pytest.mark.parametrize("size", [(57, 91), (1, 1), (64, 48)])
def test_the_default_model_gives_the_same_pixels(tmp_path: Path, size: tuple[int, int]) -> None:
    path = shutil.copy(WEIGHTS / "day2night.onnx", tmp_path / "m.onnx")
    assert levels_apart(path, photo(*size)) <= 1


def test_a_graph_with_normalisations_and_its_tiles(tmp_path: Path) -> None:
    path, image = network(tmp_path / "net.onnx"), photo(300, 260)
    assert levels_apart(path, image) <= 1
    tiles = [i2i.load(path, provider, 1).tiled(256)(image) for provider in ("cpu", "openvino")]
    assert np.abs(tiles[0].astype(int) - tiles[1]).max() <= 1


@pytest.mark.parametrize("spec", [tiny.DEEP, tiny.GREY, tiny.RGBA, replace(tiny.RGB, io="tensor", minimum=4)])
def test_every_form_of_pixels(tmp_path: Path, spec: i2i.Spec) -> None:
    path = tiny.inverter(tmp_path / "m.onnx", spec)
    kind = np.uint16 if spec.source.bits == 16 else np.uint8
    image = np.random.default_rng(0).integers(0, np.iinfo(kind).max, (40, 33, spec.source.channels), kind)
    model = i2i.load(path, "openvino", 2)
    assert (model.provider, model.on_cpu) == ("openvino", True)
    np.testing.assert_array_equal(model(image), np.iinfo(kind).max - image)


@pytest.mark.parametrize(("spec", "to", "step"), [(tiny.WEATHER, "rain", 20), (tiny.FACES, ["male", "smiling"], 5)])
def test_a_second_input(tmp_path: Path, spec: i2i.Spec, to: object, step: int) -> None:
    """An index of int64, or attributes of float32."""
    image = np.full((2, 5, 6, 3), 7, np.uint8)
    assert (i2i.load(tiny.brighter(tmp_path / "m.onnx", spec), "openvino", 1)(image, to=to) == 7 + step).all()


def test_results_that_are_not_finite_are_errors(tmp_path: Path) -> None:
    deep = i2i.load(tiny.not_a_number(tmp_path / "nan.onnx"), "openvino", 1)
    with pytest.raises(NonFiniteError):
        deep(np.zeros((4, 4, 3), np.uint16))
    board = i2i.load(tiny.checkerboard(tmp_path / "board.onnx"), "openvino", 1)
    with pytest.raises(NonFiniteError):
        board(np.full((5, 7, 3), 255, np.uint8))


def test_eight_threads_on_one_session(tmp_path: Path) -> None:
    model = Model(tiny.brighter(tmp_path / "m.onnx"), "openvino", 2, side_by_side=True)

    def ask(number: int) -> bool:
        level, to = number % 200, number % 3
        image = np.full((5 + number % 8, 7, 3), level, np.uint8)
        return bool((model(image, to=tiny.WEATHER.domains[to]) == level + 10 * (1 + to)).all())

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(ask, range(200), timeout=60))


def test_memory_is_given_back_while_others_are_at_work(tmp_path: Path) -> None:
    """OpenVINO refuses to release it then; no result is lost, and the last thread releases it."""
    session = OpenVinoSession(network(tmp_path / "net.onnx"), 2, 2, keep_memory=False)
    feeds = {"x": photo(200, 200)[None]}
    (want,) = session.run(feeds)
    with ThreadPoolExecutor(3) as threads:
        for (result,) in threads.map(lambda _: session.run(feeds), range(20), timeout=60):
            np.testing.assert_array_equal(result, want)


def test_folders_large_images_and_videos(tmp_path: Path) -> None:
    path = tiny.inverter(tmp_path / "invert.onnx")
    (tmp_path / "in").mkdir()
    write_image(tmp_path / "in" / "small.png", Image(photo(20, 30)))
    write_image(tmp_path / "in" / "large.png", Image(photo(600, 500)))  # above the size that runs alone
    model = i2i.load(path, "openvino", 2)
    assert translate_folder(model, tmp_path / "in", tmp_path / "out").done == 2
    for name in ("small.png", "large.png"):
        given, made = (read_image(tmp_path / folder / name).pixels for folder in ("in", "out"))
        np.testing.assert_array_equal(made, 255 - given)
    clip = make(tmp_path / "in.mp4", times=range(0, 6 * 512, 512))
    assert translate_video(model, clip, tmp_path / "out.mp4").frames == 6
    assert len(facts(tmp_path / "out.mp4").times) == 6


def test_a_third_party_model(tmp_path: Path) -> None:
    shape = ["n", 3, "h", "w"]
    nodes = [tiny.helper.make_node("Neg", ["x"], ["m"]), tiny.helper.make_node("Add", ["m", "one"], ["y"])]
    path = tiny.write(
        tmp_path / "m.onnx", nodes, None, {"one": np.float32(1)[None]}, [("x", "float32", shape)],
        [("y", "float32", shape)],
    )  # fmt: skip
    assert levels_apart(path, photo(40, 50), range="0..1", order="rgb") == 0


def test_it_is_compiled_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tiny.inverter(tmp_path / "m.onnx")
    image = photo(9, 8)
    np.testing.assert_array_equal(i2i.load(path, "openvino", 1)(image), 255 - image)
    (kept,) = engine_cache.folder(path).iterdir()
    first = kept.stat().st_mtime_ns
    np.testing.assert_array_equal(i2i.load(path, "openvino", 1)(image), 255 - image)
    assert kept.stat().st_mtime_ns == first
    kept.write_bytes(kept.read_bytes()[:-1])  # damaged: compiled again
    np.testing.assert_array_equal(i2i.load(path, "openvino", 1)(image), 255 - image)
    assert kept.stat().st_mtime_ns != first
    tiny.tinted(path)  # another model under the same name
    np.testing.assert_array_equal(i2i.load(path, "openvino", 1)(image // 2), image // 2 + np.uint8([1, 2, 3]))
    (other,) = engine_cache.folder(path).iterdir()
    assert other != kept
    assert not caplog.records


def test_the_cache_is_used(tmp_path: Path) -> None:
    """Another model's blob under this model's name is used, since only the name decides."""
    path, other = tiny.inverter(tmp_path / "m.onnx"), tiny.tinted(tmp_path / "other.onnx")
    for each in (path, other):
        i2i.load(each, "openvino", 1)
    (here,), (there,) = (list(engine_cache.folder(each).iterdir()) for each in (path, other))
    here.write_bytes(there.read_bytes())
    assert (i2i.load(path, "openvino", 1)(np.zeros((4, 4, 3), np.uint8)) == [1, 2, 3]).all()


def test_without_a_writable_cache_it_continues_with_a_note(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tiny.inverter(tmp_path / "m.onnx")
    engine_cache.folder(path).write_text("a file where the folder should be")
    image = photo(9, 8)
    np.testing.assert_array_equal(i2i.load(path, "openvino", 1)(image), 255 - image)
    assert [record.getMessage().count("the compiled model is not kept") for record in caplog.records] == [1]


def test_models_that_it_cannot_run_are_model_errors(tmp_path: Path) -> None:
    path = tiny.write(tmp_path / "m.onnx", [tiny.helper.make_node("Frobnicate", ["x"], ["y"])], tiny.RGB)
    with pytest.raises(ModelError, match=r"m\.onnx: OpenVINO .* cannot run this model: .*Frobnicate"):
        i2i.load(path, "openvino")
    session = OpenVinoSession(tiny.inverter(tmp_path / "n.onnx"), 1)
    with pytest.raises(ModelError):
        session.run({"x": np.zeros((1, 4, 4, 5), np.uint8)})


def test_errors_omit_source_files() -> None:
    text = "Exception from src/a.cpp:1:\nException from src/b.cpp:2:\nCheck 'x' failed at src/c.cpp:3:\nno such layer"
    assert reason(RuntimeError(text)) == "no such layer"


def test_openvino_that_is_not_installed_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    path = tiny.inverter(tmp_path / "m.onnx")
    with pytest.raises(ProviderError, match=r"not installed. Repair: pip install \"i2i\[openvino\]\""):
        i2i.load(path, "openvino")
    write_image(tmp_path / "a.png", Image(photo(9, 8)))
    with pytest.raises(SystemExit) as end:
        main(["translate", str(tmp_path / "a.png"), "-m", str(path), "--provider", "openvino"])
    assert end.value.code == 4
    assert not (tmp_path / "a-negative.png").exists()


def test_nothing_is_written_to_the_home_folder(tmp_path: Path, i2i_command: Command) -> None:
    """The package's usage reporter would write there as soon as it is imported."""
    path, home = tiny.inverter(tmp_path / "m.onnx"), tmp_path / "home"
    home.mkdir()
    write_image(tmp_path / "a.png", Image(photo(9, 8)))
    done = i2i_command("translate", tmp_path / "a.png", "-m", path, "--provider", "openvino", env={"HOME": str(home)})
    assert done.returncode == 0, done.stderr
    assert "on openvino" in done.stderr
    assert os.listdir(home) == []


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_memory_does_not_grow_with_the_number_of_sizes(tmp_path: Path) -> None:
    """OpenVINO makes kernels for each size, half a megabyte of them here, and by itself keeps those of 5000 sizes."""
    from tests.runtime.test_threads import resident

    model = i2i.load(network(tmp_path / "net.onnx"), "openvino", 1)
    model(np.zeros((160, 160, 3), np.uint8))
    before, grown = resident(), []
    for number in range(300):
        model(np.zeros((40 + number // 2, 190 - number // 2 + number % 2, 3), np.uint8))
        grown.append(resident() - before)
    assert grown[-1] < 110 << 20
    assert grown[-1] - grown[150] < 25 << 20


def test_half_precision_and_eight_bits(tmp_path: Path) -> None:
    """Half precision is within a level of ONNX Runtime's; eight bits round otherwise, and lose as little."""
    pytest.importorskip("torch")
    import onnx

    from i2i.exporter.float16 import to_half
    from i2i.exporter.int8 import to_int8
    from i2i.exporter.precision_loss import Loss
    from tests.runtime.tiles.networks import psnr

    whole = shutil.copy(WEIGHTS / "day2night.onnx", tmp_path / "m.onnx")
    image = photo(160, 160)
    half, eight = onnx.load(whole), onnx.load(whole)
    to_half(half)
    free = Loss(99, 0, 0)
    eight, chosen, _ = to_int8(eight, [{"image": image[None]}], lambda *_: free, lambda _: True)
    assert chosen > 3
    want = i2i.load(whole, "cpu", 1)(image)
    for model, name in ((half, "half"), (eight, "eight")):
        (tmp_path / f"{name}.onnx").write_bytes(model.SerializeToString())
    assert levels_apart(tmp_path / "half.onnx", image) <= 1
    ours, theirs = (i2i.load(tmp_path / "eight.onnx", provider, 1)(image) for provider in ("cpu", "openvino"))
    assert psnr(theirs, want) > psnr(ours, want) - 1 > 35
    assert psnr(theirs, ours) > 45


def test_settings_that_replace_openvinos_defaults(tmp_path: Path) -> None:
    """float32, also where the processor has a faster type; threads not pinned, since other processes may run."""
    path = tiny.inverter(tmp_path / "m.onnx")
    for _ in range(2):  # compiled, and from the cache
        session = Model(path, "openvino", 2, side_by_side=True).executor._session
        hint = session._compiled.get_property
        assert hint("INFERENCE_PRECISION_HINT").get_type_name() == "f32"
        assert (hint("NUM_STREAMS"), hint("INFERENCE_NUM_THREADS"), hint("ENABLE_CPU_PINNING")) == (2, 2, False)
