"""people's conversations → contexts, drafts and verdicts: they come into the pool before anything is written for it.

Each is a draft of a context of its own, of the levels that were given with it. The filters that judge a teacher's
drafts judge these, and two checks are theirs alone: by their levels, and by lineage with the held-out seeds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import polars as pl

from .lineages import lineages
from .recipe import Recipe
from .tables import BY_PEOPLE, DRAFTS, VERDICTS, contexts_schema, frame, tagged_id
from .verdicts import Closed, Sources, give_verdicts

STAND_IN = "rehearsal-judge"
LEVELS_FILTER = "levels"
"""The filter of a verdict on the levels that were given: `sealed_levels` are for held-out prompts, and a context of
`forbidden_levels` is never planned."""


def contexts_of(people: pl.DataFrame, seeds: pl.DataFrame, recipe: Recipe) -> pl.DataFrame:
    """A CONTEXTS row for each of `people`, in their order: `split` train, `set` people, and the levels that are known.

    `seed_id` is the held-out seed that the conversation is a near-copy of, so that it is dropped by its lineage; of
    all others their own id: each is its own lineage.
    """
    sealed = seeds.filter(pl.col("split") == "heldout")
    first = lineages([*sealed["messages"].to_list(), *people["messages"].to_list()])[sealed.height :]
    ancestors = [
        sealed["lineage"][root] if root < sealed.height else own for root, own in zip(first, people["id"], strict=True)
    ]
    axes = list(recipe.axes)
    rows = [
        {"id": context_of(row["id"]), "seed_id": ancestor, "split": "train", "set": BY_PEOPLE}
        | {"position": position, "repeat": 0, **{axis: row[axis] for axis in axes}}
        for position, (row, ancestor) in enumerate(zip(people.iter_rows(named=True), ancestors, strict=True))
    ]
    return frame(rows, contexts_schema(axes))


def context_of(draft_id: str) -> str:
    return tagged_id("c", BY_PEOPLE, draft_id)


def drafts_of(people: pl.DataFrame) -> pl.DataFrame:
    """A DRAFTS row for each of `people`, in their order. Nobody was asked for it, so it has no ask, no teacher."""
    nothing = dict.fromkeys(DRAFTS)
    rows = (
        nothing
        | {name: row[name] for name in ("id", "messages", "because")}
        | {"context_id": context_of(row["id"]), "draw": 0, "round": 0, "scenario": ""}
        for row in people.iter_rows(named=True)
    )
    return frame(rows, DRAFTS)


def verdicts_of(
    drafts: pl.DataFrame, contexts: pl.DataFrame, recipe: Recipe, closed: Closed
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(VERDICTS frame, form scores) as `give_verdicts` gives them, the verdict on levels first."""
    rows = drafts.join(contexts.rename({"id": "context_id"}), on="context_id", maintain_order="left")
    by_levels = _level_verdicts(rows, recipe)
    left = rows.filter(by_levels["kept"])
    verdicts, scores = give_verdicts(left, Sources({}, {}), recipe, closed)
    return pl.concat([by_levels, verdicts]), scores


def _level_verdicts(rows: pl.DataFrame, recipe: Recipe) -> pl.DataFrame:
    """Measured: how many sealed levels and combinations (else forbidden ones) it has; the limit is none."""
    heldout = [*recipe.withheld, *recipe.settings.heldout.control]
    sealed: list[Mapping[str, str]] = [{axis: level} for axis in recipe.axes for level in recipe.sealed_of(axis)]
    shut = _how_many(rows, [*sealed, *heldout])
    forbidden = _how_many(rows, list(recipe.settings.contexts.forbid))
    found = rows.select("id").with_columns(shut.alias("shut"), forbidden.alias("forbidden"))
    of_shut = pl.when(pl.col("shut") > 0).then(pl.lit("sealed_levels"))
    reason = of_shut.when(pl.col("forbidden") > 0).then(pl.lit("forbidden_levels"))
    named = {"filter": pl.lit(LEVELS_FILTER), "kept": reason.is_null(), "reason": reason}
    measured = pl.when(pl.col("shut") > 0).then("shut").otherwise("forbidden").cast(pl.Float64)
    twin = pl.lit(None, pl.String)
    return found.with_columns(**named, measured=measured, limit=pl.lit(0.0), twin=twin).select(list(VERDICTS))


def _how_many(rows: pl.DataFrame, partials: Sequence[Mapping[str, str]]) -> pl.Series:
    """Of each row how many of the partial combinations it holds; a level that is not known holds none."""
    holds = [
        pl.all_horizontal([pl.col(axis).eq_missing(pl.lit(level)) for axis, level in partial.items()]).cast(pl.UInt32)
        for partial in partials
    ]
    return rows.select(pl.sum_horizontal(holds) if holds else pl.repeat(0, pl.len(), dtype=pl.UInt32)).to_series()


def without_the_stand_in(judgements: pl.DataFrame, family: str) -> pl.DataFrame:
    """What rehearsal's judge could not read is unjudged: it knows its own sentences only, and nobody else judged.

    Of any other `family` the judgements stay as they are: unscored is not unjudged.
    """
    if family != STAND_IN:
        return judgements
    unread = pl.col("state") == "unscored"
    reason = pl.lit("rehearsal's stand-in judge reads rehearsal's text only, so nobody judged this one")
    return judgements.with_columns(
        state=pl.when(unread).then(pl.lit("unjudged")).otherwise("state"),
        reason=pl.when(unread).then(reason).otherwise("reason"),
    )


def sealed_unknown(people: pl.DataFrame, recipe: Recipe) -> dict[str, int]:
    """axis with sealed levels -> how many conversations do not say their level of it, and may be of a sealed one."""
    counts = {axis: people[axis].null_count() for axis in recipe.axes if recipe.sealed_of(axis)}
    return {axis: count for axis, count in counts.items() if count}


def told(people: pl.DataFrame, verdicts: pl.DataFrame, pool: pl.DataFrame, recipe: Recipe) -> list[str]:
    """What came of them, and what is not known of them, in words for whoever brought them."""
    dropped = Counter(verdicts.filter(~pl.col("kept"))["reason"])
    words = ", ".join(f"{reason} {count}" for reason, count in dropped.most_common())
    lines = [
        f"people: {people.height} conversations, {dropped.total()} dropped" + (f" ({words})" if words else "")
        + f", {pool.height} in the pool"
    ]  # fmt: skip
    for axis, count in sealed_unknown(people, recipe).items():
        sealed = recipe.sealed_of(axis)
        are = "is" if len(sealed) == 1 else "are"
        lines.append(
            f"people: {count} do not say their {axis}, of which {', '.join(sealed)} {are} sealed: "
            "whether one of them shows what is sealed is not known"
        )
    return lines
