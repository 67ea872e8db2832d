"""What teachers found out of their endpoints, as notes in the ledger: the next run need not find it out again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .events import Event, OnEvent
from .ledger import Ledger
from .teachers.base import Remembering, Teacher


class LedgerMemory:
    """A teacher's memory: values are notes in the ledger, and words are an event of the run."""

    def __init__(self, ledger: Ledger, on_event: OnEvent) -> None:
        self._ledger = ledger
        self._on_event = on_event

    def recall(self, key: str) -> Any:
        return self._ledger.note(key)

    def remember(self, key: str, value: Any, words: str | None) -> None:
        self._ledger.put_note(key, value)
        if words is not None:
            self._on_event(Event("note", {"text": words}))


def lend(teachers: Iterable[Teacher], ledger: Ledger, on_event: OnEvent) -> None:
    """Gives those teachers that can use one a memory in `ledger`."""
    for teacher in teachers:
        if isinstance(teacher, Remembering):
            teacher.remember_in(LedgerMemory(ledger, on_event))
