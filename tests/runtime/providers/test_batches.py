"""Batches of images of one size: which images they contain, and when they run."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from weakref import WeakSet

import numpy as np
import pytest

from i2i.runtime import ProviderError
from i2i.runtime.memory import batch_size, batcher
from i2i.runtime.memory.batch_size import BatchSize
from i2i.runtime.memory.batcher import Batcher

SMALL, TALL, WIDE = (4, 4, 3), (8, 4, 3), (4, 8, 3)


class Device:
    """Inverts batches one after the other, once it is let; takes down what it was given."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.batches: list[tuple[int, ...]] = []

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        self.free.wait(30)
        self.batches.append(batch.shape)
        return 255 - batch


def waits(gathered: Batcher, count: int) -> None:
    """Until so many images wait."""
    end = time.monotonic() + 30
    while sum(map(len, gathered._waiting.values())) != count:
        assert time.monotonic() < end
        time.sleep(0.001)


def test_other_sizes_do_not_send_a_half_full_batch_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images of alternating sizes, and a device that is faster than they arrive."""
    monkeypatch.setattr(batcher, "WAIT", 30.0)
    device = Device()
    device.free.set()
    gathered = Batcher(device, lambda _: 4, callers=100)
    with ThreadPoolExecutor(24) as threads:
        asked = []
        for number in range(24):
            shape = (SMALL, TALL, WIDE)[number % 3]
            asked.append((number, shape, threads.submit(gathered, np.full(shape, number, np.uint8))))
            time.sleep(0.002)
        for number, shape, future in asked:
            result = future.result(timeout=20)
            assert result.shape == shape
            assert (result == 255 - number).all()
    gathered.close()
    assert sorted(device.batches) == sorted([(4, *SMALL), (4, *TALL), (4, *WIDE)] * 2)


def test_no_image_waits_longer_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batcher, "WAIT", 0.2)
    device = Device()
    device.free.set()
    gathered = Batcher(device, lambda _: 4, callers=100)
    start = time.monotonic()
    gathered(np.zeros(SMALL, np.uint8))
    assert 0.2 <= time.monotonic() - start < 5
    gathered.close()
    assert device.batches == [(1, *SMALL)]


def test_when_every_caller_waits_the_largest_batch_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batcher, "WAIT", 30.0)
    device = Device()
    gathered = Batcher(device, lambda _: 8, callers=5)
    with ThreadPoolExecutor(5) as threads:
        first = [threads.submit(gathered, np.zeros(SMALL, np.uint8)) for _ in range(2)]
        waits(gathered, 2)
        rest = [threads.submit(gathered, np.zeros(TALL, np.uint8)) for _ in range(3)]
        device.free.set()
        for future in rest:
            future.result(timeout=20)
        assert device.batches == [(3, *TALL)]
        gathered.close()  # what is left goes at the end
        for future in first:
            future.result(timeout=20)
    assert device.batches == [(3, *TALL), (2, *SMALL)]


def test_a_full_batch_goes_before_one_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batcher, "WAIT", 0.05)
    device = Device()
    gathered = Batcher(device, lambda shape: 3 if shape == TALL else 8, callers=100)
    with ThreadPoolExecutor(8) as threads:
        held = threads.submit(gathered, np.zeros(WIDE, np.uint8))  # the device is busy with it
        time.sleep(0.2)
        asked = [threads.submit(gathered, np.zeros(SMALL, np.uint8)) for _ in range(2)]
        waits(gathered, 2)
        asked += [threads.submit(gathered, np.zeros(TALL, np.uint8)) for _ in range(4)]
        waits(gathered, 6)
        device.free.set()
        for future in (held, *asked):
            future.result(timeout=20)
    gathered.close()
    assert device.batches[:2] == [(1, *WIDE), (3, *TALL)]


def test_one_of_another_size_goes_however_many_full_batches_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batcher, "WAIT", 30.0)
    device = Device()
    gathered = Batcher(device, lambda _: 2, callers=100)
    with ThreadPoolExecutor(40) as threads:
        first = [threads.submit(gathered, np.zeros(SMALL, np.uint8)) for _ in range(2)]
        waits(gathered, 0)  # the device is busy with them
        odd = threads.submit(gathered, np.zeros(TALL, np.uint8))
        waits(gathered, 1)
        rest = [threads.submit(gathered, np.zeros(SMALL, np.uint8)) for _ in range(20)]
        waits(gathered, 21)
        device.free.set()
        for future in (*first, odd, *rest):
            future.result(timeout=20)
    gathered.close()
    assert device.batches.index((1, *TALL)) == 1 + batcher.TURNS
    assert len(device.batches) == 12


def test_errors_of_a_whole_batch_reach_every_caller() -> None:
    """An error in finding the batch size, and a failing provider: no caller hangs, and nothing is retried."""

    def broken(_: object) -> int:
        raise MemoryError("no size")

    gathered = Batcher(Device(), broken, callers=3)
    with ThreadPoolExecutor(3) as threads:
        for future in [threads.submit(gathered, np.zeros(SMALL, np.uint8)) for _ in range(3)]:
            with pytest.raises(MemoryError):
                future.result(timeout=20)
    gathered.close()
    tried: list[int] = []

    def gone(batch: np.ndarray) -> np.ndarray:
        tried.append(len(batch))
        raise ProviderError("the card is gone")

    gathered = Batcher(gone, lambda _: 3, callers=3)
    with ThreadPoolExecutor(3) as threads:
        for future in [threads.submit(gathered, np.zeros(SMALL, np.uint8)) for _ in range(3)]:
            with pytest.raises(ProviderError):
                future.result(timeout=20)
    gathered.close()
    assert sum(tried) == 3


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No models of other tests."""
    monkeypatch.setattr(batch_size, "_IN_USE", WeakSet())


