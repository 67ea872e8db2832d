"""contexts → drafts: ask the teacher, through the ledger, for situations and then for one exemplar each.

With [expansion] revise also for a critique of each exemplar and for its revision, which then is the draft.

Row by row, but for the choice of the situation: it is compared with those of the contexts before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
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
from .takeover import Answers, Asked, Question, answered, resolved
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
    reasks = reasks_of(recipe)
    reader = exemplar_reader(prose=recipe.settings.expansion.prose)
    offered = await answered(_scenario_questions(contexts, writer), asker, _situations, reasks=reasks)
    begun: list[_Begun] = []

    def to_write() -> Iterator[Question]:
        """In context order, each with its situation; what is known by then of the contexts stands in `begun`."""
        for place, (row, (asked, reading)) in enumerate(
            zip(contexts.iter_rows(named=True), offered.each(), strict=False)
        ):
            if reading is None:
                continue
            situation, problem = _situation(reading, row, novelty, writer.tail(row))
            begun.append(_Begun(place, row["id"], row["draw"], asked, situation, problem))
            if problem is None:
                # Whoever thought of the situation writes it out, and its own teacher only where that one cannot.
                ask_of = partial(writer.exemplar_ask, row, situation)
                yield writer.question(row, "exemplar", ask_of, first=asked.model)

    written = await answered(to_write(), asker, reader, reasks=reasks)
    drafts = _read(begun, written)
    if recipe.settings.expansion.revise:
        drafts = iter(await _revised(list(drafts), contexts, writer, asker, reader, reasks))
    return frame((draft.row(round_number) for draft in drafts), DRAFTS)


@dataclass(slots=True)
class _Begun:
    """A draft on its way: what was asked for it, and what has come of that."""

    place: int  # of its context in the frame
    context_id: str
    draw: int
    scenario: Asked
    situation: str
    problem: str | None  # why there is no conversation, and nothing more is asked for
    asked: Asked | None = None  # whose reply the draft is, as things stand
    reply: ExemplarReply | None = None
    finish_reason: str | None = None
    earlier: tuple[str, ...] = ()  # asks between the situation and `asked`

    def read(self, asked: Asked, reading: Reading[ExemplarReply]) -> None:
        """Takes the reply for the draft."""
        self.asked = asked
        self.finish_reason, self.reply = reading.outcome.finish_reason, reading.value
        self.problem = reading.problem

    def row(self, round_number: int) -> dict[str, Any]:
        ask_id = self.asked.id if self.asked else None
        turns = self.reply.messages if self.reply else None
        return {
            "id": tagged_id("d", self.context_id, self.scenario.id, ask_id or "", *self.earlier),
            "context_id": self.context_id,
            "draw": self.draw,
            "round": round_number,
            "scenario": self.situation,
            "messages": None if turns is None else [{"role": t.role, "content": t.content.strip()} for t in turns],
            "because": self.reply.because.strip() if self.reply else None,
            "teacher": (self.asked or self.scenario).model,
            "finish_reason": self.finish_reason,
            "problem": self.problem,
            "scenario_ask_id": self.scenario.id,
            "ask_id": ask_id,
            "earlier_ask_ids": list(self.earlier) or None,
        }


def _read(begun: Sequence[_Begun], written: Answers[ExemplarReply]) -> Iterator[_Begun]:
    """The drafts with what was written for them, but for those that the budget did not reach."""
    replies = written.each()
    for draft in begun:
        if draft.problem is None:
            asked, reading = next(replies, (draft.scenario, None))
            if reading is None:
                continue
            draft.read(asked, reading)
        yield draft


async def _revised(
    begun: Sequence[_Begun],
    contexts: pl.DataFrame,
    writer: Writer,
    asker: Asker,
    reader: Callable[[str], ExemplarReply],
    reasks: Reasks,
) -> list[_Begun]:
    """The drafts with what came of their revision, but for those that the budget did not carry to its end.

    A critique that cannot be used leaves no draft: a first version alone is not what was asked for. Whoever wrote the
    first version criticises and revises it, and another teacher only where that one cannot. Control is not revised.
    """
    rows = contexts.to_dicts()
    to_criticise = [draft for draft in begun if draft.reply is not None and expansion.expands(rows[draft.place])]
    questions = [_question(writer, rows[draft.place], draft) for draft in to_criticise]
    critiques = await answered(questions, asker, _critique, reasks=reasks)
    lost = {draft.place for draft in to_criticise}
    to_revise, more = [], []
    for draft, (asked, critique) in zip(to_criticise, critiques.each(), strict=False):
        if critique is None:
            continue
        if critique.value is not None:
            more.append(_question(writer, rows[draft.place], draft, critique.value))
            to_revise.append(draft)
        else:
            lost.remove(draft.place)
        assert draft.asked is not None
        draft.earlier = (draft.asked.id, asked.id)
        draft.asked, draft.reply = None, None
        draft.problem = None if critique.problem is None else f"no critique: {critique.problem}"
    revisions = await answered(more, asker, reader, reasks=reasks)
    for draft, (asked, reading) in zip(to_revise, revisions.each(), strict=False):
        if reading is not None:
            lost.remove(draft.place)
            draft.read(asked, reading)
    return [draft for draft in begun if draft.place not in lost]


def _question(writer: Writer, row: Mapping[str, Any], draft: _Begun, critique: str | None = None) -> Question:
    """For a critique of the first version, or with one for its revision; asked of whoever wrote it before others."""
    assert draft.asked is not None
    assert draft.reply is not None
    if critique is None:
        ask_of = partial(writer.critique_ask, row, draft.situation, draft.reply)
    else:
        ask_of = partial(writer.revision_ask, row, draft.situation, draft.reply, critique)
    purpose: Purpose = "critique" if critique is None else "revision"
    return writer.question(row, purpose, ask_of, first=draft.asked.model)


def _scenario_questions(contexts: pl.DataFrame, writer: Writer) -> Iterator[Question]:
    for row in contexts.iter_rows(named=True):
        yield writer.question(row, "scenario", partial(writer.scenario_ask, row))


def scenario_asks(
    contexts: pl.DataFrame, seeds: pl.DataFrame, recipe: Recipe, asker: Asker, *, teacher: str | Roster
) -> list[Ask]:
    """The first ask of each context (with its `draw`), in order: what tells whether it was begun before."""
    writer = Writer(seeds, recipe, teacher)
    return resolved(list(_scenario_questions(contexts, writer)), asker)


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
