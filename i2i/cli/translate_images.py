"""``i2i translate`` for images: one image, a folder, or standard streams."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from i2i.cli import streams
from i2i.cli.help import option
from i2i.cli.param_types import FilePath
from i2i.progress import Progress
from i2i.text import plural, printable

if TYPE_CHECKING:
    from i2i.runtime import Model, Options
    from i2i.runtime.jobs.folder import Engine, Outcome, Summary

FILES, MODEL, LARGE = "Input and output", "Model", "Large images"


class WritableFormat(click.Choice):
    """The name of an image format that is written, in lower case.

    The names are read from the table of formats when they are first needed, since that imports NumPy and OpenCV.
    """

    def __init__(self) -> None:
        self.case_sensitive = True

    @cached_property
    def choices(self) -> tuple[str, ...]:  # type: ignore[override]  # computed, where click assigns
        from i2i.images import WRITABLE

        return tuple(name.lower() for name in WRITABLE)


class AutoCount(click.ParamType):
    """A number of at least 1, or ``auto``, which becomes None."""

    name = "count"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        return None if value == "auto" else click.IntRange(1).convert(value, param, ctx)


_OPTIONS = (
    option(
        "--format",
        group=FILES,
        type=WritableFormat(),
        help="Format of every result; of a video, a folder of frames.  [default: that of the source]",
    ),
    option(
        "--quality",
        group=FILES,
        type=click.IntRange(0, 100),
        default=95,
        show_default=True,
        help="Quality of JPEG, WebP and AVIF results in percent.",
    ),
    option(
        "--suffix",
        group=FILES,
        metavar="TEXT",
        help="Text appended to the name of every result: photo.png becomes photoTEXT.png.  [default: none]",
    ),
    option(
        "--mask",
        group=FILES,
        type=FilePath(exists=True, path_type=Path),
        help="A mask, or a folder of masks with the names of the images: results are pasted in where it is white, "
        "or a model that fills holes fills them there.  [default: none]",
    ),
    option(
        "--background",
        group=FILES,
        metavar="edge|0..255",
        help="Colour under transparent pixels in the model's input: edge continues the picture's own colours, 0 to 255 "
        "is a grey level.  [default: as the model was trained, edge unless set there]",
    ),
    option(
        "--keep-metadata",
        group=FILES,
        is_flag=True,
        help="Keep EXIF (time and place included) and XMP, with the orientation reset and thumbnails removed.",
    ),
    option(
        "--overwrite", group=FILES, is_flag=True, help="Translate finished images again and replace existing files."
    ),
    option(
        "--watch", group=FILES, is_flag=True, help="Keep translating images as they arrive in a folder, until Ctrl-C."
    ),
    option(
        "--batch",
        group=MODEL,
        type=AutoCount(),
        metavar="N|auto",
        help="Images of equal size per call of a GPU, from 1.  [default: auto, as many as fit its memory, up to 16]",
    ),
    option(
        "--workers",
        group=MODEL,
        type=click.IntRange(1, 1024),
        help="Images processed in parallel.  [default: one per core]",
    ),
    option(
        "--max-pixels",
        group=LARGE,
        type=click.IntRange(1),
        help="Pixels (width times height) above which an image is refused.  [default: 100000000]",
    ),
    option(
        "--shard",
        group="Many machines",
        metavar="I/N",
        help="Translate only part I of N of a folder, I from 1 to N; 1/1 is the whole folder.  [default: as a SLURM "
        "array, an indexed Kubernetes job or torchrun says, else 1/1]",
    ),
    option(
        "--on",
        group="Many machines",
        type=click.Choice(["ray"]),
        help="Translate a folder on a Ray cluster, --workers tasks at once.  [default: in this process]",
    ),
    option(
        "--address",
        group="Many machines",
        metavar="HOST:PORT",
        help="Address of the Ray cluster.  [default: RAY_ADDRESS, else Ray is started on this machine]",
    ),
    option(
        "--gpus",
        group="Many machines",
        metavar="N|all",
        help="Graphics cards of this machine that share a folder, a process each.  [default: one, in this process]",
    ),
)


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of images."""
    for add in reversed(_OPTIONS):
        command = add(command)
    return command


def translate_image(models: Sequence[Model], src: Path, dst: str | None, settings: Options) -> None:
    """Translate one image; exit with status 1 if it fails, as a folder does."""
    from i2i.images import ImageError
    from i2i.runtime import ModelError
    from i2i.runtime.jobs.single import destinations, translate_files

    if settings.shard is not None:
        raise ValueError(f"--shard is for folders, and {printable(src)} is an image")
    targets = destinations(src, dst, [model.name for model in models], settings)
    try:
        written = translate_files(list(zip(models, targets, strict=True)), src, settings)
    except (ImageError, ModelError) as error:
        click.echo(f"failed: {error if isinstance(error, ImageError) else ImageError(src, str(error))}", err=True)
        raise SystemExit(1) from error
    for path in written:
        click.echo(printable(path))


