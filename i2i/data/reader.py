"""Images as training sees them: in the form of their domain, and no larger than the crops of a view need."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from i2i.cache import cache_folder
from i2i.data.file_index import stamp
from i2i.data.image_cache import ImageCache
from i2i.data.layout import half_of
from i2i.data.transforms import View, fit, fit_colours
from i2i.images import Image, ImageError, read_image
from i2i.images.codecs import versions
from i2i.images.domains import clipped, values_of
from i2i.spec import Background, Domain
from i2i.text import os_error

FORM = f"resized 3, {versions()}"  # of a cached image; another number where the same file would give other pixels
_WORTHWHILE = 2  # an image is cached if its file has at least this many times its pixels


class Wanted(NamedTuple):
    """An image file, or its left (0) or right (1) half, and the domain whose form it gets."""

    path: Path
    domain: Domain
    half: int | None = None


class Reader:
    """Read images for a view; ``background`` is what is seen under transparent pixels."""

    def __init__(self, background: Background) -> None:
        self._background = background
        self._cache: ImageCache | None = None

    @contextmanager
    def caching(self, limit: int, name: str, view: View, say: Callable[[str], None]) -> Iterator[None]:
        """Keep resized images in the user's cache folder, ``limit`` bytes at most together with those of other names.

        0 keeps none. Pixels are the same in any case. ``say`` is called with a line of text when no more are kept.
        """
        root = cache_folder() / "resized"
        try:
            cache = ImageCache(root, repr((name, view.size, view.load)), limit, say) if limit else None
        except OSError as error:
            say(f"note: images are decoded each time they are seen, since none can be cached: {os_error(error)}; "
                "set another cache folder in the environment variable I2I_CACHE, or --cache off")  # fmt: skip
            cache = None
        if cache is None:
            yield
            return
        with closing(cache):
            self._cache = cache
            try:
                yield
            finally:
                self._cache = None

    def __call__(self, view: View, *wanted: Wanted) -> list[np.ndarray]:
        """Return each image resized to ``fit`` the view, [h, w, channels]. A file of two of them is decoded once.

        A JPEG that is far larger is decoded at a part of its size. Raises ImageError.
        """
        decoded: dict[Path, Image] = {}
        return [self._read(each, view, decoded) for each in wanted]

    def _read(self, wanted: Wanted, view: View, decoded: dict[Path, Image]) -> np.ndarray:
        path, domain, half = wanted
        cache, mark, key = self._cache, None, ""
        if cache:
            form = domain.channels, domain.dtype, domain.range, self._background, view.size, view.load
            mark, key = stamp(path), repr((FORM, os.path.abspath(path), half, *form))
            if mark and (found := cache.read(key, mark)) is not None:
                return found
        if path not in decoded:
            height, width = view.covered
            least = (height, width) if half is None else (height, 2 * width)
            decoded[path] = read_image(path, least=least, halves=half is not None)
        image = half_of(decoded[path], half)
        try:
            values = values_of(image, domain, self._background)
        except ValueError as error:
            raise ImageError(path, f"{error}: it has changed since training began") from error
        resized = fit_colours if domain.alpha else fit
        pixels = resized(clipped(values, domain), view, image.whole, image.reduction)
        height, width = image.whole or (image.height, image.width)
        if cache and mark and height * width >= _WORTHWHILE * pixels.shape[0] * pixels.shape[1]:
            cache.write(key, mark, pixels)
        return pixels
