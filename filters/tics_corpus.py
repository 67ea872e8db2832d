"""texts → how repetitive they are as a whole: what a packer saves on them, and what they share (T3). Needs all rows."""

from __future__ import annotations

import zlib

import numpy as np
import polars as pl

from .tics_ngrams import BREAK, Ints, Vocabulary, Words

SHARED_NGRAM = 8
"""Words in a row that two texts seldom share by chance."""

SAMPLE_TEXTS, SAMPLE_CHARACTERS = 400, 600
"""What is packed has texts of one length, and as many of each side; zlib looks back 32 kB, some fifty of them."""

_PARTS = 8
_FACTOR = np.uint64(0x9E37_79B9_7F4A_7C15)
_MIX = np.uint64(0xFF51_AFD7_ED55_8CCD)


def compression_ratio(texts: pl.Series) -> float | None:
    """Bytes before over bytes after zlib (Shaib et al., arXiv 2403.00553): 1 and up, the higher the more alike.

    Of texts cut to the same number of characters; compare only samples of as many texts. None of no bytes.
    """
    data = "\n".join(texts.drop_nulls().to_list()).encode()
    return len(data) / len(zlib.compress(data, 9)) if data else None


def length_matched(*sides: pl.Series) -> list[pl.Series]:
    """A sample of each side: equally many texts, each cut to the same number of characters.

    That number is the least median length of the sides, `SAMPLE_CHARACTERS` at most; shorter texts are left out.
    The texts that come first are taken.
    """
    medians = [int(side.str.len_chars().median() or 0) for side in sides]  # type: ignore[arg-type]
    length = max(1, min(SAMPLE_CHARACTERS, *medians))
    long = [side.filter(side.str.len_chars() >= length) for side in sides]
    count = min(SAMPLE_TEXTS, *map(len, long))
    return [side.head(count).str.head(length) for side in long]


def shared_rows(words: Words, vocabulary: Vocabulary) -> Ints:
    """The rows, ascending, that hold `SHARED_NGRAM` words in a row that another row holds too.

    `words` without signs, across sentences. N-grams are compared by a hash of 64 bits: two of ten million different
    ones clash with probability 3e-6.
    """
    hashes, at = _ngram_hashes(words, vocabulary)
    rows = words.rows[at]
    found = [np.zeros(0, np.int64)]
    for part in range(_PARTS):  # of the hashes, by their lowest bits: so much less is sorted at once
        own = np.flatnonzero((hashes & np.uint64(_PARTS - 1)) == part)
        own = own[np.argsort(hashes[own], kind="stable")]
        same = hashes[own][1:] == hashes[own][:-1]
        starts = np.flatnonzero(np.concatenate([[True], ~same])) if len(own) else own
        lowest, highest = rows[own][starts], rows[own][np.append(starts[1:], len(own)) - 1] if len(own) else rows[own]
        in_two = np.repeat(lowest != highest, np.diff(np.append(starts, len(own))))
        found.append(np.unique(rows[own][in_two]).astype(np.int64))
    return np.unique(np.concatenate(found))


def _ngram_hashes(words: Words, vocabulary: Vocabulary) -> tuple[np.ndarray[tuple[int], np.dtype[np.uint64]], Ints]:
    codes = words.codes.astype(np.int64)
    count = max(0, len(codes) - SHARED_NGRAM + 1)
    spread = (np.arange(len(vocabulary), dtype=np.uint64) + np.uint64(1)) * _FACTOR
    spread ^= spread >> np.uint64(32)
    sums, whole = np.zeros(count, np.uint64), np.ones(count, np.bool_)
    for offset in range(SHARED_NGRAM):
        part = codes[offset : offset + count]
        whole &= part != BREAK
        sums = sums * _FACTOR + spread[part]
    at = np.flatnonzero(whole)
    sums = sums[at]
    sums ^= sums >> np.uint64(33)
    sums *= _MIX
    sums ^= sums >> np.uint64(33)
    return sums, at
