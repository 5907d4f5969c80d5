"""The batch of a step depends on the step only: not on workers, processes, or the start of the iteration."""

from __future__ import annotations

import threading

import pytest
import torch

from i2i.data import Batches, View, read_folders
from i2i.images import ImageError

VIEW = View((16, 24))


@pytest.fixture
def dataset(two_folders):
    return read_folders("unpaired", a=two_folders / "horses", b=two_folders / "zebras")


def take(count, *arguments, **options):
    with Batches(*arguments, **options) as batches:
        return [next(batches) for _ in range(count)]


def equal(one, other):
    return all(torch.equal(one[key], other[key]) for key in ("x", "y"))


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_starting_in_the_middle_gives_the_same_batches(dataset, workers):
    unbroken = take(9, dataset, VIEW, 2, seed=5, workers=0)
    assert unbroken[0]["x"].shape == (2, 3, 16, 24)
    for start in (0, 1, 4):
        resumed = take(9 - start, dataset, VIEW, 2, seed=5, start_step=start, workers=workers)
        assert all(equal(one, other) for one, other in zip(unbroken[start:], resumed, strict=True))


def test_two_processes_together_see_the_batches_of_one(dataset):
    alone = take(5, dataset, VIEW, 4, seed=5, workers=0)
    ranks = [take(5, dataset, VIEW, 4, seed=5, rank=rank, world=2, workers=2) for rank in range(2)]
    for whole, first, second in zip(alone, *ranks, strict=True):
        assert first["x"].shape[0] == 2
        assert equal(whole, {key: torch.cat([first[key], second[key]]) for key in whole})


def test_another_seed_is_another_sequence(dataset):
    one, other = take(1, dataset, VIEW, 4, seed=1)[0], take(1, dataset, VIEW, 4, seed=2)[0]
    assert not equal(one, other)


@pytest.mark.parametrize(("batch", "rank", "world"), [(3, 0, 2), (0, 0, 1), (4, 2, 2)])
def test_a_batch_that_cannot_be_split_is_an_error(dataset, batch, rank, world):
    with pytest.raises(ValueError, match="cannot be split"):
        Batches(dataset, VIEW, batch, rank=rank, world=world)


@pytest.mark.parametrize("workers", [0, 3])
def test_a_file_that_turns_bad_is_named_and_does_not_hang(two_folders, dataset, workers):
    for path in (two_folders / "zebras").iterdir():
        path.write_bytes(b"torn")
    with Batches(dataset, VIEW, 2, workers=workers) as batches, pytest.raises(ImageError, match=r"zebras/z\d\.png: "):
        next(batches)


def test_closing_ends_the_threads(dataset):
    before = threading.active_count()
    batches = Batches(dataset, VIEW, 2, workers=3)
    next(batches)
    assert threading.active_count() > before
    batches.close()
    assert threading.active_count() == before


def test_the_number_of_prepared_batches_is_bounded(dataset, monkeypatch):
    prepared = []
    real = dataset.sample
    monkeypatch.setattr(dataset, "sample", lambda p, *rest: (prepared.append(p), real(p, *rest))[1])
    with Batches(dataset, VIEW, 1, workers=2) as batches:
        for _ in range(3):
            next(batches)
    assert len(prepared) <= 3 + 2 * 2 + 2
