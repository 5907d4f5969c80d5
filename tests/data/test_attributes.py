"""Tables of attributes in both formats: the labels of each image, and errors."""

from __future__ import annotations

import pytest
import torch

from i2i.data import DataError, View, has_split, read_folders
from i2i.data.attributes import read_table

PLAIN = View((32, 32), load=1, flip=False, crop="center")
CELEBA = "3\nMale Young Bald \n1.png -1  1 -1\n2.png  1 1 -1\n3.png 1 -1  1\n"
CSV = "file,Male,Young,Bald\n1.png,0,1,0\n2.png,1,1,-1\n3.png,1,0,1\n"


@pytest.fixture
def faces(draw, tmp_path):
    for number in (1, 2, 3):
        draw(f"faces/{number}.png", 40 * number)
    (tmp_path / "celeba.txt").write_text(CELEBA)
    (tmp_path / "table.csv").write_text(CSV)
    return tmp_path


def read(faces, table="celeba.txt", **options):
    return read_folders("domains", data=faces / "faces", attributes=faces / table, **options)


def write(faces, text):
    (faces / "table.csv").write_text(text)
    return "table.csv"


def labels(dataset):
    """Return the label of each image by its number: an image of level 40 n is the n-th."""
    found = {}
    for position in range(len(dataset)):
        sample = dataset.sample(position, 0, PLAIN)
        found[round(float(sample["x"].mean() + 1) * 127.5 / 40)] = sample["c"].tolist()
    return found


@pytest.mark.parametrize("table", ["celeba.txt", "table.csv"])
def test_both_formats_are_read_alike(faces, table):
    dataset = read(faces, table)
    assert dataset.domains == ("Male", "Young", "Bald")
    assert dataset.hyperparameters == {"domains": 3, "attributes": True}
    assert dataset.source.name == "faces"
    assert labels(dataset) == {1: [0, 1, 0], 2: [1, 1, 0], 3: [1, 0, 1]}
    assert "attributes: Male 2, Young 2, Bald 1" in str(dataset.report)
    assert dataset.sample(0, 0, PLAIN)["c"].dtype == torch.float32


def test_some_attributes_in_the_order_given(faces):
    dataset = read(faces, select="Bald,Male")
    assert dataset.domains == ("Bald", "Male")
    assert labels(dataset) == {1: [0, 0], 2: [0, 1], 3: [1, 1]}
    assert read(faces, select="Male").hyperparameters == {"domains": 1, "attributes": True}


def test_byte_order_marks_quotes_and_empty_lines_are_ignored(faces):
    table = write(faces, '\ufefffile,"Male, or so"\r\n"1.png", 1\r\n\r\n2.png,0\r\n3.png,-1\r\n')
    assert read(faces, table).domains == ("Male, or so",)
    assert labels(read(faces, table)) == {1: [1], 2: [0], 3: [0]}


@pytest.mark.parametrize(
    "text",
    [
        ",file,Male,Young,Bald\n0,1.png,0,1,0\n1,2.png,1,1,-1\n2,3.png,1,0,1\n",
        "Unnamed: 0,file,Male,Young,Bald\n0,1.png,0,1,0\n1,2.png,1,1,-1\n2,3.png,1,0,1\n",
        ",Male,Young,Bald\n1.png,0,1,0\n2.png,1,1,-1\n3.png,1,0,1\n",
        "file,Male,Young,Bald\n1.png,False,True,false\n2.png,TRUE,True,FALSE\n3.png,true,0,1\n",
        "file,Male,Young,Bald\n1.png,0.0,1.0,-1.0\n2.png,1.0,1.00,0\n3.png,1.,-0.0,1\n",
        "file;Male;Young;Bald\n1.png;0;1;0\n2.png;1;1;-1\n3.png;1;0;1\n",
        "file;Male;Young;Bald\n1.png;0,0;1,0;0,0\n2.png;1,0;1,0;-1,0\n3.png;1,0;0,0;1,0\n",
        ";file;Male;Young;Bald\n0;1.png;0;1;0\n1;2.png;1;1;-1\n2;3.png;1;0;1\n",
        "file\tMale\tYoung\tBald\n1.png\t0\t1\t0\n2.png\t1\t1\t-1\n3.png\t1\t0\t1\n",
        "file,Male,Young,Bald\nfaces/1.png,0,1,0\n./faces/2.png,1,1,-1\n./3.png,1,0,1\n",
        "file,Male,Young,Bald\nfaces\\1.png,0,1,0\nfaces\\2.png,1,1,-1\n.\\3.png,1,0,1\n",
        "file,Male,Young,Bald\nFOLDER/1.png,0,1,0\nFOLDER/2.png,1,1,-1\nFOLDER/3.png,1,0,1\n",
        CELEBA.replace("1.png", "faces\\1.png"),
    ],
    ids=[
        "index", "named index", "unnamed images", "words", "fractions", "semicolons", "decimal commas",
        "semicolons and index", "tabs", "folder", "backslashes", "whole paths", "CelebA's with backslashes",
    ],
)  # fmt: skip
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_tables_of_other_programs(faces, text, encoding):
    text = text.replace("FOLDER", str(faces / "faces"))
    (faces / "table.csv").write_bytes(text.replace("\n", "\r\n").encode(encoding))
    dataset = read(faces, "table.csv")
    assert dataset.domains == ("Male", "Young", "Bald")
    assert labels(dataset) == {1: [0, 1, 0], 2: [1, 1, 0], 3: [1, 0, 1]}
    assert not [warning for warning in dataset.report.warnings if "left out" in warning]


