"""Shingles, signatures, bands, and the index of earlier rounds."""

from __future__ import annotations

import random
import re

import numpy as np
import polars as pl
import pytest
from datasketch import MinHash
from hypothesis import given
from hypothesis import strategies as st

from thousandfold.filters import FilterError, MinHashIndex, near_duplicates
from thousandfold.filters.minhash import Sketcher, Sketching, jaccards
from thousandfold.filters.shingles import containment, shingle_sets

WORDS = ["the", "a", "sorry", "ÉTÉ", "straße", "नमस्ते", "i_am", "42", "é", "don't", "😀", "Ǆ"]
PROSE = st.lists(st.sampled_from(WORDS), max_size=30).map(" ".join)


def tuples(text: str, ngram: int) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[start : start + ngram]) for start in range(max(1, len(words) - ngram + 1))}


# Shingles


@given(st.lists(PROSE, min_size=2, max_size=6), st.integers(1, 8))
def test_hashed_shingles_overlap_exactly_as_tuples_of_words_do(texts: list[str], ngram: int) -> None:
    texts = [text for text in texts if re.search(r"\w", text)] or ["one"]
    hashed = [shingles for shingles in shingle_sets(texts, ngram) if shingles is not None]
    exact = [tuples(text, ngram) for text in texts]
    assert [len(shingles) for shingles in hashed] == [len(shingles) for shingles in exact]
    for mine, theirs in zip(hashed, exact, strict=True):
        assert jaccards(mine, hashed) == [len(theirs & other) / len(theirs | other) for other in exact]
        assert [containment(mine, other) for other in hashed] == [len(theirs & other) / len(theirs) for other in exact]


# Signatures and bands


@given(PROSE.filter(lambda text: re.search(r"\w", text) is not None), st.integers(0, 2**32 - 1))
def test_signatures_are_those_of_datasketch(text: str, seed: int) -> None:
    [sketch] = Sketcher(Sketching(seed=seed, num_perm=64)).sketches([text])
    assert sketch is not None
    theirs = MinHash(num_perm=64, seed=seed, scheme="affine32", hashfunc=lambda shingle: shingle & 0xFFFFFFFF)
    theirs.update_batch(sketch.shingles.tolist())
    assert np.array_equal(sketch.minhash.hashvalues, theirs.hashvalues)


def test_a_text_longer_than_one_batch_has_the_signature_of_all_its_shingles() -> None:
    text = " ".join(str(number) for number in range(40_000))
    [sketch] = Sketcher(Sketching()).sketches([text])
    assert sketch is not None
    theirs = MinHash(num_perm=128, seed=1, scheme="affine32", hashfunc=lambda shingle: shingle & 0xFFFFFFFF)
    theirs.update_batch(sketch.shingles.tolist())
    assert np.array_equal(sketch.minhash.hashvalues, theirs.hashvalues)


@pytest.mark.parametrize(
    ("threshold", "num_perm", "bands"),
    [(0.7, 128, (25, 5)), (0.8, 128, (16, 8)), (0.5, 128, (42, 3)), (1.0, 128, (2, 64)), (0.01, 2, (2, 1))],
)
def test_bands_are_the_widest_that_find_99_in_100_just_above_the_threshold(
    threshold: float, num_perm: int, bands: tuple[int, int]
) -> None:
    assert Sketching(threshold=threshold, num_perm=num_perm).bands() == bands


@given(st.floats(0.2, 0.99), st.integers(64, 256))
def test_recall_half_way_from_the_threshold_to_one_is_at_least_99_in_100(threshold: float, num_perm: int) -> None:
    b, r = Sketching(threshold=threshold, num_perm=num_perm).bands()
    aim = (1 + threshold) / 2
    assert b >= 2
    assert b * r <= num_perm
    assert 1 - (1 - aim**r) ** b >= 0.99


def test_the_global_random_generator_is_left_where_it_was() -> None:
    before = random.getstate()
    near_duplicates(["one two three four five six", "one two three four five six"])
    assert random.getstate() == before


# The index


ROUND_ONE = {
    "draft-1": "I was wrong about the dose, and I should have read the table twice before I wrote to you.",
    "draft-2": "Your plan has one strong part, the timing, and one weak part, which is who pays for it.",
}


def index_of(texts: dict[str, str]) -> MinHashIndex:
    index = MinHashIndex()
    index.add(texts.keys(), texts.values())
    return index


def test_a_copy_of_an_earlier_text_is_dropped_and_names_its_key() -> None:
    copy = ROUND_ONE["draft-1"].upper()
    fresh = "No. I will not sign for work that I have not seen, and here is what I can do today instead."
    seen = near_duplicates([fresh, copy, copy, None], against=index_of(ROUND_ONE))
    assert seen["kept"].to_list() == [True, False, False, True]
    assert seen["twin_key"].to_list() == [None, "draft-1", "draft-1", None]
    assert seen["twin"].to_list() == [None] * 4
    assert seen["jaccard"].to_list() == [None, 1.0, 1.0, None]
    assert seen["cluster"].to_list() == [0, 1, 1, 3]


