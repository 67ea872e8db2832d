"""The shortcut alarm and the style test: what they find where it was planted, and what they leave alone."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest

from thousandfold import gen
from thousandfold.gen.grouped import OVERLAP, auc_by_fold, folds_of, interval_around
from thousandfold.gen.probe import ALARM_AUC

WORDS = [
    f"{a}{b}" for a in ("ka", "lo", "mi", "ru", "se", "ta", "vo") for b in ("bel", "dan", "fir", "gos", "hum", "jet")
]
PHRASE = "let us face it together"


def said(draw: random.Random, *, words: int = 40) -> str:
    """Plain sentences of made-up words; every writer has the same."""
    drawn = draw.choices(WORDS, k=words)
    return " ".join(" ".join(drawn[at : at + 8]).capitalize() + "." for at in range(0, words, 8))


def sides(count: int = 80, *, rate: float = 0.0, seed: int = 1) -> tuple[list[str], list[str], list[str]]:
    """(genuine, hollow, groups of four); `rate` of the genuine ones hold the phrase."""
    draw = random.Random(seed)
    genuine = [f"{said(draw)} {PHRASE.capitalize()}." if draw.random() < rate else said(draw) for _ in range(count)]
    return genuine, [said(draw) for _ in range(count)], [f"seed {n // 4}" for n in range(count)]


def probed(texts: tuple[Sequence[str | None], Sequence[str | None], Sequence[str]]) -> gen.Shortcut:
    found = gen.shortcut_probe(texts[0], texts[1], groups=texts[2])
    assert found is not None
    return found


def test_a_planted_phrase_rings_the_alarm_and_is_named_whole() -> None:
    found = probed(sides(rate=0.9))
    assert found.alarm
    assert found.auc > ALARM_AUC
    first = found.phrases[0]
    assert (first.phrase, first.of, first.hollow) == (PHRASE, "genuine", 0.0)
    assert first.genuine == pytest.approx(0.9, abs=0.08)
    assert first.share > 0.5
    assert all(phrase.share < 0.1 for phrase in found.phrases[1:])


def test_a_phrase_of_the_hollow_side_is_told_as_theirs() -> None:
    genuine, hollow, groups = sides(rate=0.9)
    found = probed((hollow, genuine, groups))
    assert found.alarm
    assert (found.phrases[0].phrase, found.phrases[0].of) == (PHRASE, "hollow")


def test_texts_of_one_kind_cannot_be_told_apart_and_no_phrase_is_blamed() -> None:
    found = [probed(sides(seed=seed)) for seed in range(8)]
    assert np.mean([one.auc for one in found]) == pytest.approx(0.5, abs=0.05)
    assert sum(one.interval.low <= 0.5 <= one.interval.high for one in found) >= 7
    assert not any(one.alarm for one in found)
    assert all(one.phrases == () for one in found if one.interval.low <= 0.5)


def test_what_differs_from_context_to_context_is_not_taken_for_a_phrase() -> None:
    """Each text names what is at stake in its own context: content, and nothing that another context has."""
    genuine, hollow, groups = sides()
    marks = [group.replace("seed ", "") for group in groups]
    own = [f"{text} The fault was fa{mark} indeed." for text, mark in zip(genuine, marks, strict=True)]
    other = [f"{text} The fault was hu{mark} indeed." for text, mark in zip(hollow, marks, strict=True)]
    assert not probed((own, other, groups)).alarm
    told = probed((own, hollow, groups))  # here the frame of the sentence is the shortcut, and is named
    assert told.alarm
    assert "the fault was" in " ".join(phrase.phrase for phrase in told.phrases)


def test_the_order_of_rows_decides_nothing() -> None:
    rows = list(zip(*sides(rate=0.5), strict=True))
    before = probed(sides(rate=0.5))
    random.Random(3).shuffle(rows)
    shuffled = probed(tuple(zip(*rows, strict=True)))  # type: ignore[arg-type]
    assert shuffled == before


def test_missing_texts_are_left_out_and_too_few_are_not_judged() -> None:
    genuine, hollow, groups = sides(rate=0.9)
    gaps: list[str | None] = [None if n % 3 == 0 else text for n, text in enumerate(hollow)]
    found = probed((genuine, gaps, groups))
    assert (found.texts, found.groups) == (80 + 53, 20)
    assert gen.shortcut_probe(genuine[:19], hollow[:19], groups=groups[:19]) is None
    assert gen.shortcut_probe(genuine, hollow, groups=["one"] * 80) is None
    with pytest.raises(gen.RecipeError, match="80 texts stand beside 80 others and 3 groups"):
        gen.shortcut_probe(genuine, hollow, groups=["a", "b", "c"])


def test_the_auc_is_that_of_counting_pairs_and_its_variance_that_of_the_clustered_formula() -> None:
    """Counted by hand, pair by pair; and Obuchowski's S10, S01 and S11 written out for one fold."""
    draw = np.random.default_rng(4)
    own, other = draw.normal(0.5, 1, 30).round(1), draw.normal(0, 1, 30).round(1)
    groups = [f"g{n // 3}" for n in range(30)]
    zeros = np.zeros(30, np.int64)
    auc, of_own, of_other = auc_by_fold(own, other, zeros, zeros)
    wins = [[1.0 if a > b else 0.5 if a == b else 0.0 for b in other] for a in own]
    assert auc == pytest.approx(float(np.mean(wins)))
    v10, v01 = np.mean(wins, axis=1), np.mean(wins, axis=0)
    sums = [
        (sum(v10[n] - auc for n in range(3 * g, 3 * g + 3)), sum(v01[n] - auc for n in range(3 * g, 3 * g + 3)))
        for g in range(10)
    ]
    s10, s01, s11 = (
        10 / 9 * sum(x) for x in ((a * a for a, _ in sums), (b * b for _, b in sums), (a * b for a, b in sums))
    )
    variance = (s10 + s01 + 2 * s11) / 900
    found = interval_around(auc, np.concatenate([of_own, of_other]), groups + groups)
    from scipy.stats import t

    half = t.ppf(0.975, 9) * (OVERLAP * variance) ** 0.5
    assert found.low == pytest.approx(max(0, auc - half))
    assert found.high == pytest.approx(min(1, auc + half))


