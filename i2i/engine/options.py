"""Presets, the authors' own settings and those of another run, which a new run starts with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from i2i.data.augment import NONE
from i2i.data.layout import domain_name
from i2i.engine.presets import PRESETS
from i2i.engine.settings import PLACES, Settings, number
from i2i.text import did_you_mean
from i2i.translators import translator_class


def default_folder(settings: dict[str, Any]) -> Path:
    """Return ``runs/METHOD-A2B``, from the folders' names."""
    names = [domain_name(Path(settings[side])) for side in ("a", "b", "data") if settings.get(side)]
    if not names or not settings.get("method"):
        raise ValueError("expected a method and its images: i2i train METHOD --a DIR --b DIR, or --data DIR")
    return Path("runs") / f"{settings['method'].rpartition(':')[2]}-{'2'.join(names)}"


def repeated_of(run: Path, facts: dict[str, Any], given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings and hyper-parameters of a run but for its images and what follows from them.

    ``facts`` are those of its ``run.json``. Raises ValueError for an imported run, and for another method in ``given``.
    """
    if "imported" in facts:
        raise ValueError(f"{run} is an imported run without settings to repeat; --from {run} starts from its weights")
    settings, decided = facts["settings"], facts.get("decided", ())
    if given.get("method", settings["method"]) != settings["method"]:
        raise ValueError(f"{run} is a run of {settings['method']}, not of {given['method']}; leave the method out")
    left_out = (*PLACES, "compile")  # what that machine found does not hold on another
    hyper = other_defaults(settings["method"], facts.get("defaults", {})) | facts["hyperparameters"]
    hyper = {name: value for name, value in hyper.items() if name not in decided}
    return {name: value for name, value in settings.items() if name not in left_out and value is not None}, hyper


def preset_of(name: str, method: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings and hyper-parameters of a preset. Raises ValueError for an unknown name."""
    if name not in PRESETS:
        raise ValueError(f"preset is {name!r}; choose one of {', '.join(PRESETS)}")
    settings, hyper = PRESETS[name]
    if not method:
        return settings, hyper
    known = defaults(method)
    hyper = {k: v.get(known.get(k)) if isinstance(v, dict) else v for k, v in hyper.items()}
    hyper |= {k: min(v, known[k]) for k, v in hyper.items() if isinstance(v, int) and k in known}  # never a larger one
    hyper |= translator_class(method).good if name == "good" else {}
    settings = {k: v for k, v in settings.items() if k not in usual(method)}
    return settings | (authors(method) if name == "paper" else {}), {
        k: v for k, v in hyper.items() if k in known and v is not None
    }


def usual(method: str) -> dict[str, Any]:
    """Return the authors' settings that are defaults: those that a method hardly works without.

    A generator's images are not augmented, which it would learn to draw.
    """
    made = translator_class(method)
    names = ("batch", "size") if made.data in ("images", "captions") else ("batch",)
    augment = {} if made.augment else {"augment": NONE}
    return augment | {name: value for name, value in authors(method).items() if name in names}


def authors(method: str) -> dict[str, Any]:
    """Return the settings of the authors' own run."""
    return getattr(translator_class(method), "authors", {})


def defaults(method: str) -> dict[str, Any]:
    """Return the keywords of the translator's constructor with their defaults."""
    return dict(translator_class(method).__init__.__kwdefaults__ or {})


def stated(method: str, given: dict[str, Any]) -> dict[str, Any]:
    """Return the defaults of the hyper-parameters that are not given, where they are numbers, texts or truth values."""
    return {k: v for k, v in defaults(method).items() if k not in given and isinstance(v, bool | int | float | str)}


def other_defaults(method: str, recorded: dict[str, Any]) -> dict[str, Any]:
    """Return the recorded defaults of a run, of another version, that are not those of today."""
    known = defaults(method)
    return {name: value for name, value in recorded.items() if name in known and value != known[name]}


def fitted(settings: Settings) -> dict[str, Any]:
    """Return the hyper-parameters that follow the size of the crops: a classifier takes in no more than there is."""
    least = min(settings.size)
    return {"image_size": least} if least < defaults(settings.method).get("image_size", 0) else {}


def hyperparameters(method: str, given: dict[str, Any]) -> dict[str, Any]:
    """Convert ``given`` to the keywords of the translator's constructor, each of the type of its default.

    Raises ValueError for unknown names, with the nearest and all that exist.
    """
    known = defaults(method)
    unknown = sorted(set(given) - set(known))
    if unknown:
        settings = tuple(Settings.__dataclass_fields__)
        there = (*known, *settings, "out", "preset", "like", "override")
        raise ValueError(
            f"{method} has no {', '.join(unknown)}{did_you_mean(unknown[0], there)}; "
            f"it has {', '.join(known)}, and a run has {', '.join(settings)}"
        )
    return {name: _like(name, known[name], value) for name, value in given.items()}


def _like(name: str, default: Any, value: Any) -> Any:
    if isinstance(default, bool):
        words = dict.fromkeys(("true", "on", "yes", "1"), True) | dict.fromkeys(("false", "off", "no", "0"), False)
        if str(value).lower() not in words:
            raise ValueError(f"{name} is {value!r}; expected true or false")
        return words[str(value).lower()]
    return number(name, default, value) if isinstance(default, int | float) else str(value)
