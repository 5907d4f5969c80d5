"""Parameters of a translation, from the query, the fields of a form and the header Accept."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from i2i.images import WRITABLE
from i2i.runtime.jobs.options import Options
from i2i.runtime.model.model import Model
from i2i.serving.problems import ProblemError, of_request
from i2i.text import did_you_mean, join_names

NAMES = ("to", "seed", "format", "quality", "background", "keep_metadata")
"""Names of the parameters of a translation."""

MEDIA = {
    "PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp", "AVIF": "image/avif", "TIFF": "image/tiff",
    "BMP": "image/bmp", "PNM": "image/x-portable-anymap", "JPEG2000": "image/jp2",
    "NPY": "application/x-npy",
}  # fmt: skip
"""Media type of each format that is written."""


class Parameters(NamedTuple):
    """Parameters of a request beside its files."""

    options: Options
    to: str | None
    seed: int | None

    def bind(self, model: Model, example: bool = False) -> Model:
        """Return the model bound to the domain, and to the style of the seed. Raises ProblemError 400.

        With ``example`` it is to be bound to the style of an image, which is refused with a seed, or without styles.
        """
        try:
            bound = model.toward(self.to)
            if example and self.seed is not None:
                raise ValueError("a style and a seed: give one of them, since a seed draws a style")
            return bound.styled(seed=self.seed) if example or self.seed is not None else bound
        except ValueError as error:
            raise of_request(error) from error


def parse(given: Mapping[str, str], max_pixels: int) -> Parameters:
    """Return the parameters ``given`` by name. Raises ProblemError 400 for an unknown name or a wrong value."""
    for name in given:
        if name not in NAMES:
            raise ProblemError(400, f"no parameter {name!r}{did_you_mean(name, NAMES)}; there are {', '.join(NAMES)}")
    try:
        options: dict[str, Any] = {"max_pixels": max_pixels}
        if "format" in given:
            options["format"] = given["format"]
        if "quality" in given:
            options["quality"] = _whole("quality", given["quality"])
        if "background" in given:
            options["background"] = given["background"]
        if "keep_metadata" in given:
            options["keep_metadata"] = _truth("keep_metadata", given["keep_metadata"])
        seed = _whole("seed", given["seed"]) if "seed" in given else None
        return Parameters(Options(**options), given.get("to"), seed)
    except ValueError as error:
        raise of_request(error) from error


def accepted(header: str) -> Callable[[str], str | None]:
    """Return a function from the format of a source to that of the result, as the header Accept asks for.

    The source's own format is taken if nothing is preferred to it. The function raises ProblemError 406 if no image
    format is acceptable.
    """
    ranges = _ranges(header)

    def choose(source: str) -> str | None:
        own = source if source in WRITABLE else "PNG"
        weights = {name: _weight(MEDIA[name], ranges) for name in WRITABLE}
        best = max(weights.values())
        if best <= 0:
            known = join_names(sorted(MEDIA.values()))
            raise ProblemError(406, f"Accept asks for {header!r}; results are {known}")
        return own if weights[own] >= best else next(name for name in WRITABLE if weights[name] == best)

    return choose


def _ranges(header: str) -> dict[str, float]:
    ranges: dict[str, float] = {}
    for each in header.split(","):
        kind, *rest = (part.strip().lower() for part in each.split(";"))
        quality = next((part[2:] for part in rest if part.startswith("q=")), "1")
        ranges[kind] = float(quality) if re.fullmatch(r"\d(\.\d{0,3})?", quality) else 1.0
    return ranges


def _weight(media: str, ranges: Mapping[str, float]) -> float:
    return next((ranges[kind] for kind in (media, f"{media.split('/')[0]}/*", "*/*") if kind in ranges), 0.0)


def _whole(name: str, text: str) -> int:
    if not re.fullmatch(r"\d{1,12}", text, re.ASCII):
        raise ValueError(f"{name} is {text!r}; expected a whole number")
    return int(text)


def _truth(name: str, text: str) -> bool:
    if text.lower() not in ("true", "false", "1", "0"):
        raise ValueError(f"{name} is {text!r}; expected true or false")
    return text.lower() in ("true", "1")
