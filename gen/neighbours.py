"""Which rows are most like each row: exact for thousands, by inverted lists for millions, in whole numbers.

Vectors are int8 of length 127 up to rounding. Their products, and all parts of the sums, stay below 2^24, where
float32 is exact in any order (Cauchy-Schwarz holds for every part of a sum), so that where NumPy multiplies
matrices, and not the compiled loop on integers, the results are the same: with any number of threads, on any
processor.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from importlib import import_module
from types import ModuleType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from thousandfold.filters.columns import in_threads

SCALE = 127
EXACT_ROWS = 40_000  # up to here every pair is looked at: some seconds
COMPILED_FROM = 3_000  # rows from which loading and calling compiled code is sooner done than NumPy
_BLOCK_CELLS = 1 << 21  # products held at once by a thread: 8 MiB as float32
_LOOKED_AT = 2_000  # rows that each row is compared with, at least, where there are lists
_SAMPLE_PER_LIST = 40
_STEPS = 4  # of k-means; more change the recall by less than a thousandth
_LARGEST = 3  # times the mean: a larger list is cut, so that a million equal rows cost no more than unequal ones

Ints = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.int8]


class Neighbours(NamedTuple):
    """The rows most like each row, itself among them, and the dot products: both (n, k) int32."""

    rows: npt.NDArray[np.int32]
    dots: npt.NDArray[np.int32]


def nearest(vectors: Vectors, k: int, *, exact: bool | None = None) -> Neighbours:
    """The `k` rows with the largest dot product with each row of `vectors` (n, d); k is at most n.

    Exact up to `EXACT_ROWS` rows (or as `exact` says), else by inverted lists (IVF: Jégou, Douze, Schmid 2011), which
    look at 2,000 rows or more of the lists nearest to a row's own. Equal products go to the lower row, and lists are
    begun at the first rows: give the rows in an order that their content decides.
    """
    count = len(vectors)
    found = Neighbours(np.empty((count, k), np.int32), np.empty((count, k), np.int32))
    if exact or (exact is None and count <= EXACT_ROWS):
        tasks = [(np.arange(start, end), np.arange(count)) for start, end in _blocks(count, count)]
    else:
        tasks = list(_neighbourhoods(_lists(vectors), k))
    compiled = kernels() if count > COMPILED_FROM else None

    def look(task: tuple[Ints, Ints]) -> None:
        some, others = task
        rows, dots = np.empty((2, len(some), k), np.int32)
        if compiled is not None:
            compiled.largest(vectors[some].astype(np.int16), vectors[others].astype(np.int16), others, rows, dots)
        else:
            for start, end in _blocks(len(some), len(others)):
                rows[start:end], dots[start:end] = _largest(vectors[some[start:end]], vectors[others], others, k)
        found.rows[some], found.dots[some] = rows, dots

    in_threads(look, tasks)
    return found


@lru_cache(maxsize=1)
def kernels() -> ModuleType | None:
    """The compiled loops, or None where numba is missing or does not load: NumPy then gives the same results."""
    try:
        return import_module(".greedy_kernels", __package__)
    except Exception:  # noqa: BLE001 (a numba that does not fit its NumPy or LLVM fails in many ways, none of them ours)
        return None


def _blocks(rows: int, columns: int) -> Iterator[tuple[int, int]]:
    step = max(1, _BLOCK_CELLS // max(1, columns))
    for start in range(0, rows, step):
        yield start, min(rows, start + step)


def _largest(queries: Vectors, others: Vectors, places: Ints, k: int) -> tuple[Ints, Ints]:
    """What the compiled loop of that name gives; each line is a set, in no order."""
    products = (queries.astype(np.float32) @ others.astype(np.float32).T).astype(np.int64)
    keys = products * len(others) - np.arange(len(others))  # all different, so the k largest are one definite set
    top = np.argpartition(-keys, k - 1, axis=1)[:, :k]
    return places[top], np.take_along_axis(products, top, axis=1)


class _Lists(NamedTuple):
    members: list[Ints]  # of each list, ascending
    centres: Vectors


def _lists(vectors: Vectors) -> _Lists:
    """Rows by the centre that they are most like, after k-means in whole numbers on the first rows."""
    count = len(vectors)
    wanted = max(1, int(count**0.5))
    sample = vectors[: wanted * _SAMPLE_PER_LIST]
    centres = sample[:wanted]
    for _ in range(_STEPS):
        centres = _means(sample, _assigned(sample, centres))
    assigned = _assigned(vectors, centres)
    order = np.argsort(assigned, kind="stable")
    cuts = np.searchsorted(assigned[order], np.arange(1, len(centres)))
    largest = _LARGEST * max(1, count // wanted)
    members, owners = [], []
    for number, whole in enumerate(np.split(order, cuts)):
        for start in range(0, len(whole), largest):
            members.append(whole[start : start + largest])
            owners.append(number)
    return _Lists(members, centres[owners])


def _assigned(vectors: Vectors, centres: Vectors) -> Ints:
    """The number of the centre that each row is most like; equal ones go to the lower."""
    columns = np.ascontiguousarray(centres.astype(np.float32).T)
    found = np.empty(len(vectors), np.int64)

    def assign(block: tuple[int, int]) -> None:
        start, end = block
        found[start:end] = np.argmax(vectors[start:end].astype(np.float32) @ columns, axis=1)

    in_threads(assign, _blocks(len(vectors), len(centres)))
    return found


def _means(vectors: Vectors, assigned: Ints) -> Vectors:
    """The mean direction of each group that has rows."""
    order = np.argsort(assigned, kind="stable")
    starts = np.flatnonzero(np.diff(assigned[order], prepend=-1))
    return to_length(np.add.reduceat(vectors[order].astype(np.int64), starts, axis=0))


def _neighbourhoods(lists: _Lists, k: int) -> Iterator[tuple[Ints, Ints]]:
    """(members of a list, ascending rows of the lists whose centres are nearest to its own)."""
    sizes = np.array([len(members) for members in lists.members])
    centres = lists.centres.astype(np.int64)
    enough = min(max(_LOOKED_AT, k), int(sizes.sum()))
    for number, members in enumerate(lists.members):
        likeness = centres @ centres[number]
        likeness[number] = np.iinfo(np.int64).max  # its own comes first
        order = np.argsort(-likeness, kind="stable")
        last = int(np.searchsorted(np.cumsum(sizes[order]), enough)) + 1
        yield members, np.sort(np.concatenate([lists.members[other] for other in order[:last]]))


def to_length(whole: Ints) -> Vectors:
    """Rows of whole numbers, at most 2^20 or so, scaled to length 127 and rounded; a row of zeros stays one.

    The sum of squares is a whole number, and every other step is one IEEE operation: the same bits everywhere.
    """
    lengths = np.sqrt((whole * whole).sum(axis=1, keepdims=True).astype(np.float64))
    scaled: Vectors = np.rint(whole * float(SCALE) / np.maximum(lengths, 1.0)).astype(np.int8)
    return scaled
