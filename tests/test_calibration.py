"""Calibration: curves against independent fits, and how far they hold on texts with a known truth."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from thousandfold import gen
from thousandfold.gen.calibration import BINS, Calibrated, calibrate
from thousandfold.gen.errors import RecipeError

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def judged(count: int, *, base: float = 0.7, auc: float = 0.85, seed: int = 0) -> tuple[Floats, Bools]:
    """Scores of a judge whose good and bad texts are normal with one spread: Platt's curve is the truth."""
    drawn = np.random.default_rng(seed)
    good = drawn.random(count) < base
    return drawn.normal(size=count) + _apart(auc) * good, good


def _apart(auc: float) -> float:
    return float(stats.norm.ppf(auc) * 2**0.5)


def truth(scores: Floats, *, base: float, auc: float) -> Floats:
    yes, no = base * stats.norm.pdf(scores - _apart(auc)), (1 - base) * stats.norm.pdf(scores)
    return np.asarray(yes / (yes + no))


def test_it_is_a_name_of_the_library() -> None:
    assert gen.calibrate is calibrate


@pytest.mark.parametrize("seed", range(5))
def test_platt_is_the_maximum_that_a_general_optimiser_finds(seed: int) -> None:
    scores, good = judged(120, seed=seed)
    yes, no = good.sum(), (~good).sum()
    targets = np.where(good, (yes + 1) / (yes + 2), 1 / (no + 2))

    def loss(at: Floats) -> float:
        margins = at[0] * scores + at[1]
        return float((np.logaddexp(0, margins) - targets * margins).sum())

    best = optimize.minimize(loss, [1.0, 0.0], method="BFGS", tol=1e-10).x
    curve = calibrate(scores, good).curve
    assert curve.method == "platt"
    assert (curve.slope, curve.offset) == pytest.approx(tuple(best), abs=1e-4)


def test_a_thousand_labels_make_steps_that_never_fall_and_are_nearest_to_the_labels() -> None:
    scores, good = judged(1_000)
    curve = calibrate(scores, good).curve
    assert curve.method == "isotonic"
    fitted = curve(scores)
    order = np.argsort(scores)
    assert (np.diff(fitted[order]) >= 0).all()
    # Of all non-decreasing answers it has the least squares: no other in a neighbourhood is better.
    least = ((fitted - good) ** 2).sum()
    drawn = np.random.default_rng(1)
    for _ in range(50):
        other = np.maximum.accumulate(np.clip(fitted[order] + drawn.normal(0, 0.02, 1_000), 0, 1))
        assert ((other - good[order]) ** 2).sum() >= least


@pytest.mark.parametrize(("base", "auc"), [(0.5, 0.75), (0.7, 0.85), (0.9, 0.95)])
def test_after_500_labels_the_probabilities_are_near_the_truth_on_average(base: float, auc: float) -> None:
    errors = []
    for seed in range(40):
        curve = calibrate(*judged(500, base=base, auc=auc, seed=seed)).curve
        scores, _ = judged(4_000, base=base, auc=auc, seed=1_000 + seed)
        gaps = curve(scores) - truth(scores, base=base, auc=auc)
        parts = np.array_split(gaps[np.argsort(scores)], 20)
        errors.append(np.mean([abs(part.mean()) for part in parts]))
    assert np.mean(errors) <= 0.03


def test_the_measures_are_those_of_labels_that_were_not_learnt_from() -> None:
    scores, good = judged(400)
    found = calibrate(scores, good)
    assert found.brier == pytest.approx(((found.predicted - good) ** 2).mean())
    assert found.auc == pytest.approx(
        stats.mannwhitneyu(scores[good], scores[~good]).statistic / (good.sum() * (~good).sum())
    )
    assert found.table["labels"].sum() == 400
    assert found.table.height == BINS
    gaps = found.table.select(((pl.col("said") - pl.col("found")).abs() * pl.col("labels")).sum() / 400).item()
    assert found.ece == pytest.approx(gaps)
    # Learnt and measured on the same labels, steps look perfect; cross-fitted, they must not.
    noise, coin = np.random.default_rng(2).random(1_200), np.random.default_rng(3).random(1_200) < 0.5
    steps = calibrate(noise, coin, method="isotonic")
    assert steps.brier > 0.25 > ((steps.curve(noise) - coin) ** 2).mean()


def test_a_judge_worse_than_chance_gets_a_flat_curve() -> None:
    scores, good = judged(300)
    for method in ("platt", "isotonic"):
        curve = calibrate(-scores, good, method=method).curve
        assert np.ptp(curve(np.linspace(-3, 3, 50))) < 0.35 * np.ptp(calibrate(scores, good).curve(scores))
    assert calibrate(-scores, good).curve.slope == 0


def test_equal_scores_are_one_probability() -> None:
    good = np.arange(40) % 4 > 0
    for method in ("platt", "isotonic"):
        found = calibrate(np.full(40, 0.5), good, method=method)
        assert found.curve(0.5) == pytest.approx(0.75, abs=0.03)
        assert found.auc == 0.5


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.booleans()), min_size=20, max_size=60))
def test_whatever_the_scores_probabilities_lie_in_0_to_1_and_never_fall(rows: list[tuple[float, bool]]) -> None:
    scores, good = np.array([s for s, _ in rows]), np.array([g for _, g in rows])
    if min(good.sum(), (~good).sum()) < 5:
        with pytest.raises(RecipeError):
            calibrate(scores, good)
        return
    for method in ("platt", "isotonic"):
        found: Calibrated = calibrate(scores, good, method=method)
        for values in (found.predicted, found.curve(np.sort(scores))):
            assert ((values >= 0) & (values <= 1)).all()
        assert (np.diff(found.curve(np.sort(scores))) >= -1e-12).all()
        assert 0 <= found.ece <= 1


@pytest.mark.parametrize(
    ("scores", "good", "named"),
    [
        ([0.1, 0.9, 0.5], [True, False, True], "3 labels"),
        ([0.5] * 30, [True] * 30, "30 good and 0 not"),
        ([0.5] * 30, [True] * 20, "labels"),
        ([float("nan")] + [0.5] * 29, [True, False] * 15, "score 0 is nan"),
        ([0.5] * 30, [0.5] * 30, "neither true nor false"),
    ],
)
def test_what_nothing_can_be_learnt_from_is_refused_with_what_to_do(
    scores: list[float], good: list[bool], named: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        calibrate(scores, good)
    assert named in caught.value.what
    assert caught.value.do


def test_the_order_of_labels_with_one_score_decides_nothing_of_the_error() -> None:
    good = np.arange(400) % 2 == 0
    mixed = calibrate(np.full(400, 0.5), good)
    sorted_ = calibrate(np.full(400, 0.5), np.sort(good))
    assert mixed.ece < 0.01
    assert sorted_.ece < 0.01
    assert sorted_.table["labels"].sum() == 400


def test_scores_that_are_no_numbers_and_lists_of_two_lengths_are_named() -> None:
    labels = [True, False] * 15
    with pytest.raises(RecipeError, match="scores that are no numbers"):
        calibrate(["high"] * 30, labels)
    with pytest.raises(RecipeError, match="scores that are no numbers"):
        gen.conformal_selection(["high"], labelled=np.linspace(0, 1, 30), good=labels, alpha=0.1)
    with pytest.raises(RecipeError, match=r"\(30,\) scores and \(29,\) labels"):
        gen.held_out(np.linspace(0, 1, 30), labels[:29])
