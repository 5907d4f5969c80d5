"""Small folders of images, and runs small enough to be done many times."""

import shutil

import cv2
import numpy as np
import pytest

from i2i.translators import translator_class
from tests.translators.cases import CASES, DOMAINS, tiny_run

TINY = {method: tiny_run(method) for method in CASES}
"""Settings of a run of each method with everything random switched on: crops, flips, dropout, pool."""
IMAGES = 40
"""Number of files in each of the large folders."""


def _image(rng, height, width):
    low = rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return cv2.resize(low, (width, height), interpolation=cv2.INTER_CUBIC)


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Method -> the data options of a folder it can learn from."""
    return _drawn(tmp_path_factory.mktemp("data"), 7, 1)


@pytest.fixture(scope="session")
def large_folders(tmp_path_factory):
    """The same with more and larger images, which a run caches."""
    return _drawn(tmp_path_factory.mktemp("large"), IMAGES, 3)


def _drawn(root, count, scale):
    rng = np.random.default_rng(0)
    sizes = {"pairs/train": (70, 140), "pairs/val": (70, 140), "a": (40, 48), "b": (48, 40)}
    sizes |= {f"domains/train/{name}": (40, 44) for name in ("rain", "shine", "snow")[:DOMAINS]}
    for name, (height, width) in sizes.items():
        (root / name).mkdir(parents=True)
        for i in range(count):
            assert cv2.imwrite(str(root / name / f"{i}.png"), _image(rng, scale * height, scale * width))
    shutil.copytree(root / "a", root / "captions" / "a")
    texts = ("A red house.", "house, a red house", "red")
    for i in range(count):
        (root / "captions" / "a" / f"{i}.txt").write_text(texts[i % 3] + "\n" + texts[i % 2] + "\n")
    kinds = {
        "pairs": {"data": str(root / "pairs")},
        "unpaired": {"a": str(root / "a"), "b": str(root / "b")},
        "domains": {"data": str(root / "domains")},
        "images": {"data": str(root / "a")},
        "captions": {"data": str(root / "captions" / "a")},
    }
    return {method: kinds[translator_class(method).data] for method in CASES}
