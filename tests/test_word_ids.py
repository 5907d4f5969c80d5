"""Sentences as token ids: the same for training and for use, and what a generator cannot read is reported."""

from __future__ import annotations

import numpy as np
import pytest

from i2i.spec import Prior
from i2i.words import FIRST, PADDING, UNKNOWN, Words, text_input, words_in

HOUSES = Prior(4, (32, 32), vocabulary=("a", "at", "house", "night", "red"), words=6)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A house, with a RED roof!", ["a", "house", "with", "a", "red", "roof"]),
        ("a red-roofed house\tat\nnight", ["a", "red", "roofed", "house", "at", "night"]),
        ("the painter\u2019s 'big' house", ["the", "painter's", "big", "house"]),
        ("cafe\u0301 \u00a35", ["caf\u00e9", "5"]),
        ("\u5bb6 \u3002", ["\u5bb6"]),
        (" ... ", []),
    ],
)
def test_words_are_lower_case_without_punctuation(text: str, words: list[str]) -> None:
    assert words_in(text) == words


def test_a_vocabulary_is_in_alphabetical_order_and_as_long_as_the_longest_sentence() -> None:
    words = Words.of(["a red house", "A house at night.", "red"])
    assert (words.vocabulary, words.length) == (("a", "at", "house", "night", "red"), 4)


def test_a_sentence_becomes_ids_filled_up_with_zeros() -> None:
    found = Words(HOUSES.vocabulary, 6).encode("A red house")
    assert (PADDING, UNKNOWN, FIRST) == (0, 1, 2)
    assert found.ids.dtype == np.int64
    assert found.ids.tolist() == [2, 6, 4, 0, 0, 0]
    assert (found.unknown, found.cut) == ((), ())


def test_the_input_of_a_generator_says_which_words_it_does_not_read() -> None:
    ids, notes = text_input(HOUSES, "a purple house at night, a purple house", 3)
    assert ids.tolist() == [[2, 1, 4, 3, 5, 2]] * 3
    assert notes == [
        "unknown to this generator, which learned 5 words: purple",
        "this generator reads the first 6 words; not read: purple house",
    ]
    assert text_input(HOUSES, "red house")[1] == []


def test_a_text_that_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="'!' contains no word"):
        text_input(HOUSES, "!")
    with pytest.raises(ValueError, match="was not trained on captions, so it takes no text"):
        text_input(Prior(4, (32, 32)), "a house")
