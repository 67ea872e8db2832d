"""An outcome as a row of the ledger, and back."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from typing import Any, cast

import orjson

from .charges import Charge
from .teachers.base import Ask, Failure, Outcome, TokenLogprob, Usage, schema_text
from .text import storable

COLUMNS = (
    "ask_id, model, purpose, request, reply, finish_reason, failure, detail, prompt_tokens,"
    " completion_tokens, cost_microusd, counted_tokens, counted_microusd, served_model, attempts, seconds,"
    " cached_tokens, reasoning_tokens, latency, fingerprint, logprobs, follows"
)

OUTCOME = (
    "ask_id, reply, finish_reason, failure, detail, prompt_tokens, completion_tokens, served_model, attempts,"
    " seconds, cached_tokens, reasoning_tokens, latency, fingerprint, logprobs"
)
PUT = (
    f"INSERT INTO outcomes ({COLUMNS}) VALUES ({','.join('?' * len(COLUMNS.split(',')))})"
    " ON CONFLICT (ask_id) DO UPDATE SET (reply, finish_reason, failure, detail, prompt_tokens, completion_tokens,"
    " cost_microusd, counted_tokens, counted_microusd, served_model, attempts, seconds, cached_tokens,"
    " reasoning_tokens, latency, fingerprint, logprobs, at) = (excluded.reply, excluded.finish_reason,"
    " excluded.failure, excluded.detail, excluded.prompt_tokens, excluded.completion_tokens, excluded.cost_microusd,"
    " counted_tokens + excluded.counted_tokens, counted_microusd + excluded.counted_microusd, excluded.served_model,"
    " excluded.attempts, excluded.seconds, excluded.cached_tokens, excluded.reasoning_tokens, excluded.latency,"
    " excluded.fingerprint, excluded.logprobs, excluded.at) WHERE outcomes.failure IS NOT NULL"
)


def as_stored(outcome: Outcome) -> Outcome:
    """`outcome` as the ledger will give it back: what UTF-8 cannot hold is replaced.

    A reply is used in this form from the start, so that a first run and its replay see the same.
    """
    words = {
        name: getattr(outcome, name) for name in ("text", "finish_reason", "detail", "served_model", "fingerprint")
    }
    clean: dict[str, Any] = {name: storable(word) for name, word in words.items() if word is not None}
    return replace(outcome, **clean) if any(words[name] != word for name, word in clean.items()) else outcome


def row_of(ask: Ask, outcome: Outcome, charge: Charge) -> tuple[Any, ...]:
    """The values of `COLUMNS`."""
    outcome = as_stored(outcome)
    return (
        ask.id,
        ask.model,
        ask.purpose,
        zlib.compress(_request(ask), 1),
        None if outcome.text is None else zlib.compress(outcome.text.encode(), 1),
        outcome.finish_reason,
        outcome.failure,
        outcome.detail,
        outcome.usage.prompt_tokens,
        outcome.usage.completion_tokens,
        charge.cost_microusd,
        charge.counted_tokens,
        charge.counted_microusd,
        outcome.served_model,
        outcome.attempts,
        outcome.seconds,
        outcome.usage.cached_tokens,
        outcome.usage.reasoning_tokens,
        outcome.latency_seconds,
        outcome.fingerprint,
        None if outcome.logprobs is None else zlib.compress(json.dumps(outcome.logprobs).encode(), 1),
        ask.follows,
    )


def _request(ask: Ask) -> bytes:
    """JSON of what was asked; the schema, which thousands of asks share, is written out once for all."""
    asked = {
        "messages": [[m.role, m.content] for m in ask.messages],
        "sampling": [ask.sampling.temperature, ask.sampling.max_tokens, ask.sampling.seed],
    }
    rest = f', "schema": {schema_text(ask.schema)}, "draw": {ask.draw}}}'
    try:
        written = orjson.dumps(asked)
    except orjson.JSONEncodeError:  # half a surrogate pair, or a whole number of more than 64 bits
        written = json.dumps(asked).encode()
    return written[:-1] + rest.encode()


def outcome_of(row: tuple[Any, ...]) -> Outcome:
    """Of a row of `OUTCOME`."""
    return Outcome(
        ask_id=row[0],
        text=None if row[1] is None else zlib.decompress(row[1]).decode("utf-8"),
        finish_reason=row[2],
        failure=cast("Failure | None", row[3]),
        detail=row[4],
        usage=Usage(row[5], row[6], row[10], row[11]),
        served_model=row[7],
        attempts=row[8],
        seconds=row[9],
        latency_seconds=row[12],
        fingerprint=row[13],
        logprobs=None if row[14] is None else _logprobs(row[14]),
    )


def _logprobs(packed: bytes) -> tuple[TokenLogprob, ...]:
    return tuple(
        TokenLogprob(token, value, tuple((other, chance) for other, chance in others))
        for token, value, others in json.loads(zlib.decompress(packed))
    )
