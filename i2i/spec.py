"""Description of an exported model, as JSON that programs in any language can read.

Standard library and ``text`` only: the training half writes it and the running half reads it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from math import isfinite
from pathlib import Path
from typing import Any

from i2i.text import as_range, format_range, plural

METADATA_KEY = "i2i"
SCHEMA = 4
"""Newest schema that is read. 1: exports. 2: with a ``Form``, which readers of 1 would ignore. 3: with a ``Prior``.
4: with a domain of bands, or with a range."""

EDGE = "edge"
Background = str | int
"""What a network without alpha sees behind a transparent picture: ``EDGE``, the picture's own colours continued, or
the level, 0 to 255, of a grey that the picture is composited on."""

LAYOUTS = ("nchw", "nhwc")
ORDERS = ("rgb", "bgr", "grey", "y")
RESULTS = ("image", "curves")
FITS = ("resize", "tile")
DTYPES = ("float32", "float16", "uint8")
TRANSLATOR, GENERATOR, ENERGY, STYLE_ENCODER = "translator", "generator", "energy", "style encoder"
PRECISIONS = ("fp32", "fp16", "int8")
DISTRIBUTIONS = ("normal", "uniform")
BANDS = {"uint8": 8, "uint16": 16, "int16": 16, "float32": 32}
"""Types of the values of bands, with their bits."""
Range = tuple[float, float]
"""The low and the high end of values."""
FOUND = "found"
"""In place of a range: that of the images."""
WEIGHTS = ("best", "newest")
"""Weights of a run: those that validation chose, which are the newest ones where there was none."""


def best_weights(newest: Path) -> Path:
    """Return the file of the best weights of a direction, which lies beside ``newest``; that one if there is none."""
    best = newest.parent / "best" / newest.name
    return best if best.is_file() else newest


def parse_background(value: Background) -> Background:
    """Return ``"edge"``, or the grey level as an int. Raises ValueError for anything else."""
    if value == EDGE:
        return EDGE
    try:
        level = -1 if isinstance(value, float | bool) else int(value)
    except (TypeError, ValueError):
        level = -1
    if not 0 <= level <= 255:
        raise ValueError(f"background is {value}; expected edge or 0 to 255")
    return level


def parse_ranges(text: str | None) -> dict[str, tuple[Range, ...]]:
    """Return the ranges of the sides "a" and "b", or of all images under "", of a text such as "a=0..4095 b=-1..1".

    A side has one range, or one for each channel with commas between; or "found", the range of its images, for which it
    has none here. Raises ValueError for any other text.
    """
    found: dict[str, tuple[Range, ...]] = {}
    for part in (text or "").split():
        side, equals, ranges = part.rpartition("=")
        if side not in ("a", "b") and equals:
            raise ValueError(f"range is {part!r}; expected LOW..HIGH, a=LOW..HIGH or b=LOW..HIGH")
        pairs = () if ranges == FOUND else tuple(as_range(pair) for pair in ranges.split(","))
        if wrong := [pair for pair in pairs if not pair[0] < pair[1]]:
            raise ValueError(f"range is {format_range(wrong[0])!r}; expected LOW..HIGH with LOW below HIGH")
        if side in found or (found and "" in (side, *found)):
            raise ValueError(f"range is {text!r}; expected one range for all images, or one for a and one for b")
        found[side] = pairs
    return found


@dataclass(frozen=True)
class Domain:
    """Domain of images: its name, and the channels, type and range of their values.

    Pictures are grey, RGB or RGBA, unsigned, of 8 or 16 bits, and are converted from one of these to another. Bands are
    any other arrays of values, such as measurements; nothing is converted to or from them.

    A network sees the values v of a domain as (v - low) / half - 1, which is -1 at the low end of their range and 1 at
    the high end; values beyond are clipped.

    Raises ValueError for a range that is empty or that the type does not have, for a number of ranges other than 1 and
    ``channels``, and for int16 or float32 without a range.
    """

    name: str
    channels: int = 3
    bits: int = 8
    bands: str = ""
    """NumPy name of the type of bands: uint8, uint16, int16 or float32; empty for pictures."""
    range: tuple[Range, ...] | None = None
    """The range of all values, or one for each channel; None: 0 to ``peak``."""

    def __post_init__(self) -> None:
        if self.bands not in ("", *BANDS) or (self.bands and self.bits != BANDS[self.bands]):
            raise ValueError(f"bands are of {', '.join(BANDS)}, not {self.bands!r} of {self.bits} bits")
        if self.range is None:
            if self.dtype in ("int16", "float32"):
                raise ValueError(f"{self.name}: a domain of {self.dtype} needs a range")
            return
        ranges = tuple((float(low), float(high)) for low, high in self.range)
        if len(ranges) not in (1, self.channels):
            raise ValueError(
                f"{len(ranges)} ranges for {plural(self.channels, 'channel')}; give one for all, or as many"
            )
        least, most = (-32768, 32767) if self.dtype == "int16" else (0, self.peak)
        for low, high in ranges:
            if not low < high or not isfinite(high - low):
                raise ValueError(
                    f"the range {format_range((low, high))} is empty; expected LOW..HIGH with LOW below HIGH"
                )
            whole = low.is_integer() and high.is_integer() and least <= low and high <= most
            if self.dtype != "float32" and not whole:
                raise ValueError(
                    f"the range {format_range((low, high))} is not one of {self.dtype}; expected whole numbers from "
                    f"{least} to {most}"
                )
        object.__setattr__(self, "range", ranges)

    @property
    def dtype(self) -> str:
        """NumPy name of the type of the values."""
        return self.bands or f"uint{self.bits}"

    @property
    def alpha(self) -> bool:
        """True if the fourth channel is alpha."""
        return self.channels == 4 and not self.bands

    @property
    def peak(self) -> int:
        """Largest value of a pixel: 255 or 65535. Bands have ``ranges``."""
        return 2**self.bits - 1

    @property
    def ranges(self) -> tuple[Range, ...]:
        """The range of all values, or one for each channel."""
        return ((0.0, float(self.peak)),) if self.range is None else self.range

    @property
    def half(self) -> tuple[float, ...]:
        """Half of the length of each range."""
        return tuple((high - low) / 2 for low, high in self.ranges)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON has them; ``bands`` and ``range`` only where they are given."""
        more = {name: value for name, value in (("bands", self.bands), ("range", self.range)) if value}
        return {"name": self.name, "channels": self.channels, "bits": self.bits} | _listed(more)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Domain:
        """Return the domain that ``to_dict`` turned into ``values``."""
        found = values.get("range")
        return cls(**(values | {"range": found and tuple((low, high) for low, high in found)}))


