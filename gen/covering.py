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

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from hashlib import blake2b
from itertools import combinations
from math import fsum, prod
from sys import float_info
from typing import Self

import numpy as np
import numpy.typing as npt
import polars as pl

from .errors import RecipeError

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Forbid = Sequence[Mapping[str, str]]

MAX_TUPLES = 2**23  # about 25 bytes each while planning: 200 MB
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


@dataclass(frozen=True)
class Coverage:
    """How many of the `possible` tuples (those that the constraints allow) are met; `share` = met / possible."""

    strength: int
    met: int
    possible: int
    share: float


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
    space = _Space.checked(axes, forbid)
    top = _checked_strength(strength, space)
    if size is not None:
        _check_whole("size", size, least=0, counts="new rows")
    inverse_shares = _inverse_shares(space, weights or {})
    existing = space.codes(filled, "filled") if filled is not None else np.empty((0, space.width), np.int64)
    plan = _Plan(space, _Tuples.over(space, range(1, top + 1)), inverse_shares, existing, _Dice(seed))
    return space.frame(plan.rows(size))


def coverage(frame: pl.DataFrame, axes: Mapping[str, Sequence[str]], *, strength: int, forbid: Forbid = ()) -> Coverage:
    """How many of the allowed `strength`-tuples the rows of `frame` meet; its other columns are ignored."""
    space = _Space.checked(axes, forbid)
    tuples = _Tuples.over(space, [_checked_strength(strength, space)])
    return tuples.coverage(space.codes(frame, "frame"))


def met_strength(frame: pl.DataFrame, axes: Mapping[str, Sequence[str]], forbid: Forbid = (), limit: int = 3) -> int:
    """The largest t up to `limit` whose every allowed t-tuple is met by `frame`; 0 where a level is missing."""
    space = _Space.checked(axes, forbid)
    codes = space.codes(frame, "frame")
    highest = _checked_strength(limit, space)
    for t in range(1, highest + 1):
        if _Tuples.over(space, [t]).coverage(codes).share < 1:
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
    space = _Space.checked(axes, forbid)
    tuples = _Tuples.over(space, [_checked_strength(strength, space)])
    _check_whole("rows", rows, least=0, counts="draws")
    if not len(space.rules):
        # every one of a block's `cells` tuples has the same chance, so the block as a whole expects:
        return fsum(n * (1.0 - (1.0 - 1.0 / n) ** rows) for n in tuples.cells.tolist()) / tuples.total
    feasible, dice = _Feasible(space), _Dice(seed)
    drawn = (tuples.coverage(_uniform(feasible, rows, dice)).share for _ in range(SIMULATIONS))
    return fsum(drawn) / SIMULATIONS


