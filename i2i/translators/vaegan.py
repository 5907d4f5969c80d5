"""VAE-GAN: Larsen, Sonderby, Larochelle & Winther, Autoencoding beyond pixels using a learned similarity metric,
ICML 2016 (arXiv:1512.09300)."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from i2i.gan import Adversarial, wide
from i2i.networks.dcgan import DCGANDiscriminator
from i2i.spec import Prior
from i2i.translators.base import Player, Translator, Views
from i2i.translators.encoding import Encoding
from i2i.translators.latent import draw


class VAEGAN(Encoding):
    """Three players, as in algorithm 1; E is N(mu(x), sigma(x)^2), and z~ is drawn from it:

        E minimises  L_prior + L_llike
        G minimises  gamma L_llike - L_GAN
        D maximises  L_GAN = log D(x) + (log(1 - D(G(z~))) + log(1 - D(G(z)))) / 2   (eq. 11)

        L_prior = KL(N(mu(x), sigma(x)^2) || N(0, I))   (eq. 5)
        L_llike = |D_l(x) - D_l(G(z~))|^2 / 2, a Gaussian likelihood of D's l-th hidden map D_l   (eqs. 8 and 9)

    L_prior and L_llike are sums over the elements of an image and means over images. The paper adds both kinds of
    generated images at full weight; here each has a half, so that D weighs real and generated images equally, without
    which a Wasserstein critic has no bound. All three gradients are those before the step, since E's and G's losses
    only use networks that move later.

    Args:
        in_channels, out_channels: of the images, which are [n, c, h, w] in [-1, 1]; equal.
        domains, attributes: length of a label c, 0 for none, and whether labels can be combined; the data decides.
            With labels there is an export ``any``, see :class:`Encoding`.
        height, width: of the images, even and at least 8; the size of the training crops.
        latent: numbers of z.
        nef, ngf, ndf: filters of the largest hidden maps of E, G and D.
        norm: of the discriminator: batch, as the authors | instance | none. A gradient penalty (constraint gp or r1)
            is one of single images, which batch norm mixes: use instance or none.
        layer: the convolution of D, from 1, after which images are compared; 0: the last.
        objective, constraint: of the game; see i2i.gan.
        gamma: weight of the likelihood in the decoder's loss. It is larger than the authors' (1e-5 to 5e-5, with
            RMSProp in the place of Adam, and a later layer), so reconstructions count for more.
        lambda_prior: weight of L_prior, 1 in the paper; where encodings lie far from N(0, I), so that images drawn from
            it or around a mean are worse than reconstructions, raise it.
        n_critic: steps of the discriminator for each of the others.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        *,
        domains: int = 0,
        attributes: bool = False,
        height: int = 64,
        width: int = 64,
        latent: int = 128,
        nef: int = 64,
        ngf: int = 64,
        ndf: int = 64,
        norm: str = "batch",
        layer: int = 2,
        objective: str = "vanilla",
        constraint: str = "none",
        gamma: float = 5e-3,
        lambda_prior: float = 1.0,
        n_critic: int = 1,
        lr: float = 2e-4,
    ) -> None:
        Translator.__init__(self)
        self.begin(
            Prior(latent, (height, width)), 2 * latent, in_channels, Adversarial(objective, constraint),
            domains=domains, attributes=attributes, nef=nef, ngf=ngf, n_critic=n_critic, lr=lr,
        )  # fmt: skip
        D = DCGANDiscriminator(in_channels, height=height, width=width, ndf=ndf, norm=norm)
        ends = [i + 1 for i, module in enumerate(D.body) if isinstance(module, nn.LeakyReLU)]
        if not 0 <= layer <= len(ends):
            raise ValueError(f"layer is {layer}; at this size of images it is 1 to {len(ends)}, or 0 for the last")
        self.gamma, self.lambda_prior, self.end = gamma, lambda_prior, ends[layer - 1]
        self.gan.constrain(D)
        self.D = D

    def forward(self, batch: Views) -> Views:
        """Compute the posterior's parameters, z~ and z, and the images of both, which have no gradient to E."""
        x = batch["x"]
        if not self.training:
            return self.shown(x)
        mu, log_variance = wide(self.E(x)).chunk(2, 1)
        code = mu + (log_variance / 2).exp() * draw(self._prior, x)
        z = draw(self._prior, x)
        rec, fake = self.G(torch.cat([code.detach(), z])).chunk(2)
        views = {"x": x, **self.labels_of(batch), "mu(x)": mu, "log sigma^2(x)": log_variance, "z~": code, "z": z}
        return views | {"G(z~)": rec, "G(z)": fake}

    def judge(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return D's logits of images, and its hidden map D_l."""
        hidden = self.D.body[: self.end](x)
        return self.D.head(self.D.body[self.end :](hidden).flatten(1)), hidden

    def encoder_loss(self, v: Views) -> Views:
        x, rec = self.gan.augment(v["x"], self.G(v["z~"]))  # alike, since they are compared
        return {
            "prior": self.lambda_prior * kl(v["mu(x)"], v["log sigma^2(x)"]),
            "llike": distance(self.judge(x)[1].detach(), self.judge(rec)[1]),
        }

    def decoder_loss(self, v: Views) -> Views:
        x, rec = self.gan.augment(v["x"], v["G(z~)"])
        (scores, hidden), real = self.judge(rec), partial(self.D, x)
        return {
            "llike": self.gamma * distance(self.judge(x)[1].detach(), hidden),
            "gan": (self.gan.generator_of(scores, real) + self.gan.generator(self.D, v["G(z)"], v["x"])) / 2,
        }

    def discriminator_loss(self, v: Views) -> Views:
        real, rec, fake = v["x"], v["G(z~)"].detach(), v["G(z)"].detach()
        D = self.gan.seen(self.D)
        scores = D(real)
        loss = (self.gan.critic_of(scores, D(rec)) + self.gan.critic_of(scores, D(fake))) / 2
        half = len(rec) // 2
        return {"gan": loss, **self.gan.penalty(self.D, real, torch.cat([rec[:half], fake[half:]]))}

    def players(self) -> dict[str, Player]:
        return {
            "E": self.player(self.E, self.encoder_loss, every=self.n_critic),
            "G": self.player(self.G, self.decoder_loss, every=self.n_critic),
            "D": self.player(self.D, self.discriminator_loss, after=self.gan.after(self.D)),
            **self.label_player("mu(x)"),
        }


def kl(mu: Tensor, log_variance: Tensor) -> Tensor:
    """Return KL(N(mu, sigma^2) || N(0, I)) of [n, latent], summed over elements and averaged over images."""
    mu, log_variance = wide(mu), wide(log_variance)
    return (mu.square() + log_variance.exp() - 1 - log_variance).sum(1).mean() / 2


def distance(real: Tensor, fake: Tensor) -> Tensor:
    """Return |real - fake|^2 / 2, summed over the elements of an image and averaged over images."""
    return (wide(real) - wide(fake)).square().flatten(1).sum(1).mean() / 2
