"""One row for each translator: what its paper says it does, and how to make it small enough to be done many times.

A new translator is a line in TRANSLATORS and a row here; all tests of translators, runs and exports then hold for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from i2i.translators import Translator, Views, translator_class

AUGMENT = "crop,flip,colour:0.2,rotate:10,scale:0.8..1.2,cutout:0.25"
DOMAINS = 3
"""Domains of a translator between many."""


@dataclass(frozen=True)
class Case:
    """Expected properties of one translator."""

    small: dict[str, Any]
    """Its hyper-parameters: tiny networks, every player moving at every step."""
    terms: set[str]
    """Terms of a step, as "G/l1": exactly the paper's, without penalties."""
    views: list[str]
    """Views of a step, in order; images are [n, c, h, w] in [-1, 1]."""
    exports: set[str] = field(default_factory=lambda: {"a2b"})
    alike: set[str] = field(default_factory=set)
    """The terms that there are only where both domains have as many channels."""
    shown: list[str] | None = None
    """The images in evaluation mode, where they are others than in training."""
    run: dict[str, Any] = field(default_factory=dict)
    """Further settings and hyper-parameters of a tiny run: everything random switched on."""


CASES = {
    "pix2pix": Case(
        small={"generator": "unet_32", "discriminator": "patch_1", "ngf": 2, "ndf": 2},
        terms={"D/gan", "G/gan", "G/l1"},
        views=["x", "G(x)", "y"],
        run={"generator": "unet_64", "size": 64, "norm": "instance"},  # the least depth that has dropout
    ),
    "pix2pixhd": Case(
        small={"generator": "global_1", "downs": 2, "discriminator": "patch_1x2", "ngf": 2, "ndf": 2},
        terms={"D/gan", "G/gan", "G/fm"},
        views=["x", "G(x)", "y"],
    ),
    "cyclegan": Case(
        small={"generator": "resnet_1", "discriminator": "patch_1", "ngf": 2, "ndf": 2, "pool": 2},
        terms={
            "G/gan_G", "G/gan_F", "G/cycle_x", "G/cycle_y", "G/identity_x", "G/identity_y", "D/gan_X", "D/gan_Y",
        },
        views=["x", "G(x)", "y", "F(y)", "F(G(x))", "G(F(y))", "G(y)", "F(x)"],
        exports={"a2b", "b2a"},
        alike={"G/identity_x", "G/identity_y"},
        run={"pool": 3, "dropout": True},
    ),
    "stargan": Case(
        small={
            "generator": "stargan_1", "discriminator": "stargan_3", "ngf": 2, "ndf": 2, "image_size": 32, "n_critic": 1,
        },
        terms={"D/gan", "D/cls", "G/gan", "G/cls", "G/rec"},
        views=["x", "c", "c'", "G(x,c')"],
        exports={"any"},
        shown=["x", "G(x,0)", "G(x,1)", "G(x,2)", "G(G(x,2),c)"],
        run={"n_critic": 2},
    ),
    "cut": Case(
        small={"generator": "resnet_1", "discriminator": "patch_1", "ngf": 2, "ndf": 2, "patches": 50},
        terms={"D/gan", "G/gan", "G/nce", "G/nce_y"},
        views=["x", "G(x)", "y", "G(y)", "z", "s"],
        alike={"G/nce_y"},
        run={"dropout": True, "flip_equivariance": True},
    ),
    "fastcut": Case(
        small={"generator": "resnet_1", "discriminator": "patch_1", "ngf": 2, "ndf": 2, "patches": 50},
        terms={"D/gan", "G/gan", "G/nce"},
        views=["x", "G(x)", "y", "z", "s"],
        run={"generator": "mobile_resnet_1"},
    ),
    "enco": Case(
        small={"generator": "resnet_1", "discriminator": "patch_1", "ngf": 2, "ndf": 2, "patches": 50},
        terms={"D/gan", "G/gan", "G/enco", "G/idt"},
        views=["x", "G(x)", "y", "G(y)", "d(0)", "d(1)", "d(2)", "u(0)", "u(1)", "u(2)"],
        alike={"G/idt"},
        shown=["x", "G(x)", "y"],
        run={"dropout": True, "generator": "mobile_resnet_1"},
    ),
    "hneg": Case(
        small={"generator": "resnet_1", "discriminator": "patch_1", "ngf": 2, "ndf": 2, "patches": 50},
        terms={"D/gan", "G/gan", "G/nce", "G/nce_y", "G/src"},
        views=["x", "G(x)", "y", "G(y)", "z", "s"],
        alike={"G/nce_y"},
        run={"dropout": True, "flip_equivariance": True},
    ),
    "monce": Case(
        small={"generator": "resnet_1", "discriminator": "patch_1", "ngf": 2, "ndf": 2, "patches": 50},
        terms={"D/gan", "G/gan", "G/nce", "G/nce_y"},
        views=["x", "G(x)", "y", "G(y)", "z", "s"],
        alike={"G/nce_y"},
    ),
    "dclgan": Case(
        small={"generator": "resnet_1", "discriminator": "patch_1", "ngf": 2, "ndf": 2, "patches": 50, "pool": 2},
        terms={"G/gan_G", "G/gan_F", "G/nce_x", "G/nce_y", "G/idt_x", "G/idt_y", "D/gan_X", "D/gan_Y"},
        views=["x", "G(x)", "y", "F(y)", "G(y)", "F(x)", "s(x)", "z(x)", "s(y)", "z(y)"],
        exports={"a2b", "b2a"},
        alike={"G/idt_x", "G/idt_y"},
        run={"pool": 3, "dropout": True},
    ),
    "unit": Case(
        small={"ngf": 2, "ndf": 2, "blocks": 1, "discriminator": "unit_2"},
        terms={
            f"{term}_{i}"
            for term in ("D/gan", "G/gan", "G/kl", "G/reconstruction", "G/kl_cycle", "G/cycle")
            for i in (1, 2)
        },
        views=[
            "x", "x->y", "y", "y->x", "x->x", "y->y", "x->y->x", "y->x->y", "mu(x)", "mu(y)", "mu(x->y)", "mu(y->x)",
        ],
        exports={"a2b", "b2a", "a2a", "b2b"},
        run={"shared": 2},
    ),
    "munit": Case(
        small={"ngf": 2, "ndf": 2, "blocks": 1, "style": 3, "hidden": 4, "scales": 2, "layers": 2},
        terms={
            "D/gan_x", "D/gan_y", "G/gan_x", "G/gan_y", "G/recon_x", "G/recon_y", "G/content_x", "G/content_y",
            "G/style_x", "G/style_y",
        },
        views=[
            "x", "x->y", "y", "y->x", "x->x", "y->y", "c(x)", "c(y)", "c(x->y)", "c(y->x)", "s_x", "s_y", "s(y->x)",
            "s(x->y)",
        ],
        exports={"a2b", "b2a"},
        shown=[
            "x", "x->y(0)", "x->y(1)", "x->y(2)", "x->y(y)", "y", "y->x(0)", "y->x(1)", "y->x(2)", "y->x(x)",
        ],
        run={"lambda_cyc": 1.0},
    ),
    "direct": Case(
        small={"generator": "resnet_1", "discriminator": "patch_1", "ngf": 2, "ndf": 2, "pool": 2},
        terms={"G/gan", "D/gan"},
        views=["x", "G(x)", "y"],
        run={"pool": 3, "dropout": True},
    ),
    "gan": Case(
        small={"height": 32, "width": 32, "latent": 4, "hidden": 8},
        terms={"D/gan", "G/gan"},
        views=["x", "z", "G(z)"],
        exports={"generate"},
        shown=["x", *(f"G(z,{i})" for i in range(8))],
        run={"n_critic": 2},
    ),
    "dcgan": Case(
        small={"height": 32, "width": 32, "latent": 4, "ngf": 2, "ndf": 2},
        terms={"D/gan", "G/gan"},
        views=["x", "z", "G(z)"],
        exports={"generate"},
        shown=["x", *(f"G(z,{i})" for i in range(8))],
        run={"n_critic": 2},
    ),
    "began": Case(
        small={"height": 32, "width": 32, "latent": 4, "filters": 2},
        terms={"D/real", "D/fake", "G/gan", "G/M"},
        views=["x", "z", "G(z)"],
        exports={"generate"},
        shown=["x", "D(x)", *(f"G(z,{i})" for i in range(8))],
        run={"lambda_k": 0.1},
    ),
    "infogan": Case(
        small={"height": 32, "width": 32, "latent": 4, "ngf": 2, "ndf": 2, "codes": "digit=4,width,slant"},
        terms={f"{player}/{term}" for player in "DG" for term in ("gan", "info_digit", "info_width", "info_slant")},
        views=["x", "z", "G(z)"],
        exports={"generate"},
        shown=["x", *(f"G(z,digit={i})" for i in range(4))],
        run={"n_critic": 2, "noise": 0.1, "balance": 0.5},
    ),
    "stackgan": Case(
        small={
            "vocabulary": "a house red", "words": 4, "height": 32, "width": 32, "latent": 4, "features": 8,
            "conditions": 4, "ngf": 2, "ndf": 2,
        },
        terms={"D/gan", "D/wrong", "D/match", "G/gan", "G/kl", "G/match"},
        views=["x", "text", "wrong", "z", "phi(t)", "G(z,t)", "kl"],
        exports={"generate"},
        shown=["x", *(f"G(z,t,{i})" for i in range(6))],
    ),
    "distill": Case(
        small={"generator": "resnet_1", "ngf": 2},
        terms={"G/l1", "G/ssim"},
        views=["x", "G(x)", "y"],
        run={"generator": "mobile_resnet_1", "residual": True},
    ),
    "dtn": Case(
        small={"generator": "resnet_1", "discriminator": "patch_1", "ngf": 2, "ndf": 2, "nef": 2, "features": 2},
        terms={"D/gan", "G/gan", "G/const", "G/tid", "f/rec_x", "f/rec_y"},
        views=["x", "G(x)", "y", "G(y)"],
        alike={"G/tid"},
    ),
    "vaegan": Case(
        small={"height": 32, "width": 32, "latent": 4, "nef": 2, "ngf": 2, "ndf": 2},
        terms={"E/prior", "E/llike", "G/llike", "G/gan", "D/gan"},
        views=["x", "mu(x)", "log sigma^2(x)", "z~", "z", "G(z~)", "G(z)"],
        exports={"generate"},
        shown=["x", "G(E(x))", *(f"G(z,{i})" for i in range(4))],
        run={"n_critic": 2},
    ),
    "bigan": Case(
        small={"height": 32, "width": 32, "latent": 4, "nef": 2, "ngf": 4, "ndf": 2, "hidden": 8},
        terms={"EG/gan", "D/gan"},
        views=["x", "E(x)", "z", "G(z)"],
        exports={"generate"},
        shown=["x", "G(E(x))", *(f"G(z,{i})" for i in range(4))],
        run={"n_critic": 2},
    ),
    "energy": Case(
        small={"height": 32, "width": 32, "ndf": 2, "langevin": 3, "pool": 3},
        terms={"D/gan", "D/l2"},
        views=["x", "x~"],
        exports={"energy"},
        shown=["x", "x~", "pool"],
    ),
}  # fmt: skip


