"""The one way to ask: what the ledger holds is replayed, what is missing is asked, committed, then used.

A slot is freed only after its reply is committed, so a crash costs no more than the requests in flight.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping, Sequence

from .budget import Budget
from .charges import Tally
from .errors import InterruptedRunError, MissingExtraError, OfflineError, TeacherError, TeacherSetUpError
from .events import Event, OnEvent, ignore
from .ledger import Charge, Ledger, as_stored
from .memory import lend
from .teachers.base import Ask, Failure, Metered, Outcome, Purpose, Teacher

UNPROVEN = 8
"""A teacher that has no reply to any of the first so many asks of a kind is set up wrongly."""

NO_REPLY: frozenset[Failure | None] = frozenset({"bad_request", "timeout", "broken"})
"""What a wrong setting or address looks like. All other failures are words of a model, and were paid for."""


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
        concurrency: int | None = None,
        at_once: Mapping[str, int] | None = None,
        replaceable: Collection[str] = (),
        offline: bool = False,
        stop: StopSignal | None = None,
        on_event: OnEvent = ignore,
    ) -> None:
        """`concurrency` bounds all asks in flight, `at_once` those of one model.

        Of the models that are `replaceable` all but the last may go down: such a one is parked, its asks that have no
        reply stay absent, and whoever asked may ask another.
        """
        self.ledger = ledger
        self.budget = budget
        self.tally = Tally()
        self._teachers = teachers
        self.parked: dict[str, TeacherError] = {}  # those that went down, and why; for the rest of the run
        self._replaceable = frozenset(replaceable)
        self._concurrency = concurrency
        self._at_once = at_once or {}
        self._offline = offline
        self._stop = stop or StopSignal()
        self._on_event = on_event
        self._proven: set[tuple[str, Purpose]] = set()  # those that gave a reply at least once
        for teacher in teachers.values():
            if isinstance(teacher, Metered):
                teacher.meter(budget.again)
        lend(teachers.values(), ledger, on_event)

    def tell(self, event: Event) -> None:
        """Passes on what a room says of its asks."""
        self._on_event(event)

    async def answers(self, asks: Sequence[Ask]) -> dict[str, Outcome]:
        """ask id -> outcome, in the order of `asks`. Absent: those that the budget did not reach, or a parked model.

        Raises OfflineError, TeacherError, StorageError, or InterruptedRunError once what was in flight is
        committed.
        """
        unique = {ask.id: ask for ask in asks}
        found = self.ledger.get_many(list(unique))
        missing = [ask for ask_id, ask in unique.items() if ask_id not in found]
        if found:
            self._replay(unique, found)
        if missing and self._offline:
            if not self.budget.fits(missing[0]):  # nor did the run that is replayed here ask for it
                self.budget.exhausted = True
                return {ask_id: found[ask_id] for ask_id in unique if ask_id in found}
            raise OfflineError(
                what=f"--offline was given and {len(missing)} of {len(unique)} {missing[0].purpose} replies"
                " are not in the ledger",
                why="offline, nothing may be asked, and a release with holes would not be the one you know",
                do="run without --offline to ask for them, or bring the ledger of the run to be replayed",
            )
        groups: dict[tuple[str, Purpose], list[Ask]] = {}
        for ask in missing:
            groups.setdefault((ask.model, ask.purpose), []).append(ask)
        found.update(await self._send(groups))
        if self._stop.is_set:
            raise InterruptedRunError(
                what="interrupted; what was in flight was finished and kept",
                why=f"the ledger {self.ledger.path} now holds {self.ledger.spent().replies} replies",
                do="run the same command again: it resumes and asks only what is missing",
                signum=self._stop.signum,
            )
        return {ask_id: found[ask_id] for ask_id in unique if ask_id in found}

    async def _send(self, groups: Mapping[tuple[str, Purpose], Sequence[Ask]]) -> dict[str, Outcome]:
        """The answers to all groups, each on its way to its model; several at once, where so many may be in flight."""
        crew = _Crew()
        share = self._concurrency and self._concurrency // max(1, len(groups))
        most = share or self._concurrency
        found: dict[str, Outcome] = {}
        sendings = [
            _Sending(self, self._teachers[model], group, crew, most=most)
            for (model, _), group in groups.items()
            if model not in self.parked
        ]
        for together in [sendings] if share != 0 else [[sending] for sending in sendings]:
            ends = await asyncio.gather(*(sending.run() for sending in together), return_exceptions=True)
            for sending, error in zip(together, ends, strict=True):
                found.update(sending.answers)
                if isinstance(error, BaseException):
                    self._park(sending.model, error)
        return found

    def may_lose(self, model: str, error: BaseException) -> bool:
        """True where the run can go on without `model`, which went down with `error`."""
        is_down = isinstance(error, TeacherError) and not isinstance(error, TeacherSetUpError | MissingExtraError)
        return is_down and model in self._replaceable and bool(self._replaceable - self.parked.keys() - {model})

    def _park(self, model: str, error: BaseException) -> None:
        """Raises `error` again where nobody can take over."""
        if not (isinstance(error, TeacherError) and self.may_lose(model, error)):
            raise error
        self.parked[model] = error
        others = ", ".join(sorted(self._replaceable - self.parked.keys()))
        text = f"{model} is parked for the rest of this run, and {others} takes its contexts over: {error.what}"
        self._on_event(Event("note", {"text": text}))

    def _replay(self, asks: Mapping[str, Ask], found: Mapping[str, Outcome]) -> None:
        self.tally.replayed += len(found)
        replayed = [(asks[ask_id], outcome) for ask_id, outcome in found.items()]
        self._proven.update((ask.model, ask.purpose) for ask, outcome in replayed if outcome.text is not None)
        if self.budget.limited:
            for charge in self.ledger.charges(list(found)).values():
                self.budget.replay(charge)
        for purpose, count in Counter(ask.purpose for ask, _ in replayed).items():
            nothing = {"asked": 0, "failed": 0, "cost_usd": 0.0, "tokens": 0}
            self._on_event(Event("replies", {"purpose": purpose, "replayed": count, **nothing}))


_Entry = tuple[Ask, Outcome, Charge]


class _Crew:
    """What sendings that are under way at once have in common: one budget, and an end where one cannot go on."""

    def __init__(self) -> None:
        self.settled = asyncio.Event()
        self.in_flight = 0
        self.failed = False


class _Sending:
    """One batch of asks, all of one purpose, on its way to one teacher."""

    def __init__(
        self, asker: Asker, teacher: Teacher, asks: Sequence[Ask], crew: _Crew, *, most: int | None = None
    ) -> None:
        self._asker = asker
        self._teacher = teacher
        self._asks = asks
        self._crew = crew
        own = teacher.max_in_flight
        self._slots = asyncio.Semaphore(max(1, min(most or own, own, asker._at_once.get(teacher.model, own))))
        self._waiting: dict[str, Ask] = {}  # given to the teacher, not answered yet
        self._fed_to_the_end = False
        self._first = {ask.id for ask in asks[:UNPROVEN]}
        self._held: list[_Entry] = []  # failures, held back until a reply proves the setup
        self._slotless: set[str] = set()  # what was held back has given up its slot already
        self._arrived: list[_Entry] = []  # to be committed
        self._news = asyncio.Event()
        self._complete = False
        self.model = teacher.model
        self.answers: dict[str, Outcome] = {}  # committed, also where `run` raises

    async def run(self) -> None:
        committer = asyncio.create_task(self._commit())
        committer.add_done_callback(self._unblock)
        outcomes = self._teacher.answer(self._feed())
        try:
            async for outcome in outcomes:
                self._arrive(outcome)
        except BaseException as error:
            self._crew.failed |= not self._asker.may_lose(self.model, error)
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
        return self._complete or self._asker._stop.is_set or self._crew.failed

    @property
    def _kind(self) -> tuple[str, Purpose]:
        return self._asks[0].model, self._asks[0].purpose

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
            self._waiting[ask.id] = ask
            self._crew.in_flight += 1
            yield ask
        self._fed_to_the_end = True

    async def _reserved(self, ask: Ask) -> bool:
        """True once the budget holds the worst case of `ask`; False when nothing more may be asked."""
        while not self._halted:
            if self._asker.budget.reserve(ask):
                return True
            if not self._crew.in_flight:
                self._asker.budget.exhausted = True
                return False
            self._crew.settled.clear()
            await self._crew.settled.wait()
        return False

    def _arrive(self, outcome: Outcome) -> None:
        outcome = as_stored(outcome)
        ask = self._waiting.pop(outcome.ask_id, None)
        if ask is None:
            raise self._broken(f"gave an outcome for {outcome.ask_id!r}, which it was not asked, or twice")
        entry = (ask, outcome, self._asker.budget.settle(ask, outcome))
        self._crew.in_flight -= 1
        self._crew.settled.set()
        self._held.append(entry)
        if outcome.failure in NO_REPLY and self._kind not in self._asker._proven:
            # Nothing was paid for, so the slot is free at once: with few slots, the next ask must still go out.
            self._slotless.add(ask.id)
            self._slots.release()
            if self._first <= self._slotless:
                raise self._set_up_wrongly()
            return
        self._asker._proven.add(self._kind)
        self._arrived.extend(self._held)
        self._held.clear()
        self._news.set()

    def _expect_all(self) -> None:
        """Only the budget and a stop may leave an ask unanswered."""
        if self._held and not (self._asker._stop.is_set or self._crew.failed):
            raise self._set_up_wrongly()
        if self._waiting or (len(self.answers) < len(self._asks) and not self._fed_to_the_end):
            raise self._broken(f"gave {len(self.answers)} outcomes for {len(self._asks)} asks")

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
            await asyncio.to_thread(self._asker.ledger.put_many, group)
            for ask, outcome, _ in group:
                self.answers[ask.id] = outcome
                if ask.id not in self._slotless:
                    self._slots.release()
            self._report(group)

    def _report(self, group: Sequence[_Entry]) -> None:
        tally = self._asker.tally
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
            "spent_usd": self._asker.budget.spent_usd,
            "reserved_usd": self._asker.budget.reserved_usd,
        }
        self._asker._on_event(Event("replies", fields))
