"""``i2i translate`` for a video: options, progress and summary."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from i2i.cli import streams
from i2i.cli.help import option
from i2i.cli.param_types import options_of
from i2i.progress import Progress
from i2i.runtime.video.options import NAMES, OF_IMAGES, VideoOptions
from i2i.text import plural, printable

if TYPE_CHECKING:
    from i2i.runtime import Model, Options
    from i2i.runtime.jobs.folder import Outcome, Summary
    from i2i.runtime.video import VideoSummary

GROUP = "Video"


@dataclass(frozen=True)
class VideoJob:
    """The options of a video, from the command line."""

    options: VideoOptions
    preview: bool = False
    folder: bool = False
    """True for the videos of a folder."""


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add an option for each field of :class:`VideoOptions`, ``--preview`` and ``--videos``."""
    preview = "Show the translated frames in a window during the job."
    videos = "Translate the videos of a folder, not its images."
    command = option("--videos", group=GROUP, is_flag=True, help=videos)(command)
    command = option("--preview", group=GROUP, is_flag=True, help=preview)(command)
    return options_of(VideoOptions, GROUP, command)


def take(src: Path | str, dst: str | None, options: dict[str, Any]) -> VideoJob | None:
    """Remove the options of a video from ``options`` and return them, or None if ``src`` is not a video.

    Raises ValueError for invalid values, and for options of a video where ``src`` is not one.
    """
    from i2i.runtime.video.detect import HEAD, begins_like_video, is_video

    given = {name: options.pop(name) for name in NAMES}
    given = {name: value for name, value in given.items() if value is not None}
    preview, videos = options.pop("preview"), options.pop("videos")
    folder = isinstance(src, Path) and src.is_dir()
    if videos:
        if not folder:
            raise ValueError(f"--videos is for folders, and {printable(src)} is not a folder")
        if preview:
            raise ValueError("--preview shows one video, and --videos translates many: leave one out")
        return VideoJob(VideoOptions(**given), folder=True)
    piped = str(src) == "-" and begins_like_video(streams.input().peek(HEAD))  # type: ignore[attr-defined]
    if piped or is_video(str(src), dst):
        return VideoJob(VideoOptions(**given), preview)
    if given or preview:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in [*sorted(given), *(["preview"] if preview else [])])
        hint = "; --videos translates the videos in it" if folder else ""
        raise ValueError(f"{names}: only for videos, and {src} is not a video{hint}")
    return None


def check_options(job: VideoJob | None, shown: str, folder: bool, options: Mapping[str, Any]) -> None:
    """Raise ValueError for options that say nothing about the source, which messages call ``shown``."""
    if job is not None:
        of_images = [*OF_IMAGES, *(["format"] if job.folder else [])]
        if idle := [name for name in of_images if options.get(name)]:
            what = "is a folder of videos" if job.folder else "is a video"
            raise ValueError(f"--{idle[0].replace('_', '-')} is for images, and {shown} {what}")
    if options["watch"] and not (job is None and folder):
        other = "images: leave out --videos" if folder else f"images, and {shown} is not a folder"
        raise ValueError(f"--watch is for folders of {other}")
    if options["gpus"] is not None and (options["watch"] or not folder):
        raise ValueError("--gpus is for folders of images or videos, and not for --watch")


def translate(model: Model, src: Path, dst: str | None, settings: Options, job: VideoJob) -> None:
    """Translate a video and print a summary; exit with status 1 if it is damaged."""
    from i2i.cli.preview_window import Window
    from i2i.runtime.video import InterruptedVideo, VideoError, translate_video
    from i2i.runtime.video.detect import camera, video_target
    from i2i.runtime.video.workspace import partial_name

    target: Any = None
    if dst == "-":
        target = streams.output()
    elif dst is not None or not (job.preview and camera(src) is not None):
        target = video_target(str(src), dst, model.name, settings.format)
    window = Window(f"i2i: {click.format_filename(src)}", ends=target is None) if job.preview else None
    try:
        with Progress("frame") as bar:
            done = translate_video(
                model,
                str(src),
                target,
                settings,
                job.options,
                lambda summary: bar.update(summary.frames, summary.expected),
                [window] if window is not None else [],
            )
    except VideoError as error:
        click.echo(f"failed: {error}", err=True)
        raise SystemExit(1) from error
    except InterruptedVideo as error:
        if error.partial is not None:
            kept = f"the first {plural(error.frames, 'frame')}: {click.format_filename(error.partial)}"
            click.echo(f"{kept}; the same command starts from the beginning", err=True)
        elif error.frames:
            there = click.format_filename(partial_name(target))
            kept = f"did not keep the first {plural(error.frames, 'frame')}: those of an earlier job are there"
            click.echo(f"{kept}; move {there} away to keep the next ones", err=True)
        raise
    finally:
        if window is not None:
            window.close()
    print_summary(done, src)


def translate_folder(models: Sequence[Model], src: Path, dst: str | None, settings: Options, job: VideoJob) -> None:
    """Translate the videos of a folder with each model; exit with status 1 if some failed."""
    from i2i.cli.translate_images import sharded
    from i2i.images import name_images
    from i2i.runtime.jobs.single import destinations

    settings = sharded(settings)
    targets = destinations(src, dst, [model.name for model in models], settings)
    failed = [_translate_videos(*pair, src, settings, job) for pair in zip(models, targets, strict=True)]
    if images := name_images(src, lambda _: None):
        skipped = f"skipped {plural(len(images), 'image')} in {printable(src)}"
        click.echo(f"note: {skipped}; without --videos it translates those", err=True)
    if any(failed):
        raise SystemExit(1)


def _translate_videos(model: Model, target: Path, src: Path, settings: Options, job: VideoJob) -> int:
    """Translate with one model and print a summary; return how many videos failed."""
    from i2i.runtime.video.folder import translate_videos

    start = time.perf_counter()
    with Progress("video" if settings.gpus else "frame") as bar:

        def report(outcome: Outcome, summary: Summary) -> None:
            if outcome.note:
                bar.say(f"{'failed' if outcome.status == 'failed' else 'note'}: {outcome.note}")
            over = summary.done + summary.skipped + summary.failed
            if settings.gpus:
                bar.update(over, summary.total)
            else:
                bar.restart(f"{over} of {plural(summary.total, 'video')}")

        done = translate_videos(
            model, src, target, settings, job.options, report, lambda one: bar.update(one.frames, one.expected)
        )
    seconds = time.perf_counter() - start
    counts = f"{plural(done.done, 'video')} translated, {done.skipped} done before, {done.failed} failed"
    click.echo(f"{printable(target)}: {counts} ({seconds:.1f} s)")
    return done.failed


def print_summary(done: VideoSummary, src: Path) -> None:
    """Print the notes, the output and the damage of a video; exit with status 1 if it is damaged."""
    shown = click.format_filename(src)
    for note in done.notes:
        click.echo(f"note: {shown}: {note}", err=True)
    rate = done.frames / max(1e-9, done.seconds)
    where = "done" if done.path is None else click.format_filename(done.path)
    written = f"{where}: {plural(done.frames, 'frame')} ({done.seconds:.1f} s, {rate:.1f} frames/s)"
    click.echo(written, err=done.path is None)
    if done.flicker is not None:
        flicker = f"flicker {done.flicker:.2f} levels of 255 from frame to frame"
        click.echo(f"{where}: {flicker}, of the source {done.source_flicker:.2f}", err=True)
    if done.damage is not None:
        click.echo(f"{shown}: {done.damage}", err=True)
        raise SystemExit(1)
