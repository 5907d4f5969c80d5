"""Distillation of a translator into a small one: from Ren, Wu, Li & Wang, Online Multi-Granularity Distillation for GAN
Compression, ICCV 2021 (arXiv:2108.06908), and Wu et al., Discriminator-Cooperated Distillation (arXiv:2212.14169)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, cat, nn
from torch.nn.functional import l1_loss, mse_loss

from i2i import networks
from i2i.gan import wide
from i2i.losses import ssim
from i2i.networks.resnet import ResNet
from i2i.translators.base import Player, Translator, Views


@dataclass
class Teacher:
    """The networks of a teacher that is a run: they do not move, and are no part of the student's state."""

    generator: nn.Module
    critic: nn.Module | None = None
    """Its discriminator of results: of y, or of x and y together."""

    def __deepcopy__(self, memo: dict[int, object]) -> Teacher:
        """Return itself: copies of a student have the same teacher."""
        return self

    def judged(self, x: Tensor, y: Tensor) -> list[Tensor]:
        """Return the activations of the critic for y [n, c, h, w], after each LeakyReLU."""
        assert self.critic is not None
        first = next(module for module in self.critic.modules() if isinstance(module, nn.Conv2d))
        with _collected(self.critic) as maps:
            self.critic(y if first.in_channels == y.shape[1] else cat([x, y], 1))
        return maps


