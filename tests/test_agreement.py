"""Agreement against published figures, brute force, and three people's labels of real answers."""

from __future__ import annotations

import json
import os
from collections import Counter
from itertools import permutations
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thousandfold import gen
from thousandfold.gen.agreement import alternative_annotator_test, krippendorff_alpha, weighted_kappa
from thousandfold.gen.errors import RecipeError

Floats = npt.NDArray[np.float64]
DATA = Path(os.environ.get("THOUSANDFOLD_TEST_DATA", Path(__file__).parents[2] / "shared" / "data")) / "pandalm"
NAN = float("nan")

# Krippendorff, "Computing Krippendorff's alpha-reliability" (2011), example C: four observers, twelve units.
EXAMPLE = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
    [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
]


def test_they_are_names_of_the_library() -> None:
    assert gen.weighted_kappa is weighted_kappa
    assert gen.krippendorff_alpha is krippendorff_alpha
    assert gen.alternative_annotator_test is alternative_annotator_test


@pytest.mark.parametrize(("metric", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_is_that_of_its_author_s_example(metric: str, alpha: float) -> None:
    assert krippendorff_alpha(EXAMPLE, metric=metric) == pytest.approx(alpha, abs=5e-4)  # type: ignore[arg-type]


@given(st.lists(st.tuples(*[st.sampled_from([0, 1, 2, NAN])] * 3), min_size=2, max_size=8))
def test_alpha_is_observed_over_expected_disagreement_counted_pair_by_pair(texts: list[tuple[float, ...]]) -> None:
    paired = [[r for r in text if r == r] for text in texts]
    paired = [text for text in paired if len(text) >= 2]
    total = [rating for text in paired for rating in text]
    if len(set(total)) < 2:
        assert np.isnan(krippendorff_alpha(np.array(texts).T, metric="interval"))
        return
    observed = sum((a - b) ** 2 / (len(text) - 1) for text in paired for a, b in permutations(text, 2)) / len(total)
    expected = sum((a - b) ** 2 for a, b in permutations(total, 2)) / (len(total) * (len(total) - 1))
    assert krippendorff_alpha(np.array(texts).T, metric="interval") == pytest.approx(1 - observed / expected)


def test_kappa_is_that_of_a_textbook_table() -> None:
    # Cohen 1960 in the form of Fleiss, Statistical Methods, table of 100 cases: .75, .05 … kappa .68 (to two places).
    counts = {(0, 0): 75, (0, 1): 1, (0, 2): 4, (1, 0): 5, (1, 1): 4, (1, 2): 1, (2, 0): 0, (2, 1): 0, (2, 2): 10}
    pairs = [pair for pair, count in counts.items() for _ in range(count)]
    one, other = np.array(pairs).T
    assert weighted_kappa(one, other, weights="none") == pytest.approx(0.676, abs=5e-4)


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=30),
    st.sampled_from(["linear", "quadratic"]),
)
def test_kappa_is_one_less_the_disagreement_over_that_of_all_pairs(rows: list[tuple[int, int]], weights: str) -> None:
    power = 1 if weights == "linear" else 2
    one, other = np.array(rows).T
    found = weighted_kappa(one, other, weights=weights)  # type: ignore[arg-type]
    expected = np.mean([abs(a - b) ** power for a in one for b in other])
    if expected == 0:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(1 - np.mean(np.abs(one - other) ** power) / expected)
    assert weighted_kappa(other, one, weights=weights) == pytest.approx(found, nan_ok=True)  # type: ignore[arg-type]


def test_what_one_of_two_did_not_rate_is_left_out() -> None:
    assert weighted_kappa([1, 2, NAN, 3], [1, 2, 0, NAN]) == 1.0
    assert np.isnan(weighted_kappa([NAN], [1]))


def people(count: int, *, noise: float, texts: int = 80, seed: int = 0) -> tuple[Floats, Floats]:
    """(true levels, ratings of `count` people)."""
    drawn = np.random.default_rng(seed)
    truth = drawn.integers(0, 5, texts).astype(np.float64)
    return truth, np.clip(np.rint(truth + drawn.normal(0, noise, (count, texts))), 0, 4)


