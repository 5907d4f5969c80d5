"""Which files of a folder are its images."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from i2i.images.pixels import ImageError

_READ = "jpg jpeg jpe jfif mpo png apng webp tif tiff bmp dib gif ico ppm pgm pbm pnm jp2 j2k j2c jpx jpf"
_NAMED = "avif heic heif jxl qoi tga psd exr hdr pcx dds"  # not read, but listed: better an error than silence
IMAGE_SUFFIXES = frozenset("." + suffix for suffix in f"{_READ} {_NAMED}".split())


def list_images(root: str | os.PathLike[str], on_error: Callable[[ImageError], None] | None = None) -> list[Path]:
    """Every image under the folder, by suffix, in the order of the relative paths.

    Names that begin with a dot are skipped. Links to folders are followed, each real folder once, so a loop of links
    ends. A folder that cannot be opened is given to ``on_error``; without it, its ImageError is raised.
    """
    root = Path(root)
    found: list[Path] = []
    seen: set[tuple[int, int]] = set()
    links: list[Path] = []  # visited last: a folder is listed under its own name, if that is below root too
    folders = [root]
    while folders or links:
        folder = folders.pop() if folders else links.pop(0)
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            problem = ImageError(folder, f"the folder cannot be read: {error.strerror}")
            if on_error is None:
                raise problem from error
            on_error(problem)
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if os.path.isdir(entry.path):  # entry.is_dir() raises for a link to itself
                (links if entry.is_symlink() else folders).append(folder / entry.name)
            elif os.path.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES and not _is_special(entry):
                found.append(folder / entry.name)
    return sorted(found, key=lambda path: path.relative_to(root).as_posix())


def _is_special(entry: os.DirEntry[str]) -> bool:
    """A pipe, socket or device, which reading would hang on; a dangling link is none and is an error when read."""
    return os.path.exists(entry.path) and not os.path.isfile(entry.path)
