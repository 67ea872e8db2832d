"""texts → their tics in brief: what a data card says of them, in a fraction of a second for hundreds of texts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import polars as pl

from .tics_families import spread, tic_families
from .tics_ngrams import cut_all
from .tics_phrases import Side, rows_of, tics_of
from .tics_skeletons import phrasing, readable
from .tics_words import text_column


def tic_rates(
    texts: pl.Series | Iterable[str | None], *, reference: pl.Series | Iterable[str | None], most: int = 5
) -> dict[str, Any]:
    """What a card says, as plain values: `texts`, `openings`, `closings`, `phrases`, `listed`.

    openings, closings  `families`, `effective` (1 / Σ p²), `top`, `top_share`, `top_interval` (Wilson, 95 %)
    phrases             the `most` frequent of three words and more: `phrase`, `rate`, `reference_rate`
    listed              how many phrases `tics` lists against the reference, which may be too small to list any

    Shares are in [0, 1], rounded to six digits. Raises FilterError for what is no column of texts.
    """
    column, compared = text_column(texts), text_column(reference, name="reference")
    cuts, vocabulary = cut_all([column, compared])
    own, theirs = (
        Side(phrasing(words, vocabulary), len(each) - each.null_count())
        for words, each in zip(cuts, (column, compared), strict=True)
    )
    families = tic_families(column)
    frequent = tics_of(own, None)[:most]
    there = rows_of(theirs.words, [tic.gram for tic in frequent])
    return {
        "texts": own.texts,
        "openings": _told(families["opening"]),
        "closings": _told(families["closing"]),
        "phrases": [
            {
                "phrase": phrase,
                "rate": round(len(tic.rows) / own.texts, 6),
                "reference_rate": round(len(rows) / theirs.texts, 6) if theirs.texts else None,
            }
            for phrase, tic, rows in zip(
                readable(vocabulary, [tic.gram for tic in frequent]), frequent, there, strict=True
            )
        ],
        "listed": len(tics_of(own, theirs)),
    }


def _told(families: pl.Series) -> dict[str, Any]:
    found = spread(families)
    return {
        "families": families.drop_nulls().n_unique(),
        "effective": round(found.effective, 2),
        "top": found.top,
        "top_share": round(found.top_share, 6),
        "top_interval": [round(end, 6) for end in found.top_interval],
    }
