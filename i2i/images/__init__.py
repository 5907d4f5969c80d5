"""Images as arrays: listed, read and written without losing what the file holds.

Training and translation read through this one package, so both see the same pixels. A file becomes an
:class:`Image` or raises an :class:`ImageError` that names the file and the reason; nothing else comes out.

The formats are the rows of ``formats.table.FORMATS``. Animations and multi-page files give their first frame, and
``frames`` says how many there are.
"""

from i2i.images.alpha import extend, seen, unmix
from i2i.images.decode import decode_image, read_image
from i2i.images.encode import WRITABLE, encode_image, format_of, losses, write_image
from i2i.images.formats.table import IMAGE_SUFFIXES
from i2i.images.header import MAX_PIXELS, read_header
from i2i.images.image import Header, Image, ImageError, convert, flatten
from i2i.images.listing import list_images, name_files, name_images
from i2i.images.metadata import left_out

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "WRITABLE",
    "Header",
    "Image",
    "ImageError",
    "convert",
    "decode_image",
    "encode_image",
    "extend",
    "flatten",
    "format_of",
    "left_out",
    "list_images",
    "losses",
    "name_files",
    "name_images",
    "read_header",
    "read_image",
    "seen",
    "unmix",
    "write_image",
]
