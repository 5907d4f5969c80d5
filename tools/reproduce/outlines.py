#!/usr/bin/env python3
"""Make two folders of outlines and of houses from the demo's drawings: one outline has many houses.

    i2i demo --what captions
    python tools/reproduce/outlines.py i2i-demo/captions outlines
    i2i train munit --a outlines/trainA --b outlines/trainB --size 64

``trainA`` gets the outlines of every second training drawing, ``trainB`` the others as they are. ``testA`` and
``testB`` have the outlines and the drawings of the test folder, whose files have the same names.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import cv2
import numpy as np


def outline(path: Path) -> np.ndarray:
    """Return black edges on white, of the size of the image: those of Canny in any channel, at twice the size."""
    image = cv2.imread(str(path))
    large = cv2.GaussianBlur(cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC), (0, 0), 1.6)
    edges = np.maximum.reduce([cv2.Canny(plane, 30, 80) for plane in cv2.split(large)])
    return 255 - cv2.resize(edges, image.shape[1::-1], interpolation=cv2.INTER_AREA)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder that the demo drew")
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    train, test = (sorted((arguments.data / split).glob("*.png")) for split in ("train", "test"))
    parts = {"trainA": train[::2], "trainB": train[1::2], "testA": test, "testB": test}
    for name, files in parts.items():
        (arguments.out / name).mkdir(parents=True, exist_ok=True)
        for file in files:
            made = arguments.out / name / file.name
            if name.endswith("A"):
                cv2.imwrite(str(made), outline(file))
            else:
                shutil.copy(file, made)


if __name__ == "__main__":
    main()
