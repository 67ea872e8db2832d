"""What each letter is, for code that reads UTF-8 bytes; and such code compiled, where numba is there."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl

from .backend import backend, kernel
from .characters import UNSPACED, characters
from .characters import WORD as IS_WORD

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

is_compiled = backend().__name__.endswith(".compiled")


def compiled(function: FunctionT) -> FunctionT:
    """The function as machine code; where there is no numba as it is: slow, and the same results."""
    return kernel(function) if is_compiled else function


WORD, UPPER, DIGIT, SPACE, STOP, OPENS, NEWLINE, ALONE = 1, 2, 4, 8, 16, 32, 64, 128
"""Bits: part of a word; a capital; a decimal digit; a blank; ends a sentence; opens a quotation or bracket; ends a
line; of a script that parts its words by no blank, so that a letter counts as a word where n-grams are cut."""
TABLE_SIZE = 0x20000  # above, up to 0x40000, lie CJK ideographs: words without case
FACTOR = np.uint64(0x9E37_79B9_7F4A_7C15)  # odd, so that a step loses nothing: 2^64 / golden ratio


@cache
def tables() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint32]]:
    """(what each code point is, as bits; its lower case), for the code points below TABLE_SIZE."""
    known = characters()
    flags = known.flags[:TABLE_SIZE]
    kinds = np.where(flags & IS_WORD, WORD, 0).astype(np.uint8) | np.where(flags & UNSPACED, ALONE, 0).astype(np.uint8)
    for point in range(TABLE_SIZE):
        letter = chr(point)
        category = unicodedata.category(letter)
        kinds[point] |= (
            UPPER * (category in ("Lu", "Lt"))
            + DIGIT * (category == "Nd")
            + SPACE * letter.isspace()
            + STOP * (letter in ".!?:…。！？।؟")
            + OPENS * (letter in "\"'([{" or category in ("Ps", "Pi"))
            + NEWLINE * (letter in "\n\r\x0b\x0c\u2028\u2029")
        )
    return kinds, known.lower[:TABLE_SIZE]


@compiled
def code_point(data: Any, at: int) -> tuple[int, int]:  # pragma: no cover (compiled)
    """(code point that begins at this byte, the byte behind it)."""
    first = int(data[at])
    if first < 0x80:
        return first, at + 1
    if first < 0xE0:
        return ((first & 0x1F) << 6) | (int(data[at + 1]) & 0x3F), at + 2
    rest = ((int(data[at + 1]) & 0x3F) << 6) | (int(data[at + 2]) & 0x3F)
    if first < 0xF0:
        return ((first & 0x0F) << 12) | rest, at + 3
    return ((first & 0x07) << 18) | (rest << 6) | (int(data[at + 3]) & 0x3F), at + 4


@compiled
def kind_of(point: int, kinds: Any) -> int:  # pragma: no cover (compiled)
    if point < TABLE_SIZE:
        return int(kinds[point])
    return WORD | ALONE if point < 2 * TABLE_SIZE else 0


def bytes_of(rows: pl.Series) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """(the bytes of all texts one after the other, where each begins and the last ends); a null is an empty text."""
    filled = rows.fill_null("")
    data = np.frombuffer(b"".join(filled.cast(pl.Binary).to_list()), np.uint8)
    return data, starts_of(filled.str.len_bytes().to_list())


def starts_of(lengths: Sequence[int]) -> npt.NDArray[np.int64]:
    """Where each of several parts begins that lie one after the other, and where the last ends."""
    return np.cumsum([0, *lengths], dtype=np.int64)
