"""labels → what may be promised of texts that nobody labelled: which to accept, and how many of them are good.

Two promises about an accepted set, never to be taken for each other: conformal selection keeps the *expected* share of
bad texts at alpha (a single set can hold more), the high-probability rule misses its target in few sets. And three
statements about a set that stands: an exact bound for a sample of a size fixed beforehand, a betting bound that may be
looked at after each label, and a rate over all texts with the judge's scores to help (PPI++).
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from .calibration import checked_labels, checked_scores
from .errors import RecipeError

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

THRESHOLDS = 19
LEAST_ABOVE = 30
"""A threshold with fewer labelled texts above it is not tried: so few hold no proof, and would end the sequence."""
_HALVINGS = 50


@dataclass(frozen=True)
class Accepted:
    """Which texts are accepted, by a threshold on the score.

    kept       (m,) booleans, in the order of the scores
    threshold  the lowest accepted score; None where none is
    rule       the promise in words
    """

    kept: Bools
    threshold: float | None
    rule: str

    @property
    def share(self) -> float:
        """Accepted over all, 0 to 1; 0 of none."""
        return float(self.kept.mean()) if len(self.kept) else 0.0


def conformal_selection(
    scores: npt.ArrayLike, *, labelled: npt.ArrayLike, good: npt.ArrayLike, alpha: float
) -> Accepted:
    """Of texts with `scores` (m,) those that may be accepted: on average at most a share `alpha` of them is bad.

    Conformal selection (Jin and Candès, JMLR 24, 2023, eq. 5; Gui, Jin and Ren, arXiv 2405.10301): p = (1 + bad
    labelled texts with a score as high) / (labelled + 1), then Benjamini and Hochberg at `alpha`. Holds for any judge
    and any number of labels, where the labelled texts were drawn at random from the same texts as the rest. `labelled`
    (n,) are scores, `good` (n,) booleans; ties count against a text, NaN is not accepted.

    Raises RecipeError as `calibrate` does, and for an alpha outside (0, 1).
    """
    known, labels = checked_labels(labelled, good)
    check_share("alpha", alpha)
    given = checked_scores(scores)
    bad = np.sort(known[~labels])
    # Scores between two bad ones have one p value, and the lower the score, the larger it is: so the accepted are all
    # from some bad one upwards, and only these places have to be looked at.
    above = np.sort(given[np.isfinite(given)])
    p_values = (1 + len(bad) - np.arange(len(bad) + 1)) / (len(known) + 1)
    lowest = np.concatenate([[-np.inf], bad])  # exclusive: a text at a bad one's score has it against itself
    accepted = len(above) - np.searchsorted(above, lowest, side="right")
    passes = (accepted > 0) & (p_values * max(len(above), 1) <= alpha * accepted)
    kept = np.zeros(len(given), np.bool_)
    if passes.any():
        kept = given > lowest[int(np.flatnonzero(passes)[0])]
    return Accepted(
        kept,
        float(given[kept].min()) if kept.any() else None,
        conformal_promise(alpha),
    )


def conformal_promise(alpha: float) -> str:
    return f"conformal selection: on average at most {alpha:.1%} of the accepted texts are bad; one set can hold more"


def high_probability_promise(target: float, delta: float) -> str:
    """Of all texts from the threshold up: few accepted ones can be worse by chance."""
    return (
        f"high-probability rule: at least {target:.1%} of all texts that score as high are good, "
        f"but for {delta:.1%} of draws of labels; a small accepted set can hold less by chance"
    )


def high_probability_selection(
    scores: npt.ArrayLike, *, labelled: npt.ArrayLike, good: npt.ArrayLike, target: float, delta: float = 0.1
) -> Accepted:
    """The most texts of which a share `target` is good, but for a chance of `delta` that it is less.

    The share is that of all texts from the threshold up; that of fifty accepted ones varies about it.

    Fixed-sequence testing (Angelopoulos et al., arXiv 2110.01052; Jung, Brahman and Choi, arXiv 2407.18370): thresholds
    from the strictest to the loosest, at the 19 inner twentieths of the labelled scores, each by the exact binomial
    test at `delta`, until one fails. Thresholds with fewer than 30 labelled texts above are passed over. Arguments as
    in `conformal_selection`.
    """
    from scipy.stats import binom

    known, labels = checked_labels(labelled, good)
    check_share("target", target)
    check_share("delta", delta)
    given = checked_scores(scores)
    found: float | None = None
    for threshold in np.quantile(known, np.arange(THRESHOLDS, 0, -1) / (THRESHOLDS + 1), method="lower").tolist():
        above = known >= threshold
        count, hits = int(above.sum()), int(labels[above].sum())
        if count < LEAST_ABOVE:
            continue
        if binom.sf(hits - 1, count, target) > delta:
            break
        found = threshold
    kept = np.zeros(len(given), np.bool_) if found is None else given >= found
    return Accepted(
        kept,
        float(given[kept].min()) if kept.any() else None,
        high_probability_promise(target, delta),
    )


def exact_bound(good: int, labels: int, *, confidence: float = 0.95) -> float:
    """What the share of good texts is at least, from `good` of `labels` drawn at random: one-sided Clopper-Pearson.

    Only where the number of labels was fixed before the first was looked at: looked at after each, it is wrong far more
    often than it says. 0 of none.
    """
    from scipy.special import betaincinv

    _check_counts(good, labels)
    check_share("confidence", confidence)
    return float(betaincinv(good, labels - good + 1, 1 - confidence)) if good else 0.0


def betting_bound(outcomes: npt.ArrayLike, *, confidence: float = 0.95) -> Floats:
    """What the share of good texts is at least, after each of `outcomes` (n,) booleans: (n,), never falling.

    Holds at all times at once, so one may stop whenever it is high enough. A bet against each share m: the capital is
    the likelihood ratio against m of a share drawn evenly from (m, 1), by Ville's inequality it reaches
    1 / (1 - confidence) with at most that probability where the share is m or less (Waudby-Smith and Ramdas, JRSS B
    86(1), 2024; the mixture is Robbins', Ann. Math. Stat. 41(5), 1970). Texts drawn at random, with replacement or from
    a set that is large beside the sample.
    """
    given = np.asarray(outcomes)
    if given.ndim != 1 or (given.dtype != np.bool_ and not np.isin(given, (0, 1)).all()):
        raise RecipeError(
            what="outcomes is not a list of booleans", why="each says whether a text was good", do="give true or false"
        )
    check_share("confidence", confidence)
    good, labels = np.cumsum(given.astype(np.int64)), np.arange(1, len(given) + 1)
    low, high = np.zeros(len(given)), good / labels  # the capital falls as m rises to the observed share
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        beaten = _capital(middle, good, labels) >= -np.log(1 - confidence)
        low, high = np.where(beaten, middle, low), np.where(beaten, high, middle)
    return np.maximum.accumulate(low) if len(low) else low


def _capital(m: Floats, good: Ints, labels: Ints) -> Floats:
    """Logarithm of what the bets against the share `m` have made of 1; all arrays (n,)."""
    from scipy.special import betainc, betaln, xlog1py, xlogy

    one, other = good + 1, labels - good + 1
    upper = np.maximum(1 - betainc(one, other, m), np.finfo(np.float64).tiny)
    return np.asarray(betaln(one, other) + np.log(upper) - np.log1p(-m) - xlogy(good, m) - xlog1py(labels - good, -m))


@dataclass(frozen=True)
class Rate:
    """A share of all texts, with its interval; `weight` is how far the scores were trusted, 0 (not at all) to 1."""

    estimate: float
    low: float
    high: float
    weight: float


def corpus_rate(
    labelled: npt.ArrayLike, good: npt.ArrayLike, unlabelled: npt.ArrayLike, *, confidence: float = 0.95
) -> Rate:
    """The share of good texts among all: labels of some, and scores of the rest to narrow the interval.

    PPI++ for a mean (Angelopoulos, Duchi and Zrnic, arXiv 2311.01453, §6): right whatever the judge's errors, and never
    wider than labels alone but for the noise of the weight, which is estimated. `labelled` (n,) and `unlabelled` (N,)
    are calibrated probabilities or scores, `good` (n,) booleans of texts drawn at random. The interval is normal and
    cut to [0, 1]; it wants some dozens of labels. Raises RecipeError as `calibrate` does.
    """
    known, labels = checked_labels(labelled, good)
    rest = checked_scores(unlabelled)
    if rest.ndim != 1 or not np.isfinite(rest).all():
        raise RecipeError(
            what="unlabelled is not a list of finite numbers",
            why="each is the score of a text that nobody labelled",
            do="leave out texts that have no score",
        )
    check_share("confidence", confidence)
    count, more = len(known), len(rest)
    spread = float(np.concatenate([known, rest]).var(ddof=1))
    weight = 0.0
    if more and spread > 0:
        covariance = float(np.cov(known, labels.astype(np.float64))[0, 1])
        weight = min(max(covariance / ((1 + count / more) * spread), 0.0), 1.0)
    estimate = float(labels.mean()) + (weight * float(rest.mean() - known.mean()) if weight else 0.0)
    variance = float(np.var(labels - weight * known, ddof=1)) / count
    variance += weight**2 * float(rest.var()) / more if weight else 0.0
    half = NormalDist().inv_cdf(0.5 + confidence / 2) * variance**0.5
    return Rate(estimate, max(0.0, estimate - half), min(1.0, estimate + half), weight)


def check_share(name: str, value: float) -> None:
    """Raises RecipeError for what is no number between 0 and 1."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
        raise RecipeError(what=f"{name} is {value!r}", why="it is a share", do="give a number between 0 and 1")


def _check_counts(good: int, labels: int) -> None:
    if not 0 <= good <= labels:
        raise RecipeError(
            what=f"{good} good of {labels} labels", why="a share is so many of so many", do="give 0 ≤ good ≤ labels"
        )
