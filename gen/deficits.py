"""What is still short, cell by cell, and which contexts serve it best: shortfall x price / acceptance.

A cell is a level of an axis, or a pair of levels of two axes. Everything that decides here is a whole number or an
exact comparison of whole numbers, so that a replay decides the same on every machine.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from typing import Any, TypeAlias

import polars as pl

Level: TypeAlias = tuple[str, str]
"""(axis, level)."""

PRICE_UNIT = 1_000_000
"""A dual price of 1.0 as a whole number; the linear programme rounds prices to this."""
CHANCE = 1_000_000
"""A cell is given up only where its failures have a chance below 1 in so many at the others' rate. A plan of eight
axes has about 1,200 cells of two levels: a cell is then given up by mistake in one run of a thousand."""
SATURATED_SHARE = 20
"""Saturated: fewer than 1 in so many of the next drafts would bring a new idea (METHODS: missing mass under 5 %)."""
SATURATED_FROM = 40
"""Accepted drafts before a missing mass is believed: 5 % of fewer is less than two drafts."""

LEVELS: Mapping[str, type[pl.DataType]] = {
    "axis": pl.String,
    "level": pl.String,
    "tries": pl.UInt32,  # drafts of training whose context has the level
    "accepted": pl.UInt32,  # those that the selection may choose from
    "new_ideas": pl.UInt32,  # ideas that only one of the accepted has: Good and Turing's f1
}


@dataclass(frozen=True)
class GivenUp:
    """A cell in which every draft failed, too many for chance, and why they did."""

    cell: tuple[Level, ...]
    tries: int
    reasons: Mapping[str, int]

    def as_dict(self) -> dict[str, Any]:
        return {"cell": dict(self.cell), "tries": self.tries, "reasons": dict(self.reasons)}

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> GivenUp:
        return cls(tuple(told["cell"].items()), told["tries"], told["reasons"])

    @property
    def words(self) -> str:
        """`domain = law and facet = apology: 9 drafts, all dropped (cut_off 8, unreadable 1)`."""
        cell = " and ".join(f"{axis} = {level}" for axis, level in self.cell)
        reasons = ", ".join(f"{reason} {count}" for reason, count in self.reasons.items())
        return f"{cell}: {self.tries} drafts, all dropped ({reasons})"


@dataclass(frozen=True)
class Wanted:
    """How many more exemplars a level lacks, and what one more is worth to the selection."""

    axis: str
    level: str
    lacking: int
    price: float  # dual price of the quota, in units of quality 1.0


@dataclass(frozen=True)
class Tally:
    """What became of a run's drafts so far, by level and by cell.

    levels      LEVELS frame, one row for each level that was tried
    given_up    cells that get no more money because nothing comes of it
    saturated   levels that get no more money because nothing new comes of it
    """

    levels: pl.DataFrame
    given_up: Sequence[GivenUp] = ()
    saturated: frozenset[Level] = field(default_factory=frozenset)

    def as_dict(self) -> dict[str, Any]:
        return {
            "given_up": [gone.as_dict() for gone in self.given_up],
            "saturated": [{"axis": axis, "level": level} for axis, level in sorted(self.saturated)],
        }

    def needed(self, wanted: Wanted) -> int:
        """Contexts for what is lacking at the level's acceptance, optimistic: (accepted + 1) of (tries + 1)."""
        tries, accepted = self._counts.get((wanted.axis, wanted.level), (0, 0))
        return -(-wanted.lacking * (tries + 1) // (accepted + 1))

    @cached_property
    def _counts(self) -> dict[Level, tuple[int, int]]:
        return {(axis, level): (tries, accepted) for axis, level, tries, accepted, _ in self.levels.iter_rows()}

    def is_closed(self, axis: str, level: str) -> bool:
        """Whether the level as a whole gets no more money."""
        return self.state_of(axis, level) != "open"

    def state_of(self, axis: str, level: str) -> str:
        """open | given up | saturated"""
        if any(gone.cell == ((axis, level),) for gone in self.given_up):
            return "given up"
        return "saturated" if (axis, level) in self.saturated else "open"

    def missing_mass(self, axis: str, level: str) -> float | None:
        """Good and Turing's estimate f1 / n: the chance that the next accepted draft of the level brings a new idea."""
        row = self.levels.filter((pl.col("axis") == axis) & (pl.col("level") == level) & (pl.col("accepted") > 0))
        return row["new_ideas"][0] / row["accepted"][0] if row.height else None

    def open_among(self, contexts: pl.DataFrame) -> pl.DataFrame:
        """The rows of `contexts` (one column per axis) that lie in no closed cell."""
        if not self.given_up and not self.saturated:
            return contexts
        cells = [gone.cell for gone in self.given_up] + [(level,) for level in sorted(self.saturated)]
        inside = [pl.all_horizontal(pl.col(axis) == level for axis, level in cell) for cell in cells]
        return contexts.filter(~pl.any_horizontal(inside))


NOTHING_TRIED = Tally(pl.DataFrame(schema=dict(LEVELS)))


def tally(tries: pl.DataFrame, axes: Sequence[str], *, cell_cap: int) -> Tally:
    """What became of `tries`: one row per draft, a column per axis, and

    - `accepted` (Boolean): the selection may choose it;
    - `reason` (String): why not, null where accepted;
    - `idea` (any integer): drafts of one idea share a number; null where it was not accepted.

    `cell_cap` is the least number of failures after which a cell may be given up.
    """
    levels = _levels(tries, axes)
    enough = (pl.col("accepted") >= SATURATED_FROM) & (pl.col("new_ideas") * SATURATED_SHARE < pl.col("accepted"))
    saturated = frozenset(levels.filter(enough).select("axis", "level").iter_rows())
    return Tally(levels, _given_up(tries, axes, cell_cap), saturated)


def _levels(tries: pl.DataFrame, axes: Sequence[str]) -> pl.DataFrame:
    parts = []
    for axis in axes:
        counts = tries.group_by(level=axis).agg(tries=pl.len(), accepted=pl.col("accepted").sum())
        ideas = tries.filter("accepted").group_by(level=axis, idea="idea").len().filter(pl.col("len") == 1)
        alone = ideas.group_by("level").agg(new_ideas=pl.len())
        parts.append(counts.join(alone, on="level", how="left").select(axis=pl.lit(axis), **_as_counts()))
    return pl.concat(parts).sort("axis", "level") if parts else pl.DataFrame(schema=dict(LEVELS))


def _as_counts() -> dict[str, pl.Expr]:
    names = [name for name, dtype in LEVELS.items() if dtype == pl.UInt32]
    return {"level": pl.col("level")} | {name: pl.col(name).fill_null(0).cast(pl.UInt32) for name in names}


def _given_up(tries: pl.DataFrame, axes: Sequence[str], cell_cap: int) -> list[GivenUp]:
    """Failing levels, then failing pairs of levels that hold none of them; in the order of the axes."""
    all_tries, all_accepted = tries.height, int(tries["accepted"].sum())
    found: list[GivenUp] = []
    for width in (1, 2):
        known = {gone.cell for gone in found}
        for chosen in combinations(axes, width):
            counted = tries.group_by(chosen).agg(n=pl.len(), accepted=pl.col("accepted").sum(), reasons="reason")
            failed = counted.filter((pl.col("accepted") == 0) & (pl.col("n") >= cell_cap)).sort(chosen)
            for row in failed.iter_rows(named=True):
                cell = tuple((axis, row[axis]) for axis in chosen)
                if not any((level,) in known for level in cell) and _beyond_chance(row["n"], all_tries, all_accepted):
                    found.append(GivenUp(cell, row["n"], dict(Counter(row["reasons"]).most_common())))
    return found


def _beyond_chance(failures: int, all_tries: int, all_accepted: int) -> bool:
    """(share of failures among the other drafts) ** failures < 1 / CHANCE, in whole numbers."""
    others = all_tries - failures
    return others > 0 and CHANCE * (others - all_accepted) ** failures < others**failures


def choose_contexts(
    candidates: pl.DataFrame,
    count: int,
    *,
    wanted: Iterable[Wanted],
    so_far: Tally,
    met: pl.DataFrame,
    axes: Sequence[str],
    only_wanted: bool = False,
) -> pl.DataFrame:
    """Up to `count` of `candidates` (plan order, a column per axis), in plan order; none from a closed cell.

    A context is worth the sum, over its levels, of contexts still needed x price: shortfall x price / acceptance.
    Each one chosen takes one off what its levels need. Ties go to the context with more pairs of levels that no row
    of `met` has yet, and then to plan order, which is balanced. With `only_wanted`, none that serves no wanted level.
    """
    candidates = so_far.open_among(candidates)
    worth = _Worth(candidates, wanted, so_far, met, axes)
    # What a context is worth only shrinks as others are chosen, so its last known worth bounds it (lazy greedy).
    heap = [(*worth.of(row), row) for row in range(candidates.height)]
    heapq.heapify(heap)
    chosen: list[int] = []
    while heap and len(chosen) < count:
        quota, pairs, row = heap[0]
        if only_wanted and not quota:
            break
        now = worth.of(row)
        if now > (quota, pairs):
            heapq.heapreplace(heap, (*now, row))
            continue
        heapq.heappop(heap)
        chosen.append(row)
        worth.take(row)
    return candidates[sorted(chosen)]


class _Worth:
    """What each candidate is worth while others are chosen; negative, because heapq keeps the least on top."""

    def __init__(
        self, candidates: pl.DataFrame, wanted: Iterable[Wanted], so_far: Tally, met: pl.DataFrame, axes: Sequence[str]
    ) -> None:
        self._needed: Counter[Level] = Counter()
        self._price: dict[Level, int] = {}
        for want in wanted:
            self._needed[want.axis, want.level] = so_far.needed(want)
            self._price[want.axis, want.level] = round(want.price * PRICE_UNIT)
        self._met = {
            pair for row in met.select(axes).iter_rows() for pair in combinations(zip(axes, row, strict=True), 2)
        }
        self._rows = [tuple(zip(axes, row, strict=True)) for row in candidates.select(axes).iter_rows()]

    def of(self, row: int) -> tuple[int, int]:
        levels = self._rows[row]
        quota = sum(self._price.get(level, 0) * max(0, self._needed[level]) for level in levels)
        return -quota, -sum(pair not in self._met for pair in combinations(levels, 2))

    def take(self, row: int) -> None:
        self._needed.subtract(self._rows[row])
        self._met.update(combinations(self._rows[row], 2))


def _cells(rows: pl.DataFrame, axes: Sequence[str]) -> list[tuple[Level, ...]]:
    return [tuple(zip(axes, row, strict=True)) for row in rows.select(axes).iter_rows()]
