"""A reply that cannot be read is kept with its reason and asked for again, with the error shown to the model."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from thousandfold import prompts
from thousandfold.gen import reasking
from thousandfold.gen.asking import Asker
from thousandfold.gen.budget import Budget
from thousandfold.gen.events import Event
from thousandfold.gen.ledger import Ledger
from thousandfold.gen.reasking import SHOWN_BYTES, Readings, Reasks, follow_up, readings_of, with_follow_ups
from thousandfold.gen.replies import Reply, read_json, schema_of
from thousandfold.gen.settings import BudgetSettings
from thousandfold.gen.teachers import make
from thousandfold.gen.teachers.base import Ask, Outcome, Sampling, Teacher, Usage
from thousandfold.gen.teachers.rehearsal import RehearsalTeacher
from thousandfold.gen.teachers.rehearsal.server import listen

from ._asks import ask, asks, settings
from ._runs import Scripted


class Note(Reply):
    title: str


REASKS = Reasks(2, prompts.load("reask"))
SCHEMA = schema_of(Note)
GOOD = '{"title": "One"}'
CUT = '{"title": "On'
BROKEN = "the JSON in the reply is broken: Unterminated string starting at"


def read(text: str) -> str:
    return read_json(text, Note).title


def after(times: int, *, bad: str = CUT, **fields: Any) -> Callable[[Ask], str | Outcome]:
    """Says what cannot be read until it has been asked again so many times."""

    def say(asked: Ask) -> str | Outcome:
        again = sum(m.role == "assistant" for m in asked.messages)
        return Outcome(asked.id, text=bad if again < times else GOOD, usage=Usage(10, 10), **fields)

    return say


def readings(
    teacher: Teacher,
    ledger: Ledger,
    questions: list[Ask],
    *,
    most: int = 2,
    tokens: int | None = None,
    on_event: Callable[[Event], None] = lambda _: None,
    offline: bool = False,
) -> tuple[Readings[str], Asker]:
    asker = Asker(
        ledger=ledger,
        teachers={teacher.model: teacher},
        budget=Budget(BudgetSettings(tokens=tokens), {}, ledger.spent()),
        on_event=on_event,
        offline=offline,
        concurrency=8,
    )
    work = readings_of(asker, questions, read, reasks=Reasks(most, REASKS.prompt))
    return asyncio.run(asyncio.wait_for(work, 30)), asker


def test_what_is_not_kept_in_memory_is_read_again_out_of_the_ledger(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions = [ask(f"question {number}", schema=SCHEMA) for number in range(40)]
    kept, _ = readings(Scripted(after(1)), ledger, questions)
    monkeypatch.setattr(reasking, "KEPT", 7)
    monkeypatch.setattr(reasking, "READ_AT_ONCE", 3)
    found, _ = readings(Scripted(after(1)), ledger, questions, offline=True)
    assert dict(found) == dict(kept)
    ids = [one.id for one in questions]
    assert list(found.each([*ids, "a-unknown"])) == [*(kept[ask_id] for ask_id in ids), None]
    assert dict(found.pairs()) == dict(kept)
    assert {reading.value for reading in kept.values()} == {"One"}


@pytest.mark.parametrize("times", [0, 1, 2])
@pytest.mark.parametrize("most", [0, 1, 2])
def test_it_is_asked_again_at_most_so_often(ledger: Ledger, times: int, most: int) -> None:
    teacher = Scripted(after(times))
    found, _ = readings(teacher, ledger, [ask(schema=SCHEMA)], most=most)
    [reading] = found.values()
    assert len(teacher.asked) == 1 + min(times, most)
    assert (reading.value, reading.problem) == (("One", None) if times <= most else (None, BROKEN))


def test_the_model_is_shown_its_reply_and_what_was_wrong_with_it(ledger: Ledger) -> None:
    first = ask(schema=SCHEMA, draw=3, purpose="scenario")
    teacher = Scripted(after(2))
    found, _ = readings(teacher, ledger, [first])
    assert list(found) == [first.id]
    one, two, three = teacher.asked
    assert one == first
    assert two.messages[:-2] == one.messages
    assert [(m.role, m.content) for m in two.messages[-2:]] == [
        ("assistant", CUT),
        ("user", REASKS.prompt.render(problem=f"{BROKEN}.")[0][1]),
    ]
    assert f"Your reply cannot be used: {BROKEN}." in two.messages[-1].content
    assert three.messages[:-2] == two.messages
    for again in (two, three):
        assert (again.model, again.schema, again.sampling) == (first.model, first.schema, first.sampling)
        assert (again.draw, again.purpose, again.follows) == (3, "scenario", first.id)
    assert len({one.id, two.id, three.id}) == 3


def test_that_a_reply_was_cut_off_at_its_limit_is_said(ledger: Ledger) -> None:
    teacher = Scripted(after(1, finish_reason="length"))
    readings(teacher, ledger, [ask()])
    said = teacher.asked[1].messages[-1].content
    assert f"it was cut off at the limit of 100 tokens ({BROKEN}). Keep all of it shorter." in said


def test_every_reply_and_every_reason_is_in_the_ledger(ledger: Ledger) -> None:
    first = ask()
    readings(Scripted(after(2)), ledger, [first])
    later = ledger.follow_ups([first.id])[first.id]
    assert len(later) == 2
    outcomes = ledger.get_many([first.id, *later])
    assert [outcomes[ask_id].text for ask_id in (first.id, *later)] == [CUT, CUT, GOOD]
    assert ledger.unreadable([first.id, *later]) == {first.id: BROKEN, later[0]: BROKEN}


def test_replay_asks_nothing_and_reads_the_same(ledger: Ledger) -> None:
    questions = asks(20)
    first, _ = readings(Scripted(lambda asked: after(int(asked.id[2], 16) % 4)(asked)), ledger, questions)
    dump = list(ledger._db.iterdump())
    again, asker = readings(Scripted(after(0)), ledger, questions, offline=True)
    assert again == first
    assert asker.tally.asked == 0
    assert list(ledger._db.iterdump()) == dump
    assert {reading.value for reading in first.values()} == {"One", None}


def test_a_failure_is_not_asked_again(ledger: Ledger) -> None:
    teacher = Scripted(lambda asked: Outcome(asked.id, failure="refused", detail="I will not"))
    [reading] = readings(teacher, ledger, [ask()])[0].values()
    assert (len(teacher.asked), reading.problem) == (1, "refused: I will not")


def test_a_failure_of_what_is_asked_again_is_said_beside_the_first_reason(ledger: Ledger) -> None:
    def say(asked: Ask) -> str | Outcome:
        return Outcome(asked.id, failure="timeout", detail="10 s") if asked.follows else CUT

    teacher = Scripted(say)
    [reading] = readings(teacher, ledger, [ask()])[0].values()
    assert (len(teacher.asked), reading.problem) == (2, f"{BROKEN}; asked again: timeout: 10 s")


def test_those_that_can_be_read_are_not_asked_again(ledger: Ledger) -> None:
    questions = asks(30)
    bad = {one.id for one in questions[::3]}
    teacher = Scripted(lambda asked: CUT if asked.id in bad else GOOD)
    seen: list[Mapping[str, Any]] = []
    found, asker = readings(
        teacher, ledger, questions, on_event=lambda e: seen.append(e.fields) if e.kind == "reasked" else None
    )
    assert {reading.value for reading in found.values()} == {"One"}
    assert {one.follows for one in teacher.asked} == {None, *bad}
    assert asker.tally.asked == 30 + 10
    assert seen == [{"purpose": "exemplar", "count": 10}]


def test_the_budget_holds_for_what_is_asked_again_and_what_it_does_not_reach_is_absent(ledger: Ledger) -> None:
    questions = asks(40)
    found, asker = readings(Scripted(after(2)), ledger, questions, tokens=3_000)
    assert asker.budget.exhausted
    assert ledger.spent().counted_tokens <= 3_000
    assert 0 <= len(found) < 40
    assert len(ledger.unreadable([one.id for one in questions])) > len(found)


@given(text=st.text(max_size=3000), problem=st.text(max_size=900), turns=st.integers(1, 2))
def test_no_follow_up_is_longer_than_what_the_budget_holds_for_it(text: str, problem: str, turns: int) -> None:
    held = with_follow_ups([ask()], REASKS)
    asked = ask()
    for _ in range(turns):
        asked = follow_up(asked, text, problem, REASKS)
        assert asked.id not in {one.id for one in held}

    def size(one: Ask) -> int:
        return sum(len(m.content.encode()) + 8 for m in one.messages)

    assert size(asked) <= size(held[turns])
    assert [one.follows for one in held] == [None, held[0].id, held[0].id]


def test_of_a_long_reply_the_head_and_the_end_are_shown() -> None:
    text = "é" + "a" * 5000 + "z" * 50 + "é"
    [_, shown, _] = follow_up(ask(), text, "x", REASKS).messages
    assert len(shown.content.encode()) <= SHOWN_BYTES
    assert shown.content.startswith("éaaa")
    assert shown.content.endswith("zzzé")
    assert " … " in shown.content


def test_rehearsal_writes_again_what_it_is_asked_for_again() -> None:
    card = "facet: honest apology\ndomain: law — contracts\nkind: advice — what to do\nfault: user — their own doing"
    first = ask(
        f"<card>\n{card}\n</card>\n<situation>\nSomeone missed a date.\n</situation>\nWrite it.", sampling=Sampling()
    )
    teacher = RehearsalTeacher(near_copy=0.0, cut_off=0.0, hollow=0.0)
    again = follow_up(first, CUT, BROKEN, REASKS)
    said = asyncio.run(_outcomes(teacher, [first, again]))
    assert json.loads(said[first.id].text or "")["messages"][0]["role"] == "user"
    assert json.loads(said[again.id].text or "")["messages"][0]["role"] == "user"
    assert said[first.id].text != said[again.id].text


async def _outcomes(teacher: Teacher, questions: list[Ask]) -> dict[str, Outcome]:
    async def feed() -> Any:
        for one in questions:
            yield one

    return {outcome.ask_id: outcome async for outcome in teacher.answer(feed())}


def test_over_http_each_is_one_request_more(tmp_path: Path) -> None:
    sent: list[Any] = []

    async def handle(request: web.Request) -> web.Response:
        body = await request.json()
        sent.append(body)
        text = GOOD if len(body["messages"]) > 1 else CUT
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        return web.json_response({"choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": 5}})

    async def run(ledger: Ledger) -> Readings[str]:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        teacher = make(f"openai:m@{await listen(runner, '127.0.0.1', 0)}", settings())
        asker = Asker(
            ledger=ledger, teachers={teacher.model: teacher}, budget=Budget(BudgetSettings(), {}, ledger.spent())
        )
        try:
            return await readings_of(asker, asks(10, model="openai:m", schema=SCHEMA), read, reasks=REASKS)
        finally:
            await teacher.close()
            await runner.cleanup()

    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        found = asyncio.run(asyncio.wait_for(run(ledger), 30))
        assert ledger.spent().replies == len(sent) == 20
    assert {reading.value for reading in found.values()} == {"One"}
    assert all("response_format" in body for body in sent)
