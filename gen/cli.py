"""The command line: parse, call, print. Data to stdout, talk to stderr; every option is an environment variable."""

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

EPILOG = (
    "Exit codes: 0 done or nothing to do · 1 failed · 2 recipe or command line wrong · 3 stopped at the budget · "
    "4 quotas not met · 75 another run holds the lock · 130/143 interrupted."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}, epilog=EPILOG)
@click.version_option(package_name="thousandfold", prog_name="thousandfold")
def main() -> None:
    """Carries hand-written exemplars of a value into a thousand contexts, and hands a release to training.

    Start with: thousandfold run examples/respect
    """


def _options(*names: str) -> Callable[[Command], Command]:
    """The common options, by name, so that they are called and explained alike everywhere."""
    known = {
        "size": click.option("--size", type=int, metavar="N", help="Exemplars for training; held-out come on top."),
        "teacher": click.option("--teacher", metavar="SPEC", help="Who writes: rehearsal, openai:MODEL[@URL], …"),
        "judge": click.option("--judge", metavar="SPEC", help="Who judges, of another family; none = unjudged."),
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


def _guarded(command: Command) -> Command:
    """Errors of ours as three lines and their exit code; anything else is a bug and keeps its traceback."""

    @wraps(command)
    def guarded(*args: Any, **options: Any) -> None:
        try:
            command(*args, **options)
        except ThousandfoldError as error:
            if options.get("json") or command.__name__ == "refresh":
                _print_json({"error": {"what": error.what, "why": error.why, "do": error.do}, "exit": error.exit_code})
            _print_error(error)
            sys.exit(error.exit_code)
        except KeyboardInterrupt:  # before or after a run, where nothing is in flight
            sys.exit(128 + signal.SIGINT)

    return guarded


@main.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--seeds", type=click.Path(path_type=Path), help="Your seeds: .jsonl, .json, .md or a directory.")
@_guarded
def init(folder: Path, seeds: Path | None) -> None:
    """Write a starter recipe that runs as it is, around your seeds if you have some."""
    from .init import write_starter

    count = write_starter(folder, seeds)
    click.echo(folder)
    click.echo(f"a recipe with {count} seeds; next: thousandfold plan {folder}", err=True)


@main.command()
@recipe_argument
@click.option("--pilot", type=click.IntRange(min=0), default=0, metavar="N", help="Draft N contexts to forecast from.")
@_options(*MODEL_OPTIONS, "json")
@_guarded
def plan(recipe: Path, pilot: int, json: bool, **options: Any) -> None:
    """Contexts, coverage and a forecast of asks, tokens and cost; asks nothing without --pilot."""
    from .ahead import plan as look_ahead
    from .view import View

    with _stoppable() as stop, View() as view:
        found = look_ahead(recipe, pilot=pilot, on_event=view, stop=stop, names=NAMES, **options)
    if json:
        _print_json(found.as_dict())
        return
    from .report import console, plan_report

    console().print(plan_report(found))


@main.command()
@recipe_argument
@click.option("-n", "--count", type=click.IntRange(min=1), default=5, show_default=True, help="Drafts to show.")
@_options(*(name for name in MODEL_OPTIONS if name != "size"), "json")
@_guarded
def preview(recipe: Path, count: int, json: bool, **options: Any) -> None:
    """A few drafts with their verdicts and judgements; a run later replays them for free."""
    from .ahead import preview as first_drafts
    from .view import View

    with _stoppable() as stop, View() as view:
        loaded, state = first_drafts(recipe, count, on_event=view, stop=stop, names=NAMES, **options)
    if json:
        tables = {"drafts": state.drafts, "verdicts": state.verdicts, "judgements": state.judgements}
        _print_json({name: table.to_dicts() for name, table in tables.items()})
        return
    from .report import console, preview_report

    screen = console()
    for panel in preview_report(loaded, state):
        screen.print(panel)


@main.command()
@recipe_argument
@_options(*MODEL_OPTIONS, "json")
@_guarded
def run(recipe: Path, json: bool, **options: Any) -> None:
    """The main job: seeds in, a release out. Prints the release's path; resumes what was interrupted."""
    from . import api
    from .report import closing, console
    from .view import View

    with _stoppable() as stop, View() as view:
        done = api.run(recipe, on_event=view, stop=stop, names=NAMES, **options)
    rehearsal = _is_rehearsal(done)
    console(stderr=True).print(closing(done.summary, rehearsal=rehearsal))
    if json:
        _print_json(done.summary)
    elif done.release:
        click.echo(done.release)
    sys.exit(done.summary["exit"])


@main.command()
@recipe_argument
@_options(*MODEL_OPTIONS)
@click.option("--json", is_flag=True, expose_value=False, help="The summary is JSON in any case.")
@_guarded
def refresh(recipe: Path, **options: Any) -> None:
    """For cron: resume, refill, release if anything changed; prints a JSON summary."""
    from .refresh import refresh as refresh_recipe
    from .view import View

    with _stoppable() as stop, View() as view:
        summary = refresh_recipe(recipe, on_event=view, stop=stop, names=NAMES, **options)
    _print_json(summary)
    sys.exit(summary["exit"])


@main.command()
@out_argument
@_options("json")
@_guarded
def status(out: Path, json: bool) -> None:
    """What an output directory holds: replies, cost, releases, and what is unfinished."""
    from .output import Output
    from .release import read_manifest
    from .report import console, state_of, status_report

    output = Output.existing(out)
    state = state_of(output)
    if json:
        _print_json(state)
        return
    latest = output.latest()
    console().print(status_report(state, read_manifest(latest)["funnel"] if latest else None))


@main.command()
@out_argument
@click.argument("draft_id", metavar="ID")
@_options("json")
@_guarded
def trace(out: Path, draft_id: str, json: bool) -> None:
    """Walk a line of training back to its seed: scores, verdicts, prompts, context."""
    from .output import Output
    from .report import console, descent, descent_report

    found = descent(Output.existing(out), draft_id)
    if json:
        _print_json(found)
        return
    screen = console()
    for line in descent_report(found):
        screen.print(line, soft_wrap=True)


@main.command()
@out_argument
@_options("json")
@_guarded
def verify(out: Path, json: bool) -> None:
    """Check every file of every release, LATEST and the ledger; exit 1 where anything is damaged."""
    from .output import Output
    from .report import damage_of
    from .text import on_screen

    output = Output.existing(out)
    findings = damage_of(output)
    if json:
        _print_json({"releases": [p.name for p in output.releases()], "damage": findings, "exit": int(bool(findings))})
    else:
        for finding in findings:
            click.echo(on_screen(f"damaged: {finding}"))
        if not findings:
            count = len(output.releases())
            click.echo(f"sound: {count} release{'' if count == 1 else 's'} and the ledger")
    if findings:
        click.echo(
            "restore it from a copy, or delete a damaged release and run again: the ledger rebuilds it", err=True
        )
        sys.exit(1)


@main.command()
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="0 = a free port.")
@click.option("--latency", type=click.FloatRange(min=0), default=0.0, metavar="SECONDS", help="Of every answer.")
@click.option("--near-copy", type=click.FloatRange(0, 1), default=0.02, show_default=True, help="Share of near-copies.")
@click.option("--cut-off", type=click.FloatRange(0, 1), default=0.01, show_default=True, help="Share cut off.")
@click.option("--hollow", type=click.FloatRange(0, 1), default=0.03, show_default=True, help="Share of hollow drafts.")
@_guarded
def rehearse(port: int, latency: float, near_copy: float, cut_off: float, hollow: float) -> None:
    """Serve rehearsal over the OpenAI protocol on this machine; the first line is the base URL."""
    from .teachers.rehearsal import Dials
    from .teachers.rehearsal.server import serve

    dials = Dials(near_copy=near_copy, cut_off=cut_off, hollow=hollow)
    serve(port, latency_seconds=latency, dials=dials, on_ready=click.echo)


def _is_rehearsal(done: Any) -> bool:
    from .release import read_manifest

    return bool(done.release and read_manifest(done.release)["rehearsal"])


@contextmanager
def _stoppable() -> Iterator[StopSignal]:
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


def _print_error(error: ThousandfoldError) -> None:
    from .text import on_screen

    for line in (f"error: {error.what}", f"  why: {error.why}", f"  do:  {error.do}"):
        click.echo(on_screen(line), err=True)


def _print_json(value: Any) -> None:
    click.echo(dumps(value, ensure_ascii=True, default=str))


main.context_settings["auto_envvar_prefix"] = "THOUSANDFOLD"


if __name__ == "__main__":
    main()