@dataclass(frozen=True)
class _Space:
    """The axes, checked, and the constraints as a matrix: one rule a row, -1 where it does not name the axis."""

    names: tuple[str, ...]
    levels: tuple[tuple[str, ...], ...]
    sizes: Ints
    rules: Ints

    @classmethod
    def checked(cls, axes: Mapping[str, Sequence[str]], forbid: Forbid) -> Self:
        names, levels = tuple(axes), _checked_levels(axes)
        rules = np.full((len(forbid), len(names)), -1, np.int64)
        for row, partial in enumerate(forbid):
            if not partial:
                raise RecipeError(
                    what=f"forbid[{row}] is empty",
                    why="a constraint that names no axis forbids every row",
                    do='name levels that exclude each other: {"facet": "honest apology", "fault": "none"}',
                )
            for axis, level in partial.items():
                column, code = _position(names, levels, axis, level, f"forbid[{row}]")
                rules[row, column] = code
        space = cls(names, levels, np.array([len(own) for own in levels], np.int64), rules)
        space._check_satisfiable()
        return space

    @property
    def width(self) -> int:
        return len(self.names)

    def _check_satisfiable(self) -> None:
        """Every level stands in some allowed row."""
        if _completion(self.rules, self.sizes) is None:
            raise RecipeError(
                what=f"no row is allowed, because of {self._clash()}",
                why="a plan needs at least one combination of levels that no constraint forbids",
                do="drop or narrow one of these constraints",
            )
        for column in np.flatnonzero((self.rules >= 0).any(axis=0)).tolist():
            axis = self.names[column]
            for code, level in enumerate(self.levels[column]):
                if _completion(_given(self.rules, column, code), self.sizes) is None:
                    raise RecipeError(
                        what=f"no allowed row can contain {axis} = {level!r}, because of {self._clash((column, code))}",
                        why="a level that can stand in no row can never be covered",
                        do=f"take {level!r} out of axes[{axis!r}], or drop or narrow one of these constraints",
                    )

    def _clash(self, given: tuple[int, int] | None = None) -> str:
        """The constraints, none of them superfluous, that together leave nothing: in words, at most five."""
        needed = list(range(len(self.rules)))
        for row in range(len(self.rules)):
            fewer = [kept for kept in needed if kept != row]
            rules = self.rules[fewer] if given is None else _given(self.rules[fewer], *given)
            if _completion(rules, self.sizes) is None:
                needed = fewer
        shown = [f"forbid[{row}] ({self._words(self.rules[row])})" for row in needed[:5]]
        return ", ".join(shown) + (f" and {len(needed) - 5} more" if len(needed) > 5 else "")

    def _words(self, rule: Ints) -> str:
        named = np.flatnonzero(rule >= 0)
        return " with ".join(f"{self.names[axis]} = {self.levels[axis][rule[axis]]!r}" for axis in named)

    def codes(self, frame: pl.DataFrame, place: str) -> Ints:
        """rows x axes: the position of each level on its axis."""
        codes = np.empty((frame.height, self.width), np.int64)
        for column, (axis, levels) in enumerate(zip(self.names, self.levels, strict=True)):
            if axis not in frame.columns:
                raise RecipeError(
                    what=f"{place} has no column {axis!r}; its columns are {_listed(frame.columns)}",
                    why="a row is counted by its level on every axis",
                    do=f"add the column {axis!r}, or leave that axis out",
                )
            own = frame[axis].cast(pl.String)
            found = own.replace_strict(list(levels), range(len(levels)), default=-1, return_dtype=pl.Int64)
            codes[:, column] = found.fill_null(-1).to_numpy()
            unknown = np.flatnonzero(codes[:, column] < 0)
            if len(unknown):
                raise RecipeError(
                    what=f"{place} has {own[int(unknown[0])]!r} in row {unknown[0]} of column {axis!r}",
                    why="that is no level of the axis, so the row's tuples cannot be counted",
                    do=f"use one of {_listed(levels)}, or add it to axes[{axis!r}]",
                )
        return codes

    def frame(self, codes: Ints) -> pl.DataFrame:
        named = zip(self.names, self.levels, codes.T, strict=True)
        return pl.DataFrame({axis: pl.Series(levels, dtype=pl.String).gather(own) for axis, levels, own in named})


def _given(rules: Ints, axis: int, level: int) -> Ints:
    """The rules that can still be broken once `axis` stands at `level`, with nothing left to say on that axis."""
    left = rules[(rules[:, axis] < 0) | (rules[:, axis] == level)]
    left[:, axis] = -1
    return np.asarray(left)


def _completion(rules: Ints, sizes: Ints) -> dict[int, int] | None:
    """A level for each axis that matters, such that no rule is broken; None where there is none.

    Davis-Putnam-Logemann-Loveland: a level that no rule names is always safe; else try each level in turn.
    """
    offsets = np.cumsum(sizes) - sizes
    chosen: dict[int, int] = {}
    while len(rules):
        named = rules >= 0
        if not named.any(axis=1).all():
            return None
        seen = np.bincount((rules + offsets)[named], minlength=int(sizes.sum()))
        safe = named.any(axis=0) & (np.add.reduceat(seen > 0, offsets, dtype=np.int64) < sizes)
        if not safe.any():
            length = named.sum(axis=1)
            axis = int(named[length == length.min()].sum(axis=0).argmax())  # shortest rules first: they force most
            return _branch(rules, sizes, axis, seen[offsets[axis] : offsets[axis] + sizes[axis]], chosen)
        for axis in np.flatnonzero(safe).tolist():
            chosen[axis] = int(seen[offsets[axis] : offsets[axis] + sizes[axis]].argmin())
        rules = rules[~named[:, safe].any(axis=1)]
    return chosen


