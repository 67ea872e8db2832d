"""What a prompt asks for: one of our questions, told apart by the tags in its last user message."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..base import Message, Purpose

RUNGS: tuple[Purpose, ...] = ("hollow", "violating", "over_done")
"""Lesser answers that are asked for: each prompt has a tag of this name."""

DEFAULT_SITUATIONS = 5  # where a prompt does not say how many it wants

_HOW_MANY = re.compile(r"exactly (\d+) different situations?")
_EXCHANGES = re.compile(r"exactly (\d+) exchanges?")
_LENGTH = re.compile(r"about (\d+) words in (\d+) paragraphs?")
_TAIL = re.compile(r"with a probability below (\d*\.?\d+)")
_SHOT = re.compile(r"^---$", re.MULTILINE)
_CONTROL = "for a test of over-expression"  # in the instructions: the value is not to be called for
_MARKED = "[because]"  # in the instructions: the reply is plain text with marked turns
_FACET_LINE = re.compile(r"^facet: *(.+?) *$", re.MULTILINE)
_TURN = re.compile(r"^\[(user|assistant|system)\] ?", re.MULTILINE)


@dataclass(frozen=True)
class Question:
    """A prompt, taken apart. What its purpose does not need is empty."""

    purpose: Purpose
    facet: str | None = None
    levels: Mapping[str, str] = field(default_factory=dict)  # the card's other lines: axis -> level
    described: Mapping[str, str] = field(default_factory=dict)  # axis -> what the card says of that level
    situation: str = ""
    how_many: int = DEFAULT_SITUATIONS
    tail: float | None = None  # situations are wanted whose stated probability is below this
    exchanges: int | None = None
    prose: bool = False
    rotated: bool = False  # a structure and an opening are given
    shots: int = 0  # exemplars besides the first
    control: bool = False  # the value is not called for
    draft: str = ""  # a first version that is to be criticised or revised
    critique: str = ""
    conversation: str = ""
    words: int | None = None  # of the answer that is wanted
    paragraphs: int | None = None
    items: tuple[str, ...] = ()  # evidence items that are offered
    downwards: bool = False  # a judge is shown the levels from the highest
    outside: str = ""  # what a judge is told besides rubric and conversation: words that are no data to it


def read(messages: Sequence[Message]) -> Question | None:
    """The question that the last user message asks, or None where none is one of ours.

    A message that asks none of them, such as one that wants a reply again, speaks of the question before it.
    """
    instructions = next((m.content for m in messages if m.role == "system"), "")
    found = (_read(m.content, prose=_MARKED in instructions) for m in reversed(messages) if m.role == "user")
    question = next((question for question in found if question is not None), None)
    return replace(question, control=True) if question is not None and _CONTROL in instructions else question


def _read(text: str, *, prose: bool) -> Question | None:
    # A quoted exemplar or conversation may itself hold tags; nothing inside one is a question.
    exemplar_first = text.find("<exemplar>") < text.find("<conversation>")
    if exemplar_first or "<conversation>" not in text:
        _, text = _cut(text, "exemplar")
    conversation, rest = _cut(text, "conversation", greedy=False)  # as a reader does, who knows of no later end
    rung = next((kind for kind in RUNGS if f"<{kind}>" in rest), None)
    if conversation is not None and rung is not None:
        return _read_for_rung(rung, conversation, rest)
    if conversation is not None:
        return _read_for_judge(conversation, rest)
    card, text = _cut(text, "card")
    if card is None:
        return None
    return _read_for_writer(card, text, prose=prose)


def _read_for_judge(conversation: str, text: str) -> Question | None:
    facet = _facet(text)
    _, text = _cut(text, "rubric")
    items, text = _cut(text, "evidence")
    if items is not None:
        names = tuple(line.split(":", 1)[0].strip() for line in items.splitlines() if line.strip())
        return Question("evidence", facet=facet, conversation=conversation, items=names)
    levels, text = _cut(text, "levels")
    if levels is None:
        return None
    downwards = levels.lstrip()[:1] > levels.splitlines()[-1].lstrip()[:1] if levels else False
    return Question("level", facet=facet, conversation=conversation, downwards=downwards, outside=text)


def _read_for_rung(rung: Purpose, conversation: str, text: str) -> Question:
    card, text = _cut(text, "card")
    facet, levels, described = _card(card or "")
    situation, text = _cut(text, "situation")
    wanted = _LENGTH.search(text)
    return Question(
        purpose=rung,
        facet=facet,
        levels=levels,
        described=described,
        situation=situation or "",
        conversation=conversation,
        words=int(wanted[1]) if wanted else None,
        paragraphs=int(wanted[2]) if wanted else None,
    )


def _read_for_writer(card: str, text: str, *, prose: bool) -> Question:
    facet, levels, described = _card(card)
    situation, text = _cut(text, "situation")
    others, text = _cut(text, "exemplars")
    draft, text = _cut(text, "draft")
    critique, text = _cut(text, "critique")
    asked, tail, exchanges = _HOW_MANY.search(text), _TAIL.search(text), _EXCHANGES.search(text)
    return Question(
        purpose=_purpose(situation, draft, critique),
        facet=facet,
        levels=levels,
        described=described,
        situation=situation or "",
        how_many=int(asked[1]) if asked else DEFAULT_SITUATIONS,
        tail=float(tail[1]) if tail else None,
        exchanges=int(exchanges[1]) if exchanges else None,
        prose=prose,
        rotated="<scaffold>" in text,
        shots=0 if others is None else len(_SHOT.findall(others)) + 1,
        draft=draft or "",
        critique=critique or "",
    )


def _card(card: str) -> tuple[str | None, dict[str, str], dict[str, str]]:
    """(facet, axis -> level, axis -> what is said of that level) of a card's lines."""
    levels: dict[str, str] = {}
    described: dict[str, str] = {}
    for line in card.splitlines():
        axis, _, value = line.partition(":")
        level, _, description = value.partition(" — ")
        if axis.strip() and level.strip():
            levels[axis.strip()] = level.strip()
            described[axis.strip()] = description.strip()
    return levels.pop("facet", None), levels, described


def _purpose(situation: str | None, draft: str | None, critique: str | None) -> Purpose:
    if situation is None:
        return "scenario"
    if draft is None:
        return "exemplar"
    return "critique" if critique is None else "revision"


def between(text: str, tag: str) -> str:
    """What stands between the tag's first opening and last closing; empty where there is no such tag."""
    return _cut(text, tag)[0] or ""


def turns(conversation: str) -> list[Message]:
    """The `[user] …` and `[assistant] …` blocks of a conversation shown to a judge."""
    pieces = _TURN.split(conversation)
    return [Message(role, content.strip()) for role, content in zip(pieces[1::2], pieces[2::2], strict=True)]


def _facet(text: str) -> str | None:
    found = _FACET_LINE.search(text)
    return found[1] if found else None


def _cut(text: str, tag: str, *, greedy: bool = True) -> tuple[str | None, str]:
    """What stands between the tag's first opening and last closing (first, if not greedy), and the text without it."""
    opening, closing = f"<{tag}>", f"</{tag}>"
    start = text.find(opening)
    end = text.rfind(closing) if greedy else text.find(closing, start)
    if start < 0 or end < start:
        return None, text
    return text[start + len(opening) : end].strip(), text[:start] + text[end + len(closing) :]
