"""Random whole numbers that are the same everywhere, and uniform draws of allowed rows."""

from __future__ import annotations

from math import prod

import numpy as np

from .constraints import Bools, Feasible, Ints

REDRAWS = 64


class Dice:
    """Random integers from PCG64's raw bits, whose stream numpy promises never to change (Generator's may)."""

    def __init__(self, seed: int) -> None:
        self._source = np.random.PCG64(2 * seed if seed >= 0 else -2 * seed - 1)  # PCG64 takes no negative seed

    def below(self, limit: int | Ints, shape: tuple[int, ...]) -> Ints:
        raw = self._source.random_raw(prod(shape)).reshape(shape)
        return np.asarray(raw % np.asarray(limit, np.uint64)).astype(np.int64)  # bias < 2**-40 below 2**24


def uniform_rows(feasible: Feasible, n: int, dice: Dice) -> Ints:
    """n allowed rows, drawn uniformly.

    A forbidden draw is drawn again; one that is forbidden 64 times running is made axis by axis instead, uniformly
    among the levels that can still be completed, which is not quite uniform over rows.
    """
    rows = dice.below(feasible.sizes, (n, len(feasible.sizes)))
    for _ in range(REDRAWS):
        wrong = np.flatnonzero(broken(feasible, rows))
        if not len(wrong):
            return rows
        rows[wrong] = dice.below(feasible.sizes, (len(wrong), len(feasible.sizes)))
    wrong = np.flatnonzero(broken(feasible, rows))
    alive, still_open = feasible.alive(len(wrong)), np.ones(len(feasible.sizes), bool)
    for axis, size in enumerate(feasible.sizes.tolist()):
        score = dice.below(2**32, (len(wrong), size))
        allowed = feasible.levels(alive, still_open, axis)
        rows[wrong, axis] = (score if allowed is None else np.where(allowed, score, -1)).argmax(axis=1)
        feasible.narrow(alive, axis, rows[wrong, axis])
        still_open[axis] = False
    return rows


def broken(feasible: Feasible, rows: Ints) -> Bools:
    """Which rows hold a forbidden combination."""
    found = np.zeros(len(rows), bool)
    for rule, named in zip(feasible.rules, feasible.named, strict=True):
        found |= (rows[:, named] == rule[named]).all(axis=1)
    return found
