"""`thousandfold label`: which of the three ways it is, who labels, and what is said at the end."""

from __future__ import annotations

import getpass
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .commands import common_options, guarded_command, out_argument, print_json
from .errors import RecipeError

if TYPE_CHECKING:
    from .label_desk import Desk, Sitting, Wanted


@click.command()
@out_argument
@click.option("--as", metavar="NAME", help="Who labels; default: your login name.")
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="Texts of this sitting, or rows of the sheet.")
@click.option("--facet", metavar="NAME", help="Texts of one facet only.")
@click.option(
    "--overlap",
    type=click.FloatRange(0, 1),
    default=1.0,
    show_default=True,
    metavar="SHARE",
    help="Of the texts, that everybody gets; the others go to one person each.",
)
@click.option("--active", is_flag=True, help="Texts whose labels tell most; conformal selection may not use them.")
@click.option("--audit", is_flag=True, help="Fresh labels of shipped texts, for `thousandfold judge audit OUT`.")
@click.option("--export", type=click.Path(path_type=Path), metavar="FILE", help="Write the texts to a CSV file.")
@click.option("--import", type=click.Path(path_type=Path), metavar="FILE", help="Read levels from a CSV file.")
@common_options("json")
@guarded_command
def label(out: Path, json: bool, **options: Any) -> None:
    """Read texts and say how far each expresses its value: in the terminal, or in a spreadsheet.

    Nobody sees the judge's score or what others said; no model ever sees a label.
    """
    from .audit_desk import audit_desk_of
    from .label_desk import Wanted, desk_of, name_of

    _check_ways(options)
    named = options["as"]
    who = None if named is None else name_of(named)
    if not (options["export"] or options["import"]):
        from .label_screen import check_terminal

        check_terminal()
    with (audit_desk_of if options["audit"] else desk_of)(out) as desk:
        wanted = Wanted(who or "", options["count"], options["active"], options["overlap"], options["facet"])
        if options["export"]:
            _export(desk, wanted, options["export"], audit=options["audit"], json=json)
        elif options["import"]:
            from .label_exchange import import_sheet

            _tell(import_sheet(desk, options["import"], who), json=json)
        else:
            _label(desk, wanted, json=json)


def _check_ways(options: dict[str, Any]) -> None:
    reading = [name for name in ("export", "active", "count", "facet") if options["import"] and options[name]]
    if options["audit"] and (options["active"] or options["facet"] or options["overlap"] != 1.0):
        raise RecipeError(
            what="--audit was given together with --active, --facet or --overlap",
            why="which texts an audit asks for, and of whom, was fixed when it was planned",
            do="leave the others out",
        )
    if reading:
        raise RecipeError(
            what=f"--import and --{reading[0]} were given together",
            why="an import takes every level of the file, and writes none",
            do=f"leave out --{reading[0]}, or run the two one after the other",
        )


def _label(desk: Desk, wanted: Wanted, *, json: bool) -> None:
    from rich.console import Console

    from .label_desk import name_of
    from .label_screen import LabelScreen
    from .labelling import label_in_terminal

    if not wanted.who:
        wanted = replace(wanted, who=name_of(_login()))
    screen = LabelScreen(Console(stderr=True, markup=False, highlight=False, emoji=False))
    with screen:
        sitting = label_in_terminal(desk, wanted, screen)
    _tell([sitting], json=json)


def _login() -> str:
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError) as error:
        raise RecipeError(
            what="there is no login name to keep the labels under",
            why="labels are kept by who gave them",
            do="give --as NAME",
        ) from error


def _export(desk: Desk, wanted: Wanted, path: Path, *, audit: bool, json: bool) -> None:
    from .label_exchange import export_sheet

    count = export_sheet(desk, wanted, path)
    if json:
        print_json({"sheet": str(path), "texts": count, "who": wanted.who or None})
        return
    click.echo(path)
    then = f"thousandfold label OUT {'--audit ' if audit else ''}--import FILE --as NAME"
    click.echo(f"{count} texts; a level, 0 to 4, goes into the column level. Then: {then}", err=True)


def _tell(sittings: list[Sitting], *, json: bool) -> None:
    if json:
        print_json({"labellers": [asdict(sitting) for sitting in sittings]})
        return
    from .text import on_screen

    for sitting in sittings:
        said = f"{sitting.who}: {sitting.labelled} labelled"
        said += f", {sitting.known} as before" if sitting.known else ""
        said += f", {sitting.skipped} skipped" if sitting.skipped else ""
        click.echo(on_screen(f"{said}; {sitting.total} in all, {sitting.left} texts left"))
        if sitting.hasty:
            click.echo(f"{sitting.hasty} labels came within a second of their text", err=True)
        for note in sitting.notes:
            click.echo(on_screen(note), err=True)
