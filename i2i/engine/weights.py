"""Exported weights of a run: one safetensors file per direction, with the network's recipe in its header."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from i2i.atomic import atomically, digest
from i2i.engine.options import stated
from i2i.engine.run_folder import Run
from i2i.engine.settings import PATHS
from i2i.networks import averaged, generator
from i2i.spec import ENERGY, GENERATOR, METADATA_KEY, WEIGHTS, Domain, Mean, Spec, best_weights, parse_background
from i2i.translators import Translator, translator_class

ANY = "any"  # direction of a network that translates to several domains
GENERATE = "generate"  # direction of a generator from noise
IMAGE, AVERAGED = (
    "image",
    "averaged",
)  # batch norm of an imported network: statistics of each image, or running averages
SHOWN = 5  # differences in an error
EXPORT_KEY = "export"  # metadata key of the translator's own name of the direction

_IMPORT = "Weights of another program become a run with `i2i import {}`; then give the folder of that run"


def save_weights(run: Run, networks: dict[str, nn.Module], step: int) -> None:
    """Write each exported network to ``weights/DIRECTION.safetensors`` with its recipe in the header."""
    for direction, net in networks.items():
        spec = describe(run, direction)
        save_network(run.path, net, replace(spec, recipe=spec.recipe | {"step": step}), direction)


def save_network(run: Path, net: nn.Module, spec: Spec, export: str) -> None:
    """Write the weights of one network of the run in folder ``run``, with ``spec``, whose recipe rebuilds it.

    ``export`` is the translator's own name of the direction.
    """
    write_weights(run / "weights" / f"{spec.direction}.safetensors", net.state_dict(), spec, export)


def write_weights(path: Path, tensors: Mapping[str, Tensor], spec: Spec, export: str) -> None:
    """Write the tensors of a network; a file that has this content already keeps its time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = {METADATA_KEY: spec.to_json(), EXPORT_KEY: export}
    portable = {key: _portable(tensor) for key, tensor in tensors.items()}
    data = save(portable, metadata=header)  # save_file reports a full disk as an error of the format
    if not path.exists() or path.read_bytes() != data:
        atomically(path, lambda temporary: temporary.write_bytes(data))


def _portable(tensor: Tensor) -> Tensor:
    """Return the tensor on the CPU, in single precision if it is floating point."""
    return tensor.detach().to("cpu", torch.float32 if tensor.is_floating_point() else tensor.dtype).contiguous()


def describe(run: Run, direction: str) -> Spec:
    """Return the Spec of an export, with the user's names of the domains.

    A direction goes from its first letter's side to its last one's. With ``direction="b2a"`` the translator's x is the
    user's B, and its a2b the user's b2a.
    """
    sides = {"a": Domain.from_dict(run.facts["source"]), "b": Domain.from_dict(run.facts["target"])}
    settings = run.settings.to_dict()
    for path in PATHS:  # a file that is given away does not show the folders of this machine
        settings[path] = settings[path] and Path(settings[path]).name
    if settings["eval_features"]:
        kind, colon, file = settings["eval_features"].partition(":")
        settings["eval_features"] = kind + colon + Path(file).name
    spec = Spec(
        method=run.settings.method,
        direction=direction,
        source=sides["a"],
        target=sides["a"],
        recipe={
            "channels": [domain.channels for domain in sides.values()],
            "hyperparameters": stated(run.settings.method, run.hyperparameters) | run.hyperparameters,
            "settings": settings,
            **{name: run.facts[name] for name in ("teacher", "student") if name in run.facts},
        },
        background=parse_background(run.settings.background),
        derive=run.settings.derive or "",
    )
    if direction == ENERGY:
        return replace(spec, kind=ENERGY, schema=3)
    if direction in (ANY, GENERATE):
        names, attributes = tuple(run.facts["domains"]), run.hyperparameters.get("attributes", False)
        labelled = replace(spec, domains=names, attributes=attributes)
        if direction == ANY:
            return labelled
        translator = _without_weights(run)
        prior = translator.prior()
        if not translator.conditional:
            assert prior is not None
            without = [f"not {name}" for name in names] if attributes else []
            labelled, prior = spec, replace(prior, means=tuple(map(Mean, (*names, *without))))
        return replace(labelled, kind=GENERATOR, prior=prior, schema=3)
    if translator_class(run.settings.method).prior is not Translator.prior:
        spec = replace(spec, prior=_without_weights(run).prior(), schema=3)
    users = direction if run.settings.direction == "a2b" else direction.translate(str.maketrans("ab", "ba"))
    return replace(spec, direction=users, source=sides[direction[0]], target=sides[direction[-1]])


