"""Datasets of bands: their kind and range, found or given, and what a sample of them is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
import torch

from i2i.data import Batches, DataError, View, check, facts, read_folders
from i2i.data.reader import Reader, Wanted
from i2i.spec import Domain

PLAIN = View.plain((24, 20))
Save = Callable[..., Path]


def values(seed: int, channels: int = 3, size: tuple[int, int] = (24, 20)) -> np.ndarray:
    """Return float32 [h, w, channels], channel c from 10 c to 10 c + 1."""
    numbers = np.random.default_rng(seed).random((*size, channels), np.float32)
    return numbers + 10 * np.arange(channels, dtype=np.float32)


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Write an array, of a kind by its suffix."""

    def write(name: str, array: np.ndarray) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".npy":
            np.save(path, array)
        elif path.suffix == ".tif":
            tifffile.imwrite(path, array, photometric="minisblack", planarconfig="contig", metadata=None)
        else:
            assert cv2.imwrite(str(path), array)
        return path

    return write


@pytest.fixture
def pairs(save: Save, tmp_path: Path) -> dict[str, Path]:
    """Three pairs, of 3 channels of float32 in TIFF and of 2 of int16 in NumPy's format."""
    for number in range(3):
        save(f"a/{number}.tif", values(number))
        save(f"b/{number}.npy", np.rint(values(number, 2) * 100).astype(np.int16) - 500)
    return {"a": tmp_path / "a", "b": tmp_path / "b"}


def test_each_channel_has_the_range_that_is_found(pairs: dict[str, Path]) -> None:
    dataset = read_folders("pairs", **pairs)
    arrays = [values(number) for number in range(3)]
    low, high = np.min(arrays, (0, 1, 2)), np.max(arrays, (0, 1, 2))
    assert dataset.source == Domain("a", 3, 32, "float32", tuple(zip(low.tolist(), high.tolist(), strict=True)))
    assert (dataset.target.bands, dataset.target.bits, dataset.target.channels) == ("int16", 16, 2)
    assert dataset.target.range[0][0] == -500
    x, y = (dataset.sample(0, 0, PLAIN)[name] for name in "xy")
    assert (x.dtype, x.shape, y.shape) == (torch.float32, (3, 24, 20), (2, 24, 20))
    seen = [dataset.sample(position, 0, PLAIN)["x"] for position in range(3)]
    torch.testing.assert_close(torch.stack(seen).amin((0, 2, 3)), torch.full((3,), -1.0))
    torch.testing.assert_close(torch.stack(seen).amax((0, 2, 3)), torch.full((3,), 1.0))
    wanted = [torch.from_numpy((2 * (array - low) / (high - low) - 1).transpose(2, 0, 1)) for array in arrays]
    assert min(float((seen[0] - each).abs().max()) for each in wanted) < 1e-5


def test_a_range_that_is_given_is_of_all_channels_or_of_each(pairs: dict[str, Path]) -> None:
    report = check("pairs", **pairs, range="a=-5..50 b=-600..800,-700..900")
    assert "source a: 3 images (3 TIFF), 20 x 24 pixels, read as 3 channels of float32 in -5..50" in str(report)
    assert "20 x 24 pixels, read as 2 channels of int16 in -600..800, -700..900" in str(report)
    assert "beyond" not in str(report)
    dataset = read_folders("pairs", **pairs, range="a=-5..50", direction="b2a")
    assert dataset.target.range == ((-5.0, 50.0),)
    assert read_folders("pairs", **pairs, range="-999..999").source.range == ((-999.0, 999.0),)


def test_values_beyond_a_range_are_clipped_with_a_warning(pairs: dict[str, Path]) -> None:
    dataset = read_folders("pairs", **pairs, range="a=0.5..30")
    assert "warning: a: 3 with values beyond 0.5..30, which are clipped: 0.tif, 1.tif, 2.tif" in str(dataset.report)
    sample = dataset.sample(0, 0, PLAIN)["x"]
    assert float(sample[0].min()) == -1
    assert int((sample[0] == -1).sum()) > 100
    assert not (sample[1] == -1).any()


