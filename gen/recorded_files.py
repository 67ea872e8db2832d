"""A file of recorded labels and scores → its rows: CSV, TSV, JSON or JSONL, by what stands in it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .errors import RecipeError
from .text import on_screen

Row = dict[str, Any]
_FORMS = "a CSV file with a header, a JSON list of objects, or JSON lines, in UTF-8"


def read_rows(paths: Sequence[str | Path], key: str | None) -> tuple[list[Row], list[int], list[str]]:
    """(rows, the line or number of each in the first file, notes). Further files are joined to the first by `key`.

    Raises RecipeError for a file that cannot be read, and for further files without a key or with two rows of one.
    """
    rows, numbers = _rows_of(Path(paths[0]))
    notes: list[str] = []
    for path in paths[1:]:
        if key is None:
            raise RecipeError(
                what=f"{len(paths)} files were given and no column that joins them",
                why="a score in one file belongs to a label in another",
                do="name the column that both have, such as --id idx",
            )
        rows, unknown = _joined(rows, Path(path), key)
        if unknown:
            shown = ", ".join(map(_shown, unknown[:3])) + (" …" if len(unknown) > 3 else "")
            first, other = Path(paths[0]).name, Path(path).name
            notes.append(f"{len(unknown)} rows of {other} name a text by {key} that {first} lacks: {shown}")
    return rows, numbers, notes


def _joined(rows: list[Row], path: Path, key: str) -> tuple[list[Row], list[str]]:
    """The rows with what `path` says of each, and the keys in `path` that none of them has."""
    others: dict[str, Row] = {}
    more, numbers = _rows_of(path)
    for row, number in zip(more, numbers, strict=True):
        if key not in row:
            raise _wrong(
                path, f"row {number} has no {key!r}", f"name a column that every file has; it has {_names(row)}"
            )
        if str(row[key]) in others:
            raise _wrong(path, f"two rows have {key} = {_shown(row[key])}, the second is {number}", "leave one of them")
        others[str(row[key])] = row
    known = {str(row.get(key)) for row in rows}
    unknown = [own for own in others if own not in known]
    return [{**others.get(str(row.get(key)), {}), **row} for row in rows], unknown


def _rows_of(path: Path) -> tuple[list[Row], list[int]]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise _wrong(path, f"it cannot be read: {error.strerror}", f"give the path of {_FORMS}") from error
    except UnicodeDecodeError as error:
        raise _wrong(path, f"it is not UTF-8 from byte {error.start} on", "save it as UTF-8") from error
    stripped = text.lstrip()
    if stripped.startswith("["):
        found = _parsed(path, text, 1)
        rows, numbers = found, list(range(1, len(found) + 1))
    elif stripped.startswith("{"):
        lines = [(n, line) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
        rows, numbers = [_parsed(path, line, n) for n, line in lines], [n for n, _ in lines]
    else:
        rows, numbers = _csv_rows(path, text)
    for row, number in zip(rows, numbers, strict=True):
        if not isinstance(row, dict):
            raise _wrong(path, f"row {number} is {_shown(row)}, which has no columns", f"give {_FORMS}")
    if not rows:
        raise _wrong(path, "no row stands in it", f"give {_FORMS}")
    return rows, numbers


def _parsed(path: Path, text: str, line: int) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        at = getattr(error, "lineno", 1) + line - 1
        raise _wrong(path, f"line {at} is no JSON: {str(error).partition(':')[0]}", f"give {_FORMS}") from None


def _csv_rows(path: Path, text: str) -> tuple[list[Row], list[int]]:
    first = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count), strict=True)
    limit = csv.field_size_limit(len(text) + 1)
    rows: list[Row] = []
    numbers: list[int] = []
    try:
        header = [name.strip() for name in next(reader, [])]
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) > len(header):
                raise _wrong(
                    path, f"line {reader.line_num} has {len(cells)} cells, the header {len(header)}", "quote its texts"
                )
            rows.append(dict(zip(header, cells, strict=False)))
            numbers.append(reader.line_num)
    except csv.Error as error:
        raise _wrong(path, f"line {reader.line_num} is no CSV: {error}", f"give {_FORMS}") from None
    finally:
        csv.field_size_limit(limit)
    return rows, numbers


def _names(row: Row) -> str:
    return ", ".join(on_screen(str(name), width=30) for name in list(row)[:20]) or "none"


def _shown(value: Any) -> str:
    return on_screen(repr(value), width=60)


def _wrong(path: Path, problem: str, do: str) -> RecipeError:
    return RecipeError(what=f"{str(path)!r}: {problem}", why="labels and scores are read row by row", do=do)
