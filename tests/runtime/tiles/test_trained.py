"""Tiles of a network that was trained, on photographs: what random weights say of tiles is harsher than the truth."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from i2i.exporter import export_network
from i2i.images import read_image
from i2i.networks.resnet import ResNet
from i2i.runtime.graph import Graph
from i2i.runtime.tiles import gathering
from i2i.runtime.tiles.grid import cut
from i2i.runtime.tiles.job import Array, Tiling, halo, translate_tiled
from i2i.spec import Domain, Spec
from tests.runtime.tiles.networks import psnr

pytestmark = pytest.mark.slow

SIDE = 320
STEPS = 250


@pytest.fixture(scope="module")
def photos(reference: Callable[[str], Path]) -> list[np.ndarray]:
    paths = sorted(reference("data/summer2winter").rglob("*.jpg"))[:200]
    return [read_image(path).pixels for path in paths]


@pytest.fixture(scope="module")
def graph(photos: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Graph:
    """A ResNet-9 of 16 filters that has learnt to make pencil drawings in colour."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    net = ResNet(blocks=9, ngf=16)
    optimiser = torch.optim.Adam(net.parameters(), 1e-3)
    losses = []
    for _ in range(STEPS):
        pairs = [crop(photos[rng.integers(1, len(photos))], rng) for _ in range(2)]
        x, y = (torch.from_numpy(np.stack(side).transpose(0, 3, 1, 2)) / 127.5 - 1 for side in zip(*pairs, strict=True))
        loss = (net(x) - y).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert np.mean(losses[-30:]) < 0.5 * np.mean(losses[:5]), losses  # it has learnt something
    spec = Spec("test", "a2b", Domain("photo"), Domain("drawing"))
    return Graph(export_network(net.eval(), spec, tmp_path_factory.mktemp("net") / "net.onnx"), "cpu", 1, False)


def crop(photo: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    top, left = rng.integers(0, photo.shape[0] - 96 + 1), rng.integers(0, photo.shape[1] - 96 + 1)
    part = np.ascontiguousarray(photo[top : top + 96, left : left + 96])
    smooth = cv2.GaussianBlur(part, (0, 0), 4).astype(np.float32)
    drawing = np.clip(128 + 2 * (part - smooth) + 0.5 * (smooth[..., ::-1] - 128), 0, 255)
    return part.astype(np.float32), drawing.astype(np.float32)


def scene(photos: list[np.ndarray]) -> np.ndarray:
    """One that it was not trained on, larger than those."""
    return cv2.resize(photos[0], (704, 640), interpolation=cv2.INTER_CUBIC)


def test_tiles_are_nearly_the_whole_photograph(graph: Graph, photos: list[np.ndarray]) -> None:
    image = scene(photos)
    whole = graph.run(image[None])[0]
    assert psnr(translate_tiled(graph, image, tiling=Tiling(side=SIDE)), whole) >= 35
    assert psnr(translate_tiled(graph, image, tiling=Tiling(exact=True, side=SIDE)), whole) >= 50
    alone = graph.run(image[None, :SIDE, :SIDE])[0]  # a tile under its own statistics
    assert psnr(alone, whole[:SIDE, :SIDE]) < 30


def test_neighbours_agree_to_one_level(graph: Graph, photos: list[np.ndarray]) -> None:
    """Wherever both have a result that is kept."""
    image = scene(photos)
    runner, picture, around = gathering.Runner(graph, None), Array(image), halo(graph.spec, False)
    run = runner.open(runner.forms.fixed(gathering.sampled(runner, picture, 255)))
    down, across = cut(image.shape[0], SIDE, around), cut(image.shape[1], SIDE, around)
    assert len(down) > 1
    assert len(across) > 1
    for rows in down:
        for left, right in pairwise(across):
            both = slice(right.kept.start, left.kept.stop)
            parts = []
            for span in (left, right):
                (result,) = run(image[None, rows.seen, span.seen])
                parts.append(result[0, :, both.start - span.seen.start : both.stop - span.seen.start].astype(int))
            assert np.abs(parts[0] - parts[1]).max() <= 1
