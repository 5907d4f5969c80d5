"""Samples of datasets: the right pixels, the right pairs, in the right order."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from i2i.data import View, read_folders
from i2i.data.transforms import Placement, cut, fit, place, to_tensor
from i2i.images import Image, ImageError, extend, read_image, write_image
from i2i.runtime.processing import prepare
from i2i.spec import Domain, Spec

PLAIN = View((32, 32), load=1, flip=False, crop="center")


def look(pixels, view, placement):
    return cut(fit(pixels, view), view, placement)


def levels(tensor):
    return (tensor + 1) * 127.5


def test_values_fill_the_range_of_their_own_depth():
    for kind, peak in ((np.uint8, 255), (np.uint16, 65535)):
        tensor = to_tensor(np.array([[[0], [peak], [peak // 5]]], kind), Domain("x", 1, 8 * np.dtype(kind).itemsize))
        assert tensor.dtype == torch.float32
        torch.testing.assert_close(tensor, torch.tensor([[[-1.0, 1.0, -0.6]]]))


def test_pixels_keep_their_place_and_value(draw, tmp_path):
    pixels = np.arange(32 * 32 * 3).reshape(32, 32, 3) % 251
    for name in ("x", "y"):
        draw(f"{name}/1.png")
        cv2.imwrite(str(tmp_path / name / "1.png"), pixels[..., ::-1].astype(np.uint8))
    sample = read_folders("pairs", a=tmp_path / "x", b=tmp_path / "y").sample(0, 0, PLAIN)
    np.testing.assert_allclose(levels(sample["x"]).numpy(), pixels.transpose(2, 0, 1), atol=1e-4)


def test_left_is_a_and_right_is_b_in_either_direction(tmp_path):
    (tmp_path / "train").mkdir()
    both = np.zeros((32, 64, 3), np.uint8)
    both[:, 32:] = 200
    cv2.imwrite(str(tmp_path / "train" / "1.png"), both)
    forth = read_folders("pairs", data=tmp_path).sample(0, 0, PLAIN)
    back = read_folders("pairs", data=tmp_path, direction="b2a").sample(0, 0, PLAIN)
    assert levels(forth["x"]).max() == levels(back["y"]).max() == 0
    assert levels(forth["y"]).mean() == pytest.approx(200, abs=1e-3)
    assert levels(back["x"]).mean() == pytest.approx(200, abs=1e-3)


def test_transparency_is_filled_or_on_a_grey_or_kept_as_a_fourth_channel(draw, tmp_path):
    draw("x/1.png", 40, mode="RGBA")
    draw("y/1.png", 40, mode="RGBA")
    image = read_image(tmp_path / "x" / "1.png")
    dataset = read_folders("pairs", a=tmp_path / "x", b=tmp_path / "y")
    filled = levels(dataset.sample(0, 0, PLAIN)["x"]).numpy().transpose(1, 2, 0)
    np.testing.assert_allclose(filled, extend(image.pixels, image.alpha), atol=1e-3)
    assert np.abs(filled[:16] - 40).max() < 9
    assert "(1 with transparency, filled from the visible colours)" in str(dataset.report)
    white = read_folders("pairs", a=tmp_path / "x", b=tmp_path / "y", background=255)
    sample = white.sample(0, 0, PLAIN)
    assert (sample["x"][:, :16] == 1).all()
    assert abs(float(levels(sample["x"][:, 16:]).mean()) - 40) < 3
    assert "(1 with transparency, on a grey of 255)" in str(white.report)
    four = read_folders("pairs", a=tmp_path / "x", b=tmp_path / "y", channels=4).sample(0, 0, PLAIN)["x"]
    assert four.shape == (4, 32, 32)
    assert (four[3, :16] == -1).all()
    assert (four[3, 16:] == 1).all()
    assert abs(float(levels(four[:3]).mean()) - 40) < 3  # the colour under it stays


def test_colours_under_alpha_do_not_come_out_at_edges(tmp_path):
    rows, columns = np.mgrid[:256, :256] - 127.5
    alpha = np.where(np.hypot(rows, columns) < 90, 255, 0).astype(np.uint8)
    disc = Image(np.where(alpha[..., None], 200, 0).astype(np.uint8).repeat(3, 2), alpha)
    for side in ("x", "y"):
        (tmp_path / side).mkdir()
        write_image(tmp_path / side / "1.png", disc)
    dataset = read_folders("pairs", a=tmp_path / "x", b=tmp_path / "y", channels=4)
    seen = levels(dataset.sample(0, 0, View.plain((64, 64)))["x"]).numpy()
    assert ((seen[3] > 0.5) & (seen[3] < 254.5)).sum() > 50
    np.testing.assert_allclose(seen[:3, seen[3] > 0.5], 200, atol=1)


@pytest.mark.parametrize("background", ["edge", 255, 40])
def test_training_sees_what_translation_sees(tmp_path, background):
    rng = np.random.default_rng(0)
    image = Image(rng.integers(0, 256, (32, 32, 3), np.uint8), rng.integers(0, 256, (32, 32), np.uint8))
    image.alpha[10:, 10:] = 0
    for side in ("x", "y"):
        (tmp_path / side).mkdir()
        write_image(tmp_path / side / "1.png", image)
    dataset = read_folders("pairs", a=tmp_path / "x", b=tmp_path / "y", background=background)
    trained = levels(dataset.sample(0, 0, PLAIN)["x"]).numpy().transpose(1, 2, 0)
    spec = Spec("pix2pix", "a2b", Domain("x"), Domain("y"), background=background)
    np.testing.assert_allclose(prepare(image, spec), trained, atol=1e-3)
    with pytest.raises(ValueError, match="background is 256; expected edge or 0 to 255"):
        read_folders("pairs", a=tmp_path / "x", b=tmp_path / "y", background=256)


def test_palette_images_with_transparency_are_shown_on_white(reference):
    root = reference("data/emoji_apple2windows")
    dataset = read_folders("unpaired", data=root, split="test", background=255)
    assert (dataset.source.channels, dataset.target.channels) == (3, 3)
    view = View((64, 64), load=1, flip=False, crop="center")
    corners = [dataset.sample(position, 0, view)["x"][:, [0, 0, -1, -1], [0, -1, 0, -1]] for position in range(20)]
    assert np.mean([(corner > 0.98).all().item() for corner in corners]) > 0.7


def test_grey_and_16_bit_images_come_through(draw, tmp_path):
    draw("x/1.png", 10, mode="L")
    draw("y/1.png", 200, bits=16)
    sample = read_folders("pairs", a=tmp_path / "x", b=tmp_path / "y").sample(0, 0, View((40, 24)))
    assert sample["x"].shape == (1, 40, 24)
    assert sample["y"].shape == (3, 40, 24)
    assert abs(float(levels(sample["y"]).mean()) - 200) < 3


@pytest.mark.parametrize("size", [(32, 32), (64, 48), (20, 100), (7, 5)])
@pytest.mark.parametrize("shape", [(40, 40), (31, 90), (200, 33), (1, 1), (5, 400)])
def test_any_rectangle_is_cut_from_any_image(shape, size):
    pixels = np.random.default_rng(0).integers(0, 255, (*shape, 3), dtype=np.uint8)
    for seed in range(3):
        view = View(size)
        assert look(pixels, view, place(view, np.random.default_rng(seed))).shape == (*size, 3)


def test_the_aspect_ratio_is_kept():
    """A disc stays a disc, whatever the shape of the image and of the view."""
    disc = np.zeros((200, 500, 1), np.uint8)
    cv2.circle(disc, (250, 100), 80, 255, -1)
    seen = look(disc, View((100, 150), load=1.2), Placement()) > 127
    tall, wide = np.ptp(np.flatnonzero(seen.any(1))), np.ptp(np.flatnonzero(seen.any(0)))
    assert tall == pytest.approx(wide, abs=2)
    assert tall == pytest.approx(160 * 120 / 200, abs=2)


def test_the_authors_jitter_takes_256_of_286():
    pixels = np.random.default_rng(0).integers(0, 255, (256, 256, 3), dtype=np.uint8)
    resized = cv2.resize(pixels, (286, 286), interpolation=cv2.INTER_CUBIC)
    for placement, top, left in ((Placement(0, 0), 0, 0), (Placement(0.999, 0.999), 30, 30)):
        np.testing.assert_array_equal(look(pixels, View(), placement), resized[top : top + 256, left : left + 256])
    mirrored = look(pixels, View(), Placement(0, 0, True))
    np.testing.assert_array_equal(mirrored, resized[:256, :256][:, ::-1])


def test_every_offset_and_both_mirrorings_occur():
    view, rng = View((30, 30), load=32 / 30), np.random.default_rng(0)
    placements = [place(view, rng) for _ in range(300)]
    seen = {(int(p.top * 3), int(p.left * 3), p.mirrored) for p in placements}
    assert len(seen) == 18


def test_both_images_of_a_pair_are_cut_alike(draw, tmp_path):
    for number in range(3):
        draw(f"x/{number}.png", 60 + number, size=(50, 70))
        (tmp_path / "y").mkdir(exist_ok=True)
        (tmp_path / "y" / f"{number}.png").write_bytes((tmp_path / "x" / f"{number}.png").read_bytes())
    dataset = read_folders("pairs", a=tmp_path / "x", b=tmp_path / "y")
    samples = [dataset.sample(position, 0, View((24, 40))) for position in range(30)]
    assert all(torch.equal(sample["x"], sample["y"]) for sample in samples)
    assert not any(torch.equal(samples[0]["x"], other["x"]) for other in samples[1:])


def test_unpaired_images_are_cut_each_in_its_own_way(draw, tmp_path):
    draw("x/1.png", 60)
    (tmp_path / "y").mkdir()
    (tmp_path / "y" / "1.png").write_bytes((tmp_path / "x" / "1.png").read_bytes())
    dataset = read_folders("unpaired", a=tmp_path / "x", b=tmp_path / "y")
    samples = [dataset.sample(position, 0, View((24, 24))) for position in range(20)]
    assert sum(torch.equal(sample["x"], sample["y"]) for sample in samples) < 3


def means(dataset, positions, key, seed=0):
    return [round(float(levels(dataset.sample(p, seed, PLAIN)[key]).mean()) / 10) * 10 for p in positions]


def test_each_source_is_seen_once_an_epoch_in_a_new_order(two_folders):
    dataset = read_folders("unpaired", a=two_folders / "horses", b=two_folders / "zebras")
    epochs = [means(dataset, range(5 * e, 5 * e + 5), "x") for e in range(4)]
    assert all(sorted(epoch) == [20, 40, 60, 80, 100] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1
    assert means(dataset, range(5), "x", seed=1) != epochs[0] or means(dataset, range(5), "x", seed=2) != epochs[0]
    back = read_folders("unpaired", a=two_folders / "horses", b=two_folders / "zebras", direction="b2a")
    assert len(back) == 5
    assert sorted(means(back, range(3), "x")) == [150, 170, 190]


def test_unpaired_targets_are_drawn_afresh_for_each_epoch(two_folders):
    dataset = read_folders("unpaired", a=two_folders / "horses", b=two_folders / "zebras")
    partners: dict[int, set[int]] = {}
    for x, y in zip(means(dataset, range(60), "x"), means(dataset, range(60), "y"), strict=True):
        partners.setdefault(x, set()).add(y)
    assert all(partner == {150, 170, 190} for partner in partners.values())


def test_pairs_stay_together(draw, tmp_path):
    for number in range(6):
        draw(f"x/{number}.png", 20 * number + 20)
        draw(f"y/{number}.png", 20 * number + 21)
    dataset = read_folders("pairs", a=tmp_path / "x", b=tmp_path / "y")
    xs, ys = means(dataset, range(12), "x"), means(dataset, range(12), "y")
    assert xs == ys
    assert sorted(xs[:6]) == [20, 40, 60, 80, 100, 120]


def test_a_sample_is_a_function_of_position_seed_and_view(two_folders):
    def sample(position, seed, view=None):
        dataset = read_folders("unpaired", a=two_folders / "horses", b=two_folders / "zebras")
        return dataset.sample(position, seed, view or View((24, 24)))

    assert torch.equal(sample(7, 3)["x"], sample(7, 3)["x"])
    assert torch.equal(sample(7, 3)["y"], sample(7, 3)["y"])
    assert not torch.equal(sample(7, 3)["x"], sample(7, 4)["x"])
    assert not torch.equal(sample(7, 3)["x"], sample(12, 3)["x"])


def test_a_file_that_vanishes_is_named(two_folders):
    dataset = read_folders("unpaired", a=two_folders / "horses", b=two_folders / "zebras")
    for number in range(3):
        (two_folders / "zebras" / f"z{number}.png").unlink()
    with pytest.raises(ImageError, match=r"zebras/z\d\.png: No such file"):
        dataset.sample(0, 0, PLAIN)


@pytest.mark.parametrize("options", [{"size": (0, 4)}, {"load": 0.9}, {"crop": "left"}])
def test_a_view_of_nothing_is_an_error(options):
    with pytest.raises(ValueError, match=r"a view needs|crop is"):
        View(**options)
