"""texts → words for phrases, and skeletons: what is left of a sentence when its content is taken out (T2, T4).

A skeleton keeps the signs and the function words and puts one slot for each run of other words: a stand-in for
templates of parts of speech (Shaib et al., arXiv 2407.00211) that needs no tagger. The function words are the
`FUNCTION_WORDS` words that stand in most texts: in a corpus of any size those are the function words of its
language, whichever it is; in a narrow one, its theme is among them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from .tics_ngrams import BREAK, DROPPED, SIGNS, Codes, Vocabulary, Words, mine, recoded
from .tics_words import shown

FUNCTION_WORDS = 150
SHORTEST, LONGEST = 6, 10
LEAST_FUNCTION_WORDS = 3  # "_ , _ . _ ," stands in every text
SLOT = "_"

_STOPS = frozenset(".!?:;…()\n。！？；：")


def phrasing(words: Words, vocabulary: Vocabulary, *, across_sentences: bool = False) -> Words:
    """Words alone: a comma or dash in a phrase does not count, and it ends with its sentence unless told to go on."""
    is_sign = _signs(vocabulary)
    codes = np.arange(len(vocabulary), dtype=np.int32)
    codes[is_sign] = DROPPED
    if not across_sentences:
        codes[[word in _STOPS for word in vocabulary.words]] = BREAK
    return recoded(words, codes)


class Skeletons:
    """Cuts texts of one vocabulary down to their skeletons; the function words are those of all `corpora`."""

    def __init__(self, corpora: Sequence[Words], vocabulary: Vocabulary) -> None:
        self._slot = vocabulary.code(SLOT)
        is_sign = _signs(vocabulary)
        rows = np.zeros(len(vocabulary), np.int64)
        for words in corpora:
            for grams in mine(words, shortest=1, longest=1, least=1):
                rows[grams.codes[:, 0]] += grams.rows
        rows[is_sign] = 0
        known = vocabulary.words
        most = sorted(np.flatnonzero(rows).tolist(), key=lambda code: (-rows[code], known[code]))[:FUNCTION_WORDS]
        self._is_function_word = np.zeros(len(vocabulary), np.bool_)
        self._is_function_word[[code for code in most if known[code] != "0"]] = True
        self._codes = np.where(self._is_function_word | is_sign, np.arange(len(vocabulary)), self._slot).astype(
            np.int32
        )
        self._codes[[word == "\n" for word in known]] = BREAK

    def of(self, words: Words) -> Words:
        cut = recoded(words, self._codes)
        again = np.zeros(len(cut.codes), np.bool_)
        again[1:] = (cut.codes[1:] == self._slot) & (cut.codes[:-1] == self._slot)
        return Words(cut.codes[~again], cut.rows[~again], cut.height)

    def telling(self, grams: Codes) -> npt.NDArray[np.bool_]:
        """Which n-grams hold function words enough to be a shape of their own."""
        enough: npt.NDArray[np.bool_] = self._is_function_word[grams].sum(axis=1) >= LEAST_FUNCTION_WORDS
        return enough


def readable(vocabulary: Vocabulary, grams: Sequence[tuple[int, ...]]) -> list[str]:
    """Each n-gram as a line of words."""
    words = [[vocabulary.words[code] for code in gram] for gram in grams]
    return pl.DataFrame({"w": words}, schema={"w": pl.List(pl.String)}).select(shown(pl.col("w")))["w"].to_list()


def _signs(vocabulary: Vocabulary) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = pl.Series(vocabulary.words, dtype=pl.String).str.contains(f"^{SIGNS}$").to_numpy()
    return found
