"""Layouts of folders: the usual ones are recognised, and errors list what is expected."""

from __future__ import annotations

import os

import pytest

from i2i.data import DataError, has_split, read_folders
from i2i.spec import Domain


def domains(dataset):
    return dataset.source.name, dataset.target.name


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("trainA", "trainB"), ("train/A", "train/B"), ("train/a", "train/b"), ("A/train", "B/train"), ("A", "B"),
        ("a", "b"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["pairs", "unpaired"])
def test_two_folders_in_one(draw, tmp_path, kind, a, b):
    for number in range(3):
        draw(f"{a}/{number}.png", 50 + number)
        draw(f"{b}/{number}.jpg", 150 + number)
    dataset = read_folders(kind, data=tmp_path)
    assert (len(dataset), domains(dataset)) == (3, ("a", "b"))
    assert not has_split("val", data=tmp_path)


@pytest.mark.parametrize("folder", ["train", "."])
def test_files_that_hold_both_sides(draw, tmp_path, folder):
    for number in range(3):
        draw(f"{folder}/{number}.png", 50 + number, size=(32, 64))
    assert len(read_folders("pairs", data=tmp_path)) == 3
    assert len(read_folders("unpaired", data=tmp_path)) == 3


def test_a_link_gives_its_own_name(two_folders, tmp_path, monkeypatch):
    (tmp_path / "ponies").symlink_to(two_folders / "horses")
    dataset = read_folders("unpaired", a=tmp_path / "ponies", b=two_folders / "zebras")
    assert (dataset.source.name, dataset.target.name) == ("ponies", "zebras")
    monkeypatch.chdir(tmp_path / "ponies")  # the system knows this place by its real name
    assert read_folders("images", data=".").source.name == "horses"
    assert read_folders("images", data="../zebras").source.name == "zebras"
    with pytest.raises(DataError, match="are the same folder"):
        read_folders("unpaired", a=tmp_path / "ponies", b=two_folders / "horses")


def test_any_two_folders_give_their_names(two_folders):
    dataset = read_folders("unpaired", a=two_folders / "horses", b=two_folders / "zebras")
    assert domains(dataset) == ("horses", "zebras")
    assert len(dataset) == 5
    back = read_folders("unpaired", a=two_folders / "horses", b=two_folders / "zebras", direction="b2a")
    assert domains(back) == ("zebras", "horses")


def test_splits_inside_two_folders_are_read_separately(draw, tmp_path):
    for domain in ("x", "y"):
        draw(f"{domain}/train/1.png", 50)
        draw(f"{domain}/test/1.png", 60)
        draw(f"{domain}/test/2.png", 70)
    folders = {"a": tmp_path / "x", "b": tmp_path / "y"}
    assert len(read_folders("unpaired", **folders)) == 1
    assert len(read_folders("unpaired", **folders, split="test")) == 2
    assert has_split("test", **folders)
    assert not has_split("val", **folders)


@pytest.mark.parametrize("given", ["folder", "sides"])
def test_splits_of_one_side_alone_are_not_trained_on(draw, tmp_path, given):
    for name in ("a/train/1.png", "a/test/2.png", "b/3.png", "b/test/4.png"):
        draw(name)
    options = {"data": tmp_path} if given == "folder" else {"a": tmp_path / "a", "b": tmp_path / "b"}
    with pytest.raises(DataError, match="no 'train' data here" if given == "folder" else "a has test and train inside"):
        read_folders("unpaired", **options)


def test_splits_of_one_folder(draw, tmp_path):
    draw("train/1.png", size=(32, 64))
    draw("val/2.png", size=(32, 64))
    assert has_split("val", data=tmp_path)
    assert not has_split("test", data=tmp_path)


def test_folders_are_read_to_their_depths_in_any_format(draw, tmp_path):
    for name in ("1.png", "deep/1.jpg", "deep/er/ü 漢.webp", "-x.bmp", "t.tif"):
        draw(f"p q/{name}", 60)
        draw(f"r/{name}", 160)
    assert len(read_folders("pairs", a=tmp_path / "p q", b=tmp_path / "r")) == 5


