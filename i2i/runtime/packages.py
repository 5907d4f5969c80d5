"""Packages that overwrite each other: pip installs them side by side without a word, and one of them is then broken."""

from __future__ import annotations

from importlib import metadata, util
from pathlib import Path

# Import name -> the distributions that all write into that one folder; the first is the one that i2i asks for.
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


def installed(module: str) -> dict[str, str]:
    """The distributions present that write into the module's folder, with their versions."""
    found = {}
    for name in RIVALS[module]:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def rivals() -> list[str]:
    """A sentence for each module that two installed packages write, with the lines that repair it."""
    found = []
    for module in RIVALS:
        present = installed(module)
        if len(present) > 1:
            keep = next(iter(present))
            together = " and ".join(f"{name} {version}" for name, version in present.items())
            found.append(
                f"{together} are both installed and overwrite each other. Repair: "
                f"pip uninstall -y {' '.join(present)} && pip install {keep}=={present[keep]}"
            )
    return found


def shells() -> list[str]:
    """A sentence for each module of which only the folder is left, with the line that repairs it."""
    return [
        f"{module} is an empty shell, as uninstalling one of two rival packages leaves it. Repair: "
        f"pip install --force-reinstall --no-deps {next(iter(installed(module)), RIVALS[module][0])}"
        for module in RIVALS
        if _is_hollow(module)
    ]


def _is_hollow(module: str) -> bool:
    """Whether its folder is there and its content is not."""
    spec = util.find_spec(module)
    if spec is None:
        return False
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    return spec.origin is None or not any((folder / "__init__.py").is_file() for folder in folders)
