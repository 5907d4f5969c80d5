"""The augmentation of training images as a setting: "crop,flip,colour:0.2,rotate:10" and the options of a View.

Standard library only: the command line reads it too.
"""

from __future__ import annotations

from typing import Any

from i2i.text import did_you_mean

NONE = "none"
CROP = 286 / 256  # the authors' jitter of pix2pix and CycleGAN
RANGES = {
    # name -> least and largest value, and an example
    "crop": (1.0, 4.0, "crop:1.12"),
    "colour": (0.0, 1.0, "colour:0.2"),
    "source-colour": (0.0, 1.0, "source-colour:0.2"),
    "rotate": (0.0, 180.0, "rotate:10"),
    "scale": (0.25, 4.0, "scale:0.8..1.2"),
    "cutout": (0.0, 1.0, "cutout:0.25"),
}
NAMES = ("crop", "flip", *(name for name in RANGES if name != "crop"))
SPELLINGS = {"color": "colour", "source-color": "source-colour"}


def parse_augment(text: str) -> dict[str, Any]:
    """Return the options of a ``View`` that ``text`` asks for, such as "crop,flip,rotate:10".

    What is not named is off. Raises ValueError for an unknown or repeated name, or a wrong value.
    """
    found: dict[str, Any] = {}
    if text.strip() != NONE:
        for part in text.split(","):
            name, colon, value = (piece.strip() for piece in part.partition(":"))
            name = SPELLINGS.get(name, name)
            if name not in NAMES:
                raise ValueError(
                    f"augment is {text!r}, with {name!r}{did_you_mean(name, NAMES)}; expected none, or some of "
                    f"{', '.join(NAMES)}, separated by commas: crop,flip,colour:0.2"
                )
            if name in found:
                raise ValueError(f"augment is {text!r}, where {name} comes twice; give it once")
            found[name] = _value(text, name, colon, value)
    if "colour" in found and "source-colour" in found:
        raise ValueError(
            f"augment is {text!r}; colour changes both images and source-colour the source alone: choose one"
        )
    load = found.pop("crop", None)
    return {
        "load": load or 1.0,
        "crop": "random" if load else "center",
        "flip": found.pop("flip", False),
        **{name.replace("-", "_"): value for name, value in found.items()},
    }


def canonical(text: str) -> str:
    """Return an augmentation with its parts in the order of ``NAMES``, so that equal ones are equal text."""
    parse_augment(text)
    parts = ["".join(part.split()).lower() for part in text.split(",")]
    parts = [SPELLINGS.get(name, name) + colon + value for name, colon, value in (p.partition(":") for p in parts)]
    return ",".join(sorted(parts, key=lambda part: (*NAMES, NONE).index(part.partition(":")[0])))


def _value(text: str, name: str, colon: str, value: str) -> Any:
    """Return the value of a part as an option of a ``View``."""
    if name == "flip" and not colon:
        return True
    if name == "crop" and not colon:
        return CROP
    if name == "flip":
        raise ValueError(f"augment is {text!r}; flip takes no value: it mirrors half of the images")
    least, most, example = RANGES[name]
    ends = value.split("..") if name == "scale" else [value]
    try:
        numbers = [float(end) for end in ends]
    except ValueError:
        numbers = []
    if len(numbers) != (2 if name == "scale" else 1):
        raise ValueError(f"augment is {text!r}; expected {name} with a value, such as {example}")
    if not all(least <= number <= most for number in numbers) or numbers != sorted(numbers):
        order = "two growing numbers" if name == "scale" else "a number"
        raise ValueError(f"augment is {text!r}; expected {name} with {order} from {least:g} to {most:g}")
    return tuple(numbers) if name == "scale" else numbers[0]
