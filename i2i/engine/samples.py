"""Sample images of a run: their sheets, which people look at, and which watchmen do."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from i2i.data import Dataset
from i2i.engine.ema import EMA
from i2i.engine.prepare import sample_batch
from i2i.engine.report import Reporter
from i2i.engine.run_folder import Run
from i2i.engine.train_state import TrainState
from i2i.engine.watch import LASTING, Watch
from i2i.networks import per_image
from i2i.sheets import sheet
from i2i.translators import Translator, Views
from i2i.translators.masks import MASKS, masked


class Samples:
    """Views of a few fixed images: every ``sample_every`` steps a sheet, and a look by the watchmen.

    Without sheets the watchmen look every ``LASTING`` steps. Only the first process has samples.
    """

    def __init__(self, run: Run, game: TrainState, dataset: Dataset, watch: Watch) -> None:
        self.run, self.game, self.dataset, self.watch = run, game, dataset, watch
        leads = game.world.rank == 0
        self.every = run.settings.sample_every if leads else 0
        self.looks = self.every or (LASTING if leads and watch.on else 0)
        if self.every:
            assert self.batch  # images that cannot be read are an error now

    @cached_property
    def batch(self) -> Views:
        """The fixed images, held out from training where possible."""
        return self.game.here(sample_batch(self.run.settings, self.dataset))

    def show(self, step: int, last: bool, reporter: Reporter) -> None:
        """Draw a sheet and look at it after ``step`` steps, if it is due; of the ``last`` step there is always one."""
        if not (self.looks and (step % self.looks == 0 or (last and self.every))):
            return
        views = shown(averaged(self.game.translator, self.game.ema), self.batch)
        self.watch.images(step, views)
        if self.every:
            path = self.run.path / "samples" / f"{step:09d}.png"
            reporter.picture(partial(sample_sheet, views, path, *shown_as(self.run, self.dataset)), step)


def averaged(translator: Translator, ema: EMA) -> Translator:
    """Return a copy of a translator with the averaged weights."""
    copied = copy.deepcopy(translator)
    for name, net in copied.exports().items():
        net.load_state_dict(ema.networks[name].state_dict())
    return copied


def shown_as(run: Run, dataset: Dataset) -> tuple[Sequence[str], tuple[int, ...], bool]:
    """Return the arguments of ``sample_sheet`` after the path."""
    return dataset.domains, run.settings.shown_channels(), dataset.source.alpha or dataset.target.alpha


def sample_sheet(
    views: Views, path: Path, domains: Sequence[str] = (), channels: tuple[int, ...] = (), alpha: bool = True
) -> np.ndarray:
    """Write ``views`` to ``path``, one row per image and one captioned column per view.

    ``domains`` are the names of numbered domains, so that "G(x,2)" is captioned "G(x,rain)". ``channels`` and ``alpha``
    are those of ``to_pixels``. Returns the sheet, uint8 [h, w, 3].
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        [to_pixels(view[i], channels, alpha) for view in views.values()] for i in range(len(next(iter(views.values()))))
    ]
    return sheet(rows, [named(view, domains) for view in views], path)


def named(view: str, domains: Sequence[str]) -> str:
    """Return a view's caption, with domains by name."""
    return re.sub(r"(?<=,)\d+(?=\))", lambda number: domains[int(number[0])], view) if domains else view


@torch.no_grad()
def shown(translator: Translator, batch: Views) -> Views:
    """Return the views of a batch in use: without dropout, with the statistics of each image."""
    views = masked(per_image(translator)(batch), batch, translator.data == "pairs")
    return {name: view.float().cpu() for name, view in views.items() if view.ndim == 4 and name not in MASKS.values()}


def to_pixels(image: Tensor, channels: tuple[int, ...] = (), alpha: bool = True) -> np.ndarray:
    """Convert [c, h, w] in [-1, 1] to uint8 [h, w, 1|3].

    ``channels`` are the one or three to show of an image that has them, numbered from 0; of others the first three, of
    two the first. A fourth channel that is ``alpha`` is shown on white.
    """
    if max(channels, default=len(image)) < len(image):
        image = image[list(channels)]
    elif len(image) == 4 and alpha:
        image = (image[:3] + 1) * (image[3:] + 1) / 2 + (-image[3:])
    else:
        image = image[: 3 if len(image) > 2 else 1]
    return ((image.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
