"""Which quotas can be met at all, and what one more row of each level would be worth: a linear programme.

Rows with the same levels and quality tier are one cell; the programme fills cells, not rows, maximising
quality minus a penalty for every row that a quota lacks. Its dual prices are what a quota costs. It reports; it
does not choose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .objective import Short, coded_levels

TIERS = 3
PENALTY = 10.0  # of one missing row, in units of quality 1.0: more than any exchange of rows can win back
_AT_ONCE = 4_000  # cells that the solver is given at first, and more of in each step
_STEPS = 60

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Quotas = Mapping[str, Mapping[str, int]]
Coded = Mapping[str, tuple[list[str | None], Short]]


class Feasible(NamedTuple):
    """What the linear programme found."""

    prices: list[tuple[str, str, float]]  # (axis, level, dual price) of every quota; PENALTY: it cannot be met
    missing: float  # rows that the quotas lack at least, in fractions of rows
    optimum: float  # quality minus penalties, of fractions of rows


def level_prices(
    quality: Floats, levels: Mapping[str, Sequence[str]], quotas: Quotas, size: int
) -> list[tuple[str, str, float]]:
    """(axis, level, dual price) of every quota; a price of `PENALTY` marks one that cannot be met."""
    return feasible(quality, {axis: coded_levels(values) for axis, values in levels.items()}, quotas, size).prices


def feasible(quality: Floats, coded: Coded, quotas: Quotas, size: int) -> Feasible:
    """The programme over all cells, solved with few at a time: those whose worth at the prices so far is positive
    are added until none is left (column generation: Gilmore, Gomory 1961), so that the prices are those of all.
    """
    wanted = [(axis, level, count) for axis, counts in quotas.items() for level, count in counts.items()]
    if not wanted or not size:
        nothing = [(axis, level, PENALTY if count else 0.0) for axis, level, count in wanted]
        return Feasible(nothing, float(sum(count for *_, count in wanted)), 0.0)
    keys = [codes for _, codes in coded.values()]
    tiers = np.minimum(TIERS - 1, (quality * TIERS).astype(np.int32))
    cell_of, first = cells([*keys, tiers])
    counts = np.bincount(cell_of).astype(np.float64)
    worth = np.bincount(cell_of, np.rint(quality * 1e6)) / 1e6 / counts  # sums of whole numbers are exact
    rows = _quota_rows(coded, quotas, first)
    needed = np.array([count for *_, count in wanted], np.float64)
    active = _first_cells(worth, counts, rows, needed, size)
    for _ in range(_STEPS):
        solved = _solve(worth[active], counts[active], rows[active], needed, size)
        prices = -solved.ineqlin.marginals
        padded = np.append(prices[:-1], 0.0)
        better = worth + padded[rows].sum(axis=1) - prices[-1]
        better[active] = 0.0
        found = np.flatnonzero(better > 1e-7)
        if not len(found):
            break
        best = found[np.argsort(-better[found], kind="stable")[:_AT_ONCE]]
        active = np.concatenate([active, best])
    # Rounded, because the last bits of a dual differ between builds of the solver.
    shown = np.round(prices[:-1], 6) + 0.0
    return Feasible(
        [(axis, level, float(price)) for (axis, level, _), price in zip(wanted, shown, strict=True)],
        float(solved.x[len(active) :].sum()),
        -float(solved.fun),
    )


def cells(columns: Sequence[npt.NDArray[np.int32]]) -> tuple[Ints, Ints]:
    """(the cell of each row, a first row of each cell): rows with the same codes in every column are one cell."""
    keys = np.zeros(len(columns[0]), np.int64)
    span = 1
    for codes in columns:
        size = int(codes.max(initial=0)) + 1
        if span * size >= 1 << 62:
            keys = np.unique(keys, return_inverse=True)[1].astype(np.int64)
            span = int(keys.max(initial=0)) + 1
        keys = keys * size + codes
        span *= size
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return inverse, first


def _quota_rows(coded: Coded, quotas: Quotas, first: Ints) -> Ints:
    """(cells, axes): the number of the quota that a cell's level has; one past the last where it has none."""
    total = sum(len(counts) for counts in quotas.values())
    table, start = [], 0
    for axis, counts in quotas.items():
        known, codes = coded[axis]
        place = {level: start + number for number, level in enumerate(counts)}
        start += len(counts)
        row_of = np.array([place.get(level, total) if level is not None else total for level in known], np.int64)
        table.append(row_of[codes[first]])
    return np.array(table, np.int64).T


def _first_cells(worth: Floats, counts: Floats, rows: Ints, needed: Floats, size: int) -> Ints:
    """The best cells, as many as hold `size` rows, and the best of each level, as many as hold its quota."""
    if len(worth) <= _AT_ONCE:
        return np.arange(len(worth))
    order = np.argsort(-worth, kind="stable")
    picked = [order[np.cumsum(counts[order]) - counts[order] < size][:_AT_ONCE]]
    for axis in range(rows.shape[1]):
        for quota in np.unique(rows[:, axis]):
            own = order[rows[order, axis] == quota]
            if quota < len(needed):
                picked.append(own[np.cumsum(counts[own]) - counts[own] < needed[quota]])
    found: Ints = np.unique(np.concatenate(picked))
    return found


def _solve(worth: Floats, counts: Floats, rows: Ints, needed: Floats, size: int) -> Any:
    from scipy.optimize import linprog
    from scipy.sparse import csr_array, eye_array, hstack, vstack

    number, quotas = len(worth), len(needed)
    columns = np.repeat(np.arange(number), rows.shape[1])
    has = rows.ravel() < quotas
    belongs = csr_array((np.ones(int(has.sum())), (rows.ravel()[has], columns[has])), shape=(quotas, number))
    least = hstack([-belongs, -eye_array(quotas)])
    most = csr_array(np.concatenate([np.ones(number), np.zeros(quotas)])[None, :])
    return linprog(
        c=np.concatenate([-worth, np.full(quotas, PENALTY)]),
        A_ub=vstack([least, most]),
        b_ub=np.append(-needed, size),
        bounds=np.column_stack([np.zeros(number + quotas), np.append(counts, np.full(quotas, np.inf))]),
        method="highs",
    )
