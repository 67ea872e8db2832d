"""What the tests of asks, ledger and teachers have in common: an ask, an outcome, and a teacher that is alive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from typing import Any

from thousandfold.gen.ledger import Charge
from thousandfold.gen.settings import TeacherSettings
from thousandfold.gen.teachers.base import Ask, Message, Outcome, Sampling, Usage
from thousandfold.gen.teachers.pace import each

FREE = Charge(cost_microusd=0, counted_tokens=0, counted_microusd=0)


def ask(words: str = "Say hello.", **changes: Any) -> Ask:
    known: dict[str, Any] = {"model": "test:writer", "sampling": Sampling(max_tokens=100), **changes}
    return Ask(messages=(Message("user", words),), **known)


def asks(count: int, **changes: Any) -> list[Ask]:
    return [ask(f"Question {k}", **changes) for k in range(count)]


def reply(to: Ask, **changes: Any) -> Outcome:
    known: dict[str, Any] = {"text": f"Reply to {to.messages[-1].content}", "usage": Usage(10, 20), **changes}
    return Outcome(ask_id=to.id, **known)


def failure(to: Ask, kind: str = "bad_request", detail: str = "no such setting") -> Outcome:
    return Outcome(ask_id=to.id, failure=kind, detail=detail)  # type: ignore[arg-type]


class Live:
    """A teacher with many asks in flight at once; what it answers, and when, is a coroutine's word."""

    model = "test:writer"
    family = "writers"

    def __init__(self, answer: Callable[[Ask], Awaitable[Outcome]], *, max_in_flight: int = 4096) -> None:
        self._answer = answer
        self.max_in_flight = max_in_flight
        self.taken: list[Ask] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.cancelled = 0

    async def answer(self, asks: AsyncIterable[Ask]) -> AsyncIterator[Outcome]:
        async for outcome in each(asks, self._one):
            yield outcome

    async def close(self) -> None:
        """Nothing is held open."""

    async def _one(self, ask: Ask) -> Outcome:
        self.taken.append(ask)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return await self._answer(ask)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.in_flight -= 1


async def at_once(ask: Ask) -> Outcome:
    return reply(ask)


def settings(**changes: Any) -> TeacherSettings:
    return TeacherSettings(**{"timeout_seconds": 20.0, "attempts": 3, **changes})


async def feed(asks: list[Ask]) -> AsyncIterator[Ask]:
    for ask in asks:
        yield ask
