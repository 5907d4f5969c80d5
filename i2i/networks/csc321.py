"""The small CycleGAN of the course CSC321 (University of Toronto, 2018, assignment 4), made for 32 pixels."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import relu

from i2i.networks.blocks import HalvingConv2d, Upsample2x, initialise, norm_layer

NORM = "batch"  # and so no convolution has a bias


def down(in_channels: int, out_channels: int) -> nn.Module:
    """One step down, before its ReLU."""
    return nn.Sequential(HalvingConv2d(in_channels, out_channels, bias=False), norm_layer(NORM, out_channels))


class CSC321Generator(nn.Module):
    """Two steps down, one residual block whose ReLU comes after the sum, and two steps up.

    Any height and width are preserved: a map that was odd on the way down is cropped by a pixel on the way up.

    Args:
        in_channels, out_channels: of the images, which are [n, c, h, w] in [-1, 1].
        ngf: filters of the first layer; the block has 2 * ngf.
    """

    minimum = 1
    receptive_field = 4 + 6 + 16  # one pixel comes from 3x3 of the quarter, and those from 5x5 before the block

    def __init__(self, in_channels: int = 3, out_channels: int = 3, ngf: int = 32) -> None:
        super().__init__()
        self.down = nn.ModuleList([down(in_channels, ngf), down(ngf, 2 * ngf)])
        self.block = nn.Sequential(
            nn.Conv2d(2 * ngf, 2 * ngf, 3, padding=1, bias=False), norm_layer(NORM, 2 * ngf)
        )  # fmt: skip
        self.up = Upsample2x(2 * ngf, ngf, 4, "deconv", bias=False)
        self.norm = norm_layer(NORM, ngf)
        self.last = Upsample2x(ngf, out_channels, 4, "deconv", bias=False)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        half = relu(self.down[0](x))
        quarter = relu(self.down[1](half))
        y = relu(quarter + self.block(quarter))
        y = relu(self.norm(self.up(y, half.shape[-2:])))
        return self.last(y, x.shape[-2:]).tanh()


class CSC321Discriminator(nn.Module):
    """Discriminator: three steps down and one output per 4x4 of the rest, a single one at 32 pixels.

    Args:
        in_channels: of the images, which are [n, c, h, w] in [-1, 1], from 32 pixels.
        ndf: filters of the first layer; they double to 4 * ndf.

    Returns logits [n, 1, h / 8 - 3, w / 8 - 3], no sigmoid.
    """

    def __init__(self, in_channels: int = 3, ndf: int = 32) -> None:
        super().__init__()
        self.trunk = nn.ModuleList([down(in_channels, ndf), down(ndf, 2 * ndf), down(2 * ndf, 4 * ndf)])
        self.last = nn.Conv2d(4 * ndf, 1, 4, bias=False)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.trunk:
            x = relu(layer(x))
        return self.last(x)
