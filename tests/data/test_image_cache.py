"""The cache of resized images: the same pixels with it and without, and never more than its limit."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from contextlib import ExitStack, closing

import cv2
import numpy as np
import pytest
import torch

from i2i.data import Batches, View, image_cache, read_folders, reader
from i2i.data.image_cache import ImageCache
from i2i.engine import train
from i2i.images import ImageError
from tests.conftest import ROOT
from tests.engine.comparison import same

VIEW = View((16, 24))
STAMP = (5, 6)


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("I2I_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "resized"


@pytest.fixture
def decoded(monkeypatch):
    """The names of the files that training decodes from now on."""
    names = []
    real = reader.read_image
    monkeypatch.setattr(reader, "read_image", lambda path, **more: (names.append(path.name), real(path, **more))[1])
    return names


@pytest.fixture
def photos(tmp_path):
    """Two folders of JPEGs and PNGs far larger than the view."""
    rng = np.random.default_rng(0)
    for side in "xy":
        (tmp_path / side).mkdir()
        for number in range(4):
            pixels = cv2.resize(rng.integers(0, 256, (6, 8, 3), np.uint8), (160, 128), interpolation=cv2.INTER_CUBIC)
            assert cv2.imwrite(str(tmp_path / side / f"{side}{number}.{'jpg' if number % 2 else 'png'}"), pixels)
    return {"a": tmp_path / "x", "b": tmp_path / "y"}


@pytest.fixture
def opened(root):
    """Open a cache, and close it after the test."""
    with ExitStack() as stack:
        yield lambda name, limit=100_000, say=pytest.fail: stack.enter_context(
            closing(ImageCache(root, name, limit, say))
        )


def batches(folders, limit, workers=0, said=None, kind="unpaired", start=0, count=12):
    """Samples of a start of a training."""
    dataset = read_folders(kind, **folders)
    report = said.append if said is not None else lambda text: pytest.fail(text)
    with (
        dataset.reader.caching(limit, "these", VIEW, report),
        Batches(dataset, VIEW, 2, seed=3, start_step=start, workers=workers) as endless,
    ):
        return [next(endless) for _ in range(count)]


def alike(one, other):
    return all(torch.equal(a[key], b[key]) for a, b in zip(one, other, strict=True) for key in ("x", "y"))


def images(root):
    return [path for path in root.rglob("*") if path.is_file() and path.name != "in-use"]


@pytest.mark.parametrize("workers", [0, 3])
def test_pixels_are_the_same_without_a_cache_with_a_cold_and_with_a_warm_one(photos, decoded, workers, root):
    without = batches(photos, 0)
    assert not root.exists()
    assert len(decoded) == 48
    decoded.clear()
    assert alike(without, batches(photos, 10**6, workers))
    assert set(decoded) == {path.name for folder in photos.values() for path in folder.iterdir()}
    decoded.clear()
    assert alike(without, batches(photos, 10**6, workers))
    assert alike(without[5:], batches(photos, 10**6, workers, start=5, count=7))
    assert decoded == []


def test_halves_of_a_file_and_16_bits_and_grey_are_cached(tmp_path, decoded):
    (tmp_path / "data").mkdir()
    rng = np.random.default_rng(1)
    for number in range(2):
        pixels = rng.integers(0, 65536, (90, 240), np.uint16)
        assert cv2.imwrite(str(tmp_path / f"data/{number}.png"), pixels)
    folders = {"data": tmp_path / "data"}
    without = batches(folders, 0, kind="pairs")
    assert without[0]["x"].shape == (2, 1, 16, 24)
    decoded.clear()
    assert alike(without, batches(folders, 10**6, kind="pairs"))
    assert sorted(decoded) == ["0.png", "1.png"]  # once, for both halves
    assert alike(without, batches(folders, 10**6, kind="pairs"))
    assert len(decoded) == 2


def test_what_is_seen_is_part_of_the_key(photos, decoded):
    """The size, the load, the channels, the bits, the background and the half."""
    from i2i.data.reader import Reader, Wanted
    from i2i.spec import Domain

    path, seen = photos["a"] / "x0.png", []
    rgb = cv2.imread(str(path))
    cv2.imwrite(str(path), np.dstack([rgb, np.where(rgb[..., :1] > 128, 255, 0).astype(np.uint8)]))
    whole, left, deep = Wanted(path, Domain("a")), Wanted(path, Domain("a"), 0), Wanted(path, Domain("a", bits=16))
    for background, view, wanted in (
        ("edge", VIEW, whole), ("edge", View((24, 16)), whole), ("edge", View((16, 24), load=2), whole),
        ("40", VIEW, whole), ("edge", VIEW, left), ("edge", VIEW, Wanted(path, Domain("a"), 1)), ("edge", VIEW, deep),
        ("edge", VIEW, Wanted(path, Domain("a", channels=1))), ("edge", VIEW, Wanted(path, Domain("a", channels=4))),
    ):  # fmt: skip
        for _ in range(2):
            read = Reader(background)
            with read.caching(10**6, "these", VIEW, print):
                seen.append(read(view, wanted)[0].tobytes())
    assert seen[0::2] == seen[1::2]
    assert len(set(seen)) == 9
    assert len(decoded) == 9


def test_another_version_of_a_decoder_reads_again(photos, decoded, monkeypatch):
    batches(photos, 10**6)
    decoded.clear()
    assert "OpenCV " in reader.FORM
    assert "Pillow " in reader.FORM
    monkeypatch.setattr(reader, "FORM", reader.FORM.replace("OpenCV ", "OpenCV 1"))
    batches(photos, 10**6)
    assert len(set(decoded)) == 8


def test_a_changed_file_is_read_again(photos, decoded):
    batches(photos, 10**6)
    for path in photos["a"].iterdir():
        cv2.imwrite(str(path), np.full((64, 96, 3), 128, np.uint8))
    decoded.clear()
    changed = batches(photos, 10**6)
    assert set(decoded) == {path.name for path in photos["a"].iterdir()}
    assert all(batch["x"].std() < 0.02 for batch in changed)
    for path in photos["b"].iterdir():
        path.unlink()
    dataset = read_folders("images", data=photos["a"])
    for path in photos["a"].iterdir():
        path.unlink()
    with dataset.reader.caching(10**6, "these", VIEW, print), pytest.raises(ImageError, match="No such file"):
        dataset.sample(0, 0, VIEW)


def test_images_that_are_hardly_larger_than_the_crops_are_not_cached(tmp_path, root, draw):
    for number in range(2):
        draw(f"x/{number}.png", size=(20, 30))
        draw(f"y/{number}.png", size=(10, 10))
    batches({"a": tmp_path / "x", "b": tmp_path / "y"}, 10**6)
    assert images(root) == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:30],
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: data[:200] + bytes([data[200] ^ 4]) + data[201:],
        lambda data: data[:14] + bytes([data[14] ^ 4]) + data[15:],
        lambda data: bytes(len(data)),
    ],
    ids=["empty", "head", "cut", "longer", "one bit", "one bit of the head", "zeros"],
)
def test_damaged_images_are_made_again(photos, decoded, root, damage):
    without = batches(photos, 10**6)
    for path in images(root):
        path.write_bytes(damage(path.read_bytes()))
    decoded.clear()
    assert alike(without, batches(photos, 10**6))
    assert len(set(decoded)) == 8
    decoded.clear()
    assert alike(without, batches(photos, 10**6))
    assert decoded == []


def fill(cache, count, first=0, size=1000):
    for number in range(first, first + count):
        cache.write(str(number), STAMP, np.full((size // 10, 10, 1), number % 256, np.uint8))


def size(root):
    return sum(path.stat().st_size for path in images(root))


def kept(cache, count):
    return [number for number in range(count) if cache.read(str(number), STAMP) is not None]


def test_the_limit_holds_and_what_is_there_stays(root, opened):
    said = []
    cache = opened("one", say=said.append)
    fill(cache, 200)
    assert 80_000 < size(root) <= 100_000
    assert kept(cache, 200) == list(range(len(images(root))))
    assert len(said) == 1
    assert "a larger --cache has room for more" in said[0]


def test_processes_that_write_at_the_same_time_stay_within_the_limit(root):
    program = f"""
