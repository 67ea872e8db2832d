"""What became of a judge's check, value by value: kept in the ledger of OUT, and looked up by every run.

A check is of one hash: judge, settings that change its answers, rubric and prompts. Of any other judge it says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .errors import ThousandfoldError
from .judgements import Panel, judge_hash
from .ledger import Ledger
from .recipe import Recipe

NOTE = "judge checks"

State = Literal["checked", "failed", "stale", "unchecked"]
STATES: tuple[State, ...] = ("failed", "stale", "unchecked", "checked")
"""From the worst on: of several values the worst is what a release says."""


@dataclass(frozen=True)
class Mark:
    """How the judge of a run stands on one value. `failed` names tests, `checked_at` is a date in UTC."""

    facet: str
    hash: str
    state: State
    failed: Sequence[str] = ()
    checked_at: str | None = None
    not_tried: Sequence[str] = ()

    def as_dict(self) -> dict[str, Any]:
        return {**vars(self), "failed": list(self.failed), "not_tried": list(self.not_tried)}

    @property
    def words(self) -> str:
        if self.state == "failed":
            return f"the judge failed its check on {self.facet}: {', '.join(self.failed)}"
        if self.state == "stale":
            return f"the judge was checked on {self.facet} before it, the rubric or a prompt was changed"
        return f"the judge is {self.state} on {self.facet}"


def put_check(ledger: Ledger, facet: str, hash_: str, outcome: Mapping[str, Any]) -> None:
    """Notes what a check found; an earlier one of the same hash is replaced, those of other hashes stay."""
    known = ledger.note(NOTE) or {}
    known.setdefault(facet, {})[hash_] = dict(outcome)
    ledger.put_note(NOTE, known)


def marks_of(recipe: Recipe, panel: Panel | None, ledger: Ledger) -> list[Mark]:
    """How the judge stands on each value that the recipe trains; none without a judge."""
    if panel is None:
        return []
    known = ledger.note(NOTE) or {}
    return [_mark(facet, recipe, panel, known.get(facet, {})) for facet in recipe.train_levels["facet"]]


def _mark(facet: str, recipe: Recipe, panel: Panel, known: Mapping[str, Any]) -> Mark:
    own = judge_hash(panel, recipe.rubrics[facet])
    if own not in known:
        return Mark(facet, own, "stale" if known else "unchecked")
    found = known[own]
    state: State = "failed" if found["failed"] else "checked"
    return Mark(facet, own, state, found["failed"], found["checked_at"], found["not_tried"])


def standing(marks: Sequence[Mark]) -> str:
    """unjudged, or the worst of the marks: what manifest, card and summary call it."""
    return next((state for state in STATES if any(mark.state == state for mark in marks)), "unjudged")


def sentence(marks: Sequence[Mark]) -> str | None:
    """What is to be said of a judge that has not earned to filter; None of one that has, and where there is none."""
    parts = []
    for state in STATES[:-1]:
        alike = [mark for mark in marks if mark.state == state]
        if not alike:
            continue
        on = "every value" if len(alike) == len(marks) > 1 else ", ".join(mark.facet for mark in alike)
        if state == "failed":
            parts += [f"judge failed its check: {', '.join(mark.failed)} on {mark.facet}" for mark in alike]
        elif state == "stale":
            parts.append(f"judge unchecked on {on}: its check is stale, judge, rubric or prompt changed since")
        else:
            parts.append(f"judge unchecked on {on}")
    return "; ".join(parts) or None


def require_checked(recipe: Recipe, marks: Sequence[Mark]) -> None:
    """Raises ThousandfoldError where the recipe wants a checked judge and this one is not, on any value."""
    said = sentence(marks)
    if said is not None and any(judge.require_checked_judge for judge in recipe.judges):
        raise ThousandfoldError(
            what=said,
            why="judge.require_checked_judge = true: a judge must show that it may filter before anything is asked",
            do=f"run `thousandfold judge check {recipe.path}` with the same judge and --out, or take another judge",
        )
