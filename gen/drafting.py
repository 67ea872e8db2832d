"""The asks for a draft and the schemas of their replies: what the words in prompts/ are filled with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import polars as pl
from pydantic import Field

from thousandfold.prompts import as_data

from . import expansion
from .recipe import Recipe
from .replies import Reply, schema_of
from .roster import Roster
from .takeover import Question
from .teachers.base import Ask, Message, Purpose
from .text import conversation_text

MOST_DRAWS = 8
"""Draws that one context may take: a repeated context starts after them, so that no two ask the same question."""

SITUATION_CHARACTERS = 4000
TURN_CHARACTERS = 100_000
CRITIQUE_CHARACTERS = 20_000


class Situation(Reply):
    situation: str = Field(min_length=1, max_length=SITUATION_CHARACTERS)
    probability: float = Field(default=0.5, ge=0, le=1)


class SituationsReply(Reply):
    situations: list[Situation] = Field(min_length=1, max_length=32)


class Turn(Reply):
    role: Literal["system", "user", "assistant"]
    content: str = Field(max_length=TURN_CHARACTERS)


class ExemplarReply(Reply):
    messages: list[Turn] = Field(min_length=1, max_length=40)
    because: str = Field(max_length=4000)


class CritiqueReply(Reply):
    critique: str = Field(min_length=1, max_length=CRITIQUE_CHARACTERS)


SITUATIONS_SCHEMA = schema_of(SituationsReply)
EXEMPLAR_SCHEMA = schema_of(ExemplarReply)
CRITIQUE_SCHEMA = schema_of(CritiqueReply)


def exemplar_prompt_text(
    recipe: Recipe, context: Mapping[str, Any], situation: str, seeds: Sequence[Mapping[str, Any]] = ()
) -> str:
    """What the teacher was told besides the context's own seed: the text that an answer should not echo.

    `seeds` are all rows of SEEDS, of which other exemplars may have been shown.
    """
    switches = recipe.settings.expansion
    expands = expansion.expands(context)
    question = "prose_exemplar" if switches.prose and expands else "exemplar"
    system = next((text for role, text in recipe.prompts[question].sections if role == "system"), "")
    told = [system, card(recipe, context), situation]
    if switches.rotation and expands:
        told += [expansion.pick(context, recipe.prompts[name]) for name in ("scaffolds", "openings")]
    if switches.shots and expands and seeds:
        texts = {seed["id"]: seed["messages"] for seed in seeds}
        others = expansion.other_shots(context, seeds, switches.shots)
        told += [turn["content"] for seed_id in others for turn in texts[seed_id]]
    return "\n".join(told)


def card(recipe: Recipe, context: Mapping[str, Any]) -> str:
    """The context as lines `axis: level — description`, the facet first."""
    order = ["facet", *(axis for axis in recipe.axes if axis != "facet")]
    lines = []
    for axis in order:
        description = recipe.axes[axis].levels[context[axis]]
        lines.append(f"{axis}: {context[axis]}" + (f" — {description}" if description else ""))
    return "\n".join(lines)


class Writer:
    """Renders the asks of this room; what is constant for a facet or a seed is rendered once.

    With `longest` every addition that some context may get is made, of each the longest text.
    """

    def __init__(self, seeds: pl.DataFrame, recipe: Recipe, teacher: str | Roster, *, longest: bool = False) -> None:
        self._recipe = recipe
        self._roster = Roster.alone(teacher, recipe) if isinstance(teacher, str) else teacher
        self._seeds = seeds.to_dicts()
        self._exemplars = {seed["id"]: exemplar_text(seed) for seed in self._seeds}
        self._longest = longest
        self._expansion = recipe.settings.expansion
        self._samplings = {writer.model: writer.sampling(recipe.settings.seed) for writer in self._roster.writers}

    def tail(self, row: Mapping[str, Any]) -> float | None:
        """The probability below which a situation is drawn; None where the most novel one is kept."""
        return self._expansion.tail if self._expansion.verbalised and expansion.expands(row) else None

    def question(
        self, row: Mapping[str, Any], purpose: Purpose, ask_of: Callable[[str], Ask], *, first: str | None = None
    ) -> Question:
        """`ask_of` makes the ask for a model; `first` is whoever should be asked before all others."""
        order = self._roster.order(row["id"])
        if first is not None:
            order = tuple(sorted(order, key=lambda model: model != first))
        return Question(f"{row['id']} {row.get('draw', 0)} {purpose}", order, ask_of)

    def scenario_ask(self, row: Mapping[str, Any], model: str) -> Ask:
        fields = {"how_many": str(self._recipe.settings.drafts.candidates), "exemplar": self._exemplars[row["seed_id"]]}
        tail = self.tail(row)
        if tail is None:
            return self._ask("scenario", _of_set("scenario", row), row, model, SITUATIONS_SCHEMA, **fields)
        fields["tail"] = f"{tail:g}"
        return self._ask("scenario", "verbalised_scenario", row, model, SITUATIONS_SCHEMA, **fields)

    def exemplar_ask(self, row: Mapping[str, Any], situation: str, model: str) -> Ask:
        fields = {"situation": as_data(situation), "exemplar": self._exemplars[row["seed_id"]]}
        if not expansion.expands(row):
            return self._ask("exemplar", "control_exemplar", row, model, EXEMPLAR_SCHEMA, **fields)
        return self._conversation_ask("exemplar", row, model, [*self._shots(row), *self._shape(row)], **fields)

    def critique_ask(self, row: Mapping[str, Any], situation: str, first: ExemplarReply, model: str) -> Ask:
        return self._ask("critique", "critique", row, model, CRITIQUE_SCHEMA, **_first_version(situation, first))

    def revision_ask(
        self, row: Mapping[str, Any], situation: str, first: ExemplarReply, critique: str, model: str
    ) -> Ask:
        fields = {**_first_version(situation, first), "critique": as_data(critique)}
        return self._conversation_ask("revision", row, model, self._shape(row), **fields)

    def _conversation_ask(
        self, purpose: Purpose, row: Mapping[str, Any], model: str, added: Sequence[str], **fields: str
    ) -> Ask:
        prose = self._expansion.prose
        question = f"prose_{purpose}" if prose else purpose
        return self._ask(purpose, question, row, model, None if prose else EXEMPLAR_SCHEMA, added=added, **fields)

    def _shots(self, row: Mapping[str, Any]) -> list[str]:
        """More exemplars for the teacher, as the end of its question."""
        if not self._expansion.shots:
            return []
        others = expansion.other_shots(row, self._seeds, self._expansion.shots)
        shown = "\n\n---\n\n".join(self._exemplars[seed_id] for seed_id in others)
        return [self._text("shots", exemplars=shown)] if others else []

    def _shape(self, row: Mapping[str, Any]) -> list[str]:
        """How the conversation is to be built, as the end of the question."""
        added = []
        if self._expansion.rotation:
            lists = [self._recipe.prompts[name] for name in ("scaffolds", "openings")]
            scaffold, opening = (max(p.items, key=len) if self._longest else expansion.pick(row, p) for p in lists)
            added.append(self._text("rotation", scaffold=scaffold, opening=opening))
        count = (
            int(max(self._expansion.turns, default="0")) if self._longest else expansion.exchanges(row, self._expansion)
        )
        return [*added, self._text("turns", exchanges=str(count))] if count else added

    def _text(self, name: str, **fields: str) -> str:
        return "\n\n".join(text for _, text in self._recipe.prompts[name].render(**fields))

    def _ask(
        self,
        purpose: Purpose,
        question: str,
        row: Mapping[str, Any],
        model: str,
        schema: dict[str, Any] | None,
        *,
        added: Sequence[str] = (),
        **fields: str,
    ) -> Ask:
        *before, (role, asked) = self._recipe.prompts[question].render(
            definition=self._recipe.rubrics[row["facet"]].definition, card=card(self._recipe, row), **fields
        )
        rendered = [*before, (role, "\n\n".join((asked, *added)))]
        return Ask(
            model=model,
            messages=tuple(Message(role, text) for role, text in rendered),
            sampling=self._samplings[model],
            schema=schema,
            draw=row.get("draw", 0) + MOST_DRAWS * row["repeat"],
            purpose=purpose,
        )


def _of_set(question: str, row: Mapping[str, Any]) -> str:
    return question if expansion.expands(row) else f"control_{question}"


def _first_version(situation: str, first: ExemplarReply) -> dict[str, str]:
    """The fields of a question about a first version."""
    return {"situation": as_data(situation), "draft": exemplar_text(first.model_dump())}


def exemplar_text(seed: Mapping[str, Any]) -> str:
    text = conversation_text(seed["messages"])
    return f"{text}\n\n[because]\n{as_data(seed['because'])}" if seed["because"] else text
