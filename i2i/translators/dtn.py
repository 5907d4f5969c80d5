"""DTN, the domain transfer network: Taigman, Polyak & Wolf, Unsupervised Cross-Domain Image Generation, ICLR 2017
(arXiv:1611.02200)."""

from __future__ import annotations

import hashlib
from importlib import import_module
from typing import ClassVar

from torch import Tensor, nn, uint8
from torch.nn.functional import l1_loss, mse_loss

from i2i import networks
from i2i.gan import Adversarial, wide
from i2i.networks.autoencoder import Autoencoder
from i2i.translators.base import Player, Translator, Views

TRAINED = "trained"


class DTN(Translator):
    """L = L_GAN(G, D) + alpha L_CONST(G) + beta L_TID(G), L_CONST = E_x d(f(x), f(G(x))), L_TID = E_y d(y, G(y)).

    G: X -> Y keeps the features f of an image, and leaves images of Y unchanged; d is the mean squared error.
    This is the paper's first formulation, any generator with any discriminator, and the L_TID of its second. The rest
    of that, G built on top of f and a D that tells G(x), G(y) and y apart, needs an f that was trained on labels.

    Args:
        in_channels, out_channels: of X and Y, whose images are [n, c, h, w] in [-1, 1].
        encoder: ``trained``: f is the first half of an autoencoder, a player of its own that learns to reconstruct
            both domains and nothing else, so that no feature is lost to make L_CONST easy. It sees grey where X and Y
            differ in channels. Or ``package.module:function``, which is called without arguments and returns f, a
            module of images [n, c, h, w] in [-1, 1] of both domains. It is frozen, and no part of the run: the
            function must return the same f each time, and a run that goes on with another one is refused.
        features: of each of the places, 16 pixels apart, that the trained f looks at.
        generator: resnet_9 at 256 pixels, resnet_6 at 128; or unet_N.
        discriminator: patch_3 sees 70x70 pixels; patch_N or pixel.
        ngf, ndf, nef: filters of the first layers of G, D and the autoencoder.
        norm: instance | batch | group | layer | none; group and layer keep the colour of flat images.
        upsample: deconv | resize, free of checkerboards.
        residual: G adds to its input, which it returns at first; from grey or equal channels.
        objective, constraint: of the game; see i2i.gan.
        lambda_const: alpha; the paper has 15 for digits, 100 for faces.
        lambda_tid: beta; the paper has 15 and 1. Off by itself where X and Y differ in channels.
    """

    data = "unpaired"
    authors: ClassVar = {}

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        *,
        encoder: str = TRAINED,
        features: int = 64,
        generator: str = "resnet_9",
        discriminator: str = "patch_3",
        ngf: int = 64,
        ndf: int = 64,
        nef: int = 64,
        norm: str = "instance",
        upsample: str = "deconv",
        residual: bool = False,
        objective: str = "vanilla",
        constraint: str = "none",
        lambda_const: float = 15.0,
        lambda_tid: float = 15.0,
        lr: float = 2e-4,
    ) -> None:
        super().__init__()
        self.gan, self.lr = Adversarial(objective, constraint), lr
        self.alike, self.lambda_const = in_channels == out_channels, lambda_const
        self.lambda_tid = lambda_tid if self.alike else 0.0
        options = {"ngf": ngf, "norm": norm, "upsample": upsample, "residual": residual}
        self.G = networks.generator(generator, in_channels, out_channels, **options)
        self.D = self.gan.constrain(networks.discriminator(discriminator, out_channels, ndf=ndf, norm=norm))
        self.encoder, self.fingerprint = encoder, ""
        if encoder == TRAINED:
            self.A = Autoencoder(in_channels if self.alike else 1, features=features, nf=nef, norm=norm)

    def forward(self, batch: Views) -> Views:
        x, y = batch["x"], batch["y"]
        v = {"x": x, "G(x)": self.G(x), "y": y}
        return v | ({"G(y)": self.G(y)} if self.lambda_tid else {})

    def f(self, image: Tensor) -> Tensor:
        """Return the features of images of either domain."""
        return wide(self.A.encode(self.seen(image)) if self.encoder == TRAINED else self.given[0](image))

    def seen(self, image: Tensor) -> Tensor:
        """Return the autoencoder's view of an image: all of it, or grey [n, 1, h, w]."""
        return image if self.alike else image[:, :3].mean(1, keepdim=True)

    def generator_loss(self, v: Views) -> Views:
        terms = {
            "gan": self.gan.generator(self.D, v["G(x)"], v["y"]),
            "const": self.lambda_const * mse_loss(self.f(v["G(x)"]), self.f(v["x"])),
        }
        if self.lambda_tid:
            terms["tid"] = self.lambda_tid * mse_loss(wide(v["G(y)"]), v["y"])
        return terms

    def discriminator_loss(self, v: Views) -> Views:
        return {
            "gan": self.gan.critic(self.D, v["y"], v["G(x)"]),
            **self.gan.penalty(self.D, v["y"], v["G(x)"]),
        }

    def encoder_loss(self, v: Views) -> Views:
        x, y = self.seen(v["x"]), self.seen(v["y"])
        return {"rec_x": l1_loss(self.A(x), x), "rec_y": l1_loss(self.A(y), y)}

    def players(self) -> dict[str, Player]:
        players = {
            "D": Player(self.D, self.discriminator_loss, lr=self.lr, after=self.gan.after(self.D)),
            "G": Player(self.G, self.generator_loss, lr=self.lr),
        }
        if self.encoder == TRAINED:
            return players | {"f": Player(self.A, self.encoder_loss, lr=self.lr)}
        # Only for play, and held where the translator's state and its train() do not reach: what it shipped can be
        # loaded where f is not installed.
        found = given_encoder(self.encoder)
        self.fingerprint, self.given = fingerprint(found), (found.to(next(self.G.parameters())),)
        return players

    def get_extra_state(self) -> dict[str, str]:
        return {"encoder": self.fingerprint}

    def set_extra_state(self, state: dict[str, str]) -> None:
        """Raise ValueError if the given encoder is not the one of the state."""
        if self.fingerprint and state["encoder"] not in ("", self.fingerprint):
            raise ValueError(f"encoder {self.encoder!r} returned other weights than those that this run began with")

    def exports(self) -> dict[str, nn.Module]:
        return {"a2b": self.G}

    def critics(self) -> dict[str, nn.Module]:
        return {"a2b": self.D}


def given_encoder(path: str) -> nn.Module:
    """Return the module that the function at a dotted path returns, frozen. Raises ValueError where there is none."""
    module, _, name = path.partition(":")
    if not name:
        raise ValueError(f"encoder is {path!r}; expected {TRAINED}, or package.module:function that returns a module")
    try:
        function = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"encoder {path!r} cannot be imported: {error}") from error
    found = function()  # whose errors are its own
    if not isinstance(found, nn.Module):
        raise ValueError(f"encoder {path!r} returned {type(found).__name__}; expected an nn.Module of images")
    return found.requires_grad_(False).eval()


def fingerprint(net: nn.Module) -> str:
    """Return a hash of a network's weights, on any device."""
    known = hashlib.sha256()
    for name, tensor in net.state_dict().items():
        known.update(name.encode() + tensor.detach().cpu().reshape(-1).contiguous().view(uint8).numpy().tobytes())
    return known.hexdigest()
