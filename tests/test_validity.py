"""The statistics of a judge's check: each figure beside a second computation, each limit from both sides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, mannwhitneyu

from thousandfold.gen.judge_texts import Texts
from thousandfold.gen.judgings import Scores
from thousandfold.gen.labelbook import LABELS
from thousandfold.gen.models import models_of
from thousandfold.gen.recipe import load
from thousandfold.gen.tables import MESSAGES, frame
from thousandfold.gen.validity import LADDER, Finding, added_auc, auc, share_above, share_from, share_of_way
from thousandfold.gen.validity_tests import findings_of

from ._runs import RESPECT

RNG = np.random.default_rng(7)


@pytest.mark.parametrize(
    ("contexts", "errors", "passes"),
    [(29, 0, True), (28, 0, False), (46, 1, True), (45, 1, False), (61, 2, True), (61, 3, False), (103, 5, True)],
)
def test_so_many_contexts_bear_so_many_errors(contexts: int, errors: int, passes: bool) -> None:
    above = np.r_[np.zeros(errors), np.ones(contexts - errors)]
    won, n, low = share_above(above, np.full(contexts, 0.5))
    exact = binomtest(contexts - errors, contexts, alternative="greater").proportion_ci(0.95, "exact").low
    assert [won, n, low] == pytest.approx([contexts - errors, contexts, exact])
    assert (low >= LADDER) is passes


def test_a_tie_and_a_text_without_a_level_are_not_won() -> None:
    assert share_above([3.0, 1.0, np.nan, 3.0], [1.0, 1.0, 1.0, np.nan])[:2] == (1, 4)
    assert share_above([], []) == (0, 0, 0.0)


def test_what_a_change_moves_is_a_share_of_the_way_from_hollow_to_genuine() -> None:
    hollow = RNG.normal(1.0, 0.3, 200)
    genuine = hollow + 2.0
    share, low, high = share_of_way(hollow + 0.1, hollow, genuine=genuine, hollow=hollow)
    assert [share, low, high] == pytest.approx([0.05, 0.05, 0.05])


def test_the_bounds_are_those_of_the_delta_method_on_many_contexts() -> None:
    moved, way = RNG.normal(0.2, 0.5, 2000), RNG.normal(2.0, 0.7, 2000)
    share, low, high = share_of_way(moved, np.zeros(2000), genuine=way, hollow=np.zeros(2000))
    spread = (moved - share * way).std() / way.mean() / 2000**0.5
    assert share == pytest.approx(moved.mean() / way.mean())
    assert [low, high] == pytest.approx([share - 1.645 * spread, share + 1.645 * spread], abs=0.002)
    assert share_of_way(moved, np.zeros(2000), genuine=way, hollow=np.zeros(2000)) == (share, low, high)


def test_of_a_judge_that_cannot_tell_the_ends_apart_no_share_is_small() -> None:
    flat = np.ones(61)
    assert share_of_way(flat, flat, genuine=flat, hollow=flat)[2] == np.inf
    assert np.isnan(share_of_way([np.nan], [1.0], genuine=[1.0], hollow=[0.0])[0])


@pytest.mark.parametrize(("hits", "of"), [(0, 29), (2, 61), (5, 61), (61, 61)])
def test_a_share_from_a_level_up_has_the_exact_upper_bound(hits: int, of: int) -> None:
    found, n, high = share_from(np.r_[np.full(hits, 3.0), np.full(of - hits, 2.9), np.nan], good_from=3.0)
    assert (found, n) == (hits, of)
    assert high == pytest.approx(binomtest(hits, of, alternative="less").proportion_ci(0.95, "exact").high)


@pytest.mark.parametrize(("knows", "adds"), [(0.0, False), (2.0, True)])
def test_scores_that_know_no_more_than_words_and_length_add_nothing(knows: float, adds: bool) -> None:
    good = np.repeat([True, False], 150)
    words = RNG.normal(good * 0.7, 1.0)
    baseline = np.column_stack([words, RNG.random(300)])
    scores = words + knows * good + RNG.normal(0, 0.3, 300) * bool(knows)
    found = added_auc(scores, good, baseline=baseline, groups=np.tile(np.arange(150), 2))
    assert found is not None
    assert (found.low > 0) is adds
    assert (found.difference > 0.1) is adds


def test_of_texts_of_one_kind_nothing_is_said() -> None:
    assert added_auc(np.ones(40), np.ones(40, bool), baseline=np.ones((40, 1)), groups=np.arange(40)) is None


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30), st.lists(st.integers(0, 4), min_size=1, max_size=30))
def test_auc_is_that_of_mann_and_whitney(good: list[int], bad: list[int]) -> None:
    labels = np.r_[np.ones(len(good), bool), np.zeros(len(bad), bool)]
    assert auc([*good, *bad], labels) == pytest.approx(mannwhitneyu(good, bad).statistic / (len(good) * len(bad)))


def _found(scores: Scores, kinds: Sequence[str]) -> dict[str, Finding]:
    """What is found of scores of `RESPECT`'s first value, on 61 contexts with texts of these kinds."""
    recipe = load(RESPECT)
    facet = next(iter(scores.by_kind))
    said = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "I am sorry."}]
    texts = Texts(labelled=frame([], {**LABELS, "messages": MESSAGES}))
    texts.contexts[facet] = [dict.fromkeys(kinds, said) for _ in range(61)]
    texts.ids[facet] = [str(at) for at in range(61)]
    models = models_of(recipe, None, None)
    return {one.name: one for one in findings_of(facet, recipe, texts, scores, models, 61)}


def test_a_judge_that_is_silent_on_changed_texts_has_not_shown_that_it_does_not_mind() -> None:
    facet, kinds = "clear boundaries", ["genuine", "hollow", "stuffed", "genuine padded", "hollow padded"]
    levels = {kind: np.full(61, 4.0 if "genuine" in kind else 1.0) for kind in kinds}
    whole = _found(Scores(by_kind={facet: levels}), kinds)
    assert whole["hollow with trigger words"].passed
    assert whole["half as long again"].passed
    silent = {kind: np.where(np.arange(61) < 20, own, np.nan) if " " in kind or kind == "stuffed" else own
              for kind, own in levels.items()}  # fmt: skip
    found = _found(Scores(by_kind={facet: silent}), kinds)
    for name in ("hollow with trigger words", "half as long again"):
        assert (found[name].passed, found[name].n) == (False, 20)
        assert found[name].note == "41 of 61 texts have no level as they were changed"


@pytest.mark.parametrize(("n", "hits", "passed"), [(28, 0, None), (28, 1, None), (28, 7, False), (29, 0, True)])
def test_controls_too_few_to_show_anything_fail_only_a_judge_that_is_plainly_wrong(
    n: int, hits: int, passed: bool | None
) -> None:
    facet = "clear boundaries"
    controls = {facet: np.array([4.0] * hits + [0.0] * (n - hits))}
    levels = {"genuine": np.full(61, 4.0), "hollow": np.full(61, 1.0)}
    found = _found(Scores(by_kind={facet: levels}, controls=controls), ["genuine", "hollow"])["not called for"]
    assert (found.passed, found.tried) == (passed, passed is not None)
