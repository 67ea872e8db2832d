"""The small statistics against independent formulas: scipy's own tests, and counting by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from thousandfold.filters import FilterError
from thousandfold.filters.statistics import Interval, benjamini_hochberg, chao1, clopper_pearson, wilson

COUNTS = st.integers(0, 2000).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials)))


@given(COUNTS.filter(lambda count: count[1] > 0), st.sampled_from([0.8, 0.95, 0.99]))
def test_both_intervals_are_those_of_scipy(count: tuple[int, int], confidence: float) -> None:
    test = stats.binomtest(*count)
    for ours, method in ((wilson, "wilson"), (clopper_pearson, "exact")):
        theirs = test.proportion_ci(confidence_level=confidence, method=method)
        assert ours(*count, confidence=confidence) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


@given(COUNTS)
def test_an_interval_lies_in_0_to_1_around_the_share_and_mirrors_its_complement(count: tuple[int, int]) -> None:
    hits, trials = count
    for interval in (wilson, clopper_pearson):
        low, high = interval(hits, trials)
        assert 0 <= low <= high <= 1
        assert not trials or low <= hits / trials <= high
        assert interval(trials - hits, trials) == pytest.approx((1 - high, 1 - low), abs=1e-9)


def test_of_nothing_tried_nothing_is_known() -> None:
    assert wilson(0, 0) == clopper_pearson(0, 0) == Interval(0.0, 1.0)


def test_no_hit_and_nothing_but_hits_reach_the_very_end() -> None:
    for interval in (wilson, clopper_pearson):
        assert interval(0, 40).low == 0.0
        assert interval(40, 40).high == 1.0
    assert clopper_pearson(0, 100).high == pytest.approx(1 - 0.025 ** (1 / 100))  # where none has probability α/2


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5])
def test_the_exact_interval_covers_at_least_what_it_says_and_wilson_nearly(share: float) -> None:
    trials = 200
    chances = stats.binom.pmf(np.arange(trials + 1), trials, share)
    for interval, least in ((clopper_pearson, 0.95), (wilson, 0.93)):
        inside = [low <= share <= high for low, high in (interval(hits, trials) for hits in range(trials + 1))]
        assert chances[inside].sum() >= least


@given(st.lists(st.floats(0, 1), max_size=60))
def test_adjusted_p_is_that_of_scipy(p_values: list[float]) -> None:
    theirs = stats.false_discovery_control(p_values) if p_values else []
    np.testing.assert_allclose(benjamini_hochberg(p_values), theirs, rtol=1e-12)


def test_adjusted_p_stays_with_its_test_whatever_the_order() -> None:
    assert benjamini_hochberg([0.04, 0.01, 0.9, 0.01]) == pytest.approx([0.04 * 4 / 3, 0.02, 0.9, 0.02])


@pytest.mark.parametrize("p_values", [[0.1, float("nan")], [1.2], [-0.1], [[0.1]]])
def test_p_values_that_cannot_be_are_refused(p_values: list[float]) -> None:
    with pytest.raises(FilterError, match=r"p_values is not a list of numbers in \[0, 1\]"):
        benjamini_hochberg(p_values)


@pytest.mark.parametrize(("hits", "trials"), [(-1, 3), (4, 3)])
def test_impossible_counts_are_refused_by_name(hits: int, trials: int) -> None:
    for interval in (wilson, clopper_pearson):
        with pytest.raises(FilterError, match=f"^{hits} hits in {trials} trials"):
            interval(hits, trials)


def test_a_confidence_of_95_is_refused_as_a_number_between_0_and_1() -> None:
    with pytest.raises(FilterError, match=r"confidence is 95[\s\S]*such as 0.95"):
        wilson(1, 2, confidence=95)


@pytest.mark.parametrize(
    ("counts", "estimate"),
    [
        ([], 0),
        ([5, 4, 3], 3),  # nothing came once
        ([1, 5], 2),  # one that came once says nothing yet
        ([1, 1, 5], 3 + 6 / 7 * 2 * 1 / 2),
        ([1, 1, 1, 2, 2, 9, 0], 6 + 15 / 16 * 3 * 2 / (2 * 3)),
    ],
)
def test_chao_adds_what_the_kinds_seen_once_and_twice_say_is_unseen(counts: list[int], estimate: float) -> None:
    found = chao1(np.array(counts, np.int64))
    assert found.seen == sum(count > 0 for count in counts)
    assert found.estimate == pytest.approx(estimate)
    assert found.high >= found.estimate


def test_chao_is_near_the_truth_where_kinds_are_even_and_below_it_where_they_are_not() -> None:
    drawn = np.random.default_rng(1)
    even = [chao1(np.bincount(drawn.integers(0, 200, 300))) for _ in range(200)]
    assert np.mean([found.estimate for found in even]) == pytest.approx(200, rel=0.03)
    assert np.mean([found.estimate > 200 or found.high >= 200 for found in even]) > 0.95
    shares = 1 / np.arange(1, 201)
    skewed = [chao1(drawn.multinomial(300, shares / shares.sum())) for _ in range(200)]
    assert 80 < np.mean([found.estimate for found in skewed]) < 200


@pytest.mark.parametrize("counts", [[1.5], [-1], [[1]]])
def test_chao_refuses_what_counts_nothing(counts: list[float]) -> None:
    with pytest.raises(FilterError, match="counts"):
        chao1(counts)
