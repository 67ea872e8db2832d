"""What the next round asks for: drafts that were dropped once more, and fresh contexts for what is still short.

Deficits decide where the money goes, and closed cells where it does not: those in which nothing passes, and those in
which nothing new comes any more.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from .deficits import NOTHING_TRIED, Tally, Wanted, choose_contexts, tally
from .feasibility import level_prices
from .filling import contexts_beside
from .recipe import Recipe
from .selection import quota_targets
from .state import State, redraws_of, tries_of, written

EXTRA_PLAN = 4
"""Unused contexts per fresh one wanted, in plan order, for the deficits to choose from; at least as many as a wanted
axis has levels, so that about one of each level is among them."""
LOWEST_YIELD = 0.05
"""The least share of drafts that is reckoned on; and no round asks for more than were drafted before it."""

Longer = Callable[[int], pl.DataFrame]
"""n -> at least the first n training contexts of the plan."""


@dataclass(frozen=True)
class NextRound:
    """What the next round would draft, and why.

    contexts   CONTEXTS frame and one column per axis, with `draw`; empty when nothing is left to ask for
    so_far     what became of the drafts until now
    wanted     the levels that are short, and what one more exemplar of each is worth
    """

    contexts: pl.DataFrame
    so_far: Tally
    wanted: list[Wanted]


def next_round(state: State, recipe: Recipe, *, pool_wanted: int, longer: Longer) -> NextRound:
    """Redraws of what was dropped, and fresh contexts for what is still missing; empty when all is there."""
    pool, axes = state.pool, list(recipe.train_levels)
    so_far = tally(tries_of(state), axes, cell_cap=recipe.settings.run.cell_cap)
    wanted = wanted_levels(pool, recipe, so_far)
    yield_ = max(written(pool).height / max(1, state.drafts.height - state.brought), LOWEST_YIELD)
    short = pool_wanted - pool.height
    redraws = so_far.open_among(redraws_of(state, recipe))
    if short <= 0 and not wanted:
        redraws = redraws.filter(pl.col("split") == "heldout")
    again = redraws.filter(pl.col("split") == "train").height
    missing = max(math.ceil(short / yield_), max(map(so_far.needed, wanted), default=0)) - again
    count = min(missing, state.drafts.height)
    fresh = state.contexts.clear()
    if count > 0:
        unused = _unused(state, longer, count * max([EXTRA_PLAN, *(len(recipe.train_levels[w.axis]) for w in wanted)]))
        fresh = choose_contexts(
            unused, count, wanted=wanted, so_far=so_far, met=pool, axes=axes, only_wanted=short <= 0
        )
    contexts = pl.concat([redraws, fresh.with_columns(draw=pl.lit(0, pl.UInt8))])
    return NextRound(contexts, so_far, wanted)


def beside_people(state: State, recipe: Recipe, planned: pl.DataFrame) -> pl.DataFrame:
    """Of the training contexts of a first round those that are still to be written for, in plan order.

    As many fewer as people's conversations are in the pool, or only as few as their levels leave short: those that
    serve a level they lack and hold pairs of levels that none of them has. All are contexts that a run without these
    conversations has as well, so that whoever brings some after a run pays for little again: for contexts whose
    situation is another now, because it is chosen for its distance from those before it.
    """
    pool = state.pool
    if not pool.height:
        return planned
    wanted = wanted_levels(pool, recipe, NOTHING_TRIED)
    lacking: Counter[str] = Counter()
    for want in wanted:
        lacking[want.axis] += want.lacking  # a context has one level of each axis
    short = planned.height - pool.height
    count = max(short, max(lacking.values(), default=0))
    return contexts_beside(
        planned, count, wanted=wanted, there=pool, axes=list(recipe.train_levels), only_wanted=short <= 0
    )


def interleaved(contexts: pl.DataFrame) -> pl.DataFrame:
    """Held-out contexts spread among training's, so that a run cut short by its budget has some of each."""
    share = (pl.col("position") + 1) / pl.len().over("set")
    return contexts.sort(share, "set", maintain_order=True)


def wanted_levels(pool: pl.DataFrame, recipe: Recipe, so_far: Tally) -> list[Wanted]:
    """The levels whose quota the pool does not hold, but for closed ones, each with its dual price."""
    prices = quota_prices(pool, recipe)
    have = {axis: dict(pool[axis].value_counts().iter_rows()) for axis in prices}
    return [
        Wanted(axis, level, count - have[axis].get(level, 0), prices[axis][level])
        for axis, counts in quota_targets(recipe).items()
        for level, count in counts.items()
        if count > have[axis].get(level, 0) and not so_far.is_closed(axis, level)
    ]


def quota_prices(pool: pl.DataFrame, recipe: Recipe) -> dict[str, dict[str, float]]:
    """axis -> level -> what one more exemplar of the level would be worth to the selection (LP dual price)."""
    quotas = quota_targets(recipe)
    quality = pool["_quality"].cast(pl.Float64).fill_null(0).to_numpy()
    levels = {axis: pool[axis].to_list() for axis in quotas}
    priced = level_prices(quality, levels, quotas, min(recipe.settings.size, pool.height))
    found: dict[str, dict[str, float]] = {axis: {} for axis in quotas}
    for axis, level, price in priced:
        found[axis][level] = price
    return found


def so_far_drafts(state: State) -> int:
    return state.drafts.height


def _unused(state: State, longer: Longer, count: int) -> pl.DataFrame:
    """At least `count` training contexts of the plan that nothing was drafted for, in plan order."""
    length = state.contexts.height + count
    while True:
        planned = longer(length)
        unused = planned.filter(~pl.col("id").is_in(state.contexts["id"].implode()))
        if unused.height >= count:
            return unused.head(count)
        length = planned.height * 2
