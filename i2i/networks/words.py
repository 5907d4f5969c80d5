"""From words to conditions: a small text encoder that is trained with the game, and conditioning augmentation."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from i2i.words import FIRST, PADDING, UNKNOWN


class TextEncoder(nn.Module):
    """Token ids [n, words], 0 for no word and 1 for an unknown one, to an embedding [n, features].

    A bidirectional GRU (Cho et al. 2014, arXiv:1406.1078) over word vectors; the largest value of each of its outputs
    over the words is kept, so that the length of a sentence does not matter.

    Args:
        vocabulary: number of known words, whose ids begin at 2.
        features: numbers of the embedding, even.
        dropout: share of the words that are unknown while training, so that an unknown word is one that says nothing.
    """

    def __init__(self, vocabulary: int, features: int = 128, dropout: float = 0.05) -> None:
        super().__init__()
        self.dropout = dropout
        self.words = nn.Embedding(vocabulary + FIRST, features // 2)
        self.gru = nn.GRU(features // 2, features // 2, batch_first=True, bidirectional=True)

    def forward(self, text: Tensor) -> Tensor:
        if self.training and self.dropout:
            lost = (torch.rand(text.shape) < self.dropout).to(text.device)
            text = torch.where(lost & (text != PADDING), UNKNOWN, text)
        states = self.gru(self.words(text))[0]  # [n, words, features], from -1 to 1
        return torch.where((text != PADDING)[:, :, None], states, -1).amax(1)


class Condition(NamedTuple):
    """Gaussian N(mu, sigma) over conditions, [n, size] each."""

    mu: Tensor
    log_sigma: Tensor

    def draw(self, noise: Tensor) -> Tensor:
        """Return mu + sigma * noise, for noise of N(0, I)."""
        return self.mu + self.log_sigma.exp() * noise

    def kl(self) -> Tensor:
        """Return the divergence from N(0, I), averaged over all numbers of it (Zhang et al. 2017, eq. 2)."""
        mu, log_sigma = self.mu.float(), self.log_sigma.float()
        return (mu.square() + (2 * log_sigma).exp() - 1 - 2 * log_sigma).mean() / 2


class Augmentation(nn.Module):
    """An embedding [n, features] to a distribution of conditions [n, size].

    Conditioning augmentation: Zhang et al. 2017, arXiv:1612.03242, section 3.2.
    """

    def __init__(self, features: int, size: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(features, 2 * size), nn.LeakyReLU(0.2))

    def forward(self, embedding: Tensor) -> Condition:
        return Condition(*self.layers(embedding).chunk(2, 1))
