"""The ResNet generator with separable convolutions, as students of large translators have it (GAN Compression, Li et
al. 2020, arXiv:2003.08936, section 4.1), after MobileNet (Howard et al. 2017, arXiv:1704.04861)."""

from __future__ import annotations

from torch import Tensor, nn

from i2i.networks.blocks import has_bias, norm_layer, relu
from i2i.networks.resnet import ResNet


class SeparableBlock(nn.Module):
    """x + two separable 3x3 convolutions, each a filter a channel and then a mixture of the channels."""

    def __init__(self, channels: int, norm: str, dropout: bool) -> None:
        super().__init__()
        self.block = nn.Sequential(
            *_separable(channels, norm),
            norm_layer(norm, channels),
            relu(),
            nn.Dropout(0.5) if dropout else nn.Identity(),
            *_separable(channels, norm),
            norm_layer(norm, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x)


class MobileResNet(ResNet):
    """A ResNet whose residual blocks, nearly all of its work, have separable convolutions: an eighth of theirs."""

    block = SeparableBlock


def _separable(channels: int, norm: str) -> list[nn.Module]:
    bias = has_bias(norm)
    return [
        nn.ReflectionPad2d(1),
        nn.Conv2d(channels, channels, 3, groups=channels, bias=bias),
        norm_layer(norm, channels),
        nn.Conv2d(channels, channels, 1, bias=bias),
    ]
