"""Networks of StackGAN (Zhang et al. 2017, arXiv:1612.03242): both stages, and the discriminator that reads a text."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from i2i.networks.blocks import RunningNorm2d, initialise, leaky_relu, relu
from i2i.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from i2i.networks.words import Augmentation, Condition, TextEncoder


class Drawing(NamedTuple):
    """Images [n, c, h, w] of a generator, and the conditions and the text embedding [n, features] they came from."""

    image: Tensor
    condition: Condition
    embedding: Tensor


class StageI(nn.Module):
    """Latent z [n, latent + conditions] and text, int64 [n, words], to an image [n, c, h, w] in [-1, 1] (section 3.3).

    The last part of z is the noise of the conditions.
    """

    minimum, multiple, receptive_field = 1, 1, None

    def __init__(
        self, vocabulary: int, latent: int, out_channels: int, *, height: int, width: int, features: int,
        conditions: int, ngf: int, dropout: float,
    ) -> None:  # fmt: skip
        super().__init__()
        self.parts = [latent, conditions]
        self.encoder = TextEncoder(vocabulary, features, dropout)
        self.augmentation = initialise(Augmentation(features, conditions))
        self.net = DCGANGenerator(
            latent, out_channels, height=height, width=width, ngf=ngf, conditions=conditions
        )  # fmt: skip

    def forward(self, z: Tensor, text: Tensor) -> Tensor:
        return self.draw(z, text).image

    def draw(self, z: Tensor, text: Tensor) -> Drawing:
        """Return the image with what it was made of. The encoder gets no gradient from it."""
        with torch.no_grad():
            embedding = self.encoder(text)
        condition = self.augmentation(embedding)
        noise, chance = z.split(self.parts, 1)
        return Drawing(self.net(noise, condition.draw(chance)), condition, embedding)


class StageII(nn.Module):
    """Latent z and text to an image ``scale`` times as large as stage I draws it (section 3.4).

    The image of stage I is reduced to a quarter, joined with conditions of its own, which have the same noise, and
    refined by residual blocks.

    Args:
        first: stage I, finished.
        channels: of the image.
        scale: 2 | 4.
        blocks: residual blocks; the authors take 2 for 128 pixels and 4 for 256.
        ngf: filters of the first map.
    """

    minimum, multiple, receptive_field = 1, 1, None

    def __init__(
        self, first: StageI, channels: int, *, scale: int, blocks: int, features: int, conditions: int, ngf: int
    ) -> None:
        super().__init__()
        self.first = first
        wide = 4 * ngf
        self.augmentation = Augmentation(features, conditions)
        self.down = nn.Sequential(
            nn.Conv2d(channels, ngf, 3, padding=1), relu(), *_conv(ngf, 2 * ngf, 4, 2), *_conv(2 * ngf, wide, 4, 2)
        )
        self.join = nn.Sequential(*_conv(wide + conditions, wide, 3))
        self.blocks = nn.Sequential(*(Residual(wide) for _ in range(blocks)))
        ups: list[nn.Module] = []
        for step in range((4 * scale).bit_length() - 1):
            after = max(wide >> (step + 1), 1)
            ups += [nn.Upsample(scale_factor=2, mode="nearest"), *_conv(max(wide >> step, 1), after, 3)]
        self.up = nn.Sequential(*ups, nn.Conv2d(after, channels, 3, padding=1), nn.Tanh())
        for part in (self.augmentation, self.down, self.join, self.blocks, self.up):
            initialise(part)

    def forward(self, z: Tensor, text: Tensor) -> Tensor:
        return self.draw(z, text).image

    def draw(self, z: Tensor, text: Tensor) -> Drawing:
        with torch.no_grad():
            small, _, embedding = self.first.draw(z, text)
        return self.refine(small, z, embedding)

    def refine(self, small: Tensor, z: Tensor, embedding: Tensor) -> Drawing:
        """Return the image that an image of stage I becomes."""
        condition = self.augmentation(embedding)
        maps = self.down(small)
        given = condition.draw(z.split(self.first.parts, 1)[1])
        spread = given[:, :, None, None].expand(-1, -1, *maps.shape[2:])
        return Drawing(self.up(self.blocks(self.join(torch.cat([maps, spread], 1)))), condition, embedding)


class Residual(nn.Module):
    """x + F(x), with two convolutions, before a ReLU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        second = [nn.Conv2d(width, width, 3, padding=1, bias=False), RunningNorm2d(width)]
        self.layers = nn.Sequential(*_conv(width, width, 3), *second)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.layers(x))


class TextDiscriminator(DCGANDiscriminator):
    """Image [n, c, h, w] and text embedding [n, features] to logits [n, 1].

    The text, compressed, is joined to the last map, and a projection of the map is compared with it.
    """

    def __init__(
        self, in_channels: int, *, height: int, width: int, ndf: int, norm: str, features: int, conditions: int
    ) -> None:
        super().__init__(in_channels, height=height, width=width, ndf=ndf, norm=norm)
        self.compress = initialise(nn.Sequential(nn.Linear(features, conditions), leaky_relu()))
        self.mix = initialise(nn.Sequential(nn.Conv2d(self.channels + conditions, self.channels, 1), leaky_relu()))
        hidden = 2 * features  # what is counted across the image, such as trees, is no sum over its places
        layers = [nn.Linear(self.features, hidden), leaky_relu(), nn.Linear(hidden, features)]
        self.image = initialise(nn.Sequential(*layers))

    def forward(self, x: Tensor, c: Tensor) -> Tensor:  # type: ignore[override]
        return self.judge(self.body(x), c)

    def judge(self, maps: Tensor, embedding: Tensor) -> Tensor:
        """Return the logits from the last map of the images."""
        spread = self.compress(embedding)[:, :, None, None].expand(-1, -1, *maps.shape[2:])
        joined = self.mix(torch.cat([maps, spread], 1))  # Reed et al. 2016, arXiv:1605.05396, section 4.2
        fit = (self.image(maps.flatten(1)) * embedding).sum(1, keepdim=True) / embedding.shape[1] ** 0.5
        return self.head(joined.flatten(1)) + fit

    def similarity(self, maps: Tensor, embedding: Tensor) -> Tensor:
        """Return how well each image, by its last map, fits each embedding: [n, n], a text a column."""
        return (self.image(maps.flatten(1)) @ embedding.T).float() / embedding.shape[1] ** 0.5


def _conv(before: int, after: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(before, after, kernel, stride, 1, bias=False), RunningNorm2d(after), relu()]
