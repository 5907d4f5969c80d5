"""The settings of a run: one frozen dataclass, from which the command line's options are made.

Standard library only, so that ``i2i train --help`` does not import PyTorch. What belongs to a method (its losses, its
networks) is not a setting but a keyword of its translator's constructor.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field, fields
from math import isfinite
from pathlib import Path
from typing import Any

from i2i.data.augment import canonical
from i2i.spec import EDGE, parse_background, parse_ranges
from i2i.text import as_given, parse_bytes


def option(default: Any, help: str, group: str, **more: Any) -> Any:
    """A field with the help text of its command-line option and the group of the help page that lists it."""
    return field(default=default, metadata={"help": help, "group": group, **more})


PLACES = ("a", "b", "data", "attributes", "captions", "mask")
"""The settings that are paths of the images or their table."""
PATHS = (*PLACES, "from_", "teacher")
"""The settings that are paths."""
EVERY = ("sample_every", "eval_every", "patience")
"""The settings that are numbers of steps or evaluations, or 0 for never."""
FIXED = ("method", "from_", "freeze", "teacher_to", "range", "derive")
"""The settings of a run that nothing can change after its start."""


@dataclass(frozen=True)
class Settings:
    """The settings needed to repeat a run, apart from its method's hyper-parameters."""

    method: str
    a: str | None = option(None, "Folder of the first domain's images.", "Data", free=True)
    b: str | None = option(None, "Folder of the second domain's images.", "Data", free=True)
    data: str | None = option(
        None,
        "Folder of all domains, instead of --a and --b: aligned A|B files, trainA and trainB, or a folder per domain.",
        "Data",
        free=True,
    )
    attributes: str | None = option(None, "Table of attributes, as CelebA's or CSV.", "Data", free=True, metavar="FILE")
    captions: str | None = option(
        None,
        "Table of captions, as CSV.  [default: captions.csv in the data folder, else a text file beside each image]",
        "Data",
        free=True,
        metavar="FILE",
    )
    mask: str | None = option(
        None, "Masks with the names of the source's images, or in folders a and b for both; what is black stays.",
        "Data", free=True, metavar="DIR",
    )  # fmt: skip
    select: str | None = option(
        None, "Domains or attributes to use, a name with a comma in double quotes.  [default: all]", "Data",
        metavar="NAME,NAME...",
    )  # fmt: skip
    from_: str | None = option(
        None,
        "Start a new run from the weights of a run, of a .safetensors file in one, or of a third-party checkpoint.  "
        "[default: random]",
        "Run",
        metavar="RUN|FILE",
    )
    derive: str | None = option(
        None,
        "Make the source images of those of --b, as jpeg:10..60+noise:0..15: grey, edges, jpeg:Q, noise:S, blur:S, "
        "downscale:N, mask:SHAPE.  [default: none]",
        "Data",
        metavar="WAY",
    )
    teacher: str | None = option(
        None,
        "Learn the results of this run, ONNX file or model that comes with i2i, instead of pairs, from one folder of "
        "images.  [default: none]",
        "Data",
        metavar="RUN|FILE|NAME",
    )
    teacher_to: str | None = option(
        None, "Direction or domain of the teacher's results.  [default: its first]", "Data", metavar="NAME"
    )
    freeze: str | None = option(
        None,
        "Networks, or parts of them, whose weights do not move, such as G.first or D_X.  [default: none]",
        "Training",
        metavar="NAME,NAME...",
    )
    direction: str = option(
        "a2b", "Direction in which one-sided methods and pairs translate.", "Data", choices=("a2b", "b2a")
    )
    channels: str = option(
        "auto", "Channels per image: 1 grey, 3 RGB, 4 RGB with alpha; auto: as the files have.", "Data",
        choices=("auto", "1", "3", "4"),
    )  # fmt: skip
    background: str = option(
        EDGE, "Colour under transparent pixels: edge continues the visible colours, 0 to 255 is a grey level.", "Data",
        metavar="edge|0..255",
    )  # fmt: skip
    range: str | None = option(
        None,
        "Values that are lowest and highest to the network: LOW..HIGH for all images, or for a and b, with commas "
        "between channels; or found: what the images have. Can be repeated.  [default: 0..255 or 0..65535; found for "
        "bands]",
        "Data", metavar="[a=|b=]LOW..HIGH", multiple=True,
    )  # fmt: skip
    max_bad: int = option(0, "Number of unreadable files to skip before the data is refused.", "Data", free=True)
    size: tuple[int, int] = option(
        (256, 256), "Size of a training crop in pixels: 256, or HEIGHTxWIDTH. Defaults of generators from noise: 28 to "
        "64.", "Training", metavar="SIZE",
    )  # fmt: skip
    augment: str = option(
        "crop,flip", "Random changes of the images: crop[:1.12], flip, colour:0.2, source-colour:0.2, rotate:10, "
        "scale:0.8..1.2, cutout:0.25; none. Generators' default is none.", "Training", metavar="NAME,NAME...",
    )  # fmt: skip
    diff_augment: str = option(
        "none", "Random changes of all that the discriminator sees, real and generated (DiffAugment): colour, "
        "translation, cutout; for few images.", "Training", metavar="NAME,NAME...",
    )  # fmt: skip
    batch: int = option(
        1, "Images per step, over all processes, from 1; auto: as many as fit the GPU. Defaults: StarGAN 16, "
        "generators from noise 16 to 128, others 1.",
        "Training", metavar="N|auto",
    )  # fmt: skip
    accumulate: int = option(
        1, "Parts of a step of --batch images each, whose gradients are added up: N times the batch in the memory of "
        "one.", "Training",
    )  # fmt: skip
    checkpointing: str = option(
        "off", "Keep only the networks' inputs and results for the backward pass, and compute the rest again: less "
        "memory, about a third more time, the same result.", "Training", choices=("off", "on"), free=True,
    )  # fmt: skip
    epochs: int = option(
        200, "Length in passes over the data, from 1; the learning rate falls in the second half.", "Training",
        free=True,
    )  # fmt: skip
    steps: int = option(0, "Length in optimiser steps instead of epochs; 0: by --epochs.", "Training", free=True)
    precision: str = option(
        "auto", "Precision of the arithmetic; auto: bf16 on a GPU or processor that has it, else fp32.", "Training",
        choices=("auto", "fp32", "bf16", "fp16", "fp64"),
    )  # fmt: skip
    compile: str = option(
        "auto", "Compile the networks, or record them as CUDA graphs too; auto: on a GPU, where a trial of a few steps "
        "gives the same losses in less time.", "Training", choices=("auto", "off", "on", "graphs"),
    )  # fmt: skip
    ema: float = option(
        0.999, "Decay of the exponential moving average of the weights, which is exported; from 0 (off) to below 1.",
        "Training",
    )  # fmt: skip
    schedule: str = option(
        "linear", "Learning rate: linear falls to 0 in the second half; constant does not.", "Training",
        choices=("linear", "constant"),
    )  # fmt: skip
    beta2: float = option(
        0.0, "Decay of Adam's second moment, below 1; 0: that of the method, 0.999 in most.", "Training"
    )
    seed: int = option(0, "Seed of the random numbers, from -2^63 to 2^64 - 1.", "Training")
    workers: int = option(
        min(os.cpu_count() or 1, 8), "Threads that read images; 0: the training thread itself.", "Training", free=True
    )
    cache: str = option(
        "4GB", "Disk space for images resized to what the crops need, in the user's cache folder; off: none.",
        "Training", free=True, metavar="SIZE|off",
    )  # fmt: skip
    identity: float = option(
        0.0, "Weight of |G(y) - y| in an unpaired method: images of the target domain stay.", "Training"
    )
    geometry: float = option(
        0.0,
        "Weight of geometric consistency in an unpaired method: a turned image gives the turned result.",
        "Training",
    )
    perceptual: float = option(
        0.0, "Weight of the distance of x and G(x) in the features lite0, in an unpaired method.", "Training"
    )
    log_every: int = option(50, "Steps between two lines of the log, from 1.", "Run", free=True)
    sample_every: int = option(500, "Steps between two sample sheets; 0: none.", "Run", free=True)
    sheet_channels: str | None = option(
        None,
        "Channels to show in sample sheets, numbered from 1: one, as grey, or three.  [default: the first three, of "
        "two the first]",
        "Run", free=True, metavar="N,N,N",
    )  # fmt: skip
    save_every: int = option(1000, "Steps between two checkpoints, from 1.", "Run", free=True)
    watch: str = option(
        "on", "Warn of a run that fails in a known way, and halve the learning rate when a loss is not finite.", "Run",
        choices=("on", "off"), free=True,
    )  # fmt: skip
    eval_every: int = option(
        0, "Steps between two evaluations on a validation split, which keep the best weights; 0: none.", "Measurement",
        free=True,
    )  # fmt: skip
    metric: str | None = option(
        None,
        "Metric that chooses the best weights, a name of `i2i evaluate`.  [default: KID; for pairs perceptual, or L1 "
        "without features]",
        "Measurement",
        metavar="NAME",
    )
    eval_features: str | None = option(
        None, "Features of the metric: lite0, onnx:FILE or inception:FILE.  [default: lite0]", "Measurement",
        metavar="NAME",
    )  # fmt: skip
    val_share: float = option(
        0.1, "Share of the images to hold out by a hash of their names where the data has no val split, from above 0 "
        "to below 1.", "Measurement",
    )  # fmt: skip
    patience: int = option(
        0, "Number of evaluations without improvement that stop the run; 0: no limit.", "Measurement", free=True
    )

    def __post_init__(self) -> None:
        for name, least, words in (
            *((name, 1, "must be at least 1") for name in ("batch", "accumulate", "epochs", "log_every", "save_every")),
            *((name, 0, "cannot be negative") for name in ("steps", "max_bad", "workers", *EVERY)),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; it {words}")
        if min(self.size) < 1:
            raise ValueError(f"size is {self.size}; a crop has at least one pixel")
        if not -(2**63) <= self.seed < 2**64:  # what PyTorch's generators take
            raise ValueError(f"seed is {self.seed}; expected a whole number from -2^63 to 2^64 - 1")
        for name in ("ema", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; expected 0 <= {name} < 1")
        if not 0 < self.val_share < 1:
            raise ValueError(f"val_share is {self.val_share}; expected 0 < val_share < 1")
        if self.patience and not self.eval_every:
            raise ValueError(f"patience is {self.patience} evaluations, and there are none; give eval_every as well")
        parse_background(self.background)
        parse_ranges(self.range)
        self.shown_channels()
        parse_bytes("cache", self.cache)
        for f in fields(self):
            choices = f.metadata.get("choices")
            if choices and getattr(self, f.name) not in choices:
                raise ValueError(f"{f.name} is {getattr(self, f.name)!r}; choose one of {', '.join(choices)}")

    @property
    def images(self) -> int:
        """Images of a step, over all processes and parts."""
        return self.batch * self.accumulate

    def shown_channels(self) -> tuple[int, ...]:
        """Return the channels to show in sample sheets, numbered from 0; empty: the usual ones. Raises ValueError."""
        text = self.sheet_channels
        try:
            found = tuple(int(part) - 1 for part in text.split(",")) if text else ()
        except ValueError:
            found = (-1,)
        if len(found) not in (0, 1, 3) or min(found, default=0) < 0:
            raise ValueError(f"sheet_channels is {text!r}; expected one number or three, from 1, such as 4,3,2")
        return found

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"size": list(self.size)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Settings:
        """Read the output of ``to_dict``, or values from a caller: sizes as 256 or "256x512", numbers as text."""
        known = {f.name: f for f in fields(cls)}
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ValueError(f"no such setting: {', '.join(unknown)}; there are {', '.join(known)}")
        return cls(**{name: _typed(name, known[name].default, value) for name, value in values.items()})


def _typed(name: str, default: Any, value: Any) -> Any:
    if name == "size":
        return _size(value)
    if name in PLACES and value is not None:
        return str(as_given(value))
    if name in PATHS and value is not None:
        return str(Path(value).expanduser().resolve())
    if name == "metric" and value is not None:
        from i2i.metrics import find_metrics  # on demand, since it imports NumPy

        return next(iter(find_metrics([str(value)])))
    if name == "derive" and value is not None:
        from i2i.images.derive import parse_derive  # on demand, since it imports NumPy

        parse_derive(value)
    if name == "eval_features" and value is not None:
        kind, colon, file = str(value).partition(":")
        return f"{kind}:{Path(file).expanduser().resolve()}" if colon else kind
    if name == "augment" and value is not None:
        return canonical(str(value))
    if name == "diff_augment" and value not in (None, "none"):
        from i2i.diffaugment import DiffAugment  # on demand, since it imports PyTorch

        return str(DiffAugment(str(value)))
    if isinstance(default, int | float) and not isinstance(value, bool):
        return number(name, default, value)
    return value if value is None else str(value)


def number(name: str, default: int | float, value: Any) -> int | float:
    """Return ``value``, a number or text such as "1e3", as the default's type. Raises ValueError."""
    try:
        if isinstance(default, int) and not isinstance(value, float) and str(value).lstrip("+-").isdecimal():
            return int(value)  # exact however large
        found = float(value)
        whole = type(default)(found)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name} is {value!r}; expected a number such as {default}") from None
    if not isfinite(found):
        raise ValueError(f"{name} is {value!r}; expected a finite number such as {default}")
    if whole != found:
        raise ValueError(f"{name} is {value!r}; expected a whole number such as {default}")
    return whole


def _size(value: Any) -> tuple[int, int]:
    parts = str(value).lower().split("x") if isinstance(value, str | int) else list(value)
    try:
        numbers = [int(part) for part in parts]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) not in (1, 2):
        raise ValueError(f"size is {value!r}; expected 256 or HEIGHTxWIDTH, such as 256x512")
    return numbers[0], numbers[-1]


Change = tuple[str, Any, Any]
"""The name of a setting or hyper-parameter, the run's value and the given one."""


def merge(old: Settings, given: dict[str, Any]) -> tuple[Settings, list[Change]]:
    """Return the settings of a continued run, ``old`` with those that are given, and the changes that need a permit."""
    wanted = Settings.from_dict(old.to_dict() | given)
    changes = [(f.name, getattr(old, f.name), getattr(wanted, f.name)) for f in fields(old) if f.name in given]
    free = {f.name for f in fields(old) if f.metadata.get("free")}
    return wanted, [change for change in changes if change[1] != change[2] and change[0] not in free]
