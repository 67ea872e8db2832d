"""Asks of one kind on their way to one teacher: fed as slots are free, and each reply committed before it is used."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass

from .budget import Budget
from .charges import Tally
from .errors import TeacherError, TeacherSetUpError
from .events import Event, OnEvent
from .ledger import Charge, Ledger
from .ledger_rows import as_stored
from .stopping import StopSignal
from .teachers.base import Ask, Failure, Outcome, Purpose, Teacher

UNPROVEN = 8
"""A teacher that has no reply to any of the first so many asks of a kind is set up wrongly."""

NO_REPLY: frozenset[Failure | None] = frozenset({"bad_request", "timeout", "broken"})
"""What a wrong setting or address looks like. All other failures are words of a model, and were paid for."""

Kind = tuple[str, Purpose]  # whom and what for
Use = Callable[[Ask, Outcome], None]

_Entry = tuple[Ask, Outcome, Charge]


@dataclass(frozen=True)
class Office:
    """What every sending of a run works with."""

    ledger: Ledger
    budget: Budget
    tally: Tally
    stop: StopSignal
    on_event: OnEvent
    proven: set[Kind]  # those that gave a reply at least once
    may_lose: Callable[[str, BaseException], bool]


class Crew:
    """What sendings that are under way at once have in common: one budget, and an end where one cannot go on."""

    def __init__(self) -> None:
        self.settled = asyncio.Event()
        self.in_flight = 0
        self.failed = False


class Sending:
    """Asks of one kind, taken from `asks` as slots are free; each outcome goes to `use` once it is committed."""

    def __init__(
        self,
        office: Office,
        teacher: Teacher,
        kind: Kind,
        asks: Iterator[Ask],
        use: Use,
        crew: Crew,
        *,
        most: int,
    ) -> None:
        self._office = office
        self._teacher = teacher
        self._kind = kind
        self._asks = asks
        self._use = use
        self._crew = crew
        self._slots = asyncio.Semaphore(most)
        self._waiting: dict[str, Ask] = {}  # given to the teacher, not answered yet
        self._fed = 0
        self._fed_to_the_end = False
        self._first: set[str] = set()  # of all that were fed
        self._held: list[_Entry] = []  # failures, held back until a reply proves the setup
        self._slotless: set[str] = set()  # what was held back has given up its slot already
        self._arrived: list[_Entry] = []  # to be committed
        self._news = asyncio.Event()
        self._complete = False
        self.model = teacher.model
        self._answered = 0

    async def run(self) -> None:
        committer = asyncio.create_task(self._commit())
        committer.add_done_callback(self._unblock)
        outcomes = self._teacher.answer(self._feed())
        try:
            async for outcome in outcomes:
                self._arrive(outcome)
        except BaseException as error:
            self._crew.failed |= not self._office.may_lose(self.model, error)
            raise
        finally:
            if isinstance(outcomes, AsyncGenerator):
                await outcomes.aclose()  # cancels what an error left in flight
            # Its worst case stays reserved: a request that was cancelled may have been answered, and billed.
            self._crew.in_flight -= len(self._waiting)
            self._crew.settled.set()
            self._complete = True
            self._news.set()
            await committer
        self._expect_all()

    @property
    def _halted(self) -> bool:
        return self._complete or self._office.stop.is_set or self._crew.failed

    def _unblock(self, committer: asyncio.Task[None]) -> None:
        """A commit that failed frees no slot; the feed must still come to its end, and with it the others'."""
        self._crew.failed |= committer.cancelled() or committer.exception() is not None
        self._complete = True
        self._slots.release()
        self._crew.settled.set()

    async def _feed(self) -> AsyncIterator[Ask]:
        for ask in self._asks:
            await self._slots.acquire()
            if not await self._reserved(ask):
                break
            if self._fed < UNPROVEN:
                self._first.add(ask.id)
            self._fed += 1
            self._waiting[ask.id] = ask
            self._crew.in_flight += 1
            yield ask
        self._fed_to_the_end = True

    async def _reserved(self, ask: Ask) -> bool:
        """True once the budget holds the worst case of `ask`; False when nothing more may be asked."""
        while not self._halted:
            if self._office.budget.reserve(ask):
                return True
            if not self._crew.in_flight:
                self._office.budget.exhausted = True
                return False
            self._crew.settled.clear()
            await self._crew.settled.wait()
        return False

    def _arrive(self, outcome: Outcome) -> None:
        outcome = as_stored(outcome)
        ask = self._waiting.pop(outcome.ask_id, None)
        if ask is None:
            raise self._broken(f"gave an outcome for {outcome.ask_id!r}, which it was not asked, or twice")
        entry = (ask, outcome, self._office.budget.settle(ask, outcome))
        self._crew.in_flight -= 1
        self._crew.settled.set()
        self._held.append(entry)
        if outcome.failure in NO_REPLY and self._kind not in self._office.proven:
            # Nothing was paid for, so the slot is free at once: with few slots, the next ask must still go out.
            self._slotless.add(ask.id)
            self._slots.release()
            if self._fed >= UNPROVEN and self._first <= self._slotless:
                raise self._set_up_wrongly()
            return
        self._office.proven.add(self._kind)
        self._arrived.extend(self._held)
        self._held.clear()
        self._news.set()

    def _expect_all(self) -> None:
        """Only the budget and a stop may leave an ask unanswered."""
        if self._held and not (self._office.stop.is_set or self._crew.failed):
            raise self._set_up_wrongly()
        not_taken = 0 if self._fed_to_the_end else sum(1 for _ in self._asks)
        if self._waiting or not_taken:
            raise self._broken(f"gave {self._answered} outcomes for {self._fed + not_taken} asks")

    def _set_up_wrongly(self) -> TeacherError:
        last = self._held[-1][1]
        return TeacherSetUpError(
            what=f"{self._teacher.model} gave no reply to the first {self._kind[1]} asks:"
            f" {last.failure}: {last.detail}",
            why="what fails for all of the first would fail a thousand times over; nothing of it is kept",
            do="mend the address or the settings of [teacher] or [judge] in recipe.toml (model, structured,"
            " max_tokens, temperature, timeout_seconds), then run again",
        )

    def _broken(self, what: str) -> TeacherError:
        return TeacherSetUpError(
            what=f"{self._teacher.model} {what}",
            why="every ask needs exactly one outcome, or a reply could be taken for another's",
            do="mend its `answer`: one Outcome for each Ask, with that ask's id",
        )

    async def _commit(self) -> None:
        """Writes whatever has arrived as one transaction, again and again: the group commit."""
        while not (self._complete and not self._arrived):
            await self._news.wait()
            self._news.clear()
            group, self._arrived = self._arrived, []
            if not group:
                continue
            commit = self._office.ledger.begin_many(group)
            try:
                committed = asyncio.get_running_loop().run_in_executor(None, commit)
            except RuntimeError:  # there is no thread to be had, as at the interpreter's end
                commit()
            else:
                await asyncio.shield(committed)  # which ends in any case, or the ledger would stay locked
            self._answered += len(group)
            for ask, _, _ in group:
                if ask.id not in self._slotless:
                    self._slots.release()
            for ask, outcome, _ in group:
                self._use(ask, outcome)
            self._report(group)

    def _report(self, group: Sequence[_Entry]) -> None:
        tally = self._office.tally
        costs = [charge.cost_microusd for _, _, charge in group]
        usages = [outcome.usage for _, outcome, _ in group]
        failed = sum(outcome.failure is not None for _, outcome, _ in group)
        prompt = sum(usage.prompt_tokens or 0 for usage in usages)
        completion = sum(usage.completion_tokens or 0 for usage in usages)
        tally.asked += len(group)
        tally.failed += failed
        tally.microusd += sum(cost or 0 for cost in costs)
        tally.unpriced += costs.count(None)
        tally.prompt_tokens += prompt
        tally.completion_tokens += completion
        fields = {
            "purpose": self._kind[1],
            "asked": len(group),
            "replayed": 0,
            "failed": failed,
            "cost_usd": None if None in costs else sum(cost or 0 for cost in costs) / 1e6,
            "tokens": prompt + completion,
            "spent_usd": self._office.budget.spent_usd,
            "reserved_usd": self._office.budget.reserved_usd,
        }
        self._office.on_event(Event("replies", fields))
