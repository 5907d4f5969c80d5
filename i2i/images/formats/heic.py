"""HEIC and HEIF, as phones write them: read by pi-heif, which decodes alone."""

from __future__ import annotations

import io
from typing import Any, BinaryIO

import numpy as np

from i2i.images import resolution
from i2i.images.codecs import Decoded, nclx_lost, split
from i2i.images.image import Header, Metadata, UnsupportedError

_NAMES = {"depth": "depth map", "hdrgainmap": "HDR gain map", "matte": "matte"}


def _open(file: BinaryIO) -> Any:
    import pi_heif

    file.seek(0)
    try:
        found = pi_heif.open_heif(file, convert_hdr_to_8bit=False)
    except RuntimeError as error:
        raise ValueError(str(error)) from error
    return found, found[found.primary_index]


def header(file: BinaryIO) -> Header:
    """Read the header of the primary picture, which libheif turns upright as it decodes: EXIF's orientation repeats it.

    ``lost`` names the depth maps, gain maps and mattes beside it.
    """
    found, image = _open(file)
    mode, _, deep = image.mode.partition(";")
    if mode not in ("L", "LA", "RGB", "RGBA", "I") or deep not in ("", "16"):  # others are multiplied with their alpha
        raise UnsupportedError(f"a HEIC file of mode {image.mode}; convert it to PNG")
    info = image.info
    beside = ["depth map"] if info["depth_images"] else []
    beside += [_name(kind) for kind in info.get("aux", {})]
    width, height = image.size
    file.seek(0)
    tags = nclx_lost(file.read(1 << 20), info.get("icc_profile"))
    return Header(
        width, height, 1 if mode in ("L", "LA", "I") else 3, 16 if deep or mode == "I" else 8, image.has_alpha,
        max(1, len(found)), icc=info.get("icc_profile") or None,
        resolution=resolution.of_exif(info["exif"]) if info.get("exif") else None, lost=(*beside, *tags),
    )  # fmt: skip


def metadata(file: BinaryIO) -> Metadata:
    """Return EXIF and XMP."""
    info = _open(file)[1].info
    exif = info.get("exif")
    return Metadata(exif.removeprefix(b"Exif\0\0") if exif else None, info.get("xmp") or None)


def decode(data: bytes, header: Header) -> Decoded:
    """Decode the primary picture; 10 and 12 bits become 16."""
    _, image = _open(io.BytesIO(data))
    try:
        return split(np.asarray(image), header)
    except RuntimeError as error:
        raise ValueError(str(error)) from error


def _name(kind: str) -> str:
    """Return words for the type of an auxiliary picture, a URN."""
    last = kind.rsplit(":", 1)[-1]
    return next((words for part, words in _NAMES.items() if part in last), f"auxiliary picture ({last})")
