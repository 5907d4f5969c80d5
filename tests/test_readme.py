"""The README's commands and names are those that there are."""

import re
import shlex
from pathlib import Path

import click
import pytest

import i2i
from i2i.cli import NAMES, group

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
SHELL = [line for block in re.findall(r"```sh\n(.*?)```", TEXT, re.S) for line in block.splitlines()]


def test_two_commands_serve_a_fresh_machine():
    fresh = [line for line in SHELL if "pip install" in line]
    assert len(fresh) == 2
    assert fresh[0].endswith("/i2i demo")
    assert fresh[1].endswith("tools/check.py")
    assert (ROOT / "tools" / "check.py").is_file()


def test_the_picture_is_there_and_small():
    (picture,) = re.findall(r"!\[.+?\]\((.+?)\)", TEXT)
    assert (ROOT / picture).stat().st_size < 200_000


@pytest.mark.parametrize("target", sorted(set(re.findall(r"[^!]\[[^\]]+\]\(([^)#]+)\)", TEXT))))
def test_links_lead_somewhere(target):
    assert target.startswith("https://") or (ROOT / target).exists()


@pytest.mark.parametrize("line", [line for line in SHELL if line.startswith("i2i ")])
def test_every_command_and_option_exists(line):
    words = shlex.split(line, comments=True)
    assert words[1] in NAMES
    command = group.get_command(click.Context(group), words[1])
    assert command is not None
    known = {name for parameter in command.params for name in parameter.opts + parameter.secondary_opts}
    assert {word for word in words if word.startswith("-")} <= known


def test_every_python_name_exists():
    names = set(re.findall(r"\bi2i\.(\w+)\(", TEXT))
    assert names == {"train", "export", "load", "translate"}
    assert names <= set(i2i.__all__)
