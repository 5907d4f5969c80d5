"""The patch discriminators of pix2pix (Isola et al. 2017, arXiv:1611.07004, section 6.1.2)."""

from __future__ import annotations

from torch import Tensor, nn

from i2i.networks.blocks import BlurDown, has_bias, initialise, leaky_relu, norm_layer


class PatchGAN(nn.Module):
    """Patch discriminator: classifies each patch of an image; ``layers=3`` sees 70x70 pixels.

    Args:
        in_channels: of its input: an image, or an image and its condition, [n, c, h, w] in [-1, 1].
        layers: convolutions of stride 2, at least 1.
        ndf: filters of the first layer; they double to 8 * ndf.
        norm: instance | batch | group | layer | none.
        antialias: blurs before it halves, in the place of strides, as CUT's does; patches are a few pixels larger.

    Returns logits [n, 1, h', w'], no sigmoid; 30x30 for 256x256 at three layers.
    """

    def __init__(
        self, in_channels: int = 3, layers: int = 3, ndf: int = 64, norm: str = "batch", antialias: bool = False
    ) -> None:
        super().__init__()

        def halving(channels: int) -> list[nn.Module]:
            return [BlurDown(channels)] if antialias else []

        stride = 1 if antialias else 2
        modules = [nn.Conv2d(in_channels, ndf, 4, stride=stride, padding=1), leaky_relu(), *halving(ndf)]
        width = ndf
        for layer in range(1, layers + 1):
            last, width = width, ndf * min(2**layer, 8)
            modules += [
                nn.Conv2d(last, width, 4, stride=1 if layer == layers else stride, padding=1, bias=has_bias(norm)),
                norm_layer(norm, width),
                leaky_relu(),
            ]
            if layer < layers:
                modules += halving(width)
        modules.append(nn.Conv2d(width, 1, 4, padding=1))
        self.model = nn.Sequential(*modules)
        self.separate = norm != "batch"  # each image is judged by itself
        self.smallest = 3 << layers  # the last two convolutions take a pixel each
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits. Raises ValueError for images smaller than one patch."""
        return self.features(x)[-1]

    def features(self, x: Tensor) -> list[Tensor]:
        """Return the maps behind each activation, and the logits, for feature matching. Raises as ``forward``."""
        if min(x.shape[-2:]) < self.smallest:
            raise ValueError(
                f"the discriminator needs images of at least {self.smallest} x {self.smallest} pixels, and these are "
                f"{x.shape[-1]} x {x.shape[-2]}: train on larger ones (--size), or set fewer layers "
                "(--set discriminator=patch_1) or pixel"
            )
        maps = []
        for layer in self.model:
            x = layer(x)
            if isinstance(layer, nn.LeakyReLU):
                maps.append(x)
        return [*maps, x]


class PixelGAN(nn.Module):
    """The 1x1 discriminator, which classifies each pixel by itself. Returns logits [n, 1, h, w].

    It halves nothing, so ``antialias`` changes nothing.
    """

    def __init__(self, in_channels: int = 3, ndf: int = 64, norm: str = "batch", antialias: bool = False) -> None:
        super().__init__()
        bias = has_bias(norm)
        self.model = nn.Sequential(
            nn.Conv2d(in_channels, ndf, 1),
            leaky_relu(),
            nn.Conv2d(ndf, 2 * ndf, 1, bias=bias),
            norm_layer(norm, 2 * ndf),
            leaky_relu(),
            nn.Conv2d(2 * ndf, 1, 1, bias=bias),
        )
        self.separate = norm != "batch"  # each image is judged by itself
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)
