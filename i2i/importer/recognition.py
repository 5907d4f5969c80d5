"""Recognition: find the family whose expected names and shapes equal those of a dict of tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from i2i.engine.weights import AVERAGED, IMAGE
from i2i.importer.checkpoints import StateDict
from i2i.importer.families import FAMILIES, UNSUPPORTED, Family, Guess, Shapes
from i2i.networks import averaged, discriminator, generator

WRAPPERS = ("module.", "_orig_mod.")  # prefixes that DataParallel and torch.compile add to every key
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
SHOWN = 6  # differences in an error
DEEPEST = 3  # levels that are searched: the parts themselves, and behind one name or two
RECOGNISED = "Recognised are:" + "".join(f"\n  {family.title}" for family in FAMILIES)


@dataclass(frozen=True)
class Found:
    """A recognised network: which of ours it is, and which tensor goes where."""

    family: Family
    guess: Guess
    part: str = ""
    """Names above it in its file, joined by dots."""

    def __str__(self) -> str:
        options = ", ".join(f"{name} {value}" for name, value in self.guess.options.items())
        return f"{self.family.title} ({self.guess.network}: {options})"

    def make(self) -> nn.Module:
        """Make the network with random weights."""
        network, channels, options = self.guess.network, self.guess.in_channels, self.guess.options
        if self.family.discriminator:
            return discriminator(network, channels, **options)
        return generator(network, channels, self.guess.out_channels, **options)

    @cached_property
    def keys(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Map the authors' keys to our key and the shape, in our order; both have the same layers in the same order."""
        with torch.device("meta"):
            ours = {key: tuple(tensor.shape) for key, tensor in self.make().state_dict().items()}
        layers = dict.fromkeys(key.rpartition(".")[0] for key in ours)
        theirs = dict(zip(layers, self.guess.layers, strict=True))
        named = ((key, *key.rpartition(".")) for key in ours)
        return {f"{theirs[layer]}.{tensor}": (key, ours[key]) for key, layer, _, tensor in named}

    def differences(self, shapes: Shapes) -> list[str]:
        """Return the differences between ``shapes`` and the expected ones, in words; none if they agree."""
        wanted, found = self._compared(shapes)
        other = [key for key in wanted if key in found and found[key] != wanted[key]]
        lines = [f"{key} is {found[key]}, expected {wanted[key]}" for key in other]
        lines += [f"{key} {wanted[key]} is missing" for key in wanted if key not in found]
        return lines + [f"{key} {found[key]} is unexpected" for key in found if key not in wanted]

    def likeness(self, shapes: Shapes) -> float:
        """Return the share of tensors, expected and found, that agree."""
        wanted, found = self._compared(shapes)
        return len(wanted.items() & found.items()) / max(len(wanted.keys() | found.keys()), 1)

    def _compared(self, shapes: Shapes) -> tuple[Shapes, Shapes]:
        """Return expected and found shapes without running statistics, which per-image statistics do not need."""
        wanted = {key: shape for key, (_, shape) in self.keys.items() if not key.endswith(STATISTICS)}
        wanted |= {key: (channels, 1, len(taps), len(taps)) for key, (channels, taps) in self.guess.filters.items()}
        return wanted, {key: shape for key, shape in shapes.items() if not key.endswith(STATISTICS)}

    def build(self, tensors: Mapping[str, Tensor], statistics: str = IMAGE) -> nn.Module:
        """Make the network with these weights. With AVERAGED ``statistics`` its batch norm uses the running averages.

        Raises ValueError for values that are not finite, for a constant filter that differs from the authors', and for
        a network without running averages to use.
        """
        broken = [key for key, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())]
        if broken:
            raise ValueError(f"{len(broken)} of its tensors hold values that are not finite ({', '.join(broken[:3])})")
        for key, (_, taps) in self.guess.filters.items():
            line = torch.tensor(taps)
            if not torch.allclose(tensors[key].float(), line.outer(line), atol=1e-3):
                raise ValueError(f"its filter {key} differs from the authors' {taps} in both directions")
        net = self.make()
        wanted = [key for key in self.keys if key.endswith(STATISTICS[:2])]
        if statistics == AVERAGED and not (wanted and all(key in tensors for key in wanted)):
            raise ValueError("it has no batch norm with running averages")
        theirs = {ours: tensors[key] for key, (ours, _) in self.keys.items() if key in tensors}
        net.load_state_dict(net.state_dict() | theirs)
        return averaged(net) if statistics == AVERAGED else net.eval()


