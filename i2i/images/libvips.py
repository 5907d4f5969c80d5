"""libvips, imported late since few images need it."""

from __future__ import annotations

from typing import Any


def vips() -> Any:
    """Return pyvips with its cache and its log switched off."""
    import logging  # slow to import

    logging.getLogger("pyvips").addHandler(logging.NullHandler())  # or Python would print its warnings
    import pyvips

    pyvips.cache_set_max(0)
    return pyvips
