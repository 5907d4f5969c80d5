"""One image through a model, from bytes to bytes, by the functions that a folder job uses."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TypeVar

import numpy as np

from i2i.images import IMAGE_SUFFIXES, WRITABLE, ImageError, decode_image, encode_image, losses
from i2i.images.formats.table import FORMATS
from i2i.images.header import parse_header
from i2i.lost import Lost
from i2i.runtime import processing
from i2i.runtime.jobs import image_file, masks
from i2i.runtime.jobs.options import Options
from i2i.runtime.jobs.oversized import decoded_bytes
from i2i.runtime.memory.memory_limit import MemoryLimit
from i2i.runtime.model.model import Model
from i2i.serving.problems import ProblemError, of_image, of_request
from i2i.serving.work.ticket import AbandonedError, Ticket

UNNAMED = "image"
"""Name, in errors, of an image that was sent without one."""

Value = TypeVar("Value")
Choose = Callable[[str], str | None]
"""Returns the format of the result by that of the source; None for that of the source."""


@dataclass(frozen=True)
class ImageRequest:
    """An image to translate.

    Attributes:
        name: file name that the client gave, or UNNAMED: for errors and the name of the result. It is never opened.
        choose: chooses the format of the result if ``options`` does not.
        mask: file name and bytes of the mask by which the result is pasted into the image.
    """

    data: bytes
    name: str
    options: Options
    choose: Choose
    mask: tuple[str, bytes] | None = None


@dataclass(frozen=True)
class Translated:
    """Bytes of a result, their format, the name of a file of it, and what it lacks of its source."""

    data: bytes
    format: str
    name: str
    lost: Lost


def translate(
    request: ImageRequest,
    model: Model,
    infer: Callable[[np.ndarray], np.ndarray],
    decoded: MemoryLimit,
    ticket: Ticket,
) -> Translated:
    """Decode, translate and encode, as ``i2i translate`` does.

    Args:
        model: bound to a domain and a style.
        infer: runs the model's graph on one image.
        decoded: limit on the bytes of decoded images.

    Raises ProblemError for an image that cannot be translated, and AbandonedError.
    """
    options, name = request.options, request.name
    try:
        header = parse_header(io.BytesIO(request.data), name, options.max_pixels)
        format = _format(request, header.format)
        more = 0 if request.mask is None else _of_mask(request, _decoded_bytes)
        with decoded.hold(decoded_bytes(header) * model.spec.scale**2 + more):
            with ticket.stage("decode"):
                image = decode_image(request.data, name, options.max_pixels, options.keep_metadata, header=header)
                mask = request.mask and masks.Mask(_of_mask(request, decode_image), request.mask[0])
            with ticket.stage("infer"):
                result = image_file.translate(image, model, options, infer, format, mask=mask)
            with ticket.stage("encode"):
                data = encode_image(result, format, options.quality, name)
                return Translated(data, format, result_name(name, format), Lost.of(losses(result, format), format))
    except (AbandonedError, ProblemError):
        raise
    except Exception as error:
        problem = of_image(error, request.data, name, options.max_pixels)
        raise problem from error


def styled(model: Model, name: str, data: bytes, max_pixels: int, decoded: MemoryLimit) -> Model:
    """Return the model bound to the style of an example image, by the style encoder.

    Raises ProblemError: as for an image, and 400 for a model whose style encoder is missing.
    """
    try:
        with decoded.hold(_decoded_bytes(data, name, max_pixels)):
            image = decode_image(data, name, max_pixels)
            return model.styled(processing.from_images([image], image.pixels))
    except (ImageError, MemoryError) as error:
        raise of_image(error, data, name, max_pixels) from error
    except ValueError as error:
        raise of_request(error) from error


def _of_mask(request: ImageRequest, read: Callable[[bytes, str, int], Value]) -> Value:
    """Return what ``read`` makes of bytes, name and limit of the mask. Raises ProblemError if it cannot be read."""
    assert request.mask is not None
    (name, data), most = request.mask, request.options.max_pixels
    try:
        return read(data, name, most)
    except ImageError as error:
        raise of_image(error, data, name, most) from error


def _decoded_bytes(data: bytes, name: str, most: int) -> int:
    return decoded_bytes(parse_header(io.BytesIO(data), name, most))


def _format(request: ImageRequest, source: str) -> str:
    """Return the format of the result: as asked for, else that of the source, else PNG."""
    asked = request.options.format or request.choose(source)
    return asked or (source if source in WRITABLE else "PNG")


def result_name(name: str, format: str) -> str:
    """Return the file name of a result: that of its source, with a suffix of its format."""
    path = PurePosixPath(name)
    if path.suffix.lower() in FORMATS[format].names:
        return name
    return (path.stem if path.suffix.lower() in IMAGE_SUFFIXES else path.name) + WRITABLE[format]


def safe_names(names: Sequence[str]) -> list[str]:
    """Return file names without folders and control characters, each different from the others, case apart."""
    taken: set[str] = set()
    safe = []
    for name in names:
        last = name.replace("\\", "/").rsplit("/", 1)[-1]
        plain = "".join(character for character in last if character.isprintable()).strip(". ")[-150:] or UNNAMED
        path, number = PurePosixPath(plain), 2
        while plain.casefold() in taken:
            plain = f"{path.stem}-{number}{path.suffix}"
            number += 1
        taken.add(plain.casefold())
        safe.append(plain)
    return safe