def test_an_attribute_of_zeros_and_ones_before_the_names_is_no_index_column(faces):
    with pytest.raises(DataError, match=r"line 2: '1\.png' is not 1, 0 or -1"):
        read(faces, write(faces, "Male,file\n-1,1.png\n1,2.png\n1,3.png\n"))


def test_a_row_with_another_folder_matches_no_image(faces):
    with pytest.raises(DataError, match=r"others/1\.png: the table has a row, but"):
        read(faces, write(faces, "file,Male\nothers/1.png,1\n2.png,0\n3.png,0\n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "this is no table of attributes; expected one of"),
        ("1.png 1 -1\n", "this is no table of attributes"),
        (",,,\n", r"table\.csv: this is no table of attributes; expected one of"),
        ('file,Male\n"1.png,1\n' + "2.png,1\n" * 9, r"table\.csv: line 11: this is no CSV: unexpected end of data"),
        ('file,Male\n"1.png,1\n' + "2.png,1\n" * 20000, r"table\.csv: line \d+: this is no CSV: field larger than"),
        ('file,Male\n"1"2.png,1\n', "line 2: this is no CSV"),
        ("4\nMale\n1.png 1\n2.png 1\n3.png 1\n", "the first line says 4 images, and 3 follow"),
        ("3\nMale\n1.png 1\n2.png 1 1\n3.png 1\n", "line 4: 2 values for 1 attribute"),
        ("2\nMale\n1.png 1\n1.png -1\n", r"line 4: 1\.png already has a row"),
        ("1\nMale Male\n1.png 1 1\n", "attribute 'Male' has two columns"),
        ("1\n\n1.png\n", "there is no attribute in it"),
        ("file,Male\n", "there is no image in it"),
        ("file,Male,\n1.png,1,1\n", "an attribute has no name"),
        (
            "file,Male\n1.png,yes\n2.png,0.5\n",
            r"2 problems with the table:\n  line 2: 'yes' is not 1, 0 or -1, True or False\n  line 3",
        ),
    ],
)
def test_an_incomplete_table_is_an_error_that_names_the_lines(faces, text, message):
    with pytest.raises(DataError, match=message):
        read(faces, write(faces, text))


def test_a_table_that_cannot_be_read(faces):
    with pytest.raises(DataError, match=r"no-such\.csv: the table of attributes cannot be read: No such file"):
        read(faces, "no-such.csv")
    with pytest.raises(DataError, match="cannot be read: no text in UTF-8 or UTF-16"):
        read(faces, "faces/1.png")


def test_an_unknown_attribute_is_an_error_that_lists_the_known_ones(faces):
    with pytest.raises(DataError, match=r"celeba\.txt has no 'Old', 'bald'; it has Male, Young, Bald"):
        read(faces, select="Old,Male,bald")


def test_names_with_commas_are_selected_in_quotes(faces):
    table = write(faces, 'file,"a,b",c\n1.png,1,0\n2.png,0,1\n3.png,1,1\n')
    assert read(faces, table, select="a,b").domains == ("a,b",)
    assert read(faces, table, select='c, "a,b"').domains == ("c", "a,b")
    with pytest.raises(DataError, match="has no 'b', 'a'; it has a,b, c"):
        read(faces, table, select="b,a")