def _listed(value: Any) -> Any:
    """Return a value with lists for its tuples, as JSON returns it."""
    if isinstance(value, dict):
        return {key: _listed(each) for key, each in value.items()}
    return [_listed(each) for each in value] if isinstance(value, tuple | list) else value


@dataclass(frozen=True)
class Form:
    """Meaning of a third-party graph's tensors (``io="described"``): one image in, one image out.

    Raises ValueError for meaningless values.
    """

    layout: str
    """``nchw`` or ``nhwc``."""
    order: str
    """Channel order: ``rgb`` or ``bgr``, followed by alpha; ``grey``; or ``y``, the full-range Rec. 601 luma (as in
    JPEG), where the model only changes luma and the colour is taken from the source.
    """
    range: tuple[float, float]
    """Input values of black and white."""
    output_range: tuple[float, float]
    """Output values of black and white."""
    dtype: str = "float32"
    """Type of the input: ``float32``, ``float16`` or ``uint8``."""
    scale: int = 1
    """Upscaling factor: height and width of the output over those of the input."""
    size: tuple[int, int] | None = None
    """Fixed height and width of the graph; None: any, by the Spec's ``minimum`` and ``multiple``."""
    fit: str = "resize"
    """Treatment of other sizes: ``resize`` there and back, or ``tile`` in overlapping parts."""
    result: str = "image"
    """Output: ``image``, or ``curves``: maps r of Zero-DCE, applied as x + r (x^2 - x), 8 times over."""

    def __post_init__(self) -> None:
        for name, known in (
            ("layout", LAYOUTS),
            ("order", ORDERS),
            ("result", RESULTS),
            ("fit", FITS),
            ("dtype", DTYPES),
        ):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is {getattr(self, name)!r}; choose one of {', '.join(known)}")
        for name in ("range", "output_range"):
            low, high = map(float, getattr(self, name))
            if not (isfinite(low) and isfinite(high) and low != high):
                raise ValueError(f"{name} is {low:g}..{high:g}; expected two numbers that differ")
            object.__setattr__(self, name, (low, high))
        height, width = map(int, self.size or (1, 1))
        if self.size is not None:
            object.__setattr__(self, "size", (height, width))
        if min(self.scale, height, width) < 1:
            raise ValueError(f"size {self.size} and scale {self.scale} must be at least 1")


