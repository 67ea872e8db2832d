"""What each model of a recipe can do, found out by asking it one small question; nothing of it goes into a ledger."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .asking import StopSignal
from .budget import Budget
from .charges import Spent
from .drafting import SITUATIONS_SCHEMA, SituationsReply
from .errors import RecipeError, ThousandfoldError
from .models import check_families, families_of, judge_specs, made
from .options import load_with, models_in
from .prices import prices_of
from .recipe import JudgeSettings, Recipe, TeacherSettings
from .replies import UnreadableReplyError, read_json
from .teachers.base import Ask, Message, Outcome, Sampling, Teacher
from .teachers.endpoint import EndpointTeacher
from .teachers.readings import field as part_of
from .teachers.readings import logprobs_of
from .text import on_screen, redacted
from .waiting import wait

if TYPE_CHECKING:
    from .teachers.completions import Completions

MOST_SECONDS = 120.0
"""So long an answer is waited for: a local server may have to load its model first."""
ANSWER_TOKENS, MORE_TOKENS = 512, 16
ANSWERED = frozenset({None, "empty", "refused"})
"""Failures of a model that was reached and has said something, or has spent its tokens on thinking."""


@dataclass(frozen=True)
class Checkup:
    """One model: what came of its question. None where it cannot be told.

    structured     json_schema | json_object | text: how it is asked for JSON
    readable       whether its reply was the JSON that was asked for
    logprobs, n    whether it gives log-probabilities, and several choices for one request
    limits         x-ratelimit-limit-* of its answers: `requests`, `tokens`
    price          USD for a million tokens, `input` and `output`
    """

    role: str
    model: str
    reachable: bool = False
    problem: str | None = None
    do: str | None = None
    family: str | None = None
    structured: str | None = None
    readable: bool | None = None
    logprobs: bool | None = None
    n: bool | None = None
    limits: Mapping[str, str] = field(default_factory=dict)
    price: Mapping[str, float] | None = None
    served_model: str | None = None
    seconds: float | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def line(self) -> str:
        """All of it in one line."""
        head = f"{self.role} {self.model}"
        if not self.reachable:
            return on_screen(f"{head}: not reachable: {self.problem}; {self.do}", width=1000)
        limits = ", ".join(f"{count} {kind}" for kind, count in self.limits.items())
        price = self.price
        parts = [
            f"reachable in {self.seconds or 0:.2f} s",
            f"structured output {self.structured or 'unknown'}"
            + ("" if self.readable is not False else ", but its reply could not be read"),
            f"log-probabilities {_yes(self.logprobs)}",
            f"n {_yes(self.n)}",
            f"limits {limits or 'none seen'}",
            "price unknown" if price is None else f"price {price['input']:g} in, {price['output']:g} out (USD/million)",
            f"family {self.family}",
        ]
        return on_screen(f"{head}: {' · '.join(parts)}", width=1000)


def _yes(found: bool | None) -> str:
    return "unknown" if found is None else "yes" if found else "no"


def check_models(
    recipe: str | Path, *, stop: StopSignal | None = None, names: Mapping[str, str] | None = None, **options: Any
) -> tuple[list[Checkup], list[str]]:
    """(one checkup for each model of the recipe, notes on the models together). `options`: `teacher`, `judge`.

    Raises RecipeError for a recipe that cannot be read; what is wrong with a model stands in its checkup.
    """
    loaded = load_with(recipe, options, names)
    asked: list[tuple[str, Any, TeacherSettings | JudgeSettings]] = []
    objects = models_in(options.get("teacher"))
    objects += [None] * (len(loaded.teachers) - len(objects))
    for given, told in zip(objects, loaded.teachers, strict=True):
        asked.append(("teacher", _given(given, told.model), told))
    objects = models_in(options.get("judge"))
    objects += [None] * (len(loaded.judges) - len(objects))
    for option, spec, own in zip(objects, judge_specs(loaded), loaded.judges, strict=True):
        judge = _given(option, spec)
        if judge is not None:
            asked.append(("judge", judge, own))
    return wait(_check(loaded, asked), stop or StopSignal())


def _given(option: Any, spec: str | None) -> Any:
    return spec if option is None or isinstance(option, str) else option


async def _check(
    recipe: Recipe, asked: list[tuple[str, Any, TeacherSettings | JudgeSettings]]
) -> tuple[list[Checkup], list[str]]:
    found: list[tuple[Checkup, Teacher | None]] = await asyncio.gather(
        *(_one(recipe, role, given, settings) for role, given, settings in asked)
    )
    judged = any(role == "judge" for role, _, _ in asked)
    notes = [] if judged else ["no judge: a run would be unjudged, and its release would say so"]
    models = [(checkup.role, model) for checkup, model in found if model is not None]
    teachers, judges = ([model for role, model in models if role == wanted] for wanted in ("teacher", "judge"))
    try:
        check_families(teachers, judges, families_of((*teachers, *judges), recipe.settings.families))
    except RecipeError as error:
        notes.append(f"a run would refuse them together: {error.what}")
    return [checkup for checkup, _ in found], notes


async def _one(
    recipe: Recipe, role: str, given: Any, settings: TeacherSettings | JudgeSettings
) -> tuple[Checkup, Teacher | None]:
    """The checkup of one model, and the model where there is one; whatever goes wrong is in the checkup."""
    known = Checkup(role, given if isinstance(given, str) else getattr(given, "model", type(given).__name__))
    teacher: Teacher | None = None
    longest = min(settings.timeout_seconds, MOST_SECONDS)
    brief = settings.model_copy(update={"attempts": 1, "timeout_seconds": longest, "deadline_seconds": longest})
    try:
        teacher = made(given, brief, as_judge=role == "judge")
        prices = prices_of([teacher], recipe.settings.prices)
        price = Budget(recipe.settings.budget, prices, Spent()).price(teacher.model)
        known = replace(
            known,
            family=teacher.family,
            price=None if price is None else {"input": price.input, "output": price.output},
        )
        return await _asked(known, teacher, recipe, brief), teacher
    except ThousandfoldError as error:
        return replace(known, problem=error.what, do=error.do), teacher
    except Exception as error:  # noqa: BLE001 - a model's own library may raise anything; the others are asked still
        words = redacted(f"{type(error).__name__}: {error}")
        return replace(known, problem=words, do="try the model alone, outside thousandfold"), teacher
    finally:
        if teacher is not None:
            await teacher.close()


async def _asked(
    known: Checkup, teacher: Teacher, recipe: Recipe, settings: TeacherSettings | JudgeSettings
) -> Checkup:
    facet = next(iter(recipe.train_levels["facet"]))
    words = recipe.prompts["checkup"].render(facet=facet)
    ask = Ask(
        model=teacher.model,
        messages=tuple(Message(role, text) for role, text in words),
        sampling=Sampling(settings.temperature, ANSWER_TOKENS, recipe.settings.seed),
        schema=SITUATIONS_SCHEMA,
        purpose="scenario",
    )
    started = time.monotonic()
    outcome = await _outcome(teacher, ask)
    seconds = outcome.latency_seconds or time.monotonic() - started
    known = replace(known, seconds=seconds, served_model=outcome.served_model)
    if outcome.failure not in ANSWERED:
        do = "mend the address or the settings of [teacher] or [judge] in recipe.toml, then try again"
        return replace(known, problem=f"{outcome.failure}: {outcome.detail}", do=do)
    known = replace(known, reachable=True, readable=_is_readable(outcome))
    if not isinstance(teacher, EndpointTeacher):
        is_engine = teacher.model.startswith("vllm:")
        return replace(known, structured="json_schema" if is_engine else "text", logprobs=is_engine, n=False)
    client = teacher.connect()
    return replace(
        known,
        structured=client.abilities.form.structured,
        logprobs=await _gives(client, ask, {"logprobs": True, "top_logprobs": 2}),
        n=await _gives(client, ask, {"n": 2}),
        limits=dict(teacher.rates.limits_seen),
    )


async def _outcome(teacher: Teacher, ask: Ask) -> Outcome:
    async def alone() -> AsyncIterator[Ask]:
        yield ask

    outcomes = [outcome async for outcome in teacher.answer(alone())]
    if len(outcomes) != 1:
        return Outcome(ask.id, failure="broken", detail=f"it gave {len(outcomes)} outcomes for one ask")
    return outcomes[0]


def _is_readable(outcome: Outcome) -> bool | None:
    """None for a model that spent its tokens before it said a word."""
    if outcome.text is None:
        return None if outcome.failure == "empty" else False
    try:
        read_json(outcome.text, SituationsReply)
    except UnreadableReplyError:
        return False
    return True


async def _gives(client: Completions, ask: Ask, fields: Mapping[str, Any]) -> bool | None:
    """Whether the endpoint gives what `fields` ask for; None where it cannot be told now."""
    short = replace(ask, schema=None, sampling=replace(ask.sampling, max_tokens=MORE_TOKENS))
    reply = await client.asked_with(short, fields)
    if reply is None or isinstance(reply, bool):
        return reply
    choices = reply.get("choices")
    if not isinstance(choices, list) or not choices:
        return None
    if "n" in fields:
        return bool(len(choices) == fields["n"])
    return logprobs_of(part_of(choices[0], "logprobs")) is not None
