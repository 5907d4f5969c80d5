"""Import of a checkpoint as a run that exports and translates like a trained one."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from i2i.atomic import atomically, digest
from i2i.engine.run_folder import read_json
from i2i.engine.weights import ANY, AVERAGED, IMAGE, save_network
from i2i.importer.checkpoints import StateDict, read
from i2i.importer.recognition import Found, listed, recognise
from i2i.spec import Domain, Spec
from i2i.text import known_keywords, plural

IMAGE_CHANNELS = {1, 3, 4}


@known_keywords
def import_checkpoint(
    checkpoint: str | os.PathLike[str],
    run: str | os.PathLike[str] | None = None,
    *,
    part: str | None = None,
    a: str = "a",
    b: str = "b",
    domains: Sequence[str] | None = None,
    attributes: bool = False,
    statistics: str | None = None,
) -> Path:
    """Make a run of a third-party generator, recognised by the names and shapes of its tensors.

    Args:
        checkpoint: a ``.pth``, ``.pt``, ``.ckpt``, ``.pkl`` or ``.safetensors`` file. No code in it is run.
        run: folder to create; default ``runs/import-NAME``.
        part: name of the network to take, if the file contains several generators.
        a: name of the domain it translates from.
        b: name of the domain it translates to.
        domains: names of a StarGAN's domains, in the order of its labels; default c0, c1, ...
        attributes: True if those domains can be combined, as CelebA's attributes can.
        statistics: of batch norm: "image", each image's own, for networks trained at batch 1; or "averaged", the file's
            running averages, for networks trained in larger batches; default as its authors use it.

    Returns the run's folder. An import that was interrupted is done again by the same call.

    Raises ValueError for a file without such a network, with the closest match, for names that do not fit it, and if
    the folder contains anything else.
    """
    if statistics not in (None, IMAGE, AVERAGED):
        raise ValueError(f"statistics are {statistics!r}; choose {IMAGE} or {AVERAGED}")
    checkpoint = Path(checkpoint)
    found, tensors, ignored = choose(checkpoint, part)
    statistics = statistics or found.family.statistics
    try:
        spec = describe(found, a, b, domains, attributes)
    except ValueError as error:
        raise ValueError(f"{checkpoint}: {error}") from error
    spec.recipe["statistics"] = statistics
    origin = {
        "file": checkpoint.name,
        "sha256": digest(checkpoint),
        "network": found.part,
        "family": found.family.title,
    } | ({"ignored": ignored} if ignored else {})
    spec.recipe["imported"] = origin
    facts = {
        "method": spec.method,
        "source": spec.source.to_dict(),
        "target": spec.target.to_dict(),
        "domains": list(spec.domains),
        "attributes": spec.attributes,
        "statistics": statistics,
        "imported": origin,
        "step": 0,
    }
    folder = Path(run) if run is not None else Path("runs") / f"import-{checkpoint.stem}"
    if _done(folder, facts):
        return folder
    try:
        net = found.build(tensors, statistics)
    except ValueError as error:
        raise ValueError(f"{checkpoint}: {error}") from error
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder, facts | {"status": "importing"})
    save_network(folder, net, spec, spec.direction)
    _write(folder, facts | {"status": "finished"})
    return folder


def load_checkpoint(checkpoint: Path) -> tuple[nn.Module, Spec]:
    """Return the one generator in a third-party file, with its Spec; nothing is written.

    Raises ValueError as ``import_checkpoint`` does.
    """
    found, tensors, _ = choose(checkpoint)
    try:
        spec = describe(found, "a", "b")
        return found.build(tensors, found.family.statistics), spec
    except ValueError as error:
        raise ValueError(f"{checkpoint}: {error}") from error


def choose(checkpoint: Path, part: str | None = None) -> tuple[Found, StateDict, list[str]]:
    """Return the one generator in a file, or the one called ``part``, its tensors, and what was not loaded.

    Raises ValueError where there is not exactly one.
    """
    parts, ignored = read(checkpoint)
    try:
        networks = recognise(parts)
    except ValueError as error:
        raise ValueError(f"{checkpoint}: {error}") from error
    generators = [one for one in networks if not one[0].family.discriminator and part in (None, one[0].part)]
    if len(generators) == 1:
        return *generators[0], ignored
    if part is not None:
        raise ValueError(f"{checkpoint} contains no generator called {part!r}; it contains{listed(networks)}")
    if generators:
        raise ValueError(
            f"{checkpoint} contains several generators; choose one with `i2i import --part`:{listed(generators)}"
        )
    raise ValueError(
        f"{checkpoint} contains {networks[0][0].family.title}, which makes no images. Import the file of the generator"
    )


def describe(found: Found, a: str, b: str, domains: Sequence[str] | None = None, attributes: bool = False) -> Spec:
    """Return the Spec of a recognised network.

    Raises ValueError for names that do not fit it, and for a network that does not take and return images.
    """
    guess = found.guess
    if not {guess.in_channels, guess.out_channels} <= IMAGE_CHANNELS:
        raise ValueError(
            f"{found} takes {plural(guess.in_channels, 'channel')} and returns {guess.out_channels}; expected 1 "
            "(grey), 3 (RGB) or 4 (RGBA), since i2i translates images. Run this network in its own code"
        )
    source, target = Domain(a, guess.in_channels), Domain(b, guess.out_channels)
    recipe: dict[str, Any] = {
        "network": guess.network,
        "channels": [guess.in_channels, guess.out_channels],
        "options": guess.options,
    }
    count = guess.options.get("domains", 0)
    if not count:
        if domains or attributes:
            raise ValueError(f"{found} translates to one domain; --domains and --attributes are for StarGAN")
        return Spec(guess.network, "a2b", source, target, recipe=recipe)
    names = tuple(domains or (f"c{number}" for number in range(count)))
    if len(names) != count or len(set(names)) != count or not all(names):
        raise ValueError(
            f"{found} has {plural(count, 'domain')}; expected as many different names, got {', '.join(names)}"
        )
    return Spec(guess.network, ANY, source, source, domains=names, attributes=attributes, recipe=recipe)


def _done(folder: Path, facts: dict[str, Any]) -> bool:
    """Return True if this import exists already. Raises ValueError if the folder contains anything else."""
    if not folder.exists() or (folder.is_dir() and all(path.name[0] == "." for path in folder.iterdir())):
        return False
    seen = read_json(folder / "run.json") if (folder / "run.json").is_file() else {}
    if "imported" not in seen:
        raise ValueError(f"{folder} already exists and is no import; give another folder with -o")
    differ = [f"\n  {k}: {seen.get(k)} -> {v}" for k, v in facts.items() if seen.get(k) != v]
    if differ:
        raise ValueError(f"{folder} contains another import:{''.join(differ)}\ngive another folder with -o")
    return seen["status"] == "finished" and any((folder / "weights").glob("*.safetensors"))


def _write(folder: Path, facts: dict[str, Any]) -> None:
    atomically(folder / "run.json", lambda temporary: temporary.write_text(json.dumps(facts, indent=1)))
