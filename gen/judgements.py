"""verdicts → judgements: ask the judge how far each kept draft expresses its value, and where.

Row by row. Two asks: the level first, without reasoning; then, for texts that reach
`judge.evidence_from`, the spans that show it. A span that is not in the text, letter for letter, is void.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
from pydantic import Field

from thousandfold.prompts import Prompt

from .asking import Asker
from .reasking import Reading, Reasks, readings_of
from .recipe import JudgeSettings, Rubric
from .replies import Reply, UnreadableReplyError, read_json, schema_of, without_thoughts
from .tables import JUDGEMENTS, frame
from .teachers.base import Ask, Message, Purpose, Sampling
from .text import conversation_text

TOP_LEVEL = 4
_LEVEL = re.compile(r"\s*(?:level\s*[:=]?\s*)?([0-4])(?:\s*/\s*4)?\s*\.?\s*", re.IGNORECASE)


class EvidenceItem(Reply):
    item: str = Field(max_length=200)
    span: str = Field(max_length=4000)


class EvidenceReply(Reply):
    items: list[EvidenceItem] = Field(max_length=64)
    reason: str = Field(default="", max_length=2000)


EVIDENCE_SCHEMA = schema_of(EvidenceReply)


@dataclass(frozen=True)
class Judge:
    """Who judges, how, and with which words."""

    model: str  # identity, part of every ask's id
    settings: JudgeSettings
    seed: int
    prompts: Mapping[str, Prompt]
    reasks: int = 2  # of a reply that cannot be read

    @property
    def again(self) -> Reasks:
        return Reasks(self.reasks, self.prompts["reask"])


async def judge_drafts(
    drafts: pl.DataFrame, rubrics: Mapping[str, Rubric], asker: Asker, judge: Judge | None
) -> pl.DataFrame:
    """One JUDGEMENTS row per row of `drafts` (`id`, `facet`, `messages`), in the same order.

    Without a judge every row is `unjudged`. A reply that cannot be read, a final failure, and an ask that
    the budget did not reach leave the row `unscored`, which is not zero.
    """
    rows = drafts.select("id", "facet", "messages").to_dicts()
    if judge is None:
        return frame((_row(row, state="unjudged", reason="no judge is configured") for row in rows), JUDGEMENTS)
    asks = [level_asks(row["messages"], rubrics[row["facet"]], judge) for row in rows]
    rated = await readings_of(asker, [ask for group in asks for ask in group], read_level, reasks=judge.again)
    levels = [_level(group, rated) for group in asks]
    evidence_asks = [
        evidence_ask(row["messages"], rubrics[row["facet"]], judge)
        if isinstance(level, float) and level >= judge.settings.evidence_from
        else None
        for row, level in zip(rows, levels, strict=True)
    ]
    shown = [ask for ask in evidence_asks if ask is not None]
    answers = await readings_of(asker, shown, _evidence_reply, reasks=judge.again)
    return frame(
        (
            _judged(row, rubrics[row["facet"]], group, level, ask, answers, judge.model)
            for row, group, level, ask in zip(rows, asks, levels, evidence_asks, strict=True)
        ),
        JUDGEMENTS,
    )


def level_asks(messages: Sequence[Mapping[str, str]], rubric: Rubric, judge: Judge) -> list[Ask]:
    """`judge.samples` asks for the level, differing in their draw only."""
    fields = {
        "facet": rubric.facet,
        "rubric": _rubric_text(rubric),
        "levels": "\n".join(f"{level}: {text}" for level, text in sorted(rubric.levels.items())),
        "conversation": conversation_text(messages),
    }
    samples = range(judge.settings.samples)
    return [_ask("level", fields, judge, None, judge.settings.level_tokens, draw) for draw in samples]


def evidence_ask(messages: Sequence[Mapping[str, str]], rubric: Rubric, judge: Judge) -> Ask:
    fields = {
        "facet": rubric.facet,
        "rubric": _rubric_text(rubric),
        "items": "\n".join(f"{name}: {text}" for name, text in rubric.evidence.items()),
        "conversation": conversation_text(messages),
    }
    return _ask("evidence", fields, judge, EVIDENCE_SCHEMA, judge.settings.max_tokens, 0)


def longest_judging(rubric: Rubric, judge: Judge, *, reply_tokens: int) -> list[Ask]:
    """The asks for one text as long as a teacher may write: what a budget must hold for judging it."""
    longest = [{"role": "assistant", "content": "x" * 4 * reply_tokens}]
    return [*level_asks(longest, rubric, judge), evidence_ask(longest, rubric, judge)]


def read_level(text: str) -> int:
    """The one digit 0 to 4 that was asked for, as `3`, `3.`, `3/4`, `level 3` or `Level: 3`, whatever the blanks.

    Raises UnreadableReplyError for anything else: a second digit, words, a digit of another script.
    """
    found = _LEVEL.fullmatch(without_thoughts(text))
    if found is None:
        raise UnreadableReplyError(f"the judge was asked for one digit 0 to 4 and wrote {text.strip()[:60]!r}")
    return int(found.group(1))


def verbatim(
    items: Sequence[EvidenceItem], messages: Sequence[Mapping[str, str]], rubric: Rubric
) -> list[dict[str, str]]:
    """The items that the rubric has and whose span stands in an assistant turn, letter for letter."""
    said = [m["content"] for m in messages if m["role"] == "assistant"]
    return [
        {"item": item.item, "span": item.span}
        for item in items
        if item.item in rubric.evidence and item.span.strip() and any(item.span in text for text in said)
    ]


def _rubric_text(rubric: Rubric) -> str:
    parts = {
        "value": rubric.definition,
        "in scope": rubric.in_scope,
        "its reason": rubric.why_item,
        "hollow twin": rubric.hollow_twin,
        "over-expression": rubric.over_expression,
    }
    return "\n".join(f"{name}: {text}" for name, text in parts.items() if text)


def _ask(
    purpose: Purpose,
    fields: Mapping[str, str],
    judge: Judge,
    schema: dict[str, Any] | None,
    max_tokens: int,
    draw: int,
) -> Ask:
    return Ask(
        model=judge.model,
        messages=tuple(Message(role, text) for role, text in judge.prompts[purpose].render(**fields)),
        sampling=Sampling(judge.settings.temperature, max_tokens, judge.seed),
        schema=schema,
        draw=draw,
        purpose=purpose,
    )


def _level(asks: Sequence[Ask], rated: Mapping[str, Reading[int]]) -> float | str:
    """The expected level over the samples, or why there is none."""
    levels = []
    for ask in asks:
        reading = rated.get(ask.id)
        if reading is None:
            return "the budget was spent before it was judged"
        if reading.value is None:
            return reading.problem or "no level"
        levels.append(reading.value)
    return sum(levels) / len(levels)


def _judged(
    row: Mapping[str, Any],
    rubric: Rubric,
    level_group: Sequence[Ask],
    level: float | str,
    ask: Ask | None,
    answers: Mapping[str, Reading[EvidenceReply]],
    judge: str,
) -> dict[str, Any]:
    common = {"judge": judge, "level_ask_id": level_group[0].id, "evidence_ask_id": ask.id if ask else None}
    if isinstance(level, str):
        return _row(row, state="unscored", reason=level, **common)
    spans, reason = _evidence(answers.get(ask.id) if ask else None, row, rubric)
    return _row(row, state="scored", level=level, score=level / TOP_LEVEL, spans=spans, reason=reason, **common)


def _evidence(
    reading: Reading[EvidenceReply] | None, row: Mapping[str, Any], rubric: Rubric
) -> tuple[list[dict[str, str]], str | None]:
    """(spans, the judge's sentence or why there are no spans)."""
    if reading is None:
        return [], None
    if reading.value is None:
        return [], f"no evidence: {reading.problem}"
    return verbatim(reading.value.items, row["messages"], rubric), reading.value.reason or None


def _evidence_reply(text: str) -> EvidenceReply:
    return read_json(text, EvidenceReply)


def _row(row: Mapping[str, Any], **known: Any) -> dict[str, Any]:
    empty = {**dict.fromkeys(JUDGEMENTS), "spans": [], "id": row["id"], "facet": row["facet"]}
    return {**empty, **known}
