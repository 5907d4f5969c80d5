"""OpenCV, Pillow and libvips as the modules of ``formats`` use them."""

from __future__ import annotations

import functools
import io
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any, BinaryIO

import cv2
import numpy as np

import i2i
from i2i.images import resolution
from i2i.images.exif import orientation_of
from i2i.images.image import Header, Image, Metadata, UnsupportedError
from i2i.images.libvips import vips
from i2i.lost import fewer_bits
from i2i.spec import BANDS
from i2i.text import plural

# OpenCV writes a line to stderr for each file that it cannot decode; here that becomes an ImageError.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


@functools.cache
def versions() -> str:
    """Return the versions of i2i and of the libraries that decode: with others a file may have other pixels."""
    from importlib.metadata import PackageNotFoundError, version  # its import takes longer than to translate an image

    found = [f"i2i {i2i.__version__}", f"OpenCV {cv2.__version__}"]
    for name in ("Pillow", "pi-heif", "pyvips-binary"):
        with suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    return ", ".join(found)


_lock = threading.Lock()  # warnings.catch_warnings changes state of the whole process

Decoded = tuple[np.ndarray, np.ndarray | None]
"""Colours [h, w, 1 | 3], and alpha [h, w] of the same type or None."""


def bands_of(dtype: np.dtype, channels: int) -> str:
    """Return the type of bands that an array of this type becomes, a key of ``spec.BANDS``; empty for a picture.

    Raises UnsupportedError for a type that no image has.
    """
    name = {"float16": "float32", "float64": "float32"}.get(dtype.name, dtype.name)
    if name not in BANDS:
        raise UnsupportedError(
            f"values of {dtype.name}; an image has {', '.join(BANDS)}, float16 or float64: convert it"
        )
    return "" if channels in (1, 3) and name in ("uint8", "uint16") else name


def fewer_bits_of(dtype: np.dtype) -> tuple[str, ...]:
    """Return the name of what is lost where an array of this type becomes bands."""
    return (fewer_bits(32),) if dtype.name == "float64" else ()


@contextmanager
def quiet() -> Iterator[None]:
    """Hold back Pillow's warnings, and turn its error about too large a picture into an UnsupportedError."""
    import PIL.Image

    with _lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except PIL.Image.DecompressionBombError as error:
            count = int(re.search(r"\d+", str(error))[0])  # type: ignore[index]
            limit = 2 * (PIL.Image.MAX_IMAGE_PIXELS or 0)
            raise UnsupportedError(f"{count:,} pixels, more than the limit of {limit:,} for its format") from error


def plugin(module: str, opener: str) -> Callable[[BinaryIO], Any]:
    """Return the function by which a plugin of Pillow opens a file, imported on first use."""
    return lambda file: getattr(import_module(f"PIL.{module}"), opener)(file)


def pillow_header(opener: Callable[[BinaryIO], Any], file: BinaryIO) -> Header:
    """Return the header of a file as Pillow reads it.

    ``opener`` is a ``plugin``. ``Image.open`` would import the plugins of five formats and ask each.
    """
    file.seek(0)
    with quiet():
        image = opener(file)
        frames = getattr(image, "n_frames", 1)
    info, mode = image.info, image.mode
    found, exif = None, info.get("exif")
    if exif:
        found = resolution.of_exif(exif)
    elif "dpi" in info:
        across, down = info["dpi"]
        found = resolution.per_millimetre(across, down, resolution.INCH)
    alpha = mode in ("LA", "PA", "RGBA", "La", "RGBa") or info.get("transparency") is not None
    if mode == "P" and image.palette is not None and image.palette.mode == "RGBA":
        alpha = True
    icc = info.get("icc_profile")
    return Header(
        image.width, image.height, 1 if mode in ("1", "L", "LA", "La", "I;16", "I;16B", "I") else 3, alpha=alpha,
        frames=max(1, frames), orientation=orientation_of(exif, info.get("xmp")), icc=icc or None, resolution=found,
    )  # fmt: skip


def pillow_metadata(opener: Callable[[BinaryIO], Any], file: BinaryIO) -> Metadata:
    """Return EXIF and XMP as Pillow finds them."""
    file.seek(0)
    with quiet():
        info = opener(file).info
    exif, xmp = info.get("exif"), info.get("xmp")
    return Metadata(exif.removeprefix(b"Exif\0\0") if exif else None, xmp or None)


