"""files → texts: read what a recipe compares with: the items of a benchmark, or texts that people wrote.

`.txt` holds one text on each line; texts that were written, rather than asked, may take several lines and are parted by
blank ones. `.jsonl` holds one record on each line, `.json` a list of records. A record is a
string or an object: `messages`; `instruction`, `input`, `output` (flat, or nested in `instances`); `question`,
`prompt` or `problem` beside `answer`, `completion`, `response` or `output`; or `text` alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from .conversations import decoded
from .errors import RecipeError
from .text import storable

Part: TypeAlias = Literal["prompt", "answer", "all"]

PROMPT_KEYS = ("instruction", "question", "prompt", "problem")
"""Where a record's question may stand: the first of these that holds text."""
ANSWER_KEYS = ("output", "answer", "completion", "response")
SUFFIXES = (".txt", ".jsonl", ".json")


class _Place(NamedTuple):
    """Where a record stands, for messages."""

    path: Path
    where: str  # ":12" for a line, ": record 12" in a list

    def __str__(self) -> str:
        return f"{self.path}{self.where}"


class _Record(NamedTuple):
    """What was asked and what was answered, None where it is not there; a text that is neither stands for both."""

    prompt: str | None
    answer: str | None
    text: str | None = None

    def part(self, part: Part) -> str | None:
        if self.text is not None:
            return self.text
        wanted = {"prompt": [self.prompt], "answer": [self.answer], "all": [self.prompt, self.answer]}[part]
        return _joined(wanted, "\n\n")


def texts_of(path: str | Path, data: bytes | None = None, *, part: Part = "prompt") -> list[str]:
    """One text per record of the file, in its order: what was asked, what was answered, or both.

    `data` is the file's content where it was read already (a recipe's files are read once). Turns of a
    conversation are joined by newlines, an instruction and its input by a blank line; blank lines of the file
    are no records, a record whose field is blank is an empty text. Raises RecipeError naming file and line where
    the file cannot be read, is not UTF-8 or JSON, or a record has no such part.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise RecipeError(
            what=f"{path} ends in {path.suffix or 'nothing'}",
            why="the ending says how its texts are laid out",
            do="give a .txt file (one text on each line), or .jsonl or .json records",
        )
    text = decoded(path, _content(path) if data is None else data, why="texts are compared word by word")
    found = [_text(record, place, part) for place, record in _records(path, text, part)]
    if not found:
        raise RecipeError(
            what=f"{path} holds no text",
            why="a comparison with nothing finds nothing, and looks like a clean result",
            do="fill the file, or take it out of the recipe",
        )
    return found


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RecipeError(
            what=f"{path} cannot be read: {error.strerror or error}",
            why="the recipe compares with the texts in it",
            do="mend the path, or take the file out of the recipe",
        ) from None


def _records(path: Path, text: str, part: Part) -> Iterator[tuple[_Place, Any]]:
    if path.suffix == ".txt" and part == "answer":
        blocks = re.split(r"\n[ \t]*\n", text)
        yield from ((_Place(path, f": text {n}"), block) for n, block in enumerate(blocks, start=1) if block.strip())
        return
    if path.suffix == ".json":
        records = _json(text, path, 1)
        if not isinstance(records, list):
            raise RecipeError(
                what=f"{path}:1 holds a {type(records).__name__}, not a list",
                why="a .json file is one list of records",
                do="write [ … ] around them, or name a file of one record on each line .jsonl",
            )
        yield from ((_Place(path, f": record {number}"), record) for number, record in enumerate(records, start=1))
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield _Place(path, f":{number}"), line.strip() if path.suffix == ".txt" else _json(line, path, number)


def _json(text: str, path: Path, line: int) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # also numbers too long and lists too deep for Python
        trouble: object = "it is nested too deeply" if isinstance(error, RecursionError) else error
        if isinstance(error, json.JSONDecodeError):
            line += error.lineno - 1
            trouble = f"{error.msg} at column {error.colno}"
        raise RecipeError(
            what=f"{path}:{line} is not valid JSON: {trouble}",
            why="its records are read as JSON",
            do="mend that line",
        ) from None


def _text(record: Any, place: _Place, part: Part) -> str:
    found = _record(record).part(part)
    if found is not None:
        return storable(found).strip()
    seen = "holds the keys " + ", ".join(map(str, record)) if isinstance(record, dict) else f"is {record!r}"
    wanted = {"prompt": "nothing that was asked", "answer": "no answer", "all": "no text"}[part]
    raise RecipeError(
        what=f"{place} has {wanted}: it {seen[:200]}",
        why="every record is compared by its text",
        do=f"give a string, or an object with messages, text, {', '.join((*PROMPT_KEYS, *ANSWER_KEYS))}",
    )


def _record(record: Any) -> _Record:
    if not isinstance(record, Mapping):
        return _Record(None, None, record if isinstance(record, str) else None)
    instances = record.get("instances")
    if isinstance(instances, list) and instances and isinstance(instances[0], Mapping):
        record = {**instances[0], **record}
    if isinstance(record.get("messages"), list):
        return _Record(_turns(record["messages"], "user"), _turns(record["messages"], "assistant"))
    prompt = _joined([_first(record, PROMPT_KEYS, "user"), _first(record, ("input",), "user")], "\n\n")
    answer = _first(record, ANSWER_KEYS, "assistant")
    return _Record(prompt, answer, _first(record, ("text", "content"), "user") if prompt is answer is None else None)


def _first(record: Mapping[str, Any], keys: tuple[str, ...], role: str) -> str | None:
    """The first of these keys that holds text; a list of turns is the text of one role (as TRL writes a prompt)."""
    values = (record.get(key) for key in keys)
    said = [_turns(value, role) if isinstance(value, list) else value for value in values]
    texts = [text.strip() for text in said if isinstance(text, str)]
    return next(filter(None, texts), texts[0] if texts else None)


def _turns(turns: list[Any], role: str) -> str | None:
    said = [turn.get("content") for turn in turns if isinstance(turn, Mapping) and turn.get("role") == role]
    return _joined([content if isinstance(content, str) else None for content in said], "\n")


def _joined(parts: list[str | None], between: str) -> str | None:
    """The parts that say something; None where there is no part at all."""
    present = [part.strip() for part in parts if part is not None]
    return between.join(filter(None, present)) if present else None
