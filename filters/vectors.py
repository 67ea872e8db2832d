"""texts → vectors of whole numbers, from the offline embedder or any other, and their cosines, exact everywhere.

A vector is scaled to a length of at most 4,095 and rounded. The sum of products of two such vectors stays below 2^24
wherever it is cut, so that float32 holds it exactly, and a matrix product is the same bits with any number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from .embed import embed
from .texts import shown
from .verdict import FilterError

Embedder: TypeAlias = Callable[[Sequence[str]], npt.ArrayLike]
"""Texts → one vector each, (n, d), finite numbers."""

LENGTH = 4095
_FINEST = 32767.0
_BATCH = 4096
_BLOCK = 1024


@dataclass(frozen=True)
class Vectors:
    """Vectors of whole numbers, and the square of each one's length; a text without meaning is a row of zeros."""

    rows: npt.NDArray[np.int16]
    squares: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, which: slice | npt.NDArray[np.int64]) -> Vectors:
        return Vectors(self.rows[which], self.squares[which])

    def joined(self, more: Vectors) -> Vectors:
        """These and then those. Raises FilterError where both say something, in vectors of different sizes."""
        size = self.size if self.squares.any() else more.size
        one, other = self.sized(size), more.sized(size)
        return Vectors(np.concatenate([one.rows, other.rows]), np.concatenate([one.squares, other.squares]))

    @property
    def size(self) -> int:
        return int(self.rows.shape[1])

    def sized(self, size: int) -> Vectors:
        """With vectors of `size` numbers, which only zeros can take on."""
        if size == self.size:
            return self
        if self.squares.any():
            raise _refused(f"the embedder answered with vectors of {size} numbers, and then of {self.size}")
        return Vectors(np.zeros((len(self), size), np.int16), self.squares)


class Nearest(NamedTuple):
    """Of each query the nearest vector, ties to the first; cosine 0 where either is zero."""

    number: npt.NDArray[np.int64]
    cosine: npt.NDArray[np.float64]


def vectors_of(column: pl.Series, embedder: Embedder | None = None) -> Vectors:
    """One vector per text of a String column. A null or blank text is not shown to the embedder: it is zeros.

    Raises FilterError where an embedder does not answer with one finite vector of the same size per text.
    """
    texts = column.fill_null("").to_list()
    rows = embed(texts).astype(np.int16) if embedder is None else _asked(texts, embedder)
    return Vectors(rows, _squares(rows))


def _asked(texts: list[str], embedder: Embedder) -> npt.NDArray[np.int16]:
    wanted = [row for row, text in enumerate(texts) if text.strip()]
    parts: list[npt.NDArray[np.int16]] = []
    for start in range(0, len(wanted), _BATCH):
        batch = [texts[row] for row in wanted[start : start + _BATCH]]
        parts.append(_whole(_checked(embedder(batch), len(batch), parts[0].shape[1] if parts else None)))
    rows = np.zeros((len(texts), parts[0].shape[1] if parts else 1), np.int16)
    if parts:
        rows[wanted] = np.concatenate(parts)
    return rows


def _checked(answer: npt.ArrayLike, count: int, size: int | None) -> npt.NDArray[np.float64]:
    try:
        vectors = np.asarray(answer, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise _refused(f"the embedder answered with {shown(answer)}, which is no array of numbers") from error
    if vectors.ndim != 2 or len(vectors) != count or not vectors.shape[1]:
        raise _refused(f"the embedder answered {count} texts with an array of shape {vectors.shape}")
    if size is not None and vectors.shape[1] != size:
        raise _refused(f"the embedder answered with vectors of {size} numbers, and then of {vectors.shape[1]}")
    if not np.isfinite(vectors).all():
        row = int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])
        raise _refused(f"the embedder's vector {row} of {count} holds NaN or infinity")
    return vectors


def _whole(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.int16]:
    """Scaled to LENGTH and rounded. By way of whole numbers, so that a length is no sum of floats."""
    largest = np.abs(vectors).max(axis=1, keepdims=True)
    fine = np.rint(vectors / np.where(largest > 0, largest, 1.0) * _FINEST)
    lengths = np.sqrt((fine.astype(np.int64) ** 2).sum(axis=1, keepdims=True).astype(np.float64))
    whole: npt.NDArray[np.int16] = np.rint(fine * LENGTH / np.maximum(lengths, 1.0)).astype(np.int16)
    return whole


def _squares(rows: npt.NDArray[np.int16]) -> npt.NDArray[np.int64]:
    squares: npt.NDArray[np.int64] = np.einsum("ij,ij->i", rows, rows, dtype=np.int64)
    return squares


def cosines(one: Vectors, many: Vectors) -> npt.NDArray[np.float64]:
    """(len(one), len(many)); exact products, one division each."""
    products = one.rows.astype(np.float32) @ many.rows.astype(np.float32).T
    lengths = np.sqrt(one.squares[:, None] * many.squares[None, :].astype(np.float64))
    answer: npt.NDArray[np.float64] = products / np.maximum(lengths, 1.0)
    return answer


def nearest(queries: Vectors, among: Vectors) -> Nearest:
    """Of each query the nearest of `among`; number 0 and cosine 0 where there is none."""
    numbers, found = np.zeros(len(queries), np.int64), np.zeros(len(queries))
    queries = queries.sized(among.size) if among.squares.any() else queries
    among = among.sized(queries.size)
    for block in _blocks(len(queries)):
        for other in _blocks(len(among)):
            near = cosines(queries.take(block), among.take(other))
            best = near.argmax(axis=1)
            value = near[np.arange(len(best)), best]
            is_nearer = value > found[block]
            numbers[block] = np.where(is_nearer, best + other.start, numbers[block])
            found[block] = np.where(is_nearer, value, found[block])
    return Nearest(numbers, found)


def _blocks(count: int) -> Iterator[slice]:
    return (slice(start, min(start + _BLOCK, count)) for start in range(0, count, _BLOCK))


def _refused(what: str) -> FilterError:
    return FilterError(
        what=what,
        why="texts are compared by one vector each, all of one size and of finite numbers",
        do="give a callable that takes a list of n strings and returns an array of shape (n, d)",
    )
