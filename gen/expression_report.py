"""release → what is said of its values: how evenly they are expressed, beside how unlike the answers are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
from rich.table import Table

from .breadth import diversity
from .expression import evidence, facets
from .recipe import Recipe
from .tables import said_by
from .text import escaped

Row = Mapping[str, Any]

SHOWN = 6
"""Weaker levels named in a line."""

LEGEND = (
    "Scores are the judge's, from 0 to 1; an answer without one is not counted as zero. `mean` with its 95 % interval "
    "by seed; `worst tenth`: mean of the lowest tenth; `spread`: standard deviation of the true means of the levels of "
    "the axis where they differ most, noise taken off. A level is weaker where it lies below all others by more than "
    "chance (Welch, adjusted over all levels of the facet at 5 %). `unlike`: median of 1 - cosine with the nearest "
    "selected answer of the facet. High and even means in answers that are unlike each other are what is sought."
)


def expression_facts(
    kept: pl.DataFrame, judgements: pl.DataFrame, selected: pl.DataFrame, recipe: Recipe
) -> dict[str, Any]:
    """`expression`: `facets`, `levels` and `evidence` as plain values; nothing where nobody judged.

    `kept` are the training answers that were shown to the judge, with `seed_id`, `messages` and one column per axis.
    """
    judged = judgements.filter(pl.col("state") != "unjudged")
    if not judged.height:
        return {}
    rows = kept.join(judged.select("id", "score", "spans", "evidence_ask_id"), on="id", maintain_order="left")
    rows = rows.with_columns(
        selected=pl.col("id").is_in(selected["id"].implode()), asked=pl.col("evidence_ask_id").is_not_null()
    )
    told, levels = facets(rows, list(recipe.train_levels))
    shown = evidence(rows, {facet: list(rubric.evidence) for facet, rubric in recipe.rubrics.items()})
    return {
        "expression": {
            "facets": [{**row, "unlike": _unlike(selected, row["facet"])} for row in told.to_dicts()],
            "levels": levels.to_dicts(),
            "evidence": shown.to_dicts(),
        }
    }


def _unlike(selected: pl.DataFrame, facet: str) -> float | None:
    own = selected.filter(pl.col("facet") == facet)
    if own.height < 2:
        return None
    texts = own.select(said_by(own, "assistant").alias("answer"))
    found: float | None = diversity(texts, text="answer", sizes=[own.height])["nearest_median"][0]
    return found


def card_section(expression: Mapping[str, Sequence[Row]]) -> str:
    """The table of the card, the weaker levels in words, the rates of evidence, and what it all says."""
    head = ("value", "scored", "selected", "mean", "95 %", "worst tenth", "spread", "weaker levels", "unlike")
    lines = [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
    lines += [f"| {' | '.join(_cells(row))} |" for row in expression["facets"]]
    lines += ["", *(f"- weaker: {_level_words(row)}" for row in _weaker(expression["levels"]))]
    lines += [f"- evidence in {words}" for words in _evidence_words(expression["evidence"])]
    return "\n".join([*lines, "", LEGEND])


def expression_table(expression: Mapping[str, Sequence[Row]]) -> Table:
    """The same for a screen; levels are in the card."""
    table = Table(title="how evenly expressed", title_justify="left", box=None, pad_edge=False)
    for name in ("value", "scored", "mean", "95 %", "worst tenth", "spread", "weaker levels"):
        table.add_column(name, justify="left" if name == "value" else "right")
    for row in expression["facets"]:
        cells = _cells(row)
        table.add_row(cells[0], cells[1], *cells[3:8])
    return table


def _cells(row: Row) -> list[str]:
    between = "-" if row["low"] is None else f"{row['low']:.2f} to {row['high']:.2f}"
    spread = "-" if row["spread"] is None else f"{row['spread']:.3f}"
    return [
        escaped(row["facet"]),
        f"{row['scored']} of {row['judged']}",
        str(row["selected"]),
        _figure(row["mean"]),
        between,
        _figure(row["worst_tenth"]),
        spread,
        str(row["weaker"]),
        _figure(row["unlike"]),
    ]


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _weaker(levels: Sequence[Row]) -> list[Row]:
    """The weakest first."""
    return sorted((row for row in levels if row["weaker"]), key=lambda row: (row["shrunk"], row["facet"]))[:SHOWN]


def _level_words(row: Row) -> str:
    where = escaped(f"{row['facet']} where {row['axis']} = {row['level']}")
    return f"{where}: {row['mean']:.2f} of {row['scored']} (p {row['p']:.1g})"


def _evidence_words(rows: Sequence[Row]) -> list[str]:
    """`honest apology (of 71): names the act 96 %, …`, a line for each facet that has any."""
    words = []
    for facet in dict.fromkeys(row["facet"] for row in rows):
        own = [row for row in rows if row["facet"] == facet and row["asked"]]
        if own:
            shares = ", ".join(f"{row['item'].replace('_', ' ')} {row['shown'] / row['asked']:.0%}" for row in own)
            words.append(escaped(f"{facet} (of {own[0]['asked']}): {shares}"))
    return words
