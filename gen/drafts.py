"""contexts → drafts: ask the teacher, through the ledger, for situations and then for one exemplar each.

With [expansion] revise also for a critique of each exemplar and for its revision, which then is the draft.

Row by row, but for the choice of the situation: it is compared with those of the contexts before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from .recipe import Recipe
from .replies import UnreadableReplyError, read_json
from .tables import DRAFTS, frame, tagged_id
from .teachers.base import Ask, Outcome, request_seed


async def write_drafts(
    contexts: pl.DataFrame,
    seeds: pl.DataFrame,
    recipe: Recipe,
    asker: Asker,
    novelty: Novelty,
    *,
    teacher: str,
    round_number: int,
) -> pl.DataFrame:
    """One DRAFTS row per context that the budget reached, in the order given.

    `contexts` is a CONTEXTS frame with one more column, `draw` (0 for the first try). A reply that cannot
    be read, or a final failure, is a row without messages and with its `problem`.
    """
    writer = Writer(seeds, recipe, teacher)
    rows = contexts.to_dicts()
    situation_asks = [writer.scenario_ask(row) for row in rows]
    answers = await asker.answers(situation_asks)
    drafts = []
    for row, ask in zip(rows, situation_asks, strict=True):
        if ask.id not in answers:
            continue
        situation, problem = _situation(answers[ask.id], row, novelty, writer.tail(row))
        drafts.append((row, ask, situation, problem))
    exemplar_asks = [None if problem else writer.exemplar_ask(row, text) for row, _, text, problem in drafts]
    answers = await asker.answers([ask for ask in exemplar_asks if ask is not None])
    begun = [
        _Begun(row, scenario_ask, situation, problem, exemplar_ask)
        for (row, scenario_ask, situation, problem), exemplar_ask in zip(drafts, exemplar_asks, strict=True)
        if exemplar_ask is None or exemplar_ask.id in answers
    ]
    for draft in begun:
        draft.read(answers)
    if recipe.settings.expansion.revise:
        begun = await _revised(begun, writer, asker)
    return frame((draft.row(teacher, round_number) for draft in begun), DRAFTS)


@dataclass
class _Begun:
    """A draft on its way: what was asked for it, and what has come of that."""

    context: Mapping[str, Any]
    scenario_ask: Ask
    situation: str
    problem: str | None  # why there is no conversation, and nothing more is asked for
    ask: Ask | None  # whose reply the draft is, as things stand
    reply: ExemplarReply | None = None
    finish_reason: str | None = None
    earlier: tuple[str, ...] = ()  # asks between the situation and `ask`

    @property
    def expands(self) -> bool:
        return expansion.expands(self.context)

    def read(self, answers: Mapping[str, Outcome]) -> None:
        """Takes the reply to `ask` for the draft."""
        if self.ask is None:
            return
        outcome = answers[self.ask.id]
        self.finish_reason = outcome.finish_reason
        self.reply, self.problem = read_exemplar(outcome, prose=self.ask.schema is None)

    def row(self, teacher: str, round_number: int) -> dict[str, Any]:
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
            "teacher": teacher,
            "finish_reason": self.finish_reason,
            "problem": self.problem,
            "scenario_ask_id": self.scenario_ask.id,
            "ask_id": ask_id,
            "earlier_ask_ids": list(self.earlier) or None,
        }


async def _revised(begun: Sequence[_Begun], writer: Writer, asker: Asker) -> list[_Begun]:
    """The drafts with what came of their revision, but for those that the budget did not carry to its end.

    A critique that cannot be used leaves no draft: a first version alone is not what was asked for.
    """
    critiques = [writer.critique_ask(d.context, d.situation, d.reply) if d.reply and d.expands else None for d in begun]
    answers = await asker.answers([ask for ask in critiques if ask is not None])
    revisions: list[Ask | None] = []
    for draft, ask in zip(begun, critiques, strict=True):
        revision = None
        if ask is not None and draft.reply is not None and draft.ask is not None and ask.id in answers:
            critique, problem = _critique(answers[ask.id])
            draft.earlier = (draft.ask.id, ask.id)
            if problem is None:
                revision = writer.revision_ask(draft.context, draft.situation, draft.reply, critique)
            draft.ask, draft.reply, draft.problem = revision, None, problem
        revisions.append(revision)
    reached = [ask is None or ask.id in answers for ask in critiques]
    answers = await asker.answers([ask for ask in revisions if ask is not None])
    done = []
    for draft, revision, criticised in zip(begun, revisions, reached, strict=True):
        if revision is not None and revision.id in answers:
            draft.read(answers)
        if criticised and (revision is None or revision.id in answers):
            done.append(draft)
    return done


def scenario_asks(contexts: pl.DataFrame, seeds: pl.DataFrame, recipe: Recipe, *, teacher: str) -> list[Ask]:
    """The first ask of each context (with its `draw`), in order: what tells whether it was begun before."""
    writer = Writer(seeds, recipe, teacher)
    return [writer.scenario_ask(row) for row in contexts.iter_rows(named=True)]


def longest_path(recipe: Recipe, seeds: pl.DataFrame, context: Mapping[str, Any], teacher: str) -> list[Ask]:
    """The asks for one draft with a situation of the usual length: what a budget must hold for it.

    A first version and its critique are as long as a reply may be, and no addition of [expansion] is left out.
    """
    writer = Writer(seeds, recipe, teacher, longest=True)
    first = writer.exemplar_ask(context, "x" * 600)
    path = [writer.scenario_ask(context), first]
    if recipe.settings.expansion.revise:
        longest = "x" * 4 * recipe.settings.teacher.max_tokens
        reply = ExemplarReply.model_construct(
            messages=[Turn(role="assistant", content=longest[:TURN_CHARACTERS])], because=""
        )
        row = {**context, "set": "train"}
        path.append(writer.critique_ask(row, "x" * 600, reply))
        path.append(writer.revision_ask(row, "x" * 600, reply, longest[:CRITIQUE_CHARACTERS]))
    return path


def _situation(
    outcome: Outcome, row: Mapping[str, Any], novelty: Novelty, tail: float | None
) -> tuple[str, str | None]:
    """(situation, problem): exactly one of them says something."""
    if outcome.text is None:
        return "", f"no situation: {outcome.failure}: {outcome.detail}"
    try:
        reply = read_json(outcome.text, SituationsReply)
    except UnreadableReplyError as error:
        return "", f"no situation: {error}"
    offered = [(s.situation.strip(), s.probability) for s in reply.situations if s.situation.strip()]
    if not offered:  # a blank one would be unlike all others, and so the most novel
        return "", "no situation: all that were offered are blank"
    if tail is not None:
        return expansion.from_the_tail(offered, tail=tail, seed=request_seed(outcome.ask_id)), None
    candidates = [text for text, _ in offered]
    return candidates[novelty.choose((row["set"], row["facet"]), row["position"], candidates)], None


def read_exemplar(outcome: Outcome, *, prose: bool) -> tuple[ExemplarReply | None, str | None]:
    """(reply, problem), one of which is None. JSON is understood as well where prose was asked for."""
    if outcome.text is None:
        return None, f"{outcome.failure}: {outcome.detail}"
    try:
        if not prose:
            return read_json(outcome.text, ExemplarReply), None
        try:
            turns, because = read_prose(outcome.text)
        except UnreadableReplyError as error:
            try:
                return read_json(outcome.text, ExemplarReply), None
            except UnreadableReplyError:
                raise error from None
        return ExemplarReply.model_validate(
            {"messages": [{"role": role, "content": said} for role, said in turns], "because": because}
        ), None
    except UnreadableReplyError as error:
        return None, str(error)
    except ValidationError:
        return None, "a turn, the reason or their number is beyond what an exemplar may have"


def _critique(outcome: Outcome) -> tuple[str, str | None]:
    if outcome.text is None:
        return "", f"no critique: {outcome.failure}: {outcome.detail}"
    try:
        return read_json(outcome.text, CritiqueReply).critique.strip(), None
    except UnreadableReplyError as error:
        return "", f"no critique: {error}"
