"""groups → folds and intervals: nothing is measured on texts whose group was fitted on, and groups are what counts.

Texts of one context, or of one lineage, are alike; taken as independent they would make an interval too narrow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from thousandfold.filters.statistics import Interval, clopper_pearson

from .tables import tagged_id

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

FOLDS = 5
CONFIDENCE = 0.95
# The models of the folds share most of their texts, so their errors go together: Nadeau and Bengio (Machine Learning
# 52, 2003) add the share of test to training texts to each 1 / FOLDS.
OVERLAP = 1 + FOLDS / (FOLDS - 1)


def folds_of(groups: Sequence[str]) -> Ints:
    """(n,) a fold below FOLDS for each text, the same for all of a group; -1 throughout with fewer than two groups.

    Largest groups first, each to the fold that has least; equal ones by a hash of their names, so that the order of
    texts decides nothing.
    """
    sizes = Counter(groups)
    if len(sizes) < 2:
        return np.full(len(groups), -1, np.int64)
    load = [0] * min(FOLDS, len(sizes))
    place: dict[str, int] = {}
    for group in sorted(sizes, key=lambda name: (-sizes[name], tagged_id("fold", name))):
        place[group] = load.index(min(load))
        load[place[group]] += sizes[group]
    return np.array([place[group] for group in groups], np.int64)


def interval_around(value: float, influences: Floats, groups: Sequence[str]) -> Interval:
    """The 95 % interval of a share, from what each text adds to its error; the influences of a group are summed.

    Student's with one degree of freedom less than there are groups, widened for the overlap of the folds; (0, 1) with
    fewer than two groups. Where no text errs it begins at Clopper and Pearson's one-sided bound for the groups. With
    these sums the variance of an AUC is that of Obuchowski (Biometrics 53, 1997).
    """
    from scipy.special import stdtrit

    names = sorted(set(groups))
    if len(names) < 2:
        return Interval(0.0, 1.0)
    if not influences.any():  # all right, or all wrong: as many groups were, which says how often others may not be
        surely = clopper_pearson(len(names), len(names), confidence=0.9).low
        return Interval(surely, 1.0) if value > 0.5 else Interval(0.0, 1.0)
    number = {name: at for at, name in enumerate(names)}
    sums = np.bincount([number[group] for group in groups], influences, minlength=len(names))
    variance = OVERLAP * float((sums**2).sum()) * len(names) / (len(names) - 1)
    half = float(stdtrit(len(names) - 1, 0.5 + CONFIDENCE / 2)) * variance**0.5
    return Interval(max(0.0, value - half), min(1.0, value + half))


def auc_by_fold(own: Floats, other: Floats, own_folds: Ints, other_folds: Ints) -> tuple[float, Floats, Floats]:
    """(AUC of pairs within a fold, influence of each of `own`, of each of `other`); a tie is half.

    Scores of different folds come from different models and are not compared. Influences are DeLong's structural
    components (Biometrics 44, 1988) less their mean, over the number of texts, weighted by the fold's share of pairs.
    """
    parts = []
    for fold in np.unique(np.concatenate([own_folds, other_folds])):
        mine, theirs = np.flatnonzero(own_folds == fold), np.flatnonzero(other_folds == fold)
        if len(mine) and len(theirs):
            parts.append((mine, theirs, *_components(own[mine], other[theirs])))
    pairs = sum(len(mine) * len(theirs) for mine, theirs, *_ in parts)
    of_own, of_other = np.zeros(len(own)), np.zeros(len(other))
    if not pairs:
        return 0.5, of_own, of_other
    auc = 0.0
    for mine, theirs, below, above in parts:
        weight, here = len(mine) * len(theirs) / pairs, float(below.mean())
        auc += weight * here
        of_own[mine] = weight * (below - here) / len(mine)
        of_other[theirs] = weight * (above - here) / len(theirs)
    return auc, of_own, of_other


def _components(own: Floats, other: Floats) -> tuple[Floats, Floats]:
    """Of each of `own` the share of `other` below it; of each of `other` the share of `own` above it."""
    below = (np.searchsorted(np.sort(other), own, "left") + np.searchsorted(np.sort(other), own, "right")) / 2
    under = (np.searchsorted(np.sort(own), other, "left") + np.searchsorted(np.sort(own), other, "right")) / 2
    return below / len(other), 1 - under / len(own)
