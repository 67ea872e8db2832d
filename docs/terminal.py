"""Draws docs/terminal.svg: what a terminal shows of `thousandfold run examples/respect`, recorded while it runs.

    python docs/terminal.py

The command runs in a pseudo-terminal of its own (Linux or macOS), in a temporary directory. Two moments are drawn:
the live view at its fullest, and the screen at the end. Nothing in the picture is typed by hand but the prompt.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

ROOT = Path(__file__).parent.parent
COMMAND = ("thousandfold", "run", "examples/respect")
COLUMNS, ROWS = 100, 50

# The few controls that a live view of rich uses: next line, line start, up n lines, clear line. Hiding the cursor is
# without effect here; colours stay in the text.
CONTROL = re.compile(rb"\n|\r|\x1b\[(\d*)A|\x1b\[2K|\x1b\[\?25[lh]")

DARK, LIGHT = (22, 24, 29), (214, 218, 224)
NORMAL = [(70, 75, 85), (224, 108, 117), (126, 190, 122), (214, 170, 104)]
NORMAL += [(97, 157, 223), (193, 132, 214), (92, 184, 188), LIGHT]
BRIGHT = [(110, 116, 128), (232, 130, 138), (146, 206, 142), (226, 190, 130)]
BRIGHT += [(122, 176, 234), (208, 154, 226), (116, 200, 204), (255, 255, 255)]
THEME = TerminalTheme(DARK, LIGHT, NORMAL, BRIGHT)

# rich's own frame fetches a font from the network; this one names what a reader has.
FRAME = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<title>thousandfold run examples/respect, in a terminal</title>
<style>
.{unique_id}-matrix {{
  font-family: ui-monospace, "SFMono-Regular", Menlo, Consolas, "DejaVu Sans Mono", "Liberation Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width;
}}
.{unique_id}-title {{ font-family: ui-sans-serif, system-ui, "DejaVu Sans", sans-serif; font-size: 16px; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


class Screen:
    """The lines of a terminal, as far as a live view moves on them."""

    def __init__(self) -> None:
        self.lines: list[bytes] = [b""]
        self._row = 0
        self._rest = b""

    def feed(self, data: bytes) -> None:
        data = self._rest + data
        # A control sequence may arrive in two parts; an unfinished one waits for the rest.
        cut = data.rfind(b"\x1b", max(0, len(data) - 16))
        whole = cut < 0 or re.match(rb"\x1b\[[0-9;?]*[A-Za-z]", data[cut:]) is not None
        data, self._rest = (data, b"") if whole else (data[:cut], data[cut:])
        start = 0
        for control in CONTROL.finditer(data):
            self._write(data[start : control.start()])
            self._control(control)
            start = control.end()
        self._write(data[start:])

    def text(self) -> list[str]:
        """The lines with their colours, without the empty ones at the end."""
        shown = [line.decode("utf-8", "replace") for line in self.lines]
        while shown and not Text.from_ansi(shown[-1]).plain.strip():
            shown.pop()
        return shown

    def _write(self, data: bytes) -> None:
        self.lines[self._row] += data

    def _control(self, control: re.Match[bytes]) -> None:
        if control[0] == b"\n":
            self._row += 1
            self.lines += [b""] * (self._row + 1 - len(self.lines))
        elif control[0].endswith(b"A"):
            self._row = max(0, self._row - int(control[1] or 1))
        elif control[0].endswith(b"K"):
            self.lines[self._row] = b""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT / "examples", Path(folder) / "examples")
        moments = list(record(folder))
    first = fullest(moments)
    shown = [f"$ {' '.join(COMMAND)}", *first, "", "  …", "", *moments[-1]]
    picture = ROOT / "docs" / "terminal.svg"
    picture.write_text(svg(shown), encoding="utf-8")
    sys.stdout.write(f"{picture}\n")


def record(folder: str) -> Iterator[list[str]]:
    """The screen after each piece of output, from first to last."""
    inside, outside = pty.openpty()
    fcntl.ioctl(outside, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    hidden = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "CI")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    command = (str(Path(sys.executable).parent / COMMAND[0]), *COMMAND[1:])
    process = subprocess.Popen(
        command, cwd=folder, env={**environment, "TERM": "xterm-256color"}, stdout=outside, stderr=outside
    )
    os.close(outside)
    screen = Screen()
    for data in pieces(inside):
        screen.feed(data)
        yield screen.text()
    os.close(inside)
    if process.wait() != 0:
        raise SystemExit(f"{' '.join(COMMAND)} ended with {process.returncode}:\n" + "\n".join(screen.text()))


def pieces(terminal: int) -> Iterator[bytes]:
    while True:
        try:
            data = os.read(terminal, 65536)
        except OSError:  # Linux says so when the last writer has gone
            return
        if not data:
            return
        yield data


def fullest(moments: list[list[str]]) -> list[str]:
    """The live view with the most progress bars, the latest of them before the first round is closed."""

    def bars(moment: list[str]) -> int:
        return sum("━" in line for line in moment)

    first_round = [moment for moment in moments if not any(line.startswith("pool: ") for line in moment)]
    most = max(map(bars, first_round))
    return [moment for moment in first_round if bars(moment) == most][-1]


def svg(lines: list[str]) -> str:
    screen = Console(record=True, width=COLUMNS, file=open(os.devnull, "w"), force_terminal=True)  # noqa: SIM115
    for line in lines:
        screen.print(Text.from_ansi(line), soft_wrap=True)
    return screen.export_svg(title="thousandfold", theme=THEME, code_format=FRAME, unique_id="terminal")


if __name__ == "__main__":
    main()
