"""texts → what their words show: how often a stretch is said again at once, and whose little words they hold.

Row by row, on the hashes of words (`ngrams.words_of`), at compiled speed; without numba the same code runs as Python.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from .languages import LITTLE_WORDS
from .letters import FACTOR, compiled
from .ngrams import words_of

GRAM = 3
"""Words of a stretch that are compared at a time."""
LONGEST_PERIOD = 400
"""Words of a stretch that may be said again: a long paragraph."""
LEAST_REPEATED = 12
"""Words that a loop takes at the least: "no, no, no" is emphasis."""
_TABLE_BITS = 12


class WordFacts(NamedTuple):
    """One value per text.

    words   how many; of scripts without blanks, letters
    copies  how many times the stretch that is repeated most stands there, one copy right after the other; 1 for none
    little  (texts, languages) how many words are little words of each language of `LITTLE_WORDS`
    """

    words: npt.NDArray[np.int64]
    copies: npt.NDArray[np.float64]
    little: npt.NDArray[np.int64]


@compiled
def _loops(
    words: Any, starts: Any, last: Any, grams: Any, stamps: Any, copies: Any
) -> None:  # pragma: no cover (compiled)
    """A stretch of p words that is said again makes each word equal to the one p before it, for as long as it lasts."""
    mask = len(last) - 1
    for row in range(len(starts) - 1):
        first, end = starts[row], starts[row + 1]
        best, period, run = 1.0, 0, 0
        for at in range(first, end - 2):
            gram = (words[at] * FACTOR + words[at + 1]) * FACTOR + words[at + 2]
            place = np.int64((gram ^ (gram >> np.uint64(29))) & np.uint64(mask))
            before = last[place]
            same = stamps[place] == row + 1 and grams[place] == gram and at - before <= LONGEST_PERIOD
            back = at - period
            goes_on = period > 0 and words[back] == words[at] and words[back + 1] == words[at + 1]
            if goes_on and words[back + 2] == words[at + 2]:
                run += 1
            elif same:
                period, run = at - before, 1
            else:
                period, run = 0, 0
            if run and run + GRAM - 1 + period >= LEAST_REPEATED:
                best = max(best, 1.0 + (run + GRAM - 1) / period)
            last[place], grams[place], stamps[place] = at, gram, row + 1
        copies[row] = best


@compiled
def _count_little(words: Any, starts: Any, table: Any, owners: Any, little: Any) -> None:  # pragma: no cover (compiled)
    mask = len(table) - 1
    for row in range(len(starts) - 1):
        for at in range(starts[row], starts[row + 1]):
            word = words[at]
            place = np.int64((word ^ (word >> np.uint64(31))) & np.uint64(mask))
            while table[place] != 0:
                if table[place] == word:
                    bits, language = owners[place], 0
                    while bits:
                        little[row, language] += bits & 1
                        bits >>= 1
                        language += 1
                    break
                place = (place + 1) & mask


def word_facts(texts: pl.Series) -> WordFacts:
    """`WordFacts` of a String column; a null text has no words."""
    words = words_of(texts)
    rows = len(texts)
    copies, little = np.ones(rows), np.zeros((rows, len(LITTLE_WORDS)), np.int64)
    size = 1 << _TABLE_BITS
    last, stamps, grams = np.zeros(size, np.int64), np.zeros(size, np.int64), np.zeros(size, np.uint64)
    with np.errstate(over="ignore"):
        _loops(words.hashes, words.starts, last, grams, stamps, copies)
        _count_little(words.hashes, words.starts, *_little_table(), little)
    return WordFacts(words.counts(), copies, little)


@cache
def _little_table() -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """An open-addressed table of the little words' hashes, and of each a bit per language that has it."""
    owned: dict[int, int] = {}
    for number, said in enumerate(LITTLE_WORDS.values()):
        for value in words_of(pl.Series([said])).hashes.tolist():
            owned[value] = owned.get(value, 0) | 1 << number
    table, owners = np.zeros(1024, np.uint64), np.zeros(1024, np.int64)
    for value, bits in owned.items():
        place = (value ^ (value >> 31)) & 1023
        while table[place]:
            place = (place + 1) & 1023
        table[place], owners[place] = value, bits
    return table, owners
