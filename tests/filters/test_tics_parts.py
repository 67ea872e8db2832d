"""The parts of the tics filter against independent counts: brute force, scipy's tests, pairs counted one by one."""

from __future__ import annotations

import random
from collections import defaultdict
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from thousandfold.filters.tics_corpus import SHARED_NGRAM, compression_ratio, length_matched, shared_rows
from thousandfold.filters.tics_leakage import leaks
from thousandfold.filters.tics_ngrams import BREAK, Vocabulary, Words, cut, cut_all, mine, occurrences
from thousandfold.filters.tics_phrases import (
    FALSE_DISCOVERY_RATE,
    PRIOR_WEIGHT,
    Comparison,
    against,
    counted_from,
    least_count,
)
from thousandfold.filters.tics_skeletons import Skeletons, phrasing, readable
from thousandfold.filters.tics_twosample import auc_and_variance, features, told_apart
from thousandfold.filters.tics_words import excerpt, text_column

FEW_WORDS = st.lists(st.lists(st.sampled_from("abcde"), max_size=14).map(" ".join), max_size=14)


def words_of(*corpora: list[str]) -> tuple[list[Words], Vocabulary]:
    return cut_all([text_column(texts) for texts in corpora])


def brute(words: Words, n: int) -> dict[tuple[int, ...], set[int]]:
    """n-gram → the rows that hold it, looked up place by place."""
    codes, rows = words.codes.tolist(), words.rows.tolist()
    found = defaultdict(set)
    for start in range(len(codes) - n + 1):
        gram = tuple(codes[start : start + n])
        if BREAK not in gram:
            found[gram].add(rows[start])
    return dict(found)


@given(FEW_WORDS, st.integers(1, 4))
def test_mining_finds_every_frequent_ngram_with_its_document_frequency(texts: list[str], least: int) -> None:
    (words,), _ = words_of(texts)
    for n, grams in enumerate(mine(words, shortest=1, longest=5, least=least), 1):
        ours = dict(zip(map(tuple, grams.codes.tolist()), grams.rows.tolist(), strict=True))
        assert ours == {gram: len(rows) for gram, rows in brute(words, n).items() if len(rows) >= least}


@given(FEW_WORDS, FEW_WORDS)
def test_occurrences_are_the_rows_that_hold_a_gram_in_another_corpus_too(one: list[str], other: list[str]) -> None:
    (words, others), _ = words_of(one, other)
    grams = [found.codes for found in mine(words, shortest=1, longest=4, least=1)][::-1]  # any order of lengths
    numbers, rows = occurrences(others, grams)
    ours = set(zip(numbers.tolist(), rows.tolist(), strict=True))
    assert len(ours) == len(numbers)
    flat = [tuple(gram) for matrix in grams for gram in matrix.tolist()]
    assert ours == {(i, row) for i, gram in enumerate(flat) for row in brute(others, len(gram)).get(gram, ())}


def test_codes_go_by_the_alphabet_whatever_comes_first() -> None:
    texts = ["The pear, then 3.5 apples.", None, "An apple’s core"]
    (words,), known = words_of(texts)  # type: ignore[arg-type]
    (turned,), same = words_of(texts[::-1])  # type: ignore[arg-type]
    assert known.words == same.words == sorted(known.words)
    told = [[known.words[c] for c in words.codes[words.rows == row] if c != BREAK] for row in range(3)]
    assert told == [["the", "pear", ",", "then", "0", "apples", "."], [], ["an", "apple's", "core"]]
    assert words.height == turned.height == 3


COUNTS = st.tuples(st.integers(2, 399), st.integers(0, 399))


@given(st.lists(COUNTS, min_size=1, max_size=20), st.integers(400, 3000), st.integers(400, 3000))
def test_z_is_the_log_odds_ratio_with_an_informative_prior(counts: list[tuple[int, int]], n: int, m: int) -> None:
    own, other = (np.array(side, np.int64) for side in zip(*counts, strict=True))
    ours = against(own, n, other, m)
    for (y, x), ratio, z in zip(counts, ours.ratio, ours.z, strict=True):
        weight, pooled = PRIOR_WEIGHT * (n + m), (y + x) / (n + m)
        a, b = y + weight * pooled, n - y + weight * (1 - pooled)
        c, d = x + weight * pooled, m - x + weight * (1 - pooled)
        assert z == pytest.approx(np.log(a * d / (b * c)) / np.sqrt(1 / a + 1 / b + 1 / c + 1 / d), abs=1e-9)
        assert ratio == pytest.approx((y / n) / ((x + 0.5) / (m + 1)))


