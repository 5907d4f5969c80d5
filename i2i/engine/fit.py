"""``--batch auto``: the largest batch that the GPU's memory holds."""

from __future__ import annotations

from collections.abc import Callable
from math import lcm

import torch

from i2i.engine.game import Game
from i2i.engine.ranks import World
from i2i.engine.run import Run

LARGEST = 256  # images a process; beyond it a step gains nothing


def fitting_batch(run: Run, world: World) -> int:
    """The batch for a run over all processes: on a CPU one image each, where more gains nothing.

    On a GPU two trial steps on noise find it, and a tenth of the memory is left free.
    """
    if world.device.type == "cpu":
        return world.size

    def attempt(images: int) -> bool:
        torch.cuda.empty_cache()  # of the attempt before
        torch.cuda.reset_peak_memory_stats(world.device)
        game = Game(run, World(device=world.device))  # by itself: the others may run out of memory at another batch
        play_on_noise(run, game, images)
        total = torch.cuda.get_device_properties(world.device).total_memory
        return torch.cuda.max_memory_reserved(world.device) < 0.9 * total

    found = -world.largest(-largest_power(attempt))  # what the smallest GPU of all holds
    torch.cuda.empty_cache()
    return found * world.size


def play_on_noise(run: Run, game: Game, images: int) -> None:
    """Two steps of ``images`` random images in which every player moves, also one that waits for others to move."""
    batch = {
        name: torch.rand(images, run.facts[side]["channels"], *run.settings.size, device=game.world.device) * 2 - 1
        for name, side in (("x", "source"), ("y", "target"))
    }
    domains = len(run.facts.get("domains", ()))
    if domains:
        batch["c"] = torch.eye(domains)[torch.arange(images) % domains]
    together = lcm(*(move.player.every for move in game.moves.values()))
    for turn in (1, 2):
        game.step(batch, turn * together - 1, 1.0)


def largest_power(attempt: Callable[[int], bool]) -> int:
    """The largest power of two for which ``attempt`` says yes; out of memory is a no.

    Raises ValueError when not even one image fits.
    """
    found, size = 0, 1
    while size <= LARGEST:
        try:
            if not attempt(size):
                break
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            break
        found, size = size, 2 * size
    if not found:
        raise ValueError("not even a batch of one image fits into the GPU's memory; choose a smaller --size")
    return found
