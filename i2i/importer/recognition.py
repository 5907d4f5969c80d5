"""Which network a dict of tensors is: every family says what it expects, and the one that expects just this has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from i2i.engine.weights import AVERAGED, IMAGE
from i2i.importer.checkpoints import StateDict
from i2i.importer.families import FAMILIES, STRANGERS, Family, Guess, Shapes
from i2i.networks import averaged, discriminator, generator, per_image

WRAPPERS = ("module.", "_orig_mod.")  # what DataParallel and torch.compile put before every key
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
SHOWN = 6  # differences in an error
RECOGNISED = "What is recognised:" + "".join(f"\n  {family.title}" for family in FAMILIES)


@dataclass(frozen=True)
class Found:
    """A network that was recognised: which of ours it is, and which tensor goes where."""

    family: Family
    guess: Guess
    part: str = ""
    """The names above it in its file, joined by dots."""

    def __str__(self) -> str:
        options = ", ".join(f"{name} {value}" for name, value in self.guess.options.items())
        return f"{self.family.title} ({self.guess.network}: {options})"

    def make(self) -> nn.Module:
        """The network, with weights of its own."""
        network, channels, options = self.guess.network, self.guess.in_channels, self.guess.options
        if self.family.judge:
            return discriminator(network, channels, **options)
        return generator(network, channels, self.guess.out_channels, **options)

    @cached_property
    def keys(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Their keys -> our key and the shape, in our order; the layers of both are the same, in the same order."""
        with torch.device("meta"):
            ours = {key: tuple(tensor.shape) for key, tensor in self.make().state_dict().items()}
        layers = dict.fromkeys(key.rpartition(".")[0] for key in ours)
        theirs = dict(zip(layers, self.guess.layers, strict=True))
        named = ((key, *key.rpartition(".")) for key in ours)
        return {f"{theirs[layer]}.{tensor}": (key, ours[key]) for key, layer, _, tensor in named}

    def differences(self, shapes: Shapes) -> list[str]:
        """What of these shapes is not as it would have to be, in words; none where this is the network."""
        wanted, found = self._compared(shapes)
        other = [key for key in wanted if key in found and found[key] != wanted[key]]
        lines = [f"{key} is {found[key]}, expected {wanted[key]}" for key in other]
        lines += [f"{key} {wanted[key]} is missing" for key in wanted if key not in found]
        return lines + [f"{key} {found[key]} is too much" for key in found if key not in wanted]

    def likeness(self, shapes: Shapes) -> float:
        """The share of the tensors, wanted and found, that agree."""
        wanted, found = self._compared(shapes)
        return len(wanted.items() & found.items()) / max(len(wanted.keys() | found.keys()), 1)

    def _compared(self, shapes: Shapes) -> tuple[Shapes, Shapes]:
        """What is wanted and what is there, but for running statistics: where each image has its own, none matter."""
        wanted = {key: shape for key, (_, shape) in self.keys.items() if not key.endswith(STATISTICS)}
        wanted |= {key: (channels, 1, len(taps), len(taps)) for key, (channels, taps) in self.guess.filters.items()}
        return wanted, {key: shape for key, shape in shapes.items() if not key.endswith(STATISTICS)}

    def build(self, tensors: Mapping[str, Tensor], statistics: str = IMAGE) -> nn.Module:
        """The network with these weights, which must be its own; with AVERAGED ``statistics``, it keeps to those.

        Raises ValueError for values that are not finite, for a filter with other values than the authors', and for a
        network that has no averages to keep to.
        """
        broken = [key for key, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())]
        if broken:
            raise ValueError(f"{len(broken)} of its tensors hold values that are not finite ({', '.join(broken[:3])})")
        for key, (_, taps) in self.guess.filters.items():
            line = torch.tensor(taps)
            if not torch.allclose(tensors[key].float(), line.outer(line), atol=1e-3):
                raise ValueError(f"its filter {key} is another than the authors', {taps} both ways")
        net = self.make()
        wanted = [key for key in self.keys if key.endswith(STATISTICS[:2])]
        if statistics == AVERAGED and not (wanted and all(key in tensors for key in wanted)):
            raise ValueError("it has no batch norm with running averages that its use could keep to")
        theirs = {ours: tensors[key] for key, (ours, _) in self.keys.items() if key in tensors}
        net.load_state_dict(net.state_dict() | theirs)
        return averaged(net) if statistics == AVERAGED else net.eval()


