"""Asking: what is known is replayed, what is missing is asked once, committed, and only then used."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from thousandfold.gen.asking import LOOKED_UP, Asker, StopSignal
from thousandfold.gen.budget import Budget
from thousandfold.gen.errors import InterruptedRunError, OfflineError, StorageError, TeacherError
from thousandfold.gen.events import Event
from thousandfold.gen.ledger import Charge, Ledger
from thousandfold.gen.settings import BudgetSettings, Price
from thousandfold.gen.teachers.base import Ask, Outcome, Teacher, Usage

from ._asks import FREE, Live, ask, asks, at_once, failure, reply

PRICES = {"test:writer": Price(input=1.0, output=1.0)}


def asker(ledger: Ledger, *teachers: Teacher, limits: Mapping[str, Any] | None = None, **options: Any) -> Asker:
    budget = Budget(BudgetSettings(**(limits or {})), PRICES, ledger.spent())
    return Asker(ledger=ledger, teachers={t.model: t for t in teachers}, budget=budget, **options)


def answers(asking: Asker, questions: Sequence[Ask]) -> dict[str, Outcome]:
    """What comes of asking; a test that would hang ends after a while."""
    return asyncio.run(asyncio.wait_for(asking.answers(questions), 20))


async def a_moment() -> None:
    """Lets everything that can go on in this loop go on."""
    for _ in range(100):
        await asyncio.sleep(0)


# ── replay ──


def test_every_ask_gets_its_own_answer_in_the_order_of_the_asks(ledger: Ledger) -> None:
    async def in_any_order(one: Ask) -> Outcome:
        await asyncio.sleep(random.Random(one.id).random() / 100)
        return reply(one)

    answers(asker(ledger, Live(at_once)), asks(80)[::3])
    found = answers(asker(ledger, Live(in_any_order)), asks(80))
    assert list(found.items()) == [(a.id, reply(a)) for a in asks(80)]


def test_replay_asks_nothing(ledger: Ledger) -> None:
    first = answers(asker(ledger, Live(at_once)), asks(20))
    again = asker(ledger, offline=True)  # no teacher at all
    assert answers(again, asks(20)) == first
    assert (again.tally.asked, again.tally.replayed) == (0, 20)


def test_only_what_is_missing_is_asked(ledger: Ledger) -> None:
    answers(asker(ledger, Live(at_once)), asks(30)[10:20])
    teacher = Live(at_once)
    asking = asker(ledger, teacher)
    answers(asking, asks(30))
    assert sorted(a.id for a in teacher.taken) == sorted(a.id for a in asks(30)[:10] + asks(30)[20:])
    assert (asking.tally.asked, asking.tally.replayed) == (20, 10)


def test_the_same_ask_twice_is_asked_once(ledger: Ledger) -> None:
    teacher = Live(at_once)
    assert answers(asker(ledger, teacher), [ask(), *asks(3), ask(), *asks(3)]).keys() == {
        a.id for a in [ask(), *asks(3)]
    }
    assert len(teacher.taken) == 4


def test_no_asks_need_no_teacher(ledger: Ledger) -> None:
    assert answers(asker(ledger), []) == {}


def test_a_final_failure_is_a_row_and_is_replayed(ledger: Ledger) -> None:
    async def fail_odd(one: Ask) -> Outcome:
        return failure(one, "timeout", "slow") if one in asks(10)[1::2] else reply(one)

    asking = asker(ledger, Live(fail_odd))
    first = answers(asking, asks(10))
    assert [first[a.id].failure for a in asks(10)] == [None, "timeout"] * 5
    assert (asking.tally.asked, asking.tally.failed) == (10, 5)
    assert answers(asker(ledger, offline=True), asks(10)) == first


def test_a_first_run_and_its_replay_see_the_same_text(ledger: Ledger) -> None:
    async def odd(one: Ask) -> Outcome:
        return reply(one, text="half \ud800 a pair", finish_reason="st\udc00op", served_model="m\udfff")

    first = answers(asker(ledger, Live(odd)), [ask()])
    assert first[ask().id].text == "half \ufffd a pair"
    assert answers(asker(ledger, offline=True), [ask()]) == first


def test_each_ask_goes_to_the_teacher_it_names(ledger: Ledger) -> None:
    class Judge(Live):
        model = "test:judge"

    writer, judge = Live(at_once), Judge(at_once)
    both = asks(3) + asks(2, model="test:judge", purpose="level")
    assert len(answers(asker(ledger, writer, judge), both)) == 5
    assert (len(writer.taken), len(judge.taken)) == (3, 2)


def test_offline_says_how_many_are_missing(ledger: Ledger) -> None:
    answers(asker(ledger, Live(at_once)), asks(4))
    with pytest.raises(OfflineError) as caught:
        answers(asker(ledger, Live(at_once), offline=True), asks(10))
    assert caught.value.what == "--offline was given and 6 of 10 exemplar replies are not in the ledger"
    assert ledger.spent().replies == 4


def test_offline_a_run_that_stopped_at_its_budget_stops_there_again(ledger: Ledger) -> None:
    limits = {"tokens": 1000}
    first = answers(asker(ledger, Live(at_once), limits=limits), asks(100))
    again = asker(ledger, offline=True, limits=limits)
    assert answers(again, asks(100)) == first
    assert again.budget.exhausted
    with pytest.raises(OfflineError, match=f"{100 - len(first)} of 100"):
        answers(asker(ledger, offline=True, limits={"tokens": 2000}), asks(100))


# ── committed, then used ──


class Held(Ledger):
    """A ledger whose commits wait until they may go on."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.commits: list[int] = []
        self.entered = threading.Semaphore(0)
        self.may_go_on = threading.Event()

    def begin_many(self, entries: Iterable[tuple[Ask, Outcome, Charge]]) -> Callable[[], None]:
        group = list(entries)
        self.commits.append(len(group))
        commit = super().begin_many(group)

        def commit_later() -> None:
            self.entered.release()
            assert self.may_go_on.wait(20)
            commit()

        return commit_later


