"""From plain code into the asynchronous rooms: the one place where an event loop is started."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from .asking import StopSignal

T = TypeVar("T")

POLL_SECONDS = 0.1
COLLECTED_AFTER = 20_000
"""Objects that may be made before Python looks for circles among them: 700, its own number, are a few asks, hardly one
of which leaves a circle, and a seventh of an ask's processor time went into looking."""
_before: list[int] = []  # for each run under way, in whatever thread, the threshold of before the first of them
_counting = threading.Lock()


def wait(work: Coroutine[Any, Any, T], stop: StopSignal) -> T:
    """The result of `work`, from plain code and from inside a running event loop (a notebook) alike.

    Inside a running loop the work has a thread of its own; a KeyboardInterrupt that comes meanwhile sets
    `stop` and waits for what is in flight, since nobody may close the ledger under a thread that writes to it.
    """
    with _seldom_collected():
        return _in_thread(work, stop) if _in_a_loop() else asyncio.run(work)


@contextmanager
def _seldom_collected() -> Iterator[None]:
    """After the last of the runs as the process had it before the first, and never sooner than that: 0 is never."""
    with _counting:
        first, *others = gc.get_threshold()
        _before.append(_before[0] if _before else first)
        gc.set_threshold(first and max(first, COLLECTED_AFTER), *others)
    try:
        yield
    finally:
        with _counting:
            own = _before.pop()
            if not _before:
                gc.set_threshold(own, *others)


def _in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _in_thread(work: Coroutine[Any, Any, T], stop: StopSignal) -> T:
    results: list[T] = []
    errors: list[BaseException] = []
    # Not Thread.join: interrupted once, it takes the thread for ended ever after (CPython before 3.13). And not one
    # long wait: polars' own handler restarts it (SA_RESTART), so that Ctrl-C would come when all is over.
    ended = threading.Event()

    def target() -> None:
        try:
            results.append(asyncio.run(work))
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            errors.append(error)
        finally:
            ended.set()

    threading.Thread(target=target, name="thousandfold").start()
    try:
        while not ended.wait(POLL_SECONDS):
            pass
    except KeyboardInterrupt:
        stop.set()
        ended.wait()
    if errors:
        raise errors[0]
    return results[0]