def make(method: str, x: int = 3, y: int = 3, **options: Any) -> Translator:
    """A small translator with the same first weights every time."""
    torch.manual_seed(0)
    made = translator_class(method)
    many = {"domains": DOMAINS, "attributes": False} if made.data == "domains" else {}
    return made(x, y, **(many | CASES[method].small | options))


def batch(method: str, x: int = 3, y: int = 3, n: int = 2, size: int = 32, labelled: bool = False) -> Views:
    """Return a batch of the method's kind of data: noise, the same every time."""
    generator = torch.Generator().manual_seed(1)
    images = {name: torch.rand(n, c, size, size, generator=generator) * 2 - 1 for name, c in (("x", x), ("y", y))}
    data = translator_class(method).data
    if data == "domains" or labelled:
        return {"x": images["x"], "c": torch.eye(DOMAINS)[torch.arange(n) % DOMAINS]}
    if data == "captions":
        return {"x": images["x"], "text": texts(n), "wrong": texts(n, 1)}
    return images if data in ("pairs", "unpaired") else {"x": images["x"]}


def texts(n: int, start: int = 0) -> torch.Tensor:
    """Return token ids [n, 4]: sentences of all words, and of an unknown one."""
    return torch.tensor([[2, 3, 4, 0], [2, 1, 4, 3], [3, 0, 0, 0]])[(torch.arange(n) + start) % 3]


def one_set(method: str) -> bool:
    """True if a method has one set of images, so that both sides have as many channels."""
    return translator_class(method).data not in ("pairs", "unpaired")


def tiny_run(method: str) -> dict[str, Any]:
    """Return settings and hyper-parameters of a short run."""
    augment = {
        "augment": AUGMENT,
        "diff_augment": "none" if method in ("began", "distill") else "colour,translation,cutout",
    }
    return {"size": 32, "batch": 2, "precision": "fp32", **augment, **CASES[method].small, **CASES[method].run}
