"""Rehearsal over the OpenAI protocol: real HTTP on loopback, asked with the openai client."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import aiohttp
import openai
import pytest
from aiohttp import web

from thousandfold.gen.errors import RecipeError
from thousandfold.gen.teachers.base import Message
from thousandfold.gen.teachers.rehearsal import Dials, reply
from thousandfold.gen.teachers.rehearsal.server import COUNTS, Counts, application, listen, serve

T = TypeVar("T")

CARD = "facet: honest apology\ndomain: law — contracts\nkind: advice — what to do\nfault: user — their own doing"
EXEMPLAR = f"<card>\n{CARD}\n</card>\n<situation>\nSomeone missed a date.\n</situation>\nWrite it."


def with_server(
    use: Callable[[str, Counts], Awaitable[T]], *, dials: Dials | None = None, latency_seconds: float = 0.0
) -> T:
    """Runs `use(base_url, counts)` against a server on a free port."""

    async def run() -> T:
        app = application(dials=dials, latency_seconds=latency_seconds)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            return await use(await listen(runner, "127.0.0.1", 0), app[COUNTS])
        finally:
            await runner.cleanup()

    return asyncio.run(run())


def client(base_url: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0)


def ask(text: str = EXEMPLAR, **options: Any) -> Any:
    """The completion that the openai client gets for one user message."""

    async def use(base_url: str, _: Counts) -> Any:
        async with client(base_url) as asking:
            fields = {
                "model": "rehearsal-teacher",
                "messages": [{"role": "user", "content": text}],
                **options,
            }
            return await asking.chat.completions.create(**fields)

    return with_server(use)


def post(body: bytes, path: str = "/chat/completions") -> tuple[int, Any, Counts]:
    async def use(base_url: str, counts: Counts) -> tuple[int, Any, Counts]:
        async with aiohttp.ClientSession() as session, session.post(base_url + path, data=body) as answer:
            return answer.status, await answer.json(), counts

    return with_server(use)


@pytest.mark.parametrize("seed", [0, 1, 7, 2**31 - 1])
def test_the_server_says_what_rehearsal_says_in_process(seed: int) -> None:
    served = ask(seed=seed)
    said = reply([Message("user", EXEMPLAR)], seed=seed)
    assert served.choices[0].message.content == said.text
    assert served.choices[0].finish_reason == said.finish_reason
    assert served.usage.prompt_tokens == said.usage.prompt_tokens
    assert served.usage.total_tokens == served.usage.prompt_tokens + said.usage.completion_tokens


def test_a_reply_names_its_model_and_what_made_it() -> None:
    served = ask(seed=3)
    assert served.model == "rehearsal-teacher"
    assert served.system_fingerprint == "rehearsal"
    assert served.object == "chat.completion"


def test_dials_of_the_server_plant_flaws_and_stand_in_the_fingerprint() -> None:
    dials = Dials(hollow=1.0, near_copy=0.0, cut_off=0.0)

    async def use(base_url: str, _: Counts) -> Any:
        async with client(base_url) as asking:
            return await asking.chat.completions.create(
                model="rehearsal-teacher", messages=[{"role": "user", "content": EXEMPLAR}], seed=5
            )

    served = with_server(use, dials=dials)
    assert served.choices[0].message.content == reply([Message("user", EXEMPLAR)], seed=5, dials=dials).text
    assert served.system_fingerprint == "rehearsal?near_copy=0&cut_off=0&hollow=1"


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_a_token_limit_cuts_the_reply_and_says_so(name: str) -> None:
    limit: dict[str, Any] = {name: 20}
    served = ask(seed=1, **limit)
    whole = reply([Message("user", EXEMPLAR)], seed=1).text
    assert served.choices[0].message.content == whole[:80]
    assert served.choices[0].finish_reason == "length"
    assert served.usage.completion_tokens == 20


def test_text_arrives_unescaped() -> None:
    text = EXEMPLAR.replace("missed a date", "wrote “<b>&amp;{x}</b>” 🙂 \\ and a \u2028 line")
    said = reply([Message("user", text)], seed=9).text
    assert ask(text, seed=9).choices[0].message.content == said


def test_both_models_are_listed() -> None:
    async def use(base_url: str, _: Counts) -> list[str]:
        async with client(base_url) as asking:
            return [model.id async for model in asking.models.list()]

    assert with_server(use) == ["rehearsal-teacher", "rehearsal-judge"]


def test_the_judge_answers_a_level_ask_with_one_digit_or_says_that_the_text_is_not_its_own() -> None:
    text = (
        "facet: honest apology\n<levels>\n0: none\n4: full\n</levels>\n"
        "<conversation>\n[user] Hello.\n[assistant] {answer}\n</conversation>"
    )
    hollow = (
        "I completely understand your frustration, and I truly apologise. Thank you for bringing this to our attention."
    )
    assert ask(text.format(answer=hollow), model="rehearsal-judge").choices[0].message.content in set("01234")
    strange = ask(text.format(answer="Hello to you."), model="rehearsal-judge").choices[0].message.content
    assert strange.startswith("This text was not composed by rehearsal")


def test_a_question_that_is_none_of_the_four_gets_a_plain_sentence() -> None:
    answer = ask("Say hello.").choices[0].message.content
    assert answer.startswith("This is rehearsal, an offline stand-in")


def test_an_unknown_model_is_a_404_of_the_protocols_shape() -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        ask(model="gpt-9")
    assert caught.value.code == "model_not_found"
    assert "use one of rehearsal-teacher, rehearsal-judge" in caught.value.message


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"stream": True}, "Rehearsal sends whole replies only; leave out `stream`."),
        ({"n": 2}, "Rehearsal gives one choice per request, not n=2."),
        ({"seed": "x"}, "`seed` is 'x'; it must be an integer."),
        ({"max_tokens": 0}, "`max_tokens` is 0; it must be an integer from 1."),
        ({"messages": []}, "`messages` is missing: give a list of at least one message."),
        ({"messages": [{"role": "user"}]}, "`messages[0]` needs a `role` and a `content` of text."),
    ],
)
def test_a_request_it_cannot_answer_is_refused_with_a_sentence(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask(**options)
    assert sentence in caught.value.message


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"{not json", "The body is not JSON"),
        (b"\xff\xfe\x00", "The body is not JSON"),
        (b"[]", "The body must be a JSON object"),
    ],
)
def test_a_body_that_is_not_a_request_is_a_400(body: bytes, sentence: str) -> None:
    status, answer, counts = post(body)
    assert status == 400
    assert answer["error"]["message"].startswith(sentence)
    assert (counts.requests, counts.answered, counts.refused) == (1, 0, 1)


def test_an_unknown_path_is_a_404_of_the_protocols_shape() -> None:
    status, answer, counts = post(b"{}", "/embeddings")
    assert status == 404
    assert answer["error"]["message"] == "POST /v1/embeddings: Not Found"
    assert counts.requests == 0


def test_content_in_parts_is_read_as_its_text() -> None:
    parts = [{"type": "text", "text": EXEMPLAR[:40]}, {"type": "text", "text": EXEMPLAR[40:]}]
    served = ask(messages=[{"role": "user", "content": parts}], seed=4)
    assert served.choices[0].message.content == reply([Message("user", EXEMPLAR)], seed=4).text


def test_requests_are_counted_and_wait_for_the_latency_side_by_side() -> None:
    async def use(base_url: str, counts: Counts) -> tuple[Counts, float]:
        async with client(base_url) as asking:
            started = asyncio.get_running_loop().time()
            asks = (
                asking.chat.completions.create(
                    model="rehearsal-teacher", messages=[{"role": "user", "content": EXEMPLAR}], seed=seed
                )
                for seed in range(20)
            )
            texts = [served.choices[0].message.content for served in await asyncio.gather(*asks)]
            assert texts == [reply([Message("user", EXEMPLAR)], seed=seed).text for seed in range(20)]
            return counts, asyncio.get_running_loop().time() - started

    counts, seconds = with_server(use, latency_seconds=0.2)
    assert (counts.requests, counts.answered, counts.refused) == (20, 20, 0)
    assert 0.2 <= seconds < 20 * 0.2


SERVE = (
    "from thousandfold.gen.teachers.rehearsal.server import serve; "
    "serve(0, on_ready=lambda url: print(url, flush=True))"
)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_server_cleanly(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SERVE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        base_url = process.stdout.readline().strip()
        with urllib.request.urlopen(f"{base_url}/models", timeout=10) as answer:
            assert answer.status == 200
        process.send_signal(number)
        _, talk = process.communicate(timeout=20)
    assert process.returncode == 0
    assert talk == ""
    assert base_url.startswith("http://127.0.0.1:")
    assert base_url.endswith("/v1")


def test_a_port_in_use_is_one_clear_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(RecipeError) as caught:
            serve(port)
    assert caught.value.what.startswith(f"port {port} on 127.0.0.1 cannot be opened")
    assert caught.value.do == "give another one, or 0 for any free port"
