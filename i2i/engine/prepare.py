"""Preparation of a run: data, precision, sample images, and a summary."""

from __future__ import annotations

import platform
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

import i2i
from i2i.data import DataError, Dataset, Report, View, has_split, read_folders
from i2i.data.augment import parse_augment
from i2i.data.inspection import flat_note, scale_note
from i2i.data.one_set import UNLABELLED, read_images
from i2i.data.two_domains import TwoDomains
from i2i.engine.distributed import World
from i2i.engine.options import defaults
from i2i.engine.run_folder import Run
from i2i.engine.schedule import length
from i2i.engine.settings import Settings
from i2i.engine.teacher import Teacher
from i2i.engine.train_state import TrainState
from i2i.images.domains import kind
from i2i.networks.blocks import RunningNorm2d
from i2i.runtime.system.host import computes_in_bf16, cores, processor
from i2i.spec import parse_background
from i2i.text import plural
from i2i.translators import Views, translator_class

SAMPLES = 4  # rows of a sample sheet
MOVES = 5_000  # of each player, which most trainings need at least


def open_data(settings: Settings, split: str = "train", progress: Callable[[int, int], None] | None = None) -> Dataset:
    """Open the dataset of a run and read every file once; ``progress`` is called with (files read, all files).

    With a teacher it is one set of images, whose target is the teacher's.
    """
    if settings.teacher:
        return taught(settings, split, progress)
    if settings.teacher_to:
        raise ValueError(f"teacher_to is {settings.teacher_to!r}, and there is no teacher; give --teacher as well")
    dataset = read_folders(
        translator_class(settings.method).data,
        data=settings.data,
        a=settings.a,
        b=settings.b,
        direction=settings.direction,
        split=split,
        channels="auto" if settings.channels == "auto" else int(settings.channels),
        max_bad=settings.max_bad,
        progress=progress,
        attributes=settings.attributes,
        select=settings.select,
        captions=settings.captions,
        background=settings.background,
        range=settings.range,
        derive=settings.derive,
    )
    if settings.mask:
        if not isinstance(dataset, TwoDomains):
            raise ValueError(f"masks are for methods of two domains, and {settings.method} learns from {dataset.kind}")
        dataset.add_masks(settings.mask, settings.direction)
    return dataset


def taught(settings: Settings, split: str, progress: Callable[[int, int], None] | None) -> Dataset:
    """Open the images that a teacher translates. Raises ValueError for a method or folders that go without one."""
    method = translator_class(settings.method)
    if method.data != "pairs":
        raise ValueError(
            f"{settings.method} does not learn from pairs, which a teacher makes; choose distill or pix2pix, or leave "
            "--teacher out"
        )
    idle = [name for name in ("mask", "derive", "attributes", "select", "captions") if getattr(settings, name)]
    if idle:
        raise ValueError(f"--{idle[0]} says how folders make data, and a teacher makes the pairs here; leave it out")
    if settings.b or (settings.a and settings.data):
        raise ValueError("a teacher makes the second domain itself; give one folder of images, --a DIR or --data DIR")
    teacher = Teacher.open(Path(str(settings.teacher)), settings.teacher_to)
    source = teacher.spec.source
    if settings.range or settings.channels not in ("auto", str(source.channels)):
        raise ValueError(f"the teacher takes {kind(source)}; leave out --range and --channels, which are its own")
    dataset: Dataset = read_images(
        settings.data or settings.a, split, "auto" if source.bands else source.channels, settings.max_bad, progress,
        None, UNLABELLED, parse_background(settings.background), None if source.bands else source.range,
    )  # fmt: skip
    if (dataset.source.bands, dataset.source.channels) != (source.bands, source.channels):
        raise ValueError(f"the teacher takes {kind(source)}, and these images are {kind(dataset.source)}")
    own, bits = teacher.spec.form is None, dataset.source.bits  # a third-party float says nothing of bits
    dataset.source = replace(source, name=dataset.source.name, bits=source.bits if own else bits)
    dataset.target = teacher.target if own else replace(teacher.target, bits=bits)
    dataset.hyperparameters = {"teacher_ngf": teacher.ngf} if "teacher_ngf" in defaults(settings.method) else {}
    return dataset


def describe_data(run: Run, dataset: Dataset) -> None:
    """Add the facts about the data to the run.

    Raises ValueError if the run was started with other images: continuing would not be the same run.
    """
    found: dict[str, Any] = {
        "source": dataset.source.to_dict(),
        "target": dataset.target.to_dict(),
        "domains": list(dataset.domains),
        "images": len(dataset),
        "fingerprint": dataset.fingerprint,
    }
    for side in ("source", "target"):
        if side in run.facts:  # the folder may have another name now, or be named by a link
            found[side] |= {"name": run.facts[side]["name"]}
    differ = [f"\n  {k}: {run.facts[k]} -> {v}" for k, v in found.items() if run.facts.get(k, v) != v]
    if differ:
        raise ValueError(
            f"{run.path} was started with other images:{''.join(differ)}\n"
            f"restore those to continue, or start a new run from its weights: --from {run.path} and another --out"
        )
    decided = dataset.hyperparameters | of_size(run.settings)
    set_otherwise = [k for k, v in decided.items() if run.hyperparameters.get(k, v) != v]
    if set_otherwise:
        raise ValueError(f"{', '.join(set_otherwise)} cannot be set: the data and the size say {decided}")
    run.facts |= found | {"decided": sorted(decided)}
    run.hyperparameters |= decided


