"""Features of real photos, and of what may go wrong with them, computed once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from i2i.evaluation.networks import open_features
from i2i.evaluation.pictures import Picture
from i2i.images import Image, list_images, read_image


@pytest.fixture(scope="session")
def photo_features(reference: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """lite0's features of 16 photos of summer, blurred and of winter, and of noise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("I2I_CACHE", str(tmp_path_factory.mktemp("cache")))
        extractor = open_features("lite0", "cpu")
    folders = {name: reference(f"data/summer2winter/test{side}") for name, side in (("summer", "A"), ("winter", "B"))}
    photos = {name: [read_image(path).pixels for path in list_images(f)[:16]] for name, f in folders.items()}
    photos["blurred"] = [cv2.GaussianBlur(photo, (0, 0), 0.6) for photo in photos["summer"]]
    rng = np.random.default_rng(0)
    photos["noise"] = [rng.integers(0, 256, (64, 64, 3)).astype(np.uint8) for _ in range(8)]
    return {
        name: np.stack([extractor(Picture(Image(photo), name))[0] for photo in found]) for name, found in photos.items()
    }
