"""The pool of past images that a discriminator also sees."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def coin() -> bool:
    """Return True at even odds, drawn from PyTorch's default CPU generator: no device is waited for."""
    return bool(torch.rand(()) < 0.5)


def numbers_below(n: int, count: int) -> list[int]:
    """Return ``count`` numbers from 0 to n - 1, drawn like ``coin``."""
    return torch.randint(n, (count,)).tolist()


class ImagePool(nn.Module):
    """History of generated images (Shrivastava et al. 2017, arXiv:1612.07828, section 2.3), one image at a time.

    Until it is full it returns its input. Then each image is, with probability 1/2, returned, or stored in place of a
    random older one, which is returned instead. The stored images are part of the module's state.
    """

    def __init__(self, size: int = 50) -> None:
        super().__init__()
        if size < 0:
            raise ValueError(f"pool is {size}; it cannot be negative; 0 disables it")
        self.size = size
        self.images: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        """Map [n, c, h, w] to [n, c, h, w]; draws from PyTorch's default CPU generator."""
        if self.size == 0:
            return images
        if self.images and self.images[0].shape != images.shape[1:]:
            self.images = []  # the run goes on with images of another size
        if self.images and (self.images[0].device, self.images[0].dtype) != (images.device, images.dtype):
            self.images = [image.to(images) for image in self.images]  # a restored pool is on the CPU
        return torch.stack([self._exchange(image) for image in images.detach()])

    def _exchange(self, image: Tensor) -> Tensor:
        if len(self.images) < self.size:
            self.images.append(image.clone())
            return image
        if coin():
            return image
        (place,) = numbers_below(self.size, 1)
        older, self.images[place] = self.images[place], image.clone()
        return older

    def get_extra_state(self) -> dict[str, Any]:
        return {"images": torch.stack(self.images).cpu() if self.images else None}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.images = [] if state["images"] is None else list(state["images"].clone())
