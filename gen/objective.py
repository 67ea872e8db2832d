"""What a set of rows is worth: one monotone submodular objective in whole numbers.

F(S) = quality + facility location over a kNN graph + saturating quotas + pairs and triples of levels met, each
scaled to about one unit of quality per row. Whole numbers make gains exact: the same rows come out on every
machine, with any number of threads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from itertools import combinations
from math import comb
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .neighbours import nearest

UNIT = 1_000_000
NEIGHBOURS = 24  # of each row in the graph; a sparse graph is near enough (Lindgren, Wu, Dimakis 2016)
FACILITY = 2 * UNIT  # to be the nearest exemplar of all of one's neighbours
QUOTA = 4 * UNIT  # to fill one place of a level that lacks rows: more than quality and likeness can outweigh
PAIR = UNIT // 4  # to meet one pair of levels that no chosen row has
TRIPLE = UNIT // 16
ALL_PAIRS = 8 * UNIT  # the most that the pairs of one row count together, of however many axes
MOST_TRIPLES = 120  # of ten axes; with more axes only pairs count
LARGEST_TABLE = 1 << 26  # pairs and triples that are kept track of; axes of very many levels are left out beyond
KEPT_PLACES = 1 << 20  # of rows' tuples in the tables, 8 MiB; beyond they are reckoned when asked for
_FULL_DOT = 127 * 127

Ints = npt.NDArray[np.int64]
Short = npt.NDArray[np.int32]


class Fixed(NamedTuple):
    """What never changes while rows are chosen; numba takes it as it is."""

    worth: Ints  # (n,)
    starts: Ints  # (n + 1,): the links of row i are those from starts[i] to starts[i + 1]
    served: Short  # (links,): the row that has i among its nearest
    likeness: Short  # (links,): what i is worth to it, at least 0
    codes: Short  # (n, axes): levels
    first_level: Ints  # (axes,): where the levels of an axis begin in `State.left`
    tuple_axes: Short  # (tuples, 3): the third is -1 for a pair
    tuple_sizes: Ints  # (tuples, 2): number of levels on the second and third axis
    tuple_start: Ints  # (tuples,): where its combinations begin in `State.met`
    tuple_worth: Ints  # (tuples,)
    quota: int


class State(NamedTuple):
    best: Short  # (n,): how like a row its nearest chosen row is
    left: Ints  # places of each level that still lack rows
    met: npt.NDArray[np.bool_]


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
        coded = {axis: coded_levels(values) for axis, values in levels.items()}
        self._prepare(worth, vectors, coded, quotas)

    @classmethod
    def of_codes(
        cls,
        worth: Ints,
        vectors: npt.NDArray[np.int8] | None,
        coded: Mapping[str, tuple[list[str | None], Short]],
        quotas: Mapping[str, Mapping[str, int]],
    ) -> Objective:
        """The same from (known levels, (n,) code of each row) by axis."""
        made = cls.__new__(cls)
        made._prepare(worth, vectors, coded, quotas)
        return made

    def _prepare(
        self,
        worth: Ints,
        vectors: npt.NDArray[np.int8] | None,
        coded: Mapping[str, tuple[list[str | None], Short]],
        quotas: Mapping[str, Mapping[str, int]],
    ) -> None:
        self.count = len(worth)
        self.worth = worth
        self.axes = list(coded)
        self.levels = [known for known, _ in coded.values()]
        self.codes = np.array([codes for _, codes in coded.values()], np.int32).reshape(len(coded), self.count)
        self.wanted = [
            np.array([quotas[axis].get(level, 0) if level is not None else 0 for level in known], np.int64)
            for axis, known in zip(self.axes, self.levels, strict=True)
        ]
        sizes = [len(known) for known in self.levels]
        axes, table_sizes, starts, worths, self._table = _tuples(sizes)
        self.fixed = Fixed(
            worth,
            *_links(vectors, self.count),
            np.ascontiguousarray(self.codes.T),
            np.cumsum([0, *sizes[:-1]])[: len(sizes)].astype(np.int64),
            axes,
            table_sizes,
            starts,
            worths,
            QUOTA,
        )
        few = self.count * len(axes) <= KEPT_PLACES
        self._known = self._tuples_of(self.fixed.codes) if few else None
        self._clear()

    def _clear(self) -> None:
        """Nothing is chosen."""
        self.state = State(
            np.zeros(self.count, np.int32),
            np.concatenate([*self.wanted, np.zeros(0, np.int64)]),
            np.zeros(self._table, np.bool_),
        )

    def gain(self, row: int) -> int:
        """F(S + row) - F(S)."""
        return sum(self.terms(row))

    def terms(self, row: int) -> tuple[int, int, int, int]:
        """The gain by term: quality, likeness, quotas, tuples of levels."""
        fixed, state = self.fixed, self.state
        links = slice(fixed.starts[row], fixed.starts[row + 1])
        nearer = fixed.likeness[links] - state.best[fixed.served[links]]
        quota = QUOTA * int(np.count_nonzero(state.left[fixed.first_level + fixed.codes[row]] > 0))
        tuples = int(fixed.tuple_worth[~state.met[self._places(row)]].sum())
        return int(self.worth[row]), int(nearer[nearer > 0].sum(dtype=np.int64)), quota, tuples

    def why(self, row: int) -> str:
        """The term that weighs most for `row` now, in words."""
        return self.reason(row, self.terms(row), self.state.left)

    def reason(self, row: int, terms: Sequence[int], left: Ints) -> str:
        """The same, from the gain by term and the places that were left when it was taken."""
        worth, likeness, quota, tuples = terms
        if quota:
            short = left[self.fixed.first_level + self.fixed.codes[row]] > 0
            axis = int(np.argmax(short))
            return f"fills {self.axes[axis]} = {self.levels[axis][self.fixed.codes[row, axis]]}"
        if tuples > likeness:
            return "a combination not yet there"
        return "unlike what is there" if likeness > worth else "quality"

    def take(self, row: int) -> None:
        fixed, state = self.fixed, self.state
        links = slice(fixed.starts[row], fixed.starts[row + 1])
        served = fixed.served[links]  # each row once, so that nothing is written twice
        state.best[served] = np.maximum(state.best[served], fixed.likeness[links])
        state.left[fixed.first_level + fixed.codes[row]] -= 1
        state.met[self._places(row)] = True

    def _places(self, row: int) -> Ints:
        """Where the row's tuples stand in `State.met`."""
        if self._known is None:
            known: Ints = self._tuples_of(self.fixed.codes[row : row + 1])[0]
        else:
            known = self._known[row]
        return known

    def _tuples_of(self, codes: Short) -> Ints:
        fixed, own = self.fixed, codes.astype(np.int64)
        axes = fixed.tuple_axes
        if not len(axes):
            return np.zeros((len(codes), 0), np.int64)
        place = own[:, axes[:, 0]] * fixed.tuple_sizes[:, 0] + own[:, axes[:, 1]]
        third = np.where(axes[:, 2] >= 0, own[:, axes[:, 2]], 0)
        found: Ints = fixed.tuple_start + place * fixed.tuple_sizes[:, 1] + third
        return found

    def fresh(self) -> Objective:
        """The same objective with nothing chosen (the graph is shared, not copied)."""
        other = copy(self)
        other._clear()
        return other


