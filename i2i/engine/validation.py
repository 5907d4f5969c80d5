"""Evaluation while training: figures of validation images choose the best weights, and may stop the run early."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from i2i.data import Dataset, has_split
from i2i.engine.report import Reporter
from i2i.engine.run_folder import Run
from i2i.engine.train_state import TrainState
from i2i.engine.validation_images import Spread, Trial, known_before, metrics_of, repeated, translating, trials
from i2i.engine.weights import describe, write_weights
from i2i.evaluation import candidates
from i2i.evaluation.instruments import with_features
from i2i.evaluation.protocol import Protocol
from i2i.evaluation.results import RESULT, Table, label, shown
from i2i.evaluation.tables import Choices, measure_table
from i2i.metrics import METRICS, Metric
from i2i.metrics.sets import SUBSETS
from i2i.reporting import report
from i2i.runtime.errors import ModelError
from i2i.runtime.model.targets import way
from i2i.text import plural


class Validation:
    """Evaluations of a run, and the best weights so far; without ``eval_every`` it does nothing.

    All of it is part of the run's state, the best weights included: the files in ``weights/best`` are copies, so that
    they cannot differ from a state that a killed run continues from.
    """

    def __init__(self, run: Run, game: TrainState, state: dict[str, Any] | None) -> None:
        state = (state or {}).get("validation", {})
        self.run, self.game, self.every = run, game, run.settings.eval_every
        self.best: dict[str, dict[str, Any]] = state.get("best", {})  # direction -> step, value, weights
        self.evaluations: list[dict[str, Any]] = state.get("evaluations", [])
        self.waited: int = state.get("without_improvement", 0)
        self.trials: list[tuple[Trial, Spread]] = []
        before = state.get("metric") or run.facts.get("validation", {}).get("metric", "")
        self.title = before
        if self.every:
            assert run.settings.metric is not None  # ``arrange`` has chosen one
            self.metric = METRICS[run.settings.metric]
            found = trials(run, game.translator, run.facts["validation"]["split"])
            self.trials = [(trial, Spread(game.world)) for trial in found]
            self.choices = self._choices(metrics_of(run.settings.metric), explicit=True)
            extractor = self.choices.instruments.extractor
            self.title = label(run.settings.metric, extractor.name if extractor else "")
            if before and before != self.title:  # figures of another metric do not compare
                self.best, self.evaluations, self.waited = {}, [], 0
        for ended in ("reason", "test"):  # a run that goes on has neither
            run.facts.pop(ended, None)
        self._note()

    @property
    def exhausted(self) -> bool:
        """True if as many evaluations as ``patience`` allows have brought no improvement."""
        return 0 < self.run.settings.patience <= self.waited

    @property
    def status(self) -> str:
        """The status of a run whose last step is done: an evaluated one is finished by :meth:`finish`."""
        return "running" if self.every else "finished"

    def ended(self, step: int, steps: int) -> bool:
        """True if ``step`` is the last one of ``steps``, or patience is exhausted."""
        return step >= steps or self.exhausted

    def steps(self, start: int, steps: int) -> Iterator[int]:
        """Yield the numbers of the steps to do, from 0, until the run has ended."""
        for step in range(start, steps):
            if self.exhausted:
                return
            yield step

    def due(self, step: int, steps: int) -> bool:
        """True if there is an evaluation after ``step`` of ``steps`` steps."""
        return bool(self.every) and (step % self.every == 0 or step == steps)

    def begin(self, reporter: Reporter, dataset: Dataset) -> None:
        """Measure the input itself, which shows before any training what cannot be measured, and is the yardstick.

        Raises ValueError where figures would not be comparable with those that the run has, and DataError and
        ImageError for images that cannot be measured.
        """
        self._clear_stale()
        if not self.every:
            return
        noted = self.run.facts["validation"]
        contents = dict(dataset.contents) | known_before(self.run.settings.from_, dataset.domains)
        if warning := repeated((trial for trial, _ in self.trials), contents):
            reporter.say(warning)
        protocols, inputs = {}, {}
        for trial, spread in self.trials:
            table = self._measured(trial, spread, candidates.the_input)
            protocols[trial.label] = table.protocol
            inputs[trial.label] = _figures(table)
            reporter.say(f"validation {trial.label}: the input itself has {self._words(table)}")
            reporter.say(f"protocol: {table.protocol.line}")
        for name, protocol in protocols.items():
            self._check_comparable(protocol, noted.get("protocol", {}).get(name))
        noted |= {
            "protocol": {name: {**each.to_dict(), "line": each.line} for name, each in protocols.items()},
            "input": inputs,
        }

    def evaluate(self, step: int, steps: int, reporter: Reporter) -> None:
        """Measure the averaged generators after ``step`` of ``steps`` steps, if it is due, and keep the best so far.

        Every process must call this, and measures its share of the images.
        """
        if not self.due(step, steps):
            return
        began = time.monotonic()
        self.game.check_finite(step)
        tables = {trial.label: self._table_of(trial, spread) for trial, spread in self.trials}
        figures = {name: _figures(table) for name, table in tables.items()}
        values: dict[str, list[float]] = {}
        for trial, _ in self.trials:  # several of a network of several domains
            values.setdefault(trial.export, []).append(float(figures[trial.label][self.title]["value"]))
        # One process decides: another processor may round differently.
        means = self.game.world.gather({export: sum(each) / len(each) for export, each in values.items()})[0]
        better = [export for export, value in means.items() if self._improves(export, value)]
        self.waited = 0 if better else self.waited + 1
        for export in better:
            tensors = self.game.ema.networks[export].state_dict()
            weights = {key: tensor.detach().cpu().clone() for key, tensor in tensors.items()}
            self.best[export] = {"step": step, "value": means[export], "weights": weights}
        self.evaluations.append({"step": step, "figures": figures})
        self._note()
        line = {name: {metric: row["value"] for metric, row in rows.items()} for name, rows in figures.items()}
        protocols = {name: table.protocol.line for name, table in tables.items()}
        reporter.measured(step, {"val": line, "protocol": protocols}, began)
        for trial, _ in self.trials:
            best = self.best.get(trial.export, {"step": "none"})["step"]
            words = "the best so far" if best == step else f"best of step {best}"
            reporter.say(f"step {step}: validation {trial.label}: {self._words(tables[trial.label])}; {words}")

    def state_dict(self) -> dict[str, Any]:
        """Return what a continued run needs; empty for a run that was never evaluated."""
        if not self.evaluations:
            return {}
        return {
            "validation": {
                "best": dict(self.best), "evaluations": list(self.evaluations), "without_improvement": self.waited,
                "metric": self.title,
            }
        }  # fmt: skip

    def write_best(self) -> None:
        """Write the best weights of each direction to ``weights/best/DIRECTION.safetensors``; only one process may."""
        for export, best in self.best.items():
            spec = describe(self.run, export)
            chosen = {"metric": self.title, "value": best["value"]}
            spec = replace(spec, recipe=spec.recipe | {"step": best["step"], "chosen_by": chosen})
            path = self.run.path / "weights" / "best" / f"{spec.direction}.safetensors"
            write_weights(path, best["weights"], spec, export)

    def report(self, step: int, steps: int, reporter: Reporter) -> None:
        """Write ``report.html`` in the run's folder after an evaluation; :meth:`finish` writes the last one."""
        if self.due(step, steps) and not self.ended(step, steps) and self.game.world.rank == 0:
            self._write_report(reporter)

    def _write_report(self, reporter: Reporter) -> None:
        """Write the page without a gallery. A failure is a warning: training goes on."""
        try:
            report(self.run.path, images=0)
        except (ValueError, OSError) as error:
            reporter.say(f"warning: the report was not written: {error}")

    def finish(self, reporter: Reporter) -> None:
        """Measure the test split, once and after all choices, with the best weights; mark the run as finished."""
        if not self.every or self.game.world.rank != 0:
            return
        facts: dict[str, Any] = {}
        if self.exhausted and self.run.facts["step"] < self.run.facts["steps"]:
            steps = ", ".join(sorted({str(best["step"]) for best in self.best.values()}, key=int))
            facts["reason"] = (
                f"stopped early: no better {self.title} in {plural(self.waited, 'evaluation')}; best of step {steps}"
            )
            reporter.say(facts["reason"])
        if (test := self._test(reporter)) is not None:
            facts["test"] = test
        self.run.write(status="finished", **facts)
        self._write_report(reporter)

    def _test(self, reporter: Reporter) -> dict[str, Any] | None:
        settings, translator = self.run.settings, self.game.translator
        where = settings.data, settings.a, settings.b
        if not has_split("test", *where, kind=translator.data, derive=settings.derive):
            return None
        choices, tables = replace(self._choices(METRICS, explicit=False), baseline=True), []
        try:
            for trial in trials(self.run, translator, "test"):
                net, step = copy.deepcopy(self.game.ema.networks[trial.export]), self.run.facts["step"]
                if best := self.best.get(trial.export):
                    net.load_state_dict(best["weights"])
                    step = best["step"]
                names = None if trial.target is None else (trial.label,)
                title = f"test: {self.run.path}: {way(trial.spec, names)}, weights of step {step}"
                made = translating(net, trial, self.game.world, self.game.dtype)
                table = measure_table(trial.task, made, choices, title)
                for warning in table.warnings:
                    reporter.say(f"warning: {warning}")
                reporter.say(str(table))
                tables.append({"step": step} | {k: v for k, v in table.to_dict().items() if k != "by_image"})
        except (ValueError, OSError, ModelError) as error:  # the run itself is done
            reporter.say(f"warning: the test split was not measured: {error}")
            return {"error": str(error)}
        return {"tables": tables}

    def _choices(self, metrics: dict[str, Metric], explicit: bool) -> Choices:
        """Return the choices of a measurement. Features are computed on the processor, alike on every machine."""
        metrics = {name: metric for name, metric in metrics.items() if not {"class", "labels"} & set(metric.between)}
        instruments, notes = with_features(metrics, self.run.settings.eval_features, "cpu", explicit)
        options = {"seed": 0, "kid_subset": None, "kid_subsets": SUBSETS}
        return Choices(metrics, instruments, None, self.run.settings.size, options, False, None, notes)

    def _table_of(self, trial: Trial, spread: Spread) -> Table:
        net = self.game.ema.networks[trial.export]
        return self._measured(trial, spread, translating(net, trial, self.game.world, self.game.dtype))

    def _measured(self, trial: Trial, spread: Spread, made: candidates.Candidate) -> Table:
        table = measure_table(trial.task, made, self.choices, trial.label, spread)
        if self._name not in table.figures:
            reason = table.left_out.get(self._name, "there are too few images")
            raise ValueError(f"metric {self._name} cannot be measured on the validation images: {reason}")
        return table

    @property
    def _name(self) -> str:
        return str(self.run.settings.metric)

    def _improves(self, export: str, value: float) -> bool:
        best = self.best[export]["value"] if export in self.best else None
        if math.isnan(value) or best is None:
            return not math.isnan(value)
        return value < best if self.metric.better == "lower" else value > best

    def _words(self, table: Table) -> str:
        return ", ".join(
            f"{table.label(name)} {shown(METRICS[name], row[RESULT])}" for name, row in table.figures.items()
        )

    def _check_comparable(self, protocol: Protocol, before: dict[str, Any] | None) -> None:
        if self.evaluations and before and (differences := protocol.differences(before)):
            raise ValueError(
                f"{self.run.path}: its validation images or features have changed, so that the best weights could not "
                f"be found: {'; '.join(differences)}. Restore them, or start a new run with another --out"
            )

    def _note(self) -> None:
        """Add what was found to the facts that are written to ``run.json``."""
        if "validation" not in self.run.facts:
            return
        directions = {export: describe(self.run, export).direction for export in self.best}
        self.run.facts["validation"] |= {
            "metric": self.title,
            "evaluations": self.evaluations,
            "best": {directions[export]: {k: best[k] for k in ("step", "value")} for export, best in self.best.items()},
            "without_improvement": self.waited,
        }

    def _clear_stale(self) -> None:
        """Make the files agree with the state that the run continues from."""
        if self.game.world.rank != 0:
            return
        known = {describe(self.run, export).direction for export in self.best}
        for path in (self.run.path / "weights" / "best").glob("*.safetensors"):
            if path.stem not in known:
                path.unlink()
        self.write_best()


def _figures(table: Table) -> dict[str, dict[str, Any]]:
    """Return the figures of the results by the metrics' names, times their stated factors."""
    return {row["name"]: row["candidates"][RESULT] for row in table.to_dict()["metrics"].values()}
