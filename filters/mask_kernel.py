"""Finds names, numbers and terms in UTF-8 bytes, at compiled speed; without numba the same code runs as Python.

Words are runs of `\\w`, as everywhere in filters; between digits and scripts that part words by no blank (from U+2E80
on: CJK) a word ends too. A word's hash is a polynomial over its lowered code points, so that the hash without its
last letter is known as well: "nurses" is found by "nurse".
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .letters import DIGIT, FACTOR, NEWLINE, OPENS, SPACE, STOP, TABLE_SIZE, UPPER, WORD, code_point, compiled, kind_of

CJK = 0x2E80
SLOT_BYTE = ord("0")
NAMES_ARE_AT_MOST = 6  # of so many words one may begin a name: more are a language that capitalises its nouns

_A, _E, _I, _S = 0x61, 0x65, 0x69, 0x73  # lowered: I and A are words of their own
_CAPITAL, _INSIDE, _NUMBER, _ACRONYM = 1, 2, 4, 8


@compiled
def find_words(
    data: Any, start: int, end: int, kinds: Any, lower: Any, places: Any, hashes: Any, flags: Any
) -> int:  # pragma: no cover (compiled)
    """Fills for each word of data[start:end] its bytes, hashes (whole, less one letter, less two), and flags."""
    count = 0
    at = start
    is_first, is_stopped = True, False  # the next word begins a sentence; a sentence ends with the next blank
    is_letter = False  # a capital alone: the stop behind it ends no sentence
    before = SPACE
    while at < end:
        point, behind = code_point(data, at)
        kind = kind_of(point, kinds)
        if not kind & WORD:
            if kind & NEWLINE or (is_stopped and kind & SPACE) or (kind & OPENS and not before & WORD):
                is_first = True
            is_stopped = (bool(kind & STOP) and not is_letter) or (is_stopped and not kind & SPACE)
            is_letter = False
            before = kind
            at = behind
            continue
        places[count, 0] = at
        whole, less, least = np.uint64(0), np.uint64(0), np.uint64(0)
        has_digit, is_upper, length = bool(kind & DIGIT), True, 0
        last, last_but_one, first_kind, is_cjk = 0, 0, kind, point >= CJK
        while kind & WORD and not (length and (is_cjk or point >= CJK) and bool(kind & DIGIT) != bool(before & DIGIT)):
            low = int(lower[point]) if point < TABLE_SIZE else point
            least, less = less, whole
            whole = whole * FACTOR + np.uint64(low + 1)
            has_digit = has_digit or bool(kind & DIGIT)
            is_upper = is_upper and bool(kind & UPPER)
            is_cjk = point >= CJK
            last_but_one, last, before = last, low, kind
            length += 1
            at = behind
            if at >= end:
                break
            point, behind = code_point(data, at)
            kind = kind_of(point, kinds)
        places[count, 1] = at
        places[count, 2] = max(1, length // 2) if is_cjk else 1
        hashes[count, 0] = whole
        hashes[count, 1] = less if length > 3 and last == _S else whole
        hashes[count, 2] = least if length > 4 and last == _S and last_but_one == _E else whole
        is_letter = is_upper and length == 1
        flags[count] = (
            _CAPITAL * (bool(first_kind & UPPER) and (length > 1 or last not in (_I, _A)))
            + _INSIDE * (not is_first)
            + _NUMBER * has_digit
            + _ACRONYM * (is_upper and length > 1)
        )
        count += 1
        is_first, is_stopped = False, False
    return count


@compiled
def place(table: Any, value: Any) -> int:  # pragma: no cover (compiled)
    """Where a value stands in an open-addressing table of a power of two, or the empty place where it would."""
    mask = len(table) - 1
    place = np.int64((value ^ (value >> np.uint64(32))) & np.uint64(mask))
    while table[place] != np.uint64(0) and table[place] != value:
        place = (place + 1) & mask
    return int(place)


@compiled
def _mark_names(hashes: Any, flags: Any, count: int, slots: Any) -> None:  # pragma: no cover (compiled)
    inside, runs = 0, 0
    for word in range(count):
        is_one = (flags[word] & (_CAPITAL | _INSIDE)) == _CAPITAL | _INSIDE
        inside += is_one
        runs += is_one and (word == 0 or not flags[word - 1] & _CAPITAL)
    if runs * NAMES_ARE_AT_MOST > count:
        return
    size = 16
    while size < 2 * inside:
        size *= 2
    names = np.zeros(size, np.uint64)
    for word in range(count):
        if (flags[word] & (_CAPITAL | _INSIDE)) == _CAPITAL | _INSIDE:
            names[place(names, hashes[word, 0])] = hashes[word, 0]
    for word in range(count):
        if flags[word] & _CAPITAL:
            is_known = names[place(names, hashes[word, 0])] != np.uint64(0)
            slots[word] = slots[word] or is_known or bool(flags[word] & _ACRONYM)


@compiled
def _mark_terms(
    hashes: Any, count: int, slots: Any, own: Any, term_starts: Any, term_hashes: Any
) -> None:  # pragma: no cover (compiled)
    for word in range(count):
        for number in own:
            first, behind = term_starts[number], term_starts[number + 1]
            length = behind - first
            if length == 0 or word + length > count:
                continue
            is_equal = True
            for step in range(length - 1):
                is_equal = is_equal and hashes[word + step, 0] == term_hashes[first + step]
            last = term_hashes[behind - 1]
            ending = word + length - 1
            if is_equal and (hashes[ending, 0] == last or hashes[ending, 1] == last or hashes[ending, 2] == last):
                slots[word : word + length] = True


@compiled
def mask(
    data: Any, offsets: Any, kinds: Any, lower: Any, number_words: Any, own_starts: Any, own: Any,
    term_starts: Any, term_hashes: Any, out: Any, ends: Any, left: Any,
) -> None:  # fmt: skip  # pragma: no cover (compiled)
    """Writes each text's words into `out`, a blank between them, and "0" for every run of slots.

    `ends` receives where each text ends in `out`, `left` how many words it has beside its slots.
    """
    position = 0
    for row in range(len(offsets) - 1):
        start, end = offsets[row], offsets[row + 1]
        most = (end - start) // 2 + 1  # a letter and a blank, or a digit and a sign of three bytes and more
        places, hashes = np.empty((most, 3), np.int64), np.empty((most, 3), np.uint64)
        flags = np.empty(most, np.uint8)
        count = find_words(data, start, end, kinds, lower, places, hashes, flags)
        slots = np.zeros(count, np.bool_)
        for word in range(count):
            is_number = flags[word] & _NUMBER != 0
            slots[word] = is_number or number_words[place(number_words, hashes[word, 0])] != np.uint64(0)
        _mark_names(hashes, flags, count, slots)
        _mark_terms(hashes, count, slots, own[own_starts[row] : own_starts[row + 1]], term_starts, term_hashes)
        kept = 0
        is_slot = False
        for word in range(count):
            if slots[word] and is_slot:
                continue
            if word:
                out[position] = 0x20
                position += 1
            is_slot = slots[word]
            if is_slot:
                out[position] = SLOT_BYTE
                position += 1
                continue
            kept += places[word, 2]
            for at in range(places[word, 0], places[word, 1]):
                out[position] = data[at]
                position += 1
        ends[row] = position
        left[row] = kept
