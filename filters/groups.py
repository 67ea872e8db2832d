"""Rows with the same set of shingles are one group; groups are compared, each with those that stayed before it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .backend import backend
from .columns import TextColumn, in_threads
from .minhash import Sketches, Sketching, signatures_of
from .shingles import ShingleColumn, shingle_columns

MOST_PER_BUCKET = 64
"""Texts that stayed in one bucket are unlike each other: what they share is scaffolding. After so many, the next are
not compared with more of them, so n texts on one scaffold cost 64 n comparisons a band and not n². A copy is still
found in the bands that its own words decide: at J = .8 with .6 of scaffolding, 25 bands of 5 find 99.9 %."""

Whole = NDArray[np.int64]


@dataclass(frozen=True)
class Groups:
    """The distinct sets of a column, numbered in the order in which they are taken."""

    numbers: Whole  # of each row its set, or -1 where it has no shingles
    firsts: Whole  # of each set the row taken first
    order: Whole  # rows as they are taken
    places: Whole  # of each row its place in that order
    column: TextColumn  # of each set the text of its first row
    bands: NDArray[np.uint32]  # (sets, b)

    @classmethod
    def of(cls, sketches: Sketches, order: Whole, column: TextColumn) -> Groups:
        numbers = np.full(len(order), -1, np.int64)
        firsts = np.full(len(order), -1, np.int64)
        count = backend().number_sets(sketches.identities, sketches.sizes, order, numbers, firsts)
        firsts = firsts[:count].copy()
        places = np.empty_like(order)
        places[order] = np.arange(len(order))
        return cls(numbers, firsts, order, places, column.take(firsts), sketches.bands[firsts])

    def rows_of(self, number: int) -> Whole:
        """The rows of one set."""
        rows, sorted_numbers = self._by_number
        start, end = np.searchsorted(sorted_numbers, [number, number + 1])
        return rows[start:end]

    @cached_property
    def _by_number(self) -> tuple[Whole, Whole]:
        rows = np.argsort(self.numbers, kind="stable")
        return rows, self.numbers[rows]


@dataclass(frozen=True)
class Taken:
    """What became of each set: -1 in `twins` and `keys` where it stayed."""

    twins: Whole  # the set that it copies
    keys: Whole  # the key number in `against` that it copies
    ratios: NDArray[np.float64]  # Jaccard with that
    roots: Whole  # one number per cluster
    improvements: list[tuple[int, int, float]]  # (set, nearer set that stayed later, Jaccard), as they were taken


def take(groups: Groups, sketching: Sketching, keys: Whole | None, key_ratios: NDArray[np.float64] | None) -> Taken:
    """Takes the sets in order; those with a key copy an earlier text and do not stay."""
    count = len(groups.firsts)
    heads, active = _buckets(groups.bands)
    sets = shingle_columns(groups.column.take(active), sketching.ngram)
    buckets, starts = _numbered(heads[:, active], active, count)
    copied = np.full(count, -1, np.int64) if keys is None else keys
    tally = np.zeros(2, np.int64)
    twins, ratios = np.full(len(active), -1, np.int64), np.full(len(active), -1.0)
    links = np.arange(len(active))
    minimums = signatures_of(sets, sketching).astype(np.uint8)
    closed = copied[active] >= 0
    threshold, least = float(sketching.threshold), sketching.least_agreeing()
    filled, slots = backend().take_sets(
        *sets, minimums, buckets, starts, threshold, least, closed, twins, ratios, links, tally
    )
    later = _improvements(groups, active, sets, buckets, starts, filled, slots, closed, twins, ratios)
    all_twins, all_ratios = np.full(count, -1, np.int64), np.full(count, -1.0)
    all_twins[active], all_ratios[active] = _of_all(twins, active), ratios
    if key_ratios is not None:
        all_ratios = np.where(copied >= 0, key_ratios, all_ratios)
    return Taken(all_twins, copied, all_ratios, _roots(links, active, copied), list(later))


def _of_all(numbers: Whole, active: Whole) -> Whole:
    """Numbers among the active sets as numbers among all; -1 stays."""
    return np.where(numbers < 0, -1, active[numbers]) if len(active) else numbers


def _buckets(bands: NDArray[np.uint32]) -> tuple[NDArray[np.int32], Whole]:
    """(b, sets): the first set in each set's bucket of a band; and the sets that share any bucket."""
    heads = np.empty((bands.shape[1], len(bands)), np.int32)
    shared = np.zeros(len(bands), np.bool_)
    own = np.arange(len(bands), dtype=np.int32)

    def work(band: int) -> NDArray[np.bool_]:
        backend().bucket_heads(np.ascontiguousarray(bands[:, band]), heads[band])
        moved: NDArray[np.bool_] = np.not_equal(heads[band], own)
        moved[heads[band][moved]] = True
        return moved

    for moved in in_threads(work, range(len(heads))):
        shared |= moved
    return heads, np.flatnonzero(shared)


