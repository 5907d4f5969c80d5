"""DiffAugment: Zhao, Liu, Lin, Zhu & Han, Differentiable Augmentation for Data-Efficient GAN Training, NeurIPS 2020
(arXiv:2006.10738).

All that the discriminator sees is changed at random, real and generated images, in the loss of either player
(eqs. 1 to 3). The changes are differentiable, so that the generator learns through them, and does not learn to draw
them. Their strengths are the authors' (appendix).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from i2i.text import did_you_mean

NONE = "none"


class DiffAugment:
    """Random changes of batches of images, each image in its own way; off where ``names`` is empty."""

    def __init__(self, text: str = NONE) -> None:
        """Take the names of changes, separated by commas. Raises ValueError for an unknown or repeated one."""
        self.names = () if text.strip() == NONE else tuple(name.strip() for name in text.split(","))
        self.names = tuple("colour" if name == "color" else name for name in self.names)
        for name in self.names:
            if name not in CHANGES:
                raise ValueError(
                    f"diff_augment is {text!r}, with {name!r}{did_you_mean(name, CHANGES)}; expected none, or some of "
                    f"{', '.join(CHANGES)}, separated by commas"
                )
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"diff_augment is {text!r}, where a name comes twice; give it once")

    def __str__(self) -> str:
        return ",".join(name for name in CHANGES if name in self.names) or NONE

    def __call__(self, *images: Tensor) -> tuple[Tensor, ...]:
        """Change each of several batches [n, c, h, w] in [-1, 1]; the i-th images of all are changed alike.

        Draws from PyTorch's default generator of the images' device.
        """
        for name, change in CHANGES.items():
            if name in self.names:
                images = change(images)
        return images


Images = tuple[Tensor, ...]


def colour(images: Images) -> Images:
    """Shift brightness by up to 0.5; scale saturation by 0 to 2 and contrast by 0.5 to 1.5. Alpha stays."""
    n, device = len(images[0]), images[0].device
    brightness, saturation, contrast = torch.rand(3, n, 1, 1, 1, device=device)
    return tuple(recoloured(image, brightness - 0.5, 2 * saturation, contrast + 0.5) for image in images)


def recoloured(image: Tensor, brightness: Tensor, saturation: Tensor, contrast: Tensor) -> Tensor:
    """Return images [n, c, h, w] with changed colours; the other arguments are [n, 1, 1, 1]. Only three channels have a
    saturation, and a fourth one, alpha, stays as it is.
    """
    values = image[:, :3] if image.shape[1] == 4 else image
    brightness, saturation, contrast = (each.to(image.dtype) for each in (brightness, saturation, contrast))
    values = values + brightness
    if values.shape[1] == 3:
        grey = values.mean(1, keepdim=True)
        values = grey + saturation * (values - grey)
    mean = values.mean((1, 2, 3), keepdim=True)
    values = mean + contrast * (values - mean)
    return torch.cat([values, image[:, 3:]], 1) if image.shape[1] == 4 else values


def translation(images: Images) -> Images:
    """Move by up to an eighth of the sides, with zeros beyond the edge."""
    n, device = len(images[0]), images[0].device
    shares = torch.rand(2, n, 1, device=device) * 2 - 1
    return tuple(moved(image, *shares) for image in images)


def moved(image: Tensor, down: Tensor, right: Tensor, share: float = 1 / 8) -> Tensor:
    """Return images [n, c, h, w] moved by whole pixels; ``down`` and ``right`` are [n, 1], shares of the most."""
    h, w = image.shape[2:]
    rows = torch.arange(h, device=image.device) - (down * (share * h)).round().long()  # [n, h]
    columns = torch.arange(w, device=image.device) - (right * (share * w)).round().long()
    inside = ((rows >= 0) & (rows < h))[:, None, :, None] & ((columns >= 0) & (columns < w))[:, None, None, :]
    image = image.gather(2, rows.clamp(0, h - 1)[:, None, :, None].expand_as(image))
    image = image.gather(3, columns.clamp(0, w - 1)[:, None, None, :].expand_as(image))
    return image * inside


def cutout(images: Images) -> Images:
    """Set a rectangle of half the sides, anywhere, to zero; a part of it may lie outside."""
    n, device = len(images[0]), images[0].device
    centres = torch.rand(2, n, 1, device=device)
    return tuple(image * ~hole(image, *centres) for image in images)


def hole(image: Tensor, top: Tensor, left: Tensor, share: float = 1 / 2) -> Tensor:
    """Return a mask [n, 1, h, w], true in a rectangle of ``share`` of the sides; the centres are [n, 1], 0 to 1."""
    h, w = image.shape[2:]
    rows, columns = torch.arange(h, device=image.device), torch.arange(w, device=image.device)
    inside = []
    for places, centre, side in ((rows, top, h), (columns, left, w)):
        size = round(share * side)
        start = (centre * side).floor() - size // 2  # [n, 1]
        inside.append((places >= start) & (places < start + size))
    return inside[0][:, None, :, None] & inside[1][:, None, None, :]


CHANGES: dict[str, Callable[[Images], Images]] = {"colour": colour, "translation": translation, "cutout": cutout}


class Seen:
    """A discriminator that sees images after ``augment``; ``parts``: the channels of the images that are joined.

    Without ``augment`` it makes the changes itself.
    """

    def __init__(self, D: Callable, augment: DiffAugment | None = None, parts: Sequence[int] = ()) -> None:
        self.D, self.augment, self.parts = D, augment or DiffAugment(), list(parts)
        self.remembers: bool = getattr(D, "remembers", False)  # see i2i.gan.scored

    def __call__(self, x: Tensor, *others: Any, **named: Any) -> Any:
        if self.parts:
            x = torch.cat(self.augment(*x.split(self.parts, 1)), 1)
        else:
            (x,) = self.augment(x)
        return self.D(x, *others, **named)
