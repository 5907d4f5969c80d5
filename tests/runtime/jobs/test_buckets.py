"""``i2i.batches``: what is in a batch, what waits, and files of the results."""

from __future__ import annotations

import io
from pathlib import Path

import fsspec
import numpy as np
import PIL.Image
import pytest
from PIL import ImageCms

import i2i
from i2i.images import Image, decode_image, encode_image, read_image, write_image
from tests import tiny


def pixels(height: int, width: int, channels: int = 3, seed: int = 0, dtype: type = np.uint8) -> np.ndarray:
    peak = np.iinfo(dtype).max + 1
    return np.random.default_rng(seed).integers(0, peak, (height, width, channels), dtype)


def put(path: Path, *image: np.ndarray) -> Path:
    write_image(path, Image(*image))
    return path


def test_images_of_equal_size_and_type_are_together(tmp_path: Path) -> None:
    paths = [put(tmp_path / f"a{n}.png", pixels(8, 6, seed=n)) for n in range(5)]
    paths += [put(tmp_path / f"b{n}.png", pixels(6, 8, seed=n)) for n in range(2)]
    paths += [put(tmp_path / "grey.png", pixels(8, 6, 1)), put(tmp_path / "deep.png", pixels(8, 6, dtype=np.uint16))]
    paths += [put(tmp_path / "alpha.png", pixels(8, 6), pixels(8, 6, 1)[..., 0])]
    found = list(i2i.batches(paths, 2))
    names = [[Path(name).stem for name in batch.names] for batch in found]
    assert names == [["a0", "a1"], ["a2", "a3"], ["b0", "b1"], ["a4"], ["grey"], ["deep"], ["alpha"]]
    assert [batch.images.shape for batch in found] == [
        (2, 8, 6, 3), (2, 8, 6, 3), (2, 6, 8, 3), (1, 8, 6, 3), (1, 8, 6, 1), (1, 8, 6, 3), (1, 8, 6, 4),
    ]  # fmt: skip
    assert found[5].images.dtype == np.uint16
    np.testing.assert_array_equal(found[1].images[0], pixels(8, 6, seed=2))
    np.testing.assert_array_equal(found[6].images[0, ..., 3], pixels(8, 6, 1)[..., 0])
    assert [len(batch) for batch in i2i.batches(paths, 2)] == [len(batch) for batch in found]


def test_little_waits(tmp_path: Path) -> None:
    """Ten sizes in turn, none of which fills a batch: the largest goes once they take too much memory."""
    size = 10 * 10 * 3
    paths = [put(tmp_path / f"{n}.png", pixels(10, 10 + n % 4, seed=n)) for n in range(14)]
    read: list[int] = []

    def counted() -> object:
        for number, path in enumerate(paths):
            read.append(number)
            yield path

    most, given = 0, 0
    for batch in i2i.batches(counted(), 100, waiting=8 * size):  # type: ignore[arg-type]
        given += len(batch)
        if len(read) < len(paths):
            most = max(most, len(read) - given)
    assert given == 14
    assert 4 <= most <= 8
    assert [len(batch) for batch in i2i.batches(paths, 100)] == [4, 4, 3, 3]


def test_bad_files_are_left_out_or_raise(tmp_path: Path) -> None:
    good, bad = put(tmp_path / "good.png", pixels(4, 4)), tmp_path / "bad.png"
    bad.write_bytes(b"bad")
    with pytest.raises(i2i.ImageError, match=r"bad\.png: not an image"):
        list(i2i.batches([good, bad]))
    errors: list[i2i.ImageError] = []
    paths = [bad, good, tmp_path / "gone.png"]
    assert [batch.names for batch in i2i.batches(paths, on_error=errors.append)] == [[good]]
    assert [error.path.name for error in errors] == ["bad.png", "gone.png"]
    with pytest.raises(i2i.ImageError, match="pixels"):
        list(i2i.batches([good], max_pixels=15))
    for wrong in ({"size": 0}, {"waiting": 0}):
        with pytest.raises(ValueError, match="expected at least 1"):
            i2i.batches([good], **wrong)  # type: ignore[arg-type]


def test_bytes_and_urls(tmp_path: Path) -> None:
    data = encode_image(Image(pixels(5, 4)), "PNG")
    fsspec.filesystem("memory").pipe_file("/photos/x.png", data)
    errors: list[i2i.ImageError] = []
    (batch,) = i2i.batches(
        [("from a table", data), "memory://photos/x.png", "memory://photos/none.png"], on_error=errors.append
    )
    assert batch.names == ["from a table", "memory://photos/x.png"]
    np.testing.assert_array_equal(batch.images, np.stack([pixels(5, 4)] * 2))
    assert [str(error) for error in errors] == ["memory://photos/none.png: not found"]


def test_results_are_files_like_their_sources(tmp_path: Path) -> None:
    model = i2i.load(tiny.inverter(tmp_path / "invert.onnx"))
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    PIL.Image.fromarray(pixels(9, 8)).save(tmp_path / "profile.png", icc_profile=icc)
    put(tmp_path / "plain.bmp", pixels(9, 8, seed=1))
    alpha = np.full((9, 8), 255, np.uint8)
    put(tmp_path / "alpha.webp", pixels(9, 8, seed=2), alpha)
    PIL.Image.fromarray(pixels(9, 8)).save(tmp_path / "animation.gif")
    paths = [tmp_path / name for name in ("profile.png", "plain.bmp", "alpha.webp", "animation.gif")]
    files: dict[str, bytes] = {}
    for batch in i2i.batches(paths):
        files |= zip([Path(name).name for name in batch.names], batch.encode(model(batch.images)), strict=True)
    results = {name: decode_image(data, name) for name, data in files.items()}
    assert [results[path.name].format for path in paths] == ["PNG", "BMP", "WEBP", "PNG"]
    np.testing.assert_array_equal(results["profile.png"].pixels, 255 - pixels(9, 8))
    np.testing.assert_array_equal(results["plain.bmp"].pixels, 255 - pixels(9, 8, seed=1))
    assert results["profile.png"].icc == icc
    assert results["alpha.webp"].channels == 3
    (batch,) = i2i.batches(paths[:1])
    assert PIL.Image.open(io.BytesIO(batch.encode([pixels(9, 8, 1)[..., 0]], "jpeg", 80)[0])).mode == "L"
    with pytest.raises(ValueError, match="shorter"):
        batch.encode([])
    assert read_image(paths[1]).format == "BMP"
