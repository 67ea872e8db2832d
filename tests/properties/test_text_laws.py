"""Text of any kind: stored, shown, rendered into a prompt and read back, it is what it was, or safely less."""

from __future__ import annotations

import json
import re
import unicodedata
from functools import cache
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from thousandfold.gen.replies import Reply, UnreadableReplyError, read_json
from thousandfold.gen.text import conversation_text, on_screen, redacted, storable
from thousandfold.prompts import NAMES, Prompt, as_data, load

anything = st.text(st.characters(), max_size=200)
plain = st.text(max_size=200)  # no lone surrogates
marked = st.lists(
    plain
    | st.sampled_from(["<conversation>", "</card>", "< / VALUE >", "<levels x=1>", "\n[user]\n", "[assistant]", "<"]),
    max_size=6,
).map("".join)


WRAPPINGS = ("%", "```json\n%\n```", "Here: % .", "\n%\n")
DIRECTION_MARKS = {"LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"}


class Box(Reply):
    text: str
    more: tuple[str, ...] = ()


@cache
def shipped(name: str) -> Prompt:
    return load(name)


# ── storing and showing ──


@given(anything)
def test_storable_text_is_utf8_of_the_same_length(text: str) -> None:
    safe = storable(text)
    assert len(safe) == len(text)
    assert storable(safe.encode().decode()) == safe
    assert all(a == b or "\ud800" <= b <= "\udfff" for a, b in zip(safe, text, strict=True))


@given(anything)
def test_a_screen_gets_no_control_and_no_direction_mark(text: str) -> None:
    shown = on_screen(text)
    assert len(shown) == len(text)
    assert {c for c in shown if unicodedata.category(c) == "Cc"} <= {"\n", "\t"}
    assert not {c for c in shown if unicodedata.bidirectional(c) in DIRECTION_MARKS}
    assert on_screen(shown) == shown


@given(anything, st.integers(1, 60))
def test_a_line_on_a_screen_is_one_line_of_that_width(text: str, width: int) -> None:
    line = on_screen(text, width=width)
    assert len(line) <= width
    assert line.splitlines() in ([line], [])
    assert on_screen(line, width=width) == line


@given(plain, plain, st.text(st.characters(categories=["L", "N"]), min_size=8, max_size=40))
def test_a_key_is_in_no_message(before: str, after: str, key: str) -> None:
    said = redacted(f"{before}{key}{after}", key=key)
    assert key not in said or key in "[redacted]"
    assert len(said) <= 500


# ── rendering ──


@given(st.sampled_from(NAMES), st.data())
def test_every_field_arrives_letter_for_letter(name: str, data: st.DataObject) -> None:
    fields = re.findall(r"(?<!\{)\{(\w+)\}", shipped(name).sections[-1][1])
    values = {field: data.draw(anything, label=field) for field in fields}
    marked_places = shipped(name).render(**{field: f"\0{field}\0" for field in fields})
    expected = [(role, re.sub("\0(\\w+)\0", lambda m: values[m[1]], text)) for role, text in marked_places]
    assert shipped(name).render(**values) == expected


@given(marked)
def test_neutral_text_holds_none_of_our_tags_and_differs_in_nothing_else(text: str) -> None:
    neutral = as_data(text)
    assert len(neutral) == len(text)
    assert as_data(neutral) == neutral
    assert all(a == b or (b, a) == ("<", "‹") for a, b in zip(neutral, text, strict=True))
    for tag in ("conversation", "card", "value", "levels"):
        assert f"<{tag}>" not in neutral
        assert f"</{tag}>" not in neutral


@given(st.lists(st.tuples(st.sampled_from(["user", "assistant"]), marked), max_size=4))
def test_a_conversation_shows_as_many_turns_as_it_has(turns: list[tuple[str, str]]) -> None:
    shown = conversation_text([{"role": role, "content": text} for role, text in turns])
    marks = [line for line in shown.split("\n") if line in {"[user]", "[assistant]", "[system]"}]
    assert marks == [f"[{role}]" for role, _ in turns]
    assert "</conversation>" not in shown


# ── reading ──


halves = st.lists(plain | st.just("\udc00"), max_size=4).map("".join)  # never two that make a pair


@given(halves, st.lists(halves, max_size=3), st.booleans(), st.sampled_from(WRAPPINGS))
def test_what_was_written_as_json_is_read_as_it_was(text: str, more: list[str], ascii_only: bool, wrap: str) -> None:
    written = json.dumps({"text": text, "more": more}, ensure_ascii=ascii_only)
    assert read_json(wrap.replace("%", written), Box) == Box(text=storable(text), more=tuple(map(storable, more)))


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | anything,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(anything, inner, max_size=3),
    max_leaves=10,
)


@given(anything | json_values.map(json.dumps))
def test_any_reply_at_all_is_read_or_refused_in_one_line(text: str) -> None:
    try:
        said = read_json(text, Box).text
    except UnreadableReplyError as error:
        said = str(error)
        assert len(said.splitlines()) == 1
    said.encode()
