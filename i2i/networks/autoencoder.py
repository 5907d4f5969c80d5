"""A convolutional autoencoder, whose features allow reconstruction and so cannot collapse."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from i2i.networks.blocks import HalvingConv2d, Upsample2x, has_bias, initialise, leaky_relu, norm_layer, relu


class Autoencoder(nn.Module):
    """An image to a small map of features in [-1, 1], and back: [n, c, h, w] -> [n, features, h', w'] -> [n, c, h, w].

    Any height and width from 1 are preserved. There is no normalisation on the first and on the last map on
    the way down: the one holds the colours, the other may be a single pixel.

    Args:
        channels: of the images, which are in [-1, 1].
        depth: how many times an image is halved, at least 2; h' = ceil(h / 2**depth).
        features: of each place of the smallest map.
        nf: filters of the first layer; they double to 4 * nf.
        norm: instance | batch | none.
    """

    def __init__(
        self, channels: int = 3, depth: int = 4, features: int = 64, nf: int = 64, norm: str = "instance"
    ) -> None:
        super().__init__()
        bias = has_bias(norm)
        widths = [nf * min(2**level, 4) for level in range(depth - 1)]
        steps = list(pairwise(widths))
        self.down = nn.Sequential(
            HalvingConv2d(channels, nf, bias=True),
            leaky_relu(),
            *(nn.Sequential(HalvingConv2d(m, n, bias), norm_layer(norm, n), leaky_relu()) for m, n in steps),
            HalvingConv2d(widths[-1], features, bias=True),
            nn.Tanh(),
        )
        ends = [(features, widths[-1]), *((n, m) for m, n in reversed(steps))]
        self.up = nn.ModuleList(Upsample2x(m, n, 4, "deconv", bias) for m, n in ends)
        self.act = nn.ModuleList(nn.Sequential(norm_layer(norm, n), relu()) for _, n in ends)
        self.last, self.tanh = Upsample2x(nf, channels, 4, "deconv", bias=True), nn.Tanh()
        initialise(self)

    def encode(self, x: Tensor) -> Tensor:
        """Return the features of images."""
        return self.down(x)

    def forward(self, x: Tensor) -> Tensor:
        sizes = [(-(-x.shape[-2] // 2**n), -(-x.shape[-1] // 2**n)) for n in range(len(self.up), -1, -1)]
        h = self.encode(x)
        for up, act, size in zip(self.up, self.act, sizes, strict=False):
            h = act(up(h, size))
        return self.tanh(self.last(h, sizes[-1]))
