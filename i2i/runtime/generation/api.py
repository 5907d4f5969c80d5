"""``i2i.generate``: images from seeds, to files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from i2i.runtime.generation.outputs import Progress, destination, write_files, write_sheet
from i2i.runtime.model import catalog, targets
from i2i.runtime.model.generator import Generator
from i2i.runtime.model.model import Model
from i2i.runtime.model.targets import To
from i2i.text import known_keywords, printable

if TYPE_CHECKING:
    from fractions import Fraction


def open_generator(
    model: str | os.PathLike[str] | None, to: To | None, provider: str, allow_fallback: bool
) -> tuple[Generator, catalog.Choice]:
    """Open a model that is a generator, bound to ``to``; also return how it was found. Raises as ``generate``."""
    choice = catalog.resolve(model, to, kind=targets.GENERATOR)
    return Generator(choice.path, provider, allow_fallback=allow_fallback).toward(choice.to), choice


@known_keywords
def generate(
    model: Model | Generator | str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    n: int = 64,
    *,
    seed: int = 0,
    to: To | None = None,
    codes: Mapping[str, float] | None = None,
    truncate: float | None = None,
    mean: str | None = None,
    spread: float = 0.5,
    text: str | None = None,
    grid: bool = False,
    walk: bool = False,
    seconds: float = 1.0,
    fps: Fraction | float | str = 25,
    overwrite: bool = False,
    provider: str = "auto",
    allow_fallback: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Generate images, and write each as a file named by its seed, all as one contact sheet, or a walk as a video.

    The same seed gives the same image, whatever ``n`` is.

    Args:
        model: a Generator, an ``.onnx`` file, a run's folder, or a name that ``i2i models`` lists; default the newest
            finished run of a generator under ``runs/``.
        out: folder for the files (``000042.png``), or the file of a contact sheet or a video; default ``generated/``,
            ``NAME.png`` or ``NAME.mp4`` beside the model, in the run's folder if it is one of a run.
        n: number of seeds, from 1; default 64.
        seed: the first of them, from 0 to 4294967295; default 0.
        to: the class to draw, or attributes that the images are to have (a list of names, or one with commas), for a
            generator that was trained with labels, which needs it.
        codes: values of named codes, ``{"digit": 3, "slant": -1}``: the index of a categorical code's value, from 0; of
            a continuous code -1 to 1, and up to 3 either way.
        truncate: redraw the numbers of normal noise whose magnitude exceeds this, above 0: images are more typical and
            less varied; default no limit.
        mean: a sum of the means of labels, "smiling-woman - calm-woman + calm-man", around which images are drawn, for
            a method with an encoder (vaegan, bigan) that was trained with labels; default none.
        spread: factor on the noise around ``mean``, from 0, which gives the mean alone; default 0.5.
        text: the sentence to draw, for a generator that was trained on captions, which needs it; a note names the words
            that it does not know.
        grid: write one contact sheet (PNG, JPEG or WebP) instead of files; default False.
        walk: write one video that passes through the seeds; default False.
        seconds: of a walk from one seed to the next, above 0 and up to 3600; default 1.
        fps: frames per second of a walk, above 0 and up to 1000, as a number or "30000/1001"; default 25.
        overwrite: replace existing files; default False.
        provider: auto | cpu | cuda | tensorrt | openvino, as :func:`i2i.load` takes it, unless ``model`` is loaded
            already; default "auto".
        allow_fallback: let the processor run nodes that a GPU's provider cannot run, as :func:`i2i.load` takes it;
            default False.
        progress: called with the number of finished images and of all images; default not.

    Returns the folder or file that was written. Files are written completely or not at all.

    Raises ModelError for a model that is no generator, or has no such class, ProviderError for a provider that does not
    load, and ValueError for wrong arguments and existing files.
    """
    if grid and walk:
        raise ValueError("grid and walk are two forms of the result: choose one")
    if isinstance(model, Model):
        raise targets.wrong_kind(targets.TRANSLATOR, printable(model.path))
    generator = model if isinstance(model, Generator) else open_generator(model, to, provider, allow_fallback)[0]
    generator = generator.toward(to).saying(text)
    z = generator.latent(n, seed, codes, truncate, mean, spread)
    seeds, report = range(seed, seed + n), progress or (lambda done, total: None)
    path = destination(generator, out, ".mp4" if walk else ".png" if grid else "")
    if walk:
        from i2i.runtime.generation.walk import write_walk  # with PyAV, which images do without

        write_walk(generator, z, path, overwrite, report, seconds, fps)
    else:
        write = write_sheet if grid else write_files
        write(generator, z, seeds, path, overwrite, report)
    return path
