"""Looking at a result once it is written: what players are told by it, against what was meant."""

from __future__ import annotations

from pathlib import Path

import av

from i2i.runtime.video.frame.colour import FULL, UNSPECIFIED
from i2i.runtime.video.sink.video_file import Film

_NAMES = ("colour matrix", "colour range", "primaries", "transfer")


def lost(path: Path, film: Film) -> list[str]:
    """A sentence for each thing that the container or the codec does not hold, though it was written."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        tags = (context.colorspace, context.color_range, context.color_primaries, context.color_trc)
        found: list[str] = []
        shape = stream.sample_aspect_ratio or 1
        if shape != film.sar:
            found.append(f"pixels {film.sar} as wide as high")
        wanted = (film.tags.matrix, film.tags.range, film.tags.primaries, film.tags.transfer)
        said = [
            name
            for name, tag, want in zip(_NAMES, tags, wanted, strict=True)
            if (FULL in (want, tag) if name == "colour range" else want != UNSPECIFIED) and want != tag
        ]  # an untagged range is limited
        found += [name for name in said if name not in _NAMES[:2] or not film.is_rgb]  # of which RGB has none
        if film.bits < film.reader.clip.bits and film.deep:
            found.append(f"more than {film.bits} of its {film.reader.clip.bits} bits")
        chapters = len(film.copies.chapters) - len(container.chapters())
        if chapters > 0:
            found.append(f"{chapters} chapters")
        have = {key.lower() for key in container.metadata}
        gone = sorted(key for key in film.copies.titles if key.lower() not in have)
        if gone:
            found.append(f"the metadata {', '.join(gone[:8])}{' ...' if len(gone) > 8 else ''}")
    return [f"{film.plan.encoder.name} in {path.suffix} does not hold {what}" for what in found]
