"""What every command of the line has in common: its options, its errors, its signals, and how it prints."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .errors import ThousandfoldError

if TYPE_CHECKING:
    from .asking import StopSignal

Command = Callable[..., Any]


def common_options(*names: str) -> Callable[[Command], Command]:
    """The common options, by name, so that they are called and explained alike everywhere."""
    known = {
        "size": click.option("--size", type=int, metavar="N", help="Exemplars for training; held-out come on top."),
        "teacher": click.option(
            "--teacher", multiple=True, metavar="SPEC", help="Who writes: openai:MODEL[@URL], …; again for one more."
        ),
        "judge": click.option(
            "--judge",
            multiple=True,
            metavar="SPEC",
            help="Who judges, of another family; again for one more; none = unjudged.",
        ),
        "budget": click.option("--budget", type=float, metavar="USD", help="Never spend more, resumes included."),
        "budget_tokens": click.option("--budget-tokens", type=int, metavar="N", help="Never use more tokens."),
        "out": click.option("--out", type=click.Path(path_type=Path), help="Default: outputs/<name of the recipe>."),
        "seed": click.option("--seed", type=int, metavar="N", help="Another plan and other drafts."),
        "concurrency": click.option("--concurrency", type=int, metavar="N", help="Asks in flight at once."),
        "offline": click.option("--offline", is_flag=True, help="Ask nothing: replay the ledger."),
        "json": click.option("--json", is_flag=True, help="One JSON object on stdout."),
    }

    def add(command: Command) -> Command:
        for name in reversed(names):
            command = known[name](command)
        return command

    return add


MODEL_OPTIONS = ("size", "teacher", "judge", "budget", "budget_tokens", "out", "seed", "concurrency", "offline")
NAMES = {name: f"--{name.replace('_', '-')}" for name in MODEL_OPTIONS}
recipe_argument = click.argument("recipe", type=click.Path(path_type=Path))
out_argument = click.argument("out", type=click.Path(path_type=Path))


def guarded_command(command: Command) -> Command:
    """Errors of ours as three lines and their exit code; anything else is a bug and keeps its traceback."""

    @wraps(command)
    def guarded(*args: Any, **options: Any) -> None:
        try:
            command(*args, **options)
        except ThousandfoldError as error:
            if options.get("json") or command.__name__ == "refresh":
                print_json({"error": {"what": error.what, "why": error.why, "do": error.do}, "exit": error.exit_code})
            print_error(error)
            sys.exit(error.exit_code)
        except KeyboardInterrupt:  # before or after a run, where nothing is in flight
            sys.exit(128 + signal.SIGINT)

    return guarded


@contextmanager
def stoppable() -> Iterator[StopSignal]:
    """Ctrl-C and SIGTERM finish what is in flight; a second one ends at once."""
    from .asking import StopSignal

    stop = StopSignal()

    def first(signum: int, _: Any) -> None:
        stop.set(signum)
        signal.signal(signum, signal.SIG_DFL)
        # Not through sys.stderr: the signal may have come in the middle of a write to it.
        os.write(2, b"stopping: finishing what is in flight (again to quit at once)\n")

    before = {number: signal.signal(number, first) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def print_error(error: ThousandfoldError) -> None:
    from .text import on_screen

    for line in (f"error: {error.what}", f"  why: {error.why}", f"  do:  {error.do}"):
        click.echo(on_screen(line), err=True)


def print_json(value: Any) -> None:
    click.echo(dumps(value, ensure_ascii=True, default=str))
