"""Sentences as numbers: the words of a caption as token ids, the same while training and in use."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from i2i.spec import Prior
from i2i.text import plural

PADDING, UNKNOWN, FIRST = 0, 1, 2
"""Ids of the places after the end of a sentence, of any unknown word, and of the first word of the vocabulary."""


def words_in(text: str) -> list[str]:
    """Return the words of a sentence in lower case; punctuation and symbols separate words, apostrophes do not."""
    plain = unicodedata.normalize("NFKC", text).lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    spaced = "".join(" " if character != "'" and unicodedata.category(character)[0] in "PS" else character
                     for character in plain)  # fmt: skip
    return [word for found in spaced.split() if (word := found.strip("'"))]


class Sentence(NamedTuple):
    """A sentence as token ids, and the words that they do not show."""

    ids: np.ndarray
    """int64 [length]."""
    unknown: tuple[str, ...]
    """Words that are not in the vocabulary, each once."""
    cut: tuple[str, ...]
    """Words after the last place."""


class Words:
    """A vocabulary, and the number of words in a sentence.

    Args:
        vocabulary: the words; entry i has the id i + 2.
        length: number of ids of a sentence.
    """

    def __init__(self, vocabulary: Iterable[str], length: int) -> None:
        self.vocabulary, self.length = tuple(vocabulary), length
        self._ids = {word: number for number, word in enumerate(self.vocabulary, FIRST)}

    @classmethod
    def of(cls, captions: Iterable[str]) -> Words:
        """Return the words of captions, in alphabetical order, and the length of the longest caption."""
        sentences = [words_in(caption) for caption in captions]
        return cls(sorted({word for words in sentences for word in words}), max(map(len, sentences), default=0))

    def encode(self, text: str) -> Sentence:
        """Return a sentence as ids. Raises ValueError if there is no word in it."""
        words = words_in(text)
        if not words:
            raise ValueError(f"the text {text!r} contains no word; expected a sentence such as 'a red house at night'")
        taken, cut = words[: self.length], words[self.length :]
        ids = np.full(self.length, PADDING, np.int64)
        ids[: len(taken)] = [self._ids.get(word, UNKNOWN) for word in taken]
        return Sentence(ids, tuple(dict.fromkeys(word for word in taken if word not in self._ids)), tuple(cut))


def text_input(prior: Prior, text: str, n: int = 1) -> tuple[np.ndarray, list[str]]:
    """Return a sentence as the input ``text`` of a generator, int64 [n, words], and notes for the user.

    The notes name the words that the generator does not know and those that are beyond its longest sentence; the
    result is drawn from the others. Raises ValueError for a generator without words and for a text without a word.
    """
    if not prior.words:
        raise ValueError("this generator was not trained on captions, so it takes no text; leave the text out")
    found = Words(prior.vocabulary, prior.words).encode(text)
    notes = []
    if found.unknown:
        known = plural(len(prior.vocabulary), "word")
        notes.append(f"unknown to this generator, which learned {known}: {', '.join(found.unknown)}")
    if found.cut:
        notes.append(f"this generator reads the first {plural(prior.words, 'word')}; not read: {' '.join(found.cut)}")
    return np.tile(found.ids, (n, 1)), notes