def _branch(rules: Ints, sizes: Ints, axis: int, seen: Ints, chosen: dict[int, int]) -> dict[int, int] | None:
    """Tries the levels of `axis`, the one in fewest rules first."""
    for level in np.argsort(seen, kind="stable").tolist():
        rest = _completion(_given(rules, axis, level), sizes)
        if rest is not None:
            return chosen | {axis: level} | rest
    return None


class _Feasible:
    """Which levels a partial row can take and still be finished. Every answer is remembered.

    A rule that names a still open axis which has a level that no rule at all names (a `spare` axis) can always
    be escaped there, so the search only ever sees the few rules that have no such way out.
    """

    def __init__(self, space: _Space) -> None:
        self.sizes, self.rules = space.sizes, space.rules
        self.named = self.rules >= 0
        self.constrained: Bools = np.asarray(self.named.any(axis=0))
        distinct = np.array([len(set(own[own >= 0].tolist())) for own in self.rules.T])
        self.escapes = self.named & (distinct < self.sizes)
        self._levels: dict[tuple[int, bytes], Bools] = {}
        self._completable: dict[bytes, bool] = {}

    def alive(self, rows: int) -> Bools:
        """rows x rules: the rules that a row may still break; all of them before its first level."""
        return np.ones((rows, len(self.rules)), bool)

    def narrow(self, alive: Bools, axis: int, levels: Ints) -> None:
        """Takes out of `alive` the rules that the rows escape by their levels on `axis`."""
        if self.constrained[axis]:
            own = self.rules[:, axis]
            alive &= (own < 0) | (own == levels[:, None])

    def levels(self, alive: Bools, still_open: Bools, axis: int) -> Bools | None:
        """rows x levels of `axis`: can the row be finished with it? None where it always can."""
        if not self.constrained[axis]:
            return None
        later = still_open.copy()
        later[axis] = False
        risky = alive & ~(self.escapes & later).any(axis=1)
        if not risky.any():
            return None
        return np.stack([self._levels_of(axis, np.where(still_open, self.rules[row], -1)) for row in risky])

    def _levels_of(self, axis: int, rules: Ints) -> Bools:
        key = axis, _digest(rules)
        if key not in self._levels:
            found = [self._can_finish(_given(rules, axis, level)) for level in range(int(self.sizes[axis]))]
            self._levels[key] = np.array(found)
        return self._levels[key]

    def _can_finish(self, rules: Ints) -> bool:
        key = _digest(rules)
        if key not in self._completable:
            self._completable[key] = _completion(rules, self.sizes) is not None
        return self._completable[key]

    def possible(self, axes: Sequence[int]) -> Bools:
        """One flag per tuple of these axes, in row-major order: can it stand in an allowed row?"""
        members, shape = list(axes), self.sizes[list(axes)].tolist()
        still_open = np.ones(len(self.sizes), bool)
        still_open[members] = False
        stuck = ~(self.escapes & still_open).any(axis=1)
        if not stuck.any() or not self.constrained[members].any():
            return np.ones(prod(shape), bool)
        alive = self.alive(prod(shape)) & stuck
        for axis, levels in zip(members, np.indices(shape).reshape(len(shape), -1), strict=True):
            self.narrow(alive, axis, levels)
        _, first, which = np.unique(np.packbits(alive, axis=1), axis=0, return_index=True, return_inverse=True)
        found = [self._can_finish(np.where(still_open, self.rules[alive[row]], -1)) for row in first]
        return np.array(found)[which.ravel()]


