"""Domains in a Spec: their range, what JSON has of them, and which schema needs a newer reader."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from i2i.spec import Domain, Spec, parse_ranges
from tests import tiny

BANDS = Domain("bands", 2, 32, "float32", ((0, 4), (-1.5, 1.5)))


def test_json_has_of_a_picture_what_earlier_readers_know() -> None:
    facts = json.loads(tiny.DEEP_GREY.to_json())
    assert facts["source"] == {"name": "photo", "channels": 1, "bits": 16}
    assert facts["schema"] == 1


@pytest.mark.parametrize("domain", [BANDS, Domain("scan", 1, 16, range=((0, 4095),)), Domain("uv", 2, 8, "uint8")])
def test_bands_and_ranges_return_from_json_under_a_schema_of_their_own(domain: Domain) -> None:
    spec = replace(tiny.RGB, target=domain)
    assert json.loads(spec.to_json())["schema"] == spec.schema == 4
    assert Spec.from_json(spec.to_json()) == spec
    assert Domain.from_dict(json.loads(json.dumps(domain.to_dict()))) == domain


def test_a_range_is_minus_one_to_one_of_the_network() -> None:
    assert BANDS.half == (2.0, 1.5)
    assert Domain("photo").ranges == ((0.0, 255.0),)
    assert Domain("photo").half == (127.5,)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: Domain("x", 1, 32, "float32"), "x: a domain of float32 needs a range"),
        (lambda: Domain("x", 1, 16, "int16"), "x: a domain of int16 needs a range"),
        (lambda: Domain("x", 1, 16, "float32", ((0, 1),)), "not 'float32' of 16 bits"),
        (lambda: Domain("x", 1, 64, "float64", ((0, 1),)), "bands are of uint8, uint16, int16, float32"),
        (lambda: Domain("x", 5, 32, "float32", ((0, 1),) * 3), "3 ranges for 5 channels"),
        (lambda: Domain("x", range=((0, 256),)), r"the range 0\.\.256 is not one of uint8; .* from 0 to 255"),
        (lambda: Domain("x", 1, 32, "float32", ((2, 2),)), r"the range 2\.\.2 is empty"),
    ],
)
def test_a_domain_that_cannot_be_is_refused(made: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        made()


def test_ranges_are_of_all_images_or_of_a_side_and_its_channels() -> None:
    assert parse_ranges(None) == {}
    assert parse_ranges("0..4095") == {"": ((0.0, 4095.0),)}
    assert parse_ranges("a=found") == {"a": ()}
    assert parse_ranges("a=-1..1,0..1e3  b=5..6") == {"a": ((-1.0, 1.0), (0.0, 1000.0)), "b": ((5.0, 6.0),)}
