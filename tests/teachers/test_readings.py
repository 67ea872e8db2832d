"""What a completion says besides its text is read, whatever stands in its places."""

from __future__ import annotations

from typing import Any

import pytest

from thousandfold.gen.teachers.base import TokenLogprob, Usage
from thousandfold.gen.teachers.readings import failed_generation, logprobs_of, outcome_of, usage_of

from .._asks import ask

REPLY = {
    "model": "served-2026",
    "system_fingerprint": "fp_44709d6fcb",
    "choices": [
        {
            "message": {"role": "assistant", "content": "Hi", "refusal": None},
            "finish_reason": "stop",
            "logprobs": {
                "content": [
                    {
                        "token": "Hi",
                        "logprob": -0.1,
                        "bytes": [72, 105],
                        "top_logprobs": [{"token": "Hi", "logprob": -0.1}, {"token": "Yo", "logprob": -2}],
                    }
                ]
            },
        }
    ],
    "usage": {
        "prompt_tokens": 100,
        "completion_tokens": 40,
        "prompt_tokens_details": {"cached_tokens": 64, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 30},
    },
}


def test_all_parts_of_a_completion_are_kept() -> None:
    outcome = outcome_of(ask(), REPLY, attempts=2, seconds=3.0, latency_seconds=1.0)
    assert outcome.usage == Usage(100, 40, 64, 30)
    assert (outcome.served_model, outcome.fingerprint) == ("served-2026", "fp_44709d6fcb")
    assert outcome.logprobs == (TokenLogprob("Hi", -0.1, (("Hi", -0.1), ("Yo", -2.0))),)
    assert (outcome.attempts, outcome.seconds, outcome.latency_seconds) == (2, 3.0, 1.0)


@pytest.mark.parametrize(
    ("usage", "read"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 1}, Usage(9, 1)),
        ({"prompt_tokens": 9, "completion_tokens": 1, "prompt_tokens_details": None}, Usage(9, 1)),
        ({"prompt_tokens": 9, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 0}}, Usage(9, 1, 0)),
        ({"prompt_tokens": 9, "completion_tokens": 1, "prompt_cache_hit_tokens": 5}, Usage(9, 1, 5)),
        ({"prompt_tokens": 9, "completion_tokens": True, "prompt_tokens_details": {"cached_tokens": -1}}, Usage(9)),
        ([], Usage()),
    ],
    ids=["plain", "null details", "none cached", "DeepSeek", "nonsense", "a list"],
)
def test_tokens_are_what_the_provider_counted_and_unknown_where_it_did_not_say(usage: Any, read: Usage) -> None:
    assert usage_of(usage) == read


@pytest.mark.parametrize(
    "logprobs",
    [None, {}, {"content": None}, {"content": []}, {"tokens": ["Hi"], "token_logprobs": [-0.1]}, "yes"],
)
def test_no_logprobs_are_none(logprobs: Any) -> None:
    assert logprobs_of(logprobs) is None


def test_a_token_without_a_number_is_left_out() -> None:
    content = [{"token": "a", "logprob": float("-inf")}, {"token": "b", "logprob": None}, {"token": "c", "logprob": -1}]
    assert logprobs_of({"content": content}) == (TokenLogprob("c", -1.0),)


def test_what_a_model_wrote_for_a_server_that_checked_it_is_found_in_the_error() -> None:
    assert failed_generation({"code": "json_validate_failed", "failed_generation": '{"a": '}) == '{"a": '
    assert failed_generation({"error": {"failed_generation": "x"}}) == "x"
    assert failed_generation({"error": {"failed_generation": " "}}) is failed_generation(None) is None
