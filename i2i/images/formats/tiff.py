"""TIFF: headers by our own reader of tags, pixels by OpenCV, Pillow or libvips, whichever reads the kind at hand right.

Pillow is not used for the header: it knows no colours of 16 bits in planes, no grey with alpha in 16 bits, and takes a
file of unknown kind for none at all, where one sentence can name what is unusual about it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, BinaryIO

from i2i.images import resolution, tags
from i2i.images.codecs import Decoded, opencv_decode, opencv_encode, pillow_decode, split, vips_decode
from i2i.images.exif import EXIF_TAG, GPS_TAG, XMP_TAG
from i2i.images.image import Header, Image, Metadata, UnsupportedError
from i2i.text import plural

_WANTED = (
    tags.WIDTH, tags.HEIGHT, tags.BITS, tags.COMPRESSION, tags.PHOTOMETRIC, tags.ORIENTATION, tags.SAMPLES,
    tags.PLANES, tags.EXTRA_SAMPLES, tags.SAMPLE_FORMAT, tags.ICC, tags.TILE_WIDTH, tags.TILE_HEIGHT,
    resolution.X, resolution.Y, resolution.UNIT,
)  # fmt: skip
_COLOURS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3}
"""Photometric interpretation -> samples of colour: grey either way, RGB, a palette, CMYK, YCbCr, Lab."""
_INKS = {5: ("CMYK",), 8: ("Lab",)}
"""Photometric interpretation -> the name of a colour space that becomes RGB."""
_PREMULTIPLIED, _STRAIGHT = 1, 2
"""Values of EXTRA_SAMPLES that mean alpha."""
_UNREAD = {
    EXIF_TAG: "EXIF", GPS_TAG: "EXIF", 33723: "IPTC", 34377: "data of Photoshop",
    33550: "GeoTIFF tags", 33922: "GeoTIFF tags", 34264: "GeoTIFF tags", 34735: "GeoTIFF tags",
    270: "text ImageDescription", 315: "text Artist", 33432: "text Copyright",
}  # fmt: skip
"""Tags of metadata that are not carried over -> their names."""
_CLASSIC, _WORST = 2**32, 1.5
"""Bytes that a TIFF holds unless it is a BigTIFF, and how much LZW may add to noise."""


def header(file: BinaryIO) -> Header:
    """Read the header. Its ``hint`` is the function that decodes this kind."""
    directory = tags.read_directory(file, _WANTED)
    number = directory.number
    photometric, samples = number(tags.PHOTOMETRIC, 1), number(tags.SAMPLES, 1)
    bits = _bits(number(tags.BITS, 1), number(tags.SAMPLE_FORMAT, 1))
    if photometric not in _COLOURS:
        raise UnsupportedError(f"a TIFF of photometric interpretation {photometric}; convert it to RGB")
    _refuse_channels(samples, _COLOURS[photometric], directory.tags.get(tags.EXTRA_SAMPLES))
    alpha, planes = samples > _COLOURS[photometric], samples > 1 and number(tags.PLANES, 1) == 2
    decoder = _decoder(directory, bits, photometric, alpha, planes)
    orientation = number(tags.ORIENTATION, 1)
    icc = directory.tags.get(tags.ICC)
    return Header(
        number(tags.WIDTH, 0), number(tags.HEIGHT, 0), 1 if photometric in (0, 1) else 3, 16 if bits == 16 else 8,
        alpha, directory.pages, orientation if 1 <= orientation <= 8 else 1, icc if isinstance(icc, bytes) else None,
        resolution.of_tiff(directory), lost=_INKS.get(photometric, ()), hint=decoder,
    )  # fmt: skip


def metadata(file: BinaryIO) -> Metadata:
    """Return XMP; EXIF, which is another directory of the file, and other tags are only named."""
    entries = tags.read_directory(file, (XMP_TAG, *_UNREAD)).tags
    xmp = entries.get(XMP_TAG)
    unread = dict.fromkeys(name for tag, name in _UNREAD.items() if tag in entries)
    return Metadata(None, xmp if isinstance(xmp, bytes) else None, tuple(unread))


def decode(data: bytes, header: Header) -> Decoded:
    """Decode the first page, upright: all three decoders turn it."""
    return header.hint(data, header)


def encode(image: Image, quality: int) -> bytes:
    """Encode the image with its profile, resolution and XMP."""
    data, entries = opencv_encode(image, ".tif"), []
    if image.alpha is not None:
        entries.append((tags.EXTRA_SAMPLES, 3, 1, struct.pack("<H", _STRAIGHT)))  # OpenCV leaves the tag out
    known = resolution.writable(image.resolution)
    if known is not None:
        for tag, fraction in zip((resolution.X, resolution.Y), resolution.per_inch(known), strict=True):
            entries.append((tag, 5, 1, struct.pack("<II", *fraction)))
        entries.append((resolution.UNIT, 3, 1, struct.pack("<H", 2)))
    if image.icc:
        entries.append((tags.ICC, 7, len(image.icc), image.icc))
    xmp = image.metadata and image.metadata.xmp
    if xmp:
        entries.append((XMP_TAG, 1, len(xmp), xmp))
    return tags.with_tags(data, entries) if entries else data


def stripwise(file: BinaryIO, header: Header) -> bool:
    """True unless libvips is known to read the file differently, or finds only as it reads that it cannot."""
    wanted = (tags.EXTRA_SAMPLES, tags.PHOTOMETRIC, tags.PLANES, tags.TILE_WIDTH)
    directory = tags.read_directory(file, wanted)
    tiled_planes = directory.number(tags.PLANES, 1) == 2 and tags.TILE_WIDTH in directory.tags
    straight = not header.alpha or directory.number(tags.EXTRA_SAMPLES, 0) == _STRAIGHT
    return directory.number(tags.PHOTOMETRIC, 1) in (0, 1, 2, 3, 6) and straight and not tiled_planes


def strip_options(size: int, quality: int, coding: str) -> dict[str, object]:
    """Return options of libvips for a file of ``size`` bytes before compression."""
    return {"bigtiff": size * _WORST > _CLASSIC}


def drop_unit(file: BinaryIO) -> None:
    """Make the resolution, which libvips always writes, state no unit."""
    tags.set_short(file, 0, resolution.UNIT, 1)


def _bits(bits: int, form: int) -> int:
    if form == 3:
        raise UnsupportedError(
            f"a floating-point TIFF ({bits} bits); images here are integers: convert it to 8 or 16 bits"
        )
    if form not in (1, 4) or bits not in (1, 2, 4, 8, 16):
        raise UnsupportedError(f"a TIFF of {bits}-bit {'signed ' * (form == 2)}samples; convert it to 8 or 16 bits")
    return bits


def _refuse_channels(samples: int, colours: int, extra: tuple[int, ...] | bytes | None) -> None:
    """Raise UnsupportedError unless the samples are colours, or colours and one alpha.

    A sample whose kind is stated as unspecified is no alpha: it may be a mask or another band of a spectrum. Without
    the tag, a fourth sample of RGB is taken for alpha, since OpenCV and others write it so.
    """
    if samples == colours:
        return
    if samples < colours:
        raise ValueError(f"{plural(samples, 'channel')} where its colours have {colours}")
    alpha = (colours == 3 and extra is None) or (isinstance(extra, tuple) and extra[:1] in ((1,), (2,)))
    if samples == colours + 1 and colours < 4 and alpha:
        return
    meant = {1: "grey", 3: "RGB", 4: "CMYK"}[colours]
    more = f"{samples - colours} more" if samples > colours + 1 or colours == 4 else "one that is not marked as alpha"
    raise UnsupportedError(
        f"a TIFF of {samples} channels, {meant} and {more}; an image has grey or RGB, with one alpha channel or none: "
        "save the channels that matter as one of these"
    )


def _decoder(
    directory: tags.Directory, bits: int, photometric: int, alpha: bool, planes: bool
) -> Callable[[bytes, Header], Decoded]:
    """Choose the library that reads this kind right; UnsupportedError if none does."""
    number, colours = directory.number, _COLOURS[photometric]
    if (bits == 16 and photometric == 8) or (alpha and colours == 1 and (bits == 16 or planes or photometric == 0)):
        raise UnsupportedError(
            "a TIFF of Lab in 16 bits, or of grey with alpha in 16 bits, in planes or with a white of 0, which no "
            "decoder here reads; convert it to PNG"
        )
    # OpenCV garbles colours that are stored plane by plane in 16 bits, takes a white of 0 for black there, and leaves
    # colours multiplied with their alpha.
    multiplied = alpha and photometric == 2 and number(tags.EXTRA_SAMPLES, 0) == _PREMULTIPLIED
    if bits == 16 and (planes or photometric == 0 or multiplied):
        if planes and photometric != 2:
            raise UnsupportedError("a 16-bit TIFF of planes that are not red, green and blue; convert it to RGB")
        if planes and tags.TILE_WIDTH in directory.tags:
            raise UnsupportedError(
                "a 16-bit TIFF in tiles plane by plane, which no decoder here reads; convert it to PNG"
            )
        return _vips
    # OpenCV returns RGBA of 8 bits premultiplied, drops the alpha of grey, has a Lab of its own, no 2 and 4 bits, and
    # in 8 bits no tiles of less than 32 pixels.
    small = min(number(tags.TILE_WIDTH, 32), number(tags.TILE_HEIGHT, 32)) < 32
    if photometric == 8 or bits in (2, 4) or (bits < 16 and (alpha or small)):
        return _pillow
    return opencv_decode


def _open(file: BinaryIO) -> Any:
    from PIL import TiffImagePlugin

    return TiffImagePlugin.TiffImageFile(file)


def _pillow(data: bytes, header: Header) -> Decoded:
    return pillow_decode(_open, data, header)


def _vips(data: bytes, header: Header) -> Decoded:
    return split(vips_decode("tiffload_buffer", data, autorotate=True), header)
