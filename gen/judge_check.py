"""recipe and judge → may this judge filter? V1 to V6 on each value, with bounds, kept under the judge's hash.

What is put to the judge are texts of which it is known how they differ: the ladders that the recipe's teachers write,
and changes of them that change nothing of the value. Everything is asked through the ledger, so that a second check
costs nothing and one that was interrupted goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from . import pipeline
from .asking import Asker, StopSignal
from .errors import RecipeError, ThousandfoldError
from .events import Event, OnEvent, ignore
from .judge_marks import put_check
from .judge_texts import LEAST_CONTEXTS, Texts, gather
from .judgements import Panel, judge_hash
from .judgings import Scores, score
from .ledger import Ledger
from .models import Models, models_of
from .options import load_with
from .output import Output
from .paths import panel_of
from .recipe import Recipe
from .validity import Finding
from .validity_tests import findings_of
from .waiting import wait

WHOLE_REHEARSAL = "rehearsal:hollow=0&near_copy=0&cut_off=0"


@dataclass(frozen=True)
class FacetCheck:
    """What was found of the judge on one value."""

    facet: str
    hash: str
    findings: tuple[Finding, ...]

    @property
    def failed(self) -> list[str]:
        """The tests of which a part says no, in order."""
        return list(dict.fromkeys(found.test for found in self.findings if found.passed is False))

    @property
    def not_tried(self) -> list[str]:
        """The tests of which nothing could be tried."""
        tests = dict.fromkeys(found.test for found in self.findings)
        return [test for test in tests if not any(one.tried for one in self.findings if one.test == test)]

    @property
    def may_filter(self) -> bool:
        return not self.failed

    def as_dict(self) -> dict[str, Any]:
        return {
            "facet": self.facet,
            "hash": self.hash,
            "may_filter": self.may_filter,
            "failed": self.failed,
            "not_tried": self.not_tried,
            "findings": [found.as_dict() for found in self.findings],
        }


@dataclass(frozen=True)
class JudgeCheck:
    """The check of a judge (several: of their panel) on the values of a recipe."""

    judge: str
    checked_at: str
    facets: tuple[FacetCheck, ...]
    asked: int
    replayed: int
    notes: tuple[str, ...] = ()

    @property
    def may_filter(self) -> bool:
        return all(facet.may_filter for facet in self.facets)

    def as_dict(self) -> dict[str, Any]:
        return {
            "judge": self.judge,
            "checked_at": self.checked_at,
            "may_filter": self.may_filter,
            "asked": self.asked,
            "replayed": self.replayed,
            "notes": list(self.notes),
            "facets": [facet.as_dict() for facet in self.facets],
            "exit": 0 if self.may_filter else 1,
        }


def check_judge(
    recipe: str | Path,
    *,
    facet: str | Sequence[str] | None = None,
    contexts: int = LEAST_CONTEXTS,
    on_event: OnEvent | None = None,
    stop: StopSignal | None = None,
    names: Mapping[str, str] | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    **options: Any,
) -> JudgeCheck:
    """May the recipe's judge filter? Six tests on each value (or on `facet` alone), noted in the ledger of OUT.

    `contexts` (61 at least) are written for by the recipe's teachers for each value, with lesser answers beside them.
    `options` are those of `run` (judge, teacher, out, budget, seed, concurrency, offline): `judge` may be a SPEC, a
    Teacher, any LangChain chat model, or a list of them. A run with the same judge finds the outcome by its hash.

    Raises RecipeError for what cannot be meant, such as a judge of a teacher's family or none; ThousandfoldError where
    the budget ends before the check does; else what asking raises. Of these nothing is noted.
    """
    loaded = load_with(recipe, options, names)
    notes = []
    if not options.get("teacher") and all(one.model == "rehearsal" for one in loaded.teachers):
        options = {**options, "teacher": WHOLE_REHEARSAL}
        loaded = load_with(recipe, options, names)
        notes.append(f"the ladders are written by {WHOLE_REHEARSAL}: plain rehearsal plants flaws in genuine answers")
    facets = _facets(loaded, facet)
    if isinstance(contexts, bool) or not isinstance(contexts, int) or contexts < LEAST_CONTEXTS:
        raise RecipeError(
            what=f"contexts is {contexts!r}",
            why=f"{LEAST_CONTEXTS} bear two errors of a ladder, with fewer hardly a judge could pass",
            do=f"give {LEAST_CONTEXTS} or more",
        )
    models = models_of(loaded, options.get("teacher"), options.get("judge"))
    panel = panel_of(loaded, models)
    if panel is None:
        raise RecipeError(
            what="there is no judge to check", why="the recipe runs unjudged", do="name one with --judge SPEC"
        )
    pipeline.check_contexts(loaded)
    output = pipeline.output_for(loaded, options.get("out"))
    told, stop = _Counted(on_event or ignore), stop or StopSignal()
    with output.locked(), output.ledger() as ledger:
        asker = pipeline.make_asker(
            loaded, ledger, models, offline=bool(options.get("offline")), stop=stop, on_event=told
        )
        texts, scores = wait(_asked(loaded, facets, contexts, models, panel, asker, output), stop)
        checked = JudgeCheck(
            judge=panel.model,
            checked_at=now().isoformat(timespec="seconds"),
            facets=tuple(
                FacetCheck(
                    one,
                    judge_hash(panel, loaded.rubrics[one]),
                    tuple(findings_of(one, loaded, texts, scores, models, contexts)),
                )
                for one in facets
            ),
            asked=told.asked,
            replayed=told.replayed,
            notes=tuple(notes),
        )
        _note(ledger, checked)
    return checked


async def _asked(
    recipe: Recipe,
    facets: Sequence[str],
    contexts: int,
    models: Models,
    panel: Panel,
    asker: Asker,
    output: Output,
) -> tuple[Texts, Scores]:
    async with models:
        texts = await gather(recipe, facets, contexts, models, asker, output)
        scores = await score(texts, recipe, panel, asker)
    if asker.budget.exhausted:
        raise ThousandfoldError(
            what="the budget was spent before the check was whole",
            why="a judge that was asked about some texts only has shown nothing",
            do="raise the budget and check again: what was asked is replayed for free",
        )
    return texts, scores


def _note(ledger: Ledger, checked: JudgeCheck) -> None:
    for facet in checked.facets:
        put_check(
            ledger,
            facet.facet,
            facet.hash,
            {"judge": checked.judge, "checked_at": checked.checked_at} | facet.as_dict(),
        )


def _facets(recipe: Recipe, given: str | Sequence[str] | None) -> list[str]:
    known = recipe.train_levels["facet"]
    wanted = list(known) if not given else [given] if isinstance(given, str) else list(given)
    for facet in wanted:
        if facet not in known:
            raise RecipeError(
                what=f"{facet!r} is no value of this recipe",
                why="a judge is checked on the rubric of a value",
                do=f"use one of {', '.join(known)}",
            )
    return wanted


class _Counted:
    """Passes events on, and counts asks."""

    def __init__(self, on_event: OnEvent) -> None:
        self._on_event = on_event
        self.asked = self.replayed = 0

    def __call__(self, event: Event) -> None:
        if event.kind == "replies":
            self.asked += event.fields["asked"]
            self.replayed += event.fields["replayed"]
        self._on_event(event)
