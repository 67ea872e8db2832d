"""axes → rows: a mixed-level t-way covering plan, every prefix of which is balanced.

A tuple is one level on each of t different axes. The plan meets every tuple that the constraints allow in
about as few rows as its widest axes force (12 x 10 x 8 levels: 960), pairs before triples, and then goes on
with whatever is behind its share. One row at a time, in the manner of AETG (Cohen, Dalal, Fredman and Patton,
IEEE TSE 23(7), 1997): several candidates are built axis by axis, the best one is kept. What differs: candidates
start from unmet tuples of the axes that have most of them left, because these decide how long the plan gets;
while pairs are unmet each is improved level by level, and the best of several tries is kept, so that no prefix is
far behind a plan that was made for its length; scores are integers, so that no tie hangs on the order of a sum.

Constraints are exact: a level is put only where a search finds a way to finish the row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import fsum
from sys import float_info

import numpy as np
import numpy.typing as npt
import polars as pl

from .constraints import Feasible, Forbid, Space, position_of
from .dice import Dice, uniform_rows
from .errors import RecipeError
from .tuples import Coverage, Tuples, max_strength

__all__ = ["Coverage", "coverage", "covering_plan", "met_strength", "uniform_coverage"]

Floats = npt.NDArray[np.float64]

SIMULATIONS = 4


def covering_plan(
    axes: Mapping[str, Sequence[str]],
    *,
    strength: int = 3,
    size: int | None = None,
    forbid: Forbid = (),
    weights: Mapping[str, Mapping[str, float]] | None = None,
    filled: pl.DataFrame | None = None,
    seed: int = 0,
) -> pl.DataFrame:
    """Rows that meet every pair, then every triple … of levels; one String column per axis, in the order given.

    `strength` above the number of axes means that number. `size` counts new rows; None goes on until every tuple
    that the constraints allow is met. A smaller size is a prefix of a larger one, and its rows meet at least 95 % of
    the pairs that a greedy plan made for just that size would. Beyond full coverage, rows follow whatever is furthest
    behind its share: without constraints and weights each level, pair … of up to `strength` levels stands in as many
    rows as its share of them, give or take 8, as long as there are unused combinations. No combination comes twice
    while an unused one is left.

    `forbid` holds partial assignments that no row may contain: `{"facet": "honest apology", "fault": "none"}`.
    `weights` maps axis to level to a positive number (1 where absent): how often a level comes, relative to the
    others of its axis, as far as coverage leaves a choice. `filled` holds rows that exist: they count as met and
    as used, and are not returned; its other columns and the order of its rows do not matter.

    The same arguments give the same rows in every process and on every machine. Raises RecipeError, also where a
    level cannot stand in any allowed row.
    """
    space = Space.checked(axes, forbid)
    top = _checked_strength(strength, space)
    if size is not None:
        _check_whole("size", size, least=0, counts="new rows")
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise RecipeError(what=f"seed is {seed!r}", why="it chooses among plans", do="give a whole number")
    if filled is not None and not isinstance(filled, pl.DataFrame):
        raise RecipeError(
            what=f"filled is a {type(filled).__name__}",
            why="rows that exist are read from its columns, one for each axis",
            do="give a polars DataFrame, such as an earlier plan",
        )
    inverse_shares = _inverse_shares(space, weights or {})
    existing = space.codes(filled, "filled") if filled is not None else np.empty((0, space.width), np.int64)
    from .planner import Planner  # loads numba

    planner = Planner(space, Tuples.over(space, range(1, top + 1)), inverse_shares, existing, int(seed))
    return space.frame(planner.rows(size))


def sealed_plan(axes: Mapping[str, Sequence[str]], *, size: int, forbid: Forbid = (), seed: int = 0) -> pl.DataFrame:
    """A plan of pairs made in one try: for the small sets of a recipe, each of which has plans of its own."""
    space = Space.checked(axes, forbid)
    from .planner import Planner  # loads numba

    tuples = Tuples.over(space, range(1, min(2, space.width) + 1))
    planner = Planner(space, tuples, _inverse_shares(space, {}), np.empty((0, space.width), np.int64), seed, starts=1)
    return space.frame(planner.rows(size))


def countable_strength(axes: Mapping[str, Sequence[str]], limit: int = 3) -> int:
    """The highest strength up to `limit` whose tuples fit into memory; at least 1."""
    sizes = [len(levels) for levels in axes.values()]
    return max(1, max_strength(sizes, min(limit, len(sizes))))


def coverage(frame: pl.DataFrame, axes: Mapping[str, Sequence[str]], *, strength: int, forbid: Forbid = ()) -> Coverage:
    """How many of the allowed `strength`-tuples the rows of `frame` meet; its other columns are ignored."""
    space = Space.checked(axes, forbid)
    tuples = Tuples.over(space, [_checked_strength(strength, space)])
    return tuples.coverage(space.codes(frame, "frame"))


def met_strength(frame: pl.DataFrame, axes: Mapping[str, Sequence[str]], forbid: Forbid = (), limit: int = 3) -> int:
    """The largest t up to `limit` whose every allowed t-tuple is met by `frame`; 0 where a level is missing."""
    space = Space.checked(axes, forbid)
    codes = space.codes(frame, "frame")
    highest = _checked_strength(limit, space)
    for t in range(1, highest + 1):
        if Tuples.over(space, [t]).coverage(codes).share < 1:
            return t - 1
    return highest


def uniform_coverage(
    axes: Mapping[str, Sequence[str]], rows: int, *, strength: int, forbid: Forbid = (), seed: int = 0
) -> float:
    """The share of allowed tuples that `rows` independent uniform draws would meet, for comparison with a plan.

    Without constraints it is the exact expectation, the mean of 1 - (1 - 1/cells)^rows over all tuples. With
    constraints it is simulated: the mean of four sets of uniform draws from the allowed rows (a forbidden draw is
    drawn again; one that is forbidden 64 times running is made axis by axis instead, uniformly among the levels
    that can still be completed, which is not quite uniform over rows).
    """
    space = Space.checked(axes, forbid)
    tuples = Tuples.over(space, [_checked_strength(strength, space)])
    _check_whole("rows", rows, least=0, counts="draws")
    if not len(space.rules):
        # every one of a block's `cells` tuples has the same chance, so the block as a whole expects:
        return fsum(n * (1.0 - (1.0 - 1.0 / n) ** rows) for n in tuples.cells.tolist()) / tuples.total
    feasible, dice = Feasible(space), Dice(seed)
    drawn = (tuples.coverage(uniform_rows(feasible, rows, dice)).share for _ in range(SIMULATIONS))
    return fsum(drawn) / SIMULATIONS


def _inverse_shares(space: Space, weights: Mapping[str, Mapping[str, float]]) -> list[Floats]:
    """Per axis, 1 / (the share of rows that each level should have)."""
    weight = [[1.0] * len(levels) for levels in space.levels]
    if not isinstance(weights, Mapping) or not all(isinstance(own, Mapping) for own in weights.values()):
        raise RecipeError(
            what=f"weights is {weights!r:.80}",
            why="a weight belongs to a level of an axis",
            do='write weights={"stakes": {"everyday": 2.0}}',
        )
    for axis, own in weights.items():
        for level, wanted in own.items():
            column, code = position_of(space.names, space.levels, axis, level, "weights")
            number = isinstance(wanted, (int, float)) and not isinstance(wanted, bool)
            if not (number and 0 < wanted <= float_info.max):
                raise RecipeError(
                    what=f"weights[{axis!r}][{level!r}] is {wanted!r}",
                    why="a weight says how often a level comes, relative to the others of its axis",
                    do="give a positive number, or use forbid for a level that must not come",
                )
            weight[column][code] = float(wanted)
    # relative to the largest, and at most a thousand million to one, so that nothing over- or underflows
    relative = [[max(value / max(own), 1e-9) for value in own] for own in weight]
    return [np.array([fsum(own) / value for value in own]) for own in relative]


def _checked_strength(strength: int, space: Space) -> int:
    _check_whole("strength", strength, least=1, counts="axes taken together: 2 for pairs, 3 for triples")
    return min(int(strength), space.width)


def _check_whole(name: str, value: int, *, least: int, counts: str) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise RecipeError(
            what=f"{name} is {value!r}",
            why=f"it counts {counts}",
            do=f"give a whole number from {least} up",
        )
