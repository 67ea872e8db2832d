"""Counts → intervals and richness, p values → adjusted p values: small statistics, for filters, drills and cards.

Plain formulas in double precision. They describe; what decides about a row is counted in whole numbers.
"""

from __future__ import annotations

from math import exp, log, sqrt
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .verdict import FilterError


class Interval(NamedTuple):
    """Both ends of a confidence interval of a share, in [0, 1]."""

    low: float
    high: float


def wilson(hits: int, trials: int, *, confidence: float = 0.95) -> Interval:
    """The score interval of a share of `hits` in `trials` (Wilson 1927); (0, 1) where there were no trials.

    Close to its nominal level on average, also for small counts, and narrower than `clopper_pearson`; at some
    true shares it covers a little less than it says. Raises FilterError for counts that cannot be.
    """
    _check(hits, trials, confidence)
    if not trials:
        return Interval(0.0, 1.0)
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share, weight = hits / trials, z * z / trials
    middle = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * (share * (1 - share) / trials + weight / (4 * trials)) ** 0.5
    # At 0 and at all hits the formula's end is exactly 0 or 1; rounding would leave a crumb.
    return Interval(0.0 if hits == 0 else middle - half, 1.0 if hits == trials else middle + half)


def clopper_pearson(hits: int, trials: int, *, confidence: float = 0.95) -> Interval:
    """The exact interval of a share (Clopper and Pearson 1934): never covers less than it says; (0, 1) of none.

    Quantiles of the beta distribution: the low end is where `hits` or more has probability α/2, the high end
    where `hits` or fewer has. Raises FilterError for counts that cannot be.
    """
    from scipy.special import betaincinv

    _check(hits, trials, confidence)
    tail = (1 - confidence) / 2
    low = float(betaincinv(hits, trials - hits + 1, tail)) if hits else 0.0
    high = float(betaincinv(hits + 1, trials - hits, 1 - tail)) if hits < trials else 1.0
    return Interval(low, high)


class Richness(NamedTuple):
    """How many kinds were seen, how many there are at least, and where a 95 % interval of that ends."""

    seen: int
    estimate: float
    high: float


def chao1(counts: npt.ArrayLike) -> Richness:
    """Chao's estimate of the number of kinds, from how often each kind that was seen was seen.

    S + (n - 1) / n x f1 (f1 - 1) / (2 (f2 + 1)), with f1 kinds seen once and f2 twice among n (Chao 1984; the
    bias-corrected form of Chao 2005, eq. 8). It is a lower bound in expectation: rare kinds hide from it. The interval
    is log-normal above S (Chao 1987, eq. 12), with the variance of the bias-corrected form (Colwell, EstimateS,
    eq. 6 and 7); where no unseen kind is estimated, its end is S. Zeros do not count. Raises FilterError for counts
    that cannot be.
    """
    given = np.asarray(counts)
    if given.ndim != 1 or (given.size and (not np.issubdtype(given.dtype, np.integer) or int(given.min()) < 0)):
        raise FilterError(
            what="counts is not a list of whole numbers from 0 up",
            why="each says how often one kind was seen",
            do="give how many texts each cluster has",
        )
    given = given[given > 0]
    seen, total = len(given), int(given.sum())
    once, twice = int((given == 1).sum()), int((given == 2).sum())
    if once < 2:
        return Richness(seen, float(seen), float(seen))
    shrink = (total - 1) / total
    unseen = shrink * once * (once - 1) / (2 * (twice + 1))
    pairs = twice + 1
    variance = shrink * once * (once - 1) / (2 * pairs) + shrink**2 * once * (2 * once - 1) ** 2 / (4 * pairs**2)
    if twice:
        variance += shrink**2 * once**2 * twice * (once - 1) ** 2 / (4 * pairs**4)
    else:
        variance -= shrink**2 * once**4 / (4 * (seen + unseen))
    spread = exp(1.96 * sqrt(log(1 + max(variance, 0.0) / unseen**2)))
    return Richness(seen, seen + unseen, seen + unseen * spread)


def benjamini_hochberg(p_values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Adjusted p of each test, in the order given (Benjamini and Hochberg 1995, step-up).

    Rejecting where adjusted p ≤ q keeps the expected share of false discoveries at q at most, for independent
    and for positively dependent tests (Benjamini and Yekutieli 2001). Equal p get equal adjusted p. NaN is
    refused with FilterError.
    """
    given = np.asarray(p_values, np.float64)
    if given.ndim != 1 or not ((given >= 0) & (given <= 1)).all():
        raise FilterError(
            what="p_values is not a list of numbers in [0, 1]",
            why="each is the probability of something at least as strange under the null hypothesis",
            do="give one number from 0 to 1 for each test",
        )
    order = np.argsort(given, kind="stable")
    scaled = given[order] * len(given) / np.arange(1, len(given) + 1)
    adjusted = np.empty(len(given), np.float64)
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return adjusted


def _check(hits: int, trials: int, confidence: float) -> None:
    if not 0 <= hits <= trials:
        raise FilterError(
            what=f"{hits} hits in {trials} trials",
            why="a share is so many of so many",
            do="give whole numbers with 0 ≤ hits ≤ trials",
        )
    if not 0 < confidence < 1:
        raise FilterError(
            what=f"confidence is {confidence!r}",
            why="it is the share of such intervals that hold the true value",
            do="give a number between 0 and 1, such as 0.95",
        )
