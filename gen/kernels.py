"""What the compiled inner loop of the covering plan works on: its tables, its dice, and how a row is entered.

One thread and whole numbers only, so that the same rows come out on every machine. Where numba is missing the same
functions run as plain Python: the same rows, some hundred times slower. This module is loaded when a plan is made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np

from .constraints import Bools, Ints

CallableT = TypeVar("CallableT", bound=Callable[..., Any])


def compiled(function: CallableT) -> CallableT:
    """Compiled at the first call; numba keeps the machine code beside the file, or in the user's cache folder.

    The code that is kept is made anew where the function's own file has changed, not where one that it calls has.
    """
    try:
        from numba import njit
    except ImportError:
        return function
    return cast("CallableT", njit(cache=True, error_model="numpy")(function))


LOWEST = np.iinfo(np.int64).min
PRIME = 2**31 - 1  # products of two numbers below it fit into an int64, in numpy and in machine code alike
MULTIPLIER = 48271  # Park and Miller's minimal standard (CACM 36(7), 1993)
NOISE_BITS = 4  # random low bits of a score, so that ties fall differently in every candidate
POOL = 64  # tuples that the candidates of a row start from
LOOKED_AT = 1000  # tuples of a set, to find some that are furthest behind; few sets have more


class Shape(NamedTuple):
    """What does not change: the axes, and the sets of axes whose tuples are counted (as in `tuples.Tuples`)."""

    sizes: Ints  # levels of each axis
    strength: Ints  # axes of each set
    members: Ints  # set x its axes
    strides: Ints  # set x its axes
    base: Ints  # number of each set's first tuple
    cells: Ints  # tuples of each set
    hops: Ints  # set -> a step that visits all of its tuples, neighbours late
    possible: Bools  # tuple -> can it stand in an allowed row
    unit: Ints  # tuple -> what one more meeting costs
    first: Ints  # axis -> where its part of the next two begins; one entry more than axes
    sets: Ints  # the sets that hold the axis
    steps: Ints  # its stride in each of them


class Rules(NamedTuple):
    """The constraints, and the answers to questions about them so far (an open-addressing table)."""

    rules: Ints  # rule x axis: the level, -1 where the rule does not name the axis
    escapes: Ints  # rule x axis: 1 where the axis has a level that no rule names
    ways: Ints  # rule -> its escapes
    named: Ints  # rule -> the axes that it names
    marks: Ints  # 2 x (all levels of all axes): random numbers below PRIME
    offsets: Ints  # axis -> where its levels begin in `marks`
    keys: Ints  # 0 where the place is free
    answers: Bools  # place x level: may the axis take it
    asked: Ints  # of the open question: [axis, key]
    asked_rules: Bools
    asked_open: Bools  # axes


class State(NamedTuple):
    """What grows with the plan."""

    rows: Ints  # those that exist, then those made
    slots: Ints  # open-addressing table of positions in `rows`; -1 where free
    value: Ints  # tuple -> what a row gains by holding it
    counts: Ints  # tuple -> how often it is held
    unmet: Bools
    left: Ints  # set -> its tuples that are possible and unmet


@compiled
def record(
    shape: Shape, state: State, row: Ints, numbers: Ints, made: int, latest_due: int, phase: int, complete: bool
) -> bool:
    """Adds `row`, which holds the tuples `numbers`; True where the last unmet one of the phase is met by it."""
    place = free_slot(state.rows, state.slots, row)
    if place >= 0:
        state.slots[place] = made
    for axis in range(len(row)):
        state.rows[made, axis] = row[axis]
    left = 0
    for chosen in range(len(numbers)):
        number = numbers[chosen]
        state.counts[number] += 1
        if state.unmet[number]:
            state.unmet[number] = False
            state.left[chosen] -= 1
        state.value[number] = -(min(state.counts[number] * shape.unit[number], latest_due) << NOISE_BITS)
        if shape.strength[chosen] == phase:
            left += state.left[chosen]
    return left == 0 and not complete


@compiled
def hold(rows: Ints, slots: Ints, start: int, stop: int) -> None:
    """Enters the rows from `start` to `stop` into the table; of equal rows the first."""
    for at in range(start, stop):
        place = free_slot(rows, slots, rows[at])
        if place >= 0:
            slots[place] = at


@compiled
def copy_into(source: Ints, target: Ints) -> None:
    for at in range(len(source)):
        target[at] = source[at]


@compiled
def roll(dice: int) -> int:
    return dice * MULTIPLIER % PRIME


@compiled
def new_dice(seed: int, made: int) -> int:
    """A stream of its own for each row, so that a row can be begun again."""
    return roll(roll((seed * 16807 % PRIME * 69621 + (made + 1) * 39373) % (PRIME - 1) + 1))


@compiled
def free_slot(rows: Ints, slots: Ints, row: Ints) -> int:
    """The free place of the table where `row` belongs, or -1 where it is held already."""
    mixed = 1
    for axis in range(len(row)):
        mixed = (mixed * 16807 + row[axis] + 1) % PRIME
    at = mixed * 69621 % PRIME % len(slots)
    while slots[at] >= 0:
        same = True
        for axis in range(len(row)):
            if rows[slots[at], axis] != row[axis]:
                same = False
                break
        if same:
            return -1
        at = at + 1 if at + 1 < len(slots) else 0
    return at


@compiled
def start_set(shape: Shape, left: Ints, phase: int, complete: bool, dice: int) -> tuple[int, int]:
    """The set of axes to start from: that with most unmet tuples, which decides how long the plan gets; else any."""
    chosen, most, seen = 0, -1, 0
    for at in range(len(left)):
        if shape.strength[at] == phase:
            if complete:
                seen += 1
                dice = roll(dice)
                if dice % seen == 0:
                    chosen = at
            elif left[at] > most:
                chosen, most = at, left[at]
    return dice, chosen


@compiled
def start_pool(shape: Shape, value: Ints, chosen: int, unmet: bool, pool: Ints, dice: int) -> int:
    """Puts tuples of the set that are worth most into `pool` and returns their number.

    Looks from a random place on, in hops: at unmet tuples, which are worth the same, until the pool is full; else at
    so many that the best of them is good enough.
    """
    cells, most, pooled = shape.cells[chosen], LOWEST, 0
    at = dice % cells
    for seen in range(cells):
        number = shape.base[chosen] + at
        if shape.possible[number]:
            if value[number] > most:
                most, pooled = value[number], 0
            if value[number] == most and pooled < len(pool):
                pool[pooled] = at
                pooled += 1
        if pooled > 0 and (seen >= LOOKED_AT or (unmet and most > 0 and pooled == len(pool))):
            return pooled
        at = (at + shape.hops[chosen]) % cells
    return pooled