def tags_lost(primaries: int, transfer: int, icc: bytes | None) -> tuple[str, ...]:
    """Return the names of colour tags, numbered as in H.273, that matter and are not read; a profile overrides them."""
    lost = ("HDR transfer",) if transfer in (16, 18) else ()  # PQ, HLG
    return lost + (("primaries",) if primaries not in (0, 1, 2) and icc is None else ())


def nclx_lost(data: bytes, icc: bytes | None) -> tuple[str, ...]:
    """Return the same for the first colour box of an AVIF or HEIC file."""
    found = re.search(rb"colrnclx(..)(..)", data, re.DOTALL)
    return tags_lost(int.from_bytes(found[1], "big"), int.from_bytes(found[2], "big"), icc) if found else ()


def pillow_decode(opener: Callable[[BinaryIO], Any], data: bytes, header: Header) -> Decoded:
    """Decode with Pillow, to 8 bits."""
    mode = ("LA" if header.alpha else "L") if header.channels == 1 else ("RGBA" if header.alpha else "RGB")
    with quiet(), opener(io.BytesIO(data)) as image:
        if image.width * image.height > header.width * header.height:
            raise ValueError("it is larger than its header says")
        array = np.asarray(image.convert(mode))
    return split(array, header)


def split(array: np.ndarray, header: Header) -> Decoded:
    """Return colours and alpha, which is the last channel, as arrays of their own."""
    if array.ndim == 2:
        array = array[..., None]
    if array.shape[2] != header.channels + header.alpha:
        raise ValueError(f"{plural(array.shape[2], 'channel')} instead of {header.channels + header.alpha}")
    return array[..., : header.channels].copy(), array[..., -1].copy() if header.alpha else None


def opencv_decode(data: bytes, header: Header, reduction: int = 1) -> Decoded:
    """Decode with OpenCV, to the bits of the header; with a ``reduction`` of 2, 4 or 8 to a fraction of its sides."""
    if reduction > 1:
        reduced = getattr(cv2, f"IMREAD_REDUCED_GRAYSCALE_{reduction}")
        mode = cv2.IMREAD_GRAYSCALE if header.channels == 1 else cv2.IMREAD_COLOR_RGB
        flags = mode | reduced | cv2.IMREAD_IGNORE_ORIENTATION
    elif header.channels == 1 and not header.alpha:
        flags = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    elif header.bits == 16 or header.alpha:  # IMREAD_COLOR garbles tiled TIFFs of 16 bits (OpenCV 5.0)
        flags = cv2.IMREAD_UNCHANGED
    else:
        flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if pixels is None:
        raise ValueError("it is corrupt or truncated")
    if pixels.dtype != (np.uint16 if header.bits == 16 else np.uint8):
        raise ValueError(f"the header says {header.bits} bits, the data {pixels.dtype}")
    if pixels.ndim == 2:
        return pixels[..., None], None
    if flags != cv2.IMREAD_UNCHANGED:
        return pixels, None
    if pixels.shape[2] != 4 and header.alpha:
        raise ValueError("the header speaks of alpha and the data holds none")
    if pixels.shape[2] == 4 and not header.alpha:
        raise ValueError("it holds a fourth channel that is not alpha")
    colours = cv2.cvtColor(pixels[..., :3], cv2.COLOR_BGR2RGB) if header.channels == 3 else pixels[..., :1].copy()
    return colours, pixels[..., 3].copy() if header.alpha else None


def opencv_encode(image: Image, suffix: str, options: list[int] | None = None) -> bytes:
    """Encode the pixels with OpenCV: grey, RGB or RGBA."""
    pixels = image.pixels
    if image.alpha is not None:
        pixels = cv2.cvtColor(np.dstack([pixels, image.alpha]), cv2.COLOR_RGBA2BGRA)
    elif pixels.shape[2] == 3:
        pixels = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(suffix, pixels, options or [])
    if not done:
        raise cv2.error(f"OpenCV cannot encode {pixels.shape[1]} x {pixels.shape[0]} pixels; choose PNG or TIFF")
    return data.tobytes()


def vips_decode(loader: str, data: bytes, **options: Any) -> np.ndarray:
    """Decode with libvips; [h, w] or [h, w, c]."""
    library = vips()
    try:
        return getattr(library.Image, loader)(data, fail_on="error", **options).numpy()
    except library.Error as error:
        raise ValueError(str(error)) from error
