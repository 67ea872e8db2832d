"""axes and constraints, checked: which rows are allowed, and which partial rows can still be finished.

Exact: deciding it is a satisfiability search, made small by looking only at rules that have no way out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from math import prod
from typing import Self

import numpy as np
import numpy.typing as npt
import polars as pl

from .errors import RecipeError

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Forbid = Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class Space:
    """The axes, checked, and the constraints as a matrix: one rule a row, -1 where it does not name the axis."""

    names: tuple[str, ...]
    levels: tuple[tuple[str, ...], ...]
    sizes: Ints
    rules: Ints

    @classmethod
    def checked(cls, axes: Mapping[str, Sequence[str]], forbid: Forbid) -> Self:
        """Raises RecipeError for what cannot be read, and where a level can stand in no allowed row."""
        space = cls.unchecked(axes, forbid)
        space._check_satisfiable()
        return space

    @classmethod
    def unchecked(cls, axes: Mapping[str, Sequence[str]], forbid: Forbid) -> Self:
        """Some levels, or all rows, may be impossible."""
        levels = _checked_levels(axes)
        names = tuple(axes)
        if isinstance(forbid, (str, Mapping)) or not isinstance(forbid, Sequence):
            raise _no_constraint("forbid", forbid)
        rules = np.full((len(forbid), len(names)), -1, np.int64)
        for row, partial in enumerate(forbid):
            if not isinstance(partial, Mapping):
                raise _no_constraint(f"forbid[{row}]", partial)
            if not partial:
                raise RecipeError(
                    what=f"forbid[{row}] is empty",
                    why="a constraint that names no axis forbids every row",
                    do='name levels that exclude each other: {"facet": "honest apology", "fault": "none"}',
                )
            for axis, level in partial.items():
                column, code = position_of(names, levels, axis, level, f"forbid[{row}]")
                rules[row, column] = code
        return cls(names, levels, np.array([len(own) for own in levels], np.int64), rules)

    @property
    def width(self) -> int:
        return len(self.names)

    def _check_satisfiable(self) -> None:
        """Every level stands in some allowed row."""
        if completion(self.rules, self.sizes) is None:
            raise RecipeError(
                what=f"no row is allowed, because of {self._clash()}",
                why="a plan needs at least one combination of levels that no constraint forbids",
                do="drop or narrow one of these constraints",
            )
        for column in np.flatnonzero((self.rules >= 0).any(axis=0)).tolist():
            axis = self.names[column]
            for code, level in enumerate(self.levels[column]):
                if completion(_given(self.rules, column, code), self.sizes) is None:
                    raise RecipeError(
                        what=f"no allowed row can contain {axis} = {level!r}, because of {self._clash((column, code))}",
                        why="a level that can stand in no row can never be covered",
                        do=f"take {level!r} out of axes[{axis!r}], or drop or narrow one of these constraints",
                    )

    def _clash(self, given: tuple[int, int] | None = None) -> str:
        """The constraints, none of them superfluous, that together leave nothing: in words, at most five."""
        needed = list(range(len(self.rules)))
        for row in range(len(self.rules)):
            fewer = [kept for kept in needed if kept != row]
            rules = self.rules[fewer] if given is None else _given(self.rules[fewer], *given)
            if completion(rules, self.sizes) is None:
                needed = fewer
        shown = [f"forbid[{row}] ({self._words(self.rules[row])})" for row in needed[:5]]
        return ", ".join(shown) + (f" and {len(needed) - 5} more" if len(needed) > 5 else "")

    def _words(self, rule: Ints) -> str:
        named = np.flatnonzero(rule >= 0)
        return " with ".join(f"{self.names[axis]} = {self.levels[axis][rule[axis]]!r}" for axis in named)

    def codes(self, frame: pl.DataFrame, place: str, *, may_lack: bool = False) -> Ints:
        """rows x axes: the position of each level on its axis; with `may_lack`, -1 where it is null."""
        codes = np.empty((frame.height, self.width), np.int64)
        for column, (axis, levels) in enumerate(zip(self.names, self.levels, strict=True)):
            if axis not in frame.columns:
                raise RecipeError(
                    what=f"{place} has no column {axis!r}; its columns are {listed(frame.columns)}",
                    why="a row is counted by its level on every axis",
                    do=f"add the column {axis!r}, or leave that axis out",
                )
            own = frame[axis].cast(pl.String)
            found = own.replace_strict(list(levels), range(len(levels)), default=-1, return_dtype=pl.Int64)
            codes[:, column] = found.fill_null(-1).to_numpy()
            wrong = codes[:, column] < 0
            unknown = np.flatnonzero(wrong & own.is_not_null().to_numpy() if may_lack else wrong)
            if len(unknown):
                raise RecipeError(
                    what=f"{place} has {own[int(unknown[0])]!r} in row {unknown[0]} of column {axis!r}",
                    why="that is no level of the axis, so the row's tuples cannot be counted",
                    do=f"use one of {listed(levels)}, or add it to axes[{axis!r}]",
                )
        return codes

    def frame(self, codes: Ints) -> pl.DataFrame:
        named = zip(self.names, self.levels, codes.T, strict=True)
        return pl.DataFrame({axis: pl.Series(levels, dtype=pl.String).gather(own) for axis, levels, own in named})


def _given(rules: Ints, axis: int, level: int) -> Ints:
    """The rules that can still be broken once `axis` stands at `level`, with nothing left to say on that axis."""
    left = rules[(rules[:, axis] < 0) | (rules[:, axis] == level)]
    left[:, axis] = -1
    return np.asarray(left)


def completion(rules: Ints, sizes: Ints) -> dict[int, int] | None:
    """A level for each axis that matters, such that no rule is broken; None where there is none.

    Davis-Putnam-Logemann-Loveland: a level that no rule names is always safe; else try each level in turn.
    """
    offsets = np.cumsum(sizes) - sizes
    chosen: dict[int, int] = {}
    while len(rules):
        named = rules >= 0
        if not named.any(axis=1).all():
            return None
        seen = np.bincount((rules + offsets)[named], minlength=int(sizes.sum()))
        safe = named.any(axis=0) & (np.add.reduceat(seen > 0, offsets, dtype=np.int64) < sizes)
        if not safe.any():
            length = named.sum(axis=1)
            axis = int(named[length == length.min()].sum(axis=0).argmax())  # shortest rules first: they force most
            return _branch(rules, sizes, axis, seen[offsets[axis] : offsets[axis] + sizes[axis]], chosen)
        for axis in np.flatnonzero(safe).tolist():
            chosen[axis] = int(seen[offsets[axis] : offsets[axis] + sizes[axis]].argmin())
        rules = rules[~named[:, safe].any(axis=1)]
    return chosen


def _branch(rules: Ints, sizes: Ints, axis: int, seen: Ints, chosen: dict[int, int]) -> dict[int, int] | None:
    """Tries the levels of `axis`, the one in fewest rules first."""
    for level in np.argsort(seen, kind="stable").tolist():
        rest = completion(_given(rules, axis, level), sizes)
        if rest is not None:
            return chosen | {axis: level} | rest
    return None


class Feasible:
    """Which levels a partial row can take and still be finished. Every answer is remembered.

    A rule that names a still open axis which has a level that no rule at all names (a `spare` axis) can always
    be escaped there, so the search only ever sees the few rules that have no such way out.
    """

    def __init__(self, space: Space) -> None:
        self.sizes, self.rules = space.sizes, space.rules
        self.named = self.rules >= 0
        self.constrained: Bools = np.asarray(self.named.any(axis=0))
        distinct = np.array([len(set(own[own >= 0].tolist())) for own in self.rules.T])
        self.escapes = self.named & (distinct < self.sizes)
        self._levels: dict[tuple[int, bytes], Bools] = {}
        self._completable: dict[bytes, bool] = {}

    def alive(self, rows: int) -> Bools:
        """rows x rules: the rules that a row may still break; all of them before its first level."""
        return np.ones((rows, len(self.rules)), bool)

    def narrow(self, alive: Bools, axis: int, levels: Ints) -> None:
        """Takes out of `alive` the rules that the rows escape by their levels on `axis`."""
        if self.constrained[axis]:
            own = self.rules[:, axis]
            alive &= (own < 0) | (own == levels[:, None])

    def levels(self, alive: Bools, still_open: Bools, axis: int) -> Bools | None:
        """rows x levels of `axis`: can the row be finished with it? None where it always can."""
        if not self.constrained[axis]:
            return None
        later = still_open.copy()
        later[axis] = False
        risky = alive & ~(self.escapes & later).any(axis=1)
        if not risky.any():
            return None
        return np.stack([self.levels_of(axis, np.where(still_open, self.rules[row], -1)) for row in risky])

    def levels_of(self, axis: int, rules: Ints) -> Bools:
        """One flag per level of `axis`: can a row be finished of which only these rules can still be broken?"""
        key = axis, _digest(rules)
        if key not in self._levels:
            found = [self._can_finish(_given(rules, axis, level)) for level in range(int(self.sizes[axis]))]
            self._levels[key] = np.array(found)
        return self._levels[key]

    def _can_finish(self, rules: Ints) -> bool:
        key = _digest(rules)
        if key not in self._completable:
            self._completable[key] = completion(rules, self.sizes) is not None
        return self._completable[key]

    def possible(self, axes: Sequence[int]) -> Bools:
        """One flag per tuple of these axes, in row-major order: can it stand in an allowed row?"""
        members, shape = list(axes), self.sizes[list(axes)].tolist()
        still_open = np.ones(len(self.sizes), bool)
        still_open[members] = False
        stuck = ~(self.escapes & still_open).any(axis=1)
        if not stuck.any() or not self.constrained[members].any():
            return np.ones(prod(shape), bool)
        alive = self.alive(prod(shape)) & stuck
        for axis, levels in zip(members, np.indices(shape).reshape(len(shape), -1), strict=True):
            self.narrow(alive, axis, levels)
        _, first, which = np.unique(np.packbits(alive, axis=1), axis=0, return_index=True, return_inverse=True)
        found = [self._can_finish(np.where(still_open, self.rules[alive[row]], -1)) for row in first]
        return np.array(found)[which.ravel()]


def _digest(rules: Ints) -> bytes:
    """A key of 16 bytes: rules over many axes take kilobytes, and a plan can meet thousands of them."""
    return blake2b(rules.tobytes(), digest_size=16).digest()


def _no_constraint(place: str, found: object) -> RecipeError:
    return RecipeError(
        what=f"{place} is {found!r:.80}",
        why="constraints are a list of partial rows, each a mapping from axis to level",
        do='write them as forbid=[{"facet": "honest apology", "fault": "none"}]',
    )


def _checked_levels(axes: Mapping[str, Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    if not isinstance(axes, Mapping):
        raise RecipeError(
            what=f"axes is {axes!r:.80}",
            why="a plan needs to know the levels of each axis by its name",
            do='give a mapping such as {"domain": ["law", "health care"], "stakes": ["everyday", "serious"]}',
        )
    if not axes:
        raise RecipeError(
            what="axes is empty",
            why="a plan varies at least one axis",
            do='give axes such as {"domain": ["law", "health care"], "stakes": ["everyday", "serious"]}',
        )
    for axis, levels in axes.items():
        if not isinstance(axis, str):
            raise RecipeError(
                what=f"axes names an axis {axis!r}",
                why="axes become the columns of the plan, so each name must be a string",
                do=f"write {str(axis)!r}",
            )
        in_order = isinstance(levels, Sequence) and not isinstance(levels, str)  # a set has another order every time
        wrong = [level for level in levels if not isinstance(level, str)] if in_order else [levels]
        if wrong:
            raise RecipeError(
                what=f"axes[{axis!r}] holds {wrong[0]!r}, where a list of strings belongs",
                why="levels are written into the plan as they are, so each must be a string",
                do=f"write the levels of {axis!r} as a list of strings",
            )
        for name in (axis, *levels):
            if not name.isascii() and name.encode("utf-8", "ignore") != name.encode("utf-8", "surrogatepass"):
                raise RecipeError(
                    what=f"axes[{axis!r}] has {name!r}, which holds half a character (a lone surrogate)",
                    why="it cannot be written as text",
                    do="write the whole character",
                )
        if not levels:
            raise RecipeError(
                what=f"axes[{axis!r}] has no level",
                why="every row needs a level on every axis",
                do=f"give {axis!r} at least one level, or leave that axis out",
            )
        twice = [level for level, times in Counter(levels).items() if times > 1]
        if twice:
            raise RecipeError(
                what=f"axes[{axis!r}] has the level {twice[0]!r} twice",
                why="two levels of one name cannot be told apart in the rows",
                do=f"keep one {twice[0]!r}, or rename the other",
            )
    return tuple(tuple(levels) for levels in axes.values())


def position_of(
    names: Sequence[str], levels: Sequence[Sequence[str]], axis: str, level: str, place: str
) -> tuple[int, int]:
    """Column and code of a level that `place` names."""
    if axis not in names:
        raise RecipeError(
            what=f"{place} names the axis {axis!r}, which is not one of the axes",
            why="it would have no effect",
            do=f"use one of {listed(names)}, or add {axis!r} to axes",
        )
    column = names.index(axis)
    if level not in levels[column]:
        raise RecipeError(
            what=f"{place} names {axis} = {level!r}, but axes[{axis!r}] has no such level",
            why="it would have no effect",
            do=f"use one of {listed(levels[column])}, or add {level!r} to axes[{axis!r}]",
        )
    return column, levels[column].index(level)


def listed(words: Sequence[str], most: int = 12) -> str:
    return ", ".join(repr(word) for word in words[:most]) + (" …" if len(words) > most else "")
