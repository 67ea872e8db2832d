"""scores of texts that differ in a known way → may the judge that gave them filter? One test at a time, on arrays.

Scores are levels (any scale, higher is better) of the same contexts in the same order, NaN where there is none.
Contexts are resampled whole, by a generator with a fixed seed, so that equal scores have equal bounds.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .guarantees import exact_bound

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

LADDER = 0.90
"""Least share of contexts with genuine above hollow, by its exact bound: 61 contexts bear two errors."""
STRIPPED, STUFFED = 0.20, 0.10
"""Of the way from hollow to genuine: most that may be lost without trigger words, and won by them alone."""
SHIFTED = 0.20
"""Of the same way: most that a change may move which changes nothing of the value, up or down."""
FALSELY = 0.10
"""Most texts that may be said to express a value which is not called for, by the exact bound: 29 texts bear none."""
TELLING = 0.98
"""A baseline with this AUC leaves nothing that a judge could add."""
LEAST = 10  # contexts, or texts of a kind, below which nothing is said
DRAWS, AUC_DRAWS = 2000, 1000
RIDGE = 1e-3  # of the logistic curves: separable labels have one, too
FOLDS = 5


@dataclass(frozen=True)
class Finding:
    """What one test found of a judge on one value.

    test     V1 to V6; `name` is which part of it, `asks` the question in words
    passed   None: nothing is required, or it was not tried; `note` says which
    figure   what was measured; `low` and `high` its bounds (one-sided 95 % each); `limit` what they must keep to
    n        contexts or texts
    """

    test: str
    name: str
    asks: str
    passed: bool | None
    figure: float | None = None
    low: float | None = None
    high: float | None = None
    limit: float | None = None
    n: int = 0
    note: str | None = None
    tried: bool = True

    @classmethod
    def not_tried(cls, test: str, name: str, asks: str, note: str, *, n: int = 0) -> Finding:
        return cls(test, name, asks, None, n=n, note=note, tried=False)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def share_above(higher: npt.ArrayLike, lower: npt.ArrayLike) -> tuple[int, int, float]:
    """(contexts won, contexts, one-sided 95 % Clopper-Pearson lower bound of the share) of `higher` > `lower`, (n,).

    Equal scores and missing ones are not won: a judge that is silent on a text has not put it in order.
    """
    above, below = _floats(higher), _floats(lower)
    won = int((above > below).sum())  # NaN is above nothing
    return won, len(above), exact_bound(won, len(above)) if len(above) else 0.0


def share_of_way(
    after: npt.ArrayLike, before: npt.ArrayLike, *, genuine: npt.ArrayLike, hollow: npt.ArrayLike
) -> tuple[float, float, float]:
    """mean(after - before) / mean(genuine - hollow), and the 5 % and 95 % points of its bootstrap over contexts.

    All (n,); a mean is over the contexts that have both scores. Where a draw has no way from hollow up to genuine the
    share is infinite: of a judge that cannot tell the two apart nothing is shown. NaN where nothing could be compared.
    """
    moved, way = _floats(after) - _floats(before), _floats(genuine) - _floats(hollow)
    if not (np.isfinite(moved).any() and np.isfinite(way).any()):
        return (float("nan"),) * 3
    drawn = _drawn(len(moved), DRAWS)
    low, high = np.quantile(_ratio(moved[drawn], way[drawn]), (0.05, 0.95), method="inverted_cdf")
    return float(_ratio(moved[None], way[None])[0]), float(low), float(high)


def _ratio(moved: Floats, way: Floats) -> Floats:
    """Row by row (draws, contexts); infinite, with the sign of what moved, where the way is none."""
    up, down = _mean(moved), _mean(way)
    there = np.isfinite(down) & (down > 0)
    return np.where(there, up / np.where(there, down, 1.0), np.inf)


def _mean(rows: Floats) -> Floats:
    """Of the numbers of each row that are there; 0 where none is."""
    there = np.isfinite(rows)
    return np.asarray(np.where(there, rows, 0.0).sum(axis=1) / np.maximum(there.sum(axis=1), 1))


def share_from(scores: npt.ArrayLike, *, good_from: float) -> tuple[int, int, float]:
    """(scores from `good_from` up, scores, one-sided 95 % exact upper bound of their share); NaN are left out."""
    found = _floats(scores)
    found = found[np.isfinite(found)]
    hits = int((found >= good_from).sum())
    return hits, len(found), 1 - exact_bound(len(found) - hits, len(found)) if len(found) else 1.0


@dataclass(frozen=True)
class Added:
    """What scores add to a baseline in telling good texts from others: AUC with and without, and their difference."""

    together: float
    alone: float
    low: float  # of the difference: 5 % point over resampled groups

    @property
    def difference(self) -> float:
        return self.together - self.alone


def added_auc(
    scores: npt.ArrayLike, good: npt.ArrayLike, *, baseline: npt.ArrayLike, groups: npt.ArrayLike
) -> Added | None:
    """AUC of logistic curves on `baseline` (n, features) with `scores` (n,) and without, for `good` (n,) booleans.

    Each curve is fitted on four fifths of the `groups` (n,) and read on the fifth. The difference of the two AUC is
    bootstrapped over whole groups, both curves on the same draw. None with fewer than ten groups or texts of a kind.
    """
    score, labels, features = _floats(scores), np.asarray(good, np.bool_), _floats(baseline)
    there = np.isfinite(score)
    group = np.unique(np.asarray(groups)[there], return_inverse=True)[1]
    score, labels, features = score[there], labels[there], features[there]
    count = int(group.max()) + 1 if len(group) else 0
    if count < LEAST or min(int(labels.sum()), int((~labels).sum())) < LEAST:
        return None
    alone = _cross_fitted(features, labels, group)
    together = _cross_fitted(np.column_stack([features, score]), labels, group)
    rows = [np.flatnonzero(group == number) for number in range(count)]
    differences = []
    for drawn in _drawn(count, AUC_DRAWS):
        taken = np.concatenate([rows[number] for number in drawn])
        if 0 < labels[taken].sum() < len(taken):
            differences.append(auc(together[taken], labels[taken]) - auc(alone[taken], labels[taken]))
    low = float(np.quantile(differences, 0.05))
    return Added(auc(together, labels), auc(alone, labels), low)


def auc(scores: npt.ArrayLike, good: npt.ArrayLike) -> float:
    """P(a good text scores above another), equal scores as a half (Mann-Whitney); NaN where one kind is missing."""
    from scipy.stats import rankdata

    labels = np.asarray(good, np.bool_)
    positive, negative = int(labels.sum()), int((~labels).sum())
    if not positive or not negative:
        return float("nan")
    above = float(rankdata(_floats(scores))[labels].sum()) - positive * (positive + 1) / 2
    return above / (positive * negative)


def bootstrap_low(statistic: Any, *columns: npt.ArrayLike) -> float:
    """The 5 % point of `statistic(*columns)` over resampled rows; columns are (n,) each."""
    given = [_floats(column) for column in columns]
    found = [statistic(*(column[drawn] for column in given)) for drawn in _drawn(len(given[0]), AUC_DRAWS)]
    finite = [value for value in found if value is not None and np.isfinite(value)]
    return float(np.quantile(finite, 0.05)) if finite else float("nan")


def _floats(given: npt.ArrayLike) -> Floats:
    return np.asarray(given, np.float64)


def _drawn(count: int, draws: int) -> npt.NDArray[np.int64]:
    """(draws, count) places, drawn with replacement; the same each time."""
    return np.random.Generator(np.random.PCG64(count)).integers(0, max(count, 1), (draws, count))


def _cross_fitted(features: Floats, labels: Bools, group: npt.NDArray[np.int64]) -> Floats:
    """Log-odds of each row, by a curve that was fitted on other groups."""
    count = int(group.max()) + 1
    fold = (np.random.Generator(np.random.PCG64(0)).permutation(count) % FOLDS)[group]
    found = np.zeros(len(labels))
    for number in range(FOLDS):
        own, rest = fold == number, fold != number
        middle, spread = features[rest].mean(axis=0), features[rest].std(axis=0)
        scaled = (features - middle) / np.where(spread > 0, spread, 1.0)
        rows = np.column_stack([np.ones(len(scaled)), scaled])
        found[own] = rows[own] @ _logistic(rows[rest], labels[rest])
    return found


def _logistic(rows: Floats, labels: Bools) -> Floats:
    """Weights of a logistic curve by Newton's method, the constant (first column) free and the others with a ridge."""
    weights = np.zeros(rows.shape[1])
    ridge = RIDGE * len(rows) * np.eye(rows.shape[1])
    ridge[0, 0] = 1e-9
    for _ in range(50):
        chance = 1 / (1 + np.exp(-np.clip(rows @ weights, -30, 30)))
        gradient = rows.T @ (labels - chance) - ridge @ weights
        curvature = (rows * (chance * (1 - chance))[:, None]).T @ rows + ridge
        step = np.linalg.solve(curvature, gradient)
        weights = weights + step
        if float(np.abs(step).max()) < 1e-8:
            break
    return np.asarray(weights, np.float64)
