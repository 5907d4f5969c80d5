"""Warnings about images that a network sees as almost black, and about images too flat for instance norm."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from i2i.data import read_folders
from i2i.data.facts import inspect_files
from i2i.data.inspection import flat_note, scale_note


def warnings(folder, draw):
    """Warnings about domain A of ``draw(rng)`` -> pixels, beside a B of ordinary colour images."""
    rng = np.random.default_rng(0)
    for name in "AB":
        (folder / name).mkdir()
        for number in range(3):
            pixels = draw(rng) if name == "A" else rng.integers(0, 256, (40, 40, 3), np.uint8)
            assert cv2.imwrite(str(folder / name / f"{number}.png"), pixels)
    found = read_folders("unpaired", a=folder / "A", b=folder / "B").report.warnings
    assert not [warning for warning in found if warning.startswith("B")]
    return [warning for warning in found if "almost black" in warning]


def classes(rng, count=5, shape=(40, 40)):
    return rng.integers(0, count, shape, np.uint8)


def with_border(rng):
    """As in Pascal VOC: 255 where there is no class."""
    mask = classes(rng, 21)
    mask[:, :3] = 255
    return mask


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (classes, "A: no value above 4 of 255 in 3 images, so the network sees almost black; if they are class "
         "numbers, multiply all below 255 by 63 or save each class in its own colour"),
        (with_border, "A: no value above 20 of 255 in 3 images, so the network sees almost black; if they are class "
         "numbers, multiply all below 255 by 12 or save each class in its own colour"),
        (lambda rng: np.dstack([classes(rng)] * 3), "no value above 4 of 255"),
        (lambda rng: rng.integers(0, 4096, (40, 40), np.uint16), "12 of 16 bits: give their range: --range 0..4095"),
        (lambda rng: rng.integers(0, 256, (40, 40), np.uint16), "8 of 16 bits: give their range: --range 0..255"),
        (lambda rng: rng.integers(0, 4096, (40, 40, 3), np.uint16), "they fill 12 of 16 bits"),
    ],
    ids=["classes", "classes and a border", "classes in RGB", "12 bits", "8 bits in 16", "12 bits in RGB"],
)  # fmt: skip
def test_images_that_use_a_part_of_their_range_are_a_warning(tmp_path, draw, words):
    (warning,) = warnings(tmp_path, draw)
    assert words in warning


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng: rng.integers(0, 2, (40, 40), np.uint8) * 255,
        lambda rng: rng.integers(0, 256, (40, 40, 3), np.uint8),
        lambda rng: rng.integers(0, 65536, (40, 40), np.uint16),
        lambda rng: rng.integers(0, 100, (40, 40, 3), np.uint8),
        lambda rng: classes(rng) * 60,
        lambda rng: np.pad(np.full((1, 1), 200, np.uint8), ((5, 34), (35, 4))),
        lambda rng: np.zeros((40, 40), np.uint8),
    ],
    ids=["black and white", "8 bits", "16 bits", "dim", "spread classes", "one bright pixel", "black"],
)
def test_images_of_full_range_give_no_warning(tmp_path, draw):
    assert not warnings(tmp_path, draw)


def test_one_dark_image_of_a_domain_gives_no_warning(tmp_path):
    levels = iter((4, 4, 200))
    assert not warnings(tmp_path, lambda rng: rng.integers(0, next(levels) + 1, (40, 40), np.uint8))


@pytest.mark.parametrize(("side", "name"), [(0, "a"), (1, "b")])
def test_the_halves_of_a_file_are_judged_each(tmp_path, side, name):
    rng = np.random.default_rng(0)
    for number in range(3):
        halves = [np.dstack([classes(rng)] * 3), rng.integers(0, 256, (40, 40, 3), np.uint8)]
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.hstack(halves[:: 1 - 2 * side]))
    (warning,) = read_folders("pairs", data=tmp_path).report.warnings
    assert warning.startswith(f"{name}: no value above 4 of 255")


def test_training_and_check_print_the_warning(tmp_path, i2i_inside):
    warnings(tmp_path, classes)
    folders = ("--a", tmp_path / "A", "--b", tmp_path / "B")
    done = i2i_inside("check", "--unpaired", *folders)
    assert "warning: A: no value above 4 of 255" in done.stdout
    assert done.returncode == 0
    done = i2i_inside(
        "train", "cyclegan", *folders, "--size", 32, "--set", "ngf=2", "--dry-run", "--out", tmp_path / "r"
    )
    assert "warning: A: no value above 4 of 255" in done.stderr


def test_even_pixels_are_counted_in_each_half(tmp_path):
    pixels = np.random.default_rng(0).permutation(40 * 40 * 3).reshape(40, 40, 3).astype(np.uint16)
    pixels[:, :10] = 7
    path = tmp_path / "half.png"
    cv2.imwrite(str(path), pixels)
    (facts,) = inspect_files([path])[0].values()
    assert facts.even == (0.45, 0.0)  # 9 of 20 columns: the tenth differs from its neighbour
    cv2.imwrite(str(path), np.full((400, 3, 3), 200, np.uint8))
    assert inspect_files([path])[0][path].even == (1.0, 1.0)
    cv2.imwrite(str(path), np.full((1, 1, 3), 200, np.uint8))
    assert inspect_files([path])[0][path].even == (0.0, 0.0)


def test_drawings_are_too_flat_for_instance_norm_and_photographs_are_not(tmp_path, i2i_inside):
    rng = np.random.default_rng(0)
    for name in "AB":
        (tmp_path / name).mkdir()
        for seed in range(3):
            drawn = rng.integers(0, 256, (8, 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)
            grain = np.clip(drawn + rng.normal(0, 4, drawn.shape), 0, 255).astype(np.uint8)
            cv2.imwrite(str(tmp_path / name / f"{seed}.png"), drawn if name == "A" else grain)
    folders = ("--a", tmp_path / "A", "--b", tmp_path / "B", "--size", "64")
    said = i2i_inside("check", "cyclegan", *folders).stdout
    (note,) = [line for line in said.splitlines() if line.startswith("note: ")]
    assert note.startswith("note: pixels that equal their neighbours: A ")
    assert "B " not in note
    assert "--set norm=group" in note
    for arguments in (("munit",), ("--paired",)):  # without such an option; pix2pix has another norm
        assert "note: " not in i2i_inside("check", *arguments, *folders).stdout
    even = read_folders("unpaired", a=tmp_path / "A", b=tmp_path / "B").report.even
    assert flat_note(even, "group") == flat_note({"B": even["B"]}, "instance") == ""


@pytest.mark.parametrize(
    ("data", "flat"),
    [("emoji_noto2twemoji", "AB"), ("emoji_apple2windows", "AB"), ("summer2winter", ""), ("facades", "")],
)
def test_real_drawings_and_photographs(data, flat, reference):
    found = {name: [] for name in "AB"}
    for name, side in zip("AB", found.values(), strict=True):
        folder = reference(f"data/{data}/{'val' if data == 'facades' else f'train{name}'}")
        paths = sorted(path for path in folder.iterdir() if path.suffix != ".md")[:40]
        side += [sum(fact.even) / 2 for fact in inspect_files(paths)[0].values()]
    note = flat_note({name: sum(side) / len(side) for name, side in found.items()}, "instance")
    assert [name for name in "AB" if f"{name} " in note] == list(flat)


def test_images_of_another_scale_than_training_are_noted():
    note = scale_note({"photos": (3000, 4000), "crops": (286, 300), "icons": (64, 64)}, (286, 286))
    assert note.startswith(
        "note: training resizes images: photos (4000 x 3000 pixels) reduced 10.5 times, icons (64 x 64 pixels) "
        "enlarged 4.5 times. "
    )
    assert scale_note({"crops": (286, 300)}, (286, 286)) == ""
