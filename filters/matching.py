"""Kernels that find which sets resemble which: buckets of equal band hashes, then exact comparison.

Sets are numbered in the order in which they are taken.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .backend import kernel
from .kernels import FACTOR, SHIFT
from .sketching import jaccard

Array = Any


@kernel
def number_sets(identities: Array, sizes: Array, order: Array, numbers: Array, firsts: Array) -> int:
    """Numbers the sets in the order in which rows are taken: equal sets share a number, an empty one has -1.

    `firsts` receives the first row of each number; returned is how many there are.
    """
    size = 8
    while size < 2 * len(order):
        size *= 2
    table = np.full(size, -1, np.int64)
    mask = np.int64(size - 1)
    count = 0
    for row in order:
        numbers[row] = -1
        if sizes[row] == 0:
            continue
        slot = np.int64(identities[row, 1] >> SHIFT) & mask
        while table[slot] >= 0:
            other = firsts[table[slot]]
            if (
                identities[row, 0] == identities[other, 0]
                and identities[row, 1] == identities[other, 1]
                and sizes[row] == sizes[other]
            ):
                break
            slot = (slot + 1) & mask
        if table[slot] < 0:
            table[slot] = count
            firsts[count] = row
            count += 1
        numbers[row] = table[slot]
    return count


@kernel
def bucket_heads(hashes: Array, heads: Array) -> None:
    """heads[i] = the first set with the band hash of set i."""
    size = 8
    while size < 2 * len(hashes):
        size *= 2
    table = np.full(size, -1, np.int32)
    mask = np.int64(size - 1)
    for number in range(len(hashes)):
        slot = np.int64((np.uint64(hashes[number]) * FACTOR) >> SHIFT) & mask
        while table[slot] >= 0 and hashes[table[slot]] != hashes[number]:
            slot = (slot + 1) & mask
        if table[slot] < 0:
            table[slot] = number
        heads[number] = table[slot]


@kernel
def root_of(links: Array, number: int) -> int:
    while links[number] != number:
        links[number] = links[links[number]]
        number = links[number]
    return number


@kernel
def alike(minimums: Array, one: int, other: int, least: int) -> bool:
    """Whether two sets agree in at least so many minima, of which each is held as its low byte."""
    agreeing = 0
    for place in range(minimums.shape[1]):
        agreeing += minimums[one, place] == minimums[other, place]
    return agreeing >= least


@kernel
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
    """Takes the sets one by one; a set stays unless it resembles one that stayed before it.

    twins[i] and ratios[i] receive the most similar of those and the Jaccard with it, or -1 where set i stays.
    `buckets[i]` are the buckets of set i, -1 for none; bucket b may hold up to starts[b + 1] - starts[b] sets that
    stayed. `closed` sets do not stay whatever they resemble. `tally` counts pairs looked at, and pairs compared.
    Returns how many sets stayed in each bucket, and which: bucket b's lie from starts[b] on.
    """
    filled = np.zeros(len(starts) - 1, np.int32)
    slots = np.empty(starts[-1], np.int32)
    seen = np.full(len(closed), -1, np.int32)
    for number in range(len(closed)):
        best, twin = -1.0, -1
        start, end = offsets[number], offsets[number + 1]
        for bucket in buckets[number]:
            if bucket < 0:
                continue
            for place in range(starts[bucket], starts[bucket] + filled[bucket]):
                other = slots[place]
                if seen[other] == number:
                    continue
                seen[other] = number
                tally[0] += 1
                if not alike(minimums, number, other, least):
                    continue
                tally[1] += 1
                ratio = jaccard(values, start, end, values, offsets[other], offsets[other + 1], threshold)
                if ratio >= threshold:
                    links[root_of(links, number)] = root_of(links, other)
                    if ratio > best or (ratio == best and other < twin):
                        best, twin = ratio, other
        twins[number] = twin
        ratios[number] = best
        if twin < 0 and not closed[number]:
            for bucket in buckets[number]:
                if bucket >= 0 and starts[bucket] + filled[bucket] < starts[bucket + 1]:
                    slots[starts[bucket] + filled[bucket]] = number
                    filled[bucket] += 1
    return filled, slots


@kernel
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
    """Writes the sets that stayed after set `number` was dropped and have a Jaccard above `least`; how many.

    A set may be written once per bucket.
    """
    count = 0
    for bucket in buckets[number]:
        if bucket < 0:
            continue
        for place in range(starts[bucket], starts[bucket] + filled[bucket]):
            other = slots[place]
            if other <= number:
                continue
            ratio = jaccard(
                values, offsets[number], offsets[number + 1], values, offsets[other], offsets[other + 1], least
            )
            if ratio > least:
                found[count], ratios[count] = other, ratio
                count += 1
    return count


@kernel
def first_place(hashes: Array, order: Array, wanted: Any) -> int:
    """The first place in `order` whose hash is not below `wanted`."""
    low, high = 0, len(order)
    while low < high:
        middle = (low + high) // 2
        if hashes[order[middle]] < wanted:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def touched_rows(bands: Array, hashes: Array, orders: Array, out: Array) -> None:
    """Whether a row shares any band hash with a set of the index: `hashes[band]` by set, `orders[band]` sorts it."""
    for row in range(len(bands)):
        out[row] = False
        for band in range(len(hashes)):
            place = first_place(hashes[band], orders[band], bands[row, band])
            if place < len(orders[band]) and hashes[band, orders[band, place]] == bands[row, band]:
                out[row] = True
                break


@kernel
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
    """Of each row the most similar set of the index from the threshold up, ties to the lowest; -1 for none.

    Of a bucket the first `most` sets are compared.
    """
    seen = np.full(other_offsets.shape[0] - 1, -1, np.int32)
    for row in range(len(bands)):
        best, twin = -1.0, -1
        for band in range(len(hashes)):
            place = first_place(hashes[band], orders[band], bands[row, band])
            end = min(place + most, len(orders[band]))
            while place < end and hashes[band, orders[band, place]] == bands[row, band]:
                other = orders[band, place]
                place += 1
                if seen[other] == row:
                    continue
                seen[other] = row
                ratio = jaccard(
                    values,
                    offsets[row],
                    offsets[row + 1],
                    others,
                    other_offsets[other],
                    other_offsets[other + 1],
                    max(threshold, best),
                )
                if ratio >= threshold and (ratio > best or (ratio == best and other < twin)):
                    best, twin = ratio, other
        found[row] = twin
        ratios[row] = best
