"""Replies: what a model wrote is read as the JSON that was asked for, or refused with one line of why."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import Field

from thousandfold.gen.replies import Reply, UnreadableReplyError, read_json, schema_of


class Note(Reply):
    title: str
    marks: tuple[int, ...] = ()
    share: float = Field(default=0.0, ge=0, le=1)


class Album(Reply):
    notes: list[Note]


GOOD = '{"title": "One", "marks": [1, 2], "share": 0.5}'
NOTE = Note(title="One", marks=(1, 2), share=0.5)


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        f"  \n{GOOD}\n\n",
        f"```json\n{GOOD}\n```",
        f"```\n{GOOD}\n```\n",
        f"```JSON\n{GOOD}```",
        f"Here it is:\n\n{GOOD}\n\nI hope it helps.",
        f"Sure! ```json\n{GOOD}\n``` as asked",
        GOOD.replace("}", ', "aside": {"mood": null}}'),
        "\ufeff" + GOOD,
        f"In the form {{title, marks}} that you want, with {{ }} around it: {GOOD}",
        f'You gave {{"kind": "note"}}, and I give {GOOD}',
        f"<think>Shall I write {{x}} or {GOOD.replace('One', 'Two')}?</think>\n{GOOD}",
        f"Hmm, {GOOD.replace('One', 'Two')} is too short.\n</think>\n\n{GOOD}",
    ],
    ids=["bare", "blanks", "fence", "plain fence", "tight fence", "prose", "prose and fence", "extra key", "mark",
         "braces in prose", "another object first", "thoughts", "the end of thoughts"],
)  # fmt: skip
def test_the_object_is_found_however_it_is_wrapped(text: str) -> None:
    assert read_json(text, Note) == NOTE


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no JSON object in the reply"),
        ("I cannot help with that.", "no JSON object in the reply"),
        ('["title"]', "no JSON object in the reply"),
        ('{"title": "On', "the JSON in the reply is broken: Unterminated string starting at"),
        ('{"title": "One",', "the JSON in the reply is broken: Expecting property name enclosed in double quotes"),
        ('{"marks": [1]}', "title: field required"),
        ('{"title": 7}', "title: input should be a valid string"),
        ('{"title": "One", "marks": [1, "x"]}', "marks.1: input should be a valid integer"),
        ('{"title": "One", "share": 1.5}', "share: input should be less than or equal to 1"),
        ('{"title": "One", "share": NaN}', "share: input should be less than or equal to 1"),
        ('{"title": "One", "share": Infinity}', "share: input should be less than or equal to 1"),
        ('{"title": "One", "marks": [' + "7" * 5000 + "]}", "the JSON in the reply is broken: Exceeds the limit"),
        ('{"title": ' + "[" * 5000 + "]" * 5000 + "}", "the JSON in the reply is nested too deeply"),
        ('{"title": ' + "[" * 100_000 + "]" * 100_000 + "}", "the JSON in the reply is nested too deeply"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_cannot_be_read_says_why(text: str, why: str) -> None:
    with pytest.raises(UnreadableReplyError) as caught:
        read_json(text, Note)
    assert str(caught.value).startswith(why)
    assert "\n" not in str(caught.value)


def test_a_place_deep_inside_is_named() -> None:
    with pytest.raises(UnreadableReplyError, match=r"^notes\.1\.title: field required$"):
        read_json('{"notes": [{"title": "a"}, {}]}', Album)


def test_raw_control_characters_in_strings_are_read() -> None:
    assert read_json('{"title": "two\nlines\tand \x07"}', Note).title == "two\nlines\tand \x07"


def test_half_a_surrogate_pair_is_replaced_wherever_it_stands() -> None:
    assert read_json('{"title": "a\\ud800b"}', Note).title == "a\ufffdb"
    assert read_json('{"title": "a\udc00b"}', Note).title == "a\ufffdb"
    assert read_json('{"notes": [{"title": "\\udfff"}]}', Album).notes[0].title == "\ufffd"


def test_a_whole_surrogate_pair_is_one_character() -> None:
    assert read_json('{"title": "\\ud83d\\ude42"}', Note).title == "🙂"


def test_braces_and_fences_inside_strings_are_text() -> None:
    title = 'a } b { c ``` "quoted" \\ d'
    assert read_json(json.dumps({"title": title}), Note).title == title


def test_the_schema_is_in_the_strict_form_that_servers_enforce() -> None:
    def objects(part: Any) -> list[dict[str, Any]]:
        inner = part.values() if isinstance(part, dict) else part if isinstance(part, list) else []
        own = [part] if isinstance(part, dict) and part.get("type") == "object" else []
        return own + [found for value in inner for found in objects(value)]

    parts = {tuple(part["properties"]): part for part in objects(schema_of(Album))}
    assert set(parts) == {("notes",), ("title", "marks", "share")}
    assert all(part["required"] == list(names) for names, part in parts.items())
    assert all(part["additionalProperties"] is False for part in parts.values())


def test_no_part_of_a_broken_object_is_taken_for_the_reply() -> None:
    with pytest.raises(UnreadableReplyError, match=r"^the JSON in the reply is broken: Expecting ',' delimiter$"):
        read_json('{"notes": [' + GOOD + " " + GOOD, Note)


def test_a_closing_tag_in_a_string_ends_no_thought() -> None:
    assert read_json('{"title": "a </think> b"}', Note) == Note(title="a </think> b")
    assert read_json('```json\n{"title": "a </think> b"}\n```', Note) == Note(title="a </think> b")


def test_many_braces_do_not_take_long() -> None:
    with pytest.raises(UnreadableReplyError):
        read_json("{" * 200_000, Note)
