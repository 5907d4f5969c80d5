"""Labels for generated images: the three tables, the names of the classes, and wrong use."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from i2i.errors import DataError
from i2i.evaluation import label_images, labelling
from i2i.images import Image, ImageError, write_image
from i2i.runtime.errors import ModelError
from tests import tiny


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A folder of a dark, a bright and a dark image, and a bright one in a folder inside."""
    folder = tmp_path / "made"
    (folder / "more").mkdir(parents=True)
    for name, level in (("000000.png", 20), ("000001.png", 220), ("000002.png", 90), ("more/000000.png", 250)):
        write_image(folder / name, Image(np.full((8, 6, 3), level, np.uint8)))
    return folder


def rows(table: Path) -> list[list[str]]:
    with open(table, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_pseudo_labels_are_what_the_judge_sees(made: Path, brightness_judge: Path) -> None:
    table = label_images(made, "pseudo", judge=brightness_judge)
    assert table == made / "labels.csv"
    assert rows(table) == [
        ["file", "dark", "bright"], ["000000.png", "1", "0"], ["000001.png", "0", "1"], ["000002.png", "1", "0"],
    ]  # fmt: skip


def test_uniform_and_new_class(made: Path, brightness_judge: Path) -> None:
    names = ["a", "b", "c,d"]
    found = rows(label_images(made, "uniform", classes=names))
    assert found[0] == ["file", *names]
    assert [row[0] for row in found[1:]] == ["000000.png", "000001.png", "000002.png"]
    assert all(sum(map(float, row[1:])) == pytest.approx(1, abs=1e-9) and len(set(row[1:])) == 1 for row in found[1:])
    found = rows(label_images(made, "new-class", classes=names, overwrite=True))
    assert found[0] == ["file", *names, "generated"]
    assert [row[1:] for row in found[1:]] == [["0", "0", "0", "1"]] * 3
    found = rows(label_images(made, "new-class", judge=brightness_judge, overwrite=True))
    assert found[:2] == [["file", "dark", "bright", "generated"], ["000000.png", "0", "0", "1"]]


def test_what_is_missing_or_wrong_is_named(made: Path, brightness_judge: Path, red_segmenter: Path) -> None:
    for error, words, given in (
        (ValueError, "labels are 'new'; expected new-class, uniform, pseudo", {"labels": "new"}),
        (ValueError, "pseudo labels are those of a classifier; give --judge", {"labels": "pseudo", "classes": ["a"]}),
        (ValueError, "this generator draws no classes; give --judge FILE", {"labels": "uniform"}),
        (ValueError, "two classes have the name 'generated'", {"labels": "new-class", "classes": ["b", "generated"]}),
        (ModelError, "is a segmenter; labels need a classifier", {"labels": "pseudo", "judge": red_segmenter}),
    ):
        with pytest.raises(error, match=words):
            label_images(made, **given)
        assert not (made / "labels.csv").exists()
    (made / "empty").mkdir()
    with pytest.raises(DataError, match="no images to label"):
        label_images(made / "empty", "uniform", classes=["a"])


def test_a_table_is_whole_or_not_there_and_never_replaced_unasked(made: Path, brightness_judge: Path) -> None:
    (made / "000002.png").write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"000002\.png"):
        label_images(made, "pseudo", judge=brightness_judge)
    assert not [path for path in made.iterdir() if "labels" in path.name or path.suffix == ".part"]
    before = label_images(made, "uniform", classes=["a", "b"]).read_bytes()
    with pytest.raises(ValueError, match=r"labels.csv is there already; .* --overwrite"):
        label_images(made, "new-class", classes=["a", "b"])
    with pytest.raises(ImageError):
        label_images(made, "pseudo", judge=brightness_judge, overwrite=True)
    assert (made / "labels.csv").read_bytes() == before


def test_a_judge_must_name_each_of_its_classes(made: Path, brightness_judge: Path) -> None:
    model = onnx.load(brightness_judge)
    helper.set_model_props(model, {"classes": json.dumps(["dark"])})
    onnx.save(model, brightness_judge)
    with pytest.raises(ModelError, match="returns the scores of 2 classes, and its metadata 'classes' names 1"):
        label_images(made, "pseudo", judge=brightness_judge)


def test_a_judge_of_any_number_of_classes(made: Path) -> None:
    """Its graph does not say how many; without names there is nothing to head the columns with."""
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=1),
        helper.make_node("ReduceMean", ["f", "a"], ["mean"], keepdims=0),
        helper.make_node("Compress", ["mean", "all"], ["y"], axis=1),
    ]
    path = made.parent / "any.onnx"
    ends = [("x", "uint8", ["n", "h", "w", 3])], [("y", "float32", ["n", "k"])]
    tiny.write(path, nodes, None, {"a": np.array([1, 2]), "all": np.array([True] * 3)}, *ends)
    with pytest.raises(ValueError, match="this judge names none"):
        label_images(made, "pseudo", judge=path)
    model = onnx.load(path)
    helper.set_model_props(model, {"classes": json.dumps(["r", "g"])})
    onnx.save(model, path)
    write_image(made / "000000.png", Image(np.full((8, 6, 3), (0, 0, 90), np.uint8)))
    with pytest.raises(ModelError, match=r"any\.onnx names 2 classes and returns more scores"):
        label_images(made, "pseudo", judge=path)


def test_the_schemes_of_the_command_line() -> None:
    from i2i.cli.generate import command

    (option,) = (one for one in command.params if one.name == "labels")
    assert tuple(option.type.choices) == labelling.SCHEMES
