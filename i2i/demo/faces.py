"""Faces: attributes that have a name, and a pose and style that have none, which ``portraits`` draws.

A face has a frame of its own: u from -1 to 1 across the face, v from -1 (top of the head) to 1 (chin).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from i2i.demo.outlines import Outline

Colour = tuple[float, float, float]

HAIR: dict[str, Colour] = {"dark": (52, 38, 34), "blond": (238, 200, 96), "red": (196, 80, 26), "grey": (168, 170, 178)}
SKIN: dict[str, Colour] = {"light": (250, 216, 192), "medium": (214, 160, 116), "dark": (134, 86, 58)}
_BACKGROUNDS = ((186, 216, 238), (204, 226, 190), (246, 222, 176), (222, 206, 236), (240, 204, 200), (190, 226, 222))
_SHIRTS = ((52, 92, 160), (184, 62, 62), (58, 132, 92), (126, 84, 150), (70, 76, 90), (232, 232, 236), (222, 146, 46))
_FRAMES = ((26, 26, 32), (120, 24, 40), (24, 44, 110))
_IRISES = ((64, 42, 30), (50, 92, 142), (62, 108, 70))


@dataclass(frozen=True)
class Face:
    """A face: what its attributes say, and the seed of everything else."""

    smiling: bool
    woman: bool
    glasses: bool
    beard: bool
    hair: str
    skin: str
    seed: int

    @property
    def group(self) -> str:
        """Name of its group, such as "smiling-woman"."""
        return f"{'smiling' if self.smiling else 'calm'}-{'woman' if self.woman else 'man'}"

    @property
    def attributes(self) -> dict[str, bool]:
        """Every attribute by name; exactly one of the hair colours and one of the skin tones is true."""
        return {
            "smiling": self.smiling, "woman": self.woman, "glasses": self.glasses, "beard": self.beard,
            **{f"{name}-hair": name == self.hair for name in HAIR},
            **{f"{name}-skin": name == self.skin for name in SKIN},
        }  # fmt: skip


def random_face(seed: int, *, smiling: bool, woman: bool) -> Face:
    """Return the face of a seed in one of the four groups; women have no beard."""
    rng = np.random.default_rng([seed, 0xFACE])
    glasses, beard = rng.random() < 0.4, rng.random() < 0.4
    hair, skin = str(rng.choice(list(HAIR))), str(rng.choice(list(SKIN)))
    return Face(smiling, woman, bool(glasses), bool(beard and not woman), hair, skin, seed)


class Style:
    """Everything about a face that has no name: a function of the seed alone, whatever the attributes are."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng([seed, 0x57E])

        def pick(colours: tuple[Colour, ...]) -> Colour:
            return colours[int(rng.integers(len(colours)))]

        self.x, self.y = rng.uniform(0.45, 0.55), rng.uniform(0.5, 0.54)
        self.across, self.up = rng.uniform(0.235, 0.27), rng.uniform(0.285, 0.325)
        self.tilt = rng.uniform(-0.1, 0.1)
        self.light = rng.uniform(0.03, 0.09) * rng.choice((-1, 1))
        self.background, self.shirt = pick(_BACKGROUNDS), pick(_SHIRTS)
        self.frame, self.iris = pick(_FRAMES), pick(_IRISES)
        self.jaw = rng.uniform(-0.05, 0.05)
        self.eyes, self.gaze = rng.uniform(0.40, 0.46), rng.uniform(-0.04, 0.04)
        self.eye = rng.uniform(0.17, 0.2)
        self.brow = rng.uniform(-0.03, 0.03)
        self.nose, self.mouth = rng.uniform(0.08, 0.12), rng.uniform(0.38, 0.46)
        self.hair, self.fringe = int(rng.integers(4)), int(rng.integers(3))
        self.part = rng.choice((-1, 1)) * rng.uniform(0.1, 0.5)
        self.volume = rng.uniform(0.0, 0.1)
        self.shade = rng.uniform(0.9, 1.08)  # of the hair's colour
        self.tone = rng.uniform(0.95, 1.04)  # of the skin's

    def place(self, outline: Outline) -> Outline:
        """Return a face's outline in the image: scaled, tilted around the chin and moved."""
        cos, sin = np.cos(self.tilt), np.sin(self.tilt)
        found = []
        for u, v in outline:
            x, y = self.across * u, self.up * (v - 1)
            found.append((self.x + cos * x - sin * y, self.y + self.up + sin * x + cos * y))
        return found
