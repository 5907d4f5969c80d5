"""Losses used by several papers, as functions of tensors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy


def patch_nce(q: Tensor, k: Tensor, T: float = 0.07) -> Tensor:
    """Park et al. 2020 (arXiv:2007.15651), eq. 2: classify, for each patch of q, which patch of k is at the same place.

    Return -log exp(q_s . k_s / T) / sum_t exp(q_s . k_t / T), averaged over patches s and images; the patches t
    are those of the same image. In float32 even under autocast: a difference of cosines is divided by T.

    Args:
        q, k: [n, patches, d], unit vectors; patch s of both is at the same position.
        T: temperature, the paper's tau.
    """
    with torch.autocast(q.device.type, enabled=False):
        q, k = (z.to(torch.promote_types(z.dtype, torch.float32)) for z in (q, k))
        logits = q @ k.transpose(1, 2) / T  # [n, s, t]
        equal = torch.arange(q.shape[1], device=q.device).repeat(len(q))
        return cross_entropy(logits.flatten(0, 1), equal)
