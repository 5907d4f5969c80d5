"""Translators by name: one paper, one file, one row here."""

from __future__ import annotations

from importlib import import_module

from i2i.translators.base import Player, Translator, Views

__all__ = ["TRANSLATORS", "Player", "Translator", "Views", "translator_class"]

TRANSLATORS = {
    "pix2pix": "i2i.translators.pix2pix:Pix2Pix",
    "cyclegan": "i2i.translators.cyclegan:CycleGAN",
    "pix2pixhd": "i2i.translators.pix2pixhd:Pix2PixHD",
    "stargan": "i2i.translators.stargan:StarGAN",
    "cut": "i2i.translators.cut:CUT",
    "fastcut": "i2i.translators.cut:FastCUT",
    "enco": "i2i.translators.enco:EnCo",
    "hneg": "i2i.translators.hneg:HnegSRC",
    "monce": "i2i.translators.monce:MoNCE",
    "dclgan": "i2i.translators.dclgan:DCLGAN",
    "unit": "i2i.translators.unit:UNIT",
    "munit": "i2i.translators.munit:MUNIT",
    "direct": "i2i.translators.direct:Direct",
    "dtn": "i2i.translators.dtn:DTN",
    "distill": "i2i.translators.distill:Distill",
    "gan": "i2i.translators.gan:GAN",
    "dcgan": "i2i.translators.dcgan:DCGAN",
    "vaegan": "i2i.translators.vaegan:VAEGAN",
    "bigan": "i2i.translators.bigan:BiGAN",
    "energy": "i2i.translators.energy:Energy",
    "began": "i2i.translators.began:BEGAN",
    "infogan": "i2i.translators.infogan:InfoGAN",
    "stackgan": "i2i.translators.stackgan:StackGAN",
}


def translator_class(method: str) -> type[Translator]:
    """Return the class of a method by name, or a user's class by its dotted path, ``package.module:Class``.

    Raises ValueError if there is none.
    """
    path = TRANSLATORS.get(method, method)
    module, _, name = path.partition(":")
    if not name:
        raise ValueError(
            f"method is {method!r}; choose one of {', '.join(TRANSLATORS)}, "
            "or give your own class as package.module:Class"
        )
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"method {method!r} cannot be imported: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Translator)):
        raise ValueError(f"method {method!r} is no Translator; see i2i.translators.base")
    return found
