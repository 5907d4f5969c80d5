"""TIFF: headers by our own reader of tags, pixels by the library that reads the kind at hand right: OpenCV, Pillow or
libvips for pictures, libvips or tifffile for bands.

Pillow is not used for the header: it knows no colours of 16 bits in planes, no grey with alpha in 16 bits, and takes a
file of unknown kind for none at all, where one sentence can name what is unusual about it.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from functools import partial
from typing import BinaryIO

import numpy as np

from i2i.images import resolution, tags
from i2i.images.codecs import (
    Decoded,
    bands_of,
    fewer_bits_of,
    opencv_decode,
    opencv_encode,
    pillow_decode,
    plugin,
    split,
    vips_decode,
)  # fmt: skip
from i2i.images.exif import EXIF_TAG, GPS_TAG, XMP_TAG
from i2i.images.image import Header, Image, Metadata, UnsupportedError
from i2i.spec import BANDS
from i2i.text import plural

_open = plugin("TiffImagePlugin", "TiffImageFile")

_WANTED = (
    tags.WIDTH, tags.HEIGHT, tags.BITS, tags.COMPRESSION, tags.PHOTOMETRIC, tags.ORIENTATION, tags.SAMPLES,
    tags.PLANES, tags.EXTRA_SAMPLES, tags.SAMPLE_FORMAT, tags.ICC, tags.TILE_WIDTH, tags.TILE_HEIGHT,
    tags.TILE_OFFSETS, tags.TILE_BYTES, resolution.X, resolution.Y, resolution.UNIT, tags.NO_DATA,
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
_FORMS = {1: "", 2: "signed ", 3: "floating-point "}
"""Values of SAMPLE_FORMAT in words."""
_CLASSIC, _WORST = 2**32, 1.5
"""Bytes that a TIFF holds unless it is a BigTIFF, and how much LZW may add to noise."""


def header(file: BinaryIO) -> Header:
    """Read the header. Its ``hint`` is the function that decodes this kind."""
    directory = tags.read_directory(file, _WANTED)
    _check_tiles(directory, file.seek(0, io.SEEK_END))
    number = directory.number
    photometric, samples = number(tags.PHOTOMETRIC, 1), number(tags.SAMPLES, 1)
    if photometric not in _COLOURS:
        raise UnsupportedError(f"a TIFF of photometric interpretation {photometric}; convert it to RGB")
    if _has_bands(directory, photometric, samples):
        return _bands_header(directory, samples)
    bits = _bits(number(tags.BITS, 1), number(tags.SAMPLE_FORMAT, 1))
    alpha, planes = samples > _COLOURS[photometric], samples > 1 and number(tags.PLANES, 1) == 2
    decoder = _decoder(directory, bits, photometric, alpha, planes)
    orientation = number(tags.ORIENTATION, 1)
    icc = directory.tags.get(tags.ICC)
    return Header(
        number(tags.WIDTH, 0), number(tags.HEIGHT, 0), 1 if photometric in (0, 1) else 3, 16 if bits == 16 else 8,
        alpha, directory.pages, orientation if 1 <= orientation <= 8 else 1, icc if isinstance(icc, bytes) else None,
        resolution.of_tiff(directory), lost=_INKS.get(photometric, ()), hint=decoder,
    )  # fmt: skip


def _check_tiles(directory: tags.Directory, end: int) -> None:
    """Raise ValueError for a file that ends within its tiles, of which libvips reads the others."""
    at, sizes = (directory.tags.get(tag, ()) for tag in (tags.TILE_OFFSETS, tags.TILE_BYTES))
    if any(size and start + size > end for start, size in zip(at, sizes, strict=False)):
        raise ValueError("it is truncated: some of its tiles would lie behind the end of the file")


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
    """Encode the image with its profile, resolution and XMP; bands uncompressed, value by value."""
    data, entries = (_encode_bands(image.pixels) if image.bands else opencv_encode(image, ".tif")), []
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
    if header.bands:
        return False
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
    if form not in (1, 4) or bits not in (1, 2, 4, 8, 16):
        raise UnsupportedError(f"a TIFF of {bits}-bit {_FORMS.get(form, 'other ')}samples; convert it to float32")
    return bits


def _has_bands(directory: tags.Directory, photometric: int, samples: int) -> bool:
    """True if the samples are not colours with at most one alpha: further channels, signed or floating-point ones.

    A sample whose kind is stated as unspecified is no alpha: it may be a mask or another band of a spectrum. Without
    the tag, a fourth sample of RGB is taken for alpha, since OpenCV and others write it so.

    Raises UnsupportedError for bands beside a palette or inks.
    """
    colours, extra = _COLOURS[photometric], directory.tags.get(tags.EXTRA_SAMPLES)
    if samples < colours:
        raise ValueError(f"{plural(samples, 'channel')} where its colours have {colours}")
    marked = (colours == 3 and extra is None) or (isinstance(extra, tuple) and extra[:1] in ((1,), (2,)))
    plain = samples == colours or (samples == colours + 1 and colours < 4 and marked)
    if plain and directory.number(tags.SAMPLE_FORMAT, 1) in (1, 4):
        return False
    if photometric not in (1, 2):
        raise UnsupportedError(
            f"a TIFF of {plural(samples, 'channel')}, of which {colours} are a palette, inks or inverted; save it as "
            "bands whose photometric interpretation is MinIsBlack"
        )
    return True


def _bands_header(directory: tags.Directory, samples: int) -> Header:
    """Return the header of a TIFF of bands, which has neither alpha nor a profile. Three of uint8 or uint16 are RGB."""
    number = directory.number
    bits, form = number(tags.BITS, 1), number(tags.SAMPLE_FORMAT, 1)
    try:
        dtype = np.dtype(f"{'uif'[form - 1]}{bits // 8}")
    except (IndexError, TypeError) as error:
        raise UnsupportedError(
            f"a TIFF of {bits}-bit {_FORMS.get(form, 'other ')}samples; convert it to float32"
        ) from error
    bands, orientation = bands_of(dtype, samples), number(tags.ORIENTATION, 1)
    # libvips garbles samples that are stored plane by plane, and reads no float64 and no file without its photometric
    # interpretation.
    planes = samples > 1 and number(tags.PLANES, 1) == 2
    able = dtype.name in BANDS and tags.PHOTOMETRIC in directory.tags and not planes
    decoder = _vips_bands if able else _tifffile_bands
    missing = directory.tags.get(tags.NO_DATA)
    if not able and orientation != 1:
        raise UnsupportedError("a turned TIFF of float64, or of bands in planes; save it upright")
    return Header(
        number(tags.WIDTH, 0), number(tags.HEIGHT, 0), samples, BANDS[bands or dtype.name], frames=directory.pages,
        orientation=orientation, resolution=resolution.of_tiff(directory), lost=fewer_bits_of(dtype), bands=bands,
        hint=partial(_bands, decoder, float(missing.strip(b"\0 ")) if isinstance(missing, bytes) else None),
    )  # fmt: skip


def _bands(read: Callable[[bytes], np.ndarray], missing: float | None, data: bytes, header: Header) -> Decoded:
    """Return bands as [h, w, c] of the type that the header states; ``missing`` marks values that are none."""
    array = read(data)
    if array.size != header.height * header.width * header.channels:
        raise ValueError(f"it has {plural(array.size, 'value')}, and its header says otherwise")
    if missing is not None and (count := int((array == array.dtype.type(missing)).sum())):
        raise UnsupportedError(
            f"{count} of {plural(array.size, 'value')} are {missing:g}, which marks missing ones (GDAL_NODATA); fill "
            "them, with the mean for example"
        )
    with np.errstate(over="ignore"):  # what does not fit becomes infinite, which is reported
        pixels = np.ascontiguousarray(array, header.bands or f"uint{header.bits}")
    return pixels.reshape(-1, header.width, header.channels), None


def _vips_bands(data: bytes) -> np.ndarray:
    return vips_decode("tiffload_buffer", data, autorotate=True)


def _tifffile_bands(data: bytes) -> np.ndarray:
    import tifffile  # few images need it

    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page = file.pages[0]
            array = page.asarray()
            planes = page.axes.startswith("S")
    except ValueError as error:
        if "imagecodecs" in str(error):
            how = tifffile.COMPRESSION(page.compression).name
            raise UnsupportedError(
                f"a TIFF of float64, or of bands in planes, compressed by {how}; `pip install imagecodecs` reads it"
            ) from error
        raise
    return np.moveaxis(array, 0, -1) if planes else array


def _encode_bands(pixels: np.ndarray) -> bytes:
    import tifffile

    buffer, several = io.BytesIO(), pixels.shape[2] > 1
    tifffile.imwrite(
        buffer, pixels if several else pixels[..., 0], byteorder="<", photometric="minisblack", metadata=None,
        software=False, planarconfig="contig" if several else None,
    )  # fmt: skip
    return buffer.getvalue()


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
        return partial(pillow_decode, _open)
    return opencv_decode


def _vips(data: bytes, header: Header) -> Decoded:
    return split(vips_decode("tiffload_buffer", data, autorotate=True), header)
