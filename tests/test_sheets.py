"""Contact sheets: every pixel of every image is there, under captions, whatever the mixture of sizes."""

import cv2
import numpy as np
import pytest

from i2i.sheets import sheet


def _flat(height: int, width: int, *colour: int) -> np.ndarray:
    return np.full((height, width, len(colour)), colour, np.uint8)


def test_small_images_are_enlarged_by_a_whole_factor_with_their_pixels_intact():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    page = sheet([[image]], ["input"], cell=192)
    assert page.dtype == np.uint8
    block = image.repeat(3, 0).repeat(3, 1)
    windows = [
        (y, x)
        for y in range(page.shape[0] - 191)
        for x in range(page.shape[1] - 191)
        if (page[y, x] == image[0, 0]).all() and np.array_equal(page[y : y + 192, x : x + 192], block)
    ]
    assert len(windows) == 1
    assert (page[: windows[0][0]] < 100).any(), "no caption above the image"


def test_mixed_sizes_and_channels_share_a_sheet():
    rows = [
        [_flat(40, 80, 250, 0, 0), _flat(10, 10, 0, 250, 0)],
        [_flat(64, 32, 90), _flat(1200, 900, 0, 0, 250)],
    ]
    page = sheet(rows, ["left", "right"], cell=128, largest=256)
    counts = {colour: int((page == colour).all(-1).sum()) for colour in [(250, 0, 0), (0, 250, 0), (0, 0, 250)]}
    assert counts == {(250, 0, 0): 40 * 80, (0, 250, 0): 100, (0, 0, 250): 256 * 192}
    assert int((page == 90).all(-1).sum()) >= 64 * 32


def test_the_file_holds_the_same_sheet_and_nothing_else_is_left(tmp_path):
    page = sheet(
        [[_flat(8, 8, 10, 20, 30)]], ["été → hiver, a very long caption for so small a picture"], tmp_path / "s.png"
    )
    assert [p.name for p in tmp_path.iterdir()] == ["s.png"]
    assert np.array_equal(cv2.imread(str(tmp_path / "s.png"))[..., ::-1], page)


@pytest.mark.parametrize(
    ("rows", "captions", "words"),
    [
        ([], ["a"], "at least one row"),
        ([[_flat(4, 4, 0)]], ["a", "b"], "row 0 has 1 images for 2 captions"),
        ([[_flat(4, 4, 0).astype(np.float32)]], ["a"], "row 0, column 0: expected uint8"),
        ([[_flat(4, 4, 0)[..., 0]]], ["a"], r"\[h, w, 1\|3\]"),
    ],
)
def test_invalid_sheets_are_errors(rows, captions, words):
    with pytest.raises(ValueError, match=words):
        sheet(rows, captions)


def test_a_suffix_that_is_no_image_is_a_clear_error(tmp_path):
    with pytest.raises(ValueError, match=r"\.png, \.jpg or \.webp"):
        sheet([[_flat(4, 4, 0)]], ["a"], tmp_path / "s.text")
    assert not list(tmp_path.iterdir())
