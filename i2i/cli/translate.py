"""``i2i translate``: an image, a folder or a video through one model or several."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from i2i.cli import foreign, pictures, providers, tiles, uncollected, video
from i2i.cli.progress import shown

if TYPE_CHECKING:
    from i2i.runtime import Model


@click.command
@click.argument("src", type=click.Path(path_type=Path))
@click.argument("dst", type=click.Path(), required=False)  # as text, since a Path drops the slash at its end
@click.option(
    "-m",
    "--model",
    "names",
    metavar="MODEL",
    multiple=True,
    help="An .onnx file, the folder of a run, or a name from `i2i models`. Several, each with its own -m, share the "
    "decoding of each image.",
)
@click.option(
    "--to",
    metavar="DOMAIN",
    help="The domain to translate to, of several; attributes, with commas between; or a direction (b2a).",
)
@providers.options
@tiles.option
@pictures.options
@foreign.options
@video.options
def command(src: Path, dst: str | None, names: tuple[str, ...], to: str | None, **options: Any) -> None:
    """Translate SRC, an image, a folder of images or a video, into DST.

    Without DST the result goes beside SRC, with the model's name behind its own; a DST with a slash at its end is a
    folder. A folder keeps its tree and names; run again, it does only what is not done. Without -m the newest finished
    run under runs/ is taken, else the default model. With several models a folder's results go to DST/MODEL/, an
    image's to DST/IMAGE-MODEL.png.

    A model that others made is told what it takes, --range 0..255 --order bgr, or once and for all by `i2i describe`.

    A SRC of - is an image on standard input, a DST of - (and none, if SRC is -) the result on standard output.

    A video keeps its sound, subtitles and times; with --format it becomes a folder of frames. SRC may be camera:0, or -
    for a video on standard input; a DST of - gets raw frames as YUV4MPEG2. Videos within a folder are left alone.

    Exit status: 0 all translated, 1 some images failed (each is named on stderr) or a video was damaged, 2 wrong use,
    4 no such provider, 130 interrupted.
    """
    # NumPy and OpenCV each start threads for linear algebra when they are imported, of which there is none here that is
    # worth one; to start and to end them takes longer than a small image.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from i2i.runtime import packages

    for problem in packages.rivals():
        click.echo(f"warning: {problem}", err=True)
    if shells := packages.shells():
        raise ValueError("; ".join(shells))

    with uncollected():
        from i2i.runtime.api import Options  # and all that translates

    told, tile = foreign.taken_from(options), options.pop("tile")
    where = {name: options.pop(name) for name in ("provider", "allow_fallback")}
    providers.notes()
    film = video.taken_from(src, dst, options)
    piped = film is None and "-" in (str(src), dst)
    if film is None and str(src) != "-" and not src.exists():
        raise ValueError(f"{shown(src)}: no such file or folder")
    idle = [name for name in ("suffix", "keep_metadata", "workers", "max_pixels") if options.get(name)]
    if film is not None and idle:
        raise ValueError(f"--{idle[0].replace('_', '-')}: for images, and {shown(src)} is a video")
    watch = options.pop("watch")
    settings = Options(**{name: value for name, value in options.items() if value is not None})
    if watch and (film is not None or not src.is_dir()):
        raise ValueError(f"--watch: for folders, and {shown(src)} is none")
    loaded = opened(names or (None,), to, side_by_side=film is not None or src.is_dir(), told=told, **where)
    loaded = [tiles.bound(model, tile, alone=film is None and not src.is_dir()) for model in loaded]
    if film is not None:
        if len(loaded) > 1 or settings.shard is not None:
            raise ValueError("a video is one job with one model: one -m, and no --shard")
        video.translate(loaded[0], src, dst, settings, film)
    elif piped:
        pictures.pipe(loaded, src, dst, settings)
    elif src.is_dir():
        pictures.folder(loaded, src, dst, settings, watch)
    else:
        pictures.single(loaded, src, dst, settings)


def opened(names: Sequence[str | None], to: str | None, **how: Any) -> list[Model]:
    """The models that are meant, opened as ``how`` says; each is said on stderr, with its way and its provider."""
    from i2i.runtime import Model, models, targets

    loaded = []
    for name in names:
        choice = models.resolve(name, to)
        model = Model(choice.path, **how).toward(choice.to)
        way = targets.way(model.spec, model.to)
        click.echo(f"model {shown(choice.path)} ({choice.why}): {way}, on {model.provider}", err=True)
        loaded.append(model)
    return loaded
