"""Where a data set stands, level by level: wanted and got, yield, what an accepted exemplar costs, what comes next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from thousandfold import filters

from .acceptance import FILTER as ACCEPTANCE
from .contexts import plan_contexts
from .deficits import GivenUp, Tally
from .ledger import Ledger
from .output import Output
from .pipeline import pool_wanted
from .recipe import Recipe, load
from .release import read_manifest, read_table
from .rounds import next_round
from .selection import quota_targets
from .state import State, tries_of, written

LEVELS = {
    "axis": pl.String,
    "level": pl.String,
    "wanted": pl.Int64,  # the level's quota; 0 where it is sealed
    "got": pl.Int64,  # selected
    "pool": pl.Int64,  # kept drafts that the selection could choose from
    "drafts": pl.Int64,  # written, not brought
    "people": pl.Int64,  # of the pool, those that people brought
    "yield": pl.Float64,  # what was written of the pool / drafts; null where nothing was drafted
    "usd_per_accepted": pl.Float64,  # null where nothing was accepted or a price is unknown
    "tokens_per_accepted": pl.Float64,
    "missing_mass": pl.Float64,  # Good and Turing's f1 / n over the ideas of the accepted drafts; null where none
    "state": pl.String,  # open | sealed | given up | saturated
    "next": pl.Int64,  # contexts of the next round with this level
}


@dataclass(frozen=True)
class Standing:
    """levels  LEVELS frame, in the recipe's order; given_up: cells that get no more money, with their reasons."""

    release: str
    levels: pl.DataFrame
    given_up: tuple[GivenUp, ...]

    def as_dict(self) -> dict[str, Any]:
        return {
            "release": self.release,
            "levels": self.levels.to_dicts(),
            "given_up": [gone.as_dict() for gone in self.given_up],
        }


def standing_of(output: Output) -> Standing:
    """Of the newest release, from its tables and the ledger; asks nothing and writes nothing.

    Raises OutputError where there is no release yet.
    """
    release = output.newest(why="coverage is read from the tables of the newest one")
    with output.ledger(read_only=True) as ledger:
        return _standing(release, ledger)


def _standing(release: Path, ledger: Ledger) -> Standing:
    recipe = _recipe_of(release)
    state = _state_of(release)
    following = next_round(
        state,
        recipe,
        pool_wanted=pool_wanted(recipe),
        longer=lambda count: plan_contexts(recipe, read_table(release, "seeds"), train=count, heldout=0),
    )
    selected = read_table(release, "selection").filter("selected")["id"]
    got = state.pool.filter(pl.col("id").is_in(selected.implode()))
    costs = _with_costs(tries_of(state), read_table(release, "drafts"), state.judgements, ledger)
    coming = following.contexts.filter(pl.col("split") == "train")
    rows = [
        _level(axis, level, recipe, following.so_far, got=got, pool=state.pool, costs=costs, coming=coming)
        for axis, levels in recipe.levels.items()
        for level in levels
    ]
    return Standing(release.name, pl.DataFrame(rows, schema=LEVELS), tuple(following.so_far.given_up))


def _level(
    axis: str,
    level: str,
    recipe: Recipe,
    so_far: Tally,
    *,
    got: pl.DataFrame,
    pool: pl.DataFrame,
    costs: pl.DataFrame,
    coming: pl.DataFrame,
) -> dict[str, Any]:
    is_level = pl.col(axis) == level
    here = pool.filter(is_level)
    tries, accepted = costs.filter(is_level), written(here).height
    usd, tokens = tries["microusd"], int(tries["tokens"].sum())
    known = accepted and not usd.null_count()
    return {
        "axis": axis,
        "level": level,
        "wanted": quota_targets(recipe)[axis].get(level, 0),
        "got": got.filter(is_level).height,
        "pool": here.height,
        "drafts": tries.height,
        "people": here.height - accepted,
        "yield": accepted / tries.height if tries.height else None,
        "usd_per_accepted": int(usd.sum()) / 1e6 / accepted if known else None,
        "tokens_per_accepted": tokens / accepted if accepted else None,
        "missing_mass": so_far.missing_mass(axis, level),
        "state": "sealed" if level not in recipe.train_levels[axis] else so_far.state_of(axis, level),
        "next": coming.filter(is_level).height,
    }


def _recipe_of(release: Path) -> Recipe:
    """The recipe as it was, with the size and seed that the run was given."""
    settings: Mapping[str, Any] = read_manifest(release)["settings"]
    return load(release / "recipe", {"size": settings["size"], "seed": settings["seed"]})


def _state_of(release: Path) -> State:
    drafts = read_table(release, "drafts")
    return State(
        contexts=read_table(release, "contexts"),
        drafts=drafts,
        # What labels did not let through counts as tried, as in a run: rounds end before anything is accepted.
        verdicts=read_table(release, "verdicts").filter(pl.col("filter") != ACCEPTANCE),
        judgements=read_table(release, "judgements"),
        form_scores=filters.form_scores(drafts),
        rounds=read_manifest(release)["rounds"],
    )


def _with_costs(tries: pl.DataFrame, drafts: pl.DataFrame, judgements: pl.DataFrame, ledger: Ledger) -> pl.DataFrame:
    """`tries` with `microusd` (null: unknown) and `tokens` of all that was asked for each draft."""
    written = drafts.select("id", ask=pl.concat_list("scenario_ask_id", "ask_id"))
    lists = [written, judgements.select("id", ask=_judging_asks(judgements))]
    if "earlier_ask_ids" in drafts.columns:  # as it is not in an old release
        lists.append(drafts.select("id", ask="earlier_ask_ids"))
    asked = pl.concat(lists).explode("ask").drop_nulls().unique()
    charges = ledger.charges(asked["ask"].to_list())
    told = pl.DataFrame(
        [(ask, charge.cost_microusd, charge.counted_tokens) for ask, charge in charges.items()],
        schema={"ask": pl.String, "microusd": pl.Int64, "tokens": pl.Int64},
        orient="row",
    )
    each = (
        asked.join(told, on="ask")
        .group_by("id")
        .agg(
            microusd=pl.when(pl.col("microusd").null_count() == 0).then(pl.col("microusd").sum()),
            tokens=pl.col("tokens").sum(),
        )
    )
    return tries.join(each, on="id", how="left").with_columns(pl.col("tokens").fill_null(0))


def _judging_asks(judgements: pl.DataFrame) -> pl.Expr:
    if "by_judge" not in judgements.columns:  # as it is not in an old release
        return pl.concat_list("level_ask_id", "evidence_ask_id")
    word = pl.element().struct
    levels = pl.col("by_judge").list.eval(word.field("level_ask_ids").explode())
    return levels.list.concat(pl.col("by_judge").list.eval(word.field("evidence_ask_id")))
