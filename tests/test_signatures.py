"""The signatures of the public functions: complete, typed, described, and equal to the settings they stand for."""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Callable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

import i2i
from i2i.data import read_folders
from i2i.engine import api
from i2i.engine.settings import Settings
from i2i.runtime.video.options import CODECS, STEADY_TIME

# Public function -> its open keywords, and the words of its docstring that say why they are open.
OPEN = {"train": ("hyperparameters", "every method, and every translator of your own, has different ones")}
FUNCTIONS = {name: getattr(i2i, name) for name in i2i.__all__ if inspect.isfunction(getattr(i2i, name))}
SETTINGS = {each.name: each for each in fields(Settings) if each.name != "method"}


def entries(function: Callable[..., Any]) -> dict[str, str]:
    """Return the description of each argument in the docstring's ``Args``."""
    text = inspect.getdoc(function) or ""
    section = re.search(r"^Args:\n((?: {4}.*\n|\n)+)", text, re.M)
    assert section, function
    parts = re.split(r"^ {4}(?=\S)", section[1], flags=re.M)[1:]
    named = (part.partition(":") for part in parts)
    return {name.lstrip("*"): " ".join(words.split()) for names, _, words in named for name in names.split(", ")}


def members(annotation: Any) -> set[Any]:
    """Return the types of a union, or the one type."""
    return set(get_args(annotation)) if isinstance(annotation, types.UnionType) else {annotation}


def test_the_public_functions() -> None:
    assert set(FUNCTIONS) == {
        "batches",
        "check",
        "evaluate",
        "export",
        "generate",
        "import_checkpoint",
        "load",
        "report",
        "train",
        "translate",
    }


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_argument_is_typed_and_described(name: str) -> None:
    shown = inspect.signature(FUNCTIONS[name])
    assert all(each.annotation is not each.empty for each in shown.parameters.values())
    assert shown.return_annotation is not shown.empty
    assert not [each for each in shown.parameters.values() if each.kind is each.VAR_POSITIONAL]
    assert set(entries(FUNCTIONS[name])) == set(shown.parameters)
    text = inspect.getdoc(FUNCTIONS[name]) or ""
    assert "Raises " in text
    assert re.search(r"\b[Rr]eturns? ", text)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_open_keywords_have_a_documented_reason(name: str) -> None:
    open_ = [
        each.name for each in inspect.signature(FUNCTIONS[name]).parameters.values() if each.kind == each.VAR_KEYWORD
    ]
    expected = [OPEN[name][0]] if name in OPEN else []
    assert open_ == expected
    assert all(OPEN[name][1] in " ".join(str(inspect.getdoc(FUNCTIONS[name])).split()) for _ in open_)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_help_shows_the_signature(name: str) -> None:
    """Without the reader seeing the decorator: names, not ``*args, **kwargs``."""
    own = inspect.unwrap(FUNCTIONS[name])
    assert inspect.signature(FUNCTIONS[name]) == inspect.signature(own)
    assert FUNCTIONS[name].__qualname__ == name


def test_train_takes_every_setting() -> None:
    shown = inspect.signature(i2i.train).parameters
    own = ["method", "out", "preset", "like", "override", "quiet", "dry_run"]
    assert list(shown) == [*own, *SETTINGS, "hyperparameters"]
    hints, expected = get_type_hints(api.train), get_type_hints(Settings)
    for name in SETTINGS:
        assert shown[name].default is None, name  # not given: the run's own, the preset's, or the default
        assert shown[name].kind is inspect.Parameter.KEYWORD_ONLY
        assert members(expected[name]) | {type(None)} <= members(hints[name]), name


@pytest.mark.parametrize("name", SETTINGS)
def test_trains_docstring_states_each_default(name: str) -> None:
    default, words = SETTINGS[name].default, entries(i2i.train)[name]
    if name == "workers":  # depends on the machine
        assert "default one per core, at most 8" in words
        return
    if default is None or default is MISSING:
        assert not re.search(r"default [\"\d]", words)
        return
    shown = "256" if name == "size" else (f'"{default}"' if isinstance(default, str) else f"{default:g}")
    assert re.search(rf"[dD]efault {re.escape(shown)}(?![\d.]*\d)", words), words
    for choice in SETTINGS[name].metadata.get("choices", ()):
        assert re.search(rf"\b{choice}\b", words), choice


