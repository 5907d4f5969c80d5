"""``i2i serve``: models as an HTTP service, with a page."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from i2i.cli import help, providers
from i2i.cli.param_types import FilePath
from i2i.serving.settings import MB, Settings
from i2i.text import join_names

LIMITS, SERVICE = "Limits", "Service"
EXAMPLES = [
    ("i2i serve model.onnx", "the page on http://127.0.0.1:8080"),
    ("i2i serve models/ --watch", "a folder of models, as files come and go"),
    ("i2i serve night=model.onnx rain=runs/rain", "names of your own"),
    ("i2i serve model.onnx --host 0.0.0.0 --token-file t", "to a network, for those with the token"),
    ("i2i serve model.onnx --devices 0,1", "one process for each of two GPUs"),
    ("i2i serve model.onnx --static site", "a page that needs no service, for any host of files"),
    ("curl --data-binary @in.jpg -o out.jpg localhost:8080/v1/translate/model", "an image through it"),
]


class Bytes(click.ParamType):
    """A size such as 64MB."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from i2i.text import parse_bytes

        try:
            found = value if isinstance(value, int) else parse_bytes("size", value)
        except ValueError:
            found = 0
        return found or self.fail(f"{value!r}; expected a size such as 500MB or 4GB", param, ctx)


def _size(name: str, default: int, text: str) -> Any:
    about = f"{text}  [default: {default // MB}MB]"
    return help.option(name, group=LIMITS, type=Bytes(), default=default, metavar="SIZE", help=about)


def _count(name: str, default: int, text: str, least: int = 1) -> Any:
    kind = click.IntRange(least)
    return help.option(name, group=LIMITS, type=kind, default=default, show_default=True, metavar="N", help=text)


def _time(name: str, default: float, text: str, least: float = 1) -> Any:
    about = f"{text}  [default: {default:g}]"
    kind = click.FloatRange(least)
    return help.option(name, group=LIMITS, type=kind, default=default, metavar="SECONDS", help=about)


@help.command(examples=EXAMPLES)
@click.argument("models", nargs=-1, required=True, metavar="MODEL [MODEL...]", type=FilePath())
@help.option("--host", group=SERVICE, default="127.0.0.1", show_default=True, help="Address to listen on.")
@help.option(
    "--port",
    group=SERVICE,
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="Port to listen on; 0: any free one.",
)
@help.option(
    "--token-file",
    group=SERVICE,
    type=FilePath(path_type=Path),
    metavar="FILE",
    help="File with a token of at least 16 characters, which requests must send: Authorization: Bearer TOKEN.",
)
@help.option(
    "--allowed-host",
    "allowed_hosts",
    group=SERVICE,
    multiple=True,
    metavar="NAME",
    help="Further name under which requests come, such as that of a proxy; can be repeated.  [default: on loopback "
    "localhost and its addresses, else any]",
)
@help.option(
    "--static",
    "static",
    group="Input and output",
    type=FilePath(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write the page for browsers alone into this folder, with the models, and serve nothing.",
)
@help.option(
    "--ort-web",
    group="Input and output",
    type=FilePath(path_type=Path, exists=True),
    metavar="PATH",
    help="For --static: the npm package onnxruntime-web, as a folder or an archive.  [default: fetched by npm]",
)
@help.option(
    "--devices",
    group=SERVICE,
    callback=lambda _context, _option, text: tuple(filter(None, (text or "").split(","))),
    metavar="N,N",
    help="One process for each of these GPUs, behind the one port; cpu is a process without.  [default: one process]",
)
@help.option("--watch", group=SERVICE, is_flag=True, help="Load changed model files without a SIGHUP.")
@help.option("--access-log/--no-access-log", group=SERVICE, default=True, help="A line of JSON for each request.")
@help.option(
    "--batch",
    group="Model",
    type=click.IntRange(1),
    help="Images of equal size per call of a GPU.  [default: as many as fit into its memory, up to 16]",
)
@help.option(
    "--batch-wait", group="Model", type=click.FloatRange(0), default=0.005, metavar="SECONDS", show_default=True,
    help="Time that an image waits for others of its size, on a GPU.",
)  # fmt: skip
@help.option(
    "--workers",
    group="Model",
    type=click.IntRange(1, 1024),
    help="Images in work at once.  [default: one a core; on a GPU 32 more, or twice --batch]",
)
@_count("--queue", 64, "Images that may wait for a worker; further requests get status 429.", 0)
@_time("--timeout", 60, "Time of a request from its arrival to the result, else status 504.")
@_time("--drain", 30, "Time for accepted requests after SIGTERM.", 0)
@_size("--max-body", 64 * MB, "Largest body of a request.")
@help.option(
    "--max-pixels", group=LIMITS, type=click.IntRange(1), default=64_000_000, show_default=True, metavar="N",
    help="Pixels (width times height) above which an image or a video is refused.",
)  # fmt: skip
@_count("--max-files", 32, "Files of one request.")
@_count("--max-connections", 512, "Open connections.")
@_size("--max-video", 1000 * MB, "Largest video.")
@_size("--max-disk", 4000 * MB, "Disk space of all videos, uploads and results.")
@_count("--video-queue", 8, "Videos that wait or run.")
@_time("--keep", 3600, "Time that the result of a video is kept.")
@providers.options
@click.pass_context
def command(
    context: click.Context, models: tuple[str, ...], static: Path | None, ort_web: Path | None, **given: Any
) -> None:
    """Serve translators over HTTP: MODEL is an .onnx file, the folder of a run, a name that `i2i models` lists, or a
    folder of .onnx files; NAME=MODEL names it.

    POST /v1/translate/NAME takes an image, or several as a form, and returns the translation; POST /v1/video takes a
    video. /v2 is the Open Inference Protocol, /metrics is for Prometheus, and / is a page for people.

    SIGHUP loads model files that have changed; SIGTERM finishes what was accepted and exits.

    With --static nothing is served: the page is written for any host of files, and runs the models in the browser.

    Exit status: 0 stopped, 1 the address cannot be used, 2 wrong usage or input, 4 provider not available.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    providers.print_notes()
    if static is not None:
        _write_page(context, models, static, ort_web)
        return
    if ort_web is not None:
        raise click.UsageError("--ort-web is for a page that is written with --static DIR")
    settings = Settings(**given)
    if settings.devices:
        from i2i.serving import supervisor

        supervisor.serve(models, settings, lambda text: click.echo(text, err=True))
        return
    from i2i.serving.server import serve

    serve(models, settings, lambda text: click.echo(text, err=True))


def _write_page(context: click.Context, models: tuple[str, ...], folder: Path, ort_web: Path | None) -> None:
    from i2i.serving import static

    for name in context.params.keys() - {"models", "static", "ort_web"}:
        if context.get_parameter_source(name) != ParameterSource.DEFAULT:
            raise click.UsageError(f"--{name.replace('_', '-')} is of a service, and --static only writes files")
    names = static.write(models, folder, ort_web)
    click.echo(f"wrote {folder} with {join_names(names)}")
    click.echo(f"try it: python3 -m http.server -d {shlex.quote(str(folder))}")
