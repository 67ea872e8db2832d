"""scores and people's labels → the probability that people would agree: Platt or isotonic, and how far it holds.

A judge's 0.8 is no probability. Which probability it stands for is learnt from labels, and how well is measured on
labels that were not learnt from (cross-fitting). Nothing here decides about a row; `guarantees` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from .errors import RecipeError

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Method = Literal["auto", "platt", "isotonic"]

ISOTONIC_FROM = 1_000
"""Labels from which steps fit better than a curve: at 500 they leave an error of .033 to .039, Platt .019 to .025."""
FOLDS = 5
LEAST_LABELS = 20
"""Fewer make no curve: the error of its ends is larger than what it would mend."""
LEAST_OF_A_KIND = 5
BINS = 10
_STEPS = 100
_DECIMALS = 9  # to which a probability is compared: less is the arithmetic's own
_RIDGE = 1e-12

RELIABILITY = {"low": pl.Float64, "high": pl.Float64, "labels": pl.UInt32, "said": pl.Float64, "found": pl.Float64}


@dataclass(frozen=True)
class Curve:
    """score → probability, non-decreasing. Platt: 1 / (1 + exp(-(slope x score + offset))); isotonic: between knots."""

    method: Literal["platt", "isotonic"]
    slope: float = 0.0
    offset: float = 0.0
    knots: tuple[tuple[float, float], ...] = ()

    def __call__(self, scores: npt.ArrayLike) -> Floats:
        """Probabilities of any number of scores; NaN stays NaN."""
        given = np.asarray(scores, np.float64)
        if self.method == "isotonic":
            return _between(given, *np.array(self.knots).T)
        return _logistic(self.slope * given + self.offset)


@dataclass(frozen=True)
class Calibrated:
    """A curve, and how it does on labels that it was not made from.

    curve      from all labels
    predicted  (n,) cross-fitted probabilities: each from a curve of the other folds
    ece        expected calibration error of those, over `BINS` bins of equally many labels: 0 to 1
    brier      their mean squared distance from the labels: 0 to 1, 0.25 for a coin
    auc        chance that a good text has a higher score than a bad one, ties half
    table      RELIABILITY frame: by bin, what was said and what was found
    """

    curve: Curve
    predicted: Floats
    ece: float
    brier: float
    auc: float
    table: pl.DataFrame


def calibrate(scores: npt.ArrayLike, good: npt.ArrayLike, *, method: Method = "auto", seed: int = 0) -> Calibrated:
    """The curve from a judge's `scores` (n,) to the share of texts that people called `good` (n,) booleans.

    Platt scaling (Platt 1999, with his targets; Newton steps as in Lin, Lin and Weng 2007) below 1,000 labels, isotonic
    regression (pool adjacent violators) from there on, or as `method` says. A judge that is worse than chance gets a
    flat curve, never a falling one. Folds are drawn by `seed`, each with its part of both kinds.

    Raises RecipeError for fewer than 20 labels, fewer than five of a kind, and numbers that are not finite.
    """
    given, labels = checked_labels(scores, good)
    chosen = _method(method, len(given))
    folds = _folds(labels, seed)
    predicted = np.empty(len(given))
    for fold in range(FOLDS):
        rest = folds != fold
        predicted[~rest] = _fit(chosen, given[rest], labels[rest])(given[~rest])
    table = _reliability(predicted, labels)
    gaps = (table["said"] - table["found"]).abs() * table["labels"] / len(given)
    return Calibrated(
        curve=_fit(chosen, given, labels),
        predicted=predicted,
        ece=float(gaps.sum()),
        brier=float(np.mean((predicted - labels) ** 2)),
        auc=_auc(given, labels),
        table=table,
    )


def checked_labels(scores: npt.ArrayLike, good: npt.ArrayLike) -> tuple[Floats, Bools]:
    """Both as arrays. Raises RecipeError where nothing can be learnt from them."""
    given, labels = checked_scores(scores), np.asarray(good)
    if given.ndim != 1 or labels.shape != given.shape:
        raise _unusable(f"{given.shape} scores and {labels.shape} labels", "give one label for each score")
    if not np.isfinite(given).all():
        row = int(np.flatnonzero(~np.isfinite(given))[0])
        raise _unusable(f"score {row} is {given[row]}", "leave out texts that have no score")
    if labels.dtype != np.bool_ and not np.isin(labels, (0, 1)).all():
        raise _unusable("a label is neither true nor false", "say of each text whether people called it good")
    labels = labels.astype(np.bool_)
    kinds = int(labels.sum()), int((~labels).sum())
    if len(given) < LEAST_LABELS or min(kinds) < LEAST_OF_A_KIND:
        raise _unusable(
            f"{len(given)} labels, {kinds[0]} good and {kinds[1]} not",
            f"label at least {LEAST_LABELS} texts, of which {LEAST_OF_A_KIND} are good and {LEAST_OF_A_KIND} are not",
        )
    return given, labels


def checked_scores(scores: npt.ArrayLike) -> Floats:
    """As an array. Raises RecipeError for what is no number."""
    try:
        return np.asarray(scores, np.float64)
    except (TypeError, ValueError) as error:
        raise _unusable(f"scores that are no numbers ({error})", "give numbers, NaN where there is none") from error


def _unusable(what: str, do: str) -> RecipeError:
    return RecipeError(what=what, why="what a score stands for is learnt from people's labels of both kinds", do=do)


def _method(method: Method, labels: int) -> Literal["platt", "isotonic"]:
    if method == "auto":
        return "isotonic" if labels >= ISOTONIC_FROM else "platt"
    if method not in ("platt", "isotonic"):
        raise RecipeError(
            what=f"method is {method!r}", why="it says how the curve is made", do="write auto or a method"
        )
    return method


def _fit(method: str, scores: Floats, good: Bools) -> Curve:
    return _isotonic(scores, good) if method == "isotonic" else _platt(scores, good)


def _platt(scores: Floats, good: Bools) -> Curve:
    """Newton with halved steps on Platt's targets, which keep the curve off 0 and 1."""
    yes, no = int(good.sum()), int((~good).sum())
    targets = np.where(good, (yes + 1) / (yes + 2), 1 / (no + 2))
    middle, scale = float(scores.mean()), float(scores.std()) or 1.0
    design = np.column_stack([(scores - middle) / scale, np.ones(len(scores))])
    found = np.array([0.0, np.log((yes + 1) / (no + 1))])
    loss = _loss(design @ found, targets)
    for _ in range(_STEPS):
        chances = _logistic(design @ found)
        gradient = design.T @ (chances - targets)
        if np.abs(gradient).max() < 1e-9 * len(scores):
            break
        curvature = (design * (chances * (1 - chances))[:, None]).T @ design + _RIDGE * np.eye(2)
        step, size = np.linalg.solve(curvature, gradient), 1.0
        while size > 1e-10 and (after := _loss(design @ (found - size * step), targets)) > loss:
            size /= 2
        if size <= 1e-10:
            break
        found, loss = found - size * step, after
    slope = max(float(found[0]), 0.0) / scale
    if slope == 0:  # worse than chance: the base rate says more than the score
        return Curve("platt", 0.0, float(np.log((yes + 1) / (no + 1))))
    return Curve("platt", slope, float(found[1]) - slope * middle)