@dataclass(frozen=True)
class Code:
    """Named part of the latent input z with a meaning that a user can choose."""

    name: str
    values: int = 0
    """Number of values of a categorical code, whose part of z is one-hot; 0: one continuous value from -1 to 1."""

    @property
    def width(self) -> int:
        """Numbers of z that the code takes."""
        return max(1, self.values)


@dataclass(frozen=True)
class Mean:
    """Mean of z over the images with a label, found by an encoder: a class, an attribute, or "not ATTRIBUTE"."""

    name: str
    z: tuple[float, ...] = ()
    """Its numbers; none in the header of a run's weights, which contain them as tensors."""


@dataclass(frozen=True)
class Prior:
    """Inputs of a generator: z, float32 [n, length], which is noise followed by the codes; and words, if any.

    For a translator it describes the second input ``style``, which is noise alone.

    Raises ValueError for meaningless values.
    """

    noise: int
    """Numbers of noise in z, before the codes."""
    size: tuple[int, int]
    """Height and width of the images; (0, 0) for a translator, whose results have the size of the source."""
    distribution: str = "normal"
    """Distribution of the noise: ``normal``, N(0, 1); or ``uniform``, from -1 to 1."""
    codes: tuple[Code, ...] = ()
    vocabulary: tuple[str, ...] = ()
    """Words of the input ``text``, int64 [n, words]: entry i has the number i + 2; 0 fills up, 1 is an unknown word."""
    words: int = 0
    """Length of the input ``text``; 0: there is none."""
    means: tuple[Mean, ...] = ()
    """Means of z by label, for a generator with an encoder that was trained on labelled images."""

    def __post_init__(self) -> None:
        if self.distribution not in DISTRIBUTIONS:
            raise ValueError(f"distribution is {self.distribution!r}; choose one of {', '.join(DISTRIBUTIONS)}")
        if self.noise < 0 or self.length < 1 or min(self.size) < 0 or bool(self.vocabulary) != (self.words > 0):
            raise ValueError(f"a generator of {self.length} numbers and {self.words} words, of images {self.size}")
        if wrong := [mean.name for mean in self.means if len(mean.z) not in (0, self.length)]:
            raise ValueError(f"the mean of {wrong[0]!r} does not have the {self.length} numbers of z")

    @property
    def length(self) -> int:
        """Numbers in z."""
        return self.noise + sum(code.width for code in self.codes)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Prior:
        """Return the prior that ``dataclasses.asdict`` turned into ``values``."""
        height, width = values["size"]
        codes = tuple(Code(**code) for code in values.get("codes", ()))
        vocabulary = tuple(values.get("vocabulary", ()))
        means = tuple(Mean(mean["name"], tuple(mean["z"])) for mean in values.get("means", ()))
        return cls(**(values | {"size": (height, width), "codes": codes, "vocabulary": vocabulary, "means": means}))


