"""Named sets of settings and hyper-parameters; standard library only, as ``settings``."""

from __future__ import annotations

from typing import Any

PRESETS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    # the authors' settings: single precision, networks as they are, no averaging, and those of each translator's
    # ``authors``; the jitter is the same for all methods here, and so is the learning rate's schedule but for UNIT
    "paper": ({"precision": "fp32", "compile": "off", "ema": 0.0}, {}),
    # a quarter of the computation and half the length, for a first look at new data
    "fast": ({"epochs": 100}, {"ngf": 32, "ndf": 32, "upsample": "resize"}),
    # hours on a few cores; the authors' generators for 128 pixels
    "cpu": (
        {"size": (128, 128), "steps": 10_000},
        {"ngf": 32, "ndf": 32, "upsample": "resize", "generator": {"resnet_9": "resnet_6", "unet_256": "unet_128"}},
    ),
    # what came nearest to the target without pairs (docs/results.md): a norm that keeps the colour of flat images,
    # upsampling without a grid, and the ``good`` of each translator
    "good": ({}, {"norm": {"instance": "group"}, "upsample": {"deconv": "resize", "blur": "resize"}}),
    # the discriminator and the optimisers of UVCGAN2 (Torbunov et al. 2023, arXiv:2303.16280), for unpaired methods
    "uvcgan2": (
        {"schedule": "constant", "beta2": 0.99, "ema": 0.9999},
        {
            "objective": "lsgan",
            "constraint": "spectral+gp-zero",
            "discriminator": {"patch_3": "batchstat_3"},
            "lambda_cyc": 5.0,
            "lambda_identity": 0.5,
            "lr": 1e-4,
        },
    ),
}
"""Settings and hyper-parameters of each preset; explicitly given ones override them. A dict replaces one default of the
method by another, and a size does not apply to methods whose authors' size is their default."""
