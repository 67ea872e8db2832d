"""records → conversations: the shapes in which a conversation may be written down, and what is said where one is not.

A record holds `messages`; or `instruction`, `input`, `output` (flat, or nested in `instances`). Seeds and what people
bring are read alike, row by row.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .errors import RecipeError
from .recipe import Recipe
from .tables import tagged_id
from .text import storable

ROLES = ("system", "user", "assistant")


class Place(NamedTuple):
    """Where a conversation stands, for messages: a file and its line, or a row of it where lines say nothing."""

    path: Path
    line: int
    unit: str = "line"

    def __str__(self) -> str:
        return f"{self.path}:{self.line}" if self.unit == "line" else f"{self.path}: {self.unit} {self.line}"


def read_text(path: Path) -> str:
    """The file's text; RecipeError with line and byte where it is not UTF-8."""
    return decoded(path, path.read_bytes())


def decoded(path: Path, data: bytes, *, why: str = "its text is used letter for letter") -> str:
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise RecipeError(
            what=f"{path}:{line} is not UTF-8: byte 0x{data[error.start]:02x}",
            why=why,
            do="save the file as UTF-8",
        ) from None


def json_lines(path: Path, text: str) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Each line's object and its place; blank lines are none."""
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        place = Place(path, number)
        record = json_value(line, place)
        if not isinstance(record, dict):
            raise not_a_conversation(place, f"the line holds a {type(record).__name__}, not an object")
        yield place, record


def json_value(text: str, place: Place) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # also numbers too long and lists too deep for Python
        trouble: object = "it is nested too deeply" if isinstance(error, RecursionError) else error
        if isinstance(error, json.JSONDecodeError):
            trouble = f"{error.msg} at column {error.colno}"
        raise RecipeError(
            what=f"{place} is not valid JSON: {trouble}",
            why="a .jsonl file has one JSON object on each line",
            do="mend that line",
        ) from None


def messages_of(record: Mapping[str, Any], place: Place) -> list[dict[str, str]]:
    """The turns of a record, each stripped and checked against the one before it. RecipeError for what is none."""
    if "messages" not in record:
        return _from_instruction(record, place)
    turns = record["messages"]
    if not isinstance(turns, list) or not all(
        isinstance(t, dict) and isinstance(t.get("role"), str) and isinstance(t.get("content"), str) for t in turns
    ):
        raise not_a_conversation(place, "messages is not a list of objects with role and content")
    return checked_turns(((turn["role"], turn["content"]) for turn in turns), place)


def checked_turns(turns: Iterator[tuple[str, str]], place: Place) -> list[dict[str, str]]:
    messages: list[dict[str, str]] = []
    for role, content in turns:
        messages.append({"role": role, "content": content.strip()})
        check_turn(messages, place)
    return messages


def whole(messages: Sequence[Mapping[str, str]], place: Place) -> list[dict[str, str]]:
    """The turns as UTF-8 can hold them, if they end with an answer."""
    if not messages or messages[-1]["role"] != "assistant":
        last = messages[-1]["role"] if messages else "nothing"
        raise not_a_conversation(place, f"it ends with {last}")
    return [{"role": m["role"], "content": storable(m["content"])} for m in messages]


def content_id(tag: str, messages: Sequence[Mapping[str, str]], *more: str) -> str:
    return tagged_id(tag, *more, json.dumps(list(messages), sort_keys=True, ensure_ascii=True))


def _from_instruction(record: Mapping[str, Any], place: Place) -> list[dict[str, str]]:
    """`instruction`, `input`, `output`: flat, or the first of nested `instances`."""
    source: Mapping[str, Any] = record
    instances = record.get("instances")
    if isinstance(instances, list) and instances and isinstance(instances[0], dict):
        source = {**instances[0], "instruction": record.get("instruction")}
    instruction, answer = source.get("instruction"), source.get("output")
    given = source.get("input") or ""
    if not (isinstance(instruction, str) and isinstance(answer, str) and isinstance(given, str)):
        raise not_a_conversation(place, f"its keys are {', '.join(sorted(map(str, record)))[:200] or 'none'}")
    question = f"{instruction.strip()}\n\n{given.strip()}".strip()
    return checked_turns(iter([("user", question), ("assistant", answer)]), place)