class Distill(Translator):
    """G learns y = T(x), the results of a teacher T, from source images alone:

        L = lambda_l1 |G(x) - y| + lambda_ssim (1 - SSIM(G(x), y))
            + lambda_critic sum_l |D_l(G(x)) - D_l(y)|                  (Wu et al.)
            + lambda_statistics sum_k |W_k s_k(G, x) - s_k(T, x)|^2     (after Ren et al.)

    D_l are the activations of the teacher's own discriminator, which knows what in a result matters. s_k are mean and
    deviation of each channel of the maps within both networks, and the matrix W_k, which learns too, leads from the
    student's channels to the teacher's. Of an exported teacher, whose networks are not known, only the first line
    remains; of a run without a discriminator's state, all but the second. Without a teacher it learns from pairs.

    There is no game: as in Ren et al., the student has no discriminator of its own.

    Args:
        in_channels, out_channels: of x and y, which are [n, c, h, w] in [-1, 1].
        generator: mobile_resnet_N or resnet_N, whose maps are compared too; or any other.
        ngf: filters of its first layer.
        norm: instance | group | layer | batch | none.
        upsample: resize | deconv.
        residual: G adds to its input, as a student that restores or retouches images; equal channels.
        teacher_ngf: filters of the teacher's first layer, if it is a ResNet; 0: its maps are not compared. A run with a
            teacher finds it.
        lambda_l1, lambda_ssim, lambda_critic, lambda_statistics: weights of the terms; 0 leaves one out.
    """

    data = "pairs"
    authors: ClassVar = {"epochs": 200}
    teacher: Teacher | None = None

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        *,
        generator: str = "mobile_resnet_6",
        ngf: int = 16,
        norm: str = "instance",
        upsample: str = "resize",
        residual: bool = False,
        teacher_ngf: int = 0,
        lambda_l1: float = 10.0,
        lambda_ssim: float = 10.0,
        lambda_critic: float = 1.0,
        lambda_statistics: float = 1.0,
        lr: float = 2e-4,
    ) -> None:
        super().__init__()
        weights = {"l1": lambda_l1, "ssim": lambda_ssim, "critic": lambda_critic, "statistics": lambda_statistics}
        if wrong := [f"lambda_{name} is {weight}" for name, weight in weights.items() if not weight >= 0]:
            raise ValueError(f"{wrong[0]}; it cannot be negative; 0 leaves the term out")
        self.G = networks.generator(
            generator, in_channels, out_channels,
            ngf=ngf, norm=norm, upsample=upsample, residual=residual, dropout=False,  # a teacher is a function
        )  # fmt: skip
        self.lambda_l1, self.lambda_ssim, self.lambda_critic = lambda_l1, lambda_ssim, lambda_critic
        self.lambda_statistics, self.lr = lambda_statistics, lr
        if teacher_ngf and lambda_statistics and isinstance(self.G, ResNet):
            theirs = [2 * teacher_ngf, *[4 * teacher_ngf] * (len(self.G.tapped) - 2)]
            pairs = zip(self.G.tapped[1:], theirs, strict=True)
            self.W = nn.ModuleList(nn.Linear(2 * ours, 2 * wanted) for ours, wanted in pairs)

    def forward(self, batch: Views) -> Views:
        """Compute G(x); with a teacher whose maps are compared, their statistics are views of two numbers a channel."""
        x = batch["x"]
        if not (self.training and self.compares):
            return {"x": x, "G(x)": self.G(x), "y": batch["y"]}
        assert self.teacher is not None
        ours: list[Tensor] = []
        theirs: list[Tensor] = []
        views: Views = {"x": x, "G(x)": self.G(x, ours), "y": batch["y"]}
        with torch.no_grad():
            self.teacher.generator(x, theirs)
        # of networks with few blocks there are fewer maps
        for k, (W, one, other) in enumerate(zip(self.W, ours[1:], theirs[1:], strict=False)):
            views |= {f"s{k}(G)": W(statistics(one)), f"s{k}(T)": statistics(other)}
        return views

    @property
    def compares(self) -> bool:
        """True if the maps within both networks are compared."""
        return self.teacher is not None and hasattr(self, "W") and isinstance(self.teacher.generator, ResNet)

    def loss(self, v: Views) -> Views:
        made, wanted = v["G(x)"], v["y"]
        terms = {"l1": self.lambda_l1 * l1_loss(wide(made), wide(wanted))}
        if self.lambda_ssim:
            terms["ssim"] = self.lambda_ssim * (1 - ssim(made, wanted).mean())
        if self.lambda_critic and self.teacher is not None and self.teacher.critic is not None:
            with torch.no_grad():
                goals = self.teacher.judged(v["x"], wanted)
            each = zip(self.teacher.judged(v["x"], made), goals, strict=True)
            terms["critic"] = self.lambda_critic * sum(
                (l1_loss(wide(one), wide(other)) for one, other in each), start=torch.zeros((), device=made.device)
            )
        if own := [name for name in v if name.endswith("(T)")]:
            terms["statistics"] = self.lambda_statistics * sum(
                (mse_loss(wide(v[name[:-3] + "(G)"]), wide(v[name])) for name in own),
                start=torch.zeros((), device=made.device),
            )
        return terms

    def players(self) -> dict[str, Player]:
        learning = nn.ModuleList([self.G, self.W]) if hasattr(self, "W") else self.G
        # Adam's own betas: those of the games forget within two steps, and a network without a norm may diverge
        return {"G": Player(learning, self.loss, lr=self.lr, betas=(0.9, 0.999))}

    def exports(self) -> dict[str, nn.Module]:
        return {"a2b": self.G}


def statistics(maps: Tensor) -> Tensor:
    """Return mean and standard deviation of each channel of maps [n, c, h, w]: [n, 2 c]."""
    variance, mean = torch.var_mean(wide(maps), (2, 3), correction=0)
    return cat([mean, (variance + 1e-6).sqrt()], 1)


@contextmanager
def _collected(net: nn.Module) -> Iterator[list[Tensor]]:
    """Collect the results of a network's LeakyReLUs while it runs."""
    maps: list[Tensor] = []
    hooks = [
        module.register_forward_hook(lambda _module, _inputs, result: maps.append(result))
        for module in net.modules()
        if isinstance(module, nn.LeakyReLU)
    ]
    try:
        yield maps
    finally:
        for hook in hooks:
            hook.remove()
