"""context → the asks that it may take, at the longest: what a budget holds for it, and a forecast reckons from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from .budget import Budget
from .charges import Spent
from .drafts import longest_path, reasks_of
from .expansion import writing_asks
from .forecast import Forecast, also, assumed
from .judgements import Judge, Panel, longest_judging
from .ladders import longest_ask
from .models import Models
from .reasking import with_follow_ups
from .recipe import JudgeSettings, Recipe
from .roster import Roster
from .teachers.base import Ask, Teacher
from .twins import twins_wanted


def judge_of(recipe: Recipe, judge: Teacher, told: JudgeSettings | None = None) -> Judge:
    """`judge` with the recipe's prompts, and with its settings `told`; without, with those of the recipe's first."""
    settings = recipe.settings
    return Judge(judge.model, told or recipe.judges[0], settings.seed, recipe.prompts, settings.run.reasks)


def panel_of(recipe: Recipe, models: Models) -> Panel | None:
    """The judges of a run; None: unjudged."""
    told = zip(models.judges, recipe.judges, strict=True) if models.judges else ()
    judges = tuple(judge_of(recipe, judge, settings) for judge, settings in told)
    return Panel(judges, recipe.settings.panel.least) if judges else None


def paths_of(
    recipe: Recipe, seeds: pl.DataFrame, context: Mapping[str, Any], models: Models
) -> list[tuple[float, list[Ask]]]:
    """(share of all contexts, asks to write and to judge one draft), for each teacher; the shares sum to 1."""
    judging: list[Ask] = []
    if panel := panel_of(recipe, models):
        rubric = recipe.rubrics[context["facet"]]
        judging = longest_judging(rubric, panel, reply_tokens=models.roster.max_tokens)
    return [
        (models.roster.shares[writer.model], longest_path(recipe, seeds, context, Roster([writer])) + judging)
        for writer in models.roster.writers
    ]


def paths_with_twins(
    recipe: Recipe, seeds: pl.DataFrame, context: Mapping[str, Any], models: Models
) -> list[tuple[float, list[Ask]]]:
    """`paths_of`, and of each the ask for a hollow twin where the recipe wants some: what a budget holds room for."""
    twins = [path for _, path in _twins(recipe, context, models)] or [[] for _ in models.roster.writers]
    paths = paths_of(recipe, seeds, context, models)
    return [(share, path + twin) for (share, path), twin in zip(paths, twins, strict=True)]


def _twins(recipe: Recipe, context: Mapping[str, Any], models: Models) -> list[tuple[float, list[Ask]]]:
    """(share of all contexts, the ask for a hollow twin) for each teacher; none where the recipe wants no twins."""
    if not recipe.settings.twins.share:
        return []
    return [
        (models.roster.shares[writer.model], [longest_ask(recipe, context, Roster([writer]))])
        for writer in models.roster.writers
    ]


def with_twins(foreseen: Forecast, recipe: Recipe, context: Mapping[str, Any], models: Models) -> Forecast:
    """`foreseen`, and what the hollow twins of the exemplars take on top of it."""
    budget = Budget(recipe.settings.budget, models.prices(recipe), Spent())
    again = reasks_of(recipe)
    paths = [(share, with_follow_ups(path, again)) for share, path in _twins(recipe, context, models)]
    return also(foreseen, paths, count=twins_wanted(recipe, recipe.settings.size), budget=budget) if paths else foreseen


def forecast_of(
    recipe: Recipe, seeds: pl.DataFrame, context: Mapping[str, Any], models: Models, *, wanted: int, heldout: int
) -> Forecast:
    """Of a whole run, before anything is known but the recipe; `context` is one of training's."""
    budget = Budget(recipe.settings.budget, models.prices(recipe), Spent())
    again = reasks_of(recipe)
    paths = [(share, with_follow_ups(path, again)) for share, path in paths_of(recipe, seeds, context, models)]
    writing = writing_asks(recipe.settings.expansion)
    foreseen = assumed(paths, wanted=wanted, heldout=heldout, budget=budget, writing=writing)
    return with_twins(foreseen, recipe, context, models)
