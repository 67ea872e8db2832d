"""texts → tics: what they say too often and too much alike, measured against a reference. Never a ban list.

Needs all rows. Openings and closings (T1), stock phrases (T2), repetition (T3), skeletons (T4), what gives a
context away (T6), and a classifier two-sample test (T7). It describes; no text is dropped for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import polars as pl

from .tics_ngrams import cut_all
from .tics_parts import Corpus, pairs
from .tics_summary import SUMMARY, apart, card_measures, measures
from .tics_table import TICS, Held, table_of
from .tics_words import as_long, text_column

__all__ = ["SUMMARY", "TICS", "Tics", "tics"]

Texts: TypeAlias = "pl.Series | Iterable[str | None]"
Cards: TypeAlias = "pl.DataFrame | Mapping[str, Texts] | Texts"


@dataclass(frozen=True)
class Tics:
    """What was found, as three frames.

    table    schema `TICS`: a line for each listed tic, by group, reference and kind, the most frequent first. Kinds:
             opening, closing (families), phrase, skeleton, telling (words by which a classifier knows the texts)
    rows     one row per text, in order: `opening`, `closing` (its families), `tics` (the listed phrases it holds)
    summary  schema `SUMMARY`, by `measure`:
             openings_effective, closings_effective  1 / Σ p²: as many equally large families would be as even
             opening_top, closing_top   share of the largest family (`of`) with its Wilson interval
             compression    bytes before over after zlib, of samples of equally many texts of one length
             shared_8grams  share of texts with eight words in a row that another text has too
             two_sample_auc  how well a classifier tells the texts from the reference; 0.5: not at all
             card_quoted    mean share of a card's rare words that stand in its text
             card_told      how often a classifier names the level of an axis (`of`)
    """

    table: pl.DataFrame
    rows: pl.DataFrame
    summary: pl.DataFrame


def tics(
    texts: Texts,
    *,
    reference: Mapping[str, Texts] | Texts | None = None,
    groups: Texts | None = None,
    card: Cards | None = None,
    seed: int = 0,
) -> Tics:
    """Measures the tics of `texts`: how often, how much more often than in the reference, and how surely.

    `reference` is a column of texts, or several by name; each is compared with by itself. `groups` names a group
    (a teacher) for each text: each group is compared with the texts of all others, which needs no corpus written by
    people. With neither, rates are told without a ratio (its columns are null), and only the most frequent are listed.
    `card` is what each text was written for: a column of texts, or levels by axis. `seed` draws samples and deals
    out cards.

    Listed is what stands in 0.5 % of the texts or more (and never in just one), at 5 times the reference's rate or
    more, with an adjusted p of 1 % at most; `tics_phrases.against` says how these are reckoned. Of phrases that hold
    each other the one that says most is listed. Null and blank texts have no tics and count nowhere. The order of
    rows decides nothing. Words are those of `tics_words`: where a script has no blanks, characters.

    Raises FilterError for what is no column of texts, and where `groups` or `card` is not as long as `texts`.
    """
    column = text_column(texts)
    given = {name: text_column(other, name=name) for name, other in _by_name(reference, "reference").items()}
    words, vocabulary = cut_all([column, *given.values()])
    own = Corpus(column, words[0], vocabulary, seed=seed)
    references = {
        name: Corpus(other, cut, vocabulary, seed=seed)
        for (name, other), cut in zip(given.items(), words[1:], strict=True)
    }
    cards = {name: as_long(levels, name, len(column)) for name, levels in _by_name(card, "card").items()}
    of_group = None if groups is None else as_long(groups, "groups", len(column))
    tables, held, summary = [pl.DataFrame(schema=dict(TICS))], list[Held](), list[dict[str, Any]]()
    for part, other in pairs(own, references, of_group) if len(own.order) else ():
        known_by = apart(part, other)
        table, phrases = table_of(part, other, known_by.telling if known_by else ())
        tables.append(table)
        held += phrases
        summary += measures(part, other, known_by)
    if cards and len(own.order):
        summary += card_measures(own, pl.DataFrame(cards), seed=seed)
    return Tics(pl.concat(tables), _rows(own, held), pl.DataFrame(summary, schema=dict(SUMMARY), orient="row"))


def _by_name(given: Cards | None, name: str) -> dict[str, Texts]:
    if given is None:
        return {}
    if isinstance(given, pl.DataFrame):
        return dict(zip(given.columns, given, strict=True))
    return dict(given) if isinstance(given, Mapping) else {name: given}


def _rows(own: Corpus, held: list[Held]) -> pl.DataFrame:
    rows = own.families.with_row_index("row")
    schema = {"row": pl.UInt32, "tics": pl.String}
    parts = [pl.DataFrame({"row": phrase.rows, "tics": phrase.phrase}, schema=schema) for phrase in held]
    by_row = pl.concat([pl.DataFrame(schema=schema), *parts]).unique(maintain_order=True)
    by_row = by_row.group_by("row", maintain_order=True).agg("tics")
    joined = rows.join(by_row, on="row", how="left", maintain_order="left")
    return joined.select("opening", "closing", pl.col("tics").fill_null([]))
