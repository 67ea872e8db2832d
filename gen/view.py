"""The live view of a run: a panel on a terminal, one plain line every few seconds in a log. Always stderr."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from .events import Event
from .report import console
from .text import on_screen

LOG_SECONDS = 5.0
RATE_SECONDS = 10.0
ROOMS = {
    "scenario": "situations",
    "exemplar": "drafts",
    "critique": "critiques",
    "revision": "revisions",
    "level": "levels",
    "evidence": "evidence",
    "hollow": "hollow twins",
    "violating": "violating answers",
    "over_done": "over-done answers",
}

ASKED_IN = {"drafts": ("scenario", "exemplar"), "judgements": ("level", "evidence"), "twins": ("hollow",)}


class View:
    """An `on_event` callback that shows what a run does; use it as a context manager."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console(stderr=True)
        self._clock = clock
        self._started = clock()
        self._last_line = clock()
        self._live: Live | None = None
        self._round = 0
        self._done: Counter[str] = Counter()
        self._total: Counter[str] = Counter()
        self._replayed = 0
        self._failed = 0
        self._dropped: Counter[str] = Counter()
        self._kept = 0
        self._wanted = 0
        self._paid: float | None = 0.0
        self._spent = self._reserved = 0.0
        self._forecast: tuple[float, float] | None = None
        self._asked: deque[tuple[float, int]] = deque()

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(get_renderable=self._panel, console=self._console, refresh_per_second=8, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, event: Event) -> None:
        getattr(self, f"_on_{event.kind}", self._ignore)(event.fields)
        if self._live is None and self._clock() - self._last_line >= LOG_SECONDS:
            self._say(self._line())

    def _ignore(self, _: Any) -> None:
        """`release` needs no line of its own: the closing table follows."""

    def _on_found(self, fields: Any) -> None:
        replies, expected = fields["replies"], fields["expected"]
        if fields["unfinished"] and replies < expected:
            self._say(f"found an unfinished run: {replies:,} of about {expected:,} replies already paid for; resuming")
        else:
            self._say(f"found {replies:,} replies already paid for")

    def _on_forecast(self, fields: Any) -> None:
        self._forecast = fields["usd"]

    def _on_note(self, fields: Any) -> None:
        self._say(fields["text"])

    def _on_round(self, fields: Any) -> None:
        self._round = fields["number"]
        redraws = f" and {fields['redraws']} drawn again" if fields["redraws"] else ""
        self._say(f"round {self._round}: {fields['contexts']} contexts{redraws}")

    def _on_room(self, fields: Any) -> None:
        for purpose in ASKED_IN.get(fields["name"], ()):
            self._total[purpose] = self._done[purpose] + fields["total"]

    def _on_replies(self, fields: Any) -> None:
        count = fields["asked"] + fields["replayed"]
        self._done[fields["purpose"]] += count
        self._total[fields["purpose"]] = max(self._total[fields["purpose"]], self._done[fields["purpose"]])
        self._replayed += fields["replayed"]
        self._failed += fields.get("failed", 0)
        cost = fields.get("cost_usd", 0.0)
        self._paid = None if cost is None or self._paid is None else self._paid + cost
        self._spent, self._reserved = fields.get("spent_usd", self._spent), fields.get("reserved_usd", 0.0)
        now = self._clock()
        self._asked.append((now, fields["asked"]))
        while self._asked and self._asked[0][0] < now - RATE_SECONDS:
            self._asked.popleft()

    def _on_reasked(self, fields: Any) -> None:
        self._total[fields["purpose"]] += fields["count"]

    def _on_verdicts(self, fields: Any) -> None:
        self._dropped.update(fields["dropped"])

    def _on_pool(self, fields: Any) -> None:
        self._kept, self._wanted = fields["kept"], fields["wanted"]
        self._say(f"pool: {self._kept} of {self._wanted}" + self._dropped_words())

    def _say(self, text: str) -> None:
        """One line, at once: above the panel on a terminal, as it is in a log."""
        self._last_line = self._clock()
        self._console.print(Text(on_screen(text, width=500)), soft_wrap=True)

    def _line(self) -> str:
        rooms = ", ".join(f"{ROOMS[p]} {self._done[p]}/{self._total[p]}" for p in ROOMS if self._total[p])
        return f"{rooms} · {self._pace_words()}"

    def _pace_words(self) -> str:
        now = self._clock()
        span = max(now - self._asked[0][0], 1e-9) if len(self._asked) > 1 else 0.0
        rate = sum(count for _, count in self._asked) / span if span else 0.0
        left = sum(max(0, self._total[p] - self._done[p]) for p in ROOMS)
        words = [f"{rate:,.0f} replies/s", f"{self._replayed:,} replayed", self._money()]
        if self._failed:
            words.append(f"{self._failed} failed")
        if rate and left:
            words.append(f"about {_duration(left / rate)} left for these")
        return " · ".join([*words, _duration(now - self._started)])

    def _money(self) -> str:
        """What is spent, what is reserved for asks in flight, and what the whole run was forecast to cost."""
        if self._paid is None:
            return "cost unknown"
        words = f"{self._paid:.4f} USD"
        if self._spent - self._paid >= 1e-4:
            words += f" ({self._spent:.4f} with earlier runs)"
        if self._reserved >= 1e-4:
            words += f" + {self._reserved:.4f} reserved"
        if self._forecast is not None and self._forecast[1] > 0:
            words += f" of {self._forecast[0]:,.2f} to {self._forecast[1]:,.2f} forecast"
        return words

    def _dropped_words(self) -> str:
        dropped = ", ".join(f"{reason} {count}" for reason, count in self._dropped.most_common())
        return f" · dropped: {dropped}" if dropped else ""

    def _panel(self) -> RenderableType:
        table = Table.grid(padding=(0, 1))
        for purpose, name in ROOMS.items():
            if self._total[purpose]:
                bar = ProgressBar(total=self._total[purpose], completed=self._done[purpose], width=32)
                table.add_row(Text(name), bar, Text(f"{self._done[purpose]:,}/{self._total[purpose]:,}"))
        pool = f"pool {self._kept:,}/{self._wanted:,}" if self._wanted else "pool: not yet"
        return Group(
            Text(f"round {self._round} · {pool}{self._dropped_words()}", overflow="ellipsis", no_wrap=True),
            table,
            Text(self._pace_words(), overflow="ellipsis", no_wrap=True),
        )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"
