"""Geometry of small landscapes with a house, which ``paint`` draws in several styles.

Coordinates are in units of the image's side, x to the right and y downwards, so that every style at every size shows
the same place: the ground truth of a translation is the same scene in the other style.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from i2i.demo.outlines import Outline, ellipse, fill

PARTS = (
    *("sky", "cloud", "sun", "far hill", "hill", "grass", "path", "trunk", "leaves", "fir", "chimney"),
    *("brick", "plaster", "timber", "tiles", "slate", "door", "frame", "window"),
)
"""Parts of an image; the number of a part in a map is its index here."""

WALLS, ROOFS = ("brick", "plaster", "timber"), ("tiles", "slate")


@dataclass(frozen=True)
class Box:
    """A rectangle; ``top`` is above ``bottom``."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class House:
    walls: Box
    wall: str
    roof: str
    ridge: float
    """Height of the roof's top; the gable faces the viewer when ``inset`` is near half of the width."""
    inset: float
    overhang: float
    chimney: Box
    door: Box
    windows: tuple[Box, ...]


@dataclass(frozen=True)
class Tree:
    x: float
    foot: float
    height: float
    fir: bool


@dataclass(frozen=True)
class Scene:
    seed: int
    sun: tuple[float, float, float]
    """x, y and radius; at night the moon is there."""
    clouds: tuple[tuple[float, float, float], ...]
    hills: tuple[tuple[float, float, float, float], ...]
    """From far to near: height, amplitude, waves across the image, phase."""
    grass: float
    house: House
    trees: tuple[Tree, ...]


def scene(seed: int) -> Scene:
    """Return the scene of a seed."""
    rng = np.random.default_rng([seed, 0x121])
    grass = rng.uniform(0.70, 0.76)
    house = _house(rng, grass)
    centre = (house.walls.left + house.walls.right) / 2
    on_left = centre > 0.5  # the sun and the trees stand where the house leaves room
    sun = rng.uniform(0.1, 0.3), rng.uniform(0.1, 0.22), rng.uniform(0.065, 0.085)
    clouds = [(rng.uniform(0.35, 0.6), rng.uniform(0.08, 0.14), rng.uniform(0.045, 0.06))]
    if rng.random() < 0.6:
        clouds.append((rng.uniform(0.75, 0.95), rng.uniform(0.1, 0.24), rng.uniform(0.04, 0.06)))
    trees = [Tree(rng.uniform(0.08, 0.17), grass + rng.uniform(0.03, 0.1), rng.uniform(0.34, 0.46), rng.random() < 0.5)]
    room = 1 - (house.walls.right if on_left else 1 - house.walls.left)
    if room > 0.17:
        trees.append(Tree(1 - room / 2, grass + rng.uniform(0.05, 0.09), rng.uniform(0.24, 0.34), rng.random() < 0.5))
    if not on_left:
        sun = 1 - sun[0], *sun[1:]
        clouds = [(1 - x, y, r) for x, y, r in clouds]
        trees = [Tree(1 - tree.x, tree.foot, tree.height, tree.fir) for tree in trees]
    hills = (
        (grass - rng.uniform(0.16, 0.22), 0.05, rng.uniform(1.0, 1.6), rng.uniform(0, 6.3)),
        (grass - rng.uniform(0.06, 0.1), 0.03, rng.uniform(1.5, 2.3), rng.uniform(0, 6.3)),
    )
    return Scene(seed, sun, tuple(clouds), hills, grass, house, tuple(trees))


def _house(rng: np.random.Generator, grass: float) -> House:
    width = rng.uniform(0.40, 0.52)
    left = rng.uniform(0.3, 0.5) if rng.random() < 0.5 else rng.uniform(0.5, 0.7) - width
    left = float(np.clip(left, 0.06, 0.94 - width))
    base, height = grass + rng.uniform(0.03, 0.08), rng.uniform(0.24, 0.30)
    walls = Box(left, base - height, left + width, base)
    ridge = walls.top - rng.uniform(0.16, 0.22)

    columns = 3 if width > 0.43 else 2
    step = width / columns
    place = int(rng.integers(columns))
    half, top = step * 0.26, base - height * 0.7
    door_x = left + step * (place + 0.5)
    door = Box(door_x - half, base - height * 0.62, door_x + half, base)
    windows = tuple(
        Box(left + step * (i + 0.5) - half * 1.2, top, left + step * (i + 0.5) + half * 1.2, top + height * 0.42)
        for i in range(columns)
        if i != place
    )
    x = left + width * (0.25 if rng.random() < 0.5 else 0.68)
    chimney = Box(x, ridge - 0.04, x + 0.07, walls.top)
    return House(
        walls=walls,
        wall=str(rng.choice(WALLS)),
        roof=str(rng.choice(ROOFS)),
        ridge=ridge,
        inset=width * rng.uniform(0.14, 0.3),
        overhang=0.03,
        chimney=chimney,
        door=door,
        windows=windows,
    )


