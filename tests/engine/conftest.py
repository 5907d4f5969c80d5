"""Small folders of images, and runs small enough to be done many times."""

import cv2
import numpy as np
import pytest

TINY = {
    "pix2pix": {"generator": "unet_64", "ngf": 2, "ndf": 2, "size": 64, "batch": 2, "norm": "instance"},
    "cyclegan": {"generator": "resnet_1", "ngf": 2, "ndf": 2, "size": 32, "batch": 2, "pool": 3, "dropout": True},
}
"""Settings of a run of each method with everything random switched on: crops, flips, dropout, pool."""


def _image(rng, height, width):
    low = rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return cv2.resize(low, (width, height), interpolation=cv2.INTER_CUBIC)


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Method -> the data options of a folder it can learn from."""
    root, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for name, (height, width) in {
        "pairs/train": (70, 140),
        "pairs/val": (70, 140),
        "a": (40, 48),
        "b": (48, 40),
    }.items():
        (root / name).mkdir(parents=True)
        for i in range(7):
            assert cv2.imwrite(str(root / name / f"{i}.png"), _image(rng, height, width))
    return {
        "pix2pix": {"data": str(root / "pairs")},
        "cyclegan": {"a": str(root / "a"), "b": str(root / "b")},
    }
