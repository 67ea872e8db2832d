"""texts → corpora and the parts of them that are compared: all texts with a reference, a group with all others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from .shingles import text_hash
from .tics_families import tic_families
from .tics_ngrams import Ints, Vocabulary, Words, only
from .tics_skeletons import phrasing

OTHERS = "other groups"


class Corpus:
    """A String column (blank is null) and its words, in a vocabulary that all corpora share."""

    def __init__(self, texts: pl.Series, words: Words, vocabulary: Vocabulary, *, seed: int) -> None:
        self.texts = texts
        self.words = words
        self.vocabulary = vocabulary
        self.families = tic_families(texts)
        digests = [(text_hash(f"{seed}|{text}"), row) for row, text in enumerate(texts) if text is not None]
        digests.sort()
        self.order: Ints = np.array([row for _, row in digests], np.int64)  # rows with a text; content decides
        self.lots: Ints = np.zeros(len(texts), np.int64)  # a number that equal texts share
        self.lots[self.order] = [int.from_bytes(digest[:4], "little") for digest, _ in digests]
        self.places: Ints = np.full(len(texts), len(texts), np.int64)  # of each row, its place in `order`
        self.places[self.order] = np.arange(len(self.order))


@dataclass(frozen=True)
class Part:
    """Some texts of a corpus; `rows` are its own in the order that content decides."""

    corpus: Corpus
    name: str | None
    rows: Ints

    @property
    def texts(self) -> int:
        return len(self.rows)

    @cached_property
    def ascending(self) -> Ints:
        return np.sort(self.rows)

    @cached_property
    def phrasing(self) -> Words:
        """Its words by sentence, rows numbered as in `ascending`."""
        return phrasing(only(self.corpus.words, self.ascending), self.corpus.vocabulary)

    def sampled(self, count: int) -> Words:
        """Words and signs of its first `count` texts, in the order that content decides."""
        return in_order(self.corpus.words, self.rows[:count])

    def families(self, which: str) -> pl.Series:
        return self.corpus.families[which].gather(self.ascending)


def in_order(words: Words, rows: Ints) -> Words:
    """These rows, in this order, numbered anew."""
    place = np.full(words.height, -1, np.int64)
    place[rows] = np.arange(len(rows))
    own = np.flatnonzero(place[words.rows] >= 0)
    own = own[np.argsort(place[words.rows[own]], kind="stable")]
    return Words(words.codes[own], place[words.rows[own]].astype(np.int32), len(rows))


def pairs(
    own: Corpus, references: Mapping[str, Corpus], groups: pl.Series | None
) -> Iterator[tuple[Part, Part | None]]:
    """Who is compared with whom; all texts with nothing where there is no reference."""
    whole = Part(own, None, own.order)
    for name, corpus in references.items():
        yield whole, Part(corpus, name, corpus.order)
    if not references:
        yield whole, None
    of_row = [None] * len(own.texts) if groups is None else groups.to_list()
    names = sorted({of_row[row] for row in own.order.tolist()} - {None}, key=str)
    for name in names if len(names) > 1 else ():
        inside = np.array([of_row[row] == name for row in own.order.tolist()], np.bool_)
        yield Part(own, name, own.order[inside]), Part(own, OTHERS, own.order[~inside])
