"""Many asks at once through one call each: bounded by who feeds them, retried where it can help.

The caller's iterator is the bound: an ask is taken from it only when a slot is free, so memory does not
grow with the number of asks.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Collection
from contextlib import aclosing, suppress

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception
from tenacity.stop import stop_base
from tenacity.wait import wait_base

from ..errors import TeacherError
from .base import Ask, Outcome

MAX_WAIT_SECONDS = 60.0
SPREAD_SECONDS = 0.25
LAST_SECONDS = 60.0
"""So long is waited for replies that are under way when a stream ends in trouble: they are paid for already."""

# HTTP statuses that may heal by themselves; every other 4xx says that the request, the key or the account is wrong.
HEALING = frozenset({408, 409, 425, 429})
DENIED = frozenset({401, 402, 403, 404})  # 402: the account has run dry


def heals(status: int) -> bool:
    return status in HEALING or status >= 500


async def each(
    asks: AsyncIterable[Ask],
    call: Callable[[Ask], Awaitable[Outcome]],
    *,
    ready: Callable[[], Awaitable[None]] | None = None,
    last_seconds: float = 0.0,
) -> AsyncGenerator[Outcome, None]:
    """One task per ask as it arrives; outcomes as they finish. With `ready`, no ask is taken before that returns.

    An exception from `call` ends the stream: no further ask is taken, what finishes within `last_seconds` is still
    given, the other calls are cancelled, and it is raised. What a single ask does wrong must therefore be an Outcome.
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
        finally:
            tasks.discard(asyncio.current_task())  # its word is in the queue by now

    async def feed() -> None:
        try:
            taken = aiter(asks)
            while True:
                if ready is not None:
                    await ready()
                ask = await anext(taken, None)
                if ask is None:
                    break
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
                feeder.cancel()
                async with aclosing(_last(done, tasks, last_seconds)) as last:
                    async for outcome in last:
                        yield outcome
                raise item
            yield item
    finally:
        left = (feeder, *tasks)
        for task in left:
            task.cancel()
        for task in left:
            with suppress(asyncio.CancelledError):
                await task


async def _last(
    done: asyncio.Queue[Outcome | BaseException | None], tasks: Collection[object], seconds: float
) -> AsyncGenerator[Outcome, None]:
    """What has arrived, and what still arrives in so many seconds."""
    until = time.monotonic() + seconds
    while tasks or not done.empty():
        try:
            left = until - time.monotonic()
            item = done.get_nowait() if not done.empty() else await asyncio.wait_for(done.get(), max(left, 0))
        except TimeoutError:
            return
        if isinstance(item, Outcome):
            yield item


def _cancelled(ask: Ask) -> TeacherError:
    return TeacherError(
        what=f"the call for {ask.id} was cancelled from within",
        why="its reply will never come",
        do="run the same command again: it resumes; if it happens again, the client library of the model is at fault",
    )


class _ServerSaysWhen(wait_base):
    """The wait that the server asked for, where it did; else exponential, a half of it drawn at random.

    Seven waits from one second on are a minute at the least, so that a server which restarts is waited for.
    """

    def __init__(self, seconds_asked: Callable[[BaseException], float | None]) -> None:
        self._seconds_asked = seconds_asked

    def __call__(self, retry_state: RetryCallState) -> float:
        error = retry_state.outcome.exception() if retry_state.outcome is not None else None
        asked = self._seconds_asked(error) if error is not None else None
        if asked is not None:
            return min(asked, MAX_WAIT_SECONDS) + random.uniform(0, SPREAD_SECONDS)  # not all at the same moment
        longest = min(2.0 ** (retry_state.attempt_number - 1), MAX_WAIT_SECONDS)
        return longest / 2 + random.uniform(0, longest / 2)


class _Patience(stop_base):
    """Stops after so many tries that count, before a wait that would end past the deadline, or one try too dear."""

    def __init__(
        self,
        attempts: int,
        deadline_seconds: float,
        counts: Callable[[BaseException], bool],
        elapsed: Callable[[], float] | None,
        affords: Callable[[BaseException], bool],
    ) -> None:
        self._left = attempts
        self._deadline_seconds = deadline_seconds
        self._counts = counts
        self._elapsed = elapsed
        self._affords = affords

    def __call__(self, retry_state: RetryCallState) -> bool:
        error = retry_state.outcome.exception() if retry_state.outcome is not None else None
        self._left -= error is None or self._counts(error)
        since = self._elapsed() if self._elapsed is not None else retry_state.seconds_since_start or 0.0
        elapsed = since + retry_state.upcoming_sleep
        if self._left <= 0 or elapsed >= self._deadline_seconds:
            return True
        return error is not None and not self._affords(error)  # asked last: whoever says yes has paid for the try


def retrying(
    *,
    attempts: int,
    can_heal: Callable[[BaseException], bool],
    seconds_asked: Callable[[BaseException], float | None] = lambda _: None,
    counts: Callable[[BaseException], bool] = lambda _: True,
    deadline_seconds: float = math.inf,
    elapsed: Callable[[], float] | None = None,
    affords: Callable[[BaseException], bool] = lambda _: True,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncRetrying:
    """tenacity's policy for one ask: only what can heal, at most `attempts` tries that count; then the last error.

    `elapsed` gives the seconds since the ask began, where that was before this. `affords` says whether one more try
    after an error is paid for; it is asked only where there will be one.
    """
    return AsyncRetrying(
        sleep=sleep,
        stop=_Patience(attempts, deadline_seconds, counts, elapsed, affords),
        wait=_ServerSaysWhen(seconds_asked),
        retry=retry_if_exception(can_heal),
        reraise=True,
    )
