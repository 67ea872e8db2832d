"""judgements → selection: choose the exemplars, good ones, unlike each other, with every quota served.

Needs all rows. One monotone submodular objective in whole numbers (quality, facility location over a kNN
graph, saturating quotas, new pairs and triples of levels), filled by lazy greedy, so that 1 - 1/e of the optimum is
guaranteed (Nemhauser, Wolsey, Fisher 1978) and the order makes every prefix a good smaller set. A linear
programme beforehand says which quotas cannot be met, and what one more row of each level would be worth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from thousandfold.filters.embed import embed

from .content import content_order, level_codes, unit_vectors
from .exchange import exchange
from .feasibility import feasible
from .greedy import Caps, fill
from .neighbours import Vectors
from .objective import UNIT, Ints, Objective
from .recipe import Recipe
from .selection_checks import Quotas, check_columns, check_limits, check_quality, check_shapes
from .tables import SELECTION, frame, said_by
from .tics import CAPPED, FAMILIES, families_in_the_way, family_caps, with_families

SHORTFALLS = {"axis": pl.String, "level": pl.String, "wanted": pl.Int64, "got": pl.Int64}
PRICES = {"axis": pl.String, "level": pl.String, "price": pl.Float64}


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
    column and level; new pairs and triples of levels are counted over their columns (of more than ten, pairs). `caps`
    are upper limits by column, for each of its values or by value: an int is a count, a float a share of `size`, and
    a null is no value; with caps in force the guarantee of greedy is 1 / (1 + their number). With fewer candidates
    than asked for, all are returned; `.shortfalls` says what is missing. Equal gains go by a hash of the row and
    `seed`: the order of rows decides nothing.

    Raises RecipeError for unknown columns, values of the wrong kind, and quotas that sum past `size`.
    """
    quotas, caps = {} if quotas is None else quotas, {} if caps is None else caps
    check_shapes(frame, quotas, caps, seed)
    quotas = {axis: {_name(level): count for level, count in counts.items()} for axis, counts in quotas.items()}
    likeness = {"text": [text], "embedding": [embedding]}
    check_columns(frame, {"quality": [quality], **likeness, "quotas": quotas, "caps": caps})
    check_quality(frame[quality])
    check_limits(size, quotas, caps)
    places = _selectable(frame, quality, seed)
    rows = frame[list(dict.fromkeys([quality, *quotas, *caps]))][places]
    worth = np.rint(rows[quality].cast(pl.Float64).to_numpy() * UNIT).astype(np.int64)
    coded = {axis: level_codes(rows[axis]) for axis in quotas}
    objective = Objective.of_codes(worth, _vectors(frame, places, text, embedding), coded, quotas)
    limits = Caps(rows, caps, size)
    plan = feasible(worth / UNIT, coded, quotas, min(size, rows.height))
    chosen = fill(objective, min(size, rows.height), limits)
    exchange(objective, chosen, limits, possible=plan.missing)
    return Selection(
        frame=frame[places[np.array(chosen.rows, np.int64)]].with_columns(
            gain=pl.Series(chosen.gains, dtype=pl.Float64) / UNIT,
            reason=pl.Series(chosen.reasons, dtype=pl.String),
        ),
        certificate=chosen.certificate,
        objective=chosen.value / UNIT,
        shortfalls=_shortfalls(objective, quotas, chosen.rows),
        prices=pl.DataFrame(plan.prices, schema=PRICES, orient="row"),
    )


def _name(level: object) -> str:
    """As polars writes it."""
    return str(level).lower() if isinstance(level, bool) else str(level)


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


def _selectable(frame: pl.DataFrame, quality: str, seed: int) -> Ints:
    """The rows that may be chosen, in an order that their content and the seed decide."""
    able = frame[quality].cast(pl.Float64).is_not_nan().fill_null(False).to_numpy().nonzero()[0]
    rows = frame if len(able) == frame.height else frame[able]
    return able[content_order(rows, seed)]


def _vectors(frame: pl.DataFrame, places: Ints, text: str | None, embedding: str | None) -> Vectors | None:
    if text is not None:
        return embed(frame[text][places].cast(pl.String).to_list())
    if embedding is None or not len(places):
        return None
    column = frame[embedding]
    if len(places) == frame.height:
        return unit_vectors(column)[places]
    return unit_vectors(column[places])


def _shortfalls(objective: Objective, quotas: Quotas, chosen: list[int]) -> pl.DataFrame:
    missing = []
    for axis, known, codes in zip(objective.axes, objective.levels, objective.codes, strict=True):
        counts = np.bincount(codes[chosen], minlength=len(known)).tolist()
        got = dict(zip(known, counts, strict=True))
        missing += [(axis, level, n, got.get(level, 0)) for level, n in quotas[axis].items() if got.get(level, 0) < n]
    return pl.DataFrame(missing, schema=SHORTFALLS, orient="row")
