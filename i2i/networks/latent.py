"""Translation in the latent space of an encoder and a decoder: images of any size, and the means of labels."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def resized(x: Tensor, height: int, width: int) -> Tensor:
    """Resize images [n, c, h, w] to [n, c, height, width] by antialiased bilinear interpolation.

    Equal to ``torch.nn.functional.interpolate(x, (height, width), mode="bilinear", antialias=True)``, as two matrix
    products, which every ONNX runtime computes alike. An image of that size already is unchanged.
    """
    rows, columns = _weights(x.shape[-2], height, x), _weights(x.shape[-1], width, x)
    return rows @ x @ columns.T


def _weights(before: int, after: int, like: Tensor) -> Tensor:
    """Return the weights [after, before] of each pixel in each resized one: a triangle around its centre."""
    old = torch.arange(before, device=like.device, dtype=torch.float32) + 0.5
    new = torch.arange(after, device=like.device, dtype=torch.float32) + 0.5
    scale = old.new_full((1,), before) / old.new_full((1,), after)
    weights = (1 - (old - (new * scale)[:, None]).abs() / scale.clamp(min=1)).clamp(min=0)
    return (weights / weights.sum(1, keepdim=True)).to(like.dtype)


class LabelMeans(nn.Module):
    """Means of latent vectors by label, as they are while the encoder learns, and a classifier of latent vectors.

    For classes, one of which each image is in, there is a mean for each. For attributes, which can be combined, there
    is one of the images with each and one of those without it.

    Each mean is an exponential moving average over the batches that contain such an image, every image of a batch with
    the same weight; it is zero before the first. The classifier is linear in the latent vector.

    Args:
        domains: number of labels.
        attributes: whether they can be combined.
        latent: length of a latent vector.
        decay: of the averages, at each batch.
    """

    totals: Tensor
    counts: Tensor

    def __init__(self, domains: int, attributes: bool, latent: int, decay: float = 0.99) -> None:
        super().__init__()
        self.attributes, self.decay = attributes, decay
        groups = domains * (1 + attributes)
        self.register_buffer("totals", torch.zeros(groups, latent))
        self.register_buffer("counts", torch.zeros(groups, 1))
        self.classifier = nn.utils.skip_init(nn.Linear, latent, domains)  # draws no random numbers
        nn.init.zeros_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)

    @torch.no_grad()
    def update(self, mu: Tensor, c: Tensor) -> None:
        """Add the latent vectors mu [n, latent] of images with the labels c [n, domains] to the means."""
        groups = (torch.cat([c, 1 - c], 1) if self.attributes else c).to(self.totals)
        counts, totals = groups.sum(0)[:, None], groups.T @ mu.to(self.totals)
        present = counts > 0
        self.counts.copy_(torch.where(present, self.decay * self.counts + counts, self.counts))
        self.totals.copy_(torch.where(present, self.decay * self.totals + totals, self.totals))

    def means(self) -> Tensor:
        """Return the means: [domains, latent], or [2 * domains, latent], with each attribute and then without."""
        return self.totals / torch.where(self.counts > 0, self.counts, torch.ones_like(self.counts))

    def logits(self, mu: Tensor) -> Tensor:
        """Return the classifier's logits [n, domains] of latent vectors."""
        return self.classifier(mu)

    def toward(self, mu: Tensor, c: Tensor) -> Tensor:
        """Return mu [n, latent] + mean(target) - mean(source) for the target labels c [n, domains].

        mean(source) is the expected mean under the classifier's probabilities; for attributes, the difference of the
        means with and without each is added in proportion to the change of its probability.
        """
        logits, means = self.logits(mu), self.means()
        if self.attributes:
            with_it, without = means.chunk(2)
            return mu + (c - logits.sigmoid()) @ (with_it - without)
        return mu + (c - logits.softmax(1)) @ means


class Decoder(nn.Module):
    """Latent vectors z [n, latent] to images of a fixed size, with the means of the labels, if there are any."""

    minimum, multiple, receptive_field = 1, 1, None

    def __init__(self, G: nn.Module, means: LabelMeans | None = None) -> None:
        super().__init__()
        self.G, self.labels = G, means

    def forward(self, z: Tensor) -> Tensor:
        return self.G(z)

    def latent_means(self) -> list[list[float]]:
        """Return the means of the labels, see ``LabelMeans.means``; none without labels."""
        return [] if self.labels is None else self.labels.means().tolist()


class LatentArithmetic(nn.Module):
    """Images x [n, c, h, w] in [-1, 1] of any size, and labels c [n, domains], to images with these labels.

    x -> decode(encode(x) + mean(target) - mean(source)), resized to the size of the networks and back.

    Args:
        E: encoder to [n, latent] or more numbers, of which the first are the latent vector.
        means: of the labels.
        G: decoder.
        height, width: of the images of both.
    """

    minimum, multiple, receptive_field = 1, 1, None

    def __init__(self, E: nn.Module, means: LabelMeans, G: nn.Module, height: int, width: int) -> None:
        super().__init__()
        self.E, self.labels, self.G, self.size = E, means, G, (height, width)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        mu = self.E(resized(x, *self.size))[:, : self.labels.totals.shape[1]]
        return resized(self.G(self.labels.toward(mu, c)), *x.shape[-2:])
