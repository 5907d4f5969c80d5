"""The queue, deadlines, clients that leave, batches, and an overload."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from i2i.images import decode_image
from i2i.runtime import Model
from i2i.serving.work import service as service_module
from tests.production.browser import WAIT
from tests.serving.conftest import Running, encoded, form, picture, running, wait_for

DATA = encoded(picture())


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Let inferences wait until the event is set. Those before the fixture's ``clear`` do not."""
    opened, run = threading.Event(), Model.run
    opened.set()

    def slow(self: Model, batch: np.ndarray) -> np.ndarray:
        assert opened.wait(30)
        return run(self, batch)

    monkeypatch.setattr(Model, "run", slow)
    yield opened
    opened.set()


def test_a_full_queue_answers_429_with_retry_after(models: Path, gate: threading.Event) -> None:
    with running(models / "tiny.onnx", workers=1, queue=2) as here, ThreadPoolExecutor(4) as threads:
        gate.clear()
        waiting = [threads.submit(here.translate, DATA) for _ in range(3)]
        wait_for(lambda: here.service.pool.waiting == 2 and here.service.pool.running == 1)
        refused = here.translate(DATA)
        assert (refused.status, int(refused.headers["retry-after"])) == (429, 1)
        assert refused.detail == "2 images in the queue, which is the limit; try again in about 1 s"
        assert here.metric("i2i_queue_waiting") == 2
        gate.set()
        assert [each.result().status for each in waiting] == [200] * 3
        assert here.translate(DATA).status == 200


def test_the_deadline_answers_504_and_frees_the_queue(models: Path, gate: threading.Event) -> None:
    with running(models / "tiny.onnx", workers=1, queue=8, timeout=1) as here, ThreadPoolExecutor(4) as threads:
        gate.clear()
        late = [threads.submit(here.translate, DATA) for _ in range(2)]
        assert [each.result().status for each in late] == [504, 504]
        assert here.service.pool.waiting == 0  # the second was taken out; the first is still in work
        assert here.service.pool.running == 1
        gate.set()
        wait_for(lambda: here.service.pool.running == 0)
        assert here.translate(DATA).status == 200


