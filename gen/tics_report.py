"""release → tics: what its exemplars say too often, beside seeds, files or an earlier release; and how it is shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from thousandfold import filters

from .errors import OutputError
from .output import LEDGER, Output
from .references import texts_of
from .release import MANIFEST, read_manifest, read_table
from .tables import BY_PEOPLE, CONTEXTS, said_by
from .text import on_screen

SHOWN = 10
"""Lines of each kind on a screen, unless told otherwise."""

NEEDED = "tics are measured on the exemplars of a release"


@dataclass(frozen=True)
class Measured:
    """The tics of a release's exemplars, and what they were compared with (name → number of texts)."""

    release: str
    texts: int
    references: Mapping[str, int]
    found: filters.Tics
    frequent: Sequence[Mapping[str, Any]]  # the most frequent phrases, as `filters.tic_rates` has them


def measure(output: Output, references: Sequence[Path] = ()) -> Measured:
    """The tics of the latest release, beside `references`: files of texts, releases, or output directories.

    With none, beside the release's seeds and the reference file of its recipe. Raises OutputError where there is no
    release or no such reference, RecipeError for a file that cannot be read.
    """
    release = output.newest(why=NEEDED)
    rows = _chosen(release)
    compared = {str(path): _texts_at(path) for path in references} or dict(_own_references(release))
    writers = rows["teacher"].fill_null(BY_PEOPLE)
    teachers = writers if writers.n_unique() > 1 else None
    axes = [name for name in read_table(release, "contexts").columns if name not in CONTEXTS]
    found = filters.tics(said_by(rows, "assistant"), reference=compared, groups=teachers, card=rows.select(axes))
    brief = filters.tic_rates(said_by(rows, "assistant"), reference=next(iter(compared.values())), most=SHOWN)
    sizes = {name: len(texts) for name, texts in compared.items()}
    return Measured(release.name, rows.height, sizes, found, brief["phrases"])


def _chosen(release: Path) -> pl.DataFrame:
    """The exemplars with their teacher and one column per axis, in greedy order."""
    chosen = read_table(release, "selection").filter("selected").sort("rank").select("id")
    contexts = read_table(release, "contexts").rename({"id": "context_id"})
    rows = chosen.join(read_table(release, "drafts"), on="id", maintain_order="left")
    return rows.join(contexts, on="context_id", maintain_order="left")


def _own_references(release: Path) -> Iterator[tuple[str, list[str]]]:
    yield "seeds", said_by(read_table(release, "seeds"), "assistant").to_list()
    named = read_manifest(release)["settings"].get("tics", {}).get("reference")
    if named is not None:
        yield named, _texts_at(release / "recipe" / named)


def _texts_at(path: Path) -> list[str]:
    if (path / MANIFEST).is_file():
        return said_by(_chosen(path), "assistant").to_list()
    if (path / LEDGER).is_file():
        return said_by(_chosen(Output.existing(path).newest(why=NEEDED)), "assistant").to_list()
    if path.is_dir():
        raise OutputError(
            what=f"the reference {str(path)!r} is neither a file nor a release",
            why="tics are measured beside its texts",
            do="give a file of texts (.txt, .jsonl), a release, or the directory that `thousandfold run` wrote",
        )
    return texts_of(path, part="answer")


def as_json(measured: Measured, limit: int | None) -> dict[str, Any]:
    """Everything as plain values; at most `limit` tics of a kind, all where it is None."""
    return {
        "release": measured.release,
        "texts": measured.texts,
        "references": dict(measured.references),
        "summary": measured.found.summary.to_dicts(),
        "frequent": [dict(phrase) for phrase in measured.frequent],
        "tics": _most(measured.found.table, limit).to_dicts(),
    }


def _most(table: pl.DataFrame, limit: int | None) -> pl.DataFrame:
    groups = ["kind", "group", "reference"]
    return table if limit is None else table.group_by(groups, maintain_order=True).head(limit).select(table.columns)


def tics_report(measured: Measured, limit: int = SHOWN) -> Iterator[RenderableType]:
    """For a person: the measures of the whole, then the listed tics of each comparison."""
    compared = ", ".join(f"{name} ({count})" for name, count in measured.references.items())
    yield Text(on_screen(f"{measured.release}: {measured.texts} exemplars beside {compared}"), style="bold")
    yield Text("")
    yield _summary_table(measured.found.summary)
    for (group, reference), part in measured.found.table.group_by(["group", "reference"], maintain_order=True):
        yield Text("")
        yield _tic_table(part, group, reference, limit)
    first = next(iter(measured.references))
    yield Text(on_screen(f"\nmost frequent phrases (beside {first}):"))
    for phrase in measured.frequent[:limit]:
        there = "" if phrase["reference_rate"] is None else f"  ({phrase['reference_rate']:.1%})"
        yield Text(on_screen(f"  {phrase['rate']:6.1%}{there:<10}  {phrase['phrase']}", width=110))
    for name in measured.references:
        if not measured.found.table["reference"].eq_missing(name).any():
            yield Text(on_screen(f"\nno tic stands out beside {name}"))


def _summary_table(summary: pl.DataFrame) -> Table:
    table = Table(title="the whole", title_justify="left", box=None, pad_edge=False)
    for name in ("measure", "of", "value", "95 % interval", "beside", "there", "p"):
        table.add_column(name, justify="right" if name in ("value", "95 % interval", "there", "p") else "left")
    for row in summary.iter_rows(named=True):
        of = " ".join(part for part in (row["group"], row["of"]) if part)
        interval = "" if row["low"] is None else f"{row['low']:.3f} to {row['high']:.3f}"
        beside = on_screen(row["reference"] or "", width=24)
        table.add_row(
            row["measure"],
            on_screen(of, width=30),
            _number(row["value"]),
            interval,
            beside,
            _number(row["reference_value"]),
            "" if row["p"] is None else f"{row['p']:.3f}",
        )
    return table


def _tic_table(part: pl.DataFrame, group: Any, reference: Any, limit: int) -> Table:
    whose = f"tics of {group}" if group else "tics"
    beside = f" beside {reference}" if reference else ": nothing to compare with, so rates alone"
    table = Table(title=on_screen(whose + beside), title_justify="left", box=None, pad_edge=False)
    for name in ("kind", "tic", "rate", "there", "ratio", "adjusted p", "for example"):
        table.add_column(name, justify="right" if name in ("rate", "there", "ratio", "adjusted p") else "left")
    for row in _most(part, limit).iter_rows(named=True):
        table.add_row(
            row["kind"],
            on_screen(row["tic"], width=48),
            f"{row['rate']:.1%}",
            "" if row["reference_rate"] is None else f"{row['reference_rate']:.1%}",
            "" if row["ratio"] is None else f"{row['ratio']:.1f}",
            "" if row["adjusted_p"] is None else f"{row['adjusted_p']:.1g}",
            on_screen(row["examples"][0], width=40) if row["examples"] else "",
        )
    left = part.height - _most(part, limit).height
    if left:
        table.caption = f"and {left} more (--limit)"
    return table


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}" if value < 10 else f"{value:,.1f}"
