"""labels of several people, and of a judge → how far they agree, beyond what chance would give.

Ratings are whole numbers on an ordered scale (levels 0 to 4); NaN or null is "did not label".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from .errors import RecipeError

Floats = npt.NDArray[np.float64]
Weights = Literal["none", "linear", "quadratic"]
Metric = Literal["nominal", "ordinal", "interval"]

SMALL = 30
"""Texts below which the alternative-annotator test goes by signed ranks instead of means."""


def weighted_kappa(one: npt.ArrayLike, other: npt.ArrayLike, *, weights: Weights = "quadratic") -> float:
    """Cohen's kappa of two raters on the same texts: 1 agrees, 0 is chance, below 0 is worse (Cohen 1960, 1968).

    `one` and `other` are (n,) ratings; texts that either did not rate are left out. Disagreement counts 1 (`none`), by
    distance, or by its square. NaN where no text was rated by both, or both gave one and the same rating throughout.
    """
    first, second = _ratings(one), _ratings(other)
    if first.shape != second.shape or first.ndim != 1:
        raise _unusable(f"ratings of shapes {first.shape} and {second.shape}", "give one rating of each for each text")
    both = np.isfinite(first) & np.isfinite(second)
    first, second = first[both], second[both]
    if not len(first):
        return float("nan")
    levels, codes = np.unique(np.concatenate([first, second]), return_inverse=True)
    table = np.zeros((len(levels), len(levels)))
    np.add.at(table, (codes[: len(first)], codes[len(first) :]), 1 / len(first))
    chance = np.outer(table.sum(axis=1), table.sum(axis=0))
    apart = _distances(levels, weights)
    expected = float((apart * chance).sum())
    return 1 - float((apart * table).sum()) / expected if expected else float("nan")


def _distances(levels: Floats, weights: Weights) -> Floats:
    apart: Floats = np.abs(levels[:, None] - levels[None, :])
    if weights == "none":
        return (apart > 0).astype(np.float64)
    if weights not in ("linear", "quadratic"):
        raise RecipeError(
            what=f"weights is {weights!r}", why="it says how disagreement counts", do="write none, linear or quadratic"
        )
    return apart if weights == "linear" else apart**2


def krippendorff_alpha(ratings: npt.ArrayLike, *, metric: Metric = "ordinal") -> float:
    """Agreement of any number of raters, who need not have rated every text: `ratings` (raters, texts).

    1 - observed over expected disagreement, from the coincidences of pairable ratings (Krippendorff, Content Analysis,
    4th ed. 2019, ch. 12). NaN where nothing is paired or all ratings are one and the same. From .8 up agreement is
    called reliable, below .667 not, by his convention.
    """
    given = _ratings(ratings)
    if given.ndim != 2:
        raise _unusable(f"ratings of shape {given.shape}", "give a table of raters by texts")
    texts = given[:, np.isfinite(given).sum(axis=0) >= 2]
    levels = np.unique(texts[np.isfinite(texts)])
    if len(levels) < 2:
        return float("nan")
    # of each text, how many raters gave each level
    counts = np.stack([(texts == level).sum(axis=0) for level in levels]).astype(np.float64)
    paired = counts.sum(axis=0)
    met = (counts / (paired - 1)) @ counts.T - np.diag((counts / (paired - 1)).sum(axis=1))
    totals = met.sum(axis=1)
    apart = _differences(levels, totals, metric)
    expected = float((apart * np.outer(totals, totals)).sum()) / (totals.sum() - 1)
    return 1 - float((apart * met).sum()) / expected if expected else float("nan")


def _differences(levels: Floats, totals: Floats, metric: Metric) -> Floats:
    if metric == "nominal":
        return 1 - np.eye(len(levels))
    if metric == "interval":
        return np.asarray((levels[:, None] - levels[None, :]) ** 2)
    if metric != "ordinal":
        raise RecipeError(
            what=f"metric is {metric!r}",
            why="it says how far two ratings are apart",
            do="write nominal, ordinal or interval",
        )
    middles = np.cumsum(totals) - totals / 2  # ranks: all ratings between two, and half of those of each
    return np.asarray((middles[:, None] - middles[None, :]) ** 2)


@dataclass(frozen=True)
class Alternative:
    """May a judge stand in for a person? `winning_rate` of at least .5 says so.

    winning_rate  share of the people whom the judge may replace, 0 to 1
    advantage     chance that the judge is as near to the other people as the person is, mean over people
    people        how many were compared; each with `SMALL` texts or fewer by ranks
    """

    winning_rate: float
    advantage: float
    people: int

    @property
    def passes(self) -> bool:
        return self.winning_rate >= 0.5


def alternative_annotator_test(
    judge: npt.ArrayLike, people: npt.ArrayLike, *, epsilon: float = 0.2, level: float = 0.05
) -> Alternative:
    """Whether the `judge`'s ratings (texts,) are as good as a person's: `people` (people, texts), at least two.

    Each person in turn is left out, and the judge and that person are compared by their mean squared distance from the
    others, text by text. The null hypothesis is that the person is nearer, also after `epsilon` (the worth of a judge
    that costs less: .2 for experts, .1 for crowds) is taken off; a paired t test, or signed ranks below 30 texts, with
    Benjamini and Yekutieli's correction over people (Calderon, Reichart and Dror, arXiv 2501.10970).
    """
    from scipy.stats import false_discovery_control

    given, rated = _ratings(judge), _ratings(people)
    if rated.ndim != 2 or given.shape != rated.shape[1:]:
        raise _unusable(f"ratings of shapes {given.shape} and {rated.shape}", "give people by texts, and one judge")
    chances, p_values = [], []
    for person in range(len(rated)):
        others = np.delete(rated, person, axis=0)
        usable = np.isfinite(given) & np.isfinite(rated[person]) & np.isfinite(others).any(axis=0)
        if not usable.any():
            continue
        own, theirs = _distance(rated[person], others)[usable], _distance(given, others)[usable]
        judge_wins, person_wins = theirs <= own, own <= theirs
        chances.append(float(judge_wins.mean()))
        p_values.append(_p_value(person_wins.astype(np.float64) - judge_wins - epsilon))
    if len(chances) < 2:
        raise _unusable(f"{len(chances)} people who can be compared", "have at least two people label the same texts")
    rejected = false_discovery_control(p_values, method="by") < level
    return Alternative(float(np.mean(rejected)), float(np.mean(chances)), len(chances))


def _distance(ratings: Floats, others: Floats) -> Floats:
    """Mean squared distance from those of the others who rated the text; NaN where nobody did."""
    squares = (others - ratings) ** 2
    there = np.isfinite(squares)
    count = there.sum(axis=0)
    summed = np.where(there, squares, 0.0).sum(axis=0)
    return np.asarray(np.divide(summed, count, where=count > 0, out=np.full(len(ratings), np.nan)))


def _p_value(differences: Floats) -> float:
    """One-sided: how likely differences so far below 0 are where their mean is 0."""
    from scipy.stats import ttest_1samp, wilcoxon

    if not differences.any():
        return 1.0
    if np.ptp(differences) == 0:
        return 0.0 if differences[0] < 0 else 1.0
    if len(differences) < SMALL:
        return float(wilcoxon(differences, alternative="less").pvalue)
    return float(ttest_1samp(differences, 0.0, alternative="less").pvalue)


def _ratings(given: npt.ArrayLike) -> Floats:
    try:
        return np.asarray(given, np.float64)
    except (TypeError, ValueError) as error:
        raise _unusable(f"ratings that are no numbers ({error})", "give numbers, NaN where nobody rated") from error


def _unusable(what: str, do: str) -> RecipeError:
    return RecipeError(what=what, why="agreement is between ratings of the same texts", do=do)
