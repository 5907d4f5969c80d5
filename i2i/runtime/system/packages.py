"""Detection of installed packages that overwrite each other, which pip allows and which breaks one of them."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from contextlib import suppress
from importlib import util
from pathlib import Path

# Import name -> the distributions that all write into that folder; the first is the one that i2i depends on.
RIVALS = {
    "onnxruntime": (
        "onnxruntime-gpu",
        "onnxruntime",
        "onnxruntime-directml",
        "onnxruntime-openvino",
        "onnxruntime-qnn",
        "onnxruntime-rocm",
    ),
    "cv2": (
        "opencv-python-headless",
        "opencv-python",
        "opencv-contrib-python-headless",
        "opencv-contrib-python",
    ),
}


# Name of a distribution's metadata folder: its name, with "_" for "-", and its version.
_INFO = re.compile(r"([\w.]+)-(\d[^-]*)(?:-.*)?\.(?:dist|egg)-info")


def installed(module: str) -> dict[str, str]:
    """Return the installed distributions that write into the module's folder, with their versions."""
    return _of(module, _distributions(sys.path))


def _of(module: str, found: dict[str, str]) -> dict[str, str]:
    return {name: found[name] for name in RIVALS[module] if name in found}


def _distributions(folders: Iterable[str]) -> dict[str, str]:
    """Return name -> version of the distributions in the folders; the first folder wins.

    Reads names of folders, since the import of ``importlib.metadata`` takes longer than to translate a small image.
    """
    found: dict[str, str] = {}
    for folder in folders:
        with suppress(OSError):
            for entry in os.listdir(folder or os.curdir):
                if entry.endswith("-info") and (info := _INFO.fullmatch(entry)):
                    found.setdefault(re.sub("[_.]+", "-", info[1]).lower(), info[2])
    return found


def rivals() -> list[str]:
    """Return a sentence for each module that several installed packages write, with the command that repairs it."""
    found, distributions = [], _distributions(sys.path)
    for module in RIVALS:
        present = _of(module, distributions)
        if len(present) > 1:
            keep = next(iter(present))
            together = " and ".join(f"{name} {version}" for name, version in present.items())
            found.append(
                f"{together} are both installed and overwrite each other. Repair: "
                f"pip uninstall -y {' '.join(present)} && pip install {keep}=={present[keep]}"
            )
    return found


def shells() -> list[str]:
    """Return a sentence for each module of which only an empty folder is left, with the command that repairs it."""
    return [
        f"{module} is an empty shell, as uninstalling one of two rival packages leaves it. Repair: "
        f"pip install --force-reinstall --no-deps {next(iter(installed(module)), RIVALS[module][0])}"
        for module in RIVALS
        if _is_hollow(module)
    ]


def _is_hollow(module: str) -> bool:
    """True if the module's folder exists without its content."""
    spec = util.find_spec(module)
    if spec is None:
        return False
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    return spec.origin is None or not any((folder / "__init__.py").is_file() for folder in folders)
