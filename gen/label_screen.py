"""One text and its rubric on a terminal, and the key that somebody presses: nothing here knows what a key means."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType, TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.control import Control
from rich.segment import Segment, Segments
from rich.table import Table
from rich.text import Text

from .errors import InterruptedRunError, RecipeError
from .recipe import Rubric
from .text import on_screen

WIDEST = 100  # characters of a line: longer ones are read wrongly at the turn
_KEY = re.compile(r"\x1b\[[0-9;]*[A-Za-z~]|\x1bO.|.", re.DOTALL)
_SCROLL = {" ": 1, "\x1b[6~": 1, "\x1b[5~": -1, "b": -1}  # in pages: space, page down, page up, b
_STEP = {"\x1b[B": 1, "\x1bOB": 1, "\n": 1, "\r": 1, "\x1b[A": -1, "\x1bOA": -1}  # in lines: the arrows, return
END = ""  # the terminal has gone


class LabelScreen:
    """The terminal while somebody labels: keys come singly, and everything is as before when it is left.

    Raises RecipeError where stdin and stderr are no terminal. A signal is an InterruptedRunError, raised only
    where a key is awaited: what a key said is on disk before the next is asked for.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._keys: list[str] = []
        self._signal = 0
        self._waiting = False
        self._plain = console.is_dumb_terminal

    def __enter__(self) -> Self:
        check_terminal()
        import termios
        import tty

        self._termios = termios
        self._fd = sys.stdin.fileno()
        self._before = termios.tcgetattr(self._fd)
        tty.setcbreak(self._fd, termios.TCSADRAIN)  # without a flush: keys that came early are keys
        self._handlers = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        self._console.set_alt_screen(not self._plain)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        try:
            self._console.set_alt_screen(False)
            self._termios.tcsetattr(self._fd, self._termios.TCSADRAIN, self._before)
        except (OSError, self._termios.error):
            pass  # the terminal itself has gone: there is nothing to give back

    def ask(self, head: str, body: RenderableType, foot: str) -> str:
        """Shows `body` between two lines that stay, lets it be scrolled, and returns the first other key, or END."""
        top = 0
        while True:
            lines, rows = self._lines(body)
            top = max(0, min(top, len(lines) - rows))
            more = "" if top + rows >= len(lines) else f"space: further, {len(lines) - rows - top} more lines · "
            self._paint(head, lines[top : top + rows], more + foot)
            key = self._key()
            if key in _SCROLL:
                top += _SCROLL[key] * max(1, rows - 2)
            elif key in _STEP:
                top += _STEP[key]
            else:
                return key

    def _lines(self, body: RenderableType) -> tuple[list[list[Segment]], int]:
        """(the lines of `body`, how many fit)."""
        width, height = self._console.size
        options = self._console.options.update(width=min(width, WIDEST), height=None)
        lines = self._console.render_lines(body, options, pad=False)
        return lines, len(lines) if self._plain else max(1, height - 5)

    def _paint(self, head: str, lines: Sequence[Sequence[Segment]], foot: str) -> None:
        if self._plain:
            self._console.print("\n")
        else:
            self._console.control(Control.home(), Control.clear())
        self._console.print(Text(head, style="bold reverse"), overflow="ellipsis", no_wrap=True)
        self._console.print()
        for line in lines:
            self._console.print(Segments([*line, Segment.line()]), end="")
        self._console.print()
        self._console.print(Text(foot, style="bold"), end="")

    def _key(self) -> str:
        if not self._keys:
            self._waiting = True
            try:
                self._check_signal()
                data = os.read(self._fd, 1024)
            except OSError:  # Linux says so when the terminal was closed
                data = b""
            finally:
                self._waiting = False
            self._keys = _KEY.findall(data.decode("utf-8", "replace")) or [END]
        return self._keys.pop(0)

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        self._signal = number
        if self._waiting:
            self._check_signal()

    def _check_signal(self) -> None:
        if self._signal:
            raise InterruptedRunError(
                what="labelling was interrupted",
                why="every label up to here is kept",
                do="run the same command again: it goes on where you stopped",
                signum=self._signal,
            )


def text_and_rubric(messages: Sequence[Mapping[str, str]], rubric: Rubric) -> Group:
    """The conversation, then the rubric that it is read against; without control characters, and nothing of a judge."""
    return Group(*_turns(messages), *_rubric(rubric))


def _turns(messages: Sequence[Mapping[str, str]]) -> Iterator[Text]:
    for turn in messages:
        name = Text(f"{on_screen(turn['role'])}: ", style="bold cyan" if turn["role"] == "user" else "bold green")
        yield name + Text(on_screen(turn["content"]), style="none") + Text("\n")


def _rubric(rubric: Rubric) -> Iterator[RenderableType]:
    yield Text(f"How far does it show: {on_screen(rubric.facet)}?", style="bold")
    yield Text(on_screen(rubric.definition))
    levels = Table(box=None, show_header=False, pad_edge=False)
    levels.add_column(style="bold", no_wrap=True)
    levels.add_column()
    for level, text in sorted(rubric.levels.items()):
        levels.add_row(level, Text(on_screen(text)))
    yield levels
    more = {
        "called for": rubric.in_scope,
        "its reason": rubric.why_item,
        "hollow": rubric.hollow_twin,
        "too much": rubric.over_expression,
    }
    for name, said in more.items():
        if said:
            yield Text.assemble((f"{name}: ", "bold dim"), (on_screen(said), "dim"))
    yield Text("a span of it can show that the text", style="bold dim")
    yield from (Text(f"· {on_screen(said)}", style="dim") for said in rubric.evidence.values())


def check_terminal() -> None:
    """Raises RecipeError where no key can be read or nothing be shown."""
    try:
        import termios  # noqa: F401
    except ImportError:
        trouble = "this system has no terminals of the kind that one key at a time is read from"
    else:
        where = [name for name in ("stdin", "stderr") if not getattr(sys, name).isatty()]
        if not where:
            return
        trouble = f"{' and '.join(where)} {'is' if len(where) == 1 else 'are'} no terminal"
    raise RecipeError(
        what=f"texts cannot be shown for labelling: {trouble}",
        why="a person reads each text and answers with a key",
        do="run it in a terminal, or label in a spreadsheet: --export FILE.csv, then --import FILE.csv",
    )


_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
