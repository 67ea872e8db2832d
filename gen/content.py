"""What a row holds, as numbers: a hash that orders rows by content, codes of levels, and an embedding as int8.

Slices of the frame are taken one after the other, so that a million embeddings are never held twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import blake2b

import numpy as np
import numpy.typing as npt
import polars as pl

from .errors import RecipeError
from .neighbours import Vectors, to_length

Hashes = npt.NDArray[np.uint64]

_ROWS = 1 << 15  # of a slice
_GRAIN = float(1 << 20)  # steps between 0 and the largest number of an embedding's row
_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio
_MIX = (np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53))  # the finalizer of MurmurHash3
_SHIFT = np.uint64(33)


def content_order(rows: pl.DataFrame, seed: int) -> npt.NDArray[np.int64]:
    """The rows in an order that a 64-bit hash of each row's content and the seed decides.

    Columns of binary values and Python objects are not looked at. Equal rows stay as they stand, which nobody can see;
    different ones share a hash with a chance of 3e-8 among a million.
    """
    told = sorted(name for name, dtype in rows.schema.items() if not re.search("Binary|Object", str(dtype)))
    hashes = np.full(rows.height, _digest(str(seed)), np.uint64)
    for name in told:
        hashes = _mixed(hashes * _FACTOR + np.uint64(_digest(name)))
        for start in range(0, rows.height, _ROWS):
            part = rows[name].slice(start, _ROWS)
            hashes[start : start + len(part)] = _folded(hashes[start : start + len(part)], part)
    return np.argsort(hashes, kind="stable")


def _folded(hashes: Hashes, part: pl.Series) -> Hashes:
    for number in _as_numbers(part):
        hashes = _mixed(hashes * _FACTOR + number)
    return hashes


def _as_numbers(part: pl.Series) -> Iterator[Hashes]:
    """One or more numbers of each row that stand for its value."""
    dtype = part.dtype
    inner = dtype.inner if isinstance(dtype, pl.List | pl.Array) else None
    if dtype.is_numeric() and not dtype.is_decimal():
        yield part.is_null().to_numpy().astype(np.uint64)
        yield _bits(part)
        return
    if isinstance(inner, pl.DataType) and inner.is_float():
        lists = part.cast(pl.List(pl.Float64))
        widths = lists.list.len().unique().to_list()
        if len(widths) == 1 and widths[0] and not lists.explode().null_count():
            table = lists.list.to_array(widths[0]).to_numpy().view(np.uint64)
            yield from table.T
            return
    texts = part if dtype == pl.String else part.to_frame("v").select(pl.struct("v").struct.json_encode()).to_series()
    known = texts.unique().drop_nulls()
    digests = pl.Series([_digest(text) for text in known], dtype=pl.UInt64)
    yield texts.replace_strict(known, digests, default=0, return_dtype=pl.UInt64).to_numpy()


def _bits(part: pl.Series) -> Hashes:
    if part.dtype.is_float():
        return part.cast(pl.Float64).fill_null(0.0).to_numpy().view(np.uint64)
    if part.dtype == pl.UInt64:
        return part.fill_null(0).to_numpy()
    if part.dtype in (pl.Int128, pl.UInt128):
        return np.array([int(value or 0) % (1 << 64) for value in part], np.uint64)
    return part.cast(pl.Int64).fill_null(0).to_numpy().view(np.uint64)


def _digest(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def _mixed(values: Hashes) -> Hashes:
    values = values ^ (values >> _SHIFT)
    values = values * _MIX[0]
    values = values ^ (values >> _SHIFT)
    values = values * _MIX[1]
    mixed: Hashes = values ^ (values >> _SHIFT)
    return mixed


def level_codes(column: pl.Series) -> tuple[list[str | None], npt.NDArray[np.int32]]:
    """(levels in order, a null first; the code of each row)."""
    texts = column.cast(pl.String)
    known = texts.unique().drop_nulls().sort().to_list()
    nulls = int(texts.null_count() > 0)
    codes = texts.replace_strict(known, range(nulls, nulls + len(known)), default=0, return_dtype=pl.Int32)
    return [*([None] * nulls), *known], codes.to_numpy()


def unit_vectors(column: pl.Series) -> Vectors:
    """(n, d) int8 of length 127 from an Array or List column of numbers; a row of zeros stays one.

    Each row is first brought to whole numbers, up to 2^20, so that its length is that of whole numbers.
    Raises RecipeError where it is no such column, rows differ in length, or a number is missing or not finite.
    """
    name, dtype = column.name, column.dtype
    inner = dtype.inner if isinstance(dtype, pl.List | pl.Array) else None
    if not isinstance(inner, pl.DataType) or not inner.is_numeric():
        raise RecipeError(
            what=f"embedding names the column {name!r} of type {dtype}",
            why="an embedding is a list of numbers, as many in each row",
            do="give an Array or List column of numbers, or name a column of strings as text",
        )
    widths = [dtype.size] if isinstance(dtype, pl.Array) else column.list.len().unique().to_list()
    if column.null_count():
        widths = sorted({*widths, None}, key=str)
    if len(widths) != 1 or not widths[0]:
        raise RecipeError(
            what=f"the embedding {name!r} has rows of {', '.join(sorted(map(str, widths)))} numbers",
            why="an embedding is a list of numbers, as many in each row",
            do="embed every row with one model, and leave out rows that have none",
        )
    parts = [_whole_vectors(column.slice(start, _ROWS), int(widths[0])) for start in range(0, len(column), _ROWS)]
    return np.concatenate(parts)


def _whole_vectors(part: pl.Series, width: int) -> Vectors:
    given = part.cast(pl.Array(pl.Float64, width)).to_numpy()
    if not np.isfinite(given).all():
        raise RecipeError(
            what=f"the embedding {part.name!r} has a row with a null, a NaN or an infinity",
            why="likeness to it cannot be measured",
            do="embed that row again, or leave it out",
        )
    largest = np.abs(given).max(axis=1, keepdims=True)
    divided = np.divide(given, largest, where=largest > 0, out=np.zeros_like(given))
    return to_length(np.rint(divided * _GRAIN).astype(np.int64))
