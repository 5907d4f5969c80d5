"""The networks of StarGAN (Choi et al. 2018, arXiv:1711.09020, appendix 7.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from i2i.networks.blocks import HalvingConv2d, InstanceNorm2d, Upsample2x, relu


def affine_norm(channels: int) -> nn.Module:
    """Return instance normalisation with a learned scale and shift, without running statistics.

    The authors' keeps running statistics which training never reads; with them instead of an image's own, as in
    evaluation mode, their network's images break. Here there are none, so there is one behaviour.
    """
    return InstanceNorm2d(channels, affine=True)


class ResidualBlock(nn.Module):
    """x + two 3x3 convolutions; nothing after the sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            affine_norm(channels),
            relu(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            affine_norm(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x)


class Up(nn.Module):
    """One step up: doubling, normalisation, ReLU; half the channels."""

    def __init__(self, channels: int, upsample: str) -> None:
        super().__init__()
        self.up = Upsample2x(channels, channels // 2, 4, upsample, bias=False)
        self.norm = affine_norm(channels // 2)
        self.act = relu()

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        return self.act(self.norm(self.up(x, size)))


class StarGANGenerator(nn.Module):
    """G(x, c): one network for all domains, which sees the label as further planes of the image (table 4).

    Two steps down, ``blocks`` residual blocks at a quarter of the size, two steps up. Any height and width are
    preserved: a map that was odd on the way down is cropped by a pixel on the way up.

    Args:
        in_channels, out_channels: of the images, which are [n, c, h, w] in [-1, 1].
        domains: length of a label.
        blocks: residual blocks.
        ngf: filters of the first layer; the blocks have 4 * ngf.
        upsample: deconv | resize.
    """

    minimum = 1

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        domains: int = 5,
        blocks: int = 6,
        ngf: int = 64,
        upsample: str = "deconv",
    ) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv2d(in_channels + domains, ngf, 7, padding=3, bias=False), affine_norm(ngf), relu()
        )
        self.down = nn.ModuleList(
            nn.Sequential(HalvingConv2d(width, 2 * width, bias=False), affine_norm(2 * width), relu())
            for width in (ngf, 2 * ngf)
        )
        self.blocks = nn.Sequential(*(ResidualBlock(4 * ngf) for _ in range(blocks)))
        self.up = nn.ModuleList(Up(width, upsample) for width in (4 * ngf, 2 * ngf))
        self.last = nn.Sequential(nn.Conv2d(ngf, out_channels, 7, padding=3, bias=False), nn.Tanh())

    @property
    def receptive_field(self) -> int:
        """Pixels across that one output pixel sees, the statistics of the normalisation apart."""
        return 7 + (3 + 6) + 16 * len(self.blocks) + (4 + 2) + 6

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """Translate x [n, in_channels, h, w] to the labels c [n, domains], float: one-hot, or attributes of 0 and 1."""
        planes = c[:, :, None, None].to(x.dtype).expand(-1, -1, x.shape[2], x.shape[3])
        maps = [self.first(torch.cat([x, planes], 1))]
        for down in self.down:
            maps.append(down(maps[-1]))
        x = self.blocks(maps.pop())
        for up in self.up:
            x = up(x, maps.pop().shape[-2:])
        return self.last(x)


class StarGANDiscriminator(nn.Module):
    """D_src and D_cls on one trunk (table 5): is each patch of the image real, and which domain does the image show?

    The classifier looks at all of an image of ``image_size`` at once, so its kernel is image_size / 2**layers (1 where
    that is less). On larger images its answers at every place are averaged; smaller ones are an error.

    Args:
        in_channels: of the images, which are [n, c, h, w] in [-1, 1].
        domains: length of a label.
        image_size: pixels across that the classifier takes in at once.
        layers: convolutions of stride 2.
        ndf: filters of the first layer; each layer has twice those of the one before.
    """

    def __init__(
        self, in_channels: int = 3, domains: int = 5, image_size: int = 128, layers: int = 6, ndf: int = 64
    ) -> None:
        super().__init__()
        modules: list[nn.Module] = []
        width = in_channels
        for layer in range(layers):
            last, width = width, ndf * 2**layer
            modules += [nn.Conv2d(last, width, 4, stride=2, padding=1), nn.LeakyReLU(0.01, inplace=True)]
        self.trunk = nn.Sequential(*modules)
        self.source_head = nn.Conv2d(width, 1, 3, padding=1, bias=False)
        self.class_head = nn.Conv2d(width, domains, max(image_size >> layers, 1), bias=False)
        self.layers, self.smallest = layers, self.class_head.kernel_size[0] << layers

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits of D_src [n, 1, h', w'] and D_cls [n, domains]. Raises ValueError for a small image."""
        features = self._features(x)
        return self.source_head(features), self.class_head(features).mean((2, 3))

    def source(self, x: Tensor) -> Tensor:
        """Return D_src alone, [n, 1, h', w'], for penalties on the critic."""
        return self.source_head(self._features(x))

    def _features(self, x: Tensor) -> Tensor:
        pixels = min(x.shape[-2:])
        if pixels < self.smallest:
            depth = pixels.bit_length() - 1
            shallower = f" --set discriminator=stargan_{depth}" if depth < self.layers else ""
            raise ValueError(
                f"the discriminator's classifier takes in {self.smallest} x {self.smallest} pixels at once, and the "
                f"images are {x.shape[-1]} x {x.shape[-2]}; train on larger ones (--size), or set what it takes in "
                f"(--set image_size={pixels}{shallower})"
            )
        return self.trunk(x)
