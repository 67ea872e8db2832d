"""recipe, judges, ledger → what a run says of its judge: whether it may filter, before anything is asked and after."""

from __future__ import annotations

from typing import Any

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