def part_map(scene: Scene, side: int, panes: bool = True) -> np.ndarray:
    """Return the part that each pixel shows, uint8 [side, side], indices into ``PARTS``; hard edges, no blending.

    ``panes=False`` omits the bars between the panes of a window, which are thinner than a pixel at small sizes.
    """
    canvas = np.zeros((side, side), np.uint8)
    for part, outline in _outlines(scene, panes):
        fill(canvas, outline, PARTS.index(part))
    return canvas


def _outlines(scene: Scene, panes: bool) -> Iterator[tuple[str, Outline]]:
    """Yield the polygons of all parts, from back to front."""
    for x, y, radius in scene.clouds:
        for shift, rise, size in ((-1.1, 0.25, 0.7), (0, 0, 1.0), (1.1, 0.2, 0.8)):
            yield "cloud", ellipse(x + shift * radius, y + rise * radius, radius * size * 1.15, radius * size * 0.8)
    x, y, radius = scene.sun
    yield "sun", ellipse(x, y, radius, radius)
    for part, (height, amplitude, waves, phase) in zip(("far hill", "hill"), scene.hills, strict=True):
        ridge = [(t, height + amplitude * np.sin(2 * np.pi * waves * t + phase)) for t in np.linspace(0, 1, 60)]
        yield part, [*ridge, (1.0, 1.0), (0.0, 1.0)]
    yield "grass", [(0, scene.grass), (1, scene.grass), (1, 1), (0, 1)]
    yield from _house_outlines(scene.house, panes)
    for tree in scene.trees:
        yield from _tree_outlines(tree)


def _house_outlines(house: House, panes: bool) -> Iterator[tuple[str, Outline]]:
    walls, door, over = house.walls, house.door, house.overhang
    yield "path", [(door.left, door.bottom), (door.right, door.bottom), (door.right + 0.08, 1), (door.left - 0.08, 1)]
    yield "chimney", _corners(house.chimney)
    yield house.wall, _corners(walls)
    yield (
        house.roof,
        [
            (walls.left - over, walls.top + 0.015),
            (walls.left + house.inset, house.ridge),
            (walls.right - house.inset, house.ridge),
            (walls.right + over, walls.top + 0.015),
        ],
    )
    yield "frame", _corners(Box(door.left - 0.012, door.top - 0.012, door.right + 0.012, door.bottom))
    yield "door", _corners(door)
    for window in house.windows:
        yield "frame", _corners(window)
        bar = 0.007
        glass = Box(window.left + 2 * bar, window.top + 2 * bar, window.right - 2 * bar, window.bottom - 2 * bar)
        yield "window", _corners(glass)
        if panes:
            x, y = (glass.left + glass.right) / 2, (glass.top + glass.bottom) / 2
            yield "frame", _corners(Box(x - bar, glass.top, x + bar, glass.bottom))
            yield "frame", _corners(Box(glass.left, y - bar, glass.right, y + bar))


def _tree_outlines(tree: Tree) -> Iterator[tuple[str, Outline]]:
    top, trunk = tree.foot - tree.height, 0.018
    yield "trunk", _corners(Box(tree.x - trunk, tree.foot - tree.height * 0.5, tree.x + trunk, tree.foot))
    if tree.fir:
        for tier in range(3):
            peak, half = top + tree.height * 0.22 * tier, tree.height * (0.16 + 0.06 * tier)
            foot = peak + tree.height * 0.42
            yield "fir", [(tree.x, peak), (tree.x + half, foot), (tree.x - half, foot)]
    else:
        size = tree.height * 0.24
        for dx, dy, part in ((-0.75, 1.65, 0.8), (0.75, 1.7, 0.8), (0.0, 1.0, 1.0)):
            yield "leaves", ellipse(tree.x + dx * size, top + dy * size, size * part, size * part)


def _corners(box: Box) -> Outline:
    return [(box.left, box.top), (box.right, box.top), (box.right, box.bottom), (box.left, box.bottom)]
