"""Accuracy of tiles for a trained network, which random weights do not reach.

The network that comes with the package sees the whole image, so one is trained here: a ResNet with instance norm, on
drawn scenes by day and by night.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

import i2i
from i2i.demo.paint import paint
from i2i.demo.scenes import scene
from i2i.images import Image, write_image
from i2i.metrics import psnr
from i2i.runtime import Model
from i2i.runtime.tiles import shared_statistics, tiler
from i2i.runtime.tiles.grid import cut

pytestmark = pytest.mark.slow
SIDE = 448


def photo(side: int, seed: int, style: str = "day") -> np.ndarray:
    """A drawn scene with the shading and the grain of a photograph, uint8 [side, side, 3]."""
    y, x = np.mgrid[:side, :side] / side
    light = 0.75 + 0.35 * np.cos(3 * (x - 0.3 * seed % 1)) * np.cos(2 * y)
    grain = np.random.default_rng(seed).normal(0, 4, (side, side, 3))
    return np.clip(paint(scene(seed), style, side) * light[..., None] + grain, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("trained")
    for seed in range(32):
        for name, style in (("a", "day"), ("b", "night")):
            (folder / name).mkdir(exist_ok=True)
            write_image(folder / name / f"{seed}.png", Image(photo(64, seed, style)))
    run = i2i.train(
        "pix2pix", a=folder / "a", b=folder / "b", out=folder / "run", size=64, steps=200, generator="resnet_6",
        norm="instance", dropout=False, ngf=8, ndf=8, ema=0.98, workers=0, quiet=True,
    )  # fmt: skip
    model = i2i.load(i2i.export(run), "cpu", threads=1)
    assert model.spec.tiling == "statistics"
    return model


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return photo(896, 1000)


@pytest.fixture(scope="module")
def whole(model: Model, picture: np.ndarray) -> np.ndarray:
    result = model.tiled("off")(picture)
    assert result.std() > 20  # it has learnt something
    return result


def test_patches_stand_for_the_image(model: Model, picture: np.ndarray, whole: np.ndarray) -> None:
    tiling = tiler.Tiling(side=SIDE)
    assert psnr(tiler.translate_tiled(model.executor, picture, None, tiling), whole) >= 35


def test_exact_is_exact(model: Model, picture: np.ndarray, whole: np.ndarray) -> None:
    tiling = tiler.Tiling(exact=True, side=SIDE)
    assert psnr(tiler.translate_tiled(model.executor, picture, None, tiling), whole) >= 50


def test_neighbouring_tiles_agree_to_one_level(model: Model, picture: np.ndarray) -> None:
    runner = shared_statistics.Runner(model.executor, None)
    used = shared_statistics.sampled(runner, tiler.Array(picture), model.spec.source)
    run = runner.open(runner.forms.fixed(used))
    spans = cut(896, SIDE, tiler.halo(model.spec, exact=False))
    tiles = [run(picture[None, :SIDE, span.seen])[0][0].astype(int) for span in spans]
    assert len(spans) > 2
    for (left, a), (right, b) in pairwise(zip(spans, tiles, strict=True)):
        both = range(right.kept.start, left.kept.stop)
        off = a[:, [x - left.seen.start for x in both]] - b[:, [x - right.seen.start for x in both]]
        assert np.abs(off).max() <= 1
