"""What the tests of labels have in common: a finished run, its texts, and a person at a real terminal."""

from __future__ import annotations

import os
import re
import select
import signal
import struct
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from thousandfold.gen.labelbook import Act, Kind, Place

from ._runs import COMMAND, environment, release_in

WAIT_SECONDS = 60.0
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def place(draft_id: str = "d-1", *, facet: str = "f", drawn: str = "random", probability: float | None = 0.5) -> Place:
    return Place(draft_id, facet, drawn, probability, "r-1")  # type: ignore[arg-type]


def act(
    level: int | None, where: Place | None = None, *, who: str = "ana", kind: Kind = "label", text: str = "t"
) -> Act:
    return Act(kind, where or place(), who, text, "rubric", level=level)


def judged(out: Path) -> pl.DataFrame:
    """The kept drafts of the newest release: `id, facet, level` of the judge, and `messages`."""
    tables = release_in(out) / "tables"
    drafts = pl.read_parquet(tables / "drafts.parquet").select("id", "messages", "teacher")
    return pl.read_parquet(tables / "judgements.parquet").select("id", "facet", "level").join(drafts, on="id")


@dataclass
class Person:
    """Somebody at a terminal: what was shown since the last key, and keys to press."""

    process: subprocess.Popen[bytes]
    terminal: int
    outside: int  # the command's own end: stays open, so that its modes can be read when it has ended
    shown: str = ""

    def press(self, key: str, *, until: str = "q quit") -> str:
        """Presses a key and waits for the next screen; what it shows, without colours."""
        os.write(self.terminal, key.encode())
        return self.wait(until)

    def wait(self, until: str = "q quit") -> str:
        """What is shown until these words are, without colours; "" waits for the end of the command."""
        seen, end = b"", time.monotonic() + WAIT_SECONDS
        while time.monotonic() < end:
            ended = self.process.poll() is not None
            while select.select([self.terminal], [], [], 0 if ended else 0.1)[0]:
                seen += os.read(self.terminal, 65536)
                self.shown = CONTROL.sub("", seen.decode("utf-8", "replace")).replace("\r", "")
                if until and until in self.shown:
                    return self.shown
            if ended and not until:
                return self.shown
        raise AssertionError(f"{until!r} was never shown: {self.shown}")

    def ends(self) -> int:
        """Waits for the command to end; its exit code. `shown` holds what it said since the last key as well."""
        before, self.shown = self.shown, ""
        self.shown = before + self.wait("")
        return self.process.wait()

    def quits(self) -> str:
        os.write(self.terminal, b"q")
        assert self.ends() == 0, self.shown
        return self.shown

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)


@contextmanager
def at_terminal(*words: str | Path, cwd: Path, rows: int = 80, until: str = "q quit") -> Iterator[Person]:
    """`thousandfold label WORDS` in a pseudo-terminal, once its first screen is there."""
    pty = pytest.importorskip("pty", reason="there are no pseudo-terminals here")
    import fcntl
    import termios

    inside, outside = pty.openpty()
    fcntl.ioctl(outside, termios.TIOCSWINSZ, struct.pack("HHHH", rows, 100, 0, 0))
    process = subprocess.Popen(
        [COMMAND, "label", *words], cwd=cwd, env=environment(TERM="xterm-256color"),
        stdin=outside, stdout=outside, stderr=outside,
    )  # fmt: skip
    person = Person(process, inside, outside)
    try:
        person.wait(until)
        yield person
    finally:
        process.kill()
        process.wait()
        os.close(inside)
        os.close(outside)


def texts_in(shown: str, rows: pl.DataFrame) -> Sequence[str]:
    """The ids of `rows` whose last turn begins on this screen."""
    flat = " ".join(shown.split())
    starts = {row["id"]: " ".join(row["messages"][-1]["content"].split())[:80] for row in rows.iter_rows(named=True)}
    return [draft_id for draft_id, start in starts.items() if start in flat]
