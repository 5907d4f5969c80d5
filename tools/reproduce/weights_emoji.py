"""Pairs of emoji by two artists, of which the one is moved onto the other: the data of ``noto2twemoji``.

Both draw the same symbols, at other places and in other proportions. Of pairs that do not agree, L1 learns a blur, and
a discriminator learns to change the drawing. So the source is scaled to the target's bounding box, and then moved by
the optical flow between the edges of both; pairs that do not agree even then are left out. The test split stays as it
is.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import datasets

AGREE, OVERLAP = 0.6, 0.85
"""Least correlation of the edges, and least intersection over union of the silhouettes, of a pair that is kept."""
FAR, FINE = 5.0, 4
"""Longest way in pixels that the flow moves a pixel, and how much larger the pictures are in which it is found."""


def pairs(data: Path) -> None:
    """Write the aligned pairs that agree to ``trainA`` and ``trainB``, and ``testA`` and ``testB`` as they are."""
    given = data.with_name(f"{data.name}-given")
    if not given.exists():  # a run that was stopped has it
        datasets.fetch("emoji-pairs", given)
    for name in ("testA", "testB"):
        shutil.copytree(given / name, data / name, dirs_exist_ok=True)
    for name in ("trainA", "trainB"):
        (data / name).mkdir(parents=True, exist_ok=True)
    for path in sorted((given / "trainA").glob("*.png")):
        source, target = (weighted(given / side / path.name) for side in ("trainA", "trainB"))
        moved = aligned(source, target)
        if agree(moved, target):
            cv2.imwrite(str(data / "trainA" / path.name), unweighted(moved))
            shutil.copyfile(given / "trainB" / path.name, data / "trainB" / path.name)
    shutil.rmtree(given)


def weighted(path: Path) -> np.ndarray:
    """Read an image with alpha as float32 [h, w, 4] of 0 to 255, its colours times alpha."""
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert image is not None
    pixels = image.astype(np.float32)
    return np.concatenate([pixels[..., :3] * pixels[..., 3:] / 255, pixels[..., 3:]], 2)


def unweighted(image: np.ndarray) -> np.ndarray:
    """Return the reverse of ``weighted``, uint8 [h, w, 4]."""
    colours = np.divide(
        255 * image[..., :3], image[..., 3:], out=np.zeros_like(image[..., :3]), where=image[..., 3:] > 0
    )
    return np.clip(np.concatenate([colours, image[..., 3:]], 2), 0, 255).round().astype(np.uint8)


def aligned(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the source scaled to the target's bounding box, and moved along the flow of their edges."""
    height, width = target.shape[:2]
    (left, top, right, bottom), (x, y, x_end, y_end) = box(source), box(target)
    across, down = (x_end - x) / (right - left), (y_end - y) / (bottom - top)
    scaling = np.array([[across, 0, x - left * across], [0, down, y - top * down]], np.float32)
    scaled = limited(cv2.warpAffine(source, scaling, (width, height), flags=cv2.INTER_CUBIC))
    found = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    found.setFinestScale(0)
    large = [
        cv2.resize(drawn(image), None, fx=FINE, fy=FINE, interpolation=cv2.INTER_CUBIC) for image in (target, scaled)
    ]
    flow = cv2.resize(found.calc(*large, None), (width, height), interpolation=cv2.INTER_AREA) / FINE
    flow = cv2.GaussianBlur(flow, (0, 0), 2.5)
    flow *= np.minimum(1, FAR / np.maximum(np.hypot(flow[..., 0], flow[..., 1]), 1e-3))[..., None]
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    return limited(cv2.remap(scaled, columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_CUBIC))


def agree(one: np.ndarray, other: np.ndarray) -> bool:
    """True if the edges and the silhouettes of two images lie at the same places."""
    shapes = [image[..., 3] > 127 for image in (one, other)]
    overlap = np.logical_and(*shapes).sum() / max(1, np.logical_or(*shapes).sum())
    return bool(overlap > OVERLAP and np.corrcoef(edges(one).ravel(), edges(other).ravel())[0, 1] > AGREE)


def box(image: np.ndarray) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of what is not transparent."""
    rows, columns = np.where(image[..., 3] > 127)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def limited(image: np.ndarray) -> np.ndarray:
    """Return an image whose alpha is from 0 to 255 again, after cubic interpolation."""
    return np.concatenate([image[..., :3], np.clip(image[..., 3:], 0, 255)], 2)


def edges(image: np.ndarray) -> np.ndarray:
    """Return the slope of the brightness on white, [h, w]."""
    grey = np.clip(image[..., :3] + 255 - image[..., 3:], 0, 255).mean(2)
    grey = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 0.8)
    return np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))


def drawn(image: np.ndarray) -> np.ndarray:
    """Return the edges as a grey picture, uint8 [h, w]."""
    slope = edges(image)
    return np.clip(255 * slope / (np.percentile(slope, 98) + 1e-3), 0, 255).astype(np.uint8)
