"""A covering plan as it grows: how often each tuple is met, what it is worth to meet it once more, and the next rows.

In phases: first all pairs, then all triples … up to the strength, then whatever is furthest behind its share.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from functools import reduce
from hashlib import blake2b
from math import gcd, prod
from typing import Self

import numpy as np
import numpy.typing as npt

from . import kernels, kernels_covering
from .constraints import Bools, Feasible, Ints, Space, completion
from .dice import Dice, broken, uniform_rows
from .kernels import PRIME, Rules, Shape, State
from .tuples import Tuples

Floats = npt.NDArray[np.float64]

CANDIDATES = 40  # more make the plan of 12,10,8,6,5,5,4,4 no shorter
FILL_CANDIDATES = 3  # once all is met: more even out the counts of tuples by a few per cent, at as many times the cost
ROW_WORK = 2**21  # table look-ups that one row may cost; wide recipes get fewer candidates
STARTS = 4  # tries at the rows that meet all pairs; more hardly better their prefixes
FEW_PAIRS = 4  # once a quarter of the pairs is left, even levels and new triples decide between equals
NEAR = 10  # thousandths of the pairs by which a shorter try may be further behind
STARTS_WORK = 2**27  # table look-ups that all tries may cost
UNITS_PER_ROW = 4  # a tuple due every 1.8 rows is then served every 7/4, not every 2
LEVEL_WEIGHT = 64  # of a level being behind, against a pair or a longer tuple: halves the unevenness of levels
SCORE_BITS = 62  # of an int64: one for the sign, one for the sum of a score and its noise
MAX_UNIT = 2**40  # times 2**20 rows still fits
LISTED = 2**20  # codes of all rows together, up to which unused rows are listed rather than searched for
DRAWS = 320  # for an unused row, where they are too many to be listed
MORE_ROWS = 256
ANSWERS = 256  # places for answers of the search, to begin with


class Planner:
    """Grows a plan row by row. A row never depends on how many are wanted after it."""

    def __init__(
        self,
        space: Space,
        tuples: Tuples,
        inverse_shares: Sequence[Floats],
        existing: Ints,
        seed: int,
        *,
        starts: int = STARTS,
    ) -> None:
        self.space, self.tuples = space, tuples
        self.feasible = Feasible(space)
        self.inverse_shares = inverse_shares
        self.top = int(tuples.strength.max())
        self.seed, self.starts = seed, starts
        self.stream = int.from_bytes(blake2b(str(seed).encode(), digest_size=8).digest()) % PRIME
        self.existing = self.made = len(existing)
        self.again = self.most_pairs_met = False
        self.shape = _shape(tuples, space.sizes, _units(tuples, inverse_shares))
        self.rules = _rules(self.feasible, ANSWERS)
        self.listed: Ints | None = None  # all allowed rows of a small space, once they are needed
        counts = tuples.counts(existing)
        unmet = (counts == 0) & tuples.possible
        self.state = State(
            rows=existing.copy(),
            slots=np.empty(0, np.int64),
            value=np.zeros(tuples.total, np.int64),
            counts=counts,
            unmet=unmet,
            left=np.add.reduceat(unmet, tuples.base, dtype=np.int64),
        )
        self._room(MORE_ROWS)
        self._enter_phase()

    def rows(self, size: int | None) -> Ints:
        """`size` new rows, or as many as meet every possible tuple."""
        if self.phase == 2 and not self.complete and size != 0:
            self._meet_pairs(size)
        while not self.complete if size is None else self.made - self.existing < size:
            self._grow(MORE_ROWS if size is None or not self.complete else size - self.made + self.existing)
        stop = self.made if size is None else self.existing + size
        return np.asarray(self.state.rows[self.existing : stop])

    def _meet_pairs(self, most: int | None) -> None:
        """Adds rows that meet all pairs, without regard to longer tuples: the same rows for every strength.

        Where more than `most` would be needed, so many may do.
        """
        if self.top == 2:
            vars(self).update(vars(self._best_start(most)))
            return
        pairs = Planner(
            self.space,
            Tuples.over(self.space, (1, 2)),
            self.inverse_shares,
            self.state.rows[: self.existing],
            self.seed,
        )
        pairs._meet_pairs(most)
        found = pairs.state.rows[pairs.existing : pairs.made].copy()
        self._room(len(found))
        for row, numbers in zip(found, self.tuples.numbers(found), strict=True):
            kernels.record(self.shape, self.state, row, numbers, self.made, 0, 2, False)
            self.made += 1
        self._enter_phase()

    def _best_start(self, most: int | None) -> Self:
        """Of several tries to meet all pairs the shortest that is never far behind.

        Behind, at each number of rows, as a share of the pairs that the best of the tries has met by then: one try
        can be unlucky with its first rows, where ties decide. A single try is compared with nothing, and need not go
        on for longer than `most` rows: two axes of a thousand levels have a million pairs.
        """
        rows = int(self.tuples.cells[self.tuples.strength == 2].max()) + 4 * self.space.width.bit_length()
        work = self._row_work() * self._candidates() * rows
        tries, lefts = [], []
        starts = max(1, min(self.starts, STARTS_WORK // work))
        for at in range(starts):
            tries.append(self._copy(at))
            lefts.append(tries[-1]._pairs_left(most if starts == 1 else None))
            self.rules = tries[-1].rules  # what the search has answered once is known to the next try
        longest = max(map(len, lefts))
        met = np.array([[left[0] - after for after in left + [0] * (longest - len(left))] for left in lefts])
        share = (met[:, 1:] * 1000 // met[:, 1:].max(axis=0)).min(axis=1)
        near = [at for at in range(len(tries)) if share[at] >= share.max() - NEAR]
        return tries[min(near, key=lambda at: len(lefts[at]))]

    def _pairs_left(self, most: int | None) -> list[int]:
        """Meets all pairs, or as many as `most` rows do; how many are unmet before the first row and after each."""
        pairs = self.tuples.strength == 2
        possible = int(self.tuples.possible[np.repeat(pairs, self.tuples.cells)].sum())
        left = [int(self.state.left[pairs].sum())]
        while not self.complete and (most is None or len(left) <= most):
            self._grow(1)
            left.append(int(self.state.left[pairs].sum()))
            if not self.most_pairs_met and FEW_PAIRS * left[-1] < possible:
                self.most_pairs_met = True
                self._value_tuples()
        return left

    def _copy(self, at: int) -> Self:
        made = copy(self)
        made.stream = (self.stream + at) % PRIME
        made.state = State._make(part.copy() for part in self.state)
        return made

    def _row_work(self) -> int:
        return len(self.tuples.sets) * int(self.space.sizes.max()) * 2

    def _candidates(self) -> int:
        most = FILL_CANDIDATES if self.complete else CANDIDATES
        return min(most, 1 + ROW_WORK // self._row_work())

    def _grow(self, rows: int) -> None:
        """At most so many rows more; fewer where a phase ends."""
        self._room(rows)
        stop = self.made + rows
        while self.made < stop:
            why, self.made = kernels_covering.grow(
                self.shape, self.rules, self.state, self.made, stop, self.phase, self.complete,
                self._candidates(), self.latest_due, self.stream, self.again,
            )  # fmt: skip
            if why == kernels_covering.UNKNOWN:
                self._answer()
            elif why == kernels_covering.PHASE_MET:
                self._enter_phase()
                return
            elif why == kernels_covering.NOTHING_UNUSED and self._take_unused():
                return

    def _enter_phase(self) -> None:
        """A phase is the lowest strength with unmet tuples; levels ride along with their pairs."""
        short = self.tuples.strength[self.state.left > 0]
        self.complete = not len(short)
        self.phase = self.top if self.complete else max(int(short.min()), min(2, self.top))
        self._value_tuples()

    def _value_tuples(self) -> None:
        """A tuple's worth: a bonus while unmet, less the time at which its next meeting is due.

        Bonuses are lexicographic: one unmet pair outweighs all unmet triples that a row can hold, one unmet triple
        everything below. Where the bits do not hold all ranks, the highest strengths wait for the next phase. Before
        most pairs are met nothing but them counts: even levels in the first rows would cost a twentieth of the pairs.
        """
        if self.phase == 2 and not self.most_pairs_met and not self.complete:
            self.latest_due = 0
            of_pair = np.repeat(self.tuples.strength == 2, self.tuples.cells)
            self.state.value[:] = (self.state.unmet & of_pair).astype(np.int64) << kernels.NOISE_BITS
            return
        spare = SCORE_BITS - kernels.NOISE_BITS
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
        due = np.minimum(self.state.counts * self.shape.unit, self.latest_due)
        self.state.value[:] = (per_tuple * self.state.unmet - due) << kernels.NOISE_BITS

    def _room(self, rows: int) -> None:
        """Makes sure that so many rows more fit; the table of rows stays at most half full."""
        need = self.made + rows
        if need > len(self.state.rows):
            larger = np.zeros((max(need, 2 * len(self.state.rows)), self.space.width), np.int64)
            larger[: self.made] = self.state.rows[: self.made]
            self.state = self.state._replace(rows=larger)
        if 2 * need > len(self.state.slots):
            slots = np.full(2 * len(self.state.rows) + 1, -1, np.int64)
            kernels.hold(self.state.rows, slots, 0, self.made)
            self.state = self.state._replace(slots=slots)

    def _answer(self) -> None:
        """Asks the search what `grow` did not know, and enters the answer; the table stays at most half full."""
        axis, key = self.rules.asked.tolist()
        left = np.where(self.rules.asked_open, self.space.rules[self.rules.asked_rules], -1)
        known = np.flatnonzero(self.rules.keys)
        if 2 * (len(known) + 1) > len(self.rules.keys):
            before, self.rules = self.rules, _rules(self.feasible, 2 * len(self.rules.keys))
            for at in known.tolist():
                _enter(self.rules, int(before.keys[at]), before.answers[at])
        answer = np.zeros(self.rules.answers.shape[1], np.bool_)
        answer[: self.space.sizes[axis]] = self.feasible.levels_of(axis, left)
        _enter(self.rules, key, answer)

    def _take_unused(self) -> bool:
        """Adds an unused row that no candidate found; False where there is none left, so that all may come again."""
        found = self._unused()
        if found is None:
            self.again = True
            return False
        numbers = self.tuples.numbers(found[None])[0]
        arguments = self.made, self.latest_due, self.phase, self.complete
        met = kernels.record(self.shape, self.state, found, numbers, *arguments)
        self.made += 1
        if met:
            self._enter_phase()
        return bool(met)

    def _unused(self) -> Ints | None:
        """An allowed row that is not used: the best of all in a small space, else one that draws or search find."""
        sizes, used = self.space.sizes, self.state.rows[: self.made]
        if self.listed is None and prod(sizes.tolist()) * self.space.width <= LISTED:
            rows = np.indices(sizes.tolist()).reshape(self.space.width, -1).T
            self.listed = np.ascontiguousarray(rows[~broken(self.feasible, rows)])
        if self.listed is not None:
            taken = np.zeros(sizes.tolist(), np.bool_)
            taken[tuple(used.T)] = True
            rows = self.listed[~taken[tuple(self.listed.T)]][: ROW_WORK // len(self.tuples.sets)]
            worth = self.state.value[self.tuples.numbers(rows)].sum(axis=1)
            return np.asarray(rows[int(worth.argmax())]) if len(rows) else None
        held = {row.tobytes() for row in used}
        for row in uniform_rows(self.feasible, DRAWS, Dice(self.stream + self.made)):
            if row.tobytes() not in held:
                return np.asarray(row)
        found = completion(np.concatenate([self.space.rules, np.unique(used, axis=0)]), sizes)
        return None if found is None else np.array([found.get(axis, 0) for axis in range(self.space.width)], np.int64)


def _shape(tuples: Tuples, sizes: Ints, unit: Ints) -> Shape:
    of_axis = [np.flatnonzero((tuples.members == axis).any(axis=1)) for axis in range(len(sizes))]
    steps = [tuples.strides[own][tuples.members[own] == axis] for axis, own in enumerate(of_axis)]
    return Shape(
        sizes=sizes,
        strength=tuples.strength.astype(np.int64),
        members=tuples.members,
        strides=tuples.strides,
        base=tuples.base,
        cells=tuples.cells,
        hops=np.array([_hop(cells) for cells in tuples.cells.tolist()], np.int64),
        possible=tuples.possible,
        unit=unit,
        first=np.cumsum([0, *map(len, of_axis)]),
        sets=np.concatenate(of_axis),
        steps=np.concatenate(steps),
    )


def _hop(cells: int) -> int:
    """The whole number nearest above the golden section of `cells` that has no divisor in common with it."""
    hop = max(1, int(0.618 * cells))
    while gcd(hop, cells) > 1:
        hop += 1
    return hop


def _rules(feasible: Feasible, places: int) -> Rules:
    """The constraints, with an empty table of answers."""
    sizes = feasible.sizes
    return Rules(
        rules=feasible.rules,
        escapes=feasible.escapes.astype(np.int64),
        ways=feasible.escapes.sum(axis=1, dtype=np.int64),
        named=feasible.named.sum(axis=1, dtype=np.int64),
        marks=1 + Dice(0).below(PRIME - 1, (2, int(sizes.sum()))),
        offsets=np.cumsum(sizes) - sizes,
        keys=np.zeros(places, np.int64),
        answers=np.zeros((places, int(sizes.max())), np.bool_),
        asked=np.zeros(2, np.int64),
        asked_rules=np.zeros(len(feasible.rules), np.bool_),
        asked_open=np.zeros(len(sizes), np.bool_),
    )


def _enter(rules: Rules, key: int, answer: Bools) -> None:
    at = key % len(rules.keys)
    while rules.keys[at]:
        at = (at + 1) % len(rules.keys)
    rules.keys[at], rules.answers[at] = key, answer


def _units(tuples: Tuples, inverse_shares: Sequence[Floats]) -> Ints:
    """Rows between two meetings of a tuple when all get their share, 1 / (product of its levels' shares), scaled."""
    blocks = [reduce(np.multiply.outer, [inverse_shares[axis] for axis in axes]).ravel() for axes in tuples.sets]
    per_row = np.repeat(np.where(tuples.strength == 1, LEVEL_WEIGHT, 1) * UNITS_PER_ROW, tuples.cells)
    return np.asarray(np.rint(np.minimum(np.concatenate(blocks) * per_row, MAX_UNIT)).astype(np.int64))
