"""Data sets of drawings on disk, and ``i2i demo --what``."""

import csv
import shlex

import numpy as np
import pytest
from click.testing import CliRunner

from i2i.cli import demo as cli_demo
from i2i.cli.train import command as train_command
from i2i.data.attributes import read_table
from i2i.demo import datasets
from i2i.demo import run as demo_run
from i2i.demo.captions import stated
from i2i.demo.datasets import DATASETS, draw_captions, draw_family
from i2i.demo.tasks import TRAININGS
from i2i.images import list_images, read_image

COUNT = 40


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    out = tmp_path_factory.mktemp("drawn")
    for draw in DATASETS.values():
        draw(out, 3, COUNT)
    return out


def _rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return {row.pop("file"): row for row in csv.DictReader(file)}


def _contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", DATASETS)
def test_every_image_has_a_row_and_every_row_an_image(drawn, name):
    images = {path.relative_to(drawn / name).as_posix() for path in list_images(drawn / name)}
    assert len(images) == COUNT + COUNT // 10
    assert sum(image.startswith("test/") for image in images) == COUNT // 10
    table = read_table(drawn / name / "attributes.csv")
    assert table.rows.keys() == images
    assert all(read_image(drawn / name / image).pixels.shape == (64, 64, 3) for image in images)
    assert len({path.read_bytes() for path in list_images(drawn / name)}) == len(images), "an image appears twice"


def test_captions_agree_with_the_attributes(drawn):
    captions, truths = (_rows(drawn / "captions" / name) for name in ("captions.csv", "attributes.csv"))
    assert captions.keys() == truths.keys()
    for file, row in captions.items():
        facts = stated(row["caption"])
        assert len(facts) >= 2
        assert facts.items() <= {name: value == "1" for name, value in truths[file].items()}.items()


def test_combinations_of_the_test_folder_are_not_trained_on(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "write_image", lambda path, image: path.write_bytes(b""))
    monkeypatch.setattr(datasets, "landscape", lambda look, seed: np.zeros((64, 64, 3), np.uint8))
    truths = _rows(draw_captions(tmp_path, count=400) / "attributes.csv")
    train, test = (
        {tuple(row.values()) for file, row in truths.items() if file.startswith(split)} for split in ("train/", "test/")
    )
    assert (len(train), len(test)) == (280, 40)
    assert not train & test


def test_faces_lie_in_the_folders_of_their_groups(drawn):
    truths = _rows(drawn / "family" / "attributes.csv")
    groups = [file.rsplit("/", 1)[0] for file in truths]
    for group in ("smiling-woman", "calm-woman", "smiling-man", "calm-man"):
        assert groups.count(f"train/{group}") == COUNT // 4
        assert groups.count(f"test/{group}") == COUNT // 40
    for file, row in truths.items():
        assert (row["smiling"] == "1") == ("/smiling-" in file)
        assert (row["woman"] == "1") == ("-woman/" in file)


@pytest.mark.parametrize("name", DATASETS)
def test_a_seed_gives_the_same_bytes_and_another_seed_other_images(drawn, tmp_path, name):
    first = _contents(drawn / name)
    assert _contents(DATASETS[name](tmp_path / "same", 3, COUNT)) == first
    other = _contents(DATASETS[name](tmp_path / "other", 4, COUNT))
    images = [{data for file, data in some.items() if file.endswith(".png")} for some in (first, other)]
    assert not images[0] & images[1]


def test_a_complete_data_set_is_kept(drawn):
    changed = drawn / "family" / "test" / "calm-man" / "00003.png"
    before = changed.read_bytes()
    changed.write_bytes(b"mine")
    assert draw_family(drawn, 3, COUNT) == drawn / "family"
    assert changed.read_bytes() == b"mine"
    changed.write_bytes(before)


def test_an_interrupted_drawing_has_no_name_and_is_continued(drawn, tmp_path, monkeypatch):
    write, written = datasets.write_image, []

    def interrupted(path, image):
        if len(written) == 12:
            raise KeyboardInterrupt
        written.append(path)
        write(path, image)

    monkeypatch.setattr(datasets, "write_image", interrupted)
    with pytest.raises(KeyboardInterrupt):
        draw_family(tmp_path, 3, COUNT)
    assert not (tmp_path / "family").exists()
    monkeypatch.setattr(datasets, "write_image", lambda path, image: written.append(path) or write(path, image))
    assert _contents(draw_family(tmp_path, 3, COUNT)) == _contents(drawn / "family")
    assert len(written) == len(set(written)) == COUNT + COUNT // 10
    assert [path.name for path in tmp_path.iterdir()] == ["family"]


def test_what_is_no_data_set_or_another_one_is_left_alone(drawn, tmp_path):
    (tmp_path / "captions").mkdir()
    (tmp_path / "captions" / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="exists already and is not a drawn data set; give another folder"):
        draw_captions(tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == ["captions", "mine.txt"]
    with pytest.raises(ValueError, match=r'contains drawings with {"seed": 3, "count": 40}, not {"seed": 4'):
        draw_captions(drawn, 4, COUNT)
    with pytest.raises(ValueError, match="count is 9; expected at least 10"):
        draw_captions(tmp_path / "new", 0, 9)


@pytest.mark.slow
@pytest.mark.parametrize("name", DATASETS)
def test_the_command_draws_and_prints_trainings_that_start(tmp_path, monkeypatch, name):
    draw = DATASETS[name]
    monkeypatch.setitem(DATASETS, name, lambda out, seed: draw(out, seed, COUNT))
    out = tmp_path / "a demo"
    result = CliRunner().invoke(cli_demo.command, ["--what", name, "--out", str(out), "--seed", "5"])
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert f"open {out / name}" in lines
    commands = [shlex.split(line.partition(": i2i ")[2]) for line in lines if ": i2i " in line]
    assert len(commands) == len(TRAININGS[name]) > 0
    for verb, *arguments in commands:
        assert verb == "train"
        dry = CliRunner().invoke(train_command, [*arguments, "--batch=4", "--dry-run"])
        assert dry.exit_code == 0, dry.output


def test_the_command_knows_every_data_set():
    assert ("drawings", *DATASETS) == cli_demo.WHAT
    assert TRAININGS.keys() == DATASETS.keys()


def test_data_sets_and_the_demo_share_a_folder(tmp_path, monkeypatch):
    monkeypatch.setitem(DATASETS, "family", lambda out, seed: draw_family(out, seed, 10))
    demo_run.draw_dataset(tmp_path / "d", "family", 5)
    demo_run._open_folder(tmp_path / "d", {"seed": 5, "scale": 1.0})
    with pytest.raises(ValueError, match="give another folder with --out"):
        demo_run.draw_dataset(tmp_path / "d", "family", 6)