def translate_stream(models: Sequence[Model], src: Path, dst: str | None, settings: Options) -> None:
    """Translate one image from standard input, to standard output, or both."""
    from i2i.atomic import clear_temporaries
    from i2i.images import WRITABLE, ImageError, encode_image, losses, read_header
    from i2i.lost import Lost
    from i2i.runtime import ModelError
    from i2i.runtime.jobs import image_file
    from i2i.runtime.jobs.planning import output_format
    from i2i.runtime.jobs.single import translate_bytes
    from i2i.runtime.log import note

    if len(models) > 1 or settings.shard is not None or (src != Path("-") and src.is_dir()):
        raise ValueError("- is one image for one model: leave out --results and --shard, use one -m and no folder")
    if settings.suffix:
        raise ValueError("--suffix: an image on a standard stream has no name to append to; give the name as DST")
    target = None if dst in (None, "-") else Path(str(dst))
    if target is None:
        output = streams.output()
    if target is not None and (target.is_dir() or str(dst).endswith(("/", os.sep))):
        raise ValueError(f"{dst} is a folder, and an image on standard input has no name: add a file name to DST")
    if target is not None and target.exists() and not settings.overwrite:
        raise ValueError(f"{target} is there already; choose another name, or --overwrite")
    name = "<stdin>" if src == Path("-") else str(src)
    if target is not None:
        output_format(src, target, "", settings)  # before any work that an error would lose
    try:
        if src != Path("-"):
            read_header(src, settings.max_pixels)  # refuses a named pipe, whose read might never return
        data = streams.input().read() if src == Path("-") else src.read_bytes()
        result = translate_bytes(models[0], data, settings, name)
        if target is not None:
            form = output_format(src, target, result.format, settings)
            target.parent.mkdir(parents=True, exist_ok=True)
            clear_temporaries(target.parent, target.name)
            if lost := image_file.write(result, target, form, settings):
                note(f"{printable(target)}: {lost}")
            click.echo(printable(target))
            return
        form = settings.format or (result.format if result.format in WRITABLE else "PNG")
        output.write(encode_image(result, form, settings.quality, name=name))
        if lost := Lost.of(losses(result, form), form):
            note(f"{name}: {lost}")
    except (ImageError, ModelError) as error:
        click.echo(f"failed: {error if isinstance(error, ImageError) else ImageError(name, str(error))}", err=True)
        raise SystemExit(1) from error


def translate_folder(
    models: Sequence[Model],
    src: Path | str,
    dst: str | None,
    settings: Options,
    watch: bool,
    engine: Engine | None = None,
) -> None:
    """Translate a folder of images; exit with status 1 if some failed. With ``watch``, run until Ctrl-C."""
    from i2i.runtime.jobs.folder import Summary
    from i2i.runtime.jobs.single import folder_destinations
    from i2i.runtime.video.detect import name_videos

    settings = sharded(settings) if engine is None else settings
    targets = folder_destinations(src, dst, [model.name for model in models], settings)
    start = time.perf_counter()
    summary = Summary()
    try:
        _translate_or_ask(list(zip(models, targets, strict=True)), src, settings, watch, summary, engine)
    except KeyboardInterrupt:
        if not watch:
            raise
    seconds = time.perf_counter() - start
    click.echo(
        f"{', '.join(map(printable, targets))}: {summary.done} translated, {summary.skipped} done before, "
        f"{summary.failed} failed ({seconds:.1f} s, {summary.done / seconds:.1f} images/s)"
    )
    videos = name_videos(src, lambda _: None) if isinstance(src, Path) else []
    if videos:
        skipped = f"skipped {plural(len(videos), 'video')} in {printable(src)}"
        click.echo(f"note: {skipped}; with --videos it translates those", err=True)
    elif not (summary.done or summary.skipped or summary.failed or watch or settings.shard):
        click.echo(f"note: no images in {printable(src)}", err=True)
    if summary.failed:
        raise SystemExit(1)


def _translate_or_ask(
    pairs: list[tuple[Model, Path | str]],
    src: Path | str,
    settings: Options,
    watch: bool,
    summary: Summary,
    engine: Engine | None,
) -> None:
    """Translate; on a terminal, ask before results of another model or other settings are replaced."""
    from i2i.runtime.jobs.folder import MixedError

    if watch:
        click.echo(f"watching {printable(src)} until Ctrl-C", err=True)
    try:
        _with_progress(pairs, src, settings, watch, summary, engine)
        return
    except MixedError as error:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise
        if not click.confirm(f"{error}. Replace them now?", err=True):
            raise
    _with_progress(pairs, src, replace(settings, overwrite=True), watch, summary, engine)


def _with_progress(
    pairs: list[tuple[Model, Path | str]],
    src: Path | str,
    settings: Options,
    watch: bool,
    summary: Summary,
    engine: Engine | None,
) -> None:
    """Translate; show on standard error the progress, each file that failed, and one line for each kind of loss."""
    from i2i.runtime.jobs.folder import translate_folders
    from i2i.runtime.jobs.watcher import Watch
    from i2i.runtime.log import note

    try:
        with Progress("image") as bar:

            def report(outcome: Outcome, summary: Summary) -> None:
                if outcome.note:
                    bar.say(f"{'failed' if outcome.status == 'failed' else 'note'}: {outcome.note}")
                over = summary.done + summary.skipped + summary.failed
                bar.update(over, summary.total, worked=summary.done)

            translate_folders(pairs, src, settings, report, Watch() if watch else None, summary, engine)
    finally:
        for text in summary.losses.notes():
            note(text)


def sharded(settings: Options) -> Options:
    """Return the settings with the part of the folder to translate: as given, else as a scheduler says, with a
    message."""
    from i2i.runtime.jobs import sharding

    if settings.shard is not None or (shard := sharding.from_environment(os.environ)) is None:
        return settings
    click.echo(f"shard {shard}, from {shard.source} (--shard 1/1: the whole folder)", err=True)
    return replace(settings, shard=str(shard))
