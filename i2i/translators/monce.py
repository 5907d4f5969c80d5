"""MoNCE: Zhan, Zhang, Yu, Wu & Lu, Modulated Contrast for Versatile Image Synthesis, CVPR 2022 (arXiv:2203.09333)."""

from __future__ import annotations

import torch
from torch import Tensor

from i2i.losses import monce
from i2i.translators.cut import CUT, Pairs


class MoNCE(CUT):
    """CUT whose negatives have weights: L_MoNCE (eq. 6) in the place of L_PatchNCE.

    The weights of all patches are found together, as the plan of least cost that transports patches of G(x) to patches
    of x. Similar negatives, which are hard to tell apart, get larger ones; CUT gives all of them the same.
    """

    def contrast(self, pairs: Pairs) -> Tensor:
        return torch.stack([monce(q, z, self.nce_T) for q, z in pairs]).mean()
