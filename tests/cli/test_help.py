"""Help pages: examples first, each option in a group, and texts that state range and default."""

from __future__ import annotations

import re

import click
import pytest
from click.testing import CliRunner

from i2i.cli import COMMANDS, NAMES, group
from tests.conftest import Command


def page(*words: str) -> str:
    done = CliRunner().invoke(group, [*words, "--help"], prog_name="i2i", terminal_width=100)
    assert done.exit_code == 0
    return done.output


def sections(text: str) -> dict[str, list[str]]:
    """Heading -> lines of that section."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if re.fullmatch(r"[A-Z][\w -]+:", line):
            found[line[:-1]] = []
        elif found and line:
            found[list(found)[-1]].append(line)
    return found


def options(name: str) -> list[click.Option]:
    command = group.get_command(click.Context(group), name)
    assert command is not None
    return [parameter for parameter in command.params if isinstance(parameter, click.Option)]


@pytest.mark.parametrize("name", ["", *NAMES])
def test_examples_come_first(name: str) -> None:
    usage, blank, heading, first = page(*name.split()).splitlines()[:4]
    assert usage.startswith(f"Usage: i2i {name}".rstrip())
    assert (blank, heading) == ("", "Examples:")
    assert first.startswith(f"  i2i {name}".rstrip())


def test_the_first_page_groups_the_commands() -> None:
    shown = sections(page())
    assert list(shown) == ["Examples", "Train", "Export", "Run", "Inspect", "Other options"]
    for heading, commands in COMMANDS.items():
        assert [line.split()[0] for line in shown[heading]] == list(commands)
    assert set(NAMES) == {
        "train",
        "distill",
        "import",
        "export",
        "translate",
        "generate",
        "serve",
        "demo",
        "evaluate",
        "report",
        "check",
        "describe",
        "models",
        "doctor",
    }


GROUPS = {
    "translate": {
        "Input and output": "format quality suffix mask background keep-metadata overwrite watch",
        "Model": "model to style seed results derive input provider allow-fallback batch workers",
        "Video": "start end fps codec crf preset rotation steady steady-time preview videos",
        "Large images": "tile max-pixels",
        "Many machines": "shard gpus on address",
    },
    "generate": {
        "Input and output": "out number seed grid overwrite labels judge",
        "Model": "to set truncate text mean spread provider allow-fallback",
        "Video": "walk seconds fps",
    },
    "train": {
        "Data": "a b data attributes captions mask select derive teacher teacher-to direction channels background "
        "range max-bad",
        "Method": "preset set",
        "Training": "augment diff-augment freeze size batch accumulate checkpointing epochs steps precision compile "
        "ema schedule beta2 seed workers cache identity geometry perceptual",
        "Run": "out from like override dry-run quiet log-every sample-every sheet-channels save-every watch",
        "Measurement": "eval-every metric eval-features val-share patience",
    },
    "distill": {
        "Data": "a background max-bad to",
        "Method": "width blocks full preset set",
        "Training": "augment freeze size batch accumulate checkpointing epochs steps precision compile ema schedule "
        "beta2 seed workers cache",
        "Run": "out from like override dry-run quiet log-every sample-every sheet-channels save-every watch",
        "Measurement": "eval-every metric eval-features val-share patience",
    },
    "evaluate": {
        "Input and output": "out beside",
        "Data": "a b data split direction paired real fake source train size labels",
        "Model": "to back provider",
        "Measurement": "metrics features judge class palette baseline kid-subset kid-subsets seed",
        "Video": "video steady",
    },
    "report": {
        "Input and output": "out format images license",
        "Data": "data a b",
        "Model": "provider",
        "Measurement": "metrics evaluate features",
    },
    "serve": {
        "Input and output": "static ort-web",
        "Service": "host port token-file allowed-host devices watch access-log",
        "Model": "batch batch-wait workers provider allow-fallback",
        "Limits": "queue timeout drain max-body max-pixels max-files max-connections max-video max-disk video-queue "
        "keep",
    },
    "export": {"Input and output": "out triton calibrate", "Model": "to io precision weights"},
    "describe": {
        "Input and output": "out output overwrite",
        "Third-party models": "layout range output-range order multiple fit result input",
    },
}


@pytest.mark.parametrize("name", GROUPS)
def test_options_are_in_groups(name: str) -> None:
    shown = sections(page(name))
    assert list(shown) == ["Examples", *GROUPS[name], "Other options"]
    for heading, names in GROUPS[name].items():
        listed = {long for line in shown[heading] for long in re.findall(r"^  (?:-\w, )?--([\w-]+)", line)}
        assert listed == set(names.split()), heading
    assert len(shown["Other options"]) == 1  # --help


@pytest.mark.parametrize("name", NAMES)
def test_every_option_has_a_group_and_states_its_default(name: str) -> None:
    for option in options(name):
        assert getattr(option, "group", None), option.name
        context = click.Context(click.Command(name))
        record = option.get_help_record(context)
        assert record is not None
        text = record[1]
        assert option.help is not None
        assert re.match(r"(?!(Of|What|Whether|How) )[A-Z]", option.help), f"{option.name}: {option.help}"
        settled = option.is_flag or option.multiple or "required" in text or option.metavar in ("DIR", "FILE")
        assert "[default: " in text or settled, f"{name} --{option.name}: {text}"


def test_the_order_is_explained() -> None:
    text = " ".join(page("describe").split())
    assert "Channel order of the model: rgb, bgr, grey, or y (luma only; colour is taken from the source)" in text


def test_a_first_page_of_eighty_columns(i2i_command: Command) -> None:
    done = i2i_command("--help", env={"COLUMNS": "80"})
    assert done.returncode == 0
    assert max(map(len, done.stdout.splitlines())) <= 80
