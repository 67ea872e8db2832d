"""same_meaning: its laws, its agreement with brute force, and what it refuses."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thousandfold.filters import FilterError, same_meaning
from thousandfold.filters.embed import embed
from thousandfold.filters.meaning import MEANING_THRESHOLD, SAME_MEANING
from thousandfold.filters.vectors import cosines, vectors_of

WORDS = [f"word{number}" for number in range(300)]


def families(generator: random.Random, count: int, size: int) -> list[str]:
    """Texts of 60 words, each with copies of which one to twelve words are other ones."""
    texts = []
    for _ in range(count):
        words = generator.choices(WORDS, k=60)
        for _ in range(size):
            copy = [*words]
            for place in generator.sample(range(60), generator.randint(0, 12)):
                copy[place] = generator.choice(WORDS)
            texts.append(" ".join(copy))
    generator.shuffle(texts)
    return texts


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32), st.sampled_from([0.7, 0.85, 0.92]))
def test_every_drop_names_a_kept_row_as_near_as_it_says_and_nothing_kept_is_that_near(
    seed: int, threshold: float
) -> None:
    texts: list[str | None] = [*families(random.Random(seed), 3, 5), None, "", "🙂"]
    seen = same_meaning(texts, threshold=threshold)
    assert seen.schema == dict(SAME_MEANING)
    assert len(seen) == len(texts)
    vectors = vectors_of(pl.Series(texts))
    near = cosines(vectors, vectors)
    kept = np.flatnonzero(seen["kept"].to_numpy())
    for row, answer in enumerate(seen.iter_rows(named=True)):
        if answer["kept"]:
            assert answer["twin"] is None
            assert answer["cosine"] is None
        else:
            assert seen["kept"][answer["twin"]]
            assert answer["cosine"] == np.float32(near[row, answer["twin"]])
            assert answer["cosine"] >= np.float32(threshold)
            assert seen["cluster"][answer["twin"]] == answer["cluster"]
    apart = near[np.ix_(kept, kept)] - np.eye(len(kept)) * 2
    assert apart.max() < threshold


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32), st.booleans())
def test_which_texts_stay_does_not_depend_on_the_order_of_rows(seed: int, has_ranks: bool) -> None:
    generator = random.Random(seed)
    texts = families(generator, 3, 4)
    ranks = [float(generator.randint(0, 3)) for _ in texts] if has_ranks else None
    order = list(range(len(texts)))
    generator.shuffle(order)
    before = same_meaning(texts, prefer=ranks)
    after = same_meaning([texts[row] for row in order], prefer=None if ranks is None else [ranks[row] for row in order])
    stays = sorted(text for text, kept in zip(texts, before["kept"], strict=True) if kept)
    assert sorted(texts[row] for row, kept in zip(order, after["kept"], strict=True) if kept) == stays


def test_with_inverted_lists_nearly_all_is_found_that_comparing_everything_finds() -> None:
    texts = families(random.Random(1), 1_250, 4)
    texts += [texts[0]] * 3_000  # n copies make no n² pairs
    seen = same_meaning(texts)
    vectors = vectors_of(pl.Series(texts[:5_000]))
    kept = np.flatnonzero(seen["kept"].to_numpy()[:5_000])
    near = cosines(vectors.take(kept), vectors.take(kept))
    missed = int((near[np.triu_indices(len(kept), 1)] >= MEANING_THRESHOLD).sum())
    found = 5_000 - len(kept)
    assert found > 300
    assert found / (found + missed) >= 0.99
    assert seen["kept"][5_000:].sum() + int(seen["kept"][0]) <= 1


def test_the_higher_rank_stays_and_null_ranks_come_last() -> None:
    text = " ".join(WORDS[:40])
    assert same_meaning([text, text.upper(), text], prefer=[None, 2.0, 1.0])["kept"].to_list() == [False, True, False]
    assert same_meaning([text, text])["twin"].to_list() == [None, 0]


def test_any_embedder_may_say_what_means_the_same() -> None:
    def embedder(texts: Sequence[str]) -> npt.NDArray[np.float64]:
        angle = np.array([float(text) for text in texts])
        return 1e-3 * np.column_stack([np.cos(angle), np.sin(angle)])

    seen = same_meaning(["0.0", "0.3", "1.5", " ", "-1.5"], embedder=embedder, prefer=[5, 4, 3, 2, 1])
    assert seen["kept"].to_list() == [True, False, True, True, True]
    assert seen["cosine"][1] == pytest.approx(np.cos(0.3), abs=1e-3)


SCRIPT = """
import sys
from hashlib import sha256
from thousandfold.filters import same_meaning
texts = [" ".join(f"w{(row * 7 + step * row % 13) % 50}" for step in range(30)) for row in range(4_200)]
print(sha256(same_meaning(texts, threshold=0.8).write_json().encode()).hexdigest())
"""


def test_one_thread_and_two_write_the_same_bytes() -> None:
    answers = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={
                **os.environ,
                "OPENBLAS_NUM_THREADS": threads,
                "POLARS_MAX_THREADS": threads,
                "OMP_NUM_THREADS": threads,
            },
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    }
    assert len(answers) == 1


@settings(deadline=None)
@given(st.lists(st.text(max_size=30) | st.text("aΣσİß東京ẞ𠀀\U0001e900 '", max_size=12), max_size=5))
def test_compiled_and_python_embedding_are_the_same_vectors(texts: list[str]) -> None:
    module: Any = sys.modules["thousandfold.filters.embed"]
    fast = embed(texts)
    was = module.is_compiled
    module.is_compiled = False
    try:
        assert np.array_equal(embed(texts), fast)
    finally:
        module.is_compiled = was


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({"threshold": 0}, "threshold is 0"),
        ({"threshold": "high"}, "threshold is 'high'"),
        ({"prefer": [1.0]}, "prefer has 1 values for 2 texts"),
        ({"prefer": ["a", "b"]}, "prefer cannot be read as a column of numbers"),
        ({"embedder": lambda _: np.full((2, 3), np.inf)}, "the embedder's vector 0 of 2 holds NaN or infinity"),
    ],
)
def test_what_cannot_be_compared_is_refused(arguments: dict[str, object], what: str) -> None:
    with pytest.raises(FilterError) as caught:
        same_meaning(["one", "two"], **arguments)  # type: ignore[arg-type]
    assert caught.value.what.startswith(what)