def _loss(margins: Floats, targets: Floats) -> float:
    return float((np.logaddexp(0.0, margins) - targets * margins).sum())


def _isotonic(scores: Floats, good: Bools) -> Curve:
    from scipy.optimize import isotonic_regression

    at, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    means = np.bincount(places, good, len(at)) / counts
    fitted = isotonic_regression(means, weights=counts).x
    edge = np.diff(fitted, prepend=np.nan, append=np.nan) != 0  # the first and the last score of each step
    kept = edge[:-1] | edge[1:]
    return Curve("isotonic", knots=tuple(zip(at[kept].tolist(), fitted[kept].tolist(), strict=True)))


def _between(scores: Floats, at: Floats, values: Floats) -> Floats:
    """Linear between knots and level outside, also where two knots are the least number apart that there is."""
    right = np.clip(np.searchsorted(at, scores), 1, max(len(at) - 1, 1))
    left, right = right - 1, np.minimum(right, len(at) - 1)
    gap = at[right] - at[left]
    inside = np.clip(scores, at[left], at[right]) - at[left]
    part = np.divide(inside, gap, where=gap > 0, out=np.asarray(inside * 0.0))
    return np.asarray(values[left] + part * (values[right] - values[left]))


def _folds(labels: Bools, seed: int) -> npt.NDArray[np.int64]:
    drawn = np.random.Generator(np.random.PCG64(seed))
    folds = np.empty(len(labels), np.int64)
    start = 0
    for kind in (True, False):
        places = drawn.permutation(np.flatnonzero(labels == kind))
        folds[places] = (np.arange(len(places)) + start) % FOLDS
        start += len(places)
    return folds


def _reliability(predicted: Floats, good: Bools) -> pl.DataFrame:
    bins = bins_of(predicted)
    parts = [np.flatnonzero(bins == number) for number in np.unique(bins)]
    rows = [(predicted[p].min(), predicted[p].max(), len(p), predicted[p].mean(), good[p].mean()) for p in parts]
    return pl.DataFrame(rows, schema=RELIABILITY, orient="row")


def bins_of(probabilities: Floats) -> npt.NDArray[np.int64]:
    """Which of ten bins of about equally many each belongs to, by rank; equal ones (to nine decimals) share a bin.

    Otherwise the order in which the rows happen to stand would part equal ones, and be measured as an error.
    """
    _, places, counts = np.unique(np.round(probabilities, _DECIMALS), return_inverse=True, return_counts=True)
    by_rank = np.repeat(np.arange(BINS), [len(part) for part in np.array_split(probabilities, BINS)])
    ends = np.cumsum(counts)
    return np.asarray(by_rank[(2 * ends - counts - 1) // 2][places], np.int64)


def _auc(scores: Floats, good: Bools) -> float:
    from scipy.stats import rankdata

    ranks, yes, no = rankdata(scores), int(good.sum()), int((~good).sum())
    return float((ranks[good].sum() - yes * (yes + 1) / 2) / (yes * no))


def _logistic(margins: Floats) -> Floats:
    half: Floats = np.tanh(margins / 2) / 2 + 0.5
    return half
