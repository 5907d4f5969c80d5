"""``i2i translate``: translate an image, a folder or a video with one or several models."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from i2i.cli import help, providers, signals, tiles, translate_images, translate_video, without_garbage_collection
from i2i.cli.param_types import FilePath, Place
from i2i.progress import Progress
from i2i.runtime.adapters.options import NAMES, ModelOptions
from i2i.text import is_url, not_found, printable

if TYPE_CHECKING:
    from i2i.runtime import Model, Options
    from i2i.runtime.jobs.folder import Engine, Outcome, Summary


LARGEST_SEED = 2**32 - 1  # of i2i.sampling, which imports NumPy
MOST_RESULTS = 1000

EXAMPLES = [
    ("i2i translate photo.jpg", "an image, by the newest run"),
    ("i2i translate photos/ out/ -m horse2zebra", "a folder, by a run's name"),
    ("i2i translate photos/ out/ -m model.onnx", "a folder, by an ONNX file"),
    ("i2i translate photo.jpg --results 4", "four results, by a model with styles"),
    ("i2i translate s3://bucket/in/ s3://bucket/out/", "a folder in a bucket"),
    ("i2i translate clip.mp4 out.mp4", "a video, with its sound"),
    ("i2i translate clips/ out/ --videos", "the videos of a folder"),
    ("i2i translate - - <in.png >out.png", "standard input to standard output"),
]


@help.command(
    examples=EXAMPLES,
    elsewhere={
        option: f"`i2i describe MODEL {option} ... -o COPY` writes it into a copy of the model"
        for option in (f"--{name.replace('_', '-')}" for name in NAMES - {"input"})
    },
)
@click.argument("src", type=Place(path_type=Path))
@click.argument("dst", type=Place(), required=False)  # as text, since a Path drops the slash at its end
@help.option(
    "-m",
    "--model",
    "names",
    group="Model",
    metavar="MODEL",
    multiple=True,
    help="An .onnx file, the folder of a run, or a name that `i2i models` lists. Repeat -m for several models, which "
    "share the decoding of each image.  [default: the newest finished run under runs/, else the first model of "
    "`i2i models`]",
)
@help.option(
    "--to",
    group="Model",
    metavar="DOMAIN",
    help="Domain to translate to, where the model has several; attributes, separated by commas, a name that contains "
    "one in double quotes; or a direction such as b2a.  [default: the model's first direction]",
)
@help.option(
    "--style",
    group="Model",
    type=FilePath(path_type=Path),
    help="Example image whose style the results get, for a model with styles (munit).  [default: the style of --seed]",
)
@help.option(
    "--seed",
    group="Model",
    type=click.IntRange(0, LARGEST_SEED),
    help="Number that draws a style, for a model with styles; the same result on every machine.  [default: 0]",
)
@help.option(
    "--results",
    group="Model",
    type=click.IntRange(1, MOST_RESULTS),
    metavar="N",
    help="Results of each image, in the styles of N seeds from --seed on, named by seed.  [default: 1]",
)
@help.option(
    "--derive",
    group="Model",
    type=FilePath(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Make of each image the source that the model was trained on, write it to DIR, and translate that: a before "
    "and after of any picture, for a model trained with --derive.  [default: none]",
)
@help.option(
    "--input",
    "inputs",
    group="Model",
    multiple=True,
    metavar="NAME=VALUE",
    help="Value of an input beside the image, for a third-party model that has several: a number, or numbers with "
    "commas between. Repeat it for several inputs.  [default: as `i2i describe` wrote it]",
)
@providers.options
@translate_images.options
@translate_video.options
@tiles.option
@signals.interrupting()
def command(
    src: Path | str,
    dst: str | None,
    names: tuple[str, ...],
    to: str | None,
    style: Path | None,
    seed: int | None,
    results: int | None,
    derive: Path | None,
    inputs: tuple[str, ...],
    **options: Any,
) -> None:
    """Translate SRC, an image, a folder of images or a video, and write the result to DST.

    Without DST the result is written beside SRC, with the model's name appended to its own. A DST that ends in a slash
    is a folder. A folder keeps its tree and file names; run the command again to continue an interrupted folder. With
    several models the results of a folder go to DST/MODEL/, those of photo.jpg to DST/photo-MODEL.jpg; with --results
    MODEL ends in the seed.

    A third-party model whose file does not state its value range and channel order needs them once:
    `i2i describe MODEL --range 0..255 --order bgr -o COPY` writes them into a copy.

    A SRC of - reads an image or a video from standard input. A DST of -, or SRC of - without DST, writes the image to
    standard output; a video is written there as raw frames (YUV4MPEG2).

    SRC and DST may be URLs of folders, such as s3://bucket/photos/, and SRC an HTTP listing: `pip install
    "i2i[remote]"`.

    A video keeps its sound, subtitles and frame times; with --format it becomes a folder of frames. camera:0 is the
    first camera. Of a folder the images are translated, or with --videos the videos.

    Exit status: 0 all translated, 1 some images failed (each is named on standard error) or a video was damaged,
    2 wrong usage or input, 4 provider not available, 75 stopped by a fault that may pass, such as a full disk,
    130 interrupted (143 by SIGTERM, 138 by SIGUSR1).
    """
    # NumPy and OpenCV start threads for linear algebra on import. Nothing here needs them, and starting and stopping
    # them takes longer than a small image.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from i2i.runtime.system import packages

    for problem in packages.rivals():
        click.echo(f"warning: {problem}", err=True)
    if shells := packages.shells():
        raise ValueError("; ".join(shells))

    with without_garbage_collection():
        from i2i.runtime.api import Options  # imports everything that translates

    tile = options.pop("tile")
    where = {name: options.pop(name) for name in ("provider", "allow_fallback")}
    providers.print_notes()
    folder = isinstance(src, str) or src.is_dir()
    job = translate_video.take(src, dst, options)
    piped = job is None and "-" in (str(src), dst)
    watch, on, address = options.pop("watch"), options.pop("on"), options.pop("address")
    engine = _engine(on, address, options, folder and job is None and not watch)
    _check(src, dst, job, {**options, "watch": watch}, derive)
    settings = Options(**{name: value for name, value in options.items() if value is not None})
    alone, failed = job is None and not folder, 0
    given = ModelOptions(input=inputs)  # type: ignore[arg-type]  # texts, which are converted
    loaded = open_models(names or (None,), to, side_by_side=not alone, options=given, **where)
    loaded = [each for model in loaded for each in styled(model, style, seed, results)]
    loaded = [tiles.tiled(model, tile, alone=alone) for model in loaded]
    if derive is not None:
        if job is not None or piped or watch:
            raise ValueError("--derive is for an image or a folder of images")
        settings = translate_images.sharded(settings) if folder else settings
        src, failed = derived(Path(src), derive, loaded, settings)
    if job is not None and job.folder:
        translate_video.translate_folder(loaded, Path(src), dst, settings, job)
    elif job is not None:
        if len(loaded) > 1 or settings.shard is not None:
            raise ValueError("a video takes one model and has one result: use one -m, and no --results and no --shard")
        translate_video.translate(loaded[0], Path(src), dst, settings, job)
    elif piped:
        translate_images.translate_stream(loaded, Path(src), dst, settings)
    elif folder:
        translate_images.translate_folder(loaded, src, dst, settings, watch, engine)
    else:
        translate_images.translate_image(loaded, Path(src), dst, settings)
    if failed:
        raise SystemExit(1)


def _engine(on: str | None, address: str | None, options: Mapping[str, Any], folder: bool) -> Engine | None:
    """Return what translates a folder elsewhere than in this process, if anything does.

    Raises ValueError for options that do not go together.
    """
    if on is None:
        if address is not None:
            raise ValueError("--address is that of a Ray cluster: add --on ray")
        return None
    if not folder or options["shard"] is not None or options["gpus"] is not None:
        raise ValueError(
            "--on ray divides a folder of images by itself: give a folder as SRC, and leave out --shard, --gpus, "
            "--watch and --videos"
        )
    from i2i.runtime.jobs.ray.engine import OnRay

    return OnRay(address, options["workers"])


def _check(
    src: Path | str,
    dst: str | None,
    job: translate_video.VideoJob | None,
    options: Mapping[str, Any],
    derive: Path | None,
) -> None:
    """Raise ValueError if there is no source, or for options that its kind does not take."""
    shown, folder = printable(src), isinstance(src, str) or src.is_dir()
    if job is None and str(src) != "-" and not (isinstance(src, str) or src.exists()):
        raise ValueError(not_found(shown))
    translate_video.check_options(job, shown, folder, options)
    if not is_url(src) and (dst is None or not is_url(dst)):
        return
    if job is not None or not folder:
        raise ValueError(f"{dst}: a URL is for the results of a folder of images, and {shown} is not one")
    for option, given in {"--watch": options["watch"], "--derive": derive is not None}.items():
        if given:
            raise ValueError(f"{option} is for folders of this machine, and a URL is given")


def derived(src: Path, folder: Path, models: Sequence[Model], settings: Options) -> tuple[Path, int]:
    """Write the sources that the models were trained on, made of ``src``, to ``folder``.

    Returns what to translate, and of how many images of a folder none could be made. Exits with status 1 for an image.
    """
    from i2i.images import ImageError
    from i2i.runtime.jobs.derived import derive_file, derive_folder

    ways = {model.spec.derive for model in models}
    if len(ways) > 1 or not all(ways):
        known = "; ".join(f"{model.path.name}: {model.spec.derive or 'none'}" for model in models)
        raise ValueError(f"--derive makes the source that a model was trained on, and these say {known}")
    if not src.is_dir():
        try:
            return derive_file(models[0], src, folder, settings), 0
        except ImageError as error:
            click.echo(f"failed: {error}", err=True)
            raise SystemExit(1) from error
    with Progress("image") as bar:

        def report(outcome: Outcome, summary: Summary) -> None:
            if outcome.note:
                bar.say(f"failed: {outcome.note}")
            bar.update(summary.done + summary.skipped + summary.failed, summary.total)

        return folder, derive_folder(models[0], src, folder, settings, report).failed


def styled(model: Model, style: Path | None, seed: int | None, results: int | None) -> list[Model]:
    """Return the model bound to a style, or to each of the styles of several results."""
    if results is None:
        return [model] if style is None and seed is None else [model.styled(style, seed=seed)]
    if style is not None:
        raise ValueError("--results are in styles drawn by seeds, and --style is one style: leave out one of them")
    first = seed or 0
    if first + results - 1 > LARGEST_SEED:
        raise ValueError(f"--results {results} from --seed {first} on end beyond the largest seed, {LARGEST_SEED}")
    return [model.styled(seed=first + number) for number in range(results)]


def open_models(names: Sequence[str | None], to: str | None, **how: Any) -> list[Model]:
    """Open the models and print each on standard error, with its direction and provider."""
    from i2i.runtime import Model
    from i2i.runtime.model import catalog, targets

    loaded = []
    for name in names:
        choice = catalog.resolve(name, to)
        model = Model(choice.path, **how).toward(choice.to)
        way = targets.way(model.spec, model.to)
        click.echo(f"model {printable(choice.path)} ({choice.why}): {way}, on {model.provider}", err=True)
        loaded.append(model)
    return loaded