def _digest(rules: Ints) -> bytes:
    """A key of 16 bytes: rules over many axes take kilobytes, and a plan can meet thousands of them."""
    return blake2b(rules.tobytes(), digest_size=16).digest()


class _Tuples:
    """All tuples of some strengths, numbered: a block per set of axes, row-major inside it.

    `members` and `strides` have a row per set, padded with the axis `width` and the stride 0, so that a row of
    codes with one more 0 behind it has the tuple numbers base + sum of strides x codes.
    """

    def __init__(self, space: _Space, sets: Sequence[Sequence[int]]) -> None:
        feasible, sizes = _Feasible(space), space.sizes.tolist()
        self.sets, self.width = sets, space.width
        self.strength = np.array([len(axes) for axes in sets])
        self.members = np.full((len(sets), int(self.strength.max())), space.width, np.int64)
        self.strides = np.zeros_like(self.members)
        for row, axes in enumerate(sets):
            self.members[row, : len(axes)] = axes
            later = [[sizes[axis] for axis in axes[after:]] for after in range(1, len(axes) + 1)]
            self.strides[row, : len(axes)] = [prod(cells) for cells in later]
        self.cells = np.array([prod(sizes[axis] for axis in axes) for axes in sets], np.int64)
        self.base = np.cumsum(self.cells) - self.cells
        self.total = int(self.cells.sum())
        self.possible = np.concatenate([feasible.possible(axes) for axes in sets])

    @classmethod
    def over(cls, space: _Space, strengths: Iterable[int]) -> Self:
        wanted, sizes = list(strengths), space.sizes.tolist()
        counts = _tuple_counts(sizes, wanted[-1])
        total = sum(counts[t] for t in wanted)
        if total > MAX_TUPLES:
            fits = max(t for t in range(len(counts)) if sum(counts[1 : t + 1]) <= MAX_TUPLES)
            raise RecipeError(
                what=f"strength {wanted[-1]} over {space.width} axes means {total:,} tuples of levels",
                why=f"each is counted in memory, and {MAX_TUPLES:,} are the most that may be",
                do=(f"use strength={fits}, or " if fits else "use ") + "fewer axes or levels",
            )
        return cls(space, [axes for t in wanted for axes in combinations(range(space.width), t)])

    def numbers(self, rows: Ints, sets: Ints | slice = slice(None)) -> Ints:
        """rows x sets: the tuple that each row holds on each set of axes."""
        padded = np.zeros((len(rows), self.width + 1), np.int64)
        padded[:, :-1] = rows
        return np.asarray(self.base[sets] + (padded[:, self.members[sets]] * self.strides[sets]).sum(axis=2))

    def counts(self, rows: Ints) -> Ints:
        """How often each tuple stands in the rows; block by block, to bound memory."""
        counted = np.zeros(self.total, np.int64)
        block = 1 + ROW_WORK // self.members.size
        for start in range(0, len(rows), block):
            counted += np.bincount(self.numbers(rows[start : start + block]).ravel(), minlength=self.total)
        return counted

    def coverage(self, rows: Ints) -> Coverage:
        met = int(((self.counts(rows) > 0) & self.possible).sum())
        possible = int(self.possible.sum())
        return Coverage(strength=int(self.strength.max()), met=met, possible=possible, share=met / possible)


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
        self, space: _Space, tuples: _Tuples, inverse_shares: Sequence[Floats], existing: Ints, dice: _Dice
    ) -> None:
        self.space, self.tuples, self.dice = space, tuples, dice
        self.feasible = _Feasible(space)
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
        found = _completion(np.concatenate([self.space.rules, taken]), self.space.sizes)
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


def _units(tuples: _Tuples, inverse_shares: Sequence[Floats]) -> Ints:
    """Rows between two meetings of a tuple when all get their share, 1 / (product of its levels' shares), scaled."""
    blocks = [reduce(np.multiply.outer, [inverse_shares[axis] for axis in axes]).ravel() for axes in tuples.sets]
    per_row = np.repeat(np.where(tuples.strength == 1, LEVEL_WEIGHT, 1) * UNITS_PER_ROW, tuples.cells)
    return np.asarray(np.rint(np.minimum(np.concatenate(blocks) * per_row, MAX_UNIT)).astype(np.int64))


