"""Where plain code waits for the rooms: what it changes of the process, it changes back."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator

import pytest

from thousandfold.gen.asking import StopSignal
from thousandfold.gen.waiting import COLLECTED_AFTER, wait


@pytest.fixture(autouse=True)
def _collector() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


async def threshold() -> int:
    return gc.get_threshold()[0]


async def fails() -> None:
    raise ValueError("inside")


@pytest.mark.parametrize(
    ("own", "inside"), [(700, COLLECTED_AFTER), (COLLECTED_AFTER + 1, COLLECTED_AFTER + 1), (0, 0)]
)
def test_circles_are_looked_for_seldom_while_a_run_goes_on_and_as_before_afterwards(own: int, inside: int) -> None:
    gc.set_threshold(own, 11, 12)
    assert wait(threshold(), StopSignal()) == inside
    assert gc.get_threshold()[:2] == (own, 11)
    with pytest.raises(ValueError, match="inside"):
        wait(fails(), StopSignal())
    assert gc.get_threshold()[0] == own


def test_a_notebook_has_its_collector_back_too() -> None:
    gc.set_threshold(700, 11, 12)

    async def cell() -> int:
        return wait(threshold(), StopSignal())

    assert asyncio.run(cell()) == COLLECTED_AFTER
    assert gc.get_threshold()[0] == 700


def test_after_runs_that_overlap_the_collector_is_as_before_the_first() -> None:
    gc.set_threshold(700, 11, 12)
    begun, first_ended = threading.Event(), threading.Event()

    async def longer() -> None:
        begun.set()
        first_ended.wait(20)

    second = threading.Thread(target=wait, args=(longer(), StopSignal()))

    async def first() -> int:
        second.start()
        begun.wait(20)
        return await threshold()

    assert wait(first(), StopSignal()) == COLLECTED_AFTER
    assert gc.get_threshold()[0] == COLLECTED_AFTER  # the other one still goes on
    first_ended.set()
    second.join(20)
    assert gc.get_threshold()[:2] == (700, 11)