@pytest.mark.usefixtures("alone")
def test_memory_is_measured_once_and_corrected() -> None:
    asked: list[int] = []

    def measure() -> tuple[float, int]:
        asked.append(1)
        return 100.0, 1_000_000

    one = BatchSize(measure)
    assert one.batch(1000) == 7  # 70 % of the memory
    assert one.batch(100) == 16
    assert one.batch(100_000) == 1
    assert len(asked) == 1
    assert [one.fits(7000), one.fits(7001)] == [True, False]
    one.exceeded(7, 1000)
    assert [one.batch(1000), one.batch(1000, wish=5), one.batch(500)] == [3, 3, 7]
    assert [one.fits(6999), one.fits(7000)] == [True, False]
    one.exceeded(7, 500)
    assert one.batch(500) == 3
    one.exceeded(8, 1000)  # more than what is known to be too much
    assert one.batch(500) == 3
    assert BatchSize(lambda: None).batch(1000) == 8
    assert BatchSize(lambda: None).fits(10**12)


@pytest.mark.usefixtures("alone")
def test_models_share_the_memory_for_as_long_as_they_are_there() -> None:
    one = BatchSize(lambda: (100.0, 1_000_000))
    assert one.batch(1000) == 7
    other = BatchSize(lambda: (100.0, 1_000_000))
    assert one.batch(1000) == 7  # the other was not asked for anything so far
    assert [other.batch(1000), one.batch(1000)] == [3, 3]
    del other
    assert one.batch(1000) == 7


@pytest.mark.usefixtures("alone")
def test_memory_is_measured_by_one_thread_for_one_model_at_a_time() -> None:
    now, most, asked = 0, 0, 0

    def measure() -> tuple[float, int]:
        nonlocal now, most, asked
        now, asked = now + 1, asked + 1
        most = max(most, now)
        time.sleep(0.05)
        now -= 1
        return 100.0, 1_000_000

    rooms = [BatchSize(measure), BatchSize(measure)]
    with ThreadPoolExecutor(6) as threads:
        assert set(threads.map(lambda number: rooms[number % 2].batch(1000), range(6))) <= {3, 7}
    assert (most, asked) == (1, 2)
