"""Texts as sets of n-grams, and how far two such sets overlap.

Words are `re.findall(r"\\w+", text.lower())`; a shingle is a tuple of n consecutive words. A text of fewer
than n words is one shingle of all its words; a text without any word (only emoji, only dots) is one shingle
of itself, so that it equals only its own kind. A null or blank text has no shingles.

Where words are not told apart by spaces (Chinese, Japanese, Thai…), a "word" would be half a sentence. A text
of which more than half of the word characters are of such scripts is cut into its characters instead: a
shingle is n consecutive word characters or combining marks, lowered one by one. `shingle_units` shows which
it was. This depends on nothing but the text.

A shingle is held as a 64-bit hash, the same on every machine and in every process. Two of ten million
different shingles share a hash with probability 3e-6 (birthday bound): counting hashes is counting shingles.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from .backend import backend
from .characters import CAPITAL_SIGMA, characters
from .columns import Chunk, TextColumn, each_chunk, in_threads

Shingles: TypeAlias = NDArray[np.uint64]
"""Distinct shingle hashes, ascending."""

_SIGMA = chr(CAPITAL_SIGMA).encode()
_PAIRS_AT_ONCE = 1 << 16


class ShingleColumn(NamedTuple):
    """The shingles of each text of a column, one text after the other.

    Those of text i are `values[offsets[i]:offsets[i + 1]]` (uint64, distinct, ascending), none for a null or
    blank text; `offsets` (int64) has one entry more than there are texts.
    """

    values: Shingles
    offsets: NDArray[np.int64]

    def row(self, number: int) -> Shingles:
        """The shingles of one text."""
        return self.values[self.offsets[number] : self.offsets[number + 1]]

    def sizes(self) -> NDArray[np.int64]:
        """How many distinct shingles each text has."""
        return np.diff(self.offsets)


def shingle_columns(texts: pl.Series | Iterable[str | None] | TextColumn, ngram: int) -> ShingleColumn:
    """The shingles of every text of a column, on all cores.

    Beside its result (8 bytes a shingle) it holds one chunk of texts per core.
    """
    column = texts if isinstance(texts, TextColumn) else TextColumn(texts)
    parts = each_chunk(column, lambda chunk: _shingle_chunk(chunk, ngram))
    values = np.concatenate([np.zeros(0, np.uint64), *(values for values, _ in parts)])
    counts = np.concatenate([np.zeros(1, np.int64), *(counts for _, counts in parts)])
    return ShingleColumn(values, np.cumsum(counts))


def _shingle_chunk(chunk: Chunk, ngram: int) -> tuple[Shingles, NDArray[np.int64]]:
    chunk = lowered_sigmas(chunk)
    counts = np.zeros(len(chunk.offsets) - 1, np.int64)
    return backend().shingle_rows(chunk.data, chunk.offsets, *characters(), ngram, counts), counts


def shingle_sets(texts: pl.Series | Iterable[str | None], ngram: int) -> Iterator[Shingles | None]:
    """The shingles of each text, in order; None for a null or blank text. `shingle_columns` holds them as one."""
    column = shingle_columns(texts, ngram)
    for number, size in enumerate(column.sizes().tolist()):
        yield column.row(number) if size else None


def shingle_units(texts: pl.Series | Iterable[str | None]) -> pl.Series:
    """What each text is cut into: "word", or "character" where it is mainly in scripts written without spaces.

    One String per text, in order; null for a null or blank text.
    """
    column = TextColumn(texts)
    flags = characters().flags

    def units(chunk: Chunk) -> list[str | None]:
        _, counts = _shingle_chunk(chunk, 1)
        by_characters = backend().by_characters
        rows = zip(chunk.offsets[:-1].tolist(), chunk.offsets[1:].tolist(), counts.tolist(), strict=True)
        return [
            None if not count else "character" if by_characters(chunk.data, start, end, flags) else "word"
            for start, end, count in rows
        ]

    return pl.Series("unit", [unit for part in each_chunk(column, units) for unit in part], dtype=pl.String)


def containments(
    inner: ShingleColumn,
    outer: ShingleColumn,
    inner_rows: NDArray[np.integer] | None = None,
    outer_rows: NDArray[np.integer] | None = None,
) -> NDArray[np.float64]:
    """|A ∩ B| / |A| of pairs of texts: the share of one that also stands in another; 0 where A is empty.

    Pair i is row `inner_rows[i]` of `inner` and row `outer_rows[i]` of `outer`; without rows, row i of both.
    """
    one, other = _pairs(inner, outer, inner_rows, outer_rows)
    sizes: NDArray[np.int64] = np.maximum(inner.sizes()[one], 1)
    return _shared(inner, outer, one, other) / sizes


def jaccards(
    left: ShingleColumn,
    right: ShingleColumn,
    left_rows: NDArray[np.integer] | None = None,
    right_rows: NDArray[np.integer] | None = None,
) -> NDArray[np.float64]:
    """|A ∩ B| / |A ∪ B| of pairs of texts, as `containments` pairs them; 0 where both are empty."""
    one, other = _pairs(left, right, left_rows, right_rows)
    shared = _shared(left, right, one, other)
    unions: NDArray[np.int64] = np.maximum(left.sizes()[one] + right.sizes()[other] - shared, 1)
    return shared / unions


def containment(inner: Shingles, outer: Shingles) -> float:
    """|inner ∩ outer| / |inner| of two sets that are not empty. `containments` does many at once."""
    shared = np.intersect1d(inner, outer, assume_unique=True)
    return len(shared) / len(inner)


def _pairs(
    left: ShingleColumn,
    right: ShingleColumn,
    left_rows: NDArray[np.integer] | None,
    right_rows: NDArray[np.integer] | None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    one = np.arange(len(left.offsets) - 1) if left_rows is None else left_rows
    other = np.arange(len(right.offsets) - 1) if right_rows is None else right_rows
    if len(one) != len(other):
        raise ValueError(f"{len(one)} rows are paired with {len(other)}")
    return np.asarray(one, np.int64), np.asarray(other, np.int64)


def _shared(
    left: ShingleColumn, right: ShingleColumn, one: NDArray[np.int64], other: NDArray[np.int64]
) -> NDArray[np.int64]:
    shared = np.zeros(len(one), np.int64)

    def count(start: int) -> None:
        part = slice(start, start + _PAIRS_AT_ONCE)
        backend().shared_counts(*left, one[part], *right, other[part], shared[part])

    in_threads(count, range(0, len(one), _PAIRS_AT_ONCE))
    return shared


def lowered_sigmas(chunk: Chunk) -> Chunk:
    """The chunk with every text that holds a capital sigma in lower case.

    It becomes ς at the end of a word and σ elsewhere: the one letter whose lower case a table cannot tell.
    """
    if _SIGMA not in chunk.data.tobytes():
        return chunk
    texts = [chunk.data[start:end].tobytes() for start, end in zip(chunk.offsets[:-1], chunk.offsets[1:], strict=True)]
    texts = [_lowered(text) if _SIGMA in text else text for text in texts]
    ends = np.cumsum([0, *map(len, texts)])
    return Chunk(chunk.first, np.frombuffer(b"".join(texts), np.uint8), ends.astype(np.int64))


def _lowered(text: bytes) -> bytes:
    return text.decode("utf-8", "surrogatepass").lower().encode("utf-8", "surrogatepass")
