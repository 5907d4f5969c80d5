"""The generators of pix2pixHD (Wang et al. 2018, arXiv:1711.11585, section 3.1 and supplement)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from i2i.networks.blocks import check_residual, initialise, norm_layer, relu, towards
from i2i.networks.resnet import ResidualBlock, Up


class GlobalGenerator(nn.Module):
    """CycleGAN's ResNet with more steps down: ``downs`` of them, then ``blocks`` residual blocks, and as many up.

    Any height and width from ``minimum`` are preserved: a map that was odd on the way down is cropped by a
    pixel on the way up (the authors return the next multiple of 2**downs).

    Args:
        in_channels, out_channels: of the images, which are [n, c, h, w] in [-1, 1].
        blocks: residual blocks, at 1 / 2**downs of the size.
        downs: how many times the image is halved, at least 1.
        ngf: filters of the first layer; the blocks have ngf * 2**downs.
        norm: instance, as the authors released, with a bias before it | batch | group | layer | none.
        residual: the output moves the input (``blocks.towards``), which is the translation at first.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        blocks: int = 9,
        downs: int = 4,
        ngf: int = 64,
        norm: str = "instance",
        residual: bool = False,
    ) -> None:
        super().__init__()
        if residual:
            check_residual(in_channels, out_channels)
        self.residual = residual
        if downs < 1:
            raise ValueError(f"a global generator halves its image at least once; got downs {downs}")
        self.first = nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(in_channels, ngf, 7), norm_layer(norm, ngf), relu())
        widths = [ngf * 2**level for level in range(downs + 1)]
        self.down = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, 2 * width, 3, stride=2, padding=1), norm_layer(norm, 2 * width), relu())
            for width in widths[:-1]
        )
        self.blocks = nn.Sequential(*(ResidualBlock(widths[-1], norm, False) for _ in range(blocks)))
        self.up = nn.ModuleList(Up(width, norm, "deconv") for width in reversed(widths[1:]))
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
        y = self.last(self.encode(x))
        return towards(x, y) if self.residual else y

    def encode(self, x: Tensor) -> Tensor:
        """Return the last map before the image, [n, ngf, h, w]."""
        maps = [self.first(x)]
        for down in self.down:
            maps.append(down(maps[-1]))
        x = self.blocks(maps.pop())
        for up in self.up:
            x = up(x, maps.pop().shape[-2:])
        return x


class LocalEnhancer(nn.Module):
    """Generator of twice the resolution: the global one, G_1, sees the image at half its size, and the enhancer, G_2,
    adds its own map of the whole image to G_1's last one, before ``blocks`` residual blocks and a step up.

    Uses the given generator, whose own last layer is not used. Any height and width from ``minimum`` are preserved.

    Args:
        globe: G_1.
        in_channels, out_channels: of the images, which are [n, c, h, w] in [-1, 1].
        blocks: residual blocks of G_2; the authors use 3.
        ngf: filters of G_1's first layer, even; G_2's has half of them.
        norm, residual: as of G_1.
    """

    def __init__(
        self,
        globe: GlobalGenerator,
        in_channels: int,
        out_channels: int,
        *,
        blocks: int = 3,
        ngf: int = 64,
        norm: str = "instance",
        residual: bool = False,
    ) -> None:
        super().__init__()
        if ngf % 2:
            raise ValueError(f"ngf is {ngf}; a local enhancer has half of the filters, so expected an even number")
        self.globe, self.residual, width = globe, residual, ngf // 2
        globe.last.requires_grad_(False)
        self.first = nn.Sequential(
            nn.ReflectionPad2d(3), nn.Conv2d(in_channels, width, 7), norm_layer(norm, width), relu()
        )
        self.down = nn.Sequential(nn.Conv2d(width, ngf, 3, stride=2, padding=1), norm_layer(norm, ngf), relu())
        self.blocks = nn.Sequential(*(ResidualBlock(ngf, norm, False) for _ in range(blocks)))
        self.up = Up(ngf, norm, "deconv")
        self.last = nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(width, out_channels, 7), nn.Tanh())
        for part in (self.first, self.down, self.blocks, self.up, self.last):
            initialise(part)
        if residual:
            for parameter in self.last.parameters():
                nn.init.zeros_(parameter)

    @property
    def minimum(self) -> int:
        """Least height and width, of which G_1 sees half."""
        return 2 * self.globe.minimum - 1

    @property
    def receptive_field(self) -> int:
        """Pixels across that one output pixel sees, at most, the statistics of the normalisation apart."""
        return 2 * (5 + 4 * len(self.blocks) + self.globe.receptive_field) + 1

    def forward(self, x: Tensor) -> Tensor:
        half = avg_pool2d(x, 3, 2, 1, count_include_pad=False)
        full = self.first(x)
        y = self.blocks(self.down(full) + self.globe.encode(half))
        image = self.last(self.up(y, full.shape[-2:]))
        return towards(x, image) if self.residual else image
