"""A run on disk: a folder that says all there is to know of it, and that a kill at any moment leaves whole.

``run.json`` holds the settings and how far the run is, ``log.jsonl`` its figures, ``samples/`` its pictures, ``state/``
the last two complete states, ``weights/`` the averaged generators.
"""

from __future__ import annotations

import json
import pickle
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from i2i.atomic import atomically, clear_temporaries, lock
from i2i.data.layout import domain_name
from i2i.engine.schedule import length
from i2i.engine.settings import PLACES, PRESETS, Settings, merge, number
from i2i.translators import translator_class

KEPT_STATES = 2
# What torch.load raises for files that were cut off or overwritten; not what a full memory or a lost disk raises.
DAMAGE = (
    RuntimeError, EOFError, ValueError, LookupError, AttributeError, TypeError, OverflowError, AssertionError,
    struct.error, pickle.UnpicklingError,
)  # fmt: skip


@dataclass
class Run:
    """A run folder and what its ``run.json`` says."""

    path: Path
    settings: Settings
    hyperparameters: dict[str, Any]
    facts: dict[str, Any]
    """What is known once the data has been read: the domains, the data's fingerprint, versions, status, step."""
    seen: dict[str, Any] | None = None
    """What ``run.json`` said when the run was opened; None where there was none."""
    auto_batch: bool = False
    """Whether the batch is yet to be found from the GPU's memory."""
    moved: bool = False
    """Whether the images are said to lie elsewhere than before: then they must be shown to be the same."""

    @classmethod
    def open(cls, method: str | None, out: str | Path | None, given: dict[str, Any]) -> Run:
        """The run in folder ``out`` goes on, or a new one is described there (nothing is written yet).

        ``given`` holds settings, hyper-parameters of the method, and ``preset``. Raises ValueError where they are
        wrong or do not fit the run that is there.
        """
        given = {name: value for name, value in given.items() if value is not None}
        auto_batch = given.get("batch") == "auto"
        # "auto" was resolved when the run began, and stays what it came to
        given = {n: v for n, v in given.items() if not (n in ("batch", "precision") and v == "auto")}
        preset = given.pop("preset", None)
        known = set(Settings.__dataclass_fields__)
        settings = {k: v for k, v in given.items() if k in known} | ({"method": method} if method else {})
        hyper = {k: v for k, v in given.items() if k not in known}
        path = Path(out) if out else default_folder(settings)
        seen = read_json(path / "run.json") if (path / "run.json").exists() else None
        if preset:
            of_settings, of_method = _preset(preset, settings.get("method") or (seen or {}).get("method"))
            if "epochs" in settings:  # a length in steps would count more
                of_settings.pop("steps", None)
            settings, hyper = of_settings | settings, of_method | hyper
        # A run that failed before it kept anything binds nobody: other settings may begin in its place.
        if seen and (seen.get("step") or kept(path) or not settings.get("method")):
            return cls._continued(path, settings, hyper, seen)
        if not seen and path.exists() and (not path.is_dir() or any(p.name[0] != "." for p in path.iterdir())):
            raise ValueError(f"{path} is there already and is no run; give another folder with --out")
        if not settings.get("method"):
            raise ValueError(f"{path} is no run to continue, and no method was given for a new one")
        batch = _authors(settings["method"]).get("batch")
        made = Settings.from_dict(({"batch": batch} if batch else {}) | settings)
        return cls(path, made, hyperparameters(made.method, hyper), {"status": "new", "step": 0}, seen, auto_batch)

    @classmethod
    def _continued(cls, path: Path, settings: dict[str, Any], hyper: dict[str, Any], seen: dict[str, Any]) -> Run:
        if "imported" in seen:
            raise ValueError(f"{path} holds a network that was trained elsewhere; train in another folder with --out")
        facts = dict(seen)
        try:
            # Runs that do not say otherwise were trained with transparent images on white.
            old = Settings.from_dict({"background": "255"} | facts.pop("settings"))
            old_hyper = facts.pop("hyperparameters")
            merged = merge(old, settings)
            hyper = hyperparameters(old.method, hyper)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        differ = [f"\n  {k}: {old_hyper.get(k)} -> {v}" for k, v in hyper.items() if old_hyper.get(k, v) != v]
        missing = [f"\n  {k}: default -> {v}" for k, v in hyper.items() if k not in old_hyper]
        if differ or missing:
            raise ValueError(
                f"{path}: this run was started with other hyper-parameters:{''.join(differ + missing)}\n"
                "run the command it was started with to go on, or give another folder with --out for a new run"
            )
        moved = any(getattr(merged, side) != getattr(old, side) for side in PLACES)
        return cls(path, merged, old_hyper, facts, seen, moved=moved)

    def write(self, **facts: Any) -> None:
        """Writes ``run.json`` with these facts added."""
        self.facts |= facts
        text = {"method": self.settings.method, "settings": self.settings.to_dict()}
        text |= {"hyperparameters": self.hyperparameters, **self.facts}
        self.path.mkdir(parents=True, exist_ok=True)
        atomically(self.path / "run.json", lambda temporary: temporary.write_text(json.dumps(text, indent=1)))

    @property
    def finished(self) -> bool:
        """Whether all the steps that are asked for are done."""
        facts = self.facts
        return facts.get("status") == "finished" and length(self.settings, facts["images"])[0] <= facts["step"]

    @property
    def started(self) -> bool:
        """True if the run has saved a state, so that it goes on from there."""
        return bool(self._states())

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keeps other trainings out of the folder, and clears away what a killed one left half-written.

        Raises ValueError when another is at work, or was since the run was opened. The lock ends with the process,
        however that ends.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with open(self.path / ".lock", "w") as file:
            try:
                lock(file)
            except BlockingIOError as error:
                raise ValueError(
                    f"another training is at work in {self.path}; wait for it, or give another --out"
                ) from error
            except OSError as error:
                warnings.warn(
                    f"{self.path} cannot be locked ({error}): see that no other training uses it", stacklevel=3
                )
            description = self.path / "run.json"
            if (read_json(description) if description.exists() else None) != self.seen:
                raise ValueError(f"another training was at work in {self.path} meanwhile; run the command again")
            for folder in (self.path, *(self.path / name for name in ("state", "weights", "samples"))):
                clear_temporaries(folder)
            yield

    def save_state(self, step: int, state: dict[str, Any]) -> None:
        """Writes the state after ``step`` steps; keeps the one before it and no older one."""
        folder = self.path / "state"
        folder.mkdir(parents=True, exist_ok=True)
        atomically(folder / f"{step:09d}.pt", lambda temporary: _save(state, temporary))
        for old in self._states()[:-KEPT_STATES]:
            old.unlink(missing_ok=True)

    def newest_state(self) -> dict[str, Any] | None:
        """The newest state that can be read, on the CPU, or None where there is none yet.

        A damaged one is passed over with a warning. Raises ValueError when all are damaged: a run is never begun anew
        in the place of another.
        """
        states = self._states()
        for path in reversed(states):
            try:
                return torch.load(path, map_location="cpu", weights_only=True)
            except DAMAGE as error:
                reason = str(error) or type(error).__name__
                warnings.warn(f"{path} is damaged ({reason}); going back one state", stacklevel=2)
        if states:
            raise ValueError(
                f"none of the states in {self.path / 'state'} can be read ({', '.join(p.name for p in states)}); "
                "restore one from a copy, or begin a new run with another --out"
            )
        if self.facts.get("step"):
            raise ValueError(
                f"the run in {self.path} was at step {self.facts['step']}, and its states are gone from "
                f"{self.path / 'state'}; restore them, or begin a new run with another --out"
            )
        return None

    def set_aside_after(self, step: int) -> None:
        """Renames the states that lie beyond where the run goes on, which could not be read."""
        for path in self._states():
            if int(path.stem) > step:
                path.rename(path.with_suffix(".damaged"))

    def _states(self) -> list[Path]:
        return sorted((self.path / "state").glob("[0-9]*.pt"))


