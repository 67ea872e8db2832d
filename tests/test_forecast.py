"""The forecast: intervals that hold what they promise, and say on what they rest."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thousandfold import prompts
from thousandfold.gen.budget import Budget
from thousandfold.gen.forecast import Forecast, assumed, from_pilot, mean_interval, wilson
from thousandfold.gen.ledger import Ledger
from thousandfold.gen.reasking import Reasks, with_follow_ups
from thousandfold.gen.recipe import BudgetSettings, Price
from thousandfold.gen.teachers.base import Ask, Message, Sampling


def budget_of(ledger: Ledger, **prices: Price) -> Budget:
    return Budget(BudgetSettings(), {name.replace("_", ":"): price for name, price in prices.items()}, ledger.spent())


PATH = [
    Ask("openai:x", (Message("user", "a" * 3_000),), Sampling(max_tokens=1_000), purpose="scenario"),
    Ask("openai:x", (Message("user", "b" * 6_000),), Sampling(max_tokens=2_000), purpose="exemplar"),
]


def test_without_a_pilot_the_ends_are_the_stated_assumptions(ledger: Ledger) -> None:
    budget = budget_of(ledger, openai_x=Price(input=1.0, output=10.0))
    forecast = assumed([(1.0, PATH)], wanted=600, heldout=30, budget=budget)
    assert forecast.basis == "no pilot: a yield of 60 to 100 % and replies of 15 to 100 % of max_tokens are assumed"
    assert forecast.yield_ == (0.6, 1.0)
    assert forecast.contexts == (630, 1_030)
    assert forecast.asks == (1_260, 2_060)
    least, most = 600 + 150 + 1_200 + 300, 1_000 + 1_000 + 2_000 + 2_000  # tokens of one path
    assert forecast.tokens == (630 * least, 1_030 * most)
    assert forecast.usd is not None
    assert forecast.usd[0] == pytest.approx(630 * (1_800 + 10 * 450) / 1e6)
    assert forecast.usd[1] == pytest.approx(1_030 * (3_000 + 10 * 3_000) / 1e6)


def test_several_teachers_cost_by_their_shares(ledger: Ledger) -> None:
    other = [replace(ask, model="openai:y") for ask in PATH]
    prices = {"openai_x": Price(input=1.0, output=10.0), "openai_y": Price(input=5.0, output=50.0)}
    alone = assumed([(1.0, PATH)], wanted=600, heldout=30, budget=budget_of(ledger, **prices))
    both = assumed([(0.25, PATH), (0.75, other)], wanted=600, heldout=30, budget=budget_of(ledger, **prices))
    assert (both.asks, both.tokens) == (alone.asks, alone.tokens)
    assert alone.usd is not None
    assert both.usd == pytest.approx([end * (0.25 + 0.75 * 5) for end in alone.usd])
    assert assumed([(0.5, PATH), (0.5, other)], wanted=9, heldout=0, budget=budget_of(ledger)).usd is None


def test_what_may_be_asked_again_is_a_tenth_at_the_high_end_and_nothing_at_the_low(ledger: Ledger) -> None:
    path = with_follow_ups(PATH, Reasks(2, prompts.load("reask")))
    budget = budget_of(ledger, openai_x=Price(input=1.0, output=10.0))
    plain, again = (assumed([(1.0, p)], wanted=600, heldout=30, budget=budget) for p in (PATH, path))
    assert again.asks == (plain.asks[0], math.ceil(plain.asks[1] * 1.11))
    assert again.tokens[0] == plain.tokens[0]
    assert plain.tokens[1] * 1.11 < again.tokens[1] < plain.tokens[1] * 1.2
    assert "of which up to 10 % are asked for again" in again.basis


def test_an_unknown_price_is_no_cost_at_all_and_not_zero(ledger: Ledger) -> None:
    assert assumed([(1.0, PATH)], wanted=10, heldout=0, budget=budget_of(ledger)).usd is None


def test_a_pilot_gives_the_interval_of_its_own_yield_tokens_and_cost() -> None:
    forecast = from_pilot(
        drafts=50, kept=45, asks=150, tokens=[2_000, 4_000] * 25, usd=[0.01, 0.03] * 25, wanted=390, heldout=30
    )
    assert forecast.basis == "a pilot of 50 drafts, 45 of them kept (95 % intervals)"
    assert forecast.yield_ == wilson(45, 50)
    assert forecast.contexts[0] <= 390 / 0.9 + 30 <= forecast.contexts[1]
    assert forecast.asks == (
        math.ceil(3 * 390 / wilson(45, 50)[1] + 2 * 30),  # a sealed context is written, and not judged
        math.ceil(3 * (390 / wilson(45, 50)[0] + 30)),
    )
    assert forecast.tokens[0] < 3_000 * (390 / 0.9 + 30) < forecast.tokens[1]
    assert forecast.usd is not None
    assert forecast.usd[0] < 0.02 * (390 / 0.9 + 30) < forecast.usd[1]


def test_a_pilot_says_how_many_contexts_the_accepted_exemplars_need_at_its_own_yield() -> None:
    pilot = {"asks": 20, "tokens": [10] * 10, "usd": None, "heldout": 5}
    forecast = from_pilot(drafts=10, kept=7, wanted=100, **pilot)  # type: ignore[arg-type]
    assert (forecast.accepted, forecast.expected) == (100, 143 + 5)  # 100 / 0.7 = 142.9
    assert forecast.contexts[0] <= 148 <= forecast.contexts[1]
    assert from_pilot(drafts=10, kept=0, wanted=100, **pilot).expected is None  # type: ignore[arg-type]
    assert from_pilot(drafts=10, kept=10, wanted=100, **pilot).expected == 105  # type: ignore[arg-type]


@pytest.mark.parametrize("kept", [0, 7])
def test_a_pilot_that_kept_nothing_or_all_still_gives_finite_ends(kept: int) -> None:
    forecast = from_pilot(drafts=7, kept=kept, asks=14, tokens=[100] * 7, usd=None, wanted=100, heldout=10)
    assert 110 <= forecast.contexts[0] <= forecast.contexts[1] <= 100 / 0.01 + 10
    assert forecast.usd is None


def test_an_empty_pilot_knows_nothing() -> None:
    forecast = from_pilot(drafts=0, kept=0, asks=0, tokens=[], usd=[], wanted=100, heldout=0)
    assert forecast.yield_ == (0.0, 1.0)
    assert (forecast.asks, forecast.tokens, forecast.usd) == ((0, 0), (0, 0), (0.0, 0.0))


def test_wilson_is_the_published_interval() -> None:
    # Newcombe 1998, table I: 81 of 263, and 0 of 20.
    for hits, trials, low, high in ((81, 263, 0.2553, 0.3662), (0, 20, 0.0, 0.1611)):
        assert wilson(hits, trials)[0] == pytest.approx(low, abs=5e-5)
        assert wilson(hits, trials)[1] == pytest.approx(high, abs=5e-5)
    assert wilson(0, 0) == (0.0, 1.0)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_share_and_stays_within_0_and_1(case: tuple[int, int]) -> None:
    hits, trials = case
    low, high = wilson(hits, trials)
    assert 0 <= low <= hits / trials + 1e-12
    assert hits / trials - 1e-12 <= high <= 1


def test_the_interval_of_a_mean_holds_it_about_ninety_five_times_in_a_hundred() -> None:
    dice = random.Random(11)
    held = 0
    for _ in range(1_000):
        low, high = mean_interval([dice.gauss(10, 3) for _ in range(40)])
        held += low <= 10 <= high
    assert 920 <= held <= 970


@pytest.mark.parametrize(("values", "interval"), [([], (0.0, 0.0)), ([7.0], (7.0, 7.0)), ([2.0, 2.0, 2.0], (2.0, 2.0))])
def test_one_value_or_equal_values_are_their_own_interval(values: list[float], interval: tuple[float, float]) -> None:
    assert mean_interval(values) == interval


def test_a_mean_of_costs_is_never_below_zero() -> None:
    assert mean_interval([0.0, 100.0])[0] == 0.0


@given(st.integers(1, 60), st.integers(0, 60), st.integers(1, 500), st.integers(0, 50))
def test_the_ends_are_in_order(drafts: int, kept: int, wanted: int, heldout: int) -> None:
    forecast = from_pilot(
        drafts=drafts,
        kept=min(kept, drafts),
        asks=3 * drafts,
        tokens=[i % 7 for i in range(drafts)],
        usd=[0.1] * drafts,
        wanted=wanted,
        heldout=heldout,
    )
    for low, high in (forecast.yield_, forecast.contexts, forecast.asks, forecast.tokens, forecast.usd or (0, 0)):
        assert 0 <= low <= high
    assert forecast.contexts[0] >= wanted + heldout


def test_as_a_dict_it_has_the_words_of_the_command() -> None:
    forecast = Forecast("a guess", (0.5, 1.0), (1, 2), (2, 4), (10, 20), None, accepted=1, expected=None)
    assert forecast.as_dict() == {
        "basis": "a guess",
        "yield": (0.5, 1.0),
        "contexts": (1, 2),
        "asks": (2, 4),
        "tokens": (10, 20),
        "usd": None,
        "accepted": 1,
        "expected_contexts": None,
    }
