"""All combinations of levels of some strength, numbered and counted: what a plan should meet, and has met."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import prod
from typing import Self

import numpy as np

from .constraints import Feasible, Ints, Space
from .errors import RecipeError

MAX_TUPLES = 2**23  # about 25 bytes each while planning: 200 MB
COUNT_WORK = 2**21  # table look-ups of one block of rows while counting: bounds memory


@dataclass(frozen=True)
class Coverage:
    """How many of the `possible` tuples (those that the constraints allow) are met; `share` = met / possible.

    `bound` is the least number of rows that can meet them all: a row holds one tuple of each set of axes, so it is the
    number of possible tuples of the set that has most. `met_by` is the number of rows from the first on that met them
    all, None where some are unmet.
    """

    strength: int
    met: int
    possible: int
    share: float
    bound: int
    met_by: int | None


class Tuples:
    """All tuples of some strengths, numbered: a block per set of axes, row-major inside it.

    `members` and `strides` have a row per set, padded with the axis `width` and the stride 0, so that a row of
    codes with one more 0 behind it has the tuple numbers base + sum of strides x codes.
    """

    def __init__(self, space: Space, sets: Sequence[Sequence[int]]) -> None:
        feasible, sizes = Feasible(space), space.sizes.tolist()
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
    def over(cls, space: Space, strengths: Iterable[int]) -> Self:
        wanted, sizes = list(strengths), space.sizes.tolist()
        counts = tuple_counts(sizes, wanted[-1])
        total = sum(counts[t] for t in wanted)
        if total > MAX_TUPLES:
            fits = max_strength(sizes, wanted[-1])
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
        block = 1 + COUNT_WORK // self.members.size
        for start in range(0, len(rows), block):
            counted += np.bincount(self.numbers(rows[start : start + block]).ravel(), minlength=self.total)
        return counted

    def bound(self) -> int:
        """The least number of rows that can hold every possible tuple."""
        return int(np.add.reduceat(self.possible, self.base, dtype=np.int64).max())

    def coverage(self, rows: Ints) -> Coverage:
        first = self._first_rows(rows)[self.possible]
        met, possible = int((first < len(rows)).sum()), len(first)
        return Coverage(
            strength=int(self.strength.max()),
            met=met,
            possible=possible,
            share=met / possible,
            bound=self.bound(),
            met_by=int(first.max()) + 1 if met == possible else None,
        )

    def _first_rows(self, rows: Ints) -> Ints:
        """Where each tuple stands first; the number of rows where it never does. Block by block, from the end.

        A row holds no tuple of an axis on which its code is negative: its level there is not known.
        """
        first = np.full(self.total + 1, len(rows), np.int64)  # the last is for what is not known
        block = 1 + COUNT_WORK // self.members.size
        for start in reversed(range(0, len(rows), block)):
            part = rows[start : start + block]
            numbers = self.numbers(part)
            if (part < 0).any():
                unknown = np.zeros((len(part), self.width + 1), np.bool_)
                unknown[:, :-1] = part < 0
                numbers = np.where(unknown[:, self.members].any(axis=2), self.total, numbers)
            numbers = numbers[::-1]
            # Of several values for one place numpy keeps the last, here that of the first row.
            first[numbers.ravel()] = np.repeat(np.arange(start, start + len(numbers))[::-1], numbers.shape[1])
        return first[:-1]


def tuple_counts(sizes: Sequence[int], strength: int) -> list[int]:
    """Tuples of each strength from 0 up: elementary symmetric polynomials, so that no list is made to be counted."""
    counts = [1] + [0] * strength
    for size in sizes:
        for t in range(strength, 0, -1):
            counts[t] += counts[t - 1] * size
    return counts


def max_strength(sizes: Sequence[int], limit: int) -> int:
    """The highest strength up to `limit` whose tuples, with those of all lower ones, can be counted; 0 for none."""
    counts = tuple_counts(sizes, limit)
    return max(t for t in range(len(counts)) if sum(counts[1 : t + 1]) <= MAX_TUPLES)
