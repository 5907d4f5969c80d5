"""The training loop: one function for every method, which only knows players."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from i2i.data import Batches, Dataset
from i2i.engine.auto_batch import fitting_batch
from i2i.engine.device_batches import DeviceBatches
from i2i.engine.distributed import World
from i2i.engine.estimate import faster, plan
from i2i.engine.finetune import initialise
from i2i.engine.interrupt import Interrupted, Signals
from i2i.engine.memory import enough_memory
from i2i.engine.prepare import (
    cautions,
    check_batch,
    describe,
    describe_data,
    open_data,
    provenance,
    resolve_precision,
    training_view,
)  # fmt: skip
from i2i.engine.report import Reporter
from i2i.engine.run_folder import Run
from i2i.engine.samples import Samples
from i2i.engine.schedule import learning_rate, length
from i2i.engine.statistics import NonFinite, Statistics
from i2i.engine.teacher import introduce
from i2i.engine.train_state import TrainState
from i2i.engine.trial import resolve_compile
from i2i.engine.validation import Validation
from i2i.engine.validation_images import arrange
from i2i.engine.watch import Watch, after_not_finite
from i2i.progress import Progress, say
from i2i.text import parse_bytes, plural
from i2i.translators import Views


def train(run: Run, quiet: bool, dry_run: bool) -> Path:
    """Train a run from its newest state on, and return its folder: ``i2i.train`` with the settings read."""
    if run.finished:
        if run.moved:
            _open(run)  # raises if this folder belongs to a run on other images
        say(f"{run.path} is already finished{_how_to_go_on(run)}", quiet)
        return run.path
    with ExitStack() as stack:
        world = stack.enter_context(World.join())
        stack.enter_context(enough_memory(run, world))
        run.settings = replace(run.settings, precision=resolve_precision(run.settings.precision, world))
        with Progress("file", "reading", every=10, quiet=quiet or world.rank > 0) as reading:
            dataset = _open(run, reading.update)
        if run.auto_batch:
            run.settings = replace(run.settings, batch=fitting_batch(run, world))
        if run.settings.batch % world.size:
            raise ValueError(
                f"batch {run.settings.batch} cannot be split over {world.size} processes; choose a multiple"
            )
        check_batch(run.settings, dataset)
        training_view(run.settings)  # raises for an augmentation that is not for this data
        how, note = resolve_compile(run, world)
        if run.settings.compile not in ("auto", how):
            run.facts["asked"] = {"compile": run.settings.compile}
        run.settings = replace(run.settings, compile=how)
        quiet = quiet or world.rank > 0
        say(note, quiet or not note)
        game = _new(run, world, quiet)
        for name, was, now in run.overridden:
            say(f"overridden: {name}: {was} -> {now}", quiet)
        if dry_run:
            notes = cautions(run, game, dataset, run.settings.batch // world.size)
            say("\n".join([describe(run, dataset, game), *notes, *plan(run, dataset, game)]), quiet)
            return run.path
        if world.rank == 0:
            stack.enter_context(run.alone())

        # A loss or weight that is not finite: resume from the last state, with half the learning rate.
        halvings = 0
        while True:
            try:
                with ExitStack() as attempt:
                    return _train(run, game, dataset, halvings, attempt, quiet)
            except NonFinite as error:
                say(after_not_finite(error, run, game.halvings), quiet)
                halvings = game.halvings + 1
            del game  # before its successor takes as much memory
            game = _new(run, world, quiet)


def _new(run: Run, world: World, quiet: bool) -> TrainState:
    """Return the training state before the first step."""
    game = TrainState(run, world)
    if not run.started and (run.settings.from_ or game.translator.foundations()):
        run.facts["from"] = found = initialise(game, run)
        names, new = ", ".join(found["networks"]), ", ".join(found["new"]) or "none"
        say(f"starts from the weights of {run.settings.from_} ({names}); new networks: {new}", quiet)
    return game


def _open(run: Run, progress: Callable[[int, int], None] | None = None) -> Dataset:
    """Open the images that a run trains on. Raises ValueError if it was started with others."""
    dataset = open_data(run.settings, progress=progress)
    arrange(run, dataset)
    describe_data(run, dataset)
    return dataset


def _how_to_go_on(run: Run) -> str:
    reason, more = run.facts.get("reason"), "more --steps" if run.settings.steps else "more --epochs"
    words = ""
    if reason:
        words, more = f" ({reason})", "a larger --patience"
    return f"{words}; give another --out for a new run, or {more} to continue"


def _train(run: Run, game: TrainState, dataset: Dataset, halvings: int, stack: ExitStack, quiet: bool) -> Path:
    settings, world = run.settings, game.world
    leads = world.rank == 0
    images, steps = len(dataset), length(settings, len(dataset))[0]

    # Continue from the newest state, if there is one.
    state = run.newest_state()
    start = world.agree(state["step"] if state else 0, "the step they start from")
    if state:
        game.load_state_dict(state["game"])
    game.halvings = max(game.halvings, halvings)
    validation = Validation(run, game, state)
    if leads:
        run.set_aside_after(start)
        run.write(status="running", step=start, steps=steps, **provenance(world, dataset.report))
    advise = partial(faster, run, dataset, world)
    reporter = stack.enter_context(Reporter(run.path, start, steps, settings.images, world, quiet, advise))
    reporter.say(str(dataset.report))
    reporter.say(
        f"{run.path}: {settings.method} on {world.device}, {plural(images, 'image')} an epoch, steps {start} to {steps}"
    )
    for note in cautions(run, game, dataset, settings.batch // world.size):
        reporter.say(note)
    if game.teacher is not None:
        reporter.say(introduce(run, game.teacher, game.translator, world.device))
    validation.begin(reporter, dataset)
    view = training_view(settings)
    place = f"{settings.data} {settings.a} {settings.b}"
    stack.enter_context(dataset.reader.caching(parse_bytes("cache", settings.cache), place, view, reporter.say))
    read = Batches(
        dataset,
        view,
        settings.images,
        settings.seed,
        start,
        world.rank,
        world.size,
        settings.workers,
    )
    stack.callback(read.close)
    batches: Iterator[Views] = read
    if world.device.type == "cuda":
        ahead = DeviceBatches(read, game.moved, world.device)
        stack.callback(ahead.close)
        batches = ahead
    watch = Watch(run, game.translator, reporter)
    samples = Samples(run, game, dataset, watch)
    statistics, signals = Statistics(world), stack.enter_context(Signals())

    over = validation.ended(start, steps)
    reporter.begin()
    for step in validation.steps(start, steps):
        # Randomness is a function of seed, process and step, so no generator state is saved.
        torch.manual_seed(hash((settings.seed, world.rank, step)))
        rate = learning_rate(step, settings, images) / 2**game.halvings
        game.translator.progress = step / steps
        statistics.add(game.step(reporter.fetch(batches), step, rate), step)

        # The losses are read, and checked to be finite, before any state is written.
        done = step + 1
        reporter.advance(done, statistics.peek)
        stop = signals.agreed(world, done)
        save = done % settings.save_every == 0 or bool(stop) or validation.due(done, steps) or done == steps
        if save or done % settings.log_every == 0:
            means = statistics.read()
            reporter.figures(done, rate, means)
            watch.losses(done, means)
        validation.evaluate(done, steps, reporter)
        last = validation.ended(done, steps)
        if save:
            game.keep(
                run,
                done,
                validation.status if last else "stopped" if stop else "running",
                validation,
                last or bool(stop),
            )
        samples.show(done, last, reporter)
        validation.report(done, steps, reporter)
        if stop and not last:
            raise Interrupted(stop, f"stopped after step {done}; run the same command again to continue")

    if over:  # it ended between saving the last state and its weights
        game.keep(run, start, validation.status, validation, ends=True)
    validation.finish(reporter)
    reporter.say(f"{run.path}: finished")
    return run.path
