"""How many at once: found by trying, kept just below what is refused, lowered when a server is slow, never zero."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from thousandfold.gen.teachers.adaptive import FIRST_TRY, LONGEST_HOLD_SECONDS, Pace, Slot


@dataclass
class World:
    """A server and its clients on a clock of their own: a request is refused at once, or answered after some time."""

    takes: Callable[[int, float], bool]  # (in flight at the server with this one, seconds) -> taken?
    seconds: Callable[[int], float]  # of a reply, by how many are in flight
    pace: Pace = field(init=False)
    now: float = 0.0
    sent: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)
    limits: list[int] = field(default_factory=list)

    def run(self, seconds: float, *, start: int = FIRST_TRY, most: int = 1024) -> None:
        """As many asks as there is room for, until the time is over."""
        self.pace = Pace(start=start, most=most, clock=lambda: self.now)
        ends: list[tuple[float, int, Slot, bool]] = []
        held = 0
        while self.now < seconds:
            while self.pace.in_flight < self.pace.limit:
                slot = _entered(self.pace)
                self.sent.append(self.now)
                taken = self.takes(held + 1, self.now)
                held += taken
                took = self.seconds(held) if taken else 0.001
                heapq.heappush(ends, (self.now + took, len(self.sent), slot, taken))
            self.now, _, slot, taken = heapq.heappop(ends)
            self.limits.append(self.pace.limit)
            if taken:
                held -= 1
                self.answered.append(self.now)
                self.pace.answered(slot, "exemplar")
            else:
                self.refused.append(self.now)
                self.pace.refuse(slot)

    def rate(self, since: float) -> float:
        return sum(at >= since for at in self.answered) / (self.now - since)


def _entered(pace: Pace) -> Slot:
    """`enter` where there is room: it never waits, so one step of the coroutine gives the slot."""
    try:
        pace.enter().send(None)
    except StopIteration as stop:
        slot: Slot = stop.value
        return slot
    raise AssertionError("it waited though there was room")


def half_a_second(_: int) -> float:
    return 0.5


@pytest.mark.parametrize("capacity", [1, 3, 16, 64, 500])
def test_a_server_of_fixed_size_is_kept_full_and_seldom_refuses(capacity: int) -> None:
    world = World(lambda held, _: held <= capacity, half_a_second)
    world.run(120)
    ideal = capacity / 0.5
    assert world.rate(20) >= 0.95 * ideal
    late = sum(at >= 20 for at in world.refused)
    assert late <= 0.02 * sum(at >= 20 for at in world.sent)
    assert len(world.refused) > 0


def test_a_ceiling_is_tried_again_after_longer_and_longer_pauses() -> None:
    world = World(lambda held, _: held <= 64, half_a_second)
    world.run(600)
    late = [at for at in world.refused if at > 5]
    gaps = [round(b - a) for a, b in pairwise(late) if b - a > 1]
    assert gaps[:4] == sorted(gaps[:4])
    assert max(gaps) >= LONGEST_HOLD_SECONDS
    assert len(late) <= 10


def test_a_server_that_grows_is_found_to_have_grown() -> None:
    world = World(lambda held, now: held <= (16 if now < 60 else 200), half_a_second)
    world.run(200)
    assert world.rate(120) >= 0.9 * 200 / 0.5


def test_after_a_storm_the_pace_is_what_it_was() -> None:
    world = World(lambda held, now: held <= 64 and not 30 <= now < 60, half_a_second)
    world.run(150)
    assert min(world.limits) >= 1
    assert world.rate(100) >= 0.9 * 64 / 0.5


def test_in_a_storm_the_limit_falls_to_one_and_never_to_nothing() -> None:
    world = World(lambda _, __: False, half_a_second)
    world.run(1)
    assert world.pace.limit == 1
    assert min(world.limits) == 1


def test_a_server_whose_replies_become_slow_is_given_less() -> None:
    """Sixteen are served at a time, the others wait in its queue: more at once is only longer waits."""
    world = World(lambda _, __: True, lambda held: 0.5 * max(1.0, held / 16))
    world.run(120)
    assert world.pace.limit < 100
    assert world.rate(20) >= 0.9 * 16 / 0.5


def test_replies_that_are_always_slow_lower_nothing() -> None:
    world = World(lambda _, __: True, lambda _: 30.0)
    world.run(400, start=64, most=64)
    assert world.pace.limit == 64


def test_a_number_that_a_person_gave_is_never_exceeded() -> None:
    world = World(lambda _, __: True, half_a_second)
    world.run(10, start=7, most=7)
    assert set(world.limits) == {7}


def test_a_time_out_halves_the_limit_once_for_all_that_were_sent_with_it() -> None:
    pace = Pace(start=16)
    slots = [_entered(pace) for _ in range(16)]
    for slot in slots:
        pace.timed_out(slot)
    assert (pace.limit, pace.in_flight) == (8, 0)


def test_who_was_refused_comes_before_who_is_new() -> None:
    async def order() -> list[str]:
        pace, came = Pace(start=1, most=1), []

        async def enters(name: str, *, again: bool) -> None:
            await pace.enter(again=again)
            came.append(name)
            pace.leave()

        slot = await pace.enter()
        waiting = [asyncio.create_task(enters("new", again=False)), asyncio.create_task(enters("refused", again=True))]
        await asyncio.sleep(0)
        pace.refuse(slot)
        await asyncio.gather(*waiting)
        return came

    assert asyncio.run(order()) == ["refused", "new"]


def test_who_stops_waiting_keeps_nobody_out() -> None:
    async def left() -> int:
        pace = Pace(start=1, most=1)
        await pace.enter()
        waiting = [asyncio.create_task(pace.enter()) for _ in range(3)]
        await asyncio.sleep(0)
        pace.leave()  # lets the first in, which is cancelled in the same moment
        for task in waiting[:2]:
            task.cancel()
        await asyncio.gather(*waiting[:2], return_exceptions=True)
        await asyncio.wait_for(waiting[2], 5)
        return pace.in_flight

    assert asyncio.run(left()) == 1
