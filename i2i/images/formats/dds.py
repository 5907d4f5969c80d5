"""DDS, read by Pillow."""

from functools import partial

from i2i.images.codecs import pillow_decode, pillow_header, plugin

_open = plugin("DdsImagePlugin", "DdsImageFile")
header, decode = partial(pillow_header, _open), partial(pillow_decode, _open)
