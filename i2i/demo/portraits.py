"""Draw a face, in polygons from back to front."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from i2i.demo.faces import HAIR, SKIN, Colour, Face, Style
from i2i.demo.outlines import Outline, ellipse, fill

_FINER = 4  # the drawing is so many times larger than the image


def paint_face(face: Face, size: int = 64) -> np.ndarray:
    """Draw a face as uint8 RGB [size, size, 3], anti-aliased.

    Faces that differ in one attribute only differ where that attribute shows: position, size and style are those of the
    seed. Raises ValueError for a size below 16.
    """
    if size < 16:
        raise ValueError(f"size is {size}; a face needs at least 16 pixels")
    side = size * _FINER
    style = Style(face.seed)
    canvas = np.empty((side, side, 3), np.uint8)
    canvas[:] = style.background
    for colour, outline in _shapes(face, style):
        fill(canvas, outline, [round(float(np.clip(value, 0, 255))) for value in colour])
    small = cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32)
    x = np.linspace(-1, 1, size, dtype=np.float32)
    small *= 1 + style.light * x[None, :, None] - 0.05 * x[:, None, None]  # light from one side and from above
    return np.clip(np.round(small), 0, 255).astype(np.uint8)


def _mix(colour: Colour, other: Colour, share: float) -> Colour:
    a, b, c = (one + share * (two - one) for one, two in zip(colour, other, strict=True))
    return a, b, c


def _times(colour: Colour, factor: float) -> Colour:
    return _mix((0, 0, 0), colour, factor)


def _shapes(face: Face, style: Style) -> Iterator[tuple[Colour, Outline]]:
    """Yield the colours and outlines of everything in the image, from back to front."""
    hair, skin = _times(HAIR[face.hair], style.shade), _times(SKIN[face.skin], style.tone)
    shadow = _times(skin, 0.82)
    x, y = style.x, style.y + style.up
    if face.woman:
        yield from ((hair, style.place(outline)) for outline in _back_hair(style))
    broad = 0.3 if face.woman else 0.38
    yield style.shirt, ellipse(x, y + 0.31, broad, 0.25)
    neck = style.across * (0.42 if face.woman else 0.56)
    yield shadow, [(x - neck, y - 0.12), (x + neck, y - 0.12), (x + neck, y + 0.11), (x - neck, y + 0.11)]
    yield shadow, ellipse(x, y + 0.1, neck, 0.05)
    yield from ((colour, style.place(outline)) for colour, outline in _head(face, style, hair, skin))


def _jaw(face: Face, style: Style) -> Outline:
    """Return the outline of the face: a woman's narrows towards the chin."""
    narrow = style.jaw + (0.26 if face.woman else 0.12)
    turns = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    power = 0.95 if face.woman else 0.8  # lower is more square
    u = np.sign(np.cos(turns)) * np.abs(np.cos(turns)) ** power
    v = np.sign(np.sin(turns)) * np.abs(np.sin(turns)) ** power
    return [(float(a * (1 - narrow * max(b, 0) ** 1.5)), float(b)) for a, b in zip(u, v, strict=True)]


def _head(face: Face, style: Style, hair: Colour, skin: Colour) -> Iterator[tuple[Colour, Outline]]:
    """Yield everything between the ears, in the face's own frame."""
    for side in (-1, 1):
        yield _times(skin, 0.9), ellipse(side * 1.0, 0.06, 0.16, 0.2)
    jaw = _jaw(face, style)
    yield skin, jaw
    if face.beard:
        low = [(u, v) for u, v in jaw if v > 0.12]
        left, right = min(u for u, _ in low), max(u for u, _ in low)
        inner = [(u, 0.36 - 0.24 * (u / right) ** 4) for u in np.linspace(left, right, 20)]
        yield _times(hair, 0.92), [*low, *inner]
    for side in (-1, 1):
        yield _mix(skin, (236, 110, 100), 0.22), ellipse(side * 0.58, 0.3, 0.16, 0.1)
    yield _times(skin, 0.78), ellipse(0, 0.2, style.nose, 0.055)
    yield _mix(skin, (255, 255, 255), 0.12), ellipse(0, 0.11, style.nose * 0.6, 0.11)
    yield from _mouth(face, style, skin)
    if face.glasses:
        for side in (-1, 1):
            yield _mix(skin, (255, 255, 255), 0.3), ellipse(side * style.eyes, -0.05, 0.34, 0.25)
    yield from _eyes(face, style, skin)
    yield from ((hair, outline) for outline in _front_hair(face, style))
    if face.glasses:
        yield from _glasses(style)


