"""Augmentation: the setting's text, the changes by hand, and that pairs stay in step."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from i2i.data import Batches, View, read_folders
from i2i.data.augment import canonical, parse_augment
from i2i.data.transforms import Placement, altered, cut, fit, place, to_tensor
from i2i.spec import Domain
from tests.data.conftest import Draw

EVERYTHING = View((24, 32), **parse_augment("crop,flip,colour:0.3,rotate:30,scale:0.7..1.4,cutout:0.3"))


def test_the_default_is_the_authors_jitter_and_none_is_the_plain_view() -> None:
    assert View((8, 9), **parse_augment("crop,flip")) == View((8, 9))
    assert View((8, 9), **parse_augment("none")) == View.plain((8, 9))
    assert View((8, 9), **parse_augment("crop:1")) == View((8, 9), load=1, flip=False)


def test_every_part_has_its_option() -> None:
    assert parse_augment("flip, color:0.2,rotate:10,scale:0.8..1.2,cutout:0.25") == {
        "load": 1.0, "crop": "center", "flip": True, "colour": 0.2, "rotate": 10.0, "scale": (0.8, 1.2), "cutout": 0.25,
    }  # fmt: skip
    assert parse_augment("crop:1.5,source-colour:0.1")["source_colour"] == 0.1
    assert canonical("cutout:0.25, source-color:0.2 ,flip,crop") == "crop,flip,source-colour:0.2,cutout:0.25"
    assert canonical("none") == "none"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("flop", r"augment is 'flop', with 'flop' \(did you mean flip\?\); expected none, or some of crop, flip"),
        ("", "with ''; expected none"),
        ("none,flip", "with 'none'; expected none, or some"),
        ("flip,flip", "where flip comes twice"),
        ("colour:0.1,color:0.2", "where colour comes twice"),
        ("flip:0.5", "flip takes no value: it mirrors half of the images"),
        ("colour", "expected colour with a value, such as colour:0.2"),
        ("rotate:ten", "expected rotate with a value, such as rotate:10"),
        ("scale:1.2", r"expected scale with a value, such as scale:0.8..1.2"),
        ("scale:1.2..0.8", "expected scale with two growing numbers from 0.25 to 4"),
        ("rotate:nan", "expected rotate with a number from 0 to 180"),
        ("crop:0.5", "expected crop with a number from 1 to 4"),
        ("cutout:-1", "expected cutout with a number from 0 to 1"),
        ("colour:1,source-colour:1", "colour changes both images and source-colour the source alone: choose one"),
    ],
)
def test_wrong_values_are_named(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_augment(text)


def picture(height: int, width: int, channels: int = 3, kind: type = np.uint8) -> np.ndarray:
    low = np.random.default_rng(0).integers(0, np.iinfo(kind).max, (5, 6, channels)).astype(kind)
    planes = [cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR) for plane in low.transpose(2, 0, 1)]
    return np.stack(planes, axis=2)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
def test_a_quarter_turn_and_a_magnification_by_two_by_hand(channels: int, kind: type) -> None:
    pixels = picture(40, 40, channels, kind)
    view = View((32, 32), load=1.25, rotate=90, scale=(2, 2))
    plain = pixels[4:36, 4:36]
    turned = cut(pixels, view, Placement(angle=90))
    np.testing.assert_array_equal(turned, np.rot90(plain, 1))
    np.testing.assert_array_equal(cut(pixels, view, Placement(angle=-90, mirrored=True)), np.rot90(plain, -1)[:, ::-1])
    larger = cut(pixels, view, Placement(zoom=2)).astype(float)
    expected = cv2.resize(plain[8:24, 8:24].astype(np.float32), (32, 32), interpolation=cv2.INTER_LINEAR)
    difference = np.abs(larger - expected.reshape(larger.shape))[1:-1, 1:-1]
    assert difference.max() <= 0.01 * np.iinfo(kind).max
    smaller = cut(pixels, view, Placement(zoom=0.8)).astype(float)
    whole = [
        cv2.resize(plane, (32, 32), interpolation=cv2.INTER_AREA) for plane in np.float32(pixels).transpose(2, 0, 1)
    ]
    assert np.abs(smaller - np.stack(whole, axis=2)).mean() < 0.02 * np.iinfo(kind).max


def test_no_corner_is_black() -> None:
    pixels = np.full((36, 50, 3), 90, np.uint8)
    for angle in (10, 45, 137, 180):
        for size in ((32, 32), (36, 50), (1, 1), (5, 36)):
            found = cut(pixels, View(size), Placement(angle=angle, zoom=0.3))
            assert found.shape == (*size, 3)
            assert (found == 90).all()


def test_beyond_the_edge_is_the_mirror_image() -> None:
    pixels = picture(32, 32)
    view = View((32, 32), load=1)
    found = cut(pixels, view, Placement(zoom=0.5))
    inside = cv2.resize(pixels, (17, 17), interpolation=cv2.INTER_AREA)
    assert np.abs(found[8:24, 8:24].astype(float) - inside[:16, :16]).mean() < 25
    for turned in (found, found.transpose(1, 0, 2), found[::-1], found[:, ::-1].transpose(1, 0, 2)):
        rows = turned.astype(float)  # the edge lies between rows 7 and 8, at 7.75
        mirrored = (rows[8:14] + rows[9:15]) / 2
        assert np.abs(rows[7:1:-1] - mirrored)[:, 9:23].mean() < 12
        assert np.abs(rows[7:1:-1] - rows[18:24])[:, 9:23].mean() > 40


def test_colours_change_by_the_formulas() -> None:
    view = View((2, 2), colour=0.5)
    image = torch.tensor([-0.1, 0.2, 0.5]).reshape(3, 1, 1).repeat(1, 2, 2)
    found = altered(image.clone(), view, Placement(colour=(0.2, 1.0, 0.0)))
    # saturation 1.5 around 0.2: -0.25, 0.2, 0.65; brightness 0.1
    torch.testing.assert_close(found[:, 0, 0], torch.tensor([-0.15, 0.3, 0.75]))
    image[:, 0] = 0
    found = altered(image.clone(), view, Placement(colour=(0.0, 0.0, -1.0)))
    torch.testing.assert_close(found[:, 1, 1], torch.tensor([0.0, 0.15, 0.3]))  # contrast 0.5 around the mean, 0.1
    torch.testing.assert_close(found[:, 0, 0], torch.tensor([0.05, 0.05, 0.05]))
    assert altered(torch.ones(1, 2, 2), view, Placement(colour=(1.0, 0.0, 0.0))).max() == 1  # in [-1, 1]


def test_alpha_and_the_target_keep_their_values() -> None:
    image = torch.rand(4, 8, 8) * 2 - 1
    found = altered(image.clone(), View((8, 8), colour=0.5), Placement(colour=(0.5, 0.5, 0.5)), alpha=True)
    assert torch.equal(found[3], image[3])
    assert not torch.equal(found[:3], image[:3])
    alone, placement = View((8, 8), source_colour=0.5), Placement(colour=(0.5, 0.5, 0.5))
    assert torch.equal(altered(image.clone(), alone, placement), image)
    assert not torch.equal(altered(image.clone(), alone, placement, source=True), image)


def test_the_cutout_is_a_share_of_the_sides_and_may_lie_partly_outside() -> None:
    view = View((8, 16), cutout=0.5)
    found = altered(torch.ones(5, 8, 16), view, Placement(hole=(0.5, 0.5)))
    assert (found == 0).sum() == 5 * 4 * 8
    assert (found[:, 2:6, 4:12] == 0).all()
    found = altered(torch.ones(1, 8, 16), view, Placement(hole=(0.0, 1.0)))
    assert (found == 0).sum() == 2 * 4
    assert (found[:, :2, 12:] == 0).all()


def test_draws_are_within_their_ranges_and_independent_of_each_other() -> None:
    seen = [place(EVERYTHING, np.random.default_rng(seed)) for seed in range(300)]
    for values, least, most in (
        ([p.angle for p in seen], -30, 30),
        ([p.zoom for p in seen], 0.7, 1.4),
        ([c for p in seen for c in p.colour], -1, 1),
        ([h for p in seen for h in p.hole], 0, 1),
    ):
        room = (most - least) / 20
        assert least <= min(values) < least + room
        assert most - room < max(values) <= most
    angle_alone = View((24, 32), rotate=30)
    for seed, other in enumerate(seen[:20]):
        rng = np.random.default_rng(seed)
        found = place(angle_alone, rng)
        assert (found.top, found.left, found.angle, found.mirrored) == (
            other.top, other.left, other.angle, other.mirrored,
        )  # fmt: skip
        assert found.zoom == 1
        plain = np.random.default_rng(seed)
        place(View((24, 32)), plain)
        assert rng.random() == plain.random()  # so that off is what it was before there was an augmentation


@pytest.fixture
def pairs(draw: Draw, tmp_path: Path) -> Path:
    """Pairs of equal images."""
    for number in range(4):
        (tmp_path / "y").mkdir(exist_ok=True)
        draw(f"x/{number}.png", 60 + number)
        cv2.imwrite(str(tmp_path / "x" / f"{number}.png"), picture(50, 70))
        (tmp_path / "y" / f"{number}.png").write_bytes((tmp_path / "x" / f"{number}.png").read_bytes())
    return tmp_path


def test_both_images_of_a_pair_are_changed_alike(pairs: Path) -> None:
    dataset = read_folders("pairs", a=pairs / "x", b=pairs / "y")
    samples = [dataset.sample(position, 0, EVERYTHING) for position in range(12)]
    assert all(torch.equal(sample["x"], sample["y"]) for sample in samples)
    assert not any(torch.equal(samples[0]["x"], other["x"]) for other in samples[1:])
    assert all((sample["x"] == 0).all(0).sum() > 10 for sample in samples)
    alone = View((24, 32), **parse_augment("rotate:30,source-colour:0.3"))
    geometry = View((24, 32), **parse_augment("rotate:30"))
    for position in range(4):
        found, plain = dataset.sample(position, 0, alone), dataset.sample(position, 0, geometry)
        assert torch.equal(found["y"], plain["y"])
        assert not torch.equal(found["x"], plain["x"])


def test_a_derived_source_has_the_new_colours_of_its_target(pairs: Path) -> None:
    view = View((24, 32), **parse_augment("colour:0.5"))
    grey = read_folders("pairs", b=pairs / "x", derive="grey")
    holes = read_folders("pairs", b=pairs / "x", derive="mask:rectangle")
    for position in range(8):
        sample = {name: (values.numpy() + 1) * 127.5 for name, values in grey.sample(position, 0, view).items()}
        luma = np.tensordot([0.299, 0.587, 0.114], sample["y"], 1)
        assert np.abs(sample["x"][0] - luma).max() < 1.5
        found = holes.sample(position, 0, view)
        hidden = found["x"][3] < 0 if len(found["x"]) == 4 else (found["x"] != found["y"]).any(0)
        assert torch.equal(found["x"][:3, ~hidden], found["y"][:, ~hidden])
        assert float(found["x"][:3, hidden].max() - found["x"][:3, hidden].min()) == 0  # one grey, as in translation


def test_unpaired_images_are_changed_each_in_its_own_way(pairs: Path) -> None:
    dataset = read_folders("unpaired", a=pairs / "x", b=pairs / "y")
    view = View((24, 32), **parse_augment("rotate:30"))
    samples = [dataset.sample(position, 0, view) for position in range(8)]
    assert not any(torch.equal(sample["x"], sample["y"]) for sample in samples)


@pytest.mark.parametrize("kind", ["domains", "images", "captions"])
def test_other_kinds_of_data_are_changed_as_well(kind: str, pairs: Path) -> None:
    for number in range(4):
        (pairs / "x" / f"{number}.txt").write_text(f"picture {number}\n")
    dataset = read_folders(kind, data=pairs / "x" if kind == "captions" else pairs)
    plain, view = View.plain((24, 32)), View((24, 32), **parse_augment("colour:0.5,cutout:0.5"))
    for position in range(4):
        found, before = dataset.sample(position, 0, view), dataset.sample(position, 0, plain)
        assert (found["x"] == 0).all(0).sum() > 24 * 32 / 40
        assert not torch.equal(found["x"], before["x"])
        assert found.keys() == before.keys()
        assert all(torch.equal(found[name], before[name]) for name in found if name != "x")  # labels and captions


@pytest.mark.parametrize("workers", [0, 3])
def test_augmented_batches_depend_on_the_step_alone(pairs: Path, workers: int) -> None:
    def take(count: int, start: int, workers: int) -> list[dict[str, torch.Tensor]]:
        dataset = read_folders("unpaired", a=pairs / "x", b=pairs / "y")
        with Batches(dataset, EVERYTHING, 2, seed=5, start_step=start, workers=workers) as batches:
            return [next(batches) for _ in range(count)]

    unbroken, resumed = take(6, 0, 0), take(4, 2, workers)
    for one, other in zip(unbroken[2:], resumed, strict=True):
        assert torch.equal(one["x"], other["x"])
        assert torch.equal(one["y"], other["y"])


def test_16_bits_are_changed_as_8_bits_are() -> None:
    pixels = picture(28, 36)
    placement = place(EVERYTHING, np.random.default_rng(3))
    eight, sixteen = (
        altered(
            to_tensor(cut(fit(each, EVERYTHING), EVERYTHING, placement), Domain("x", 3, 8 * each.itemsize)),
            EVERYTHING,
            placement,
        )
        for each in (pixels, pixels.astype(np.uint16) * 257)
        for crop in [cut(fit(each, EVERYTHING), EVERYTHING, placement)]
    )
    assert float((eight - sixteen).abs().max()) < 0.02
