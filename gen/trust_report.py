"""`gen.trust` for a screen: one block for each facet, the promise in words."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from .text import on_screen
from .trust import Shipped, Trust, Trusted


def trust_report(found: Trusted) -> Iterator[RenderableType]:
    """A table of measures, then what could be shipped under which promise, facet by facet."""
    yield Text(
        f"release {found.release}, judge {on_screen(found.judge or 'none')}; good: level {found.good_from:g} and up"
    )
    yield Text("")
    table = Table(box=None, pad_edge=False)
    table.add_column("value")
    for name in ("labels", "good", "AUC", "ECE", "Brier", "good of all kept (95 %)", "kappa", "people", "alpha"):
        table.add_column(name, justify="right")
    for trust in found.facets:
        table.add_row(on_screen(trust.facet), *_cells(trust))
    yield table
    yield Text("")
    for trust in found.facets:
        yield from (Text(line) for line in _words(trust))
    yield Text("")
    yield Text(
        "AUC, ECE, Brier: of labels that the curve was not made from · kappa: judge and people, quadratic weights"
    )
    yield Text("alpha: Krippendorff's, among people · runs do not filter by these yet")


def _cells(trust: Trust) -> list[str]:
    rate = "-" if trust.rate is None else "{:.0%} ({:.0%} to {:.0%})".format(*trust.rate)
    agreement = trust.agreement
    return [
        str(trust.labels),
        str(trust.good),
        *(_figure(value) for value in (trust.auc, trust.ece, trust.brier)),
        rate,
        _figure(agreement.kappa),
        str(agreement.people),
        _figure(agreement.alpha),
    ]


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _words(trust: Trust) -> Iterator[str]:
    facet = on_screen(trust.facet)
    if trust.missing:
        yield f"{facet}: {trust.missing}"
    for shipped in trust.shipped:
        yield f"{facet}: {_promise(shipped)}"
    if trust.agreement.winning is not None:
        stands = "may" if trust.agreement.winning >= 0.5 else "may not"
        yield f"{facet}: the judge {stands} stand in for a person ({trust.agreement.winning:.0%} of {trust.agreement.people})"
    for reason, count in trust.set_aside.items():
        yield f"{facet}: {count} labelled texts set aside, {reason}"


def _promise(shipped: Shipped) -> str:
    share = shipped.kept / shipped.texts if shipped.texts else 0.0
    weak = "this judge is too weak for that target, it " if shipped.is_weak else ""
    return f"{weak}would ship {share:.0%} ({shipped.kept} of {shipped.texts} unlabelled) by {shipped.rule}"
