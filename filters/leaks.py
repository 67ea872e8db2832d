"""training texts → kept or dropped: those that give a sealed text away, by lineage, by n-grams, by meaning.

Three layers, the first that finds something gives the reason:

- `held_out_lineage`: it descends from an ancestor that is sealed. Such ancestors; 1.
- `held_out_leak`: it holds a sealed text. The share of that text's word 8-grams that stand in it; 0.7 by default. A
  sealed prompt inside a longer one is found, which a Jaccard of the two would pass over.
- `held_out_neighbour`: its vector lies next to a sealed one. Cosine; 0.85 by default, for the offline embedder.

Both defaults leave room above what unlike prompts reach: of 2,604 rehearsal prompts for training, whose scaffolding is
shared, the nearest to any of 200 sealed ones has .62 of its 8-grams and cosine .75 (`benchmarks/leaks.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import polars as pl

from .ngrams import NgramIndex
from .texts import shown, text_column
from .vectors import Embedder, Vectors, nearest, vectors_of
from .verdict import FilterError

LEAK_NGRAM = 8
LEAK_CONTAINMENT = 0.7
LEAK_COSINE = 0.85

LEAKS: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "kept": pl.Boolean,
    "reason": pl.String,  # held_out_lineage | held_out_leak | held_out_neighbour; null where kept
    "measured": pl.Float64,  # what the reason counts; where kept, the share of n-grams
    "limit": pl.Float64,
    "twin_key": pl.String,  # of the text on the other side; null where kept
    "span": pl.String,  # the longest run of words that both have; only with held_out_leak
}
Texts = pl.Series | Iterable[str | None]
Lineages = pl.Series | Sequence[str | None]


class LeakIndex:
    """One side of the seal, by key: what is sealed, or what is in training. Grows round by round.

    `cosine_limit` None leaves out the layer of meaning; `embedder` is the offline one, or a callable.
    """

    def __init__(
        self,
        *,
        ngram: int = LEAK_NGRAM,
        containment_limit: float = LEAK_CONTAINMENT,
        cosine_limit: float | None = LEAK_COSINE,
        embedder: Embedder | None = None,
    ) -> None:
        _check_share("containment_limit", containment_limit, LEAK_CONTAINMENT)
        if cosine_limit is not None:
            _check_share("cosine_limit", cosine_limit, LEAK_COSINE)
        if isinstance(ngram, bool) or not isinstance(ngram, int) or ngram < 4:
            raise FilterError(
                what=f"ngram is {shown(ngram)}",
                why="fewer words than four in a row are shared by chance",
                do=f"give a whole number from 4 up, such as {LEAK_NGRAM}",
            )
        self.containment_limit, self.cosine_limit = containment_limit, cosine_limit
        self._embedder = embedder
        self._ngrams = NgramIndex(ngram=ngram)
        self._keys: list[str] = []
        self._of_lineage: dict[str, int] = {}
        self._vectors: Vectors | None = None

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, keys: Iterable[str], texts: Texts, lineages: Lineages | None = None) -> None:
        """Adds each text under its key, with the ancestor it descends from. Raises FilterError, and adds nothing."""
        column, owned = text_column(texts), list(keys)
        ancestors = _column_of(lineages, len(column), "lineages")
        _check_count("keys", len(owned), len(column))
        if self.cosine_limit is not None:
            vectors = vectors_of(column, self._embedder)
            self._vectors = vectors if self._vectors is None else self._vectors.joined(vectors)
        for number, ancestor in enumerate(ancestors, start=len(self._keys)):
            if ancestor is not None:
                self._of_lineage.setdefault(ancestor, number)
        self._ngrams.add(column)
        self._keys += owned

    def query(self, texts: Texts, lineages: Lineages | None = None, *, are_sealed: bool = False) -> pl.DataFrame:
        """One row per text, in order, with the schema `LEAKS`; of equal twins the one added first is named.

        The index holds what is sealed and `texts` are for training; with `are_sealed` it is the other way round,
        and a sealed text is looked for inside what is already in training.
        """
        column = text_column(texts)
        ancestors = _column_of(lineages, len(column), "lineages")
        rows: list[tuple[object, ...]] = [(True, None, 0.0, self.containment_limit, None, None)] * len(column)
        if self.cosine_limit is not None and self._vectors is not None:
            found = nearest(vectors_of(column, self._embedder), self._vectors)
            for row in np.flatnonzero(found.cosine >= self.cosine_limit).tolist():
                twin, cosine = self._keys[int(found.number[row])], float(found.cosine[row])
                rows[row] = (False, "held_out_neighbour", cosine, self.cosine_limit, twin, None)
        for best in self._ngrams.best(column, by_text=are_sealed):
            share = min(1.0, best.shared / (best.text_size if are_sealed else best.item_size))
            if share >= self.containment_limit:
                twin, span = self._keys[best.item], best.span
                rows[best.row] = (False, "held_out_leak", share, self.containment_limit, twin, span)
            elif rows[best.row][0]:
                rows[best.row] = (True, None, share, self.containment_limit, None, None)
        for row, ancestor in enumerate(ancestors):
            number = None if ancestor is None else self._of_lineage.get(ancestor)
            if number is not None:
                rows[row] = (False, "held_out_lineage", 1.0, 1.0, self._keys[number], None)
        return pl.DataFrame(rows, schema=dict(LEAKS), orient="row")


def leaks(
    train: Texts,
    heldout: Texts,
    *,
    train_lineages: Lineages | None = None,
    heldout_lineages: Lineages | None = None,
    ngram: int = LEAK_NGRAM,
    containment_limit: float = LEAK_CONTAINMENT,
    cosine_limit: float | None = LEAK_COSINE,
    embedder: Embedder | None = None,
) -> pl.DataFrame:
    """One row per training text, in order: `kept`, `reason`, `measured`, `limit`, `twin` (UInt32), `span`.

    `twin` is the row of `heldout`, counted from 0. Lineages name each text's hand-written ancestor; null for none.
    Raises FilterError where a column is none of texts, lengths differ, a limit is no share, or `ngram` is below 4.
    """
    index = LeakIndex(ngram=ngram, containment_limit=containment_limit, cosine_limit=cosine_limit, embedder=embedder)
    sealed = text_column(heldout, name="heldout")
    index.add(map(str, range(len(sealed))), sealed, heldout_lineages)
    found = index.query(text_column(train, name="train"), train_lineages)
    return found.with_columns(pl.col("twin_key").cast(pl.UInt32)).rename({"twin_key": "twin"})


def _column_of(lineages: Lineages | None, count: int, name: str) -> list[str | None]:
    if lineages is None:
        return [None] * count
    column: list[str | None] = text_column(lineages, name=name).to_list()
    _check_count(name, len(column), count)
    return column


def _check_count(name: str, given: int, count: int) -> None:
    if given != count:
        raise FilterError(
            what=f"{given} {name} came with {count} texts",
            why="each text has its own",
            do="give one for each text, in the same order",
        )


def _check_share(name: str, value: object, default: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise FilterError(
            what=f"{name} is {shown(value)}",
            why="a training text that reaches it gives a sealed one away",
            do=f"give a number above 0 and at most 1, such as {default}",
        )
