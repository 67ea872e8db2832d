"""contexts → drafts: ask the teacher, through the ledger, for situations and then for one exemplar each.

Row by row, but for the choice of the situation: it is compared with those of the contexts before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import Field

from thousandfold.filters.embed import DIMENSIONS, embed
from thousandfold.prompts import as_data

from .asking import Asker
from .reasking import Reading, Reasks
from .recipe import Recipe
from .replies import Reply, UnreadableReplyError, read_json, schema_of
from .roster import Roster
from .tables import DRAFTS, frame, tagged_id
from .takeover import Question, answered, resolved
from .teachers.base import Ask, Message, Purpose
from .text import conversation_text

MOST_DRAWS = 8
"""Draws that one context may take: a repeated context starts after them, so that no two ask the same question."""

SITUATION_CHARACTERS = 4000


class Situation(Reply):
    situation: str = Field(min_length=1, max_length=SITUATION_CHARACTERS)
    probability: float = Field(default=0.5, ge=0, le=1)


class SituationsReply(Reply):
    situations: list[Situation] = Field(min_length=1, max_length=32)


class Turn(Reply):
    role: Literal["system", "user", "assistant"]
    content: str = Field(max_length=100_000)


class ExemplarReply(Reply):
    messages: list[Turn] = Field(min_length=1, max_length=40)
    because: str = Field(max_length=4000)


SITUATIONS_SCHEMA = schema_of(SituationsReply)
EXEMPLAR_SCHEMA = schema_of(ExemplarReply)


class Novelty:
    """Which situations were chosen before, by set and facet, in plan order: what new ones should differ from."""

    def __init__(self) -> None:
        self._chosen: dict[tuple[str, str], _Earlier] = {}

    def choose(self, key: tuple[str, str], position: int, candidates: Sequence[str]) -> int:
        """Index of the candidate that is farthest from its nearest earlier situation; the first of equals."""
        vectors = embed(candidates).astype(np.float32)
        earlier = self._chosen.setdefault(key, _Earlier())
        index = int(np.argmin(earlier.nearest(position, vectors)))
        earlier.add(position, vectors[index])
        return index


class _Earlier:
    """Situations chosen so far, as rows of a matrix that doubles when it is full."""

    def __init__(self) -> None:
        self._count = 0
        self._positions = np.zeros(16, np.int64)
        self._vectors = np.zeros((16, DIMENSIONS), np.float32)

    def nearest(self, position: int, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The largest dot product of each of `vectors` with a situation up to `position`; 0 where there is none."""
        # Products of int8 vectors of length 127 stay below 2^24: float32 holds them exactly, summed in any order.
        dots = vectors @ self._vectors[: self._count].T
        later = self._positions[: self._count] > position
        dots[:, later] = -np.inf
        return dots.max(axis=1) if not later.all() else np.zeros(len(vectors), np.float32)

    def add(self, position: int, vector: npt.NDArray[np.float32]) -> None:
        if self._count == len(self._positions):
            self._positions = np.concatenate([self._positions, np.zeros_like(self._positions)])
            self._vectors = np.concatenate([self._vectors, np.zeros_like(self._vectors)])
        self._positions[self._count] = position
        self._vectors[self._count] = vector
        self._count += 1


async def write_drafts(
    contexts: pl.DataFrame,
    seeds: pl.DataFrame,
    recipe: Recipe,
    asker: Asker,
    novelty: Novelty,
    *,
    teacher: str | Roster,
    round_number: int,
) -> pl.DataFrame:
    """One DRAFTS row per context that the budget reached, in the order given.

    `contexts` is a CONTEXTS frame with one more column, `draw` (0 for the first try). A reply that cannot
    be read, or a final failure, is a row without messages and with its `problem`. `teacher` is who writes: one model,
    or several with shares.
    """
    writer = _Writer(seeds, recipe, teacher)
    rows = contexts.to_dicts()
    reasks = reasks_of(recipe)
    questions = [writer.scenario_question(row) for row in rows]
    situation_asks, offered = await answered(questions, asker, _candidates, reasks=reasks)
    drafts = []
    for row, ask in zip(rows, situation_asks, strict=True):
        if ask.id not in offered:
            continue
        situation, problem = _situation(offered[ask.id], row, novelty)
        drafts.append((row, ask, situation, problem))
    # Whoever thought of the situation writes it out, and its own teacher only where that one cannot.
    questions = [writer.exemplar_question(row, text, ask.model) for row, ask, text, problem in drafts if not problem]
    asks, answers = await answered(questions, asker, _exemplar_reply, reasks=reasks)
    to_come = iter(asks)
    exemplar_asks = [None if problem else next(to_come) for *_, problem in drafts]
    return frame(
        (
            _draft(row, scenario_ask, exemplar_ask, situation, problem, answers, round_number)
            for (row, scenario_ask, situation, problem), exemplar_ask in zip(drafts, exemplar_asks, strict=True)
            if exemplar_ask is None or exemplar_ask.id in answers
        ),
        DRAFTS,
    )


def scenario_asks(
    contexts: pl.DataFrame, seeds: pl.DataFrame, recipe: Recipe, asker: Asker, *, teacher: str | Roster
) -> list[Ask]:
    """The first ask of each context (with its `draw`), in order: what tells whether it was begun before."""
    writer = _Writer(seeds, recipe, teacher)
    return resolved([writer.scenario_question(row) for row in contexts.iter_rows(named=True)], asker)


def longest_path(recipe: Recipe, seeds: pl.DataFrame, context: Mapping[str, Any], teacher: str | Roster) -> list[Ask]:
    """The asks for one draft with a situation of the usual length: what a budget must hold for it."""
    writer = _Writer(seeds, recipe, teacher)
    model = teacher if isinstance(teacher, str) else teacher.models[0]
    return [writer.scenario_ask(context, model), writer.exemplar_ask(context, "x" * 600, model)]


