"""Prints what thousandfold costs on this machine: whole processes, medians over several runs, ratios within one run.

    python benchmarks/run.py                  every part
    python benchmarks/run.py --only replay    one of them

Nothing is judged here and no test reads it: on a busy machine seconds say little and ratios say more, which is why
the commands of a comparison take turns. Unix only: `os.wait4` gives each process's own peak memory (which cannot be
read lower than what this process holds, about 20 MB).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parent.parent
PYTHON = sys.executable
THOUSANDFOLD = str(Path(PYTHON).parent / "thousandfold")
RECIPE = str(ROOT / "examples" / "respect")
RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere (getrusage(2))


@dataclass(frozen=True)
class Cost:
    """One process from start to end."""

    seconds: float
    cpu_seconds: float
    peak_mb: float  # 10**6 bytes resident
    output: str


@dataclass(frozen=True)
class Median:
    """Several runs of one command."""

    seconds: float
    cpu_seconds: float
    peak_mb: float

    @classmethod
    def of(cls, costs: Sequence[Cost]) -> Median:
        fields = ("seconds", "cpu_seconds", "peak_mb")
        return cls(*(statistics.median(getattr(cost, field) for cost in costs) for field in fields))


def main() -> None:
    asked = _arguments()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    say(f"thousandfold {version('thousandfold')}, Python {platform.python_version()}, {platform.platform()}")
    say(f"{cores} cores, load {os.getloadavg()[0]:.1f} at the start, medians of {asked.runs} runs")
    with tempfile.TemporaryDirectory() as folder:
        for name in asked.only or PARTS:
            say("")
            PARTS[name](asked, Path(folder))


def starting(asked: argparse.Namespace, folder: Path) -> None:
    """Help and import beside an empty process and beside click alone."""
    commands = {
        "python -c pass": [PYTHON, "-c", "pass"],
        "python -c 'import click'": [PYTHON, "-c", "import click"],
        "python -c 'from thousandfold import gen'": [PYTHON, "-c", "from thousandfold import gen"],
        "thousandfold --help": [THOUSANDFOLD, "--help"],
    }
    for command in commands.values():
        measure(command, folder)  # once unmeasured: the first run writes bytecode
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    for _ in range(max(11, asked.runs)):
        for name, command in commands.items():
            costs[name].append(measure(command, folder))
    found = {name: Median.of(runs) for name, runs in costs.items()}
    empty, click = found["python -c pass"], found["python -c 'import click'"]
    say(f"{'start-up':42} {'seconds':>8} {'x empty':>8} {'x click':>8}")
    for name, cost in found.items():
        ratios = f"{cost.seconds / empty.seconds:8.2f} {cost.seconds / click.seconds:8.2f}"
        say(f"{name:42} {cost.seconds:8.3f} {ratios}")


def growing(asked: argparse.Namespace, folder: Path) -> None:
    """A run on rehearsal, and one of ten times the size."""
    costs: dict[int, list[Cost]] = {asked.size: [], 10 * asked.size: []}
    for _ in range(asked.runs):
        for size, runs in costs.items():
            with tempfile.TemporaryDirectory(dir=folder) as out:
                runs.append(measure(run_command(size, out), folder))
    found = {size: Median.of(runs) for size, runs in costs.items()}
    base = found[asked.size]
    say(f"{'thousandfold run examples/respect':42} {'seconds':>8} {'CPU s':>6} {'MB':>6} {'x time':>8}")
    for size, cost in found.items():
        ratio = cost.seconds / base.seconds
        say(f"{f'  --size {size}':42} {cost.seconds:8.2f} {cost.cpu_seconds:6.2f} {cost.peak_mb:6.0f} {ratio:8.2f}")


def replaying(asked: argparse.Namespace, folder: Path) -> None:
    """A teacher and a judge over HTTP that take a while to answer; then the same run from its ledger."""
    first: list[Cost] = []
    again: list[Cost] = []
    with served(asked.latency) as url:
        models = ("--teacher", f"openai:rehearsal-teacher@{url}", "--judge", f"openai:rehearsal-judge@{url}")
        for _ in range(asked.runs):
            with tempfile.TemporaryDirectory(dir=folder) as out:
                command = run_command(asked.size, out, *models)
                first.append(measure(command, folder))
                again.append(measure(command, folder))
    before, after = Median.of(first), Median.of(again)
    answered, replayed = (json.loads(costs[-1].output) for costs in (first, again))
    title = f"--size {asked.size}, {asked.latency * 1000:g} ms an answer, over HTTP"
    say(f"{title:42} {'seconds':>8} {'CPU s':>6} {'asked':>6} {'replayed':>8} {'x time':>8}")
    for name, cost, said in (("  first run", before, answered), ("  again, from the ledger", after, replayed)):
        counts = f"{said['asked']:6} {said['replayed']:8}"
        ratio = cost.seconds / before.seconds
        say(f"{name:42} {cost.seconds:8.2f} {cost.cpu_seconds:6.2f} {counts} {ratio:8.2f}")


PARTS: dict[str, Callable[[argparse.Namespace, Path], None]] = {
    "start": starting,
    "size": growing,
    "replay": replaying,
}


def run_command(size: int, out: str, *more: str) -> list[str]:
    return [THOUSANDFOLD, "run", RECIPE, "--size", str(size), "--out", out, "--json", *more]


def measure(command: Sequence[str], folder: Path) -> Cost:
    """Runs `command` in `folder`. Ends the benchmark where it fails: a failure has no speed."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as talk:
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=talk)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        talk.seek(0)
        if process.returncode != 0:
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{talk.read()[-2000:]}")
        peak = usage.ru_maxrss * RSS_UNIT / 1e6
        return Cost(seconds, usage.ru_utime + usage.ru_stime, peak, output.read())


@contextmanager
def served(latency_seconds: float) -> Iterator[str]:
    """The base URL of a rehearsal server that takes `latency_seconds` for every answer."""
    command = [THOUSANDFOLD, "rehearse", "--latency", str(latency_seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None  # a pipe was asked for
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What thousandfold costs on this machine.")
    parser.add_argument("--only", action="append", choices=PARTS, help="this part; may be given again")
    parser.add_argument("--runs", type=int, default=3, help="of every command (start-up: at least 11)")
    parser.add_argument("--size", type=int, default=300, help="exemplars of the smaller run")
    parser.add_argument("--latency", type=float, default=0.05, help="seconds that the served teacher takes")
    return parser.parse_args()


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
