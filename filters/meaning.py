"""texts → kept or dropped: of texts whose vectors point the same way one stays. Needs all rows at once; optional.

Vectors are whole numbers, so that a cosine is the same bits on every machine. Above 4,096 different texts only those
that share an inverted list are compared: about √n vectors, chosen by the texts' own hashes, are the centres, and each
text stands in the lists of its four nearest ones. Two texts above the threshold may then share no list and be missed;
none below it is ever dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from math import isqrt

import numpy as np
import numpy.typing as npt
import polars as pl

from .texts import shown, text_column
from .vectors import Embedder, Vectors, cosines, vectors_of
from .verdict import FilterError

SAME_MEANING: Mapping[str, type[pl.DataType]] = {
    "kept": pl.Boolean,
    "twin": pl.UInt32,  # row number, counted from 0, of the kept row that this one means the same as
    "cosine": pl.Float32,  # with that twin; null where kept
    "cluster": pl.UInt32,  # lowest row number among a kept row and those that it is the twin of
}
MEANING_THRESHOLD = 0.92

_ALL_COMPARED = 4096
_LISTS_EACH = 4
_BLOCK = 1024

Numbers = npt.NDArray[np.int64]


def same_meaning(
    texts: pl.Series | Iterable[str | None],
    *,
    threshold: float = MEANING_THRESHOLD,
    embedder: Embedder | None = None,
    prefer: pl.Series | Sequence[float | None] | None = None,
) -> pl.DataFrame:
    """One row per text, in the same order: `kept`, `twin`, `cosine`, `cluster`.

    Rows are taken by `prefer` (higher first; null and NaN last), then by a hash of the text, then by row number. A
    row is dropped only if its cosine with a row taken and kept before it reaches `threshold`; its twin is the nearest
    of those, ties to the one taken first. So which texts stay does not depend on row order.

    `embedder` takes a list of n texts and returns n vectors, (n, d), finite; none is the offline one, which knows
    words and pairs of words, and so finds reworded copies but no paraphrase that shares few words. Null and blank
    texts are not shown to it; they, and texts with a vector of zeros, are kept.

    Raises FilterError for arguments that cannot be used, and for an embedder that answers otherwise.
    """
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 < threshold <= 1:
        raise FilterError(
            what=f"threshold is {shown(threshold)}",
            why="it is the cosine from which two texts mean the same",
            do=f"give a number above 0 and at most 1, such as {MEANING_THRESHOLD}",
        )
    column = text_column(texts)
    taken = _order_taken(column.to_list(), prefer)
    vectors = vectors_of(column, embedder).take(taken)
    twins, cosine = _twins(vectors, threshold)
    return _answer(taken, twins, cosine)


def _order_taken(texts: list[str | None], prefer: pl.Series | Sequence[float | None] | None) -> Numbers:
    try:
        given = pl.Series(values=[0.0] * len(texts) if prefer is None else list(prefer), dtype=pl.Float64)
    except (TypeError, OverflowError) as error:
        raise _no_ranks(f"prefer cannot be read as a column of numbers ({error})") from error
    if len(given) != len(texts):
        raise _no_ranks(f"prefer has {len(given)} values for {len(texts)} texts")
    ranks = given.fill_nan(None).fill_null(float("-inf")).to_list()
    hashes = [blake2b((text or "").encode(), digest_size=16).digest() for text in texts]
    return np.array(sorted(range(len(texts)), key=lambda row: (-ranks[row], hashes[row], row)), np.int64)


def _no_ranks(what: str) -> FilterError:
    return FilterError(
        what=what,
        why="of two texts that mean the same the one with the higher number stays",
        do="give one number, or None, for each text",
    )


def _twins(vectors: Vectors, threshold: float) -> tuple[Numbers, npt.NDArray[np.float64]]:
    """(for each row in the order of taking its twin's place, or -1; the cosine with it)."""
    twins, cosine = np.full(len(vectors), -1, np.int64), np.zeros(len(vectors))
    lists = _lists(vectors)
    kept: list[list[int]] = [[] for _ in range(lists.max(initial=0) + 1)]  # of each list, in the order of taking
    for start in range(0, len(vectors), _BLOCK):
        block = np.arange(start, min(start + _BLOCK, len(vectors)))
        block = block[vectors.squares[block] > 0]
        for number in np.unique(lists[block]).tolist():
            here = block[(lists[block] == number).any(axis=1)]
            _compare(vectors, here, np.array(kept[number], np.int64), twins, cosine, threshold)
        open_rows = block[twins[block] < 0]
        _take_in_turn(vectors, open_rows, lists, twins, cosine, threshold)
        for row in open_rows[twins[open_rows] < 0].tolist():
            for number in set(lists[row].tolist()):
                kept[number].append(row)
    return twins, cosine


def _compare(
    vectors: Vectors,
    rows: Numbers,
    kept: Numbers,
    twins: Numbers,
    cosine: npt.NDArray[np.float64],
    threshold: float,
) -> None:
    """Gives each row the nearest of `kept` as twin, where it is nearer than the one it has."""
    for start in range(0, len(kept), 8 * _BLOCK):
        some = kept[start : start + 8 * _BLOCK]
        near = cosines(vectors.take(rows), vectors.take(some))
        best = near.argmax(axis=1)
        value = near[np.arange(len(rows)), best]
        is_first = (value == cosine[rows]) & (some[best] < twins[rows])
        is_nearer = (value >= threshold) & ((value > cosine[rows]) | is_first)
        twins[rows[is_nearer]] = some[best[is_nearer]]
        cosine[rows[is_nearer]] = value[is_nearer]


def _take_in_turn(
    vectors: Vectors,
    rows: Numbers,
    lists: Numbers,
    twins: Numbers,
    cosine: npt.NDArray[np.float64],
    threshold: float,
) -> None:
    """Compares the rows of one block, that copy nothing kept before it, with each other, in the order of taking."""
    near = cosines(vectors.take(rows), vectors.take(rows))
    for place, row in enumerate(rows.tolist()):
        before = rows[:place]
        shares = (twins[before] < 0) & (near[place, :place] >= threshold)
        shares &= (lists[before][:, :, None] == lists[row][None, None, :]).any(axis=(1, 2)) if shares.any() else shares
        if shares.any():
            best = int(np.where(shares, near[place, :place], -1.0).argmax())
            twins[row], cosine[row] = before[best], near[place, best]


def _lists(vectors: Vectors) -> Numbers:
    """(n, lists each): which inverted lists a row stands in; all rows in one where there are few.

    The rows come in the order of a hash of their texts (within equal preference), so that evenly spaced ones are a
    sample that row order does not change.
    """
    count = len(vectors)
    if count <= _ALL_COMPARED:
        return np.zeros((count, 1), np.int64)
    centres = vectors.take(np.unique(np.linspace(0, count - 1, isqrt(count)).astype(np.int64)))
    lists = np.empty((count, _LISTS_EACH), np.int64)
    for start in range(0, count, _BLOCK):
        near = cosines(vectors.take(slice(start, start + _BLOCK)), centres)
        lists[start : start + _BLOCK] = np.argsort(-near, axis=1, kind="stable")[:, :_LISTS_EACH]
    return lists


def _answer(taken: Numbers, twins: Numbers, cosine: npt.NDArray[np.float64]) -> pl.DataFrame:
    is_kept = twins < 0
    heads = np.where(is_kept, np.arange(len(taken)), twins)  # a twin is kept: no chain
    lowest = np.full(len(taken), len(taken), np.int64)
    np.minimum.at(lowest, heads, taken)
    back = np.argsort(taken)
    frame = pl.DataFrame({"kept": is_kept, "twin": taken[heads], "cosine": cosine, "cluster": lowest[heads]})
    dropped = pl.when(~pl.col("kept"))
    return frame[back].select(
        "kept",
        dropped.then("twin").cast(pl.UInt32).alias("twin"),
        dropped.then("cosine").cast(pl.Float32).alias("cosine"),
        pl.col("cluster").cast(pl.UInt32),
    )
