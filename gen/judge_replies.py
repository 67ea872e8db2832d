"""What a judge wrote → a level, and the evidence that stands in the text."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from .quoting import quoted
from .recipe import Rubric
from .replies import Reply, UnreadableReplyError, read_json, schema_of, without_thoughts
from .teachers.base import TokenLogprob

TOP_LEVEL = 4
LEAST_MASS = 0.5
"""So much of the probability at the level's place must lie on the five digits. With less, what a judge would say
there is no level, and the digit that it wrote is all there is."""
DIGITS = 6
"""Decimals of a level: logarithms and exponentials differ between machines in the last of sixteen."""
_LEVEL = re.compile(r"(?:level\s*[:=]?\s*)?([0-4])(?:\s*/\s*4)?\s*\.?", re.IGNORECASE)
_BEFORE = re.compile(r"(?:level\s*[:=]?\s*)?", re.IGNORECASE)
_BLANKS = " \t\r\n\u2581\u0120\u010a"  # the last three: how tokenizers write a blank (▁, Ġ) and a new line (Ċ)


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


def expected_level(tokens: Sequence[TokenLogprob] | None, level: int) -> tuple[float | None, str | None]:
    """(the mean of the levels 0 to 4 by their probabilities at the place of the digit `level`, why there is none).

    Probabilities of one digit with and without a blank before it are added up, and those of the five levels brought to
    a sum of 1 (G-Eval, 2303.16634; the mean of the distribution beats its mode, 2503.03064). Both are None where no
    log-probabilities were given.
    """
    if not tokens:
        return None, None
    place = _place(tokens, level)
    if place is None:
        return None, "its log-probabilities are not those of what it wrote"
    known = {place.token: place.logprob, **dict(place.alternatives)}
    parts = [0.0] * (TOP_LEVEL + 1)
    for token, logprob in sorted(known.items()):
        digit = token.strip(_BLANKS)
        if digit in _LEVELS:
            parts[int(digit)] += math.exp(min(0.0, logprob))
    mass = sum(parts)
    if mass < LEAST_MASS:
        return None, f"the five levels hold {mass:.2f} of the probability, less than {LEAST_MASS}"
    return round(sum(number * part for number, part in enumerate(parts)) / mass, DIGITS), None


_LEVELS = frozenset("01234")


def _place(tokens: Sequence[TokenLogprob], level: int) -> TokenLogprob | None:
    """The token in which the level was written: the first of that digit with nothing before it but what may be."""
    before = ""
    for token in tokens:
        is_level = token.token.strip(_BLANKS) == str(level)
        if is_level and _BEFORE.fullmatch(without_thoughts(before).strip(_BLANKS)):
            return token
        before += token.token
    return None


def read_evidence(text: str) -> EvidenceReply:
    """The evidence as JSON. Raises UnreadableReplyError where there is none, or more than one and they differ."""
    reply = read_json(text, EvidenceReply)
    if len(_objects(without_thoughts(text))) > 1:
        raise UnreadableReplyError("several JSON objects in the reply, and none says which is meant")
    return reply


_MOST_OBJECTS = 50


def _objects(text: str) -> list[Any]:
    """The different objects with items in a text, those of the first so many that begin there."""
    found: list[Any] = []
    decoder, place = json.JSONDecoder(strict=False), text.find("{")
    for _ in range(_MOST_OBJECTS):
        if place < 0:
            break
        try:
            value, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            value, end = None, place + 1
        if isinstance(value, dict) and "items" in value and value not in found:
            found.append(value)
        place = text.find("{", end)
    return found


def verbatim(
    items: Sequence[EvidenceItem], messages: Sequence[Mapping[str, str]], rubric: Rubric
) -> list[dict[str, str]]:
    """The items that the rubric has and whose span stands in an assistant turn, letter for letter.

    A judge copies what it is shown, in which marks of ours are neutralised: the span is that of the turn itself.
    """
    said = [(m["content"], quoted(m["content"])) for m in messages if m["role"] == "assistant"]
    found = []
    for item in items:
        span = _span(item.span, said) if item.item in rubric.evidence and item.span.strip() else None
        if span is not None:
            found.append({"item": item.item, "span": span})
    return found


def _span(span: str, said: Sequence[tuple[str, str]]) -> str | None:
    for text, shown in said:
        place = shown.find(span)
        if span in text:
            return span
        if place >= 0:
            return text[place : place + len(span)]
    return None
