"""The loops of the selection, compiled by numba: k largest products, gains, lazy greedy. Whole numbers throughout."""

from __future__ import annotations

from typing import Any

import numpy as np

from thousandfold.filters.backend import kernel

Array = Any  # numba infers the types; the callers state them


@kernel
def largest(queries: Array, others: Array, places: Array, rows: Array, dots: Array) -> None:
    """The k of `others` (m, d) int16 with the largest product with each of `queries`, falling.

    `places` are the rows that the others are, ascending; equal products go to the lower row.
    """
    k = rows.shape[1]
    dimensions = queries.shape[1]
    products = np.empty(len(others), np.int32)
    for query in range(len(queries)):
        for other in range(len(others)):  # a loop of its own: it becomes vector instructions
            total = np.int32(0)
            for dimension in range(dimensions):
                total += np.int32(queries[query, dimension]) * np.int32(others[other, dimension])
            products[other] = total
        filled = 0
        least = np.int32(-(1 << 30))
        for other in range(len(others)):
            value = products[other]
            if value <= least:  # places ascend, so an equal one that comes later stays out
                continue
            place = filled if filled < k else k - 1
            while place > 0 and dots[query, place - 1] < value:
                dots[query, place] = dots[query, place - 1]
                rows[query, place] = rows[query, place - 1]
                place -= 1
            dots[query, place] = value
            rows[query, place] = places[other]
            filled = min(filled + 1, k)
            if filled == k:
                least = dots[query, k - 1]


@kernel
def terms_of(fixed: Array, state: Array, row: int, out: Array) -> Any:
    """Writes the gain of a row by term (quality, likeness, quotas, tuples); returns the sum."""
    likeness = np.int64(0)
    for link in range(fixed.starts[row], fixed.starts[row + 1]):
        nearer = fixed.likeness[link] - state.best[fixed.served[link]]
        if nearer > 0:
            likeness += nearer
    quotas = np.int64(0)
    for axis in range(len(fixed.first_level)):
        if state.left[fixed.first_level[axis] + fixed.codes[row, axis]] > 0:
            quotas += fixed.quota
    tuples = np.int64(0)
    for number in range(len(fixed.tuple_start)):
        if not state.met[place_of(fixed, row, number)]:
            tuples += fixed.tuple_worth[number]
    out[0] = fixed.worth[row]
    out[1] = likeness
    out[2] = quotas
    out[3] = tuples
    return out[0] + out[1] + out[2] + out[3]


@kernel
def place_of(fixed: Array, row: int, number: int) -> Any:
    """Where the row's levels on the axes of a tuple stand in the table of all tuples."""
    place = np.int64(fixed.codes[row, fixed.tuple_axes[number, 0]])
    place = place * fixed.tuple_sizes[number, 0] + fixed.codes[row, fixed.tuple_axes[number, 1]]
    if fixed.tuple_axes[number, 2] >= 0:
        place = place * fixed.tuple_sizes[number, 1] + fixed.codes[row, fixed.tuple_axes[number, 2]]
    return fixed.tuple_start[number] + place


@kernel
def take(fixed: Array, state: Array, row: int) -> None:
    for link in range(fixed.starts[row], fixed.starts[row + 1]):
        served = fixed.served[link]
        state.best[served] = max(state.best[served], fixed.likeness[link])
    for axis in range(len(fixed.first_level)):
        state.left[fixed.first_level[axis] + fixed.codes[row, axis]] -= 1
    for number in range(len(fixed.tuple_start)):
        state.met[place_of(fixed, row, number)] = True


@kernel
def gains(fixed: Array, state: Array, out: Array) -> None:
    """The gain of every row now, each by term."""
    for row in range(len(out)):
        terms_of(fixed, state, row, out[row])


@kernel
def allowed(limits: Array, row: int) -> bool:
    for column in range(len(limits.first_value)):
        value = limits.codes[row, column]
        if value >= 0 and limits.left[limits.first_value[column] + value] <= 0:
            return False
    return True


@kernel
def comes_before(heap: Array, one: int, other: int) -> Any:
    """Whether the entry at one place has the larger gain, or the same and the lower row."""
    if heap[one, 0] != heap[other, 0]:
        return heap[one, 0] > heap[other, 0]
    return heap[one, 1] < heap[other, 1]


@kernel
def sift_down(heap: Array, size: int, place: int) -> None:
    while 2 * place + 1 < size:
        child = 2 * place + 1
        if child + 1 < size and comes_before(heap, child + 1, child):
            child += 1
        if not comes_before(heap, child, place):
            return
        for column in range(3):
            heap[place, column], heap[child, column] = heap[child, column], heap[place, column]
        place = child


@kernel
def build(heap: Array) -> None:
    for place in range(len(heap) // 2 - 1, -1, -1):
        sift_down(heap, len(heap), place)


@kernel
def fill_until(
    fixed: Array, state: Array, limits: Array, heap: Array, size: int, wanted: int, rows: Array, terms: Array, done: int
) -> tuple[int, int]:
    """Lazy greedy from `done` rows to `wanted`, or until none is left; returns (rows taken, size of the heap).

    A line of the heap is a gain, its row, and how many rows were taken when it was reckoned.
    """
    while size > 0 and done < wanted:
        row = heap[0, 1]
        if allowed(limits, row) and heap[0, 2] < done:
            heap[0, 0] = terms_of(fixed, state, row, terms[done])
            heap[0, 2] = done
            sift_down(heap, size, 0)
            continue
        if allowed(limits, row):
            terms_of(fixed, state, row, terms[done])
            rows[done] = row
            done += 1
            take(fixed, state, row)
            for column in range(len(limits.first_value)):
                value = limits.codes[row, column]
                if value >= 0:
                    limits.left[limits.first_value[column] + value] -= 1
        size -= 1
        for column in range(3):
            heap[0, column] = heap[size, column]
        sift_down(heap, size, 0)
    return done, size
