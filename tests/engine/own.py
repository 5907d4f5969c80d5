"""A method from outside the package."""

from i2i.translators.pix2pix import Pix2Pix


class Own(Pix2Pix):
    """pix2pix under another name."""
