"""The wrapper around a network, in PyTorch alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from i2i.exporter.pixel_graph import Pixels, checkerboard
from i2i.spec import Spec
from tests.exporter.conftest import Small, Undefined, by_hand, pictures, spec


@pytest.mark.parametrize(
    "promise", [spec(), spec((3, 8), (1, 8)), spec((1, 16), (3, 16)), spec((3, 16), (1, 8)), spec((4, 8), (3, 8))]
)
@pytest.mark.parametrize("size", [(1, 2), (3, 3), (7, 5), (1, 30), (32, 24)])
def test_pixels_of_any_form_and_size(promise: Spec, size: tuple[int, int]) -> None:
    net = Small(promise.source.channels, promise.target.channels)
    image = pictures(3, *size, promise)
    with torch.inference_mode():
        got = Pixels(net, replace(promise, minimum=net.minimum))(torch.from_numpy(image)).numpy()
    want = by_hand(net, image, promise)
    assert got.dtype == promise.dtype
    assert got.shape == (3, *size, promise.target.channels)
    assert np.abs(got - want).max() <= (0.501 if promise.dtype == "uint8" else 1e-5 * promise.target.peak)


def test_every_level_comes_back_from_an_identity() -> None:
    for bits, peak in ((8, 255), (16, 65535)):
        promise = spec((1, bits), (1, bits))
        image = torch.arange(peak + 1).reshape(1, 16, -1, 1).to(getattr(torch, promise.dtype))
        got = Pixels(nn.Identity(), promise)(image)
        assert torch.equal(got.round(), image.float() if bits == 16 else image)


def test_values_beyond_the_range_are_clamped_and_the_rest_is_rounded() -> None:
    image = torch.tensor([[[[0], [99], [156], [255]]]], dtype=torch.uint8)
    steep = Pixels(nn.Conv2d(1, 1, 1), spec((1, 8), (1, 8)))
    with torch.no_grad():
        steep.net.weight.fill_(1.5)
        steep.net.bias.fill_(0.0)
        assert steep(image).flatten().tolist() == [0, 85, 170, 255]  # 1.5 v - 63.75


def test_a_hole_is_one_colour_whatever_the_file_stores_there() -> None:
    class Colours(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.seen = x
            return x[:, :3]

    net = Colours()
    fill = Pixels(net, replace(spec((4, 8), (3, 8)), derive="mask:rectangle"))
    image = torch.from_numpy(pictures(1, 6, 7, spec((4, 8), (3, 8))))
    image[..., 3] = 255
    image[:, 2:4, 1:5, 3] = 0
    fill(image)
    levels = ((net.seen + 1) * 127.5).round()
    assert torch.unique(levels[:, :3, 2:4, 1:5]).tolist() == [128.0]
    known = image[..., 3] == 255
    assert torch.equal(levels.permute(0, 2, 3, 1)[known], image[known].float())


def test_a_multiple_is_reached_by_reflection() -> None:
    class Eights(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert x.shape[-2] % 8 == x.shape[-1] % 8 == 0
            self.seen = x
            return x

    promise = replace(spec(), multiple=8)
    for h, w in ((1, 1), (3, 30), (5, 8), (8, 16), (9, 15)):
        net = Eights()
        image = pictures(2, h, w, promise)
        assert np.array_equal(Pixels(net, promise)(torch.from_numpy(image)).numpy(), image)
    reflected = np.pad(image, ((0, 0), (0, 7), (0, 1), (0, 0)), mode="reflect")
    assert np.allclose(net.seen.numpy().transpose(0, 2, 3, 1), reflected / 127.5 - 1, atol=1e-6)


def test_only_the_image_that_is_not_finite_is_marked() -> None:
    image = torch.full((3, 5, 4, 3), 255, dtype=torch.uint8)
    image[0], image[2] = 10, 200
    got = Pixels(Undefined(), spec())(image)
    assert got[0].eq(245).all()
    assert got[2].eq(55).all()
    mark = [[255 * ((row + column) % 2) for column in range(4)] for row in range(5)]
    assert torch.equal(got[1], torch.tensor(mark, dtype=torch.uint8)[..., None].expand(5, 4, 3))
    assert checkerboard(5, 4).tolist() == mark

    floats = Pixels(Undefined(), spec((3, 16), (3, 16)))(image.float() * 257)
    assert floats[1].isnan().all()
    assert floats[[0, 2]].isfinite().all()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_one_value_is_enough(value: float) -> None:
    class Broken(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x.clone()
            x[0, 1, 2, 3] = value
            return x

    got = Pixels(Broken(), spec())(torch.from_numpy(pictures(2, 6, 6, spec())))
    assert torch.equal(got[0], checkerboard(6, 6)[..., None].expand(6, 6, 3))
    assert not torch.equal(got[1], got[0])