@pytest.mark.parametrize(("y", "x", "n", "m"), [(20, 0, 2000, 2000), (9, 2, 800, 500), (300, 40, 1000, 900)])
def test_p_is_the_binomial_tail_among_counts_that_are_looked_at(y: int, x: int, n: int, m: int) -> None:
    p = against(np.array([y]), n, np.array([x]), m).adjusted_p[0]
    tail = stats.binom(y + x, n / (n + m)).sf
    assert p == pytest.approx(tail(y - 1) / tail(counted_from(n) - 1), rel=1e-6)


def test_a_p_below_the_smallest_float_is_zero_and_not_a_crash() -> None:
    assert against(np.array([90_000]), 100_000, np.array([1]), 20_000_000).adjusted_p[0] == 0.0


@pytest.mark.parametrize("rate", [0.004, 0.02, 0.2])
def test_where_nothing_differs_false_discoveries_stay_within_their_rate(rate: float) -> None:
    """The complete null, candidates chosen by their count as the filter does: any rejection is a false one."""
    draw = np.random.default_rng(int(rate * 1000))
    texts, tests, runs, false = 1000, 400, 400, 0
    for _ in range(runs):
        own, other = draw.binomial(texts, rate, tests), draw.binomial(texts, rate, tests)
        looked_at = own >= counted_from(texts)
        found = against(own[looked_at], texts, other[looked_at], texts)
        false += bool((found.adjusted_p <= FALSE_DISCOVERY_RATE).any())
    assert false <= stats.binom(runs, FALSE_DISCOVERY_RATE).ppf(0.999)


def test_a_difference_that_is_there_is_found() -> None:
    own, other = np.array([25] + [10] * 400), np.array([0] + [10] * 400)
    found = against(own, 2000, other, 2000)
    assert found.listed(own, 2000).tolist() == [True] + [False] * 400


@pytest.mark.parametrize(("texts", "least", "from_"), [(1, 2, 2), (300, 2, 2), (2000, 10, 5), (2001, 11, 5)])
def test_a_tic_stands_in_half_a_per_cent_of_the_texts_and_never_in_just_one(texts: int, least: int, from_: int) -> None:
    assert (least_count(texts), counted_from(texts)) == (least, from_)


def test_the_limits_of_the_list_hold_to_the_very_text() -> None:
    counts, ratio = np.array([9, 10, 10, 10]), np.array([99.0, 99.0, 4.99, 5.0])
    found = Comparison(ratio, np.full(4, 9.0), np.array([0.0, FALSE_DISCOVERY_RATE, 0.0, 0.0101]))
    assert found.listed(counts, 2000).tolist() == [False, True, False, False]


def test_texts_of_several_batches_are_cut_as_if_they_were_one() -> None:
    texts = [f"word {'other ' * (row % 3)}" if row % 5 else None for row in range(9001)]
    (words,), known = words_of(texts)  # type: ignore[arg-type]
    expected = [len(text.split()) if text else 0 for text in texts]
    assert np.bincount(words.rows[words.codes != BREAK], minlength=9001).tolist() == expected
    assert (np.bincount(words.rows) == np.array(expected) + 1).all()
    assert known.words == ["other", "word"]


@given(FEW_WORDS)
def test_shared_rows_are_those_with_an_ngram_of_another_row(texts: list[str]) -> None:
    (words,), known = words_of(texts)
    expected = {row for rows in brute(words, SHARED_NGRAM).values() if len(rows) > 1 for row in rows}
    assert set(shared_rows(words, known).tolist()) == expected


def test_samples_that_are_packed_have_as_many_texts_of_one_length() -> None:
    long, short = pl.Series(["x" * 900] * 50), pl.Series(["y" * 300, "z" * 500, None, "z" * 200])
    one, other = length_matched(long, short)
    assert one.str.len_chars().to_list() == other.str.len_chars().to_list() == [300, 300]


def test_what_repeats_itself_packs_better() -> None:
    draw = random.Random(1)
    varied = pl.Series(["".join(draw.choices("abcdefgh ", k=200)) for _ in range(50)])
    repeated = pl.Series(["I hear you, and that matters a great deal to me. " * 4] * 50)
    one, other = compression_ratio(varied), compression_ratio(repeated)
    assert one is not None
    assert other is not None
    assert other > 10 * one > 10
    assert compression_ratio(pl.Series([None], dtype=pl.String)) is None


