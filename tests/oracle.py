"""Weights of the authors' code in our networks: both list their layers in the same order."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import nn

HERE = Path(__file__).parent / "oracles"
NETWORKS = [
    ("cyclegan_resnet9_in", "resnet_9", {"norm": "instance", "dropout": False}),
    ("cyclegan_resnet6_bn_dropout", "resnet_6", {"norm": "batch", "dropout": True}),
    ("pix2pix_unet256_bn", "unet_256", {"norm": "batch"}),
    ("pix2pix_unet128_in", "unet_128", {"norm": "instance"}),
    ("patchgan70_in", "patch_3", {"norm": "instance"}),
    ("patchgan70_bn_paired", "patch_3", {"norm": "batch"}),
    ("patchgan_pixel", "pixel", {"norm": "batch"}),
]
CUT = [
    ("cut_resnet9_antialiased", "resnet_9", {"norm": "instance", "antialias": True, "upsample": "blur"}),
    ("cut_patchgan_antialiased", "patch_3", {"norm": "instance", "antialias": True}),
]


def adopt(net: nn.Module, theirs: Mapping[str, object]) -> None:
    """Load a state_dict under the authors' keys: both have the same tensors in the same order.

    Blur filters are left out: they are not learnt, and ours are none of the state.
    """
    theirs = {key: value for key, value in theirs.items() if not key.endswith(".filt")}
    ours = net.state_dict()
    for statistic in ("running", "num_batches"):  # that may be left out, since nothing of ours depends on them
        if not any(statistic in key for key in theirs):
            ours = {key: value for key, value in ours.items() if statistic not in key}
    assert len(ours) == len(theirs), f"{len(ours)} tensors here, {len(theirs)} there"
    tensors = [torch.as_tensor(np.asarray(value)) for value in theirs.values()]
    for key, tensor in zip(ours, tensors, strict=True):
        assert ours[key].shape == tensor.shape, f"{key}: {tuple(ours[key].shape)} here, {tuple(tensor.shape)} there"
    net.load_state_dict(net.state_dict() | dict(zip(ours, tensors, strict=True)))


def without_statistics(weights: Mapping[str, object]) -> dict[str, object]:
    """Return the weights without running statistics, for networks that have none."""
    return {key: value for key, value in weights.items() if "running" not in key and "num_batches" not in key}


def group(archive: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """The arrays of an archive under ``prefix/``, by the rest of their names, in order."""
    return {key[len(prefix) + 1 :]: archive[key] for key in archive if key.startswith(prefix + "/")}


def equal(ours: np.ndarray, theirs: np.ndarray, rel: float, absolute: float) -> bool:
    """True if each value of ``ours`` is within the larger tolerance of that of ``theirs``.

    As ``pytest.approx``, which takes 20 microseconds a value.
    """
    tolerance = np.maximum(rel * np.abs(theirs), absolute)
    return ours.shape == theirs.shape and bool((np.abs(ours - theirs) <= tolerance).all())
