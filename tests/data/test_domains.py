"""Datasets of many domains: folders, labels and errors."""

from __future__ import annotations

import os
from collections import Counter

import pytest
import torch

from i2i.data import Batches, DataError, View, has_split, read_folders
from i2i.images import ImageError
from i2i.spec import Domain

PLAIN = View((32, 32), load=1, flip=False, crop="center")
LEVELS = {"cloudy": 60, "rain": 120, "shine": 180}


@pytest.fixture
def weather(draw, tmp_path):
    """train/ of three domains with 4, 3 and 2 images about the level of their domain; test/ with one each."""
    for (name, level), count in zip(LEVELS.items(), (4, 3, 2), strict=True):
        for number in range(count):
            draw(f"photos/train/{name}/{number}.png", level + number)
        draw(f"photos/test/{name}/9.png", level + 9)
    return tmp_path / "photos"


def read(root, **options):
    return read_folders("domains", data=root, **options)


def names_and_levels(dataset, positions, seed=0):
    for position in positions:
        sample = dataset.sample(position, seed, PLAIN)
        (place,) = sample["c"].nonzero()
        assert sample["c"].dtype == torch.float32
        assert sample["c"].shape == (len(dataset.domains),)
        yield dataset.domains[place], float((sample["x"].mean() + 1) * 127.5)


def test_each_image_has_the_label_of_its_folder(weather):
    dataset = read(weather)
    assert (dataset.kind, dataset.domains) == ("domains", ("cloudy", "rain", "shine"))
    assert dataset.source == dataset.target == Domain("photos", 3, 8)
    assert dataset.hyperparameters == {"domains": 3, "attributes": False}
    assert len(dataset) == 9
    for epoch in range(3):
        seen = list(names_and_levels(dataset, range(9 * epoch, 9 * epoch + 9)))
        assert Counter(name for name, _ in seen) == {"cloudy": 4, "rain": 3, "shine": 2}
        assert all(abs(level - LEVELS[name]) < 8 for name, level in seen)
        assert len({round(level, 2) for _, level in seen}) == 9  # every image once


def test_a_sample_is_a_function_of_position_seed_and_view(weather):
    for position in (0, 5, 100):
        one, other = (read(weather).sample(position, 3, View((24, 24))) for _ in range(2))
        assert torch.equal(one["x"], other["x"])
        assert torch.equal(one["c"], other["c"])
    dataset = read(weather)
    orders = {tuple(names_and_levels(dataset, range(9), seed)) for seed in range(4)}
    assert len(orders) == 4
    with Batches(dataset, View((24, 24)), 4, workers=2) as batches:
        batch = next(batches)
    assert {name: view.shape for name, view in batch.items()} == {"x": (4, 3, 24, 24), "c": (4, 3)}


def test_splits(weather):
    assert len(read(weather, split="test")) == 3
    assert read(weather, split="test").domains == read(weather).domains
    assert has_split("test", weather, kind="domains")
    assert not has_split("val", weather, kind="domains")
    assert not has_split("test", kind="domains")
    with pytest.raises(DataError, match=r"photos/val: there is no folder of a domain"):
        read(weather, split="val")
    assert len(read(weather / "train")) == 9
    assert not has_split("test", weather / "train", kind="domains")


def test_splits_within_domains_are_refused(draw, tmp_path):
    for name in ("rain/train/1.png", "rain/test/2.png", "sun/train/3.png"):
        draw(name)
    with pytest.raises(DataError, match=r"rain has test and train inside; expected .*/train/rain"):
        read_folders("domains", data=tmp_path)


def test_folders_without_a_split_keep_their_names_and_depths(draw, tmp_path):
    for name in ("Rain/1.png", "rain/1.png", "d e/deep/1.jpg", ".hidden/1.png"):
        draw(f"x/{name}", len(name))
    (tmp_path / "x" / "notes.txt").touch()
    assert read(tmp_path / "x").domains == ("Rain", "d e", "rain")


def test_two_sides_are_two_domains(draw, tmp_path):
    for name in ("trainA/1.png", "trainB/1.png", "testA/1.png", "testB/1.png"):
        draw(f"x/{name}", len(name))
    assert (read(tmp_path / "x").domains, len(read(tmp_path / "x"))) == (("a", "b"), 2)
    assert has_split("test", tmp_path / "x", kind="domains")
    assert not has_split("val", tmp_path / "x", kind="domains")


def test_as_many_sides_as_there_are(draw, tmp_path):
    for name in ("trainA/1.png", "trainB/1.png", "trainC/1.png", "testB/1.png", "testC/1.png", "train_old/1.png"):
        draw(f"x/{name}", ord(name[5]))
    assert read(tmp_path / "x").domains == ("a", "b", "c")
    assert read(tmp_path / "x", split="test").domains == ("b", "c")


