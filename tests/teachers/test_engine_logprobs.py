"""vLLM's log-probabilities, in the shape in which it gives them, as an outcome holds them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from thousandfold.gen.teachers.base import TokenLogprob
from thousandfold.gen.teachers.engine import logprobs_of


@dataclass
class Logprob:
    """As `vllm.logprobs.Logprob`."""

    logprob: float
    rank: int | None = None
    decoded_token: str | None = None


def test_each_place_has_its_token_and_what_could_have_stood_there_the_likeliest_first() -> None:
    places = [
        {18: Logprob(-1.5, 2, "3"), 19: Logprob(-0.4, 1, "4"), 17: Logprob(-math.inf, 3, "2")},
        {2: Logprob(-0.1, 1, None)},
    ]
    assert logprobs_of([18, 2], places) == (
        TokenLogprob("3", -1.5, (("4", -0.4), ("3", -1.5))),
        TokenLogprob("", -0.1, (("", -0.1),)),
    )


def test_none_given_are_none_and_a_token_that_could_not_be_is_left_out() -> None:
    assert logprobs_of([18], None) is None
    assert logprobs_of([], []) is None
    assert logprobs_of([18], [{18: Logprob(-math.inf, 1, "3")}]) is None
