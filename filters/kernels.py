"""Shingles and signatures of a chunk of texts, compiled by numba. `portable` has the same functions in NumPy.

A text is UTF-8; a lone surrogate is its three bytes. Everything is whole-number arithmetic modulo 2^32 or 2^64, so
the results are the same on every machine.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .backend import kernel
from .characters import DOTTED_CAPITAL_I, MARK, SIZE, SPACE, UNSPACED, WORD

# FNV-1a over code points (Fowler, Noll, Vo), then the 64-bit finalizer of MurmurHash3.
FNV_BASIS = np.uint64(0xCBF29CE484222325)
FNV_PRIME = np.uint64(0x100000001B3)
FACTOR = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: odd, so each step is a bijection of the hash so far
MIX_1 = np.uint64(0xFF51AFD7ED558CCD)
MIX_2 = np.uint64(0xC4CEB9FE1A85EC53)
SHIFT = np.uint64(33)
ONE = np.uint64(1)
CHARACTERS = np.uint64(1 << 32)  # added to the length in a shingle of characters, which is no shingle of words
# A longer list of hashes is sorted to find the distinct ones: a table of them would not fit the processor's cache.
LONGEST_TABLE = 1 << 16

Array = Any  # numba infers the types; the callers in shingles.py and sketches.py state them


@kernel
def mix(value: Any) -> Any:
    value ^= value >> SHIFT
    value *= MIX_1
    value ^= value >> SHIFT
    value *= MIX_2
    return value ^ (value >> SHIFT)


@kernel
def decode(data: Array, place: Any) -> tuple[Any, Any]:
    """The code point at a place, and the place after it."""
    byte = np.int64(data[place])
    if byte < 0x80:
        return byte, place + 1
    if byte < 0xE0:
        return (byte & 0x1F) << 6 | (np.int64(data[place + 1]) & 0x3F), place + 2
    if byte < 0xF0:
        high = (byte & 0x0F) << 12 | (np.int64(data[place + 1]) & 0x3F) << 6
        return high | (np.int64(data[place + 2]) & 0x3F), place + 3
    high = (byte & 0x07) << 18 | (np.int64(data[place + 1]) & 0x3F) << 12
    return high | (np.int64(data[place + 2]) & 0x3F) << 6 | (np.int64(data[place + 3]) & 0x3F), place + 4


@kernel
def by_characters(data: Array, start: int, end: int, flags: Array) -> bool:
    """Whether more than half of the word characters are of scripts written without spaces."""
    highest = np.uint8(0)
    for byte in data[start:end]:
        highest |= byte
    if highest < 0x80:
        return False
    words = unspaced = 0
    place: Any = start
    while place < end:
        point, place = decode(data, place)
        if point < SIZE and flags[point] & WORD:
            words += 1
            unspaced += (flags[point] & UNSPACED) != 0
    return 2 * unspaced > words


@kernel
def hash_words(data: Array, start: int, end: int, lower: Array, flags: Array, out: Array) -> int:
    """Writes the hash of each word of `re.findall(r"\\w+", text.lower())`; returns how many.

    An ASCII character costs no branch that depends on it: a processor cannot guess where words end.
    """
    count = 0
    inside = False
    value = FNV_BASIS
    place: Any = start
    while place < end:
        byte = data[place]
        if byte < 0x80:
            out[count] = value
            word = (flags[byte] & WORD) != 0
            count += inside and not word
            value = (value ^ np.uint64(lower[byte])) * FNV_PRIME if word else FNV_BASIS
            inside = word
            place += 1
            continue
        point, place = decode(data, place)
        word = point < SIZE and (flags[point] & WORD) != 0
        if word:
            value = (value ^ np.uint64(lower[point])) * FNV_PRIME
            inside = True
        if inside and (not word or point == DOTTED_CAPITAL_I):
            out[count] = value  # the lower case of İ is an i and a combining dot, which ends the word
            count += 1
            inside = False
        if not inside:
            value = FNV_BASIS
    if inside:
        out[count] = value
        count += 1
    for number in range(count):
        out[number] = mix(out[number])
    return count


@kernel
def hash_characters(data: Array, start: int, end: int, lower: Array, flags: Array, out: Array) -> int:
    """Writes the hash of each lowered word character and combining mark; returns how many."""
    count = 0
    place: Any = start
    while place < end:
        point, place = decode(data, place)
        if point < SIZE and flags[point] & (WORD | MARK):
            out[count] = mix((FNV_BASIS ^ np.uint64(lower[point])) * FNV_PRIME)
            count += 1
    return count


@kernel
def hash_whole(data: Array, start: int, end: int, lower: Array, flags: Array, out: Array) -> int:
    """Writes one hash of a text without words, white space at its ends left out; returns 0 if nothing else is there."""
    value = kept = FNV_BASIS
    begun = False
    place: Any = start
    while place < end:
        point, place = decode(data, place)
        space = point < SIZE and (flags[point] & SPACE) != 0
        if begun or not space:
            begun = True
            value = (value ^ np.uint64(lower[point] if point < SIZE else point)) * FNV_PRIME
            if not space:
                kept = value
    out[0] = mix(kept)
    return 1 if begun else 0


@kernel
def shingles_of(data: Array, start: int, end: int, lower: Array, flags: Array, ngram: int, out: Array) -> int:
    """Writes the shingle hashes of one text in reading order, repeats included; returns how many."""
    characters = by_characters(data, start, end, flags)
    if characters:
        count = hash_characters(data, start, end, lower, flags, out)
    else:
        count = hash_words(data, start, end, lower, flags, out)
    if count == 0:
        count = hash_whole(data, start, end, lower, flags, out)
    if count == 0:
        return 0
    length = min(ngram, count)
    tag = np.uint64(length) + (CHARACTERS if characters else np.uint64(0))  # five words never equal six
    leaving = ONE
    for _ in range(length):
        leaving *= FACTOR
    total = np.uint64(0)
    for place in range(length - 1):
        total = total * FACTOR + out[place]
    gone = np.uint64(0)
    for place in range(count - length + 1):
        # The hash of a word is read here for the last time before its own place is written over.
        total = total * FACTOR + out[place + length - 1] - gone * leaving
        gone = out[place]
        value = mix(total + tag * MIX_1)
        out[place] = value if value != 0 else ONE  # 0 marks a free place in the tables
    return count - length + 1


@kernel
def distinct(hashes: Array, count: int, table: Array) -> int:
    """Moves the distinct ones of the first `count` hashes to the front; returns how many. Order is not kept."""
    kept = 0
    if count > LONGEST_TABLE:
        hashes[:count].sort()
        for place in range(count):
            if place == 0 or hashes[place] != hashes[kept - 1]:
                hashes[kept] = hashes[place]
                kept += 1
        return kept
    size = 8
    while size < 2 * count:
        size *= 2
    table[:size] = 0
    mask = np.uint64(size - 1)
    for place in range(count):
        value = hashes[place]
        slot = value & mask
        while table[slot] != 0 and table[slot] != value:
            slot = (slot + ONE) & mask
        if table[slot] == 0:
            table[slot] = value
            hashes[kept] = value
            kept += 1
    return kept


@kernel
def most_units(offsets: Array) -> int:
    """No text has more: two words have a byte between them, and so a character each of two bytes on average."""
    longest = 0
    for row in range(len(offsets) - 1):
        longest = max(longest, offsets[row + 1] - offsets[row])
    return longest // 2 + 3


@kernel
def shingle_rows(data: Array, offsets: Array, lower: Array, flags: Array, ngram: int, counts: Array) -> Array:
    """Sorted distinct shingle hashes of each text, one text after the other; `counts` receives their numbers."""
    rows = len(offsets) - 1
    scratch = np.empty(most_units(offsets), np.uint64)
    table = np.empty(min(4 * len(scratch) + 8, 4 * LONGEST_TABLE), np.uint64)
    values = np.empty((offsets[rows] - offsets[0]) // 4 + rows + 8, np.uint64)
    filled = 0
    for row in range(rows):
        count = shingles_of(data, offsets[row], offsets[row + 1], lower, flags, ngram, scratch)
        count = distinct(scratch, count, table)
        scratch[:count].sort()
        if filled + count > len(values):
            grown = np.empty(2 * (filled + count), np.uint64)
            grown[:filled] = values[:filled]
            values = grown
        values[filled : filled + count] = scratch[:count]
        counts[row] = count
        filled += count
    return values[:filled].copy()


@kernel
def shared_counts(
    left: Array,
    left_offsets: Array,
    left_rows: Array,
    right: Array,
    right_offsets: Array,
    right_rows: Array,
    out: Array,
) -> None:
    """|A ∩ B| of row pairs of two columns of sorted sets."""
    for pair in range(len(left_rows)):
        i, i_end = left_offsets[left_rows[pair]], left_offsets[left_rows[pair] + 1]
        j, j_end = right_offsets[right_rows[pair]], right_offsets[right_rows[pair] + 1]
        shared = 0
        while i < i_end and j < j_end:
            one, other = left[i], right[j]
            shared += one == other
            i += one <= other
            j += other <= one
        out[pair] = shared
