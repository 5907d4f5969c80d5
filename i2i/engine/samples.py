"""Sample sheets: a run's views of a few fixed images, with the averaged weights."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from i2i.engine.ema import EMA
from i2i.networks import per_image
from i2i.sheets import sheet
from i2i.translators import Translator, Views


@torch.no_grad()
def sample_sheet(translator: Translator, ema: EMA, batch: Views, path: Path, domains: Sequence[str] = ()) -> np.ndarray:
    """Write the views of ``batch`` to ``path``, one row per image and one captioned column per view.

    ``domains`` are the names of numbered domains, so that "G(x,2)" is captioned "G(x,rain)". Returns the sheet, uint8
    [h, w, 3].
    """
    copied = copy.deepcopy(translator)
    for name, net in copied.exports().items():
        net.load_state_dict(ema.networks[name].state_dict())
    views = shown(copied, batch)
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [[to_pixels(view[i]) for view in views.values()] for i in range(len(batch["x"]))]
    return sheet(rows, [named(view, domains) for view in views], path)


def named(view: str, domains: Sequence[str]) -> str:
    """Return a view's caption, with domains by name."""
    return re.sub(r"(?<=,)\d+(?=\))", lambda number: domains[int(number[0])], view) if domains else view


def shown(translator: nn.Module, batch: Views) -> Views:
    """Return the views of a batch in use: without dropout, with the statistics of each image."""
    return {name: view.float().cpu() for name, view in per_image(translator)(batch).items() if view.ndim == 4}


def to_pixels(image: Tensor) -> np.ndarray:
    """Convert [c, h, w] in [-1, 1] to uint8 [h, w, 1|3]; alpha is shown on white."""
    image = image[:3] * 1.0 if len(image) < 4 else (image[:3] + 1) * (image[3:] + 1) / 2 + (-image[3:])
    return ((image.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
