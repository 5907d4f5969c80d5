"""The networks of MUNIT (Huang, Liu, Belongie & Kautz 2018, arXiv:1804.04732, section 5.1 and appendix B)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from i2i.networks.blocks import HalvingConv2d, InstanceNorm2d, Upsample2x, initialise, leaky_relu, relu
from i2i.networks.resnet import ResidualBlock


def _first(in_channels: int, ngf: int) -> list[nn.Module]:
    return [nn.ReflectionPad2d(3), nn.Conv2d(in_channels, ngf, 7)]


def _initialised(net: nn.Module) -> None:
    """Initialise weights as He et al. 2015 (arXiv:1502.01852), with bias 0."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear) and not module.weight.is_meta:
            nn.init.kaiming_normal_(module.weight)
            assert module.bias is not None
            nn.init.zeros_(module.bias)


class ContentEncoder(nn.Sequential):
    """Image [n, c, h, w] in [-1, 1] to its content [n, 4 * ngf, h / 4, w / 4], rounded up, with instance norm."""

    def __init__(self, in_channels: int, ngf: int, blocks: int) -> None:
        modules = [*_first(in_channels, ngf), InstanceNorm2d(ngf), relu()]
        for width in (ngf, 2 * ngf):
            modules += [HalvingConv2d(width, 2 * width, bias=True), InstanceNorm2d(2 * width), relu()]
        super().__init__(*modules, *(ResidualBlock(4 * ngf, "instance", dropout=False) for _ in range(blocks)))
        _initialised(self)


class StyleEncoder(nn.Module):
    """Image [n, c, h, w] in [-1, 1] of any size from 4 pixels to its style [n, style].

    Without instance norm, which would remove the mean and variance that the style is made of.
    """

    minimum, multiple, receptive_field = 4, 1, None  # the reflection before the first convolution

    def __init__(self, in_channels: int, ngf: int, style: int) -> None:
        super().__init__()
        modules = [*_first(in_channels, ngf), relu()]
        for before, after in ((1, 2), (2, 4), (4, 4), (4, 4)):
            modules += [HalvingConv2d(before * ngf, after * ngf, bias=True), relu()]
        self.model = nn.Sequential(*modules)
        self.last = nn.Linear(4 * ngf, style)
        _initialised(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.model(x).mean((2, 3)))


class AdaIN(nn.Module):
    """gamma (x - mean(x)) / deviation(x) + beta, with gamma and beta of each image and channel.

    Takes maps x [n, c, h, w], and gamma and beta as [n, 2 c].
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = InstanceNorm2d(channels)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        gamma, beta = style[..., None, None].chunk(2, 1)
        return gamma * self.norm(x) + beta


class AdaptiveBlock(nn.Module):
    """x + two 3x3 convolutions with AdaIN; nothing after the sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3)) for _ in range(2)
        )
        self.norms = nn.ModuleList(AdaIN(channels) for _ in range(2))
        self.act = relu()

    def forward(self, x: Tensor, first: Tensor, second: Tensor) -> Tensor:
        y = self.act(self.norms[0](self.convs[0](x), first))
        return x + self.norms[1](self.convs[1](y), second)


class Widen(Upsample2x):
    """Double a map and crop it; ``resize`` has the paper's 5x5 convolution."""

    def __init__(self, in_channels: int, out_channels: int, upsample: str) -> None:
        super().__init__(in_channels, out_channels, 4, upsample, bias=True)
        if upsample == "resize":
            self.conv = nn.Sequential(
                nn.Upsample(scale_factor=2), nn.ReflectionPad2d(2), nn.Conv2d(in_channels, out_channels, 5)
            )


class Decoder(nn.Module):
    """Content [n, 4 * ngf, h / 4, w / 4] and style [n, style] to an image [n, c, h, w] in [-1, 1].

    A network of fully connected layers computes gamma and beta of every AdaIN from the style.
    """

    def __init__(self, out_channels: int, ngf: int, style: int, blocks: int, upsample: str, hidden: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(AdaptiveBlock(4 * ngf) for _ in range(blocks))
        self.up = nn.ModuleList(Widen(2 * width, width, upsample) for width in (2 * ngf, ngf))
        self.norms = nn.ModuleList(AdaIN(width) for width in (2 * ngf, ngf))
        self.act = relu()
        self.last = nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(ngf, out_channels, 7), nn.Tanh())
        self.widths = [2 * 4 * ngf] * (2 * blocks) + [2 * 2 * ngf, 2 * ngf]
        affine = nn.Linear(hidden, sum(self.widths))
        self.mlp = nn.Sequential(nn.Linear(style, hidden), relu(), nn.Linear(hidden, hidden), relu(), affine)
        _initialised(self)
        with torch.no_grad():
            for bias in affine.bias.split(self.widths):
                bias.chunk(2)[0].fill_(1)  # of gamma, so that AdaIN begins near plain instance norm

    def forward(self, content: Tensor, style: Tensor, size: tuple[int, int]) -> Tensor:
        """Decode to ``size``, the height and width of the encoded image, at most 4 times those of the map."""
        given = iter(self.mlp(style).split(self.widths, 1))
        x = content
        for block in self.blocks:
            x = block(x, next(given), next(given))
        half = (size[0] + 1) // 2, (size[1] + 1) // 2
        for wanted, up, norm in zip((half, size), self.up, self.norms, strict=True):
            x = self.act(norm(up(x, wanted), next(given)))
        return self.last(x)


class Restyle(nn.Module):
    """Translation: the content of an image in a style of the other domain.

    Uses the given networks, not copies. Any height and width from ``minimum`` are preserved.

    Attributes:
        of_style: network that finds the style of an example image; it takes no part in ``forward``.
    """

    minimum = 5  # the reflection within a block needs two pixels at a quarter of the size

    def __init__(self, content: ContentEncoder, of_style: StyleEncoder, decoder: Decoder) -> None:
        super().__init__()
        self.content, self.of_style, self.decoder = content, of_style, decoder

    @property
    def receptive_field(self) -> int:
        """Pixels across that one output pixel sees, the statistics of the normalisation apart."""
        pixels = 7
        for _ in range(2):
            pixels = (pixels + 4) // 2 + 1  # of the smaller map, where the step up meets them worst
        pixels += 4 * sum(isinstance(module, ResidualBlock | AdaptiveBlock) for module in self.modules())
        for _ in range(2):
            pixels = 2 * pixels + 2
        return pixels + 6

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Translate [n, c, h, w] in [-1, 1] to the same size, in the styles [n, style]."""
        return self.decoder(self.content(x), style, x.shape[-2:])


def strided(in_channels: int, layers: int, ndf: int) -> nn.Sequential:
    """Return a discriminator of images of any size: ``layers`` convolutions of stride 2 without norms, and one of 1x1.

    ``ndf`` are the filters of the first layer; they double with each, up to 8 * ndf. It returns logits, no sigmoid.
    """
    widths = [in_channels, *(ndf * min(2**layer, 8) for layer in range(layers))]
    modules: list[nn.Module] = []
    for before, after in pairwise(widths):
        modules += [HalvingConv2d(before, after, bias=True), leaky_relu()]
    made = nn.Sequential(*modules, nn.Conv2d(widths[-1], 1, 1))
    initialise(made)
    return made
