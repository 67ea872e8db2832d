"""texts → kept or dropped: of texts that are nearly the same one stays, and the others name it as their twin.

Needs all rows at once; everything before the comparison (words, shingles, signatures) works row by row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from .minhash import MinHashIndex, Neighbours, Sketch, Sketcher, Sketching, text_hash, text_list
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
    as sets of shingles; a text shorter than one shingle is a shingle of all its words. Rows are taken by
    `prefer` (higher first; null and NaN last; compared as 64-bit floats), then by a hash of the text, then by
    row number. A row is dropped only if its exact Jaccard with a text of `against`, or else with a row taken
    and kept before it, reaches `threshold`; its twin is the most similar of those, ties to the one added or
    taken first. So a chain of small changes does not collapse to one text, and which texts stay does not
    depend on row order.

    Null and blank texts are kept: they copy nothing. Candidates come from MinHash bands: a pair a little
    above the threshold can be missed (about 1 in 900 at .75 for the defaults), none below it is ever found.
    `cluster` joins each kept row to the rows that resemble it, and rows that copy the same text of `against`;
    it decides nothing.

    Raises FilterError for arguments that cannot be used, and for an `against` built with other settings.
    """
    sketching = Sketching(threshold=threshold, ngram=ngram, num_perm=num_perm, seed=seed)
    if against is not None:
        against.check_same(sketching)
    rows = text_list(texts)
    order = _order_taken(rows, prefer)
    field = _Field(Sketcher(sketching).sketches(rows), Neighbours(sketching))
    if against is not None:
        field.close_copies_of(against)
    for row in order:
        field.take(row)
    return field.answer()


def _order_taken(rows: list[str | None], prefer: pl.Series | Sequence[float | None] | None) -> list[int]:
    ranks = [0.0] * len(rows) if prefer is None else _ranks(prefer, len(rows))
    hashes = [b"" if text is None else text_hash(text) for text in rows]
    return sorted(range(len(rows)), key=lambda row: (-ranks[row], hashes[row], row))


def _ranks(prefer: pl.Series | Sequence[float | None], count: int) -> list[float]:
    try:
        values = pl.Series(list(prefer), dtype=pl.Float64)
    except (TypeError, OverflowError) as error:
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
    return values.fill_nan(None).fill_null(float("-inf")).to_list()


@dataclass(frozen=True)
class _Twin:
    jaccard: float
    row: int | None = None
    key: str | None = None


class _Field:
    """The rows while they are taken one by one. Rows of one shingle set share a number, compared once."""

    def __init__(self, sketches: list[Sketch | None], neighbours: Neighbours) -> None:
        self._neighbours = neighbours
        self._numbers = [None if sketch is None else neighbours.add(sketch) for sketch in sketches]
        self._sketches: list[Sketch] = []  # of each number, its first
        for sketch, number in zip(sketches, self._numbers, strict=True):
            if sketch is not None and number == len(self._sketches):
                self._sketches.append(sketch)
        self._best: dict[int, _Twin] = {}  # of each number: the best twin among what is kept so far
        self._twins: list[_Twin | None] = [None] * len(sketches)
        self._links = list(range(len(self._sketches)))  # union-find over numbers

    def close_copies_of(self, index: MinHashIndex) -> None:
        """What was kept in an earlier round stands: its copies are dropped before any row is taken."""
        first: dict[str, int] = {}
        for number, sketch in enumerate(self._sketches):
            hit = index.nearest(sketch)
            if hit is not None:
                self._best[number] = _Twin(hit[1], key=hit[0])
                self._join(number, first.setdefault(hit[0], number))

    def take(self, row: int) -> None:
        """Drops the row if it copies what is kept, else keeps it and tells every set it resembles."""
        number = self._numbers[row]
        if number is None:
            return
        if number in self._best:
            self._twins[row] = self._best[number]
            return
        for jaccard, other in self._neighbours.similar(self._sketches[number]):
            best = self._best.get(other)
            if best is None or (best.key is None and jaccard > best.jaccard):
                self._best[other] = _Twin(jaccard, row=row)
            self._join(number, other)

    def answer(self) -> pl.DataFrame:
        clusters: dict[int, int] = {}  # lowest row of each root: rows come in ascending order
        rows: list[tuple[bool, int | None, str | None, float | None, int]] = []
        for row, (number, twin) in enumerate(zip(self._numbers, self._twins, strict=True)):
            cluster = row if number is None else clusters.setdefault(self._root(number), row)
            if twin is None:
                rows.append((True, None, None, None, cluster))
            else:
                rows.append((False, twin.row, twin.key, twin.jaccard, cluster))
        return pl.DataFrame(rows, schema=dict(DUPLICATES), orient="row")

    def _root(self, number: int) -> int:
        while self._links[number] != number:
            self._links[number] = self._links[self._links[number]]
            number = self._links[number]
        return number

    def _join(self, one: int, other: int) -> None:
        self._links[self._root(other)] = self._root(one)
