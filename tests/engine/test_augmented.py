"""Augmentation as settings of a run: what is trained on, what is recorded, and what is refused."""

import json
import shutil

import pytest
import torch

from i2i.data import View
from i2i.engine import train
from i2i.engine.prepare import sample_batch, training_view
from i2i.engine.run_folder import Run
from i2i.engine.settings import Settings
from tests.engine.comparison import same
from tests.engine.conftest import TINY

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def options(folders):
    tiny = TINY["pix2pix"] | {"augment": None, "diff_augment": None}
    return {"method": "pix2pix", **tiny, **folders["pix2pix"], "sample_every": 0, "steps": 2, "quiet": True}


def recorded(run):
    return json.loads((run / "run.json").read_text())["settings"]


def losses(run):
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [line["G/l1"] for line in lines]


def test_the_default_is_crop_and_flip_and_none_of_generators(options, folders, tmp_path):
    run = train(**options, out=tmp_path / "default")
    assert (recorded(run)["augment"], recorded(run)["diff_augment"]) == ("crop,flip", "none")
    stated = train(**options | {"augment": "flip,crop", "diff_augment": "none"}, out=tmp_path / "stated")
    assert same(run, stated)
    other = train(**options | {"augment": "none"}, out=tmp_path / "none")
    assert losses(other) != losses(run)
    images = TINY["gan"] | folders["gan"] | {"method": "gan", "augment": None, "steps": 1, "quiet": True}
    generator = train(**images, out=tmp_path / "generator")
    assert recorded(generator)["augment"] == "none"
    flipped = train(**images | {"augment": "flip"}, out=tmp_path / "flipped")
    assert recorded(flipped)["augment"] == "flip"


@pytest.mark.parametrize("method", ["pix2pix", "gan"])
def test_a_run_without_a_record_goes_on_with_its_methods_default(method, folders, tmp_path):
    """Runs of earlier versions have none."""
    options = TINY[method] | folders[method] | {"method": method, "augment": None, "diff_augment": None, "quiet": True}
    unbroken = train(**options, steps=4, save_every=2, out=tmp_path / "unbroken")
    run = shutil.copytree(unbroken, tmp_path / "run")
    (run / "state" / "000000004.pt").unlink()
    facts = json.loads((run / "run.json").read_text()) | {"status": "running", "step": 2}
    del facts["settings"]["augment"], facts["settings"]["diff_augment"]
    (run / "run.json").write_text(json.dumps(facts))
    train(**options, steps=4, save_every=2, out=run)
    assert same(unbroken, run)


def test_both_are_recorded_and_refused_when_they_differ(options, tmp_path):
    given = options | {"augment": "crop,color:0.2,rotate:10", "diff_augment": "cutout,colour"}
    run = train(**given, out=tmp_path / "run")
    assert recorded(run)["augment"] == "crop,colour:0.2,rotate:10"
    assert recorded(run)["diff_augment"] == "colour,cutout"
    with pytest.raises(
        ValueError, match=r"(?s)other settings:\n  augment: crop,colour:0.2,rotate:10 -> crop\n  diff_au"
    ):
        train(**given | {"augment": "crop", "diff_augment": "none", "steps": 4}, out=run)
    train(**given | {"augment": "crop", "diff_augment": "none", "steps": 4}, out=run, override=True)
    assert (recorded(run)["augment"], recorded(run)["diff_augment"]) == ("crop", "none")


def test_each_changes_what_is_learned(options, tmp_path):
    found = [
        losses(train(**options | {"log_every": 1, **more}, out=tmp_path / str(number)))
        for number, more in enumerate(({}, {"augment": "crop,flip,colour:0.2"}, {"diff_augment": "colour"}))
    ]
    assert found[0][0] != found[1][0]
    assert found[0][0] == found[2][0]  # before D's first gradient reaches G
    assert found[0][1] != found[2][1]


def test_sample_sheets_are_not_augmented(options, folders, tmp_path, monkeypatch):
    from i2i.data import Dataset, read_folders

    settings = Settings.from_dict({"method": "pix2pix", "size": 32, "augment": "crop,rotate:30,cutout:0.5"})
    dataset: Dataset = read_folders("pairs", **folders["pix2pix"])
    assert training_view(settings) == View((32, 32), flip=False, rotate=30, cutout=0.5)
    plain = Settings.from_dict({"method": "pix2pix", "size": 32, "augment": "none"})
    batch = sample_batch(settings, dataset)
    assert torch.equal(batch["x"], sample_batch(plain, dataset)["x"])
    assert not (batch["x"] == 0).all(1).any()


def test_what_a_method_cannot_have_is_refused(options, folders, tmp_path):
    with pytest.raises(
        ValueError, match=r"augment is 'source-colour:0.2', and gan has one kind of images; expected col"
    ):
        train("gan", **folders["gan"], augment="source-colour:0.2", batch=2, out=tmp_path / "run", quiet=True)
    with pytest.raises(
        ValueError, match=r"diff_augment is colour, which changes what a discriminator .* began has none"
    ):
        train("began", **folders["began"], diff_augment="colour", out=tmp_path / "run", quiet=True, batch=2)
    with pytest.raises(ValueError, match="expected rotate with a number from 0 to 180"):
        Run.open("pix2pix", tmp_path / "run", folders["pix2pix"] | {"augment": "rotate:200"})
    with pytest.raises(ValueError, match=r"with 'turn'; expected none, or some of colour, translation, cutout"):
        Run.open("pix2pix", tmp_path / "run", folders["pix2pix"] | {"diff_augment": "turn"})
    assert not (tmp_path / "run").exists()
