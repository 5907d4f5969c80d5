"""Losses used by several papers, as functions of tensors."""

from __future__ import annotations

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
        q, k = (z.to(torch.promote_types(z.dtype, torch.float32)) for z in (q, k))
        logits = q @ k.transpose(1, 2) / T  # [n, s, t]
        equal = torch.arange(q.shape[1], device=q.device).repeat(len(q))
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
