"""When greedy leaves places open: exchange rows until the quotas are met, or nobody knows how.

First exchanges of two rows, in whole numbers. Where those are stuck and the linear programme says that more is
possible, an integer programme over cells finds the fewest exchanges that fill the most places.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .feasibility import cells
from .greedy import Caps, Chosen
from .objective import Objective

Ints = npt.NDArray[np.int64]

NODES = 2_000  # of the search tree at most: a limit that does not depend on the clock


def exchange(objective: Objective, chosen: Chosen, caps: Caps, *, possible: float) -> None:
    """Fills the places that greedy left open; `possible` is how many must stay open by the linear programme."""
    swap_in(objective, chosen, caps)
    if _missing(objective, chosen.rows) > possible + 1e-6:
        cell_exchange(objective, chosen, caps)


def _missing(objective: Objective, rows: Sequence[int]) -> int:
    """Places of quotas that known levels lack."""
    return sum(int(np.maximum(lacks, 0).sum()) for lacks in _lacking(objective, np.array(rows, np.int64)))


def _lacking(objective: Objective, inside: Ints) -> list[Ints]:
    return [
        wanted - np.bincount(codes[inside], minlength=len(wanted))
        for wanted, codes in zip(objective.wanted, objective.codes, strict=True)
    ]


def swap_in(objective: Objective, chosen: Chosen, caps: Caps) -> None:
    """Exchanges rows until no exchange of two leaves the quotas lacking fewer places than before.

    Rows that come in stand at the end of the order; gains, reasons and value are counted anew. The upper bound
    is one for every selection, so the certificate stays true.
    """
    swapped: dict[int, str] = {}
    while (exchange := _exchange(objective, chosen.rows, caps)) is not None:
        out, new, reason = exchange
        caps.remove(out)
        caps.add(new)
        swapped.pop(out, None)
        swapped[new] = reason
        chosen.rows.remove(out)
        chosen.rows.append(new)
    if swapped:
        _recount(objective.fresh(), chosen, swapped)


def _exchange(objective: Objective, rows: Sequence[int], caps: Caps) -> tuple[int, int, str] | None:
    """(row out, row in, reason) after which fewer places are lacking, or None.

    For the level that lacks most: the best row of that level, in place of the worst that opens a smaller gap.
    """
    codes, inside = objective.codes, np.array(rows, np.int64)
    lacking = _lacking(objective, inside)
    short = [
        (-int(lack), axis, code) for axis, lacks in enumerate(lacking) for code, lack in enumerate(lacks) if lack > 0
    ]
    leaving = inside[np.lexsort((inside, objective.worth[inside]))]
    outside = np.setdiff1d(np.arange(objective.count), inside)
    for _, axis, code in sorted(short):
        hopeless: set[bytes] = set()  # cells of which no row can come in
        coming = outside[codes[axis, outside] == code]
        for new in coming[np.lexsort((coming, -objective.worth[coming]))].tolist():
            cell = codes[:, new].tobytes()
            if cell in hopeless:
                continue
            fitting = leaving[_places_gained(objective, lacking, new, leaving) > 0].tolist()
            if not fitting:
                hopeless.add(cell)
            for out in fitting:
                if caps.allows(new, instead_of=out):
                    return out, new, f"exchanged in for {objective.axes[axis]} = {objective.levels[axis][code]}"
    return None


def _places_gained(objective: Objective, lacking: Sequence[Ints], new: int, leaving: Ints) -> Ints:
    """How many places fewer the quotas lack once `new` is there instead of each of `leaving`."""
    gained = np.zeros(len(leaving), np.int64)
    for codes, wanted, lacks in zip(objective.codes, objective.wanted, lacking, strict=True):
        opens = (wanted > 0) & (lacks >= 0)
        gained += np.where(codes[leaving] == codes[new], 0, int(lacks[codes[new]] > 0) - opens[codes[leaving]])
    return gained


def _recount(objective: Objective, chosen: Chosen, swapped: Mapping[int, str]) -> None:
    chosen.gains, chosen.reasons, chosen.value = [], [], 0
    for row in chosen.rows:
        gain = objective.gain(row)
        chosen.reasons.append(swapped.get(row) or objective.why(row))
        objective.take(row)
        chosen.gains.append(gain)
        chosen.value += gain


def cell_exchange(objective: Objective, chosen: Chosen, caps: Caps) -> None:
    """The fewest exchanges that leave the fewest places open, by an integer programme over cells.

    A cell is rows of the same levels, capped values included. Costs are whole numbers with a small part of their own
    for every cell, so that as a rule one best answer exists, and every exact solver finds that one.
    """
    if not chosen.rows:
        return
    inside = np.array(chosen.rows, np.int64)
    cell_of, first = cells([*objective.codes, *(caps.limits.codes.T + 1)])  # -1 is a row that a cap leaves free
    held = np.bincount(cell_of[inside], minlength=len(first))
    free = np.bincount(cell_of, minlength=len(first)) - held
    moved = _moves(objective, caps, first, held, free, _lacking(objective, inside))
    if moved is None:
        return
    outside = np.setdiff1d(np.arange(objective.count), inside)
    leaving = _worst_first(objective, inside, cell_of, -moved)
    coming = _worst_first(objective, outside, cell_of, moved, best=True)
    for row in leaving:
        caps.remove(row)
    for row in coming:
        caps.add(row)
    gone = set(leaving)
    chosen.rows = [row for row in chosen.rows if row not in gone] + coming
    _recount(objective.fresh(), chosen, dict.fromkeys(coming, "exchanged in to meet the quotas"))


def _worst_first(objective: Objective, rows: Ints, cell_of: Ints, wanted: Ints, *, best: bool = False) -> list[int]:
    """Of each cell as many of `rows` as it wants: those of the least quality, or of the best."""
    sign = -1 if best else 1
    order = rows[np.lexsort((rows, sign * objective.worth[rows], cell_of[rows]))]
    own = cell_of[order]
    rank = np.arange(len(order)) - np.searchsorted(own, own)
    found: list[int] = order[rank < wanted[own]].tolist()
    return found


def _moves(
    objective: Objective, caps: Caps, first: Ints, held: Ints, free: Ints, lacking: Sequence[Ints]
) -> Ints | None:
    """(cells,) how many rows each gains or loses; None where the programme was not solved."""
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_array, eye_array, hstack, vstack

    up, down = np.flatnonzero(free), np.flatnonzero(held)
    cell = np.concatenate([up, down])
    sign = np.concatenate([np.ones(len(up)), -np.ones(len(down))])
    starts = np.cumsum([0, *map(len, lacking)])
    groups = [start + codes[first] for start, codes in zip(starts, objective.codes, strict=False)]
    short = np.concatenate(lacking)
    quotas = _belonging(groups, cell, sign, len(short))
    capped = [
        np.where(codes[first] >= 0, start + codes[first], -1)
        for start, codes in zip(caps.limits.first_value, caps.limits.codes.T, strict=True)
    ]
    limits = _belonging(capped, cell, sign, len(caps.limits.left))
    wanting = np.flatnonzero(np.concatenate(objective.wanted))
    slack = eye_array(len(short), format="csr")[wanting].T
    count, places = len(cell), len(wanting)
    own = (np.arange(count) * 2_654_435_761 % 1_009) / 1_009  # a spread of fractions: no two sums alike, as a rule
    rows = vstack(
        [
            hstack([quotas[wanting], slack[wanting]]),
            hstack([limits, csr_array((limits.shape[0], places))]),
            csr_array(np.concatenate([sign, np.zeros(places)])[None, :]),
        ]
    )
    low = np.concatenate([short[wanting], np.full(limits.shape[0], -np.inf), [0.0]])
    high = np.concatenate([np.full(places, np.inf), caps.limits.left.astype(np.float64), [0.0]])
    solved = milp(
        np.concatenate([1.0 + own, np.full(places, 1e4)]),
        constraints=LinearConstraint(rows, low, high),
        bounds=Bounds(0, np.concatenate([free[up], held[down], np.full(places, np.inf)])),
        integrality=np.ones(count + places),
        options={"mip_rel_gap": 0.0, "node_limit": NODES},
    )
    if solved.x is None:
        return None
    moved = np.zeros(len(first), np.int64)
    np.add.at(moved, cell, (np.rint(solved.x[:count]) * sign).astype(np.int64))
    return moved


def _belonging(groups: Sequence[Ints], cell: Ints, sign: npt.NDArray[np.float64], total: int) -> Any:
    """(total, moves) sparse: what a move of a cell adds to each level or capped value; -1 belongs to none."""
    from scipy.sparse import csr_array

    moves = np.arange(len(cell))
    parts = [(own[cell], moves, sign) for own in groups]
    rows, columns, values = (
        np.concatenate([part[place] for part in parts]) if parts else np.zeros(0) for place in range(3)
    )
    has = rows >= 0
    return csr_array(
        (values[has], (rows[has].astype(np.int64), columns[has].astype(np.int64))), shape=(total, len(cell))
    )
