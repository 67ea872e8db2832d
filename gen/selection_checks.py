"""What `select` was asked, looked at before anything is chosen: one clear sentence where it cannot be meant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Integral, Real

import polars as pl

from .errors import RecipeError

Quotas = Mapping[str, Mapping[str, int]]
CapsByColumn = Mapping[str, float | Mapping[str, float]]


def check_shapes(frame: object, quotas: object, caps: object, seed: object) -> None:
    """Raises RecipeError where an argument is not of the kind that the others are read from."""
    if not isinstance(frame, pl.DataFrame):
        raise RecipeError(
            what=f"frame is a {type(frame).__name__}",
            why="rows of a polars DataFrame are chosen",
            do="collect a lazy frame first; make a frame of anything else",
        )
    for name, given, form in (
        ("quotas", quotas, '{"domain": {"law": 40}}'),
        ("caps", caps, '{"opening": 0.05, "teacher": {"a": 600}}'),
    ):
        inner = given.values() if isinstance(given, Mapping) and name == "quotas" else ()
        if not isinstance(given, Mapping) or not all(isinstance(own, Mapping) for own in inner):
            raise RecipeError(
                what=f"{name} is {given!r:.80}",
                why="a number belongs to a column, or to one of its values",
                do=f"write {name}={form}",
            )
    if isinstance(seed, bool) or not isinstance(seed, Integral):
        raise RecipeError(what=f"seed is {seed!r}", why="it decides among equal gains", do="give a whole number")


def check_columns(frame: pl.DataFrame, named: Mapping[str, Iterable[str | None]]) -> None:
    """`named` maps an argument to the columns that it names."""
    for role, columns in named.items():
        for column in columns:
            if column is not None and column not in frame.columns:
                raise RecipeError(
                    what=f"{role} names the column {column!r}, which the frame does not have",
                    why="rows are chosen by what stands in it",
                    do=f"use one of {', '.join(frame.columns)}",
                )
            if column is not None and role != "embedding" and frame[column].dtype.is_nested():
                raise RecipeError(
                    what=f"{role} names the column {column!r} of type {frame[column].dtype}",
                    why="it should hold one value in each row",
                    do="take the value out into a column of its own",
                )
    text, embedding = (next(iter(named[role])) for role in ("text", "embedding"))
    if text is not None and embedding is not None:
        raise RecipeError(
            what=f"both text = {text!r} and embedding = {embedding!r} are given",
            why="likeness is measured on one of them",
            do="give one",
        )


def check_quality(column: pl.Series) -> None:
    if not column.dtype.is_numeric() and column.dtype != pl.Null:
        raise RecipeError(
            what=f"quality names the column {column.name!r} of type {column.dtype}",
            why="quality is a number in [0, 1]",
            do="cast or score the column first",
        )
    values = column.cast(pl.Float64).drop_nulls().drop_nans().to_numpy()
    if len(values) and not (values.min() >= 0 and values.max() <= 1):
        raise RecipeError(
            what=f"quality ranges from {values.min():g} to {values.max():g} in {column.name!r}",
            why="the weights of the objective hold for quality in [0, 1]",
            do="scale the column to [0, 1]",
        )


def check_limits(size: int, quotas: Quotas, caps: CapsByColumn) -> None:
    if not _is_whole(size) or size < 1:
        raise RecipeError(
            what=f"size = {size!r}", why="a selection holds a whole number of rows", do="give a size of 1 or more"
        )
    for axis, wanted in quotas.items():
        for level, count in wanted.items():
            if not _is_whole(count) or count < 0:
                raise RecipeError(
                    what=f"the quota of {axis} = {level!r} is {count!r}",
                    why="a quota is a least number of rows",
                    do="give a whole number, 0 or more",
                )
        total = sum(wanted.values())
        if total > size:
            raise RecipeError(
                what=f"the quotas of {axis!r} sum to {total}, past the size {size}",
                why="each row has one level, so they cannot all be met",
                do=f"lower them to {size} in all, or ask for a size of {total}",
            )
    for column, cap in caps.items():
        for limit in cap.values() if isinstance(cap, Mapping) else [cap]:
            is_number = isinstance(limit, Real) and not isinstance(limit, bool)
            if not is_number or not (limit >= 0 if isinstance(limit, Integral) else 0 <= limit <= 1):
                raise RecipeError(
                    what=f"the cap of {column!r} is {limit!r}",
                    why="a cap is a number of rows, or a share of the size",
                    do="give a whole number, 0 or more, or a share from 0.0 to 1.0",
                )
    _check_that_they_agree(size, quotas, caps)


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _check_that_they_agree(size: int, quotas: Quotas, caps: CapsByColumn) -> None:
    """A quota and a cap of one level must leave a number between them."""
    for column, cap in caps.items():
        for level, count in quotas.get(column, {}).items():
            named = {str(value): most for value, most in cap.items()} if isinstance(cap, Mapping) else None
            limit = cap if named is None else named.get(level)
            if limit is None:
                continue
            most = int(limit) if isinstance(limit, Integral) else int(float(str(limit)) * size + 1e-9)
            if count > most:
                raise RecipeError(
                    what=f"the quota of {column} = {level!r} is {count}, and its cap is {most}",
                    why="no selection can hold both",
                    do=f"lower the quota to {most}, or raise the cap to {count}",
                )
