"""Copies of batches to a GPU one step ahead, on a machine without one: in which order what is asked of CUDA."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from i2i.engine.device_batches import DeviceBatches

DEVICE = torch.device("cuda", 0)


class Copied:
    """A tensor on the fake device."""

    def __init__(self, number: int, log: list) -> None:
        self.number, self.log = number, log

    def record_stream(self, stream: FakeStream) -> None:
        self.log.append(("used by", stream.name, self.number))


class FakeStream:
    def __init__(self, name: str, log: list) -> None:
        self.name, self.log = name, log

    def record_event(self) -> int:
        events = sum(entry[0] == "event" for entry in self.log)
        self.log.append(("event", self.name, events))
        return events

    def wait_event(self, event: int) -> None:
        self.log.append(("waits", self.name, event))


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list:
    """What was asked of the fake CUDA, in order."""
    asked: list = []
    current = threading.local()

    @contextmanager
    def stream(chosen: FakeStream) -> Iterator[None]:
        current.stream = chosen
        yield
        del current.stream

    monkeypatch.setattr(torch.cuda, "Stream", lambda device: FakeStream("copies", asked))
    monkeypatch.setattr(torch.cuda, "stream", stream)
    monkeypatch.setattr(
        torch.cuda, "current_stream", lambda device: getattr(current, "stream", FakeStream("step", asked))
    )
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: asked.append(("pinned", int(self))) or self)
    return asked


def move(log: list, begun: list[threading.Event]):
    def moved(batch: dict[str, torch.Tensor]) -> dict:
        (number,) = (int(view) for view in batch.values())
        log.append(("copied on", torch.cuda.current_stream(DEVICE).name, number))
        begun[number].set()
        return {name: Copied(number, log) for name in batch}

    return moved


def numbered() -> Iterator[dict[str, torch.Tensor]]:
    return ({"x": torch.tensor(number)} for number in itertools.count())


def test_the_next_batch_is_copied_beside_the_step(log: list) -> None:
    begun = [threading.Event() for _ in range(9)]
    batches = DeviceBatches(numbered(), move(log, begun), DEVICE)
    for number in range(3):
        assert next(batches)["x"].number == number
        assert begun[number + 1].wait(20)  # nobody has asked for it yet
        assert not begun[number + 2].wait(0.05)  # one alone
    batches.close()
    copies = [entry for entry in log if entry[0] in ("pinned", "copied on", "event")]
    assert copies[:6] == [
        ("pinned", 0), ("copied on", "copies", 0), ("event", "copies", 0),
        ("pinned", 1), ("copied on", "copies", 1), ("event", "copies", 1),
    ]  # fmt: skip
    steps = [entry for entry in log if entry[0] in ("waits", "used by")]
    assert steps == [entry for n in range(3) for entry in (("waits", "step", n), ("used by", "step", n))]
    for number in range(3):
        assert log.index(("event", "copies", number)) < log.index(("waits", "step", number))
    assert not any(thread.name.startswith("i2i-copy") for thread in threading.enumerate())


def test_an_error_is_raised_with_its_own_batch(log: list) -> None:
    def failing() -> Iterator[dict[str, torch.Tensor]]:
        yield from itertools.islice(numbered(), 2)
        raise OSError("gone")

    batches = DeviceBatches(failing(), move(log, [threading.Event() for _ in range(9)]), DEVICE)
    assert [next(batches)["x"].number for _ in range(2)] == [0, 1]
    with pytest.raises(OSError, match="gone"):
        next(batches)
    batches.close()
