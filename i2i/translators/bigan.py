"""BiGAN: Donahue, Krahenbuhl & Darrell, Adversarial Feature Learning, ICLR 2017 (arXiv:1605.09782)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from i2i.diffaugment import Seen
from i2i.gan import Adversarial
from i2i.networks.bigan import JointDiscriminator
from i2i.spec import Prior
from i2i.translators.base import Player, Translator, Views
from i2i.translators.encoding import Encoding
from i2i.translators.latent import draw


class BiGAN(Encoding):
    """min_{G, E} max_D E_x log D(x, E(x)) + E_z log(1 - D(G(z), z))   (eqs. 2 and 3).

    E and G are one player. It minimises the discriminator's loss with real and generated exchanged (section 3.4),
    which for the objective minimax is that of vanilla. A penalty of the discriminator is one of its slope in (x, z).

    Args:
        in_channels, out_channels: of the images, which are [n, c, h, w] in [-1, 1]; equal.
        domains, attributes: length of a label c, 0 for none, and whether labels can be combined; the data decides.
            With labels there is an export ``any``, see :class:`Encoding`.
        height, width: of the images, even and at least 8; the size of the training crops.
        latent: numbers of z.
        distribution: of z: normal | uniform.
        nef, ngf, ndf: filters of the largest hidden maps of E, G and D.
        hidden: units of D's fully connected layers.
        norm: of the discriminator: batch, as the authors | instance | none. A gradient penalty (constraint gp or r1)
            is one of single images, which batch norm mixes: use instance or none.
        objective, constraint: of the game; see i2i.gan.
        n_critic: steps of the discriminator for each of the others.
        weight_decay: of all networks, added to the gradient.
    """

    authors: ClassVar = {"size": (64, 64), "batch": 128}

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        *,
        domains: int = 0,
        attributes: bool = False,
        height: int = 64,
        width: int = 64,
        latent: int = 50,
        distribution: str = "uniform",
        nef: int = 64,
        ngf: int = 64,
        ndf: int = 64,
        hidden: int = 512,
        norm: str = "batch",
        objective: str = "vanilla",
        constraint: str = "none",
        n_critic: int = 1,
        lr: float = 2e-4,
        weight_decay: float = 2.5e-5,
    ) -> None:
        Translator.__init__(self)
        self.begin(
            Prior(latent, (height, width), distribution), latent, in_channels, Adversarial(objective, constraint),
            domains=domains, attributes=attributes, nef=nef, ngf=ngf, n_critic=n_critic, lr=lr,
        )  # fmt: skip
        D = JointDiscriminator(in_channels, latent, hidden, height=height, width=width, ndf=ndf, norm=norm)
        self.D, self.weight_decay = self.gan.constrain(D), weight_decay

    def forward(self, batch: Views) -> Views:
        x = batch["x"]
        if not self.training:
            return self.shown(x)
        code, z = self.encode(x), draw(self._prior, x)
        return {"x": x, **self.labels_of(batch), "E(x)": code, "z": z, "G(z)": self.G(z)}

    def discriminator_loss(self, v: Views) -> Views:
        real, fake = (v["x"], v["E(x)"].detach()), (v["G(z)"].detach(), v["z"])
        D = self.gan.seen(self.D)
        loss = self.gan.critic_of(D(*real), D(*fake))
        return {"gan": loss, **self.gan.penalty(Seen(self.of_joined), joined(*real), joined(*fake))}

    def of_joined(self, pair: Tensor) -> Tensor:
        """Return D's logits of the pairs that ``joined`` joined."""
        x, z = pair.flatten(1).split([pair.shape[1] - self._prior.length, self._prior.length], 1)
        return self.gan.seen(self.D)(x.unflatten(1, (-1, *self._prior.size)), z)

    def generator_loss(self, v: Views) -> Views:
        D = self.gan.seen(self.D)
        return {"gan": self.gan.critic_of(D(v["G(z)"], v["z"]), D(v["x"], v["E(x)"]))}

    def players(self) -> dict[str, Player]:
        both, decay = nn.ModuleList([self.E, self.G]), {"weight_decay": self.weight_decay}
        return {
            "D": self.player(self.D, self.discriminator_loss, after=self.gan.after(self.D), **decay),
            "EG": self.player(both, self.generator_loss, every=self.n_critic, **decay),
            **self.label_player("E(x)"),
        }


def joined(x: Tensor, z: Tensor) -> Tensor:
    """Return pairs of images [n, c, h, w] and latent vectors [n, latent] as [n, c * h * w + latent, 1, 1]."""
    return torch.cat([x.flatten(1), z.to(x)], 1)[:, :, None, None]