def _without_weights(run: Run) -> Translator:
    """Return the run's translator on the device "meta", which draws no weights."""
    channels = run.facts["source"]["channels"], run.facts["target"]["channels"]
    with torch.device("meta"):
        return translator_class(run.settings.method)(*channels, **run.hyperparameters)


def load_generators(run: str | os.PathLike[str], weights: str = "best") -> dict[str, tuple[nn.Module, Spec]]:
    """Load the averaged generators of a run by direction ("a2b"), each with its Spec.

    Reads only ``weights/*.safetensors`` (or one such file), whose headers contain the recipe. ``weights`` is "best",
    those that validation chose where there are such, or "newest". Raises ValueError, with the first mismatches, for a
    file that is damaged or does not fit its network.
    """
    if weights not in WEIGHTS:
        raise ValueError(f"weights is {weights!r}; choose {' or '.join(WEIGHTS)}")
    run = Path(run)
    files = [run] if run.is_file() else sorted((run / "weights").glob("*.safetensors"))
    if weights == "best" and not run.is_file():
        files = [best_weights(file) for file in files]
    if not files:
        raise ValueError(f"{run} contains no weights; expected the folder of a run that has saved at least once")
    return {spec.direction: (net, spec) for net, spec in map(_load, files)}


def load_translator(run: str | os.PathLike[str], weights: str = "best") -> Translator:
    """Load the translator of a run, in evaluation mode, with the averaged weights of what it exports.

    Its other networks, such as discriminators, have random weights. Raises ValueError as ``load_generators``.
    """
    loaded = load_generators(run, weights)
    spec = next(iter(loaded.values()))[1]
    translator = translator_class(spec.method)(*spec.recipe["channels"], **spec.recipe["hyperparameters"])
    exports = translator.exports()
    for direction, (net, _) in loaded.items():
        exports[direction].load_state_dict(net.state_dict())
    return translator.eval()


def _load(path: Path) -> tuple[nn.Module, Spec]:
    """Load a file; the recipe names its content, so that an export of it is known as one."""
    content = digest(path) if path.is_file() else ""
    tensors, header = _read(path)
    if METADATA_KEY not in header or EXPORT_KEY not in header:
        raise ValueError(f"{path} does not say what network it is for. {_IMPORT.format(path)}")
    spec, export = Spec.from_json(header[METADATA_KEY]), header[EXPORT_KEY]
    spec = replace(spec, recipe=spec.recipe | {"weights": content})
    net = _made(spec, export)
    if lines := differing(net.state_dict(), tensors):
        raise ValueError(f"{path} does not fit its network:{lines}")
    net.load_state_dict(tensors, strict=False)  # batch norm's counter apart
    return net.eval(), spec


def differing(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    """Return the first tensors whose shapes differ, a line each; "" where all agree.

    Batch norm that keeps to its averages has no counter of batches, which no result depends on.
    """
    wanted, there = (
        {key: tuple(tensor.shape) for key, tensor in tensors.items() if not key.endswith("num_batches_tracked")}
        for tensors in (expected, found)
    )
    wrong = [key for key in wanted | there if wanted.get(key) != there.get(key)]
    lines = [f"\n  {key}: expected {wanted.get(key, 'none')}, got {there.get(key, 'none')}" for key in wrong[:SHOWN]]
    more = f"\n  and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
    return "".join(lines) + more


def _made(spec: Spec, export: str) -> nn.Module:
    """Make the network of a recipe: by name (an imported one), or the export of a translator."""
    recipe = spec.recipe
    if "network" in recipe:
        net = generator(recipe["network"], *recipe["channels"], **recipe["options"])
        return averaged(net) if recipe.get("statistics") == AVERAGED else net
    return translator_class(spec.method)(*recipe["channels"], **recipe["hyperparameters"]).exports()[export]


def is_ours(path: Path) -> bool:
    """True if a file is one of a run's ``.safetensors`` files."""
    try:
        with safe_open(path, framework="pt") as file:
            return METADATA_KEY in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        hint = "" if path.suffix == ".safetensors" else f". {_IMPORT.format(path)}"
        raise ValueError(f"{path} is damaged or no safetensors file: {error}{hint}") from error