def _inverse_shares(space: _Space, weights: Mapping[str, Mapping[str, float]]) -> list[Floats]:
    """Per axis, 1 / (the share of rows that each level should have)."""
    weight = [[1.0] * len(levels) for levels in space.levels]
    for axis, own in weights.items():
        for level, wanted in own.items():
            column, code = _position(space.names, space.levels, axis, level, "weights")
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


def _uniform(feasible: _Feasible, n: int, dice: _Dice) -> Ints:
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


def _broken(feasible: _Feasible, rows: Ints) -> Bools:
    broken = np.zeros(len(rows), bool)
    for rule, named in zip(feasible.rules, feasible.named, strict=True):
        broken |= (rows[:, named] == rule[named]).all(axis=1)
    return broken


def _tuple_counts(sizes: Sequence[int], strength: int) -> list[int]:
    """Tuples of each strength from 0 up: elementary symmetric polynomials, so that no list is made to be counted."""
    counts = [1] + [0] * strength
    for size in sizes:
        for t in range(strength, 0, -1):
            counts[t] += counts[t - 1] * size
    return counts


def _checked_levels(axes: Mapping[str, Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    if not axes:
        raise RecipeError(
            what="axes is empty",
            why="a plan varies at least one axis",
            do='give axes such as {"domain": ["law", "health care"], "stakes": ["everyday", "serious"]}',
        )
    for axis, levels in axes.items():
        wrong = [levels] if isinstance(levels, str) else [level for level in levels if not isinstance(level, str)]
        if wrong:
            raise RecipeError(
                what=f"axes[{axis!r}] holds {wrong[0]!r}, where a list of strings belongs",
                why="levels are written into the plan as they are, so each must be a string",
                do=f"write the levels of {axis!r} as a list of strings",
            )
        if not levels:
            raise RecipeError(
                what=f"axes[{axis!r}] has no level",
                why="every row needs a level on every axis",
                do=f"give {axis!r} at least one level, or leave that axis out",
            )
        twice = [level for position, level in enumerate(levels) if level in levels[:position]]
        if twice:
            raise RecipeError(
                what=f"axes[{axis!r}] has the level {twice[0]!r} twice",
                why="two levels of one name cannot be told apart in the rows",
                do=f"keep one {twice[0]!r}, or rename the other",
            )
    return tuple(tuple(levels) for levels in axes.values())


def _position(
    names: Sequence[str], levels: Sequence[Sequence[str]], axis: str, level: str, place: str
) -> tuple[int, int]:
    """Column and code of a level that `place` names."""
    if axis not in names:
        raise RecipeError(
            what=f"{place} names the axis {axis!r}, which is not one of the axes",
            why="it would have no effect",
            do=f"use one of {_listed(names)}, or add {axis!r} to axes",
        )
    column = names.index(axis)
    if level not in levels[column]:
        raise RecipeError(
            what=f"{place} names {axis} = {level!r}, but axes[{axis!r}] has no such level",
            why="it would have no effect",
            do=f"use one of {_listed(levels[column])}, or add {level!r} to axes[{axis!r}]",
        )
    return column, levels[column].index(level)


def _checked_strength(strength: int, space: _Space) -> int:
    _check_whole("strength", strength, least=1, counts="axes taken together: 2 for pairs, 3 for triples")
    return min(int(strength), space.width)


def _check_whole(name: str, value: int, *, least: int, counts: str) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise RecipeError(
            what=f"{name} is {value!r}",
            why=f"it counts {counts}",
            do=f"give a whole number from {least} up",
        )


def _listed(words: Sequence[str], most: int = 12) -> str:
    return ", ".join(repr(word) for word in words[:most]) + (" …" if len(words) > most else "")
