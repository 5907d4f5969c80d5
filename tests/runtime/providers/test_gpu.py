"""What a GPU's provider is asked for, and what is made of its answers, on a card that is not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import i2i
from i2i.cli import main
from i2i.images import Image, read_image, write_image
from i2i.runtime import (
    Model,
    ModelError,
    Options,
    ProviderError,
    compiled,
    cuda,
    placement,
    providers,
    tensorrt,
    translate_folder,
)
from i2i.runtime.binding import Binding
from i2i.runtime.errors import TooLargeError
from i2i.runtime.onnxfile import read_spec
from tests import tiny
from tests.runtime.providers.gpu import Card
from tests.runtime.tiles.networks import network, photo

WEIGHTS = Path(__file__).parents[3] / "weights"


def test_nodes_that_only_compute_shapes_may_be_on_the_processor(card: Card) -> None:
    """The default model pads to a multiple by the size of the image, and draws a checkerboard of it."""
    card.without = {"Shape", "Squeeze", "Unsqueeze", "Range", "Mod", "Equal"}
    assert i2i.load(WEIGHTS / "day2night.onnx", "cuda").provider == "cuda"


def test_a_node_of_pixels_on_the_processor_is_an_error_that_names_it(card: Card) -> None:
    card.without = {"Shape", "Resize", "Tanh"}
    path = WEIGHTS / "day2night.onnx"
    with pytest.raises(ProviderError, match=r"cuda cannot run Resize \(node_\S+\), .*Tanh .*--allow-fallback") as error:
        i2i.load(path, "cuda")
    assert "Shape" not in str(error.value)
    assert error.value.exit_status == 4
    with pytest.raises(ProviderError, match="Tanh"):
        i2i.load(path, "auto")
    assert i2i.load(path, "cuda", allow_fallback=True).provider == "cuda"


def test_the_command_line_says_what_runs_and_allows_what_is_allowed(
    card: Card, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    card.without = {"Shape", "Resize"}
    write_image(tmp_path / "a.png", Image(photo(40, 50)))
    words = ["translate", str(tmp_path / "a.png"), "-m", str(WEIGHTS / "day2night.onnx"), "--batch", "auto"]
    for more, status, said in (
        (["--provider", "cuda"], 4, "error: "),
        (["--provider", "cuda", "--allow-fallback"], 0, ", on cuda"),
        (["--provider", "cpu", "--overwrite"], 0, ", on cpu"),
        (["--provider", "cpu", "--batch", "0"], 2, "0 is not in the range"),
    ):
        with pytest.raises(SystemExit) as end:
            main([*words, *more])
        assert end.value.code == status
        assert said in capsys.readouterr().err
    with pytest.raises(ProviderError, match="Resize"):
        i2i.translate(photo(40, 50), model=WEIGHTS / "day2night.onnx", provider="cuda")
    i2i.translate(photo(40, 50), model=WEIGHTS / "day2night.onnx", provider="cuda", allow_fallback=True)


def test_a_card_that_takes_no_session_is_not_left_in_silence(
    card: Card, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    card.fails = "CUDA failure 999: unknown error"
    path = tiny.inverter(tmp_path / "m.onnx")
    for provider in ("cuda", "tensorrt"):
        with pytest.raises(ProviderError, match=r"on a GPU: CUDA failure 999"):
            i2i.load(path, provider)
    assert i2i.load(path, "auto").provider == "cpu"
    assert ["CUDA failure 999" in record.getMessage() for record in caplog.records] == [True]
    broken = tiny.write(tmp_path / "n.onnx", [tiny.helper.make_node("Frobnicate", ["x"], ["y"])], tiny.RGB)
    with pytest.raises(ModelError, match="Frobnicate"):
        i2i.load(broken, "cuda")


def test_a_branch_on_pixels_is_of_pixels(tmp_path: Path) -> None:
    """Nodes within a branch, which has no inputs of its own, and one that the file does not have."""
    from onnx import TensorProto, helper

    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [None]) for name in "xy")
    then = helper.make_graph([helper.make_node("Neg", ["x"], ["t"], "negated")], "then", [], [y.__class__(name="t")])
    other = helper.make_graph(
        [helper.make_node("Shape", ["x"], ["s"], "measured")], "else", [], [y.__class__(name="s")]
    )
    nodes = [
        helper.make_node("Size", ["x"], ["n"], "counted"),
        helper.make_node("If", ["n"], ["y"], "choice", then_branch=then, else_branch=other),
    ]
    path = tmp_path / "m.onnx"
    path.write_bytes(helper.make_model(helper.make_graph(nodes, "g", [x], [y])).SerializeToString())
    from types import SimpleNamespace

    there = [("Size", "counted"), ("If", "choice"), ("Neg", "negated"), ("Shape", "measured"), ("Transpose", "new")]
    nodes_there = [SimpleNamespace(op_type=kind, name=name) for kind, name in there]
    part = SimpleNamespace(ep_name="CPUExecutionProvider", get_nodes=lambda: nodes_there)
    session = SimpleNamespace(get_provider_graph_assignment_info=lambda: [part])
    assert placement.left_to_cpu(session, path) == ["If (choice)", "Neg (negated)", "Transpose (new)"]


def test_out_of_memory_halves_once_then_tiles_and_says_so(card: Card, tmp_path: Path) -> None:
    """In a folder: the batch is halved for good, not again and again; what does not fit alone is tiled."""
    path, said = network(tmp_path / "net.onnx"), []
    (tmp_path / "in").mkdir()
    for number in range(24):
        write_image(tmp_path / "in" / f"{number:02}.png", Image(photo(64, 64) + np.uint8(number)))
    card.pixels = 5 * 64 * 64
    model = Model(path, "cuda").tiled("auto", say=said.append)
    assert translate_folder(model, tmp_path / "in", tmp_path / "out", Options(batch=8)).done == 24
    failed = [shape for shape in card.batches if shape[0] * 64 * 64 > card.pixels]
    assert len(failed) <= 2  # one after the other may have gathered before the first failed
    assert said
    assert all("the memory does not hold" in text for text in said)
    assert len(said) == len(failed)
    assert max(shape[0] for shape in card.batches[-4:]) <= 4
    alone = Model(path, "cpu")
    for number in (0, 23):
        made = read_image(tmp_path / "out" / f"{number:02}.png").pixels
        assert np.abs(made.astype(int) - alone(photo(64, 64) + np.uint8(number))).max() <= 1
    said.clear()
    large = photo(820, 900)
    card.pixels = 800 * 800
    assert model(large).shape == large.shape
    assert said == ["the memory does not hold 900 x 820 pixels at once; going on in tiles"]


def test_inputs_and_outputs_are_bound(card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The card is given the uint8 image, in memory of its own choosing, which is used again."""
    made: list[int] = []

    def page_locked(size: int) -> np.ndarray:
        made.append(size)
        return np.empty(size, np.uint8)

    monkeypatch.setattr(cuda, "page_locked", page_locked)
    model = i2i.load(tiny.brighter(tmp_path / "m.onnx"), "cuda")
    for level in (3, 4, 5):
        image = np.full((1, 8, 9, 3), level, np.uint8)
        assert (model(image, to="rain") == level + 20).all()
    assert card.bound.dtype == np.uint8
    assert made == [8 * 9 * 3, 8, 8 * 9 * 3]  # of the image, of the domain and of the result, once


