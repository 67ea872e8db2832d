"""Lazy greedy on one monotone submodular objective in whole numbers.

F(S) = quality + facility location over a kNN graph + saturating quotas + pairs of levels met, each scaled
to about one unit of quality per row. Whole numbers make gains exact: the same rows come out on every
machine, with any number of threads.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

UNIT = 1_000_000
NEIGHBOURS = 24  # of each row in the graph; a sparse graph is near enough (Lindgren, Wu, Dimakis 2016)
FACILITY = 2 * UNIT  # to be the nearest exemplar of all of one's neighbours
QUOTA = 4 * UNIT  # to fill one place of a level that lacks rows: more than quality and likeness can outweigh
PAIR = UNIT // 4  # to meet one pair of levels that no chosen row has
_BLOCK = 1024
_CHECKPOINTS = 8
_FULL_DOT = 127 * 127

Ints = npt.NDArray[np.int64]


class Objective:
    """F and what is chosen so far. `worth` is (n,) int64 in units; `vectors` is (n, d) int8 or None."""

    def __init__(
        self,
        worth: Ints,
        vectors: npt.NDArray[np.int8] | None,
        levels: Mapping[str, Sequence[str]],
        quotas: Mapping[str, Mapping[str, int]],
        *,
        order_seed: int,
    ) -> None:
        self.count = len(worth)
        self.worth = worth
        self.levels = levels
        self.quotas = quotas
        self.tie_order = _tie_order(worth, vectors, levels, order_seed)
        self._served, self._likeness = _served_rows(vectors, self.count)
        self._best = np.zeros(self.count, np.int64)
        codes = {
            axis: {level: code for code, level in enumerate(dict.fromkeys(values))} for axis, values in levels.items()
        }
        self._axes = list(levels)
        self._codes = np.array([[codes[a][x] for x in levels[a]] for a in self._axes], np.int64).reshape(len(codes), -1)
        self._left = [np.array([quotas[axis].get(level, 0) for level in codes[axis]], np.int64) for axis in self._axes]
        self._pairs, total = _pair_codes(self._codes, [len(codes[axis]) for axis in self._axes])
        self._pair_met = np.zeros(total, np.bool_)

    def gain(self, row: int) -> int:
        """F(S + row) - F(S)."""
        return sum(self._terms(row))

    def _terms(self, row: int) -> tuple[int, int, int, int]:
        """The gain by term: quality, likeness, quotas, pairs."""
        nearer = self._likeness[row] - self._best[self._served[row]]
        quota = sum(QUOTA for left, code in zip(self._left, self._codes[:, row], strict=True) if left[code] > 0)
        pairs = int(np.count_nonzero(~self._pair_met[self._pairs[row]])) * PAIR
        return int(self.worth[row]), int(nearer[nearer > 0].sum()), quota, pairs

    def why(self, row: int) -> str:
        """The term that weighs most for `row` now, in words."""
        _, likeness, quota, pairs = self._terms(row)
        if quota:
            for axis, left, code in zip(self._axes, self._left, self._codes[:, row], strict=True):
                if left[code] > 0:
                    return f"fills {axis} = {self.levels[axis][row]}"
        if pairs > likeness:
            return "a combination not yet there"
        return "unlike what is there" if likeness > self.worth[row] else "quality"

    def take(self, row: int) -> None:
        served = self._served[row]
        self._best[served] = np.maximum(self._best[served], self._likeness[row])
        for left, code in zip(self._left, self._codes[:, row], strict=True):
            left[code] -= 1
        self._pair_met[self._pairs[row]] = True

    def bound(self, rows: Sequence[int], size: int) -> int:
        """Sum of the `size` largest gains among `rows` now: F(S) plus this is an upper bound on the optimum."""
        gains = sorted((self.gain(row) for row in rows), reverse=True)
        return sum(gains[:size])

    def fresh(self) -> Objective:
        """The same objective with nothing chosen (the graph is shared, not copied)."""
        other = object.__new__(Objective)
        other.__dict__.update(self.__dict__)
        other._best = np.zeros_like(self._best)
        other._left = [
            np.array([self.quotas[axis].get(level, 0) for level in dict.fromkeys(self.levels[axis])], np.int64)
            for axis in self._axes
        ]
        other._pair_met = np.zeros_like(self._pair_met)
        return other


class Caps:
    """Upper limits by column and value: a row that would pass one is skipped."""

    def __init__(self, rows: pl.DataFrame, caps: Mapping[str, float | Mapping[str, float]], size: int) -> None:
        self._values: dict[str, list[Any]] = {column: rows[column].to_list() for column in caps}
        self._caps = caps
        self._size = size
        self._counts: Counter[tuple[str, Any]] = Counter()

    def allows(self, row: int) -> bool:
        for column, values in self._values.items():
            cap = self._caps[column]
            limit = cap.get(values[row]) if isinstance(cap, Mapping) else cap
            if limit is not None and self._counts[column, values[row]] >= self._as_count(limit):
                return False
        return True

    def add(self, row: int, sign: int = 1) -> None:
        for column, values in self._values.items():
            self._counts[column, values[row]] += sign

    def _as_count(self, limit: float) -> int:
        return limit if isinstance(limit, int) else int(limit * self._size)


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
    order = objective.tie_order
    heap = [(-objective.gain(row), order[row], row, 0) for row in range(objective.count)]
    heapq.heapify(heap)
    chosen.upper_bound = sum(-gain for gain, *_ in heapq.nsmallest(size, heap))
    checkpoints = {size * part // _CHECKPOINTS for part in range(1, _CHECKPOINTS + 1)}
    while heap and len(chosen.rows) < size:
        negative, tie, row, stamp = heapq.heappop(heap)
        if not caps.allows(row):
            continue
        if stamp < len(chosen.rows):
            heapq.heappush(heap, (-objective.gain(row), tie, row, len(chosen.rows)))
            continue
        chosen.rows.append(row)
        chosen.gains.append(-negative)
        chosen.reasons.append(objective.why(row))
        chosen.value -= negative
        objective.take(row)
        caps.add(row)
        if len(chosen.rows) in checkpoints:
            bound = chosen.value + objective.bound([entry[2] for entry in heap], size)
            chosen.upper_bound = min(chosen.upper_bound, bound)
    return chosen


def swap_in(objective: Objective, chosen: Chosen, caps: Caps) -> None:
    """Exchanges rows for ones of levels that are still short, while that leaves no other level short.

    At most one exchange per chosen row. Those that come in stand at the end of the order; value and gains
    are counted anew.
    """
    counts = {axis: Counter(values[row] for row in chosen.rows) for axis, values in objective.levels.items()}
    inside = set(chosen.rows)
    swapped: dict[int, str] = {}
    for _ in range(len(chosen.rows)):
        pair = _exchange(objective, counts, chosen.rows, inside, caps)
        if pair is None:
            break
        out, new, reason = pair
        for axis, values in objective.levels.items():
            counts[axis][values[out]] -= 1
            counts[axis][values[new]] += 1
        inside.symmetric_difference_update((out, new))
        caps.add(new)
        swapped.pop(out, None)
        swapped[new] = reason
        chosen.rows.remove(out)
        chosen.rows.append(new)
    if swapped:
        _recount(objective.fresh(), chosen, swapped)


def _exchange(
    objective: Objective,
    counts: Mapping[str, Counter[str]],
    rows: Sequence[int],
    inside: set[int],
    caps: Caps,
) -> tuple[int, int, str] | None:
    """(row out, row in, reason) that makes the shortest level less short, or None."""
    short = [
        (wanted - counts[axis][level], axis, level)
        for axis, quota in objective.quotas.items()
        for level, wanted in quota.items()
        if counts[axis][level] < wanted
    ]
    for _, axis, level in sorted(short, key=lambda s: (-s[0], s[1], s[2])):
        coming = [r for r, x in enumerate(objective.levels[axis]) if x == level and r not in inside]
        coming.sort(key=lambda r: (-int(objective.worth[r]), objective.tie_order[r]))
        for new in coming:
            for out in sorted(rows, key=lambda r: (int(objective.worth[r]), objective.tie_order[r])):
                if _harmless(objective, counts, out, new) and _capped(caps, out, new):
                    return out, new, f"exchanged in for {axis} = {level}"
    return None


def _harmless(objective: Objective, counts: Mapping[str, Counter[str]], out: int, new: int) -> bool:
    """Whether no level that `out` leaves would fall below its quota."""
    return all(
        values[out] == values[new] or counts[axis][values[out]] > objective.quotas[axis].get(values[out], 0)
        for axis, values in objective.levels.items()
    )


def _capped(caps: Caps, out: int, new: int) -> bool:
    """Whether `new` may come in once `out` is gone; leaves the caps without `out` if so."""
    caps.add(out, -1)
    if caps.allows(new):
        return True
    caps.add(out)
    return False


def _recount(objective: Objective, chosen: Chosen, swapped: Mapping[int, str]) -> None:
    chosen.gains, chosen.value, reasons = [], 0, dict(zip(chosen.rows, chosen.reasons, strict=False))
    chosen.reasons = []
    for row in chosen.rows:
        gain = objective.gain(row)
        chosen.reasons.append(swapped.get(row) or reasons.get(row) or objective.why(row))
        objective.take(row)
        chosen.gains.append(gain)
        chosen.value += gain


def _tie_order(
    worth: Ints, vectors: npt.NDArray[np.int8] | None, levels: Mapping[str, Sequence[str]], seed: int
) -> list[int]:
    """A place for each row that depends on its content and the seed, so that row order decides nothing."""
    keys = []
    for row in range(len(worth)):
        digest = blake2b(f"{seed}|{worth[row]}".encode(), digest_size=8)
        if vectors is not None:
            digest.update(vectors[row].tobytes())
        for values in levels.values():
            digest.update(f"|{values[row]}".encode("utf-8", "replace"))
        keys.append((digest.digest(), row))
    places = [0] * len(keys)
    for place, (_, row) in enumerate(sorted(keys)):
        places[row] = place
    return places


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
    """(n, k) rows with the largest dot product with each row (itself among them), and those products.

    Exact, block by block. Products of int8 over at most 1,024 dimensions stay below 2^24, so float32
    multiplies them exactly in any order; ties go to the lower row.
    """
    count = len(vectors)
    real = vectors.astype(np.float32)
    places = np.arange(count, dtype=np.int64)
    near = np.empty((count, k), np.int64)
    dots = np.empty((count, k), np.int64)
    for start in range(0, count, _BLOCK):
        block = (real[start : start + _BLOCK] @ real.T).astype(np.int64)
        keys = block * count - places  # all different, so the k largest are one definite set
        top = np.argpartition(-keys, k - 1, axis=1)[:, :k]
        near[start : start + _BLOCK] = top
        dots[start : start + _BLOCK] = np.take_along_axis(block, top, axis=1)
    return near, dots


def _pair_codes(codes: Ints, sizes: Sequence[int]) -> tuple[Ints, int]:
    """((n, pairs of axes) index of each row's pairs of levels in one flat table, the table's length)."""
    parts, start = [], 0
    for a, b in combinations(range(len(sizes)), 2):
        parts.append(start + codes[a] * sizes[b] + codes[b])
        start += sizes[a] * sizes[b]
    count = codes.shape[1] if len(sizes) else 0
    table = np.stack(parts, axis=1) if parts else np.zeros((count, 0), np.int64)
    return table, start
