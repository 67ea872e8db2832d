"""judgements → selection: choose the exemplars, good ones, unlike each other, with every quota served.

Needs all rows. One monotone submodular objective in whole numbers (quality, facility location over a kNN
graph, saturating quotas, new pairs of levels), filled by lazy greedy, so that 1 - 1/e of the optimum is
guaranteed (Nemhauser, Wolsey, Fisher 1978) and the order makes every prefix a good smaller set. A linear
programme beforehand says which quotas cannot be met, and what one more row of each level would be worth.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from numbers import Integral

import numpy as np
import numpy.typing as npt
import polars as pl

from thousandfold.filters.embed import SCALE, embed

from .errors import RecipeError
from .feasibility import level_prices
from .greedy import Caps, Objective, fill, swap_in
from .recipe import Recipe
from .tables import SELECTION, frame, said_by
from .tics import CAPPED, FAMILIES, families_in_the_way, family_caps, with_families

QUALITY_UNIT = 1_000_000
"""Quality 1.0 as a whole number; the other terms are on the same scale."""

SHORTFALLS = {"axis": pl.String, "level": pl.String, "wanted": pl.Int64, "got": pl.Int64}
PRICES = {"axis": pl.String, "level": pl.String, "price": pl.Float64}

Quotas = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True)
class Selection:
    """Rows in greedy order, and what is proven about them.

    frame        all input columns plus `gain` (marginal, in units of quality 1.0) and `reason`
    certificate  in [0, 1]: the objective of the selection over a proven upper bound on the optimum
    objective    of the selection, in units of quality 1.0
    shortfalls   `axis, level, wanted, got` of every quota that is not met
    prices       `axis, level, price`: dual price of each quota in the linear programme (0: not binding)
    capped       of a release's exemplars, `family, value, limit, left_out`: the full families of openings and closings
                 for which places stayed empty; else no row
    """

    frame: pl.DataFrame
    certificate: float
    objective: float
    shortfalls: pl.DataFrame
    prices: pl.DataFrame
    capped: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=CAPPED))

    def table(self, pool: pl.DataFrame) -> pl.DataFrame:
        """A SELECTION row for every row of `pool` (`id`), the ones that were not chosen too."""
        chosen = {
            row["id"]: (rank, row["gain"], row["reason"])
            for rank, row in enumerate(self.frame.select("id", "gain", "reason").iter_rows(named=True))
        }
        none = (None, None, None)
        return frame(
            (
                {"id": i, "selected": i in chosen}
                | dict(zip(("rank", "gain", "reason"), chosen.get(i, none), strict=True))
                for i in pool["id"]
            ),
            SELECTION,
        )


def select(
    frame: pl.DataFrame,
    *,
    size: int,
    quality: str,
    text: str | None = None,
    embedding: str | None = None,
    quotas: Quotas | None = None,
    caps: Mapping[str, float | Mapping[str, float]] | None = None,
    seed: int = 0,
) -> Selection:
    """Up to `size` rows of `frame`, in greedy order.

    `quality` names a column in [0, 1]; null and NaN are not selectable. `text` names a column to embed, or
    `embedding` an Array/List column of numbers (rows are scaled to unit length). `quotas` are least counts by
    column and level. `caps` are upper limits by column, for each of its values or by value: an int is a
    count, a float a share of `size`, and a null is no value; with caps in force the guarantee of greedy is
    1 / (1 + their number). With fewer candidates than asked for, all are returned; `.shortfalls` says what is
    missing. Equal gains go by a hash of the row and `seed`: the order of rows decides nothing.

    Raises RecipeError for unknown columns, values of the wrong kind, and quotas that sum past `size`.
    """
    quotas = {axis: {str(level): count for level, count in counts.items()} for axis, counts in (quotas or {}).items()}
    caps = caps or {}
    likeness = {"text": [text], "embedding": [embedding]}
    _check_columns(frame, {"quality": [quality], **likeness, "quotas": quotas, "caps": caps})
    _check_quality(frame[quality])
    _check_limits(size, quotas, caps)
    rows = frame.filter(pl.col(quality).cast(pl.Float64).is_not_nan())  # of a null: null, which is dropped too
    rows = rows[_by_content(rows, seed)]
    vectors = _vectors(rows, text, embedding)
    worth = np.rint(rows[quality].cast(pl.Float64).to_numpy() * QUALITY_UNIT).astype(np.int64)
    levels = {axis: rows[axis].cast(pl.String).to_list() for axis in quotas}
    objective = Objective(worth, vectors, levels, quotas)
    limits = Caps(rows, caps, size)
    chosen = fill(objective, min(size, rows.height), limits)
    swap_in(objective, chosen, limits)
    prices = level_prices(worth / QUALITY_UNIT, levels, quotas, min(size, rows.height))
    return Selection(
        frame=rows[chosen.rows].with_columns(
            gain=pl.Series(chosen.gains, dtype=pl.Float64) / QUALITY_UNIT,
            reason=pl.Series(chosen.reasons, dtype=pl.String),
        ),
        certificate=chosen.certificate,
        objective=chosen.value / QUALITY_UNIT,
        shortfalls=_shortfalls(levels, quotas, chosen.rows),
        prices=pl.DataFrame(prices, schema=PRICES, orient="row"),
    )


def select_exemplars(pool: pl.DataFrame, recipe: Recipe) -> Selection:
    """The release's exemplars from the pool (`_quality`, `messages`, one column per axis).

    Openings and closings are capped as the recipe says; `.capped` names the families that left places empty.
    """
    settings = recipe.settings
    texts = said_by(pool, "assistant")
    rows = with_families(pool.with_columns(texts.alias("_answer")), texts)
    caps = family_caps(settings.selection, settings.size)
    chosen = select(
        rows,
        size=settings.size,
        quality="_quality",
        text="_answer",
        quotas=quota_targets(recipe),
        caps=caps,
        seed=settings.seed,
    )
    selectable = rows.filter(pl.col("_quality").is_not_null())
    return Selection(
        frame=chosen.frame.drop("_answer", *FAMILIES.values()),
        capped=families_in_the_way(selectable, chosen.frame, caps, size=settings.size),
        certificate=chosen.certificate,
        objective=chosen.objective,
        shortfalls=chosen.shortfalls,
        prices=chosen.prices,
    )


def quota_targets(recipe: Recipe) -> dict[str, dict[str, int]]:
    """axis -> level -> least count: as the recipe says, else `quota_share` of the level's even part."""
    settings = recipe.settings
    targets: dict[str, dict[str, int]] = {}
    for axis, levels in recipe.train_levels.items():
        own = settings.selection.quotas.get(axis, {})
        left = settings.size - sum(own.values())  # what the levels without a quota of their own share
        even = int(left * settings.selection.quota_share / max(1, len(levels) - len(own)))
        targets[axis] = {level: own.get(level, even) for level in levels}
    return targets


