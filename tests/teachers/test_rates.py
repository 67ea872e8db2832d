"""Requests and tokens a minute: kept to, and what a server says is left is not exceeded."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from thousandfold.gen.teachers.rates import LONGEST_RESET_SECONDS, Rates, retry_after, seconds_until_reset

NOW = datetime(2026, 11, 27, 12, 0, 0, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


def sent_at(rates: Rates, clock: Clock, *tokens: int) -> list[float]:
    async def send() -> list[float]:
        times = []
        for amount in tokens:
            await rates.admit(amount)
            times.append(clock.now - 1000.0)
        return times

    return asyncio.run(send())


def test_requests_are_spread_over_the_minute() -> None:
    clock = Clock()
    rates = Rates(requests_per_minute=120, clock=clock, sleep=clock.sleep)
    times = sent_at(rates, clock, *[0] * 241)
    assert times[:2] == [0, 0]  # a second's worth at once
    assert times[-1] == pytest.approx((241 - 2) / 2)
    for start in range(len(times)):
        assert sum(times[start] <= at < times[start] + 60 for at in times) <= 122


def test_tokens_are_counted_as_estimated_and_corrected_when_known() -> None:
    clock = Clock()
    rates = Rates(tokens_per_minute=6000, clock=clock, sleep=clock.sleep)
    assert sent_at(rates, clock, 1000, 1000) == [0, pytest.approx(10)]
    rates.settle(1000, 100)  # nine seconds' worth comes back
    assert sent_at(rates, clock, 100) == [pytest.approx(11)]


def test_without_limits_nobody_waits() -> None:
    clock = Clock()
    assert sent_at(Rates(clock=clock, sleep=clock.sleep), clock, *[10**6] * 5) == [0] * 5


@pytest.mark.parametrize("kind", ["requests", "tokens"])
def test_where_nothing_is_left_nobody_asks_before_the_reset(kind: str) -> None:
    clock = Clock()
    rates = Rates(clock=clock, sleep=clock.sleep)
    rates.heard({f"x-ratelimit-remaining-{kind}": "0", f"x-ratelimit-reset-{kind}": "6.5s"})
    assert sent_at(rates, clock, 1) == [6.5]
    rates.heard({f"x-ratelimit-remaining-{kind}": "1", f"x-ratelimit-reset-{kind}": "6.5s"})
    assert sent_at(rates, clock, 1) == [6.5]
    rates.heard({f"x-ratelimit-remaining-{kind}": "0", f"x-ratelimit-reset-{kind}": "24h"})
    assert sent_at(rates, clock, 1) == [6.5 + LONGEST_RESET_SECONDS]


def test_limits_that_a_server_tells_are_noted() -> None:
    rates = Rates()
    rates.heard({"x-ratelimit-limit-requests": "500", "x-ratelimit-limit-tokens": "30000"})
    rates.heard({"content-type": "application/json"})
    assert rates.limits_seen == {"requests": "500", "tokens": "30000"}


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("6m0s", 360),
        ("1.5s", 1.5),
        ("20ms", 0.02),
        ("1h2m3s", 3723),
        ("7", 7),
        ("", None),
        ("soon", None),
        ("5 s", None),
    ],
)
def test_the_forms_of_a_reset_are_read(value: str, seconds: float | None) -> None:
    assert seconds_until_reset(value) == seconds


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "3"}, 3),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "-1"}, 0),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "Fri, 27 Nov 2026 12:00:30 GMT"}, 30),
        ({"retry-after": "Fri, 27 Nov 2026 11:00:00 GMT"}, 0),
        ({"retry-after": "tomorrow"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_as_a_number_or_a_date(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, now=NOW) == seconds
