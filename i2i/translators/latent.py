"""Latent inputs of generators while they are trained."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from i2i import sampling
from i2i.spec import Prior


def draw(prior: Prior, like: Tensor) -> Tensor:
    """Return random z [n, length] for a batch ``like`` [n, ...], from PyTorch's default CPU generator."""
    n = len(like)
    noise = torch.randn(n, prior.noise) if prior.distribution == "normal" else 2 * torch.rand(n, prior.noise) - 1
    parts = [noise]
    for code in prior.codes:
        if code.values:
            parts.append(one_hot(torch.randint(code.values, (n,)), code.values).float())
        else:
            parts.append(2 * torch.rand(n, 1) - 1)
    return torch.cat(parts, 1).to(like)


def of_seeds(prior: Prior, like: Tensor, first: int = 0) -> Tensor:
    """Return the z of the seeds ``first``, ``first`` + 1, ..., one for each image of ``like`` [n, ...].

    These are the ones that ``i2i generate`` draws for those seeds.
    """
    return torch.from_numpy(sampling.latent(prior, range(first, first + len(like)))).to(like)


def others(c: Tensor, attributes: bool) -> Tensor:
    """Return wrong labels for c [n, domains]: another class of each image, or with one attribute turned around."""
    n, domains = c.shape
    if attributes:
        turned = one_hot(torch.randint(domains, (n,)), domains).to(c)
        return (c - turned).abs()
    if domains < 2:
        raise ValueError("wrong labels need two classes or more")
    shift = torch.randint(1, domains, (n,)).to(c.device)
    return one_hot((c.argmax(1) + shift) % domains, domains).to(c)
