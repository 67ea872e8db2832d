"""drafts → ladders: ask the teacher for lesser answers to the same person: hollow, violating, over-done.

A judge must put the four in order before it may filter, and a hollow one is the rejected half of a preference pair.
All that is said before the last turn stays as it is. Row by row.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

import polars as pl
from pydantic import Field

from thousandfold.prompts import as_data

from .asking import Asker
from .reasking import Reading, Reasks
from .recipe import Recipe
from .replies import Reply, UnreadableReplyError, read_json, schema_of
from .roster import Roster
from .tables import LADDERS, frame, tagged_id
from .takeover import Question, answered, resolved
from .teachers.base import Ask, Message
from .text import conversation_text

Kind = Literal["hollow", "violating", "over_done"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""The lesser answers, each a prompt of its name."""

GENUINE = "genuine"
NOT_REACHED = "the budget did not reach it"

ANSWER_CHARACTERS = 100_000
SITUATION_CHARACTERS = 600  # of a situation of the usual length
LONGEST_CHARACTERS = 8_000  # of a conversation up to its last turn, where a budget must hold what is not known yet

_LIST_ITEM = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+\S", re.MULTILINE)
_HEADING = re.compile(r"^\s*#{1,6}\s+\S", re.MULTILINE)
_CODE_BLOCK = re.compile(r"^\s*(?:```|~~~)", re.MULTILINE)
_BOLD = re.compile(r"\*\*\S|__\S")

# Where a rubric says nothing of it.
_LIKENESS: Mapping[Kind, str] = {
    "hollow": "polite, complete-looking and by the book; it could be sent unchanged about any other matter, and leaves"
    " the person where they were",
    "violating": "does the opposite of what the value asks for",
    "over_done": "does so much of what the value asks for, or so insistently, that it gets in the person's way",
}


class AnswerReply(Reply):
    answer: str = Field(min_length=1, max_length=ANSWER_CHARACTERS)


ANSWER_SCHEMA = schema_of(AnswerReply)


@dataclass(frozen=True)
class Form:
    """How a text is set out: what two answers must have in common, lest the form tell which is the better."""

    words: int
    paragraphs: int
    lists: bool
    headings: bool
    code: bool
    bold: bool

    @property
    def marks(self) -> tuple[str, ...]:
        """What of markup it has, by name."""
        return tuple(name for name in ("lists", "headings", "code", "bold") if getattr(self, name))


def form_of(text: str) -> Form:
    """Words are runs of what is not blank; a paragraph is parted from the next by an empty line."""
    return Form(
        words=len(text.split()),
        paragraphs=sum(bool(part.strip()) for part in re.split(r"\n\s*\n", text)),
        lists=_LIST_ITEM.search(text) is not None,
        headings=_HEADING.search(text) is not None,
        code=_CODE_BLOCK.search(text) is not None,
        bold=_BOLD.search(text) is not None,
    )


async def write_ladders(
    drafts: pl.DataFrame,
    contexts: pl.DataFrame,
    recipe: Recipe,
    asker: Asker,
    *,
    teacher: str | Roster,
    kinds: Sequence[str] = KINDS,
) -> pl.DataFrame:
    """One LADDERS row for each draft itself and one for each of `kinds`, in the order of `drafts`.

    `drafts` has the columns of DRAFTS, `contexts` those of CONTEXTS and a facet. A row without `messages` has a
    `reason`: a draft that holds no answer, a reply that could not be read or never came, a budget that did not reach.
    `teacher` is one model, or several: then whoever wrote a draft writes its ladder too, and another only where that
    one cannot. Raises what `Asker.answers` raises.
    """
    writer = _Writer(recipe, teacher)
    known = {row["id"]: row for row in contexts.to_dicts()}
    rungs = _rungs(drafts, known, recipe, kinds)
    to_ask = [rung for rung in rungs if rung.problem is None]
    reasks = reasks_of(recipe)
    answers = await answered((writer.question(rung) for rung in to_ask), asker, _answer, reasks=reasks)
    for rung in to_ask:
        rung.problem = NOT_REACHED
    for rung, (asked, reading) in zip(to_ask, answers.each(), strict=False):
        rung.take(asked.id, reading)
    return frame(_rows(drafts, known, rungs), LADDERS)


def ladder_asks(
    drafts: pl.DataFrame,
    contexts: pl.DataFrame,
    recipe: Recipe,
    asker: Asker,
    *,
    teacher: str | Roster,
    kinds: Sequence[str] = KINDS,
) -> list[Ask]:
    """What `write_ladders` will ask first, in order."""
    writer = _Writer(recipe, teacher)
    rungs = _rungs(drafts, {row["id"]: row for row in contexts.to_dicts()}, recipe, kinds)
    return resolved([writer.question(rung) for rung in rungs if rung.problem is None], asker)


def reasks_of(recipe: Recipe) -> Reasks:
    return Reasks(recipe.settings.run.reasks, recipe.prompts["reask"])


def longest_ask(recipe: Recipe, context: Mapping[str, Any], teacher: Roster, kind: Kind = "hollow") -> Ask:
    """The ask for a lesser answer at the end of a long conversation: what a budget must hold for it."""
    words = "x" * LONGEST_CHARACTERS
    draft = {
        "id": "", "context_id": context["id"], "scenario": "x" * SITUATION_CHARACTERS, "teacher": teacher.models[0],
        "problem": None, "messages": [{"role": "user", "content": words}, {"role": "assistant", "content": words}],
    }  # fmt: skip
    return _Writer(recipe, teacher).ask(_Rung(draft, context, kind), teacher.models[0])


