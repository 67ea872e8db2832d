"""leaks: a training text that gives a sealed one away is dropped, in three layers, and round by round."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thousandfold.filters import FilterError, LeakIndex, leaks
from thousandfold.filters.leaks import LEAK_CONTAINMENT, LEAK_COSINE, LEAKS

SEALED = (
    "My sister has lent me six hundred for the van, and I told her it would be back by June. It will not be. "
    "She is counting on it for the deposit. How do I say so without making it sound smaller than it is?"
)
OTHER = (
    "The head of our choir wants me to take the solo at Easter. I can hear that I am flat in the high part, and so can "
    "everyone else. Should I tell her before the rehearsal, or wait until she says something herself?"
)
LONGER = (
    f"I write from a train, so forgive the haste of all this. {SEALED} And one thing more, which has no bearing here."
)


def test_a_sealed_prompt_inside_a_longer_one_is_found_and_shown() -> None:
    seen = leaks([OTHER, LONGER], [OTHER[::-1], SEALED])
    assert seen["kept"].to_list() == [True, False]
    assert seen.row(1, named=True) == {
        "kept": False,
        "reason": "held_out_leak",
        "measured": 1.0,
        "limit": LEAK_CONTAINMENT,
        "twin": 1,
        "span": SEALED.rstrip("?"),
    }
    assert seen["measured"][0] == 0.0


def test_a_piece_of_a_sealed_prompt_is_no_leak() -> None:
    seen = leaks([f"{SEALED[:90]} {OTHER}"], [SEALED])
    assert seen["kept"].to_list() == [True]
    assert 0.2 < seen["measured"][0] < LEAK_CONTAINMENT


def test_a_reworded_sealed_prompt_is_found_by_its_vector() -> None:
    words = SEALED.split()
    reworded = " ".join(word if place % 9 else f"{word} indeed" for place, word in enumerate(words))
    assert leaks([reworded], [SEALED], cosine_limit=None)["kept"].to_list() == [True]
    seen = leaks([reworded, OTHER], [SEALED], cosine_limit=0.7)
    assert seen["reason"].to_list() == ["held_out_neighbour", None]
    assert 0.7 <= seen["measured"][0] < 1
    assert seen["limit"].to_list() == [0.7, LEAK_CONTAINMENT]


def test_a_sealed_ancestor_is_the_first_reason() -> None:
    seen = leaks(
        [LONGER, OTHER, OTHER],
        [OTHER[::-1], SEALED],
        train_lineages=["bakery", "bakery", None],
        heldout_lineages=[None, "bakery"],
    )
    assert seen["reason"].to_list() == ["held_out_lineage", "held_out_lineage", None]
    assert seen["twin"].to_list() == [1, 1, None]
    assert seen["measured"].to_list() == [1.0, 1.0, 0.0]


def test_an_index_of_what_is_sealed_grows_round_by_round() -> None:
    index = LeakIndex()
    assert index.query([LONGER])["kept"].to_list() == [True]
    index.add(["h1"], [OTHER])
    assert index.query([LONGER])["kept"].to_list() == [True]
    index.add(["h2", "h3"], [SEALED, None], ["van", "roof"])
    seen = index.query([LONGER, OTHER, "x", None], [None, None, "roof", "none of them"])
    assert seen.schema == dict(LEAKS)
    assert seen["twin_key"].to_list() == ["h2", "h1", "h3", None]
    assert len(index) == 3


def test_rounds_apart_and_all_at_once_answer_the_same() -> None:
    generator = random.Random(4)
    words = [f"word{number}" for number in range(500)]
    sealed = [" ".join(generator.choices(words, k=40)) for _ in range(40)]
    unlike = [" ".join(generator.choices(words, k=50)) for _ in range(30)]
    train = [*unlike, *(f"so {generator.choice(sealed)} then" for _ in range(60))]
    apart, whole = LeakIndex(), LeakIndex()
    for start in range(0, 40, 8):
        apart.add([str(number) for number in range(start, start + 8)], sealed[start : start + 8])
        apart.query(train[:3])
    whole.add(map(str, range(40)), pl.Series(sealed))
    assert apart.query(train).equals(whole.query(train))
    assert whole.query(train)["kept"].sum() == 30


def test_a_new_sealed_prompt_is_looked_for_in_what_training_already_has() -> None:
    index = LeakIndex()
    index.add(["t1", "t2"], [OTHER, LONGER])
    seen = index.query([SEALED, LONGER + OTHER], are_sealed=True)
    assert seen["twin_key"].to_list() == ["t2", None]
    assert seen["measured"][0] == 1.0
    assert 0.4 < seen["measured"][1] < LEAK_CONTAINMENT
    assert index.query([SEALED])["kept"].to_list() == [True]  # it is itself no container of t2


def test_another_embedder_is_asked_for_every_text_that_has_any() -> None:
    asked: list[str] = []

    def embedder(texts: Sequence[str]) -> npt.NDArray[np.float32]:
        asked.extend(texts)
        return np.array([[len(text), 1.0, 0.0] if "van" in text else [-1.0, 0.5, 0.0] for text in texts], np.float32)

    seen = leaks(["a van", " ", None, "a house"], ["the van"], embedder=embedder)
    assert asked == ["the van", "a van", "a house"]
    assert seen["reason"].to_list() == ["held_out_neighbour", None, None, None]
    assert seen["limit"][0] == LEAK_COSINE


@settings(deadline=None)
@given(st.lists(st.none() | st.text(max_size=40), max_size=5), st.lists(st.none() | st.text(max_size=40), max_size=4))
def test_every_training_row_is_answered_whatever_it_holds(train: list[str | None], sealed: list[str | None]) -> None:
    seen = leaks(train, sealed)
    assert len(seen) == len(train)
    for text, row in zip(train, seen.iter_rows(named=True), strict=True):
        assert row["kept"] is (row["reason"] is None) is (row["twin"] is None)
        assert row["kept"] or row["measured"] >= row["limit"]
        if text in sealed and text is not None and len(set(text.split())) > 9 and text.isascii():
            assert not row["kept"]


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({"containment_limit": 0}, "containment_limit is 0"),
        ({"cosine_limit": 1.2}, "cosine_limit is 1.2"),
        ({"ngram": True}, "ngram is True"),
        ({"train_lineages": ["a", "b"]}, "2 lineages came with 1 texts"),
        ({"embedder": lambda _: [[1.0]]}, "the embedder answered 2 texts with an array of shape (1, 1)"),
        ({"embedder": lambda _: [1.0, 2.0]}, "the embedder answered 2 texts with an array of shape (2,)"),
        ({"embedder": lambda _: [[1.0], [float("nan")]]}, "the embedder's vector 1 of 2 holds NaN or infinity"),
        ({"embedder": lambda _: "no"}, "the embedder answered with 'no', which is no array of numbers"),
        (
            {"embedder": lambda texts: [[1.0] * len(texts)] * len(texts)},
            "the embedder answered with vectors of 2 numbers, and then of 1",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused(arguments: dict[str, object], what: str) -> None:
    with pytest.raises(FilterError) as caught:
        leaks(["a text"], ["one", "two"], **arguments)  # type: ignore[arg-type]
    assert caught.value.what == what


def test_a_refused_addition_leaves_the_index_as_it_was() -> None:
    index = LeakIndex()
    index.add(["h1"], [SEALED])
    with pytest.raises(FilterError, match="1 keys came with 2 texts"):
        index.add(["h2"], [OTHER, OTHER])
    assert index.query([LONGER, OTHER])["twin_key"].to_list() == ["h1", None]
    assert len(index) == 1