def reasks_of(recipe: Recipe) -> Reasks:
    return Reasks(recipe.settings.run.reasks, recipe.prompts["reask"])


def exemplar_prompt_text(recipe: Recipe, context: Mapping[str, Any], situation: str) -> str:
    """What the teacher was told besides the seed: the text that an answer should not echo."""
    system = next((text for role, text in recipe.prompts["exemplar"].sections if role == "system"), "")
    return "\n".join((system, card(recipe, context), situation))


def card(recipe: Recipe, context: Mapping[str, Any]) -> str:
    """The context as lines `axis: level — description`, the facet first."""
    order = ["facet", *(axis for axis in recipe.axes if axis != "facet")]
    lines = []
    for axis in order:
        description = recipe.axes[axis].levels[context[axis]]
        lines.append(f"{axis}: {context[axis]}" + (f" — {description}" if description else ""))
    return "\n".join(lines)


class _Writer:
    """Renders the asks of this room; what is constant for a facet or a seed is rendered once."""

    def __init__(self, seeds: pl.DataFrame, recipe: Recipe, teacher: str | Roster) -> None:
        self._recipe = recipe
        self._roster = Roster.alone(teacher, recipe) if isinstance(teacher, str) else teacher
        self._exemplars = {seed["id"]: _exemplar(seed) for seed in seeds.to_dicts()}
        self._samplings = {writer.model: writer.sampling(recipe.settings.seed) for writer in self._roster.writers}

    def scenario_question(self, row: Mapping[str, Any]) -> Question:
        order = self._roster.order(row["id"])
        return Question(_key(row, "scenario"), order, partial(self.scenario_ask, row))

    def exemplar_question(self, row: Mapping[str, Any], situation: str, first: str) -> Question:
        """`first` is whoever should be asked before all others."""
        order = sorted(self._roster.order(row["id"]), key=lambda model: model != first)
        return Question(_key(row, "exemplar"), order, partial(self.exemplar_ask, row, situation))

    def scenario_ask(self, row: Mapping[str, Any], model: str) -> Ask:
        how_many = str(self._recipe.settings.drafts.candidates)
        return self._ask("scenario", row, model, SITUATIONS_SCHEMA, how_many=how_many)

    def exemplar_ask(self, row: Mapping[str, Any], situation: str, model: str) -> Ask:
        return self._ask("exemplar", row, model, EXEMPLAR_SCHEMA, situation=as_data(situation))

    def _ask(self, purpose: Purpose, row: Mapping[str, Any], model: str, schema: dict[str, Any], **fields: str) -> Ask:
        question = f"control_{purpose}" if row["set"] == "ctrl" else purpose
        rendered = self._recipe.prompts[question].render(
            definition=self._recipe.rubrics[row["facet"]].definition,
            card=card(self._recipe, row),
            exemplar=self._exemplars[row["seed_id"]],
            **fields,
        )
        return Ask(
            model=model,
            messages=tuple(Message(role, text) for role, text in rendered),
            sampling=self._samplings[model],
            schema=schema,
            draw=row.get("draw", 0) + MOST_DRAWS * row["repeat"],
            purpose=purpose,
        )


def _key(row: Mapping[str, Any], purpose: Purpose) -> str:
    return f"{row['id']} {row.get('draw', 0)} {purpose}"


def _exemplar(seed: Mapping[str, Any]) -> str:
    text = conversation_text(seed["messages"])
    return f"{text}\n\n[because]\n{as_data(seed['because'])}" if seed["because"] else text


def _candidates(text: str) -> list[str]:
    """The situations that a reply offers. Raises UnreadableReplyError where there is none."""
    reply = read_json(text, SituationsReply)
    candidates = [s.situation.strip() for s in reply.situations if s.situation.strip()]
    if not candidates:  # a blank one would be unlike all others, and so the most novel
        raise UnreadableReplyError("all that were offered are blank")
    return candidates


def _exemplar_reply(text: str) -> ExemplarReply:
    return read_json(text, ExemplarReply)


def _situation(offered: Reading[list[str]], row: Mapping[str, Any], novelty: Novelty) -> tuple[str, str | None]:
    """(situation, problem): exactly one of them says something."""
    if offered.value is None:
        return "", f"no situation: {offered.problem}"
    chosen = novelty.choose((row["set"], row["facet"]), row["position"], offered.value)
    return offered.value[chosen], None


def _draft(
    row: Mapping[str, Any],
    scenario_ask: Ask,
    exemplar_ask: Ask | None,
    situation: str,
    problem: str | None,
    answers: Mapping[str, Reading[ExemplarReply]],
    round_number: int,
) -> dict[str, Any]:
    reading = answers[exemplar_ask.id] if exemplar_ask else None
    reply = reading.value if reading else None
    return {
        "id": tagged_id("d", row["id"], scenario_ask.id, exemplar_ask.id if exemplar_ask else ""),
        "context_id": row["id"],
        "draw": row["draw"],
        "round": round_number,
        "scenario": situation,
        "messages": [{"role": t.role, "content": t.content.strip()} for t in reply.messages] if reply else None,
        "because": reply.because.strip() if reply else None,
        "teacher": (exemplar_ask or scenario_ask).model,
        "finish_reason": reading.outcome.finish_reason if reading else None,
        "problem": reading.problem if reading else problem,
        "scenario_ask_id": scenario_ask.id,
        "ask_id": exemplar_ask.id if exemplar_ask else None,
    }
