"""The settings that add terms to the generators, and the features of the perceptual one."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from i2i.evaluation.lite0 import PACKAGE
from i2i.evaluation.networks import open_features
from i2i.evaluation.pictures import Picture
from i2i.images import Image, read_image, write_image
from tests.engine.test_finetune import run

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_features_are_those_of_the_evaluation():
    pytest.importorskip(PACKAGE)
    from i2i.engine.perceptual import Lite0Features

    pixels = np.random.default_rng(0).integers(0, 256, (224, 224, 3)).astype(np.uint8)
    _, maps = open_features("lite0", "cpu")(Picture(Image(pixels), "noise"))
    images = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 127.5 - 1
    features = Lite0Features()
    ours = features(images)
    assert len(ours) == 4
    for mine, theirs in zip(ours, maps, strict=False):
        assert np.abs(mine[0].numpy() - theirs).max() < 1e-3 * np.abs(theirs).max()
    odd = torch.rand(2, 1, 37, 50).requires_grad_()
    found = features(odd)
    assert [tuple(map.shape[2:]) for map in found] == [(19, 25), (10, 13), (5, 7), (3, 4)]
    sum(map.square().sum() for map in found).backward()
    assert odd.grad.abs().sum() > 0


def test_a_run_learns_the_terms(folders, tmp_path):
    done = run("cut", folders, tmp_path / "run", identity=1.0, geometry=2.0, log_every=2)
    (line,) = [json.loads(line) for line in (done / "log.jsonl").read_text().splitlines()]
    assert {"G/identity_a2b", "G/geometry_a2b", "G/gan", "G/nce"} <= line.keys() | line.get("losses", {}).keys()
    with pytest.raises(ValueError, match="are terms of unpaired methods"):
        run("pix2pix", folders, tmp_path / "pairs", geometry=1.0)


def test_the_perceptual_term(folders, tmp_path):
    pytest.importorskip(PACKAGE)
    done = run("direct", folders, tmp_path / "run", perceptual=1.0, steps=2, log_every=2)
    line = json.loads((done / "log.jsonl").read_text().splitlines()[-1])
    assert line["G/perceptual_a2b"] > 0


def test_a_run_with_masks(folders, tmp_path):
    given = folders["cut"]
    masks = tmp_path / "masks"
    source = Path(given["a"]) if "a" in given else next(p for p in Path(given["data"]).rglob("trainA"))
    for path in sorted(source.iterdir()):
        image = read_image(path)
        masks.mkdir(exist_ok=True)
        write_image(masks / f"{path.stem}.png", Image(np.full((image.height, image.width, 1), 255, np.uint8)))
    open_, white = run("cut", folders, tmp_path / "open"), run("cut", folders, tmp_path / "white", mask=masks)
    ours, theirs = (load_file(path / "weights" / "a2b.safetensors") for path in (open_, white))
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)  # a mask of white is none
    facts = json.loads((white / "run.json").read_text())
    assert any(line.startswith("masks: ") for line in facts["data_report"]["lines"])
    for path in masks.iterdir():
        image = read_image(path)
        write_image(path, Image(np.zeros_like(image.pixels)))
    black = load_file(run("cut", folders, tmp_path / "black", mask=masks) / "weights" / "a2b.safetensors")
    assert not all(torch.equal(ours[key], black[key]) for key in ours)
    with pytest.raises(ValueError, match="masks are for methods of two domains, and dcgan learns from images"):
        run("dcgan", folders, tmp_path / "dcgan", mask=masks)
