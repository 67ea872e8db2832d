"""Requests and tokens a minute: what the recipe says is kept to, and what the server says is left is not exceeded."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from .base import Ask

ROUNDING = 1e-6  # what was waited for to the second is there, whatever the last bit of a float says
BURST_SECONDS = 1.0
"""So much of a minute's allowance may be used at once: providers count in windows shorter than a minute."""

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
LONGEST_RESET_SECONDS = 300.0  # a limit of a day would otherwise look like a hang


def retry_after(headers: Mapping[str, str], *, now: datetime | None = None) -> float | None:
    """Seconds that `Retry-After-Ms` or `Retry-After` (a number, or an HTTP date) asks for; None where neither does."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers.get(name, "")) * unit)
        except ValueError:
            continue
    try:
        then = parsedate_to_datetime(headers.get("retry-after", ""))
    except ValueError:
        return None
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    return max(0.0, (then - (now or datetime.now(UTC))).total_seconds())


def seconds_until_reset(value: str) -> float | None:
    """`6m0s`, `1.5s`, `20ms` or a plain number of seconds, as `x-ratelimit-reset-*` writes them."""
    value = value.strip()
    parts = _DURATION.findall(value)
    if parts and "".join(number + unit for number, unit in parts) == value:
        return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts)
    try:
        return max(0.0, float(value))
    except ValueError:
        return None


def estimated_tokens(ask: Ask) -> int:
    """About four bytes a token, and the whole room for the reply, as providers reckon before they answer."""
    return sum(len(m.content) for m in ask.messages) // 4 + ask.sampling.max_tokens


@dataclass
class _Bucket:
    """An allowance that refills evenly; it may be overdrawn by one request, and is then waited for."""

    per_minute: float
    level: float = 0.0
    seen: float | None = None

    def wait_for(self, amount: float, now: float) -> float:
        """Seconds until `amount` may be taken; taken at once where that is 0."""
        most = max(self.per_minute * BURST_SECONDS / 60, 1.0)
        self.level = most if self.seen is None else min(most, self.level + (now - self.seen) * self.per_minute / 60)
        self.seen = now
        needed = min(amount, most)  # an ask that is larger than the bucket waits until it is full
        if self.level >= needed - ROUNDING:
            self.level -= amount
            return 0.0
        return (needed - self.level) * 60 / self.per_minute

    def give_back(self, amount: float) -> None:
        self.level += amount


@dataclass
class Rates:
    """One server's limits. `requests_per_minute` and `tokens_per_minute` are the recipe's; None: no limit known."""

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    limits_seen: dict[str, str] = field(default_factory=dict)
    _closed_until: float = 0.0

    def __post_init__(self) -> None:
        self._requests = _Bucket(self.requests_per_minute) if self.requests_per_minute else None
        self._tokens = _Bucket(self.tokens_per_minute) if self.tokens_per_minute else None

    async def admit(self, tokens: int, *, sleep: Callable[[float], Awaitable[None]] | None = None) -> None:
        """Waits until one more request of about so many tokens may be sent; `sleep` may end that by raising."""
        while (seconds := self._wait(tokens)) > 0:
            await (sleep or self.sleep)(seconds)

    def _wait(self, tokens: int) -> float:
        now = self.clock()
        if now < self._closed_until:
            return self._closed_until - now
        seconds = self._tokens.wait_for(tokens, now) if self._tokens else 0.0
        if seconds or self._requests is None:
            return seconds
        seconds = self._requests.wait_for(1, now)
        if seconds and self._tokens:
            self._tokens.give_back(tokens)
        return seconds

    def settle(self, estimated: int, used: int | None) -> None:
        """What a reply really used, once it is known."""
        if self._tokens is not None and used is not None:
            self._tokens.give_back(estimated - used)

    def heard(self, headers: Mapping[str, str]) -> None:
        """Takes note of `x-ratelimit-*`: where nothing is left, nobody asks before the reset."""
        if not headers:
            return
        for kind in ("requests", "tokens"):
            limit = headers.get(f"x-ratelimit-limit-{kind}")
            if limit:
                self.limits_seen[kind] = limit
            reset = seconds_until_reset(headers.get(f"x-ratelimit-reset-{kind}", ""))
            if headers.get(f"x-ratelimit-remaining-{kind}", "").strip() == "0" and reset:
                self._closed_until = max(self._closed_until, self.clock() + min(reset, LONGEST_RESET_SECONDS))