def test_the_second_start_decodes_nothing(pairs: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    first = read_folders("pairs", **pairs)

    def decoded(*_: object) -> None:
        pytest.fail("an image was decoded again")

    monkeypatch.setattr(facts, "decode_image", decoded)
    again = read_folders("pairs", **pairs)
    assert (again.source, again.target, str(again.report)) == (first.source, first.target, str(first.report))


def test_halves_of_one_file_have_ranges_of_their_own(save: Save, tmp_path: Path) -> None:
    for number in range(2):
        left, right = values(number, 1), values(number + 5, 1) * 100
        save(f"both/{number}.tif", np.concatenate([left, right], axis=1)[..., 0])
    dataset = read_folders("pairs", data=tmp_path / "both")
    assert dataset.source.range[0][1] <= 1
    assert dataset.target.range[0][1] > 50


@pytest.mark.parametrize(
    ("name", "array", "words"),
    [
        ("a/x.tif", values(9, 4), "a: images of different kinds, 3 of 3 channels of float32 (0.tif, ...), 1 of 4"),
        ("a/x.npy", values(9).astype(np.int16), "1 of 3 channels of int16 (x.npy); convert them to one"),
        ("a/x.png", np.zeros((24, 20, 3), np.uint8), "1 of pictures (x.png); convert them to one"),
        ("a/x.npy", values(9) * np.nan, "x.npy: 1440 of 1440 values are NaN or infinite; replace them"),
        ("a/x.npy", values(9)[..., 0].astype(np.int64), "x.npy: values of int64; an image has uint8, uint16"),
    ],
    ids=["channels", "type", "picture", "NaN", "integers"],
)  # fmt: skip
def test_a_file_of_another_kind_is_refused(
    pairs: dict[str, Path], save: Save, name: str, array: np.ndarray, words: str
) -> None:
    save(name, array)
    with pytest.raises(DataError) as refused:
        read_folders("unpaired", **pairs)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("range_", "words"),
    [
        ("a=100..200", "a: no value lies within the range 100..200: the images have 0."),
        ("b=-600..800.5", "the range -600..800.5 is not one of int16; expected whole numbers from -32768 to 32767"),
        ("b=-40000..0", "is not one of int16"),
        ("a=0..1,0..2", "a: 2 ranges for 3 channels; give one for all, or as many"),
        ("5..5", "range is '5..5'; expected two numbers that differ"),
        ("9..5", "range is '9..5'; expected LOW..HIGH with LOW below HIGH"),
        ("5", "range is '5'; expected LOW..HIGH"),
        ("c=0..1", "range is 'c=0..1'; expected LOW..HIGH, a=LOW..HIGH or b=LOW..HIGH"),
        ("0..1 a=0..1", "expected one range for all images, or one for a and one for b"),
        ("a=0..1 a=0..2", "expected one range for all images, or one for a and one for b"),
        ("0..nan", "expected two numbers that differ"),
    ],
)
def test_a_range_that_means_nothing_is_refused(pairs: dict[str, Path], range_: str, words: str) -> None:
    with pytest.raises(DataError) as refused:
        read_folders("pairs", **pairs, range=range_)
    assert words in str(refused.value)


def test_one_value_throughout_is_refused_and_in_one_channel_a_warning(save: Save, tmp_path: Path) -> None:
    for number in range(2):
        save(f"a/{number}.npy", np.full((24, 20, 2), 7, np.float32))
        save(f"b/{number}.npy", np.dstack([values(number, 1), np.full((24, 20), 7, np.float32)]))
    with pytest.raises(DataError, match=r"a: all images have the same value throughout, 7, 7: there is"):
        read_folders("unpaired", a=tmp_path / "a", b=tmp_path / "b")
    dataset = read_folders("unpaired", a=tmp_path / "a", b=tmp_path / "b", range="a=0..10")
    assert "b: 1 of its channels, numbered from 1, with one value throughout: 2" in str(dataset.report)
    assert dataset.target.range[1] == (7.0, 14.0)
    assert bool((dataset.sample(0, 0, PLAIN)["y"][1] == -1).all())


def test_channels_cannot_be_chosen_for_bands(pairs: dict[str, Path]) -> None:
    with pytest.raises(DataError, match="a: --channels is for pictures, and these have 3 channels of float32"):
        read_folders("pairs", **pairs, channels=1)


def test_a_range_needs_pictures_of_one_depth_without_alpha(save: Save, tmp_path: Path) -> None:
    save("a/0.png", np.zeros((24, 20), np.uint8))
    save("b/0.png", np.full((24, 20), 9, np.uint8))
    where = {"a": tmp_path / "a", "b": tmp_path / "b"}
    with pytest.raises(DataError, match="--range is not for pictures with alpha; choose --channels 3"):
        read_folders("unpaired", **where, channels=4, range="b=0..9")
    save("b/1.png", np.full((24, 20), 9, np.uint16))
    with pytest.raises(DataError, match="a range is of images of 8 bits or of 16, and these are of both"):
        read_folders("unpaired", **where, range="b=0..9")


@pytest.mark.parametrize("kind", ["images", "captions"])
def test_generators_learn_from_pictures_only(save: Save, tmp_path: Path, kind: str) -> None:
    for number in range(2):
        save(f"set/{number}.npy", values(number))
        (tmp_path / "set" / f"{number}.txt").write_text(f"field {number}")
    with pytest.raises(DataError, match=r"generators learn from pictures, .* and these have 3 channels of float32"):
        read_folders(kind, data=tmp_path / "set")