def network(state_dict: Mapping[str, Any]) -> tuple[nn.Module, Found]:
    """The network whose weights these are, generator or discriminator, ready for use, and which it is.

    ``state_dict`` holds tensors under the authors' keys. Dropout is off, and batch norm has the statistics of each
    image, or those of its training where its authors use it in batches. Raises ValueError, with what is recognised and
    what came closest, for any other.
    """
    tensors = {key: value for key, value in state_dict.items() if isinstance(value, Tensor)}
    candidates = recognise({"": tensors})
    if len(candidates) != 1:
        raise ValueError("expected the weights of one network" + listed(candidates))
    found, tensors = candidates[0]
    return per_image(found.build(tensors, found.family.statistics)), found


def recognise(parts: Mapping[str, StateDict]) -> list[tuple[Found, StateDict]]:
    """The networks among some dicts of tensors, each with its tensors under the authors' keys.

    Raises ValueError, with what is recognised and what came closest, where there is none.
    """
    parts = {name: bare(tensors) for name, tensors in parts.items()}
    # A whole model's dict holds its networks side by side, each behind its name.
    within = {
        f"{name}.{first}".lstrip("."): inner for name, tensors in parts.items() for first, inner in split(tensors)
    }
    for level in (parts, within):
        exact = [(found, tensors) for name, tensors in level.items() if (found := _exact(name, tensors))]
        if exact:
            return exact
    raise ValueError(unknown(parts | within))


def listed(candidates: list[tuple[Found, StateDict]]) -> str:
    """The networks, a line each."""
    return "".join(f"\n  {found.part}: {found}" for found, _ in candidates)


def bare(tensors: StateDict) -> StateDict:
    """Without what was put before every key, and without the statistics that older instance norms kept for nothing."""
    for wrapper in WRAPPERS * 2:
        if all(key.startswith(wrapper) for key in tensors):
            tensors = {key.removeprefix(wrapper): tensor for key, tensor in tensors.items()}
    idle = {key for key in tensors if key.endswith(STATISTICS) and f"{key.rpartition('.')[0]}.weight" not in tensors}
    return {key: tensor for key, tensor in tensors.items() if key not in idle}


def split(tensors: StateDict) -> list[tuple[str, StateDict]]:
    """The tensors by the first name of their keys."""
    firsts = dict.fromkeys(key.partition(".")[0] for key in tensors if "." in key)
    return [(f, bare({k[len(f) + 1 :]: t for k, t in tensors.items() if k.startswith(f"{f}.")})) for f in firsts]


def unknown(parts: Mapping[str, StateDict]) -> str:
    """Why none of these is recognised: what is, and what came closest."""
    names = [f"{part}.{key}".lstrip(".") for part, tensors in parts.items() for key in tensors]
    for start, what in STRANGERS.items():
        if any(name.startswith(start) or f".{start}" in name for name in names):
            return f"this looks like {what}, which is not built here. {RECOGNISED}"
    shapes = {part: _shapes(tensors) for part, tensors in parts.items()}
    tries = [Found(family, family.guess(shapes[part]), part) for part in parts for family in FAMILIES]
    closest = max(tries, key=lambda found: found.likeness(shapes[found.part]))
    share = closest.likeness(shapes[closest.part])
    if share == 0:
        some = ", ".join(f"{key} {shape}" for key, shape in [*next(iter(shapes.values())).items()][:3])
        return f"not recognised: no tensor is as any of these has it (the first are {some}). {RECOGNISED}"
    lines = closest.differences(shapes[closest.part])
    more = f"\n  and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    return (
        f"not recognised. {RECOGNISED}\nClosest is {closest}, with {share:.0%} of the tensors; what differs:"
        + "".join(f"\n  {line}" for line in lines[:SHOWN])
        + more
    )


def _shapes(tensors: StateDict) -> Shapes:
    return {key: tuple(tensor.shape) for key, tensor in tensors.items()}


def _exact(part: str, tensors: StateDict) -> Found | None:
    shapes = _shapes(tensors)
    guesses = (Found(family, family.guess(shapes), part) for family in FAMILIES)
    return next((found for found in guesses if not found.differences(shapes)), None)