def test_a_slot_is_free_only_after_the_commit(tmp_path: Path) -> None:
    teacher = Live(at_once)
    with Held(tmp_path / "ledger.sqlite") as ledger:

        async def run() -> dict[str, Outcome]:
            work = asyncio.create_task(asker(ledger, teacher, concurrency=3).answers(asks(10)))
            await asyncio.to_thread(ledger.entered.acquire)
            await a_moment()
            assert len(teacher.taken) == 3  # all three have answered, none is on disk
            ledger.may_go_on.set()
            return await asyncio.wait_for(work, 20)

        assert len(asyncio.run(run())) == 10
        assert sum(ledger.commits) == 10
        assert max(ledger.commits) <= 3


def test_replies_that_arrive_during_a_commit_share_the_next_one(tmp_path: Path) -> None:
    with Held(tmp_path / "ledger.sqlite") as ledger:

        async def run() -> None:
            others = asyncio.Event()

            async def the_first_at_once(one: Ask) -> Outcome:
                if one != asks(1)[0]:
                    await others.wait()
                return reply(one)

            work = asyncio.create_task(asker(ledger, Live(the_first_at_once)).answers(asks(50)))
            await asyncio.to_thread(ledger.entered.acquire)
            others.set()
            await a_moment()
            ledger.may_go_on.set()
            await asyncio.wait_for(work, 20)

        asyncio.run(run())
        assert ledger.commits == [1, 49]


@pytest.mark.parametrize(("concurrency", "own", "most"), [(1, 99, 1), (5, 99, 5), (99, 4, 4), (99, 99, 40)])
def test_no_more_are_in_flight_than_the_run_and_the_teacher_allow(
    ledger: Ledger, concurrency: int, own: int, most: int
) -> None:
    async def slowly(one: Ask) -> Outcome:
        await asyncio.sleep(0.001)
        return reply(one)

    teacher = Live(slowly, max_in_flight=own)
    answers(asker(ledger, teacher, concurrency=concurrency), asks(40))
    assert teacher.most_in_flight == most


