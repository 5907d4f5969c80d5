"""The projection of patches that CUT compares (Park et al. 2020, arXiv:2007.15651, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from i2i.networks.blocks import initialise


class PatchProjection(nn.Module):
    """One perceptron of two layers for each map of an encoder; its outputs are unit vectors.

    Args:
        channels: of the maps.
        dim: of the vectors.

    Takes the features of patches, [n, patches, c] a map, and returns [n, patches, dim] for each.
    """

    def __init__(self, channels: Sequence[int], dim: int = 256) -> None:
        super().__init__()
        self.mlps = nn.ModuleList(nn.Sequential(nn.Linear(c, dim), nn.ReLU(), nn.Linear(dim, dim)) for c in channels)
        initialise(self, weights="xavier")

    def forward(self, patches: Sequence[Tensor]) -> list[Tensor]:
        projected = [mlp(features) for mlp, features in zip(self.mlps, patches, strict=True)]
        return [z / (z.norm(dim=2, keepdim=True) + 1e-7) for z in projected]
