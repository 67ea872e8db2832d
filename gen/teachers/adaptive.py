"""How many requests a server is given at once: found by trying, and never less than one.

Additive increase, multiplicative decrease (Chiu and Jain, Computer Networks and ISDN Systems 17, 1989). The start
doubles with each round trip, as TCP's slow start does (RFC 5681); what a server refuses is remembered as a ceiling
that is tried again only after a pause, which doubles as long as the answer stays no. So a server that takes 64 at once
is kept at 64, and not driven up and down around it.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

FIRST_TRY = 16
"""Requests at once before anything is known: doubled in each round trip, it reaches 1,024 after six."""

MOST_AT_ONCE = 1024

HOLD_SECONDS = 10.0
LONGEST_HOLD_SECONDS = 160.0
"""How long a ceiling is believed before it is tried again: at 64 requests of half a second, one refusal in 10 seconds
is one of 1,280."""

REFUSED_AGAIN = 0.7  # of the limit, where a server that was just given less refuses again
TIMED_OUT = 0.5
SLOWER = 0.8  # of the limit, once replies take so many times as long as at first:
SLOW_FACTOR = 2.5
SMOOTHING = 0.05  # of the moving average of a reply's seconds: about the last twenty
LEAST_REPLIES = 20


@dataclass
class Slot:
    """One request's place; `place` counts those in flight when it started, itself included."""

    place: int
    era: int
    started: float


@dataclass
class _Seconds:
    """How long replies of one purpose take: a moving average, and the least that it was."""

    average: float = 0.0
    least: float = 0.0
    replies: int = 0

    def add(self, seconds: float) -> bool:
        """Whether replies have become slow by now."""
        self.replies += 1
        self.average += (seconds - self.average) * max(SMOOTHING, 1 / self.replies)
        if self.replies <= LEAST_REPLIES:
            self.least = self.average
        self.least = min(self.least, self.average)
        return self.replies > LEAST_REPLIES and self.average > SLOW_FACTOR * self.least

    def forget(self) -> None:
        """After a decrease, the replies of before say nothing any more."""
        self.average = self.least
        self.replies = LEAST_REPLIES


@dataclass
class Pace:
    """Slots for one server, inside one event loop.

    `start` is the first limit, `most` the highest; both the same where a person said so.

    limit    how many requests may be in flight now: at least 1, whatever the server does
    refused  how many times the server said that it was too much (429)
    """

    start: int = FIRST_TRY
    most: int = MOST_AT_ONCE
    clock: Callable[[], float] = time.monotonic
    refused: int = 0
    in_flight: int = 0
    _limit: float = 0.0
    _ceiling: int | None = None  # the least number at once that was refused, as far as is known
    _hold: float = HOLD_SECONDS
    _shrunk: float = -math.inf  # when the limit was lowered last
    _era: int = 0  # counts decreases: what was sent before one says nothing about the limit after it
    _seconds: dict[str, _Seconds] = field(default_factory=dict)
    _again: deque[asyncio.Future[None]] = field(default_factory=deque)  # asks that were refused go first
    _waiting: deque[asyncio.Future[None]] = field(default_factory=deque)
    _freed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._limit = float(min(self.start, self.most))

    @property
    def limit(self) -> int:
        return max(1, int(self._limit))

    async def enter(self, *, again: bool = False) -> Slot:
        """A slot as soon as one is free; those that were refused come before new ones."""
        queue = self._again if again else self._waiting
        if self.in_flight >= self.limit or queue or (self._again and not again):
            place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            queue.append(place)
            try:
                await place
            except asyncio.CancelledError:
                if place.done() and not place.cancelled():  # it had just been let in
                    self.in_flight -= 1
                    self._let_in()
                raise
        else:
            self.in_flight += 1
        return Slot(self.in_flight, self._era, self.clock())

    async def room(self) -> None:
        """Returns once one more ask could start; takes no slot, so that whoever was refused is never kept out by it."""
        await asyncio.sleep(0)  # whoever was told so before has started by now
        while self.in_flight + len(self._again) + len(self._waiting) >= self.limit:
            self._freed.clear()
            await self._freed.wait()

    def leave(self) -> None:
        """A slot is free; nothing is learnt from it."""
        self.in_flight -= 1
        self._freed.set()
        self._let_in()

    def answered(self, slot: Slot, purpose: str) -> None:
        """A reply came: more may be tried, if this many was needed, unless replies have become slow."""
        seconds = self._seconds.setdefault(purpose, _Seconds())
        slow = seconds.add(self.clock() - slot.started)
        if slot.era == self._era:
            if slow:
                seconds.forget()
                self._shrink(self._limit * SLOWER, ceiling=self.limit)
            elif slot.place >= 0.9 * self.limit:
                self._grow(slot)
        self.leave()

    def refuse(self, slot: Slot) -> None:
        """The server said that it was too much at once, or too fast."""
        self.refused += 1
        if slot.era == self._era:
            probing = self._ceiling is not None and slot.place >= self._ceiling
            if not probing and self.clock() - self._shrunk < 2 * self._round_trip:
                self._shrink(self._limit * REFUSED_AGAIN, ceiling=None)  # it is not the number that is too high
            else:
                # The first to be refused after a decrease is the lowest place that was too many.
                self._hold = min(2 * self._hold, LONGEST_HOLD_SECONDS) if probing else HOLD_SECONDS
                self._shrink(min(self._limit, slot.place) - 1, ceiling=slot.place)
        self.leave()

    def timed_out(self, slot: Slot) -> None:
        """No reply came in time: a server that is given too much may answer nobody."""
        if slot.era == self._era:
            self._shrink(self._limit * TIMED_OUT, ceiling=None)
        self.leave()

    @property
    def _round_trip(self) -> float:
        return max((seconds.average for seconds in self._seconds.values()), default=1.0)

    def _grow(self, slot: Slot) -> None:
        if self._ceiling is not None and slot.place >= self._ceiling:
            self._ceiling = None  # it was taken this time
        if self._ceiling is None:
            self._limit += 1  # for each reply: doubled in each round trip
        elif self._limit < self._ceiling - 1:
            self._limit = min(
                self._limit + max(1.0, (self._ceiling - self._limit) / 2) / self._limit, self._ceiling - 1
            )
        elif self.clock() >= self._shrunk + self._hold:
            self._limit = float(self._ceiling)  # one more is tried
        self._limit = min(self._limit, float(self.most))

    def _shrink(self, limit: float, *, ceiling: int | None) -> None:
        self._limit = max(1.0, limit)
        self._ceiling = ceiling if ceiling is None else max(2, ceiling)
        self._shrunk = self.clock()
        self._era += 1

    def _let_in(self) -> None:
        while self.in_flight < self.limit:
            queue = self._again or self._waiting
            if not queue:
                return
            place = queue.popleft()
            if not place.done():
                self.in_flight += 1
                place.set_result(None)
