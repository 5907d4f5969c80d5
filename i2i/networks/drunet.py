"""The residual U-Net of image restoration: DRUNet of Zhang et al., Plug-and-Play Image Restoration with Deep Denoiser
Prior, TPAMI 2021 (arXiv:2008.13751, section 3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from i2i.networks.blocks import check_residual, has_bias, norm_layer, relu, towards

LEVELS = 3
"""How often the image is halved."""


class PlainBlock(nn.Module):
    """x + two 3x3 convolutions with a ReLU between them; the border is zero."""

    def __init__(self, channels: int, norm: str, dropout: bool) -> None:
        super().__init__()
        bias = has_bias(norm)
        self.block = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=bias),
            norm_layer(norm, channels),
            relu(),
            nn.Dropout(0.5) if dropout else nn.Identity(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=bias),
            norm_layer(norm, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x)


class Half(nn.Conv2d):
    """2x2 convolution of stride 2; n pixels become ceil(n / 2), where an odd map is followed by zeros."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 2, stride=2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        if not torch.compiler.is_exporting() and x.shape[-2] % 2 == 0 and x.shape[-1] % 2 == 0:
            return super().forward(x)
        return super().forward(pad(x, (0, 1, 0, 1)))


class Double(nn.Module):
    """Doubles a map, crops it to the size it had on the way down, and halves its channels.

    ``deconv`` is the authors' 2x2 transposed convolution; ``resize`` repeats pixels after a 1x1 convolution, which is
    that one with four equal values.
    """

    def __init__(self, in_channels: int, out_channels: int, upsample: str) -> None:
        super().__init__()
        if upsample == "deconv":
            self.up: nn.Module = nn.ConvTranspose2d(in_channels, out_channels, 2, stride=2, bias=False)
        elif upsample == "resize":
            self.up = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.Upsample(scale_factor=2))
        else:
            raise ValueError(f"upsample is {upsample!r}; choose deconv or resize")

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        return self.up(x)[..., : size[0], : size[1]]


class DRUNet(nn.Module):
    """Residual blocks at four scales; each map of the way up is added to its equal of the way down.

    Without a norm, as the authors have it, brightness and colour pass unchanged, a result depends on a neighbourhood
    alone, and tiles are exact. The work is equal at the upper three scales. Any height and width are preserved.

    Unlike the authors', convolutions begin with the deviation of He et al. 2015 and the second one of each block at a
    tenth of it, so that a network without a norm begins as a nearly linear one.

    Args:
        in_channels, out_channels: of the images, which are [n, c, h, w] in [-1, 1].
        blocks: residual blocks at each scale, on the way down, at the bottom, and on the way up; the authors use 4.
        ngf: filters at full size; they double at each halving. The authors use 64.
        norm: none | instance | batch | group | layer.
        dropout: 0.5 within each block.
        upsample: deconv | resize.
        residual: the output moves the input (``blocks.towards``), which is the translation at first.
    """

    minimum = 1

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        blocks: int = 4,
        ngf: int = 64,
        norm: str = "none",
        dropout: bool = False,
        upsample: str = "deconv",
        residual: bool = False,
    ) -> None:
        super().__init__()
        if residual:
            check_residual(in_channels, out_channels)
        self.residual, self.count = residual, blocks
        widths = [ngf * 2**level for level in range(LEVELS + 1)]

        def several(level: int) -> list[nn.Module]:
            return [PlainBlock(widths[level], norm, dropout) for _ in range(blocks)]

        self.first = nn.Conv2d(in_channels, ngf, 3, padding=1)
        self.down = nn.ModuleList(
            nn.Sequential(*several(level), Half(widths[level], widths[level + 1])) for level in range(LEVELS)
        )
        self.bottom = nn.Sequential(*several(LEVELS))
        self.doubling = nn.ModuleList(
            Double(widths[level + 1], widths[level], upsample) for level in reversed(range(LEVELS))
        )
        self.up = nn.ModuleList(nn.Sequential(*several(level)) for level in reversed(range(LEVELS)))
        self.last = nn.Conv2d(ngf, out_channels, 3, padding=1)
        self._initialise()

    @property
    def receptive_field(self) -> int:
        """Pixels across that one output pixel sees, the statistics of a normalisation apart."""
        field, blocks = 3, 4 * self.count
        for _ in range(LEVELS):
            field = (field + blocks) // 2 + 1  # pixels of half the size that it touches at most
        field += blocks
        for _ in range(LEVELS):
            field = 2 * field + blocks
        return field + 2

    def forward(self, x: Tensor) -> Tensor:
        maps = [self.first(x)]
        for down in self.down:
            maps.append(down(maps[-1]))
        top = self.bottom(maps.pop())
        for double, up in zip(self.doubling, self.up, strict=True):
            skip = maps.pop()
            top = up(skip + double(top, skip.shape[-2:]))
        t = torch.tanh(self.last(top))
        return towards(x, t) if self.residual else t

    def _initialise(self) -> None:
        if self.first.weight.is_meta:
            return  # only shapes are needed here
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        with torch.no_grad():
            for module in self.modules():
                if isinstance(module, PlainBlock):
                    second = module.block[4]
                    assert isinstance(second, nn.Conv2d)
                    second.weight.mul_(0.1)
            self.last.weight.mul_(0 if self.residual else 0.1)
