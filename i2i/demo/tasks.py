"""The translations that the demo trains, their settings, and the trainings that it suggests for its data sets."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

CROP = 96  # pixels of a training crop


@dataclass(frozen=True)
class Task:
    """A translation from one style to another, and how to train it."""

    method: str
    data: str
    source: str
    target: str
    steps: int
    max_error_ratio: float
    """Highest error of the result that the demo accepts, as a share of the error of the source."""
    hyperparameters: Mapping[str, str | int | float | bool] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.source}2{self.target}"

    def run(self, out: Path) -> Path:
        """Return the folder of the run in the demo's folder."""
        return out / "runs" / self.name

    def scaled_steps(self, scale: float) -> int:
        """Return the training steps of a demo that is shorter or longer by ``scale``."""
        return max(1, round(self.steps * scale))

    def arguments(self, out: Path, seed: int, scale: float) -> list[str]:
        """Return the arguments of ``i2i`` that train it."""
        steps = self.scaled_steps(scale)
        options = {
            "a": out / self.data / self.source,
            "b": out / self.data / self.target,
            "out": self.run(out),
            "size": CROP,
            "steps": steps,
            "ema": 0.995,
            "seed": seed,
            "log-every": 25,
            "sample-every": max(1, steps // 4),
            "save-every": max(1, steps // 4),
        }
        named = [f"--{name}={value}" for name, value in options.items()]
        return [
            "train",
            self.method,
            *named,
            *(f"--set={name}={value}" for name, value in self.hyperparameters.items()),
        ]


TASKS = (
    Task(
        method="pix2pix",
        data="pairs",
        source="labels",
        target="day",
        steps=2000,
        max_error_ratio=0.28,
        hyperparameters={
            "generator": "unet_32",
            "discriminator": "patch_2",
            "ngf": 16,
            "ndf": 16,
            "norm": "instance",
            "dropout": False,
            "upsample": "resize",
        },
    ),
    Task(
        method="cyclegan",
        data="unpaired",
        source="day",
        target="night",
        steps=1200,
        max_error_ratio=0.125,  # no affine map of colours gets below 0.14: the windows must be lit
        hyperparameters={
            "generator": "unet_16",
            "discriminator": "patch_2",
            "ngf": 18,
            "ndf": 24,
            "norm": "instance",
            "upsample": "resize",
            "lr": 4e-4,
        },
    ),
)


@dataclass(frozen=True)
class Training:
    """A training on a drawn data set, for the user to start."""

    purpose: str
    arguments: str
    """Arguments of ``i2i train`` without ``--out``; DATA is the folder of the data set."""

    def command(self, data: Path) -> str:
        """Return the command line that trains it on the data set in ``data``, with a run beside that folder."""
        words = [word.replace("DATA", str(data)) for word in shlex.split(self.arguments)]
        return shlex.join(["i2i", "train", *words, f"--out={data.parent / 'runs' / f'{words[0]}-{data.name}'}"])


# Data set -> what can be trained on it. A method that starts from noise or words is one more row.
TRAININGS: dict[str, tuple[Training, ...]] = {
    "captions": (
        Training("draw what a sentence says", "stackgan --data=DATA --size=64"),
        Training(
            "change roof and time of day",
            "stargan --data=DATA --attributes=DATA/attributes.csv "
            "--select=red-roof,blue-roof,grey-roof,brown-roof,night --size=64",
        ),
    ),
    "family": (
        Training("draw new faces of each group", "dcgan --data=DATA --size=64"),
        Training(
            "draw new faces, and translate by latent arithmetic", "vaegan --data=DATA --size=64 --set=lambda_prior=8"
        ),
        Training("make a person smile or calm, woman or man", "stargan --data=DATA --size=64"),
    ),
}
