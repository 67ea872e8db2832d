"""axes → rows: a mixed-level t-way covering plan, every prefix of which is balanced.

A tuple is one level on each of t different axes. The plan meets every tuple that the constraints allow in
about as few rows as its widest axes force (12 x 10 x 8 levels: 960), pairs before triples, and then goes on
with whatever is behind its share. One row at a time, in the manner of AETG (Cohen, Dalal, Fredman and Patton,
IEEE TSE 23(7), 1997): several candidates are built axis by axis, the best one is kept. What differs: all
candidates of a row share one axis order, so that a step is a few numpy calls; they start from unmet tuples of
the axes that have most of them left, because these decide how long the plan gets; and scores are integers, so
that no tie hangs on the order of a sum.

Constraints are exact: a level is put only where a search finds a way to finish the row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from math import fsum, prod
from sys import float_info

import numpy as np
import numpy.typing as npt
import polars as pl

from .constraints import Bools, Feasible, Forbid, Ints, Space, completion, position_of
from .errors import RecipeError
from .tuples import Coverage, Tuples

__all__ = ["Coverage", "coverage", "covering_plan", "met_strength", "uniform_coverage"]

Floats = npt.NDArray[np.float64]

MAX_CANDIDATES = 40  # more make the plan of 12,10,8,6,5,5,4,4 no shorter
ROW_WORK = 2**21  # table look-ups that one row may cost; wide recipes get fewer candidates
UNITS_PER_ROW = 4  # a tuple due every 1.8 rows is then served every 7/4, not every 2
LEVEL_WEIGHT = 64  # of a level being behind, against a pair or a longer tuple: halves the unevenness of levels
SCORE_BITS = 62  # of an int64: one for the sign, one for the sum of a score and its noise
NOISE_BITS = 4  # random low bits of a score, so that ties fall differently in every candidate
MAX_UNIT = 2**40  # times 2**20 rows still fits
LOWEST = np.iinfo(np.int64).min
SIMULATIONS = 4
REDRAWS = 64


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
    that the constraints allow is met. A smaller size is a prefix of a larger one. Beyond full coverage, rows
    follow whatever is furthest behind its share; no combination comes twice while an unused one is left.

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
    inverse_shares = _inverse_shares(space, weights or {})
    existing = space.codes(filled, "filled") if filled is not None else np.empty((0, space.width), np.int64)
    plan = _Plan(space, Tuples.over(space, range(1, top + 1)), inverse_shares, existing, _Dice(seed))
    return space.frame(plan.rows(size))


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
    feasible, dice = Feasible(space), _Dice(seed)
    drawn = (tuples.coverage(_uniform(feasible, rows, dice)).share for _ in range(SIMULATIONS))
    return fsum(drawn) / SIMULATIONS


class _Dice:
    """Random integers from PCG64's raw bits, whose stream numpy promises never to change (Generator's may)."""

    def __init__(self, seed: int) -> None:
        self._source = np.random.PCG64(2 * seed if seed >= 0 else -2 * seed - 1)  # PCG64 takes no negative seed

    def below(self, limit: int | Ints, shape: tuple[int, ...]) -> Ints:
        raw = self._source.random_raw(prod(shape)).reshape(shape)
        return np.asarray(raw % np.asarray(limit, np.uint64)).astype(np.int64)  # bias < 2**-40 below 2**24

    def order(self, n: int) -> Ints:
        return np.argsort(self._source.random_raw(n), kind="stable")


class _Plan:
    """A growing plan: how often each tuple is met, and what it is worth to meet it once more."""

    def __init__(
        self, space: Space, tuples: Tuples, inverse_shares: Sequence[Floats], existing: Ints, dice: _Dice
    ) -> None:
        self.space, self.tuples, self.dice = space, tuples, dice
        self.feasible = Feasible(space)
        self.top = int(tuples.strength.max())
        self.unit = _units(tuples, inverse_shares)
        self.candidates = min(MAX_CANDIDATES, 1 + ROW_WORK // (len(tuples.sets) * int(space.sizes.max())))
        self.used = {row.tobytes() for row in existing}
        self.exhausted = False
        self.count = tuples.counts(existing)
        self.unmet = (self.count == 0) & tuples.possible
        self.left = np.add.reduceat(self.unmet, tuples.base, dtype=np.int64)
        self._enter_phase()

    def rows(self, size: int | None) -> Ints:
        made: list[Ints] = []
        while not self.complete if size is None else len(made) < size:
            made.append(self._next())
        return np.array(made, np.int64).reshape(len(made), self.space.width)

    def _enter_phase(self) -> None:
        """A phase is the lowest strength with unmet tuples; levels ride along with their pairs."""
        short = self.tuples.strength[self.left > 0]
        self.complete = not len(short)
        self.phase = self.top if self.complete else max(int(short.min()), min(2, self.top))
        self._value_tuples()

    def _value_tuples(self) -> None:
        """A tuple's worth: a bonus while unmet, less the time at which its next meeting is due.

        Bonuses are lexicographic: one unmet pair outweighs all unmet triples that a row can hold, one unmet triple
        everything below. Where the bits do not hold all ranks, the highest strengths wait for the next phase.
        """
        spare = SCORE_BITS - NOISE_BITS
        need = len(self.tuples.sets) + 1
        ranks: list[tuple[int, int]] = []
        for strength in () if self.complete else range(self.phase, self.top + 1):
            outweighs = int((self.tuples.strength == strength).sum()) + 1
            if ranks and (need * outweighs).bit_length() > spare - 8:
                break
            ranks.append((strength, outweighs))
            need *= outweighs
        self.latest_due = 1 << (spare - need.bit_length())
        bonus, bonuses = (len(self.tuples.sets) + 1) * self.latest_due, np.zeros(self.top + 1, np.int64)
        for strength, outweighs in reversed(ranks):
            bonuses[strength] = bonus
            bonus *= outweighs
        per_tuple = np.repeat(bonuses[self.tuples.strength], self.tuples.cells)
        self.value = (per_tuple * self.unmet - np.minimum(self.count * self.unit, self.latest_due)) << NOISE_BITS

    def _next(self) -> Ints:
        rows = self._candidates()
        fresh = self._fresh(rows)
        if not fresh.any():
            rows = self._unused(rows)
            fresh = self._fresh(rows)
        numbers = self.tuples.numbers(rows)
        score = self._noisy(self.value[numbers].sum(axis=1))
        best = int(np.where(fresh, score, LOWEST).argmax())
        self._record(rows[best], numbers[best])
        return np.asarray(rows[best])

    def _record(self, row: Ints, numbers: Ints) -> None:
        self.used.add(row.tobytes())
        self.count[numbers] += 1
        self.left -= self.unmet[numbers]
        self.unmet[numbers] = False
        due = np.minimum(self.count[numbers] * self.unit[numbers], self.latest_due)
        self.value[numbers] = -due << NOISE_BITS
        if not self.complete and not self.left[self.tuples.strength == self.phase].any():
            self._enter_phase()

    def _noisy(self, score: Ints) -> Ints:
        return np.asarray(score + self.dice.below(2**NOISE_BITS, score.shape))

    def _fresh(self, rows: Ints) -> Bools:
        """Rows that may be taken: not used yet, or any once all are used."""
        return np.array([self.exhausted or row.tobytes() not in self.used for row in rows])

    def _unused(self, rows: Ints) -> Ints:
        """Draws with an unused row among them, else one found by search, else the rows given: all are used up."""
        drawn = _uniform(self.feasible, 8 * self.candidates, self.dice)
        if self._fresh(drawn).any():
            return drawn
        taken = np.array([np.frombuffer(row, np.int64) for row in sorted(self.used)])
        found = completion(np.concatenate([self.space.rules, taken]), self.space.sizes)
        if found is None:
            self.exhausted = True
            return rows
        return np.array([[found.get(axis, 0) for axis in range(self.space.width)]], np.int64)

    def _candidates(self) -> Ints:
        """Rows built axis by axis in one order: first a tuple that is behind, then on each axis the best level."""
        start, levels = self._starts()
        order = self.dice.order(self.space.width)
        order = np.concatenate([start, order[~np.isin(order, start)]])
        completed = self._completed_by(order)
        rows = np.zeros((len(levels), self.space.width), np.int64)
        alive, still_open = self.feasible.alive(len(rows)), np.ones(self.space.width, bool)
        for step, axis in enumerate(order.tolist()):
            if step < len(start):
                rows[:, axis] = levels[:, step]
            else:
                score = self._noisy(self._worth(rows, axis, completed[step]))
                allowed = self.feasible.levels(alive, still_open, axis)
                rows[:, axis] = (score if allowed is None else np.where(allowed, score, LOWEST)).argmax(axis=1)
            self.feasible.narrow(alive, axis, rows[:, axis])
            still_open[axis] = False
        return rows

    def _starts(self) -> tuple[Ints, Ints]:
        """The axes to start from, and for each candidate a tuple of theirs: unmet, or else the furthest behind."""
        tuples, of_phase = self.tuples, self.tuples.strength == self.phase
        if self.complete:
            sets = np.flatnonzero(of_phase)
            chosen = int(sets[self.dice.below(len(sets), (1,))[0]])
        else:
            chosen = int(np.where(of_phase, self.left, -1).argmax())
        block = slice(int(tuples.base[chosen]), int(tuples.base[chosen] + tuples.cells[chosen]))
        worth = np.where(tuples.possible[block], self.value[block], LOWEST)
        pool = np.flatnonzero(worth == worth.max())
        picked = pool[self.dice.below(len(pool), (self.candidates,))]
        members, strides = tuples.members[chosen, : self.phase], tuples.strides[chosen, : self.phase]
        return members, picked[:, None] // strides % self.space.sizes[members]

    def _completed_by(self, order: Ints) -> list[Ints]:
        """For each step of the order, the sets of axes that it completes."""
        step_of = np.full(self.space.width + 1, -1)
        step_of[order] = np.arange(self.space.width)
        last = step_of[self.tuples.members].max(axis=1)
        by_step = np.argsort(last, kind="stable")
        return np.split(by_step, np.searchsorted(last[by_step], np.arange(1, self.space.width)))

    def _worth(self, rows: Ints, axis: int, sets: Ints) -> Ints:
        """candidates x levels of `axis`: what the tuples that it completes are worth. It still stands at 0 here."""
        others = self.tuples.numbers(rows, sets)
        stride = self.tuples.strides[sets][self.tuples.members[sets] == axis]
        numbers = others[:, :, None] + stride[:, None] * np.arange(self.space.sizes[axis])
        return np.asarray(self.value[numbers].sum(axis=1))


def _units(tuples: Tuples, inverse_shares: Sequence[Floats]) -> Ints:
    """Rows between two meetings of a tuple when all get their share, 1 / (product of its levels' shares), scaled."""
    blocks = [reduce(np.multiply.outer, [inverse_shares[axis] for axis in axes]).ravel() for axes in tuples.sets]
    per_row = np.repeat(np.where(tuples.strength == 1, LEVEL_WEIGHT, 1) * UNITS_PER_ROW, tuples.cells)
    return np.asarray(np.rint(np.minimum(np.concatenate(blocks) * per_row, MAX_UNIT)).astype(np.int64))


def _inverse_shares(space: Space, weights: Mapping[str, Mapping[str, float]]) -> list[Floats]:
    """Per axis, 1 / (the share of rows that each level should have)."""
    weight = [[1.0] * len(levels) for levels in space.levels]
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


def _uniform(feasible: Feasible, n: int, dice: _Dice) -> Ints:
    """n allowed rows, drawn as uniform_coverage says."""
    rows = dice.below(feasible.sizes, (n, len(feasible.sizes)))
    for _ in range(REDRAWS):
        broken = np.flatnonzero(_broken(feasible, rows))
        if not len(broken):
            return rows
        rows[broken] = dice.below(feasible.sizes, (len(broken), len(feasible.sizes)))
    broken = np.flatnonzero(_broken(feasible, rows))
    alive, still_open = feasible.alive(len(broken)), np.ones(len(feasible.sizes), bool)
    for axis, size in enumerate(feasible.sizes.tolist()):
        score = dice.below(2**32, (len(broken), size))
        allowed = feasible.levels(alive, still_open, axis)
        rows[broken, axis] = (score if allowed is None else np.where(allowed, score, -1)).argmax(axis=1)
        feasible.narrow(alive, axis, rows[broken, axis])
        still_open[axis] = False
    return rows


def _broken(feasible: Feasible, rows: Ints) -> Bools:
    broken = np.zeros(len(rows), bool)
    for rule, named in zip(feasible.rules, feasible.named, strict=True):
        broken |= (rows[:, named] == rule[named]).all(axis=1)
    return broken


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
