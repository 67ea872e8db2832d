"""judgements → selection: choose the exemplars, good ones, unlike each other, with every quota served.

Needs all rows. One monotone submodular objective in whole numbers (quality, facility location over a kNN
graph, saturating quotas, new pairs of levels), filled by lazy greedy, so that 1 - 1/e of the optimum is
guaranteed (Nemhauser, Wolsey, Fisher 1978) and the order makes every prefix a good smaller set. A linear
programme beforehand says which quotas cannot be met, and what one more row of each level would be worth.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from thousandfold.filters.embed import embed

from .errors import RecipeError
from .feasibility import level_prices
from .greedy import Caps, Objective, fill, swap_in
from .recipe import Recipe
from .tables import SELECTION, frame

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
    """

    frame: pl.DataFrame
    certificate: float
    objective: float
    shortfalls: pl.DataFrame
    prices: pl.DataFrame

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
    count, a float a share of `size`; with caps in force the guarantee of greedy is 1 / (1 + their number).
    With fewer candidates than asked for, all are returned; `.shortfalls` says what is missing.

    Raises RecipeError for unknown columns, quality outside [0, 1], and quotas that sum past `size`.
    """
    quotas = quotas or {}
    _check_arguments(frame, size, quality, text, embedding, quotas, caps or {})
    selectable = pl.col(quality).is_not_null() & pl.col(quality).cast(pl.Float64).is_not_nan()
    rows = frame.filter(selectable)
    vectors = _vectors(rows, text, embedding)
    levels = {axis: rows[axis].cast(pl.String).to_list() for axis in quotas}
    worth = np.rint(rows[quality].cast(pl.Float64).to_numpy() * QUALITY_UNIT).astype(np.int64)
    objective = Objective(worth, vectors, levels, quotas, order_seed=seed)
    limits = Caps(rows, caps or {}, size)
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
    """The release's exemplars from the pool (`quality`, `messages`, one column per axis)."""
    answers = pl.col("messages").list.eval(
        pl.element().struct.field("content").filter(pl.element().struct.field("role") == "assistant")
    )
    rows = pool.with_columns(answer=answers.list.join("\n"))
    settings = recipe.settings
    chosen = select(
        rows, size=settings.size, quality="quality", text="answer", quotas=quota_targets(recipe), seed=settings.seed
    )
    return Selection(
        frame=chosen.frame.drop("answer"),
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
        even = int(settings.size * settings.selection.quota_share / len(levels))
        own = settings.selection.quotas.get(axis, {})
        targets[axis] = {level: own.get(level, even) for level in levels}
    return targets


def _vectors(rows: pl.DataFrame, text: str | None, embedding: str | None) -> npt.NDArray[np.int8] | None:
    if text is not None:
        return embed(rows[text].cast(pl.String).to_list())
    if embedding is None or not rows.height:
        return None
    given = np.stack([np.asarray(row, dtype=np.float64) for row in rows[embedding].to_list()])
    lengths = np.sqrt((given * given).sum(axis=1, keepdims=True))
    unit = np.divide(given * 127, lengths, where=lengths > 0, out=np.zeros_like(given))
    scaled: npt.NDArray[np.int8] = np.rint(unit).astype(np.int8)
    return scaled


def _shortfalls(levels: Mapping[str, list[str]], quotas: Quotas, chosen: list[int]) -> pl.DataFrame:
    missing = []
    for axis, wanted in quotas.items():
        got = Counter(levels[axis][row] for row in chosen)
        missing += [(axis, level, n, got[level]) for level, n in wanted.items() if got[level] < n]
    return pl.DataFrame(missing, schema=SHORTFALLS, orient="row")


def _check_arguments(
    frame: pl.DataFrame,
    size: int,
    quality: str,
    text: str | None,
    embedding: str | None,
    quotas: Quotas,
    caps: Mapping[str, Any],
) -> None:
    if size < 1:
        raise RecipeError(
            what=f"size = {size}", why="a selection holds at least one row", do="give a size of 1 or more"
        )
    named = {"quality": quality, "text": text, "embedding": embedding}
    for role, column in [*named.items(), *(("quotas", c) for c in quotas), *(("caps", c) for c in caps)]:
        if column is not None and column not in frame.columns:
            raise RecipeError(
                what=f"{role} names the column {column!r}, which the frame does not have",
                why="rows are chosen by what stands in it",
                do=f"use one of {', '.join(frame.columns)}",
            )
    if text is not None and embedding is not None:
        raise RecipeError(
            what=f"both text = {text!r} and embedding = {embedding!r} are given",
            why="likeness is measured on one of them",
            do="give one",
        )
    if not frame[quality].dtype.is_numeric():
        raise RecipeError(
            what=f"quality names the column {quality!r} of type {frame[quality].dtype}",
            why="quality is a number in [0, 1]",
            do="cast or score the column first",
        )
    values = frame[quality].cast(pl.Float64).drop_nulls().drop_nans().to_list()
    if values and not (min(values) >= 0 and max(values) <= 1):
        raise RecipeError(
            what=f"quality ranges from {min(values):g} to {max(values):g} in {quality!r}",
            why="the weights of the objective hold for quality in [0, 1]",
            do="scale the column to [0, 1]",
        )
    for axis, wanted in quotas.items():
        total = sum(wanted.values())
        if total > size:
            raise RecipeError(
                what=f"the quotas of {axis!r} sum to {total}, past the size {size}",
                why="each row has one level, so they cannot all be met",
                do=f"lower them to {size} in all, or ask for a size of {total}",
            )