def test_bound_buffers_grow_and_serve_any_thread(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    session = providers.open_session(tiny.inverter(tmp_path / "m.onnx"), "cpu", 1)
    binding = Binding(lambda size: np.empty(size, np.uint8))

    def ask(number: int) -> bool:
        image = np.full((1 + number % 3, 5 + number % 7, 6, 3), number % 256, np.uint8)
        result = binding.run(session, {"x": image}, image.shape, "uint8")
        return result.shape == image.shape and bool((result == 255 - image).all())

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(ask, range(300), timeout=60))


def test_the_batch_is_found_from_the_memory(card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = [100 << 20]

    def see(batch: np.ndarray) -> None:  # 40 bytes a pixel, which are kept
        card.batches.append(batch.shape)
        free[0] = min(free[0], (100 << 20) - 40 * int(np.prod(batch.shape[:3])))

    monkeypatch.setattr(card, "see", see)
    monkeypatch.setattr(cuda, "free_memory", lambda: free[0])
    model = i2i.load(tiny.inverter(tmp_path / "m.onnx"), "cuda")
    rest = (100 << 20) - 40 * 64 * 64
    assert model.graph.room.batch(512 * 512) == 0.7 * rest // (40 * (512**2 - 64**2) / 512**2) // 512**2 == 7
    assert model.graph.room.batch(64 * 64) == 16  # no more, however small
    assert model.graph.room.batch(8000 * 8000) == 1
    assert model.graph.room.batch(512 * 512, 3) == 3
    model.graph.room.exceeded(3, 512 * 512)
    assert model.graph.room.batch(512 * 512, 3) == 1
    monkeypatch.setattr(cuda, "free_memory", lambda: None)
    assert i2i.load(model.path, "cuda").graph.room.batch(512 * 512) == 8


def test_no_tensor_has_more_values_than_a_card_counts(
    card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CUDA's kernels go astray in silence beyond 2^31; the network makes 6 values of a pixel."""
    from i2i.runtime import graph

    monkeypatch.setattr(graph, "_COUNTED", 6 * 5 * 64 * 64 + 1)
    said: list[str] = []
    model = Model(network(tmp_path / "net.onnx"), "cuda").tiled("auto", say=said.append)
    assert [model.graph.at_once(64, 64, wish) for wish in (3, 16)] == [3, 5]
    images = np.stack([photo(64, 64)] * 12)
    model(images)
    card.batches.clear()
    model.run(images)
    assert max(shape[0] for shape in card.batches) == 3  # halved, and halved again
    assert "12 images" in said[0]
    said.clear()
    large = photo(160, 160)
    assert not model.graph.holds(160, 160)
    with pytest.raises(TooLargeError, match=r"25600 pixels at once net\.onnx makes tensors of more than 2\^31 values"):
        model.tiled("off")(large)
    monkeypatch.setattr("i2i.runtime.tiles.job.side", lambda *_: 128)
    want = i2i.load(model.path, "cpu").tiled(128)(large)
    np.testing.assert_array_equal(model(large), want)
    assert said == ["the memory does not hold 160 x 160 pixels at once; going on in tiles"]
    monkeypatch.setattr(graph, "_COUNTED", 2**31)
    assert model.graph.holds(160, 160)
    assert i2i.load(tiny.brighter(tmp_path / "m.onnx"), "cuda").graph._measure_values() == 3


def test_an_image_is_cut_only_where_the_card_has_no_room_for_it(
    card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file large enough to be read in strips: by the card's memory, if that of the machine holds the pixels."""
    from i2i.runtime.tiles import large

    free = [10**9]
    monkeypatch.setattr(large, "WHOLE", 1000)
    monkeypatch.setattr("i2i.runtime.tiles.job.side", lambda *_: 160)
    monkeypatch.setattr(cuda, "free_memory", lambda: free[0])
    real = card.see

    def see(batch: np.ndarray) -> None:  # 1000 bytes a pixel, which are kept
        real(batch)
        free[0] = min(free[0], 10**9 - 1000 * int(np.prod(batch.shape[:3])))

    monkeypatch.setattr(card, "see", see)
    write_image(tmp_path / "a.tif", Image(photo(500, 600)))
    model = Model(network(tmp_path / "net.onnx"), "cuda")
    where = tmp_path / "a.tif", tmp_path / "b.tif"
    assert large.plan(*where, model, Options()) is None
    with monkeypatch.context() as patch:
        patch.setattr(large, "available_memory", lambda: 500 * 600 * 3 * 5 * 4 - 1)
        patch.setattr(large, "WHOLE", 64)
        assert large.plan(*where, model, Options()) is not None
    model.graph.room.exceeded(1, 500 * 600)
    assert large.plan(*where, model, Options()) is not None
    other = Model(network(tmp_path / "other.onnx"), "cuda")
    free[0] = 10**9
    monkeypatch.setattr(cuda, "free_memory", lambda: free[0] - 900_000_000)  # of which 100 MB are left
    assert large.plan(*where, other, Options()) is not None


def test_the_memory_is_measured_before_anything_is_at_work(card: Card, tmp_path: Path) -> None:
    models = [Model(network(tmp_path / name), "cuda") for name in ("a.onnx", "b.onnx")]
    batchers = [model.batcher(None, 4) for model in models]
    assert [model.graph.room._measure for model in models] == [None, None]
    assert card.batches == [(1, 64, 64, 3), (1, 512, 512, 3)] * 2
    for batcher in batchers:
        batcher.close()


def test_tensorrt_has_an_engine_for_each_bucket_of_sizes(
    card: Card,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = i2i.load(tiny.brighter(tmp_path / "m.onnx"), "tensorrt")
    assert model.provider == "tensorrt"
    assert [each[0] for each in card.asked[0]] == ["CUDAExecutionProvider", "C"]  # images of unusual sizes
    for height, width in ((100, 300), (64, 512), (900, 700), (100, 300)):
        image = np.full((height, width, 3), 9, np.uint8)
        assert (model(image, to="rain") == 29).all()
    asked = [providers[0] for providers in card.asked[1:]]
    assert [name for name, _ in asked] == ["TensorrtExecutionProvider"] * 2
    settings = asked[0][1]
    assert settings["trt_profile_min_shapes"] == "x:1x64x64x3,target:1"
    assert settings["trt_profile_opt_shapes"] == "x:8x256x256x3,target:8"
    assert settings["trt_profile_max_shapes"] == "x:16x512x512x3,target:16"
    assert asked[1][1]["trt_profile_max_shapes"] == "x:4x1024x1024x3,target:4"
    assert [model.graph.at_once(side, 64) for side in (64, 600, 2048)] == [16, 4, 1]
    assert model.graph.at_once(64, 64, 3) == 3
    assert settings["trt_fp16_enable"] == settings["trt_int8_enable"] == "0"
    assert settings["trt_engine_cache_enable"] == "1"
    assert len(list(compiled.folder(model.path).glob("tensorrt-*"))) == 2
    assert not list(compiled.folder(model.path).glob(".i2i-*"))
    again = i2i.load(model.path, "tensorrt")
    again(np.zeros((100, 300, 3), np.uint8), to="rain")
    kept = Path(card.asked[-1][0][1]["trt_engine_cache_path"])
    assert kept.parent == compiled.folder(model.path)
    assert kept.name.startswith("tensorrt-")
    again(np.zeros((5, 300, 3), np.uint8), to="rain")
    again(np.zeros((6, 300, 3), np.uint8), to="rain")
    notes = [record.getMessage() for record in caplog.records]
    assert sum("builds its engine" in text for text in notes) == 2
    assert sum("run on CUDA" in text for text in notes) == 1


def test_an_engine_that_cannot_be_used_is_built_anew_once(
    card: Card, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One that was changed where it lies, one that is refused, and one that is refused as soon as it is built."""
    path, image = tiny.inverter(tmp_path / "m.onnx"), np.zeros((64, 64, 3), np.uint8)

    def notes() -> list[str]:
        found = [record.getMessage() for record in caplog.records]
        caplog.clear()
        return found

    def kept() -> Path:
        (place,) = compiled.folder(path).iterdir()
        return place / "graph_sm90.engine"

    i2i.load(path, "tensorrt")(image)
    i2i.load(path, "tensorrt")(image)
    assert len(card.built) == len(notes()) == 1
    kept().write_bytes(b"engin3")
    for _ in range(2):
        assert (i2i.load(path, "tensorrt")(image) == 255).all()
    said = notes()
    assert len(card.built) == 2
    assert "the engine that was kept is damaged" in said[0]
    assert "builds its engine" in said[1]
    assert len(said) == 2
    kept().unlink()
    i2i.load(path, "tensorrt")(image)
    assert len(card.built) == 3
    notes()
    card.refuses = b"engine"  # as another driver does
    assert (i2i.load(path, "tensorrt")(image) == 255).all()
    assert len(card.built) == 4
    said = notes()
    assert "could not deserialize" in said[0]
    assert "is thrown away" in said[0]
    assert "builds its engine" in said[1]
    before = kept().read_bytes()
    card.breaks = True
    with pytest.raises(ProviderError, match=r"no builder.*TensorRT does not take it"):
        i2i.load(path, "tensorrt")(image)
    assert len(card.built) == 5
    assert kept().read_bytes() == before  # until there is another


def test_an_engine_that_cannot_be_kept_is_used_and_it_is_said(
    card: Card, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tiny.inverter(tmp_path / "m.onnx")
    compiled.folder(path).write_text("a file where the folder should be")
    assert (i2i.load(path, "tensorrt")(np.zeros((64, 64, 3), np.uint8)) == 255).all()
    said = [record.getMessage() for record in caplog.records]
    assert sum("the compiled model is not kept" in text for text in said) == 1
    assert "trt_engine_cache_path" not in card.asked[-1][0][1]


def test_an_engine_half_built_is_never_taken_for_one_and_is_cleared_away(card: Card, tmp_path: Path) -> None:
    """A job that is killed while TensorRT builds, beside one that is still at work."""
    import subprocess
    import sys

    path = tiny.inverter(tmp_path / "m.onnx")
    program = """
import os, sys
from pathlib import Path
from i2i.runtime import compiled
with compiled.building(Path(sys.argv[1])) as folder:
    (folder / "graph_sm90.engine").write_bytes(b"half")
    print(folder, flush=True)
    sys.stdin.readline()
    os.kill(os.getpid(), 9)
"""
    command = [sys.executable, "-c", program, compiled.place(path, "tensorrt", "other settings")]
    killed, at_work = (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)
    )
    folders = []
    for process in (killed, at_work):
        assert process.stdout is not None
        folders.append(Path(process.stdout.readline().strip()))
    killed.communicate("\n")
    assert all(folder.is_dir() for folder in folders)
    i2i.load(path, "tensorrt")(np.zeros((64, 64, 3), np.uint8))
    assert [folder.is_dir() for folder in folders] == [False, True]
    at_work.communicate("\n")
    with compiled.building(compiled.place(path, "tensorrt")):
        assert not folders[1].exists()
    (kept,) = compiled.folder(path).iterdir()  # nothing was put into the last
    assert compiled.is_whole(kept)


def test_tensorrt_follows_the_models_precision_and_a_fixed_size(tmp_path: Path) -> None:
    assert tensorrt.options("fp16", {}, None) == {"trt_fp16_enable": "1", "trt_int8_enable": "0"}
    assert tensorrt.options("int8", {}, None)["trt_int8_enable"] == "1"
    fixed = [([1, 3, 224, 224], (1, 3, 224, 224))]
    assert tensorrt.bucket_of(fixed) == 0
    free: list = ["n", "h", "w", 3]
    cases = {(1, 64, 64, 3): 512, (16, 64, 64, 3): 512, (1, 64, 2048, 3): 2048, (4, 900, 900, 3): 1024}
    outside = [(17, 64, 64, 3), (1, 63, 64, 3), (1, 64, 2049, 3), (2, 64, 2048, 3)]
    for shape, bucket in {**cases, **dict.fromkeys(outside)}.items():
        assert tensorrt.bucket_of([(free, shape)]) == bucket


def test_tensorrt_that_does_not_load_is_an_error(card: Card, tmp_path: Path) -> None:
    path = tiny.inverter(tmp_path / "m.onnx")
    card.loads.remove("TensorrtExecutionProvider")
    with pytest.raises(ProviderError, match=r"TensorRT did not load \(libnvinfer.* and cuda would run instead.*pip"):
        i2i.load(path, "tensorrt")
    card.loads.clear()
    with pytest.raises(ProviderError, match="CUDA did not load"):
        i2i.load(path, "tensorrt")


def test_tiles_under_tensorrt_run_on_cuda(card: Card, tmp_path: Path) -> None:
    """Their graphs hold the statistics of one image: an engine for each would take minutes."""
    model = i2i.load(network(tmp_path / "net.onnx"), "tensorrt").tiled(256)
    model(photo(300, 300))
    assert {each[0][0] for each in card.asked} == {"CUDAExecutionProvider"}


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_no_card_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, provider: str) -> None:
    monkeypatch.setattr(providers, "cuda_devices", list)
    with pytest.raises(ProviderError, match=f"provider {provider} was asked for, but the NVIDIA driver shows no card"):
        i2i.load(tiny.inverter(tmp_path / "m.onnx"), provider)


@pytest.mark.gpu
@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_on_a_card_the_pixels_are_those_of_the_cpu(tmp_path: Path, provider: str) -> None:
    import shutil

    path = shutil.copy(WEIGHTS / "day2night.onnx", tmp_path / "m.onnx")
    assert read_spec(path) is not None
    here, there = (i2i.load(path, where) for where in ("cpu", provider))
    assert there.provider == provider
    for size in ((256, 256), (200, 300), (256, 256)):
        image = photo(*size)
        assert np.abs(here(image).astype(int) - there(image)).max() <= 2  # TensorFloat-32
    locked = cuda.page_locked(1000)
    locked[:] = 7
    assert locked.sum() == 7000
    free = cuda.free_memory()
    assert free is not None
    assert free > 1 << 28
    assert 1 <= there.graph.room.batch(256 * 256) <= 16


@pytest.mark.gpu
def test_many_sizes_take_no_more_of_a_card_than_the_largest(tmp_path: Path) -> None:
    """30 of them, and 30 again."""
    model = i2i.load(network(tmp_path / "net.onnx"), "cuda")
    model(np.zeros((500, 500, 3), np.uint8))
    before = cuda.free_memory()
    assert before is not None
    taken = []
    for side in [*range(100, 400, 10)] * 2:
        model(np.zeros((side, 600 - side, 3), np.uint8))
        taken.append(before - (cuda.free_memory() or 0))
    assert max(taken) < 500 << 20
    assert taken[-1] - taken[29] < 64 << 20
