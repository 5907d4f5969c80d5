"""The command ``i2i``: its subcommands, each imported when it is called, and its exit status."""

from __future__ import annotations

import atexit
import gc
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from keyword import iskeyword
from typing import NoReturn

import click

from i2i.cli import help, streams
from i2i.text import os_error

# Group of the help page -> command -> summary. ``i2i/cli/NAME.py`` defines ``command`` (``NAME_.py`` where the name is
# a Python keyword). The summaries stand here so that ``--help`` imports none of these modules.
COMMANDS = {
    "Train": {
        "train": "Train a translator or a generator on folders of images.",
        "distill": "Train a small translator to give a large one's results.",
        "import": "Convert a third-party checkpoint into a run.",
    },
    "Export": {
        "export": "Write the generators of a run as ONNX files.",
    },
    "Run": {
        "translate": "Translate an image, a folder of images or a video.",
        "generate": "Generate images from noise, labels and codes.",
        "serve": "Serve translators over HTTP, with a web page.",
        "demo": "Draw data, train, export and translate, in five minutes.",
    },
    "Inspect": {
        "evaluate": "Measure how good a translator is, or a folder of results.",
        "report": "Write a page about runs: curves, metrics, results, settings.",
        "check": "Check a folder of data before training.",
        "describe": "Show what a third-party model takes and returns.",
        "models": "List the finished runs and the available models.",
        "doctor": "Show what is installed and what works, and how to repair it.",
    },
}
NAMES = [name for commands in COMMANDS.values() for name in commands]

SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
EXAMPLES = [
    ("i2i train cyclegan --a horses --b zebras", "train on two folders"),
    ("i2i translate photos/", "translate with the newest run"),
    ("i2i export runs/cyclegan-horses2zebras", "write ONNX files"),
    ("i2i translate --help", "all options of a command"),
]

# Module that may be missing -> package to install.
_TRAIN = ("torch", "onnx", "onnxscript", "safetensors", "tensorboard")
_SERVE = ("uvicorn", "httptools", "starlette", "python_multipart", "prometheus_client")
EXTRAS = {
    **dict.fromkeys(_TRAIN, '"i2i[train]"'), **dict.fromkeys(_SERVE, '"i2i[serve]"'), "jinja2": '"i2i[evaluate]"',
    "av": "av", "fsspec": '"i2i[remote]"', "ray": '"i2i[ray]"',
}  # fmt: skip

_own_process = False  # True where `main` runs, False where a host calls a command in its own process


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Pause garbage collection during imports, which create none: its passes take longer than a small image."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if _own_process:  # garbage of a host would never be freed
            gc.freeze()  # or the next pass would search all imported objects
        if enabled:
            gc.enable()


class Group(help.Command, click.Group):
    """A click group that imports a command only when it is used, and lists its commands in groups."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return NAMES

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = f"{cmd_name}_" if iskeyword(cmd_name) else cmd_name
        with without_garbage_collection():
            return import_module(f"i2i.cli.{module}").command if cmd_name in NAMES else None

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for group, commands in COMMANDS.items():
            with formatter.section(group):
                formatter.write_dl(list(commands.items()), col_max=12)
        super().format_options(ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write nothing: the groups above list the commands."""


def _print_version(ctx: click.Context, _parameter: click.Parameter, given: bool) -> None:
    if given:
        from i2i import __version__

        click.echo(f"i2i {__version__}")
        ctx.exit()


@click.group(cls=Group, name="i2i", examples=EXAMPLES, context_settings=SETTINGS)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Print the version."
)
def group() -> None:
    """Image-to-image translation: from two folders of images to a deployed translator."""


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run a command and exit: 0 done, 1 some items failed, 2 wrong usage or input, 4 provider not available,
    75 stopped by a fault that may pass, 130 interrupted.

    An error that the user can correct is one line on standard error; ``I2I_TRACEBACK=1`` shows its traceback. Standard
    streams may be closed, full or None.
    """
    global _own_process
    _own_process = True
    atexit.register(_skip_last_collection)
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"  # one line, without the source
    with streams.protected():
        sys.exit(_status(arguments))


def _status(arguments: list[str] | None) -> int:
    """Run a command and return its exit status."""
    try:
        result = group.main(args=arguments, prog_name="i2i", standalone_mode=False)
    except click.Abort as error:
        if isinstance(error.__cause__, EOFError):  # click takes it for the end of input at a prompt; it is a bug
            raise error.__cause__ from None
        click.echo("interrupted", err=True)
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (ValueError, OSError, ImportError) as error:
        if isinstance(error.__cause__, KeyboardInterrupt):  # while a library in C++ was imported
            click.echo("interrupted", err=True)
            return 130
        if os.environ.get("I2I_TRACEBACK"):
            raise
        explained = explain(error)
        if explained is None:
            raise
        status, message = explained
        click.echo(f"error: {message}", err=True)
        return status
    return result if isinstance(result, int) else 0  # ctx.exit(status) returns the status


def _skip_last_collection() -> None:
    """Skip the last garbage collection of Python, which takes longer than a small image.

    PyTorch needs it: without it, its libraries report their objects as leaked.
    """
    if "torch" not in sys.modules:
        gc.freeze()


def explain(error: Exception) -> tuple[int, str] | None:
    """Return the exit status and the message of an error that the user can correct, or None for a bug."""
    if isinstance(error, ImportError):
        missing = (error.name or "").partition(".")[0]
        if missing not in EXTRAS:
            return None
        return 2, f"this needs {missing}, which is not installed: pip install {EXTRAS[missing]}"
    if isinstance(error, OSError):
        usage = isinstance(error, FileExistsError | FileNotFoundError | NotADirectoryError | IsADirectoryError)
        return getattr(error, "exit_status", 2 if usage else 1), os_error(error)
    return getattr(error, "exit_status", 2), str(error)
