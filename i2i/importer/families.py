"""Known third-party networks: one row per family, recognised by the names and shapes of its tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from i2i.engine.weights import AVERAGED, IMAGE

Shapes = Mapping[str, tuple[int, ...]]

HALVING, DOUBLING = (0.25, 0.5, 0.25), (0.25, 0.75, 0.75, 0.25)  # CUT's filters, in one of the two directions


class Guess(NamedTuple):
    """A network of ``i2i.networks`` that a file's shapes suggest, and the authors' names of its layers."""

    network: str
    """Name for ``networks.generator`` or, for a discriminator, ``networks.discriminator``."""
    in_channels: int
    out_channels: int
    options: dict[str, Any]
    layers: list[str]
    """The authors' names of the layers with weights, in the order of ours."""
    filters: Mapping[str, tuple[int, tuple[float, ...]]] = MappingProxyType({})
    """Constant filters that are stored with the weights: key -> (channels, the filter in one direction)."""


class Family(NamedTuple):
    """Networks of one layout. ``guess`` never fails: what the shapes do not determine is the authors' default."""

    title: str
    guess: Callable[[Shapes], Guess]
    discriminator: bool = False
    """True for a discriminator, which makes no images."""
    statistics: str = IMAGE
    """Batch norm statistics in use: each image's, where the authors train at batch 1, or running averages."""


def _size(shapes: Shapes, key: str, axis: int, default: int) -> int:
    shape = shapes.get(key, ())
    return max(shape[axis], 1) if len(shape) > axis else default


def _norm(shapes: Shapes, conv: str, norm: str) -> str:
    """Return the norm after layer ``conv``: batch norm has weights; before instance norm a convolution has a bias."""
    if len(shapes.get(f"{norm}.weight", ())) == 1:
        return "batch"
    return "instance" if f"{conv}.bias" in shapes else "none"


def _numbers(shapes: Shapes, before: str, after: str) -> list[int]:
    """Return the sorted numbers N of the keys ``before`` N ``after``."""
    found = [key for key in shapes if key.startswith(before) and key.endswith(after)]
    numbers = {key.removeprefix(before).removesuffix(after) for key in found}
    return sorted(int(number) for number in numbers if number.isdecimal())


def _resnet(shapes: Shapes, downs: int, norm: str, antialias: bool) -> tuple[int, bool, list[str]]:
    """Return the number of blocks, True if they have dropout, and the layers of a ResNet, whose numbers count all
    modules.
    """
    blocks = max(len(_numbers(shapes, "model.", ".conv_block.1.weight")), 1)
    dropout = any(key.endswith(".conv_block.6.weight") and len(shape) == 4 for key, shape in shapes.items())
    second = 6 if dropout else 5  # dropout moves the second convolution

    def normed(prefix: str, at: int) -> Iterator[str]:
        yield f"{prefix}.{at}"
        if norm == "batch":
            yield f"{prefix}.{at + 1}"

    def layers() -> Iterator[str]:
        yield from normed("model", 1)  # 0 is the padding, 2 the normalisation, 3 the ReLU
        at = 4
        for _ in range(downs):
            yield from normed("model", at)
            at += 3 + antialias
        for block in range(at, at + blocks):
            yield from normed(f"model.{block}.conv_block", 1)
            yield from normed(f"model.{block}.conv_block", second)
        at += blocks
        for _ in range(downs):
            yield from normed("model", at + antialias)
            at += 3 + antialias
        yield f"model.{at + 1}"

    return blocks, dropout, list(layers())


def _ends(shapes: Shapes, last: str) -> tuple[int, int, int]:
    """Return channels in, channels out and first filters of a ResNet whose last layer is ``last``."""
    first = "model.1.weight"
    return _size(shapes, first, 1, 3), _size(shapes, f"{last}.weight", 0, 3), _size(shapes, first, 0, 64)


def resnet(shapes: Shapes) -> Guess:
    """ResNet generator of CycleGAN and pix2pix."""
    norm = _norm(shapes, "model.1", "model.2")
    blocks, dropout, layers = _resnet(shapes, 2, norm, False)
    in_channels, out_channels, ngf = _ends(shapes, layers[-1])
    options = {"ngf": ngf, "norm": norm, "dropout": dropout}
    return Guess(f"resnet_{blocks}", in_channels, out_channels, options, layers)


