"""``i2i translate``: an image, a folder or a video through a model."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from i2i.cli import video

if TYPE_CHECKING:
    from i2i.runtime import Model, Options
    from i2i.runtime.folder import Outcome, Summary

Report = Callable[["Outcome", "Summary"], None]
FORMATS = ("png", "jpeg", "webp", "tiff", "bmp", "pnm", "jpeg2000")  # a test holds them equal to images.WRITABLE


@click.command
@click.argument("src", type=click.Path(path_type=Path))
@click.argument("dst", type=click.Path(), required=False)  # as text, since a Path drops the slash at its end
@click.option("-m", "--model", metavar="MODEL", help="An .onnx file, the folder of a run, or a name from `i2i models`.")
@click.option(
    "--to",
    metavar="DOMAIN",
    help="The domain to translate to, of several; attributes, with commas between; or a direction (b2a).",
)
@click.option("--provider", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--batch", type=click.IntRange(1), help="Images at once on a GPU.  [default: 8]")
@click.option("--format", type=click.Choice(FORMATS), help="Of every output.  [default: that of its source]")
@click.option("--quality", type=click.IntRange(0, 100), default=95, show_default=True, help="Of JPEG and WebP.")
@click.option(
    "--background",
    type=click.IntRange(0, 255),
    default=255,
    show_default=True,
    help="Grey level under transparent pixels, as the model sees them.",
)
@click.option("--max-pixels", type=click.IntRange(1), help="Refuse images of more pixels.  [default: 100000000]")
@click.option("--overwrite", is_flag=True, help="Translate again what is done, and replace what is there.")
@video.options
def command(src: Path, dst: str | None, model: str | None, to: str | None, provider: str, **options: Any) -> None:
    """Translate SRC, an image, a folder of images or a video, into DST.

    Without DST the result goes beside SRC, with the model's name behind its own; a DST with a slash at its end is a
    folder. A folder keeps its tree and names; run again, it does only what is not done. Without -m the newest finished
    run under runs/ is taken, else the default model.

    A video keeps its sound, subtitles and times; with --format it becomes a folder of frames. SRC may be camera:0, or -
    for a video on standard input; a DST of - gets raw frames as YUV4MPEG2. Videos within a folder are left alone.

    Exit status: 0 all translated, 1 some images failed (each is named on stderr) or a video was damaged, 2 wrong use,
    4 no such provider, 130 interrupted.
    """
    from i2i.runtime import packages

    for problem in packages.rivals():
        click.echo(f"warning: {problem}", err=True)
    if shells := packages.shells():
        raise ValueError("; ".join(shells))

    from i2i.runtime import Model, Options, models, targets
    from i2i.runtime.api import destination
    from i2i.runtime.folder import translate_folder

    film = video.taken_from(src, options)
    if not film and not src.exists():
        raise ValueError(f"{_shown(src)}: no such file or folder")
    settings = Options(**{name: value for name, value in options.items() if value is not None})
    choice = models.resolve(model, to)
    loaded = Model(choice.path, provider, side_by_side=film is not None or src.is_dir()).toward(choice.to)
    way = targets.way(loaded.spec, loaded.to)
    click.echo(f"model {_shown(choice.path)} ({choice.why}): {way}, on {loaded.provider}", err=True)
    if film is not None:
        video.translate(loaded, src, dst, settings, film)
        return
    target = destination(src, dst, loaded.name, settings)
    if not src.is_dir():
        single(loaded, src, target, settings)
        return
    start = time.perf_counter()
    with reporting() as report:
        summary = translate_folder(loaded, src, target, settings, report)
    seconds = time.perf_counter() - start
    click.echo(
        f"{_shown(target)}: {summary.done} translated, {summary.skipped} done before, {summary.failed} failed "
        f"({seconds:.1f} s, {summary.done / seconds:.1f} images/s)"
    )
    if videos := video.videos_in(src):
        click.echo(f"note: {videos} videos in {_shown(src)} were left alone; each is a job of its own", err=True)
    if summary.failed:
        raise SystemExit(1)


def single(model: Model, src: Path, target: Path, settings: Options) -> None:
    """One image, of which a failure is exit status 1, as it would be of one among many."""
    from i2i.images import ImageError, read_header
    from i2i.runtime import ModelError
    from i2i.runtime.api import translate_file

    try:
        written = translate_file(model, src, target, settings)
        frames = read_header(src, settings.max_pixels).frames
    except (ImageError, ModelError) as error:
        click.echo(f"failed: {error if isinstance(error, ImageError) else ImageError(src, str(error))}", err=True)
        raise SystemExit(1) from error
    if frames > 1:
        click.echo(f"note: {_shown(src)}: the first of its {frames} frames or pages", err=True)
    click.echo(_shown(written))


@contextmanager
def reporting() -> Iterator[Report]:
    """Tells on stderr of each file that failed and how far the job is: by a bar on a terminal, else a line a minute."""
    import sys

    def tell(outcome: Outcome, say: Callable[[str], None]) -> None:
        if outcome.note:
            say(f"{'failed' if outcome.status == 'failed' else 'note'}: {outcome.note}")

    if not sys.stderr.isatty():
        last = time.monotonic()

        def line(outcome: Outcome, summary: Summary) -> None:
            nonlocal last
            tell(outcome, lambda text: click.echo(text, err=True))
            if time.monotonic() - last > 60:
                last = time.monotonic()
                click.echo(f"{summary.done + summary.skipped + summary.failed} of {summary.total}", err=True)

        yield line
        return

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]:.1f} images/s"), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("", total=None, rate=0.0)
        start = time.monotonic()

        def update(outcome: Outcome, summary: Summary) -> None:
            tell(outcome, lambda text: console.print(text, markup=False, highlight=False, soft_wrap=True))
            rate = summary.done / max(1e-9, time.monotonic() - start)
            over = summary.done + summary.skipped + summary.failed
            progress.update(bar, total=summary.total, completed=over, rate=rate)

        yield update


def _shown(path: Path) -> str:
    """A path as text that any terminal takes."""
    import os

    return os.fsencode(path).decode("utf-8", "backslashreplace").replace("\n", "\\n")
