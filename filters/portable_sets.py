"""Signatures, buckets and comparisons in NumPy: the functions of `sketching` and `matching`, with the same results."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .portable_text import FACTOR, MIX_1, Hashes, among, mixed, shingle_rows

Array = NDArray[Any]

# The permutations of so many hashes at once take 8 MiB with 128 of them.
_BATCH = 16_384


def signature_rows(values: Array, offsets: Array, factors: Array, terms: Array, out: Array) -> None:
    for row in range(len(offsets) - 1):
        hashes = _premixed(values[offsets[row] : offsets[row + 1]].astype(np.uint32))
        out[row] = 2**32 - 1
        for start in range(0, len(hashes), _BATCH):
            permuted = hashes[start : start + _BATCH, None] * factors + terms
            np.minimum(out[row], permuted.min(axis=0), out=out[row])


def _premixed(hashes: NDArray[np.uint32]) -> NDArray[np.uint32]:
    hashes = hashes ^ (hashes >> np.uint32(16))
    hashes = hashes * np.uint32(0x85EBCA6B)
    hashes = hashes ^ (hashes >> np.uint32(13))
    hashes = hashes * np.uint32(0xC2B2AE35)
    return hashes ^ (hashes >> np.uint32(16))


def sketch_rows(
    data: Array,
    offsets: Array,
    lower: Array,
    flags: Array,
    ngram: int,
    factors: Array,
    terms: Array,
    rows: int,
    identities: Array,
    sizes: Array,
    bands: Array,
) -> None:
    values = shingle_rows(data, offsets, lower, flags, ngram, sizes)
    ends = np.concatenate([[0], np.cumsum(sizes)])
    second = mixed(values * FACTOR + np.uint64(1))
    for row, (start, end) in enumerate(pairwise(ends)):
        identities[row] = values[start:end].sum(), second[start:end].sum()
    signatures = np.empty((len(sizes), len(factors)), np.uint32)
    signature_rows(values, ends, factors, terms, signatures)
    for band in range(bands.shape[1]):
        hashed = np.full(len(sizes), rows, np.uint64)
        for place in range(band * rows, (band + 1) * rows):
            hashed = (hashed ^ signatures[:, place].astype(np.uint64)) * FACTOR
        bands[:, band] = mixed(hashed).astype(np.uint32)


def content_rows(data: Array, offsets: Array, out: Array) -> None:
    for row in range(len(offsets) - 1):
        text = data[offsets[row] : offsets[row + 1]].tobytes()
        words = np.frombuffer(text + bytes(-len(text) % 8), np.uint64)
        places = np.arange(len(words), dtype=np.uint64) * MIX_1
        total = np.full(1, len(text), np.uint64) + mixed((words ^ places) * FACTOR).sum(dtype=np.uint64)
        out[row] = mixed(total)[0]


def number_sets(identities: Array, sizes: Array, order: Array, numbers: Array, firsts: Array) -> int:
    known: dict[tuple[int, ...], int] = {}
    for row in order.tolist():
        numbers[row] = -1
        if sizes[row]:
            number = known.setdefault((*identities[row].tolist(), int(sizes[row])), len(known))
            if number == len(known) - 1 and firsts[number] < 0:
                firsts[number] = row
            numbers[row] = number
    return len(known)


def bucket_heads(hashes: Array, heads: Array) -> None:
    _, first, place = np.unique(hashes, return_index=True, return_inverse=True)
    heads[:] = first[place]


def _jaccard(one: Hashes, other: Hashes) -> float:
    shared = int(np.count_nonzero(among(one, other)))
    return shared / (len(one) + len(other) - shared)


def _root(links: Array, number: int) -> int:
    while links[number] != number:
        links[number] = links[links[number]]
        number = int(links[number])
    return number


def take_sets(
    values: Array,
    offsets: Array,
    minimums: Array,
    buckets: Array,
    starts: Array,
    threshold: float,
    least: int,
    closed: Array,
    twins: Array,
    ratios: Array,
    links: Array,
    tally: Array,
) -> tuple[Array, Array]:
    filled = np.zeros(len(starts) - 1, np.int32)
    slots = np.zeros(starts[-1], np.int32)
    for number in range(len(closed)):
        best, twin = -1.0, -1
        own = buckets[number][buckets[number] >= 0].tolist()
        for other in _stayed(own, starts, filled, slots):
            tally[0] += 1
            if np.count_nonzero(minimums[number] == minimums[other]) < least:
                continue
            tally[1] += 1
            ratio = _jaccard(values[offsets[number] : offsets[number + 1]], values[offsets[other] : offsets[other + 1]])
            if ratio >= threshold:
                links[_root(links, number)] = _root(links, other)
                if ratio > best:
                    best, twin = ratio, other
        twins[number], ratios[number] = twin, best
        if twin < 0 and not closed[number]:
            for bucket in own:
                if starts[bucket] + filled[bucket] < starts[bucket + 1]:
                    slots[starts[bucket] + filled[bucket]] = number
                    filled[bucket] += 1
    return filled, slots


def _stayed(buckets: Iterable[int], starts: Array, filled: Array, slots: Array) -> list[int]:
    """The sets that stayed in any of these buckets, ascending."""
    lists = [slots[starts[bucket] : starts[bucket] + filled[bucket]].tolist() for bucket in buckets]
    return sorted({number for found in lists for number in found})


def later_twins(
    values: Array,
    offsets: Array,
    buckets: Array,
    starts: Array,
    filled: Array,
    slots: Array,
    number: int,
    least: float,
    found: Array,
    ratios: Array,
) -> int:
    count = 0
    own = values[offsets[number] : offsets[number + 1]]
    for other in _stayed(buckets[number][buckets[number] >= 0].tolist(), starts, filled, slots):
        ratio = _jaccard(own, values[offsets[other] : offsets[other + 1]])
        if other > number and ratio > least:
            found[count], ratios[count] = other, ratio
            count += 1
    return count


def touched_rows(bands: Array, hashes: Array, orders: Array, out: Array) -> None:
    out[:] = False
    for band in range(len(hashes)):
        out |= among(bands[:, band], hashes[band][orders[band]])


def nearest_rows(
    values: Array,
    offsets: Array,
    bands: Array,
    hashes: Array,
    orders: Array,
    others: Array,
    other_offsets: Array,
    threshold: float,
    most: int,
    found: Array,
    ratios: Array,
) -> None:
    sorted_hashes = [hashes[band][orders[band]] for band in range(len(hashes))]
    for row in range(len(bands)):
        candidates: set[int] = set()
        for band, in_order in enumerate(sorted_hashes):
            start = np.searchsorted(in_order, bands[row, band], "left")
            end = min(np.searchsorted(in_order, bands[row, band], "right"), start + most)
            candidates.update(orders[band][start:end].tolist())
        best, twin = -1.0, -1
        for other in sorted(candidates):
            ratio = _jaccard(
                values[offsets[row] : offsets[row + 1]], others[other_offsets[other] : other_offsets[other + 1]]
            )
            if ratio >= threshold and ratio > best:
                best, twin = ratio, other
        found[row], ratios[row] = twin, best
