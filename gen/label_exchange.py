"""texts → a sheet, a sheet → labels: what is given out is noted, and what comes back is checked, all or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from .errors import OutputError, RecipeError
from .label_desk import Desk, Sitting, Wanted, name_of, sum_up
from .label_sheet import SheetRow, conversation, is_text, read_sheet, rubric_text, several, write_sheet
from .labelbook import Act, Place, standing
from .text import on_screen


def export_sheet(desk: Desk, wanted: Wanted, path: Path) -> int:
    """Writes the next texts of the queue to a CSV file, and notes that they were given out; how many there are."""
    try:
        places = list(islice(desk.todo(wanted, desk.queue(wanted)), wanted.count))
        if not places:
            raise OutputError(
                what=f"release {desk.release} has no text left for {wanted.who or 'a sheet'}",
                why="a sheet without rows could not be filled",
                do="give another --as NAME, or label texts of the next release",
            )
        write_sheet(path, (_sheet_row(desk, place, wanted.who) for place in places))
        if not wanted.active:
            desk.book.give_out(places)
    finally:
        desk.book.unclaim(wanted.who)
    return len(places)


def _sheet_row(desk: Desk, place: Place, who: str) -> dict[str, str]:
    text = conversation(desk.messages[place.id])
    rubric = rubric_text(desk.recipe.rubrics[place.facet])
    return {"id": place.id, "facet": place.facet, "text": text, "rubric": rubric, "level": "", "who": who}


def import_sheet(desk: Desk, path: Path, who: str | None) -> list[Sitting]:
    """Keeps every level of a CSV file, or none where anything in it is wrong; one Sitting a person.

    A text that was never given out is kept as `chosen`: nobody drew it. A label that stands already is left as it
    is; one that differs from an earlier one of the same person counts from now on.
    """
    sheet = read_sheet(path)
    rows = [replace(row, who=name_of(row.who or who or "")) for row in _named(sheet.rows, path, who)]
    _check_rows(desk, path, rows)
    sittings = {row.who: Sitting(row.who) for row in rows}
    counted = {(row.who, row.id): row for row in rows}
    for row in rows:
        later = counted[row.who, row.id]
        if later is not row:
            sittings[row.who].notes.append(
                f"{row.id} has two labels by {row.who}, in lines {row.line} and {later.line}: the later counts"
            )
    new = _new_acts(desk, list(counted.values()), sittings)
    desk.book.add(new)
    queue = desk.queue(Wanted(""))
    for name, sitting in sittings.items():
        desk.settle(name)
        sum_up(desk, queue, sitting)
        drawn = {act.place.id for act in desk.book.acts(name) if act.place.drawn == "random"}
        chosen = sum(act.who == name and act.place.drawn == "chosen" and act.place.id not in drawn for act in new)
        if chosen:
            sitting.notes.append(f"{chosen} texts were never given out: kept as chosen, which no guarantee may use")
    if sheet.blank:
        next(iter(sittings.values())).notes.append(f"{sheet.blank} rows have no level and were left as they are")
    return list(sittings.values())


def _new_acts(desk: Desk, rows: Sequence[SheetRow], sittings: dict[str, Sitting]) -> list[Act]:
    """The labels that are not there yet; what differs from before is noted."""
    given = {place.id: place for batch in desk.book.given_out() for place in batch}
    before = standing(desk.book.acts())
    new = []
    for row in rows:
        act = desk.act(given.get(row.id) or desk.place_of(row.id), row.who, row.level)
        old, sitting = before.get((row.who, row.id)), sittings[row.who]
        if old is not None and (old.level, old.text_sha256) == (act.level, act.text_sha256):
            sitting.known += 1
            continue
        new.append(act)
        sitting.labelled += 1
        if old is not None:
            sitting.notes.append(f"{row.id} had level {old.level} by {row.who}: the later counts ({row.level})")
    return new


def _named(rows: Sequence[SheetRow], path: Path, who: str | None) -> Sequence[SheetRow]:
    """The rows, if each says or is told whose label it holds, and none says otherwise."""
    nameless = [row for row in rows if not row.who and not who]
    if nameless:
        raise RecipeError(
            what=f"{str(path)!r}: line {nameless[0].line} does not say who labelled it, and no --as was given",
            why="labels are kept by who gave them",
            do="give --as NAME, or fill the column who",
        )
    others = [row for row in rows if who and row.who and name_of(row.who) != who]
    if others:
        name = on_screen(others[0].who, width=64)
        raise RecipeError(
            what=f"{str(path)!r}: line {others[0].line} is by {name!r}, --as says {who!r}",
            why="a label would be kept under a wrong name",
            do="leave --as out, or mend the column who",
        )
    return rows


def _check_rows(desk: Desk, path: Path, rows: Sequence[SheetRow]) -> None:
    unknown = [f"line {row.line}: {on_screen(row.id, width=40)!r}" for row in rows if row.id not in desk.messages]
    if unknown:
        raise OutputError(
            what=f"{str(path)!r} has labels for ids that release {desk.release} does not hold: {several(unknown)}",
            why="a label belongs to one text; nothing was imported",
            do="take those rows out, or import them into the output directory that the sheet was written from",
        )
    moved = [
        f"line {row.line}: {row.id}"
        for row in rows
        if row.text is not None and not is_text(row.text, desk.messages[row.id])
    ]
    if moved:
        raise RecipeError(
            what=f"{str(path)!r}: the text is not that of its id: {several(moved)}",
            why="a column was sorted or edited apart from the others, so levels would go to the wrong texts",
            do="undo that in the spreadsheet, or write a new sheet; nothing was imported",
        )
