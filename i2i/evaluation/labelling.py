"""Labels for generated images, with which a classifier can be trained on them: a table of probabilities."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from i2i.atomic import atomically, clear_temporaries
from i2i.errors import DataError
from i2i.evaluation.networks import Classifier, open_judge
from i2i.evaluation.pictures import Picture
from i2i.images import list_images, read_image
from i2i.runtime.errors import ModelError
from i2i.text import join_names, printable

SCHEMES = ("new-class", "uniform", "pseudo")
TABLE = "labels.csv"
NEW = "generated"
"""Name of the class of all generated images, of the scheme new-class."""

PathLike = str | os.PathLike[str]


class Labels:
    """Labels of generated images by one scheme.

    Args:
        scheme: new-class: all of them are one more class, the last (Salimans et al. 2016, arXiv:1606.03498, section 5);
            uniform: every class is equally probable (label smoothing for outliers; Zheng et al. 2017, arXiv:1701.07717,
            equation 5); pseudo: the class for which the judge's score is largest, with probability 1 (Lee 2013).
        classes: names of the classes; by default those of the judge.
        judge: an ONNX classifier, which pseudo needs.
        provider: of the judge.

    Raises ValueError for another scheme and where there are no names, and ModelError for a judge that is no classifier.
    """

    def __init__(
        self, scheme: str, classes: Sequence[str] = (), judge: PathLike | None = None, provider: str = "auto"
    ) -> None:
        if scheme not in SCHEMES:
            raise ValueError(f"labels are {scheme!r}; expected {', '.join(SCHEMES)}")
        if scheme == "pseudo" and judge is None:
            raise ValueError("pseudo labels are those of a classifier; give --judge FILE, an ONNX classifier")
        self.scheme, self._judge = scheme, None if judge is None else _classifier(Path(judge), provider)
        names = list(classes) if self._judge is None else self._judge.classes
        if not names:
            where = "this judge names none" if self._judge else "this generator draws no classes"
            raise ValueError(
                f"labels need the names of the classes, and {where}; give --judge FILE, an ONNX classifier with the "
                "names in its metadata 'classes'"
            )
        if scheme == "new-class":
            names = [*names, NEW]
        if repeated := [one for one, next_one in pairwise(sorted(names)) if one == next_one]:
            raise ValueError(f"two classes have the name {repeated[0]!r}; rename one of {join_names(names)}")
        self.classes = names

    def of(self, path: Path) -> np.ndarray:
        """Return the probability of each class for an image, float64 [classes]; their sum is 1."""
        count = len(self.classes)
        if self.scheme == "uniform":
            return np.full(count, 1 / count)
        return np.eye(count)[count - 1 if self._judge is None or self.scheme == "new-class" else self._seen(path)]

    def _seen(self, path: Path) -> int:
        assert self._judge is not None
        found = self._judge(Picture(read_image(path), str(path)))
        if found >= len(self.classes):
            raise ModelError(f"{self._judge.name} names {len(self.classes)} classes and returns more scores")
        return found

    def write(self, paths: Iterable[Path], table: Path, progress: Callable[[int], object] = lambda done: None) -> None:
        """Write the table of images: a line each, its name and its probabilities, below a line with the classes."""

        def lines(temporary: Path) -> None:
            with open(temporary, "w", encoding="utf-8", newline="") as file:
                rows = csv.writer(file, lineterminator="\n")
                rows.writerow(["file", *self.classes])
                for done, path in enumerate(paths, 1):
                    rows.writerow([path.name, *(f"{value:.10g}" for value in self.of(path))])
                    progress(done)

        clear_temporaries(table.parent, table.name)
        atomically(table, lines)


def check_table(folder: Path, overwrite: bool) -> Path:
    """Return the path of a folder's table. Raises ValueError if there is one already, unless ``overwrite``."""
    table = folder / TABLE
    if table.exists() and not overwrite:
        raise ValueError(f"{printable(table)} is there already; choose another folder with --out, or --overwrite")
    return table


def label_images(
    folder: PathLike,
    labels: str,
    *,
    judge: PathLike | None = None,
    classes: Sequence[str] = (),
    overwrite: bool = False,
    provider: str = "auto",
) -> Path:
    """Write ``labels.csv`` beside the generated images of a folder: a probability for each image and class.

    Args:
        folder: its images, without those in folders inside.
        labels: new-class: one more class, ``generated``, which is the last, has probability 1; uniform: all classes
            are equally probable; pseudo: the class that the judge sees has probability 1.
        judge: an ONNX classifier as :func:`i2i.evaluate` takes it, for pseudo, and for the names of the classes.
        classes: their names, where there is no judge.
        overwrite: replace an existing table; default False.
        provider: of the judge, as :func:`i2i.load` takes it; default "auto".

    Returns the path of the table, which is written completely or not at all.

    Raises DataError for a folder without images, ModelError for a judge that is no classifier, ImageError for an image
    that cannot be read, and ValueError for wrong arguments and an existing table.
    """
    table = check_table(Path(folder), overwrite)
    found = Labels(labels, classes, judge, provider)
    paths = sorted(path for path in list_images(Path(folder)) if path.parent == Path(folder))
    if not paths:
        raise DataError(f"{printable(folder)}: no images to label")
    found.write(paths, table)
    return table


def _classifier(path: Path, provider: str) -> Classifier:
    judge = open_judge(path, provider)
    if not isinstance(judge, Classifier):
        raise ModelError(f"{printable(path)} is a segmenter; labels need a classifier, whose scores are [n, classes]")
    return judge
