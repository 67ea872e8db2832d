"""The expected level: over the digits' probabilities where the endpoint gives them, else the mean of the samples."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thousandfold.gen.asking import Asker
from thousandfold.gen.budget import Budget
from thousandfold.gen.judge_replies import LEAST_MASS, expected_level
from thousandfold.gen.judgements import Judge, judge_drafts
from thousandfold.gen.ledger import Ledger
from thousandfold.gen.recipe import Recipe, load
from thousandfold.gen.tables import MESSAGES, frame
from thousandfold.gen.teachers.base import Ask, Outcome, TokenLogprob

from ._recipes import RESPECT
from ._runs import Scripted

FACET = "honest apology"


def token(text: str, **shares: float) -> TokenLogprob:
    """`shares`: probability by token, in which `_3` is a 3 with a blank before it and `d3` the digit alone."""
    names = {"d": "", "_": " "}
    told = [(names[name[0]] + name[1:], math.log(share)) for name, share in shares.items()]
    return TokenLogprob(text, dict(told).get(text, math.log(0.01)), tuple(told))


def test_the_level_is_the_mean_of_the_digits_by_their_probabilities() -> None:
    assert expected_level([token("3", d3=0.5, d2=0.25, d4=0.25)], 3) == (3.0, None)
    assert expected_level([token("4", d4=0.6, d1=0.2)], 4) == (round((4 * 0.6 + 1 * 0.2) / 0.8, 6), None)


def test_a_digit_with_a_blank_before_it_is_the_same_digit() -> None:
    assert expected_level([token(" 3", _3=0.4, d3=0.2, d1=0.4)], 3) == (2.2, None)
    raw = TokenLogprob("▁3", math.log(0.5), (("▁3", math.log(0.5)), ("Ġ1", math.log(0.5))))
    assert expected_level([raw], 3) == (2.0, None)


def test_what_is_no_level_has_no_part_in_it() -> None:
    tokens = [TokenLogprob("2", math.log(0.6), (("2", math.log(0.6)), ("5", math.log(0.2)), ("３", math.log(0.2))))]
    assert expected_level(tokens, 2) == (2.0, None)


def test_too_little_on_the_digits_is_no_expectation_and_says_so() -> None:
    level, why = expected_level([token("3", d3=0.3, d2=0.1, dThe=0.6)], 3)
    assert (level, why) == (None, "the five levels hold 0.40 of the probability, less than 0.5")
    assert expected_level([token("3", d3=LEAST_MASS + 1e-9)], 3) == (3.0, None)


@pytest.mark.parametrize(
    "before",
    [["\n"], ["Level", ":"], ["Level", " ", "="], ["<think>", "not 4, but", " 3", "</think>", "\n\n"]],
)
def test_the_level_is_found_behind_what_may_stand_before_it(before: list[str]) -> None:
    tokens = [*(TokenLogprob(text, -0.1) for text in before), token("3", d3=0.5, d1=0.5)]
    assert expected_level(tokens, 3) == (2.0, None)


@pytest.mark.parametrize("texts", [["I", " say", " 3"], ["2"], ["4", "/", "3"], []])
def test_tokens_of_another_text_are_no_expectation(texts: list[str]) -> None:
    level, why = expected_level([TokenLogprob(text, -0.1) for text in texts], 3)
    assert level is None
    assert why == ("its log-probabilities are not those of what it wrote" if texts else None)


@given(
    st.lists(st.floats(-30, 0), min_size=5, max_size=5),
    st.lists(st.tuples(st.text(max_size=3), st.floats(-30, 0.1)), max_size=15),
    st.integers(0, 4),
)
def test_an_expectation_lies_among_the_levels_and_knows_no_order(
    digits: list[float], others: list[tuple[str, float]], written: int
) -> None:
    told = [*others, *((str(k), logprob) for k, logprob in enumerate(digits))]
    found = expected_level([TokenLogprob(str(written), digits[written], tuple(told))], written)
    again = expected_level([TokenLogprob(str(written), digits[written], tuple(told[::-1]))], written)
    assert (found[0] is None) == (found[1] is not None)
    assert found[0] is None or 0 <= found[0] <= 4
    if len({text for text, _ in told}) == len(told):
        assert found == again


# ── in the room ──


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return load(RESPECT)


def judged(recipe: Recipe, ledger: Ledger, teacher: Scripted, count: int = 1, **settings: Any) -> list[dict[str, Any]]:
    judge = Judge(teacher.model, recipe.settings.judge.model_copy(update=settings), 1, recipe.prompts)
    asker = Asker(
        ledger=ledger,
        teachers={teacher.model: teacher},
        budget=Budget(recipe.settings.budget, {}, ledger.spent()),
        concurrency=settings.get("concurrency"),
    )
    turns = [[{"role": "assistant", "content": f"It was me, {k} times."}] for k in range(count)]
    rows = [{"id": f"d{k}", "facet": FACET, "messages": turns[k]} for k in range(count)]
    drafts = frame(rows, {"id": pl.String, "facet": pl.String, "messages": MESSAGES})
    return asyncio.run(judge_drafts(drafts, recipe.rubrics, asker, judge)).rows(named=True)


def rating(*tokens: TokenLogprob) -> Scripted:
    def reply(ask: Ask) -> str | Outcome:
        if ask.purpose != "level":
            return '{"items": []}'
        return Outcome(ask.id, text="".join(t.token for t in tokens), logprobs=tuple(tokens))

    return Scripted(reply, model="test:judge", family="judges")


def purposes(asked: Sequence[Ask]) -> list[str]:
    return [ask.purpose for ask in asked]


def test_a_row_says_that_its_level_came_from_log_probabilities_and_replays_to_the_same(
    recipe: Recipe, ledger: Ledger
) -> None:
    judge = rating(token("3", d3=0.5, d2=0.3, d4=0.2))
    first = judged(recipe, ledger, judge, samples=4)
    assert (first[0]["level"], first[0]["score"], first[0]["level_method"]) == (2.9, 0.725, "logprobs")
    assert purposes(judge.asked) == ["level", "evidence"]  # no more samples are paid for
    assert judged(recipe, ledger, judge, samples=4) == first
    assert len(judge.asked) == 2


def test_where_too_little_lies_on_the_digits_the_samples_decide_and_the_reason_stands_with_the_row(
    recipe: Recipe, ledger: Ledger
) -> None:
    judge = rating(token("1", d1=0.3, dThe=0.7))
    [row] = judged(recipe, ledger, judge, samples=3)
    assert (row["level"], row["level_method"]) == (1.0, "samples")
    assert row["by_judge"][0]["note"] == "the five levels hold 0.30 of the probability, less than 0.5"
    assert purposes(judge.asked) == ["level"] * 3


def test_log_probabilities_that_the_recipe_does_not_want_count_for_nothing(recipe: Recipe, ledger: Ledger) -> None:
    [row] = judged(recipe, ledger, rating(token("3", d3=0.5, d2=0.3, d4=0.2)), logprobs=0)
    assert (row["level"], row["level_method"]) == (3.0, "samples")


def test_asks_are_the_same_whether_log_probabilities_are_wanted_or_not(recipe: Recipe, ledger: Ledger) -> None:
    with_them = judged(recipe, ledger, rating(token("3", d3=0.5, d1=0.5)))
    judge = rating(token("3", d3=0.5, d1=0.5))
    without = judged(recipe, ledger, judge, logprobs=0)
    assert judge.asked == []
    assert without[0]["level_ask_id"] == with_them[0]["level_ask_id"]


def test_one_at_a_time_and_many_at_once_give_the_same_rows(recipe: Recipe, tmp_path: Any) -> None:
    def reply(ask: Ask) -> str | Outcome:
        if ask.purpose != "level":
            return '{"items": []}'
        if int(ask.id[-1], 16) % 2 and not ask.draw:
            return Outcome(ask.id, text="3", logprobs=(token("3", d3=0.5, d2=0.3, d4=0.2),))
        return str(int(ask.id[-2], 16) % 5)

    found = []
    for concurrency in (1, 64):
        with Ledger(tmp_path / f"{concurrency}.sqlite") as ledger:
            judge = Scripted(reply, model="test:judge", family="judges")
            found.append(judged(recipe, ledger, judge, 40, samples=3, concurrency=concurrency))
    assert found[0] == found[1]
    assert {row["level_method"] for row in found[0]} == {"logprobs", "samples"}
