"""Draw a scene in one of three styles: ``labels``, ``day`` and ``night``."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from i2i.demo.scenes import PARTS, WALLS, Scene, part_map

Colour = tuple[int, int, int]

STYLES = ("labels", "day", "night")

#   part        label            day              night
COLOURS = {
    "sky":      ((90, 170, 250), (120, 184, 238), (24, 34, 86)),
    "cloud":    ((220, 235, 255), (250, 250, 252), (66, 76, 124)),
    "sun":      ((255, 220, 0),  (255, 226, 96),  (244, 244, 226)),
    "far hill": ((0, 130, 130),  (134, 172, 164), (38, 54, 92)),
    "hill":     ((0, 90, 90),    (112, 156, 104), (28, 54, 66)),
    "grass":    ((0, 200, 0),    (112, 172, 66),  (26, 68, 54)),
    "path":     ((170, 170, 170), (184, 172, 158), (82, 82, 96)),
    "trunk":    ((120, 60, 0),   (112, 78, 50),   (44, 36, 46)),
    "leaves":   ((0, 255, 120),  (72, 138, 52),   (18, 60, 48)),
    "fir":      ((0, 110, 0),    (38, 98, 70),    (10, 46, 54)),
    "chimney":  ((90, 0, 40),    (150, 92, 74),   (70, 48, 66)),
    "brick":    ((255, 0, 0),    (194, 104, 78),  (90, 52, 62)),
    "plaster":  ((255, 200, 120), (236, 190, 172), (112, 84, 100)),
    "timber":   ((150, 80, 255), (122, 164, 190), (58, 80, 112)),
    "tiles":    ((255, 110, 0),  (184, 72, 48),   (82, 40, 52)),
    "slate":    ((70, 70, 110),  (96, 106, 128),  (46, 54, 84)),
    "door":     ((255, 0, 200),  (126, 62, 40),   (62, 34, 38)),
    "frame":    ((255, 255, 255), (250, 246, 236), (140, 122, 104)),
    "window":   ((0, 0, 255),    (150, 196, 226), (255, 214, 96)),
}  # fmt: skip


def paint(scene: Scene, style: str, size: int = 64, colours: Mapping[str, Colour] | None = None) -> np.ndarray:
    """Draw a scene as uint8 RGB [size, size, 3]: ``labels`` with flat colours and hard edges, the others anti-aliased.

    ``colours`` replaces the style's own colours of these parts.

    Raises ValueError for a style that is not in ``STYLES`` and a size below 16.
    """
    if style not in STYLES:
        raise ValueError(f"no style {style!r}: choose from {', '.join(STYLES)}")
    if size < 16:
        raise ValueError(f"size is {size}; a scene needs at least 16 pixels")
    if style == "labels":
        return _table(style, colours)[part_map(scene, size, panes=False)].astype(np.uint8)
    fine = 3 if size <= 256 else 2
    parts = part_map(scene, size * fine)
    picture = _table(style, colours)[parts]
    picture = _lit(picture, parts, scene) if style == "day" else _moonlit(picture, parts, scene)
    picture = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
    return np.clip(np.round(picture), 0, 255).astype(np.uint8)


def _table(style: str, colours: Mapping[str, Colour] | None) -> np.ndarray:
    """Return the colours of a style, float32 [parts, 3], in the order of ``PARTS``."""
    number = STYLES.index(style)
    return np.array([(colours or {}).get(part, COLOURS[part][number]) for part in PARTS], np.float32)


def _is(parts: np.ndarray, *names: str) -> np.ndarray:
    """Return a mask of the pixels that show one of these parts, bool [side, side]."""
    table = np.zeros(256, np.uint8)
    table[[PARTS.index(name) for name in names]] = 1
    return cv2.LUT(parts, table).view(bool)


def _lit(picture: np.ndarray, parts: np.ndarray, scene: Scene) -> np.ndarray:
    """Add daylight: a bright horizon, a glow around the sun, and shading of the walls."""
    x, y = _axes(parts)
    sky = _is(parts, "sky")[..., None]
    picture = picture + sky * (y / scene.grass)[..., None] ** 2 * _rgb(80, 46, 6)
    picture = picture + sky * _glow(x, y, scene, 0.16) * _rgb(110, 70, -30)
    return picture * _surface(parts, scene, 1.0)[..., None]


def _moonlit(picture: np.ndarray, parts: np.ndarray, scene: Scene) -> np.ndarray:
    """Add night light: a glow around the moon, and light from the windows."""
    x, y = _axes(parts)
    sky = _is(parts, "sky", "cloud")[..., None]
    picture = picture + sky * (y / scene.grass)[..., None] ** 2 * _rgb(30, 24, 36)
    picture = picture + sky * _glow(x, y, scene, 0.2) * _rgb(70, 74, 84)
    picture = picture * _surface(parts, scene, 0.8)[..., None]
    panes = _is(parts, "window").astype(np.float32)
    spill = cv2.GaussianBlur(panes, (0, 0), 0.035 * parts.shape[0])
    return picture + (1 - panes)[..., None] * spill[..., None] * _rgb(150, 96, 30)


def _rgb(*colour: int) -> np.ndarray:
    return np.array(colour, np.float32)


def _axes(parts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return x and y of the pixel centres, in units of the side, float32 [1, side] and [side, 1]."""
    side = parts.shape[0]
    centres = (np.arange(side, dtype=np.float32) + 0.5) / side
    return centres[None, :], centres[:, None]


