"""Who writes and who judges: from what the recipe or the caller gave to models that may be asked together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Any, Self

from . import teachers
from .budget import Budget
from .charges import Spent
from .errors import RecipeError, TeacherError
from .ledger import Ledger
from .options import models_in
from .prices import prices_of
from .recipe import JudgeSettings, Price, Recipe, TeacherSettings
from .roster import Roster, Writer
from .teachers.base import Teacher
from .teachers.families import family_told

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Models:
    """Who writes and who judges; no judge means unjudged. As a context manager, closes all at the end."""

    teachers: tuple[Teacher, ...]
    judges: tuple[Teacher, ...]
    roster: Roster  # of the teachers, in the same order
    families: Mapping[str, str] = field(default_factory=dict)  # identity -> family, where the recipe says another

    @property
    def judge(self) -> Teacher | None:
        """The judge, of several the first; None: unjudged."""
        return self.judges[0] if self.judges else None

    def family(self, model: Teacher) -> str:
        return self.families.get(model.model, model.family)

    @property
    def by_identity(self) -> dict[str, Teacher]:
        return {model.model: model for model in (*self.teachers, *self.judges)}

    def at_once(self, recipe: Recipe) -> dict[str, int]:
        """identity -> most asks in flight, of those for which the recipe says so."""
        told = {writer.model: writer.settings.concurrency for writer in self.roster.writers}
        told |= {judge.model: own.concurrency for judge, own in zip(self.judges, recipe.judges, strict=False)}
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


def models_of(recipe: Recipe, teacher: Any, judge: Any) -> Models:
    """The models that a run asks: those given in code, else those that the recipe names. Opens no connection.

    `teacher` and `judge` are what the options were: a SPEC, a Teacher, any LangChain chat model, several of them in a
    list, or None. Raises RecipeError where a judge may not judge a teacher or beside another judge, where two models
    are one, and where a limit in USD is set and a price is unknown; MissingExtraError where a package is not installed.
    """
    settings = recipe.settings
    objects = _objects(teacher, len(recipe.teachers))
    teachers = tuple(
        made(one or told.model, told, concurrency=told.concurrency or settings.run.concurrency)
        for one, told in zip(objects, recipe.teachers, strict=True)
    )
    check_identities(teachers, "teachers", "name it once, with the share of both")
    specs = zip(_objects(judge, len(recipe.judges)), judge_specs(recipe), recipe.judges, strict=True)
    judges = tuple(
        made(
            spec if one is None else one, told, as_judge=True, concurrency=told.concurrency or settings.run.concurrency
        )
        for one, spec, told in specs
        if one is not None or spec is not None
    )
    check_identities(judges, "judges", "name it once")
    roster = Roster([Writer(one.model, told) for one, told in zip(teachers, recipe.teachers, strict=True)])
    models = Models(teachers, judges, roster, families_of((*teachers, *judges), settings.families))
    check_families(teachers, judges, models.families)
    budget = Budget(settings.budget, models.prices(recipe), Spent())
    for identity in models.by_identity:
        budget.require_price(identity)
    return models


def _objects(option: Any, count: int) -> list[Any]:
    """What was given as an object in place of the recipe's models, by their order; None: as the recipe says."""
    objects = [None if isinstance(one, str | None) else one for one in models_in(option)]
    return objects[:count] + [None] * (count - len(objects))


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


def judge_specs(recipe: Recipe) -> list[str | None]:
    """The judges' SPECs; None is unjudged: rehearsal judges rehearsal unless the recipe says otherwise."""
    own = all(teacher.model.partition(":")[0] == "rehearsal" for teacher in recipe.teachers)
    default = "rehearsal" if own else None
    return [
        default if judge.model is None else None if judge.model == "none" else judge.model for judge in recipe.judges
    ]


def judge_count(recipe: Recipe) -> int:
    return sum(spec is not None for spec in judge_specs(recipe))


def families_of(models: Iterable[Teacher], told: Mapping[str, str]) -> dict[str, str]:
    """identity -> family of those of which `told` (pattern -> family) says something; never of rehearsal."""
    named = {model.model: family_told(model.model, told) for model in models if not _is_rehearsal(model)}
    return {model: family for model, family in named.items() if family is not None}


def _is_rehearsal(model: Teacher) -> bool:
    return model.family in ("rehearsal-teacher", "rehearsal-judge")


def check_identities(models: Sequence[Teacher], role: str, do: str) -> None:
    """Raises RecipeError where two of the `role` (`teachers`, `judges`) are one model."""
    counts = Counter(model.model for model in models)
    twice = [model for model, count in counts.items() if count > 1]
    if twice:
        raise RecipeError(
            what=f"two of the {role} are {twice[0]!r}",
            why=f"a reply is kept under its model's name and never its address, so they would be one {role[:-1]}",
            do=f"{do}; for one model on two servers put a balancer before them",
        )


def check_families(
    teachers: Sequence[Teacher], judges: Sequence[Teacher], families: Mapping[str, str] | None = None
) -> None:
    """A judge is never of a teacher's family nor of another judge's, and rehearsal judges rehearsal only.

    `families` (identity -> family) says where a family is another than the model's name tells. Raises RecipeError.
    """
    told = families or {}
    for judge in judges:
        for teacher in teachers:
            _check_family(teacher, judge, told)
    for one, other in combinations(judges, 2):
        family = told.get(one.model, one.family)
        if family == told.get(other.model, other.family):
            raise RecipeError(
                what=f"the judges {one.model!r} and {other.model!r} are of one family ({family})",
                why="models of a family err alike, so that one opinion would count twice and look like agreement",
                do="name one of them, or say under [families] whose model it is where the name misleads",
            )


def _check_family(teacher: Teacher, judge: Teacher, told: Mapping[str, str]) -> None:
    family = told.get(judge.model, judge.family)
    if family == told.get(teacher.model, teacher.family):
        raise RecipeError(
            what=f"the judge {judge.model!r} and the teacher {teacher.model!r} are of one family ({family})",
            why="models favour the text of their own family, so its scores would not be a measurement",
            do="choose a judge of another family with --judge, or run unjudged with --judge none; where the name"
            " misleads, say under [families] whose model it is",
        )
    if judge.family == "rehearsal-judge" and teacher.family != "rehearsal-teacher":
        raise RecipeError(
            what=f"the rehearsal judge was asked to judge {teacher.model!r}",
            why="it knows the sentences of rehearsal and cannot read any other text",
            do="give a real judge of another family with --judge, or run unjudged with --judge none",
        )
