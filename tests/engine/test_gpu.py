"""Tests that need a CUDA device; run them with ``python -m pytest -m gpu``."""

import json

import numpy as np
import pytest

from i2i.data import Batches, View, read_folders
from i2i.engine import load_generators, train
from i2i.engine.device_batches import DeviceBatches
from i2i.evaluation import evaluate
from i2i.exporter import export
from i2i.runtime import Model
from tests.engine.conftest import TINY

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("method", TINY)
def test_a_training_is_stopped_and_resumed(method, precision, folders, tmp_path):
    options = {**TINY[method], **folders[method], "precision": precision, "save_every": 3, "log_every": 1}
    run = train(method, **options, steps=3, out=tmp_path / "run", quiet=True)
    train(method, **options, steps=6, out=run, quiet=True)
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert all(np.isfinite(list(line.values())).all() for line in lines)
    for net, _ in load_generators(run).values():
        assert all(tensor.isfinite().all() for tensor in net.state_dict().values())


def test_the_batch_is_found_from_the_memory(folders, tmp_path):
    options = TINY["pix2pix"] | folders["pix2pix"] | {"batch": "auto", "sample_every": 0}
    run = train("pix2pix", **options, steps=1, out=tmp_path / "run", quiet=True)
    assert json.loads((run / "run.json").read_text())["settings"]["batch"] > 1


def test_batches_that_are_copied_ahead_are_those_on_the_cpu(folders):
    """While a step that takes longer than the copies still reads its batch."""
    device, view = torch.device("cuda"), View((32, 32))
    dataset = read_folders("unpaired", **folders["cyclegan"])
    with Batches(dataset, view, 2, workers=0) as plain, Batches(dataset, view, 2, workers=2) as read:
        ahead = DeviceBatches(
            read, lambda batch: {name: each.to(device, non_blocking=True) for name, each in batch.items()}, device
        )
        sums = []
        for _ in range(20):
            batch = next(ahead)
            assert batch["x"].device.type == "cuda"
            torch.cuda._sleep(20_000_000)  # clock cycles
            sums.append({name: each.double().sum() for name, each in batch.items()})
            del batch
        ahead.close()
        for found in sums:
            expected = next(plain)
            for name, each in expected.items():
                assert float(found[name]) == pytest.approx(float(each.double().sum()), abs=1e-6)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_training_is_evaluated(precision, folders, tmp_path):
    """The figure of the averaged weights on the GPU is that of the file that users get."""
    options = {**TINY["pix2pix"], **folders["pix2pix"], "precision": precision, "sample_every": 0}
    run = train("pix2pix", **options, steps=3, eval_every=3, metric="L1", out=tmp_path / "run", quiet=True)
    value = json.loads((run / "run.json").read_text())["validation"]["best"]["a2b"]["value"]
    found = evaluate(run, split="val", metrics="L1", size=64, provider="cpu")["L1"].value
    assert value == pytest.approx(found, abs=2 / 255)  # TF32 convolutions round to ten bits


@pytest.mark.parametrize("method", TINY)
def test_the_exported_file_gives_the_same_pixels_on_cuda(method, folders, tmp_path):
    options = {**TINY[method], **folders[method], "sample_every": 0}
    file = export(train(method, **options, steps=2, out=tmp_path / "run", quiet=True))
    images = np.random.default_rng(0).integers(0, 256, (3, 57, 91, 3), dtype=np.uint8)
    on_cuda, on_cpu = Model(file, "cuda"), Model(file, "cpu")
    assert on_cuda.provider == "cuda"
    to = on_cuda.spec.domains[0] if on_cuda.spec.domains else None
    difference = on_cuda.toward(to).run(images).astype(int) - on_cpu.toward(to).run(images)
    assert np.abs(difference).max() <= 2  # TF32 convolutions round to ten bits
