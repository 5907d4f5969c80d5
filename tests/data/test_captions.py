"""Images with captions, from a table or from text files: batches, the words, and errors."""

from __future__ import annotations

import pytest
import torch

from i2i.data import Batches, DataError, View, has_split, read_folders

PLAIN = View.plain((32, 32))
TABLE = """file,caption
1.png,A red house.
1.png,"a house, red"
2.png,a tree at night
3.png,red trees
"""


@pytest.fixture
def houses(draw, tmp_path):
    for number in (1, 2, 3):
        draw(f"houses/{number}.png", 40 * number)
    (tmp_path / "houses" / "captions.csv").write_text(TABLE)
    return tmp_path / "houses"


def read(houses, **options):
    return read_folders("captions", data=houses, **options)


def sentences(dataset, epochs=1, seed=0):
    """Return the pairs of captions right and wrong that are seen of each image, as words."""
    vocabulary = ["", "?", *dataset.hyperparameters["vocabulary"].split()]
    found = {}
    for position in range(epochs * len(dataset)):
        sample = dataset.sample(position, seed, PLAIN)
        number = round(float(sample["x"].mean() + 1) * 127.5 / 40)
        pair = tuple(" ".join(vocabulary[i] for i in sample[name] if i) for name in ("text", "wrong"))
        found.setdefault(number, set()).add(pair)
    return found


def test_an_image_has_its_captions_and_wrong_ones_of_others(houses):
    dataset = read(houses)
    assert dataset.kind == "captions"
    assert dataset.hyperparameters == {"vocabulary": "a at house night red tree trees", "words": 4}
    sample = dataset.sample(0, 0, PLAIN)
    assert {name: tensor.dtype for name, tensor in sample.items()} == {
        "x": torch.float32, "text": torch.int64, "wrong": torch.int64,
    }  # fmt: skip
    one = {"a red house", "a house red"}
    pairs = sentences(dataset, 60)
    assert pairs[1] == {(right, wrong) for right in one for wrong in ("a tree at night", "red trees")}
    assert pairs[2] == {("a tree at night", wrong) for wrong in (*one, "red trees")}
    assert "captions: 4, of up to 4 words; 7 different words" in str(dataset.report)


def test_a_caption_depends_on_seed_and_position_alone(houses):
    dataset = read(houses)
    once, again = (dataset.sample(5, 3, PLAIN) for _ in range(2))
    assert all(torch.equal(once[name], again[name]) for name in once)
    texts = {tuple(dataset.sample(5, seed, PLAIN)["wrong"].tolist()) for seed in range(20)}
    assert len(texts) > 1
    with Batches(dataset, PLAIN, 2, workers=0) as batches:
        assert next(batches)["text"].shape == (2, 4)


def test_images_with_equal_captions_are_never_wrong_for_each_other(draw, houses):
    draw("houses/4.png", 160)
    (houses / "captions.csv").write_text(TABLE + "4.png,RED trees\n")
    pairs = sentences(read(houses), 60)
    assert all(right != wrong for several in pairs.values() for right, wrong in several)


def test_text_files_beside_the_images(houses):
    (houses / "captions.csv").unlink()
    for number, text in enumerate(("a red house\n\na house, red\n", "a tree at night", "red trees"), 1):
        (houses / f"{number}.txt").write_text(text)
    assert sentences(read(houses), 60)[1] == {
        (right, wrong) for right in ("a red house", "a house red") for wrong in ("a tree at night", "red trees")
    }


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_elsewhere_for_all_splits(draw, tmp_path, separator):
    for name, level in (("train/1", 40), ("train/2", 80), ("test/1", 120), ("test/2", 160)):
        draw(f"houses/{name}.png", level)
    rows = [("image", "caption"), ("train/1.png", "a house"), ("houses/train/2.png", "a tree"),
            ("test/1.png", "an old tree"), ("test/2.png", "a house")]  # fmt: skip
    (tmp_path / "words.csv").write_text("\n".join(separator.join(row) for row in rows), "utf-16")
    options = {"data": tmp_path / "houses", "captions": tmp_path / "words.csv"}
    train, test = (read_folders("captions", **options, split=split) for split in ("train", "test"))
    assert train.hyperparameters == test.hyperparameters == {"vocabulary": "a house tree", "words": 2}
    assert sentences(test)[3] == {
        ("? ?", "a house")
    }  # words that training does not know, and what is beyond its length
    assert has_split("test", tmp_path / "houses", kind="captions")
    assert not has_split("val", tmp_path / "houses", kind="captions")


def test_other_captions_are_other_data(houses):
    before = read(houses).fingerprint
    assert read(houses).fingerprint == before
    (houses / "captions.csv").write_text(TABLE.replace("red trees", "two trees"))
    assert read(houses).fingerprint != before


def test_images_without_captions_and_captions_without_images_are_named(draw, houses):
    draw("houses/4.png", 160)
    (houses / "captions.csv").write_text(TABLE + "5.png,a fir\n")
    with pytest.raises(
        DataError, match=r"(?s)image: 2 \(at most 0.*5.png: the table has a row.*4.png: no row in captions"
    ):
        read(houses)
    dataset = read(houses, max_bad=2)
    assert len(dataset) == 3
    assert [warning for warning in dataset.report.warnings if "left out: 5.png" in warning]
    (houses / "captions.csv").unlink()
    (houses / "1.txt").write_text("a house")
    (houses / "2.txt").write_text("\n?\n")
    (houses / "3.txt").write_text("a tree")
    (houses / "7.txt").write_text("a fir")
    with pytest.raises(
        DataError, match=r"(?s)2.png: no caption in 2.txt.*4.png: no 4.txt beside it.*7.txt: no image of"
    ):
        read(houses)
    assert len(read(houses, max_bad=3)) == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1.png,a house\n", r"no table of captions, its first line is '1.png,a house'.*\"file,caption\""),
        ("1.png a house\n", "no table of captions"),
        ("file,caption\n1.png,a house, red\n", "line 2: 3 columns; expected the image's name and a caption, in double"),
        ("file,caption\n1.png,...\n", "line 2: no word in the caption of 1.png"),
        ("file,caption\n", "there is no caption in it"),
        ("file,caption\n1.png,a house\n2.png,a house\n3.png,A house!\n", "1.png has every caption of the data"),
    ],
)
def test_tables_that_are_wrong(houses, text, words):
    (houses / "captions.csv").write_text(text)
    with pytest.raises(DataError, match=f"(?s){words}"):
        read(houses)


def test_a_folder_without_captions_says_what_is_expected(houses):
    (houses / "captions.csv").unlink()
    with pytest.raises(DataError, match=r"(?s)no image in it has a caption in text files.*DIR/captions.csv"):
        read(houses)
    with pytest.raises(DataError, match="no 'test' data here"):
        read(houses, split="test")
    with pytest.raises(DataError, match="give --data DIR with the images"):
        read_folders("captions", a=houses, b=houses)
    with pytest.raises(DataError, match="--attributes and --select are for labelled images"):
        read(houses, select="a")
    with pytest.raises(
        DataError, match="--captions is for methods that learn from captions; this one trains on images"
    ):
        read_folders("images", data=houses, captions=houses / "captions.csv")
