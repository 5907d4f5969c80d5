"""What an exported file promises, in words a program in any language can read.

Standard library only: the training half writes it, the running half reads it, and neither needs the other.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any

METADATA_KEY = "i2i"
SCHEMA = 1


@dataclass(frozen=True)
class Domain:
    """One kind of image: its name and the form of its pixels."""

    name: str
    channels: int = 3
    bits: int = 8

    @property
    def peak(self) -> int:
        """The largest value of a pixel: 255 or 65535."""
        return 2**self.bits - 1


@dataclass(frozen=True)
class Spec:
    """The promise of one exported translator; JSON under the key ``i2i`` of the ONNX file's metadata.

    With ``io="pixels"`` the graph takes ``uint8 [N, H, W, C]`` when both domains have 8 bits, and otherwise
    ``float32 [N, H, W, C]`` in each domain's own range (0..255 or 0..65535), and returns the same. With
    ``io="tensor"`` it is the bare network: ``float32 [N, C, H, W]`` in [-1, 1]. Channels are in RGB order.
    """

    method: str
    direction: str
    """From side to side ("a2b"); "any" for a model of several domains."""
    source: Domain
    target: Domain
    domains: tuple[str, ...] = ()
    """Names that the second input ``target`` (``int64 [N]``) indexes, for a model of several domains; else empty."""
    attributes: bool = False
    """Whether ``domains`` may be had together: then ``target`` is ``float32 [N, len(domains)]`` of zeros and ones."""
    io: str = "pixels"
    order: str = "rgb"
    minimum: int = 1
    """Least height and width of the network itself; a pixel graph pads smaller images inside."""
    multiple: int = 1
    receptive_field: int | None = None
    """Pixels that one output pixel sees, statistics of the normalisation apart; None: the whole image."""
    tiling: str = "no"
    """``exact``; ``statistics`` (exact once the tiles share their normalisation statistics); or ``no``."""
    precision: str = "fp32"
    recipe: dict[str, Any] = field(default_factory=dict)
    parity: dict[str, Any] = field(default_factory=dict)
    """The largest difference between the file in ONNX Runtime and the network in PyTorch, as measured at export."""
    schema: int = SCHEMA

    @property
    def dtype(self) -> str:
        """The type of the graph's pixels, as NumPy names it."""
        return "uint8" if self.io == "pixels" and self.source.bits == self.target.bits == 8 else "float32"

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Spec:
        """Reads what ``to_json`` wrote. Raises ValueError for anything else, a newer schema included."""
        try:
            facts = json.loads(text)
            if facts["schema"] > SCHEMA:
                raise ValueError(
                    f"it was written under schema {facts['schema']}; this i2i reads up to {SCHEMA}: upgrade i2i"
                )
            known = {f.name for f in fields(cls)}
            facts = {key: value for key, value in facts.items() if key in known}
            facts["source"], facts["target"] = Domain(**facts["source"]), Domain(**facts["target"])
            facts["domains"] = tuple(facts.get("domains", ()))
            return cls(**facts)
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"not an i2i description: {error!r}") from error
