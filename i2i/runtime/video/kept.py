"""Compare a written file with what it was meant to hold, and name what is missing."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from i2i.runtime.video.colour import FULL, HDR, UNSPECIFIED
from i2i.runtime.video.film import Film

_NAMES = ("colour matrix", "colour range", "primaries", "transfer")


@dataclass(frozen=True)
class Held:
    """What a file holds beside its pixels and streams: by default nothing, as an animation does."""

    shape: Fraction = Fraction(1)
    tags: tuple[int, ...] = (UNSPECIFIED, 0, UNSPECIFIED, UNSPECIFIED)  # matrix, range, primaries, transfer
    chapters: int = 0
    metadata: frozenset[str] = frozenset()  # its keys, in lower case
    turn: bool = False  # a tag that says how to turn it
    plays: int = 1

    @classmethod
    def of(cls, path: Path, film: Film) -> Held:
        """Read what a written file holds."""
        if film.plan.encoder.loop is not None:
            return cls(plays=film.reader.clip.plays or 0)
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            context = stream.codec_context
            tags = (context.colorspace, context.color_range, context.color_primaries, context.color_trc)
            metadata = frozenset(key.lower() for key in container.metadata)
            shape = stream.sample_aspect_ratio or Fraction(1)
            return cls(shape, tuple(map(int, tags)), len(container.chapters()), metadata, turn=True)


def lost(path: Path, film: Film) -> list[str]:
    """Return a sentence for each thing that the container or the codec does not hold."""
    held, tags, clip = Held.of(path, film), film.tags, film.reader.clip
    found: list[str] = []
    if held.shape != film.sar:
        found.append(f"pixels {film.sar} as wide as high")
    if film.matrix is not None and not held.turn:
        found.append("the tag that says how to turn its frames")
    if film.plan.encoder.loop is None or tags.transfer in HDR:  # an animation is sRGB, which SDR video nearly is
        wanted = (tags.matrix, tags.range, tags.primaries, tags.transfer)
        for name, tag, want in zip(_NAMES, held.tags, wanted, strict=True):
            said = FULL in (want, tag) if name == "colour range" else want != UNSPECIFIED  # untagged is limited
            if said and want != tag and not (film.is_rgb and name in _NAMES[:2]):  # of which RGB has none
                found.append(name)
    if film.bits < clip.bits and film.deep:
        found.append(f"more than {film.bits} of its {clip.bits} bits")
    if (chapters := len(film.copies.chapters) - held.chapters) > 0:
        found.append(f"{chapters} chapters")
    if gone := sorted(key for key in film.copies.titles if key.lower() not in held.metadata):
        found.append(f"the metadata {', '.join(gone[:8])}{' ...' if len(gone) > 8 else ''}")
    if clip.plays not in (None, held.plays):
        found.append("its loop count")
    return [f"{film.plan.encoder.name} in {path.suffix} does not hold {what}" for what in found]
