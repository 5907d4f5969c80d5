"""The models that come with i2i match their index, and are better than the identity."""

import hashlib
import importlib.util
import json
import os
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image as PilImage

import i2i
from i2i.demo.paint import paint
from i2i.demo.scenes import scene
from i2i.images import Image
from i2i.images.derive import derive_image
from i2i.metrics import METRICS, l1, psnr, ssim
from i2i.runtime.model import macs, speed

WEIGHTS = Path(__file__).resolve().parent.parent / "weights"
INDEX = json.loads((WEIGHTS / "index.json").read_text())
HELD_OUT = 700_000  # first of the scenes that no training draws: tools/train_default.py

entries = pytest.mark.parametrize("entry", INDEX, ids=[entry["name"] for entry in INDEX])


@pytest.fixture(scope="module")
def models():
    return {entry["name"]: i2i.load(WEIGHTS / entry["file"], provider="cpu", threads=1) for entry in INDEX}


@pytest.fixture
def publishing(monkeypatch):
    """The module of tools/ that writes the entries, which the other tools import by its name alone."""
    monkeypatch.syspath_prepend(WEIGHTS.parent / "tools")
    return importlib.import_module("publishing")


def test_every_file_has_an_entry_and_every_entry_its_files():
    files = {path.name for path in WEIGHTS.iterdir() if path.is_file() and path.name != "index.json"}
    assert files == {entry[key] for entry in INDEX for key in ("file", "picture")}
    assert len({entry["file"] for entry in INDEX}) == len({entry["name"] for entry in INDEX}) == len(INDEX)


def test_together_they_are_small(publishing):
    assert sum(path.stat().st_size for path in WEIGHTS.iterdir()) <= publishing.TOTAL == 12_000_000


@entries
def test_the_entry_describes_its_file(entry, publishing):
    data = (WEIGHTS / entry["file"]).read_bytes()
    assert tuple(entry) == publishing.KEYS
    assert hashlib.sha256(data).hexdigest() == entry["sha256"]
    assert len(data) == entry["size"]
    assert all(entry[key] for key in publishing.KEYS if key != "seed")
    assert isinstance(entry["seed"], int)
    assert "/" not in entry["data"].split()[0], "a path of one machine is no description of data"
    for candidates in entry["metrics"].values():
        assert next(iter(candidates)) == "result"
        assert all(np.isfinite(value) for values in candidates.values() for value in values.values())
    assert entry["ms"]["value"] > 0
    assert re.fullmatch(r"\w+, .+", entry["ms"]["machine"])


@entries
def test_the_entry_states_what_the_file_costs(entry, models):
    path = WEIGHTS / entry["file"]
    assert macs.count(path, models[entry["name"]].spec, speed.SIDE) == entry["macs"] > 1e6
    assert macs.parameters(path) == entry["parameters"] > 1e3


@entries
def test_the_picture_shows_before_and_after(entry):
    picture = PilImage.open(WEIGHTS / entry["picture"])
    assert picture.format == "JPEG"
    assert min(picture.size) >= 192
    picture.load()


@pytest.mark.usefixtures("publishing")
def test_the_programs_defaults_are_the_recipe():
    """Its defaults are the recipe: a reader who runs it gets the committed model, and the units of its figures."""
    where = importlib.util.spec_from_file_location("train_default", WEIGHTS.parent / "tools" / "train_default.py")
    tool = importlib.util.module_from_spec(where)
    where.loader.exec_module(tool)
    entry = next(entry for entry in INDEX if entry["name"] == tool.NAME)
    version = {"i2i": entry["recipe"]["i2i"]}  # of the time
    assert entry["recipe"] == tool.recipe(tool.SETTINGS) | version
    assert {"size", "batch", "steps", "precision", "ema", "seed"} <= entry["recipe"].keys()
    assert entry["protocol"] == tool.PROTOCOL
    assert (entry["seed"], entry["data"]) == (tool.SETTINGS["seed"], entry["recipe"]["data"])
    assert "share of the range" in entry["protocol"]


@entries
def test_a_distance_in_features_carries_their_name(entry):
    names = {name for found in entry["metrics"].values() for row in found.values() for name in row}
    assert not names & {name for name, metric in METRICS.items() if metric.needs_features}
    assert not any("x1000" not in name for name in names if name.startswith("KID"))


@entries
def test_the_entry_and_the_file_hold_the_same_description(entry, models):
    spec = models[entry["name"]].spec
    assert spec.recipe == entry["recipe"]
    assert i2i.Spec.from_json(json.dumps(entry["spec"])) == spec
    assert spec.parity, "it was not proven at export"


@entries
def test_older_releases_of_onnx_runtime_read_it(entry):
    """A file of a newer IR version than its opset needs is refused by them, whatever its operators."""
    model = onnx.load(WEIGHTS / entry["file"])
    assert model.ir_version == onnx.helper.find_min_ir_version_for(model.opset_import)


@entries
def test_no_path_of_the_machine_it_was_made_on_is_in_the_file(entry):
    data = (WEIGHTS / entry["file"]).read_bytes()
    for word in (os.path.expanduser("~").encode() + b"/", b"/tmp/", b"/home/", b"/runs/"):
        assert word not in data, word


@entries
def test_an_image_of_any_size_comes_back_in_that_size(entry, models):
    rng = np.random.default_rng(0)
    for size in ((57, 91), (1, 1), (200, 3)):
        image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        result = models[entry["name"]](image)
        assert result.shape == image.shape, size
        assert result.dtype == np.uint8, size


@pytest.mark.parametrize("size", [64, 96, 128])
def test_day2night_is_nearer_to_the_night_than_the_day_is(models, size):
    """Doing nothing is off by 36 % of the range, the best affine map of colours by 5 %: neither would pass."""
    scores = []
    for number in range(6):
        day, night = (paint(scene(HELD_OUT + number), style, size) for style in ("day", "night"))
        result = models["day2night"](day)
        scores.append([metric(image, night) for metric in (l1, psnr, ssim) for image in (result, day)])
    l1_result, l1_day, psnr_result, psnr_day, ssim_result, ssim_day = np.mean(scores, axis=0)
    assert l1_result < 0.1 * l1_day
    assert psnr_result > psnr_day + 12
    assert ssim_result > ssim_day + 0.15


def test_day2night_scores_what_its_entry_says(models):
    """The first scenes of the protocol stand for all of it."""
    metrics = next(entry for entry in INDEX if entry["name"] == "day2night")["metrics"]
    for size in (64, 128):
        scenes = [scene(HELD_OUT + number) for number in range(6)]
        pairs = [(paint(place, "day", size), paint(place, "night", size)) for place in scenes]
        found = float(np.mean([l1(models["day2night"](day), night) for day, night in pairs]))
        assert found == pytest.approx(metrics[f"{size}x{size}"]["result"]["l1"], rel=0.15), size


def test_restore_restores_what_it_was_not_trained_on(models):
    """Drawn scenes: nearer to the original from JPEG and from noise, and nearly unchanged where there is neither."""
    gains = {"jpeg:20": 0.7, "noise:10": 3.0}  # dB; 1.1 and 4.1 in the mean
    clean = [paint(scene(HELD_OUT + number), "day", 192) for number in range(3)]
    for way, least in gains.items():
        pairs = [(derive_image(Image(image), way, str(number)).pixels, image) for number, image in enumerate(clean)]
        gained = [psnr(models["restore"](poor), image) - psnr(poor, image) for poor, image in pairs]
        assert np.mean(gained) > least, (way, gained)
    assert min(psnr(models["restore"](image), image) for image in clean) > 34
