"""files → conversations that people wrote: read and checked whole, before anything is stored or asked. Row by row.

`.jsonl`, `.csv` or `.parquet`, or a frame. A row holds `messages`; or `instruction`, `input`, `output`; or `prompt`
(or `question`) and `response` (or `completion`, `answer`). Beside them `facet`, `because`, `source`, `licence`, `id`,
and levels: a column for each axis, or an object `levels`.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import polars as pl

from .conversations import (
    Place,
    checked_because,
    content_id,
    decoded,
    facet_of,
    json_lines,
    json_value,
    levels_of,
    messages_of,
    not_a_conversation,
    text_of,
    whole,
)
from .errors import RecipeError
from .recipe import Recipe
from .tables import frame, people_schema

File: TypeAlias = str | Path | pl.DataFrame
Drafts: TypeAlias = File | Sequence[File]

SUFFIXES = (".jsonl", ".csv", ".parquet")
DELIMITERS = (",", ";", "\t")
PROMPTS = ("prompt", "question")
RESPONSES = ("response", "completion", "answer")
TEXTS = ("facet", "because", "source", "licence", "id")
READ = frozenset({"messages", "instruction", "input", "output", "instances", *PROMPTS, *RESPONSES, *TEXTS, "levels"})


def read_people(drafts: Drafts, recipe: Recipe) -> pl.DataFrame:
    """A PEOPLE frame with one column per axis, sorted by id: what several files bring, each text once.

    Of the same text twice the later counts. A row that names no facet is refused where the recipe has several, as is
    a level that the recipe does not have; a level that is missing is null. Raises RecipeError with file, place and
    value for the first row that cannot be used, and for a file that holds none.
    """
    rows: dict[str, dict[str, Any]] = {}
    for one in _files(drafts):
        found = [_row(record, recipe, place) for place, record in _records(one)]
        if not found:
            raise RecipeError(
                what=f"{_path_of(one)} holds no conversation",
                why="a run was asked to take in what people wrote",
                do="fill the file, or leave --drafts out",
            )
        rows.update((row["id"], row) for row in found)
    return frame((rows[row_id] for row_id in sorted(rows)), people_schema(recipe.axes))


def columns_not_read(drafts: Drafts, recipe: Recipe) -> list[str]:
    """Names in the files that say nothing here, sorted: kept nowhere, so that whoever brings them can be told."""
    names = {str(name) for one in _files(drafts) for _, record in _records(one) for name in record}
    return sorted(names - READ - set(recipe.axes))


def _files(drafts: Drafts) -> Sequence[File]:
    return [drafts] if isinstance(drafts, str | Path | pl.DataFrame) else drafts


def _path_of(one: File) -> Path:
    return Path("the frame") if isinstance(one, pl.DataFrame) else Path(one)


def _records(one: File) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    path = _path_of(one)
    if isinstance(one, pl.DataFrame):
        return _rows_of(one, path)
    if path.suffix not in SUFFIXES:
        raise RecipeError(
            what=f"{path} ends in {path.suffix or 'nothing'}",
            why="the ending says how its conversations are laid out",
            do=f"give a file that ends in {', '.join(SUFFIXES)}",
        )
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RecipeError(
            what=f"{path} cannot be read: {error.strerror or error}",
            why="the conversations that people wrote are taken from it",
            do="mend the path, or leave --drafts out",
        ) from None
    if path.suffix == ".jsonl":
        return json_lines(path, decoded(path, data))
    if path.suffix == ".csv":
        return _csv_rows(path, decoded(path, data))
    try:
        return _rows_of(pl.read_parquet(io.BytesIO(data)), path)
    except pl.exceptions.PolarsError as error:
        raise RecipeError(
            what=f"{path} is no Parquet file: {str(error).splitlines()[0][:200]}",
            why="its ending says that it is one",
            do="write it again, or name it after what it is",
        ) from None


def _rows_of(table: pl.DataFrame, path: Path) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    for number, row in enumerate(table.iter_rows(named=True), start=1):
        yield Place(path, number, "row"), row


def _csv_rows(path: Path, text: str) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    """Rows under the names of the first line; `messages`, `instances` and `levels` are JSON, a blank cell is none."""
    delimiter = max(DELIMITERS, key=text.partition("\n")[0].count)
    for place, cells in _csv_cells(path, text, delimiter):
        row: dict[str, Any] = {name: value for name, value in cells.items() if value and value.strip()}
        for name in ("messages", "instances", "levels"):
            if name in row:
                row[name] = json_value(row[name], place)
        yield place, row


def _csv_cells(path: Path, text: str, delimiter: str) -> Iterator[tuple[Place, dict[str, str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    limit = csv.field_size_limit(len(text) + 1)  # a long conversation is one cell
    try:
        table = [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except csv.Error as error:
        raise RecipeError(
            what=f"{path}:{reader.line_num} is no CSV: {error}",
            why="nothing after it can be read for certain",
            do="mend the quotes of that line, or save the file as CSV again",
        ) from None
    finally:
        csv.field_size_limit(limit)
    names = [name.strip() for name in table[0][1]] if table else []
    for line, cells in table[1:]:
        if len(cells) != len(names):
            raise RecipeError(
                what=f"{path}:{line} has {len(cells)} cells, the first line {len(names)}",
                why="a cell would be read under another name",
                do="put quotes around cells that hold the delimiter",
            )
        yield Place(path, line), dict(zip(names, cells, strict=True))


def _row(record: Mapping[str, Any], recipe: Recipe, place: Place) -> dict[str, Any]:
    messages = whole(messages_of(_with_messages(record, place), place), place)
    levels = _levels(record, recipe, place)
    texts = {key: text_of(record.get(key), key, place) for key in TEXTS}
    return {
        "id": content_id("d", messages, "people"),
        "facet": facet_of(texts["facet"], levels, recipe, place),
        "messages": messages,
        "because": checked_because(texts["because"], messages, place),
        "source": texts["source"] or place.path.name,
        "licence": texts["licence"],
        "given_id": texts["id"],
        "file": place.path.name,
        **levels_of(levels, recipe, place),
    }


def _with_messages(record: Mapping[str, Any], place: Place) -> Mapping[str, Any]:
    """The record with `messages`, where it has a prompt and a response: texts, or lists of turns as TRL writes them."""
    given = {key: value for key, value in record.items() if value is not None}
    if given.keys() & {"messages", "instruction", "instances"}:
        return given
    prompt, response = _first(given, PROMPTS), _first(given, RESPONSES)
    if prompt is None or response is None:
        raise not_a_conversation(place, f"its keys are {', '.join(sorted(map(str, given)))[:200] or 'none'}")
    return {"messages": [*_turns(prompt, "user"), *_turns(response, "assistant")]}


def _first(record: Mapping[str, Any], names: Iterable[str]) -> Any:
    return next((record[name] for name in names if name in record), None)


def _turns(value: Any, role: str) -> list[Any]:
    return value if isinstance(value, list) else [{"role": role, "content": value}]


def _levels(record: Mapping[str, Any], recipe: Recipe, place: Place) -> dict[str, Any]:
    """What the record says of levels, nested and in columns; RecipeError where the two differ."""
    nested = record.get("levels")
    if nested is not None and not isinstance(nested, Mapping):
        levels_of(nested, recipe, place)  # says what is wrong
    found = {axis: _level(level) for axis, level in (nested or {}).items()}
    for axis in recipe.axes:
        level = _level(record.get(axis))
        if level is None:
            continue
        if found.get(axis) not in (None, level):
            raise RecipeError(
                what=f"{place}: {axis} = {level!r} beside levels.{axis} = {found[axis]!r}",
                why="a conversation has one level of an axis",
                do="leave one of the two out",
            )
        found[axis] = level
    return {axis: level for axis, level in found.items() if level is not None}


def _level(value: Any) -> Any:
    """A level as text; nothing where it is blank."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = json.dumps(value)
    return (value.strip() or None) if isinstance(value, str) else value
