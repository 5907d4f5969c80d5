"""Parts of messages: counts, lists of names, paths that are wrong."""

from __future__ import annotations

import ast
import errno
import re
from pathlib import Path

import pytest

import i2i
from i2i.text import join_names, not_found, os_error, parse_bytes, plural, split_names


def test_a_count_agrees_with_its_noun() -> None:
    assert [plural(count, "image") for count in (0, 1, 2)] == ["0 images", "1 image", "2 images"]
    assert [plural(count, "axis", "axes") for count in (1, 3)] == ["1 axis", "3 axes"]


NOUNS = (
    "attributes|axes|bytes|captions|channels|components|convolutions|domains|files|frames|images|inputs|models|"
    "networks|outputs|packets|pages|pairs|problems|results|rows|tensors|values|videos"
)
# Words of the messages in which a number cannot be 1, or stands before a noun that it does not count.
SEVERAL = (
    *("frames or pages", "at once", "frames a second", "files; choose", "files are not", "images in", "of this name"),
    *("a folder of", "a TIFF of", "models make", "makes tensors", "contains ", "has results", "images/s"),
    *("frames/s", "inputs{", "outputs{", "of its tensors"),
)


def test_no_message_counts_by_hand() -> None:
    """A number before a plural noun reads "1 images" one day; so every message asks ``plural``."""
    found = []
    for path in Path(i2i.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "{}" for part in node.values]
                text = "".join(map(str, parts))
                counted = re.search(rf"\{{\}} (?:[a-z]+ )?(?:{NOUNS})\b", text)
                if counted and not any(words in text for words in SEVERAL):
                    found.append((path.name, text))
    assert found == []


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("cat", ["cat"]),
        ("cat,dog", ["cat", "dog"]),
        (" cat , dog ", ["cat", "dog"]),
        ('"a,b",c', ["a,b", "c"]),
        ('"a,b", "c ""d"""', ["a,b", 'c "d"']),
        ("", []),
    ],
)
def test_names_as_in_csv(text: str, names: list[str]) -> None:
    assert split_names(text) == names
    assert split_names(join_names(names)) == names


def test_names_that_are_no_line() -> None:
    with pytest.raises(ValueError, match=r"is no list of names with commas between"):
        split_names("a\nb")


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("http://h/x.png", True),
        ("http:/h/x.png", True),
        (Path("https://h/x.png"), True),
        ("s3://bucket/key", True),
        ("HTTP://h/x.png", True),
        ("C:/x.png", False),
        ("camera:0", False),
        ("a/b", False),
        ("/http://x", False),
    ],
)
def test_a_url_is_named_as_one(path: str | Path, url: bool) -> None:
    hint = (
        "URLs are not read here: download it first; `i2i translate` takes folders at URLs"
        if url
        else "no such file or folder"
    )
    assert not_found(path) == f"{path}: {hint}"


def test_a_file_called_like_a_url_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "http:" / "h").mkdir(parents=True)
    assert not_found("http:/h") == "http:/h: no such file or folder"


def test_a_file_in_the_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"")
    for path in (tmp_path / "f", tmp_path / "f" / "a" / "b"):
        with pytest.raises((FileExistsError, NotADirectoryError)) as raised:
            path.mkdir(parents=path != tmp_path / "f")
        expected = f"{tmp_path / 'f'}: a file, where a folder is needed; remove it, or choose another destination"
        assert os_error(raised.value) == expected


def test_other_errors_of_the_system() -> None:
    assert os_error(OSError(errno.ENOSPC, "No space left on device", "x/y")) == "x/y: No space left on device"
    assert os_error(OSError(errno.ENOSPC, "No space left on device")) == "No space left on device"
    assert os_error(OSError("it broke")) == "it broke"


@pytest.mark.parametrize(
    ("size", "count"),
    [("off", 0), ("4GB", 4 * 10**9), ("1.5 gb", 1_500_000_000), ("20 MB", 20_000_000), ("7kB", 7000), ("9B", 9),
     ("2TB", 2 * 10**12)],
)  # fmt: skip
def test_a_number_of_bytes(size: str, count: int) -> None:
    assert parse_bytes("cache", size) == count


@pytest.mark.parametrize("size", ["", "4", "GB", "0GB", "-1GB", "1e3MB", "4GiB", "OFF", "1 000MB"])
def test_what_is_no_number_of_bytes(size: str) -> None:
    with pytest.raises(ValueError, match=rf"^cache is '{size}'; expected a size such as 500MB or 4GB, or off$"):
        parse_bytes("cache", size)