def recognise(parts: Mapping[str, StateDict]) -> list[tuple[Found, StateDict]]:
    """Return the networks among dicts of tensors, each with its tensors under the authors' keys.

    Raises ValueError, with the known families and the closest match, if there is none.
    """
    level = {name: bare(tensors) for name, tensors in parts.items()}
    everything, judges = dict(level), list[tuple[Found, StateDict]]()
    # The dict of a whole model contains several networks, each behind one name or two.
    for _ in range(DEEPEST):
        exact = [(found, tensors) for name, tensors in level.items() if (found := _exact(name, tensors))]
        if any(not found.family.discriminator for found, _ in exact):
            return exact
        judges = judges or exact
        level = {
            f"{name}.{first}".lstrip("."): inner for name, tensors in level.items() for first, inner in split(tensors)
        }
        everything |= level
    if judges:
        return judges
    raise ValueError(unknown(everything))


def listed(candidates: list[tuple[Found, StateDict]]) -> str:
    """Describe networks, one per line."""
    return "".join(f"\n  {found.part}: {found}" for found, _ in candidates)


def bare(tensors: StateDict) -> StateDict:
    """Remove prefixes of wrappers, and the unused running statistics of older instance norms."""
    for wrapper in WRAPPERS * 2:
        if all(key.startswith(wrapper) for key in tensors):
            tensors = {key.removeprefix(wrapper): tensor for key, tensor in tensors.items()}
    idle = {key for key in tensors if key.endswith(STATISTICS) and f"{key.rpartition('.')[0]}.weight" not in tensors}
    return {key: tensor for key, tensor in tensors.items() if key not in idle}


def split(tensors: StateDict) -> list[tuple[str, StateDict]]:
    """Group the tensors by the first name of their keys."""
    firsts = dict.fromkeys(key.partition(".")[0] for key in tensors if "." in key)
    return [(f, bare({k[len(f) + 1 :]: t for k, t in tensors.items() if k.startswith(f"{f}.")})) for f in firsts]


def unknown(parts: Mapping[str, StateDict]) -> str:
    """Return why no network is recognised: the known families, and the closest match."""
    names = [f"{part}.{key}".lstrip(".") for part, tensors in parts.items() for key in tensors]
    for start, what in UNSUPPORTED.items():
        if any(name.startswith(start) or f".{start}" in name for name in names):
            return f"this looks like {what}, which `i2i import` does not know. {RECOGNISED}"
    shapes = {part: _shapes(tensors) for part, tensors in parts.items()}
    guesses = (Found(family, family.guess(shapes[part]), part) for part in parts for family in FAMILIES)
    tries = [found for found in guesses if any(layer in found.guess.layers for layer in _layers(shapes[found.part]))]
    closest = max(tries, key=lambda found: found.likeness(shapes[found.part]), default=None)
    share = closest.likeness(shapes[closest.part]) if closest else 0.0
    if closest is None or share == 0:
        some = ", ".join(f"{key} {shape}" for key, shape in [*next(iter(shapes.values())).items()][:3])
        return f"not recognised: no tensor matches any of these (the first are {some}). {RECOGNISED}"
    lines = closest.differences(shapes[closest.part])
    more = f"\n  and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    return (
        f"not recognised. {RECOGNISED}\nClosest is {closest}, with {share:.0%} of the tensors; differences:"
        + "".join(f"\n  {line}" for line in lines[:SHOWN])
        + more
    )


def _shapes(tensors: StateDict) -> Shapes:
    return {key: tuple(tensor.shape) for key, tensor in tensors.items()}


def _exact(part: str, tensors: StateDict) -> Found | None:
    shapes = _shapes(tensors)
    guesses = (Found(family, family.guess(shapes), part) for family in FAMILIES)
    there = _layers(shapes)  # a network is made only where each of its layers with weights may be there
    return next(
        (found for found in guesses if there.issuperset(found.guess.layers) and not found.differences(shapes)), None
    )


def _layers(shapes: Shapes) -> set[str]:
    return {key.rpartition(".")[0] for key in shapes}
