"""One model from many threads, and in a process that was forked after it was opened."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import i2i
from i2i.runtime import Model, ModelError
from tests import tiny


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.brighter(tmp_path_factory.mktemp("model") / "weather.onnx")


@pytest.mark.parametrize("side_by_side", [False, True])
def test_eight_threads_on_one_session(path: Path, side_by_side: bool) -> None:
    """Each thread gets the result for its own image, size and domain."""
    model = Model(path, "cpu", 2, side_by_side)
    together = threading.Barrier(8, timeout=60)

    def ask(number: int) -> None:
        together.wait()
        for turn in range(40):
            level, to = (number * 40 + turn) % 200, tiny.WEATHER.domains[(number + turn) % 3]
            image = np.full((5 + number, 7 + turn % 4, 3), level, np.uint8)
            result = model(image, to=to)
            assert result.shape == image.shape
            assert (result == level + 10 * (1 + (number + turn) % 3)).all()

    with ThreadPoolExecutor(8) as threads:
        for asked in [threads.submit(ask, number) for number in range(8)]:
            asked.result(timeout=120)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_fork_after_the_session_was_opened(path: Path) -> None:
    """As in a worker of a web server, which opens a model that its parent had opened too.

    On one thread the parent's own session works as well; its threads, where it has more, are not there in the child.
    """
    parent = Model(path, "cpu", 1)
    image = np.full((9, 8, 3), 5, np.uint8)
    assert (parent(image, to="rain") == 25).all()
    child = os.fork()
    if child == 0:  # no assertion in here: pytest would go on in both
        status = 1
        try:
            opened = i2i.load(path, "cpu", threads=2)
            right = (opened(image, to="shine") == 35).all() and (parent(image, to="rain") == 25).all()
            status = 0 if right else 2
        finally:
            os._exit(status)
    assert _ended(child) == 0
    assert (parent(image, to="cloudy") == 15).all()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize("provider", ["cpu", "openvino"])
def test_a_fork_of_a_process_whose_session_has_threads_is_an_error(path: Path, tmp_path: Path, provider: str) -> None:
    """The child does not have these threads, and an inference would wait for them for ever."""
    pytest.importorskip(provider if provider != "cpu" else "os")
    model = Model(tiny.brighter(tmp_path / "m.onnx"), provider, 2)
    image = np.full((400, 400, 3), 5, np.uint8)
    assert (model(image, to="rain") == 25).all()
    child = os.fork()
    if child == 0:  # no assertion in here: pytest would go on in both
        status = 1
        try:
            model(image, to="rain")
        except ModelError as error:
            status = 0 if "open the model after the fork" in str(error) else 2
        finally:
            os._exit(status)
    assert _ended(child) == 0
    assert (model(image, to="rain") == 25).all()


def _ended(child: int) -> int:
    """The exit status of a process that was forked, which fails the test if it hangs."""
    end = time.monotonic() + 30
    while (done := os.waitpid(child, os.WNOHANG))[0] == 0:
        if time.monotonic() > end:
            os.kill(child, 9)
            os.waitpid(child, 0)
            pytest.fail("the child hangs")
        time.sleep(0.02)
    return os.waitstatus_to_exitcode(done[1])


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_many_sizes_through_one_session_take_no_more_memory_than_the_largest(tmp_path: Path) -> None:
    """Sizes below that at which a CPU gives the memory back: 30 of them, and 30 again."""
    model = i2i.load(tiny.inverter(tmp_path / "invert.onnx"), "cpu", threads=1)
    sizes = [int(side) for side in np.random.default_rng(0).permutation(np.linspace(100, 500, 30))]
    model(np.zeros((500, 500, 3), np.uint8))
    before, grown = resident(), []
    for side in sizes * 2:
        model(np.zeros((side, 600 - side, 3), np.uint8))
        grown.append(resident() - before)
    assert max(grown) < 40 << 20  # an image of the largest takes 3 MB as floats, in each of three steps
    assert grown[-1] - grown[29] < 4 << 20


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
