"""A completion's JSON → an outcome. Nobody has checked a type: whatever stands in a place may be anything."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .base import Ask, Outcome, TokenLogprob, Usage


def outcome_of(
    ask: Ask, reply: Mapping[str, Any], *, attempts: int, seconds: float, latency_seconds: float | None = None
) -> Outcome:
    """The first choice of `reply`: its text, or why it has none, with all that the server said besides."""
    choices = reply.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = field(choice, "message")
    finish_reason = _text(field(choice, "finish_reason"))
    common: dict[str, Any] = {
        "ask_id": ask.id,
        "usage": usage_of(reply.get("usage")),
        "served_model": _text(reply.get("model")),
        "fingerprint": _text(reply.get("system_fingerprint")),
        "logprobs": logprobs_of(field(choice, "logprobs")),
        "attempts": attempts,
        "seconds": seconds,
        "latency_seconds": latency_seconds,
    }
    refusal = _text(field(message, "refusal"))
    if refusal:
        return Outcome(failure="refused", detail=refusal, finish_reason="refusal", **common)
    content = _text(field(message, "content"))
    if not content:
        lacks = f"text (finish_reason {finish_reason})" if choice is not None else "choices"
        return Outcome(failure="empty", detail=f"the reply has no {lacks}", finish_reason=finish_reason, **common)
    return Outcome(text=content, finish_reason=finish_reason, **common)


def usage_of(usage: object) -> Usage:
    """Tokens as the provider counted them. Cached ones are part of the prompt's, reasoning of the completion's.

    DeepSeek tells the cached ones as `prompt_cache_hit_tokens`, beside the others.
    """
    cached = count(field(field(usage, "prompt_tokens_details"), "cached_tokens"))
    return Usage(
        count(field(usage, "prompt_tokens")),
        count(field(usage, "completion_tokens")),
        cached_tokens=count(field(usage, "prompt_cache_hit_tokens")) if cached is None else cached,
        reasoning_tokens=count(field(field(usage, "completion_tokens_details"), "reasoning_tokens")),
    )


def logprobs_of(logprobs: object) -> tuple[TokenLogprob, ...] | None:
    """The tokens with their log-probabilities, and the alternatives of each; None where the server gave none."""
    content = field(logprobs, "content")
    if not isinstance(content, list) or not content:
        return None
    return tuple(
        TokenLogprob(token[0], token[1], tuple(filter(None, map(_token, _list(field(entry, "top_logprobs"))))))
        for entry in content
        if (token := _token(entry)) is not None
    )


def failed_generation(body: object) -> str | None:
    """What the model wrote where a server checked it against the schema and answered with an error (Groq)."""
    error = field(body, "error") or body
    text = _text(field(error, "failed_generation"))
    return text if text and text.strip() else None


def field(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, dict) else None


def count(tokens: object) -> int | None:
    return tokens if isinstance(tokens, int) and not isinstance(tokens, bool) and 0 <= tokens < 2**31 else None


def _token(entry: object) -> tuple[str, float] | None:
    token, value = field(entry, "token"), field(entry, "logprob")
    # vLLM and OpenAI write -9999.0 for what is all but impossible; an infinity is no JSON.
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return (token, float(value)) if isinstance(token, str) and number else None  # type: ignore[arg-type]


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
