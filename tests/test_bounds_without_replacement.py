"""An audit draws without replacement: both of its bounds then err less often than they say, by exact enumeration."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from thousandfold.gen.guarantees import betting_bound, exact_bound


@pytest.mark.parametrize("shipped", [10, 40, 150])
def test_the_exact_bound_of_a_fixed_size_is_too_high_in_at_most_a_twentieth_of_draws(shipped: int) -> None:
    for size in {shipped // 8, shipped // 4, shipped // 2, shipped}:
        bounds = np.array([exact_bound(hits, size) for hits in range(size + 1)])
        for good in range(shipped + 1):
            chances = stats.hypergeom.pmf(np.arange(size + 1), shipped, good, size)
            assert chances[bounds > good / shipped].sum() <= 0.05


@pytest.mark.parametrize(("shipped", "good"), [(10, 5), (10, 9), (40, 4), (40, 30), (40, 38)])
def test_the_betting_bound_is_ever_too_high_in_at_most_a_twentieth_of_draws(shipped: int, good: int) -> None:
    """Along every way from no label to all: how likely the bound of the moment lies above the truth at some time."""
    share = good / shipped
    alive, wrong = np.array([1.0]), 0.0
    for labels in range(1, shipped + 1):
        hits = np.arange(labels)
        next_is_good = np.clip((good - hits) / (shipped - labels + 1), 0, 1)
        ways = np.zeros(labels + 1)
        ways[1:] += alive * next_is_good
        ways[:-1] += alive * (1 - next_is_good)
        # The bound of the moment depends on counts alone: good ones last, so that it is not one of an earlier moment.
        above = [
            betting_bound([False] * (labels - k) + [True] * k)[-1] > share + 1e-9 if k else False
            for k in range(labels + 1)
        ]
        wrong += float(ways[above].sum())
        ways[above] = 0
        alive = ways
    assert wrong <= 0.05
    assert alive.sum() + wrong == pytest.approx(1)
