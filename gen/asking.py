"""The one way to ask: what the ledger holds is replayed, what is missing is asked, committed, then used.

A slot is freed only after its reply is committed, so a crash costs no more than the requests in flight.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice

from .budget import Budget
from .charges import Tally
from .errors import InterruptedRunError, MissingExtraError, OfflineError, TeacherError, TeacherSetUpError
from .events import Event, OnEvent, ignore
from .ledger import Ledger
from .memory import lend
from .sending import Crew, Kind, Office, Sending, Use
from .stopping import StopSignal as StopSignal
from .teachers.base import Ask, Metered, Outcome, Stoppable, Teacher

LOOKED_UP = 100
"""Asks that are made and looked for in the ledger at once: so many texts lie ready, beside those in flight."""


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
        self._proven: set[Kind] = set()  # those that gave a reply at least once
        for teacher in teachers.values():
            if isinstance(teacher, Metered):
                teacher.meter(budget.again)
            if isinstance(teacher, Stoppable):
                teacher.heed(lambda: self._stop.is_set)
        lend(teachers.values(), ledger, on_event)

    def tell(self, event: Event) -> None:
        """Passes on what a room says of its asks."""
        self._on_event(event)

    async def answers(self, asks: Sequence[Ask]) -> dict[str, Outcome]:
        """ask id -> outcome, in the order of `asks`. Absent: those that the budget did not reach, or a parked model.

        Raises what `settle` raises.
        """
        found: dict[str, Outcome] = {}

        def keep(ask: Ask, outcome: Outcome) -> None:
            found[ask.id] = outcome

        await self.settle(asks, keep)
        return {ask.id: found[ask.id] for ask in asks if ask.id in found}

    async def settle(self, asks: Iterable[Ask], use: Use) -> None:
        """Sees to it that the ledger holds the outcome of each ask, and gives it to `use` as soon as it does.

        In any order, each once. Asks of an iterator are taken from it shortly before they are sent, so that a million
        can be made one by one: they should be of one kind, because those of another wait in a list. Those that the
        budget did not reach are left out. Raises OfflineError, TeacherError, StorageError, or InterruptedRunError once
        what was in flight is committed.
        """
        ids: set[str] = set()
        missing = self._missing(asks, ids, use)
        if self._offline:
            self._stay_offline(list(missing), len(ids))
        elif isinstance(asks, Sequence):
            await self._send(_by_kind(missing), use)
        else:
            await self._send_in_turn(missing, use)
        if self._stop.is_set:
            raise InterruptedRunError(
                what="interrupted; what was in flight was finished and kept",
                why=f"the ledger {self.ledger.path} now holds {self.ledger.spent().replies} replies",
                do="run the same command again: it resumes and asks only what is missing",
                signum=self._stop.signum,
            )

    def _missing(self, asks: Iterable[Ask], ids: set[str], use: Use) -> Iterator[Ask]:
        """The asks that the ledger does not hold, each once; the rest is replayed. Enters the id of each in `ids`."""
        left = iter(asks)
        while part := list(islice(left, LOOKED_UP)):
            fresh = {ask.id: ask for ask in part if ask.id not in ids}
            ids.update(fresh)
            found = self.ledger.get_many(list(fresh))
            if found:
                self._replay(fresh, found, use)
            yield from (ask for ask_id, ask in fresh.items() if ask_id not in found)

    def _stay_offline(self, missing: Sequence[Ask], count: int) -> None:
        if not missing:
            return
        if not self.budget.fits(missing[0]):  # nor did the run that is replayed here ask for it
            self.budget.exhausted = True
            return
        raise OfflineError(
            what=f"--offline was given and {len(missing)} of {count} {missing[0].purpose} replies"
            " are not in the ledger",
            why="offline, nothing may be asked, and a release with holes would not be the one you know",
            do="run without --offline to ask for them, or bring the ledger of the run to be replayed",
        )

    async def _send_in_turn(self, missing: Iterator[Ask], use: Use) -> None:
        """All asks of the first one's kind as they are made, then what of other kinds came between."""
        others: dict[Kind, list[Ask]] = {}
        first = next(missing, None)
        if first is None:
            return
        alike = _alike(first, missing, others)
        await self._send({(first.model, first.purpose): alike}, use)
        if not self._stop.is_set:
            for _ in alike:  # past the end of the budget: what the ledger holds is still replayed
                pass
            await self._send(others, use)

    async def _send(self, groups: Mapping[Kind, Iterable[Ask]], use: Use) -> None:
        """All groups, each on its way to its model; several at once, where so many may be in flight."""
        crew = Crew()
        share = self._concurrency and self._concurrency // max(1, len(groups))
        most = share or self._concurrency
        office = Office(self.ledger, self.budget, self.tally, self._stop, self._on_event, self._proven, self.may_lose)
        sendings = [
            Sending(office, self._teachers[kind[0]], kind, iter(group), use, crew, most=self._most(kind[0], most))
            for kind, group in groups.items()
            if kind[0] not in self.parked
        ]
        for together in [sendings] if share != 0 else [[sending] for sending in sendings]:
            ends = await asyncio.gather(*(sending.run() for sending in together), return_exceptions=True)
            for sending, error in zip(together, ends, strict=True):
                if isinstance(error, BaseException):
                    self._park(sending.model, error)

    def _most(self, model: str, share: int | None) -> int:
        """Asks of one model that may be in flight at once, where `share` of all may."""
        own = self._teachers[model].max_in_flight
        return max(1, min(share or own, own, self._at_once.get(model, own)))

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

    def _replay(self, asks: Mapping[str, Ask], found: Mapping[str, Outcome], use: Use) -> None:
        self.tally.replayed += len(found)
        replayed = [(asks[ask_id], found[ask_id]) for ask_id in asks if ask_id in found]
        self._proven.update((ask.model, ask.purpose) for ask, outcome in replayed if outcome.text is not None)
        if self.budget.limited:
            for charge in self.ledger.charges(list(found)).values():
                self.budget.replay(charge)
        for purpose, count in Counter(ask.purpose for ask, _ in replayed).items():
            nothing = {"asked": 0, "failed": 0, "cost_usd": 0.0, "tokens": 0}
            self._on_event(Event("replies", {"purpose": purpose, "replayed": count, **nothing}))
        for ask, outcome in replayed:
            use(ask, outcome)


def _by_kind(asks: Iterable[Ask]) -> dict[Kind, list[Ask]]:
    groups: dict[Kind, list[Ask]] = {}
    for ask in asks:
        groups.setdefault((ask.model, ask.purpose), []).append(ask)
    return groups


def _alike(first: Ask, asks: Iterator[Ask], others: dict[Kind, list[Ask]]) -> Iterator[Ask]:
    """`first`, and all of `asks` that are of its kind; the rest goes to `others`."""
    yield first
    kind = first.model, first.purpose
    for ask in asks:
        if (ask.model, ask.purpose) == kind:
            yield ask
        else:
            others.setdefault((ask.model, ask.purpose), []).append(ask)
