"""texts ↔ a CSV file for people with a spreadsheet: written so that it opens, and read as a spreadsheet saved it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import OutputError, RecipeError
from .labelbook import LEVELS
from .output import FULL, disk_trouble
from .recipe import Rubric
from .text import on_screen

COLUMNS = ("id", "facet", "text", "rubric", "level", "who")
NEEDED = ("id", "level")
DELIMITERS = (",", ";", "\t")
LONGEST_CELL = 32_000  # a spreadsheet cuts a cell at 32,767 characters
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "'")  # a cell that begins so would be computed, or is our own mark
MOST_SHOWN = 5
_LEVEL = re.compile(r"([0-4])(?:[.,]0+)?")


@dataclass(frozen=True)
class SheetRow:
    """One row in which somebody gave a level."""

    line: int
    id: str
    level: int
    who: str  # "" where the row does not say
    text: str | None  # None where the file has no such column


@dataclass(frozen=True)
class Sheet:
    """What came back: the rows with a level, and how many have none."""

    rows: list[SheetRow]
    blank: int


def cell(text: str) -> str:
    """`text` as a cell that no spreadsheet computes: one that begins with = + - @ or a quote has a quote before it."""
    clean = on_screen(text)
    return "'" + clean if clean.startswith(FORMULA) else clean


def uncell(text: str) -> str:
    """What `cell` was given."""
    return text[1:] if text.startswith("'") else text


def write_sheet(path: Path, rows: Iterable[Mapping[str, str]]) -> None:
    """Writes rows of COLUMNS to a new file. Raises OutputError where there is one already: it may hold labels."""
    made = io.StringIO(newline="")
    sheet = csv.DictWriter(made, COLUMNS, lineterminator="\r\n")
    sheet.writeheader()
    sheet.writerows({name: cell(row[name]) for name in COLUMNS} for row in rows)
    try:
        with path.open("xb") as file:
            file.write(made.getvalue().encode("utf-8-sig"))
    except FileExistsError:
        raise OutputError(
            what=f"{str(path)!r} is there already",
            why="it may hold labels that somebody has typed in and nobody has imported",
            do="give another name, or move the file away",
        ) from None
    except OSError as error:
        if error.errno in FULL:
            path.unlink(missing_ok=True)  # half a sheet would look like a whole one
            raise disk_trouble(path, error) from error
        raise OutputError(
            what=f"{str(path)!r} cannot be written: {error.strerror}",
            why="the sheet is written there",
            do="give a path that you may write",
        ) from error


def read_sheet(path: Path) -> Sheet:
    """What stands in a sheet. Raises RecipeError with the line for anything that is not as it should be."""
    table = list(_records(_text_of(path), path))
    if not table or not any(name for name in table[0][1]):
        raise _wrong(
            path, "it is empty", "fill the level column of a sheet that `thousandfold label OUT --export` wrote"
        )
    header = [name.strip().lower() for name in table[0][1]]
    _check_header(path, header)
    rows, wrong, blank = list[SheetRow](), list[str](), 0
    for line, cells in table[1:]:
        row = dict(zip(header, cells, strict=False))
        if len(cells) > len(header) and any(value.strip() for value in cells[len(header) :]):
            wrong.append(f"line {line} has {len(cells)} cells, the first line {len(header)}")
            continue
        level = uncell(row.get("level", "").strip()).strip()
        if not level:
            blank += 1
            continue
        draft_id = uncell(row.get("id", "").strip()).strip()
        found = _LEVEL.fullmatch(level)
        if not draft_id:
            wrong.append(f"line {line} has a level and no id")
        elif found is None:
            wrong.append(f"line {line} ({on_screen(draft_id, width=40)}): level {on_screen(level, width=40)!r}")
        else:
            who = uncell(row.get("who", "").strip()).strip()
            rows.append(SheetRow(line, draft_id, int(found[1]), who, _restored(row.get("text"))))
    if wrong:
        levels = f"a level is one of {', '.join(map(str, LEVELS))}, the lines of the rubric"
        raise _wrong(path, several(wrong), f"mend {'it' if len(wrong) == 1 else 'them'}; nothing was imported", levels)
    if not rows:
        raise _wrong(path, "no level stands in it", "type a level, 0 to 4, beside each text that was read")
    return Sheet(rows, blank)


def rubric_text(rubric: Rubric) -> str:
    """The rubric as one cell."""
    lines = [rubric.definition, *(f"{level} = {text}" for level, text in sorted(rubric.levels.items()))]
    return "\n".join(lines)


def conversation(messages: Sequence[Mapping[str, str]]) -> str:
    """A conversation as one cell: each turn under the name of who speaks."""
    return "\n\n".join(f"{turn['role'].upper()}:\n{turn['content']}" for turn in messages)


def is_text(seen: str, messages: Sequence[Mapping[str, str]]) -> bool:
    """Whether a cell holds this conversation, whatever a spreadsheet did to its blanks, and as far as it kept it."""
    ours, theirs = "".join(on_screen(conversation(messages)).split()), "".join(seen.split())
    return ours == theirs or (len(seen) >= LONGEST_CELL and ours.startswith(theirs))


def several(problems: Sequence[str]) -> str:
    """The first few of `problems`, and how many more there are."""
    rest = len(problems) - MOST_SHOWN
    return "; ".join(problems[:MOST_SHOWN]) + (f"; and {rest} more" if rest > 0 else "")


def _restored(text: str | None) -> str | None:
    return None if text is None or not text.strip() else uncell(text)


def _text_of(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RecipeError(
            what=f"{str(path)!r} cannot be read: {error.strerror}",
            why="labels are read from it",
            do="give the path of a sheet that `thousandfold label OUT --export` wrote",
        ) from error
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _wrong(
            path, f"line {line} is not UTF-8: byte 0x{data[error.start]:02x}", "save it as “CSV UTF-8”", _COMPARED
        ) from None


def _records(text: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of every row that is not blank; a first line `sep=;` is Excel's and says the delimiter."""
    first, _, rest = text.partition("\n")
    told = re.fullmatch(r"\"?sep=(.)\"?\r?", first)
    delimiter = told[1] if told else max(DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(rest if told else text, newline=""), delimiter=delimiter, strict=True)
    limit = csv.field_size_limit(len(text) + 1)  # a text of a million characters is one cell
    try:
        for cells in reader:
            if any(value.strip() for value in cells):
                yield reader.line_num + bool(told), cells
    except csv.Error as error:
        raise _wrong(path, f"line {reader.line_num} is no CSV: {error}", "save it as CSV again") from None
    finally:
        csv.field_size_limit(limit)


def _check_header(path: Path, header: Sequence[str]) -> None:
    missing = [name for name in NEEDED if name not in header]
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if missing or twice:
        seen = ", ".join(on_screen(name, width=30) for name in header[:12])
        problem = f"has no column {missing[0]!r}" if missing else f"has two columns {twice[0]!r}"
        raise _wrong(path, f"its first line {problem}; it reads {seen}", f"its columns are {', '.join(COLUMNS)}")


_COMPARED = "each text is compared with the one that was given out, letter for letter"


def _wrong(path: Path, problem: str, do: str, why: str = "labels are read by id and level, row by row") -> RecipeError:
    return RecipeError(what=f"{str(path)!r}: {problem}", why=why, do=do)
