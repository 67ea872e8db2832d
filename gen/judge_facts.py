"""recipe, judges, ledger → what a run says of its judge: whether it may filter, before anything is asked and after."""

from __future__ import annotations

from typing import Any

import polars as pl

from .events import Event, OnEvent
from .judge_marks import marks_of, require_checked, sentence, standing
from .ledger import Ledger
from .models import Models
from .paths import panel_of
from .recipe import Recipe


def tell_of_judge(recipe: Recipe, models: Models, ledger: Ledger, on_event: OnEvent) -> None:
    """Says where the judge has not shown that it may filter; raises ThousandfoldError where the recipe requires it."""
    marks = marks_of(recipe, panel_of(recipe, models), ledger)
    require_checked(recipe, marks)
    said = sentence(marks)
    if said is not None:
        on_event(Event("note", {"text": f"{said}; thousandfold judge check tells whether it may filter"}))


def judge_facts(recipe: Recipe, models: Models, ledger: Ledger) -> dict[str, Any]:
    """`judged` (checked, failed, stale, unchecked, unjudged) and `judge_checks`, one for each value."""
    marks = marks_of(recipe, panel_of(recipe, models), ledger)
    return {
        "judged": standing(marks),
        "judge_checks": [mark.as_dict() for mark in marks],
        "judge_said": sentence(marks),
    }


def judge_tables(recipe: Recipe, models: Models, ledger: Ledger) -> dict[str, pl.DataFrame]:
    """The table `judge_checks`, one row for each value, once the judge has been checked on any.

    It makes a release of a judge that was checked another one than that of before: a mark is part of what is released.
    """
    marks = marks_of(recipe, panel_of(recipe, models), ledger)
    if all(mark.state == "unchecked" for mark in marks):
        return {}
    return {"judge_checks": pl.DataFrame([mark.as_dict() for mark in marks], schema=JUDGE_CHECKS)}


JUDGE_CHECKS: dict[str, Any] = {
    "facet": pl.String,
    "hash": pl.String,  # of judge, settings, rubric and prompts
    "state": pl.String,  # checked | failed | stale | unchecked
    "failed": pl.List(pl.String),  # tests, V1 to V6
    "checked_at": pl.String,
    "not_tried": pl.List(pl.String),
}
