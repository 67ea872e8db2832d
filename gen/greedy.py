"""Lazy greedy on one monotone submodular objective in whole numbers.

F(S) = quality + facility location over a kNN graph + saturating quotas + pairs of levels met, each scaled
to about one unit of quality per row. Whole numbers make gains exact: the same rows come out on every
machine, with any number of threads.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from itertools import combinations
from numbers import Integral
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

UNIT = 1_000_000
NEIGHBOURS = 24  # of each row in the graph; a sparse graph is near enough (Lindgren, Wu, Dimakis 2016)
FACILITY = 2 * UNIT  # to be the nearest exemplar of all of one's neighbours
QUOTA = 4 * UNIT  # to fill one place of a level that lacks rows: more than quality and likeness can outweigh
PAIR = UNIT // 4  # to meet one pair of levels that no chosen row has
_BLOCK_CELLS = 1 << 22  # dot products held at once: 32 MiB as int64, three times over
_CHECKPOINTS = 8
_FULL_DOT = 127 * 127

Ints = npt.NDArray[np.int64]


class Objective:
    """F and what is chosen so far. `worth` is (n,) int64 in units; `vectors` is (n, d) int8 or None.

    Equal gains go to the lower row, here and in the graph: give the rows in an order that their content decides.
    """

    def __init__(
        self,
        worth: Ints,
        vectors: npt.NDArray[np.int8] | None,
        levels: Mapping[str, Sequence[str | None]],
        quotas: Mapping[str, Mapping[str, int]],
    ) -> None:
        self.count = len(worth)
        self.worth = worth
        self._served, self._likeness = _served_rows(vectors, self.count)
        self.axes = list(levels)
        self.levels = [list(dict.fromkeys(levels[axis])) for axis in self.axes]  # of each axis, by code
        places = [{level: code for code, level in enumerate(known)} for known in self.levels]
        coded = [[place[level] for level in levels[axis]] for axis, place in zip(self.axes, places, strict=True)]
        self.codes = np.array(coded, np.int64).reshape(len(self.axes), self.count)
        self.wanted = [
            np.array([quotas[axis].get(level, 0) if level is not None else 0 for level in known], np.int64)
            for axis, known in zip(self.axes, self.levels, strict=True)
        ]
        self._pairs, self._pair_count = _pair_codes(self.codes, [len(known) for known in self.levels])
        self._clear()

    def _clear(self) -> None:
        """Nothing is chosen."""
        self._best = np.zeros(self.count, np.int64)
        self._left = [wanted.copy() for wanted in self.wanted]
        self._pair_met = np.zeros(self._pair_count, np.bool_)

    def gain(self, row: int) -> int:
        """F(S + row) - F(S)."""
        return sum(self._terms(row))

    def _terms(self, row: int) -> tuple[int, int, int, int]:
        """The gain by term: quality, likeness, quotas, pairs."""
        nearer = self._likeness[row] - self._best[self._served[row]]
        quota = sum(QUOTA for left, code in zip(self._left, self.codes[:, row], strict=True) if left[code] > 0)
        pairs = int(np.count_nonzero(~self._pair_met[self._pairs[row]])) * PAIR
        return int(self.worth[row]), int(nearer[nearer > 0].sum()), quota, pairs

    def why(self, row: int) -> str:
        """The term that weighs most for `row` now, in words."""
        _, likeness, quota, pairs = self._terms(row)
        if quota:
            for axis, left, known, code in zip(self.axes, self._left, self.levels, self.codes[:, row], strict=True):
                if left[code] > 0:
                    return f"fills {axis} = {known[code]}"
        if pairs > likeness:
            return "a combination not yet there"
        return "unlike what is there" if likeness > self.worth[row] else "quality"

    def take(self, row: int) -> None:
        served = self._served[row]
        self._best[served] = np.maximum(self._best[served], self._likeness[row])
        for left, code in zip(self._left, self.codes[:, row], strict=True):
            left[code] -= 1
        self._pair_met[self._pairs[row]] = True

    def bound(self, chosen: Collection[int], size: int) -> int:
        """Sum of the `size` largest gains outside `chosen` now: F(S) plus this is an upper bound on the optimum.

        Rows that a cap forbids count too: the best selection under the caps may hold them in place of others.
        """
        inside = set(chosen)
        return sum(heapq.nlargest(size, (self.gain(row) for row in range(self.count) if row not in inside)))

    def fresh(self) -> Objective:
        """The same objective with nothing chosen (the graph is shared, not copied)."""
        other = copy(self)
        other._clear()
        return other


class Caps:
    """Upper limits by column and value: a row that would pass one is skipped. A null is no value, and free."""

    def __init__(self, rows: pl.DataFrame, caps: Mapping[str, float | Mapping[str, float]], size: int) -> None:
        self._values: dict[str, list[Any]] = {column: rows[column].to_list() for column in caps}
        self._caps = caps
        self._size = size
        self._counts: Counter[tuple[str, Any]] = Counter()

    def allows(self, row: int, *, instead_of: int | None = None) -> bool:
        for column, values in self._values.items():
            cap, value = self._caps[column], values[row]
            limit = cap.get(value) if isinstance(cap, Mapping) else cap
            if value is None or limit is None:
                continue
            freed = instead_of is not None and values[instead_of] == value
            if self._counts[column, value] - freed >= self._as_count(limit):
                return False
        return True

    def add(self, row: int) -> None:
        for column, values in self._values.items():
            self._counts[column, values[row]] += 1

    def remove(self, row: int) -> None:
        for column, values in self._values.items():
            self._counts[column, values[row]] -= 1

    def _as_count(self, limit: float) -> int:
        # 0.29 * 100 is 28.999…: a share that comes to a whole number of rows is that number.
        return int(limit) if isinstance(limit, Integral) else int(limit * self._size + 1e-9)


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


def fill(objective: Objective, size: int, caps: Caps) -> Chosen:
    """Lazy greedy (Minoux 1978): a row's last known gain bounds its gain now, so few are evaluated again."""
    chosen = Chosen()
    heap = [(-objective.gain(row), row, 0) for row in range(objective.count)]
    heapq.heapify(heap)
    chosen.upper_bound = sum(-gain for gain, *_ in heapq.nsmallest(size, heap))
    checkpoints = {size * part // _CHECKPOINTS for part in range(1, _CHECKPOINTS)}
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
        if len(chosen.rows) in checkpoints:
            chosen.upper_bound = min(chosen.upper_bound, chosen.value + objective.bound(chosen.rows, size))
    chosen.upper_bound = min(chosen.upper_bound, chosen.value + objective.bound(chosen.rows, size))
    return chosen


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
    lacking = [w - np.bincount(codes[a, inside], minlength=len(w)) for a, w in enumerate(objective.wanted)]
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


def _served_rows(vectors: npt.NDArray[np.int8] | None, count: int) -> tuple[list[Ints], list[Ints]]:
    """For each row, the rows that have it among their nearest, and how like it they are (scaled, at least 0)."""
    if vectors is None:
        empty = np.zeros(0, np.int64)
        return [empty] * count, [empty] * count
    near, dots = nearest(vectors, min(NEIGHBOURS, count))
    likeness = np.maximum(dots, 0) * (FACILITY // _FULL_DOT) // near.shape[1]
    owners = np.repeat(np.arange(count), near.shape[1])
    flat, values = near.ravel(), likeness.ravel()
    by_server = np.argsort(flat, kind="stable")
    cuts = np.cumsum(np.bincount(flat, minlength=count))[:-1]
    return np.split(owners[by_server], cuts), np.split(values[by_server], cuts)


def nearest(vectors: npt.NDArray[np.int8], k: int) -> tuple[Ints, Ints]:
    """(n, k) rows with the largest dot product with each row, and those products.

    Exact, block by block: the vectors have a length of 127 up to rounding, so that their products, and all parts
    of the sums, stay below 2^24, where float32 is exact in any order. Ties go to the lower row.
    """
    count = len(vectors)
    real = vectors.astype(np.float32)
    places = np.arange(count, dtype=np.int64)
    rows = max(1, _BLOCK_CELLS // max(1, count))
    near = np.empty((count, k), np.int64)
    dots = np.empty((count, k), np.int64)
    for start in range(0, count, rows):
        block = (real[start : start + rows] @ real.T).astype(np.int64)
        keys = block * count - places  # all different, so the k largest are one definite set
        top = np.argpartition(-keys, k - 1, axis=1)[:, :k]
        near[start : start + rows] = top
        dots[start : start + rows] = np.take_along_axis(block, top, axis=1)
    return near, dots


def _pair_codes(codes: Ints, sizes: Sequence[int]) -> tuple[Ints, int]:
    """((n, pairs of axes) index of each row's pairs of levels in one flat table, the table's length)."""
    parts, start = [], 0
    for a, b in combinations(range(len(sizes)), 2):
        parts.append(start + codes[a] * sizes[b] + codes[b])
        start += sizes[a] * sizes[b]
    table = np.stack(parts, axis=1) if parts else np.zeros((codes.shape[1], 0), np.int64)
    return table, start
