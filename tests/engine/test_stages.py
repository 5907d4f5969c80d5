"""A method of two stages: the second starts from a run of the first."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from tests.engine.comparison import same
from tests.engine.test_finetune import run, state

pytestmark = pytest.mark.usefixtures("one_thread")

SECOND = {"stage": 2, "scale": 2, "blocks": 1, "size": 64, "height": 64, "width": 64}


@pytest.fixture(scope="module")
def first(folders, tmp_path_factory):
    return run("stackgan", folders, tmp_path_factory.mktemp("runs") / "first")


def weights(path):
    return load_file(path / "weights" / "generate.safetensors")


def test_stage_two_has_the_averaged_stage_one_and_never_changes_it(first, folders, tmp_path):
    second = run("stackgan", folders, tmp_path / "second", from_=first, **SECOND)
    before, after = weights(first), weights(second)
    assert before
    assert all(torch.equal(before[key], after[f"first.{key}"]) for key in before)
    assert set(after) - {f"first.{key}" for key in before}
    facts = json.loads((second / "run.json").read_text())
    assert facts["from"]["from"] == "first"
    assert facts["from"]["networks"] == ["generate"]
    tuned = run("stackgan", folders, tmp_path / "tuned", from_=second, lr=0, **SECOND)  # a stage II of a stage II
    before, after = state(second), state(tuned)
    judges = [key for key in before if key.startswith("D") and key.endswith(("weight", "bias"))]
    assert judges
    assert all(torch.equal(before[key], after[key]) for key in judges)


def test_a_second_stage_resumes_without_the_run_of_the_first(first, folders, tmp_path):
    shutil.copytree(first, tmp_path / "first")
    options = {"from_": tmp_path / "first", "save_every": 2, **SECOND}
    unbroken = run("stackgan", folders, tmp_path / "unbroken", steps=4, **options)
    run("stackgan", folders, tmp_path / "stopped", steps=4, dry_run=True, **options)
    assert not (tmp_path / "stopped").exists()
    shutil.copytree(unbroken, tmp_path / "stopped")
    newest = max((tmp_path / "stopped" / "state").iterdir())
    newest.unlink()
    facts = json.loads((tmp_path / "stopped" / "run.json").read_text())
    (tmp_path / "stopped" / "run.json").write_text(json.dumps(facts | {"status": "running", "step": 2}))
    shutil.rmtree(tmp_path / "first")
    run("stackgan", folders, tmp_path / "stopped", steps=4, **options)
    assert same(unbroken, tmp_path / "stopped")


def test_a_second_stage_without_the_first_or_with_another_is_refused(first, folders, tmp_path):
    with pytest.raises(ValueError, match="starts from a finished run of the stage before; give it with --from RUN"):
        run("stackgan", folders, tmp_path / "second", **SECOND)
    other = SECOND | {"size": 32, "height": 32, "width": 32}
    with pytest.raises(ValueError, match=r"(?s)another network than this run.*it was made with .*--set stage=1"):
        run("stackgan", folders, tmp_path / "second", from_=first, **other)
    data = tmp_path / "data"
    shutil.copytree(folders["stackgan"]["data"], data)
    (data / "0.txt").write_text("a red tree")
    options = SECOND | {"vocabulary": "a house red tree"}
    with pytest.raises(ValueError, match="first was trained on other captions: sentences of up to 4 words from a voc"):
        run("stackgan", {"stackgan": {"data": data}}, tmp_path / "second", from_=first, **options)
    assert not (tmp_path / "second").exists()


def test_a_local_enhancer_starts_from_a_finished_global_generator(folders, tmp_path):
    first = run("pix2pixhd", folders, tmp_path / "first")
    second = run("pix2pixhd", folders, tmp_path / "second", from_=first, stage=2, size=64)
    facts = json.loads((second / "run.json").read_text())
    assert facts["from"]["networks"] == ["a2b"]
    before, after = (load_file(path / "weights" / "a2b.safetensors") for path in (first, second))
    last = "last.1.weight"  # the one layer that never moves
    assert torch.equal(before[last], after[f"globe.{last}"])
    assert not torch.equal(before["first.1.weight"], after["globe.first.1.weight"])
    far = max((before[key] - after[f"globe.{key}"]).abs().max() for key in before)
    assert far < 0.01  # after a few steps of at most the learning rate
    with pytest.raises(ValueError, match="starts from a finished run of the stage before"):
        run("pix2pixhd", folders, tmp_path / "third", stage=2, size=64)
