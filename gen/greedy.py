"""Lazy greedy under caps, and a bound on how much better anything else could be.

Plain loops with NumPy for a few thousand rows, compiled ones beyond: the same rows, gains and reasons.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from .neighbours import COMPILED_FROM, kernels
from .objective import Objective

_CHECKPOINTS = 8

Ints = npt.NDArray[np.int64]


class Limits(NamedTuple):
    """Caps as numba takes them."""

    codes: npt.NDArray[np.int32]  # (n, columns): the value of a row, -1 where it is free
    first_value: Ints  # (columns,): where the values of a column begin in `left`
    left: Ints  # rows of each value that may still come


class Caps:
    """Upper limits by column and value: a row that would pass one is skipped. A null is no value, and free."""

    def __init__(self, rows: pl.DataFrame, caps: Mapping[str, float | Mapping[str, float]], size: int) -> None:
        codes: list[npt.NDArray[np.int32]] = []
        left: list[int] = []
        first: list[int] = []
        for column, cap in caps.items():
            known = rows[column].unique().drop_nulls().to_list()
            limit = {value: _limit_of(value, cap) for value in known}
            held = [value for value, most in limit.items() if most is not None]
            place = {value: code for code, value in enumerate(held)}
            codes.append(np.array([place.get(value, -1) for value in rows[column].to_list()], np.int32))
            first.append(len(left))
            left += [_as_count(limit[value], size) for value in held]
        table = np.array(codes, np.int32).reshape(len(codes), rows.height)
        self.limits = Limits(np.ascontiguousarray(table.T), np.array(first, np.int64), np.array([*left, 0], np.int64))

    def allows(self, row: int, *, instead_of: int | None = None) -> bool:
        limits, own = self.limits, self.limits.codes[row]
        freed = limits.codes[instead_of] == own if instead_of is not None else np.zeros(len(own), np.bool_)
        return bool(((own < 0) | (limits.left[limits.first_value + np.maximum(own, 0)] + freed > 0)).all())

    def add(self, row: int) -> None:
        self._move(row, -1)

    def remove(self, row: int) -> None:
        self._move(row, 1)

    def _move(self, row: int, by: int) -> None:
        own = self.limits.codes[row]
        self.limits.left[(self.limits.first_value + own)[own >= 0]] += by


def _limit_of(value: Any, cap: Any) -> Any:
    """As with quotas "3" means the value 3 too: a limit that met no value would hold nothing back, unseen."""
    if not isinstance(cap, Mapping):
        return cap
    return cap[value] if value in cap else cap.get(str(value))


def _as_count(limit: Any, size: int) -> int:
    # 0.29 * 100 is 28.999…: a share that comes to a whole number of rows is that number.
    return int(limit) if isinstance(limit, Integral) else int(limit * size + 1e-9)


@dataclass
class Chosen:
    """Rows in the order in which they were taken."""

    rows: list[int] = field(default_factory=list)
    gains: list[int] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    value: int = 0
    upper_bound: int = 0

    @property
    def certificate(self) -> float:
        return self.value / self.upper_bound if self.upper_bound else 1.0


def fill(objective: Objective, size: int, caps: Caps, *, compiled: bool | None = None) -> Chosen:
    """Lazy greedy (Minoux 1978): a row's last known gain bounds its gain now, so few are evaluated again.

    `compiled` forces one of the two loops; they give the same.
    """
    wanted = objective.count > COMPILED_FROM if compiled is None else compiled
    if wanted and kernels() is not None:
        return _fill_compiled(objective, size, caps)
    chosen = Chosen()
    heap = [(-objective.gain(row), row, 0) for row in range(objective.count)]
    heapq.heapify(heap)
    chosen.upper_bound = upper_bound(objective, chosen, size, compiled=False)
    stops = _stops(size)
    while heap and len(chosen.rows) < size:
        negative, row, stamp = heapq.heappop(heap)
        if not caps.allows(row):
            continue
        if stamp < len(chosen.rows):
            heapq.heappush(heap, (-objective.gain(row), row, len(chosen.rows)))
            continue
        chosen.rows.append(row)
        chosen.gains.append(-negative)
        chosen.reasons.append(objective.why(row))
        chosen.value -= negative
        objective.take(row)
        caps.add(row)
        if len(chosen.rows) in stops:
            chosen.upper_bound = min(chosen.upper_bound, upper_bound(objective, chosen, size, compiled=False))
    chosen.upper_bound = min(chosen.upper_bound, upper_bound(objective, chosen, size, compiled=False))
    return chosen


def _fill_compiled(objective: Objective, size: int, caps: Caps) -> Chosen:
    loops: Any = kernels()
    fixed, state, chosen = objective.fixed, objective.state, Chosen()
    by_term = np.empty((objective.count, 4), np.int64)
    loops.gains(fixed, state, by_term)
    heap = np.zeros((objective.count, 3), np.int64)
    heap[:, 0] = by_term.sum(axis=1)
    heap[:, 1] = np.arange(objective.count)
    loops.build(heap)
    rows, terms = np.zeros(size + 1, np.int64), np.zeros((size + 1, 4), np.int64)
    left, done, entries = state.left.copy(), 0, objective.count
    chosen.upper_bound = upper_bound(objective, chosen, size, compiled=True)
    for stop in sorted(_stops(size) | {size}):
        done, entries = loops.fill_until(fixed, state, caps.limits, heap, entries, stop, rows, terms, done)
        chosen.rows = rows[:done].tolist()
        chosen.value = int(terms[:done].sum())
        chosen.upper_bound = min(chosen.upper_bound, upper_bound(objective, chosen, size, compiled=True))
    chosen.gains = terms[:done].sum(axis=1).tolist()
    for row, term in zip(chosen.rows, terms[:done].tolist(), strict=True):
        chosen.reasons.append(objective.reason(row, term, left))
        left[fixed.first_level + fixed.codes[row]] -= 1
    return chosen


def _stops(size: int) -> set[int]:
    return {size * part // _CHECKPOINTS for part in range(1, _CHECKPOINTS)} - {0}


def upper_bound(objective: Objective, chosen: Chosen, size: int, *, compiled: bool) -> int:
    """No set T of `size` rows is worth more, under caps or without.

    F is quality q plus the rest G, and G(T) ≤ G(S) + Σ g over T, with g the gain in G now (G is submodular). So
    F(T) ≤ G(S) + the `size` largest q + g of all rows, where g of a chosen row is 0. Tighter than F(S) plus the
    largest gains, which grants the quality of S for nothing.
    """
    if compiled:
        by_term = np.empty((objective.count, 4), np.int64)
        loops: Any = kernels()
        loops.gains(objective.fixed, objective.state, by_term)
        more = by_term.sum(axis=1)
    else:
        more = np.array([objective.gain(row) for row in range(objective.count)], np.int64)
    more[chosen.rows] = objective.worth[chosen.rows]
    if size < len(more):
        more = np.partition(more, len(more) - size)[len(more) - size :]
    return chosen.value - int(objective.worth[chosen.rows].sum()) + int(more.sum())
