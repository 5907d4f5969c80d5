"""The display matrix: rotation and mirroring of a video's frames before a player shows them."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

ONE = 1 << 16  # 16.16 fixed point


@dataclass(frozen=True)
class Rotation:
    """Shown (x, y) = (a x + c y, b x + d y) of stored (x, y), each factor -1, 0 or 1; the identity by default."""

    a: int = 1
    b: int = 0
    c: int = 0
    d: int = 1

    @property
    def swaps(self) -> bool:
        """True if height and width are exchanged."""
        return self.a == 0

    def apply(self, picture: np.ndarray) -> np.ndarray:
        """Return a picture [h, w, c] as it is shown."""
        along_x, along_y = (self.c, self.b) if self.swaps else (self.a, self.d)
        if self.swaps:
            picture = picture.transpose(1, 0, 2)
        return np.ascontiguousarray(picture[::along_y, ::along_x])


def read_matrix(data: bytes) -> tuple[int, ...]:
    """Return the nine numbers of a display matrix, as FFmpeg lays them out."""
    return struct.unpack("<9i" if struct.pack("=i", 1)[0] else ">9i", data[:36])


def rotation_of(matrix: tuple[int, ...]) -> Rotation | None:
    """Return the rotation of a display matrix; None if it is not by right angles, or scales."""
    a, b, c, d = (value / ONE for value in (matrix[0], matrix[1], matrix[3], matrix[4]))
    rounded = [round(value) for value in (a, b, c, d)]
    if max(abs(value - whole) for value, whole in zip((a, b, c, d), rounded, strict=True)) > 1e-3:
        return None
    straight, crossed = (abs(rounded[0]), abs(rounded[3])), (abs(rounded[1]), abs(rounded[2]))
    return Rotation(*rounded) if (straight, crossed) in (((1, 1), (0, 0)), ((0, 0), (1, 1))) else None
