"""what people brought → what the manifest and the card say of it: by source and licence, and what came of it.

A release without any says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from .bringing import sealed_unknown
from .recipe import Recipe
from .state import State
from .text import escaped

SHOWN = 20
"""Sources named in the card; the manifest has all."""
NOT_KNOWN = "unknown"


def people_facts(state: State, selected: pl.DataFrame, recipe: Recipe) -> dict[str, Any]:
    """`people`: conversations by source and licence, brought and selected; nothing where nobody brought any."""
    if not state.brought:
        return {}
    people = state.people.with_columns(
        pl.col("licence").fill_null(NOT_KNOWN), selected=pl.col("id").is_in(selected["id"].implode())
    )
    by = people.group_by("source", "licence").agg(brought=pl.len(), selected=pl.col("selected").sum())
    return {
        "people": {
            "brought": people.height,
            "selected": int(people["selected"].sum()),
            "without_because": people.filter(pl.col("selected") & pl.col("because").is_null()).height,
            "sealed_level_unknown": sealed_unknown(people.filter("selected"), recipe),
            "sources": by.sort("brought", "source", "licence", descending=[True, False, False]).to_dicts(),
        }
    }


def card_section(people: Mapping[str, Any], funnel: Mapping[str, Any]) -> str:
    """Who wrote what the teachers did not, under which licence, and what is not known of it."""
    dropped = ", ".join(f"{reason} {count}" for reason, count in funnel["dropped"].items())
    unread = funnel["unjudged"]
    unjudged = f", {unread} unjudged" if unread else ""
    judge = "" if unread == funnel["kept"] else ", judge"
    lines = [
        f"{people['selected']} of the exemplars are conversations that people wrote, out of {people['brought']} that "
        f"were brought ({funnel['brought'] - funnel['kept']} dropped{': ' + dropped if dropped else ''}; "
        f"{funnel['unscored']} unscored{unjudged}). They passed the same filters{judge} and selection as the rest. "
        "`tables/people.parquet` has the source and the licence of each, joined by `id`.",
        "",
        "| source | licence | brought | selected |",
        "|---|---|---:|---:|",
        *(
            f"| {escaped(row['source'])} | {escaped(row['licence'])} | {row['brought']} | {row['selected']} |"
            for row in people["sources"][:SHOWN]
        ),
    ]
    if len(people["sources"]) > SHOWN:
        lines.append(f"\n{len(people['sources']) - SHOWN} more sources are in the manifest.")
    if people["without_because"]:
        lines.append(f"\n{people['without_because']} of them come without a quoted reason.")
    for axis, count in people["sealed_level_unknown"].items():
        lines.append(
            f"\n{count} of them do not say their {escaped(axis)}, an axis with sealed levels: by their levels alone it "
            "is not known that they are none of these. Their texts were compared with all that is sealed."
        )
    return "\n".join(lines)


def licences(own: str, people: Mapping[str, Any] | None) -> list[str]:
    """The recipe's licence, then the others of what was selected, in lower case as the hub wants them."""
    others = [row["licence"] for row in (people or {"sources": []})["sources"] if row["selected"]]
    return list(dict.fromkeys(name.lower() for name in (own, *sorted(others))))
