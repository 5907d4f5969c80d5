"""Use of a graphics card's memory, and of the main memory beside it."""

from __future__ import annotations

import ctypes
import gc
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

import i2i
from i2i.images import Image, read_header, read_image, write_image
from i2i.runtime import Model, Options, translate_folder
from i2i.runtime.errors import TooLargeError
from i2i.runtime.graphs.onnx_file import described, read_spec
from i2i.runtime.jobs.planning import image_task
from i2i.runtime.memory import batch_size, batcher
from i2i.runtime.providers import table
from i2i.runtime.providers.io_binding import Binding
from i2i.runtime.system import cuda
from tests import tiny
from tests.runtime.adapters import models as foreign
from tests.runtime.providers.gpu import Card
from tests.runtime.tiles.networks import network, photo


def test_out_of_memory_halves_once_then_tiles_with_notes(
    card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder the batch is halved once and for all; images that do not fit alone are tiled."""
    monkeypatch.setattr(batcher, "WAIT", 30.0)  # until a batch is full
    path, said = network(tmp_path / "net.onnx"), []
    (tmp_path / "in").mkdir()
    for number in range(24):
        write_image(tmp_path / "in" / f"{number:02}.png", Image(photo(64, 64) + np.uint8(number)))
    card.pixels = 5 * 64 * 64
    model = Model(path, "cuda").tiled("auto", say=said.append)
    assert translate_folder(model, tmp_path / "in", tmp_path / "out", Options(batch=8)).done == 24
    assert [shape[0] for shape in card.batches if shape[1] == 64] == [1, 8] + [4] * 6  # one measures
    assert said == ["8 images at once do not fit into memory; continuing with 4"]
    alone = Model(path, "cpu")
    for number in (0, 23):
        made = read_image(tmp_path / "out" / f"{number:02}.png").pixels
        assert np.abs(made.astype(int) - alone(photo(64, 64) + np.uint8(number))).max() <= 1
    said.clear()
    large = photo(820, 900)
    card.pixels = 800 * 800
    assert model(large).shape == large.shape
    assert said == ["900 x 820 pixels at once do not fit into memory; continuing in tiles"]


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


def test_results_are_read_when_they_are_there(tmp_path: Path) -> None:
    """A card that copies to page-locked memory by itself, and is still at it when the inference returns."""
    session = table.open_session(tiny.inverter(tmp_path / "m.onnx"), "cpu", 1)._session
    results: list[np.ndarray] = []

    class Late:
        def get_outputs(self) -> object:
            return session.get_outputs()

        def io_binding(self) -> object:
            binding = session.io_binding()
            binding.synchronize_outputs = lambda: session.run_with_iobinding(binding)
            return binding

        def run_with_iobinding(self, *_: object) -> None:
            results.append(np.zeros(0))

    image = np.full((1, 4, 5, 3), 7, np.uint8)
    made = Binding(lambda size: np.zeros(size, np.uint8)).run(Late(), {"x": image}, image.shape, "uint8")
    assert (made == 248).all()
    assert len(results) == 1


class Driver:
    """NVIDIA's, which refuses a thread that has no context."""

    def __init__(self) -> None:
        self.memory: dict[int, object] = {}
        self.current = threading.local()

    def cuInit(self, _: int) -> int:
        return 0

    def cuDeviceGet(self, device: Any, number: int) -> int:
        return number

    def cuDevicePrimaryCtxRetain(self, context: Any, _: object) -> int:
        context._obj.value = 5
        return 0

    def cuCtxPushCurrent_v2(self, context: ctypes.c_void_p) -> int:
        self.current.context = context.value
        return 0

    def cuCtxPopCurrent_v2(self, _: object) -> int:
        self.current.context = None
        return 0

    def cuMemGetInfo_v2(self, free: Any, total: Any) -> int:
        free._obj.value, total._obj.value = 3, 4
        return 0 if getattr(self.current, "context", None) == 5 else 201

    def cuMemHostAlloc(self, address: Any, size: ctypes.c_size_t, flags: int) -> int:
        if getattr(self.current, "context", None) != 5 or size.value > 10**6:
            return 2
        memory = ctypes.create_string_buffer(size.value)
        address._obj.value = ctypes.addressof(memory)
        self.memory[ctypes.addressof(memory)] = memory
        return 0

    def cuMemFreeHost(self, address: ctypes.c_void_p) -> int:
        if getattr(self.current, "context", None) != 5:
            return 201
        assert address.value is not None
        del self.memory[address.value]
        return 0


def test_page_locked_memory_is_given_back_from_any_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver()
    monkeypatch.setattr(cuda.ctypes, "CDLL", lambda *_: driver)
    cuda._context.cache_clear()
    try:
        assert cuda.free_memory() == 3
        held = [cuda.page_locked(1000).reshape(10, 100)[3:]]
        held[0][:] = 9
        assert len(driver.memory) == 1
        thread = threading.Thread(target=held.clear)
        thread.start()
        thread.join()
        assert driver.memory == {}
        assert cuda.page_locked(2 * 10**6).shape == (2 * 10**6,)  # the driver has no more: ordinary memory
        assert driver.memory == {}
    finally:
        cuda._context.cache_clear()


def test_bound_buffers_grow_and_serve_any_thread(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    session = table.open_session(tiny.inverter(tmp_path / "m.onnx"), "cpu", 1)._session
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
    assert model.executor.batch_size.batch(512 * 512) == 0.7 * rest // (40 * (512**2 - 64**2) / 512**2) // 512**2 == 7
    assert model.executor.batch_size.batch(64 * 64) == 16  # no more, however small
    assert model.executor.batch_size.batch(8000 * 8000) == 1
    assert model.executor.batch_size.batch(512 * 512, 3) == 3
    model.executor.batch_size.exceeded(3, 512 * 512)
    assert model.executor.batch_size.batch(512 * 512, 3) == 1
    monkeypatch.setattr(cuda, "free_memory", lambda: None)
    assert i2i.load(model.path, "cuda").executor.batch_size.batch(512 * 512) == 8


@pytest.mark.parametrize("stated", [False, True])
def test_no_tensor_exceeds_2_31_values(
    card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stated: bool
) -> None:
    """CUDA's kernels return wrong values beyond 2^31. The network makes 6 values per pixel, which a file may state."""
    from i2i.runtime.memory import estimate

    path = network(tmp_path / "net.onnx")
    if stated:
        path.write_bytes(path.read_bytes() + described(replace(read_spec(path), values_per_pixel=6)))
        monkeypatch.setattr(estimate, "with_shapes", lambda model: pytest.fail("measured again"))
    monkeypatch.setattr(estimate, "_MOST_VALUES", 6 * 5 * 64 * 64 + 1)
    said: list[str] = []
    model = Model(path, "cuda").tiled("auto", say=said.append)
    assert [model.executor.at_once(64, 64, wish) for wish in (3, 16)] == [3, 5]
    images = np.stack([photo(64, 64)] * 12)
    model(images)
    card.batches.clear()
    model.run(images)
    assert max(shape[0] for shape in card.batches) == 3  # halved, and halved again
    assert "12 images" in said[0]
    said.clear()
    large = photo(160, 160)
    assert not model.executor.fits(160, 160)
    with pytest.raises(TooLargeError, match=r"25600 pixels at once net\.onnx makes tensors of more than 2\^31 values"):
        model.tiled("off")(large)
    monkeypatch.setattr("i2i.runtime.tiles.tiler.side", lambda *_: 128)
    want = i2i.load(model.path, "cpu").tiled(128)(large)
    np.testing.assert_array_equal(model(large), want)
    assert said == ["160 x 160 pixels at once do not fit into memory; continuing in tiles"]
    monkeypatch.setattr(estimate, "_MOST_VALUES", 2**31)
    assert model.executor.fits(160, 160)


def test_values_are_measured_once_if_the_file_does_not_state_them(
    card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = i2i.load(tiny.brighter(tmp_path / "m.onnx"), "cuda")
    assert model.spec.values_per_pixel is None
    assert model.executor.tensor_sizes.values_per_pixel() == 3
    monkeypatch.setattr("i2i.runtime.memory.estimate.with_shapes", lambda model: pytest.fail("measured again"))
    assert model.executor.tensor_sizes.values_per_pixel() == 3


def test_larger_results_have_more_values(card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """4 x 4 pixels of three channels for each, where 20 of each that comes out are taken for few."""
    from i2i.runtime.memory import estimate

    model = i2i.load(foreign.larger(tmp_path / "m.onnx", 4), "cuda", range="0..1", order="rgb")
    monkeypatch.setattr(estimate, "_MANY_VALUES", 20)
    monkeypatch.setattr(estimate, "_MOST_VALUES", 48 * 2 * 64 * 64 + 1)
    assert model.executor.at_once(64, 64, 3) == 2
    assert not model.executor.fits(128, 128)


def test_values_are_counted_beside_sequences_and_weights(
    card: Card, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A sequence has no shape, and what is made of weights is as large for any image."""
    weights = np.ones((2000, 1000), np.int8)
    nodes = [
        helper.make_node("DequantizeLinear", ["weights", "step"], ["w"]),
        helper.make_node("ReduceMax", ["w"], ["one"], keepdims=0),
        helper.make_node("SplitToSequence", ["x"], ["parts"], axis=1),
        helper.make_node("ConcatFromSequence", ["parts"], ["joined"], axis=1),
        helper.make_node("Mul", ["joined", "one"], ["y"]),
    ]
    path = foreign.graph(tmp_path / "m.onnx", nodes, {"weights": weights, "step": np.float32(1)})
    assert i2i.load(path, "cuda", range="0..1", order="rgb").executor.tensor_sizes.values_per_pixel() == 3
    assert not caplog.messages


def test_a_note_says_that_values_cannot_be_counted(
    card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = i2i.load(tiny.inverter(tmp_path / "m.onnx"), "cuda")
    monkeypatch.setattr("i2i.runtime.memory.estimate.with_shapes", lambda model: b"no model")
    assert model.executor.tensor_sizes.values_per_pixel() == 1
    (said,) = caplog.messages
    assert said.startswith("m.onnx: the sizes of its tensors cannot be measured (")


def test_a_deleted_model_frees_its_share_of_the_memory(card: Card, tmp_path: Path) -> None:
    """Immediately, even if it was never measured."""
    model = Model(tiny.inverter(tmp_path / "m.onnx"), "cuda")
    gc.disable()
    try:
        assert model.executor.at_once(64, 64, 3) == 3
        assert len(batch_size._IN_USE) == 1
        del model
        assert len(batch_size._IN_USE) == 0
    finally:
        gc.enable()


def test_an_image_is_tiled_only_if_the_card_lacks_memory(
    card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file large enough to be read in strips: by the card's memory, if that of the machine holds the pixels."""
    from i2i.runtime.jobs import oversized

    free = [10**9]
    monkeypatch.setattr(oversized, "DECODE_LIMIT", 1000)
    monkeypatch.setattr("i2i.runtime.tiles.tiler.side", lambda *_: 160)
    monkeypatch.setattr(cuda, "free_memory", lambda: free[0])
    real = card.see

    def see(batch: np.ndarray) -> None:  # 1000 bytes a pixel, which are kept
        real(batch)
        free[0] = min(free[0], 10**9 - 1000 * int(np.prod(batch.shape[:3])))

    monkeypatch.setattr(card, "see", see)
    write_image(tmp_path / "a.tif", Image(photo(500, 600)))
    model = Model(network(tmp_path / "net.onnx"), "cuda")
    task = image_task(tmp_path / "a.tif", tmp_path / "b.tif", Options(), read_header(tmp_path / "a.tif"))
    assert oversized.in_strips(task, model, Options()) is None
    with monkeypatch.context() as patch:
        patch.setattr(oversized, "available_memory", lambda: 500 * 600 * 3 * 5 * 4 - 1)
        patch.setattr(oversized, "DECODE_LIMIT", 64)
        assert oversized.in_strips(task, model, Options()) is not None
    model.executor.batch_size.exceeded(1, 500 * 600)
    assert oversized.in_strips(task, model, Options()) is not None
    other = Model(network(tmp_path / "other.onnx"), "cuda")
    free[0] = 10**9
    monkeypatch.setattr(cuda, "free_memory", lambda: free[0] - 900_000_000)  # of which 100 MB are left
    assert oversized.in_strips(task, other, Options()) is not None


@pytest.mark.parametrize(("provider", "wish"), [("cuda", None), ("cuda", 8), ("tensorrt", None)])
def test_memory_is_measured_before_other_work_begins(
    card: Card, tmp_path: Path, provider: str, wish: int | None
) -> None:
    models = [Model(network(tmp_path / name), provider) for name in ("a.onnx", "b.onnx")]
    batchers = [model.batcher(wish, 4) for model in models]
    assert [model.executor.batch_size._measure for model in models] == [None, None]
    assert card.batches == [(1, 64, 64, 3), (1, 512, 512, 3)] * 2
    for gathered in batchers:
        gathered.close()


def test_of_large_images_few_are_in_memory_at_once(card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many threads there are, of which small ones all go together."""
    from i2i.runtime.jobs import parallel, workers

    (tmp_path / "in").mkdir()
    for number in range(12):
        write_image(tmp_path / "in" / f"{number:02}.bmp", Image(photo(90, 100)))
        write_image(tmp_path / "in" / f"{number:02}-small.bmp", Image(photo(9, 10)))
    large, lock = [0, 0], threading.Lock()  # now, at most
    most_small = [0, 0]

    def count(image: Image, by: int) -> None:
        counts = large if image.pixels.shape[0] == 90 else most_small
        with lock:
            counts[0] += by
            counts[1] = max(counts)

    real_read, real_write = workers.read_image, workers.image_file.write

    def read(*given: Any) -> Image:
        image = real_read(*given)
        count(image, 1)
        return image

    def write(result: Image, *given: Any, **named: Any) -> str:
        count(result, -1)
        return real_write(result, *given, **named)

    monkeypatch.setattr(workers, "read_image", read)
    monkeypatch.setattr(workers.image_file, "write", write)
    monkeypatch.setattr(parallel, "available_memory", lambda: 4 * 3 * 5 * (2 * 90 * 100 + 20 * 9 * 10))
    model = Model(tiny.inverter(tmp_path / "m.onnx"), "cuda")
    assert translate_folder(model, tmp_path / "in", tmp_path / "out", Options(batch=16)).done == 24
    assert large == [0, 2]
    assert most_small[1] > 2
    for free in (1000, 0):  # less than one takes
        large[:] = 0, 0
        monkeypatch.setattr(parallel, "available_memory", lambda free=free: free)
        assert translate_folder(model, tmp_path / "in", tmp_path / f"{free}", Options(batch=16)).done == 24
        assert large == [0, 1]
