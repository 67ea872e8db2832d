"""texts → kept or dropped: of texts that are nearly the same one stays, and the others name it as their twin.

Needs all rows at once; everything before the comparison (words, shingles, signatures) works row by row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from .columns import TextColumn, shown
from .groups import Groups, Taken, take
from .index import MinHashIndex
from .minhash import Sketching, sketch
from .verdict import FilterError

DUPLICATES: Mapping[str, type[pl.DataType]] = {
    "kept": pl.Boolean,
    "twin": pl.UInt32,  # row number, counted from 0, of the kept row that this one copies
    "twin_key": pl.String,  # the key in `against` that this row copies
    "jaccard": pl.Float32,  # with that twin; null where kept
    "cluster": pl.UInt32,  # lowest row number among the rows that hang together
}


def near_duplicates(
    texts: pl.Series | Iterable[str | None],
    *,
    threshold: float = 0.7,
    ngram: int = 5,
    num_perm: int = 128,
    seed: int = 1,
    prefer: pl.Series | Sequence[float | None] | None = None,
    against: MinHashIndex | None = None,
) -> pl.DataFrame:
    """One row per text, in the same order: `kept`, `twin`, `twin_key`, `jaccard`, `cluster`.

    Words are `re.findall(r"\\w+", text.lower())`, a shingle is a tuple of `ngram` words, texts are compared
    as sets of shingles; a text shorter than one shingle is a shingle of all its words. A text that is mainly in
    scripts written without spaces (Chinese, Japanese, Thai…) is cut into characters instead of words, each text for
    itself (`filters.shingle_units` shows which). Rows are taken by `prefer` (higher first; null and NaN last;
    compared as 64-bit floats), then by a hash of the text, then by row number. A row is dropped only if its exact
    Jaccard with a text of `against`, or else with a row taken and kept before it, reaches `threshold`; its twin is
    the most similar of those, ties to the one added or taken first. So a chain of small changes does not collapse
    to one text, and which texts stay does not depend on row order.

    Null and blank texts are kept: they copy nothing. Candidates come from MinHash bands: a pair a little
    above the threshold can be missed (about 1 in 900 at .75 for the defaults), none below it is ever found. Where
    more than 64 kept texts share a band, later ones are compared with the first 64 of them: so texts that share
    their scaffolding cost no n² pairs, and a copy among them is found by the bands that its own words decide.
    `cluster` joins each row to the kept rows before it that it resembles, and rows that copy the same text of
    `against`; it decides nothing.

    Beside the column it takes about 4 bytes a text and band, 8 a shingle of those texts that share a band with
    another, and one chunk of 4 MB per core. Raises FilterError for arguments that cannot be used, and for an
    `against` built with other settings.
    """
    sketching = Sketching(threshold=threshold, ngram=ngram, num_perm=num_perm, seed=seed)
    if against is not None:
        _checked_index(against).check_same(sketching)
    column = TextColumn(texts)
    ranks = None if prefer is None else _ranks(prefer, len(column))
    sketches = sketch(column, sketching)
    order = _order_taken(sketches.contents, ranks)
    groups = Groups.of(sketches, order, column)
    keys, ratios = against.nearest(groups.column, groups.bands) if against is not None else (None, None)
    taken = take(groups, sketching, keys, ratios)
    return _answer(groups, taken, against)


def _checked_index(against: object) -> MinHashIndex:
    if not isinstance(against, MinHashIndex):
        raise FilterError(
            what=f"against is {shown(against)}, of type {type(against).__name__}",
            why="texts of earlier rounds are compared by their index",
            do="give a MinHashIndex: MinHashIndex.open(path), or one to which texts were added",
        )
    return against


def _order_taken(contents: NDArray[np.uint64], ranks: NDArray[np.float64] | None) -> NDArray[np.int64]:
    if ranks is None:
        return np.argsort(contents, kind="stable")
    return np.lexsort((contents, -ranks))


def _ranks(prefer: pl.Series | Sequence[float | None], count: int) -> NDArray[np.float64]:
    try:
        numbers = isinstance(prefer, pl.Series) and prefer.dtype.is_numeric()
        values = prefer.cast(pl.Float64) if isinstance(prefer, pl.Series) and numbers else None
        values = pl.Series(list(prefer), dtype=pl.Float64) if values is None else values
    except (TypeError, ValueError, OverflowError) as error:
        raise FilterError(
            what=f"prefer cannot be read as a column of numbers ({error})",
            why="of two copies the one with the higher number stays",
            do="give one number, or None, for each text",
        ) from error
    if len(values) != count:
        raise FilterError(
            what=f"prefer has {len(values)} values for {count} texts",
            why="of two copies the one with the higher value stays, so every text needs one",
            do="give one number, or None, for each text",
        )
    return values.fill_nan(None).fill_null(float("-inf")).to_numpy()


def _answer(groups: Groups, taken: Taken, against: MinHashIndex | None) -> pl.DataFrame:
    """From sets to rows: the first row of a set that stayed stays, and the others are its copies."""
    rows = np.arange(len(groups.numbers))
    compared = groups.numbers >= 0
    numbers = groups.numbers[compared]  # from here on, only of rows that have shingles
    stays = (taken.twins[numbers] < 0) & (taken.keys[numbers] < 0)
    kept = np.ones(len(rows), np.bool_)
    kept[compared] = stays & (groups.firsts[numbers] == rows[compared])
    keys = np.full(len(rows), -1)
    keys[compared] = taken.keys[numbers]
    twins, ratios = np.zeros(len(rows), np.int64), np.zeros(len(rows))
    twins[compared] = groups.firsts[np.where(stays, numbers, taken.twins[numbers])]
    ratios[compared] = np.where(stays, 1, taken.ratios[numbers])
    for number, later, ratio in taken.improvements:
        after = groups.rows_of(number)
        after = after[groups.places[after] > groups.places[groups.firsts[later]]]
        twins[after], ratios[after] = groups.firsts[later], ratio
    frame = pl.DataFrame({"kept": kept, "key": keys, "twin": twins, "jaccard": ratios})
    dropped, has_key = ~pl.col("kept"), pl.col("key") >= 0
    return frame.select(
        "kept",
        pl.when(dropped & ~has_key).then("twin"),
        pl.Series("twin_key", [None] * len(rows) if against is None else against.keys_at(keys), dtype=pl.String),
        pl.when(dropped).then("jaccard"),
        pl.Series("cluster", _clusters(groups.numbers, taken.roots)),
    ).cast(pl.Schema(DUPLICATES))


def _clusters(numbers: NDArray[np.int64], roots: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of each row the lowest row of its cluster; a row without shingles is its own."""
    rows = np.arange(len(numbers))
    lowest = np.full(len(roots), len(numbers), np.int64)
    compared = numbers >= 0
    np.minimum.at(lowest, roots[numbers[compared]], rows[compared])
    clusters = rows.copy()
    clusters[compared] = lowest[roots[numbers[compared]]]
    return clusters
