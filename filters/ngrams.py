"""Texts as word n-grams with their places, and an index that tells which of its items share most of them with a text.

Words are runs of `\\w`, compared in lower case; of scripts that part words by no blank (Chinese, Japanese, Thai) each
letter counts as a word, so that an n-gram of words is there one of letters. An n-gram is held as a 64-bit hash.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from .letters import ALONE, FACTOR, TABLE_SIZE, WORD, bytes_of, code_point, compiled, kind_of, tables

Hashes: TypeAlias = npt.NDArray[np.uint64]
Numbers: TypeAlias = npt.NDArray[np.int64]

SHORTEST = 4
"""Items of fewer words ("Yes.", "The answer is") are compared only with texts that consist of them."""
SHARED_BY = 20
"""An n-gram of more items than this is their template: it says nothing of one of them, and does not count."""
_BATCH = 4096
_BLOOM_BITS = 24


class Words(NamedTuple):
    """The words of several texts, one after the other."""

    hashes: Hashes
    places: Numbers  # (words, 2): the bytes of each in all texts' bytes
    starts: Numbers  # of each text's words, and where the last ends
    data: npt.NDArray[np.uint8]

    def counts(self) -> Numbers:
        return np.diff(self.starts)


class Grams(NamedTuple):
    """n-grams as hash, the text each is from, and its words: from which, and the one behind it."""

    hashes: Hashes
    rows: Numbers
    at: Numbers
    behind: Numbers


class Best(NamedTuple):
    """Of each text that shares anything with an item: the item it shares most with."""

    row: int
    item: int
    shared: int  # distinct n-grams in both
    item_size: int  # distinct n-grams of the item that count
    text_size: int  # distinct n-grams of the text that count
    span: str  # the longest run of them, as it stands in the text


@compiled
def _cut(
    data: Any, offsets: Any, kinds: Any, lower: Any, hashes: Any, places: Any, starts: Any
) -> None:  # pragma: no cover (compiled)
    count = 0
    for row in range(len(offsets) - 1):
        starts[row] = count
        at, end = offsets[row], offsets[row + 1]
        while at < end:
            point, behind = code_point(data, at)
            kind = kind_of(point, kinds)
            if not kind & WORD:
                at = behind
                continue
            places[count, 0] = at
            value = np.uint64(0)
            while True:
                low = int(lower[point]) if point < TABLE_SIZE else point
                value = value * FACTOR + np.uint64(low + 1)
                at = behind
                if at >= end or kind & ALONE:
                    break
                point, behind = code_point(data, at)
                kind = kind_of(point, kinds)
                if not kind & WORD or kind & ALONE:
                    break
            hashes[count] = value
            places[count, 1] = at
            count += 1
    starts[len(offsets) - 1] = count


def words_of(column: pl.Series) -> Words:
    """The words of each text of a String column; none of a null."""
    data, offsets = bytes_of(column)
    most = len(data) // 2 + len(column) + 1  # a letter and a blank, or a digit and a sign of three bytes
    hashes, places = np.empty(most, np.uint64), np.empty((most, 2), np.int64)
    starts = np.empty(len(column) + 1, np.int64)
    with np.errstate(over="ignore"):
        _cut(data, offsets, *tables(), hashes, places, starts)
    return Words(hashes[: starts[-1]], places[: starts[-1]], starts, data)


@compiled
def _join(
    words: Any, starts: Any, ngram: int, whole: bool, hashes: Any, rows: Any, at: Any
) -> int:  # pragma: no cover (compiled)
    count = 0
    for row in range(len(starts) - 1):
        first, end = starts[row], starts[row + 1]
        if whole and end - first != ngram:
            continue
        for word in range(first, end - ngram + 1):
            value = np.uint64(ngram)  # starts from the length: five words never equal six
            for step in range(ngram):
                value = value * FACTOR + words[word + step]
            value ^= value >> np.uint64(33)
            value *= np.uint64(0xFF51AFD7ED558CCD)  # the finalizer of MurmurHash3
            hashes[count] = value ^ (value >> np.uint64(33))
            rows[count] = row
            at[count] = word
            count += 1
    return count


def grams_of(words: Words, ngram: int, *, whole: bool = False) -> Grams:
    """The n-grams of each text; with `whole`, only of texts that are one n-gram."""
    most = len(words.hashes)
    hashes, rows, at = np.empty(most, np.uint64), np.empty(most, np.int64), np.empty(most, np.int64)
    with np.errstate(over="ignore"):
        count = _join(words.hashes, words.starts, ngram, whole, hashes, rows, at)
    return Grams(hashes[:count], rows[:count], at[:count], at[:count] + ngram)


class NgramIndex:
    """Items, numbered as they were added, by their n-grams. Memory: 16 bytes for each n-gram of each item.

    An item of fewer than `ngram` words is one shorter n-gram. Of items with the same n-grams the first stands for all.
    """

    def __init__(self, *, ngram: int) -> None:
        self.ngram = ngram
        self._parts: list[tuple[Hashes, Numbers]] = []
        self._lengths: set[int] = set()
        self._count = 0
        self._table: _Table | None = None

    def __len__(self) -> int:
        return self._count

    def add(self, column: pl.Series) -> None:
        """Adds the texts of a String column. One without a word takes its number and is never found."""
        for start in range(0, len(column), _BATCH):
            words = words_of(column[start : start + _BATCH])
            lengths = set(np.minimum(words.counts(), self.ngram).tolist()) - {0}
            for length in sorted(lengths):
                grams = grams_of(words, length, whole=length < self.ngram)
                self._parts.append((grams.hashes, grams.rows + self._count))
            self._lengths |= lengths
            self._count += len(words.counts())
        self._table = None

    def best(self, column: pl.Series, *, by_text: bool = False) -> Iterator[Best]:
        """For each text that shares an n-gram with an item, in order, the item of the highest share, ties by number.

        The share is of the item's n-grams, with `by_text` of the text's own.
        """
        if not self._parts:
            return
        if self._table is None:
            self._table = _Table(self._parts, self._count)
        for start in range(0, len(column), _BATCH):
            words = words_of(column[start : start + _BATCH])
            lengths = sorted(self._lengths | {self.ngram})
            parts = [grams_of(words, length, whole=length < SHORTEST) for length in lengths]
            grams = _concatenated(parts)
            for found in self._table.best(grams, parts[-1], words, by_text=by_text):
                yield found._replace(row=found.row + start)


def _concatenated(parts: list[Grams]) -> Grams:
    return Grams(
        np.concatenate([part.hashes for part in parts]),
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.at for part in parts]),
        np.concatenate([part.behind for part in parts]),
    )


def _sizes(grams: Grams, rows: Numbers, count: int, template: Hashes) -> Numbers:
    """How many different n-grams each of these rows has that are no template; at least 1."""
    is_wanted = np.zeros(count, np.bool_)
    is_wanted[rows] = True
    wanted = is_wanted[grams.rows] & ~np.isin(grams.hashes, template)
    grams = Grams(grams.hashes[wanted], grams.rows[wanted], grams.at[wanted], grams.behind[wanted])
    order = np.lexsort((grams.hashes, grams.rows))
    rows, hashes = grams.rows[order], grams.hashes[order]
    is_new = _begins(rows, hashes)
    return np.maximum(np.bincount(rows[is_new], minlength=count), 1)


class _Table:
    """The index, sorted for looking up: each n-gram that counts, and the items that have it."""

    def __init__(self, parts: list[tuple[Hashes, Numbers]], count: int) -> None:
        hashes = np.concatenate([part for part, _ in parts])
        items = np.concatenate([part for _, part in parts])
        order = np.lexsort((items, hashes))
        hashes, items = hashes[order], items[order]
        is_first = _begins(hashes, items)
        is_first &= ~_is_copy(hashes[is_first], items[is_first], count)[items]
        hashes, items = hashes[is_first], items[is_first]
        _, place, shared_by = np.unique(hashes, return_inverse=True, return_counts=True)
        counts = shared_by[place] <= SHARED_BY
        self.hashes, self.starts = np.unique(hashes[counts], return_index=True)
        self.starts = np.append(self.starts, counts.sum())
        self.items = items[counts]
        self.template = np.unique(hashes[~counts])
        self.sizes = np.bincount(self.items, minlength=count)
        self.count = count
        self._may_hold = np.zeros(1 << _BLOOM_BITS, np.bool_)
        self._may_hold[(self.hashes >> np.uint64(64 - _BLOOM_BITS)).astype(np.int64)] = True

    def best(self, grams: Grams, full: Grams, words: Words, *, by_text: bool) -> Iterator[Best]:
        """Of each text that shares any of `grams` with an item; `full` are its n-grams of full length."""
        may = np.flatnonzero(self._may_hold[(grams.hashes >> np.uint64(64 - _BLOOM_BITS)).astype(np.int64)])
        if not len(may):
            return
        place = np.minimum(np.searchsorted(self.hashes, grams.hashes[may]), len(self.hashes) - 1)
        is_there = self.hashes[place] == grams.hashes[may]
        may, place = may[is_there], place[is_there]
        if not len(may):
            return
        # One line for each n-gram of a text and each item that has it: at most SHARED_BY times the n-grams.
        many = self.starts[place + 1] - self.starts[place]
        line = np.repeat(np.arange(len(may)), many)
        nth = np.arange(len(line)) - np.repeat(np.cumsum(many) - many, many)
        pairs = grams.rows[may[line]] * self.count + self.items[self.starts[place[line]] + nth]
        by_pair = np.lexsort((place[line], pairs))
        in_order, its_place = pairs[by_pair], place[line[by_pair]]
        is_new = _begins(in_order, its_place)
        keys, shared = np.unique(in_order[is_new], return_counts=True)
        rows, items = keys // self.count, keys % self.count
        text_sizes = _sizes(full, rows, len(words.starts) - 1, self.template)
        whole = text_sizes[rows] if by_text else self.sizes[items]
        order = np.lexsort((items, -shared / whole, rows))
        first = order[_begins(rows[order], rows[order])]
        begins, ends = np.searchsorted(in_order, keys[first]), np.searchsorted(in_order, keys[first], "right")
        for winner, begin, end in zip(first.tolist(), begins.tolist(), ends.tolist(), strict=True):
            hits = may[line[by_pair[begin:end]]]
            row, item = int(rows[winner]), int(items[winner])
            sizes = int(self.sizes[item]), int(text_sizes[row])
            yield Best(row, item, int(shared[winner]), *sizes, _span(hits, grams, words))


def _begins(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Whether a pair differs from the one before it."""
    is_new = np.ones(len(one), np.bool_)
    is_new[1:] = (one[1:] != one[:-1]) | (other[1:] != other[:-1])
    return is_new


