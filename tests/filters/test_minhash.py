"""Shingles, signatures, bands, and the index of earlier rounds."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from datasketch import MinHash, MinHashLSH
from hypothesis import given, settings
from hypothesis import strategies as st

from thousandfold.filters import (
    FilterError,
    MinHashIndex,
    datasketch_minhashes,
    minhash_signatures,
    near_duplicates,
)
from thousandfold.filters.minhash import Sketching
from thousandfold.filters.shingles import shingle_columns

REPOSITORY = Path(__file__).parents[2]
DATA = Path(os.environ.get("THOUSANDFOLD_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
WORDS = ["the", "a", "sorry", "ÉTÉ", "straße", "नमस्ते", "东京", "i_am", "42", "é", "don't", "😀", "Ǆ", "Σας", "ไม่"]
PROSE = st.lists(st.sampled_from(WORDS), max_size=30).map(" ".join)


def real_answers() -> list[str]:
    path = DATA / "alpaca_5000.json"
    if not path.is_file():
        pytest.skip(f"the test data {path} is not there (THOUSANDFOLD_TEST_DATA names its folder)")
    return [row["output"] for row in json.loads(path.read_text(encoding="utf-8"))]


# Signatures and bands


def theirs(text: str, ngram: int, num_perm: int, seed: int) -> MinHash:
    minhash = MinHash(num_perm=num_perm, seed=seed, scheme="affine32", hashfunc=lambda shingle: shingle & 0xFFFFFFFF)
    minhash.update_batch(shingle_columns([text], ngram).row(0).tolist())
    return minhash


@settings(deadline=None)
@given(st.lists(PROSE, max_size=8), st.integers(1, 6), st.sampled_from([2, 7, 64, 128]), st.integers(0, 2**32 - 1))
def test_signatures_are_those_of_datasketch(texts: list[str], ngram: int, num_perm: int, seed: int) -> None:
    signatures = minhash_signatures(texts, ngram=ngram, num_perm=num_perm, seed=seed)
    assert signatures.shape == (len(texts), num_perm)
    assert signatures.dtype == np.uint32
    for text, signature in zip(texts, signatures, strict=True):
        assert signature.tolist() == theirs(text, ngram, num_perm, seed).hashvalues.tolist()


def test_signatures_of_thousands_of_random_and_real_texts_are_those_of_datasketch() -> None:
    generator = random.Random(4)
    alphabet = "abcdefgh ABC éÉßΣσς我很抱歉ไม่เป็น 😀 عربي हिन्दी"
    texts = ["".join(generator.choices(alphabet, k=generator.randrange(200))) for _ in range(1000)]
    texts += [answer for answer in real_answers() if not answer.isascii()]
    texts += real_answers()[:1000]
    signatures = minhash_signatures(pl.Series(texts))
    assert len(texts) >= 2000
    for text, signature in zip(texts, signatures, strict=True):
        assert np.array_equal(signature, theirs(text, 5, 128, 1).hashvalues)


def test_a_text_longer_than_one_batch_has_the_signature_of_all_its_shingles() -> None:
    text = " ".join(str(number) for number in range(80_000))
    [signature] = minhash_signatures([text])
    assert signature.tolist() == theirs(text, 5, 128, 1).hashvalues.tolist()


def test_datasketch_goes_on_with_our_signatures() -> None:
    texts = ["one two three four five six seven eight", "one two three four five six seven nine", "another thing"]
    ours = list(datasketch_minhashes(minhash_signatures(texts, ngram=2, seed=7), seed=7))
    assert [minhash.jaccard(ours[0]) for minhash in ours] == [
        minhash.jaccard(theirs(texts[0], 2, 128, 7)) for minhash in ours
    ]
    lsh = MinHashLSH(num_perm=128, params=(25, 5))
    for number, minhash in enumerate(ours):
        lsh.insert(number, minhash)
    assert sorted(lsh.query(theirs(texts[0], 2, 128, 7))) == [0, 1]
    ours[0].update(3)
    assert ours[0].hashvalues.tolist() != minhash_signatures(texts, ngram=2, seed=7)[0].tolist()


def test_null_and_blank_texts_have_the_signature_of_the_empty_set() -> None:
    assert (minhash_signatures([None, " "], num_perm=4) == 2**32 - 1).all()
    assert minhash_signatures([], num_perm=4).shape == (0, 4)


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
        ("ab", ["x", "y"], "keys is 'ab', of type str"),
        (None, ["x"], "keys is None, of type NoneType"),
    ],
)
def test_wrong_additions_are_refused_and_nothing_is_added(keys: list[str], texts: list[str], what: str) -> None:
    index = index_of(ROUND_ONE)
    with pytest.raises(FilterError) as caught:
        index.add(keys, texts)
    assert caught.value.what == what
    assert len(index) == 2
    assert index.query(["x", "y"])["twin_key"].to_list() == [None, None]