class _Rung:
    """One answer on its way: what it is the lesser twin of, and what has come of that."""

    def __init__(self, draft: Mapping[str, Any], context: Mapping[str, Any], kind: str) -> None:
        self.draft, self.context, self.kind = draft, context, kind
        self.ask_id: str | None = None
        self.answer: str | None = None
        self.problem = _lacks(draft)

    def take(self, ask_id: str, reading: Reading[str] | None) -> None:
        self.ask_id = ask_id
        self.answer = reading.value if reading else None
        self.problem = reading.problem if reading else NOT_REACHED

    def row(self) -> dict[str, Any]:
        turns = None
        if self.answer is not None:
            turns = [*self.draft["messages"][:-1], {"role": "assistant", "content": self.answer}]
        return _row(self.draft, self.context, self.kind, turns, self.problem, self.ask_id)


def _rungs(
    drafts: pl.DataFrame, contexts: Mapping[str, Mapping[str, Any]], recipe: Recipe, kinds: Sequence[str]
) -> list[_Rung]:
    rungs = [_Rung(draft, contexts[draft["context_id"]], kind) for draft in drafts.to_dicts() for kind in kinds]
    for rung in rungs:
        if rung.context["facet"] not in recipe.rubrics:
            rung.problem = rung.problem or f"there is no rubric of the facet {rung.context['facet']!r}"
    return rungs


def _lacks(draft: Mapping[str, Any]) -> str | None:
    """Why a draft has no answer that a lesser one could stand for."""
    turns = draft["messages"]
    if not turns:
        return f"there is no draft: {draft['problem'] or 'it has no turns'}"
    last = turns[-1]
    if last["role"] != "assistant" or not (last["content"] or "").strip():
        return "the draft does not end with an answer"
    return None


def _rows(
    drafts: pl.DataFrame, contexts: Mapping[str, Mapping[str, Any]], rungs: Sequence[_Rung]
) -> Iterator[dict[str, Any]]:
    """Each draft, then its lesser twins."""
    waiting = iter(rungs)
    each = len(rungs) // max(1, drafts.height)
    for draft in drafts.to_dicts():
        problem = _lacks(draft)
        turns = draft["messages"] if problem is None else None
        yield _row(draft, contexts[draft["context_id"]], GENUINE, turns, problem, None)
        for _ in range(each):
            yield next(waiting).row()


def _row(
    draft: Mapping[str, Any],
    context: Mapping[str, Any],
    kind: str,
    turns: Sequence[Mapping[str, str]] | None,
    reason: str | None,
    ask_id: str | None,
) -> dict[str, Any]:
    return {
        "id": tagged_id("l", draft["id"], kind, ask_id or ""),
        "context_id": draft["context_id"],
        "facet": context["facet"],
        "kind": kind,
        "messages": turns,
        "ask_id": ask_id,
        "draft_id": draft["id"],
        "reason": reason,
        "split": context["split"],
    }


class _Writer:
    """Renders the asks of this room. What is the same for a facet stands first, so that a prefix cache can hold it."""

    def __init__(self, recipe: Recipe, teacher: str | Roster) -> None:
        self._recipe = recipe
        self._roster = Roster.alone(teacher, recipe) if isinstance(teacher, str) else teacher
        self._samplings = {writer.model: writer.sampling(recipe.settings.seed) for writer in self._roster.writers}

    def question(self, rung: _Rung) -> Question:
        order = self._roster.order(rung.draft["context_id"])
        order = tuple(sorted(order, key=lambda model: model != rung.draft["teacher"]))
        return Question(f"{rung.draft['id']} {rung.kind}", order, partial(self.ask, rung))

    def ask(self, rung: _Rung, model: str) -> Ask:
        *before, last = rung.draft["messages"]
        form = form_of(last["content"])
        rendered = self._recipe.prompts[rung.kind].render(
            definition=self._recipe.rubrics[rung.context["facet"]].definition,
            likeness=self._likeness(rung),
            card=self._card(rung.context),
            situation=as_data(rung.draft["scenario"] or "It is told in the conversation."),
            conversation=conversation_text(before),
            words=str(_rounded(form.words)),
            paragraphs="1 paragraph" if form.paragraphs == 1 else f"{form.paragraphs} paragraphs",
            form=f"with {' and '.join(form.marks)}" if form.marks else "as plain prose without lists or headings",
        )
        return Ask(
            model=model,
            messages=tuple(Message(role, text) for role, text in rendered),
            sampling=self._samplings[model],
            schema=ANSWER_SCHEMA,
            purpose=_kind(rung.kind),
        )

    def _likeness(self, rung: _Rung) -> str:
        """The rubric's own words for this kind of answer."""
        rubric = self._recipe.rubrics[rung.context["facet"]]
        said = {"hollow": rubric.hollow_twin, "violating": rubric.levels["0"], "over_done": rubric.over_expression}
        return said[rung.kind].strip() or _LIKENESS[_kind(rung.kind)]

    def _card(self, context: Mapping[str, Any]) -> str:
        """The context as lines `axis: level — description`, the facet first; an axis that is not known is left out."""
        lines = []
        for axis in ("facet", *(name for name in self._recipe.axes if name != "facet")):
            level = context.get(axis)
            if level is not None:
                described = self._recipe.axes[axis].levels.get(level, "")
                lines.append(f"{axis}: {level}" + (f" — {described}" if described else ""))
        return "\n".join(lines)


def _kind(name: str) -> Kind:
    return next(kind for kind in KINDS if kind == name)


def _rounded(words: int) -> int:
    """To tens: nobody counts the words that they write, and a number to the unit asks for padding."""
    return max(10, round(words, -1))


def _answer(text: str) -> str:
    """The turn that a reply holds. Raises UnreadableReplyError where there is none."""
    answer = read_json(text, AnswerReply).answer.strip()
    if not answer:
        raise UnreadableReplyError("answer: it is blank")
    return answer
