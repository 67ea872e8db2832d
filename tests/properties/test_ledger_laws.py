"""What was put is what is got, in any order and any grouping; a budget holds; asking is a function of the asks."""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from thousandfold.gen.asking import Asker
from thousandfold.gen.budget import Budget
from thousandfold.gen.ledger import Charge, Ledger, Spent
from thousandfold.gen.ledger_rows import as_stored
from thousandfold.gen.settings import BudgetSettings, Price
from thousandfold.gen.teachers.base import Ask, Failure, Message, Outcome, Sampling, Usage

from .._asks import FREE, Live, asks, failure, reply

MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None  # every commit waits for the disk, and there is none here

words = st.lists(st.text(max_size=20) | st.sampled_from(["\ud800", "\udfff", "\0"]), max_size=3).map("".join)
counts = st.none() | st.integers(0, 2**40)
told = {
    "finish_reason": st.none() | words,
    "usage": st.builds(Usage, counts, counts),
    "served_model": st.none() | words,
    "attempts": st.integers(1, 50),
    "seconds": st.floats(0, 1e6),
}
outcomes = st.one_of(
    st.builds(Outcome, st.just(""), text=words, detail=st.just(""), **told),
    st.builds(Outcome, st.just(""), failure=st.sampled_from(get_args(Failure)), detail=words, **told),
)
charges = st.builds(Charge, st.none() | st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**9))


@contextmanager
def fresh() -> Iterator[Ledger]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder, Ledger(Path(folder, "ledger.sqlite")) as ledger:
        yield ledger


def named(made: list[Outcome]) -> list[tuple[Ask, Outcome]]:
    return [(a, Outcome(**{**vars(o), "ask_id": a.id})) for a, o in zip(asks(len(made)), made, strict=True)]


@settings(max_examples=25)
@given(st.lists(outcomes, max_size=6), st.data())
def test_what_was_put_is_what_is_got(made: list[Outcome], data: st.DataObject) -> None:
    pairs = data.draw(st.permutations(named(made)))
    cut = data.draw(st.integers(0, len(pairs)))
    with fresh() as ledger:
        for part in (pairs[:cut], pairs[cut:]):
            ledger.put_many((a, o, FREE) for a, o in part)
        assert ledger.get_many([a.id for a, _ in pairs]) == {a.id: as_stored(o) for a, o in pairs}
        assert ledger.check() == []


@given(outcomes)
def test_what_is_stored_once_is_stored_the_same_again(outcome: Outcome) -> None:
    once = as_stored(outcome)
    assert as_stored(once) == once
    for word in (once.text, once.finish_reason, once.detail, once.served_model):
        (word or "").encode()  # UTF-8 can hold it
    if all((word or "").isascii() for word in vars(outcome).values() if isinstance(word, str)):
        assert once.text == outcome.text


@settings(max_examples=25)
@given(st.lists(st.tuples(outcomes, charges), max_size=6))
def test_what_was_spent_is_the_sum_of_what_was_put(made: list[tuple[Outcome, Charge]]) -> None:
    entries = [(a, o, c) for (a, o), (_, c) in zip(named([o for o, _ in made]), made, strict=True)]
    with fresh() as ledger:
        ledger.put_many(entries)
        spent = ledger.spent()
    texts = [o for _, o, _ in entries if o.text is not None]
    assert (spent.replies, spent.failures) == (len(texts), len(entries) - len(texts))
    assert spent.prompt_tokens == sum(o.usage.prompt_tokens or 0 for _, o, _ in entries)
    assert spent.microusd == sum(c.cost_microusd or 0 for _, _, c in entries)
    assert spent.counted_tokens == sum(c.counted_tokens for _, _, c in entries)
    assert spent.counted_microusd == sum(c.counted_microusd for _, _, c in entries)


@given(
    st.integers(1, 5000),
    st.lists(st.tuples(st.integers(0, 400), st.integers(1, 400), st.floats(0, 1), st.booleans()), max_size=30),
    st.randoms(use_true_random=False),
)
def test_a_budget_is_never_passed_whatever_comes_back(
    limit: int, made: list[tuple[int, int, float, bool]], chance: random.Random
) -> None:
    """Each ask is (prompt bytes, max_tokens, share of it used, usage known); replies come in any order."""
    prices = {"m": Price(input=1.0, output=1.0)}
    tokens = Budget(BudgetSettings(tokens=limit), prices, Spent(0, 0, 0, 0, 0, 0, 0, 0))
    money = Budget(BudgetSettings(usd=limit / 1e6), prices, Spent(0, 0, 0, 0, 0, 0, 0, 0))
    waiting: list[tuple[Ask, Outcome]] = []
    spent = [0, 0]
    for number, (size, most, share, known) in enumerate(made):
        one = Ask("m", (Message("user", "x" * size),), Sampling(max_tokens=most), draw=number)
        usage = Usage(int(size * share), int(most * share)) if known else Usage()
        reserved = tokens.reserve(one)
        assert money.reserve(one) == reserved  # one micro-dollar a token
        if reserved:
            waiting.append((one, Outcome(one.id, "x", usage=usage)))
        while waiting and chance.random() < 0.5:
            asked, outcome = waiting.pop(chance.randrange(len(waiting)))
            spent[0] += tokens.settle(asked, outcome).counted_tokens
            spent[1] += money.settle(asked, outcome).counted_microusd
            used = (outcome.usage.prompt_tokens or 0) + (outcome.usage.completion_tokens or 0)
            assert spent[0] >= used
        held = sum(len(a.messages[0].content) + 8 + a.sampling.max_tokens for a, _ in waiting)
        assert max(spent) + held <= limit


@settings(max_examples=25)
@given(st.lists(st.integers(0, 9), max_size=20), st.sets(st.integers(0, 9)), st.integers(1, 12), st.integers(0, 2**32))
def test_what_is_answered_depends_on_the_asks_alone(
    numbers: list[int], failing: set[int], concurrency: int, seed: int
) -> None:
    """Whatever the order of arrival, the concurrency, and how much was known before."""
    chance = random.Random(seed)
    questions = asks(10)
    failures = {questions[k].id for k in failing}

    async def in_any_order(one: Ask) -> Outcome:
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)
        return failure(one, "empty", "no text") if one.id in failures else reply(one)

    def ask_all(ledger: Ledger, wanted: list[Ask]) -> tuple[Asker, dict[str, Outcome]]:
        teacher = Live(in_any_order)
        budget = Budget(BudgetSettings(), {}, ledger.spent())
        asking = Asker(ledger=ledger, teachers={teacher.model: teacher}, budget=budget, concurrency=concurrency)
        return asking, asyncio.run(asking.answers(wanted))

    wanted = [questions[k] for k in numbers]
    expected = {a.id: failure(a, "empty", "no text") if a.id in failures else reply(a) for a in wanted}
    with fresh() as ledger:
        ask_all(ledger, wanted[::3])
        asking, found = ask_all(ledger, wanted)
        assert list(found.items()) == list(expected.items())
        assert asking.tally.asked + asking.tally.replayed == len(expected)
        again, replayed = ask_all(ledger, wanted)
        assert (replayed, again.tally.asked, again.tally.replayed) == (found, 0, len(expected))