def _numbered(heads: NDArray[np.int32], active: Whole, count: int) -> tuple[NDArray[np.int32], Whole]:
    """(sets, b) bucket numbers, -1 where a set is alone in it; and where each bucket's room begins."""
    among = np.zeros(count, np.int32)
    among[active] = np.arange(len(active), dtype=np.int32)
    buckets = np.empty((len(active), len(heads)), np.int32)
    rooms = [np.zeros(1, np.int64)]
    filled = 0
    for band in range(len(heads)):
        members = np.bincount(among[heads[band]], minlength=len(active))
        several = members > 1
        numbers = np.where(several, filled + np.cumsum(several) - 1, -1)
        buckets[:, band] = numbers[among[heads[band]]]
        rooms.append(np.minimum(members[several], MOST_PER_BUCKET))
        filled += int(np.count_nonzero(several))
    return buckets, np.cumsum(np.concatenate(rooms))


def _improvements(
    groups: Groups,
    active: Whole,
    sets: ShingleColumn,
    buckets: NDArray[np.int32],
    starts: Whole,
    filled: NDArray[np.int32],
    slots: NDArray[np.int32],
    closed: NDArray[np.bool_],
    twins: Whole,
    ratios: NDArray[np.float64],
) -> Iterator[tuple[int, int, float]]:
    """Of sets that were dropped and have more rows: what stayed after the first of them and is nearer still."""
    sizes = np.bincount(groups.numbers[groups.numbers >= 0], minlength=len(groups.firsts))[active]
    found = np.empty(buckets.shape[1] * MOST_PER_BUCKET, np.int64)
    nearer = np.empty(len(found))
    for number in np.flatnonzero((sizes > 1) & (twins >= 0) & ~closed).tolist():
        best = float(ratios[number])
        count: Any = backend().later_twins(*sets, buckets, starts, filled, slots, number, best, found, nearer)
        for other, ratio in sorted(zip(found[:count].tolist(), nearer[:count].tolist(), strict=True)):
            if ratio > best:
                best = ratio
                yield int(active[number]), int(active[other]), ratio


def _roots(links: Whole, active: Whole, keys: Whole) -> Whole:
    """One number per cluster: sets linked by likeness, and sets that copy the same key."""
    parents = np.arange(len(keys))
    parents[active] = _of_all(links, active)
    _, first, place = np.unique(keys, return_index=True, return_inverse=True)
    roots = _resolved(parents)
    for number in np.flatnonzero(keys >= 0).tolist():
        one, other = _root(roots, number), _root(roots, int(first[place[number]]))
        roots[max(one, other)] = min(one, other)
    return _resolved(roots)


def _root(parents: Whole, number: int) -> int:
    while parents[number] != number:
        number = int(parents[number])
    return number


def _resolved(parents: Whole) -> Whole:
    """Every set's last parent: each pass halves the longest path."""
    while not np.array_equal(parents, above := parents[parents]):
        parents = above
    return parents
