"""files → seeds: read the hand-written exemplars, check them, and say which lineages are sealed as held-out.

Row by row, but for the ids (all rows) and the split (all seeds of a facet).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from .errors import RecipeError
from .lineages import lineages
from .recipe import Recipe
from .tables import SEEDS, frame, tagged_id
from .text import storable

FRONT_KEYS = ("id", "facet", "because", "reason", "levels", "author", "licence", "source")
ROLES = ("system", "user", "assistant")
_FRONT = re.compile(r"---[ \t]*\n(.*?)^---[ \t]*(?:\n|\Z)", re.MULTILINE | re.DOTALL)
_TURN = re.compile(r"^## (\w+)[ \t]*$", re.MULTILINE)


class _Place(NamedTuple):
    """Where a seed stands, for messages."""

    path: Path
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


def read_seeds(recipe: Recipe) -> pl.DataFrame:
    """All seeds of the recipe as a `SEEDS` frame plus one String column per axis (null where not given).

    Sorted by id. Raises RecipeError naming file and line.
    """
    placed = list(_rows(recipe))
    if not placed:
        raise RecipeError(
            what=f"{recipe.path / 'seeds'} holds no seed (*.md or *.jsonl)",
            why="every context descends from a hand-written exemplar",
            do="write one as seeds/<name>.md: front matter, then `## user` and `## assistant` turns",
        )
    _check_ids(placed)
    rows = sorted((row for _, row in placed), key=lambda row: str(row["id"]))
    _split(rows, recipe)
    schema = {**SEEDS, **{axis: pl.String for axis in recipe.axes if axis != "facet"}}
    return frame([{name: row[name] for name in schema} for row in rows], schema)


def _rows(recipe: Recipe) -> Iterator[tuple[_Place, dict[str, Any]]]:
    for name, data in recipe.files.items():
        path = recipe.path / name
        if name.startswith("seeds/") and path.suffix == ".md":
            yield _Place(path, 1), _markdown(path, decoded(path, data), recipe)
        elif name.startswith("seeds/"):
            yield from _jsonl(path, decoded(path, data), recipe)


def read_text(path: Path) -> str:
    """The file's text; RecipeError with line and byte where it is not UTF-8."""
    return decoded(path, path.read_bytes())