@pytest.mark.parametrize(("where", "sides"), [("train", ""), ("", "train")])
def test_images_beside_the_folders_are_counted(draw, tmp_path, where, sides):
    for name in "ab":
        draw(f"x/{where}/{sides}{name}/1.png", ord(name))
    (tmp_path / "x" / where / "notes.txt").touch()
    assert " beside the " not in str(read(tmp_path / "x").report)
    draw(f"x/{where}/1.png")
    assert "1 image beside the domains' folders is left out" in read(tmp_path / "x").report.warnings
    draw(f"x/{where}/2.JPG")
    dataset = read(tmp_path / "x")
    assert len(dataset) == 2
    assert "2 images beside the domains' folders are left out" in dataset.report.warnings


def test_some_domains_in_the_order_given(weather):
    dataset = read(weather, select="shine, cloudy")
    assert (dataset.domains, len(dataset)) == (("shine", "cloudy"), 6)
    assert all(abs(level - LEVELS[name]) < 8 for name, level in names_and_levels(dataset, range(6)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data": None}, "no data: give --data DIR with one folder per domain"),
        ({"a": ".", "data": None}, "not A, B and a direction"),
        ({"direction": "b2a"}, "not A, B and a direction"),
        ({"data": "photos/nowhere"}, "nowhere: there is no such folder"),
        ({"data": "photos/train/rain"}, "rain: there is no folder of a domain; expected"),
        ({"select": "rain"}, "the one domain 'rain' is not enough"),
        ({"select": "rain,snow"}, "train has no 'snow'; it has cloudy, rain, shine"),
        ({"select": "rain,rain"}, "'rain' is selected twice"),
    ],
)
def test_invalid_choices_of_domains_are_refused(weather, monkeypatch, options, message):
    monkeypatch.chdir(weather.parent)
    with pytest.raises(DataError, match=message):
        read_folders("domains", **({"data": "photos"} | options))


def test_other_kinds_have_no_attributes(weather):
    for options in ({"select": "rain"}, {"attributes": "table.csv"}):
        with pytest.raises(DataError, match="this method trains on unpaired data"):
            read_folders("unpaired", a=weather / "train/rain", b=weather / "train/shine", **options)


def test_an_empty_domain_and_unreadable_files_are_named(weather):
    (weather / "train" / "snow").mkdir()
    with pytest.raises(DataError, match=r"train/snow: no images in this folder"):
        read(weather)
    (weather / "train" / "snow" / "1.png").write_bytes(b"<html>")
    with pytest.raises(DataError, match=r"1 of 10 files cannot be read(.|\n)*snow/1\.png: this is HTML"):
        read(weather)
    with pytest.raises(DataError, match="no image of the domain 'snow' can be read"):
        read(weather, max_bad=1)
    (weather / "train" / "snow" / "1.png").rename(weather / "train" / "rain" / "bad.png")
    (weather / "train" / "snow").rmdir()
    dataset = read(weather, max_bad=1)
    assert len(dataset) == 9
    assert any("left out: " in warning and "bad.png" in warning for warning in dataset.report.warnings)
    os.unlink(weather / "train" / "rain" / "0.png")
    with pytest.raises(ImageError, match=r"rain/0\.png: No such file"):
        list(names_and_levels(dataset, range(9)))


def test_the_report_names_every_domain_and_an_image_of_two(weather):
    (weather / "train/rain/same.png").write_bytes((weather / "train/cloudy/1.png").read_bytes())
    report = str(read(weather).report)
    assert "domain rain: 4 images (4 PNG), 32 x 32 pixels, read as 8-bit RGB" in report
    assert "1 file in two domains: rain/same.png = cloudy/1.png" in report


def test_the_fingerprint_changes_with_labels_and_not_with_the_place(weather, tmp_path):
    first = read(weather).fingerprint
    weather.rename(tmp_path / "elsewhere")
    assert read(tmp_path / "elsewhere").fingerprint == first
    assert read(tmp_path / "elsewhere", select="rain,cloudy,shine").fingerprint != first
    os.rename(tmp_path / "elsewhere/train/rain/2.png", tmp_path / "elsewhere/train/shine/2.png")
    assert read(tmp_path / "elsewhere").fingerprint != first


def test_real_photos(reference):
    dataset = read(reference("data/weather4"))
    assert dataset.domains == ("cloudy", "rain", "shine", "sunrise")
    assert len(dataset) == 194 + 92 + 152 + 200
    assert "cloudy66.jpg" in str(dataset.report)  # the one grey photo
    assert len(read(reference("data/weather4"), split="test")) == 80
