"""The commands of README.md and docs/ parse, and README.md shows what its commands print."""

import re
import shlex
from pathlib import Path

import click
import numpy as np
import pytest

import i2i
from i2i.cli import NAMES, group
from i2i.images import Image, write_image

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TINY = ["--size", "32", "--steps", "2", "--log-every", "1", "--eval-every", "2", "--val-share", "0.5"]
TINY += ["--set", "ngf=4", "--set", "ndf=2", "--set", "generator=resnet_1", "--set", "upsample=deconv"]
TINY += [
    "--set",
    "norm=instance",
    "--set",
    "residual=false",
    "--set",
    "antialias=false",
]  # the network of ``graph_of_a_resnet``


def shell(text: str) -> list[str]:
    """The lines of a page's shell blocks."""
    return [line for block in re.findall(r"```sh\n(.*?)```", text, re.S) for line in block.splitlines()]


COMMANDS = [
    pytest.param(command, id=f"{page.name}: {command}")
    for page in PAGES
    for line in shell(page.read_text(encoding="utf-8"))
    for command in line.split(" | ")
    if command.startswith("i2i ")
]
SHOWN = re.findall(r"```sh\n(i2i [^\n]+)\n```\n```text\n(.*?)```", TEXT, re.S)
"""Commands of README.md, each with the output shown below it."""


def parse(line: str) -> tuple[click.Command, dict[str, object]]:
    """The click command of a shell line and its options; a click.UsageError unless they exist."""
    words = shlex.split(line.partition(" > ")[0], comments=True)
    assert words[1] in NAMES
    command = group.get_command(click.Context(group), words[1])
    assert command is not None
    context = click.Context(command)
    options, rest, _ = command.make_parser(context).parse_args(words[2:])
    assert not rest
    for parameter in command.params:  # values too, where they do not depend on what lies on the disk
        if parameter.name in options and isinstance(parameter.type, click.Choice | click.IntRange):
            parameter.type_cast_value(context, options[parameter.name])
    return command, options


def pattern(shown: str) -> str:
    """Regular expression for a line of output: numbers, units of time, file names and the device may differ, ``...`` is
    anything.
    """
    number = r"-?\d[\d.,:e-]*"
    kinds = {r"\.\.\.": ".*", r"\bon cpu\b": r"on \w+"}  # what is shown -> what may be printed
    kinds |= {kind: kind for kind in (r"[\w-]+\.png", rf"{number} (?:ms|s|min|h|days)\b", number)}
    parts = re.split(f"({'|'.join(kinds)})", shown)
    return "".join(
        next(kinds[kind] for kind in kinds if re.fullmatch(kind, part)) if i % 2 else re.escape(part)
        for i, part in enumerate(parts)
    )


def whole(shown: str) -> str:
    """Regular expression for all of an output: a line ``...`` is any number of lines, and nothing else is left out."""
    return "".join(r"(.*\n)*?" if line == "..." else pattern(line) + r"\n" for line in shown.splitlines())


def test_three_commands_serve_a_fresh_machine():
    fresh = [line for line in shell(TEXT) if "pip install" in line]
    assert len(fresh) == 3
    assert fresh[0].endswith("pip install .")
    assert fresh[1].endswith("/i2i demo")
    assert fresh[2].endswith("tools/check.py")
    assert [line for line in TEXT.splitlines() if "tools/check.py" in line] == fresh[2:]
    assert (ROOT / "tools" / "check.py").is_file()


def test_pictures_are_there_and_small():
    pictures = re.findall(r"!\[.+?\]\((.+?)\)", TEXT)
    models = [f"weights/{name}.jpg" for name in ("painting", "restore", "colourise", "redraw")]
    assert pictures == [*models, "docs/demo.jpg", "docs/emoji.png"]
    assert sum((ROOT / picture).stat().st_size for picture in pictures) < 900_000


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_and_option_exists(line):
    parse(line)


def test_reduced_precision_of_a_file_is_shown_with_images():
    """A file outside its run has no images to measure the loss on, and the command as shown would be refused."""
    shown = [parse(each.values[0]) for each in COMMANDS if " export " in each.values[0]]
    files = [options for _, options in shown if options.get("precision") and options["run"].endswith(".onnx")]
    assert files
    assert all(options.get("calibrate") for options in files), files


def test_the_demo_writes_where_the_text_says():
    command, _ = parse("i2i demo")
    (out,) = (parameter.default for parameter in command.params if parameter.name == "out")
    assert f"`{out}/contact.png`" in TEXT


@pytest.mark.parametrize("line", ["i2i train --nothing", "i2i translate a --format mp3", "i2i export a b", "i2i fly"])
def test_a_wrong_command_is_found(line):
    with pytest.raises((click.UsageError, AssertionError)):
        parse(line)


def test_the_table_of_options_is_complete():
    command, _ = parse("i2i translate a")
    (table,) = re.findall(r"^\| option of `i2i translate` .*?\n\n", TEXT, re.S | re.M)
    listed = re.findall(r"`(--?[a-z-]+)`", table)
    assert len(listed) == len(set(listed))
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    assert all(len(set(option.opts) & set(listed)) == 1 for option in options if option.name != "help"), listed
    assert len(listed) == len([option for option in options if option.name != "help"])


@pytest.mark.usefixtures("graph_of_a_resnet")
def test_commands_print_what_is_shown(tmp_path, i2i_inside, one_thread, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setattr("i2i.engine.pace.SLOW", 0.0)  # shows the first step, as that of a slower network
    rng = np.random.default_rng(0)
    for folder in ("noto", "twemoji", "pictures"):
        (tmp_path / folder).mkdir()
        for i in range(7):
            pixels = rng.integers(0, 256, (40, 40, 1 if i > 2 else 3), dtype=np.uint8)
            write_image(tmp_path / folder / f"{i}.png", Image(pixels, np.full((40, 40), 255 - i, np.uint8)))
    assert [command.split()[1] for command, _ in SHOWN] == ["check", "train", "export", "translate"]
    for command, shown in SHOWN:
        words = shlex.split(command)[1:]
        done = i2i_inside(*words, *(TINY if words[0] == "train" else []), cwd=tmp_path)
        printed = done.stderr + done.stdout  # as a terminal shows them: the result is last
        assert done.returncode == 0, printed
        assert re.fullmatch(whole(shown), printed), f"shown:\n{shown}\nprinted:\n{printed}"


def test_the_messages_in_troubleshooting_exist():
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    messages = re.findall(r"^\| `([^`]+)` \||^The error is `([^`]+)`|^`(this run [^`]+)`", page, re.M)
    source = "".join(path.read_text(encoding="utf-8") for path in Path(i2i.__file__).parent.rglob("*.py"))
    quoted = ["".join(each) for each in messages]
    assert len(quoted) >= 6
    assert [each for each in quoted if each not in source] == []


def test_every_python_name_exists():
    names = set(re.findall(r"\bi2i\.(\w+)\(", TEXT))
    assert names == {"train", "export", "load", "translate"}
    assert names <= set(i2i.__all__)
