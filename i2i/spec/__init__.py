"""Description of an exported model: standard library and ``text`` only, since both halves read it."""

from i2i.spec.domain import BANDS, EDGE, FOUND, Background, Domain, Range, parse_background, parse_ranges
from i2i.spec.form import DTYPES, FITS, LAYOUTS, MASKS, ORDERS, RESULTS, Form, Input
from i2i.spec.prior import DISTRIBUTIONS, Code, Mean, Prior
from i2i.spec.spec import (
    ENERGY,
    GENERATOR,
    METADATA_KEY,
    PRECISIONS,
    SCHEMA,
    STYLE_ENCODER,
    TRANSLATOR,
    WEIGHTS,
    Spec,
    best_weights,
)

__all__ = [
    "BANDS",
    "DISTRIBUTIONS",
    "DTYPES",
    "EDGE",
    "ENERGY",
    "FITS",
    "FOUND",
    "GENERATOR",
    "LAYOUTS",
    "MASKS",
    "METADATA_KEY",
    "ORDERS",
    "PRECISIONS",
    "RESULTS",
    "SCHEMA",
    "STYLE_ENCODER",
    "TRANSLATOR",
    "WEIGHTS",
    "Background",
    "Code",
    "Domain",
    "Form",
    "Input",
    "Mean",
    "Prior",
    "Range",
    "Spec",
    "best_weights",
    "parse_background",
    "parse_ranges",
]
