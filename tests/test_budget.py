"""The budget: the worst case is held before asking, and what a reply used is counted exactly."""

from __future__ import annotations

from dataclasses import replace

import pytest

from thousandfold.gen.budget import Budget, Room
from thousandfold.gen.errors import RecipeError
from thousandfold.gen.ledger import Charge, Ledger, Spent
from thousandfold.gen.settings import BudgetSettings, Price
from thousandfold.gen.teachers.base import Ask, Message, Sampling, Usage

from ._asks import ask, asks, failure, reply

NOTHING = Spent(0, 0, 0, 0, 0, 0, 0, 0)
PRICES = {"test:writer": Price(input=2.0, output=8.0)}


def budget(*, tokens: int | None = None, usd: float | None = None, spent: Spent = NOTHING) -> Budget:
    return Budget(BudgetSettings(tokens=tokens, usd=usd), PRICES, spent)


def worst(one: Ask) -> int:
    """Tokens held for `one`, as the class says: bytes of the prompt, 8 a message, and max_tokens."""
    return sum(len(m.content.encode()) + 8 for m in one.messages) + one.sampling.max_tokens


# ── what a reply costs ──


@pytest.mark.parametrize(
    ("price", "usage", "microusd"),
    [
        (Price(input=2.0, output=8.0), Usage(100, 10), 280),
        (Price(input=0.15, output=0.6), Usage(1, 1), 1),  # 0.75, rounded up
        (Price(input=0.07, output=0.0), Usage(700, 0), 49),  # 700 * 0.07 is 49.00000000000001 in floats
        (Price(input=0.0, output=0.0), Usage(5000, 5000), 0),
        (Price(input=2.0, output=8.0), Usage(100, None), None),
        (Price(input=2.0, output=8.0), Usage(), None),
        (Price(input=2.0, output=8.0, cached_input=0.2), Usage(100, 10, 40), 120 + 8 + 80),
        (Price(input=2.0, output=8.0), Usage(100, 10, 40), 280),  # no price of its own: as any of the prompt
        (Price(input=2.0, output=8.0, cached_input=0.2), Usage(100, 10, 400), 20 + 80),  # no more than there were
        (Price(input=2.0, output=8.0, cached_input=0.2, cache_write=2.5), Usage(100, 10, 40), 150 + 8 + 80),
    ],
)
def test_a_reply_costs_its_tokens_at_their_price_rounded_up(price: Price, usage: Usage, microusd: int | None) -> None:
    assert Budget(BudgetSettings(), {"m": price}, NOTHING).cost("m", usage) == microusd


def test_a_model_without_a_price_costs_what_nobody_knows() -> None:
    assert budget().cost("openai:other", Usage(1, 1)) is None


@pytest.mark.parametrize(
    "model", ["rehearsal-teacher", "rehearsal-judge", "rehearsal-teacher?hollow=1", "openai:rehearsal-teacher"]
)
def test_rehearsal_costs_nothing(model: str) -> None:
    assert budget().cost(model, Usage(1000, 1000)) == 0


def test_a_limit_in_usd_needs_every_price() -> None:
    budget(usd=1).require_price("test:writer")
    budget(tokens=1).require_price("openai:other")
    with pytest.raises(RecipeError) as caught:
        budget(usd=2.5).require_price("openai:other")
    assert caught.value.what == "--budget 2.5 USD is set, and the price of 'openai:other' is not known"
    assert '[prices."openai:other"]' in caught.value.do


# ── holding and settling ──


def test_the_worst_case_is_held_until_the_reply_is_there() -> None:
    one, two = asks(2)
    limited = budget(tokens=worst(one) + worst(two) - 1)
    assert limited.reserve(one)
    assert not limited.reserve(two)
    limited.settle(one, reply(one))
    assert limited.reserve(two)


def test_a_limit_that_fits_exactly_is_not_passed() -> None:
    one, two = asks(2)
    exact = budget(tokens=worst(one) + worst(two))
    assert [exact.reserve(one), exact.reserve(two)] == [True, True]


def test_a_limit_in_usd_holds_the_worst_price() -> None:
    one = ask("x" * 92)  # 100 tokens at most in, 100 out: 2 * 100 + 8 * 100 micro-dollars
    assert not budget(usd=999e-6).reserve(one)
    assert budget(usd=1000e-6).reserve(one)


def test_a_reply_counts_what_it_used() -> None:
    counting = budget()
    counting.reserve(ask())
    assert counting.settle(ask(), reply(ask(), usage=Usage(11, 22))) == Charge(198, 33, 198)


def test_a_reply_of_unknown_usage_counts_its_worst_case() -> None:
    counting = budget()
    counting.reserve(ask())
    charge = counting.settle(ask(), reply(ask(), usage=Usage()))
    prompt = worst(ask()) - 100
    assert charge == Charge(None, worst(ask()), 2 * prompt + 8 * 100)


def test_a_refused_request_counts_nothing_and_a_timeout_its_worst_case() -> None:
    counting = budget()
    counting.reserve(ask())
    assert counting.settle(ask(), failure(ask(), "bad_request")) == Charge(0, 0, 0)
    counting.reserve(ask())
    assert counting.settle(ask(), failure(ask(), "timeout")).counted_tokens == worst(ask())


