"""Networks: pure modules with flat keyword arguments, without files or global state."""

from __future__ import annotations

import re
from collections.abc import Callable
from inspect import signature
from typing import Any, NamedTuple

from torch import nn

from i2i.networks.batchstat import BatchStatGAN
from i2i.networks.blocks import averaged, per_image
from i2i.networks.csc321 import CSC321Discriminator, CSC321Generator
from i2i.networks.drunet import DRUNet
from i2i.networks.mobile_resnet import MobileResNet
from i2i.networks.multiscale import MultiScale
from i2i.networks.patchgan import PatchGAN, PixelGAN
from i2i.networks.pix2pixhd import GlobalGenerator, LocalEnhancer
from i2i.networks.resnet import ResNet
from i2i.networks.stargan import StarGANDiscriminator, StarGANGenerator
from i2i.networks.unet import UNet
from i2i.networks.unit import StridedGAN

__all__ = [
    "DISCRIMINATORS",
    "GENERATORS",
    "BatchStatGAN",
    "CSC321Discriminator",
    "CSC321Generator",
    "DRUNet",
    "GlobalGenerator",
    "LocalEnhancer",
    "MobileResNet",
    "MultiScale",
    "PatchGAN",
    "PixelGAN",
    "ResNet",
    "StarGANDiscriminator",
    "StarGANGenerator",
    "StridedGAN",
    "UNet",
    "averaged",
    "discriminator",
    "generator",
    "per_image",
]


class Family(NamedTuple):
    """Networks that share a name, apart from the number in it."""

    make: type[nn.Module]
    number: str | None
    """The option set by the number in the name; None for a name without one."""
    help: str
    meaning: Callable[[int], int] = int
    """Conversion of the number to the option's value."""


def exponent(size: int) -> int:
    """Return how often ``size`` pixels can be halved. Raises ValueError unless that leaves one pixel."""
    if size.bit_count() != 1:
        raise ValueError(f"generator is 'unet_{size}'; expected unet_N with N a power of two: unet_128, unet_256")
    return size.bit_length() - 1


GENERATORS = {
    "resnet": Family(ResNet, "blocks", "resnet_N (N blocks: resnet_6, resnet_9)"),
    "mobile_resnet": Family(MobileResNet, "blocks", "mobile_resnet_N (N blocks of separable convolutions)"),
    "unet": Family(UNet, "depth", "unet_N (N a power of two: unet_128, unet_256)", exponent),
    "drunet": Family(DRUNet, "blocks", "drunet_N (N blocks at each of four scales: drunet_2, drunet_4)"),
    "global": Family(GlobalGenerator, "blocks", "global_N (N blocks: global_9)"),
    "stargan": Family(StarGANGenerator, "blocks", "stargan_N (N blocks: stargan_6)"),
    "csc321": Family(CSC321Generator, None, "csc321"),
}
"""``generator(name, in_channels, out_channels, **options)`` by the name before its number."""

DISCRIMINATORS = {
    "patch": Family(PatchGAN, "layers", "patch_N (N layers: patch_3; patch_3x2 at two scales)"),
    "pixel": Family(PixelGAN, None, "pixel"),
    "batchstat": Family(BatchStatGAN, "layers", "batchstat_N (N layers: batchstat_3)"),
    "unit": Family(StridedGAN, "layers", "unit_N (N halvings: unit_6)"),
    "stargan": Family(StarGANDiscriminator, "layers", "stargan_N (N layers: stargan_6)"),
    "csc321": Family(CSC321Discriminator, None, "csc321"),
}
"""``discriminator(name, in_channels, **options)`` by the name before its number."""


def generator(name: str, in_channels: int, out_channels: int, **options: Any) -> nn.Module:
    """Build a generator by name: ``unet_256`` (any power of two from 8) or ``resnet_9`` (any number of blocks).

    Raises ValueError for an unknown name or option, and lists the known ones.
    """
    return _made(GENERATORS, "generator", name, in_channels, out_channels, **options)


def discriminator(name: str, in_channels: int, **options: Any) -> nn.Module:
    """Build a discriminator by name: ``patch_3`` (any number of layers; 3 sees 70x70 pixels) or ``pixel``.

    A second number makes several at halved scales: ``patch_3x2``. Raises ValueError for an unknown name or option, and
    lists the known ones.
    """
    if scaled := re.fullmatch(r"(\w+_\d+)x([1-9]\d?)", name):
        one, scales = scaled.groups()
        return MultiScale(
            _made(DISCRIMINATORS, "discriminator", one, in_channels, **options) for _ in range(int(scales))
        )
    return _made(DISCRIMINATORS, "discriminator", name, in_channels, **options)


def _made(table: dict[str, Family], kind: str, name: str, *channels: int, **options: Any) -> nn.Module:
    start, _, number = name.rpartition("_")
    family = start if number.isdecimal() else name
    row = table.get(family)
    fit = ", ".join(row.help for row in table.values() if options.keys() <= signature(row.make).parameters.keys())
    if row is None or (name != family if row.number is None else not number.isdecimal() or int(number) < 1):
        raise ValueError(f"{kind} is {name!r}; expected {fit}")
    if strange := options.keys() - signature(row.make).parameters.keys():
        raise ValueError(f"{kind} is {name!r}, which knows no {', '.join(sorted(strange))}; expected {fit}")
    if row.number is not None:
        options[row.number] = row.meaning(int(number))
    return row.make(*channels, **options)