def test_trains_docstring_lists_what_a_run_that_continues_may_change() -> None:
    text = " ".join(str(inspect.getdoc(i2i.train)).split())
    (listed,) = re.findall(
        r"In a run that continues, the paths of the images, (.*?) may change, and with ``override`` others", text
    )
    free = {name for name, each in SETTINGS.items() if each.metadata.get("free")}
    assert set(re.findall(r"``(\w+)``", listed)) | {"a", "b", "data", "attributes", "captions", "mask"} == free


def test_translates_docstring_states_each_default() -> None:
    """The overloads, which the reference shows, have none."""
    shown, described = inspect.signature(i2i.translate).parameters, entries(i2i.translate)
    for name, words in described.items():
        default = shown[name].default
        assert name == "src" or " default " in words, name
        if default is not None and default is not inspect.Parameter.empty:
            value = f'"{default}"' if isinstance(default, str) else f"{default}"
            assert f"default {value.removesuffix('.0')}" in words, name
    assert f"default {STEADY_TIME}" in described["steady_time"]
    assert all(f'"{codec}"' in described["codec"] for codec in CODECS)


def test_train_passes_every_setting_on(monkeypatch: pytest.MonkeyPatch) -> None:
    passed: dict[str, Any] = {}
    monkeypatch.setattr(
        api.Run, "open", lambda method, out, given, **more: passed.update(given, method=method, out=out, **more)
    )
    monkeypatch.setattr(api, "train_run", lambda run, quiet, dry_run: Path(f"{quiet} {dry_run}"))
    given = {name: object() for name in (*SETTINGS, "preset", "lambda_cyc")}
    own = {"out": "run", "like": "other", "override": True}
    assert i2i.train("cyclegan", quiet=True, **own, **given) == Path("True False")
    assert passed == given | own | {"method": "cyclegan"}


def test_check_takes_what_a_training_reads() -> None:
    assert inspect.signature(i2i.check).parameters == inspect.signature(read_folders).parameters
    shown = inspect.signature(i2i.check).parameters
    shared = set(SETTINGS) & set(shown)
    assert shared == {
        "a", "b", "data", "attributes", "captions", "select", "direction", "channels", "background", "max_bad", "range",
        "derive",
    }  # fmt: skip
    assert {name: shown[name].default for name in shared} == {name: SETTINGS[name].default for name in shared}


@pytest.mark.parametrize(
    ("name", "arguments", "wrong", "nearest"),
    [
        ("check", ("unpaired",), "max_bads", "max_bad"),
        ("evaluate", (), "metric", "metrics"),
        ("export", ("run",), "calibrat", "calibrate"),
        ("import_checkpoint", ("G.pth",), "domain", "domains"),
        ("load", (), "providers", "provider"),
        ("translate", ("a.png",), "ovewrite", "overwrite"),
    ],
)
def test_a_wrong_name_is_answered_with_the_nearest(
    name: str, arguments: tuple[str, ...], wrong: str, nearest: str
) -> None:
    with pytest.raises(TypeError) as error:
        FUNCTIONS[name](*arguments, **{wrong: 1})
    assert str(error.value).startswith(f"{name}() has no argument '{wrong}' (did you mean {nearest}?); it takes ")


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [("lamda_cyc", " (did you mean lambda_cyc?)"), ("sizes", " (did you mean size?)"), ("qqq", "")],
)
def test_train_answers_a_wrong_name_with_the_nearest(tmp_path: Path, wrong: str, nearest: str) -> None:
    with pytest.raises(ValueError, match=r"^cyclegan has no ") as error:
        i2i.train("cyclegan", a=tmp_path, b=tmp_path, out=tmp_path / "run", **{wrong: 1})
    assert str(error.value).startswith(f"cyclegan has no {wrong}{nearest}; it has ")
    assert not (tmp_path / "run").exists()