def _is_copy(hashes: Hashes, items: Numbers, count: int) -> npt.NDArray[np.bool_]:
    """Whether an item before it has the same n-grams. Each pair (hash, item) is there once, ordered by hash."""
    marks = np.zeros((count, 2), np.uint64)  # the sum of its hashes is the same for no other set but by chance
    np.add.at(marks[:, 0], items, hashes)
    np.add.at(marks[:, 1], items, np.uint64(1))
    _, first, which = np.unique(marks, axis=0, return_index=True, return_inverse=True)
    copies: npt.NDArray[np.bool_] = first[which.ravel()] != np.arange(count)
    return copies


def _span(hits: Numbers, grams: Grams, words: Words) -> str:
    """The longest run of words that these n-grams cover without a gap, as the text has it; of equal ones the first."""
    hits = hits[np.argsort(grams.at[hits], kind="stable")]
    at, behind = grams.at[hits], grams.behind[hits]
    starts = np.flatnonzero(np.append(True, at[1:] > behind[:-1]))
    ends = np.append(starts[1:], len(hits)) - 1
    longest = int(np.argmax(behind[ends] - at[starts]))
    first, last = words.places[at[starts[longest]], 0], words.places[behind[ends[longest]] - 1, 1]
    return words.data[first:last].tobytes().decode()
