"""The embedder: the same whole numbers everywhere, and texts alike lie nearer than texts that differ."""

from __future__ import annotations

import os
import subprocess
import sys
from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thousandfold.filters import FilterError
from thousandfold.filters.embed import DIMENSIONS, SCALE, embed

ROOF = "The roof over the kitchen leaks whenever it rains, and the landlord does not answer letters."
NEAR = "The roof over the kitchen leaks whenever it storms, and the landlord does not answer calls."
CHOIR = "A soprano sings flat in every rehearsal, and the conductor has known her for thirty years."


def cosine(one: str, other: str) -> float:
    vectors = embed([one, other]).astype(np.int64)
    return int(vectors[0] @ vectors[1]) / SCALE**2


def test_one_row_of_whole_numbers_per_text() -> None:
    vectors = embed([ROOF, CHOIR])
    assert vectors.shape == (2, DIMENSIONS)
    assert vectors.dtype == np.int8
    assert embed([ROOF], dimensions=64).shape == (1, 64)
    assert embed([]).shape == (0, DIMENSIONS)


def test_texts_alike_are_nearer_than_texts_that_differ() -> None:
    assert cosine(ROOF, ROOF) == pytest.approx(1, abs=0.05)
    assert cosine(ROOF, NEAR) > 0.5
    assert abs(cosine(ROOF, CHOIR)) < 0.25


def test_the_order_of_words_counts_and_their_case_does_not() -> None:
    shuffled = " ".join(reversed(ROOF.replace(",", "").replace(".", "").split()))
    assert cosine(ROOF, ROOF.upper()) == cosine(ROOF, ROOF)
    assert 0.2 < cosine(ROOF, shuffled) < 0.9


@pytest.mark.parametrize("text", [None, "", "  \n", "...!?", "—"])
def test_a_text_without_words_is_a_row_of_zeros(text: str | None) -> None:
    vectors = embed([ROOF, text, CHOIR])
    assert not vectors[1].any()
    assert vectors[0].any()
    assert vectors[2].any()


def test_scripts_without_blanks_and_lone_surrogates_have_vectors_too() -> None:
    assert embed(["東京に行きます", "大阪で食べる"]).any(axis=1).all()
    assert embed(["a lone \ud800surrogate stands here"]).any()


def test_a_row_does_not_depend_on_its_neighbours_or_its_batch() -> None:
    texts = [f"{ROOF} number {i}" for i in range(5_000)]  # more than one batch
    whole = embed(texts)
    for row in (0, 4_095, 4_096, 4_999):
        assert np.array_equal(whole[row], embed([texts[row]])[0])


@given(st.lists(st.text(max_size=60), max_size=6))
def test_lengths_stay_about_the_scale_and_products_below_what_float32_holds_exactly(texts: list[str]) -> None:
    vectors = embed(texts).astype(np.int64)
    products = vectors @ vectors.T
    assert np.array_equal(vectors.astype(np.float32) @ vectors.astype(np.float32).T, products)
    for row, text in enumerate(texts):
        length = products[row, row] ** 0.5
        assert length == 0 or abs(length - SCALE) < 8, text
    if texts:
        assert products.max() < 2**24


SCRIPT = """
import sys
from hashlib import sha256
from thousandfold.filters.embed import embed
print(sha256(embed(sys.argv[1:]).tobytes()).hexdigest())
"""


def test_another_process_makes_the_same_bytes() -> None:
    texts = [ROOF, NEAR, CHOIR, "東京 🙂 naïve"]
    here = sha256(embed(texts).tobytes()).hexdigest()
    env = {**os.environ, "PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", SCRIPT, *texts], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == here


def test_the_vectors_of_earlier_releases_stay_what_they_were() -> None:
    assert sha256(embed([ROOF]).tobytes()).hexdigest()[:16] == "030fb38cd88abcdc"


@pytest.mark.parametrize("dimensions", [0, 8, 100, -16])
def test_dimensions_must_be_a_power_of_two(dimensions: int) -> None:
    with pytest.raises(FilterError) as caught:
        embed([ROOF], dimensions=dimensions)
    assert str(caught.value) == (
        f"dimensions is {dimensions}\n  why: a coordinate is so many bits of a hash\n"
        "  do:  give a power of two, at least 16, such as 256"
    )
