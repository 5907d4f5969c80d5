"""``--batch auto``: find the largest batch that fits into the GPU's memory."""

from __future__ import annotations

from collections.abc import Callable
from math import lcm

import torch

from i2i.engine.distributed import World
from i2i.engine.run_folder import Run
from i2i.engine.train_state import TrainState
from i2i.translators import Views
from i2i.words import FIRST

LARGEST = 256  # images per process; larger batches are no faster
LEAST = 8  # steps of an epoch: a run by epochs with fewer would hardly train


def fitting_batch(run: Run, world: World) -> int:
    """Return the largest batch over all processes that fits; on a CPU the method's usual one.

    On a GPU it is found by trial steps on noise, a tenth of the memory stays free, and an epoch has at least ``LEAST``
    steps.
    """
    if world.device.type == "cpu":
        return max(run.settings.batch // world.size, 1) * world.size

    def attempt(images: int) -> bool:
        torch.cuda.empty_cache()  # from the previous attempt
        torch.cuda.reset_peak_memory_stats(world.device)
        game = TrainState(
            run, World(device=world.device)
        )  # without the others, which may run out of memory at another batch
        play_on_noise(run, game, images)
        total = torch.cuda.get_device_properties(world.device).total_memory
        return torch.cuda.max_memory_reserved(world.device) < 0.9 * total

    most = run.facts["images"] // (LEAST * run.settings.accumulate * world.size)
    found = -world.largest(-largest_power(attempt, min(most, LARGEST)))  # what fits into the smallest GPU
    torch.cuda.empty_cache()
    return found * world.size


def play_on_noise(run: Run, game: TrainState, images: int) -> None:
    """Run two steps on ``images`` random images for each part of a step.

    Every player moves in both, also those with ``every`` > 1.
    """
    batch = noise(run, game, images * run.settings.accumulate)
    together = lcm(*(move.player.every for move in game.moves.values()))
    for turn in (1, 2):
        game.step(batch, turn * together - 1, 1.0)


def noise(run: Run, game: TrainState, images: int) -> Views:
    """Return a batch of ``images`` random images of a run's kind of data."""
    batch = {
        name: torch.rand(images, run.facts[side]["channels"], *run.settings.size, device=game.world.device) * 2 - 1
        for name, side in (("x", "source"), ("y", "target"))
    }
    domains = len(run.facts.get("domains", ()))
    if domains:
        batch["c"] = torch.eye(domains)[torch.arange(images) % domains]
    prior = game.translator.prior()
    if prior is not None and prior.words:
        text = torch.randint(FIRST, FIRST + len(prior.vocabulary), (2, images, prior.words), device=game.world.device)
        batch |= {"text": text[0], "wrong": text[1]}
    return batch


def largest_power(attempt: Callable[[int], bool], most: int) -> int:
    """Return the largest power of two for which ``attempt`` returns True and does not run out of memory.

    It is at most ``most`` and at least 1, also where that leaves less room than ``attempt`` asks for. Raises
    OutOfMemoryError if not even that fits.
    """
    found, size = 0, 1
    while size <= max(most, 1):
        try:
            if not attempt(size):
                break
        except torch.OutOfMemoryError:
            if not found:
                raise
            torch.cuda.empty_cache()
            break
        found, size = size, 2 * size
    return max(found, 1)
