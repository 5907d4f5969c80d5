"""What a step needs is found without computing it, and out of memory says what to lower."""

import re

import pytest
import torch

from i2i.engine import memory, train
from i2i.engine.auto_batch import play_on_noise
from i2i.engine.distributed import World
from i2i.engine.memory import Peak, advice, enough_memory, needed
from i2i.engine.run_folder import Run
from i2i.engine.train_state import TrainState
from tests.engine.conftest import TINY

pytestmark = pytest.mark.usefixtures("one_thread")
GB = 1e9
SMALL = {"size": 128, "ngf": 4, "ndf": 2, "generator": "resnet_1"}


def run_of(method, **given):
    run = Run.open(method, "no run", {"a": ".", "b": ".", "precision": "fp32", **given})
    run.facts |= {"source": {"channels": 3}, "target": {"channels": 3}}
    return run


@pytest.mark.parametrize(
    ("method", "size", "room"),
    [("cyclegan", 512, 8), *(pytest.param(m, 1024, 24, marks=pytest.mark.slow) for m in ("cyclegan", "cut"))],
)
def test_large_images_fit_into_usual_cards_in_single_precision(method, size, room):
    assert 2 * GB < needed(run_of(method, size=size, checkpointing="on")) < room * GB


@pytest.mark.parametrize("given", [{}, {"checkpointing": "on"}, {"accumulate": 2}, {"batch": 2}])
def test_the_need_is_that_of_the_same_steps_computed(given):
    run = run_of("cyclegan", **SMALL, **given)
    with Peak() as peak:
        play_on_noise(run, TrainState(run, World()), run.settings.batch)
    assert needed(run) == pytest.approx(memory.BESIDES * peak.most, rel=0.01)


def test_checkpointing_and_parts_need_less_and_a_batch_more():
    usual = needed(run_of("cyclegan", **SMALL))
    assert needed(run_of("cyclegan", **SMALL, checkpointing="on")) < 0.5 * usual
    assert needed(run_of("cyclegan", **SMALL, batch=4)) > 3 * usual
    assert needed(run_of("cyclegan", **SMALL, accumulate=4)) < 1.5 * usual
    assert needed(run_of("cyclegan", **SMALL, precision="fp64")) == pytest.approx(2 * usual, rel=0.01)


@pytest.mark.parametrize(
    ("given", "room", "expected"),
    [
        ({}, 0.75, r"a step needs about [\d.]+ GB, and \d\.\d GB of memory are free; --checkpointing on needs about "),
        ({"batch": 4}, 0.6, r"; --batch 2 --accumulate 2 needs about "),
        pytest.param(
            {"batch": 4, "checkpointing": "on"},
            0.75,
            r"; --batch 2 --accumulate 2 needs about ",
            marks=pytest.mark.slow,
        ),
        ({"checkpointing": "on"}, 0.75, r"; --checkpointing on --size 96 needs about "),
        ({}, 0.0, r"; neither checkpointing nor a quarter of the size fits: use smaller networks \(--preset cpu\)$"),
    ],
)
def test_the_first_change_that_fits_is_named(given, room, expected):
    run = run_of("cyclegan", **SMALL, **given)
    assert re.search(expected, advice(run, World(), int(room * needed(run))))


def test_a_method_that_must_be_computed_gets_general_advice():
    run = run_of("pix2pix", size=64, generator="unet_64", balance=0.1)
    assert needed(run) is None
    words = "a step does not fit into memory; give --checkpointing on, a smaller --batch or a smaller --size"
    assert advice(run, World(), 10) == advice(run, World(), None) == words


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."),
    ],
)
def test_running_out_of_memory_is_one_sentence(error, folders, tmp_path, monkeypatch):
    options = TINY["pix2pix"] | folders["pix2pix"] | {"steps": 2, "batch": 2}

    def fails(*_):
        raise error

    monkeypatch.setattr(memory, "_room", lambda world: 10)
    monkeypatch.setattr("i2i.engine.step.Move.backward", fails)
    monkeypatch.setattr(memory, "needed", lambda run: 12 if run.settings.batch == 2 else 8)
    with pytest.raises(ValueError, match=r"^a step needs about 0\.0 GB, .*; --batch 1 --accumulate 2 needs about"):
        train("pix2pix", **options, out=tmp_path / "run", quiet=True)


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match="another"), enough_memory(run_of("pix2pix"), World()):
        raise RuntimeError("another")