class Full(Ledger):
    """A ledger on a disk that is full after so many commits."""

    room = 1

    def begin_many(self, entries: Iterable[tuple[Ask, Outcome, Charge]]) -> Callable[[], None]:
        if not self.room:
            raise StorageError(what="disk full", why="", do="")
        self.room -= 1
        return super().begin_many(entries)


@pytest.mark.parametrize("concurrency", [1, 3, 64])
@pytest.mark.parametrize("room", [0, 1, 2])
def test_a_commit_that_fails_stops_the_run_and_loses_nothing_before_it(
    tmp_path: Path, concurrency: int, room: int
) -> None:
    async def in_turn(one: Ask) -> Outcome:
        await asyncio.sleep(random.Random(one.id).random() / 50)
        return reply(one)

    teacher = Live(in_turn)
    with Full(tmp_path / "ledger.sqlite") as ledger:
        ledger.room = room
        with pytest.raises(StorageError, match="disk full"):
            answers(asker(ledger, teacher, concurrency=concurrency), asks(200))
        kept = ledger.spent().replies
        assert (kept > 0) == (room > 0)
        assert kept <= len(teacher.taken) <= kept + 2 * concurrency
        assert teacher.in_flight == 0


def test_without_a_thread_for_it_the_commit_is_made_all_the_same(ledger: Ledger) -> None:
    """As when the interpreter is shut down around a run in a thread of its own: no lock is left behind."""

    async def work() -> dict[str, Outcome]:
        gone = ThreadPoolExecutor(1)
        gone.shutdown()
        asyncio.get_running_loop().set_default_executor(gone)
        return await asyncio.wait_for(asker(ledger, Live(at_once), concurrency=2).answers(asks(20)), 20)

    assert len(asyncio.run(work())) == 20
    assert ledger.spent().replies == 20


def test_a_commit_that_is_called_twice_leaves_the_next_one_alone(ledger: Ledger) -> None:
    first, second = asks(2)
    commit = ledger.begin_many([(first, reply(first), FREE)])
    commit()
    following = ledger.begin_many([(second, reply(second), FREE)])
    commit()
    assert ledger._lock.locked()
    following()
    assert ledger.spent().replies == 2


def test_a_listener_that_raises_ends_the_run_with_its_error(ledger: Ledger) -> None:
    def listener(_: Event) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        answers(asker(ledger, Live(at_once), concurrency=2, on_event=listener), asks(50))
    assert ledger.spent().replies > 0


# ── budget ──


