"""Sources made of finished images, as the training made them: the picture before a translation."""

from __future__ import annotations

from pathlib import Path

from i2i.images import Image, list_images, read_image, write_image
from i2i.images.derive import derive_image


def write_derived(source: Path, folder: Path, way: str, overwrite: bool = False) -> Path:
    """Write what ``way`` makes of an image, or of each image of a folder, as PNG files to ``folder``, with its tree.

    The same file name gives the same result. A file that is there is kept, or replaced with ``overwrite``. Returns
    ``folder``, or the file for one image. Raises ImageError for an image that cannot be read.
    """
    paths = list_images(source) if source.is_dir() else [source]
    for path in paths:
        name = path.relative_to(source if source.is_dir() else source.parent)
        target = folder / name.with_name(name.name if name.suffix.lower() == ".png" else f"{name.name}.png")
        if overwrite or not target.exists():
            image = read_image(path)
            made = derive_image(Image(image.pixels, icc=image.icc, format="PNG"), way, name.as_posix())
            target.parent.mkdir(parents=True, exist_ok=True)
            write_image(target, made, "PNG")
    return folder if source.is_dir() else target
