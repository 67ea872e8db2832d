"""`thousandfold judge …`: may a judge filter, and what people's labels say of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

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
from .import_command import import_judgements


@click.group()
def judge() -> None:
    """May the judge's scores be trusted? What people's labels say of them."""


@judge.command()
@out_argument
@click.option("--alpha", type=float, metavar="SHARE", help="Bad texts among the accepted, on average; default 0.05.")
@click.option("--target", type=float, metavar="SHARE", help="Good texts among the accepted, at least; default 0.95.")
@click.option("--delta", type=float, metavar="SHARE", help="Chance that the target is missed; default 0.1.")
@click.option("--good-from", type=float, metavar="LEVEL", help="Mean level from which a text is good; default 3.")
@common_options("json")
@guarded_command
def calibrate(out: Path, json: bool, **limits: Any) -> None:
    """Compare the scores of the latest release with people's labels, and say what could be promised.

    Labels come from `thousandfold label OUT`.
    """
    from .judge_trust import trust

    found = trust(out, **{name: value for name, value in limits.items() if value is not None})
    if json:
        print_json(found.as_dict())
        return
    from .judge_trust_report import trust_report
    from .report import console

    for part in trust_report(found):
        console().print(part)


@judge.command()
@out_argument
@click.option("--size", type=click.IntRange(min=1), metavar="N", help="Texts to label; default 150, or all there are.")
@click.option("--stop-early", is_flag=True, help="A bound that may be looked at after each label; --size is the most.")
@click.option("--target", type=float, metavar="SHARE", help="Good texts that are hoped for, at least; default 0.9.")
@click.option("--good-from", type=float, metavar="LEVEL", help="Mean level from which a text is good; default 3.")
@click.option("--who", multiple=True, metavar="NAME", help="Whose labels count, each of every text; again for more.")
@common_options("json")
@guarded_command
def audit(out: Path, json: bool, **terms: Any) -> None:
    """Draw shipped texts of the latest release for fresh labels, and say how many of all are good, at least.

    The plan is fixed by the first label, which comes from `thousandfold label OUT --audit`.
    """
    from .judge_audit import audit as audit_release

    found = audit_release(out, **terms)
    if json:
        print_json(found.as_dict())
        return
    from .audit_report import audit_lines
    from .text import on_screen

    for line in audit_lines(found):
        click.echo(on_screen(line))
    if found.found.bound is not None:
        click.echo(str(out / "audits" / f"{found.release}.json"))
    if not found.complete:
        click.echo(on_screen(f"next: thousandfold label {out} --audit"), err=True)


@judge.command()
@recipe_argument
@click.option("--facet", multiple=True, metavar="VALUE", help="Check on this value alone; again for one more.")
@click.option(
    "--contexts", type=int, default=61, show_default=True, metavar="N", help="To write a ladder for, of each value."
)
@common_options(*(name for name in MODEL_OPTIONS if name != "size"), "json")
@guarded_command
def check(recipe: Path, facet: tuple[str, ...], contexts: int, json: bool, **options: Any) -> None:
    """May this judge filter? Six tests on each value; exit 1 where one says no. A run finds the outcome."""
    from .judge_check import check_judge
    from .view import View

    with stoppable() as stop, View() as view:
        found = check_judge(recipe, facet=facet, contexts=contexts, on_event=view, stop=stop, names=NAMES, **options)
    if json:
        print_json(found.as_dict())
    else:
        from .judge_check_report import check_report
        from .report import console

        for part in check_report(found):
            console().print(part)
    sys.exit(0 if found.may_filter else 1)


judge.add_command(import_judgements)