def test_pairs_match_by_path_whatever_the_suffix(draw, tmp_path):
    for number in range(4):
        draw(f"x/d{number % 2}/{number}.png", 10 + 20 * number)
        draw(f"y/d{number % 2}/{number}.jpg", 11 + 20 * number)
    from i2i.data import View

    dataset = read_folders("pairs", a=tmp_path / "x", b=tmp_path / "y")
    for position in range(4):
        sample = dataset.sample(position, 0, View((32, 32), load=1, flip=False))
        assert abs(float(sample["x"].mean() - sample["y"].mean())) < 0.05


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "no data: give --data DIR"),
        ({"a": "horses"}, "both --a DIR and --b DIR"),
        ({"a": "horses", "b": "zebras", "data": "."}, "either --data DIR, or --a"),
        ({"a": "horses", "b": "horses"}, "the same folder"),
        ({"a": "horses", "b": "."}, "^horses lies inside .,"),
        ({"a": "horses", "b": "unicorns"}, "unicorns: there is no such folder"),
        ({"a": "horses", "b": "horses/0.png"}, "a file; a folder is needed"),
        ({"a": "horses", "b": "empty"}, "empty: no images in this folder"),
        ({"data": "."}, "no 'train' data here; it has empty, horses, zebras"),
    ],
)
def test_folders_of_unknown_layout_are_refused(two_folders, monkeypatch, options, message):
    (two_folders / "empty").mkdir()
    (two_folders / "empty" / "notes.txt").touch()
    monkeypatch.chdir(two_folders)
    with pytest.raises(DataError, match=message):
        read_folders("unpaired", **options)


def test_domains_to_choose_from_are_named(draw, tmp_path):
    for name in ("cat", "dog", "wild"):
        draw(f"train/{name}/1.png")
    with pytest.raises(
        DataError,
        match=r"contains the folders cat, dog, wild; choose two, such as --a '.*cat' --b '.*dog', or .* stargan",
    ):
        read_folders("unpaired", data=tmp_path)


def test_a_same_folder_behind_a_link_is_noticed(two_folders):
    os.symlink(two_folders / "horses", two_folders / "mares")
    with pytest.raises(DataError, match="same folder"):
        read_folders("unpaired", a=two_folders / "horses", b=two_folders / "mares")


def test_unmatched_names_are_all_named(draw, tmp_path):
    for number in range(3):
        draw(f"x/{number}.png")
        draw(f"y/{number + 1}.png")
    with pytest.raises(DataError) as caught:
        read_folders("pairs", a=tmp_path / "x", b=tmp_path / "y")
    assert "2 problems" in str(caught.value)
    assert f"{tmp_path / 'x/0.png'}: no image of this name in {tmp_path / 'y'}" in str(caught.value)
    assert f"{tmp_path / 'y/3.png'}: no image of this name in {tmp_path / 'x'}" in str(caught.value)


def test_pairs_without_a_common_name_point_to_unpaired_methods(two_folders):
    with pytest.raises(DataError, match=r"share no file name.*choose an unpaired method"):
        read_folders("pairs", a=two_folders / "horses", b=two_folders / "zebras")


def test_names_that_differ_by_suffix_alone_are_ambiguous_pairs(draw, tmp_path):
    for name in ("x/1.png", "x/1.jpg", "y/1.png"):
        draw(name)
    with pytest.raises(DataError, match=r"1\.jpg and 1\.png differ by suffix alone"):
        read_folders("pairs", a=tmp_path / "x", b=tmp_path / "y")
    assert len(read_folders("unpaired", a=tmp_path / "x", b=tmp_path / "y")) == 2


def test_pairs_of_different_sizes_are_both_named(draw, tmp_path):
    draw("x/1.png", size=(32, 32))
    draw("y/1.png", size=(32, 40))
    with pytest.raises(DataError, match=r"x/1\.png is 32 x 32 and its pair .*y/1\.png is 40 x 32"):
        read_folders("pairs", a=tmp_path / "x", b=tmp_path / "y")


def test_an_odd_file_of_two_sides_is_named(draw, tmp_path):
    draw("train/1.png", size=(32, 65))
    with pytest.raises(DataError, match=r"train/1\.png: 65 x 32 has no two halves"):
        read_folders("pairs", data=tmp_path)


def test_unreadable_files_are_named_before_training_or_left_out_up_to_a_number(two_folders):
    for number in range(2):
        (two_folders / "horses" / f"bad{number}.png").write_bytes(b"<html>")
    given = []
    with pytest.raises(DataError) as caught:
        read_folders("unpaired", a=two_folders / "horses", b=two_folders / "zebras", max_bad=1)
    message = str(caught.value)
    assert "2 of 10 files cannot be read" in message
    assert "bad0.png: this is HTML" in message
    assert "bad1.png: this is HTML" in message
    dataset = read_folders(
        "unpaired", a=two_folders / "horses", b=two_folders / "zebras", max_bad=2,
        progress=lambda done, total: given.append((done, total)),
    )  # fmt: skip
    assert len(dataset) == 5
    assert sum("left out" in warning and "bad" in warning for warning in dataset.report.warnings) == 2
    assert given == [(9, 10), (10, 10)]  # only the bad ones are read again