def test_a_set_of_grey_images_has_a_range(save: Save, tmp_path: Path) -> None:
    for number in range(2):
        save(f"set/{number}.png", (values(number, 1)[..., 0] * 1000).astype(np.uint16))
    dataset = read_folders("images", data=tmp_path / "set", range="0..1023")
    assert dataset.source == Domain("set", 1, 16, range=((0.0, 1023.0),))
    assert float(dataset.sample(0, 0, PLAIN)["x"].max()) > 0.8
    with pytest.raises(DataError, match=r"this method has no a and b: expected LOW\.\.HIGH"):
        read_folders("images", data=tmp_path / "set", range="a=0..1023")


def test_the_range_of_pictures_is_found_where_that_is_asked_for(save: Save, tmp_path: Path) -> None:
    save("a/0.png", np.arange(300, 780, dtype=np.uint16).reshape(24, 20))
    save("a/1.png", np.arange(500, 980, dtype=np.uint16).reshape(24, 20))
    save("b/0.png", np.arange(480, dtype=np.uint16).reshape(24, 20).astype(np.uint8))
    where = {"a": tmp_path / "a", "b": tmp_path / "b"}
    dataset = read_folders("unpaired", **where, range="a=found")
    assert dataset.source == Domain("a", 1, 16, range=((300.0, 979.0),))
    assert dataset.target == Domain("b", 1, 8)
    seen = torch.stack([dataset.sample(position, 0, PLAIN)["x"] for position in range(2)])
    assert (float(seen.min()), float(seen.max())) == (-1, 1)
    assert "no value above" not in str(dataset.report)


def test_domains_of_bands_share_one_kind_and_range(save: Save, tmp_path: Path) -> None:
    for number, name in enumerate(("dry", "wet")):
        for image in range(2):
            save(f"weather/{name}/{image}.npy", values(image, 5) + 100 * number)
    dataset = read_folders("domains", data=tmp_path / "weather")
    assert dataset.source.channels == 5
    assert dataset.source.range[0][0] < 1
    assert dataset.source.range[0][1] > 100
    assert dataset.sample(0, 0, PLAIN)["x"].shape == (5, 24, 20)


def test_bands_are_cropped_mirrored_and_resized_together(save: Save, tmp_path: Path) -> None:
    """Channels that are multiples of the first stay so, at any size; and a pair stays in step."""
    for number in range(3):
        plane = cv2.resize(np.random.default_rng(number).random((6, 5), np.float32), (61, 70))
        save(f"a/{number}.npy", np.dstack([plane * (c + 1) for c in range(6)]))
        save(f"b/{number}.npy", np.dstack([plane * -1, plane * 3]))
    dataset = read_folders("pairs", a=tmp_path / "a", b=tmp_path / "b", range="a=0..10 b=-10..10")
    for size in ((32, 32), (90, 80)):
        with Batches(dataset, View(size), batch=2, workers=0) as batches:
            for _ in range(3):
                batch = next(batches)
                x, y = (batch["x"] + 1) * 5, batch["y"] * 10
                assert (x.shape, y.shape) == ((2, 6, *size), (2, 2, *size))
                torch.testing.assert_close(x, x[:, :1] * torch.arange(1.0, 7)[:, None, None], atol=1e-4, rtol=0)
                torch.testing.assert_close(y, x[:, :1] * torch.tensor([-1.0, 3])[:, None, None], atol=1e-4, rtol=0)
                assert float(x[:, 0].std()) > 0.05


@pytest.mark.parametrize("dtype", ["float32", "int16", "uint16"])
def test_cached_bands_are_those_that_were_read(
    save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str
) -> None:
    monkeypatch.setenv("I2I_CACHE", str(tmp_path / "cache"))
    path = save("a.npy", (values(1, 5, (90, 80)) * 100).astype(dtype))
    domain = Domain("a", 5, np.dtype(dtype).itemsize * 8, dtype, ((50.0, 3000.0),))
    reader, view = Reader("edge"), View.plain((30, 30))
    (want,) = reader(view, Wanted(path, domain))
    assert want.dtype == dtype
    assert want.min() >= 50
    with reader.caching(10**7, "test", view, print):
        reader(view, Wanted(path, domain))
        monkeypatch.setattr("i2i.data.reader.read_image", lambda *_, **__: pytest.fail("it was decoded again"))
        (again,) = reader(view, Wanted(path, domain))
    assert again.dtype == want.dtype
    np.testing.assert_array_equal(again, want)
