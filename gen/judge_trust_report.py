"""`gen.trust` for a screen: a table of measures, then what could be shipped under which promise."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from .judge_trust import Trust, Trusted
from .text import on_screen

LEGEND = (
    "AUC, ECE, Brier: on labels that the curve was not made from",
    "kappa: judge and people, quadratic weights; alpha: Krippendorff's, among people",
    "a run filters by this where its recipe has a rule of [acceptance]",
)


def trust_report(found: Trusted) -> Iterator[RenderableType]:
    """A table of measures, then what could be shipped under which promise, facet by facet."""
    judge = on_screen(found.judge or "none")
    yield Text(f"release {found.release}, judge {judge}; good: level {found.good_from:g} and up")
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
    for rule in dict.fromkeys(shipped.rule for trust in found.facets for shipped in trust.shipped):
        yield Text(rule)
    yield from (Text(line) for line in LEGEND)


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
        if not shipped.texts:
            yield f"{facet}: {shipped.name} has nothing to choose from, for every text has a label"
            continue
        share = shipped.kept / shipped.texts
        weak = "; too weak a judge, or too few labels, for that" if shipped.is_weak else ""
        yield f"{facet}: {shipped.name} would ship {share:.0%}, {shipped.kept} of {shipped.texts} unlabelled{weak}"
    if trust.agreement.winning is not None:
        may = "may" if trust.agreement.winning >= 0.5 else "may not"
        people = trust.agreement.people
        yield f"{facet}: the judge {may} stand in for one of the {people} people (alternative-annotator test)"
    for reason, count in trust.set_aside.items():
        yield f"{facet}: {count} labelled texts set aside, {reason}"
