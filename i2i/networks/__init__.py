"""Networks: pure modules with flat keyword arguments and no input or output of their own."""

from __future__ import annotations

from typing import Any

from torch import nn

from i2i.networks.blocks import per_image
from i2i.networks.patchgan import PatchGAN, PixelGAN
from i2i.networks.resnet import ResNet
from i2i.networks.stargan import StarGANDiscriminator, StarGANGenerator
from i2i.networks.unet import UNet
from i2i.networks.unit import StridedGAN
from i2i.networks.unit import StridedGAN

__all__ = [
    "PatchGAN",
    "PixelGAN",
    "ResNet",
    "StarGANDiscriminator",
    "StarGANGenerator",
    "StridedGAN",
    "UNet",
    "discriminator",
    "generator",
    "per_image",
]


def generator(name: str, in_channels: int, out_channels: int, **options: Any) -> nn.Module:
    """The generator a name stands for: ``unet_256`` (any power of two from 8), ``resnet_9`` (any number of blocks), or
    ``stargan_6`` (likewise), which is called with labels as well.

    Raises ValueError for a name that stands for none.
    """
    family, _, number = name.partition("_")
    if family == "resnet" and number.isdecimal():
        return ResNet(in_channels, out_channels, blocks=int(number), **options)
    if family == "unet" and number.isdecimal() and int(number).bit_count() == 1:
        return UNet(in_channels, out_channels, depth=int(number).bit_length() - 1, **options)
    if family == "stargan" and number.isdecimal():
        return StarGANGenerator(in_channels, out_channels, blocks=int(number), **options)
    raise ValueError(
        f"generator is {name!r}; expected resnet_N (N blocks: resnet_6, resnet_9), "
        "unet_N (N a power of two: unet_128, unet_256), or stargan_N (N blocks, many domains)"
    )


def discriminator(name: str, in_channels: int, **options: Any) -> nn.Module:
    """The discriminator a name stands for: ``patch_3`` (any number of layers; 3 sees 70x70 pixels), ``pixel``, or
    ``unit_6`` (any number of halvings).

    Raises ValueError for a name that stands for none.
    """
    family, _, number = name.partition("_")
    if name == "pixel":
        return PixelGAN(in_channels, **options)
    if family == "patch" and number.isdecimal() and int(number) > 0:
        return PatchGAN(in_channels, layers=int(number), **options)
    if family == "unit" and number.isdecimal() and int(number) > 0:
        return StridedGAN(in_channels, layers=int(number), **options)
    raise ValueError(
        f"discriminator is {name!r}; expected patch_N (N layers: patch_3), pixel, or unit_N (N halvings: unit_6)"
    )
