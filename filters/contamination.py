"""texts → kept or dropped: those that hold an item of a benchmark, by shared word n-grams. Row by row.

A text holds an item where at least `min_overlap` of the item's n-grams stand in it. Eight words and one half are what
Tülu 3 decontaminated by (its measure is tokens covered, here it is n-grams); s1 drops for a single 8-gram, which is
`min_overlap=0`; 13 words are the older practice. A paraphrase shares no n-gram and is not found.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import polars as pl

from .ngrams import NgramIndex
from .texts import shown, text_column
from .verdict import FilterError

NGRAM = 8
MIN_OVERLAP = 0.5

CONTAMINATION: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "kept": pl.Boolean,
    "reason": pl.String,  # benchmark; null where kept
    "measured": pl.Float64,  # the highest share of an item's n-grams that stand in the text; 0 where none does
    "limit": pl.Float64,
    "benchmark": pl.String,  # whose item that is; this and what follows are null where kept
    "row": pl.UInt32,  # which of its items, counted from 0
    "text_share": pl.Float64,  # the share of the text's own n-grams that stand in the item
    "span": pl.String,  # the longest run of words of the item, as it stands in the text
}


def contamination(
    texts: pl.Series | Iterable[str | None],
    benchmarks: Mapping[str, pl.Series | Iterable[str | None]],
    *,
    ngram: int = NGRAM,
    min_overlap: float = MIN_OVERLAP,
) -> pl.DataFrame:
    """One row per text, in order: `kept`, `reason`, `measured`, `limit`, `benchmark`, `row`, `text_share`, `span`.

    `benchmarks` maps names to their items. Of several items that stand in a text the one of the highest share is
    named, ties to the first. An item of fewer than `ngram` words must stand in the text whole; one of fewer than four
    must be the text. n-grams that more than twenty items share are their template and do not count, so an item of
    nothing else is never found. With `min_overlap` 0 one n-gram is enough.

    Raises FilterError where a column is none of texts, `ngram` is below 4, or `min_overlap` is no share.
    """
    column = text_column(texts)
    _check(benchmarks, ngram, min_overlap)
    index, owners = NgramIndex(ngram=ngram), []
    for name, items in benchmarks.items():
        own = text_column(items, name=f"benchmarks[{name!r}]")
        index.add(own)
        owners += [(name, row) for row in range(len(own))]
    rows: dict[int, tuple[object, ...]] = {}
    for found in index.best(column):
        share = found.shared / found.item_size
        if share >= min_overlap:
            name, row = owners[found.item]
            text_share = min(1.0, found.shared / found.text_size)
            rows[found.row] = (False, "benchmark", share, min_overlap, name, row, text_share, found.span)
        else:
            rows[found.row] = (True, None, share, min_overlap, None, None, None, None)
    clean = (True, None, 0.0, min_overlap, None, None, None, None)
    answers = [rows.get(row, clean) for row in range(len(column))]
    return pl.DataFrame(answers, schema=dict(CONTAMINATION), orient="row")


def _check(benchmarks: object, ngram: object, min_overlap: object) -> None:
    if not isinstance(benchmarks, Mapping):
        raise FilterError(
            what=f"benchmarks is {shown(benchmarks)}, of type {type(benchmarks).__name__}",
            why="what is found is reported by the name of its benchmark",
            do="give a mapping of names to columns of texts, such as {'gsm8k': questions}",
        )
    if isinstance(ngram, bool) or not isinstance(ngram, int) or ngram < 4:
        raise FilterError(
            what=f"ngram is {shown(ngram)}",
            why="fewer words than four in a row are shared by chance",
            do=f"give a whole number from 4 up: {NGRAM}, or 13 to find longer copies only",
        )
    if isinstance(min_overlap, bool) or not isinstance(min_overlap, int | float) or not 0 <= min_overlap <= 1:
        raise FilterError(
            what=f"min_overlap is {shown(min_overlap)}",
            why="it is the share of an item's n-grams from which a text holds the item",
            do=f"give a number from 0 (one n-gram is enough) to 1, such as {MIN_OVERLAP}",
        )
