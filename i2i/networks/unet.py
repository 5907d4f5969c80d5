"""The U-Net generator of pix2pix (Isola et al. 2017, arXiv:1611.07004, section 6.1.1)."""

from __future__ import annotations

from torch import Tensor, cat, nn

from i2i.networks.blocks import (
    HalvingConv2d,
    Upsample2x,
    check_residual,
    has_bias,
    initialise,
    norm_layer,
    towards,
)


class Up(nn.Module):
    """One step up: ReLU, doubling, normalisation, dropout."""

    def __init__(self, in_channels: int, out_channels: int, norm: str, upsample: str, bias: bool, dropout: bool):
        super().__init__()
        self.act = nn.ReLU()
        self.up = Upsample2x(in_channels, out_channels, 4, upsample, bias)
        self.norm = norm_layer(norm, out_channels)
        self.dropout = nn.Dropout(0.5) if dropout else nn.Identity()

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        return self.dropout(self.norm(self.up(self.act(x), size)))


class UNet(nn.Module):
    """Halves the image ``depth`` times, doubles it again, and joins each map to its equal on the way down.

    ``unet_256`` has depth 8: an image of 256 pixels ends in one. Any height and width from 1 are preserved;
    an odd map is padded by one pixel on its way down and cropped by one where it meets its skip.

    Args:
        in_channels, out_channels: of the images, which are [n, c, h, w] in [-1, 1].
        depth: how many times the image is halved, at least 3.
        ngf: filters of the first layer; they double to 8 * ngf.
        norm: instance | batch | group | layer | none.
        dropout: 0.5 on the inner maps (three in unet_256), pix2pix's only source of randomness.
        upsample: deconv | resize.
        residual: the output moves the input (``blocks.towards``), which is the translation at first.
    """

    minimum = 1
    receptive_field: int | None = None  # the bottom sees the whole image

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        depth: int = 8,
        ngf: int = 64,
        norm: str = "batch",
        dropout: bool = True,
        upsample: str = "deconv",
        residual: bool = False,
    ) -> None:
        super().__init__()
        if depth < 3:
            raise ValueError(f"a U-Net halves its image at least 3 times (unet_8); got depth {depth}")
        if residual:
            check_residual(in_channels, out_channels)
        self.residual = residual
        bias = has_bias(norm)
        widths = [ngf * min(2**level, 8) for level in range(depth)]
        self.down = nn.ModuleList([HalvingConv2d(in_channels, ngf, bias)])
        for level in range(1, depth):
            bottom = level == depth - 1  # no normalisation there: it may be a single pixel
            self.down.append(
                nn.Sequential(
                    nn.LeakyReLU(0.2),
                    HalvingConv2d(widths[level - 1], widths[level], bias),
                    norm_layer("none" if bottom else norm, widths[level]),
                )
            )
        self.up = nn.ModuleList()
        for level in range(depth - 1, 0, -1):
            joined = widths[level] if level == depth - 1 else 2 * widths[level]
            dropped = dropout and 4 <= level < depth - 1
            self.up.append(Up(joined, widths[level - 1], norm, upsample, bias, dropped))
        self.last = Up(2 * ngf, out_channels, "none", upsample, bias=True, dropout=False)
        self.tanh = nn.Tanh()
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        maps = [x]
        for down in self.down:
            maps.append(down(maps[-1]))
        up = maps.pop()
        for block in self.up:
            skip = maps.pop()
            up = cat([skip, block(up, skip.shape[-2:])], dim=1)
        y = self.tanh(self.last(up, x.shape[-2:]))
        return towards(x, y) if self.residual else y
