"""Errors as HTTP statuses and problem details (RFC 9457)."""

from __future__ import annotations

import errno
import io
from http import HTTPStatus
from typing import Any

from i2i.atomic import FULL
from i2i.errors import I2IError
from i2i.images import ImageError
from i2i.images.formats.table import FORMATS, sniff
from i2i.images.header import NO_LIMIT, parse_header
from i2i.runtime.errors import ProviderError, TooLargeError
from i2i.runtime.jobs.image_file import NO_MEMORY
from i2i.text import os_error


class ProblemError(Exception):
    """An HTTP error with the sentence that explains it."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None, **more: Any) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers, self.more = status, detail, headers or {}, more

    def document(self) -> dict[str, Any]:
        """Return the members of ``application/problem+json``."""
        title = HTTPStatus(self.status).phrase
        return {"type": "about:blank", "title": title, "status": self.status, "detail": self.detail, **self.more}


def overloaded(detail: str, seconds: int, status: int = 429) -> ProblemError:
    """Return the problem of a request that may succeed later, with ``Retry-After``."""
    return ProblemError(status, detail, {"Retry-After": str(seconds)})


def of_request(error: Exception) -> ProblemError:
    """Return the problem of wrong parameters: an unknown domain, format or style."""
    return error if isinstance(error, ProblemError) else ProblemError(400, str(error))


def of_image(error: Exception, data: bytes, name: str, max_pixels: int) -> ProblemError:
    """Return the problem of an image that could not be translated.

    413 for one beyond the limit of pixels or the memory, 415 for bytes of no format that is read, 422 for a damaged
    image and for one that the model cannot take.
    """
    if isinstance(error, ImageError):
        return ProblemError(_image_status(data, name, max_pixels), str(error))
    if isinstance(error, MemoryError):
        return ProblemError(413, str(ImageError(name, NO_MEMORY)))
    if isinstance(error, I2IError) and not isinstance(error, ProviderError):
        return ProblemError(413 if isinstance(error, TooLargeError) else 422, str(ImageError(name, str(error))))
    return of(error)


def of(error: Exception) -> ProblemError:
    """Return the problem of any other error; the text of one that is not raised by design is not shown."""
    if isinstance(error, ProblemError):
        return error
    if isinstance(error, TooLargeError | MemoryError):
        return ProblemError(413, str(error) or NO_MEMORY)
    if isinstance(error, ProviderError):
        return ProblemError(500, str(error))
    if isinstance(error, I2IError):
        return ProblemError(422, str(error))
    if isinstance(error, OSError) and error.errno in (*FULL, errno.EROFS):
        return ProblemError(507, os_error(error))
    if isinstance(error, ValueError):
        return ProblemError(400, str(error))
    return ProblemError(500, "the service failed on this request; its log has the reason")


def _image_status(data: bytes, name: str, max_pixels: int) -> int:
    suffix = name[name.rfind(".") :] if "." in name else ""
    found = sniff(data[:64], suffix)
    if found is None or not FORMATS[found].module:
        return 415
    try:
        header = parse_header(io.BytesIO(data), name, NO_LIMIT)
    except ImageError:
        return 422
    return 413 if header.width * header.height > max_pixels else 422
