"""The global generator of pix2pixHD (Wang et al. 2018, arXiv:1711.11585, section 3.1 and supplement)."""

from __future__ import annotations

from torch import Tensor, nn

from i2i.networks.blocks import initialise, norm_layer, relu
from i2i.networks.resnet import ResidualBlock, Up

NORM = "instance"  # the authors' only choice in what they released; before it each convolution has a bias


class GlobalGenerator(nn.Module):
    """CycleGAN's ResNet with more steps down: ``downs`` of them, then ``blocks`` residual blocks, and as many up.

    Any height and width from ``minimum`` are preserved: a map that was odd on the way down is cropped by a
    pixel on the way up (the authors return the next multiple of 2**downs).

    Args:
        in_channels, out_channels: of the images, which are [n, c, h, w] in [-1, 1].
        blocks: residual blocks, at 1 / 2**downs of the size.
        downs: how many times the image is halved, at least 1.
        ngf: filters of the first layer; the blocks have ngf * 2**downs.
    """

    def __init__(
        self, in_channels: int = 3, out_channels: int = 3, blocks: int = 9, downs: int = 4, ngf: int = 64
    ) -> None:
        super().__init__()
        if downs < 1:
            raise ValueError(f"a global generator halves its image at least once; got downs {downs}")
        self.first = nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(in_channels, ngf, 7), norm_layer(NORM, ngf), relu())
        widths = [ngf * 2**level for level in range(downs + 1)]
        self.down = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, 2 * width, 3, stride=2, padding=1), norm_layer(NORM, 2 * width), relu())
            for width in widths[:-1]
        )
        self.blocks = nn.Sequential(*(ResidualBlock(widths[-1], NORM, False) for _ in range(blocks)))
        self.up = nn.ModuleList(Up(width, NORM, "deconv") for width in reversed(widths[1:]))
        self.last = nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(ngf, out_channels, 7), nn.Tanh())
        initialise(self)

    @property
    def minimum(self) -> int:
        """Least height and width: the reflections need two pixels within a block, and four at the ends."""
        return max(2 ** len(self.down) + 1, 4)

    @property
    def receptive_field(self) -> int:
        """Pixels across that one output pixel sees, the statistics of the normalisation apart."""
        pixels = 7
        for _ in self.up:
            pixels = (pixels + 1) // 2 + 1  # of the smaller map, where the step up meets them worst
        pixels += 4 * len(self.blocks)
        for _ in self.down:
            pixels = 2 * pixels + 1
        return pixels + 6

    def forward(self, x: Tensor) -> Tensor:
        maps = [self.first(x)]
        for down in self.down:
            maps.append(down(maps[-1]))
        x = self.blocks(maps.pop())
        for up in self.up:
            x = up(x, maps.pop().shape[-2:])
        return self.last(x)
