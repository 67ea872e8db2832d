"""verdicts → judgements: ask the judge how far each kept draft expresses its value, and where.

Row by row. Two asks: the level first, without reasoning; then, for texts that reach
`judge.evidence_from`, the spans that show it. A span that is not in the text, letter for letter, is void.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from .asking import Asker
from .judge_replies import EVIDENCE_SCHEMA, TOP_LEVEL, EvidenceItem, EvidenceReply, read_evidence, read_level, verbatim
from .judges import Judge, Panel, evidence_ask, judge_hash, level_asks, longest_judging
from .reasking import Reading, readings_of
from .recipe import Rubric
from .tables import JUDGEMENTS, frame
from .teachers.base import Ask

__all__ = [
    "EVIDENCE_SCHEMA",
    "TOP_LEVEL",
    "EvidenceItem",
    "EvidenceReply",
    "Judge",
    "Panel",
    "evidence_ask",
    "judge_drafts",
    "judge_hash",
    "level_asks",
    "longest_judging",
    "read_level",
    "verbatim",
]


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
    answers = await readings_of(asker, shown, read_evidence, reasks=judge.again)
    return frame(
        (
            _judged(row, rubrics[row["facet"]], group, level, ask, answers, judge.model)
            for row, group, level, ask in zip(rows, asks, levels, evidence_asks, strict=True)
        ),
        JUDGEMENTS,
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


def _row(row: Mapping[str, Any], **known: Any) -> dict[str, Any]:
    empty = {**dict.fromkeys(JUDGEMENTS), "spans": [], "id": row["id"], "facet": row["facet"]}
    return {**empty, **known}
