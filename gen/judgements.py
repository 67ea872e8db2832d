"""verdicts → judgements: ask the judges how far each kept draft expresses its value, and where.

Row by row. Two asks to each judge: the level first, without reasoning; then, for texts that reach `evidence_from`, the
spans that show it. A span that is not in the text, letter for letter, is void. A level is the expected one, by the
log-probabilities of the digit where the endpoint gives them, else the mean of the samples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import polars as pl

from .asking import Asker
from .judge_replies import (
    DIGITS,
    EVIDENCE_SCHEMA,
    TOP_LEVEL,
    EvidenceItem,
    EvidenceReply,
    expected_level,
    read_evidence,
    read_level,
    verbatim,
)
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

T = TypeVar("T")


Row = Mapping[str, Any]


async def judge_drafts(
    drafts: pl.DataFrame, rubrics: Mapping[str, Rubric], asker: Asker, judge: Judge | Panel | None
) -> pl.DataFrame:
    """One JUDGEMENTS row per row of `drafts` (`id`, `facet`, `messages`), in the same order.

    Without a judge every row is `unjudged`. A reply that cannot be read, a final failure, and an ask that the budget
    did not reach leave the row without that judge's level, and the row `unscored`, which is not zero, where fewer
    judges gave one than the panel's rule wants: all of them, unless it says otherwise.
    """
    rows = drafts.select("id", "facet", "messages").to_dicts()
    if judge is None:
        return frame((_row(row, state="unjudged", reason="no judge is configured") for row in rows), JUDGEMENTS)
    panel = Panel.of(judge)
    words = await _words(rows, rubrics, asker, panel)
    levels = [_together(own, panel) for own in words]
    await _add_evidence(rows, rubrics, asker, words, levels)
    return frame((_judged(*each, panel) for each in zip(rows, words, levels, strict=True)), JUDGEMENTS)


@dataclass
class _Word:
    """One judge's word on one row."""

    judge: Judge
    asks: list[Ask]  # those for the level that were asked
    level: float | None = None
    method: str | None = None
    note: str | None = None
    evidence: Ask | None = None
    has_evidence: bool = False  # a reply that could be read, whatever it quotes
    spans: Sequence[Mapping[str, str]] = ()
    reason: str | None = None

    def rate(self, reading_of: Callable[[str], Reading[int] | None]) -> None:
        """The expected level by the first reply's log-probabilities; else the mean of the samples, if all are there."""
        found = [reading_of(ask.id) for ask in self.asks]
        values = [reading.value for reading in found if reading is not None and reading.value is not None]
        if len(values) < len(self.asks):
            missing = next(reading for reading in found if reading is None or reading.value is None)
            self.note = (missing.problem or "no level") if missing else "the budget was spent before it was judged"
            return
        self.level, self.method = sum(values) / len(values), "samples"
        first = found[0]
        if self.judge.settings.logprobs != 0 and first is not None:
            expected, self.note = expected_level(first.outcome.logprobs, values[0])
            if expected is not None:
                self.level, self.method = expected, "logprobs"

    def as_dict(self) -> dict[str, Any]:
        return {
            "judge": self.judge.model,
            "level": self.level,
            "method": self.method,
            "note": self.note,
            "spans": list(self.spans),
            "reason": self.reason,
            "level_ask_ids": [ask.id for ask in self.asks],
            "evidence_ask_id": self.evidence.id if self.evidence else None,
        }


async def _words(rows: Sequence[Row], rubrics: Mapping[str, Rubric], asker: Asker, panel: Panel) -> list[list[_Word]]:
    """Each judge's level of each row. More than one sample is asked for only where the first has no expected level."""
    asks = [[level_asks(row["messages"], rubrics[row["facet"]], judge) for judge in panel.judges] for row in rows]
    words = [[_Word(*pair) for pair in zip(panel.judges, ([a[0]] for a in own), strict=True)] for own in asks]
    readings = await readings_of(asker, [a[0] for own in asks for a in own], read_level, reasks=panel.again)
    open_: list[_Word] = []
    for word, group in zip(_flat(words), _flat(asks), strict=True):
        word.rate(readings.get)
        if word.method == "samples" and len(group) > 1:
            word.asks = group
            open_.append(word)
    more = [ask for word in open_ for ask in word.asks[1:]]
    others = await readings_of(asker, more, read_level, reasks=panel.again)
    for word in open_:
        word.level = word.method = None
        word.rate(lambda ask_id: others.get(ask_id) or readings.get(ask_id))
    return words