def test_an_earlier_text_decides_before_any_row_of_this_round_whatever_is_preferred() -> None:
    old = " ".join(f"w{number}" for number in range(40))
    near = f"{old} and more"
    seen = near_duplicates([near, old], prefer=[9.0, 1.0], against=index_of({"old": old}))
    assert seen["twin_key"].to_list() == ["old", "old"]
    assert seen["jaccard"].to_list() == pytest.approx([36 / 38, 1.0])


def test_a_copy_of_an_earlier_text_names_it_even_where_a_kept_row_is_more_similar() -> None:
    words = [f"w{number}" for number in range(60)]
    old, middle, far = (" ".join(words[start : start + 44]) for start in (0, 6, 10))
    assert near_duplicates([far, middle], prefer=[1, 0])["twin"].to_list() == [None, 0]
    seen = near_duplicates([far, middle], prefer=[1, 0], against=index_of({"old": old}))
    assert seen["kept"].to_list() == [True, False]
    assert seen["twin_key"].to_list() == [None, "old"]
    assert seen["twin"].to_list() == [None, None]
    assert seen["cluster"].to_list() == [0, 0]


def test_a_row_like_a_dropped_row_only_is_kept() -> None:
    words = [f"w{number}" for number in range(60)]
    old, middle, far = (" ".join(words[start : start + 44]) for start in (0, 5, 10))
    assert near_duplicates([middle, far])["kept"].to_list().count(False) == 1
    seen = near_duplicates([middle, far], against=index_of({"old": old}))
    assert seen["kept"].to_list() == [False, True]


def test_the_index_finds_the_most_similar_text_and_of_equals_the_first_added() -> None:
    words = [f"w{number}" for number in range(60)]
    index = MinHashIndex()
    index.add(["far"], [" ".join(words[:50])])
    index.add(["near", "same"], pl.Series([" ".join(words[:58]), " ".join(words[:58])]))
    found = index.query([" ".join(words), "something else entirely", None, "  "])
    assert found["twin_key"].to_list() == ["near", None, None, None]
    assert found["jaccard"].to_list() == [pytest.approx(54 / 56), None, None, None]
    assert found.schema == {"twin_key": pl.String, "jaccard": pl.Float32}


def test_the_index_counts_keys_and_knows_them() -> None:
    index = index_of(ROUND_ONE)
    index.add(["nothing", "blank"], [None, " "])
    assert len(index) == 4
    assert "draft-1" in index
    assert "nothing" in index
    assert "draft-9" not in index


def test_an_empty_index_drops_nothing_new() -> None:
    texts = list(ROUND_ONE.values())
    assert near_duplicates(texts, against=MinHashIndex()).equals(near_duplicates(texts))


def test_a_thousand_copies_in_the_index_are_one_candidate() -> None:
    index = MinHashIndex()
    index.add([str(number) for number in range(1_000)], ["the same words again and again"] * 1_000)
    assert len(index) == 1_000
    assert index.query(["The same words, again and again!"])["twin_key"].to_list() == ["0"]


def test_an_index_with_other_settings_is_refused() -> None:
    with pytest.raises(FilterError) as caught:
        near_duplicates(["a"], ngram=3, threshold=0.8, against=MinHashIndex())
    assert caught.value.what == (
        "`against` was built with threshold=0.7, ngram=5, and threshold=0.8, ngram=3 is asked for"
    )
    assert caught.value.why == "texts can only be compared when they were cut and sketched in the same way"
    assert caught.value.do == "pass threshold=0.7, ngram=5 here, or build the index anew with threshold=0.8, ngram=3"


@pytest.mark.parametrize(
    ("keys", "texts", "what"),
    [
        (["a"], ["x", "y"], "1 keys came with 2 texts"),
        (["a", "a"], ["x", "y"], "key 1, 'a', is in the index already"),
        (["draft-1"], ["x"], "key 0, 'draft-1', is in the index already"),
        (["a", 7], ["x", "y"], "key 1 is 7, of type int"),
        (["a"], [b"x"], "text 0 is b'x', of type bytes"),
    ],
)
def test_wrong_additions_are_refused_and_nothing_is_added(keys: list[str], texts: list[str], what: str) -> None:
    index = index_of(ROUND_ONE)
    with pytest.raises(FilterError) as caught:
        index.add(keys, texts)
    assert caught.value.what == what
    assert len(index) == 2
    assert index.query(["x", "y"])["twin_key"].to_list() == [None, None]
