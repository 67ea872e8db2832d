"""The live view: a panel on a terminal, plain lines in a log, and nothing on stdout."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import pytest

from thousandfold.gen.events import Event, Kind
from thousandfold.gen.view import LOG_SECONDS, View

from ._runs import COMMAND, RESPECT, environment

EVENTS: dict[str, list[dict[str, Any]]] = {
    "found": [
        {"replies": 812, "unfinished": True, "expected": 1000},
        {"replies": 1000, "unfinished": False, "expected": 1000},
        {"replies": 1200, "unfinished": True, "expected": 1000},
    ],
    "forecast": [{"usd": (1.5, 4.0), "tokens": (10, 20)}, {"usd": None, "tokens": (10, 20)}],
    "round": [{"number": 1, "contexts": 30, "redraws": 0}, {"number": 2, "contexts": 2, "redraws": 1}],
    "room": [{"name": name, "total": 30} for name in ("drafts", "verdicts", "judgements")],
    "replies": [
        {"purpose": purpose, "asked": 5, "replayed": 2, "failed": failed, "cost_usd": cost, "tokens": 900}
        for purpose, failed, cost in (
            ("scenario", 0, 0.01), ("exemplar", 1, 0.02), ("level", 0, None), ("evidence", 0, 0.0),
        )
    ],
    "reasked": [{"purpose": "exemplar", "count": 2}],
    "verdicts": [{"kept": 28, "dropped": {"cut_off": 1, "near_duplicate": 1}}],
    "pool": [{"kept": 28, "wanted": 26}],
    "note": [{"text": "a note with \x1b[31m colour and [bold]markup[/bold]"}],
    "release": [{"path": Path("out/releases/x"), "name": "x", "new": True}],
}  # fmt: skip


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def events() -> list[Event]:
    return [Event(kind, fields) for kind in get_args(Kind) for fields in EVENTS[kind]]


def said_in_a_log(capsys: pytest.CaptureFixture[str], tell: Callable[[View, Clock], None]) -> list[str]:
    """The lines on stderr; stdout must stay empty."""
    clock = Clock()
    with View(clock=clock) as view:
        tell(view, clock)
    told = capsys.readouterr()
    assert told.out == ""
    return told.err.splitlines()


def test_every_kind_of_event_is_understood_in_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    def tell(view: View, clock: Clock) -> None:
        for event in events():
            view(event)
            clock.now += 1

    lines = said_in_a_log(capsys, tell)
    assert lines[:5] == [
        "found an unfinished run: 812 of about 1,000 replies already paid for; resuming",
        "found 1,000 replies already paid for",
        "found 1,200 replies already paid for",
        "round 1: 30 contexts",
        "round 2: 2 contexts and 1 drawn again",
    ]
    assert "pool: 28 of 26 · dropped: cut_off 1, near_duplicate 1" in lines
    assert "a note with \ufffd[31m colour and [bold]markup[/bold]" in lines
    assert not any("\x1b" in line for line in lines)


def test_a_log_has_a_line_every_few_seconds_and_no_more(capsys: pytest.CaptureFixture[str]) -> None:
    def tell(view: View, clock: Clock) -> None:
        view(Event("room", {"name": "drafts", "total": 100}))
        for _ in range(50):
            clock.now += 0.25
            view(Event("replies", {"purpose": "scenario", "asked": 2, "replayed": 0, "cost_usd": 0.5}))

    lines = said_in_a_log(capsys, tell)
    assert len(lines) == int(50 * 0.25 / LOG_SECONDS) == 2
    assert lines[1].startswith("situations 80/100, drafts 0/100 · 8 replies/s · 0 replayed · 20.0000 USD · about ")
    assert re.search(r"about 1[45]s left for these · 10s$", lines[1])


def test_replies_that_are_asked_for_again_are_more_to_be_done(capsys: pytest.CaptureFixture[str]) -> None:
    def tell(view: View, clock: Clock) -> None:
        view(Event("room", {"name": "drafts", "total": 100}))
        view(Event("replies", {"purpose": "scenario", "asked": 100, "replayed": 0, "cost_usd": 0.0}))
        view(Event("reasked", {"purpose": "scenario", "count": 7}))
        clock.now += LOG_SECONDS
        view(Event("replies", {"purpose": "scenario", "asked": 5, "replayed": 0, "cost_usd": 0.0}))

    [line] = said_in_a_log(capsys, tell)
    assert line.startswith("situations 105/107, drafts 0/100 · ")


def test_money_is_what_is_spent_what_is_reserved_and_what_was_forecast(capsys: pytest.CaptureFixture[str]) -> None:
    def tell(view: View, clock: Clock) -> None:
        view(Event("forecast", {"usd": (1.5, 4.0), "tokens": (10, 20)}))
        view(Event("room", {"name": "judgements", "total": 10}))
        clock.now += 6
        money = {"cost_usd": 0.25, "spent_usd": 1.25, "reserved_usd": 0.5}
        view(Event("replies", {"purpose": "level", "asked": 1, "replayed": 0, "failed": 0, **money}))

    (line,) = said_in_a_log(capsys, tell)
    assert " · 0.2500 USD (1.2500 with earlier runs) + 0.5000 reserved of 1.50 to 4.00 forecast · " in line


def test_unknown_costs_and_failures_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    def tell(view: View, clock: Clock) -> None:
        view(Event("room", {"name": "judgements", "total": 10}))
        clock.now += 3700
        view(Event("replies", {"purpose": "level", "asked": 1, "replayed": 0, "failed": 1, "cost_usd": None}))

    (line,) = said_in_a_log(capsys, tell)
    assert line == "levels 1/10, evidence 0/10 · 0 replies/s · 0 replayed · cost unknown · 1 failed · 1h01m"


def test_an_event_of_a_kind_that_comes_later_is_ignored(capsys: pytest.CaptureFixture[str]) -> None:
    def tell(view: View, _: Clock) -> None:
        view(Event("weather", {}))  # type: ignore[arg-type]

    assert said_in_a_log(capsys, tell) == []


@contextmanager
def terminal() -> Any:
    """(a text file that is a terminal, a function that gives what was shown on it)."""
    pty = pytest.importorskip("pty", reason="there are no pseudo-terminals here")
    master, slave = pty.openpty()
    os.set_blocking(master, False)
    shown = bytearray()

    def drain() -> str:
        try:
            while part := os.read(master, 65536):
                shown.extend(part)
        except (BlockingIOError, OSError):
            pass
        return shown.decode(errors="replace")

    with io.TextIOWrapper(io.FileIO(slave, "w"), encoding="utf-8", write_through=True) as screen:
        yield screen, drain
    os.close(master)


def test_every_kind_of_event_is_understood_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    with terminal() as (screen, shown):
        monkeypatch.setattr(sys, "stderr", screen)
        clock = Clock()
        with View(clock=clock) as view:
            for event in events():
                view(event)
                clock.now += 1
            assert view._live is not None
            view._live.refresh()
            while_running = shown()
        said = shown()
        monkeypatch.undo()
    assert capsys.readouterr().out == ""
    assert "situations" in while_running
    assert "7/30" in while_running
    assert "pool 28/26" in while_running
    assert "812 of about 1,000 replies already paid for; resuming" in said
    assert "\x1b[31m" not in said
    assert said.count("\x1b[?25l") == said.count("\x1b[?25h") == 1  # the cursor is given back


def test_the_panel_is_taken_away_when_a_run_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    with terminal() as (screen, shown):
        monkeypatch.setattr(sys, "stderr", screen)
        with pytest.raises(KeyError), View():
            raise KeyError("mine")
        monkeypatch.undo()
        assert shown().endswith("\x1b[?25h") or "\x1b[?25h" in shown()


def test_a_run_on_a_terminal_shows_a_panel_and_still_prints_only_the_path_on_stdout(tmp_path: Path) -> None:
    with terminal() as (screen, shown):
        process = subprocess.Popen(
            [COMMAND, "run", RESPECT, "--size", "30", "--out", "out"],
            cwd=tmp_path, env=environment(TERM="xterm-256color"), stdout=subprocess.PIPE, stderr=screen, text=True,
        )  # fmt: skip
        out = ""
        while process.poll() is None:
            shown()  # a terminal that nobody reads would block it
            time.sleep(0.02)
        assert process.stdout is not None
        out = process.stdout.read()
        process.stdout.close()
        seen = shown()
    assert process.returncode == 0, seen
    assert re.fullmatch(r"out/releases/\d{4}-\d\d-\d\d-[0-9a-f]{6}\n", out)
    assert "\x1b[?25l" in seen
    assert "from contexts to exemplars" in seen
