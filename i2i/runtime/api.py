"""``i2i.translate``: what comes back is of the kind that went in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np

from i2i.errors import I2IError
from i2i.runtime.adapters.options import taken_from
from i2i.runtime.jobs.options import Options
from i2i.runtime.jobs.single import PathLike, destination, translate_file
from i2i.runtime.model import catalog
from i2i.runtime.model.model import Model
from i2i.runtime.video.detect import is_video, video_target
from i2i.runtime.video.errors import DamagedError
from i2i.runtime.video.options import NAMES, VideoOptions
from i2i.text import plural

if TYPE_CHECKING:
    from i2i.runtime.jobs.folder import Outcome, Summary


class SomeFailedError(I2IError):
    """A folder was translated but for some of its files; ``failed`` says of each why."""

    exit_status = 1

    def __init__(self, failed: list[Outcome], summary: Summary) -> None:
        self.failed = failed
        notes = "\n".join(outcome.note for outcome in failed[:20])
        super().__init__(f"{summary.failed} of {plural(summary.total, 'image')} failed:\n{notes}")


@overload
def translate(
    src: np.ndarray, dst: None = None, model: Model | PathLike | None = None, **options: object
) -> np.ndarray: ...
@overload
def translate(
    src: PathLike, dst: PathLike | None = None, model: Model | PathLike | None = None, **options: object
) -> Path: ...
def translate(src, dst=None, model=None, *, to=None, provider="auto", allow_fallback=False, tile=None, **options):
    """Translates an array, an image file, a folder of images or a video, and returns the same kind: array, or path.

    Args:
        src: an array as :class:`Model` takes it, or a path.
        dst: the file or folder to write, a folder if it ends with a slash; by default beside ``src``, with the
            model's name behind its own.
        model: a Model, an ``.onnx`` file, a run's folder, or a name that ``i2i models`` lists; by default the newest
            finished run under ``runs/``, else the default model.
        to: the domain to translate to, attributes that the images shall have (a list of names, or one with commas), or
            a direction ("b2a"), where the model could go several ways.
        provider: auto | cpu | cuda | tensorrt | openvino, as :func:`i2i.load` takes it, with ``allow_fallback``;
            unless ``model`` is loaded already.
        tile: auto | exact | off, or the side of a tile in pixels: when images are cut, as :class:`Tile` says; by
            default as the model has it, or auto.
        options: format, quality, background, max_pixels, overwrite, batch, workers, suffix, keep_metadata, shard,
            as in :class:`Options`; of a video start, end, fps, codec, crf, preset, rotation, steady, steady_time,
            as in :class:`VideoOptions`. With a format, a video becomes a folder of frames. Of a model that
            others made: layout, range, order and more, as :func:`i2i.load` takes them.

    Raises ValueError for wrong use, and ModelError, ImageError and VideoError (all ValueErrors) for what cannot be
    translated; after a folder in which some files could not be, SomeFailedError, and after a video of which only a part
    could be read, DamagedError (both ValueErrors).
    """
    of_video, told = {name: options.pop(name) for name in NAMES & options.keys()}, taken_from(options)
    settings, video = Options(**options), VideoOptions(**of_video)
    film = isinstance(src, str | os.PathLike) and is_video(src, dst)
    if of_video and not film:
        raise ValueError(f"{', '.join(sorted(of_video))}: for videos, and this is none")
    if not isinstance(model, Model):
        several = film or (not isinstance(src, np.ndarray) and os.path.isdir(src))
        choice = catalog.resolve(model, to)
        model, to = Model(choice.path, provider, None, several, told, allow_fallback), choice.to
    elif told:
        raise ValueError(f"{', '.join(told.said())}: the model is loaded already; i2i.load takes them")
    model = model.toward(to) if tile is None else model.toward(to).tiled(tile)
    if film:
        return _translate_video(model, src, video_target(src, dst, model.name, settings.format), settings, video)
    if not isinstance(src, str | os.PathLike):
        if dst is not None:
            raise ValueError("an array comes back as an array; only a path has a destination")
        return model(src, settings.background)
    source = Path(src)
    target = destination(source, dst, model.name, settings)
    if not source.is_dir():
        return translate_file(model, source, target, settings)
    from i2i.runtime.jobs.folder import translate_folder

    failed: list[Outcome] = []
    summary = translate_folder(
        model,
        source,
        target,
        settings,
        lambda outcome, _: failed.append(outcome) if outcome.status == "failed" else None,
    )
    if failed:
        raise SomeFailedError(failed, summary)
    return target


def _translate_video(model: Model, source: PathLike, target: Path, options: Options, video: VideoOptions) -> Path:
    from i2i.runtime.video import translate_video

    done = translate_video(model, Path(source), target, options, video)
    if done.damage is not None:
        raise DamagedError(source, f"{done.damage}; what there was is in {target}", target)
    return target
