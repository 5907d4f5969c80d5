"""``i2i.translate``: an array to an array, a path to a path."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

import numpy as np

from i2i.errors import I2IError
from i2i.images import MAX_PIXELS
from i2i.runtime.adapters.options import ModelOptions, Range
from i2i.runtime.jobs.options import Options
from i2i.runtime.jobs.single import PathLike, destination, translate_file
from i2i.runtime.log import note
from i2i.runtime.model import catalog
from i2i.runtime.model.model import Model
from i2i.runtime.model.targets import To
from i2i.runtime.video.detect import is_video, video_target
from i2i.runtime.video.errors import DamagedError
from i2i.runtime.video.options import NAMES, VideoOptions
from i2i.spec import Background
from i2i.text import plural, printable

if TYPE_CHECKING:
    from fractions import Fraction

    from i2i.runtime.jobs.folder import Outcome, Summary


Kind = TypeVar("Kind")


class SomeFailedError(I2IError):
    """A folder was translated but for some of its files; ``failed`` says of each why."""

    exit_status = 1

    def __init__(self, failed: list[Outcome], summary: Summary) -> None:
        self.failed = failed
        notes = "\n".join(outcome.note for outcome in failed[:20])
        super().__init__(f"{summary.failed} of {plural(summary.total, 'image')} failed:\n{notes}")


# fmt: off
@overload
def translate(
    src: np.ndarray, dst: None = None, model: Model | PathLike | None = None, *,
    to: To | None = None, provider: str = "auto", allow_fallback: bool = False, tile: str | int | None = None,
    format: str | None = None, quality: int = 95, background: Background | None = None, max_pixels: int = MAX_PIXELS,
    overwrite: bool = False, batch: int | None = None, workers: int | None = None, suffix: str = "",
    keep_metadata: bool = False, shard: str | None = None,
    start: float | str = 0.0, end: float | str | None = None, fps: Fraction | float | str | None = None,
    codec: str = "auto", crf: int | None = None, preset: str | None = None, rotation: str = "apply",
    steady: bool = False, steady_time: float | None = None,
    layout: str | None = None, range: Range | str | None = None, output_range: Range | str | None = None,
    order: str | None = None, multiple: int | None = None, fit: str | None = None, result: str | None = None,
) -> np.ndarray: ...
@overload
def translate(
    src: PathLike, dst: PathLike | None = None, model: Model | PathLike | None = None, *,
    to: To | None = None, provider: str = "auto", allow_fallback: bool = False, tile: str | int | None = None,
    format: str | None = None, quality: int = 95, background: Background | None = None, max_pixels: int = MAX_PIXELS,
    overwrite: bool = False, batch: int | None = None, workers: int | None = None, suffix: str = "",
    keep_metadata: bool = False, shard: str | None = None,
    start: float | str = 0.0, end: float | str | None = None, fps: Fraction | float | str | None = None,
    codec: str = "auto", crf: int | None = None, preset: str | None = None, rotation: str = "apply",
    steady: bool = False, steady_time: float | None = None,
    layout: str | None = None, range: Range | str | None = None, output_range: Range | str | None = None,
    order: str | None = None, multiple: int | None = None, fit: str | None = None, result: str | None = None,
) -> Path: ...
def translate(
    src: np.ndarray | PathLike, dst: PathLike | None = None, model: Model | PathLike | None = None, *,
    to: To | None = None, provider: str = "auto", allow_fallback: bool = False, tile: str | int | None = None,
    format: str | None = None, quality: int = 95, background: Background | None = None, max_pixels: int = MAX_PIXELS,
    overwrite: bool = False, batch: int | None = None, workers: int | None = None, suffix: str = "",
    keep_metadata: bool = False, shard: str | None = None,
    start: float | str = 0.0, end: float | str | None = None, fps: Fraction | float | str | None = None,
    codec: str = "auto", crf: int | None = None, preset: str | None = None, rotation: str = "apply",
    steady: bool = False, steady_time: float | None = None,
    layout: str | None = None, range: Range | str | None = None, output_range: Range | str | None = None,
    order: str | None = None, multiple: int | None = None, fit: str | None = None, result: str | None = None,
) -> np.ndarray | Path:
    # fmt: on
    """Translate an array, an image file, a folder of images or a video, and return the same kind: array, or path.

    Args:
        src: an array as :class:`Model` takes it, or a path.
        dst: the file or folder to write, a folder if it ends with a slash; by default beside ``src``, with the
            model's name added to its own.
        model: a Model, an ``.onnx`` file, a run's folder, or a name that ``i2i models`` lists; by default the newest
            finished run under ``runs/``, else the default model.
        to: the domain to translate to, attributes that the results shall have (a list of names, or one with commas), or
            a direction ("b2a"), for a model that has several.
        provider: auto | cpu | cuda | tensorrt | openvino, as :func:`i2i.load` takes it, with ``allow_fallback``;
            unless ``model`` is loaded already.
        tile: auto | exact | off, or the side of a tile in pixels: when images are cut, as :class:`Tile` says; by
            default as the model has it, or auto.
        format, quality, background, max_pixels, overwrite, batch, workers, suffix, keep_metadata, shard: as in
            :class:`Options`. With a format, a video becomes a folder of frames.
        start, end, fps, codec, crf, preset, rotation, steady, steady_time: of a video, as in :class:`VideoOptions`.
        layout, range, output_range, order, multiple, fit, result: of a third-party model, as :func:`i2i.load` takes
            them.

    Raises ValueError for wrong use, and ModelError, ImageError and VideoError for what cannot be translated; after a
    folder in which some files could not be, SomeFailedError, and after a video of which only a part could be read,
    DamagedError (all I2IErrors).
    """
    given = locals()
    settings, video, options = _pick(Options, given), _pick(VideoOptions, given), _pick(ModelOptions, given)
    is_film = isinstance(src, str | os.PathLike) and is_video(src, dst)
    usual = VideoOptions()
    if not is_film and (changed := sorted(name for name in NAMES if getattr(video, name) != getattr(usual, name))):
        raise ValueError(f"{', '.join(changed)}: for videos, and this is none")
    if not isinstance(model, Model):
        several = is_film or (not isinstance(src, np.ndarray) and os.path.isdir(src))
        choice = catalog.resolve(model, to)
        model, to = Model(choice.path, provider, None, several, options, allow_fallback), choice.to
    elif options:
        raise ValueError(f"{', '.join(options.given())}: the model is loaded already; i2i.load takes them")
    model = model.toward(to) if tile is None else model.toward(to).tiled(tile)
    if not isinstance(src, str | os.PathLike):
        if dst is not None:
            raise ValueError("an array comes back as an array; only a path has a destination")
        return model(src, settings.background)
    if is_film:
        return _translate_video(model, src, video_target(src, dst, model.name, settings.format), settings, video)
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
    for text in summary.losses.notes():
        note(text)
    if failed:
        raise SomeFailedError(failed, summary)
    return target


def _pick(kind: type[Kind], given: Mapping[str, Any]) -> Kind:
    """Make an options dataclass of those of the given arguments that are its fields."""
    return kind(**{each.name: given[each.name] for each in fields(kind)})  # type: ignore[arg-type]


def _translate_video(model: Model, source: PathLike, target: Path, options: Options, video: VideoOptions) -> Path:
    from i2i.runtime.video import translate_video

    done = translate_video(model, Path(source), target, options, video)
    for text in done.notes:
        note(f"{printable(target)}: {text}")
    if done.damage is not None:
        raise DamagedError(source, f"{done.damage}; what there was is in {target}", target)
    return target
