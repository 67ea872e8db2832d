"""The one way to ask: what the ledger holds is replayed, what is missing is asked, committed, then used.

A slot is freed only after its reply is committed, so a crash costs no more than the requests in flight.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from .budget import Budget
from .errors import InterruptedRunError, OfflineError, TeacherError
from .events import Event, OnEvent, ignore
from .ledger import Ledger
from .teachers.base import Ask, Outcome, Teacher

UNPROVEN = 8
"""A teacher whose first so many replies are all refusals of the request itself is set up wrongly."""


@dataclass
class Tally:
    """What this run asked, by where the answer came from."""

    asked: int = 0
    replayed: int = 0
    failed: int = 0
    microusd: int = 0
    unpriced: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


class StopSignal:
    """Set from a signal handler or another thread: feed nothing more, finish what is in flight."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.signum = 2

    def set(self, signum: int = 2) -> None:
        self.signum = signum
        self._event.set()

    @property
    def is_set(self) -> bool:
        return self._event.is_set()


class Asker:
    """Answers asks through the ledger, within the budget, by the teacher whose model they name."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        teachers: Mapping[str, Teacher],
        budget: Budget,
        concurrency: int = 64,
        offline: bool = False,
        stop: StopSignal | None = None,
        on_event: OnEvent = ignore,
    ) -> None:
        self.ledger = ledger
        self.budget = budget
        self.tally = Tally()
        self._teachers = teachers
        self._concurrency = concurrency
        self._offline = offline
        self._stop = stop or StopSignal()
        self._on_event = on_event

    async def answers(self, asks: Sequence[Ask]) -> dict[str, Outcome]:
        """ask id -> outcome. Asks that the budget did not reach are absent.

        Raises OfflineError, TeacherError, StorageError, or InterruptedRunError once what was in flight is
        committed.
        """
        unique = {ask.id: ask for ask in asks}
        found = self.ledger.get_many(list(unique))
        missing = [ask for ask_id, ask in unique.items() if ask_id not in found]
        if found:
            self.tally.replayed += len(found)
            purpose = asks[0].purpose
            self._on_event(Event("replies", {"purpose": purpose, "asked": 0, "replayed": len(found)}))
        if missing and self._offline:
            raise OfflineError(
                what=f"--offline was given and {len(missing)} of {len(unique)} {missing[0].purpose} replies"
                " are not in the ledger",
                why="offline, nothing may be asked, and a release with holes would not be the one you know",
                do="run without --offline to ask for them, or bring the ledger of the run to be replayed",
            )
        by_model: dict[str, list[Ask]] = {}
        for ask in missing:
            by_model.setdefault(ask.model, []).append(ask)
        for model, group in by_model.items():
            found.update(await _Sending(self, self._teachers[model], group).run())
        if self._stop.is_set:
            raise InterruptedRunError(
                what="interrupted; what was in flight was finished and kept",
                why=f"the ledger {self.ledger.path} now holds {self.ledger.spent().replies} replies",
                do="run the same command again: it resumes and asks only what is missing",
                signum=self._stop.signum,
            )
        return found


class _Sending:
    """One batch of asks on its way to one teacher."""

    def __init__(self, asker: Asker, teacher: Teacher, asks: Sequence[Ask]) -> None:
        self._asker = asker
        self._teacher = teacher
        self._asks = asks
        self._by_id = {ask.id: ask for ask in asks}
        self._slots = asyncio.Semaphore(max(1, min(asker._concurrency, teacher.max_in_flight)))
        self._in_flight = 0
        self._arrived: list[Outcome] = []
        self._news = asyncio.Event()
        self._settled = asyncio.Event()
        self._complete = False
        self._refusals: list[Outcome] | None = []  # None once a reply has come
        self._answers: dict[str, Outcome] = {}

    async def run(self) -> dict[str, Outcome]:
        committer = asyncio.create_task(self._commit())
        committer.add_done_callback(self._unblock)
        try:
            async for outcome in self._teacher.answer(self._feed()):
                self._arrive(outcome)
        finally:
            self._complete = True
            self._news.set()
            await committer
        return self._answers

    def _unblock(self, _: asyncio.Task[None]) -> None:
        """A commit that failed frees no slot; the feed must still come to its end."""
        self._complete = True
        self._slots.release()
        self._settled.set()

    async def _feed(self) -> AsyncIterator[Ask]:
        budget, stop = self._asker.budget, self._asker._stop
        for ask in self._asks:
            await self._slots.acquire()
            while not (stop.is_set or self._complete) and not budget.reserve(ask):
                if not self._in_flight:
                    budget.exhausted = True
                    return
                self._settled.clear()
                await self._settled.wait()
            if stop.is_set or self._complete:
                return
            self._in_flight += 1
            yield ask

    def _arrive(self, outcome: Outcome) -> None:
        if self._refusals is not None:
            if outcome.failure == "bad_request":
                self._refusals.append(outcome)
                if len(self._refusals) < UNPROVEN and len(self._refusals) < len(self._asks):
                    return
                raise TeacherError(
                    what=f"{self._teacher.model} refused the first {len(self._refusals)} requests:"
                    f" {outcome.detail}",
                    why="a request that is refused as such would be refused a thousand times over",
                    do="mend the settings of [teacher] or [judge] in recipe.toml (structured, max_tokens,"
                    " temperature, model), then run again",
                )
            self._arrived.extend(self._refusals)
            self._refusals = None
        self._arrived.append(outcome)
        self._news.set()

    async def _commit(self) -> None:
        """Writes whatever has arrived as one transaction, again and again: the group commit."""
        asker = self._asker
        while not (self._complete and not self._arrived):
            await self._news.wait()
            self._news.clear()
            group, self._arrived = self._arrived, []
            if not group:
                continue
            entries = [
                (ask, outcome, asker.budget.settle(ask, outcome.usage))
                for outcome in group
                for ask in (self._by_id[outcome.ask_id],)
            ]
            await asyncio.to_thread(asker.ledger.put_many, entries)
            for outcome in group:
                self._answers[outcome.ask_id] = outcome
                self._slots.release()
            self._in_flight -= len(group)
            self._settled.set()
            self._report(entries)

    def _report(self, entries: Sequence[tuple[Ask, Outcome, int | None]]) -> None:
        tally = self._asker.tally
        tokens = 0
        for _, outcome, cost in entries:
            tally.asked += 1
            tally.failed += outcome.failure is not None
            tally.microusd += cost or 0
            tally.unpriced += cost is None
            tally.prompt_tokens += outcome.usage.prompt_tokens or 0
            tally.completion_tokens += outcome.usage.completion_tokens or 0
            tokens += (outcome.usage.prompt_tokens or 0) + (outcome.usage.completion_tokens or 0)
        costs = [cost for _, _, cost in entries]
        self._asker._on_event(
            Event(
                "replies",
                {
                    "purpose": entries[0][0].purpose,
                    "asked": len(entries),
                    "replayed": 0,
                    "failed": sum(outcome.failure is not None for _, outcome, _ in entries),
                    "cost_usd": None if None in costs else sum(cost or 0 for cost in costs) / 1e6,
                    "tokens": tokens,
                },
            )
        )
