"""Minibatch discrimination (Salimans et al. 2016, arXiv:1606.03498, section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class MinibatchDiscrimination(nn.Module):
    """Features f [n, features] with a measure of how near the other images of the batch are: [n, features + kernels].

    With M_i = T f_i, of ``kernels`` rows b, it appends o_b(i) = sum_j exp(-|M_ib - M_jb|_1) over all images j of the
    batch, i included. Images that are all alike have large values, by which D recognises them. In float32 even under
    autocast: small distances are what counts.

    Args:
        features: numbers of each image.
        kernels: rows of M, the paper's B.
        dim: length of a row, the paper's C.
    """

    def __init__(self, features: int, kernels: int, dim: int = 5) -> None:
        super().__init__()
        self.shape = (kernels, dim)
        self.T = nn.Linear(features, kernels * dim, bias=False)

    def forward(self, f: Tensor) -> Tensor:
        with torch.autocast(f.device.type, enabled=False):
            M = self.T(f.to(self.T.weight.dtype)).unflatten(1, self.shape)
            distances = (M[:, None] - M[None]).abs().sum(3)  # [n, n, kernels]
            return torch.cat([f.to(M.dtype), distances.neg().exp().sum(1)], 1)
