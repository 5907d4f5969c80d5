"""Listing of the images in a folder that contains other files too."""

from __future__ import annotations

import os

import pytest

from i2i.atomic import TEMPORARY_SUFFIX
from i2i.images import ImageError, list_images


def names(root, **options):
    return [path.relative_to(root).as_posix() for path in list_images(root, **options)]


def test_images_are_found_below_in_the_order_of_their_paths(tmp_path):
    for name in ("b.JPG", "a/z.png", "a/y/x.webp", "a b.tif", "ü 漢.png", "-dash.bmp", "new\nline.gif", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    expected = ["b.JPG", "a/z.png", "a/y/x.webp", "a b.tif", "ü 漢.png", "-dash.bmp", "new\nline.gif"]
    assert names(tmp_path) == sorted(expected)


def test_hidden_and_temporary_files_are_passed_over(tmp_path):
    (tmp_path / ".git").mkdir()
    for name in (".git/a.png", ".b.png", "c.png" + TEMPORARY_SUFFIX, "d.png"):
        (tmp_path / name).touch()
    assert names(tmp_path) == ["d.png"]


def test_a_loop_of_links_ends_and_each_folder_is_listed_once(tmp_path):
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "real" / "x.png").touch()
    (tmp_path / "real" / "deep" / "up").symlink_to(tmp_path)
    (tmp_path / "an_alias").symlink_to(tmp_path / "real")
    (tmp_path / "self").symlink_to("self")
    assert names(tmp_path) == ["real/x.png"]


def test_links_out_of_the_folder_are_followed(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x.png").touch()
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path / "elsewhere")
    assert names(tmp_path / "root") == ["link/x.png"]


def test_pipes_are_not_listed_but_dangling_links_are(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nothing.png")
    assert names(tmp_path) == ["gone.png"]  # reading it is an error that names it


def test_names_that_are_no_text_are_listed(tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    (tmp_path / name).touch()
    assert names(tmp_path) == [name]
    assert str(ImageError(tmp_path / name, "damaged")).isprintable()


def test_a_folder_that_cannot_be_opened_is_reported(tmp_path, monkeypatch):
    for folder in ("good", "locked"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.png").touch()
    real = os.scandir

    def refuse(path):
        if os.fspath(path).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)  # the superuser may open anything
    with pytest.raises(ImageError, match="locked: the folder cannot be read: Permission denied"):
        list_images(tmp_path)
    errors: list[ImageError] = []
    assert names(tmp_path, on_error=errors.append) == ["good/x.png"]
    assert [error.path.name for error in errors] == ["locked"]


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(ImageError, match="No such file"):
        list_images(tmp_path / "none")