def _by_content(rows: pl.DataFrame, seed: int) -> list[int]:
    """The rows in an order that a hash of each row's content and the seed decides."""
    # polars writes no binary values and Python objects as JSON.
    told = sorted(name for name, dtype in rows.schema.items() if not re.search("Binary|Object", str(dtype)))
    keys = [
        blake2b(f"{seed}|{record}".encode(), digest_size=16).digest()
        for part in rows.select(told).iter_slices()
        for record in part.select(pl.struct(pl.all()).struct.json_encode()).to_series()
    ]
    return sorted(range(rows.height), key=keys.__getitem__)


def _vectors(rows: pl.DataFrame, text: str | None, embedding: str | None) -> npt.NDArray[np.int8] | None:
    if text is not None:
        return embed(rows[text].cast(pl.String).to_list())
    if embedding is None or not rows.height:
        return None
    given = _numbers(rows[embedding])
    lengths = np.sqrt((given * given).sum(axis=1, keepdims=True))
    unit = np.divide(given * SCALE, lengths, where=lengths > 0, out=np.zeros_like(given))
    scaled: npt.NDArray[np.int8] = np.rint(unit).astype(np.int8)
    return scaled


def _numbers(column: pl.Series) -> npt.NDArray[np.float64]:
    """(n, d) of an Array or List column of numbers, each row divided by its largest (so that squares are finite)."""
    name, dtype = column.name, column.dtype
    inner = dtype.inner if isinstance(dtype, pl.List | pl.Array) else None
    if not isinstance(inner, pl.DataType) or not inner.is_numeric():
        raise RecipeError(
            what=f"embedding names the column {name!r} of type {dtype}",
            why="an embedding is a list of numbers, as many in each row",
            do="give an Array or List column of numbers, or name a column of strings as text",
        )
    lists = column.cast(pl.List(pl.Float64))
    widths = lists.list.len().unique().to_list()
    if len(widths) != 1 or not widths[0]:
        raise RecipeError(
            what=f"the embedding {name!r} has rows of {', '.join(sorted(map(str, widths)))} numbers",
            why="an embedding is a list of numbers, as many in each row",
            do="embed every row with one model, and leave out rows that have none",
        )
    given: npt.NDArray[np.float64] = lists.list.to_array(widths[0]).to_numpy()
    if not np.isfinite(given).all():
        raise RecipeError(
            what=f"the embedding {name!r} has a row with a null, a NaN or an infinity",
            why="likeness to it cannot be measured",
            do="embed that row again, or leave it out",
        )
    largest = np.abs(given).max(axis=1, keepdims=True)
    divided: npt.NDArray[np.float64] = np.divide(given, largest, where=largest > 0, out=np.zeros_like(given))
    return divided


