"""Houses that a caption describes: what can be named, how it is drawn, and the words for it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import count, product

import numpy as np

from i2i.demo.paint import paint
from i2i.demo.scenes import Scene, scene

#  roof       day             night
ROOFS = {
    "red":   ((208, 52, 40),  (136, 30, 38)),
    "blue":  ((58, 104, 206), (44, 74, 172)),
    "grey":  ((142, 146, 152), (104, 108, 122)),
    "brown": ((124, 78, 42),  (84, 54, 36)),
}  # fmt: skip
#  walls      part       day              night
WALLS = {
    "brick":  ("brick",   (194, 104, 78),  (128, 60, 54)),
    "white":  ("plaster", (242, 240, 234), (146, 148, 170)),
    "yellow": ("plaster", (246, 208, 92),  (148, 122, 62)),
    "wooden": ("timber",  (184, 140, 90),  (108, 80, 52)),
}  # fmt: skip
TREES = {
    "no-trees": (),
    "one-tree": (False,),
    "two-trees": (False, False),
    "one-fir": (True,),
    "two-firs": (True, True),
}
"""Names of what stands beside the house, and for each tree, True if it is a fir."""
_AT_NIGHT = {"cloud": (92, 102, 150), "leaves": (40, 104, 58), "fir": (16, 78, 92), "trunk": (76, 58, 54)}
"""Colours that tell clouds and kinds of trees from the night sky at 64 pixels."""


@dataclass(frozen=True)
class Look:
    """The parameters that a caption can name."""

    roof: str
    walls: str
    trees: str
    night: bool
    clouds: bool

    @property
    def attributes(self) -> dict[str, bool]:
        """Every attribute by name; exactly one of the roofs, one of the walls and one of the trees is true."""
        return {
            **{f"{name}-roof": name == self.roof for name in ROOFS},
            **{f"{name}-walls": name == self.walls for name in WALLS},
            **{name: name == self.trees for name in TREES},
            "night": self.night,
            "clouds": self.clouds,
        }


def looks(held_out: bool) -> list[Look]:
    """Return the combinations of the test folder, or those of the training folder.

    Every eighth combination is held out: all values are equally frequent among them, and every two values of different
    parameters are seen together in training.
    """
    night = clouds = (False, True)
    combinations = [Look(*values) for values in product(ROOFS, WALLS, TREES, night, clouds)]
    return [look for look in combinations if _held_out(look) == held_out]


def _held_out(look: Look) -> bool:
    roof, walls, trees = (
        list(names).index(name) for names, name in ((ROOFS, look.roof), (WALLS, look.walls), (TREES, look.trees))
    )
    return (roof + walls + trees) % 4 == 0 and (walls + look.night + look.clouds) % 2 == 0


def landscape(look: Look, seed: int, size: int = 64) -> np.ndarray:
    """Draw a house of this look as uint8 RGB [size, size, 3]; the seed decides what a caption cannot name."""
    part, *walls = WALLS[look.walls]
    colours = {"tiles": ROOFS[look.roof][look.night], part: walls[look.night]}
    if look.night:
        colours |= _AT_NIGHT
    return paint(scenery(look, seed), "night" if look.night else "day", size, colours)


def scenery(look: Look, seed: int) -> Scene:
    """Return the scene of a seed with the house, the trees and the sky of a look."""
    rng = np.random.default_rng([seed, 0xCA])
    # Only houses that leave room for a tree on each side.
    place = next(found for attempt in count() if len((found := scene(seed * 64 + attempt)).trees) == 2)
    firs = TREES[look.trees]
    spots = [place.trees[int(rng.integers(2))]] if len(firs) == 1 else place.trees
    trees = tuple(replace(spot, fir=fir) for spot, fir in zip(spots, firs, strict=False))
    house = replace(place.house, wall=WALLS[look.walls][0], roof="tiles")
    return replace(place, house=house, trees=trees, clouds=place.clouds if look.clouds else ())


PHRASES: dict[tuple[str, bool], tuple[str, ...]] = {
    **{(f"{roof}-roof", True): (f"{roof} roof", f"{roof}-roofed") for roof in ROOFS},
    **{(f"{walls}-walls", True): (f"{walls} house", f"{walls} walls") for walls in WALLS},
    ("no-trees", True): ("without trees", "without any trees", "with no trees around"),
    ("one-tree", True): ("a tree", "one tree", "a single tree"),
    ("two-trees", True): ("two trees", "a pair of trees"),
    ("one-fir", True): ("a fir", "one fir", "a fir tree"),
    ("two-firs", True): ("two firs", "a pair of firs", "two fir trees"),
    ("night", True): ("at night", "after dark", "in the moonlight", "by moonlight"),
    ("night", False): ("by day", "in daylight", "in the daytime", "during the day"),
    ("clouds", True): ("under a cloudy sky", "with clouds in the sky", "beneath some clouds"),
    ("clouds", False): ("under a clear sky", "without a cloud in the sky", "under a cloudless sky"),
}
"""An attribute and its value, and the phrases that state it and nothing else."""

_BESIDE = ("beside", "next to", "near", "close to")
_ROOF_ALONE = ("a house with a {roof} roof", "a {roof}-roofed house", "a house that has a {roof} roof")
_ROOF_AND_WALLS = (
    "a {walls} house with a {roof} roof",
    "a {roof}-roofed {walls} house",
    "a house with {walls} walls and a {roof} roof",
    "a {walls} house that has a {roof} roof",
)
_HOUSE_ALONE = ("{house} {time}", "{time}, {house}", "{house}, {time}", "a picture of {house} {time}")
_NO_TREES = ("{house} {time}, {trees}", "{time}, {house} {trees}", "{house} {trees}, {time}")
_WITH_TREES = (
    "{house} and {trees} {time}",
    "{trees} {beside} {house}, {time}",
    "{time}, {house} stands {beside} {trees}",
    "{house} {beside} {trees} {time}",
    "{house} {time}, with {trees} {beside} it",
    "{trees} and {house} {time}",
)


def caption(look: Look, seed: int) -> str:
    """Return a caption in English: it states the roof and the time of day, and mostly the trees, walls and sky."""
    rng = np.random.default_rng([seed, 0xCAB])

    def pick(choices: tuple[str, ...]) -> str:
        return choices[int(rng.integers(len(choices)))]

    house = pick(_ROOF_AND_WALLS if rng.random() < 0.6 else _ROOF_ALONE).format(roof=look.roof, walls=look.walls)
    trees = pick(PHRASES[look.trees, True])
    sentences = _HOUSE_ALONE if rng.random() < 0.15 else _WITH_TREES if TREES[look.trees] else _NO_TREES
    time = pick(PHRASES["night", look.night])
    sentence = pick(sentences).format(house=house, trees=trees, time=time, beside=pick(_BESIDE))
    sky = pick(PHRASES["clouds", look.clouds])
    return pick((sentence, sentence, f"{sentence}, {sky}", f"{sky}, {sentence}"))


def stated(text: str) -> dict[str, bool]:
    """Return the attributes that a caption states, and their values; other words are ignored."""
    return {
        name: value
        for (name, value), phrases in PHRASES.items()
        if re.search(rf"\b(?:{'|'.join(map(re.escape, phrases))})\b", text.lower())
    }
