"""A run folder, which describes its run and stays valid if the process is killed at any moment.

``run.json`` contains the settings and the progress, ``log.jsonl`` the losses, ``samples/`` the sample sheets,
``state/`` the last two complete states, ``weights/`` the averaged generators, ``weights/best/`` those that validation
chose.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from i2i.atomic import atomically, clear_temporaries, lock
from i2i.engine import state_file
from i2i.engine.options import (
    default_folder,
    defaults,
    fitted,
    hyperparameters,
    other_defaults,
    preset_of,
    repeated_of,
    stated,
    usual,
)  # fmt: skip
from i2i.engine.schedule import length
from i2i.engine.settings import FIXED, PLACES, Change, Settings, merge
from i2i.text import not_found

KEPT_STATES = 2


@dataclass
class Run:
    """A run folder and the contents of its ``run.json``."""

    path: Path
    settings: Settings
    hyperparameters: dict[str, Any]
    facts: dict[str, Any]
    """Facts from reading the data and from training: domains, fingerprint, versions, status, step."""
    seen: dict[str, Any] | None = None
    """Contents of ``run.json`` when the run was opened; None for a new run."""
    auto_batch: bool = False
    """True if the batch size is still to be found from the GPU's memory."""
    moved: bool = False
    """True if the images' folders have changed; then the images must be checked to be the same."""
    overridden: Sequence[Change] = ()
    """The settings with which the run goes on, other than those before."""

    @classmethod
    def open(
        cls,
        method: str | None,
        out: str | os.PathLike[str] | None,
        given: dict[str, Any],
        like: str | os.PathLike[str] | None = None,
        override: bool = False,
    ) -> Run:
        """Open the run in folder ``out`` to continue it, or describe a new one there (nothing is written yet).

        ``given`` contains settings, hyper-parameters of the method, and ``preset``; what is not given is as in the run
        ``like``. Raises ValueError if they are wrong, or differ from those of the existing run without ``override``.
        """
        given = {name: value for name, value in given.items() if value is not None}
        autos = {name for name in ("batch", "precision", "compile") if given.get(name) == "auto"}
        given = {name: value for name, value in given.items() if name not in autos}
        preset = given.pop("preset", None)
        known = set(Settings.__dataclass_fields__)
        settings = {k: v for k, v in given.items() if k in known} | ({"method": method} if method else {})
        hyper = {k: v for k, v in given.items() if k not in known}
        repeated: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
        if like:
            if not Path(like).is_dir():
                raise ValueError(f"{not_found(like, 'run')} to repeat")
            repeated = repeated_of(Path(like), read_json(Path(like) / "run.json"), settings)
            settings.setdefault("method", repeated[0]["method"])
        path = Path(out) if out else default_folder(settings)
        seen = read_json(path / "run.json") if (path / "run.json").exists() else None
        if preset:
            of_settings, of_method = preset_of(preset, settings.get("method") or (seen or {}).get("method"))
            if "epochs" in settings:  # a length in steps would override it
                of_settings.pop("steps", None)
            settings, hyper = of_settings | settings, of_method | hyper
        if "epochs" in settings:  # a length in steps of the other run would override it
            repeated[0].pop("steps", None)
        settings, hyper = repeated[0] | settings, repeated[1] | hyper
        # "auto" is the default of a new run, and was resolved when an old one started
        settings = {name: value for name, value in settings.items() if name not in autos}
        # A run that failed before saving anything may be replaced by one with other settings.
        if seen and (seen.get("step") or kept(path) or not settings.get("method")):
            return cls._continued(path, settings, hyper, seen, override)
        if not seen and path.exists() and (not path.is_dir() or any(p.name[0] != "." for p in path.iterdir())):
            raise ValueError(f"{path} already exists and is no run; give another folder with --out")
        if not settings.get("method"):
            raise ValueError(f"{path} is no run to continue, and no method was given for a new one")
        made = Settings.from_dict(usual(settings["method"]) | settings)
        hyper = hyperparameters(made.method, fitted(made) | hyper)
        return cls(path, made, hyper, {"status": "new", "step": 0}, seen, "batch" in autos)

    @classmethod
    def _continued(
        cls, path: Path, settings: dict[str, Any], hyper: dict[str, Any], seen: dict[str, Any], override: bool
    ) -> Run:
        if "imported" in seen:
            raise ValueError(f"{path} is an imported run; start from its weights with --from {path} and another --out")
        facts = dict(seen)
        try:
            recorded, old_hyper = facts.pop("settings"), facts.pop("hyperparameters")
            # the same command asks again for what this machine did not have when the run started
            asked = {} if override else seen.get("asked", {})
            settings = {name: value for name, value in settings.items() if asked.get(name) != value}
            # A run of an earlier version has no record of a newer setting, and had its method's default.
            old = Settings.from_dict(usual(recorded["method"]) | recorded)
            merged, changes = merge(old, settings)
            hyper = hyperparameters(old.method, hyper) if merged.method == old.method else {}
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        # A default of another version stays that of the run.
        known = defaults(old.method)
        old_hyper = other_defaults(old.method, facts.pop("defaults", {})) | old_hyper
        before = known | old_hyper
        changes += [(name, before[name], value) for name, value in hyper.items() if before[name] != value]
        if override and merged.images != old.images and not merged.steps:
            raise ValueError(
                f"{path}: its length is in epochs, whose steps follow from the images of a step ({old.images} -> "
                f"{merged.images}); give --steps as well, or --batch and --accumulate with the same product"
            )
        fixed = [name for name, _, _ in changes if name in FIXED]
        if changes and (fixed or not override):
            lines = "".join(f"\n  {name}: {was} -> {now}" for name, was, now in changes)
            permit = f"{', '.join(fixed)} cannot be changed" if fixed else "add --override to continue with these"
            raise ValueError(
                f"{path}: this run was started with other settings:{lines}\nrun the command it was started with to "
                f"continue ({permit}), or give another folder with --out for a new run"
            )
        if changes:
            record = {"step": seen["step"], "settings": {name: [was, now] for name, was, now in changes}}
            facts["overridden"] = [*facts.get("overridden", ()), record]
        moved = any(getattr(merged, side) != getattr(old, side) for side in PLACES)
        return cls(path, merged, old_hyper | hyper, facts, seen, moved=moved, overridden=changes)

    def write(self, **facts: Any) -> None:
        """Write ``run.json`` with these facts added."""
        self.facts |= facts
        text = {"method": self.settings.method, "settings": self.settings.to_dict()}
        text |= {"hyperparameters": self.hyperparameters, **self.facts}
        text["defaults"] = stated(self.settings.method, self.hyperparameters)
        self.path.mkdir(parents=True, exist_ok=True)
        atomically(self.path / "run.json", lambda temporary: temporary.write_text(json.dumps(text, indent=1)))

    @property
    def finished(self) -> bool:
        """True if all requested steps are done, or evaluations without improvement stopped the run before."""
        facts = self.facts
        waited = facts.get("validation", {}).get("without_improvement", 0)
        return facts.get("status") == "finished" and (
            length(self.settings, facts["images"])[0] <= facts["step"] or 0 < self.settings.patience <= waited
        )

    @property
    def started(self) -> bool:
        """True if the run has saved a state, so that it goes on from there."""
        return bool(self._states())

    @property
    def saved_step(self) -> int:
        """The number of steps after which the newest state was saved; 0 if there is none."""
        return max((int(path.stem) for path in self._states()), default=0)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Lock the folder against other trainings, and remove temporary files of killed ones.

        Raises ValueError if another training is running, or has run since the run was opened. The lock ends with the
        process.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with open(self.path / ".lock", "w") as file:
            try:
                lock(file)
            except BlockingIOError as error:
                raise ValueError(
                    f"another training is running in {self.path}; wait for it, or give another --out"
                ) from error
            except OSError as error:
                warnings.warn(
                    f"{self.path} cannot be locked ({error}): make sure that no other training uses it", stacklevel=3
                )
            description = self.path / "run.json"
            if (read_json(description) if description.exists() else None) != self.seen:
                raise ValueError(f"another training has run in {self.path} meanwhile; run the command again")
            for folder in (self.path, *(self.path / name for name in ("state", "weights", "weights/best", "samples"))):
                clear_temporaries(folder)
            yield

    def save_state(self, step: int, state: dict[str, Any]) -> None:
        """Save the state after ``step`` steps; keep the previous one and no older ones."""
        folder = self.path / "state"
        folder.mkdir(parents=True, exist_ok=True)
        atomically(folder / f"{step:09d}.pt", lambda temporary: state_file.save(state, temporary))
        for old in self._states()[:-KEPT_STATES]:
            old.unlink(missing_ok=True)

    def newest_state(self) -> dict[str, Any] | None:
        """Return the newest readable state, on the CPU, or None if there is none yet.

        A damaged state is skipped with a warning. Raises ValueError if all are damaged: a run never restarts silently.
        """
        states = self._states()
        for path in reversed(states):
            try:
                return state_file.load(path)
            except state_file.DAMAGE as error:
                reason = (str(error) or type(error).__name__).splitlines()[0]
                warnings.warn(f"{path} is damaged ({reason}); going back one state", stacklevel=2)
        if states:
            raise ValueError(
                f"none of the states in {self.path / 'state'} can be read ({', '.join(p.name for p in states)}); "
                "restore one from a copy, or start a new run with another --out"
            )
        if self.facts.get("step"):
            raise ValueError(
                f"the run in {self.path} was at step {self.facts['step']}, and its states are gone from "
                f"{self.path / 'state'}; restore them, or start a new run with another --out"
            )
        return None

    def set_aside_after(self, step: int) -> None:
        """Rename the states beyond ``step``, which could not be read."""
        for path in self._states():
            if int(path.stem) > step:
                path.rename(path.with_suffix(".damaged"))

    def _states(self) -> list[Path]:
        return sorted((self.path / "state").glob("[0-9]*.pt"))


def kept(path: Path) -> bool:
    """Return True if a run's folder contains states or weights."""
    return any((path / "state").glob("[0-9]*")) or any((path / "weights").glob("*.safetensors"))


def read_json(path: Path) -> dict[str, Any]:
    """Read a run's description. Raises ValueError with the file's name if it is damaged."""
    try:
        return json.loads(path.read_text())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path} cannot be read ({error}); a run's folder contains the run.json that i2i wrote"
        ) from error
