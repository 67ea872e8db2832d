"""What happened, to look at: the closing table, a preview, the state of an output directory, one line's descent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from .audit_report import quoted, status_lines
from .audit_result import audits_in
from .breadth_report import diversity_table
from .card import REHEARSAL_NOTE
from .deficits import GivenUp
from .errors import OutputError
from .expression_report import expression_table
from .output import Output
from .probe_report import brief
from .recipe import Recipe
from .release import check_release, read_manifest
from .text import on_screen

PIPED_WIDTH = 120


def console(*, stderr: bool = False) -> Console:
    """A console that never reads markup in data; piped output is as wide as a page, whatever COLUMNS says."""
    made = Console(stderr=stderr, markup=False, highlight=False, emoji=False)
    if not made.is_terminal:
        made.width = PIPED_WIDTH
    return made


def funnel_table(funnel: Mapping[str, Any]) -> Table:
    """Rows by step, from contexts to exemplars; what was dropped stands under the step that dropped it."""
    table = Table(title="from contexts to exemplars", title_justify="left", box=None, pad_edge=False)
    table.add_column("step")
    table.add_column("rows", justify="right")
    table.add_column("dropped or left")
    table.add_row("contexts", str(funnel["contexts"]), "")
    people = funnel.get("people")
    brought = f"{people['brought']} by people: {people['kept']} kept, {people['selected']} selected" if people else ""
    table.add_row("drafts", str(funnel["drafts"]), brought)
    dropped = ", ".join(f"{reason} {count}" for reason, count in funnel["dropped"].items())
    table.add_row("kept", str(funnel["kept"]), dropped)
    left = {"unscored": funnel["unscored"], "not accepted": funnel.get("not_accepted", 0)}
    table.add_row("pool", str(funnel["pool"]), ", ".join(f"{why} {count}" for why, count in left.items() if count))
    table.add_row("selected", str(funnel["selected"]), "")
    table.add_row("held out", str(funnel["heldout"]), "sealed prompts")
    return table


def closing(summary: Mapping[str, Any], *, rehearsal: bool) -> Group:
    """What a run says last: the funnel, the cost, and what is short."""
    paid = "cost unknown (no price given)" if summary["paid_usd"] is None else f"paid {summary['paid_usd']:.4f} USD"
    lines = [f"asked {summary['asked']}, replayed {summary['replayed']}, {paid}, rounds {summary['rounds']}"]
    if summary.get("cached_share") is not None:
        lines.append(f"{summary['cached_share']:.0%} of the prompt tokens came from the provider's cache")
    if summary["judged"] == "unjudged":
        lines.append("unjudged: no judge was configured, so form decided the order; the release says so")
    lines += [f"short: {s['axis']} = {s['level']}: {s['got']} of {s['wanted']}" for s in summary["shortfalls"]]
    lines += [f"given up: {GivenUp.from_dict(gone).words}" for gone in summary["given_up"]]
    lines += _empty_places(summary)
    lines += brief(summary.get("pairs", {}))
    if summary["release"] and not summary["new"]:
        lines.append("nothing changed: the release that stands holds the same content")
    if summary["accepted"] < summary["size"]:
        lines.append(
            f"{summary['accepted']} of {summary['size']} exemplars" + ("" if summary["accepted"] else "; no release")
        )
    if rehearsal:
        lines.append(REHEARSAL_NOTE.replace("**", ""))
    varied: list[RenderableType] = []
    if "expression" in summary:
        varied += [expression_table(summary["expression"]), Text("")]
    if "diversity" in summary:
        varied += [diversity_table(summary["diversity"]), Text("")]
    return Group(funnel_table(summary["funnel"]), Text(""), *varied, *(Text(line) for line in lines))


def _empty_places(summary: Mapping[str, Any]) -> list[str]:
    """What the caps on openings and closings left empty, where they did."""
    capped = summary.get("capped", [])
    if not capped:
        return []
    empty = summary["size"] - summary["accepted"]
    lines = [f"caps left {empty} places empty (selection.opening_cap, closing_cap, teacher_cap):"]
    lines += [
        f"  {c['family']} “{on_screen(c['value'], width=60)}”: {c['limit']} at most, {c['left_out']} left out"
        for c in capped[:5]
    ]
    return lines + ([f"  and {len(capped) - 5} more families"] if len(capped) > 5 else [])


def plan_report(plan: Any) -> Group:
    """Counts, coverage beside uniform draws, and the forecast of `gen.plan`."""
    sets = dict(plan.contexts["set"].value_counts(sort=True).iter_rows())
    head = Text(
        f"{sets.pop('train', 0)} contexts for {plan.size} exemplars to choose from; held out: "
        + (", ".join(f"{name} {count}" for name, count in sorted(sets.items())) or "none")
    )
    table = Table(title="coverage of what training may see", title_justify="left", box=None, pad_edge=False)
    for name in ("combinations of", "possible", "met", "share", "all met by", "least possible", "uniform draws meet"):
        table.add_column(name, justify="right")
    for strength, found in plan.coverage.items():
        name = {1: "single levels", 2: "2 levels", 3: "3 levels"}.get(strength, f"{strength} levels")
        counts = f"{found.possible:,}", f"{found.met:,}", f"{found.share:.1%}"
        by = "-" if found.met_by is None else f"{found.met_by:,}"
        table.add_row(name, *counts, by, f"{found.bound:,}", f"{plan.uniform[strength]:.1%}")
    forecast = plan.forecast
    expected = "" if forecast.expected is None else f"; {forecast.expected:,} at the observed yield"
    usd = "unknown (no price given)" if forecast.usd is None else f"{forecast.usd[0]:,.2f} to {forecast.usd[1]:,.2f}"
    lines = [
        f"strength {plan.strength}: every combination of {plan.strength} levels that training may see is planned"
        if plan.strength
        else "strength 0: too few contexts to meet every level once",
        "all met by: contexts from the first on; least possible: fewer cannot meet them all",
        *(f"sealed: {name} {sets[name]}, sha256 {digest[:16]}" for name, digest in sorted(plan.sealed.items())),
        "",
        f"forecast ({forecast.basis})",
        f"  yield    {forecast.yield_[0]:.0%} to {forecast.yield_[1]:.0%}",
        f"  contexts {forecast.contexts[0]:,} to {forecast.contexts[1]:,} for {forecast.accepted:,} accepted drafts, "
        f"of which {plan.size:,} are selected; sealed ones included" + expected,
        f"  asks     {forecast.asks[0]:,} to {forecast.asks[1]:,}",
        f"  tokens   {forecast.tokens[0]:,} to {forecast.tokens[1]:,}",
        f"  USD      {usd}",
    ]
    return Group(head, Text(""), table, *(Text(line) for line in lines))


def preview_report(recipe: Recipe, state: Any) -> Iterator[RenderableType]:
    """Each draft of a preview with its context, verdict and judgement."""
    judged = {row["id"]: row for row in state.judgements.iter_rows(named=True)}
    dropped = {row["id"]: row for row in state.verdicts.filter(~pl.col("kept")).iter_rows(named=True)}
    contexts = {row["id"]: row for row in state.contexts.iter_rows(named=True)}
    for draft in state.drafts.iter_rows(named=True):
        context = contexts[draft["context_id"]]
        levels = " · ".join(f"{axis}: {context[axis]}" for axis in recipe.axes)
        parts: list[RenderableType] = [Text(levels, style="dim"), Text("")]
        parts += list(conversation_lines(draft["messages"] or [], draft["because"]))
        parts.append(Text(_outcome(draft, dropped.get(draft["id"]), judged.get(draft["id"])), style="bold"))
        yield Panel(Group(*parts), title=Text(draft["id"]), title_align="left")


def conversation_lines(messages: Sequence[Mapping[str, str]], because: str | None) -> Iterator[Text]:
    for turn in messages:
        text = Text(f"{turn['role']}: ", style="bold cyan" if turn["role"] == "user" else "bold green")
        body = Text(on_screen(turn["content"]), style="none")
        if because:
            start = body.plain.find(on_screen(because))
            if start >= 0 and turn["role"] == "assistant":
                body.stylize("italic underline", start, start + len(on_screen(because)))
        yield text + body + Text("\n")


def _outcome(draft: Mapping[str, Any], drop: Mapping[str, Any] | None, judged: Mapping[str, Any] | None) -> str:
    if drop is not None:
        detail = f" ({on_screen(draft['problem'], width=200)})" if draft["problem"] else ""
        return f"dropped: {drop['reason']}{detail}"
    if judged is None or judged["state"] == "unjudged":
        return "kept, unjudged"
    if judged["state"] == "unscored":
        return f"kept, unscored: {on_screen(judged['reason'] or '', width=200)}"
    items = ", ".join(sorted({span["item"] for span in judged["spans"]})) or "none quoted"
    return f"kept, level {judged['level']:g} of 4; evidence: {items}"


def state_of(output: Output) -> dict[str, Any]:
    """What an output directory holds, for `status`."""
    latest = output.latest()
    with output.ledger(read_only=True) as ledger:
        spent, unfinished = ledger.spent(), ledger.note("unfinished run")
    audits = [quoted(found) for found in audits_in(output)]
    releases = []
    for path in output.releases():
        manifest = read_manifest(path)
        releases.append(
            {
                "name": path.name,
                "created": manifest["created"],
                "exemplars": manifest["funnel"]["selected"],
                "heldout": manifest["funnel"]["heldout"],
                "teacher": manifest["models"]["teacher"]["model"],
                "judged": manifest["judged"],
                "exit": manifest["exit"],
            }
        )
    return {
        "out": str(output.path),
        "latest": latest.name if latest else None,
        "unfinished": unfinished,
        "replies": spent.replies,
        "failures": spent.failures,
        "tokens": spent.prompt_tokens + spent.completion_tokens,
        "paid_usd": None if spent.unpriced else spent.microusd / 1e6,
        "releases": releases,
        "audits": audits,
    }


def status_report(state: Mapping[str, Any], funnel: Mapping[str, Any] | None) -> Group:
    paid = "cost unknown" if state["paid_usd"] is None else f"{state['paid_usd']:.4f} USD"
    lines = [
        f"{state['out']}: {state['replies']} replies in the ledger ({state['failures']} failed), "
        f"{state['tokens']:,} tokens, {paid}"
    ]
    if state["unfinished"]:
        lines.append(f"a run of size {state['unfinished']['size']} is under way or unfinished; run again to resume it")
    table = Table(box=None, pad_edge=False)
    for name in ("release", "exemplars", "held out", "teacher", "judge", ""):
        table.add_column(name)
    for release in state["releases"]:
        mark = "latest" if release["name"] == state["latest"] else ""
        table.add_row(
            release["name"],
            str(release["exemplars"]),
            str(release["heldout"]),
            release["teacher"],
            release["judged"],
            mark,
        )
    parts: list[RenderableType] = [Text(line) for line in lines]
    if state["releases"]:
        parts += [Text(""), table]
        parts += [Text(on_screen(line)) for line in status_lines(state["audits"], state["latest"])]
    if funnel:
        parts += [Text(""), funnel_table(funnel)]
    return Group(*parts)


def standing_report(found: Any) -> Group:
    """`gen.standing.Standing` as a table, one row a level, and the cells that are given up."""
    table = Table(title=f"coverage of release {found.release}", title_justify="left", box=None, pad_edge=False)
    for name in ("axis", "level"):
        table.add_column(name, overflow="fold")
    for name in ("wanted", "got", "pool", "drafts", "yield", "USD each", "tokens each", "new ideas", "next round"):
        table.add_column(name, justify="right")
    axis = ""
    for row in found.levels.iter_rows(named=True):
        coming = f"{row['next']} contexts" if row["next"] else "" if row["state"] == "open" else row["state"]
        table.add_row(
            "" if row["axis"] == axis else row["axis"],
            row["level"],
            *(str(row[name]) for name in ("wanted", "got", "pool", "drafts")),
            *_figures(row, {"yield": ".0%", "usd_per_accepted": ".4f", "tokens_per_accepted": ",.0f"}),
            *_figures(row, {"missing_mass": ".0%"}),
            coming,
        )
        axis = row["axis"]
    lines = [f"given up: {gone.words}" for gone in found.given_up]
    lines.append(
        "each: of an accepted exemplar · new ideas: chance that the next accepted draft brings one (Good-Turing)"
    )
    return Group(table, Text(""), *(Text(line) for line in lines))


def _figures(row: Mapping[str, Any], formats: Mapping[str, str]) -> Iterator[str]:
    for name, form in formats.items():
        yield "–" if row[name] is None else format(row[name], form)


def damage_of(output: Output) -> list[str]:
    """Everything in an output directory that is not what was written, for `verify`."""
    findings: list[str] = []
    for release in output.releases():
        findings += check_release(release)
    try:
        if output.releases() and output.latest() is None:
            findings.append("LATEST: missing, though there are releases")
    except OutputError as error:
        findings.append(error.what)
    with output.ledger(read_only=True) as ledger:
        findings += [f"ledger.sqlite: {finding}" for finding in ledger.check()]
    return findings
