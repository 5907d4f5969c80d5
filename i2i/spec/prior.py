"""Latent inputs: noise, named codes and words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

DISTRIBUTIONS = ("normal", "uniform")


@dataclass(frozen=True)
class Code:
    """Named part of the latent input z with a meaning that a user can choose."""

    name: str
    values: int = 0
    """Number of values of a categorical code, whose part of z is one-hot; 0: one continuous value from -1 to 1."""

    @property
    def width(self) -> int:
        """Numbers of z that the code takes."""
        return max(1, self.values)


@dataclass(frozen=True)
class Mean:
    """Mean of z over the images with a label, found by an encoder: a class, an attribute, or "not ATTRIBUTE"."""

    name: str
    z: tuple[float, ...] = ()
    """Its numbers; none in the header of a run's weights, which contain them as tensors."""


@dataclass(frozen=True)
class Prior:
    """Inputs of a generator: z, float32 [n, length], which is noise followed by the codes; and words, if any.

    For a translator it describes the second input ``style``, which is noise alone.

    Raises ValueError for meaningless values.
    """

    noise: int
    """Numbers of noise in z, before the codes."""
    size: tuple[int, int]
    """Height and width of the images; (0, 0) for a translator, whose results have the size of the source."""
    distribution: str = "normal"
    """Distribution of the noise: ``normal``, N(0, 1); or ``uniform``, from -1 to 1."""
    codes: tuple[Code, ...] = ()
    vocabulary: tuple[str, ...] = ()
    """Words of the input ``text``, int64 [n, words]: entry i has the number i + 2; 0 fills up, 1 is an unknown word."""
    words: int = 0
    """Length of the input ``text``; 0: there is none."""
    means: tuple[Mean, ...] = ()
    """Means of z by label, for a generator with an encoder that was trained on labelled images."""

    def __post_init__(self) -> None:
        if self.distribution not in DISTRIBUTIONS:
            raise ValueError(f"distribution is {self.distribution!r}; choose one of {', '.join(DISTRIBUTIONS)}")
        if self.noise < 0 or self.length < 1 or min(self.size) < 0 or bool(self.vocabulary) != (self.words > 0):
            raise ValueError(f"a generator of {self.length} numbers and {self.words} words, of images {self.size}")
        if wrong := [mean.name for mean in self.means if len(mean.z) not in (0, self.length)]:
            raise ValueError(f"the mean of {wrong[0]!r} does not have the {self.length} numbers of z")

    @property
    def length(self) -> int:
        """Numbers in z."""
        return self.noise + sum(code.width for code in self.codes)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Prior:
        """Return the prior that ``dataclasses.asdict`` turned into ``values``."""
        height, width = values["size"]
        codes = tuple(Code(**code) for code in values.get("codes", ()))
        vocabulary = tuple(values.get("vocabulary", ()))
        means = tuple(Mean(mean["name"], tuple(mean["z"])) for mean in values.get("means", ()))
        return cls(**(values | {"size": (height, width), "codes": codes, "vocabulary": vocabulary, "means": means}))
