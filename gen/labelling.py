"""texts → labels, in a terminal: one text after the other, and what each key does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import monotonic

from .label_desk import Desk, Sitting, Wanted, sum_up
from .label_screen import END, LabelScreen, text_and_rubric
from .labelbook import Place
from .text import on_screen

HASTY_SECONDS = 1.0  # a label that came sooner after its text is counted as hasty

_KEYS = "0-4 level · s skip · u undo · q quit"


def label_in_terminal(desk: Desk, wanted: Wanted, screen: LabelScreen) -> Sitting:
    """Shows text after text until the queue, the count or the person is at an end. `screen` is open."""
    sitting = Sitting(wanted.who)
    queue = desk.queue(wanted)
    sum_up(desk, queue, sitting)
    try:
        _converse(desk, wanted, screen, queue, sitting)
    finally:
        desk.book.unclaim(wanted.who)
        desk.settle(wanted.who)
        sum_up(desk, queue, sitting)
    return sitting


def _converse(desk: Desk, wanted: Wanted, screen: LabelScreen, queue: Sequence[Place], sitting: Sitting) -> None:
    todo, ahead, places = desk.todo(wanted, queue), list[Place](), {place.id: place for place in queue}
    said: dict[str, tuple[int | None, float]] = {}
    goal, note = min(wanted.count or sitting.left, sitting.left), ""
    while wanted.count is None or sitting.labelled < wanted.count:
        place = ahead.pop() if ahead else next(todo, None)
        if place is None:
            return
        number = sitting.labelled + sitting.skipped + 1
        head = f" text {number} of {max(goal, number)} · {place.facet} · labelled by {wanted.who} "
        shown_at = monotonic()
        body = text_and_rubric(desk.messages[place.id], desk.recipe.rubrics[place.facet])
        key = screen.ask(on_screen(head, width=100), body, note + _KEYS).lower()
        seconds = monotonic() - shown_at
        note = ""
        if key in ("q", END, "\x04"):
            return
        if key in ("0", "1", "2", "3", "4") or key == "s":
            level = None if key == "s" else int(key)
            desk.book.add([desk.act(place, wanted.who, level, round(seconds, 3))])
            said[place.id] = level, seconds
            _count(said, sitting)
            note = f"kept: {'skipped' if level is None else f'level {level}'} · "
            continue
        ahead.append(place)
        if key == "u":
            undone = desk.book.undo(wanted.who, places)
            note = "there is nothing to take back · " if undone is None else "taken back: this text again · "
            if undone is not None:
                ahead.append(places[undone.place.id])
                said.pop(undone.place.id, None)  # it may be from an earlier sitting
                _count(said, sitting)
        elif key.isprintable():
            note = f"{key!r} is no key here · "


def _count(said: Mapping[str, tuple[int | None, float]], sitting: Sitting) -> None:
    """Of this sitting: id -> the level (None: skipped) and after how many seconds."""
    labelled = [seconds for level, seconds in said.values() if level is not None]
    sitting.labelled, sitting.skipped = len(labelled), len(said) - len(labelled)
    sitting.hasty = sum(seconds < HASTY_SECONDS for seconds in labelled)
