"""labels and scores → what is promised from one half, and what came of it in the other, where labels are known too."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from .agreement import alternative_annotator_test, krippendorff_alpha, weighted_kappa
from .calibration import bins_of, calibrate, checked_labels, checked_scores
from .errors import RecipeError
from .guarantees import Accepted, check_share, conformal_selection, exact_bound, high_probability_selection
from .recorded_rows import Recorded

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Rule = Literal["conformal", "high_probability"]

SPLITS = 200
"""Halvings over which a promise is averaged: its mean has then a standard error of a few thousandths."""


@dataclass(frozen=True)
class Promise:
    """One rule, learnt from one part and checked on the rest.

    rule       the promise in words
    texts, accepted, good   of the first split: texts of the rest, accepted ones, those of them that people call good
    bound      what the share of good ones among all such accepted is at least (exact, one-sided 95 %); None of none
    mean_bad   mean share of bad ones among the accepted over all splits, 0 where none was: the conformal promise
    missed     share of splits in which the accepted were less good than the target; with few accepted it can be more
               than delta, which the high-probability rule promises of all texts that score as high
    mean_share mean share of texts that was accepted
    """

    rule: str
    texts: int
    accepted: int
    good: int
    bound: float | None
    mean_bad: float
    missed: float | None
    mean_share: float
    splits: int


@dataclass(frozen=True)
class HeldOut:
    """ece and brier of the curve from one part, on the rest (first split); then what each rule promised and held."""

    labels: int
    good: int
    learnt_from: int
    auc: float
    ece: float
    brier: float
    promises: tuple[Promise, ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def held_out(
    scores: npt.ArrayLike,
    good: npt.ArrayLike,
    *,
    split: float = 0.5,
    alpha: float = 0.1,
    target: float = 0.9,
    delta: float = 0.1,
    splits: int = SPLITS,
    seed: int = 0,
) -> HeldOut:
    """Calibrates on a share `split` of texts with `scores` (n,) and labels `good` (n,), and checks the rest.

    The part is drawn by `seed`, anew for each of `splits`. A promise on average can only be checked on average, so
    `mean_bad` is over all of them; a single split may lie above `alpha`. NaN scores are left out. Raises RecipeError
    as `calibrate` does, also where a part has too few labels of a kind.
    """
    for name, value in (("split", split), ("alpha", alpha), ("target", target), ("delta", delta)):
        check_share(name, value)
    if isinstance(splits, bool) or not isinstance(splits, int) or splits < 1:
        raise RecipeError(what=f"splits is {splits!r}", why="it is how often is drawn", do="give 1 or more")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise RecipeError(what=f"seed is {seed!r}", why="it draws the parts", do="give a whole number, 0 or more")
    given, labels = checked_scores(scores), np.asarray(good)
    if labels.shape != given.shape:
        checked_labels(given, labels)  # raises
    scored = np.isfinite(given)
    given, labels = checked_labels(given[scored], labels[scored])
    if round(len(given) * split) >= len(given):
        raise RecipeError(
            what=f"split is {split!r} of {len(given)} texts, which leaves none",
            why="a promise is checked on texts that it was not learnt from",
            do="give a smaller share",
        )
    dice = np.random.Generator(np.random.PCG64(seed))
    parts = [_part(dice, len(given), split) for _ in range(splits)]
    first = parts[0]
    curve = calibrate(given[first], labels[first])
    said = curve.curve(given[~first])
    rules: list[tuple[Rule, float | None]] = [("conformal", None), ("high_probability", target)]
    limits = {"alpha": alpha, "target": target, "delta": delta}
    return HeldOut(
        labels=len(labels),
        good=int(labels.sum()),
        learnt_from=int(first.sum()),
        auc=curve.auc,
        ece=_ece(said, labels[~first]),
        brier=float(np.mean((said - labels[~first]) ** 2)),
        promises=tuple(_promise(rule, given, labels, parts, wanted, limits) for rule, wanted in rules),
    )


def _part(dice: np.random.Generator, count: int, split: float) -> Bools:
    part = np.zeros(count, np.bool_)
    part[dice.permutation(count)[: max(1, round(count * split))]] = True
    return part


def _promise(
    rule: Rule, scores: Floats, good: Bools, parts: list[Bools], target: float | None, limits: dict[str, float]
) -> Promise:
    bad, shares, misses = [], [], []
    head: tuple[Accepted, Bools] | None = None
    for part in parts:
        try:
            found = _accept(rule, scores, good, part, limits)
        except RecipeError:
            if head is None:
                raise
            continue  # a split with too few of a kind promises nothing
        truth = good[~part]
        head = head or (found, truth)
        share = float(truth[found.kept].mean()) if found.kept.any() else 1.0
        bad.append(1 - share)
        shares.append(found.share)
        misses.append(share < (target or 0))
    assert head is not None  # the first split set it or raised
    accepted, truth = head
    count, hits = int(accepted.kept.sum()), int(truth[accepted.kept].sum())
    return Promise(
        rule=accepted.rule,
        texts=len(truth),
        accepted=count,
        good=hits,
        bound=exact_bound(hits, count) if count else None,
        mean_bad=float(np.mean(bad)),
        missed=None if target is None else float(np.mean(misses)),
        mean_share=float(np.mean(shares)),
        splits=len(bad),
    )


def _accept(rule: Rule, scores: Floats, good: Bools, part: Bools, limits: dict[str, float]) -> Accepted:
    if rule == "conformal":
        return conformal_selection(scores[~part], labelled=scores[part], good=good[part], alpha=limits["alpha"])
    return high_probability_selection(
        scores[~part], labelled=scores[part], good=good[part], target=limits["target"], delta=limits["delta"]
    )


def _ece(said: Floats, good: Bools) -> float:
    bins = bins_of(said)
    return float(np.abs(np.bincount(bins, said - good)).sum() / len(said))


@dataclass(frozen=True)
class PeopleAndJudge:
    """How far people agree with each other, and the judge with them.

    pairs      (one, other, texts, kappa) of people: Cohen's, unweighted; None where one of them never varies
    alpha      Krippendorff's among them, ordinal; None of one person
    same, compared  texts with a score and a label; those of them where both say the same
    bound      what the share of the same is at least (exact, one-sided 95 %)
    kappa      judge and label, quadratic weights; None where one of them never varies, or on different scales
    winning    share of the people whom the judge may stand in for; None of one person, or on different scales
    """

    pairs: tuple[tuple[str, str, int, float | None], ...]
    alpha: float | None
    same: int
    compared: int
    bound: float
    kappa: float | None
    winning: float | None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def people_and_judge(rows: Recorded) -> PeopleAndJudge:
    """Agreement in a file of recorded labels and scores; scores and labels are compared as they stand."""
    both = rows.scored & np.isfinite(rows.labels)
    same, compared = int((rows.scores[both] == rows.labels[both]).sum()), int(both.sum())
    several = len(rows.raters) > 1
    pairs = []
    for one in range(len(rows.raters)):
        for other in range(one + 1, len(rows.raters)):
            shared = int((np.isfinite(rows.ratings[one]) & np.isfinite(rows.ratings[other])).sum())
            kappa = weighted_kappa(rows.ratings[one], rows.ratings[other], weights="none")
            pairs.append((rows.raters[one], rows.raters[other], shared, _figure(kappa)))
    return PeopleAndJudge(
        pairs=tuple(pairs),
        alpha=_figure(krippendorff_alpha(rows.ratings)) if several else None,
        same=same,
        compared=compared,
        bound=exact_bound(same, compared),
        kappa=_figure(weighted_kappa(rows.scores[both], rows.labels[both])) if _one_scale(rows) else None,
        winning=_winning(rows) if several and _one_scale(rows) else None,
    )


def _one_scale(rows: Recorded) -> bool:
    """Whether the judge gives levels as people do; a score between 0 and 1 beside levels 0 to 4 is none of them."""
    given, said = np.unique(rows.ratings[np.isfinite(rows.ratings)]), np.unique(rows.scores[rows.scored])
    whole = bool((given % 1 == 0).all() and (said % 1 == 0).all())
    return whole or bool(np.isin(said, given).all())


def _winning(rows: Recorded) -> float | None:
    try:
        return float(alternative_annotator_test(rows.scores, rows.ratings).winning_rate)
    except RecipeError:  # no two people who labelled the same texts
        return None


def _figure(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
