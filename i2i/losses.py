"""Losses used by several papers, as functions of tensors."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import conv2d, cross_entropy, pad


def patch_nce(q: Tensor, k: Tensor, T: float = 0.07) -> Tensor:
    """Park et al. 2020 (arXiv:2007.15651), eq. 2: classify, for each patch of q, which patch of k is at the same place.

    Return -log exp(q_s . k_s / T) / sum_t exp(q_s . k_t / T), averaged over patches s and images; the patches t
    are those of the same image. In float32 even under autocast: a difference of cosines is divided by T.

    Args:
        q, k: [n, patches, d], unit vectors; patch s of both is at the same position.
        T: temperature, the paper's tau.
    """
    with torch.autocast(q.device.type, enabled=False):
        return _right_one(similarity(q, k) / T)


def monce(q: Tensor, k: Tensor, T: float = 0.07, iterations: int = 50) -> Tensor:
    """Zhan et al. 2022 (arXiv:2203.09333), eq. 6: ``patch_nce`` whose negatives are weighted by optimal transport.

    The weights w_st of all t are (patches - 1) times the transport plan between the patches of q and k whose cost is
    least for the most similar ones (eq. 5, for unpaired translation); those of a patch have the mean 1. They are found
    by Sinkhorn's algorithm with regularisation 1, and pass no gradient. Args as ``patch_nce``.
    """
    with torch.autocast(q.device.type, enabled=False):
        cosines = similarity(q, k)
        own = torch.eye(cosines.shape[1], dtype=torch.bool, device=cosines.device)
        plan = sinkhorn(cosines.detach().masked_fill(own, -10.0), iterations)
        weights = (plan * (cosines.shape[1] - 1)).clamp_min(1e-8).masked_fill(own, 1.0)
        return _right_one(cosines / T + weights.log())


def sinkhorn(score: Tensor, iterations: int) -> Tensor:
    """Return exp(score) [n, s, s], scaled by rows and columns so that each of them adds up to 1 (Cuturi 2013).

    https://arxiv.org/abs/1306.0895, algorithm 1; the columns are scaled last, and are exact.
    """
    for _ in range(iterations):
        score = score - score.logsumexp(2, keepdim=True)
        score = score - score.logsumexp(1, keepdim=True)
    return score.exp()


def hard_negatives(q: Tensor, k: Tensor, T: float = 0.07, gamma: float = 50.0) -> Tensor:
    """Jung et al. 2022 (arXiv:2203.01532), eq. 9: decoupled contrast with negatives weighted by semantic relation.

    Return the average of -q_s . k_s / T + log sum over t != s of exp(w_st q_s . k_t / T). As in the authors' code the
    relation w_st of patches of one image is exp(k_s . k_t / gamma), relative to its largest over t, and multiplies the
    cosine: the smaller gamma, the harder the negatives. Args as ``patch_nce``.
    """
    with torch.autocast(q.device.type, enabled=False):
        cosines, relation = similarity(q, k) / T, similarity(k, k).detach()
        own = torch.eye(cosines.shape[1], dtype=torch.bool, device=cosines.device)
        relation = relation.masked_fill(own, -10.0)
        weights = ((relation - relation.amax(2, keepdim=True)) / gamma).exp()
        negatives = (weights * cosines).masked_fill(own, -torch.inf).logsumexp(2)
        return (negatives - cosines.diagonal(dim1=1, dim2=2)).mean()


def semantic_relation(q: Tensor, k: Tensor) -> Tensor:
    """Jung et al. 2022 (arXiv:2203.01532), eq. 4: how differently patches are alike within two images.

    Return the Jensen-Shannon divergence between the distributions softmax_t(q_s . q_t) and softmax_t(k_s . k_t), summed
    over patches s and averaged over images. k passes no gradient. Args as ``patch_nce``.
    """
    with torch.autocast(q.device.type, enabled=False):
        p, r = similarity(q, q).log_softmax(2), similarity(k, k).detach().log_softmax(2)
        middle = torch.logaddexp(p, r) - math.log(2)
        divergence = (p.exp() * (p - middle) + r.exp() * (r - middle)) / 2
        return divergence.sum((1, 2)).mean()


def similarity(q: Tensor, k: Tensor) -> Tensor:
    """Return the cosines [n, s, t] between the patches of q and k, unit vectors [n, patches, d], in float32 or more."""
    q, k = (z.to(torch.promote_types(z.dtype, torch.float32)) for z in (q, k))
    return q @ k.transpose(1, 2)


def _right_one(logits: Tensor) -> Tensor:
    """Return the cross-entropy of finding each patch at its own place, from logits [n, s, t]."""
    equal = torch.arange(logits.shape[1], device=logits.device).repeat(len(logits))
    return cross_entropy(logits.flatten(0, 1), equal)


def ssim(x: Tensor, y: Tensor) -> Tensor:
    """Wang et al. 2004 (doi:10.1109/TIP.2003.819861), eq. 13, of each pixel: [n, c, h, w], 1 where both are equal.

    Images [n, c, h, w] are in [-1, 1]. The window is a Gaussian of 11 pixels and deviation 1.5; images are reflected at
    their border. In float32 even under autocast: variances are differences of near numbers.
    """
    with torch.autocast(x.device.type, enabled=False):
        x, y = (z.to(torch.promote_types(z.dtype, torch.float32)) for z in (x, y))
        places = torch.arange(-5, 6, dtype=x.dtype, device=x.device)
        window = torch.softmax(-places.square() / (2 * 1.5**2), 0).repeat(x.shape[1], 1, 1, 1)

        def blur(z: Tensor) -> Tensor:
            z = conv2d(pad(z, (5, 5, 0, 0), "reflect"), window, groups=len(window))
            return conv2d(pad(z, (0, 0, 5, 5), "reflect"), window.transpose(2, 3), groups=len(window))

        a, b = blur(x), blur(y)
        xx, yy, xy = blur(x * x) - a * a, blur(y * y) - b * b, blur(x * y) - a * b
        c, d = (2 * 0.01) ** 2, (2 * 0.03) ** 2
        return (2 * a * b + c) * (2 * xy + d) / ((a * a + b * b + c) * (xx + yy + d))
