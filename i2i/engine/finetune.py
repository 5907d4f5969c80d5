"""Fine-tuning: a new run starts from the weights of a trained or imported run."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from torch import nn

from i2i.engine.ema import EMA
from i2i.engine.run_folder import Run, defaults, read_json
from i2i.engine.settings import Settings
from i2i.engine.train_state import LOCAL, TrainState
from i2i.engine.weights import describe, differing, load_generators
from i2i.spec import Prior
from i2i.text import plural


def initialise(game: TrainState, run: Run) -> dict[str, Any]:
    """Set the weights of ``game`` to those that the setting ``init`` names; return the facts for ``run.json``.

    Generators are matched by direction and get the averaged weights, which an export has. Discriminators and all other
    networks follow where ``init`` is the folder of a run of the same method that has its states. What ``init`` does not
    have keeps its random weights; optimisers and image pools start empty. A method of several stages also starts from a
    run of the stage before, whose generator becomes a part of its own.

    Raises ValueError where ``init`` has no weights, none for a direction of this run, those of other networks or of a
    network that learned other words, and for a later stage without ``init``.
    """
    if run.settings.init is None:
        raise ValueError(
            f"this stage of {run.settings.method} starts from a finished run of the stage before; "
            "give it with --init RUN"
        )
    source = Path(str(run.settings.init))
    if not source.exists():
        raise ValueError(f"init is {source}: no such file or folder; expected a run's folder or its .safetensors file")
    generators = load_generators(source, "newest")  # as the discriminators of the newest state are
    specs = {name: describe(run, name) for name in game.translator.exports()}
    targets = {specs[name].direction: net for name, net in game.translator.exports().items()}
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
    return {"from": source.name, "sha256": digest, "networks": loaded or directions}


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
    """Load all networks of a run of the same method from its newest state; return their names."""
    if not any((source / "state").glob("*.pt")):
        return []
    facts = read_json(source / "run.json")
    if (facts["method"], facts["settings"].get("direction")) != (run.settings.method, run.settings.direction):
        return []
    state = Run(source, Settings.from_dict(facts["settings"]), facts["hyperparameters"], facts).newest_state()
    assert state is not None  # there is a file, and one that cannot be read raises
    ours = {key: tensor for key, tensor in game.translator.state_dict().items() if not key.endswith(LOCAL)}
    theirs = state["game"]["translator"]
    if differences := differing(ours, theirs):
        raise ValueError(f"{source} has other networks than this run{differences}{_hint(run, facts)}")
    game.translator.load_state_dict(game.translator.state_dict() | theirs)
    return [name for name, net in game.translator.named_children() if list(net.parameters())]


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
