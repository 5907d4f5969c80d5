"""The cost of a network: multiply-accumulate operations, parameters, and time."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

SIDE = 256
"""Height and width of the image that costs are of."""
TRIALS = 3


def macs(net: nn.Module, channels: int) -> int:
    """Return the multiply-accumulate operations of one image, ``SIDE`` x ``SIDE``; only convolutions and matrices
    count. Nothing is computed: the network is copied to the device "meta".
    """
    net = copy.deepcopy(net).to("meta", torch.float32)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net(torch.empty(1, channels, SIDE, SIDE, device="meta"))
    return counter.get_total_flops() // 2


def parameters(net: nn.Module) -> int:
    """Return the number of weights."""
    return sum(parameter.numel() for parameter in net.parameters())


def milliseconds(run: Callable[[], object], device: torch.device) -> float:
    """Return the median time of ``run`` in milliseconds, after a first one that does not count."""
    times = []
    for _ in range(TRIALS + 1):
        began = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(1000 * (time.perf_counter() - began))
    return median(times[1:])
