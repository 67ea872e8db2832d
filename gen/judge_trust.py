"""a release and people's labels → how far its judge's scores may be trusted, value by value.

Nothing is accepted or dropped by this: it says what could be, and with which promise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from .agreement import alternative_annotator_test, krippendorff_alpha, weighted_kappa
from .calibration import Calibrated, calibrate
from .guarantees import Accepted, conformal_selection, corpus_rate, high_probability_selection
from .label_evidence import GOOD_FROM, WEAK_SHARE, check_good_from, known_labels
from .labelbook import labels, text_sum
from .output import Output
from .recipe import Rubric, load
from .release import read_manifest, read_table

Floats = npt.NDArray[np.float64]

ALPHA, TARGET, DELTA = 0.05, 0.95, 0.1
LEAST_BOTH = 10
"""Texts that two raters must share before their agreement is a figure."""


@dataclass(frozen=True)
class Shipped:
    """What could be accepted under one promise: of `texts` unlabelled ones `kept`, those from `threshold` up."""

    rule: str  # the promise in words; up to the colon its name
    texts: int
    kept: int
    threshold: float | None

    @property
    def name(self) -> str:
        return self.rule.partition(":")[0]

    @property
    def is_weak(self) -> bool:
        return self.kept < WEAK_SHARE * self.texts

    @classmethod
    def of(cls, accepted: Accepted) -> Shipped:
        return cls(accepted.rule, len(accepted.kept), int(accepted.kept.sum()), accepted.threshold)


@dataclass(frozen=True)
class Agreement:
    """Between people, and of the judge with them; None where too few texts were rated by both.

    people     how many labelled
    alpha      Krippendorff's, ordinal, among the people
    kappa      quadratic weighted, the judge's level (rounded) and the people's median
    winning    share of the people whom the judge may stand in for (alternative-annotator test), from two people on
    """

    people: int
    alpha: float | None
    kappa: float | None
    winning: float | None


@dataclass(frozen=True)
class Trust:
    """What labels say of the judge's scores on one facet.

    labels, good     texts of the facet with a label drawn at random and a score; those that people call good
    set_aside        labelled texts that do not count, by reason
    agreement        of all labelled texts with a score, those of active mode too
    missing          what is short, in words; then the rest is None
    """

    facet: str
    labels: int
    good: int
    set_aside: Mapping[str, int]
    agreement: Agreement
    missing: str | None = None
    auc: float | None = None
    ece: float | None = None
    brier: float | None = None
    method: str | None = None
    rate: tuple[float, float, float] | None = None  # share of good texts among all kept: estimate, low, high (95 %)
    shipped: tuple[Shipped, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"too_weak": bool(self.shipped) and self.shipped[0].is_weak}


@dataclass(frozen=True)
class Trusted:
    """The report of a release: its judge, and one `Trust` for each facet."""

    release: str
    judge: str | None
    good_from: float
    alpha: float
    facets: Sequence[Trust]

    def as_dict(self) -> dict[str, Any]:
        return {
            "release": self.release,
            "judge": self.judge,
            "good_from": self.good_from,
            "alpha": self.alpha,
            "facets": [trust.as_dict() for trust in self.facets],
        }


def trust(
    out: str | Path, *, alpha: float = ALPHA, target: float = TARGET, delta: float = DELTA, good_from: float = GOOD_FROM
) -> Trusted:
    """How far the scores of the latest release in `out` may be trusted, by the labels that stand in its ledger.

    Of several people's levels for a text the mean counts: from `good_from` (0 to 4) on it is good. Only labels that the
    draw at random came to are learnt from, because the promises hold for such alone; those whose text or rubric has
    changed and texts without a score are set aside and counted. By facet: the curve of `calibrate`, the share of good
    texts among all kept ones (PPI++), what conformal selection at `alpha` would ship, and what the high-probability
    rule would at `target` and `delta`.

    Raises OutputError where there is no release, RecipeError for limits that cannot be.
    """
    check_good_from(good_from)
    release = Output.existing(out).newest(why="labels are compared with the scores of a release")
    texts, said = _texts(release), labels(out)
    judge = read_manifest(release)["models"]["judge"]
    limits = (alpha, target, delta)
    rubrics = load(release / "recipe").rubrics
    facets = [
        _trust(
            facet,
            texts.filter(pl.col("facet") == facet),
            said.filter(pl.col("facet") == facet),
            rubrics[facet],
            good_from,
            limits,
        )
        for facet in texts["facet"].unique().sort()
    ]
    return Trusted(release.name, judge["model"] if judge else None, good_from, alpha, facets)


def _texts(release: Path) -> pl.DataFrame:
    """`id, facet, level, score, text_sha256` of every kept draft of training."""
    drafts = read_table(release, "drafts").select("id", "messages")
    rows = read_table(release, "judgements").select("id", "facet", "level", "score")
    rows = rows.join(drafts, on="id", maintain_order="left")
    sums = [text_sum(messages) for messages in rows["messages"]]
    return rows.drop("messages").with_columns(text_sha256=pl.Series(sums, dtype=pl.String))


def _trust(
    facet: str,
    texts: pl.DataFrame,
    said: pl.DataFrame,
    rubric: Rubric,
    good_from: float,
    limits: tuple[float, float, float],
) -> Trust:
    known = known_labels(texts, said, rubric, good_from)
    scores, good = known.scores, known.good
    head = Trust(facet, len(good), int(good.sum()), known.set_aside, _agreement(known.usable))
    if known.missing:
        return Trust(**{**_fields(head), "missing": known.missing})
    everything = texts.drop_nulls("score")
    rest = everything.filter(~pl.col("id").is_in(known.ids))["score"].to_numpy()
    return _measured(head, calibrate(scores, good), scores, good, rest, limits)


def _fields(head: Trust) -> dict[str, Any]:
    return {name: getattr(head, name) for name in ("facet", "labels", "good", "set_aside", "agreement")}


def _measured(
    head: Trust,
    curve: Calibrated,
    scores: Floats,
    good: npt.NDArray[np.bool_],
    rest: Floats,
    limits: tuple[float, float, float],
) -> Trust:
    alpha, target, delta = limits
    conformal = conformal_selection(rest, labelled=scores, good=good, alpha=alpha)
    rule = high_probability_selection(rest, labelled=scores, good=good, target=target, delta=delta)
    rate = corpus_rate(scores, good, rest)
    return Trust(
        **_fields(head),
        auc=curve.auc,
        ece=curve.ece,
        brier=curve.brier,
        method=curve.curve.method,
        rate=(rate.estimate, rate.low, rate.high),
        shipped=(Shipped.of(conformal), Shipped.of(rule)),
    )


def _agreement(usable: pl.DataFrame) -> Agreement:
    people = usable["who"].unique().sort().to_list()
    if not people:
        return Agreement(0, None, None, None)
    wide = usable.pivot("who", index=["id", "level_judge"], values="level", aggregate_function="last")
    rated = wide.select(people).cast(pl.Float64).fill_null(float("nan")).to_numpy().T
    judge = np.rint(wide["level_judge"].to_numpy())
    shared = int((np.isfinite(rated).sum(axis=0) >= 2).sum())
    median = np.rint(np.nanmedian(rated, axis=0))
    stands_in = len(people) >= 2 and shared >= LEAST_BOTH
    return Agreement(
        people=len(people),
        alpha=_figure(krippendorff_alpha(rated)) if stands_in else None,
        kappa=_figure(weighted_kappa(judge, median)) if wide.height >= LEAST_BOTH else None,
        winning=float(alternative_annotator_test(judge, rated).winning_rate) if stands_in else None,
    )


def _figure(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
