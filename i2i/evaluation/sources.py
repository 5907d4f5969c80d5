"""Which images an evaluation compares: of a model's data, or of folders of results."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from i2i.data.layout import Folder, Layout, Source, domain_folders, existing, find_layout, list_sources, subfolders
from i2i.errors import DataError
from i2i.images import list_images
from i2i.text import plural

SPLITS = ("test", "val")  # in order of preference; never what was trained on, unless asked for
HELD_OUT = "held out"  # part of the training split that a run did not train on


@dataclass(frozen=True)
class Item:
    """One image to judge: a source to translate or a finished result, and what it is compared with."""

    name: str
    source: Source | None = None
    result: Source | None = None
    truth: Source | None = None
    labels: Source | None = None


@dataclass
class Task:
    """The images of an evaluation.

    Attributes:
        items: the images to judge, in the order of their names.
        real: all real images of the target domain.
        paired: True if each item has a truth; these are then the real images too.
        reference: where the real images are, for the protocol.
        trained: the images of the training split, of both domains, where it is known.
        targets: those of the target domain, for the mean image.
        target: the name of the target domain.
        guessed: True if they were taken for pairs because of names that are mere numbers.
        warnings: remarks about the folders.
    """

    items: list[Item]
    real: list[Source]
    paired: bool
    reference: str
    trained: list[Source] = field(default_factory=list)
    targets: list[Source] = field(default_factory=list)
    target: str = ""
    split: str | None = None
    guessed: bool = False
    warnings: list[str] = field(default_factory=list)


def from_data(
    data: Folder | None, a: Folder | None, b: Folder | None, split: str | None, direction: str, paired: bool | None,
    trained_on: bool = False, derive: str = "",
) -> Task:  # fmt: skip
    """Return the task of translating a split of two domains, in any layout that training reads.

    With ``derive`` the sources are made of the targets, which are the images of ``b`` or ``data``.

    Without ``split`` it is the test split, else the validation split, else a folder that has no splits as a whole,
    which is refused if the model was trained on it (``trained_on``). ``paired`` is found: files side by side, or two
    folders with the same names. Raises DataError.
    """
    layout, split = _layout(data, a, b, split, trained_on, derive)
    asked, paired = paired, (layout.aligned or _same_names(layout)) if paired is None else paired
    sides = _sides(layout, paired)
    by_name = asked is None and paired and not (layout.aligned or layout.derive)
    guessed = by_name and _numbered(source.name for source in sides[0])
    trained: list[list[Source]] = [[], []]
    if split in SPLITS:
        with suppress(DataError):  # no training data at hand
            trained = _sides(find_layout("train", data, a, b, derive), paired=False)
    if direction == "b2a":
        sides, trained = sides[::-1], trained[::-1]
    source, target = sides
    items = [
        Item(s.name, source=s, truth=target[n] if paired else None) for n, s in enumerate(source)
    ]  # fmt: skip
    of_target = (layout.b, layout.a)[direction == "b2a"]
    name = (layout.names[1], layout.names[0])[direction == "b2a"]
    return Task(items, target, paired, str(of_target), trained[0] + trained[1], trained[1], name, split, guessed)


def has_test(data: Folder | None, a: Folder | None, b: Folder | None, domains: Sequence[str], derive: str = "") -> bool:
    """True if the data of several ``domains``, or of two if there are none, has a test split."""
    if domains:
        return data is not None and bool(domain_folders(existing(data), "test")[0])
    try:
        find_layout("test", data, a, b, derive)
    except DataError:
        return False
    return True


def from_held_out(
    data: Folder | None, a: Folder | None, b: Folder | None, direction: str, paired: bool | None,
    names: Mapping[str, Iterable[str]], derive: str = "",
) -> Task:  # fmt: skip
    """Return the task of translating the images of the training split that a run held out for validation.

    ``names`` are those of the sides "a" and "b". Raises DataError.
    """
    task = from_data(data, a, b, "train", direction, paired, derive=derive)
    return _only(task, set(names[direction[0]]), set(names[direction[-1]]))


def _only(task: Task, items: Collection[str], real: Collection[str]) -> Task:
    """Return the task with the images of these names; the others were trained on."""
    rest = [item.source for item in task.items if item.source and item.name not in items]
    targets = [source for source in task.real if source.name not in real]
    return replace(
        task,
        items=[item for item in task.items if item.name in items],
        real=[source for source in task.real if source.name in real],
        trained=rest + targets,
        targets=targets,
        split=HELD_OUT,
    )


def _layout(
    data: Folder | None,
    a: Folder | None,
    b: Folder | None,
    split: str | None,
    trained_on: bool,
    derive: str,
) -> tuple[Layout, str | None]:
    if split is not None:
        return find_layout(split, data, a, b, derive), split
    for name in SPLITS:
        try:
            return find_layout(name, data, a, b, derive), name
        except DataError:
            continue
    layout = find_layout("train", data, a, b, derive)
    if trained_on or any(folder.name.lower().startswith("train") for folder in (layout.a, layout.b)):
        raise _only_training_data(data or a)
    return layout, None


def _only_training_data(folder: Folder | None) -> DataError:
    return DataError(
        f"{folder}: no 'test' or 'val' split here; a translator is measured on images that it was not trained on. Give "
        "a folder of others, or --split train to measure on these"
    )


def _sides(layout: Layout, paired: bool) -> list[list[Source]]:
    one, other, problems = list_sources(layout, "pairs" if paired else "unpaired")
    if problems:
        raise DataError("\n".join(problems[:10]))
    return [one, other]


def _numbered(names: Iterable[str]) -> bool:
    """True if all names are mere numbers, which unrelated images may share."""
    return all(Path(name).stem.isdecimal() for name in names)


def _same_names(layout: Layout) -> bool:
    """True if both folders have images of the same names, suffixes apart."""
    a, b = ({os.path.splitext(path.relative_to(folder))[0] for path in list_images(folder)}
            for folder in (layout.a, layout.b))  # fmt: skip
    return bool(a) and a == b


def from_domains(
    data: Folder, split: str | None, domains: Sequence[str], to: str, trained_on: bool = False
) -> Task:  # fmt: skip
    """Return the task of translating the images of all other domains to the domain ``to``; splits as in ``from_data``.

    Raises DataError.
    """
    root = existing(data)
    for name in (split,) if split else SPLITS:
        there, folder = domain_folders(root, name)
        if there:
            split = name
            break
    else:
        if split is not None:
            raise DataError(f"{root}: no '{split}' folder of domains here")
        there, folder = domain_folders(root, "train")  # the domains themselves, unless they are those of a split
        if trained_on or {"train", "traina"} & subfolders(root).keys():
            raise _only_training_data(root)
    if missing := [name for name in domains if name not in there]:
        raise DataError(f"{folder}: no folder {', '.join(missing)}; the model knows {', '.join(domains)}")

    def listed(name: str, base: Path) -> list[Source]:
        return [Source(path, f"{name}/{path.relative_to(base).as_posix()}") for path in list_images(base)]

    items = [Item(s.name, source=s) for name in domains if name != to for s in listed(name, there[name])]
    train = domain_folders(root, "train")[0] if split in SPLITS else {}
    trained = {name: listed(name, train[name]) for name in domains if name in train}
    return Task(
        items, listed(to, there[to]), False, str(there[to]), [s for each in trained.values() for s in each],
        trained.get(to, []), to, split,
    )  # fmt: skip


def domains_held_out(data: Folder, domains: Sequence[str], to: str, names: Iterable[str]) -> Task:
    """Return the task of :func:`from_domains` on the images of these names, which a run held out for validation."""
    names = set(names)
    return _only(from_domains(data, "train", domains, to), names, names)


def from_results(fake: Folder, real: Folder, source: Folder | None, paired: bool | None) -> Task:
    """Return the task of judging finished results. Sources, and truths of pairs, have the names of the results,
    suffixes apart. Raises DataError."""
    results, reals = _named(fake), _named(real)
    same = results.keys() <= reals.keys()
    if paired and not same:
        raise DataError(_without(results, reals, f"image of this name in {real}, and --paired needs one"))
    guessed = paired is None and same and _numbered(results)
    paired = same if paired is None else paired
    sources: dict[str, Source] = {}
    warnings = []
    if source is not None:
        sources = _named(source)
        if not results.keys() <= sources.keys():
            raise DataError(
                _without(results, sources, f"source of this name in {source}")
                + f"; {plural(len(results), 'result')} and {plural(len(sources), 'source')} there are"
            )
        if idle := sources.keys() - results.keys():
            warnings.append(f"{plural(len(idle), 'source')} of {len(sources)} in {source} have no result")
    items = [
        Item(result.name, sources.get(key), result, reals[key] if paired else None) for key, result in results.items()
    ]
    return Task(
        items, list(reals.values()), paired, str(real), target=existing(real).name, guessed=guessed, warnings=warnings
    )


def _named(folder: Folder) -> dict[str, Source]:
    root = existing(folder)
    found: dict[str, Source] = {}
    for path in list_images(root):
        name = path.relative_to(root).as_posix()
        key = os.path.splitext(name)[0]
        if key in found:
            raise DataError(f"{root}: {found[key].name} and {name} differ by suffix alone, so neither is the one meant")
        found[key] = Source(path, name)
    if not found:
        raise DataError(f"{root}: no images in this folder")
    return found


def _without(results: dict[str, Source], others: dict[str, Source], what: str) -> str:
    missing = [results[key].path for key in results if key not in others]
    return f"{missing[0]}: no {what}" + (f" (nor for {len(missing) - 1} more)" if len(missing) > 1 else "")


def with_labels(task: Task, folder: Folder | None) -> Task:
    """Return the task with the label map of each item: of the same name in ``folder``, else its source."""
    if folder is None:
        return replace(task, items=[replace(item, labels=item.source) for item in task.items])
    found = _named(folder)
    keys = {item.name: os.path.splitext(item.name)[0] for item in task.items}
    if missing := [name for name, key in keys.items() if key not in found]:
        raise DataError(f"{missing[0]}: no label map of this name in {folder} ({len(missing)} without)")
    return replace(task, items=[replace(item, labels=found[keys[item.name]]) for item in task.items])


def with_training(task: Task, folder: Folder) -> Task:
    """Return the task with the images of a folder among those that were trained on.

    Files side by side are halved as the task's own are. The mean image is that of the targets that are known already,
    else of the images in folders that are named as the target domain, else of all.
    """
    root = existing(folder)
    found = [Source(path, path.name) for path in list_images(root)]
    if not found:
        raise DataError(f"{folder}: no images in this folder")
    half = task.real[0].half if task.real else None
    targets = [s for s in found if task.target in s.path.relative_to(root).parts[:-1]] or found
    targets = task.targets or [replace(s, half=half) for s in targets]
    trained = found if half is None else [replace(s, half=n) for s in found for n in (0, 1)]
    return replace(task, trained=[*task.trained, *trained], targets=targets)


def recorded(run: Path) -> dict[str, Any]:
    """Return the data of a run as its run.json has it: data, a, b, direction, derive and teacher, and "held_out", the
    names of images that it did not train on. Raises DataError if it has none."""
    try:
        facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
        settings = facts["settings"]
        held_out = facts.get("validation", {}).get("images", {})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{run}: its run.json does not say what it was trained on; give --data DIR") from error
    found = {name: settings.get(name) for name in ("data", "a", "b")}
    if not any(found.values()):
        raise DataError(f"{run}: its run.json does not say what it was trained on; give --data DIR")
    if missing := [place for place in found.values() if place and not Path(place).exists()]:
        raise DataError(f"{run}: trained on {missing[0]}, which is not there; give --data DIR, or --a DIR and --b DIR")
    found |= {"direction": settings.get("direction", "a2b"), "derive": settings.get("derive") or ""}
    return {**found, "held_out": held_out, "teacher": settings.get("teacher")}


def trained_by(run: Path, domains: Sequence[str]) -> tuple[list[Source], list[Path]]:
    """Return the images that a run was trained on, without those it held out, and of the runs from which it started.

    With them, those of these runs whose images are not at hand.
    """
    found: list[Source] = []
    missing: list[Path] = []
    line: list[Path] = []
    at: Path | None = run
    while at is not None and at not in line:
        line.append(at)
        try:
            found += _trained_by(at, domains)
        except DataError:
            missing.append(at)
        at = started_from(at)
    return found, missing


def started_from(run: Path) -> Path | None:
    """Return the run from whose weights a run started (``--from``), or what is no run now; None where there is none."""
    try:
        source = json.loads((run / "run.json").read_text(encoding="utf-8"))["settings"].get("from_")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return None if source is None else run_around(Path(source)) or Path(source)


def run_around(weights: Path) -> Path | None:
    """Return the folder of the run that a file of weights, or the folder itself, belongs to; None if to none."""
    return next((place for place in (weights, *weights.parents) if (place / "run.json").is_file()), None)


def _trained_by(run: Path, domains: Sequence[str]) -> list[Source]:
    found = recorded(run)
    if found["teacher"]:  # it made the other domain
        root = existing(found["data"] or found["a"])
        root = subfolders(root).get("train", root)
        return [Source(path, path.relative_to(root).as_posix()) for path in list_images(root)]
    if domains:
        task = from_domains(found["data"], "train", domains, domains[0])
        sides = ("images", "images")
    else:
        where = found["data"], found["a"], found["b"]
        task = from_data(*where, "train", "a2b", paired=False, derive=found["derive"])
        sides = ("a", "b")
    held_out = [set(found["held_out"].get(side, ())) for side in sides]
    images = [item.source for item in task.items if item.source is not None], task.real
    return [s for side, names in zip(images, held_out, strict=True) for s in side if s.name not in names]
