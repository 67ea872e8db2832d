"""What a run tells while it goes on: small frozen facts for a live view, a log, or a caller's callback."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["found", "forecast", "round", "room", "replies", "reasked", "verdicts", "pool", "note", "release"]


@dataclass(frozen=True)
class Event:
    """One fact. Fields by kind:

    found     replies, expected, unfinished: what the ledger held at the start
    forecast  usd: (low, high) of the whole run, None where a price is unknown; tokens: (low, high)
    round     number, contexts, redraws
    room      name, total: a room starts on so many rows
    replies   purpose, asked, replayed, failed, cost_usd (None: unknown), tokens: since the event before; and
              spent_usd: all that the ledger holds, reserved_usd: the worst case of what is in flight
    reasked   purpose, count: replies that could not be read, and are asked for again
    verdicts  kept, dropped: a mapping reason -> rows
    pool      kept, wanted
    note      text: one sentence for a person
    release   path, name, new
    """

    kind: Kind
    fields: Mapping[str, Any] = field(default_factory=dict)


OnEvent = Callable[[Event], None]


def ignore(_: Event) -> None:
    """The callback of a caller that does not want to know."""
