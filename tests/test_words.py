"""The product's language: plain English in docstrings, comments, messages, help texts and pages."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

import i2i

PACKAGE = Path(i2i.__file__).parent
ROOT = PACKAGE.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]

# A docstring says what the thing is or does, noun or verb first.
OPENINGS = re.compile(r"(What|Whether|Of|How|That|Takes it|Said|Told|As it|Those|Who|By how)\b")
# A function's docstring begins in the imperative: "Return", not "Returns".
THIRD_PERSON = re.compile(
    r"(Adds|Calls|Copies|Ends|Gives|Has|Lets|Makes|Moves|Notes|Opens|Puts|Raises|Reads|Removes|Returns|Runs|Takes|"
    r"Trains|Translates|Turns|Waits|Writes)\b"
)

# Words that no page of NumPy, PyTorch or httpx uses, and where there is one, the field's own.
PRIVATE = {
    r"\banew\b": "again",
    r"\blest\b": "so that ... not",
    r"\bwhoever\b": "users who",
    r"\bunsaid\b": "not stated",
    r"\buntold\b": "not reported",
    r"\b(?:is|are|was|were|be|being) said\b": "is logged, the message says",
    r"\bhas to be\b|\bhave to be\b": "must be",
    r"\bcomes to be\b": "is written",
    r"\bthat others (?:made|trained)\b": "third-party",
    r"\bothers' (?:models?|checkpoints?|networks?|weights)\b": "third-party",
    r"\bout of its own hands\b": "",
    r"\bof no account\b": "ignored",
    r"\bin silence\b": "silently",
    r"\bfilms?\b": "video",
    r"\btold\b": "given, reported, distinguished",
    r"\bcome by\b": "found, chosen",
    r"\bgone on with\b": "continued",
    r"\bthe last word\b": "the latest entry",
    r"\bslows all alike\b": "slows all of them equally",
    r"\bat its most\b": "at its peak",
}  # fmt: skip


def _badly_opened(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield line and text of the docstrings that begin with neither a noun nor an imperative."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node) or ""
            if OPENINGS.match(text) or (isinstance(node, ast.FunctionDef) and THIRD_PERSON.match(text)):
                yield node.body[0].lineno, text


def _texts(path: Path) -> Iterator[tuple[int, str]]:
    """Every string and comment of a source file, or every line of a page, with its line number."""
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        yield from enumerate(source.splitlines(), 1)
        return
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in (tokenize.STRING, tokenize.COMMENT):
            yield token.start[0], token.string


SOURCES = sorted(PACKAGE.rglob("*.py"))
# Files of tools and of tests, without this one, which lists the words.
OTHERS = [p for folder in ("tools", "tests") for p in sorted((ROOT / folder).rglob("*.py")) if p != Path(__file__)]


@pytest.mark.parametrize("part", sorted({p.relative_to(PACKAGE).parts[0] for p in SOURCES}))
def test_docstrings_begin_with_a_noun_or_verb(part: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {text.splitlines()[0]}"
        for path in SOURCES
        if path.relative_to(PACKAGE).parts[0] == part
        for line, text in _badly_opened(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("part", sorted({p.relative_to(PACKAGE).parts[0] for p in SOURCES}))
def test_no_private_words_in_the_package(part: str) -> None:
    files = [path for path in SOURCES if path.relative_to(PACKAGE).parts[0] == part]
    wrong = list(_private(files))
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("part", sorted({p.relative_to(ROOT).parent for p in OTHERS}), ids=str)
def test_no_private_words_in_tools_and_tests(part: Path) -> None:
    files = [path for path in OTHERS if path.relative_to(ROOT).parent == part]
    wrong = list(_private(files)) + [
        f"{path.relative_to(ROOT)}:{node.lineno}: {node.name}"
        for path in files
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and any(_found(node.name.replace("_", " ")))
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_private_words_in_the_pages(page: Path) -> None:
    wrong = list(_private([page]))
    assert not wrong, "\n".join(wrong)


def _found(text: str) -> Iterator[tuple[str, str]]:
    """Yield the private words of a text, each with a better one."""
    for pattern, better in PRIVATE.items():
        found = re.search(pattern, text, re.IGNORECASE)
        if found:
            yield found.group(), better


def _private(files: list[Path]) -> Iterator[str]:
    for path in files:
        for line, text in _texts(path):
            for word, better in _found(text):
                yield f"{path.relative_to(ROOT)}:{line}: {word!r}; write {better or 'it plainly'!r}"
