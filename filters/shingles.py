"""Texts as sets of word n-grams, and how far two such sets overlap.

Words are `re.findall(r"\\w+", text.lower())`; a shingle is a tuple of n consecutive words. A text of fewer
than n words is one shingle of all its words; a text without any word (only emoji, only dots) is one shingle
of itself, so that it equals only its own kind. A null or blank text has no shingles.

A shingle is held as a 64-bit hash, the same on every machine and in every process. Two of ten million
different shingles share a hash with probability 3e-6 (birthday bound): counting hashes is counting shingles.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Shingles: TypeAlias = NDArray[np.uint64]
"""Distinct shingle hashes, ascending."""

_WORD = re.compile(r"\w+")
# An odd factor makes each step a bijection of the hash so far; this one is 2**64 / golden ratio.
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
# The finalizer of MurmurHash3 (64 bits): spreads the sum over all bits, so that the low 32 are a hash too.
_SHIFT = np.uint64(33)
_MIX_1 = np.uint64(0xFF51AFD7ED558CCD)
_MIX_2 = np.uint64(0xC4CEB9FE1A85EC53)


def text_hash(text: str) -> bytes:
    """16 bytes of BLAKE2b over the text; lone surrogates are allowed."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class _WordHashes(dict[str, int]):
    """64-bit hash of each word, computed once per distinct word."""

    def __missing__(self, word: str) -> int:
        value = self[word] = int.from_bytes(text_hash(word)[:8], "little")
        return value


def shingle_sets(texts: Iterable[str | None], ngram: int) -> Iterator[Shingles | None]:
    """The shingles of each text, in order; None for a null or blank text."""
    hashes = _WordHashes()
    for text in texts:
        yield None if text is None or not text.strip() else _shingles(text.lower(), ngram, hashes)


def _shingles(lowered: str, ngram: int, hashes: _WordHashes) -> Shingles:
    words = _WORD.findall(lowered) or [lowered.strip()]
    word_hashes = np.fromiter((hashes[word] for word in words), np.uint64, len(words))
    length = min(ngram, len(words))
    count = len(words) - length + 1
    sums = np.full(count, length, np.uint64)  # starts from the length: five words never equal six
    for offset in range(length):
        sums = sums * _FACTOR + word_hashes[offset : offset + count]
    sums ^= sums >> _SHIFT
    sums *= _MIX_1
    sums ^= sums >> _SHIFT
    sums *= _MIX_2
    sums ^= sums >> _SHIFT
    return np.unique(sums)


def jaccards(one: Shingles, many: list[Shingles]) -> list[float]:
    """|A ∩ B| / |A ∪ B| of one set with each of many."""
    if not many:
        return []
    starts = np.cumsum([0, *map(len, many[:-1])])
    shared = np.add.reduceat(_among(np.concatenate(many), one), starts, dtype=np.int64)
    unions = len(one) + np.array([len(other) for other in many]) - shared
    return [float(ratio) for ratio in shared / unions]


def containment(inner: Shingles, outer: Shingles) -> float:
    """|inner ∩ outer| / |inner|: the share of one text that also stands in another."""
    return float(np.count_nonzero(_among(inner, outer)) / len(inner))


def _among(values: Shingles, among: Shingles) -> NDArray[np.bool_]:
    """Which values stand in a set. `among` is ascending and not empty."""
    places = np.minimum(np.searchsorted(among, values), len(among) - 1)
    return np.equal(among[places], values)
