"""The weights a run ships: one file a direction, which says itself what network it is for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from i2i.atomic import atomically
from i2i.engine.run import Run
from i2i.engine.settings import PLACES
from i2i.networks import averaged, generator
from i2i.spec import METADATA_KEY, Domain, Spec, parse_background
from i2i.translators import translator_class

ANY = "any"  # the direction of a network that translates to each of several domains
IMAGE, AVERAGED = "image", "averaged"  # statistics of an imported network's batch norm: each image's, its training's
EXPORT_KEY = "export"  # the translator's own name of the direction, beside the user's in the Spec


def save_weights(run: Run, networks: dict[str, nn.Module], step: int) -> None:
    """Writes each exported network to ``weights/DIRECTION.safetensors`` with its recipe in the header."""
    for direction, net in networks.items():
        spec = describe(run, direction)
        save_network(run.path, net, replace(spec, recipe=spec.recipe | {"step": step}), direction)


def save_network(run: Path, net: nn.Module, spec: Spec, export: str) -> None:
    """Writes the weights of one network of the run in folder ``run``, with ``spec``, whose recipe rebuilds it.

    ``export`` is the translator's own name of the direction.
    """
    path = run / "weights" / f"{spec.direction}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {key: _portable(tensor) for key, tensor in net.state_dict().items()}
    header = {METADATA_KEY: spec.to_json(), EXPORT_KEY: export}
    atomically(path, lambda temporary: save_file(tensors, temporary, metadata=header))


def _portable(tensor: Tensor) -> Tensor:
    """On the CPU, in single precision where it is a number with a fraction."""
    return tensor.detach().to("cpu", torch.float32 if tensor.is_floating_point() else tensor.dtype).contiguous()


def describe(run: Run, direction: str) -> Spec:
    """What a run knows of an export, in the user's words.

    A direction goes from its first letter's side to its last one's. Where the user asked for ``direction="b2a"``, the
    translator's x is the user's B, and its a2b the user's b2a.
    """
    sides = {"a": Domain(**run.facts["source"]), "b": Domain(**run.facts["target"])}
    settings = run.settings.to_dict()
    for place in PLACES:  # where they lie is no stranger's business
        settings[place] = settings[place] and Path(settings[place]).name
    spec = Spec(
        method=run.settings.method,
        direction=direction,
        source=sides["a"],
        target=sides["a"],
        recipe={
            "channels": [domain.channels for domain in sides.values()],
            "hyperparameters": run.hyperparameters,
            "settings": settings,
        },
        background=parse_background(run.settings.background),
    )
    if direction == ANY:
        return replace(
            spec, domains=tuple(run.facts["domains"]), attributes=run.hyperparameters.get("attributes", False)
        )
    users = direction if run.settings.direction == "a2b" else direction.translate(str.maketrans("ab", "ba"))
    return replace(spec, direction=users, source=sides[direction[0]], target=sides[direction[-1]])


def load_generators(run: str | Path) -> dict[str, tuple[nn.Module, Spec]]:
    """The averaged generators of a run by direction ("a2b"), each with what is known of it.

    Reads nothing but ``weights/*.safetensors`` (or one such file), whose headers hold the recipe. Raises ValueError,
    with the first mismatches, for a file that is damaged or fits no network.
    """
    run = Path(run)
    files = [run] if run.is_file() else sorted((run / "weights").glob("*.safetensors"))
    if not files:
        raise ValueError(f"{run} holds no weights; expected the folder of a run that has saved at least once")
    return {spec.direction: (net, spec) for net, spec in map(_load, files)}


def _load(path: Path) -> tuple[nn.Module, Spec]:
    tensors, header = _read(path)
    if METADATA_KEY not in header or EXPORT_KEY not in header:
        raise ValueError(f"{path} does not say what network it is for; expected weights that i2i train wrote")
    spec, export = Spec.from_json(header[METADATA_KEY]), header[EXPORT_KEY]
    net = _made(spec, export)
    expected = {key: tuple(t.shape) for key, t in net.state_dict().items()}
    found = {key: tuple(t.shape) for key, t in tensors.items()}
    wrong = [key for key in expected | found if expected.get(key) != found.get(key)]
    if wrong:
        lines = "".join(f"\n  {k}: expected {expected.get(k, 'none')}, got {found.get(k, 'none')}" for k in wrong[:5])
        raise ValueError(f"{path} does not fit its network: {len(wrong)} of its tensors differ{lines}")
    net.load_state_dict(tensors)
    return net.eval(), spec


def _made(spec: Spec, export: str) -> nn.Module:
    """The network of a recipe: one by its name (an imported one), or the export of a translator."""
    recipe = spec.recipe
    if "network" in recipe:
        net = generator(recipe["network"], *recipe["channels"], **recipe["options"])
        return averaged(net) if recipe.get("statistics") == AVERAGED else net
    return translator_class(spec.method)(*recipe["channels"], **recipe["hyperparameters"]).exports()[export]


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is damaged or no safetensors file: {error}") from error
