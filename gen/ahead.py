"""Looking ahead: what a run would write for, ask and cost, and its first few drafts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from . import pipeline
from .asking import StopSignal
from .budget import Budget
from .contexts import allowed_forbid, plan_contexts, plan_strength
from .covering import Coverage, countable_strength, coverage, uniform_coverage
from .events import ignore
from .expansion import asks_of, writing_asks
from .forecast import Forecast, from_pilot
from .frozen import set_sums
from .ledger import Ledger, Spent
from .models import Models, models_of
from .options import load_with
from .paths import forecast_of, with_twins
from .recipe import Recipe
from .seeds import read_seeds
from .state import State
from .waiting import wait


@dataclass(frozen=True)
class Plan:
    """What a run would write for, and what that covers and costs.

    contexts   CONTEXTS frame and one column per axis, those of all sets
    coverage   strength -> combinations of so many levels that training may see, how many of them are met and by
               which row, and the least number of rows that could meet them all
    uniform    strength -> share that as many uniform draws would have met
    strength   the largest t for which every combination of t levels is met
    sealed     held-out set -> SHA-256 of its contexts and their seeds, as a run will note it before it asks
    forecast   asks, tokens and cost as intervals
    size       exemplars that the recipe asks for
    """

    contexts: pl.DataFrame
    coverage: Mapping[int, Coverage]
    uniform: Mapping[int, float]
    strength: int
    sealed: Mapping[str, str]
    forecast: Forecast
    size: int

    def as_dict(self) -> dict[str, object]:
        """What `plan --json` prints: counts by set instead of the contexts."""
        keys = ("met", "possible", "bound", "met_by")
        covered = {t: {key: getattr(found, key) for key in keys} for t, found in self.coverage.items()}
        return {
            "contexts": dict(self.contexts["set"].value_counts(sort=True).iter_rows()),
            "coverage": {t: {**own, "uniform": self.uniform[t]} for t, own in covered.items()},
            "strength": self.strength,
            "sealed": dict(self.sealed),
            "forecast": self.forecast.as_dict(),
        }


def plan(recipe: str | Path, *, pilot: int = 0, names: Mapping[str, str] | None = None, **options: Any) -> Plan:
    """The contexts that a run would write for, what they cover, and what it would ask and cost.

    Asks nothing unless `pilot` is above 0: then so many contexts are drafted, filtered and judged through
    the ledger of the output directory, where a run finds them again. `options` are those of `run`.
    """
    loaded = load_with(recipe, options, names)
    models = models_of(loaded, options.get("teacher"), options.get("judge"))
    seeds = read_seeds(loaded)
    contexts = plan_contexts(loaded, seeds, train=pipeline.pool_wanted(loaded), heldout=pipeline.heldout_wanted(loaded))
    train = contexts.filter(pl.col("split") == "train")
    axes, forbid = loaded.train_levels, allowed_forbid(loaded, loaded.train_levels)
    highest = countable_strength(axes, max(3, plan_strength(loaded)))
    cells = train.select(list(axes))
    covered = {t: coverage(cells, axes, strength=t, forbid=forbid) for t in range(1, highest + 1)}
    return Plan(
        contexts=contexts,
        coverage=covered,
        uniform={t: uniform_coverage(axes, train.height, strength=t, forbid=forbid) for t in covered},
        strength=next((t - 1 for t, found in covered.items() if found.share < 1), highest),
        sealed=set_sums(contexts, seeds),
        forecast=with_twins(_pilot(loaded, models, pilot, options), loaded, train.row(0, named=True), models)
        if pilot
        else _assumed(loaded, models, seeds, train),
        size=loaded.settings.size,
    )


def preview(
    recipe: str | Path, count: int = 5, *, names: Mapping[str, str] | None = None, **options: Any
) -> tuple[Recipe, State]:
    """The first `count` contexts of the plan, drafted, filtered and judged; a run replays them for free."""
    loaded = load_with(recipe, options, names)
    models = models_of(loaded, options.get("teacher"), options.get("judge"))
    return loaded, _first(loaded, models, count, options)[0]


def _first(recipe: Recipe, models: Models, count: int, options: Mapping[str, Any]) -> tuple[State, Path]:
    pipeline.check_contexts(recipe)
    output = pipeline.output_for(recipe, options.get("out"))
    stop = options.get("stop") or StopSignal()
    with output.locked(), output.ledger() as ledger:
        work = pipeline.first_drafts(
            recipe,
            ledger,
            models,
            count,
            offline=bool(options.get("offline")),
            stop=stop,
            on_event=options.get("on_event") or ignore,
        )
        return wait(work, stop), output.ledger_path


def _assumed(recipe: Recipe, models: Models, seeds: pl.DataFrame, train: pl.DataFrame) -> Forecast:
    wanted, heldout = pipeline.pool_wanted(recipe), pipeline.heldout_wanted(recipe)
    return forecast_of(recipe, seeds, train.row(0, named=True), models, wanted=wanted, heldout=heldout)


def _pilot(recipe: Recipe, models: Models, count: int, options: Mapping[str, Any]) -> Forecast:
    state, ledger_path = _first(recipe, models, count, options)
    budget = Budget(recipe.settings.budget, models.prices(recipe), Spent())
    asks, tokens, costs = 0, [], []
    with Ledger(ledger_path, read_only=True) as ledger:
        for path in _paths(state):
            again = ledger.follow_ups(list(path))
            path.update((ask_id, path[first]) for first, later in again.items() for ask_id in later)
            usages = [(path[ask_id], found.usage) for ask_id, found in ledger.get_many(list(path)).items()]
            asks += len(usages)
            tokens.append(sum((u.prompt_tokens or 0) + (u.completion_tokens or 0) for _, u in usages))
            costs.append([budget.cost(model, usage) for model, usage in usages])
    priced = all(cost is not None for row in costs for cost in row)
    return from_pilot(
        drafts=state.drafts.height,
        kept=state.pool.height,
        asks=asks,
        tokens=tokens,
        usd=[sum(cost or 0 for cost in row) / 1e6 for row in costs] if priced else None,
        wanted=pipeline.pool_wanted(recipe),
        heldout=pipeline.heldout_wanted(recipe),
        writing=writing_asks(recipe.settings.expansion),
    )


def _paths(state: State) -> list[dict[str, str]]:
    """For each draft of a pilot: ask id -> model, of every ask that was made on its way."""
    paths = {
        row["id"]: dict.fromkeys(asks_of(row).values(), row["teacher"]) for row in state.drafts.iter_rows(named=True)
    }
    for row in state.judgements.iter_rows(named=True):
        for word in row["by_judge"]:
            asked = [*word["level_ask_ids"], *([word["evidence_ask_id"]] if word["evidence_ask_id"] else [])]
            paths[row["id"]].update(dict.fromkeys(asked, word["judge"]))
    return list(paths.values())