def coded_levels(values: Sequence[str | None]) -> tuple[list[str | None], Short]:
    """(known levels in order, a null first; the code of each value)."""
    known = sorted(set(values), key=lambda level: (level is not None, level))
    place = {level: code for code, level in enumerate(known)}
    return known, np.array([place[level] for level in values], np.int32)


def _links(vectors: npt.NDArray[np.int8] | None, count: int) -> tuple[Ints, Short, Short]:
    """For each row, the rows that have it among their nearest, and how like it they are (scaled, at least 0)."""
    if vectors is None:
        return np.zeros(count + 1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.int32)
    near, dots = nearest(vectors, min(NEIGHBOURS, count))
    width = near.shape[1]
    likeness = (np.maximum(dots, 0).astype(np.int64) * (FACILITY // _FULL_DOT) // max(1, width)).astype(np.int32)
    flat = near.ravel()
    order = np.argsort(flat, kind="stable")  # by the row that serves, then by the row that is served
    starts = np.zeros(count + 1, np.int64)
    np.cumsum(np.bincount(flat, minlength=count), out=starts[1:])
    return starts, (order // max(1, width)).astype(np.int32), likeness.ravel()[order]


def _tuples(sizes: Sequence[int]) -> tuple[Short, Ints, Ints, Ints, int]:
    """(axes, sizes, start, worth) of every pair and triple of axes, and the length of the table of all."""
    axes: list[tuple[int, int, int]] = []
    lengths: list[int] = []
    total = 0
    chosen = [(a, b, -1) for a, b in combinations(range(len(sizes)), 2)]
    if comb(len(sizes), 3) <= MOST_TRIPLES:
        chosen += combinations(range(len(sizes)), 3)
    for a, b, c in chosen:
        length = sizes[a] * sizes[b] * (sizes[c] if c >= 0 else 1)
        if total + length <= LARGEST_TABLE:
            total += length
            axes.append((a, b, c))
            lengths.append(length)
    pair = min(PAIR, ALL_PAIRS // max(1, comb(len(sizes), 2)))
    return (
        np.array(axes, np.int32).reshape(-1, 3),
        np.array([(sizes[b], sizes[c] if c >= 0 else 1) for _, b, c in axes], np.int64).reshape(-1, 2),
        np.cumsum([0, *lengths])[:-1].astype(np.int64),
        np.array([pair if c < 0 else TRIPLE for *_, c in axes], np.int64),
        total,
    )
