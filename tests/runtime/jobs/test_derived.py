"""Sources made of finished images: what `i2i translate --derive` writes before it translates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from i2i.images import Image, read_image, write_image
from i2i.images.derive import derive_image
from i2i.runtime import Model
from i2i.runtime.jobs.derived import derive_file, derive_folder
from i2i.runtime.jobs.folder import MixedError
from i2i.runtime.jobs.options import Options
from tests import tiny
from tests.conftest import Command

NOISE = "noise:20"


def restorer(path: Path, way: str = NOISE) -> Model:
    return Model(tiny.inverter(path, replace(tiny.RGB, derive=way)), "cpu")


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return restorer(tmp_path / "m.onnx")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.jpg", "deeper/a.png"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(tmp_path / "photos" / name, Image(rng.integers(0, 256, (20, 30, 3), np.uint8)))
    return tmp_path / "photos"


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*") if path.is_file()}


def test_the_name_decides_what_is_made(model: Model, photos: Path, tmp_path: Path) -> None:
    found = derive_folder(model, photos, tmp_path / "d")
    assert (found.done, found.skipped, found.failed) == (3, 0, 0)
    for name, made in (("a.png", "a.png"), ("b.jpg", "b.jpg.png"), ("deeper/a.png", "deeper/a.png")):
        wanted = derive_image(read_image(photos / name), NOISE, name).pixels
        assert np.array_equal(read_image(tmp_path / "d" / made).pixels, wanted)
    one = derive_file(model, photos / "b.jpg", tmp_path / "one", Options())
    assert one.read_bytes() == (tmp_path / "d" / "b.jpg.png").read_bytes()


def test_what_is_there_is_kept_until_its_image_or_the_way_changes(model: Model, photos: Path, tmp_path: Path) -> None:
    derive_folder(model, photos, tmp_path / "d")
    before = content(tmp_path / "d")
    write_image(photos / "a.png", Image(np.zeros((9, 9, 3), np.uint8)))
    found = derive_folder(model, photos, tmp_path / "d")
    assert (found.done, found.skipped) == (1, 2)
    changed = {name for name, data in content(tmp_path / "d").items() if data != before[name]}
    assert {name for name in changed if not name.startswith(".i2i")} == {"a.png"}
    other = restorer(tmp_path / "other.onnx", "blur:2")
    with pytest.raises(MixedError, match="derive was noise:20 and is blur:2"):
        derive_folder(other, photos, tmp_path / "d")
    assert derive_folder(other, photos, tmp_path / "d", Options(overwrite=True)).done == 3


def test_originals_are_never_replaced(model: Model, photos: Path, tmp_path: Path) -> None:
    before = content(photos)
    for options in (Options(), Options(overwrite=True)):
        with pytest.raises(ValueError, match="originals are never overwritten"):
            derive_folder(model, photos, photos, options)
        with pytest.raises(ValueError, match="originals are never overwritten"):
            derive_file(model, photos / "a.png", photos, options)
    with pytest.raises(ValueError, match="no earlier job wrote"):
        derive_folder(model, photos / "deeper", photos)
    derive_file(model, photos / "a.png", tmp_path / "one", Options())
    with pytest.raises(ValueError, match=r"a\.png is there already; choose another folder, or --overwrite"):
        derive_file(model, photos / "deeper" / "a.png", tmp_path / "one", Options())
    derive_file(model, photos / "deeper" / "a.png", tmp_path / "one", Options(overwrite=True))
    assert content(photos) == before
    for _ in range(2):  # what lies within the folder of the sources is no source
        assert derive_folder(model, photos, photos / "made").total == 3
    assert {name for name in content(photos / "made") if not name.startswith(".i2i")} == {
        "a.png", "b.jpg.png", "deeper/a.png",
    }  # fmt: skip


def test_alpha_is_kept(model: Model, photos: Path, tmp_path: Path) -> None:
    alpha = np.zeros((20, 30), np.uint8)
    alpha[:, 15:] = 255
    write_image(photos / "a.png", Image(read_image(photos / "a.png").pixels, alpha))
    made = read_image(derive_file(model, photos / "a.png", tmp_path / "d", Options()))
    assert made.alpha is not None
    assert np.array_equal(made.alpha, alpha)


def test_a_damaged_image_is_named_and_the_others_go_on(
    model: Model, photos: Path, tmp_path: Path, i2i_command: Command
) -> None:
    (photos / "broken.png").write_bytes((photos / "a.png").read_bytes()[:60])
    words = ["-m", model.path, "--derive", tmp_path / "d"]
    done = i2i_command("translate", photos, tmp_path / "out", *words)
    assert done.returncode == 1, done.stderr
    assert f"failed: {photos / 'broken.png'}: " in done.stderr
    assert "3 translated, 0 done before, 0 failed" in done.stdout
    done = i2i_command("translate", photos / "broken.png", tmp_path / "one.png", *words)
    assert done.returncode == 1, done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"failed: {photos / 'broken.png'}: ")


def test_parts_of_a_folder_have_the_same_images(
    model: Model, photos: Path, tmp_path: Path, i2i_command: Command
) -> None:
    for part in ("1/2", "2/2"):
        done = i2i_command(
            "translate", photos, tmp_path / "out", "-m", model.path, "--derive", tmp_path / "d", "--shard", part
        )
        assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "out").rglob("*.png"))) == len(list((tmp_path / "d").rglob("*.png"))) == 3