def decoded(path: Path, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise RecipeError(
            what=f"{path}:{line} is not UTF-8: byte 0x{data[error.start]:02x}",
            why="a seed is shown to teachers letter for letter",
            do="save the file as UTF-8",
        ) from None


def _markdown(path: Path, text: str, recipe: Recipe) -> dict[str, Any]:
    front, body, first_line = _front_matter(text, path)
    parts = _TURN.split(body)
    if parts[0].strip():
        raise _not_a_conversation(_Place(path, first_line), f"text before the first turn: {parts[0].strip()[:60]!r}")
    messages = []
    line = first_line + parts[0].count("\n")
    for role, content in zip(parts[1::2], parts[2::2], strict=True):
        messages.append({"role": role, "content": content.strip()})
        _check_turn(messages, _Place(path, line))
        line += content.count("\n")
    return _seed(front, messages, recipe, place=_Place(path, 1), default_id=path.stem)


def _front_matter(text: str, path: Path) -> tuple[dict[str, Any], str, int]:
    """(fields, body, the body's first line number); no front matter is no fields."""
    import yaml

    if text.partition("\n")[0].rstrip() != "---":
        return {}, text, 1
    found = _FRONT.match(text)
    if found is None:
        raise RecipeError(
            what=f"{path}:1 opens its front matter with --- and never closes it",
            why="the turns would be read as front matter",
            do="close it with a line of three dashes",
        )
    try:
        # BaseLoader keeps every scalar a string: `no` stays "no", a date stays text.
        fields = yaml.load(found[1], Loader=yaml.BaseLoader) or {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise RecipeError(
            what=f"{path}:{2 + mark.line if mark else 1}: the front matter is not valid YAML: "
            f"{getattr(error, 'problem', None) or error}",
            why="facet and levels are read from it",
            do='write key: "value" lines, with quotes around a value that holds a colon',
        ) from None
    if not isinstance(fields, dict):
        raise RecipeError(
            what=f"{path}:2: the front matter is a {type(fields).__name__}, not key: value lines",
            why="facet and levels are read from it by name",
            do=f"write lines such as facet: …; the keys are {', '.join(FRONT_KEYS)}",
        )
    return fields, text[found.end() :], found[0].count("\n") + 1


def _jsonl(path: Path, text: str, recipe: Recipe) -> Iterator[tuple[_Place, dict[str, Any]]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        place = _Place(path, number)
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:  # also numbers too long and lists too deep for Python
            trouble: object = "it is nested too deeply" if isinstance(error, RecursionError) else error
            if isinstance(error, json.JSONDecodeError):
                trouble = f"{error.msg} at column {error.colno}"
            raise RecipeError(
                what=f"{place} is not valid JSON: {trouble}",
                why="a .jsonl file has one JSON object on each line",
                do="mend that line",
            ) from None
        if not isinstance(record, dict):
            raise _not_a_conversation(place, f"the line holds a {type(record).__name__}, not an object")
        yield place, _from_record(record, recipe, place)


def _from_record(record: Mapping[str, Any], recipe: Recipe, place: _Place) -> dict[str, Any]:
    if "messages" in record:
        turns = record["messages"]
        if not isinstance(turns, list) or not all(
            isinstance(t, dict) and isinstance(t.get("role"), str) and isinstance(t.get("content"), str) for t in turns
        ):
            raise _not_a_conversation(place, "messages is not a list of objects with role and content")
        messages: list[dict[str, str]] = []
        for turn in turns:
            messages.append({"role": turn["role"], "content": turn["content"].strip()})
            _check_turn(messages, place)
    else:
        messages = _from_instruction(record, place)
    front = {key: record[key] for key in FRONT_KEYS if record.get(key) is not None}
    content_id = tagged_id("s", json.dumps(messages, sort_keys=True, ensure_ascii=True))
    return _seed(front, messages, recipe, place=place, default_id=content_id)


def _from_instruction(record: Mapping[str, Any], place: _Place) -> list[dict[str, str]]:
    """`instruction`, `input`, `output`: flat, or the first of nested `instances`."""
    source: Mapping[str, Any] = record
    instances = record.get("instances")
    if isinstance(instances, list) and instances and isinstance(instances[0], dict):
        source = {**instances[0], "instruction": record.get("instruction")}
    instruction, answer = source.get("instruction"), source.get("output")
    given = source.get("input") or ""
    if not (isinstance(instruction, str) and isinstance(answer, str) and isinstance(given, str)):
        raise _not_a_conversation(place, f"its keys are {', '.join(sorted(map(str, record)))[:200] or 'none'}")
    question = f"{instruction.strip()}\n\n{given.strip()}".strip()
    messages: list[dict[str, str]] = []
    for role, content in (("user", question), ("assistant", answer.strip())):
        messages.append({"role": role, "content": content})
        _check_turn(messages, place)
    return messages


def _seed(
    front: Mapping[str, Any], messages: list[dict[str, str]], recipe: Recipe, *, place: _Place, default_id: str
) -> dict[str, Any]:
    unknown = sorted(set(front) - set(FRONT_KEYS))
    if unknown:
        raise RecipeError(
            what=f"{place}: unknown key {unknown[0]!r} in a seed",
            why="a key that is not read would be silently without effect",
            do=f"use {', '.join(FRONT_KEYS)}; axis levels stand under levels",
        )
    if not messages or messages[-1]["role"] != "assistant":
        last = messages[-1]["role"] if messages else "nothing"
        raise _not_a_conversation(place, f"it ends with {last}")
    messages = [{"role": m["role"], "content": storable(m["content"])} for m in messages]
    levels = front.get("levels") or {}
    texts = {key: _text(front.get(key), key, place) for key in FRONT_KEYS if key != "levels"}
    because = texts["because"]
    if because is not None and because not in messages[-1]["content"]:
        raise RecipeError(
            what=f"{place}: because = {because[:60]!r} is not in the last assistant turn",
            why="the reason is shown as a span of the answer, letter for letter",
            do="copy it from the last turn exactly, on one line",
        )
    seed_id = texts["id"] or default_id
    row = {
        "id": seed_id,
        "lineage": seed_id,
        "messages": messages,
        "because": because,
        "reason": texts["reason"],
        "source": texts["source"] or place.path.name,
        "author": texts["author"],
        "licence": texts["licence"] or recipe.settings.licence,
        "facet": _facet(texts["facet"], levels, recipe, place),
    }
    return {**row, **_levels(levels, recipe, place)}


def _text(value: Any, key: str, place: _Place) -> str | None:
    """A front field as text, None where it is not given or blank; numbers (ids of other data sets) are text too."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise RecipeError(
            what=f"{place}: {key} = {str(value)[:60]!r} is a {type(value).__name__}",
            why="it is kept as text beside the seed",
            do=f'write {key}: "one line of text", or leave it out',
        )
    return storable(str(value)).strip() or None


def _facet(given: str | None, levels: Any, recipe: Recipe, place: _Place) -> str:
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


def _levels(levels: Any, recipe: Recipe, place: _Place) -> dict[str, str | None]:
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


def _check_turn(messages: Sequence[Mapping[str, str]], place: _Place) -> None:
    turn = messages[-1]
    before = messages[-2]["role"] if len(messages) > 1 else None
    if turn["role"] not in ROLES:
        raise _not_a_conversation(place, f"a turn is headed {turn['role']!r}")
    if not turn["content"]:
        raise _not_a_conversation(place, f"the {turn['role']} turn is empty")
    expected = {None: ("system", "user"), "system": ("user",), "user": ("assistant",), "assistant": ("user",)}[before]
    if turn["role"] not in expected:
        after = f"after {before}" if before else "first"
        raise _not_a_conversation(place, f"{turn['role']} comes {after}")


def _not_a_conversation(place: _Place, found: str) -> RecipeError:
    return RecipeError(
        what=f"{place} is not a conversation: {found}",
        why="a seed is an optional system turn, then user and assistant in turn, ending with assistant",
        do="head the turns `## user` and `## assistant` (.md), or give messages, or instruction and output (.jsonl)",
    )


def _check_ids(placed: Sequence[tuple[_Place, Mapping[str, Any]]]) -> None:
    first: dict[str, _Place] = {}
    for place, row in placed:
        if row["id"] in first:
            raise RecipeError(
                what=f"{place}: the seed id {row['id']!r} is that of {first[row['id']]} already",
                why="every row names its seed by id",
                do="rename the file or give each an id of its own; of .jsonl lines with the same turns, drop one",
            )
        first[row["id"]] = place


def _split(rows: list[dict[str, Any]], recipe: Recipe) -> None:
    """Gives each seed its lineage, and marks it train or heldout; near-copies are one lineage and on one side.

    A seed on what training never sees (a sealed level, a withheld tuple, a combination without the value) is held-out
    with its lineage. A facet with at least four seeds and fewer held-out ones than `heldout.share` of them (one at
    least, half at most) gives those whose lineages hash lowest, so that held-out contexts have lineages of their own.
    """
    share, never = recipe.settings.heldout.share, [*recipe.withheld, *recipe.settings.heldout.control]
    for row, first in zip(rows, lineages([row["messages"] for row in rows]), strict=True):
        row["lineage"] = rows[first]["id"]
    sealed = {
        row["lineage"]
        for row in rows
        if any(row.get(axis) in recipe.sealed_of(axis) for axis in recipe.axes)
        or any(partial.items() <= row.items() for partial in never)
    }
    for facet in recipe.levels["facet"]:
        own = [str(row["lineage"]) for row in rows if row["facet"] == facet]
        wanted = min(max(1, round(share * len(own))), len(own) // 2) if share and len(own) >= 4 else 0
        free = sorted({*own} - sealed, key=lambda lineage: tagged_id("split", lineage))
        for lineage in free[:-1]:  # one is left to training
            if sum(other in sealed for other in own) < wanted:
                sealed.add(lineage)
    for row in rows:
        row["split"] = "heldout" if row["lineage"] in sealed else "train"
