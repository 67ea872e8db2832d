"""The command line: parse, call, print. Data to stdout, talk to stderr; every option is an environment variable."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .commands import (
    MODEL_OPTIONS,
    NAMES,
    common_options,
    guarded_command,
    out_argument,
    print_json,
    recipe_argument,
    stoppable,
)
from .judge_command import judge
from .label_command import label

if TYPE_CHECKING:
    from .output import Output

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


@main.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--seeds", type=click.Path(path_type=Path), help="Your seeds: .jsonl, .json, .md or a directory.")
@guarded_command
def init(folder: Path, seeds: Path | None) -> None:
    """Write a starter recipe that runs as it is, around your seeds if you have some."""
    from .init import write_starter

    count = write_starter(folder, seeds)
    click.echo(folder)
    click.echo(f"a recipe with {count} seeds; next: thousandfold plan {folder}", err=True)


@main.command()
@recipe_argument
@click.option("--pilot", type=click.IntRange(min=0), default=0, metavar="N", help="Draft N contexts to forecast from.")
@common_options(*MODEL_OPTIONS, "json")
@guarded_command
def plan(recipe: Path, pilot: int, json: bool, **options: Any) -> None:
    """Contexts, coverage and a forecast of asks, tokens and cost; asks nothing without --pilot."""
    from .ahead import plan as look_ahead
    from .view import View

    with stoppable() as stop, View() as view:
        found = look_ahead(recipe, pilot=pilot, on_event=view, stop=stop, names=NAMES, **options)
    if json:
        print_json(found.as_dict())
        return
    from .report import console, plan_report

    console().print(plan_report(found))


@main.command()
@recipe_argument
@click.option("-n", "--count", type=click.IntRange(min=1), default=5, show_default=True, help="Drafts to show.")
@common_options(*(name for name in MODEL_OPTIONS if name != "size"), "json")
@guarded_command
def preview(recipe: Path, count: int, json: bool, **options: Any) -> None:
    """A few drafts with their verdicts and judgements; a run later replays them for free."""
    from .ahead import preview as first_drafts
    from .view import View

    with stoppable() as stop, View() as view:
        loaded, state = first_drafts(recipe, count, on_event=view, stop=stop, names=NAMES, **options)
    if json:
        tables = {"drafts": state.drafts, "verdicts": state.verdicts, "judgements": state.judgements}
        print_json({name: table.to_dicts() for name, table in tables.items()})
        return
    from .report import console, preview_report

    screen = console()
    for panel in preview_report(loaded, state):
        screen.print(panel)


@main.command()
@recipe_argument
@click.option("--clean", type=click.IntRange(min=2), default=2000, show_default=True, metavar="N", help="Good drafts.")
@click.option("--planted", type=click.IntRange(1), default=200, show_default=True, metavar="N", help="Of each flaw.")
@click.option(
    "--misses", type=click.IntRange(min=0), default=1, show_default=True, metavar="N", help="To show of each."
)
@common_options("seed", "json")
@guarded_command
def drill(recipe: Path, clean: int, planted: int, misses: int, seed: int | None, json: bool) -> None:
    """Plant flaws, run the recipe's filters, count what they catch; asks and spends nothing."""
    from .drill_report import as_json, drill_report
    from .drilling import drill as plant_and_count
    from .report import console
    from .view import View

    with View() as view:
        found = plant_and_count(recipe, clean=clean, planted=planted, seed=seed, on_event=view, names=NAMES)
    if json:
        print_json(as_json(found, misses=misses))
        return
    screen = console()
    for part in drill_report(found, misses=misses):
        screen.print(part)


@main.command()
@recipe_argument
@common_options("teacher", "judge", "json")
@guarded_command
def models(recipe: Path, json: bool, **options: Any) -> None:
    """Ask each model one small question: reachable, what it can do, its limits, its price; exit 1 if one is not."""
    from .checkup import check_models

    with stoppable() as stop:
        found, notes = check_models(recipe, stop=stop, names=NAMES, **options)
    code = 0 if all(one.reachable for one in found) else 1
    if json:
        print_json({"models": [one.as_dict() for one in found], "notes": notes, "exit": code})
    else:
        for one in found:
            click.echo(one.line)
        for note in notes:
            click.echo(f"note: {note}", err=True)
    sys.exit(code)


@main.command()
@recipe_argument
@click.option(
    "--drafts",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Conversations that people wrote: .jsonl, .csv or .parquet; kept for later runs.",
)
@common_options(*MODEL_OPTIONS, "json")
@guarded_command
def run(recipe: Path, json: bool, **options: Any) -> None:
    """The main job: seeds in, a release out. Prints the release's path; resumes what was interrupted."""
    from . import api
    from .report import closing, console
    from .view import View

    with stoppable() as stop, View() as view:
        done = api.run(recipe, on_event=view, stop=stop, names=NAMES, **options)
    rehearsal = _is_rehearsal(done)
    console(stderr=True).print(closing(done.summary, rehearsal=rehearsal))
    if json:
        print_json(done.summary)
    elif done.release:
        click.echo(done.release)
    sys.exit(done.summary["exit"])


