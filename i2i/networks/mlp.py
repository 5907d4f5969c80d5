"""Fully connected networks between a latent vector and an image, as in the first paper on GANs (arXiv:1406.2661)."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor, nn

from i2i.networks.blocks import leaky_relu, relu
from i2i.networks.minibatch import MinibatchDiscrimination


class MLPGenerator(nn.Module):
    """Latent vector z [n, latent], with labels c [n, conditions] if it has any, to an image [n, c, h, w] in [-1, 1].

    Args:
        latent: numbers of z.
        out_channels: of the image.
        height, width: of the image.
        hidden: units of each of the two hidden layers.
        conditions: numbers of c, which are joined to z.
    """

    minimum, multiple, receptive_field = 1, 1, None

    def __init__(
        self, latent: int, out_channels: int = 1, *, height: int = 28, width: int = 28, hidden: int = 512,
        conditions: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.shape = (out_channels, height, width)
        self.layers = nn.Sequential(
            nn.Linear(latent + conditions, hidden), relu(), nn.Linear(hidden, hidden), relu(),
            nn.Linear(hidden, prod(self.shape)), nn.Tanh(),
        )  # fmt: skip

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        return self.layers(z if c is None else torch.cat([z, c], 1)).unflatten(1, self.shape)


class MLPDiscriminator(nn.Module):
    """Image [n, c, h, w] in [-1, 1], with labels c [n, conditions] if it has any, to logits [n, 1].

    With ``minibatch`` kernels of minibatch discrimination before the last layer; 0: none.
    """

    def __init__(
        self, in_channels: int = 1, *, height: int = 28, width: int = 28, hidden: int = 512, conditions: int = 0,
        minibatch: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        crowd = [MinibatchDiscrimination(hidden, minibatch)] if minibatch else []
        self.layers = nn.Sequential(
            nn.Linear(in_channels * height * width + conditions, hidden), leaky_relu(),
            nn.Linear(hidden, hidden), leaky_relu(), *crowd, nn.Linear(hidden + minibatch, 1),
        )  # fmt: skip

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        return self.layers[4:](self.embed(x, c))

    def embed(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Return the last hidden layer, [n, hidden]."""
        return self.layers[:4](x.flatten(1) if c is None else torch.cat([x.flatten(1), c], 1))