def _mouth(face: Face, style: Style, skin: Colour) -> Iterator[tuple[Colour, Outline]]:
    lips = (200, 44, 70) if face.woman else _mix(skin, (150, 40, 40), 0.6)
    across = np.linspace(-1, 1, 21)
    if not face.smiling:
        half = style.mouth * 0.72
        yield lips, ellipse(0, 0.58, half, 0.055 if face.woman else 0.045)
        yield _times(lips, 0.6), [(-half, 0.57), (half, 0.57), (half, 0.6), (-half, 0.6)]
        return
    half = style.mouth * 1.12

    def crescent(top: float, upper: float, lower: float, width: float) -> Outline:
        """Return the outline between two parabolas that meet at the corners and go down to these depths."""
        down = 1 - across**2
        return [
            *((float(width * t), float(top + upper * d)) for t, d in zip(across, down, strict=True)),
            *((float(width * t), float(top + lower * d)) for t, d in zip(across[::-1], down[::-1], strict=True)),
        ]

    yield lips, crescent(0.45, 0.06, 0.4, half)
    yield (120, 20, 34), crescent(0.49, 0.08, 0.3, half * 0.86)
    yield (255, 255, 255), crescent(0.49, 0.08, 0.22, half * 0.86)


def _eyes(face: Face, style: Style, skin: Colour) -> Iterator[tuple[Colour, Outline]]:
    hair = HAIR[face.hair]
    brow = _mix(hair, skin, 0.25) if hair[0] > 150 else hair
    for side in (-1, 1):
        u, v = side * style.eyes, -0.08
        yield _times(skin, 0.72), ellipse(u, v - 0.02, style.eye * 1.12, 0.125)
        yield (255, 255, 255), ellipse(u, v, style.eye, 0.11)
        yield style.iris, ellipse(u + style.gaze, v, 0.105, 0.1)
        yield (16, 14, 18), ellipse(u + style.gaze, v, 0.06, 0.06)
        if face.woman:  # lashes
            lid = [(u + t * style.eye * 1.15, v - 0.13 * (1 - t * t) ** 0.5) for t in np.linspace(-1, 1, 13)]
            yield (34, 22, 26), [*lid, (u + side * style.eye * 1.5, v - 0.1), *((a, b - 0.05) for a, b in lid[::-1])]
        thick = 0.035 if face.woman else 0.065
        arch = [(u + side * t * 0.26, v - 0.27 + style.brow - 0.05 * (1 - t * t)) for t in np.linspace(-1, 1, 9)]
        yield _times(brow, 0.85), [*arch, *((a, b + thick) for a, b in arch[::-1])]


def _glasses(style: Style) -> Iterator[tuple[Colour, Outline]]:
    """Yield the frames: two rings, the bridge and the temples."""
    for side in (-1, 1):
        outer, inner = (ellipse(side * style.eyes, -0.05, 0.355 - rim, 0.265 - rim * 0.8) for rim in (0, 0.075))
        yield style.frame, [*outer, outer[0], inner[0], *inner[::-1]]
        edge = style.eyes + 0.32
        yield style.frame, [(side * edge, -0.12), (side * 1.02, -0.14), (side * 1.02, -0.07), (side * edge, -0.05)]
    gap = style.eyes - 0.33
    yield style.frame, [(-gap, -0.12), (gap, -0.12), (gap, -0.05), (-gap, -0.05)]


def _back_hair(style: Style) -> Iterator[Outline]:
    """Yield a woman's hair behind the head: long, wavy, to the chin, or in a bun."""
    top = [(1.22 * np.cos(t), -0.05 - (1.14 + style.volume) * np.sin(t)) for t in np.linspace(0, np.pi, 30)]
    if style.hair == 3:
        yield ellipse(0, -1.22 - style.volume, 0.42, 0.32)
        return
    low = (1.5, 1.35, 0.78)[style.hair]
    yield [*top, (-1.28, low * 0.8), (-1.1, low), (1.1, low), (1.28, low * 0.8)]
    if style.hair == 1:
        for v in np.linspace(0.1, low - 0.1, 4):
            for side in (-1, 1):
                yield ellipse(side * 1.18, v, 0.26, 0.24)


def _front_hair(face: Face, style: Style) -> Iterator[Outline]:
    """Yield the hair over the forehead: a woman's by its fringe, a man's short, brushed up, curly or cropped."""
    u = np.linspace(-0.97, 0.97, 41)
    if style.fringe == 0:  # parted
        line = -0.42 - 0.36 * np.exp(-(((u - style.part) / 0.5) ** 2))
    elif style.fringe == 1:  # swept to one side
        line = -0.58 + 0.2 * u * np.sign(style.part)
    else:
        line = np.full_like(u, -0.5)
    if not face.woman:
        line = line * 0.6 - 0.26
    side = 0.3 if face.woman and style.hair != 3 else -0.12
    line = line + (side - line) * np.abs(u) ** 10
    lift = style.volume + (0.14 if not face.woman and style.hair == 1 else 0)
    turns = np.linspace(0, np.pi, 40)
    outer = [(1.1 * np.cos(t), -0.05 - (1.07 + lift) * np.sin(t)) for t in turns]
    yield [(1.08, side), *outer, (-1.08, side), *zip(u.tolist(), line.tolist(), strict=True)]
    if not face.woman and style.hair == 2:
        for t in np.linspace(0.1, np.pi - 0.1, 9):
            yield ellipse(1.02 * np.cos(t), -0.12 - 0.95 * np.sin(t), 0.25, 0.2)