class Metered:
    """Answers after random short waits, and keeps the worst that its asks could cost at any moment."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.sure = self.held = self.most = 0

    async def __call__(self, one: Ask) -> Outcome:
        worst = len(one.messages[0].content) + 8 + one.sampling.max_tokens
        self.held += worst
        self.most = max(self.most, self.sure + self.held)
        await asyncio.sleep(self._random.random() / 200)
        usage = Usage(self._random.randint(1, 20), self._random.randint(1, one.sampling.max_tokens))
        self.held -= worst
        self.sure += (usage.prompt_tokens or 0) + (usage.completion_tokens or 0)
        return reply(one, usage=usage)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("limits", [{"tokens": 3000}, {"usd": 3000e-6}])
def test_the_budget_is_never_exceeded_with_many_in_flight(ledger: Ledger, seed: int, limits: dict[str, Any]) -> None:
    metered = Metered(seed)
    asking = asker(ledger, Live(metered), limits=limits, concurrency=50)
    found = answers(asking, asks(200))
    assert asking.budget.exhausted
    assert metered.most <= 3000
    assert 3000 - 120 < metered.sure <= 3000  # it goes on for as long as the worst case of one more fits
    assert list(found) == [a.id for a in asks(200)[: len(found)]]  # what was not reached is absent
    assert 20 < len(found) < 200
    assert ledger.spent().replies == len(found)
    assert (asking.tally.prompt_tokens + asking.tally.completion_tokens, asking.tally.microusd) == (metered.sure,) * 2


def test_a_budget_that_is_just_enough_is_not_exhausted(ledger: Ledger) -> None:
    asking = asker(ledger, Live(at_once), limits={"tokens": 10 * 30 + 118}, concurrency=1)
    assert len(answers(asking, asks(10))) == 10
    assert not asking.budget.exhausted


def test_a_budget_too_small_for_one_ask_asks_none(ledger: Ledger) -> None:
    teacher = Live(at_once)
    asking = asker(ledger, teacher, limits={"tokens": 50})
    assert answers(asking, asks(3)) == {}
    assert asking.budget.exhausted
    assert teacher.taken == []


def test_what_was_spent_before_counts(ledger: Ledger) -> None:
    limits = {"tokens": 1000}
    answers(asker(ledger, Live(at_once), limits=limits), asks(100))
    before = ledger.spent().counted_tokens
    teacher = Live(at_once)
    again = asker(ledger, teacher, limits=limits)
    answers(again, asks(100))
    assert before > 880
    assert teacher.taken == []
    assert again.budget.exhausted


# ── stop ──


@pytest.mark.parametrize(("signum", "code"), [(2, 130), (15, 143)])
@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_stop_finishes_what_is_in_flight_and_feeds_nothing_more(
    ledger: Ledger, signum: int, code: int, concurrency: int
) -> None:
    stop = StopSignal()
    teacher = Live(at_once)

    async def stopping(one: Ask) -> Outcome:
        if len(teacher.taken) == 12:
            await asyncio.to_thread(stop.set, signum)
        return reply(one)

    teacher._answer = stopping
    with pytest.raises(InterruptedRunError) as caught:
        answers(asker(ledger, teacher, concurrency=concurrency, stop=stop), asks(100))
    assert caught.value.exit_code == code
    assert 12 <= len(teacher.taken) < 12 + concurrency
    assert teacher.cancelled == 0
    assert set(ledger.get_many([a.id for a in asks(100)])) == {a.id for a in teacher.taken}
    assert caught.value.why == f"the ledger {ledger.path} now holds {len(teacher.taken)} replies"


def test_a_stop_before_the_first_ask_asks_nothing(ledger: Ledger) -> None:
    stop = StopSignal()
    stop.set()
    teacher = Live(at_once)
    with pytest.raises(InterruptedRunError):
        answers(asker(ledger, teacher, stop=stop), asks(5))
    assert teacher.taken == []


def test_a_stop_while_waiting_for_the_budget_ends_the_wait(ledger: Ledger) -> None:
    stop = StopSignal()

    async def stopping(one: Ask) -> Outcome:
        await a_moment()
        stop.set()
        return reply(one)

    asking = asker(ledger, Live(stopping), limits={"tokens": 130}, stop=stop)
    with pytest.raises(InterruptedRunError):
        answers(asking, asks(5))
    assert ledger.spent().replies == 1
    assert not asking.budget.exhausted


def test_a_stop_signal_is_ctrl_c_unless_it_says_otherwise() -> None:
    stop = StopSignal()
    assert not stop.is_set
    stop.set()
    assert (stop.is_set, stop.signum) == (True, 2)


def test_a_run_that_is_cancelled_keeps_what_has_arrived(ledger: Ledger) -> None:
    teacher = Live(at_once)

    async def run() -> None:
        forever = asyncio.Event()

        async def some(one: Ask) -> Outcome:
            if one not in asks(5):
                await forever.wait()
            return reply(one)

        teacher._answer = some
        work = asyncio.create_task(asker(ledger, teacher).answers(asks(9)))
        await a_moment()
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work

    asyncio.run(asyncio.wait_for(run(), 20))
    assert set(ledger.get_many([a.id for a in asks(9)])) == {a.id for a in asks(5)}
    assert teacher.cancelled == 4


# ── teachers that are set up wrongly, or broken ──


@pytest.mark.parametrize("count", [1, 5, 300])
@pytest.mark.parametrize("concurrency", [1, 4, 64])
@pytest.mark.parametrize("kind", ["bad_request", "timeout", "broken"])
def test_a_teacher_that_has_no_reply_to_the_first_asks_stops_the_run_and_nothing_is_stored(
    ledger: Ledger, count: int, concurrency: int, kind: str
) -> None:
    async def refuse(one: Ask) -> Outcome:
        return failure(one, kind, "`response_format` is not supported here")

    teacher = Live(refuse)
    with pytest.raises(TeacherError) as caught:
        answers(asker(ledger, teacher, concurrency=concurrency), asks(count))
    assert caught.value.what == (
        f"test:writer gave no reply to the first exemplar asks: {kind}: `response_format` is not supported here"
    )
    assert "structured" in caught.value.do
    assert ledger.spent().failures == 0
    assert len(teacher.taken) <= min(count, 8 + concurrency)


def test_few_early_refusals_do_not_condemn_a_teacher_whose_first_replies_take_longer(ledger: Ledger) -> None:
    async def refuse_all_but_the_first(one: Ask) -> Outcome:
        if one != asks(1)[0]:
            return failure(one)
        await a_moment()
        return reply(one)

    found = answers(asker(ledger, Live(refuse_all_but_the_first), concurrency=4), asks(40))
    assert Counter(o.failure for o in found.values()) == {None: 1, "bad_request": 39}
    assert ledger.spent().failures == 39


def test_refusals_that_gave_up_their_slots_do_not_give_them_up_twice(ledger: Ledger) -> None:
    async def refuse_the_first_seven(one: Ask) -> Outcome:
        await a_moment()
        return failure(one) if one in asks(7) else reply(one)

    teacher = Live(refuse_the_first_seven)
    assert len(answers(asker(ledger, teacher, concurrency=2), asks(30))) == 30
    assert teacher.most_in_flight == 2


def test_a_refusal_after_a_reply_is_that_asks_own(ledger: Ledger) -> None:
    answers(asker(ledger, Live(at_once)), asks(1))

    async def refuse(one: Ask) -> Outcome:
        return failure(one)

    found = answers(asker(ledger, Live(refuse)), asks(2))  # a reply of an earlier run is proof enough
    assert found[asks(2)[1].id] == failure(asks(2)[1])


@pytest.mark.parametrize("together", [True, False])
def test_a_reply_to_one_purpose_proves_nothing_of_another(ledger: Ledger, together: bool) -> None:
    async def by_purpose(one: Ask) -> Outcome:
        return reply(one) if one.purpose == "scenario" else failure(one, detail="schema too deep")

    teacher = Live(by_purpose)
    asking = asker(ledger, teacher)
    scenarios, exemplars = asks(20, purpose="scenario"), asks(20, draw=1)
    if not together:
        answers(asking, scenarios)
    with pytest.raises(TeacherError, match="schema too deep"):
        answers(asking, scenarios + exemplars)
    assert len(ledger.get_many([a.id for a in scenarios])) == 20
    assert ledger.spent().failures == 0


def test_a_budget_that_ends_among_refusals_says_what_was_refused(ledger: Ledger) -> None:
    async def refuse(one: Ask) -> Outcome:
        return failure(one, "timeout", "slow")

    with pytest.raises(TeacherError, match="timeout: slow"):
        answers(asker(ledger, Live(refuse), limits={"tokens": 300}), asks(20))
    assert ledger.spent().failures == 0


def test_an_empty_or_refused_reply_was_paid_for_and_is_kept(ledger: Ledger) -> None:
    async def paid(one: Ask) -> Outcome:
        return Outcome(one.id, failure="empty", detail="no text", usage=Usage(10, 100))

    found = answers(asker(ledger, Live(paid)), asks(20))
    assert len(found) == ledger.spent().failures == 20


def test_a_teacher_that_raises_keeps_what_came_before(ledger: Ledger) -> None:
    trouble = TeacherError(what="the key was withdrawn", why="", do="")

    async def run() -> None:
        waiting = asyncio.Event()

        async def until_the_tenth(one: Ask) -> Outcome:
            if one == asks(10)[9]:
                await a_moment()
                raise trouble
            if one not in asks(9):
                await waiting.wait()
            return reply(one)

        teacher._answer = until_the_tenth
        await asker(ledger, teacher, concurrency=20).answers(asks(100))

    teacher = Live(at_once)
    with pytest.raises(TeacherError, match="the key was withdrawn"):
        asyncio.run(asyncio.wait_for(run(), 20))
    assert set(ledger.get_many([a.id for a in asks(100)])) == {a.id for a in asks(9)}
    assert teacher.in_flight == 0
    assert teacher.cancelled == len(teacher.taken) - 10 > 0


@pytest.mark.parametrize("error", [asyncio.CancelledError(), GeneratorExit()])
def test_a_call_that_ends_in_silence_is_an_error_and_no_endless_wait(ledger: Ledger, error: BaseException) -> None:
    async def silent(one: Ask) -> Outcome:
        if one == asks(5)[4]:
            raise error
        return reply(one)

    expected = TeacherError if isinstance(error, asyncio.CancelledError) else type(error)
    with pytest.raises(expected):
        answers(asker(ledger, Live(silent), concurrency=1), asks(10))
    assert ledger.spent().replies == 4


class Stream:
    """A teacher that is a bare stream: it gives these outcomes, whatever it is asked."""

    model = "test:writer"
    family = "writers"
    max_in_flight = 10

    def __init__(self, *outcomes: Outcome, first: int = 1) -> None:
        self._outcomes = outcomes
        self._first = first
        self.closed = False

    async def answer(self, asks: AsyncIterable[Ask]) -> AsyncIterator[Outcome]:
        taken = aiter(asks)
        try:
            for _ in range(self._first):
                await anext(taken)
            for outcome in self._outcomes:
                yield outcome
        finally:
            self.closed = True

    async def close(self) -> None:
        """Nothing is held open."""


def test_an_outcome_for_an_ask_that_was_never_put_is_refused(ledger: Ledger) -> None:
    teacher = Stream(reply(asks(1)[0]), reply(ask("Another's question")))

    async def run() -> None:
        try:
            await asker(ledger, teacher).answers(asks(3))
        finally:
            assert teacher.closed  # at once, not whenever the loop ends

    with pytest.raises(TeacherError) as caught:
        asyncio.run(run())
    unknown = ask("Another's question").id
    assert caught.value.what == f"test:writer gave an outcome for {unknown!r}, which it was not asked, or twice"
    assert ledger.get_many([unknown, asks(1)[0].id]).keys() == {asks(1)[0].id}


def test_two_outcomes_for_one_ask_are_refused_and_the_first_is_kept(ledger: Ledger) -> None:
    one = asks(1)[0]
    with pytest.raises(TeacherError, match="which it was not asked, or twice"):
        answers(asker(ledger, Stream(reply(one), reply(one, text="again"))), asks(3))
    assert ledger.get_many([one.id]) == {one.id: reply(one)}


@pytest.mark.parametrize("first", [1, 3])
def test_a_teacher_that_leaves_asks_unanswered_is_refused(ledger: Ledger, first: int) -> None:
    with pytest.raises(TeacherError, match="test:writer gave 1 outcomes for 3 asks"):
        answers(asker(ledger, Stream(reply(asks(1)[0]), first=first)), asks(3))
    assert ledger.spent().replies == 1


# ── what is told ──


def test_events_say_what_was_asked_replayed_failed_and_paid(ledger: Ledger) -> None:
    fields = {"purpose", "asked", "replayed", "failed", "cost_usd", "tokens", "spent_usd", "reserved_usd"}

    async def some(one: Ask) -> Outcome:
        return failure(one, "empty", "no text") if one == asks(1)[0] else reply(one)

    ledger.put_many([(a, reply(a), FREE) for a in asks(10)[6:]])
    events: list[Event] = []
    asking = asker(ledger, Live(some), on_event=events.append)
    answers(asking, asks(10))
    assert {e.kind for e in events} == {"replies"}
    money = {"spent_usd", "reserved_usd"}  # nothing of it changes by a replay
    assert all(set(e.fields) in (fields, fields - money) for e in events)
    sums = {name: sum(e.fields[name] for e in events) for name in ("asked", "replayed", "failed", "tokens")}
    assert sums == {"asked": 6, "replayed": 4, "failed": 1, "tokens": 5 * 30}
    tally = asking.tally
    assert (tally.asked, tally.replayed, tally.failed, tally.unpriced) == (6, 4, 1, 1)
    assert (tally.microusd, tally.prompt_tokens, tally.completion_tokens) == (5 * 30, 50, 100)
    assert None in [e.fields["cost_usd"] for e in events]  # the failure came without its usage


def test_known_costs_are_told_in_usd(ledger: Ledger) -> None:
    events: list[Event] = []
    answers(asker(ledger, Live(at_once), on_event=events.append), asks(10))
    assert sum(e.fields["cost_usd"] for e in events) == pytest.approx(10 * 30e-6, abs=1e-12)


# ── a million asks ──


def test_asks_are_made_shortly_before_they_are_sent(ledger: Ledger) -> None:
    made, most_ahead = 0, 0
    teacher = Live(at_once)
    used: dict[str, Outcome] = {}

    def lazily() -> Iterator[Ask]:
        nonlocal made, most_ahead
        for one in asks(1000):
            made += 1
            most_ahead = max(most_ahead, made - len(teacher.taken))
            yield one

    def use(one: Ask, outcome: Outcome) -> None:
        assert one.id not in used
        assert ledger.get_many([one.id]) == {one.id: outcome}  # it is on disk by now
        used[one.id] = outcome

    asyncio.run(asyncio.wait_for(asker(ledger, teacher, concurrency=8).settle(lazily(), use), 20))
    assert used.keys() == {one.id for one in asks(1000)}
    assert most_ahead <= LOOKED_UP + 8


def test_what_a_stop_leaves_is_not_even_made(ledger: Ledger) -> None:
    made = 0
    stop = StopSignal()

    async def answer(one: Ask) -> Outcome:
        stop.set()
        return reply(one)

    def lazily() -> Iterator[Ask]:
        nonlocal made
        for one in asks(5000):
            made += 1
            yield one

    work = asker(ledger, Live(answer), concurrency=4, stop=stop).settle(lazily(), lambda *_: None)
    with pytest.raises(InterruptedRunError):
        asyncio.run(asyncio.wait_for(work, 20))
    assert made <= 2 * LOOKED_UP


def test_of_an_iterator_what_the_ledger_holds_is_used_although_the_budget_ends_before_it(ledger: Ledger) -> None:
    many = asks(300)
    ledger.put_many([(one, reply(one), FREE) for one in many[250:]])
    used: list[str] = []
    asking = asker(ledger, Live(at_once), limits={"tokens": ledger.spent().counted_tokens + 3000})
    asyncio.run(asking.settle(iter(many), lambda one, _: used.append(one.id)))
    assert asking.budget.exhausted
    assert 0 < len(set(used) - {one.id for one in many[250:]}) < 250
    assert {one.id for one in many[250:]} < set(used)


def test_of_an_iterator_asks_of_another_kind_come_after_the_others(ledger: Ledger) -> None:
    one, two = asks(3), asks(3, purpose="level", draw=1)
    mixed = [ask for pair in zip(one, two, strict=True) for ask in pair]
    teacher = Live(at_once)
    asyncio.run(asker(ledger, teacher, concurrency=1).settle(iter(mixed), lambda *_: None))
    assert teacher.taken == [*one, *two]
