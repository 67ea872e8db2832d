"""A drill to look at: per kind what was caught, what was dropped of the clean, and some of what was missed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from .drill_kinds import KINDS
from .drilling import Drill
from .text import on_screen

WIDTH = 116  # of a quoted line
HALF = 3 * WIDTH  # characters shown of either end of a long answer


def as_json(drill: Drill, *, misses: int) -> dict[str, Any]:
    """All figures, and the first `misses` of each kind that was missed and of each reason of a false alarm."""
    shown = _first(drill.misses, misses)
    return {
        **drill.summary,
        "kinds": drill.kinds.to_dicts(),
        "false_alarms": drill.false_alarms.to_dicts(),
        "apart": dict(drill.apart),
        "misses": shown.to_dicts(),
        "alarms": _first_by(drill.alarms, "reason", misses).to_dicts(),
        "exit": 0,
    }


def drill_report(drill: Drill, *, misses: int) -> Iterator[RenderableType]:
    """The figures as tables; then, readable, the first `misses` of each kind and of each reason of a false alarm."""
    summary = drill.summary
    yield Text(
        f"{summary['planted']:,} flawed drafts among {summary['clean']:,} clean ones, composed by rehearsal for the "
        f"contexts of {on_screen(summary['recipe'])} (seed {summary['seed']}).\n"
        "The figures say what the filters see of such flaws, not how often a teacher makes them."
    )
    if summary["off"]:
        yield Text(f"switched off by the recipe: {', '.join(summary['off'])}", style="bold")
    for note in summary["notes"]:
        yield Text(f"note: {on_screen(note)}")
    yield Text("")
    yield _kinds(drill.kinds)
    yield Text(
        "by luck: of the missed, dropped for a reason that is not meant for them\n"
        "alarms: clean drafts that were dropped for a reason that is meant for the kind",
        style="dim",
    )
    yield Text("")
    yield _false_alarms(drill.false_alarms)
    yield Text("")
    yield from _apart(drill.apart)
    yield from _misses(drill, misses)
    yield from _alarms(drill.alarms, misses)


def _kinds(kinds: pl.DataFrame) -> Table:
    table = Table(
        title="what was planted, and caught (shares in %, with 95 % intervals)",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    table.add_column("kind", no_wrap=True, min_width=max(map(len, KINDS)))
    for name in ("planted", "caught", "missed", "by luck", "recall", "alarms", "precision"):
        wide = name in ("recall", "precision")
        table.add_column(name, justify="right", no_wrap=True, min_width=len("100.0 [98–100]") if wide else len(name))
    table.add_column("caught as", no_wrap=True)
    for row in kinds.iter_rows(named=True):
        meant = bool(KINDS[row["kind"]].reasons)
        counts = [str(row[name]) for name in ("planted", "caught", "missed", "dropped_otherwise")]
        figures = [_share(row, "recall"), str(row["false_alarms"]), _share(row, "precision")]
        if not meant:  # no filter is for it: neither caught nor missed
            counts[1:], figures = ["–"] * 3, ["–"] * 3
        table.add_row(row["kind"], *counts, *figures, _caught_as(row["caught_as"]))
    return table


def _caught_as(reasons: list[Mapping[str, Any]]) -> str:
    return ", ".join(f"{found['reason']} {found['rows']}" for found in reasons)


def _share(row: Mapping[str, Any], name: str) -> str:
    if row[name] is None:
        return "–"
    value, low, high = (100 * row[key] for key in (name, f"{name}_low", f"{name}_high"))
    return f"{value:.1f} [{low:.0f}–{high:.0f}]"


def _false_alarms(alarms: pl.DataFrame) -> Table:
    table = Table(title="clean drafts that were dropped", title_justify="left", box=None, pad_edge=False)
    table.add_column("reason")
    for name in ("dropped", "of", "share, % [95 %]"):
        table.add_column(name, justify="right")
    for row in alarms.iter_rows(named=True):
        named = {"share": row["share"], "share_low": row["low"], "share_high": row["high"]}
        share = "–" if row["share"] is None else "{:.2f} [{:.2f}, {:.2f}]".format(*(100 * v for v in named.values()))
        table.add_row(row["reason"] or "any", str(row["dropped"]), str(row["clean"]), share)
    return table


def _apart(apart: Mapping[str, Any]) -> Iterator[Text]:
    hollow, tic = apart["hollow"], apart["opening_tic"]
    own, clean = hollow["hollow"], hollow["clean"]
    if own["judged"] and clean["judged"]:
        yield Text(
            f"hollow: {hollow['judge']} gives {own['below_2']} of {own['judged']} less than level 2 (mean "
            f"{own['mean_level']:.2f}), and {clean['below_2']} of {clean['judged']} clean ones (mean "
            f"{clean['mean_level']:.2f}); the recipe's own judge was not asked"
        )
    if tic["planted"]:
        family = on_screen(tic["family"] or "", width=40)
        yield Text(
            f"opening_tic: {tic['in_family']} of {tic['planted']} are seen as one family, “{family}”, "
            f"which {tic['rows_in_family']} of all {tic['rows']:,} answers begin with"
        )


def _misses(drill: Drill, count: int) -> Iterator[RenderableType]:
    for row in _first(drill.misses, count).iter_rows(named=True):
        known = drill.kinds.row(by_predicate=pl.col("kind") == row["kind"], named=True)
        yield Text("")
        yield Text(f"missed: {row['kind']} ({KINDS[row['kind']].shows}), one of {known['missed']}", style="bold")
        luck = f", dropped all the same: {row['dropped_as']}" if row["dropped_as"] else ""
        yield Text(f"{row['id']}{luck}  {on_screen(row['facts'], width=WIDTH - 30)}", style="dim")
        yield from _said(row)


def _alarms(alarms: pl.DataFrame, count: int) -> Iterator[Text]:
    for row in _first_by(alarms, "reason", count).iter_rows(named=True):
        yield Text("")
        yield Text(f"dropped though clean: {row['reason']}, by {row['filter']}", style="bold")
        figures = [f"{name} {row[name]:g}" for name in ("measured", "limit") if row[name] is not None]
        twin = [f"like {row['twin']}"] if row["twin"] else []
        yield Text(f"{row['id']}  {', '.join([*figures, *twin])}", style="dim")
        yield from _said(row)


def _said(row: Mapping[str, Any]) -> Iterator[Text]:
    yield Text(f"user: {on_screen(row['asked'] or '', width=2 * WIDTH)}")
    yield Text(f"assistant: {on_screen(_ends(row['answered'] or ''))}")


def _first(misses: pl.DataFrame, count: int) -> pl.DataFrame:
    """The first of each kind that some filter is meant to see."""
    meant = [kind for kind, known in KINDS.items() if known.reasons]
    return _first_by(misses.filter(pl.col("kind").is_in(meant)), "kind", count)


def _first_by(rows: pl.DataFrame, name: str, count: int) -> pl.DataFrame:
    return rows.filter(pl.int_range(pl.len()).over(name) < count)


def _ends(text: str) -> str:
    """Both ends of a long text: what is wrong stands at one of them more often than in between."""
    return text if len(text) <= 2 * HALF else f"{text[:HALF]} […] {text[-HALF:]}"