def test_an_unreadable_half_of_a_pair_leaves_out_the_pair(draw, tmp_path):
    for number in range(3):
        draw(f"x/{number}.png", 30)
        draw(f"y/{number}.png", 30)
    (tmp_path / "y" / "1.png").write_bytes(b"")
    assert len(read_folders("pairs", a=tmp_path / "x", b=tmp_path / "y", max_bad=1)) == 2


def test_a_domain_of_unreadable_files_is_an_error_whatever_is_tolerated(two_folders):
    (two_folders / "none").mkdir()
    (two_folders / "none" / "1.png").touch()
    with pytest.raises(DataError, match="none: no image in it can be read"):
        read_folders("unpaired", a=two_folders / "horses", b=two_folders / "none", max_bad=5)


def test_many_problems_are_counted_and_the_first_named(draw, tmp_path):
    draw("x/only.png")
    draw("y/only.png")
    for number in range(50):
        (tmp_path / "x" / f"{number:02d}.png").write_bytes(b"")
    with pytest.raises(DataError) as caught:
        read_folders("unpaired", a=tmp_path / "x", b=tmp_path / "y")
    assert "50 of 52 files" in str(caught.value)
    assert "19.png" in str(caught.value)
    assert "20.png" not in str(caught.value)
    assert "... and 30 more" in str(caught.value)


def test_the_form_of_a_domain_follows_its_images(draw, tmp_path):
    for number in range(2):
        draw(f"grey/{number}.png", 50 + number, mode="L")
        draw(f"mixed/{number}.png", 60 + number, mode="L" if number else "RGB")
        draw(f"deep/{number}.png", 70 + number, bits=16)
        draw(f"half/{number}.png", 80 + number, bits=8 + 8 * number)
        draw(f"clear/{number}.png", 90 + number, mode="RGBA")
    forms = {"grey": (1, 8), "mixed": (3, 8), "deep": (3, 16), "half": (3, 8), "clear": (3, 8)}
    for name, form in forms.items():
        other = "clear" if name != "clear" else "grey"
        dataset = read_folders("unpaired", a=tmp_path / name, b=tmp_path / other)
        assert dataset.source == Domain(name, *form)
    four = read_folders("unpaired", a=tmp_path / "grey", b=tmp_path / "clear", channels=4)
    assert (four.source.channels, four.target.channels) == (4, 4)


def test_the_report_says_what_was_found_and_warns(draw, tmp_path):
    for number in range(4):
        draw(f"x/{number}.png", 50 + number, size=(32, 32 + number))
    draw("x/deep.png", 80, bits=16)
    (tmp_path / "x" / "copy.png").write_bytes((tmp_path / "x" / "0.png").read_bytes())
    (tmp_path / "y").mkdir()
    (tmp_path / "y" / "same.png").write_bytes((tmp_path / "x" / "1.png").read_bytes())
    report = str(read_folders("unpaired", a=tmp_path / "x", b=tmp_path / "y").report)
    assert "source x: 6 images (6 PNG), 32 x 32 to 35 x 32 pixels, read as 8-bit RGB" in report
    assert "1 that repeat another file: copy.png = 0.png" in report
    assert "1 of 16 bits among images of 8 bits" in report
    assert "y: only one image" in report
    assert "1 file in both domains: 1.png = same.png" in report


def test_flat_images_are_reported(two_folders):
    import cv2
    import numpy as np

    cv2.imwrite(str(two_folders / "horses" / "black.png"), np.zeros((32, 32, 3), np.uint8))
    report = str(read_folders("unpaired", a=two_folders / "horses", b=two_folders / "zebras").report)
    assert "horses: 1 of one colour throughout: black.png" in report


def test_the_fingerprint_changes_with_the_data_and_not_with_the_place(draw, tmp_path, two_folders):
    def fingerprint(root):
        return read_folders("unpaired", a=root / "horses", b=root / "zebras").fingerprint

    import shutil

    first = fingerprint(two_folders)
    shutil.copytree(two_folders / "horses", tmp_path / "moved" / "horses")
    shutil.copytree(two_folders / "zebras", tmp_path / "moved" / "zebras")
    assert fingerprint(tmp_path / "moved") == first
    os.rename(tmp_path / "moved/horses/0.png", tmp_path / "moved/horses/9.png")
    assert fingerprint(tmp_path / "moved") != first
    draw("horses/0.png", 20, size=(32, 33))
    assert fingerprint(two_folders) != first
