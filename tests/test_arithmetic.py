"""Sums of the means of labels in latent space."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from i2i.sampling import arithmetic
from i2i.spec import Domain, Mean, Prior, Spec

NAMES = ("smiling-woman", "calm-woman", "calm-man", "calm", "a - b", "not calm")
PRIOR = Prior(6, (28, 28), means=tuple(Mean(name, tuple(np.eye(6)[i])) for i, name in enumerate(NAMES)))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("smiling-woman - calm-woman + calm-man", [1, -1, 1, 0, 0, 0]),
        ("calm-man", [0, 0, 1, 0, 0, 0]),
        ("  - calm  +calm-man + calm-man ", [0, 0, 2, -1, 0, 0]),
        ("calm - a - b + not calm", [0, 0, 0, 1, -1, 1]),
    ],
)
def test_the_sum_of_the_named_means(expression, expected):
    z = arithmetic(PRIOR, expression)
    assert z.dtype == np.float32
    assert z.tolist() == expected


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("calm + smilng-woman - calm", r"instead of '\+ smilng-woman - calm' \(did you mean smiling-woman\?\); the na"),
        ("calm calm-man", r"expected \+ or - and a name instead of 'calm-man'"),
        ("calm +", r"instead of '\+'"),
        ("", "expected a name instead of 'the end'.*the names are smiling-woman, calm-woman"),
        ("calm-man-calm", "expected a name instead of"),
    ],
)
def test_what_is_no_sum_of_known_names_is_refused(expression, words):
    with pytest.raises(ValueError, match=words):
        arithmetic(PRIOR, expression)


def test_a_generator_without_means_is_refused():
    with pytest.raises(ValueError, match=r"methods with an encoder \(vaegan, bigan\)"):
        arithmetic(replace(PRIOR, means=()), "calm")


def test_means_are_kept_in_the_description_and_have_the_length_of_z():
    spec = Spec("vaegan", "generate", Domain("faces"), Domain("faces"), kind="generator", prior=PRIOR, schema=3)
    assert Spec.from_json(spec.to_json()).prior == PRIOR
    older = json.loads(spec.to_json())
    del older["prior"]["means"]
    assert Spec.from_json(json.dumps(older)).prior == replace(PRIOR, means=())
    with pytest.raises(ValueError, match="mean of 'calm' does not have the 6 numbers"):
        Prior.from_dict(asdict(PRIOR) | {"means": [{"name": "calm", "z": [1.0]}]})
