"""Discriminator of BiGAN (Donahue et al. 2017, arXiv:1605.09782): of pairs of an image and a latent vector."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from i2i.networks.blocks import initialise, leaky_relu
from i2i.networks.dcgan import DCGANDiscriminator


class JointDiscriminator(nn.Module):
    """Image [n, c, h, w] in [-1, 1] and latent vector z [n, latent] to logits [n, 1].

    The convolutions of DCGAN see the image, and two fully connected layers their last map joined to z.

    Args:
        in_channels: of the image.
        latent: numbers of z.
        hidden: units of each fully connected layer.
        sides: height, width, ndf and norm of the DCGANDiscriminator.
    """

    def __init__(self, in_channels: int, latent: int, hidden: int = 512, **sides: Any) -> None:
        super().__init__()
        images = DCGANDiscriminator(in_channels, **sides)
        self.body = images.body
        self.joint = nn.Sequential(
            nn.Linear(images.features + latent, hidden), leaky_relu(),
            nn.Linear(hidden, hidden), leaky_relu(), nn.Linear(hidden, 1),
        )  # fmt: skip
        initialise(self.joint)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        return self.joint(torch.cat([self.body(x).flatten(1), z.to(x)], 1))