def test_an_image_whose_turn_comes_too_late_is_not_inferred(
    models: Path, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("i2i.runtime.jobs.parallel.LARGE", 1)  # so that one is inferred at a time
    started, run = list[None](), Model.run
    monkeypatch.setattr(Model, "run", lambda self, batch: (started.append(None), run(self, batch))[1])
    with running(models / "tiny.onnx", workers=2, timeout=1) as here, ThreadPoolExecutor(2) as threads:
        started.clear()
        gate.clear()
        late = [threads.submit(here.translate, DATA) for _ in range(2)]
        assert [each.result().status for each in late] == [504, 504]
        gate.set()
        wait_for(lambda: here.service.pool.running == 0)
        assert len(started) == 1
        assert here.metric("i2i_batch_images_sum") == 1


def test_no_work_is_done_for_a_client_that_left(models: Path, gate: threading.Event) -> None:
    with running(models / "tiny.onnx", workers=1, queue=8) as here, ThreadPoolExecutor(4) as threads:
        gate.clear()
        first = threads.submit(here.translate, DATA)
        wait_for(lambda: here.service.pool.running == 1)
        client = http.client.HTTPConnection("127.0.0.1", here.port)
        client.request("POST", "/v1/translate/tiny", DATA)
        wait_for(lambda: here.service.pool.waiting == 1)
        client.close()
        wait_for(lambda: here.service.pool.waiting == 0)
        gate.set()
        assert first.result().status == 200
        wait_for(lambda: 499 in [line["status"] for line in here.logged])
        assert here.metric('i2i_images_total{model="tiny"}') == 1
        assert here.metric('i2i_abandoned_total{reason="client gone"}') == 1


def test_an_image_in_work_is_given_up_between_two_steps(models: Path, gate: threading.Event, monkeypatch) -> None:
    encoding: list[object] = []
    monkeypatch.setattr("i2i.serving.work.translation.encode_image", lambda *_: encoding.append(1))
    with running(models / "tiny.onnx", workers=1) as here:
        gate.clear()
        client = http.client.HTTPConnection("127.0.0.1", here.port)
        client.request("POST", "/v1/translate/tiny", DATA)
        wait_for(lambda: here.service.pool.running == 1)
        client.close()
        wait_for(lambda: here.logged)
        gate.set()
        wait_for(lambda: here.service.pool.running == 0)
        assert encoding == []


def test_ten_times_the_capacity(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Accepted requests stay within the bound of the queue, the rest is refused at once, and then all is as before."""
    run, refused, opened = Model.run, list[None](), threading.Event()
    waiting: list[int] = []

    def slow(self: Model, batch: np.ndarray) -> np.ndarray:
        waiting.append(here.service.pool.waiting)
        assert opened.wait(WAIT)  # or a machine whose clients are slow might refuse none
        time.sleep(0.02)
        return run(self, batch)

    with running(models / "tiny.onnx", workers=2, queue=8) as here:
        monkeypatch.setattr(Model, "run", slow)

        def client(number: int) -> int:
            status = here.translate(DATA).status
            if status == 429:
                refused.append(None)
            if len(refused) >= 40:
                opened.set()
            return status

        with ThreadPoolExecutor(40) as threads:
            found = Counter(threads.map(client, range(400)))
        assert set(found) == {200, 429}
        assert found[200] >= 10  # two in work, and eight that wait
        assert found[429] >= 40
        assert max(waiting) <= 10  # those for a thread that has not woken up yet, too
        wait_for(lambda: here.service.pool.waiting == here.service.pool.running == 0)
        assert here.metric("i2i_body_bytes") == 0
        assert here.translate(DATA).status == 200


def test_several_files_wait_for_room_instead_of_429(models: Path) -> None:
    with running(models / "tiny.onnx", workers=1, queue=0) as here:
        body, headers = form(*[("f", f"{number}.png", DATA) for number in range(6)])
        answer = here.post("/v1/translate/tiny", body, headers=headers)
        assert (answer.status, answer.headers["i2i-failed"]) == (200, "0")
        assert here.metric('i2i_stage_seconds_count{stage="infer"}') == 6


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that wants batches: here the processor, which is taken for none."""
    init = Model.__init__

    def as_device(self: Model, *arguments: object, **options: object) -> None:
        init(self, *arguments, **options)  # type: ignore[arg-type]
        self.on_cpu = False
        monkeypatch.setattr(self.executor, "at_once", lambda *_: 4)

    monkeypatch.setattr(Model, "__init__", as_device)


@pytest.mark.usefixtures("device")
def test_images_of_one_size_are_batched_and_equal_single_ones(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, sizes = Model.run, []

    def recorded(self: Model, batch: np.ndarray) -> np.ndarray:
        sizes.append(batch.shape[:3])
        return run(self, batch)

    monkeypatch.setattr(Model, "run", recorded)
    with running(models / "weather.onnx", workers=16, batch_wait=0.2) as here, ThreadPoolExecutor(16) as threads:
        sizes.clear()
        pictures = [picture(16 + 8 * (seed % 2), 16, seed=seed) // 2 for seed in range(16)]
        asked = [("rain", 20), ("shine", 30)] * 8

        def one(number: int) -> np.ndarray:
            return decode_image(
                here.translate(encoded(pictures[number]), "weather", f"?to={asked[number % 16][0]}").body
            ).pixels

        results = list(threads.map(one, range(16)))
        for pixels, result, (_, step) in zip(pictures, results, asked, strict=True):
            assert (result == pixels + step).all()
        assert max(count for count, *_ in sizes) > 1
        assert sum(count for count, *_ in sizes) == 16
        assert here.metric("i2i_batch_images_sum") == 16


@pytest.mark.usefixtures("device")
def test_styles_beyond_those_in_batches_run_one_at_a_time(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("i2i.serving.work.served.MOST_BATCHERS", 1)
    run, active, counts = Model.run, list[None](), list[int]()

    def recorded(self: Model, batch: np.ndarray) -> np.ndarray:
        active.append(None)
        counts.append(len(active))
        time.sleep(0.05)
        try:
            return run(self, batch)
        finally:
            active.pop()

    monkeypatch.setattr(Model, "run", recorded)
    with running(models / "styled.onnx", workers=8) as here, ThreadPoolExecutor(8) as threads:
        queries = [f"?seed={seed}" for seed in range(20)]
        found = list(threads.map(lambda query: here.translate(DATA, "styled", query).status, queries))
        assert found == [200] * 20
        assert max(counts) <= 2  # one in the batches of the first style, and one of the others
        assert here.metric("i2i_batch_images_sum") == 20


def test_two_hundred_requests_on_one_connection(service: Running) -> None:
    client = http.client.HTTPConnection("127.0.0.1", service.port)
    for _ in range(200):
        client.request("POST", "/v1/translate/tiny", DATA)
        response = client.getresponse()
        assert (response.status, len(response.read()) > 0) == (200, True)
    client.close()


def test_freed_memory_goes_back_in_pauses_and_after_a_while_of_work(
    models: Path, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    released: list[int] = []
    monkeypatch.setattr(service_module, "PAUSE", 0.05)
    with running(models / "tiny.onnx", workers=2) as here, ThreadPoolExecutor(2) as threads:
        # of this service: the other tests' has pauses too, and measurements of a model's memory call it in any thread
        monkeypatch.setattr(here.service, "_release", lambda: released.append(1))
        time.sleep(0.3)
        assert released == []  # there was no work
        assert here.translate(DATA).status == 200
        wait_for(lambda: released)
        time.sleep(0.3)
        assert len(released) == 1  # once, until there is work again
        gate.clear()
        waiting = threads.submit(here.translate, DATA)
        wait_for(lambda: here.service.pool.running == 1)
        here.service.pool.done += 1  # of the other worker
        time.sleep(0.3)
        assert len(released) == 1  # an image is in work
        monkeypatch.setattr(service_module, "LONGEST", 0.0)
        wait_for(lambda: len(released) == 2)
        gate.set()
        assert waiting.result().status == 200
