"""Images translated in tiles, against the same images translated whole."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import i2i
from i2i.runtime import ModelError, NonFiniteError
from i2i.runtime.model.executor import Executor
from i2i.runtime.tiles import patch_sampling, shared_statistics, tiler
from i2i.runtime.tiles.grid import BLEND, cut
from i2i.runtime.tiles.tiler import Tiling, strips, translate_tiled
from i2i.spec import Domain
from tests.runtime.adapters import models
from tests.runtime.tiles.networks import SPEC, network, photo, psnr

IMAGE = photo(403, 517)
SMALL = 192


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Executor:
    return opened(network(tmp_path_factory.mktemp("net") / "net.onnx"))


def opened(path: Path) -> Executor:
    return Executor(path, "cpu", 1, False)


def test_exact_tiles_are_the_whole_image(graph: Executor) -> None:
    whole = graph.run(IMAGE[None])[0]
    tiled = translate_tiled(graph, IMAGE, tiling=Tiling(exact=True, side=SMALL))
    assert tiled.shape == whole.shape
    assert np.abs(tiled.astype(int) - whole).max() <= 1
    assert psnr(tiled, whole) > 60
    tile = graph.run(IMAGE[None, :SMALL, :SMALL])[0]  # with statistics of its own
    assert np.abs(tile[:100, :100].astype(int) - whole[:100, :100]).max() > 10


def test_sampled_statistics_are_near_and_leave_no_seam(graph: Executor) -> None:
    """Near for weights that are random, in so few patches as there is room for: with its own, a tile is at 12 dB."""
    whole = graph.run(IMAGE[None])[0].astype(int)
    tiled = translate_tiled(graph, IMAGE, tiling=Tiling(side=SMALL)).astype(int)
    assert psnr(tiled, whole) > 28
    off = tiled - whole
    steps = np.abs(np.diff(off, axis=1)).mean((0, 2))  # between one column and the next
    edges = [span.core.start - 1 for span in cut(IMAGE.shape[1], SMALL, 32)[1:]]
    assert steps[edges].max() < np.percentile(steps, 99) + 0.5


def test_neighbours_agree_where_they_overlap(graph: Executor) -> None:
    """To one level, under either kind of statistics."""
    runner = shared_statistics.Runner(graph, None)
    picture = tiler.Array(IMAGE)
    run = runner.open(runner.forms.fixed(shared_statistics.sampled(runner, picture, graph.spec.source)))
    spans = cut(IMAGE.shape[1], SMALL, 32)
    for left, right in pairwise(spans):
        both = slice(right.kept.start, left.kept.stop)
        parts = []
        for span in (left, right):
            (result,) = run(IMAGE[None, :SMALL, span.seen])
            parts.append(result[0, :, both.start - span.seen.start : both.stop - span.seen.start].astype(int))
        assert parts[0].shape[1] == 2 * BLEND
        assert np.abs(parts[0] - parts[1]).max() <= 1


def test_strips_come_in_order_and_tell_how_far_they_are(graph: Executor) -> None:
    progress: list[tuple[int, int]] = []
    parts = strips(graph, tiler.Array(IMAGE), None, Tiling(exact=True, side=SMALL), lambda *now: progress.append(now))
    heights = [part.shape[0] for part in parts]
    assert sum(heights) == 403
    assert len(heights) == len(cut(403, SMALL, 32)) > 1
    tiles = len(cut(403, SMALL, 32)) * len(cut(517, SMALL, 32))
    assert progress == [(done + 1, 4 * tiles) for done in range(4 * tiles)]  # three levels of norms, and the tiles


def test_a_network_without_norms_needs_no_statistics(tmp_path: Path) -> None:
    plain = opened(network(tmp_path / "net.onnx", replace(SPEC, tiling="exact"), norms=False))
    whole = plain.run(IMAGE[None])[0]
    assert np.abs(translate_tiled(plain, IMAGE, tiling=Tiling(side=SMALL)).astype(int) - whole).max() <= 1


def test_a_network_that_sees_the_whole_image_cannot_be_tiled(tmp_path: Path) -> None:
    for changes in ({"tiling": "no"}, {"receptive_field": None}):
        unet = opened(network(tmp_path / "net.onnx", replace(SPEC, **changes)))
        with pytest.raises(ModelError, match="depends on the whole image"):
            translate_tiled(unet, IMAGE)


def test_a_third_party_model_cannot_be_tiled(tmp_path: Path) -> None:
    other = i2i.load(models.larger(tmp_path / "m.onnx", 1), "cpu", threads=1, range=(0, 1), order="rgb", layout="nchw")
    with pytest.raises(ModelError, match="third-party model of unknown receptive field"):
        other.tiled(SMALL)(IMAGE)
    np.testing.assert_array_equal(other.tiled("auto")(IMAGE), other.tiled("off")(IMAGE))


def test_the_side_of_a_tile_follows_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    for free, side in ((None, 768), (64 << 30, 768), (2 << 30, 512), (1000 << 20, 384), (1 << 20, 256)):
        monkeypatch.setattr(tiler, "available_memory", lambda free=free: free)
        assert tiler.side(SPEC, False) == side
    assert tiler.side(replace(SPEC, receptive_field=401), True) == 2 * 224 + 64  # and what an exact tile sees beyond
    assert tiler.side(replace(SPEC, receptive_field=401), False) == 256


def test_unknown_normalisations_are_refused(tmp_path: Path) -> None:
    """Otherwise each tile would have statistics of its own."""
    other = opened(network(tmp_path / "net.onnx", norms=False))
    with pytest.raises(ModelError, match="normalises over the whole image without InstanceNormalization"):
        translate_tiled(other, IMAGE)


def test_tiles_too_small_for_the_network_are_refused(graph: Executor, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="choose at least 128"):
        translate_tiled(graph, IMAGE, tiling=Tiling(side=96))
    wide = opened(network(tmp_path / "net.onnx", replace(SPEC, receptive_field=169)))
    with pytest.raises(ModelError, match="needs 96 pixels beyond each; choose at least 256"):
        translate_tiled(wide, IMAGE, tiling=Tiling(exact=True, side=224))


def test_a_tile_that_is_not_finite_fails_the_image(tmp_path: Path) -> None:
    path = network(tmp_path / "net.onnx", replace(SPEC, tiling="exact"), norms=False)
    graph = opened(path)

    def checkerboard(batch: np.ndarray) -> list[np.ndarray]:
        odd = (np.arange(batch.shape[1])[:, None] + np.arange(batch.shape[2])) % 2
        return [np.repeat(255 * odd[None, :, :, None], 3, axis=3).astype(np.uint8)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared_statistics.Runner, "open", lambda *_: checkerboard)
        with pytest.raises(NonFiniteError):
            translate_tiled(graph, IMAGE, tiling=Tiling(side=SMALL))


def test_patches_stand_for_the_image() -> None:
    places = patch_sampling.places(1000, 1500)
    share = len(places) * patch_sampling.PATCH**2 / (1000 * 1500)
    assert patch_sampling.SHARE * 0.8 < share < patch_sampling.SHARE * 1.25
    assert 0.9 * patch_sampling.FEWEST < len(patch_sampling.places(300, 400)) < 1.1 * patch_sampling.FEWEST
    assert max(top for top, _ in places) <= 1000 - patch_sampling.PATCH
    assert 0.9 * patch_sampling.MOST < len(patch_sampling.places(16384, 16384)) < 1.1 * patch_sampling.MOST
    assert len(patch_sampling.places(16384, 16384, 20)) < 30  # little memory
    assert patch_sampling.places(40, 50) == [(0, 0)]


def test_weights_bring_the_patches_to_the_whole() -> None:
    image = photo(512, 768)
    known = patch_sampling.features(image, Domain("photo"))
    patches = np.stack([known[y : y + 64, x : x + 64].mean((0, 1)) for y, x in patch_sampling.places(512, 768)])
    whole = known.mean((0, 1))
    weights = patch_sampling.weights(patches, whole)
    assert weights.sum() == pytest.approx(1, abs=1e-5)
    assert weights.min() > 0
    spread = patches.std(0) + 1e-6
    before, after = (
        np.abs((w @ patches - whole) / spread).mean() for w in (np.full(len(patches), 1 / len(patches)), weights)
    )
    assert after < before / 2
