"""A model behind the OpenAI protocol, over real HTTP: what is retried, what is reported, and what is never shown."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from thousandfold.gen.asking import Asker
from thousandfold.gen.budget import Budget
from thousandfold.gen.errors import TeacherError
from thousandfold.gen.ledger import Ledger
from thousandfold.gen.settings import BudgetSettings, JudgeSettings, TeacherSettings
from thousandfold.gen.teachers import make
from thousandfold.gen.teachers.adaptive import Pace
from thousandfold.gen.teachers.base import Ask, Message, Outcome, Sampling, Teacher, Usage
from thousandfold.gen.teachers.completions import Completions
from thousandfold.gen.teachers.endpoint import EndpointTeacher
from thousandfold.gen.teachers.rates import Rates
from thousandfold.gen.teachers.rehearsal import RehearsalTeacher
from thousandfold.gen.teachers.rehearsal.server import listen
from thousandfold.gen.teachers.wire import decoded, encoded

from .._asks import ask, asks, feed, settings
from .._runs import Server

KEY = "Zq9/very+secret=key"  # of no form that a pattern would know

GOOD = {
    "id": "x",
    "object": "chat.completion",
    "model": "served-model-2026",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9},
}

Answer = Callable[["Unruly", web.Request, Any], Awaitable[web.StreamResponse]]


@dataclass
class Unruly:
    """A server of the test's own that answers its n-th request as told, the last way again and again."""

    answers: list[Answer]
    url: str = ""
    log: list[dict[str, Any]] = field(default_factory=list)  # bodies
    headers: list[dict[str, str]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    done: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.log.append(body)
        self.headers.append(dict(request.headers))
        self.times.append(asyncio.get_running_loop().time())
        answer = self.answers[min(len(self.log), len(self.answers)) - 1]
        return await answer(self, request, body)


def status(code: int, message: str = "of its own words", **headers: str) -> Answer:
    """An error of the protocol's shape; the server echoes the key it was given, as some do."""

    async def answer(_: Unruly, request: web.Request, __: Any) -> web.Response:
        given = request.headers["Authorization"].removeprefix("Bearer ")
        error = {"message": f"{message} (key {given})", "type": "t", "code": None}
        return web.json_response({"error": error}, status=code, headers=headers)

    return answer


def body(content: Any, content_type: str = "application/json") -> Answer:
    async def answer(_: Unruly, __: web.Request, ___: Any) -> web.Response:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        return web.Response(body=data, headers={"Content-Type": content_type})

    return answer


def saying(**changes: Any) -> Answer:
    """A completion whose only choice has these fields."""
    return body({**GOOD, "choices": [{**GOOD["choices"][0], **changes}]})  # type: ignore[index]


async def reset(_: Unruly, request: web.Request, __: Any) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def cut_short(_: Unruly, request: web.Request, __: Any) -> web.StreamResponse:
    """Promises a thousand bytes, sends ten, and goes."""
    response = web.StreamResponse(headers={"Content-Length": "1000", "Content-Type": "application/json"})
    await response.prepare(request)
    await response.write(b'{"id": "x"')
    assert request.transport is not None
    request.transport.close()
    return response


async def hang(server: Unruly, _: web.Request, __: Any) -> web.Response:
    await server.done.wait()
    return web.Response()


ok = body(GOOD)


def against(
    *answers: Answer,
    questions: list[Ask] | None = None,
    model: str = "a-model",
    given: TeacherSettings | JudgeSettings | None = None,
    concurrency: int | None = None,
) -> tuple[list[Outcome], Unruly, TeacherError | None]:
    """(outcomes in the order of arrival, the server and its log, the error that ended the stream)."""

    async def run() -> tuple[list[Outcome], Unruly, TeacherError | None]:
        server = Unruly(list(answers))
        app = web.Application()
        app.router.add_post("/v1/chat/completions", server.handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        server.url = await listen(runner, "127.0.0.1", 0)
        teacher = EndpointTeacher(model, base_url=server.url, settings=given or settings(), concurrency=concurrency)
        outcomes, trouble = [], None
        try:
            async for outcome in teacher.answer(feed(questions or [ask()])):
                outcomes.append(outcome)  # noqa: PERF401 - what came before the error counts
        except TeacherError as error:
            trouble = error
        finally:
            server.done.set()
            await teacher.close()
            await runner.cleanup()
        return outcomes, server, trouble

    return asyncio.run(asyncio.wait_for(run(), 30))


def outcome_of(*answers: Answer, **options: Any) -> tuple[Outcome, Unruly]:
    outcomes, server, trouble = against(*answers, **options)
    assert trouble is None, trouble
    assert len(outcomes) == 1
    return outcomes[0], server


def trouble_of(*answers: Answer, **options: Any) -> tuple[TeacherError, Unruly]:
    outcomes, server, trouble = against(*answers, **options)
    assert outcomes == []
    assert trouble is not None
    return trouble, server


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\n")
    return KEY


# ── against rehearsal ──


def exemplar_asks(count: int) -> list[Ask]:
    card = "facet: honest apology\ndomain: law — contracts\nkind: advice — what to do\nfault: user — their own doing"
    text = f"<card>\n{card}\n</card>\n<situation>\nSomeone missed a date.\n</situation>\nWrite it. 🙂 “\\u2028\\”"
    messages = (Message("system", "You write."), Message("user", text))
    return [Ask("openai:rehearsal-teacher", messages, Sampling(max_tokens=2048), None, draw) for draw in range(count)]


async def gathered(teacher: Teacher, questions: list[Ask]) -> dict[str, Outcome]:
    try:
        return {o.ask_id: o async for o in teacher.answer(feed(questions))}
    finally:
        await teacher.close()


def test_over_http_rehearsal_says_byte_for_byte_what_it_says_in_process(rehearsal_server: Server) -> None:
    questions = exemplar_asks(40)
    endpoint = make(f"openai:rehearsal-teacher@{rehearsal_server.url}", settings())
    before = rehearsal_server.counts.requests
    served = asyncio.run(gathered(endpoint, questions))
    said = asyncio.run(gathered(RehearsalTeacher(), questions))
    assert {i: (o.text, o.finish_reason, o.usage) for i, o in served.items()} == {
        i: (o.text, o.finish_reason, o.usage) for i, o in said.items()
    }
    assert len({o.text for o in served.values()}) > 30
    assert rehearsal_server.counts.requests - before == 40


def test_its_identity_is_the_model_and_never_the_address() -> None:
    here = make("openai:rehearsal-teacher@http://127.0.0.1:1/v1", settings())
    there = make("openai:rehearsal-teacher@https://example.org/v1", settings(timeout_seconds=5.0))
    assert here.model == there.model == "openai:rehearsal-teacher"
    assert here.family == "rehearsal-teacher"


# ── what is sent ──


def test_a_request_carries_the_ask_and_a_seed_of_its_own() -> None:
    one = Ask("m", (Message("system", "S"), Message("user", "“q” 🙂 \\ {x} &amp;")), Sampling(0.5, 77, 3), draw=1)
    _, server = outcome_of(ok, questions=[one])
    assert server.log == [
        {
            "model": "a-model",
            "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "“q” 🙂 \\ {x} &amp;"}],
            "seed": one.request_seed,
            "temperature": 0.5,
            "max_tokens": 77,
        }
    ]


def test_an_unset_temperature_is_left_to_the_provider() -> None:
    _, server = outcome_of(ok)
    assert "temperature" not in server.log[0]


@pytest.mark.parametrize("structured", ["json_schema", "json_object", "text"])
def test_a_schema_is_sent_in_the_form_that_the_server_knows(structured: str) -> None:
    schema = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    one = ask(schema=schema, purpose="scenario")
    _, server = outcome_of(ok, questions=[one], given=settings(structured=structured))
    sent = {
        "json_schema": {"type": "json_schema", "json_schema": {"name": "scenario", "schema": schema, "strict": True}},
        "json_object": {"type": "json_object"},
        "text": None,
    }
    assert server.log[0].get("response_format") == sent[structured]


def test_a_reply_comes_back_with_all_that_the_server_said() -> None:
    outcome, _ = outcome_of(ok)
    assert (outcome.ask_id, outcome.text, outcome.finish_reason) == (ask().id, "Hello.", "stop")
    assert (outcome.usage, outcome.served_model) == (Usage(7, 2), "served-model-2026")
    assert (outcome.attempts, outcome.failure) == (1, None)
    assert 0 < outcome.seconds < 20


def test_a_judge_is_asked_with_its_own_settings() -> None:
    _, server = outcome_of(ok, given=JudgeSettings(attempts=1, structured="text"))
    assert len(server.log) == 1


# ── keys ──


def test_a_server_of_ones_own_needs_no_key() -> None:
    _, server = outcome_of(ok)
    assert server.headers[0]["Authorization"] == "Bearer none"


def test_a_key_is_sent_without_the_newline_that_a_file_gave_it(key: str) -> None:
    _, server = outcome_of(ok)
    assert server.headers[0]["Authorization"] == f"Bearer {key}"


@pytest.mark.parametrize("value", [None, "", " \n"])
def test_a_hosted_model_without_a_key_is_refused_before_any_request(
    monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    if value is not None:
        monkeypatch.setenv("OPENAI_API_KEY", value)

    def no_network(*_: object, **__: object) -> None:
        raise AssertionError("a name was looked up")

    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    monkeypatch.setattr(socket.socket, "connect", no_network)
    teacher = make("openai:gpt-5-mini", settings())
    with pytest.raises(TeacherError) as caught:
        asyncio.run(gathered(teacher, [ask()]))
    assert caught.value.what == "no key for openai:gpt-5-mini: the environment variable OPENAI_API_KEY is not set"
    assert caught.value.why == "hosted models answer only to a key"
    assert caught.value.do == (
        "export OPENAI_API_KEY=…, or name your own server as openai:gpt-5-mini@http://HOST:PORT/v1"
    )


@pytest.mark.usefixtures("key")
def test_the_environment_does_not_choose_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    completions = Completions("gpt-5-mini", base_url=None, settings=settings(), pace=Pace(), rates=Rates())
    assert str(completions._client.base_url) == "https://api.openai.com/v1/"
    asyncio.run(completions.close())


@pytest.mark.parametrize("code", [401, 404, 400, 429])
@pytest.mark.usefixtures("key")
def test_a_key_never_reaches_a_message_or_the_ledger(tmp_path: Path, code: int) -> None:
    async def first_well(server: Unruly, request: web.Request, sent: Any) -> web.StreamResponse:
        return await (ok if len(server.log) == 1 else status(code, **{"Retry-After": "0"}))(server, request, sent)

    async def run() -> str:
        server = Unruly([first_well])
        app = web.Application()
        app.router.add_post("/v1/chat/completions", server.handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        url = await listen(runner, "127.0.0.1", 0)
        teacher = make(f"openai:m@{url}", settings(deadline_seconds=0.5))
        with Ledger(tmp_path / "ledger.sqlite") as ledger:
            budget = Budget(BudgetSettings(), {}, ledger.spent())
            asking = Asker(ledger=ledger, teachers={teacher.model: teacher}, budget=budget, concurrency=1)
            try:
                found = await asking.answers(asks(2, model="openai:m"))
                said = found[asks(2, model="openai:m")[1].id].detail
            except TeacherError as error:
                said = str(error)
            finally:
                await teacher.close()
                await runner.cleanup()
            dump = "\n".join(ledger._db.iterdump())
            dump += str([ledger.request(a.id) for a in asks(2, model="openai:m")])
        return said + dump

    said = asyncio.run(asyncio.wait_for(run(), 20))
    assert "of its own words (key [redacted])" in said
    assert KEY not in said


# ── what heals is tried again ──


def test_too_many_requests_is_tried_again_when_the_server_says() -> None:
    outcome, server = outcome_of(status(429, **{"Retry-After": "0.2"}), ok)
    assert (outcome.text, outcome.attempts, len(server.log)) == ("Hello.", 2, 2)
    assert 0.2 <= server.times[1] - server.times[0] < 5
    assert server.log[0] == server.log[1]


@pytest.mark.parametrize("code", [408, 409, 425, 500, 502, 503, 529])
def test_a_status_that_heals_is_tried_again(code: int) -> None:
    bad = status(code, **{"Retry-After": "0"})
    outcome, server = outcome_of(bad, bad, ok)
    assert (outcome.text, outcome.attempts, len(server.log)) == ("Hello.", 3, 3)


@pytest.mark.parametrize(
    "bad",
    [reset, cut_short, body(b'{"id": "x", "choi'), body(b"<html>502</html>", "text/html"), body([]), body(None)],
    ids=["reset", "cut short", "half a JSON", "a web page", "a list", "null"],
)
def test_a_broken_answer_is_tried_again(bad: Answer) -> None:
    outcome, server = outcome_of(bad, ok)
    assert (outcome.text, outcome.attempts, len(server.log)) == ("Hello.", 2, 2)


def test_an_error_with_status_200_is_tried_again() -> None:
    outcome, server = outcome_of(body({"error": {"code": 502, "message": "upstream"}}), ok)
    assert (outcome.text, len(server.log)) == ("Hello.", 2)


def test_too_many_requests_uses_up_no_try() -> None:
    busy = status(429, **{"Retry-After": "0"})
    outcome, server = outcome_of(*[busy] * 6, ok, given=settings(attempts=2))
    assert (outcome.text, outcome.attempts, len(server.log)) == ("Hello.", 7, 7)


def test_too_many_requests_to_the_deadline_stops_the_run_with_the_servers_words() -> None:
    busy = status(429, "the queue is full", **{"Retry-After": "0"})
    trouble, server = trouble_of(busy, given=settings(attempts=2, deadline_seconds=1.0))
    assert len(server.log) > 2
    assert trouble.what.startswith(f"openai:a-model at {server.url} did not answer within 1 seconds: ")
    assert "the queue is full" in trouble.what


@pytest.mark.parametrize("reason", ["insufficient_quota", "billing_hard_limit_reached"])
def test_an_account_that_is_spent_stops_the_run_at_once(reason: str) -> None:
    async def spent(_: Unruly, __: web.Request, ___: Any) -> web.Response:
        error = {"message": "You exceeded your current quota.", "type": reason, "code": reason}
        return web.json_response({"error": error}, status=429)

    trouble, server = trouble_of(spent)
    assert len(server.log) == 1
    assert "answered 429: " in trouble.what
    assert "You exceeded your current quota." in trouble.what


def test_no_more_is_asked_before_the_server_says_that_something_is_left() -> None:
    async def counting(server: Unruly, request: web.Request, sent: Any) -> web.StreamResponse:
        answer = await ok(server, request, sent)
        if len(server.log) == 1:
            answer.headers.update({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "400ms"})
        return answer

    _, server, trouble = against(counting, questions=asks(3), concurrency=1)
    assert trouble is None
    assert server.times[1] - server.times[0] >= 0.4


@pytest.mark.parametrize("code", [500])
def test_what_does_not_heal_in_time_stops_the_run_with_the_servers_words(code: int) -> None:
    trouble, server = trouble_of(status(code, "the queue is full", **{"Retry-After": "0"}))
    assert len(server.log) == 3
    assert trouble.what.startswith(f"openai:a-model at {server.url} did not answer after 3 tries: ")
    assert "the queue is full" in trouble.what
    assert trouble.do == "start the server or wait for it, then run the same command again: it resumes"


def test_a_connection_that_is_always_reset_stops_the_run() -> None:
    trouble, server = trouble_of(reset, given=settings(attempts=2))
    assert len(server.log) == 2
    assert trouble.what.startswith(f"openai:a-model at {server.url} did not answer after 2 tries: Server disconnected")


def test_a_server_that_is_not_there_stops_the_run_and_is_no_failure_of_an_ask() -> None:
    with socket.socket() as taken:  # bound and never listening: refused, and nobody else's
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        with pytest.raises(TeacherError) as caught:
            asyncio.run(gathered(make(f"openai:m@{url}", settings(attempts=2)), [ask()]))
    assert caught.value.what.startswith(f"openai:m at {url} did not answer after 2 tries: ")
    assert "Cannot connect to host" in caught.value.what
    assert caught.value.why == "an outage would otherwise be written down as a thousand failed drafts"


# ── what does not heal ──


@pytest.mark.parametrize("code", [401, 402, 403, 404])
def test_a_refused_key_or_model_stops_the_run_at_once(code: int) -> None:
    trouble, server = trouble_of(status(code, "no such model"))
    assert len(server.log) == 1
    assert trouble.what.startswith(f"openai:a-model at {server.url} answered {code}: ")
    assert "no such model" in trouble.what
    assert trouble.why == "a missing model or a refused key does not heal by waiting"
    assert "OPENAI_API_KEY" in trouble.do


@pytest.mark.parametrize("code", [400, 413, 422])
def test_a_refused_request_is_its_asks_own_failure(code: int) -> None:
    outcome, server = outcome_of(status(code, "context length exceeded"))
    assert (outcome.failure, outcome.text, outcome.attempts, len(server.log)) == ("bad_request", None, 1, 1)
    assert "context length exceeded" in outcome.detail


def test_one_refused_request_does_not_disturb_the_others() -> None:
    async def refuse_the_third(server: Unruly, request: web.Request, sent: Any) -> web.StreamResponse:
        third = sent["messages"][0]["content"] == "Question 2"
        return await (status(400) if third else ok)(server, request, sent)

    outcomes, server, trouble = against(refuse_the_third, questions=asks(30))
    assert trouble is None
    assert [o.ask_id for o in outcomes if o.failure] == [asks(3)[2].id]
    assert {o.ask_id for o in outcomes} == {a.id for a in asks(30)}
    assert len(server.log) == 30


def test_a_server_that_never_answers_is_a_timeout_of_that_ask() -> None:
    outcome, server = outcome_of(hang, given=settings(timeout_seconds=0.2, attempts=2))
    assert (outcome.failure, outcome.attempts, len(server.log)) == ("timeout", 2, 2)
    assert outcome.detail == "no whole reply within 0.2 seconds"


def test_a_reply_that_drips_is_given_up_when_its_time_is_over() -> None:
    async def drip(server: Unruly, request: web.Request, _: Any) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        while not server.done.is_set():  # never silent for long enough to be a dead connection
            await response.write(b" ")
            await asyncio.sleep(0.02)
        return response

    outcome, server = outcome_of(drip, given=settings(timeout_seconds=0.3, attempts=1))
    assert (outcome.failure, outcome.detail) == ("timeout", "no whole reply within 0.3 seconds")
    assert len(server.log) == 1


def test_the_deadline_of_an_ask_bounds_all_its_tries() -> None:
    outcome, server = outcome_of(hang, given=settings(timeout_seconds=20.0, attempts=8, deadline_seconds=0.4))
    assert (outcome.failure, outcome.attempts, len(server.log)) == ("timeout", 1, 1)


def test_a_server_that_takes_eight_at_once_is_found_out_and_kept_at_eight() -> None:
    in_flight = refused = 0

    async def eight(server: Unruly, request: web.Request, sent: Any) -> web.StreamResponse:
        nonlocal in_flight, refused
        if in_flight >= 8:
            refused += 1
            return await status(429)(server, request, sent)
        in_flight += 1
        try:
            await asyncio.sleep(0.02)
        finally:
            in_flight -= 1
        return await ok(server, request, sent)

    outcomes, server, trouble = against(eight, questions=asks(300))
    assert trouble is None
    assert {o.ask_id for o in outcomes} == {a.id for a in asks(300)}
    assert len(server.log) == sum(o.attempts for o in outcomes) == 300 + refused
    assert 0 < refused <= 40  # of the first sixteen, and of those sent until the first was refused


def test_a_hanging_server_is_tried_again() -> None:
    outcome, server = outcome_of(hang, ok, given=settings(timeout_seconds=1.0, attempts=2))
    assert (outcome.text, outcome.attempts, len(server.log)) == ("Hello.", 2, 2)


@pytest.mark.parametrize(
    ("bad", "detail"),
    [
        (body(b"<html>Welcome!</html>", "text/html"), "not a chat completion but '<html>Welcome!</html>'"),
        (body(b'{"id": "x", "choi'), "Unterminated string starting at: line 1 column 13 (char 12)"),
        (body({"error": {"message": "upstream"}}), "an error with status 200: {'message': 'upstream'}"),
        (body(b'{"id": "\xff"}'), "'utf-8' codec can't decode byte 0xff in position 8: invalid start byte"),
    ],
    ids=["a web page", "half a JSON", "an error in disguise", "not UTF-8"],
)
def test_an_answer_that_stays_broken_is_reported_as_it_is(bad: Answer, detail: str) -> None:
    outcome, server = outcome_of(bad, given=settings(attempts=2))
    assert (outcome.failure, outcome.detail, outcome.attempts) == ("broken", detail, 2)
    assert len(server.log) == 2


@pytest.mark.parametrize(
    ("answer", "failure", "detail", "finish"),
    [
        (body({**GOOD, "choices": []}), "empty", "the reply has no choices", None),
        (body({**GOOD, "choices": None}), "empty", "the reply has no choices", None),
        (saying(message={"content": None}, finish_reason="length"), "empty", "… (finish_reason length)", "length"),
        (saying(message={"content": ""}), "empty", "the reply has no text (finish_reason stop)", "stop"),
        (saying(message=None), "empty", "the reply has no text (finish_reason stop)", "stop"),
        (saying(message={"content": [{"type": "text"}]}), "empty", "… (finish_reason stop)", "stop"),
        (body({**GOOD, "choices": ["?"]}), "empty", "the reply has no text (finish_reason None)", None),
        (saying(message={"content": None, "refusal": "I won't."}), "refused", "I won't.", "refusal"),
    ],
    ids=["no choices", "null", "cut off", "empty", "no message", "parts", "nonsense", "refusal"],
)
def test_a_reply_without_text_is_a_failure_and_is_not_asked_again(
    answer: Answer, failure: str, detail: str, finish: str | None
) -> None:
    outcome, server = outcome_of(answer)
    assert (outcome.failure, outcome.text, outcome.finish_reason) == (failure, None, finish)
    assert outcome.detail == detail.replace("…", "the reply has no text")
    assert outcome.usage == Usage(7, 2)  # it was paid for
    assert len(server.log) == 1


@pytest.mark.parametrize(
    ("usage", "read"),
    [
        (None, Usage()),
        ({"prompt_tokens": 7}, Usage(7, None)),
        ({"prompt_tokens": "7", "completion_tokens": -1}, Usage()),
        ({"prompt_tokens": 0, "completion_tokens": 2**80}, Usage(0, None)),
    ],
)
def test_a_usage_that_is_none_is_unknown_and_not_zero(usage: Any, read: Usage) -> None:
    outcome, _ = outcome_of(body({**GOOD, "usage": usage}))
    assert outcome.usage == read


def test_fields_of_other_types_are_left_out() -> None:
    outcome, _ = outcome_of(body({**GOOD, "model": 5, "choices": [{"message": {"content": "Hi"}, "finish_reason": 3}]}))
    assert (outcome.text, outcome.served_model, outcome.finish_reason) == ("Hi", None, None)


def test_a_byte_order_mark_before_a_reply_does_not_lose_it() -> None:
    outcome, server = outcome_of(body(b"\xef\xbb\xbf\r\n" + json.dumps(GOOD).encode()))
    assert (outcome.text, len(server.log)) == ("Hello.", 1)


def test_what_a_model_wrote_that_a_server_would_not_pass_on_is_a_reply() -> None:
    async def checked(_: Unruly, __: web.Request, ___: Any) -> web.Response:
        error = {"message": "Failed to generate JSON.", "code": "json_validate_failed", "failed_generation": '{"a": 1'}
        return web.json_response({"error": error}, status=400)

    outcome, server = outcome_of(checked, questions=[ask(schema={"type": "object"})])
    assert (outcome.text, outcome.finish_reason, outcome.failure) == ('{"a": 1', "json_validate_failed", None)
    assert len(server.log) == 1


# ── many at once ──


def test_a_refused_key_ends_what_else_is_in_flight() -> None:
    async def refuse_the_last(server: Unruly, request: web.Request, sent: Any) -> web.StreamResponse:
        last = sent["messages"][0]["content"] == "Question 19"
        return await (status(401) if last else hang)(server, request, sent)

    given = settings(timeout_seconds=0.5)  # so long, and never over a minute, what is in flight may still come
    trouble, server = trouble_of(refuse_the_last, questions=asks(20), concurrency=20, given=given)
    assert "answered 401" in trouble.what
    assert len(server.log) == 20


def test_many_asks_are_in_flight_at_once() -> None:
    async def all_together(server: Unruly, _: web.Request, __: Any) -> web.Response:
        if len(server.log) == 200:
            server.done.set()
        await server.done.wait()
        return web.json_response(GOOD)

    outcomes, _, trouble = against(all_together, questions=asks(200), concurrency=200)
    assert trouble is None
    assert len({o.ask_id for o in outcomes}) == 200


def test_a_teacher_that_was_closed_connects_again(rehearsal_server: Server) -> None:
    teacher = make(f"openai:rehearsal-teacher@{rehearsal_server.url}", settings())
    first = asyncio.run(gathered(teacher, exemplar_asks(1)))
    again = asyncio.run(gathered(teacher, exemplar_asks(1)))
    assert [o.text for o in again.values()] == [o.text for o in first.values()]


@pytest.mark.parametrize("value", [{"a": ["é", 1, None, 0.5]}, {"large": 2**70}, {"text": "\ud800"}])
def test_a_request_is_json_of_the_same_value_however_it_is_written(value: dict[str, Any]) -> None:
    if value.get("text"):
        with pytest.raises(UnicodeEncodeError):
            encoded(value)
    else:
        assert json.loads(encoded(value)) == value


@pytest.mark.parametrize(
    "content", ['{"a": "é"}', '{"a": NaN}', '{"a": "\\ud800"}', '{"a": 1e999}', "[" * 100 + "]" * 100]
)
def test_a_reply_is_read_as_json_reads_it(content: str) -> None:
    assert repr(decoded(content.encode())) == repr(json.loads(content))