def test_a_skeleton_keeps_function_words_and_signs_and_one_slot_for_the_rest() -> None:
    filler = [
        f"it is so, and the {a} {b}."
        for a, b in pairwise(f"w{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(400))
    ]
    (words, more), known = words_of(["It is the big old house, and the dog."], filler)
    skeletons = Skeletons([words, more], known)
    gram = tuple(code for code in skeletons.of(words).codes.tolist() if code != BREAK)
    line = readable(known, [gram])[0]
    assert line.startswith("it is the ")
    assert line.endswith((", and the _ .", ", and the dog ."))
    assert "house" not in line
    assert "_ _" not in line


def test_a_phrase_goes_over_a_comma_but_not_over_the_end_of_a_sentence() -> None:
    (words,), known = words_of(["I hear you, really. And so on"])
    grams = {readable(known, [g])[0] for n in (2, 3, 4) for g in brute(phrasing(words, known), n)}
    assert "i hear you really" in grams
    assert not any("really and" in gram for gram in grams)
    whole = phrasing(words, known, across_sentences=True)
    assert "really and" in {readable(known, [g])[0] for g in brute(whole, 2)}


@given(
    st.lists(st.integers(0, 6).map(float), min_size=1, max_size=30),
    st.lists(st.integers(0, 6).map(float), min_size=1, max_size=30),
)
def test_the_auc_is_the_share_of_pairs_and_a_tie_is_half(own: list[float], other: list[float]) -> None:
    pairs, auc, variance = auc_and_variance(np.array(own), np.array(other))
    told = [1.0 if a > b else 0.5 if a == b else 0.0 for a in own for b in other]
    assert pairs == len(told)
    assert auc == pytest.approx(sum(told) / len(told))
    assert variance >= 0


def test_features_are_words_and_pairs_each_once_and_rows_of_length_one() -> None:
    (words,), known = words_of(["a b a b", "", "c"])
    found = features(words, known)
    assert np.diff(found.matrix.indptr).tolist() == [4, 0, 1]  # a, b, a b, b a
    assert np.sqrt(found.matrix.multiply(found.matrix).sum(axis=1)) == pytest.approx([1, 0, 1])


def test_a_classifier_tells_texts_apart_by_the_word_that_was_planted() -> None:
    draw = random.Random(3)
    known_words = [f"w{chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(300)]
    plain = [" ".join(draw.choices(known_words, k=30)) for _ in range(400)]
    own = [f"{text} delve" if draw.random() < 0.8 else text for text in plain[:200]]
    (words, others), known = words_of(own, plain[200:])
    folds = (np.arange(200), np.arange(200))
    found = told_apart(words, others, known, folds)
    assert found is not None
    assert found.auc > 0.8
    assert readable(known, found.telling[:1]) == ["delve"]
    assert told_apart(words, Words(others.codes[:5], others.rows[:5], 1), known, (folds[0], folds[1][:1])) is None


def test_a_text_that_quotes_its_card_and_echoes_its_tone_is_seen_beside_chance() -> None:
    draw = random.Random(4)
    words_known = [f"w{chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(300)]
    places = [f"the {a}{b} quarry" for a in ("salt", "tin", "iron", "lime") for b in ("hill", "water", "field", "wood")]
    cards = [
        {"place": places[i % 16], "tone": ("warm", "cold")[i % 2], "other": ("x", "y")[i % 7 % 2]} for i in range(320)
    ]
    texts = [
        " ".join(draw.choices(words_known, k=25))
        + (f" {card['place']}" if i % 3 == 0 else "")
        + (" dear friend" if card["tone"] == "warm" and draw.random() < 0.7 else "")
        for i, card in enumerate(cards)
    ]
    (words,), known = words_of(texts)
    found = {(leak.measure, leak.of): leak for leak in leaks(words, pl.DataFrame(cards), known, seed=1)}
    quoted = found["card_quoted", None]
    assert quoted.value > 5 * quoted.expected
    assert quoted.p == 1 / 200
    assert found["card_told", "tone"].value > 0.75
    assert found["card_told", "tone"].p == 1 / 200
    assert found["card_told", "other"].p > 0.02
    assert found["card_told", "other"].value == pytest.approx(found["card_told", "other"].expected, abs=0.12)


@pytest.mark.parametrize(
    ("text", "tic", "seen"),
    [
        (
            "Well, I’m here. Truly, I'm here for you.",
            ["i'm", "here", "for"],
            "Well, I’m here. Truly, I'm here for you.",
        ),
        ("It was the best of times, and 1,000 came.", ["and", "0", "came"], "…was the best of times, and 1,000 came."),
        (
            "I hear how much this means, and I care.",
            ["i", "hear", "_", "and"],
            "I hear how much this means, and I care.",
        ),
    ],
)
def test_an_example_shows_the_tic_in_its_place(text: str, tic: list[str], seen: str) -> None:
    assert excerpt(text, tic) == seen


def test_cutting_knows_numbers_signs_and_unspaced_scripts() -> None:
    known = Vocabulary()
    words = cut(text_column(["Rice 米饭, 2.5 kg – ok?"]), known)
    assert [known.words[code] for code in words.codes if code != BREAK] == [
        "rice",
        "米",
        "饭",
        ",",
        "0",
        "kg",
        "–",
        "ok",
        "?",
    ]
