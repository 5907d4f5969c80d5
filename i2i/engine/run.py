"""A run on disk: a folder that says all there is to know of it, and that a kill at any moment leaves whole.

``run.json`` holds the settings and how far the run is, ``log.jsonl`` its figures, ``samples/`` its pictures, ``state/``
the last two complete states, ``weights/`` the averaged generators.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from i2i.engine.settings import PRESETS, Settings, merge
from i2i.files import atomically
from i2i.translators import translator_class

KEPT_STATES = 2


@dataclass
class Run:
    """A run folder and what its ``run.json`` says."""

    path: Path
    settings: Settings
    hyperparameters: dict[str, Any]
    facts: dict[str, Any]
    """What is known once the data has been read: the domains, the data's fingerprint, versions, status, step."""
    auto_batch: bool = False
    """Whether the batch is yet to be found from the GPU's memory."""

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
        if preset is not None and preset not in PRESETS:
            raise ValueError(f"preset is {preset!r}; choose one of {', '.join(PRESETS)}")
        known = set(Settings.__dataclass_fields__)
        settings = {k: v for k, v in given.items() if k in known} | ({"method": method} if method else {})
        hyper = {k: v for k, v in given.items() if k not in known}
        if preset:
            settings, hyper = PRESETS[preset][0] | settings, PRESETS[preset][1] | hyper
        path = Path(out) if out else default_folder(settings)
        if (path / "run.json").exists():
            return cls._continued(path, settings, hyper)
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise ValueError(f"{path} is there already and is no run; give another folder with --out")
        if not settings.get("method"):
            raise ValueError(f"{path} is no run to continue, and no method was given for a new one")
        made = Settings.from_dict(settings)
        return cls(path, made, hyperparameters(made.method, hyper), {"status": "new", "step": 0}, auto_batch)

    @classmethod
    def _continued(cls, path: Path, settings: dict[str, Any], hyper: dict[str, Any]) -> Run:
        facts = read_json(path / "run.json")
        try:
            old, old_hyper = Settings.from_dict(facts.pop("settings")), facts.pop("hyperparameters")
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
        return cls(path, merged, old_hyper, facts)

    def write(self, **facts: Any) -> None:
        """Writes ``run.json`` with these facts added."""
        self.facts |= facts
        text = {"method": self.settings.method, "settings": self.settings.to_dict()}
        text |= {"hyperparameters": self.hyperparameters, **self.facts}
        self.path.mkdir(parents=True, exist_ok=True)
        atomically(self.path / "run.json", lambda temporary: temporary.write_text(json.dumps(text, indent=1)))

    @property
    def finished(self) -> bool:
        return self.facts.get("status") == "finished" and self.facts["step"] >= self.facts.get("steps", 0)

    def save_state(self, step: int, state: dict[str, Any]) -> None:
        """Writes the state after ``step`` steps; keeps the one before it and no older one."""
        folder = self.path / "state"
        folder.mkdir(parents=True, exist_ok=True)
        atomically(folder / f"{step:09d}.pt", lambda temporary: torch.save(state, temporary))
        for old in self._states()[:-KEPT_STATES]:
            old.unlink(missing_ok=True)

    def newest_state(self, device: torch.device) -> dict[str, Any] | None:
        """The newest state that can be read, or None; a damaged one is passed over with a warning."""
        for path in reversed(self._states()):
            try:
                return torch.load(path, map_location=device, weights_only=True)
            except Exception as error:  # a damaged file raises anything, from EOFError to UnpicklingError
                warnings.warn(
                    f"{path} is damaged ({error or type(error).__name__}); going back one state", stacklevel=2
                )
        return None

    def _states(self) -> list[Path]:
        return sorted((self.path / "state").glob("[0-9]*.pt"))


def default_folder(settings: dict[str, Any]) -> Path:
    """``runs/METHOD-A2B`` after the folders' names."""
    names = [Path(settings[side]).resolve().name for side in ("a", "b") if settings.get(side)]
    if settings.get("data"):
        names = [Path(settings["data"]).resolve().name]
    if not names or not settings.get("method"):
        raise ValueError("expected a method and its images: i2i train METHOD --a DIR --b DIR, or --data DIR")
    return Path("runs") / f"{settings['method'].rpartition(':')[2]}-{'2'.join(names)}"


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
        words = {
            "true": True,
            "on": True,
            "yes": True,
            "1": True,
            "false": False,
            "off": False,
            "no": False,
            "0": False,
        }
        if str(value).lower() not in words:
            raise ValueError(f"{name} is {value!r}; expected true or false")
        return words[str(value).lower()]
    try:
        number = type(default)(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is {value!r}; expected a number such as {default}") from None
    if isinstance(default, int) and number != float(value):
        raise ValueError(f"{name} is {value!r}; expected a whole number")
    return number


def read_json(path: Path) -> dict[str, Any]:
    """Reads a run's description. Raises ValueError naming the file when it is damaged."""
    try:
        return json.loads(path.read_text())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path} cannot be read ({error}); a run's folder holds the run.json that i2i wrote"
        ) from error
