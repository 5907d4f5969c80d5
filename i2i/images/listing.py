"""List the image files of a folder, or those of other suffixes."""

from __future__ import annotations

import os
from collections.abc import Callable, Container
from pathlib import Path

from i2i.images.formats.table import IMAGE_SUFFIXES
from i2i.images.image import ImageError


def list_images(root: str | os.PathLike[str], on_error: Callable[[ImageError], None] | None = None) -> list[Path]:
    """Return the path of every image under the folder, in the order of the relative paths; see :func:`name_images`."""
    root = Path(root)
    return [root / name for name in name_images(root, on_error)]


def name_images(root: str | os.PathLike[str], on_error: Callable[[ImageError], None] | None = None) -> list[str]:
    """Return the relative name of every image file under the folder; see :func:`name_files`."""
    return name_files(root, IMAGE_SUFFIXES, on_error)


def name_files(
    root: str | os.PathLike[str], suffixes: Container[str], on_error: Callable[[ImageError], None] | None = None
) -> list[str]:
    """Return the relative name, with "/", of every file under the folder with one of the suffixes, in order.

    Suffixes are in lower case, with their dot. Names that begin with a dot are skipped. Links to folders are followed,
    each real folder once, so a loop of links ends. A folder that cannot be opened is given to ``on_error``; without it,
    its ImageError is raised.
    """
    root = Path(root)
    found: list[str] = []
    seen: set[tuple[int, int]] = set()
    links: list[str] = []  # visited last: a folder is listed under its own name, if that is below root too
    folders = [""]
    while folders or links:
        folder = folders.pop() if folders else links.pop(0)
        try:
            status = os.stat(root / folder)
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(root / folder) as scan:
                entries = sorted(scan, key=lambda entry: entry.name)
        except OSError as error:
            problem = ImageError(root / folder, f"the folder cannot be read: {error.strerror}")
            if on_error is None:
                raise problem from error
            on_error(problem)
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if _leads_to_folder(entry):
                (links if entry.is_symlink() else folders).append(f"{folder}{entry.name}/")
            elif os.path.splitext(entry.name)[1].lower() in suffixes and not _is_special(entry):
                found.append(folder + entry.name)
    return sorted(found)


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    """True for a folder or a link to one. For anything else the disk is not asked, which for many files takes long."""
    # entry.is_dir() raises for a link to itself
    return entry.is_dir(follow_symlinks=False) or (entry.is_symlink() and os.path.isdir(entry.path))


def _is_special(entry: os.DirEntry[str]) -> bool:
    """True for a pipe, socket or device, on which reading would hang; a dangling link is an error when it is read."""
    if entry.is_file(follow_symlinks=False):
        return False
    return os.path.exists(entry.path) and not os.path.isfile(entry.path)
