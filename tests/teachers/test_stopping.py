"""A run that is told to stop while a server refuses or is silent: what is under way is kept, what waits is let go."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from thousandfold.gen.asking import Asker, StopSignal
from thousandfold.gen.budget import Budget
from thousandfold.gen.errors import InterruptedRunError, TeacherError
from thousandfold.gen.ledger import Ledger
from thousandfold.gen.settings import BudgetSettings
from thousandfold.gen.teachers import make
from thousandfold.gen.teachers.base import Ask, Outcome

from .._asks import Live, asks, settings
from .test_endpoint import GOOD
from .test_wire import serving

QUESTIONS = asks(12, model="openai:m")
Answer = Callable[[int, StopSignal], Awaitable[web.StreamResponse | None]]


def asked(
    ledger: Ledger, answer: Answer, *, questions: list[Ask] = QUESTIONS, concurrency: int = 6, per_minute: float = 0
) -> tuple[int, Asker, bool]:
    """(requests that the server got, the asker, whether it was stopped); None for an answer cuts the connection."""
    stop = StopSignal()
    requests = 0

    async def handle(request: web.Request) -> web.StreamResponse:
        nonlocal requests
        requests += 1
        await request.read()
        response = await answer(requests, stop)
        if response is None:
            assert request.transport is not None
            request.transport.abort()
        return response or web.Response()

    async def work() -> tuple[Asker, bool]:
        async with serving(handle) as url:
            given = settings(requests_per_minute=per_minute or None)
            teacher = make(f"openai:m@{url}", given, concurrency=concurrency)
            budget = Budget(BudgetSettings(tokens=100_000), {}, ledger.spent())
            asker = Asker(ledger=ledger, teachers={teacher.model: teacher}, budget=budget, stop=stop)
            try:
                await asyncio.wait_for(asker.answers(questions), 20)
            except InterruptedRunError:
                return asker, True
            finally:
                await teacher.close()
            return asker, False

    asker, stopped = asyncio.run(work())
    return requests, asker, stopped


async def well(_: int, __: StopSignal) -> web.Response:
    return web.json_response(GOOD)


def busy() -> web.Response:
    return web.json_response({"error": {"message": "later"}}, status=429, headers={"Retry-After": "50"})


def test_a_stop_in_a_storm_lets_go_what_waits_and_keeps_what_is_under_way(ledger: Ledger) -> None:
    stopping = asyncio.Event()

    async def storm(number: int, stop: StopSignal) -> web.Response:
        if number > 2:
            if number == 6:
                stop.set()
                stopping.set()
            return busy()
        await stopping.wait()
        await asyncio.sleep(0.2)
        return web.json_response(GOOD)

    requests, asker, stopped = asked(ledger, storm)
    assert (requests, stopped) == (6, True)
    assert (ledger.spent().replies, ledger.spent().failures) == (2, 0)  # nothing is written of what was let go
    assert asker.budget._held_tokens == 0
    requests, _, stopped = asked(ledger, well)
    assert (requests, stopped) == (10, False)
    assert ledger.spent().replies == len(QUESTIONS)


def test_a_stop_sends_nothing_of_what_waits_for_its_turn_in_a_minute(ledger: Ledger) -> None:
    async def first(_: int, stop: StopSignal) -> web.Response:
        stop.set()
        return web.json_response(GOOD)

    requests, _, stopped = asked(ledger, first, per_minute=6)  # one in ten seconds
    assert (requests, stopped) == (1, True)
    assert ledger.spent().replies == 1


def test_a_try_that_may_be_billed_is_followed_to_its_end_and_counted(ledger: Ledger) -> None:
    async def cut(number: int, stop: StopSignal) -> web.Response | None:
        stop.set()
        return None if number == 1 else web.json_response(GOOD)

    requests, asker, stopped = asked(ledger, cut, questions=QUESTIONS[:1])
    assert (requests, stopped) == (2, True)
    (outcome,) = ledger.get_many([QUESTIONS[0].id]).values()
    assert (outcome.text, outcome.attempts) == ("Hello.", 2)
    assert ledger.spent().counted_tokens > asker.tally.prompt_tokens + asker.tally.completion_tokens + 100


def test_a_teacher_that_gives_up_unbidden_is_refused(ledger: Ledger) -> None:
    async def gives_up(one: Ask) -> Outcome:
        return Outcome(one.id, failure="unasked")

    questions = asks(3)
    budget = Budget(BudgetSettings(), {}, ledger.spent())
    asker = Asker(ledger=ledger, teachers={"test:writer": Live(gives_up)}, budget=budget)
    with pytest.raises(TeacherError, match="unasked"):
        asyncio.run(asyncio.wait_for(asker.answers(questions), 20))
    assert ledger.spent().failures == 0
