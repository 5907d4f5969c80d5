"""Masks of training images: found by name, cut as their images are."""

import cv2
import numpy as np
import pytest
import torch

from i2i.data import DataError, View, read_folders


@pytest.fixture
def data(tmp_path):
    """Two domains of images that are their own masks, of different sizes."""
    rng = np.random.default_rng(0)
    for side in "ab":
        for kind in (side, f"mask_{side}"):
            (tmp_path / kind / "sub").mkdir(parents=True)
        for number in range(3):
            pixels = rng.integers(0, 256, (40 + 8 * number, 50, 1)).astype(np.uint8)
            cv2.imwrite(str(tmp_path / side / "sub" / f"{number}.png"), pixels)
            cv2.imwrite(str(tmp_path / f"mask_{side}" / "sub" / f"{number}.bmp"), pixels)
    return tmp_path


def opened(data, masks):
    dataset = read_folders("unpaired", a=data / "a", b=data / "b")
    before = dataset.fingerprint
    dataset.add_masks(data / masks, "a2b")
    assert dataset.fingerprint != before
    return dataset


@pytest.mark.parametrize("view", [View((32, 32)), View.plain((24, 48))])
def test_a_mask_is_cut_as_its_image(data, view):
    dataset = opened(data, "mask_a")
    for position in range(12):
        sample = dataset.sample(position, 0, view)
        assert sample.keys() == {"x", "y", "mask"}
        assert sample["mask"].shape == (1, *view.size)
        assert torch.allclose(2 * sample["mask"] - 1, sample["x"], atol=1e-6)
    assert dataset.report.lines[-1] == f"masks: {data / 'mask_a'}, of the source"


@pytest.mark.parametrize("direction", ["a2b", "b2a"])
def test_masks_of_both_sides(data, direction):
    for side in "ab":
        (data / "masks").mkdir(exist_ok=True)
        (data / f"mask_{side}").rename(data / "masks" / side)
    dataset = read_folders("unpaired", a=data / "a", b=data / "b", direction=direction)
    dataset.add_masks(data / "masks", direction)
    for position in range(12):
        sample = dataset.sample(position, 0, View((32, 32)))
        assert torch.allclose(2 * sample["mask"] - 1, sample["x"], atol=1e-6)
        assert torch.allclose(2 * sample["mask_y"] - 1, sample["y"], atol=1e-6)


def test_masks_that_do_not_fit_are_refused(data):
    (data / "mask_a" / "sub" / "1.bmp").unlink()
    with pytest.raises(DataError, match=r"no mask for 1 image; expected one of the same name for each:\n.*1\.png"):
        opened(data, "mask_a")
    cv2.imwrite(str(data / "mask_a" / "sub" / "1.bmp"), np.zeros((48, 49), np.uint8))
    with pytest.raises(DataError, match=r"1 mask of another size than the image:\n.*49 x 48, and its image is 50 x 48"):
        opened(data, "mask_a")
    with pytest.raises(DataError, match="there is no such folder"):
        opened(data, "nowhere")
    cv2.imwrite(str(data / "pair.png"), np.zeros((20, 40, 3), np.uint8))
    (data / "pairs").mkdir()
    (data / "pair.png").rename(data / "pairs" / "pair.png")
    with pytest.raises(DataError, match="side by side in one file"):
        read_folders("pairs", data=data / "pairs").add_masks(data / "mask_a", "a2b")


def test_a_mask_with_transparency_or_of_two_files_is_refused(data):
    path = data / "mask_a" / "sub" / "1.bmp"
    clear = np.full((48, 50, 4), 255, np.uint8)
    clear[:20, :, 3] = 0
    path.unlink()
    cv2.imwrite(str(path.with_suffix(".png")), clear)
    with pytest.raises(DataError, match=r"1 mask with transparency, where nothing is black or white; .*\n.*1\.png"):
        opened(data, "mask_a")
    cv2.imwrite(str(path), clear[..., 0])
    (data / "a" / "sub" / "1.png").rename(data / "a" / "sub" / "1.jpg")  # read by its content
    with pytest.raises(
        DataError, match=r"several masks of sub/1\.jpg: sub/1\.bmp, sub/1\.png; expected one: remove the others"
    ):
        opened(data, "mask_a")