def checked_because(because: str | None, messages: Sequence[Mapping[str, str]], place: Place) -> str | None:
    if because is not None and because not in messages[-1]["content"]:
        raise RecipeError(
            what=f"{place}: because = {because[:60]!r} is not in the last assistant turn",
            why="the reason is shown as a span of the answer, letter for letter",
            do="copy it from the last turn exactly, on one line",
        )
    return because


def text_of(value: Any, key: str, place: Place) -> str | None:
    """A field as text, None where it is not given or blank; numbers (ids of other data sets) are text too."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise RecipeError(
            what=f"{place}: {key} = {str(value)[:60]!r} is a {type(value).__name__}",
            why="it is kept as text beside the seed",
            do=f'write {key}: "one line of text", or leave it out',
        )
    return storable(str(value)).strip() or None


def facet_of(given: str | None, levels: Any, recipe: Recipe, place: Place) -> str:
    if given is None and isinstance(levels, dict):
        given = levels.get("facet")
    known = recipe.levels["facet"]
    if given is None and len(known) == 1:
        return known[0]
    if given not in known:
        raise RecipeError(
            what=f"{place}: facet = {given!r}" + ("" if given else " (none is given)"),
            why="rubrics and scores are per facet",
            do=f"write one of {', '.join(known)}",
        )
    return str(given)


def levels_of(levels: Any, recipe: Recipe, place: Place) -> dict[str, str | None]:
    """axis -> level, None where it is not given, of every axis but the facet."""
    if not isinstance(levels, dict):
        raise RecipeError(
            what=f"{place}: levels = {levels!r}",
            why="it maps axes to levels",
            do="write indented lines under levels:, such as domain: law",
        )
    for axis, level in levels.items():
        if axis not in recipe.axes:
            raise RecipeError(
                what=f"{place}: levels names the axis {axis!r}, which axes.toml does not have",
                why="a level on an unknown axis would be without effect",
                do=f"use one of {', '.join(recipe.axes)}, or add it to axes.toml",
            )
        if level not in recipe.levels[axis]:  # a list: what was given may be anything
            raise RecipeError(
                what=f"{place}: {axis} = {level!r} is not a level of that axis",
                why="seeds and contexts are matched by their levels",
                do=f"use one of {', '.join(recipe.axes[axis].levels)}, or add it to axes.toml",
            )
    return {axis: levels.get(axis) for axis in recipe.axes if axis != "facet"}


def check_turn(messages: Sequence[Mapping[str, str]], place: Place) -> None:
    """Raises RecipeError where the last of `messages` cannot follow those before it."""
    turn = messages[-1]
    before = messages[-2]["role"] if len(messages) > 1 else None
    if turn["role"] not in ROLES:
        raise not_a_conversation(place, f"a turn is headed {turn['role']!r}")
    if not turn["content"]:
        raise not_a_conversation(place, f"the {turn['role']} turn is empty")
    expected = {None: ("system", "user"), "system": ("user",), "user": ("assistant",), "assistant": ("user",)}[before]
    if turn["role"] not in expected:
        after = f"after {before}" if before else "first"
        raise not_a_conversation(place, f"{turn['role']} comes {after}")


def not_a_conversation(place: Place, found: str) -> RecipeError:
    return RecipeError(
        what=f"{place} is not a conversation: {found}",
        why="it is an optional system turn, then user and assistant in turn, ending with assistant",
        do="head the turns `## user` and `## assistant` (.md), or give messages, or instruction and output (.jsonl)",
    )
