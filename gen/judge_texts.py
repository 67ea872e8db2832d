"""recipe → texts of which it is known how they differ: ladders, the same ones changed, controls, and labelled ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from .asking import Asker
from .contexts import plan_contexts
from .drafts import Novelty, write_drafts
from .frozen import freeze
from .labelbook import labels, text_sum
from .ladders import write_ladders
from .models import Models
from .output import Output
from .pipeline import filtered, heldout_wanted
from .recipe import Recipe
from .release import read_table
from .seeds import read_seeds
from .tables import MESSAGES
from .variations import Changed, Messages, as_markdown, padded, signed, stripped, stuffed
from .verdicts import Closed, kept_ids

LEAST_CONTEXTS = 61
SPARE = 1.3
"""Contexts planned for each that is wanted: some drafts are dropped, some replies cannot be read."""
USUAL_NAMES, OTHER_NAMES = "usual names", "other names"

CHANGES: Mapping[str, Callable[[Messages], Changed]] = {
    "padded": padded,
    "markdown": as_markdown,
    USUAL_NAMES: lambda messages: signed(messages, other=False),
    OTHER_NAMES: lambda messages: signed(messages, other=True),
}
"""Changes that change nothing of the value; both the genuine and the hollow answer are put to the judge in each."""


@dataclass
class Texts:
    """facet -> contexts, in order: each a mapping from kind (genuine, hollow, hollow padded, …) to a conversation.

    controls  facet -> conversations in which it is not called for
    labelled  frame `id, facet, who, level, messages`: what people said of texts that still stand as they read them
    """

    contexts: dict[str, list[dict[str, Messages]]] = field(default_factory=dict)
    ids: dict[str, list[str]] = field(default_factory=dict)  # of the genuine drafts
    controls: dict[str, list[Messages]] = field(default_factory=dict)
    labelled: pl.DataFrame = field(default_factory=pl.DataFrame)


async def gather(
    recipe: Recipe, facets: Sequence[str], count: int, models: Models, asker: Asker, output: Output
) -> Texts:
    """At most `count` contexts of each of `facets` with a genuine and a hollow answer, and what else there is.

    The drafts are those that a run would write first, so that it replays them; what its filters drop is no genuine one.
    """
    seeds = read_seeds(recipe)
    freeze(recipe, seeds, asker.ledger, heldout=heldout_wanted(recipe))
    planned = _planned(recipe, seeds, facets, count)
    todo = planned.with_columns(draw=pl.lit(0, pl.UInt8))
    drafts = await write_drafts(todo, seeds, recipe, asker, Novelty(), teacher=models.roster, round_number=1)
    verdicts, _ = filtered(drafts, planned, seeds, recipe, Closed(recipe, seeds))
    drafts = drafts.filter(pl.col("id").is_in(list(kept_ids(verdicts)))).filter(pl.col("messages").is_not_null())
    train = planned.filter(pl.col("split") == "train")
    genuine = drafts.filter(pl.col("context_id").is_in(train["id"].to_list()))
    genuine = _first_of_each(genuine, train, math.ceil(count * 1.05))
    ladders = await write_ladders(genuine, train, recipe, asker, teacher=models.roster)
    found = Texts(labelled=_labelled(output, facets))
    for facet in facets:
        found.contexts[facet], found.ids[facet] = _ladder_texts(ladders, facet, recipe.rubrics[facet].triggers, count)
    others = planned.filter(pl.col("split") != "train")
    for facet in facets:
        ids = others.filter(pl.col("facet") == facet)["id"].to_list()
        found.controls[facet] = drafts.filter(pl.col("context_id").is_in(ids))["messages"].to_list()[:count]
    return found


def _planned(recipe: Recipe, seeds: pl.DataFrame, facets: Sequence[str], count: int) -> pl.DataFrame:
    """The first contexts of training that hold enough of each facet, and controls where the recipe names some."""
    wanted = math.ceil(count * SPARE)
    size = wanted * len(recipe.train_levels["facet"])
    sealed = 5 * count * len(recipe.settings.heldout.control)  # five sets at most share what is sealed
    while True:
        plan = plan_contexts(recipe, seeds, train=size, heldout=sealed)
        train = plan.filter((pl.col("split") == "train") & pl.col("facet").is_in(list(facets)))
        least = min((train.filter(pl.col("facet") == facet).height for facet in facets), default=wanted)
        if least >= wanted or size > 40 * wanted * len(facets):
            break
        size *= 2
    train = train.filter(pl.int_range(pl.len()).over("facet") < wanted)
    controls = plan.filter((pl.col("set") == "ctrl") & pl.col("facet").is_in(list(facets)))
    return pl.concat([train, controls.filter(pl.int_range(pl.len()).over("facet") < count)])


def _first_of_each(drafts: pl.DataFrame, contexts: pl.DataFrame, count: int) -> pl.DataFrame:
    facets = contexts.select(context_id="id", _facet="facet")
    rows = drafts.join(facets, on="context_id", maintain_order="left")
    return rows.filter(pl.int_range(pl.len()).over("_facet") < count).drop("_facet")


def _ladder_texts(
    ladders: pl.DataFrame, facet: str, triggers: Sequence[str], count: int
) -> tuple[list[dict[str, Messages]], list[str]]:
    """Contexts with both a genuine and a hollow answer, with all that is made of them; and the drafts' ids."""
    rungs: dict[str, dict[str, Any]] = {}
    for row in ladders.filter((pl.col("facet") == facet) & pl.col("messages").is_not_null()).iter_rows(named=True):
        rungs.setdefault(row["draft_id"], {})[row["kind"]] = row["messages"]
    whole = {draft_id: own for draft_id, own in rungs.items() if {"genuine", "hollow"} <= own.keys()}
    ids = list(whole)[:count]
    return [_changed(whole[draft_id], triggers) for draft_id in ids], ids


def _changed(rungs: Mapping[str, Messages], triggers: Sequence[str]) -> dict[str, Messages]:
    found: dict[str, Messages | None] = {**rungs}
    found["stripped"] = stripped(rungs["genuine"], triggers)
    found["stuffed"] = stuffed(rungs["hollow"], triggers)
    for name, change in CHANGES.items():
        for kind in ("genuine", "hollow"):
            found[f"{kind} {name}"] = change(rungs[kind])
    return {kind: messages for kind, messages in found.items() if messages is not None}


def _labelled(output: Output, facets: Sequence[str]) -> pl.DataFrame:
    """What people said of texts of the latest release that read as they did when they were labelled."""
    said = labels(output.path).filter(pl.col("facet").is_in(list(facets)))
    release = output.latest()
    if release is None or not said.height:
        return said.clear().with_columns(messages=pl.lit(None, MESSAGES))
    known = said.join(read_table(release, "drafts").select("id", "messages"), on="id", maintain_order="left")
    now = [text_sum(messages) for messages in known["messages"]]
    return known.filter(pl.Series(now, dtype=pl.String) == known["text_sha256"])
