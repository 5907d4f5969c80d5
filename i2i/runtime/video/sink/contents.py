"""Contents of the source that the result lacks: both are described by the same fields and compared."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from i2i.lost import Lost, fewer_bits
from i2i.runtime.video.frame.colour import FULL, HDR, UNSPECIFIED
from i2i.runtime.video.sink.stream_copy import holds_chapters, holds_timecode, tags_of
from i2i.text import plural


@dataclass(frozen=True)
class Contents:
    """Contents of a video other than its pictures; by default none, as in a folder of images.

    Attributes:
        bits: of a sample.
        shape: width of a pixel over its height.
        matrix, range, primaries, transfer: colour tags, as H.273 numbers them.
        turned: True if a tag says how to turn its frames.
        plays: how often it is shown, 0 for without end.
        streams: kinds of the streams beside the pictures.
        metadata: keys of titles and the like.
        unread: names of contents that are not read.
        lossless: True if its codec never changes a pixel.
    """

    bits: int = 8
    shape: Fraction = Fraction(1)
    matrix: int = UNSPECIFIED
    range: int = 0
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    turned: bool = False
    plays: int = 1
    chapters: int = 0
    streams: frozenset[str] = frozenset()
    metadata: frozenset[str] = frozenset()
    unread: tuple[str, ...] = ()
    lossless: bool = False


def of_source(reader: Any) -> Contents:
    """Return what the result of an open source should hold; colour tags only of HDR, which no player guesses."""
    clip = reader.clip
    hdr = clip.colour.transfer in HDR
    chapters = reader.container.chapters()
    others = [each for each in reader.others if not (holds_chapters(each, chapters) or holds_timecode(each))]
    return Contents(
        bits=clip.bits,
        shape=reader.sar,
        primaries=clip.colour.primaries if hdr else UNSPECIFIED,
        transfer=clip.colour.transfer if hdr else UNSPECIFIED,
        turned=clip.matrix is not None and (clip.turn is None or reader.options.rotation == "keep"),
        lossless=clip.lossless or (not reader.live and is_lossless(clip.codec)),
        plays=1 if clip.plays is None else clip.plays,
        chapters=len(chapters),
        streams=frozenset(stream.type for stream in others),
        metadata=frozenset(tags_of(reader.container.metadata)),
        unread=clip.lost,
    )


def is_lossless(codec: str) -> bool:
    """True for a codec, by the name of its decoder or encoder, that has no lossy mode."""
    for mode in ("r", "w"):
        with suppress(ValueError):  # PyAV's error for an unknown name is one
            found = av.Codec(codec, mode)
            return found.lossless and not found.lossy
    return False


def of_file(path: Path, bits: int, turned: bool) -> Contents:
    """Return what a written video holds; of its streams, which are copied, and of a turn nothing is read."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        return Contents(
            bits,
            stream.sample_aspect_ratio or Fraction(1),
            int(context.colorspace),
            int(context.color_range),
            int(context.color_primaries),
            int(context.color_trc),
            turned,
            chapters=len(container.chapters()),
            metadata=frozenset(container.metadata),
            unread=("stereo layout",) if "stereo_mode" in stream.metadata else (),
        )


def lost(holder: str, wanted: Contents, held: Contents) -> Lost:
    """Return what a result lacks that is a ``holder``."""
    found = [each for each in wanted.unread if each not in held.unread]
    found += sorted("further video" if kind == "video" else kind for kind in wanted.streams - held.streams)
    if wanted.bits > held.bits:
        found.append(fewer_bits(held.bits))
    if wanted.shape != held.shape:
        found.append(f"pixels {wanted.shape} as wide as high")
    transfer = "HDR transfer" if wanted.transfer in HDR else "transfer"
    tags = ("matrix", "colour matrix"), ("primaries", "primaries"), ("transfer", transfer)
    found += [words for tag, words in tags if getattr(wanted, tag) not in (UNSPECIFIED, getattr(held, tag))]
    if (wanted.range == FULL) != (held.range == FULL):  # what is not tagged is limited
        found.append("colour range")
    if wanted.turned and not held.turned:
        found.append("rotation tag")
    if wanted.lossless and not held.lossless:
        found.append("losslessness")
    if wanted.plays not in (1, held.plays):
        found.append("loop count")
    if (chapters := wanted.chapters - held.chapters) > 0:
        found.append(plural(chapters, "chapter"))
    keys = {key.lower() for key in held.metadata}
    if gone := sorted(key for key in wanted.metadata if key.lower() not in keys):
        found.append(f"metadata {', '.join(gone[:8])}{' ...' if len(gone) > 8 else ''}")
    return Lost.of(found, holder)