def _glow(x: np.ndarray, y: np.ndarray, scene: Scene, reach: float) -> np.ndarray:
    distance = np.hypot(x - scene.sun[0], y - scene.sun[1]) - scene.sun[2]
    return np.exp(-np.maximum(distance, 0) / reach * 1.5)[..., None] ** 1.5


def _surface(parts: np.ndarray, scene: Scene, depth: float) -> np.ndarray:
    """Return the shading of the materials, factors around 1, float32 [side, side]; ``depth`` scales their contrast."""
    x, y = _axes(parts)
    house = scene.house
    u, v = x - house.walls.left, y - house.walls.top
    change = np.zeros(parts.shape, np.float32)

    rows = np.floor(v / 0.034)
    joints = _groove(v, 0.034, 0.2) | _groove(u + 0.034 * (rows % 2), 0.068, 0.1)
    change += _is(parts, "brick", "chimney") * np.where(joints, 0.16, -0.04)
    change += _is(parts, "timber") * np.where(_groove(v, 0.042, 0.18), -0.22, 0.03)
    courses = np.floor((y - house.ridge) / 0.036)
    change += _is(parts, "tiles", "slate") * np.where(
        _groove(y - house.ridge, 0.036, 0.25) | _groove(u + 0.024 * (courses % 2), 0.048, 0.14), -0.2, 0.05
    )
    # The eaves cast a shadow on the wall, and the side away from the sun is darker.
    walls = _is(parts, *WALLS, "frame", "window", "door")
    change += walls * np.where(v < 0.04, -0.22, 0.0)
    side = np.sign(scene.sun[0] - 0.5) * (x - (house.walls.left + house.walls.right) / 2)
    change += _is(parts, *WALLS, "tiles", "slate") * 0.35 * side
    change += _is(parts, "window") * 0.9 * (0.06 - (v - u) % 0.12)
    change += _is(parts, "grass") * (0.5 * (scene.grass + 0.1 - y))
    change += _foliage(parts, x, y, scene)

    noise = _noise(scene.seed, parts.shape[0])
    rough = {"grass": 0.1, "leaves": 0.12, "fir": 0.1, "hill": 0.07, "far hill": 0.03, "path": 0.06}
    for part, amount in rough.items():
        change += _is(parts, part) * amount * noise
    edges = cv2.morphologyEx(parts, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    change -= (edges & ~_is(parts, "sky", "cloud", "sun", "far hill", "window", "frame")) * 0.15
    return 1 + depth * change


def _groove(along: np.ndarray, period: float, share: float) -> np.ndarray:
    """Return a mask of lines that cover ``share`` of each ``period``."""
    turns = along / period
    return turns - np.floor(turns) < share


def _foliage(parts: np.ndarray, x: np.ndarray, y: np.ndarray, scene: Scene) -> np.ndarray:
    """Return the shading of trees, brighter on the side of the sun."""
    change = np.zeros(parts.shape, np.float32)
    leaves = _is(parts, "leaves", "fir", "trunk")
    for tree in scene.trees:
        near = leaves & (np.abs(x - tree.x) < tree.height * 0.5)
        towards = np.sign(scene.sun[0] - tree.x) * (x - tree.x) - 0.6 * (y - tree.foot + tree.height * 0.6)
        change += near * np.clip(1.8 * towards / tree.height, -0.4, 0.4)
    return change


def _noise(seed: int, side: int) -> np.ndarray:
    """Return smooth noise in about -1..1, float32 [side, side]; the same pattern at every size."""
    coarse = np.random.default_rng([seed, 0x9A55]).standard_normal((48, 48)).astype(np.float32)
    return np.clip(cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC), -2, 2)