import numpy as np, sys
from pathlib import Path
from i2i.data.image_cache import ImageCache
cache = ImageCache(Path({str(root)!r}), "one", 100_000, lambda text: None)
print("ready", flush=True)
sys.stdin.readline()
for number in range(150):
    cache.write(f"{{sys.argv[1]}} {{number}}", (5, 6), np.zeros((100, 10, 1), np.uint8))
"""
    many = [
        subprocess.Popen([sys.executable, "-c", program, str(n)], stdin=-1, stdout=-1, text=True, cwd=ROOT)
        for n in range(3)
    ]
    for process in many:
        assert process.stdout.readline() == "ready\n"
    for process in many:
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate(timeout=60) and process.returncode for process in many] == [0, 0, 0]
    assert 80_000 < size(root) <= 100_000


def test_a_new_set_replaces_those_that_nobody_uses(root, opened):
    one = opened("one")
    fill(one, 40)
    one.close()
    time.sleep(0.02)
    used = opened("used")
    fill(used, 20)
    said = []
    new = opened("new", say=said.append)
    fill(new, 80)
    assert size(root) <= 100_000
    assert kept(one, 40) == []
    assert kept(used, 20) == list(range(20))
    assert kept(new, 80) == list(range(len(kept(new, 80))))
    assert 50 < len(kept(new, 80)) < 80
    assert said


def test_a_lower_limit_makes_the_cache_smaller(root, opened):
    for name in ("one", "two"):
        cache = opened(name)
        fill(cache, 30)
        cache.close()
        time.sleep(0.02)
    opened("two", 40_000).close()
    assert 0 < size(root) <= 40_000  # of the one that was used last
    opened("two", 20_000).close()
    assert size(root) == 0


def test_half_of_the_free_disk_is_left(root, opened, monkeypatch):
    said = []
    monkeypatch.setattr(image_cache.shutil, "disk_usage", lambda place: type("Usage", (), {"free": 40_000}))
    cache = opened("one", 10**9, said.append)
    fill(cache, 1)
    assert size(root) > 0
    monkeypatch.setattr(image_cache.shutil, "disk_usage", lambda place: type("Usage", (), {"free": 20_000}))
    fill(cache, 100, 1)
    assert size(root) < 20_000
    assert said


def test_a_full_disk_ends_the_caching_and_not_the_training(root, photos, monkeypatch):
    without, said = batches(photos, 0), []

    def full(path, write, durable=True):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(image_cache, "atomically", full)
    assert alike(without, batches(photos, 10**6, said=said))
    assert len(said) == 1
    assert "No space left" in said[0]
    assert images(root) == []


def test_a_folder_that_is_deleted_meanwhile_ends_the_caching_only(root, opened):
    said = []
    cache = opened("one", say=said.append)
    fill(cache, 5)
    shutil.rmtree(root)
    fill(cache, 60, 5)
    assert kept(cache, 65) == []
    assert len(said) == 1


def test_without_a_folder_nothing_is_cached(root, photos):
    without, said = batches(photos, 0), []
    for path in root.parent.rglob("*"):
        if path.is_file():
            path.unlink()
    root.write_text("a file")
    assert alike(without, batches(photos, 10**6, said=said))
    assert "none can be cached" in said[0]
    assert "--cache off" in said[0]


def test_what_a_killed_process_left_is_deleted(root, opened):
    cache = opened("one")
    fill(cache, 3)
    cache.close()
    folder = images(root)[0].parent
    (folder / ".i2i-0a1b2c3d-4e5f.part").write_bytes(b"half")
    assert len(images(root)) == 4
    opened("one").close()
    assert len(images(root)) == 3


KILLED = """
import sys
from pathlib import Path
import numpy as np
from i2i.data.image_cache import ImageCache
cache = ImageCache(Path(sys.argv[1]), "one", 10**9, print)
for number in range(10**6):
    cache.write(str(number % 40), (5, 6), np.full((100, 100, 1), number % 40, np.uint8))
    if number == 0:
        print("ready", flush=True)