def _shortfalls(levels: Mapping[str, list[str]], quotas: Quotas, chosen: list[int]) -> pl.DataFrame:
    missing = []
    for axis, wanted in quotas.items():
        got = Counter(levels[axis][row] for row in chosen)
        missing += [(axis, level, n, got[level]) for level, n in wanted.items() if got[level] < n]
    return pl.DataFrame(missing, schema=SHORTFALLS, orient="row")


def _check_columns(frame: pl.DataFrame, named: Mapping[str, Iterable[str | None]]) -> None:
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


def _check_quality(column: pl.Series) -> None:
    if not column.dtype.is_numeric() and column.dtype != pl.Null:
        raise RecipeError(
            what=f"quality names the column {column.name!r} of type {column.dtype}",
            why="quality is a number in [0, 1]",
            do="cast or score the column first",
        )
    values = column.cast(pl.Float64).drop_nulls().drop_nans().to_list()
    if values and not (min(values) >= 0 and max(values) <= 1):
        raise RecipeError(
            what=f"quality ranges from {min(values):g} to {max(values):g} in {column.name!r}",
            why="the weights of the objective hold for quality in [0, 1]",
            do="scale the column to [0, 1]",
        )


def _check_limits(size: int, quotas: Quotas, caps: Mapping[str, float | Mapping[str, float]]) -> None:
    if not isinstance(size, Integral) or size < 1:
        raise RecipeError(
            what=f"size = {size!r}", why="a selection holds a whole number of rows", do="give a size of 1 or more"
        )
    for axis, wanted in quotas.items():
        for level, count in wanted.items():
            if not isinstance(count, Integral) or count < 0:
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
            if not (limit >= 0 if isinstance(limit, Integral) else 0 <= limit <= 1):
                raise RecipeError(
                    what=f"the cap of {column!r} is {limit!r}",
                    why="a cap is a number of rows, or a share of the size",
                    do="give a whole number, 0 or more, or a share from 0.0 to 1.0",
                )
