"""Money over real HTTP: a limit in dollars holds against a server that bills the most it can, whatever is in flight."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from thousandfold import gen
from thousandfold.gen.asking import Asker
from thousandfold.gen.budget import Budget
from thousandfold.gen.ledger import Ledger
from thousandfold.gen.settings import BudgetSettings, Price
from thousandfold.gen.teachers import make
from thousandfold.gen.teachers.base import Ask

from ._asks import asks, settings
from ._billing import Meter, billing
from ._recipes import RECIPE, small_recipe

PRICE = Price(input=2.0, output=8.0)
MOST_USD = ((len("Question 1000") + 8) * 2.0 + 100 * 8.0) / 1e6
"""The most that one of the longest asks below can come to."""


def asked(
    meter: Meter,
    ledger: Ledger,
    questions: list[Ask],
    *,
    usd: float,
    price: Price = PRICE,
    at_once: int = 1000,
    timeout_seconds: float = 100.0,
    attempts: int = 3,
) -> Asker:
    """The asker after it asked `questions` of the server within `usd`, by default a thousand at once."""
    teacher = make(
        f"openai:m@{meter.url}", settings(timeout_seconds=timeout_seconds, attempts=attempts), concurrency=at_once
    )
    budget = Budget(BudgetSettings(usd=usd), {"openai:m": price}, ledger.spent())
    asker = Asker(ledger=ledger, teachers={teacher.model: teacher}, budget=budget)

    async def work() -> None:
        try:
            await asker.answers(questions)
        finally:
            await teacher.close()

    asyncio.run(asyncio.wait_for(work(), 120))
    return asker


def questions(count: int) -> list[Ask]:
    return asks(count, model="openai:m")


@pytest.mark.parametrize(("at_once", "tells_usage"), [(1000, True), (50, False)])
def test_a_budget_holds_with_a_thousand_asks_in_flight_and_a_server_that_bills_the_worst_case(
    ledger: Ledger, at_once: int, tells_usage: bool
) -> None:
    usd = 1.2005 * at_once * MOST_USD
    with billing(gathers=at_once, tells_usage=tells_usage) as meter:
        asker = asked(meter, ledger, questions(2 * at_once), usd=usd, at_once=at_once)
        bill = meter.usd(input_price=2.0, output_price=8.0)
        assert asker.budget.exhausted
        assert meter.most_in_flight == at_once
        assert usd - 2 * MOST_USD < bill <= usd
        assert ledger.spent().counted_microusd / 1e6 == pytest.approx(bill, rel=1e-12)
        again = asked(meter, ledger, questions(2 * at_once), usd=usd)  # resumed: nothing is left
        assert again.tally.asked == 0
        assert meter.usd(input_price=2.0, output_price=8.0) == bill
        more = asked(meter, ledger, questions(2 * at_once), usd=usd + 10 * MOST_USD)
        assert 10 <= more.tally.asked <= 11
        assert bill < meter.usd(input_price=2.0, output_price=8.0) <= usd + 10 * MOST_USD


def test_cached_tokens_are_counted_at_their_price(ledger: Ledger) -> None:
    with billing(cached=0.5) as meter:
        price = Price(input=2.0, output=8.0, cached_input=0.5)
        asker = asked(meter, ledger, questions(40), usd=40 * MOST_USD, price=price)
        bill = meter.usd(input_price=2.0, output_price=8.0, cached_price=0.5)
    assert asker.tally.asked == 40
    assert meter.tokens["cached"] > 0
    assert bill <= asker.budget.spent_usd <= bill + 40e-6  # each reply is rounded up to a micro-dollar


def test_a_try_that_gave_no_reply_is_counted_as_billed(ledger: Ledger) -> None:
    usd = 20 * MOST_USD
    with billing(hangs=dict.fromkeys(range(3, 60, 3), 1.5)) as meter:  # every third hangs past the client's patience
        asker = asked(meter, ledger, questions(60), usd=usd, at_once=1, timeout_seconds=0.5)
        bill = meter.usd(input_price=2.0, output_price=8.0)
    assert asker.budget.exhausted
    assert meter.asked["m"] > ledger.spent().replies
    assert bill <= asker.budget.spent_usd <= usd
    assert ledger.spent().counted_microusd / 1e6 == asker.budget.spent_usd


@pytest.mark.parametrize("attempts", [1, 2])
def test_of_the_tries_that_gave_no_reply_no_more_are_counted_than_were_sent(ledger: Ledger, attempts: int) -> None:
    with billing(hangs=dict.fromkeys(range(2, 2 + attempts), 1.5)) as meter:  # all tries of the second ask
        asker = asked(meter, ledger, questions(3), usd=1.0, at_once=1, timeout_seconds=0.5, attempts=attempts)
    each = ((len("Question 0") + 8) * 2.0 + 100 * 8.0) / 1e6
    assert meter.asked["m"] == 2 + attempts
    assert ledger.spent().failures == 1
    assert asker.budget.spent_usd == pytest.approx(meter.asked["m"] * each, rel=1e-12)


# ── whole runs ──

PRICED = (
    RECIPE
    + """
[judge]
model = "none"
[heldout]
share = 0
[prices."openai:m"]
input = 2.0
output = 8.0
"""
)


def run(folder: Path, out: Path, meter: Meter, **options: Any) -> gen.Run:
    return gen.run(folder, out=out, teacher=f"openai:m@{meter.url}", **options)


def test_a_run_that_reaches_its_budget_releases_what_there_is_and_never_spends_more(tmp_path: Path) -> None:
    folder, out = small_recipe(tmp_path / "recipe", {"recipe.toml": PRICED}), tmp_path / "out"
    with billing() as meter:
        first = run(folder, out, meter, budget=0.4)
        bill = meter.usd(input_price=2.0, output_price=8.0)
        assert first.summary["exit"] == 3
        assert first.release is not None
        assert 0 < first.exemplars.height < 20
        assert 0.2 < bill <= 0.4
        assert first.summary["paid_usd"] == pytest.approx(bill, abs=1e-4)
        again = run(folder, out, meter, budget=0.4)
        assert (again.summary["exit"], again.summary["asked"], again.summary["new"]) == (3, 0, False)
        assert meter.usd(input_price=2.0, output_price=8.0) == bill


def test_what_a_run_without_a_price_spent_counts_when_there_is_one(tmp_path: Path) -> None:
    blind = PRICED.partition("[prices")[0]
    folder, out = small_recipe(tmp_path / "recipe", {"recipe.toml": blind}), tmp_path / "out"
    with billing() as meter:
        first = run(folder, out, meter, size=4)
        assert first.summary["paid_usd"] is None
        bill = meter.usd(input_price=2.0, output_price=8.0)
        with pytest.raises(gen.RecipeError) as caught:
            run(folder, out, meter, budget=bill)
        assert caught.value.what == f"--budget {bill:g} USD is set, and the price of 'openai:m' is not known"
        priced = small_recipe(tmp_path / "priced", {"recipe.toml": PRICED})
        run(priced, out, meter, size=8, budget=bill + 0.01)
        assert meter.usd(input_price=2.0, output_price=8.0) <= bill + 0.01