def test_folds_are_whole_groups_and_as_even_as_they_can_be() -> None:
    groups = [f"g{n % 13}" for n in range(130)]
    folds = folds_of(groups)
    assert all(len({fold for fold, group in zip(folds, groups, strict=True) if group == name}) == 1 for name in groups)
    assert sorted(np.bincount(folds).tolist()) == [20, 20, 30, 30, 30]
    assert set(folds_of(["a", "b"] * 3).tolist()) == {0, 1}
    assert set(folds_of(["a"] * 3).tolist()) == {-1}


def styled(one: list[str], other: list[str], groups: list[str]) -> gen.Style:
    found = gen.style_probe(one, other, groups=groups)
    assert found is not None
    return found


def test_style_cannot_tell_texts_of_one_style_apart() -> None:
    found = [styled(*sides(seed=seed)) for seed in range(8)]
    assert np.mean([one.auc for one in found]) == pytest.approx(0.5, abs=0.06)
    assert all(one.passed for one in found)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda text: text + " Kabel lodan mifir rugos sehum.", "words"),
        (lambda text: text.replace(". ", ", and ", 2), "words a sentence"),
        (lambda text: text.replace(".", ".\n\n", 1), "paragraphs"),
        (lambda text: f"**{text[:10]}**{text[10:]}", "bold"),
        (lambda text: text.replace(".", "!", 1), "exclamations"),
    ],
)
def test_a_difference_of_style_inside_the_pairs_is_found_and_named(change: object, named: str) -> None:
    genuine, hollow, groups = sides()
    assert callable(change)
    found = styled([change(text) for text in genuine], hollow, groups)
    assert not found.passed
    assert found.auc > 0.8
    assert named in [name for name, *_ in found.features[:4]]


def test_other_words_in_the_same_style_pass_the_style_test() -> None:
    """What the alarm would name is not style: five words at the end of both sides, other ones on each."""
    genuine, hollow, groups = sides()
    one = [f"{text} Kabel lodan mifir rugos sehum." for text in genuine]
    other = [f"{text} Tabel vodan kafir logos mihum." for text in hollow]
    assert styled(one, other, groups).passed
    assert probed((one, other, groups)).alarm


def test_a_side_with_stock_phrases_of_its_own_is_told_by_them() -> None:
    genuine, hollow, groups = sides(rate=1.0)
    longer = [f"{text} Kabel lodan mifir rugos sehum." for text in hollow]
    names = [name for name, *_ in styled(genuine, longer, groups).features]
    assert "stock phrases" in names[:4]


def test_where_no_text_errs_the_interval_is_as_wide_as_so_few_groups_leave_it() -> None:
    nothing = np.zeros(20)
    assert interval_around(1.0, nothing, ["a", "b", "c", "d", "e"] * 4) == pytest.approx((0.05 ** (1 / 5), 1.0))
    assert interval_around(1.0, nothing, ["a"] * 20) == (0.0, 1.0)
