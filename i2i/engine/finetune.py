"""Fine-tuning: a new run starts from the weights of a run or of a third-party checkpoint."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from i2i.engine.ema import EMA
from i2i.engine.options import defaults
from i2i.engine.run_folder import Run, read_json
from i2i.engine.settings import Settings
from i2i.engine.train_state import LOCAL, TrainState
from i2i.engine.weights import describe, differing, is_ours, load_generators
from i2i.spec import Prior, Spec
from i2i.text import plural


def initialise(game: TrainState, run: Run) -> dict[str, Any]:
    """Set the weights of ``game`` to those that the setting ``from_`` names; return the facts for ``run.json``.

    Generators are matched by direction and get the averaged weights, which an export has. Discriminators and all other
    networks follow where ``from_`` is the folder of a run of the same method that has its states, as far as they are
    the same networks there. All others keep their random weights; optimisers and image pools start empty. A method of
    several stages also starts from a run of the stage before, whose generator becomes a part of its own.

    Raises ValueError where ``from_`` has no weights, none for a direction of this run, those of another generator or of
    one that learned other words, and for a later stage without ``from_``.
    """
    if run.settings.from_ is None:
        raise ValueError(
            f"this stage of {run.settings.method} starts from a finished run of the stage before; "
            "give it with --from RUN"
        )
    source = Path(str(run.settings.from_))
    if not source.exists():
        raise ValueError(f"from is {source}: no such file or folder; expected a run's folder or a file of weights")
    specs = {name: describe(run, name) for name in game.translator.exports()}
    targets = {specs[name].direction: net for name, net in game.translator.exports().items()}
    generators = _generators(source, list(targets))
    if not targets.keys() & generators.keys():
        raise ValueError(
            f"{source} translates {_list(generators)}, and this run {_list(targets)}: nothing to start from"
        )
    directions = sorted(targets.keys() & generators.keys())
    for spec in specs.values():
        _check_words(source, spec.prior, generators[spec.direction][1].prior if spec.direction in directions else None)
    parts = game.translator.foundations()
    before = {d for d in directions if d in parts and _nearer(generators[d][0], parts[d], targets[d])}
    targets |= {direction: parts[direction] for direction in before}
    # first: it has the generators too, not averaged
    loaded = [] if before else _load_state(game, run, source)
    for direction in directions:
        net, spec = generators[direction]
        if differences := differing(targets[direction].state_dict(), net.state_dict()):
            hint = _hint(run, spec.recipe)
            raise ValueError(
                f"{source}: its generator {direction} is another network than this run's{differences}{hint}"
            )
        targets[direction].load_state_dict(targets[direction].state_dict() | net.state_dict())
    game.ema = EMA(game.translator.exports(), run.settings.ema)
    files = [source] if source.is_file() else sorted((source / "weights").glob("*.safetensors"))
    digest = hashlib.sha256(b"".join(hashlib.sha256(file.read_bytes()).digest() for file in files)).hexdigest()
    nets = {name: set(net.parameters()) for name, net in game.translator.named_children()}
    old = set().union(*(targets[d].parameters() for d in directions), *(nets[name] for name in loaded))
    new = [name for name, parameters in nets.items() if parameters - old]
    return {"from": source.name, "sha256": digest, "networks": loaded or directions, "new": new}


def _generators(source: Path, directions: list[str]) -> dict[str, tuple[nn.Module, Spec]]:
    """Return the generators of a run's folder, of one of its files or of a third-party checkpoint, by direction.

    A checkpoint does not say which way its generator translates: it takes this run's way where there is only one.
    """
    if source.is_dir() or is_ours(source):
        return load_generators(source, "newest")  # as the discriminators of the newest state are
    from i2i.importer import load_checkpoint

    net, spec = load_checkpoint(source)
    only = len(directions) == 1 and not spec.domains
    return {directions[0] if only else spec.direction: (net, spec)}


def _nearer(net: nn.Module, part: nn.Module, whole: nn.Module) -> bool:
    """True if a network has more of its tensors' names in common with a part of another than with all of that."""
    names, *others = (set(each.state_dict()) for each in (net, part, whole))
    return len(names ^ others[0]) < len(names ^ others[1])


def _check_words(source: Path, ours: Prior | None, theirs: Prior | None) -> None:
    """Raise ValueError for generators that give their words different ids."""
    if ours and theirs and (ours.vocabulary, ours.words) != (theirs.vocabulary, theirs.words):
        raise ValueError(
            f"{source} was trained on other captions: sentences of up to {plural(theirs.words, 'word')} from a "
            f"vocabulary of {len(theirs.vocabulary)}, and here up to {plural(ours.words, 'word')} from one of "
            f"{len(ours.vocabulary)}; use the same captions for both"
        )


def _load_state(game: TrainState, run: Run, source: Path) -> list[str]:
    """Load the networks of a run of the same method from its newest state, if they are the same; return their names."""
    if not any((source / "state").glob("*.pt")):
        return []
    facts = read_json(source / "run.json")
    if (facts["method"], facts["settings"].get("direction")) != (run.settings.method, run.settings.direction):
        return []
    state = Run(source, Settings.from_dict(facts["settings"]), facts["hyperparameters"], facts).newest_state()
    assert state is not None  # there is a file, and one that cannot be read raises
    ours, theirs = (_by_network(tensors) for tensors in (game.translator.state_dict(), state["game"]["translator"]))
    same = [name for name in ours if name in theirs and not differing(ours[name], theirs[name])]
    tensors = {key: tensor for name in same for key, tensor in theirs[name].items()}
    game.translator.load_state_dict(game.translator.state_dict() | tensors)
    return [name for name, net in game.translator.named_children() if name in same and list(net.parameters())]


def _by_network(tensors: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Group a translator's state_dict by network, without the state that differs between processes."""
    groups: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        if not key.endswith(LOCAL):
            groups.setdefault(key.partition(".")[0], {})[key] = tensor
    return groups


def _hint(run: Run, recipe: dict[str, Any]) -> str:
    """Return the options that make the networks of a recipe, as far as they are not those of this run."""
    ours = defaults(run.settings.method) | run.hyperparameters
    if "network" in recipe:  # an imported one
        theirs = {"generator": recipe["network"], **recipe["options"]}
    else:
        theirs = defaults(recipe["settings"]["method"]) | recipe["hyperparameters"]
    options = [f"--set {name}={value}" for name, value in theirs.items() if ours.get(name, value) != value]
    return f"\nit was made with {' '.join(options)}" if options else ""


def _list(directions: dict[str, Any]) -> str:
    return ", ".join(sorted(directions))
