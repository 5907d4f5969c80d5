"""``i2i check``: its report and exit status."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from i2i.cli.check import command


@pytest.fixture
def folders(tmp_path):
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        for number in range(2):
            pixels = np.random.default_rng(number).integers(0, 255, (32, 32 + (name == "y"), 3), dtype=np.uint8)
            cv2.imwrite(str(tmp_path / name / f"{number}.png"), pixels)
    return tmp_path


def check(*arguments):
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def test_good_data_is_described(folders):
    result = check("cyclegan", "--a", folders / "x", "--b", folders / "y")
    assert result.exit_code == 0
    assert "source x: 2 images (2 PNG), 32 x 32 pixels, read as 8-bit RGB" in result.output
    assert "good to train: 2 images an epoch" in result.output


@pytest.mark.parametrize("how", ["pix2pix", "--paired"])
def test_problems_that_would_stop_training_are_named(folders, how):
    result = check(how, "--a", folders / "x", "--b", folders / "y")
    assert result.exit_code == 1
    assert "x/0.png is 32 x 32 and its pair" in result.stderr


def test_bad_files_are_an_error_unless_tolerated(folders):
    (folders / "x" / "bad.png").write_bytes(b"")
    assert check("--a", folders / "x", "--b", folders / "y").exit_code == 1
    result = check("--a", folders / "x", "--b", folders / "y", "--max-bad", 1)
    assert result.exit_code == 0
    assert "left out: " in result.output


def test_the_folder_of_a_student_is_one_of_images(folders):
    result = check("distill", "--teacher", "day2night", "--a", folders / "x")
    assert result.exit_code == 0, result.output
    assert "good to train: 2 images an epoch" in result.output
    result = check("distill", "--a", folders / "x")
    assert result.exit_code == 2
    assert "one folder is enough for --derive, or for distill with its --teacher" in result.stderr


def test_images_that_training_would_resize_much_are_noted(folders):
    both = ("--a", folders / "x", "--b", folders / "y")
    note = "note: training resizes images: x (32 x 32 pixels) enlarged 8.9 times"
    assert note in check(*both).output  # the default: 1.12 times 256 pixels
    assert note in check("cyclegan", *both).output
    for options in (("--size", 32), ("--size", 16, "--augment", "crop:4")):
        assert "resizes images" not in check(*both, *options).output
    assert "resizes images" not in check("dcgan", "--data", folders / "x").output
    result = check(*both, "--size", 0)
    assert isinstance(result.exception, ValueError), result.output


def test_many_domains_are_described(folders):
    result = check("stargan", "--data", folders)
    assert result.exit_code == 0
    assert "domain x: 2 images" in result.output
    assert "good to train: 4 images an epoch" in result.output
    (folders / "table.csv").write_text("file,old\n0.png,1\n1.png,0\n")
    result = check("--data", folders / "x", "--attributes", folders / "table.csv", "--select", "old")
    assert result.exit_code == 0
    assert "attributes: old 1" in result.output
    result = check("--data", folders / "x", "--attributes", folders / "table.csv", "--select", "young")
    assert result.exit_code == 1
    assert "has no 'young'; it has old" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["--a", "x"], ["--data", ".", "--a", "x"], ["cyclegan", "--paired", "--data", "."],
        ["stargan", "--unpaired", "--data", "."],
    ],
)  # fmt: skip
def test_wrong_usage_has_its_own_exit_status(arguments):
    assert check(*arguments).exit_code == 2


def test_captions(folders):
    (folders / "x" / "captions.csv").write_text("file,caption\n0.png,a house\n1.png,a tree\n")
    (folders / "y.csv").write_text("file,caption\n0.png,a house\n1.png,two old trees\n")
    for arguments, longest in ((("stackgan",), 2), (("--captions", folders / "y.csv"), 3)):
        result = check(*arguments, "--data", folders / "x")
        assert result.exit_code == 0
        assert f"captions: 2, of up to {longest} words; " in result.output
        assert "good to train: 2 images an epoch" in result.output
    result = check("stackgan", "--data", folders / "y")
    assert result.exit_code == 1
    assert "no image in it has a caption in text files" in result.stderr


def test_ranges_are_given_for_each_side(tmp_path):
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        for number in range(2):
            np.save(
                tmp_path / name / f"{number}.npy", np.random.default_rng(number).random((32, 32, 2), np.float32) - 0.5
            )
    folders = "--a", tmp_path / "x", "--b", tmp_path / "y"
    result = check("pix2pix", *folders, "--range", "a=-1..1,0..2", "--range", "b=-9..9")
    assert result.exit_code == 0
    assert "source x: 2 images (2 NPY), 32 x 32 pixels, read as 2 channels of float32 in -1..1, 0..2" in result.output
    assert "target y: 2 images (2 NPY), 32 x 32 pixels, read as 2 channels of float32 in -9..9" in result.output
    assert "warning: x: 2 with values beyond -1..1, 0..2, which are clipped: 0.npy, 1.npy" in result.output
    assert check("pix2pix", *folders, "--range", "-1..1").output.count("in -1..1") == 2
    refused = check("pix2pix", *folders, "--range", "a=3")
    assert refused.exit_code == 1
    assert "error: range is '3'; expected LOW..HIGH" in refused.stderr