def test_an_attribute_of_all_or_none_is_warned_of(faces):
    dataset = read(faces, write(faces, "file,Face,Hat\n1.png,1,0\n2.png,1,0\n3.png,1,0\n"))
    assert [warning for warning in dataset.report.warnings if "attribute" in warning] == [
        "attribute Face: every image has it, so it cannot be learned",
        "attribute Hat: no image has it, so it cannot be learned",
    ]


def test_images_without_a_row_and_rows_without_an_image_are_named_or_left_out_up_to_a_number(faces):
    table = write(faces, "file,Male\n1.png,1\n2.png,0\n7.png,0\n")
    with pytest.raises(DataError) as caught:
        read(faces, table, max_bad=1)
    assert f"images or rows of {faces / table} without a counterpart: 2 (at most 1" in str(caught.value)
    assert "7.png: the table has a row, but" in str(caught.value)
    assert "faces/3.png: no row in table.csv" in str(caught.value)
    dataset = read(faces, table, max_bad=2)
    assert labels(dataset) == {1: [1], 2: [0]}
    assert sum("left out: " in warning for warning in dataset.report.warnings) == 2
    (faces / "faces" / "1.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"1 of 2 files cannot be read \(with 2 without a counterpart; at most 2 may"):
        read(faces, table, max_bad=2)
    assert labels(read(faces, table, max_bad=3)) == {2: [0]}


def test_rows_name_images_by_path_or_by_name_alone(draw, faces):
    (faces / "faces" / "deep").mkdir()
    (faces / "faces" / "1.png").rename(faces / "faces" / "deep" / "1.png")
    assert labels(read(faces)) == {1: [0, 1, 0], 2: [1, 1, 0], 3: [1, 0, 1]}
    draw("faces/deep/2.png", 160)
    table = write(faces, "file,Male\ndeep/1.png,1\n2.png,0\n3.png,0\ndeep/2.png,1\n")
    assert labels(read(faces, table)) == {1: [1], 2: [0], 3: [0], 4: [1]}
    draw("faces/deeper/1.png", 200)
    with pytest.raises(DataError, match=r"1\.png: there are 2 images of this name, .*deep/1\.png and .*deeper/1\.png"):
        read(faces)
    (faces / "faces" / "3.png").rename(faces / "faces" / "deep" / "3.png")
    table = write(faces, "file,Male\n3.png,1\ndeep/3.png,1\n")
    with pytest.raises(DataError, match=r"deep/3\.png already has a row"):
        read(faces, table, max_bad=9)


def test_one_table_is_about_all_splits(draw, tmp_path):
    draw("faces/train/1.png", 40)
    draw("faces/train/2.png", 80)
    draw("faces/test/3.png", 120)
    (tmp_path / "celeba.txt").write_text(CELEBA)
    assert labels(read(tmp_path)) == {1: [0, 1, 0], 2: [1, 1, 0]}
    assert labels(read(tmp_path, split="test")) == {3: [1, 0, 1]}
    assert has_split("test", tmp_path / "faces", kind="domains", attributes="celeba.txt")
    assert not has_split("val", tmp_path / "faces", kind="domains", attributes="celeba.txt")
    with pytest.raises(DataError, match="no 'val' data here"):
        read(tmp_path, split="val")


def test_the_fingerprint_changes_with_a_label(faces):
    first = read(faces).fingerprint
    assert read(faces, "table.csv").fingerprint == first
    (faces / "celeba.txt").write_text(CELEBA.replace("3.png 1", "3.png -1"))
    assert read(faces).fingerprint != first


def test_celeba(reference):
    root = reference("data/celeba_tiny")
    table = read_table(root / "list_attr_celeba.txt")
    assert (len(table.names), len(table.rows)) == (40, 32)
    assert table.rows["000001.jpg"][table.names.index("Male")] == 0
    assert table.rows["000003.jpg"][table.names.index("Male")] == 1
    dataset = read_folders("domains", data=root, attributes=root / "list_attr_celeba.txt", select="Male,Smiling")
    assert len(dataset) == 32
    assert "attributes: Male 13, Smiling 16" in str(dataset.report)
