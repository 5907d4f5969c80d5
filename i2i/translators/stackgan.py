"""StackGAN: Zhang et al., StackGAN: Text to Photo-realistic Image Synthesis with Stacked Generative Adversarial
Networks, ICCV 2017 (arXiv:1612.03242)."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from i2i.gan import Adversarial
from i2i.networks.stackgan import StageI, StageII, TextDiscriminator
from i2i.spec import Prior
from i2i.translators.base import Player, Translator, Views
from i2i.translators.latent import draw, of_seeds

COLUMNS = 6  # drawn images in a row of a sample sheet


class StackGAN(Translator):
    """max_D E log D(x, t) + (E log(1 - D(G(z, c), t)) + E log(1 - D(x, wrong t))) / 2, and
    min_G E log(1 - D(G(z, c), t)) + lambda_kl KL(N(mu, sigma) || N(0, I)), c ~ N(mu(t), sigma(t))   (eqs. 3 to 6).

    The three kinds of pairs are those of Reed et al. 2016 (arXiv:1605.05396), algorithm 1. The authors' embedding of a
    sentence is pretrained to fit its image better than other images; here the discriminator of stage I learns it along
    with the game, and the generator to draw what fits (the sentence's part of eq. 12 and 13 in Xu et al. 2018,
    arXiv:1711.10485). D's logits contain the product of the embeddings of image and sentence as well, a projection
    (Miyato & Koyama 2018, arXiv:1802.05637, equation 3). Without it G drew half of what the sentences said.

    The noise of conditioning augmentation is the last part of z, in training and in use: without it, all images of a
    sentence were nearly equal. Stage II draws larger images from those of a finished stage I, which no longer changes;
    training it starts with ``--from`` and the run of stage I.

    Args:
        in_channels, out_channels: of the images, which are [n, c, h, w] in [-1, 1]; equal.
        vocabulary, words: words of the captions, with spaces between, and the length of a sentence; the data decides.
        height, width: of the images; the size of the training crops.
        stage: 1 | 2.
        scale: 2 | 4, how many times larger stage II draws than stage I.
        latent: numbers of z beside those of the conditions.
        features: numbers of a sentence's embedding, even.
        conditions: numbers of c; as many of z are the noise of c.
        word_dropout: share of the words that are unknown while training.
        ngf, ndf: filters of the largest hidden maps.
        blocks: residual blocks of stage II.
        norm: of the discriminator: batch, as the authors | instance | none.
        objective, constraint: of the game; see i2i.gan.
        lambda_kl: weight of the divergence.
        lambda_match: weight of the fit between each image and its sentence among those of the batch; 0: the game alone.
    """

    data = "captions"
    augment = False
    authors: ClassVar = {"size": (64, 64), "batch": 64}

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        *,
        vocabulary: str = "",
        words: int = 0,
        height: int = 64,
        width: int = 64,
        stage: int = 1,
        scale: int = 4,
        latent: int = 100,
        features: int = 128,
        conditions: int = 128,
        word_dropout: float = 0.05,
        ngf: int = 64,
        ndf: int = 64,
        blocks: int = 4,
        norm: str = "batch",
        objective: str = "vanilla",
        constraint: str = "none",
        lambda_kl: float = 2.0,
        lambda_match: float = 1.0,
        lr: float = 2e-4,
    ) -> None:
        super().__init__()
        if stage not in (1, 2) or scale not in (2, 4):
            raise ValueError(f"stage is {stage} and scale is {scale}; expected stage 1 or 2, and scale 2 or 4")
        if features < 2 or features % 2 or not 0 <= word_dropout < 1:
            raise ValueError(
                f"features is {features} and word_dropout {word_dropout}; expected an even number from 2 on, and "
                "0 to below 1"
            )
        known = tuple(vocabulary.split())
        self._prior = Prior(latent + conditions, (height, width), vocabulary=known, words=words)
        self.lr, self.lambda_kl, self.lambda_match = lr, lambda_kl, lambda_match
        self.gan = Adversarial(objective, constraint, weight=0.5)
        divisor = scale if stage == 2 else 1
        if height % divisor or width % divisor:
            raise ValueError(f"size is {height}x{width}; stage II of scale {scale} draws multiples of {scale} pixels")
        if stage == 2 and (height // scale % 4 or width // scale % 4):
            raise ValueError(
                f"stage II of scale {scale} enlarges {height // scale}x{width // scale} pixels, and takes sides that "
                "4 divides; train stage I again at such a size (--size)"
            )
        first = StageI(
            len(known), latent, out_channels, height=height // divisor, width=width // divisor, features=features,
            conditions=conditions, ngf=ngf, dropout=word_dropout,
        )  # fmt: skip
        self.G: StageI | StageII = first
        if stage == 2:
            self.G = StageII(
                first.requires_grad_(False), out_channels, scale=scale, blocks=blocks, features=features,
                conditions=conditions, ngf=ngf,
            )  # fmt: skip
        self.D = TextDiscriminator(
            in_channels, height=height, width=width, ndf=ndf, norm=norm, features=features, conditions=conditions
        )
        self.gan.constrain(self.D)

    def prior(self) -> Prior:
        return self._prior

    def train(self, mode: bool = True) -> StackGAN:
        """Set the mode of training or evaluation; a finished stage I stays in the latter."""
        super().train(mode)
        if isinstance(self.G, StageII):
            self.G.first.eval()
        return self

    def forward(self, batch: Views) -> Views:
        """Compute G(z, t) of the images' own captions; in evaluation mode, for several seeds."""
        x, text = batch["x"], batch["text"]
        if not self.training:
            seeds = {f"G(z,t,{i})": of_seeds(self._prior, x, i * len(x)) for i in range(COLUMNS)}
            return {"x": x} | {name: self.G(z, text) for name, z in seeds.items()}
        z = draw(self._prior, x)
        image, condition, embedding = self.G.draw(z, text)
        return {
            "x": x, "text": text, "wrong": batch["wrong"], "z": z, "phi(t)": embedding, "G(z,t)": image,
            "kl": condition.kl(),
        }  # fmt: skip

    @property
    def encoder(self) -> nn.Module:
        """The text encoder, which stage I learns."""
        return (self.G if isinstance(self.G, StageI) else self.G.first).encoder

    def discriminator_loss(self, v: Views) -> Views:
        phi, wrong = self.encoder(torch.cat([v["text"], v["wrong"]])).chunk(2)
        maps = self.gan.seen(self.D.body)(v["x"])
        real, mismatch = self.D.judge(maps, phi), self.D.judge(maps, wrong)
        fake = self.gan.seen(self.D)(v["G(z,t)"].detach(), phi)
        return {
            "gan": self.gan.critic_of(real, fake),
            "wrong": self.gan.critic_of(real, mismatch),
            **self.match(maps, phi, v["text"]),
            **self.gan.penalty(partial(self.D, c=phi), v["x"], v["G(z,t)"].detach()),
        }

    def match(self, maps: Tensor, phi: Tensor, text: Tensor) -> Views:
        """Return the cross-entropy of choosing each image's sentence in the batch, and each sentence's image."""
        if not self.lambda_match:
            return {}
        scores, own = self.D.similarity(maps, phi), torch.arange(len(text), device=text.device)
        same = (text[:, None] == text).all(2) & (own[:, None] != own)  # another image's equal sentence is not wrong
        scores = scores.masked_fill(same, -torch.inf)
        return {"match": self.lambda_match * (cross_entropy(scores, own) + cross_entropy(scores.T, own)) / 2}

    def generator_loss(self, v: Views) -> Views:
        phi, maps = v["phi(t)"], self.gan.seen(self.D.body)(v["G(z,t)"])
        return {
            "gan": self.gan.generator_of(self.D.judge(maps, phi), partial(self.gan.seen(self.D), v["x"], phi)),
            "kl": self.lambda_kl * v["kl"],
            **self.match(maps, phi, v["text"]),
        }

    def players(self) -> dict[str, Player]:
        if isinstance(self.G, StageI):
            critic, generator = nn.ModuleList([self.D, self.encoder]), nn.ModuleList([self.G.augmentation, self.G.net])
        else:
            critic = nn.ModuleList([self.D])
            generator = nn.ModuleList(net for name, net in self.G.named_children() if name != "first")
        return {
            "D": Player(critic, self.discriminator_loss, lr=self.lr, after=self.gan.after(self.D)),
            "G": Player(generator, self.generator_loss, lr=self.lr),
        }

    def exports(self) -> dict[str, nn.Module]:
        return {"generate": self.G}

    def foundations(self) -> dict[str, nn.Module]:
        return {"generate": self.G.first} if isinstance(self.G, StageII) else {}