"""


def test_a_kill_at_any_moment_leaves_whole_images(root, opened):
    for turn in range(4):
        process = subprocess.Popen([sys.executable, "-c", KILLED, root], stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.03 * (turn + 1))
        process.kill()
        process.communicate()
        cache = opened("one", 10**9)
        found = [cache.read(str(number), STAMP) for number in range(40)]
        assert all(pixels is None or (pixels == number).all() for number, pixels in enumerate(found))
        assert found[0] is not None
        cache.close()
    assert not list(root.rglob("*.part"))


@pytest.mark.parametrize("wrong", ["4", "0GB", "-1GB", "4 XB", "none"])
def test_a_wrong_size_is_an_error(photos, tmp_path, wrong):
    with pytest.raises(ValueError, match=rf"cache is '{wrong}'; expected a size such as 500MB or 4GB, or off"):
        train("cyclegan", **photos, out=tmp_path / "run", cache=wrong, quiet=True)


def test_a_run_ends_alike_with_a_cache_and_without_and_after_a_resume(photos, tmp_path, one_thread, root):
    options = {"size": 32, "steps": 6, "save_every": 3, "ngf": 2, "ndf": 2, "generator": "resnet_1", "quiet": True}
    options |= {"precision": "fp32", "sample_every": 0} | photos
    plain = train("cyclegan", **options, out=tmp_path / "plain", cache="off", workers=0)
    assert not root.exists()
    cold = train("cyclegan", **options, out=tmp_path / "cold", workers=2)
    assert images(root)
    resumed = tmp_path / "resumed"
    shutil.copytree(plain, resumed)
    (resumed / "state" / "000000006.pt").unlink()
    (resumed / "run.json").write_text((resumed / "run.json").read_text().replace("finished", "running"))
    train("cyclegan", **options, out=resumed, cache="2 MB", workers=1)  # it is warm
    assert same(plain, cold)
    assert same(plain, resumed)