def test_a_judge_as_near_as_people_may_stand_in_and_one_that_guesses_may_not() -> None:
    truth, rated = people(3, noise=0.8)
    good = alternative_annotator_test(truth, rated)
    assert (good.winning_rate, good.people, good.passes) == (1.0, 3, True)
    assert good.advantage > 0.7
    guesses = np.random.default_rng(9).integers(0, 5, 80)
    poor = alternative_annotator_test(guesses, rated)
    assert (poor.winning_rate, poor.passes) == (0.0, False)
    assert poor.advantage < 0.5


def test_a_judge_that_is_one_of_the_people_passes_with_epsilon_and_not_without() -> None:
    _, rated = people(4, noise=0.8, texts=300)
    assert alternative_annotator_test(rated[0], rated[1:]).passes
    assert not alternative_annotator_test(rated[0], rated[1:], epsilon=0.0).passes


def test_few_texts_go_by_ranks_and_one_person_is_too_few() -> None:
    truth, rated = people(3, noise=0.5, texts=20)
    assert alternative_annotator_test(truth, rated).passes
    with pytest.raises(RecipeError, match="people who can be compared"):
        alternative_annotator_test(truth, rated[:1])


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: weighted_kappa([1, 2], [1]), "shapes"),
        (lambda: weighted_kappa(["a"], ["b"]), "no numbers"),
        (lambda: weighted_kappa([1, 2], [1, 1], weights="cubic"), "cubic"),  # type: ignore[arg-type]
        (lambda: krippendorff_alpha([1, 2]), "shape"),
        (lambda: krippendorff_alpha([[1, 2], [2, 1]], metric="ratio"), "ratio"),  # type: ignore[arg-type]
        (lambda: alternative_annotator_test([1, 2], [[1], [2]]), "shapes"),
    ],
)
def test_what_cannot_be_compared_is_one_error_that_says_what_to_do(call: object, named: str) -> None:
    with pytest.raises(RecipeError) as caught:
        call()  # type: ignore[operator]
    assert named in caught.value.what
    assert caught.value.do


@pytest.fixture(scope="module")
def panda() -> tuple[Floats, list[str]]:
    """(three people's choices of 999 pairs: 0 for a tie, 1, 2; a recorded judge's words)."""
    if not DATA.is_dir():
        pytest.skip(f"{DATA} is not there: set THOUSANDFOLD_TEST_DATA to the folder of real data")
    rows = json.loads((DATA / "testset-v1.json").read_text(encoding="utf-8"))
    recorded = json.loads((DATA / "gpt-3.5-turbo-testset-v1.json").read_text(encoding="utf-8"))
    said = {row["idx"]: row["gpt_result"] for row in recorded}
    return (
        np.array([[row[f"annotator{n}"] for row in rows] for n in (1, 2, 3)], np.float64),
        [str(said[row["idx"]]) for row in rows],
    )


def test_three_people_agree_as_their_authors_say(panda: tuple[Floats, list[str]]) -> None:
    rated, _ = panda
    kappas = [weighted_kappa(rated[a], rated[b], weights="none") for a, b in ((0, 1), (0, 2), (1, 2))]
    assert kappas == pytest.approx([0.852, 0.879, 0.862], abs=5e-4)
    assert krippendorff_alpha(rated, metric="nominal") == pytest.approx(np.mean(kappas), abs=0.005)


def test_a_recorded_judge_agrees_with_the_majority_as_its_authors_say(panda: tuple[Floats, list[str]]) -> None:
    rated, said = panda
    majority = [Counter(votes).most_common(1)[0][0] for votes in rated.T.tolist()]
    verdicts = [{"Tie": 0.0, "1": 1.0, "2": 2.0}.get(word, NAN) for word in said]
    read = [(own, theirs) for own, theirs in zip(verdicts, majority, strict=True) if own == own]
    assert len(read) == 974
    assert np.mean([own == theirs for own, theirs in read]) == pytest.approx(0.7156, abs=5e-5)
    # Compared on one scale (first better 1, tie 1/2, second better 0) it is no substitute for any of the three.
    scale = {0.0: 0.5, 1.0: 1.0, 2.0: 0.0}
    judge = np.array([scale.get(verdict, NAN) for verdict in verdicts])
    votes = np.vectorize(scale.get)(rated).astype(np.float64)
    found = alternative_annotator_test(judge, votes)
    assert (found.people, found.passes) == (3, False)
    assert 0.6 < found.advantage < 0.9
