"""contexts → drafts: ask the teacher, through the ledger, for situations and then for one exemplar each.

With [expansion] revise also for a critique of each exemplar and for its revision, which then is the draft.

Row by row, but for the choice of the situation: it is compared with those of the contexts before it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import polars as pl
from pydantic import ValidationError

from . import expansion
from .asking import Asker
from .drafting import (
    CRITIQUE_CHARACTERS,
    TURN_CHARACTERS,
    CritiqueReply,
    ExemplarReply,
    SituationsReply,
    Turn,
    Writer,
)
from .drafting import card as card
from .drafting import exemplar_prompt_text as exemplar_prompt_text
from .novelty import Novelty as Novelty
from .prose import read_prose
from .reasking import Reading, Reasks
from .recipe import Recipe
from .replies import UnreadableReplyError, read_json
from .roster import Roster
from .tables import DRAFTS, frame, tagged_id
from .takeover import Question, answered, resolved
from .teachers.base import Ask, Purpose, request_seed

Offered = list[tuple[str, float]]
"""Situations with the probability that the teacher gave them."""


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
    writer = Writer(seeds, recipe, teacher)
    rows = contexts.to_dicts()
    reasks = reasks_of(recipe)
    situation_asks, offered = await answered(_scenario_questions(rows, writer), asker, _situations, reasks=reasks)
    begun = []
    for row, ask in zip(rows, situation_asks, strict=True):
        if ask.id in offered:
            situation, problem = _situation(offered[ask.id], row, novelty, writer.tail(row))
            begun.append(_Begun(row, ask, situation, problem))
    # Whoever thought of the situation writes it out, and its own teacher only where that one cannot.
    reader = exemplar_reader(prose=recipe.settings.expansion.prose)
    to_write = [draft for draft in begun if draft.problem is None]
    questions = [
        writer.question(
            draft.context,
            "exemplar",
            partial(writer.exemplar_ask, draft.context, draft.situation),
            first=draft.scenario_ask.model,
        )
        for draft in to_write
    ]
    asks, answers = await answered(questions, asker, reader, reasks=reasks)
    for draft, ask in zip(to_write, asks, strict=True):
        draft.ask = ask
    begun = [draft for draft in begun if draft.ask is None or draft.ask.id in answers]
    for draft in begun:
        draft.read(answers)
    if recipe.settings.expansion.revise:
        begun = await _revised(begun, writer, asker, reader, reasks)
    return frame((draft.row(round_number) for draft in begun), DRAFTS)


@dataclass
class _Begun:
    """A draft on its way: what was asked for it, and what has come of that."""

    context: Mapping[str, Any]
    scenario_ask: Ask
    situation: str
    problem: str | None  # why there is no conversation, and nothing more is asked for
    ask: Ask | None = None  # whose reply the draft is, as things stand
    reply: ExemplarReply | None = None
    finish_reason: str | None = None
    earlier: tuple[str, ...] = ()  # asks between the situation and `ask`

    @property
    def is_revised(self) -> bool:
        """Whether a critique is asked for: of what could be read, and not of control."""
        return self.reply is not None and expansion.expands(self.context)

    def read(self, answers: Mapping[str, Reading[ExemplarReply]]) -> None:
        """Takes the reply to `ask` for the draft."""
        if self.ask is not None:
            reading = answers[self.ask.id]
            self.finish_reason, self.reply = reading.outcome.finish_reason, reading.value
            self.problem = reading.problem

    def row(self, round_number: int) -> dict[str, Any]:
        ask_id = self.ask.id if self.ask else None
        turns = self.reply.messages if self.reply else None
        return {
            "id": tagged_id("d", self.context["id"], self.scenario_ask.id, ask_id or "", *self.earlier),
            "context_id": self.context["id"],
            "draw": self.context["draw"],
            "round": round_number,
            "scenario": self.situation,
            "messages": None if turns is None else [{"role": t.role, "content": t.content.strip()} for t in turns],
            "because": self.reply.because.strip() if self.reply else None,
            "teacher": (self.ask or self.scenario_ask).model,
            "finish_reason": self.finish_reason,
            "problem": self.problem,
            "scenario_ask_id": self.scenario_ask.id,
            "ask_id": ask_id,
            "earlier_ask_ids": list(self.earlier) or None,
        }


async def _revised(
    begun: Sequence[_Begun], writer: Writer, asker: Asker, reader: Callable[[str], ExemplarReply], reasks: Reasks
) -> list[_Begun]:
    """The drafts with what came of their revision, but for those that the budget did not carry to its end.

    A critique that cannot be used leaves no draft: a first version alone is not what was asked for. Whoever wrote the
    first version criticises and revises it, and another teacher only where that one cannot.
    """
    to_criticise = [draft for draft in begun if draft.is_revised]
    questions = [_question(writer, draft, draft.reply) for draft in to_criticise]
    asks, critiques = await answered(questions, asker, _critique, reasks=reasks)
    to_revise, more = [], []
    for draft, ask in zip(to_criticise, asks, strict=True):
        if ask.id not in critiques:
            continue
        assert draft.ask is not None
        critique, before = critiques[ask.id], draft.reply
        draft.earlier = (draft.ask.id, ask.id)
        if critique.value is not None:
            more.append(_question(writer, draft, before, critique.value))
            to_revise.append(draft)
        draft.ask, draft.reply = None, None
        draft.problem = None if critique.problem is None else f"no critique: {critique.problem}"
    asks_again, revisions = await answered(more, asker, reader, reasks=reasks)
    for draft, ask in zip(to_revise, asks_again, strict=True):
        draft.ask = ask
        if ask.id in revisions:
            draft.read(revisions)
    lost = {id(d) for d, ask in zip(to_criticise, asks, strict=True) if ask.id not in critiques}
    lost |= {id(d) for d, ask in zip(to_revise, asks_again, strict=True) if ask.id not in revisions}
    return [draft for draft in begun if id(draft) not in lost]


def _question(writer: Writer, draft: _Begun, first: ExemplarReply | None, critique: str | None = None) -> Question:
    """For a critique of the first version, or with one for its revision; asked of whoever wrote it before others."""
    assert draft.ask is not None
    assert first is not None
    if critique is None:
        ask_of = partial(writer.critique_ask, draft.context, draft.situation, first)
    else:
        ask_of = partial(writer.revision_ask, draft.context, draft.situation, first, critique)
    purpose: Purpose = "critique" if critique is None else "revision"
    return writer.question(draft.context, purpose, ask_of, first=draft.ask.model)


def _scenario_questions(rows: Sequence[Mapping[str, Any]], writer: Writer) -> list[Question]:
    return [writer.question(row, "scenario", partial(writer.scenario_ask, row)) for row in rows]


def scenario_asks(
    contexts: pl.DataFrame, seeds: pl.DataFrame, recipe: Recipe, asker: Asker, *, teacher: str | Roster
) -> list[Ask]:
    """The first ask of each context (with its `draw`), in order: what tells whether it was begun before."""
    writer = Writer(seeds, recipe, teacher)
    return resolved(_scenario_questions(contexts.to_dicts(), writer), asker)


def longest_path(recipe: Recipe, seeds: pl.DataFrame, context: Mapping[str, Any], teacher: str | Roster) -> list[Ask]:
    """The asks for one draft with a situation of the usual length: what a budget must hold for it.

    A first version and its critique are as long as a reply may be, and no addition of [expansion] is left out.
    """
    writer = Writer(seeds, recipe, teacher, longest=True)
    model = teacher if isinstance(teacher, str) else teacher.models[0]
    path = [writer.scenario_ask(context, model), writer.exemplar_ask(context, "x" * 600, model)]
    if recipe.settings.expansion.revise:
        longest = "x" * 4 * path[-1].sampling.max_tokens
        reply = ExemplarReply.model_construct(
            messages=[Turn(role="assistant", content=longest[:TURN_CHARACTERS])], because=""
        )
        row = {**context, "set": "train"}
        path.append(writer.critique_ask(row, "x" * 600, reply, model))
        path.append(writer.revision_ask(row, "x" * 600, reply, longest[:CRITIQUE_CHARACTERS], model))
    return path


def reasks_of(recipe: Recipe) -> Reasks:
    return Reasks(recipe.settings.run.reasks, recipe.prompts["reask"])


def _situations(text: str) -> Offered:
    """The situations that a reply offers. Raises UnreadableReplyError where there is none."""
    reply = read_json(text, SituationsReply)
    offered = [(s.situation.strip(), s.probability) for s in reply.situations if s.situation.strip()]
    if not offered:  # a blank one would be unlike all others, and so the most novel
        raise UnreadableReplyError("all that were offered are blank")
    return offered


def _situation(
    offered: Reading[Offered], row: Mapping[str, Any], novelty: Novelty, tail: float | None
) -> tuple[str, str | None]:
    """(situation, problem): exactly one of them says something."""
    if offered.value is None:
        return "", f"no situation: {offered.problem}"
    if tail is not None:
        return expansion.from_the_tail(offered.value, tail=tail, seed=request_seed(offered.outcome.ask_id)), None
    candidates = [text for text, _ in offered.value]
    return candidates[novelty.choose((row["set"], row["facet"]), row["position"], candidates)], None


def exemplar_reader(*, prose: bool) -> Callable[[str], ExemplarReply]:
    """What reads an exemplar. Where prose was asked for, JSON is understood as well."""
    return _read_prose_first if prose else partial(read_json, reply=ExemplarReply)


def _read_prose_first(text: str) -> ExemplarReply:
    try:
        turns, because = read_prose(text)
    except UnreadableReplyError as error:
        try:
            return read_json(text, ExemplarReply)
        except UnreadableReplyError as json_error:
            raise (json_error if text.lstrip().startswith("{") else error) from None
    try:
        return ExemplarReply.model_validate(
            {"messages": [{"role": role, "content": said} for role, said in turns], "because": because}
        )
    except ValidationError:
        problem = "a turn, the reason or their number is beyond what an exemplar may have"
        raise UnreadableReplyError(problem) from None


def _critique(text: str) -> str:
    return read_json(text, CritiqueReply).critique.strip()
