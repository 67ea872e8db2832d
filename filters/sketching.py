"""Kernels over sets of shingle hashes: MinHash signatures, bands, and what two sets have in common."""

from __future__ import annotations

from typing import Any

import numpy as np

from .backend import kernel
from .kernels import FACTOR, LONGEST_TABLE, MIX_1, ONE, distinct, mix, most_units, shingles_of

MURMUR_1 = np.uint32(0x85EBCA6B)
MURMUR_2 = np.uint32(0xC2B2AE35)
LAST = np.uint32(0xFFFFFFFF)

Array = Any


@kernel
def premix(value: Any) -> Any:
    """The 32-bit finalizer of MurmurHash3, which datasketch's affine32 puts before its permutations."""
    hashed = np.uint32(value)
    hashed = np.uint32(hashed ^ (hashed >> np.uint32(16)))
    hashed = np.uint32(hashed * MURMUR_1)
    hashed = np.uint32(hashed ^ (hashed >> np.uint32(13)))
    hashed = np.uint32(hashed * MURMUR_2)
    return np.uint32(hashed ^ (hashed >> np.uint32(16)))


@kernel
def minima(hashes: Array, count: int, factors: Array, terms: Array, out: Array) -> None:
    """out[k] = min over hashes h of factors[k] * premix(h) + terms[k] modulo 2^32; 2^32 - 1 where there are none."""
    for k in range(len(out)):
        out[k] = LAST
    place = 0
    while place + 4 <= count:  # four at a time: a minimum is read and written once for four hashes
        one, two = premix(hashes[place]), premix(hashes[place + 1])
        three, four = premix(hashes[place + 2]), premix(hashes[place + 3])
        for k in range(len(out)):
            factor, term = factors[k], terms[k]
            first = min(np.uint32(one * factor + term), np.uint32(two * factor + term))
            second = min(np.uint32(three * factor + term), np.uint32(four * factor + term))
            out[k] = min(out[k], min(first, second))
        place += 4
    while place < count:
        one = premix(hashes[place])
        for k in range(len(out)):
            out[k] = min(out[k], np.uint32(one * factors[k] + terms[k]))
        place += 1


@kernel
def signature_rows(values: Array, offsets: Array, factors: Array, terms: Array, out: Array) -> None:
    """The signature of each set, as a row of `out`."""
    for row in range(len(offsets) - 1):
        minima(values[offsets[row] : offsets[row + 1]], offsets[row + 1] - offsets[row], factors, terms, out[row])


@kernel
def band_hashes(signature: Array, rows: int, out: Array) -> None:
    """A 32-bit hash of each band of `rows` minima."""
    for band in range(len(out)):
        value = np.uint64(rows)
        for place in range(band * rows, (band + 1) * rows):
            value = (value ^ np.uint64(signature[place])) * FACTOR
        out[band] = np.uint32(mix(value))


@kernel
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
    """Of each text: two 64-bit sums that name its set of shingles, the size of that set, and its band hashes."""
    scratch = np.empty(most_units(offsets), np.uint64)
    table = np.empty(min(4 * len(scratch) + 8, 4 * LONGEST_TABLE), np.uint64)
    signature = np.empty(len(factors), np.uint32)
    for row in range(len(offsets) - 1):
        count = shingles_of(data, offsets[row], offsets[row + 1], lower, flags, ngram, scratch)
        count = distinct(scratch, count, table)
        one = two = np.uint64(0)
        for place in range(count):
            one += scratch[place]
            two += mix(scratch[place] * FACTOR + ONE)
        identities[row, 0] = one
        identities[row, 1] = two
        sizes[row] = count
        minima(scratch, count, factors, terms, signature)
        band_hashes(signature, rows, bands[row])


@kernel
def content_rows(data: Array, offsets: Array, out: Array) -> None:
    """A 64-bit hash of each text's bytes: eight at a time, each mixed with its place, then summed."""
    longest = 0
    for row in range(len(offsets) - 1):
        longest = max(longest, offsets[row + 1] - offsets[row])
    scratch = np.zeros(longest // 8 * 8 + 8, np.uint8)
    words = scratch.view(np.uint64)
    for row in range(len(offsets) - 1):
        length = offsets[row + 1] - offsets[row]
        count = (length + 7) // 8
        if count:
            words[count - 1] = 0
        scratch[:length] = data[offsets[row] : offsets[row + 1]]
        total = np.uint64(length)
        for place in range(count):
            total += mix((words[place] ^ (np.uint64(place) * MIX_1)) * FACTOR)
        out[row] = mix(total)


@kernel
def jaccard(values: Array, i: int, i_end: int, others: Array, j: int, j_end: int, least: float) -> float:
    """Exact Jaccard similarity of two sorted sets, or -1 as soon as it is certain to lie below `least`."""
    total = (i_end - i) + (j_end - j)
    needed = np.int64(least * total / (1 + least)) - 1  # |A ∩ B| where J = least, rounded down to be safe
    if min(i_end - i, j_end - j) < needed:
        return -1.0
    shared = 0
    while i < i_end and j < j_end:
        one, other = values[i], others[j]
        if one == other:
            shared += 1
            i += 1
            j += 1
        else:
            i += one < other
            j += other < one
            if shared + min(i_end - i, j_end - j) < needed:
                return -1.0
    return shared / (total - shared)
