"""Bytes to pixels, once the header has been found acceptable."""

from __future__ import annotations

import io
import os
import threading
import warnings

import cv2
import numpy as np

from i2i.images.header import MAX_PIXELS, open_regular, parse_header
from i2i.images.image import Header, Image, ImageError
from i2i.images.metadata import read_metadata
from i2i.text import plural

# OpenCV writes a line to stderr for each file that it cannot decode; here that becomes an ImageError.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

_PILLOW_FORMATS = ("GIF", "ICO", "PNG", "BMP", "DIB", "TIFF", "JPEG2000", "PPM")
_pillow_lock = threading.Lock()  # warnings.catch_warnings changes state of the whole process


def read_image(path: str | os.PathLike[str], max_pixels: int = MAX_PIXELS, metadata: bool = False) -> Image:
    """Raises ImageError where the file cannot be opened, is no image of a known format, is too large or damaged."""
    try:
        with open_regular(path) as file:
            data = file.read()
    except OSError as error:
        raise ImageError(path, error.strerror or str(error)) from error
    return decode_image(data, path, max_pixels, metadata)


def decode_image(
    data: bytes, name: str | os.PathLike[str] = "<bytes>", max_pixels: int = MAX_PIXELS, metadata: bool = False
) -> Image:
    """The image in the bytes of a file; ``name`` is for the error. Truncated and damaged data raise ImageError.

    With ``metadata`` EXIF and XMP come too, and are written with the image.
    """
    header = parse_header(io.BytesIO(data), name, max_pixels)
    try:
        if header.format == "JPEG" and data.rfind(b"\xff\xd9", data.find(b"\xff\xda")) < 0:
            raise ValueError("it is truncated (no end-of-image marker)")  # OpenCV's message would not say so
        pixels, alpha = {"cv2": _cv2, "pillow": _pillow, "vips": _vips, "pnm": _pnm}[header.decoder](data, header)
    except ImageError:
        raise
    except (ValueError, cv2.error, OSError, SyntaxError, EOFError, IndexError, KeyError, TypeError, OverflowError,
            ZeroDivisionError, AttributeError, MemoryError) as error:  # fmt: skip
        # Decoders raise anything on damaged data; a programming error would show in the tests of good files.
        reason = str(error).strip().splitlines()
        raise ImageError(name, f"damaged {header.format} data: {reason[-1] if reason else repr(error)}") from error
    if header.format != "TIFF":  # whose decoders have turned it already
        pixels = _upright(pixels, header.orientation)
        alpha = None if alpha is None else _upright(alpha, header.orientation)
    if pixels.shape[:2] != (header.height, header.width):
        raise ImageError(
            name,
            f"damaged {header.format} data: the header says {header.width} x {header.height}, "
            f"the data {pixels.shape[1]} x {pixels.shape[0]}",
        )
    found = read_metadata(io.BytesIO(data), header.format) if metadata else None
    return Image(pixels, alpha, header.icc, header.format, header.frames, found, header.resolution)


def _cv2(data: bytes, header: Header) -> tuple[np.ndarray, np.ndarray | None]:
    if header.channels == 1 and not (header.alpha and header.key is None):
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
        alpha = None if header.key is None else np.where(pixels == header.key, 0, 2**header.bits - 1)
        return pixels[..., None], None if alpha is None else alpha.astype(pixels.dtype)
    if flags != cv2.IMREAD_UNCHANGED:
        return pixels, None
    if pixels.shape[2] != 4 and header.alpha:
        raise ValueError("the header speaks of alpha and the data holds none")
    if pixels.shape[2] == 4 and not header.alpha:
        raise ValueError("it holds a fourth channel that is not alpha")
    colours = cv2.cvtColor(pixels[..., :3], cv2.COLOR_BGR2RGB) if header.channels == 3 else pixels[..., :1].copy()
    return colours, pixels[..., 3].copy() if header.alpha else None


def _pillow(data: bytes, header: Header) -> tuple[np.ndarray, np.ndarray | None]:
    """What OpenCV cannot read, or reads otherwise than it was meant; 8 bits only."""
    import PIL.Image  # seldom needed, and slow to import

    mode = ("LA" if header.alpha else "L") if header.channels == 1 else ("RGBA" if header.alpha else "RGB")
    with _pillow_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with PIL.Image.open(io.BytesIO(data), formats=_PILLOW_FORMATS) as image:
                if image.width * image.height > header.width * header.height:
                    raise ValueError("it is larger than its header says")
                array = np.asarray(image.convert(mode))
        except PIL.Image.DecompressionBombError as error:
            raise ValueError(str(error)) from error
    if array.ndim == 2:
        array = array[..., None]
    if not header.alpha:
        return array.copy(), None
    return array[..., :-1].copy(), array[..., -1].copy()


def _vips(data: bytes, header: Header) -> tuple[np.ndarray, np.ndarray | None]:
    """What neither reads as it was meant."""
    from i2i.images.large.reader import vips  # which few images need

    library = vips()
    try:
        array = library.Image.tiffload_buffer(data, autorotate=True, fail_on="error").numpy()
    except library.Error as error:
        raise ValueError(str(error)) from error
    if array.ndim == 2:
        array = array[..., None]
    return array[..., : header.channels].copy(), array[..., -1].copy() if header.alpha else None


def _pnm(data: bytes, header: Header) -> tuple[np.ndarray, np.ndarray | None]:
    """Plain and binary PBM, PGM and PPM, scaled so that their largest value is that of 8 or 16 bits."""
    kind, count = data[1] - ord("0"), header.width * header.height * header.channels
    if kind == 4:
        row = -(-header.width // 8)
        packed = np.frombuffer(data, np.uint8, row * header.height, header.start).reshape(header.height, row)
        values = 1 - np.unpackbits(packed, axis=1)[:, : header.width]
    elif kind == 1:
        digits = np.frombuffer(data, np.uint8, offset=header.start)
        values = ord("1") - digits[(digits == ord("0")) | (digits == ord("1"))][:count]
    elif kind in (2, 3):
        values = np.array(data[header.start :].split(None, count)[:count], np.int64)
    else:
        values = np.frombuffer(data, ">u2" if header.peak > 255 else "u1", count, header.start)
    if values.size != count:
        raise ValueError(f"it is truncated ({values.size} of {plural(count, 'value')})")
    if values.size and (int(values.max()) > header.peak or int(values.min()) < 0):
        raise ValueError(f"a value is larger than the {header.peak} of its header")
    peak = 2**header.bits - 1
    if header.peak != peak:
        values = (values.astype(np.uint32) * peak + header.peak // 2) // header.peak
    pixels = values.astype(np.uint16 if header.bits == 16 else np.uint8)
    return pixels.reshape(header.height, header.width, header.channels), None


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    if orientation == 1:
        return pixels
    if orientation >= 5:  # 5: transposed; 6, 7, 8: and then turned over
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
