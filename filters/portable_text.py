"""Shingles in NumPy and Python: the functions of `kernels`, with the same results."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .characters import MARK, SIZE, UNSPACED, WORD

_FNV_BASIS = 0xCBF29CE484222325
_FNV_PRIME = 0x100000001B3
FACTOR = np.uint64(0x9E3779B97F4A7C15)
MIX_1 = np.uint64(0xFF51AFD7ED558CCD)
_MIX_2 = np.uint64(0xC4CEB9FE1A85EC53)
_SHIFT = np.uint64(33)
_CHARACTERS = 1 << 32
_WORD = re.compile(r"\w+")

Array = NDArray[Any]
Hashes = NDArray[np.uint64]


def mixed(values: Hashes) -> Hashes:
    values = values ^ (values >> _SHIFT)
    values = values * MIX_1
    values = values ^ (values >> _SHIFT)
    values = values * _MIX_2
    return values ^ (values >> _SHIFT)


class _WordHashes(dict[str, int]):
    """FNV-1a of each lowered word, computed once per distinct word."""

    def __missing__(self, word: str) -> int:
        value = _FNV_BASIS
        for char in word:
            value = ((value ^ ord(char)) * _FNV_PRIME) % 2**64
        self[word] = value
        return value


def _units(text: str, lower: Array, flags: Array) -> tuple[bool, list[str]]:
    """Whether the text is cut into characters, and its lowered words or characters."""
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
    known = points[points < SIZE]
    words = (flags[known] & WORD) != 0
    if 2 * np.count_nonzero(words & ((flags[known] & UNSPACED) != 0)) > np.count_nonzero(words):
        return True, [chr(point) for point in lower[known[(flags[known] & (WORD | MARK)) != 0]].tolist()]
    found = _WORD.findall(text.lower())
    return False, found or ([text.strip().lower()] if text.strip() else [])


def by_characters(data: Array, start: int, end: int, flags: Array) -> bool:
    text = data[start:end].tobytes().decode("utf-8", "surrogatepass")
    return _units(text, np.arange(SIZE, dtype=np.uint32), flags)[0]


def shingle_rows(data: Array, offsets: Array, lower: Array, flags: Array, ngram: int, counts: Array) -> Hashes:
    word_hashes = _WordHashes()
    parts = [np.zeros(0, np.uint64)]
    for row in range(len(offsets) - 1):
        text = data[offsets[row] : offsets[row + 1]].tobytes().decode("utf-8", "surrogatepass")
        characters, units = _units(text, lower, flags)
        hashes = np.fromiter((word_hashes[unit] for unit in units), np.uint64, len(units))
        parts.append(_shingles(mixed(hashes), characters, ngram))
        counts[row] = len(parts[-1])
    return np.concatenate(parts)


def _shingles(hashes: Hashes, characters: bool, ngram: int) -> Hashes:
    length = min(ngram, len(hashes))
    if not length:
        return hashes
    count = len(hashes) - length + 1
    sums = np.zeros(count, np.uint64)
    for offset in range(length):
        sums = sums * FACTOR + hashes[offset : offset + count]
    tag = np.full(1, length + (_CHARACTERS if characters else 0), np.uint64) * MIX_1
    return np.unique(np.maximum(mixed(sums + tag), np.uint64(1)))


def shared_counts(
    left: Array,
    left_offsets: Array,
    left_rows: Array,
    right: Array,
    right_offsets: Array,
    right_rows: Array,
    out: Array,
) -> None:
    for pair, (one, other) in enumerate(zip(left_rows.tolist(), right_rows.tolist(), strict=True)):
        inner = left[left_offsets[one] : left_offsets[one + 1]]
        outer = right[right_offsets[other] : right_offsets[other + 1]]
        out[pair] = np.count_nonzero(among(inner, outer))


def among(values: Hashes, sorted_set: Hashes) -> NDArray[np.bool_]:
    """Which values stand in a sorted set."""
    if not len(sorted_set):
        return np.zeros(len(values), np.bool_)
    places = np.minimum(np.searchsorted(sorted_set, values), len(sorted_set) - 1)
    return np.equal(sorted_set[places], values)