def test_a_try_that_gave_no_reply_is_held_once_more_and_stays_counted() -> None:
    one, other = asks(2)
    limited = budget(tokens=2 * worst(one))
    limited.reserve(one)
    assert limited.again(one)
    assert not limited.again(one)
    assert not limited.reserve(other)
    assert limited.settle(one, reply(one, usage=Usage(11, 22))).counted_tokens == worst(one) + 33
    assert limited.reserved_usd == 0
    assert not limited.reserve(other)


def test_the_schema_is_part_of_the_worst_case() -> None:
    schema = {"type": "object", "properties": {"x" * 500: {"type": "string"}}}
    one = ask(schema=schema)
    assert not budget(tokens=worst(one) + 500).reserve(one)
    assert budget(tokens=worst(one) + 600).reserve(one)


def test_bytes_are_counted_not_characters() -> None:
    one = ask("🙂" * 100)
    assert worst(one) == 408 + 100
    assert not budget(tokens=507).reserve(one)
    assert budget(tokens=508).reserve(one)


def test_what_the_ledger_holds_counts_after_a_restart(ledger: Ledger) -> None:
    one, two = asks(2)
    first = budget(tokens=2 * worst(one))
    first.reserve(one)
    ledger.put_many([(one, reply(one, usage=Usage()), first.settle(one, reply(one, usage=Usage())))])
    again = budget(tokens=2 * worst(one) - 1, spent=ledger.spent())
    assert not again.reserve(two)
    assert budget(tokens=2 * worst(one), spent=ledger.spent()).reserve(two)


# ── forecasting ──


def test_room_is_how_often_the_whole_path_fits() -> None:
    path = [ask("a" * 92), Ask("test:writer", (Message("user", "b" * 192),), Sampling(max_tokens=100))]
    assert budget().affordable(path) is None
    assert budget(tokens=1499).affordable(path) == Room(2, 2)  # 200 + 300 tokens each time
    assert budget(usd=3e-3).affordable(path) == Room(1, 1)  # 1000 + 1200 micro-dollars
    assert budget(tokens=1499, usd=1e-6).affordable(path) == Room(0, 0)


def test_what_others_spent_leaves_less_room_in_the_ledger_and_none_less_in_the_run() -> None:
    limited = budget(tokens=1000, spent=replace(NOTHING, counted_tokens=900))
    assert limited.affordable([ask("a" * 92)]) == Room(of_run=5, of_ledger=0)


def test_a_replayed_reply_is_used_by_the_run_and_not_spent_twice() -> None:
    one = ask("a" * 92)
    first = budget(tokens=1000)
    first.reserve(one)
    charge = first.settle(one, reply(one))
    assert first.affordable([one]) == Room(4, 4)
    again = budget(tokens=1000, spent=replace(NOTHING, counted_tokens=charge.counted_tokens))
    assert again.affordable([one]) == Room(5, 4)
    again.replay(charge)
    assert again.affordable([one]) == Room(4, 4)


def test_what_fits_is_what_could_be_reserved() -> None:
    one, two = asks(2)
    limited = budget(tokens=worst(one) + worst(two) - 1)
    assert limited.fits(one)
    assert limited.reserve(one)
    assert not limited.fits(two)
    assert not limited.reserve(two)


def test_the_worst_case_is_a_prompt_that_is_written_into_the_cache() -> None:
    dear = Budget(
        BudgetSettings(usd=1049e-6),
        {"test:writer": Price(input=2.0, output=8.0, cached_input=0.2, cache_write=2.5)},
        NOTHING,
    )
    assert not dear.fits(ask("x" * 92))  # 100 tokens at 2.5 and 100 at 8 micro-dollars


def test_what_was_kept_when_no_price_was_known_counts_at_todays_price(ledger: Ledger) -> None:
    one, two, three = asks(3)
    blind = Budget(BudgetSettings(), {}, NOTHING)
    for each, usage in ((one, Usage(100, 10)), (two, Usage())):
        blind.reserve(each)
        outcome = reply(each, usage=usage)
        ledger.put_many([(each, outcome, blind.settle(each, outcome))])
    assert ledger.spent().counted_microusd == 0
    later = budget(usd=1, spent=ledger.spent())
    later.count_unpriced(ledger.unpriced())
    assert later.spent_usd == (100 * 2 + 10 * 8 + worst(two) * 8) / 1e6
    assert later.reserve(three)
    assert later.reserved_usd == ((worst(three) - 100) * 2 + 100 * 8) / 1e6


def test_a_limit_in_usd_needs_the_price_of_what_is_in_the_ledger_too(ledger: Ledger) -> None:
    old = ask(model="openai:old")
    blind = Budget(BudgetSettings(), {}, NOTHING)
    blind.reserve(old)
    ledger.put_many([(old, reply(old), blind.settle(old, reply(old)))])
    budget(tokens=10**6, spent=ledger.spent()).count_unpriced(ledger.unpriced())
    with pytest.raises(RecipeError) as caught:
        budget(usd=1, spent=ledger.spent()).count_unpriced(ledger.unpriced())
    assert caught.value.what == (
        "--budget 1 USD is set, and the ledger holds 1 replies of 'openai:old', whose price is not known"
    )
