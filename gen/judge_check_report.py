"""`check_judge` for a screen: one table for each value, then what it means in words."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from .judge_check import FacetCheck, JudgeCheck
from .text import on_screen
from .validity import Finding

TITLES = {
    "V1": "sees the value",
    "V2": "not the words",
    "V3": "not the dress",
    "V4": "not everywhere",
    "V5": "as people do",
    "V6": "no relative",
}
LEGEND = (
    "measured: V1 share of contexts; V2, V3 share of the way from hollow to genuine; V4 share of control texts",
    "bound: one-sided 95 %, exact for V1 and V4, else bootstrap; it is what must keep to the limit",
)


def check_report(checked: JudgeCheck) -> Iterator[RenderableType]:
    """The judge, a table for each value, and the outcome."""
    yield Text(f"judge {on_screen(checked.judge)}: asked {checked.asked}, replayed {checked.replayed}")
    yield from (Text(on_screen(note)) for note in checked.notes)
    for facet in checked.facets:
        yield Text("")
        yield Text(f"{on_screen(facet.facet)}: {_outcome(facet)}", style="bold")
        yield _table(facet)
        yield from (Text(line) for line in _notes(facet))
    yield Text("")
    yield from (Text(line, style="dim") for line in LEGEND)
    yield Text(_whole(checked), style="bold")


def _table(facet: FacetCheck) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("test", no_wrap=True)
    table.add_column("tried on", no_wrap=True)
    for name in ("n", "measured", "bound", "limit"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    before = None
    for found in facet.findings:
        title = f"{found.test} {TITLES[found.test]}" if found.test != before else ""
        before = found.test
        table.add_row(title, found.name, *_figures(found), _said(found), style=_STYLES.get(found.passed, ""))
    return table


_STYLES = {False: "red", None: "dim"}


def _figures(found: Finding) -> tuple[str, str, str, str]:
    bound = "-"
    if found.low is not None and found.high is not None:
        bound = f"{found.low:+.2f} to {found.high:+.2f}"
    elif found.low is not None:
        bound = f"≥ {found.low:.2f}"
    elif found.high is not None:
        bound = f"≤ {found.high:.2f}"
    sign = "" if found.limit is None else "±" if found.test == "V3" else "≥" if found.high is None else "≤"
    limit = "-" if found.limit is None else f"> {found.limit:.2f}" if not found.limit else f"{sign} {found.limit:.2f}"
    measured = "-" if found.figure is None else f"{found.figure:.2f}"
    return str(found.n) if found.n else "-", measured, bound, limit


def _said(found: Finding) -> str:
    if found.passed is None:
        return "reported" if found.tried else "not tried"
    return "yes" if found.passed else "NO"


def _notes(facet: FacetCheck) -> Iterator[str]:
    """Why a test says no, or was not tried."""
    for found in facet.findings:
        if found.note and (found.passed is False or not found.tried):
            yield on_screen(f"  {found.test} {found.name}: {found.note}")


def _outcome(facet: FacetCheck) -> str:
    if facet.failed:
        return f"this judge may not filter, it failed {', '.join(facet.failed)}"
    missing = f"; not tried: {', '.join(facet.not_tried)}" if facet.not_tried else ""
    return f"this judge may filter{missing}"


def _whole(checked: JudgeCheck) -> str:
    wrong = [facet.facet for facet in checked.facets if not facet.may_filter]
    if wrong:
        return on_screen(f"no: on {', '.join(wrong)} a release of this judge is marked as failed")
    missing = {test for facet in checked.facets for test in facet.not_tried}
    left = "; whether it finds the value where it is not called for was not tried everywhere" if "V4" in missing else ""
    people = "; that people agree with it has not been shown, for want of labels" if "V5" in missing else ""
    return f"yes: it may filter{left}{people}"
