"""What a judge wrote → a level, and the evidence that stands in the text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from pydantic import Field

from .recipe import Rubric
from .replies import Reply, UnreadableReplyError, read_json, schema_of, without_thoughts

TOP_LEVEL = 4
_LEVEL = re.compile(r"(?:level\s*[:=]?\s*)?([0-4])(?:\s*/\s*4)?\s*\.?", re.IGNORECASE)


class EvidenceItem(Reply):
    item: str = Field(max_length=200)
    span: str = Field(max_length=4000)


class EvidenceReply(Reply):
    items: list[EvidenceItem] = Field(max_length=64)
    reason: str = Field(default="", max_length=2000)


EVIDENCE_SCHEMA = schema_of(EvidenceReply)


def read_level(text: str) -> int:
    """The one digit 0 to 4 that was asked for, as `3`, `3.`, `3/4`, `level 3` or `Level: 3`, whatever the blanks.

    Raises UnreadableReplyError for anything else: a second digit, words, a digit of another script.
    """
    found = _LEVEL.fullmatch(without_thoughts(text).strip())
    if found is None:
        raise UnreadableReplyError(f"the judge was asked for one digit 0 to 4 and wrote {text.strip()[:60]!r}")
    return int(found.group(1))


def read_evidence(text: str) -> EvidenceReply:
    return read_json(text, EvidenceReply)


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
