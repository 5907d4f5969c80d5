"""Options of a video job; the command line makes its own from these fields.

Standard library only, so that ``--help`` costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fractions import Fraction

CODECS = ("auto", "h264", "hevc", "av1", "prores", "ffv1", "h264_nvenc", "hevc_nvenc", "av1_nvenc")
ROTATIONS = ("apply", "keep")
STEADY_TIME = 0.4
OF_IMAGES = ("suffix", "mask", "keep_metadata", "workers", "max_pixels")
"""Options of a job over image files that say nothing about a video; in a folder of videos ``format`` neither does."""


def _about(help: str, **facts: Any) -> dict[str, Any]:
    return {"help": help, **facts}


@dataclass(frozen=True)
class VideoOptions:
    """Options of translating a video; times are in seconds or as "h:mm:ss.s", from the beginning of the file."""

    start: float = field(
        default=0.0, metadata=_about("Skip frames before this time: seconds, m:ss or h:mm:ss.", metavar="TIME")
    )
    end: float | None = field(
        default=None,
        metadata=_about("Skip frames after this time: seconds, m:ss or h:mm:ss.  [default: the end]", metavar="TIME"),
    )
    fps: Fraction | None = field(
        default=None,
        metadata=_about(
            "Constant frame rate in frames per second, above 0 and up to 1000: 25 or 30000/1001.  [default: the "
            "source's frame times]",
            metavar="RATE",
        ),
    )
    codec: str = field(
        default="auto",
        metadata=_about("Video codec; auto: AV1 in .webm, HEVC for more than 8 bits, else H.264.", choices=CODECS),
    )
    crf: int | None = field(
        default=None,
        metadata=_about(
            "Constant rate factor, lower is better: up to 51 for H.264 and HEVC, 63 for AV1; not for ProRes and FFV1.  "
            "[default: 18 for H.264, 20 for HEVC, 24 for AV1; on NVIDIA cards 20, 22 and 28]",
            least=0,
            most=63,
        ),
    )
    preset: str | None = field(
        default=None,
        metadata=_about(
            "Speed preset, by the encoder's own name; not for ProRes and FFV1.  [default: veryfast; 10 for AV1; p5 on "
            "NVIDIA cards]",
            metavar="NAME",
        ),
    )
    rotation: str = field(
        default="apply",
        metadata=_about(
            "Frame orientation. apply: rotate the frames upright; keep: keep the rotation tag.", choices=ROTATIONS
        ),
    )

    steady: bool = field(
        default=False,
        metadata=_about("Reduce flicker: smooth statistics and results over time.", flag=True),
    )
    steady_time: float | None = field(
        default=None,
        metadata=_about(
            f"Time constant of --steady in seconds, above 0 and up to 10.  [default: {STEADY_TIME}]", metavar="SECONDS"
        ),
    )

    def __post_init__(self) -> None:
        """Convert text to numbers. Raises ValueError, naming the field, for invalid values."""
        set_ = object.__setattr__
        set_(self, "start", seconds(self.start, "start"))
        set_(self, "end", None if self.end is None else seconds(self.end, "end"))
        if self.end is not None and self.end <= self.start:
            raise ValueError(f"end ({self.end} s) is not after start ({self.start} s)")
        if self.fps is not None:
            set_(self, "fps", _rate(self.fps))
        for name, known in (("codec", CODECS), ("rotation", ROTATIONS)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is {getattr(self, name)!r}; choose one of {', '.join(known)}")
        if self.steady_time is not None:
            set_(self, "steady_time", seconds(self.steady_time, "steady_time"))
            if not 0 < self.steady_time <= 10:
                raise ValueError(f"steady_time is {self.steady_time}; it is more than 0 and at most 10 seconds")
            if not self.steady:
                raise ValueError(f"steady_time is {self.steady_time}, but steady is not set; give both")
        if self.crf is not None and not 0 <= self.crf <= 63:
            raise ValueError(f"crf is {self.crf}; it is from 0 to 63 (51 for H.264 and HEVC)")

    def of_an_encoder(self) -> list[str]:
        """Names of the options that are set and concern an encoder only."""
        usual = {"codec": "auto", "crf": None, "preset": None}
        return [name for name in usual if getattr(self, name) != usual[name]]


NAMES = frozenset(each.name for each in fields(VideoOptions))


def seconds(value: float | str, name: str = "time") -> float:
    """Return 12.5, "12.5", "1:02.5" or "1:00:02.5" in seconds. Raises ValueError for anything else, and below 0."""
    try:
        total = 0.0
        for part in str(value).split(":"):
            total = 60 * total + float(part)
    except ValueError:
        total = -1
    if not 0 <= total < float("inf") or str(value).count(":") > 2:
        raise ValueError(f"{name} is {value!r}; expected seconds, m:ss or h:mm:ss, from 0 on")
    return total


def _rate(value: Fraction | float | str) -> Fraction:
    from fractions import Fraction  # it brings decimal numbers with it, which every start would wait for

    try:
        rate = Fraction(value).limit_denominator(1_000_000)
    except (ValueError, ZeroDivisionError, OverflowError) as error:
        raise ValueError(f"fps is {value!r}; expected a number, or a fraction such as 30000/1001") from error
    if not 0 < rate <= 1000:
        raise ValueError(f"fps is {value!r}; expected more than 0 and at most 1000")
    return rate


def changed(options: Any, names: Iterable[str]) -> list[str]:
    """Return the names of the fields of these options that are not at their default."""
    usual = type(options)()
    return [name for name in names if getattr(options, name) != getattr(usual, name)]
