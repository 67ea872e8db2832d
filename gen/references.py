"""texts that tics are measured against: the assistant's words in messages, in tables, in files that a person names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from .errors import RecipeError

TEXT_KEYS = ("output", "response", "completion", "answer", "text")
"""Where a record without `messages` has its text, the first that is there."""

_BLANK_LINES = re.compile(r"\n[ \t\r]*\n\s*")


def answers(rows: pl.DataFrame) -> pl.Series:
    """What the assistant says in `messages`, its turns joined by newlines; one string per row."""
    turns = pl.col("messages").list.eval(
        pl.element().struct.field("content").filter(pl.element().struct.field("role") == "assistant")
    )
    return rows.select(turns.list.join("\n")).to_series()


def texts_in(path: Path, data: bytes) -> list[str]:
    """The texts of a reference file: `.jsonl` and `.json` hold records, any other file texts parted by blank lines.

    A record is a string, has `messages` (the assistant's turns count), `instances` (as self-instruct has them), or one
    of `TEXT_KEYS`. Raises RecipeError, naming the line or record, for what cannot be read so, and for a file
    without any text.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise RecipeError(
            what=f"{path}:{line} is not UTF-8: byte 0x{data[error.start]:02x}",
            why="its words are counted",
            do="save the file as UTF-8",
        ) from error
    if path.suffix in (".jsonl", ".json"):
        found = [said for place, record in _records(path, text) for said in _said(record, place)]
    else:
        found = [part.strip() for part in _BLANK_LINES.split(text)]
    found = [said for said in found if said.strip()]
    if not found:
        raise RecipeError(
            what=f"{path} holds no text",
            why="tics are measured against what it says",
            do="give a text file (texts parted by blank lines), or a .jsonl file of records with messages or output",
        )
    return found


def _records(path: Path, text: str) -> Iterator[tuple[str, Any]]:
    """(place, record) of each line of a .jsonl file, each item of a .json file."""
    try:
        if path.suffix == ".json":
            whole = json.loads(text)
            records = whole if isinstance(whole, list) else [whole]
            yield from ((f"{path}: record {number}", record) for number, record in enumerate(records))
            return
        for number, line in enumerate(text.split("\n"), 1):
            place = f"{path}:{number}"
            if line.strip():
                yield place, json.loads(line)
    except (ValueError, RecursionError) as error:
        where = place if path.suffix == ".jsonl" else str(path)
        raise RecipeError(
            what=f"{where} is not JSON: {error}",
            why="a .jsonl file holds one JSON record a line, a .json file a list of them",
            do="mend it, or name a text file .txt",
        ) from error


def _said(record: Any, place: str) -> list[str]:
    if isinstance(record, str):
        return [record]
    if isinstance(record, Mapping):
        turns = record.get("messages")
        if isinstance(turns, list) and all(isinstance(turn, Mapping) for turn in turns):
            said = [turn.get("content") for turn in turns if turn.get("role") == "assistant"]
            return ["\n".join(part for part in said if isinstance(part, str))]
        instances = record.get("instances")
        if isinstance(instances, list):
            return [said for instance in instances for said in _said(instance, place)]
        for key in TEXT_KEYS:
            if isinstance(record.get(key), str):
                return [record[key]]
    raise RecipeError(
        what=f"{place} has no text: neither messages nor any of {', '.join(TEXT_KEYS)}",
        why="each record holds one text to compare with",
        do="give it one of those, or take the record out",
    )
