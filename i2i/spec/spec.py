"""Description of an exported model, as JSON that programs in any language can read."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from math import isfinite
from pathlib import Path
from typing import Any

from i2i.spec.domain import EDGE, Background, Domain
from i2i.spec.form import Form
from i2i.spec.prior import Prior

METADATA_KEY = "i2i"
SCHEMA = 5
"""Newest schema that is read. 1: exports. 2: with a ``Form``, which readers of 1 would ignore. 3: with a ``Prior``.
4: with a domain of bands, or with a range. 5: with a ``Form`` that has inputs beside the image."""

TRANSLATOR, GENERATOR, ENERGY, STYLE_ENCODER = "translator", "generator", "energy", "style encoder"
PRECISIONS = ("fp32", "fp16", "int8")
WEIGHTS = ("best", "newest")
"""Weights of a run: those that validation chose, which are the newest ones where there was none."""


def best_weights(newest: Path) -> Path:
    """Return the file of the best weights of a direction, which lies beside ``newest``; that one if there is none."""
    best = newest.parent / "best" / newest.name
    return best if best.is_file() else newest


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
        if self.form is not None and self.form.inputs:
            object.__setattr__(self, "schema", max(self.schema, 5))

    @property
    def scale(self) -> int:
        """Ratio of the result's height and width to the image's."""
        return 1 if self.form is None else self.form.scale

    @property
    def inpaints(self) -> bool:
        """True if the source's alpha is 0 in holes, which the model fills; the rest of an image stays as it is."""
        return "mask:" in self.derive or (self.form is not None and self.form.masked)

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
