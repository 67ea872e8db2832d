"""Many asks at once through one call each: bounded by who feeds them, retried where it can help.

The caller's iterator is the bound: an ask is taken from it only when a slot is free, so memory does not
grow with the number of asks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from contextlib import suppress

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_base, wait_random_exponential

from ..errors import TeacherError
from .base import Ask, Outcome

MAX_WAIT_SECONDS = 60.0

# HTTP statuses that may heal by themselves; every other 4xx says that the request, the key or the account is wrong.
HEALING = frozenset({408, 409, 425, 429})
DENIED = frozenset({401, 402, 403, 404})  # 402: the account has run dry


def heals(status: int) -> bool:
    return status in HEALING or status >= 500


async def each(asks: AsyncIterable[Ask], call: Callable[[Ask], Awaitable[Outcome]]) -> AsyncGenerator[Outcome, None]:
    """One task per ask as it arrives; outcomes as they finish.

    An exception from `call` ends the stream and is raised after the other calls are cancelled; what a
    single ask does wrong must therefore be an Outcome.
    """
    done: asyncio.Queue[Outcome | BaseException | None] = asyncio.Queue()
    tasks: set[asyncio.Task[None]] = set()

    async def one(ask: Ask) -> None:
        # An ask that ended in silence would hold its slot for ever, and the run would wait for ever.
        try:
            done.put_nowait(await call(ask))
        except asyncio.CancelledError:
            done.put_nowait(_cancelled(ask))  # nobody reads it where it was this stream that cancelled
            raise
        except BaseException as error:  # noqa: BLE001 - handed to the consumer, which raises it
            done.put_nowait(error)

    async def feed() -> None:
        try:
            async for ask in asks:
                task = asyncio.create_task(one(ask))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            while tasks:
                await asyncio.wait(tasks)
            done.put_nowait(None)
        except Exception as error:  # noqa: BLE001 - handed to the consumer, which raises it
            done.put_nowait(error)

    feeder = asyncio.create_task(feed())
    try:
        while (item := await done.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        for task in (feeder, *tasks):
            task.cancel()
        for task in (feeder, *tasks):
            with suppress(asyncio.CancelledError):
                await task


def _cancelled(ask: Ask) -> TeacherError:
    return TeacherError(
        what=f"the call for {ask.id} was cancelled from within",
        why="its reply will never come",
        do="run the same command again: it resumes; if it happens again, the client library of the model is at fault",
    )


class _ServerSaysWhen(wait_base):
    """The wait the server asked for, where it did; else exponential with full jitter."""

    def __init__(self, seconds_asked: Callable[[BaseException], float | None]) -> None:
        self._seconds_asked = seconds_asked
        self._otherwise = wait_random_exponential(multiplier=0.5, max=MAX_WAIT_SECONDS)

    def __call__(self, retry_state: RetryCallState) -> float:
        error = retry_state.outcome.exception() if retry_state.outcome is not None else None
        asked = self._seconds_asked(error) if error is not None else None
        return min(asked, MAX_WAIT_SECONDS) if asked is not None else self._otherwise(retry_state)


def retrying(
    *,
    attempts: int,
    can_heal: Callable[[BaseException], bool],
    seconds_asked: Callable[[BaseException], float | None] = lambda _: None,
) -> AsyncRetrying:
    """tenacity's policy for one ask: only what can heal, at most `attempts` times; then the last error."""
    return AsyncRetrying(
        stop=stop_after_attempt(attempts),
        wait=_ServerSaysWhen(seconds_asked),
        retry=retry_if_exception(can_heal),
        reraise=True,
    )
