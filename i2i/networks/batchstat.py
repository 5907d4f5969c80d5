"""The discriminator of UVCGAN2 (Torbunov et al. 2023, arXiv:2303.16280, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from i2i.networks.blocks import has_bias, initialise, leaky_relu
from i2i.networks.patchgan import PatchGAN

Share = float | Tensor


class BatchStatGAN(nn.Module):
    """Patch discriminator that compares the features of an image with those of others of its kind.

    The last map of a PatchGAN's body and those of the ``past`` batches before, real or generated ones, are normalised
    together, and a head of two convolutions classifies the present ones: a generator whose images are all alike is
    found out at batch 1. The past maps pass no gradient and are part of the module's state.

    Args:
        in_channels, layers, ndf, norm: as of ``PatchGAN``; ``norm`` is that of the body.
        antialias: as of ``PatchGAN``.
        past: batches whose features are kept, of each kind.

    Returns logits [n, 1, h', w'], no sigmoid.
    """

    remembers = True

    def __init__(
        self,
        in_channels: int = 3,
        layers: int = 3,
        ndf: int = 64,
        norm: str = "instance",
        antialias: bool = False,
        past: int = 3,
    ) -> None:
        super().__init__()
        whole = PatchGAN(in_channels, layers, ndf, norm, antialias)
        width = whole.model[-1].in_channels
        assert isinstance(width, int)
        self.body, self.smallest, self.past = whole.model[:-1], whole.smallest, past
        self.together = nn.BatchNorm2d(width, track_running_stats=False)
        self.head = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=has_bias("instance")),
            leaky_relu(),
            nn.Conv2d(width, 1, 4, padding=1),
        )
        initialise(self.head)
        self.kept: dict[str, list[Tensor]] = {}
        self.compared: dict[str, list[Tensor]] = {}  # with what the images that were kept last were compared
        self.moved: set[str] = set()  # kinds whose images of this step are kept already

    def begin_step(self) -> None:
        """Begin a training step: what is kept from now on are images of this step."""
        self.moved = set()

    def forward(self, x: Tensor, kind: str | Share | None = None, keep: bool = False) -> Tensor:
        """Return logits; ``kind`` is "real" or "fake", and None compares the images of the batch alone.

        With ``keep`` the features are kept, in the place of the oldest ones; later in that step, images are compared
        with what these were compared with, and not with themselves. A penalty gives the share of the real image in each
        image that it makes, a number or [n, 1, 1, 1]: the images are compared with the past maps that the game has just
        been played with, mixed alike. Raises ValueError for images smaller than one patch.
        """
        if min(x.shape[-2:]) < self.smallest:
            raise ValueError(
                f"the discriminator needs images of at least {self.smallest} x {self.smallest} pixels, and these are "
                f"{x.shape[-1]} x {x.shape[-2]}: train on larger ones (--size), or set fewer layers "
                "(--set discriminator=batchstat_1)"
            )
        present = self.body(x)
        if isinstance(kind, str):
            past = self.compared if kind in self.moved and not keep else self.kept
            before = [map.to(present) for map in past.get(kind, []) if map.shape[1:] == present.shape[1:]]
            if keep and self.training:
                self.kept[kind] = [*before, present.detach()][-self.past :] if self.past else []
                self.compared[kind] = before
                self.moved.add(kind)
        else:
            before = [] if kind is None else self._mixed(kind, present)
        return self.head(self.together(torch.cat([present, *before]))[: len(x)])

    def _mixed(self, share: Share, present: Tensor) -> list[Tensor]:
        pairs = zip(self.compared.get("real", []), self.compared.get("fake", []), strict=False)
        return [
            (share * real + (1 - share) * fake).to(present)
            for real, fake in pairs
            if real.shape == fake.shape == present.shape
        ]

    def get_extra_state(self) -> dict[str, Any]:
        return {kind: [map.cpu() for map in maps] for kind, maps in self.kept.items()}

    def set_extra_state(self, state: dict[str, Sequence[Tensor]]) -> None:
        self.kept = {kind: [map.clone() for map in maps] for kind, maps in state.items()}
