"""What an endpoint takes: found out once, over real HTTP, in the words that servers really use; then kept to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from thousandfold.gen.asking import Asker
from thousandfold.gen.budget import Budget
from thousandfold.gen.drafting import SITUATIONS_SCHEMA
from thousandfold.gen.errors import TeacherError
from thousandfold.gen.events import Event
from thousandfold.gen.judgements import EVIDENCE_SCHEMA
from thousandfold.gen.ledger import Ledger
from thousandfold.gen.settings import BudgetSettings, JudgeSettings, TeacherSettings
from thousandfold.gen.teachers import make
from thousandfold.gen.teachers.abilities import RUNGS, Form, bare_schema, refused_part
from thousandfold.gen.teachers.base import Ask, Outcome, Purpose
from thousandfold.gen.teachers.rehearsal.server import listen

from .._asks import asks, settings

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}

# Words of real servers, as their users report them: name -> (status, body).
WORDS = json.loads(Path(__file__).with_name("refusals.json").read_text(encoding="utf-8"))
REFUSALS: dict[str, tuple[int, Any]] = {name: tuple(said) for name, said in WORDS["structured"].items()}
OTHERS: dict[str, tuple[int, Any]] = {name: tuple(said) for name, said in WORDS["others"].items()}


class Picky:
    """A server that answers by the form of the request: `refuses` maps a rung, `logprobs` or `seed` to its words."""

    def __init__(
        self, refuses: Mapping[str, tuple[int, Any]], *, latency_seconds: float = 0.0, together: int = 0
    ) -> None:
        self.refuses = refuses
        self.latency_seconds = latency_seconds
        self.together = together  # nobody is answered before so many have asked
        self.all_asked = asyncio.Event()
        self.forms: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        self.refused = 0

    async def handle(self, request: web.Request) -> web.Response:
        sent = await request.json()
        self.bodies.append(sent)
        form = sent.get("response_format", {"type": "text"})["type"]
        self.forms.append(form)
        for part in (
            form if "response_format" in sent else "",
            *(name for name in ("logprobs", "seed") if name in sent),
        ):
            if part in self.refuses:
                self.refused += 1
                status, body = self.refuses[part]
                return web.json_response(body, status=status)
        await asyncio.sleep(self.latency_seconds)
        if len(self.forms) >= self.together:
            self.all_asked.set()
        await asyncio.wait_for(self.all_asked.wait(), 20)
        message = {"role": "assistant", "content": '{"a": "b"}'}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return web.json_response({"choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": 5}})


def told(
    server: Picky,
    ledger: Ledger,
    *,
    count: int = 1,
    schema: Mapping[str, Any] | None = SCHEMA,
    concurrency: int | None = None,
    given: TeacherSettings | JudgeSettings | None = None,
    port: int = 0,
    purpose: Purpose = "scenario",
) -> tuple[dict[str, Outcome], list[str], list[Ask]]:
    """(outcomes, notes said, asks): `count` asks through an asker, with the ledger as its memory."""

    async def run() -> tuple[dict[str, Outcome], list[str], list[Ask]]:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", server.handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        url = await listen(runner, "127.0.0.1", port)
        said: list[Event] = []
        teacher = make(f"openai:m@{url}", given or settings(attempts=1), concurrency=concurrency)
        asking = Asker(
            ledger=ledger,
            teachers={teacher.model: teacher},
            budget=Budget(BudgetSettings(), {}, ledger.spent()),
            on_event=said.append,
        )
        questions = asks(count, model="openai:m", schema=schema, purpose=purpose)
        try:
            found = await asking.answers(questions)
        finally:
            await teacher.close()
            await runner.cleanup()
        return found, [event.fields["text"] for event in said if event.kind == "note"], questions

    return asyncio.run(asyncio.wait_for(run(), 30))


# ── what is refused, in whose words ──


@pytest.mark.parametrize("words", REFUSALS.values(), ids=REFUSALS)
def test_a_refused_form_is_followed_by_the_next_one_in_the_same_try(ledger: Ledger, words: tuple[int, Any]) -> None:
    server = Picky({"json_schema": words})
    found, notes, [one] = told(server, ledger)
    assert server.forms == ["json_schema", "json_object"]
    assert (found[one.id].text, found[one.id].failure, found[one.id].attempts) == ('{"a": "b"}', None, 2)
    assert len(notes) == 1
    assert "does not take json_schema; asked for json_object from now on (" in notes[0]


@pytest.mark.parametrize("words", OTHERS.values(), ids=OTHERS)
def test_other_errors_change_no_form(ledger: Ledger, words: tuple[int, Any]) -> None:
    server = Picky({"json_schema": words})
    with pytest.raises(TeacherError):
        told(server, ledger, given=settings(attempts=1, deadline_seconds=1.0))
    assert server.forms == ["json_schema"]


def test_where_both_json_forms_are_refused_words_alone_ask_for_it(ledger: Ledger) -> None:
    server = Picky({"json_schema": REFUSALS["xAI"], "json_object": REFUSALS["xAI"]})
    found, notes, [one] = told(server, ledger)
    assert server.forms == list(RUNGS)
    assert found[one.id].text == '{"a": "b"}'
    assert [note.split(" (")[0].split(" does ")[1] for note in notes] == [
        "not take json_schema; asked for json_object from now on",
        "not take json_object; asked for JSON in plain words from now on",
    ]


@pytest.mark.parametrize("structured", ["json_schema", "json_object"])
def test_a_form_that_the_recipe_names_is_never_changed(ledger: Ledger, structured: str) -> None:
    server = Picky({structured: REFUSALS["DeepSeek"]})
    with pytest.raises(TeacherError) as caught:
        told(server, ledger, given=settings(structured=structured))
    assert server.forms == [structured]
    assert "This response_format type is unavailable now" in caught.value.what


def test_an_ask_without_a_schema_finds_out_nothing(ledger: Ledger) -> None:
    server = Picky({"json_schema": REFUSALS["DeepSeek"]})
    told(server, ledger, count=3, schema=None)
    assert server.forms == ["text"] * 3


# ── once, for all ──


@pytest.mark.parametrize("concurrency", [1, 16, 64])
def test_one_ask_finds_out_and_the_others_follow(ledger: Ledger, concurrency: int) -> None:
    server = Picky({"json_schema": REFUSALS["DeepSeek"]}, latency_seconds=0.01)
    found, notes, questions = told(server, ledger, count=100, concurrency=concurrency)
    assert server.forms == ["json_schema"] + ["json_object"] * 100
    assert [found[one.id].text for one in questions] == ['{"a": "b"}'] * 100
    assert sum(found[one.id].attempts for one in questions) == len(server.forms)
    assert len(notes) == 1


def test_a_slow_reply_to_the_first_does_not_keep_the_others_waiting(ledger: Ledger) -> None:
    server = Picky({}, together=20)  # the first is answered when the others have asked: they may not wait for it
    told(server, ledger, count=20, concurrency=20)
    assert server.forms == ["json_schema"] * 20


def test_what_was_found_out_is_noted_and_the_next_run_asks_so_at_once(tmp_path: Path) -> None:
    server = Picky({"json_schema": REFUSALS["DeepSeek"]})
    with Ledger(tmp_path / "a.sqlite") as ledger:
        told(server, ledger, count=1, port=0)
        keys = [row[0] for row in ledger._db.execute("SELECT key FROM notes")]
        [key] = [key for key in keys if key.startswith("abilities of openai:m at http://127.0.0.1:")]
        assert ledger.note(key) == {"structured": "json_object", "without": []}
        port = int(key.rpartition(":")[2].partition("/")[0])
        server.forms.clear()
        found, notes, _ = told(server, ledger, count=5, port=port)
        assert len(found) == 5
        assert server.forms == ["json_object"] * 4  # the first is in the ledger
        assert notes == []


def test_a_form_that_is_taken_is_noted_without_a_word(ledger: Ledger) -> None:
    server = Picky({})
    _, notes, _ = told(server, ledger)
    [value] = [row[0] for row in ledger._db.execute("SELECT value FROM notes")]
    assert (value, notes) == ('{"structured": "json_schema", "without": []}', [])


def test_the_form_is_no_part_of_an_ask(tmp_path: Path) -> None:
    outcomes = []
    for name, refuses in (("a", {}), ("b", {"json_schema": REFUSALS["xAI"], "json_object": REFUSALS["xAI"]})):
        with Ledger(tmp_path / name) as ledger:
            found, _, _ = told(Picky(refuses), ledger, count=3)
            outcomes.append({ask_id: outcome.text for ask_id, outcome in found.items()})
    assert outcomes[0] == outcomes[1]


def test_a_form_refused_in_mid_run_is_given_up_then(ledger: Ledger) -> None:
    server = Picky({})
    told(server, ledger)
    [key] = [row[0] for row in ledger._db.execute("SELECT key FROM notes")]
    server.refuses = {"json_schema": REFUSALS["LM Studio"]}
    server.forms.clear()
    found, notes, _ = told(server, ledger, count=8, concurrency=1, port=int(key.rpartition(":")[2].partition("/")[0]))
    assert server.forms == ["json_schema"] + ["json_object"] * 7
    assert (len(found), len(notes)) == (8, 1)


# ── other parts of the form ──


@pytest.mark.parametrize(("part", "words"), [(part, (status, body)) for part, status, body in WORDS["parts"]])
def test_what_an_endpoint_refuses_besides_is_left_out_from_then_on(
    ledger: Ledger, part: str, words: tuple[int, Any]
) -> None:
    server = Picky({part: words})
    found, notes, questions = told(
        server, ledger, count=10, schema=None, concurrency=1, given=settings(attempts=1, logprobs=5)
    )
    assert [part in body for body in server.bodies] == [True] + [False] * 10
    assert {found[one.id].text for one in questions} == {'{"a": "b"}'}
    assert len(notes) == 1
    assert f"does not take {part}; asked without from now on (" in notes[0]


def test_logprobs_are_asked_for_only_where_the_recipe_wants_them(ledger: Ledger) -> None:
    server = Picky({})
    told(server, ledger)
    assert not {"logprobs", "top_logprobs"} & set(server.bodies[0])


def test_a_judge_asks_for_as_many_logprobs_as_there_are_with_a_level_and_for_none_with_evidence(ledger: Ledger) -> None:
    server = Picky({})
    told(server, ledger, schema=None, given=JudgeSettings(attempts=1), purpose="level")
    told(server, ledger, given=JudgeSettings(attempts=1), purpose="evidence")
    assert [body.get("top_logprobs") for body in server.bodies] == [20, None]
    assert [body.get("logprobs") for body in server.bodies] == [True, None]


def test_an_endpoint_that_refuses_twenty_logprobs_is_asked_for_five_from_then_on(ledger: Ledger) -> None:
    class Few(Picky):
        async def handle(self, request: web.Request) -> web.Response:
            sent = await request.json()
            self.refuses = {"logprobs": (400, {"error": WORDS_OF_FEW})} if sent.get("top_logprobs", 0) > 5 else {}
            return await super().handle(request)

    server = Few({})
    asked = JudgeSettings(attempts=1)
    found, notes, _ = told(server, ledger, count=3, schema=None, concurrency=1, given=asked, purpose="level")
    assert [body.get("top_logprobs") for body in server.bodies] == [20, 5, 5, 5]
    assert all(outcome.failure is None for outcome in found.values())
    assert len(notes) == 1
    assert "does not take 20 logprobs; asked for 5 from now on (" in notes[0]
    [noted] = [json.loads(row[0]) for row in ledger._db.execute("SELECT value FROM notes")]
    assert noted["most_logprobs"] == 5


WORDS_OF_FEW = "top_logprobs must be between 0 and 5"


def test_a_seed_in_the_words_of_an_ask_is_not_taken_for_the_parameter() -> None:
    body = '{"error": {"message": "Invalid input: you wrote of a seed"}}'
    assert refused_part(400, body, asks(1)[0], Form()) is None


# ── what is sent of a schema ──


@pytest.mark.parametrize("schema", [SITUATIONS_SCHEMA, EVIDENCE_SCHEMA], ids=["situations", "evidence"])
def test_a_server_is_sent_shape_and_types_and_no_bounds(schema: dict[str, Any]) -> None:
    def keys(value: Any) -> set[str]:
        if isinstance(value, list):
            return set().union(*map(keys, value)) if value else set()
        return set(value) | set().union(*map(keys, value.values())) if isinstance(value, dict) and value else set()

    sent = bare_schema(schema)
    gone = keys(schema) - keys(sent)
    assert gone >= {"maxLength", "default", "title"}
    assert not keys(sent) & {"minLength", "maxLength", "minItems", "maxItems", "minimum", "maximum", "default"}
    assert sent["required"] == schema["required"]
    assert sent["additionalProperties"] is False


def test_a_field_that_is_called_like_a_keyword_stays() -> None:
    schema = {"type": "object", "properties": {"title": {"type": "string", "title": "T", "maxLength": 3}}}
    assert bare_schema(schema) == {"type": "object", "properties": {"title": {"type": "string"}}}
