"""The networks of UNIT (Liu, Breuel & Kautz 2017, arXiv:1703.00848, appendix B): halves of VAEs that meet in a latent
map, and the paper's discriminator."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from i2i.networks.blocks import Upsample2x, has_bias, initialise, norm_layer, relu
from i2i.networks.resnet import ResidualBlock


class Blocks(nn.Sequential):
    """Residual blocks, [n, channels, h, w] to the same: what the shared layers E_H and G_H are made of.

    Images of both domains pass the shared layers in one batch, so ``norm`` is one of each image.
    """

    def __init__(self, channels: int, blocks: int, norm: str = "instance") -> None:
        if norm not in ("instance", "group", "layer", "none"):
            raise ValueError(
                f"norm is {norm!r}; images of both domains share layers here, so choose instance, group, layer or none"
            )
        super().__init__(*(ResidualBlock(channels, norm, dropout=False) for _ in range(blocks)))
        initialise(self)


class Encoder(nn.Sequential):
    """E_L, the low-level part of an encoder: [n, c, h, w] to [n, 4 * ngf, h / 4, w / 4], rounded up."""

    def __init__(self, in_channels: int, ngf: int, blocks: int, norm: str = "instance") -> None:
        bias = has_bias(norm)
        modules: list[nn.Module] = [
            nn.ReflectionPad2d(3), nn.Conv2d(in_channels, ngf, 7), nn.LeakyReLU(0.01, inplace=True)
        ]  # fmt: skip
        for width in (ngf, 2 * ngf):
            modules += [
                nn.Conv2d(width, 2 * width, 3, stride=2, padding=1, bias=bias), norm_layer(norm, 2 * width), relu()
            ]  # fmt: skip
        super().__init__(*modules, Blocks(4 * ngf, blocks, norm))
        initialise(self)


class Decoder(nn.Module):
    """G_L, the low-level part of a generator: [n, 4 * ngf, h / 4, w / 4] to images [n, c, h, w] in [-1, 1]."""

    def __init__(self, out_channels: int, ngf: int, blocks: int, upsample: str, norm: str = "instance") -> None:
        super().__init__()
        self.blocks = Blocks(4 * ngf, blocks, norm)
        self.upsample = upsample
        self.up = nn.ModuleList(Upsample2x(2 * w, w, 3, upsample, has_bias(norm)) for w in (2 * ngf, ngf))
        self.norms = nn.ModuleList(nn.Sequential(norm_layer(norm, w), relu()) for w in (2 * ngf, ngf))
        self.last = nn.Sequential(nn.Conv2d(ngf, out_channels, 1), nn.Tanh())
        initialise(self)

    def forward(self, g: Tensor, size: tuple[int, int]) -> Tensor:
        """Decode to ``size``, the height and width of the encoded image, at most 4 times those of the map."""
        g = self.blocks(g)
        half = (size[0] + 1) // 2, (size[1] + 1) // 2
        for wanted, up, norm in zip((half, size), self.up, self.norms, strict=True):
            g = norm(up(g, wanted))
        return self.last(g)


def latent(mu: Tensor, training: bool) -> Tensor:
    """z ~ q(z | x) = N(mu, I) in training, and its mean in use; from PyTorch's default random numbers."""
    return mu + torch.randn_like(mu) if training else mu


class Stream(nn.Module):
    """Translation of an image from one domain to another, or to its own: G_L(G_H(z)) for z ~ N(E_H(E_L(x)), I).

    Uses the given halves, not copies: streams between the same domains share weights. Any height and width
    from ``minimum`` are preserved.
    """

    minimum = 5  # the reflection within a block needs two pixels at a quarter of the size

    def __init__(self, E_L: Encoder, E_H: Blocks, G_H: Blocks, G_L: Decoder) -> None:
        super().__init__()
        self.E_L, self.E_H, self.G_H, self.G_L = E_L, E_H, G_H, G_L
        self.training = E_L.training

    @property
    def receptive_field(self) -> int:
        """Pixels across that one output pixel sees, the statistics of the normalisation apart."""
        blocks = sum(isinstance(module, ResidualBlock) for module in self.modules())
        up = 6 + 2 * (self.G_L.upsample == "resize")
        return 7 + (2 + 4) + 16 * blocks + up

    def forward(self, x: Tensor) -> Tensor:
        """Translate [n, c, h, w] in [-1, 1] to the same size."""
        return self.G_L(self.G_H(latent(self.E_H(self.E_L(x)), self.training)), x.shape[-2:])


class StridedGAN(nn.Module):
    """Discriminator that halves an image ``layers`` times and classifies the rest; 6 see nearly all of 256 pixels.

    Args:
        in_channels: of the image, [n, c, h, w] in [-1, 1], of any size.
        layers: convolutions of stride 2, at least 1.
        ndf: filters of the first layer; they double with each.
        norm: none, as the authors | instance | batch.

    Returns logits [n, 1, h / 2^layers, w / 2^layers], rounded up, no sigmoid.
    """

    def __init__(self, in_channels: int = 3, layers: int = 6, ndf: int = 64, norm: str = "none") -> None:
        super().__init__()
        widths = [in_channels, *(ndf * 2**layer for layer in range(layers))]
        modules: list[nn.Module] = []
        for layer in range(layers):
            used = norm if layer else "none"  # the first layer sees colours as they are
            modules += [
                nn.Conv2d(widths[layer], widths[layer + 1], 3, stride=2, padding=1, bias=used != "batch"),
                norm_layer(used, widths[layer + 1]),
                nn.LeakyReLU(0.01, inplace=True),
            ]
        self.model = nn.Sequential(*modules, nn.Conv2d(widths[-1], 1, 1))
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)
