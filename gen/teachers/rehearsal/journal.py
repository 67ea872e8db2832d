"""What a server did, as JSON lines: every request that arrived, and what was answered. To be held beside a ledger."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Literal

from ...errors import RecipeError

Sent = Literal["whole", "part", "nothing"]
Answer = Literal["completion", "empty", "unusable", "error", "none"]


@dataclass
class Line:
    """One request.

    number     in the order of arrival, from 1; lines stand in the order of the answers
    at         seconds since the first request
    model, seed    as asked; the seed names the ask, since every ask has its own
    fault      the kind of weather it met, if any
    status     of the answer; None where there was none
    answer     completion: one that can be kept; empty: one without choices; unusable: status 200 with a body that is
               no completion; error: a status from 400 on; none
    sent       whole: all of it went out to a client that was there; part; nothing
    prompt_tokens, completion_tokens    as the answer's usage says them; None where it says nothing
    """

    number: int
    at: float
    model: str | None = None
    seed: int | None = None
    fault: str | None = None
    status: int | None = None
    answer: Answer = "none"
    sent: Sent = "nothing"
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Journal:
    """Numbers requests, tells the seconds since the first, and writes a line for each when it is over."""

    def __init__(self, path: Path | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`path` is appended to; None: nothing is written. Raises RecipeError where it cannot be opened."""
        self._clock = clock
        self._first: float | None = None
        self._count = 0
        self._file: IO[str] | None = None
        if path is not None:
            try:
                self._file = path.open("a", encoding="utf-8")
            except OSError as error:
                raise RecipeError(
                    what=f"the log {str(path)!r} cannot be written: {error.strerror}",
                    why="every request is written to it",
                    do="give the path of a file in a directory that exists",
                ) from error

    def arrived(self) -> Line:
        now = self._clock()
        self._first = now if self._first is None else self._first
        self._count += 1
        return Line(self._count, round(now - self._first, 4))

    def over(self, line: Line) -> None:
        if self._file is not None and not self._file.closed:
            self._file.write(json.dumps(asdict(line)) + "\n")
            self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
