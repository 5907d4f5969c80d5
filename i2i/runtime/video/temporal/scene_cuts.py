"""Detection of scene cuts, and of fade-ins from a blank picture."""

from __future__ import annotations

import math

import cv2
import numpy as np

WIDTH, HEIGHT = 64, 36  # of the copies that are compared
_SHIFT = 5  # pixels of them by which a scene may move from one frame to the next
_UNLIKE = 0.45  # 1 - correlation, above which two pictures are of different scenes
_TIMES = 3.0  # by how much a cut exceeds what is usual in its scene
_BLANK = 16.0  # levels by which a picture that is not blank varies
_NOTHING = 1.0  # levels below which it is blank
_RISE = 1.05  # by how much contrast grows before a fade has gone on
_PATIENCE = 0.5  # seconds without that, after which the fade is over
_LEVELS = 6.0  # of 255 by which they differ at least


class SceneCuts:
    """Detects the first frame of each scene.

    Two pictures of one scene correlate once one is shifted over the other by the motion, even if the brightness has
    changed (a fade is no cut). Low correlation that is usual in a scene, such as fast motion, is no cut either.
    """

    def __init__(self) -> None:
        self._before: np.ndarray | None = None
        self._usual = 0.0

    def begins(self, small: np.ndarray) -> bool:
        """Return True if a new scene begins with the next frame, uint8 [HEIGHT, WIDTH]; it does with the first."""
        before, self._before = self._before, small
        if before is None:
            return True
        unlike, usual = _unlike(small, before), self._usual
        self._usual += (unlike - usual) / 4
        apart = float(cv2.absdiff(small, before).mean())
        return apart > _LEVELS and unlike > max(_UNLIKE, _TIMES * usual)


class FadeIn:
    """Detect the frames of a fade-in, from a blank picture, at which contrast has risen.

    A fade-in has no cut, and statistics measured before it are far below those of the scene.
    """

    def __init__(self) -> None:
        self._contrast, self._until = 0.0, -math.inf

    def rises(self, small: np.ndarray, second: float) -> bool:
        """Return True if contrast has risen with the next frame, uint8 [HEIGHT, WIDTH]."""
        contrast = float(small.std())
        blank = contrast < _NOTHING
        if blank or (second < self._until and contrast > _RISE * self._contrast):
            self._contrast, self._until = max(_NOTHING / _RISE, contrast), second + _PATIENCE
            return not blank
        return False


def _unlike(now: np.ndarray, before: np.ndarray) -> float:
    """Return 1 minus the largest correlation of the middle of one picture with any part of the other, from 0 to 1."""
    middle = now[_SHIFT:-_SHIFT, _SHIFT:-_SHIFT]
    if min(middle.std(), before.std()) < _NOTHING:  # of a blank picture there is no correlation
        return float(max(middle.std(), before.std()) > _BLANK or abs(middle.mean() - before.mean()) > 2 * _BLANK)
    return float(np.clip(1 - cv2.matchTemplate(before, middle, cv2.TM_CCOEFF_NORMED).max(), 0, 1))