def antialiased_resnet(shapes: Shapes) -> Guess:
    """CUT's ResNet: convolutions of stride 1, with filters (``filt``) that halve after them and double before them."""
    norm = _norm(shapes, "model.1", "model.2")
    blocks, dropout, layers = _resnet(shapes, 2, norm, True)
    in_channels, out_channels, ngf = _ends(shapes, layers[-1])
    options = {"ngf": ngf, "norm": norm, "dropout": dropout, "antialias": True, "upsample": "blur"}
    up = 12 + blocks
    filters = {
        "model.7.filt": (2 * ngf, HALVING),
        "model.11.filt": (4 * ngf, HALVING),
        f"model.{up}.filt": (4 * ngf, DOUBLING),
        f"model.{up + 4}.filt": (2 * ngf, DOUBLING),
    }
    return Guess(f"resnet_{blocks}", in_channels, out_channels, options, layers, filters)


def global_generator(shapes: Shapes) -> Guess:
    """Global generator of pix2pixHD: the first block's number gives the number of steps down."""
    first_block = next(iter(_numbers(shapes, "model.", ".conv_block.1.weight")), 16)
    downs = max((first_block - 4) // 3, 1)
    blocks, _, layers = _resnet(shapes, downs, "instance", False)
    in_channels, out_channels, ngf = _ends(shapes, layers[-1])
    return Guess(f"global_{blocks}", in_channels, out_channels, {"downs": downs, "ngf": ngf}, layers)


def unet(shapes: Shapes) -> Guess:
    """U-Net generator of pix2pix: each level is nested in the one above it, so the names give the depth."""
    outer, level = "model.model", "model.model.1.model"
    levels: list[str] = []
    while f"{level}.1.weight" in shapes or len(levels) < 2:
        levels.append(level)
        level += ".3.model"
    norm = _norm(shapes, f"{outer}.0", "model.model.1.model.2")
    batch = norm == "batch"
    layers = [f"{outer}.0"]
    for level in levels:
        layers += [f"{level}.1"] + [f"{level}.2"] * (batch and level != levels[-1])  # none at the bottom
    for level in reversed(levels):
        up = 3 if level == levels[-1] else 5
        layers += [f"{level}.{up}"] + [f"{level}.{up + 1}"] * batch
    layers.append(f"{outer}.3")
    channels = _size(shapes, f"{outer}.0.weight", 1, 3), _size(shapes, f"{outer}.3.weight", 1, 3)
    options = {"ngf": _size(shapes, f"{outer}.0.weight", 0, 64), "norm": norm}
    return Guess(f"unet_{2 ** (len(levels) + 1)}", *channels, options, layers)


def stargan(shapes: Shapes) -> Guess:
    """StarGAN v1's generator: the label enters as additional channels; an image keeps its number of channels."""
    blocks = max(len(_numbers(shapes, "main.", ".main.0.weight")), 1)
    layers = [f"main.{at}" for at in (0, 1, 3, 4, 6, 7)]
    after = 9 + blocks
    for block in range(9, after):
        layers += [f"main.{block}.main.{at}" for at in (0, 1, 3, 4)]
    layers += [f"main.{after + at}" for at in (0, 1, 3, 4, 6)]
    channels = _size(shapes, f"{layers[-1]}.weight", 0, 3)
    options = {
        "domains": max(_size(shapes, "main.0.weight", 1, channels + 5) - channels, 1),
        "ngf": _size(shapes, "main.0.weight", 0, 64),
    }
    return Guess(f"stargan_{blocks}", channels, channels, options, layers)


def csc321(shapes: Shapes) -> Guess:
    """CSC321's generator: its own layer names, and one residual block."""
    layers = ["conv1.0", "conv1.1", "conv2.0", "conv2.1", "resnet_block.conv_layer.0", "resnet_block.conv_layer.1",
              "deconv1.0", "deconv1.1", "deconv2.0"]  # fmt: skip
    channels = _size(shapes, "conv1.0.weight", 1, 3), _size(shapes, "deconv2.0.weight", 1, 3)
    return Guess("csc321", *channels, {"ngf": _size(shapes, "conv1.0.weight", 0, 32)}, layers)


def patchgan(shapes: Shapes) -> Guess:
    """Patch discriminator of CycleGAN and pix2pix: convolution, norm and ReLU in threes, after a first convolution."""
    convolutions = [key for key, shape in shapes.items() if len(shape) == 4 and key.endswith(".weight")]
    depth = max(len(convolutions) - 2, 1)
    norm = _norm(shapes, "model.2", "model.3")
    layers = ["model.0"]
    for layer in range(depth):
        layers += [f"model.{2 + 3 * layer}"] + [f"model.{3 + 3 * layer}"] * (norm == "batch")
    layers.append(f"model.{2 + 3 * depth}")
    return _discriminator(shapes, f"patch_{depth}", "model.0.weight", {"norm": norm}, layers)


def antialiased_patchgan(shapes: Shapes) -> Guess:
    """CUT's patch discriminator: a halving filter follows each layer but the last."""
    depth = max(len(_numbers(shapes, "model.", ".filt")), 1)
    norm = _norm(shapes, "model.3", "model.4")
    layers = ["model.0"]
    for layer in range(1, depth + 1):
        layers += [f"model.{4 * layer - 1}"] + [f"model.{4 * layer}"] * (norm == "batch")
    layers.append(f"model.{4 * depth + 2}")
    guess = _discriminator(shapes, f"patch_{depth}", "model.0.weight", {"norm": norm, "antialias": True}, layers)
    ndf = guess.options["ndf"]
    widths = [ndf * min(2**layer, 8) for layer in range(depth)]
    return guess._replace(filters={f"model.{4 * n + 2}.filt": (width, HALVING) for n, width in enumerate(widths)})


def pixelgan(shapes: Shapes) -> Guess:
    """Pixel discriminator of pix2pix: 1x1 convolutions."""
    norm = _norm(shapes, "net.2", "net.3")
    layers = ["net.0", "net.2", *["net.3"] * (norm == "batch"), "net.5"]
    return _discriminator(shapes, "pixel", "net.0.weight", {"norm": norm}, layers)


def stargan_discriminator(shapes: Shapes) -> Guess:
    """StarGAN v1's discriminator: the classifier's kernel and the steps down give the image size."""
    steps = min(max(len(_numbers(shapes, "main.", ".weight")), 1), MOST_STEPS)
    kernel, domains = _size(shapes, "conv2.weight", 2, 1), _size(shapes, "conv2.weight", 0, 5)
    layers = [*(f"main.{2 * at}" for at in range(steps)), "conv1", "conv2"]
    options = {"domains": domains, "image_size": kernel << steps}
    return _discriminator(shapes, f"stargan_{steps}", "main.0.weight", options, layers)


def csc321_discriminator(shapes: Shapes) -> Guess:
    """CSC321's discriminator."""
    layers = ["conv1.0", "conv1.1", "conv2.0", "conv2.1", "conv3.0", "conv3.1", "conv4.0"]
    return _discriminator(shapes, "csc321", "conv1.0.weight", {}, layers)


def _discriminator(shapes: Shapes, network: str, first: str, options: dict[str, Any], layers: list[str]) -> Guess:
    options = {"ndf": _size(shapes, first, 0, 64), **options}
    return Guess(network, _size(shapes, first, 1, 3), 1, options, layers)


MOST_STEPS = 12
"""Steps of StarGAN's discriminator at most, each of which doubles its filters."""

FAMILIES = (
    Family("CycleGAN's and pix2pix's ResNet generator", resnet),
    Family("pix2pix's U-Net generator", unet),
    Family("CUT's antialiased ResNet generator", antialiased_resnet),
    Family("StarGAN's generator", stargan),
    Family("pix2pixHD's global generator", global_generator),
    Family("CSC321's CycleGAN generator", csc321, statistics=AVERAGED),  # trained and shown in batches of 16
    Family("CycleGAN's and pix2pix's patch discriminator", patchgan, discriminator=True),
    Family("CUT's antialiased patch discriminator", antialiased_patchgan, discriminator=True),
    Family("pix2pix's pixel discriminator", pixelgan, discriminator=True),
    Family("StarGAN's discriminator", stargan_discriminator, discriminator=True),
    Family("CSC321's discriminator", csc321_discriminator, discriminator=True, statistics=AVERAGED),
)

UNSUPPORTED = {
    "model1_1.": "pix2pixHD's local enhancer",
    "scale0_layer0.": "pix2pixHD's discriminator",
    "model.down.": "BicycleGAN's U-Net",
    "enc_style.": "MUNIT's generator",
    "enc.model.": "UNIT's generator of 2018",
    "encode_A.": "UNIT's generator of 2017",
    "mapping_network.": "StarGAN v2",
    "mlp_0.": "CUT's patch sampler, which only training needs",
}
"""Known networks that are not supported, by the start of one of their keys."""
