"""What a plan needs beside what is there already: which of its contexts add most. Whole numbers; needs all rows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt
import polars as pl

from .deficits import PRICE_UNIT, Wanted

Ints = npt.NDArray[np.int64]

STEPS = 64
"""Contexts are taken in so many steps at most, one at a time where there are no more; what each adds is counted anew
before every step."""


def contexts_beside(
    planned: pl.DataFrame,
    count: int,
    *,
    wanted: Sequence[Wanted],
    there: pl.DataFrame,
    axes: Sequence[str],
    only_wanted: bool,
) -> pl.DataFrame:
    """Up to `count` rows of `planned` (a column per axis), in plan order: those that add most to the rows of `there`.

    First by what their levels lack, times what one more of each is worth; then by the pairs of levels that no row has
    yet; then in plan order. A level of `there` that is null has no pairs. With `only_wanted`, none that serves no
    wanted level.
    """
    space = _Space(planned, there, wanted, axes)
    left, chosen = np.arange(planned.height), np.empty(0, np.int64)
    at_once = max(1, -(-count // STEPS))
    while len(left) and len(chosen) < count:
        quota, pairs = space.worth(left)
        order = np.lexsort((left, -pairs, -quota))[: min(at_once, count - len(chosen))]
        order = order[quota[order] > 0] if only_wanted else order
        if not len(order):
            break
        space.take(left[order])
        chosen, left = np.concatenate([chosen, left[order]]), np.delete(left, order)
    return planned[np.sort(chosen)]


class _Space:
    """Levels as numbers: what each still lacks and is worth, and which pairs stand in some row."""

    def __init__(
        self, planned: pl.DataFrame, there: pl.DataFrame, wanted: Sequence[Wanted], axes: Sequence[str]
    ) -> None:
        levels = {axis: planned[axis].unique().sort().to_list() for axis in axes}
        self._codes = [_coded(planned[axis], levels[axis]) for axis in axes]
        self._lacks = [np.zeros(len(levels[axis]), np.int64) for axis in axes]
        self._price = [np.zeros(len(levels[axis]), np.int64) for axis in axes]
        for want in wanted:
            if want.axis in levels and want.level in levels[want.axis]:
                axis, code = list(axes).index(want.axis), levels[want.axis].index(want.level)
                self._lacks[axis][code], self._price[axis][code] = want.lacking, round(want.price * PRICE_UNIT)
        self._unmet = {
            (i, j): np.ones((len(self._lacks[i]), len(self._lacks[j])), np.int64)
            for i, j in combinations(range(len(axes)), 2)
        }
        self._meet([_coded(there[axis], levels[axis]) for axis in axes])

    def worth(self, rows: Ints) -> tuple[Ints, Ints]:
        """(what their levels lack x price, pairs that are not met yet) of each of `rows`."""
        codes = [own[rows] for own in self._codes]
        quota, pairs = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64)
        for own, lacks, price in zip(codes, self._lacks, self._price, strict=True):
            quota += (price * np.maximum(lacks, 0))[own]
        for (i, j), unmet in self._unmet.items():
            pairs += unmet[codes[i], codes[j]]
        return quota, pairs

    def take(self, rows: Ints) -> None:
        codes = [own[rows] for own in self._codes]
        for own, lacks in zip(codes, self._lacks, strict=True):
            lacks -= np.bincount(own, minlength=len(lacks))
        self._meet(codes)

    def _meet(self, codes: Sequence[Ints]) -> None:
        for (i, j), unmet in self._unmet.items():
            known = (codes[i] >= 0) & (codes[j] >= 0)
            unmet[codes[i][known], codes[j][known]] = 0


def _coded(column: pl.Series, levels: Sequence[str]) -> Ints:
    """The number of each level; -1 where it is null or none of these."""
    found = column.replace_strict(levels, range(len(levels)), default=-1, return_dtype=pl.Int64)
    codes: Ints = found.fill_null(-1).to_numpy()
    return codes