@dataclass(frozen=True)
class Spec:
    """Description of one exported translator or generator; JSON under the key ``i2i`` of the ONNX file's metadata.

    With ``io="pixels"`` the graph takes ``uint8 [N, H, W, C]`` when both domains have 8 bits, and otherwise
    ``float32 [N, H, W, C]`` in each domain's own range (0..255, 0..65535, or its ``range``), and returns the same. With
    ``io="tensor"`` it is the bare network: ``float32 [N, C, H, W]`` in [-1, 1]. Channels are in RGB order, those of
    bands in the order of the files. With ``io="described"`` it is a third-party graph, and ``form`` describes its input
    and output.

    A translator with a prior has a second input ``style``; the file ``NAME.style.onnx`` beside it is its style encoder,
    which finds the style of an example image of ``target``: its ``source`` and ``target`` are that domain.

    A generator (``kind="generator"``) has no image as its input, but ``z`` and perhaps ``text``, see ``Prior``; its
    ``source`` is its ``target``.
    """

    method: str
    direction: str
    """Direction, such as "a2b"; "any" for a model of several domains; "generate" for a generator."""
    source: Domain
    target: Domain
    domains: tuple[str, ...] = ()
    """Names that the second input ``target`` (``int64 [N]``) indexes, for a model of several domains; else empty."""
    attributes: bool = False
    """True if ``domains`` can be combined; ``target`` is then ``float32 [N, len(domains)]`` of zeros and ones."""
    io: str = "pixels"
    order: str = "rgb"
    minimum: int = 1
    """Least height and width of the network itself; a pixel graph pads smaller images."""
    multiple: int = 1
    receptive_field: int | None = None
    """Input pixels across that affect one output pixel, normalisation statistics apart; None: the whole image."""
    tiling: str = "no"
    """``exact``; ``statistics`` (exact if the tiles share their normalisation statistics); or ``no``."""
    precision: str = "fp32"
    """``fp32``, ``fp16`` (float16 between the first and the last layer) or ``int8`` (convolutions in eight bits)."""
    recipe: dict[str, Any] = field(default_factory=dict)
    parity: dict[str, Any] = field(default_factory=dict)
    """Largest difference between the file in ONNX Runtime and the network in PyTorch, measured at export."""
    loss: dict[str, Any] = field(default_factory=dict)
    """Loss of a precision other than fp32 on ``held_out`` real images, not used for ``calibration`` (numbers of both):
    ``psnr`` in dB (None: equal), ``largest`` difference in levels (1/255 of the range), the share of values
    ``differing`` by half a level or more, the ``limits`` of the first two, and the ``provider`` it was measured on. For
    int8 also ``convolutions``: the number in int8, and the number of all.
    """
    form: Form | None = None
    """Meaning of a third-party graph's tensors, else None."""
    background: Background = EDGE
    """What the network was trained to see behind transparent pictures. Exports without this entry were trained on
    white, 255."""
    derive: str = ""
    """How the source images of the training were made of those of the target, as "jpeg:20"; see i2i.images.derive."""
    values_per_pixel: float | None = None
    """Values of the graph's largest tensor per pixel of the image, from 1, by which the runtime limits the pixels of
    one inference on a GPU; None: not measured. Tensors made of weights alone do not count."""
    kind: str = TRANSLATOR
    """``translator``, image to image; ``generator``, from a prior; ``style encoder``, from an image to the style of a
    translator; or ``energy``, the weights of a network that scores images, and whose gradients generate them: it has
    no export."""
    prior: Prior | None = None
    """Input of a generator; of a translator its second input ``style``, float32 ``[N, prior.length]``, if it has one;
    output of a style encoder."""
    schema: int = 1

    def __post_init__(self) -> None:
        if any(domain.bands or domain.range for domain in (self.source, self.target)):
            object.__setattr__(self, "schema", max(self.schema, 4))

    @property
    def scale(self) -> int:
        """Ratio of the result's height and width to the image's."""
        return 1 if self.form is None else self.form.scale

    @property
    def inpaints(self) -> bool:
        """True if the source's alpha is 0 in holes, which the model fills; the rest of an image stays as it is."""
        return "mask:" in self.derive

    @property
    def generates(self) -> bool:
        """True if images are drawn from the prior, without a source."""
        return self.kind == GENERATOR

    @property
    def style(self) -> Prior | None:
        """Prior of a translator's second input ``style``; None if it has none."""
        return self.prior if self.kind == TRANSLATOR else None

    @property
    def dtype(self) -> str:
        """Type of the graph's pixels, as NumPy names it."""
        return "uint8" if self.io == "pixels" and self.source.dtype == self.target.dtype == "uint8" else "float32"

    def to_json(self) -> str:
        ends = {"source": self.source.to_dict(), "target": self.target.to_dict()}
        return json.dumps(asdict(self) | ends, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Spec:
        """Return the Spec that ``to_json`` wrote. Raises ValueError for anything else, a newer schema included."""
        try:
            facts = json.loads(text)
            if facts["schema"] > SCHEMA:
                raise ValueError(
                    f"it was written under schema {facts['schema']}; this i2i reads up to {SCHEMA}: upgrade i2i"
                )
            known = {f.name for f in fields(cls)}
            facts = {key: value for key, value in facts.items() if key in known}
            for end in ("source", "target"):
                facts[end] = Domain.from_dict(facts[end])
            facts["domains"] = tuple(facts.get("domains", ()))
            facts.setdefault("background", 255 if facts.get("form") is None else EDGE)
            if facts.get("form") is not None:
                facts["form"] = Form(**facts["form"])
            if (facts.get("io") == "described") != (facts.get("form") is not None):
                raise ValueError(
                    f"its io is {facts.get('io')!r}; a form is expected with 'described', and only with that"
                )
            if facts.get("prior") is not None:
                facts["prior"] = Prior.from_dict(facts["prior"])
            kind = facts.get("kind", TRANSLATOR)
            if kind in (GENERATOR, STYLE_ENCODER) and facts.get("prior") is None:
                raise ValueError(f"its kind is {kind!r}, which needs a prior, and it has none")
            values = facts.get("values_per_pixel")
            if values is not None and not (isfinite(values) and values >= 1):
                raise ValueError(f"values_per_pixel is {values}; expected a number from 1 on")
            return cls(**facts)
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"not an i2i description: {error!r}") from error