def _flat(nested: Sequence[Sequence[T]]) -> list[T]:
    return [one for group in nested for one in group]


def _together(words: Sequence[_Word], panel: Panel) -> float | str:
    """The mean of the judges' levels, or why there is none."""
    levels = [word.level for word in words if word.level is not None]
    if len(levels) >= panel.needed:
        return levels[0] if len(levels) == 1 else round(sum(levels) / len(levels), DIGITS)
    if len(words) == 1:
        return words[0].note or "no level"
    silent = "; ".join(f"{word.judge.model}: {word.note}" for word in words if word.level is None)
    return f"{len(levels)} of {len(words)} judges gave a level, and {panel.needed} must: {silent}"


async def _add_evidence(
    rows: Sequence[Row],
    rubrics: Mapping[str, Rubric],
    asker: Asker,
    words: Sequence[Sequence[_Word]],
    levels: Sequence[float | str],
) -> None:
    """Asks every judge that gave a level for the spans of each row whose level is high enough, and notes them."""
    asked: list[tuple[Row, _Word]] = []
    for row, own, level in zip(rows, words, levels, strict=True):
        for word in own:
            if word.level is not None and isinstance(level, float) and level >= word.judge.settings.evidence_from:
                word.evidence = evidence_ask(row["messages"], rubrics[row["facet"]], word.judge)
                asked.append((row, word))
    if not asked:
        return
    asks = [word.evidence for _, word in asked if word.evidence is not None]
    answers = await readings_of(asker, asks, read_evidence, reasks=asked[0][1].judge.again)
    for (row, word), ask in zip(asked, asks, strict=True):
        reading = answers.get(ask.id)
        if reading is None:
            continue
        if reading.value is None:
            word.reason = f"no evidence: {reading.problem}"
            continue
        word.has_evidence, word.reason = True, reading.value.reason or None
        word.spans = verbatim(reading.value.items, row["messages"], rubrics[row["facet"]])


def _judged(row: Row, words: Sequence[_Word], level: float | str, panel: Panel) -> dict[str, Any]:
    known: dict[str, Any] = {
        "judge": panel.model,
        "level_ask_id": words[0].asks[0].id,
        "evidence_ask_id": words[0].evidence.id if words[0].evidence else None,
        "by_judge": [word.as_dict() for word in words],
    }
    levels = [word.level for word in words if word.level is not None]
    if len(levels) > 1:
        known["level_range"] = round(max(levels) - min(levels), DIGITS)
    if isinstance(level, str):
        return _row(row, state="unscored", reason=level, **known)
    return _row(
        row,
        state="scored",
        level=level,
        score=level / TOP_LEVEL,
        spans=_agreed(words),
        reason=_reason(words),
        level_method="+".join(sorted({word.method for word in words if word.method})),
        **known,
    )


def _agreed(words: Sequence[_Word]) -> list[Mapping[str, str]]:
    """All spans for items that at least half of the judges whose evidence could be read quote one for."""
    read = [word for word in words if word.has_evidence]
    quoted = Counter(item for word in read for item in {span["item"] for span in word.spans})
    agreed = [span for word in read for span in word.spans if 2 * quoted[span["item"]] >= len(read)]
    return [span for place, span in enumerate(agreed) if span not in agreed[:place]]


def _reason(words: Sequence[_Word]) -> str | None:
    if len(words) == 1:
        return words[0].reason
    said = [(word.judge.model, word.reason if word.level is not None else f"no level: {word.note}") for word in words]
    return "\n".join(f"{model}: {reason}" for model, reason in said if reason) or None


def _row(row: Row, **known: Any) -> dict[str, Any]:
    empty = {**dict.fromkeys(JUDGEMENTS), "spans": [], "by_judge": [], "id": row["id"], "facet": row["facet"]}
    return {**empty, **known}