def _save(state: dict[str, Any], path: Path) -> None:
    """Write ``state`` with torch.save. Raises OSError when the disk is full, which PyTorch reports as RuntimeError."""
    with open(path, "wb") as file:
        try:
            torch.save(state, file)
        except RuntimeError as error:
            # Closing the unfinished archive fails too, and that error replaces the one that says why.
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def kept(path: Path) -> bool:
    """Whether a run's folder holds anything that training made."""
    return any((path / "state").glob("[0-9]*")) or any((path / "weights").glob("*.safetensors"))


def default_folder(settings: dict[str, Any]) -> Path:
    """``runs/METHOD-A2B`` after the folders' names."""
    names = [domain_name(Path(settings[side])) for side in ("a", "b", "data") if settings.get(side)]
    if not names or not settings.get("method"):
        raise ValueError("expected a method and its images: i2i train METHOD --a DIR --b DIR, or --data DIR")
    return Path("runs") / f"{settings['method'].rpartition(':')[2]}-{'2'.join(names)}"


def _preset(name: str, method: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings and the hyper-parameters that a preset's name stands for. Raises ValueError for another name."""
    if name not in PRESETS:
        raise ValueError(f"preset is {name!r}; choose one of {', '.join(PRESETS)}")
    settings, hyper = PRESETS[name]
    return settings | (_authors(method) if name == "paper" and method else {}), hyper


def _authors(method: str) -> dict[str, Any]:
    return getattr(translator_class(method), "authors", {})


def hyperparameters(method: str, given: dict[str, Any]) -> dict[str, Any]:
    """``given`` as its translator's constructor takes it: text becomes the type of the default it replaces.

    Raises ValueError for a name the constructor has not, with those it has.
    """
    defaults = dict(translator_class(method).__init__.__kwdefaults__ or {})
    unknown = sorted(set(given) - set(defaults))
    if unknown:
        raise ValueError(f"{method} has no {', '.join(unknown)}; it has {', '.join(defaults)}, and a run has "
                         f"{', '.join(Settings.__dataclass_fields__)}")  # fmt: skip
    return {name: _like(name, defaults[name], value) for name, value in given.items()}


def _like(name: str, default: Any, value: Any) -> Any:
    if isinstance(default, bool):
        words = dict.fromkeys(("true", "on", "yes", "1"), True) | dict.fromkeys(("false", "off", "no", "0"), False)
        if str(value).lower() not in words:
            raise ValueError(f"{name} is {value!r}; expected true or false")
        return words[str(value).lower()]
    return number(name, default, value) if isinstance(default, int | float) else str(value)


def read_json(path: Path) -> dict[str, Any]:
    """Reads a run's description. Raises ValueError naming the file when it is damaged."""
    try:
        return json.loads(path.read_text())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path} cannot be read ({error}); a run's folder holds the run.json that i2i wrote"
        ) from error
