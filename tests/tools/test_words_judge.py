"""The program that measures drawings against their captions: what a caption asks for, and what counts as found."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

import i2i

PROGRAM = Path(i2i.__file__).parents[1] / "tools" / "reproduce" / "words.py"


@pytest.fixture(scope="module")
def program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reproduce_words", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("caption", "asked"),
    [
        (
            "a house with brick walls and a blue roof and a pair of firs by moonlight",
            {"roof": "blue-roof", "walls": "brick-walls", "trees": "two-firs", "night": "night"},
        ),
        (
            "under a clear sky, by day, a red-roofed house without any trees",
            {"roof": "red-roof", "trees": "no-trees", "night": "", "clouds": ""},
        ),
        ("a house", {}),
    ],
)
def test_a_caption_asks_for_what_it_states(program: ModuleType, caption: str, asked: dict[str, str]) -> None:
    assert program.asked(caption) == asked


def test_the_classifier_chooses_one_of_each_group(program: ModuleType) -> None:
    names = tuple(name for members in program.GROUPS.values() for name in members)
    logits = torch.full((2, len(names)), -1.0)
    for image, found in enumerate((("grey-roof", "white-walls", "one-fir", "night"), ("red-roof", "clouds"))):
        for name in found:
            logits[image, names.index(name)] = 2.0
    fixed = nn.Identity()
    assert program.seen(fixed, logits, names) == [
        {"roof": "grey-roof", "walls": "white-walls", "trees": "one-fir", "night": "night", "clouds": ""},
        {"roof": "red-roof", "walls": "brick-walls", "trees": "no-trees", "night": "", "clouds": "clouds"},
    ]


def test_the_report_counts_what_was_asked_for(program: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    everything = {"roof": "red-roof", "walls": "brick-walls", "trees": "no-trees", "night": "", "clouds": ""}
    wanted = [everything, {"roof": "blue-roof", "night": ""}, {"roof": "red-roof", "night": "night"}]
    program.report([everything] * 3, wanted)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["roof", "66.7%", "of", "3"] in lines
    assert ["trees", "100.0%", "of", "1"] in lines
    assert ["night", "66.7%", "of", "3"] in lines
    assert ["all", "of", "them", "33.3%", "of", "3"] in lines
