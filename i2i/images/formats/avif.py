"""AVIF: headers, metadata and pixels of 8 bits by Pillow, deeper ones by OpenCV."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from typing import Any, BinaryIO

import numpy as np

from i2i.images.codecs import Decoded, nclx_lost, opencv_decode, pillow_decode, pillow_header, pillow_metadata, quiet
from i2i.images.image import Header, Image, Metadata


def _open(file: BinaryIO) -> Any:
    from PIL import AvifImagePlugin

    return AvifImagePlugin.AvifImageFile(file)


def header(file: BinaryIO) -> Header:
    """Read the header. Its ``hint`` is the depth: 8, 10 or 12 bits, which Pillow does not tell."""
    found = pillow_header(_open, file)
    file.seek(0)
    boxes = file.read(1 << 20)
    configuration = re.search(rb"av1C..(.)", boxes, re.DOTALL)
    flags = configuration[1][0] if configuration else 0
    depth = 8 if not flags & 0x40 else 12 if flags & 0x20 else 10  # high_bitdepth, twelve_bit
    return replace(found, bits=8 if depth == 8 else 16, hint=depth, lost=nclx_lost(boxes, found.icc))


def metadata(file: BinaryIO) -> Metadata:
    """Return EXIF and XMP."""
    return pillow_metadata(_open, file)


def decode(data: bytes, header: Header) -> Decoded:
    """Decode the first frame; 10 and 12 bits become 16, from 0 to 65535."""
    if header.bits == 8:
        return pillow_decode(_open, data, header)
    pixels, alpha = opencv_decode(data, header)
    peak = 2**header.hint - 1
    table = ((np.arange(2**header.hint, dtype=np.uint32) * 65535 + peak // 2) // peak).astype(np.uint16)
    return table[pixels], None if alpha is None else table[alpha]


def encode(image: Image, quality: int) -> bytes:
    """Encode the image with its profile and metadata, chroma at full size."""
    import PIL.Image
    from PIL import AvifImagePlugin  # noqa: F401  (registers the encoder)

    pixels = image.pixels if image.alpha is None else np.dstack([image.pixels, image.alpha])
    exif, xmp = (image.metadata.exif, image.metadata.xmp) if image.metadata else (None, None)
    file = io.BytesIO()
    with quiet():
        PIL.Image.fromarray(pixels).save(
            file, "AVIF", quality=quality, subsampling="4:4:4", icc_profile=image.icc, exif=exif or b"", xmp=xmp or b""
        )
    return file.getvalue()
