"""An ask's id changes with all that can change the answer, and with nothing else, in any process."""

from __future__ import annotations

import json
import subprocess
import sys
import zlib
from dataclasses import replace
from hashlib import sha256
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from thousandfold.gen.ledger_rows import row_of
from thousandfold.gen.settings import TeacherSettings
from thousandfold.gen.teachers import make
from thousandfold.gen.teachers.base import Ask, Message, Outcome, Purpose, Sampling, Schema

from .._asks import FREE

PURPOSES: tuple[Purpose, ...] = ("scenario", "exemplar", "level", "evidence")

words = st.text(max_size=30)
schemas = st.none() | st.dictionaries(words, st.integers() | words | st.lists(words, max_size=2), max_size=3)
messages = st.builds(Message, st.sampled_from(["system", "user", "assistant"]), words)
samplings = st.builds(
    Sampling,
    st.none() | st.floats(0, 2, allow_nan=False),
    st.integers(1, 10_000),
    st.integers(0, 2**31 - 1),
)
asks = st.builds(
    Ask,
    model=words,
    messages=st.lists(messages, max_size=3).map(tuple),
    sampling=samplings,
    schema=schemas,
    draw=st.integers(0, 20),
    purpose=st.sampled_from(PURPOSES),
)


def content(ask: Ask) -> tuple[Any, ...]:
    """What makes two asks the same question; -0.0 is written differently and may be another."""
    return (ask.model, ask.messages, repr(ask.sampling), json.dumps(ask.schema, sort_keys=True), ask.draw)


@given(asks)
def test_an_id_is_the_hash_of_one_json_text_however_it_is_put_together(ask: Ask) -> None:
    sampling = [ask.sampling.temperature, ask.sampling.max_tokens, ask.sampling.seed]
    whole = {
        "model": ask.model,
        "messages": [[m.role, m.content] for m in ask.messages],
        "sampling": sampling,
        "schema": ask.schema,
        "draw": ask.draw,
    }
    text = json.dumps(whole, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    assert ask.id == "a-" + sha256(b"ask\0" + text.encode()).hexdigest()[:32]
    if ask.schema is not None:
        assert replace(ask, schema=Schema(ask.schema)).id == ask.id


@given(asks)
def test_the_ledger_holds_the_request_as_it_was_asked(ask: Ask) -> None:
    held = zlib.decompress(row_of(ask, Outcome(ask.id, text="x"), FREE)[3]).decode()
    again = replace(ask, schema=None if ask.schema is None else Schema(ask.schema))
    assert zlib.decompress(row_of(again, Outcome(ask.id, text="x"), FREE)[3]).decode() == held
    sampling = [ask.sampling.temperature, ask.sampling.max_tokens, ask.sampling.seed]
    messages = [[m.role, m.content] for m in ask.messages]
    asked = {"messages": messages, "sampling": sampling, "schema": ask.schema, "draw": ask.draw}
    assert json.loads(held) == json.loads(json.dumps(asked))


@given(asks, asks)
def test_two_asks_share_an_id_exactly_when_they_are_the_same_question(one: Ask, other: Ask) -> None:
    assert (one.id == other.id) == (content(one) == content(other))


@given(asks, st.data())
def test_any_part_that_changes_the_answer_changes_the_id(ask: Ask, data: st.DataObject) -> None:
    changes: dict[str, st.SearchStrategy[Any]] = {
        "model": words,
        "messages": st.lists(messages, max_size=3).map(tuple),
        "sampling": samplings,
        "schema": schemas,
        "draw": st.integers(0, 20),
    }
    name = data.draw(st.sampled_from(sorted(changes)))
    changed = replace(ask, **{name: data.draw(changes[name])})
    assert (changed.id == ask.id) == (content(changed) == content(ask))


@given(asks, st.sampled_from(PURPOSES))
def test_the_purpose_is_a_label_only(ask: Ask, purpose: Purpose) -> None:
    assert replace(ask, purpose=purpose).id == ask.id


@given(asks)
def test_keys_of_a_schema_have_no_order(ask: Ask) -> None:
    turned = None if ask.schema is None else dict(reversed(list(ask.schema.items())))
    assert replace(ask, schema=turned).id == ask.id


@given(words, words, words)
def test_text_cannot_move_from_one_message_to_the_next(one: str, two: str, three: str) -> None:
    def talk(*texts: str) -> str:
        return Ask("m", tuple(Message("user", text) for text in texts), Sampling()).id

    assert (talk(one + two, three) == talk(one, two + three)) == (two == "")


@given(asks)
def test_the_seed_of_a_request_fits_every_server(ask: Ask) -> None:
    assert 0 <= ask.request_seed < 2**31
    assert ask.request_seed == replace(ask, purpose="level").request_seed


@given(st.integers(1, 65535), st.floats(1, 600), st.integers(1, 50))
def test_neither_address_nor_patience_is_part_of_an_identity(port: int, timeout: float, attempts: int) -> None:
    settings = TeacherSettings(timeout_seconds=timeout, attempts=attempts)
    there = make(f"openai:m@http://127.0.0.1:{port}/v1", settings)
    assert there.model == make("openai:m", TeacherSettings()).model == "openai:m"


CODE = """
import json, sys
from thousandfold.gen.teachers.base import Ask, Message, Sampling
for line in sys.stdin:
    model, messages, sampling, schema, draw = json.loads(line)
    print(Ask(model, tuple(Message(*m) for m in messages), Sampling(*sampling), schema, draw).id)
"""


def test_ids_are_the_same_in_another_process() -> None:
    examples: list[tuple[str, Any, Any, Any, int]] = [
        ("openai:gpt-5-mini", [["user", "Hello."]], [None, 2048, 1], None, 0),
        (
            "rehearsal-teacher?hollow=0.5",
            [["system", "“S”"], ["user", "🙂\0\ud800"]],
            [0.7, 16, 0],
            {"b": 1, "a": []},
            3,
        ),
        ("", [], [2.0, 1, 2**31 - 1], {}, 7),
    ]
    here = [
        Ask(model, tuple(Message(*m) for m in talk), Sampling(*sampling), schema, draw).id
        for model, talk, sampling, schema, draw in examples
    ]
    for seed in ("1", "2"):
        there = subprocess.run(
            [sys.executable, "-c", CODE], input="\n".join(map(json.dumps, examples)), env={"PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert there.stdout.split() == here
    assert here[0] == "a-9c823db52dae9db90b45175273984c15"  # any other, and all ledgers would be paid for again
