"""Who writes and who judges: from what the recipe or the caller gave to models that may be asked together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from . import teachers
from .budget import Budget
from .charges import Spent
from .errors import RecipeError, TeacherError
from .ledger import Ledger
from .options import teachers_of
from .prices import prices_of
from .recipe import JudgeSettings, Price, Recipe, TeacherSettings
from .roster import Roster, Writer
from .teachers.base import Teacher

if TYPE_CHECKING:
    from langchain_core.language_models.chat_models import BaseChatModel


@dataclass(frozen=True)
class Models:
    """Who writes and who judges; no judge means unjudged. As a context manager, closes all at the end."""

    teachers: tuple[Teacher, ...]
    judge: Teacher | None
    roster: Roster  # of the teachers, in the same order

    @property
    def by_identity(self) -> dict[str, Teacher]:
        return {model.model: model for model in (*self.teachers, self.judge) if model is not None}

    def at_once(self, recipe: Recipe) -> dict[str, int]:
        """identity -> most asks in flight, of those for which the recipe says so."""
        told = {writer.model: writer.settings.concurrency for writer in self.roster.writers}
        if self.judge is not None:
            told[self.judge.model] = recipe.settings.judge.concurrency
        return {model: most for model, most in told.items() if most is not None}

    @property
    def is_rehearsal(self) -> bool:
        """True where any of the text is composed, and so no training data."""
        return any(teacher.family == "rehearsal-teacher" for teacher in self.teachers)

    def prices(self, recipe: Recipe) -> dict[str, Price]:
        """identity -> price, of those whose price is known."""
        return prices_of(self.by_identity.values(), recipe.settings.prices)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for model in self.by_identity.values():
            await model.close()


def models_of(recipe: Recipe, teacher: Any, judge: str | Teacher | BaseChatModel | None) -> Models:
    """The models that a run asks: those given in code, else those that the recipe names. Opens no connection.

    `teacher` is what the option was: a SPEC, a Teacher, any LangChain chat model, several of them in a list, or None.
    Raises RecipeError where the judge may not judge a teacher, where two teachers are one model, and where a limit in
    USD is set and a price is unknown; MissingExtraError where a package is not installed.
    """
    settings = recipe.settings
    objects = [None if isinstance(one, str | None) else one for one in teachers_of(teacher)]
    objects += [None] * (len(recipe.teachers) - len(objects))
    teachers = tuple(
        made(one or told.model, told, concurrency=told.concurrency or settings.run.concurrency)
        for one, told in zip(objects, recipe.teachers, strict=True)
    )
    _check_identities(teachers)
    at_once = settings.judge.concurrency or settings.run.concurrency
    spec = judge_spec(recipe) if isinstance(judge, str | None) else judge
    judging = None if spec is None else made(spec, settings.judge, as_judge=True, concurrency=at_once)
    roster = Roster([Writer(one.model, told) for one, told in zip(teachers, recipe.teachers, strict=True)])
    models = Models(teachers, judging, roster)
    check_families(teachers, judging)
    budget = Budget(settings.budget, models.prices(recipe), Spent())
    for identity in models.by_identity:
        budget.require_price(identity)
    return models


def budget_of(recipe: Recipe, models: Models, ledger: Ledger) -> Budget:
    """Limits, prices, and what everything in the ledger has cost. Raises RecipeError where that cannot be known."""
    budget = Budget(recipe.settings.budget, models.prices(recipe), ledger.spent())
    budget.count_unpriced(ledger.unpriced())
    return budget


def made(
    given: Any, settings: TeacherSettings | JudgeSettings, *, as_judge: bool = False, concurrency: int | None = None
) -> Teacher:
    """A teacher from a SPEC, a Teacher as it is, or any LangChain chat model."""
    if isinstance(given, str):
        return teachers.make(given, settings, judge=as_judge, concurrency=concurrency)
    if isinstance(given, Teacher):
        return given
    from langchain_core.language_models.chat_models import BaseChatModel

    from .teachers.chatmodel import ChatModelTeacher

    if isinstance(given, BaseChatModel):
        return ChatModelTeacher(given)
    raise TeacherError(
        what=f"{type(given).__name__} is neither a SPEC, a Teacher, nor a LangChain chat model",
        why="it would be asked for text",
        do=f"give one of {teachers.SPECS}, or an object with model, family, max_in_flight, answer and close",
    )


def judge_spec(recipe: Recipe) -> str | None:
    """The judge's SPEC, or None for unjudged: rehearsal judges rehearsal unless the recipe says otherwise."""
    asked = recipe.settings.judge.model
    if asked is None:
        own = all(teacher.model.partition(":")[0] == "rehearsal" for teacher in recipe.teachers)
        return "rehearsal" if own else None
    return None if asked == "none" else asked


def _check_identities(teachers: Sequence[Teacher]) -> None:
    counts = Counter(teacher.model for teacher in teachers)
    twice = [model for model, count in counts.items() if count > 1]
    if twice:
        raise RecipeError(
            what=f"two of the teachers are {twice[0]!r}",
            why="a reply is kept under its model's name and never its address, so they would be one teacher",
            do="name it once, with the share of both; for one model on two servers put a balancer before them",
        )


def check_families(teachers: Sequence[Teacher], judge: Teacher | None) -> None:
    """A judge is never of a teacher's family, and rehearsal judges rehearsal only."""
    if judge is not None:
        for teacher in teachers:
            _check_family(teacher, judge)


def _check_family(teacher: Teacher, judge: Teacher) -> None:
    if judge.family == teacher.family:
        raise RecipeError(
            what=f"the judge {judge.model!r} and the teacher {teacher.model!r} are of one family ({judge.family})",
            why="models favour the text of their own family, so its scores would not be a measurement",
            do="choose a judge of another family with --judge, or run unjudged with --judge none",
        )
    if judge.family == "rehearsal-judge" and teacher.family != "rehearsal-teacher":
        raise RecipeError(
            what=f"the rehearsal judge was asked to judge {teacher.model!r}",
            why="it knows the sentences of rehearsal and cannot read any other text",
            do="give a real judge of another family with --judge, or run unjudged with --judge none",
        )
