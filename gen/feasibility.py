"""Which quotas can be met at all, and what one more row of each level would be worth: a linear programme.

Rows with the same levels and quality tier are one cell; the programme fills cells, not rows, maximising
quality minus a penalty for every row that a quota lacks. Its dual prices are what a quota costs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

TIERS = 3
PENALTY = 10.0  # of one missing row, in units of quality 1.0: more than any exchange of rows can win back


def level_prices(
    quality: npt.NDArray[np.float64],
    levels: Mapping[str, Sequence[str]],
    quotas: Mapping[str, Mapping[str, int]],
    size: int,
) -> list[tuple[str, str, float]]:
    """(axis, level, dual price) of every quota; a price of `PENALTY` marks one that cannot be met."""
    wanted = [(axis, level, count) for axis, counts in quotas.items() for level, count in counts.items()]
    if not wanted or not size:
        return [(axis, level, PENALTY if count else 0.0) for axis, level, count in wanted]
    from scipy.optimize import linprog
    from scipy.sparse import csr_array, eye_array, hstack

    cells, sizes, worth = _cells(quality, [levels[axis] for axis in quotas])
    position = {axis: index for index, axis in enumerate(quotas)}
    rows, columns = [], []
    for row, (axis, level, _) in enumerate(wanted):
        members = [cell for cell, key in enumerate(cells) if key[position[axis]] == level]
        rows += [row] * len(members)
        columns += members
    belongs = csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(wanted), len(cells)))
    solved = linprog(
        c=np.concatenate([-worth, np.full(len(wanted), PENALTY)]),
        A_ub=-hstack([belongs, eye_array(len(wanted))]),
        b_ub=-np.array([count for _, _, count in wanted], dtype=np.float64),
        A_eq=csr_array(np.concatenate([np.ones(len(cells)), np.zeros(len(wanted))])[None, :]),
        b_eq=[size],
        bounds=[(0, n) for n in sizes] + [(0, None)] * len(wanted),
        method="highs",
    )
    # Rounded, because the last bits of a dual differ between builds of the solver.
    prices = np.round(-solved.ineqlin.marginals, 6) + 0.0
    return [(axis, level, float(price)) for (axis, level, _), price in zip(wanted, prices, strict=True)]


def _cells(
    quality: npt.NDArray[np.float64], columns: Sequence[Sequence[str]]
) -> tuple[list[tuple[str, ...]], list[int], npt.NDArray[np.float64]]:
    """(levels, number of rows, mean quality) of each cell; tiers are equal steps of quality."""
    members: dict[tuple[tuple[str, ...], int], list[float]] = {}
    for row, key in enumerate(zip(*columns, strict=True)):
        tier = min(TIERS - 1, int(quality[row] * TIERS))
        members.setdefault((key, tier), []).append(float(quality[row]))
    keys = [key for key, _ in members]
    means = np.array([sum(values) / len(values) for values in members.values()])
    return keys, [len(values) for values in members.values()], means