@main.command()
@recipe_argument
@common_options(*MODEL_OPTIONS)
@click.option("--json", is_flag=True, expose_value=False, help="The summary is JSON in any case.")
@guarded_command
def refresh(recipe: Path, **options: Any) -> None:
    """For cron: resume, refill, release if anything changed; prints a JSON summary."""
    from .refresh import refresh as refresh_recipe
    from .view import View

    with stoppable() as stop, View() as view:
        summary = refresh_recipe(recipe, on_event=view, stop=stop, names=NAMES, **options)
    print_json(summary)
    sys.exit(summary["exit"])


@main.command()
@out_argument
@click.option("--coverage", is_flag=True, help="By level: wanted, got, yield, cost, and the next round.")
@common_options("json")
@guarded_command
def status(out: Path, coverage: bool, json: bool) -> None:
    """What an output directory holds: replies, cost, releases, and what is unfinished."""
    from .output import Output
    from .release import read_manifest
    from .report import console, state_of, status_report

    output = Output.existing(out)
    if coverage:
        _print_coverage(output, json)
        return
    state = state_of(output)
    if json:
        print_json(state)
        return
    latest = output.latest()
    console().print(status_report(state, read_manifest(latest)["funnel"] if latest else None))


@main.command()
@out_argument
@click.argument("draft_id", metavar="ID")
@common_options("json")
@guarded_command
def trace(out: Path, draft_id: str, json: bool) -> None:
    """Walk a line of training back to its seed: scores, verdicts, prompts, context."""
    from .descent import descent, descent_report
    from .output import Output
    from .report import console

    found = descent(Output.existing(out), draft_id)
    if json:
        print_json(found)
        return
    screen = console()
    for line in descent_report(found):
        screen.print(line, soft_wrap=True)


@main.command()
@out_argument
@common_options("json")
@guarded_command
def verify(out: Path, json: bool) -> None:
    """Check every file of every release, LATEST and the ledger; exit 1 where anything is damaged."""
    from .output import Output
    from .report import damage_of
    from .text import on_screen

    output = Output.existing(out)
    findings = damage_of(output)
    if json:
        print_json({"releases": [p.name for p in output.releases()], "damage": findings, "exit": int(bool(findings))})
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
@out_argument
@click.option(
    "--reference",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Texts, a release or an OUT to compare with; default: the seeds.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Most tics of a kind; default 10, JSON all.")
@common_options("json")
@guarded_command
def tics(out: Path, reference: tuple[Path, ...], limit: int | None, json: bool) -> None:
    """What the exemplars say too often and too much alike, beside the seeds or another reference."""
    from .output import Output
    from .tics_report import SHOWN, as_json, measure, tics_report

    measured = measure(Output.existing(out), reference)
    if json:
        print_json(as_json(measured, limit))
        return
    from .report import console

    screen = console()
    for part in tics_report(measured, limit or SHOWN):
        screen.print(part)


@main.command()
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="0 = a free port.")
@click.option("--latency", type=click.FloatRange(min=0), default=0.0, metavar="SECONDS", help="Of every answer.")
@click.option("--near-copy", type=click.FloatRange(0, 1), default=0.02, show_default=True, help="Share of near-copies.")
@click.option("--cut-off", type=click.FloatRange(0, 1), default=0.01, show_default=True, help="Share cut off.")
@click.option("--hollow", type=click.FloatRange(0, 1), default=0.03, show_default=True, help="Share of hollow drafts.")
@click.option("--collapse", type=click.FloatRange(0, 1), default=0.0, show_default=True, help="Share from favourites.")
@click.option("--faults", type=click.Path(path_type=Path), metavar="FILE", help="A schedule of bad weather, in TOML.")
@click.option("--log", type=click.Path(path_type=Path), metavar="FILE", help="A JSON line for every request.")
@guarded_command
def rehearse(port: int, latency: float, faults: Path | None, log: Path | None, **dials: float) -> None:
    """Serve rehearsal over the OpenAI protocol on this machine; the first line is the base URL."""
    from .teachers.rehearsal import Dials
    from .teachers.rehearsal.faults import Sky
    from .teachers.rehearsal.journal import Journal
    from .teachers.rehearsal.server import serve
    from .teachers.rehearsal.weather import Weather, read_weather

    sky = Sky(read_weather(faults) if faults else Weather(), Journal(log))
    serve(port, latency_seconds=latency, dials=Dials(**dials), sky=sky, on_ready=click.echo)


def _print_coverage(output: Output, json: bool) -> None:
    from .report import console, standing_report
    from .standing import standing_of

    found = standing_of(output)
    if json:
        print_json(found.as_dict())
    else:
        console().print(standing_report(found))


def _is_rehearsal(done: Any) -> bool:
    from .release import read_manifest

    return bool(done.release and read_manifest(done.release)["rehearsal"])


main.add_command(judge)
main.add_command(label)
main.context_settings["auto_envvar_prefix"] = "THOUSANDFOLD"


if __name__ == "__main__":
    main()
