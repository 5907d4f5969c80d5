"""The ResNet generator of CycleGAN (Zhu et al. 2017, arXiv:1703.10593, appendix 7.2), after Johnson et al. 2016."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from i2i.networks.blocks import BlurDown, Upsample2x, check_residual, has_bias, initialise, norm_layer, relu, towards


class ResidualBlock(nn.Module):
    """x + two 3x3 convolutions; nothing after the sum."""

    def __init__(self, channels: int, norm: str, dropout: bool) -> None:
        super().__init__()
        bias = has_bias(norm)
        self.block = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=bias),
            norm_layer(norm, channels),
            relu(),
            nn.Dropout(0.5) if dropout else nn.Identity(),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=bias),
            norm_layer(norm, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x)


class Up(nn.Module):
    """One step up: doubling, normalisation, ReLU; half the channels."""

    def __init__(self, channels: int, norm: str, upsample: str) -> None:
        super().__init__()
        self.up = Upsample2x(channels, channels // 2, 3, upsample, has_bias(norm))
        self.norm = norm_layer(norm, channels // 2)
        self.act = relu()

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        return self.act(self.norm(self.up(x, size)))


Stages = tuple[Tensor, list[Tensor], list[Tensor]]
"""An image, and maps of the way down and of the way up."""


class ResNet(nn.Module):
    """Two steps down, ``blocks`` residual blocks at a quarter of the size, two steps up.

    Any height and width from ``minimum`` are preserved: a map that was odd on the way down is cropped by a
    pixel on the way up (the authors return the next multiple of 4).

    Args:
        in_channels, out_channels: of the images, which are [n, c, h, w] in [-1, 1].
        blocks: residual blocks; the authors use 9 at 256 pixels and 6 at 128.
        ngf: filters of the first layer; the blocks have 4 * ngf.
        norm: instance | batch | group | layer | none.
        dropout: 0.5 within each block.
        upsample: deconv | resize | blur.
        antialias: blurs before it halves, in the place of strides; with ``blur`` on the way up this is CUT's.
        residual: the output moves the input (``blocks.towards``), which is the translation at first.
    """

    minimum = 5  # the reflection within a block needs two pixels at a quarter of the size
    block: type[nn.Module] = ResidualBlock

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        blocks: int = 9,
        ngf: int = 64,
        norm: str = "instance",
        dropout: bool = False,
        upsample: str = "deconv",
        antialias: bool = False,
        residual: bool = False,
    ) -> None:
        super().__init__()
        if residual:
            check_residual(in_channels, out_channels)
        bias = has_bias(norm)
        self.upsample, self.antialias, self.residual = upsample, antialias, residual
        self.last_tapped = min(4, blocks - 1)
        self.tapped = [in_channels, 2 * ngf, 4 * ngf] + [4 * ngf] * len({0, self.last_tapped})
        self.staged = [ngf, 2 * ngf, 4 * ngf]
        self.first = nn.Sequential(
            nn.ReflectionPad2d(3), nn.Conv2d(in_channels, ngf, 7, bias=bias), norm_layer(norm, ngf), relu()
        )
        self.down = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width, 2 * width, 3, stride=1 if antialias else 2, padding=1, bias=bias),
                norm_layer(norm, 2 * width),
                nn.ReLU(inplace=norm != "none"),  # without a norm it would overwrite the tapped map
                *([BlurDown(2 * width)] if antialias else []),
            )
            for width in (ngf, 2 * ngf)
        )
        self.blocks = nn.Sequential(*(self.block(4 * ngf, norm, dropout) for _ in range(blocks)))
        self.up = nn.ModuleList(Up(width, norm, upsample) for width in (4 * ngf, 2 * ngf))
        self.last = nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(ngf, out_channels, 7), nn.Tanh())
        initialise(self)

    @property
    def receptive_field(self) -> int:
        """Pixels across that one output pixel sees, the statistics of the normalisation apart."""
        down, up = 12 if self.antialias else 6, 14 if self.upsample == "blur" else 6
        return 7 + down + 16 * len(self.blocks) + up + 6

    def forward(self, x: Tensor, taps: list[Tensor] | None = None, staged: bool = False) -> Tensor | Stages:
        """Map images [n, c, h, w] in [-1, 1] to images of that size; ``taps`` collects the maps of ``encode``.

        With ``staged`` it returns the result of ``stages``.
        """
        if staged:
            return self._stages(x)
        source = x
        x, sizes = self._encode(x, _ignore if taps is None else taps.append)
        for block in list(self.blocks)[self.last_tapped + 1 :]:
            x = block(x)
        for up in self.up:
            x = up(x, sizes.pop())
        return towards(source, self.last(x)) if self.residual else self.last(x)

    def encode(self, x: Tensor) -> list[Tensor]:
        """Return the maps that CUT compares, [n, c, h, w] with the channels of ``tapped``; stop after the last one.

        The padded image, the two convolutions of the way down, the first block and the fifth (or the last before it).
        """
        taps: list[Tensor] = []
        self._encode(x, taps.append)
        return taps

    def stages(self, x: Tensor) -> Stages:
        """Return the image, and the maps that EnCo compares: on the way down, and of equal shapes on the way up.

        At full and at half size the last maps there; at a quarter those behind the second block and the last but two,
        with fewer than five blocks those before and behind all of them. Their channels are ``staged``.
        """
        found: Stages = self(x, staged=True)  # so that what wraps ``forward`` holds here too
        return found

    def _stages(self, x: Tensor) -> Stages:
        first = self.first(x)
        half = self.down[0](first)
        inner = [self.down[1](half)]
        for block in self.blocks:
            inner.append(block(inner[-1]))
        start, end = (2, -3) if len(self.blocks) > 4 else (0, -1)
        up = self.up[0](inner[-1], half.shape[-2:])
        last = self.up[1](up, first.shape[-2:])
        image = self.last(last)
        return towards(x, image) if self.residual else image, [first, half, inner[start]], [last, up, inner[end]]

    def _encode(self, x: Tensor, tap: Callable[[Tensor], None]) -> tuple[Tensor, list[torch.Size]]:
        """Return the last tapped map, and the sizes of the maps on the way down, which those on the way up get."""
        x = _through(self.first.children(), x, tap)
        sizes = []
        for down in self.down.children():
            sizes.append(x.shape[-2:])
            x = _through(down.children(), x, tap)
        for number, block in enumerate(list(self.blocks)[: self.last_tapped + 1]):
            x = block(x)
            if number in (0, self.last_tapped):
                tap(x)
        return x, sizes


def _through(layers: Iterable[nn.Module], x: Tensor, tap: Callable[[Tensor], None]) -> Tensor:
    """Apply layers; tap the map of the first one."""
    for number, layer in enumerate(layers):
        x = layer(x)
        if number == 0:
            tap(x)
    return x


def _ignore(x: Tensor) -> None:
    """Taps nothing."""
