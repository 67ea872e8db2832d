"""`thousandfold models`: each model is asked one small question, and says in one line what it can do."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from thousandfold.gen.checkup import Checkup, check_models
from thousandfold.gen.teachers.base import Ask, Outcome
from thousandfold.gen.teachers.rehearsal.server import listen

from ._runs import RESPECT, Scripted, Server, command, copied

SAID = json.dumps({"situations": [{"situation": "Somebody broke a cup.", "probability": 0.2}]})
Handler = Callable[[dict[str, Any]], web.Response]


def completion(sent: dict[str, Any], *, text: str = SAID, logprobs: bool = False) -> web.Response:
    message = {"role": "assistant", "content": text}
    given = {"content": [{"token": "Hi", "logprob": -0.1, "top_logprobs": []}]} if logprobs else None
    choices = [{"index": k, "message": message, "logprobs": given} for k in range(sent.get("n", 1))]
    headers = {"x-ratelimit-limit-requests": "500", "x-ratelimit-limit-tokens": "30000"}
    return web.json_response({"model": "served-2026", "choices": choices}, headers=headers)


def refusal(message: str, status: int = 400) -> web.Response:
    return web.json_response({"error": {"message": message}}, status=status)


def able(sent: dict[str, Any]) -> web.Response:
    return completion(sent, logprobs=bool(sent.get("logprobs")))


def plain(sent: dict[str, Any]) -> web.Response:
    if "response_format" in sent:
        return refusal("The response_format parameter is unsupported at the moment. Leave it unset.")
    if "logprobs" in sent or "n" in sent:
        return refusal("Unrecognized request argument supplied")
    return completion(sent)


def ignoring(sent: dict[str, Any]) -> web.Response:
    return completion({**sent, "n": 1}, text="A cup fell.")


def served(handler: Handler, *, recipe: Path = RESPECT, judge: Any = "none") -> tuple[Checkup, list[dict[str, Any]]]:
    """The checkup of a teacher behind a server of its own, and what the server was sent."""
    log: list[dict[str, Any]] = []

    async def handle(request: web.Request) -> web.Response:
        log.append(await request.json())
        return handler(log[-1])

    async def run() -> Checkup:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            url = await listen(runner, "127.0.0.1", 0)
            work = asyncio.to_thread(check_models, recipe, teacher=f"openai:gpt-x@{url}", judge=judge)
            [found], notes = await work
            assert notes == ["no judge: a run would be unjudged, and its release would say so"]
            return found
        finally:
            await runner.cleanup()

    return asyncio.run(asyncio.wait_for(run(), 30)), log


def test_a_server_that_can_do_all_is_said_to(tmp_path: Path) -> None:
    recipe = copied(RESPECT, tmp_path / "recipe")
    with (recipe / "recipe.toml").open("a", encoding="utf-8") as file:
        file.write('\n[prices."openai:gpt-x"]\ninput = 0.25\noutput = 2.0\n')
    found, log = served(able, recipe=recipe)
    assert (found.reachable, found.structured, found.readable) == (True, "json_schema", True)
    assert (found.logprobs, found.n, found.family, found.served_model) == (True, True, "gpt", "served-2026")
    assert found.limits == {"requests": "500", "tokens": "30000"}
    assert found.price == {"input": 0.25, "output": 2.0}
    assert len(log) == 3
    assert sum(len(str(sent["messages"])) for sent in log) < 1500  # small questions
    assert found.line.startswith("teacher openai:gpt-x@http://127.0.0.1:")
    assert found.line.partition(" s · ")[2] == (
        "structured output json_schema · log-probabilities yes · n yes · limits 500 requests, 30000 tokens · "
        "price 0.25 in, 2 out (USD/million) · family gpt"
    )


def test_a_server_that_refuses_all_but_words_is_found_out() -> None:
    found, log = served(plain)
    assert (found.reachable, found.structured, found.readable) == (True, "text", True)
    assert (found.logprobs, found.n, found.price) == (False, False, None)
    assert [sent.get("response_format", {}).get("type") for sent in log[:3]] == ["json_schema", "json_object", None]
    assert "price unknown" in found.line


def test_a_server_that_takes_a_schema_and_ignores_it_is_found_out() -> None:
    found, _ = served(ignoring)
    assert (found.reachable, found.structured, found.readable) == (True, "json_schema", False)
    assert (found.logprobs, found.n) == (False, False)
    assert "structured output json_schema, but its reply could not be read" in found.line


def test_a_model_that_thinks_until_its_tokens_are_gone_is_reachable() -> None:
    found, _ = served(lambda sent: completion(sent, text=""))
    assert (found.reachable, found.readable) == (True, None)


@pytest.mark.parametrize(
    ("status", "words"), [(401, "Incorrect API key"), (404, "no such model"), (400, "unknown temperature"), (500, "oh")]
)
def test_a_server_that_answers_with_an_error_is_not_reachable_and_its_words_are_shown(status: int, words: str) -> None:
    found, log = served(lambda _: refusal(words, status))
    assert not found.reachable
    assert words in str(found.problem)
    assert words in found.line
    assert "\n" not in found.line
    assert len(log) == 1


def test_a_teacher_given_in_code_is_asked_through_its_own_answer() -> None:
    teacher = Scripted(lambda _: SAID, model="own:model", family="own")
    [found], _ = check_models(RESPECT, teacher=teacher, judge="none")
    assert (found.model, found.reachable, found.structured, found.readable) == ("own:model", True, "text", True)
    assert len(teacher.asked) == teacher.closed == 1


def test_a_teacher_that_raises_is_a_line_and_no_traceback() -> None:
    def breaks(_: Ask) -> str | Outcome:
        raise ZeroDivisionError("inside")

    [found], _ = check_models(RESPECT, teacher=Scripted(breaks), judge="none")
    assert (found.reachable, found.problem) == (False, "ZeroDivisionError: inside")


# ── the command ──


def test_the_command_prints_a_line_a_model_and_ends_with_0_where_all_are_reachable(
    tmp_path: Path, rehearsal_server: Server
) -> None:
    before = rehearsal_server.counts.requests
    done = command("models", RESPECT, *rehearsal_server.models, cwd=tmp_path)
    assert done.code == 0, done.err
    teacher, judge = done.out.splitlines()
    assert teacher.startswith(f"teacher openai:rehearsal-teacher@{rehearsal_server.url}: reachable in ")
    assert judge.startswith(f"judge openai:rehearsal-judge@{rehearsal_server.url}: reachable in ")
    assert "structured output json_schema · log-probabilities no · n no" in teacher
    assert rehearsal_server.counts.requests - before == 6
    assert list(tmp_path.iterdir()) == []  # no output directory, no ledger


def test_the_command_works_for_rehearsal_and_as_json(tmp_path: Path) -> None:
    done = command("models", RESPECT, "--json", cwd=tmp_path)
    assert (done.code, done.json["exit"], done.json["notes"]) == (0, 0, [])
    assert [(m["role"], m["model"], m["reachable"], m["readable"]) for m in done.json["models"]] == [
        ("teacher", "rehearsal", True, True),
        ("judge", "rehearsal", True, True),
    ]
    assert done.json["models"][0]["price"] == {"input": 0, "output": 0}


def test_the_command_ends_with_1_where_one_is_not_reachable_and_says_what_is_missing(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nowhere = f"openai:m@http://127.0.0.1:{taken.getsockname()[1]}/v1"
        done = command("models", RESPECT, "--teacher", nowhere, "--judge", "vllm:some-model", cwd=tmp_path)
    assert done.code == 1
    teacher, judge = done.out.splitlines()
    assert "not reachable: openai:m at http://127.0.0.1:" in teacher
    assert "Cannot connect to host" in teacher
    assert "not reachable: vllm:some-model needs vLLM, which is not installed; pip install" in judge


def test_models_of_one_family_are_said_to_be_refused_together(tmp_path: Path, rehearsal_server: Server) -> None:
    same = f"openai:rehearsal-teacher@{rehearsal_server.url}"
    done = command("models", RESPECT, "--teacher", same, "--judge", same, cwd=tmp_path)
    assert done.code == 0
    assert "note: a run would refuse them together: the judge 'openai:rehearsal-teacher' and the teacher" in done.err


def test_a_recipe_that_is_wrong_is_said_as_everywhere(tmp_path: Path) -> None:
    done = command("models", tmp_path, cwd=tmp_path)
    assert done.code == 2
    assert done.err.startswith("error: ")
