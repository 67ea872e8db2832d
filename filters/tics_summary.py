"""one part against another → measures of the whole: how evenly it begins and ends, how repetitive it is, how known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import polars as pl

from .tics_corpus import compression_ratio, length_matched, shared_rows
from .tics_families import family_counts, spread
from .tics_leakage import SAMPLE_TEXTS as LEAKAGE_TEXTS
from .tics_leakage import leaks
from .tics_ngrams import only
from .tics_parts import Corpus, Part, in_order
from .tics_skeletons import phrasing
from .tics_twosample import MOST_TEXTS, Apart, told_apart

SUMMARY: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "measure": pl.String,
    "group": pl.String,  # null: all texts
    "of": pl.String,  # the family or the axis that is measured, where it is one
    "value": pl.Float64,
    "low": pl.Float64,  # of a 95 % interval, where there is one
    "high": pl.Float64,
    "reference": pl.String,
    "reference_value": pl.Float64,  # the same measure there
    "p": pl.Float64,
}
CHANCE = "chance"
"""What `card_quoted` and `card_told` are compared with: cards dealt out at random."""

_SAMPLED = 4000  # texts of which the long ones are packed


def measures(part: Part, other: Part | None, apart: Apart | None) -> Iterator[dict[str, Any]]:
    """Rows of the schema `SUMMARY`."""
    for which in ("opening", "closing"):
        yield from _family_measures(part, other, which)
    own, *theirs = length_matched(*(side.corpus.texts.gather(side.rows[:_SAMPLED]) for side in (part, other) if side))
    packed = [compression_ratio(texts) for texts in (own, *theirs)]
    yield _row(part, other, "compression", packed[0], *packed[1:])
    shared = [_shared(side) for side in (part, other) if side]
    yield _row(part, other, "shared_8grams", *shared)
    if apart is not None:
        low, high = apart.interval
        yield _row(part, other, "two_sample_auc", apart.auc, 0.5) | {"low": low, "high": high}


def apart(part: Part, other: Part | None) -> Apart | None:
    """The two-sample test on up to `MOST_TEXTS` texts of each; None without a reference, or with too few texts."""
    if other is None:
        return None
    vocabulary = part.corpus.vocabulary
    words = [phrasing(side.sampled(MOST_TEXTS), vocabulary) for side in (part, other)]
    lots = [side.corpus.lots[side.rows[:MOST_TEXTS]] for side in (part, other)]
    return told_apart(words[0], words[1], vocabulary, (lots[0], lots[1]))


def card_measures(own: Corpus, cards: pl.DataFrame, *, seed: int) -> Iterator[dict[str, Any]]:
    """How far texts give away the cards they were written for, beside cards dealt out at random."""
    # Equal texts are told apart by their cards, so that the order of rows decides nothing.
    told = cards.select(pl.concat_str(pl.all().fill_null(""), separator="\n")).to_series()
    first = own.order.tolist()
    first.sort(key=lambda row: (own.lots[row], own.texts[row], told[row]))
    chosen = first[:LEAKAGE_TEXTS]
    words = phrasing(in_order(own.words, np.array(chosen, np.int64)), own.vocabulary)
    for leak in leaks(words, cards[chosen], own.vocabulary, seed=seed):
        found = _row(Part(own, None, own.order), None, leak.measure, leak.value, leak.expected)
        yield found | {"of": leak.of, "reference": CHANCE, "p": leak.p}


def _family_measures(part: Part, other: Part | None, which: str) -> Iterator[dict[str, Any]]:
    own = spread(part.families(which))
    theirs = spread(other.families(which)) if other else None
    yield _row(part, other, f"{which}s_effective", own.effective, *([theirs.effective] if theirs else []))
    # How large the same family is in the reference: the interval lies above it where the texts overdo it.
    there = None
    if other is not None and other.texts and own.top is not None:
        there = family_counts(other.families(which)).get(own.top, 0) / other.texts
    top = _row(part, other, f"{which}_top", own.top_share, there)
    yield top | {"of": own.top, "low": own.top_interval.low, "high": own.top_interval.high}


def _shared(side: Part) -> float | None:
    if not side.texts:
        return None
    words = phrasing(only(side.corpus.words, side.ascending), side.corpus.vocabulary, across_sentences=True)
    return len(shared_rows(words, side.corpus.vocabulary)) / side.texts


def _row(
    part: Part, other: Part | None, measure: str, value: float | None, there: float | None = None
) -> dict[str, Any]:
    return {
        "measure": measure,
        "group": part.name,
        "of": None,
        "value": value,
        "low": None,
        "high": None,
        "reference": other.name if other else None,
        "reference_value": there,
        "p": None,
    }
