"""A column of texts as UTF-8 bytes, a chunk of bounded size at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from typing import NamedTuple, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from .verdict import FilterError

Bytes = NDArray[np.uint8]
Offsets = NDArray[np.int64]
T = TypeVar("T")

CHUNK_BYTES = 4_000_000
"""A thread holds one chunk and about ten times its size in hashes; a longer text is a chunk of its own."""

CHUNK_ROWS = 16_384


class Chunk(NamedTuple):
    """Consecutive rows: text i is `data[offsets[i]:offsets[i + 1]]`; a null text has no bytes."""

    first: int
    data: Bytes
    offsets: Offsets


class TextColumn:
    """Texts that can be read again and again: a String Series, or a list of str (lone surrogates allowed)."""

    def __init__(self, texts: pl.Series | Iterable[str | None]) -> None:
        self._series: pl.Series | None = None
        self._rows: list[str | None] = []
        self._picked: NDArray[np.int64] | None = None  # which of them, and in what order; None for all
        if isinstance(texts, pl.Series) and texts.dtype in (pl.String, pl.Null):
            self._series = texts.cast(pl.String)
            self._lengths = self._series.str.len_bytes().fill_null(0).to_numpy().astype(np.int64)
        else:
            self._rows = text_list(texts)
            self._lengths = np.fromiter((len(text or "") for text in self._rows), np.int64, len(self._rows))
        self._ends = np.cumsum(self._lengths)

    def __len__(self) -> int:
        return len(self._ends)

    def take(self, rows: NDArray[np.int64]) -> TextColumn:
        """The texts of these rows, in that order. They are copied a chunk at a time, when they are read."""
        view = copy(self)
        view._picked = rows if self._picked is None else self._picked[rows]
        view._ends = np.cumsum(self._lengths[view._picked])
        return view

    def spans(self) -> Iterator[tuple[int, int]]:
        """First row and end of each chunk."""
        first = 0
        while first < len(self):
            start = int(self._ends[first - 1]) if first else 0
            end = int(np.searchsorted(self._ends, start + CHUNK_BYTES, "right"))
            end = min(max(end, first + 1), first + CHUNK_ROWS)
            yield first, end
            first = end

    def chunk(self, first: int, end: int) -> Chunk:
        """The bytes of rows first to end - 1."""
        rows = slice(first, end) if self._picked is None else self._picked[first:end]
        data, lengths = self._encoded(rows) if self._series is None else self._joined(self._series, rows)
        return Chunk(first, data, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))

    def _encoded(self, rows: slice | NDArray[np.int64]) -> tuple[Bytes, NDArray[np.int64]]:
        texts = self._rows[rows] if isinstance(rows, slice) else [self._rows[row] for row in rows.tolist()]
        encoded = [(text or "").encode("utf-8", "surrogatepass") for text in texts]
        lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
        return np.frombuffer(b"".join(encoded), np.uint8), lengths

    def _joined(self, series: pl.Series, rows: slice | NDArray[np.int64]) -> tuple[Bytes, NDArray[np.int64]]:
        part = series[rows] if isinstance(rows, slice) else series.gather(rows)
        # An empty list would explode to a null, so only texts with bytes are joined.
        filled = part.filter(pl.Series(self._lengths[rows] > 0)).cast(pl.Binary)
        data = filled.cast(pl.List(pl.UInt8)).explode().to_numpy() if len(filled) else np.zeros(0, np.uint8)
        return data, self._lengths[rows]


def each_chunk(texts: TextColumn, work: Callable[[Chunk], T]) -> list[T]:
    """`work` on every chunk, on all cores this process may use; results in the order of the rows."""
    return in_threads(lambda span: work(texts.chunk(*span)), list(texts.spans()))


def in_threads(work: Callable[..., T], items: Iterable[object]) -> list[T]:
    """`work` on every item, on all cores; results in order.

    Python threads, since compiled kernels release the interpreter's lock: they know nothing of OpenMP or
    TBB, so they are safe beside other threads and after a fork, and print nothing. Work on an item never
    sees another, so the number of threads changes no result.
    """
    todo = list(items)
    threads = min(_cores(), len(todo))
    if threads <= 1:
        return [work(item) for item in todo]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, todo))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def text_list(texts: pl.Series | Iterable[str | None]) -> list[str | None]:
    """The texts as a list, or FilterError where they are not a column of texts."""
    if isinstance(texts, str | bytes) or not isinstance(texts, Iterable):
        raise FilterError(
            what=f"texts is {shown(texts)}, of type {type(texts).__name__}",
            why="it must be a column: a polars Series, or any iterable of str and None",
            do="wrap a single text in a list: [text]",
        )
    rows = list(texts)
    for row, text in enumerate(rows):
        if text is not None and not isinstance(text, str):
            raise FilterError(
                what=f"text {row} is {shown(text)}, of type {type(text).__name__}",
                why="only text can be cut into words",
                do="give every text as a str, or None where there is none",
            )
    return rows


def shown(value: object) -> str:
    """A value as an error may show it."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
