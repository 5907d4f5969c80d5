"""Hneg-SRC: Jung, Kwon & Ye, Exploring Patch-wise Semantic Relation for Contrastive Learning in Image-to-Image
Translation Tasks, CVPR 2022 (arXiv:2203.01532)."""

from __future__ import annotations

import torch
from torch import Tensor

from i2i.losses import hard_negatives, semantic_relation
from i2i.translators.base import Views
from i2i.translators.cut import CUT, Pairs


class HnegSRC(CUT):
    """L_GAN + lambda_hdce L_hDCE + lambda_src L_SRC   (eq. 10).

    L_hDCE is CUT's contrast without the positive in its denominator, and with negatives weighted by how alike they are
    to the patch in the image itself: the hardness grows over the run, as gamma falls from its start to its end. L_SRC
    wants the patches of G(x) to be alike one another as those of x are.

    Args:
        lambda_hdce, lambda_src: weights of the terms; as in the authors' code half of the first for each of x and y.
        gamma, gamma_end: temperature of the weights at the start and at the end of a run.

    All other arguments are CUT's.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        *,
        generator: str = "resnet_9",
        discriminator: str = "patch_3",
        ngf: int = 64,
        ndf: int = 64,
        norm: str = "instance",
        dropout: bool = False,
        upsample: str = "blur",
        residual: bool = False,
        antialias: bool = True,
        init: str = "xavier",
        objective: str = "lsgan",
        constraint: str = "none",
        lambda_gan: float = 1.0,
        lambda_hdce: float = 0.1,
        lambda_src: float = 0.05,
        gamma: float = 50.0,
        gamma_end: float = 10.0,
        nce_idt: bool = True,
        nce_T: float = 0.07,
        patches: int = 256,
        flip_equivariance: bool = False,
        lr: float = 2e-4,
    ) -> None:
        super().__init__(
            in_channels, out_channels, generator=generator, discriminator=discriminator, ngf=ngf, ndf=ndf, norm=norm,
            dropout=dropout, upsample=upsample, residual=residual, antialias=antialias, init=init, objective=objective,
            constraint=constraint, lambda_gan=lambda_gan, lambda_nce=lambda_hdce, nce_idt=nce_idt, nce_T=nce_T,
            patches=patches, flip_equivariance=flip_equivariance, lr=lr,
        )  # fmt: skip
        if min(gamma, gamma_end) <= 0:
            raise ValueError(f"gamma is {gamma} and gamma_end {gamma_end}; expected temperatures above 0")
        self.lambda_src, self.gamma, self.gamma_end = lambda_src, gamma, gamma_end

    def content(self, of_x: Pairs, of_y: Pairs) -> Views:
        relation = torch.stack([semantic_relation(q, z) for q, z in of_x]).mean()
        return {**super().content(of_x, of_y), "src": self.lambda_src * relation}

    def contrast(self, pairs: Pairs) -> Tensor:
        gamma = self.gamma + (self.gamma_end - self.gamma) * self.progress
        return torch.stack([hard_negatives(q, z, self.nce_T, gamma) for q, z in pairs]).mean()
