"""pairs → what is said of shortcuts in them: in the manifest, on the card and on the screen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from .probe import shortcut_probe
from .probe_style import style_probe
from .text import escaped, on_screen

MOST_PAIRS = 2_000
"""Pairs that are looked at, of each value: by then an interval is a few hundredths wide."""
ALL = "all values"
IN_A_SENTENCE, ON_THE_CARD = 2, 5
"""Phrases named."""


def probe_facts(pairs: pl.DataFrame, drafts: pl.DataFrame) -> dict[str, Any]:
    """`shortcut` and `style` of the kept pairs: of all, and of each value that has enough of them.

    `drafts` holds `id`, `messages` and `seed_id`; pairs of one seed are on one side of every fold. Of many pairs those
    with the lowest ids are taken, and ids are hashes.
    """
    kept = pairs.filter("kept").join(drafts.select("id", "messages", "seed_id"), on="id").sort("id")
    facts: dict[str, Any] = {"shortcut": {}, "style": {}}
    facets = kept["facet"].unique().sort().to_list()
    parts = [(facet, kept.filter(pl.col("facet") == facet)) for facet in facets if len(facets) > 1]
    for name, rows in ((ALL, kept), *parts):
        some = rows.head(MOST_PAIRS)
        chosen, groups = some["messages"].list.last().struct.field("content"), some["seed_id"].to_list()
        shortcut = shortcut_probe(chosen, some["rejected"], groups=groups)
        style = style_probe(chosen, some["rejected"], groups=groups)
        facts["shortcut"] |= {name: shortcut.as_dict()} if shortcut else {}
        facts["style"] |= {name: style.as_dict()} if style else {}
    return facts


def alarms(pairs: Mapping[str, Any]) -> Iterator[str]:
    """What should not be overlooked, in words: values whose pairs teach a phrase, and sets that style tells apart."""
    for name, found in pairs.get("shortcut", {}).items():
        if found["alarm"]:
            yield (
                f"shortcut alarm, {name}: short phrases alone tell genuine from hollow where they were not fitted "
                f"(AUC {_measured(found)}, alarm above {found['limit']:g}); the pairs teach "
                f"{_phrases(found, IN_A_SENTENCE)} rather than the behaviour"
            )
    for name, found in pairs.get("style", {}).items():
        if not found["passed"]:
            told = ", ".join(row["feature"] for row in found["features"][:3])
            yield (
                f"style, {name}: length, format and stock phrases alone tell chosen from rejected (right in "
                f"{_measured(found)} of the pairs, limit {found['limit']:g}), most by {told}"
            )


def brief(pairs: Mapping[str, Any]) -> Iterator[str]:
    """The same on two lines at the most, for a screen that has told it at length before."""
    rings = [name for name, found in pairs.get("shortcut", {}).items() if found["alarm"]]
    fails = [name for name, found in pairs.get("style", {}).items() if not found["passed"]]
    if rings:
        yield f"shortcut alarm: pairs of {', '.join(rings)} teach phrases, not the behaviour; the card names them"
    if fails:
        yield f"style alone tells chosen from rejected in pairs of {', '.join(fails)}"


def card_lines(pairs: Mapping[str, Any]) -> list[str]:
    """Both probes of each value, alarm or not, for the card; and what they cannot tell."""
    if "shortcut" not in pairs:
        return []
    lines = []
    for name, found in pairs["shortcut"].items():
        rings = "**alarm**, " if found["alarm"] else ""
        phrases = f"; what tells them: {_phrases(found, ON_THE_CARD)}" if found["phrases"] else ""
        lines.append(f"- shortcut, {escaped(name)}: {rings}AUC {_measured(found)}{escaped(phrases)}")
    for name, found in pairs["style"].items():
        fails = "" if found["passed"] else "**fails**, "
        lines.append(f"- style alone, {escaped(name)}: {fails}right in {_measured(found)} of the pairs")
    if not lines:
        return ["- shortcuts and style were not measured: too few pairs, or all of one seed"]
    return [
        *lines,
        "- shortcut: a model that sees runs of one to three words, fitted to some seeds' texts and tried on others'. "
        "Above 0.8 the set teaches a phrase, not the behaviour, unless the phrase is the plainest way to show it, "
        "which a reader must say. Meaning and longer word order are not looked at. Style: length, format, stock "
        "phrases; above 0.6 of the pairs it fails. A coin has 0.5; intervals are 95 %, by seed",
    ]


def _measured(found: Mapping[str, Any]) -> str:
    low, high = found["interval"]
    return f"{found['auc']:.2f}, {low:.2f} to {high:.2f}"


def _phrases(found: Mapping[str, Any], most: int) -> str:
    """`“let us face it” (62 % of genuine, 0 % of hollow)`, the greatest first."""
    return "; ".join(
        f"“{on_screen(one['phrase'], width=60)}” ({one['genuine']:.0%} of genuine, {one['hollow']:.0%} of hollow)"
        for one in found["phrases"][:most]
    )
