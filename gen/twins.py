"""selection → pairs: a hollow twin for a share of the exemplars, asked for within what the budget has left.

The exemplars are taken in the selection's order, so that of two shares the smaller is a part of the larger, and none
of a level's beyond its part while other levels are short of theirs.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import polars as pl

from .asking import Asker
from .events import Event
from .ladders import NOT_REACHED, ladder_asks, reasks_of, write_ladders
from .pairs import PATH, match_pairs, pair_facts, pair_lines
from .reasking import with_follow_ups
from .recipe import Recipe
from .roster import Roster
from .tables import LADDERS, PAIRS, frame


@dataclass(frozen=True)
class Twins:
    """The pairs of a release, as its tables, its files and its manifest hold them; all empty where none are wanted."""

    pairs: pl.DataFrame
    selected: pl.DataFrame
    recipe: Recipe

    @property
    def is_cut_short(self) -> bool:
        """Whether the budget left some twins unasked for."""
        return "not_asked" in self.pairs["reason"]

    @property
    def tables(self) -> dict[str, pl.DataFrame]:
        return {"pairs": self.pairs} if self.recipe.settings.twins.share else {}

    @property
    def facts(self) -> dict[str, Any]:
        return {"pairs": pair_facts(self.pairs, self.selected, self.recipe)} if self.recipe.settings.twins.share else {}

    @property
    def files(self) -> dict[str, bytes]:
        """None where no pair was kept: an empty file breaks loaders."""
        return {PATH: pair_lines(self.pairs, self.selected)} if self.pairs["kept"].any() else {}


def twins_wanted(recipe: Recipe, exemplars: int) -> int:
    """How many hollow twins are asked for, of so many exemplars."""
    return min(exemplars, math.ceil(recipe.settings.twins.share * exemplars - 1e-9))


async def write_twins(
    selected: pl.DataFrame, contexts: pl.DataFrame, recipe: Recipe, asker: Asker, roster: Roster
) -> Twins:
    """Hollow twins of the exemplars, and the pairs that they make.

    A PAIRS row for each exemplar that should have a twin, in the order of `selected`.

    Those that the budget does not reach are among them (`not_asked`), and it then counts as exhausted.
    """
    chosen = stratified(selected, list(recipe.axes), twins_wanted(recipe, selected.height))
    if not chosen.height:
        return Twins(frame([], PAIRS), selected, recipe)
    asker.tell(Event("room", {"name": "twins", "total": chosen.height}))
    ladders = [frame([], LADDERS)]
    later = chosen
    while now := _affordable(later, contexts, recipe, asker, roster):
        asked = later.head(now)
        ladders.append(await write_ladders(asked, contexts, recipe, asker, teacher=roster, kinds=["hollow"]))
        later = later.slice(now)
    asker.budget.exhausted |= bool(later.height)
    not_asked = frame((_not_asked(row) for row in later.to_dicts()), PAIRS)
    pairs = pl.concat([match_pairs(pl.concat(ladders), recipe), not_asked])
    reasons = ", ".join(f"{reason} {count}" for reason, count in Counter(pairs["reason"].drop_nulls()).most_common())
    kept = f"preference pairs: {int(pairs['kept'].sum())} of {pairs.height}"
    asker.tell(Event("note", {"text": kept + (f"; left out: {reasons}" if reasons else "")}))
    return Twins(pairs, selected, recipe)


def stratified(rows: pl.DataFrame, axes: Sequence[str], count: int) -> pl.DataFrame:
    """`count` of the rows, in their order: first while no level has more than its part, then whoever comes next."""
    part = count / max(1, rows.height)
    most = {axis: {level: math.ceil(n * part) for level, n in Counter(rows[axis]).items()} for axis in axes}
    taken: list[int] = []
    left: list[int] = []
    got: Mapping[str, Counter[str]] = {axis: Counter() for axis in axes}
    for place, row in enumerate(rows.select(axes).iter_rows(named=True)):
        if len(taken) < count and all(got[axis][level] < most[axis][level] for axis, level in row.items()):
            taken.append(place)
            for axis, level in row.items():
                got[axis][level] += 1
        else:
            left.append(place)
    return rows[sorted(taken + left[: count - len(taken)])]


def _affordable(chosen: pl.DataFrame, contexts: pl.DataFrame, recipe: Recipe, asker: Asker, roster: Roster) -> int:
    """How many of the chosen can be asked for at the worst, in their order; the same whenever it is replayed."""
    if not (asker.budget.limited and chosen.height):
        return chosen.height
    asks = ladder_asks(chosen, contexts, recipe, asker, teacher=roster, kinds=["hollow"])
    rooms = [asker.budget.affordable(with_follow_ups([ask], reasks_of(recipe))) for ask in asks]
    known = [room for room in rooms if room is not None]
    of_run, of_ledger = (min(least) for least in zip(*known, strict=True))  # of the dearest
    begun = asker.ledger.get_many([ask.id for ask in asks[:of_run]])
    return sum(fresh <= of_ledger for fresh in accumulate(ask.id not in begun for ask in asks[:of_run]))


def _not_asked(row: Mapping[str, Any]) -> dict[str, Any]:
    words = len(row["messages"][-1]["content"].split())
    nothing = dict.fromkeys(("measured", "limit", "rejected", "rejected_words", "ask_id"))
    said = {"id": row["id"], "facet": row["facet"], "kept": False, "reason": "not_asked", "detail": NOT_REACHED}
    return {**said, "chosen_words": words, **nothing}