def check_batch(settings: Settings, dataset: Dataset) -> None:
    """Raise DataError where a generator would see an image several times in one batch, and learn to repeat it."""
    if translator_class(settings.method).data == "images" and len(dataset) < settings.images:
        few, most = plural(len(dataset), "image"), len(dataset) // settings.accumulate
        lower = f"--batch {most}" if most else f"--accumulate {len(dataset)} --batch 1"
        raise DataError(f"{settings.data}: {few} for batches of {settings.images}; add images, or {lower}")


def training_view(settings: Settings) -> View:
    """Return the view of a run's training images. Raises ValueError for an augmentation that their kind cannot have."""
    options = parse_augment(settings.augment)
    if "source_colour" in options and translator_class(settings.method).data not in ("pairs", "unpaired"):
        raise ValueError(
            f"augment is {settings.augment!r}, and {settings.method} has one kind of images; expected colour"
        )
    return View(settings.size, **options)


def of_size(settings: Settings) -> dict[str, int]:
    """Return the height and the width, if the method's networks are made for one size of images."""
    sides = dict(zip(("height", "width"), settings.size, strict=True))
    return sides if sides.keys() <= defaults(settings.method).keys() else {}


def resolve_precision(precision: str, world: World) -> str:
    """Resolve precision "auto": bf16 on a GPU or processor that computes in it, else fp32.

    Raises ValueError for fp16 without a GPU, which a CPU cannot compute in.
    """
    if precision == "fp16" and world.device.type == "cpu":
        raise ValueError("precision fp16 needs a GPU; choose fp32 or bf16")
    if precision != "auto":
        return precision
    has = torch.cuda.is_bf16_supported(False) if world.device.type == "cuda" else computes_in_bf16()
    return "bf16" if has else "fp32"


def held_out(settings: Settings, dataset: Dataset) -> Dataset:
    """Return the val or test split if it is readable and of the same form; else the training data."""
    for split in ("val", "test"):
        where = settings.data, settings.a, settings.b
        more = {"attributes": settings.attributes, "derive": settings.derive}
        if has_split(split, *where, kind=dataset.kind, **more):
            with suppress(DataError):
                found = open_data(settings, split)
                sides = ((found.source, dataset.source), (found.target, dataset.target))
                alike = found.domains == dataset.domains
                if alike and all((a.channels, a.bands) == (b.channels, b.bands) for a, b in sides):
                    found.source, found.target = dataset.source, dataset.target  # the ranges of training
                    return found
    return dataset


def sample_batch(settings: Settings, dataset: Dataset) -> Views:
    """Return the fixed images of the sample sheets, held out from training where possible."""
    dataset = held_out(settings, dataset)
    view = View.plain(settings.size)
    items = [dataset.sample(position, settings.seed, view) for position in range(min(SAMPLES, len(dataset)))]
    return {name: torch.stack([item[name] for item in items]) for name in items[0]}


def cautions(run: Run, game: TrainState, dataset: Dataset, images: int) -> list[str]:
    """Return notes about a run's normalisation, size and length, for its data and ``images`` per process and step."""
    notes = [flat_note(dataset.report.even, (defaults(run.settings.method) | run.hyperparameters).get("norm"))]
    if translator_class(run.settings.method).data not in ("images", "captions"):
        notes.append(scale_note(dataset.report.sizes, training_view(run.settings).covered))
    modules = [module for net in game.translator.exports().values() for module in net.modules()]
    if images > 1 and any(isinstance(m, nn.BatchNorm2d) and not isinstance(m, RunningNorm2d) for m in modules):
        notes.append(
            f"note: batch normalisation learns from {images} images at once here, and is used on one at a time; the "
            "authors train with --batch 1. For larger batches --set norm=instance is the same in both"
        )
    notes.append(_short(run.settings, len(dataset), max(move.player.every for move in game.moves.values())))
    return [note for note in notes if note]


def _short(settings: Settings, images: int, every: int) -> str:
    """Return a note if a length by epochs is too few steps for a player that moves once in ``every``; else ""."""
    moves = length(settings, images)[0] // every
    if settings.steps or moves >= MOVES:
        return ""
    return (
        f"note: {plural(settings.epochs, 'epoch')} of these images are {plural(moves, 'move')} of the slowest player, "
        f"and most trainings need {MOVES} or more: give the length in steps (--steps {every * MOVES})"
    )


def describe(run: Run, dataset: Dataset, game: TrainState) -> str:
    """Return a summary of a run before it starts."""
    steps, epoch = length(run.settings, len(dataset))
    hyper = defaults(run.settings.method) | run.hyperparameters
    lines = [str(dataset.report), f"steps: {steps} ({epoch} an epoch), device: {game.world.device}"]
    for name, move in game.moves.items():
        lines.append(f"player {name}: {sum(p.numel() for p in move.parameters) / 1e6:.3f} M parameters")
    lines += [f"{name}: {value}" for name, value in (run.settings.to_dict() | hyper).items()]
    return "\n".join(lines)


def provenance(world: World, report: Report) -> dict[str, Any]:
    """Return what a report needs to say about a run: versions, the machine, and what was found in the data."""
    device = torch.cuda.get_device_name(world.device) if world.device.type == "cuda" else str(world.device)
    return {
        "versions": {"i2i": i2i.__version__, "torch": torch.__version__, "python": platform.python_version()},
        "machine": {
            "device": device,
            "processes": world.size,
            "processor": processor(),
            "cores": cores(),
            "system": f"{platform.system()} {platform.machine()}",
        },
        "data_report": asdict(report),
    }
