"""contamination: an item of a benchmark inside a text is found, named and shown; and nothing else is."""

from __future__ import annotations

import random
import re
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thousandfold.filters import FilterError, contamination
from thousandfold.filters.contamination import CONTAMINATION
from thousandfold.filters.ngrams import SHARED_BY

WORDS = [f"word{number}" for number in range(400)]
ITEM = "Natalia sold clips to 48 of her friends in April, and then she sold half as many in May. How many in all?"
ROOF = "My neighbour has asked me three times about the roof, and I keep saying next week. How do I tell him the truth?"


def shares(text: str, items: list[str], ngram: int) -> list[float]:
    """What each item has in the text, by sets of tuples: the oracle."""

    def grams(words: list[str], length: int) -> set[tuple[str, ...]]:
        return {tuple(words[at : at + length]) for at in range(len(words) - length + 1)}

    said = re.findall(r"\w+", text.lower())
    found = []
    for item in items:
        words = re.findall(r"\w+", item.lower())
        length = min(ngram, len(words))
        own = grams(words, length) if length else set()
        if 0 < length < 4:
            found.append(float(said == words))
        else:
            found.append(len(own & grams(said, length)) / len(own) if own else 0.0)
    return found


@st.composite
def texts_and_items(draw: st.DrawFn) -> tuple[list[str], list[str]]:
    generator = random.Random(draw(st.integers(0, 2**32)))
    items = [" ".join(generator.choices(WORDS, k=generator.randint(0, 30))) for _ in range(draw(st.integers(1, 5)))]
    texts = ["", generator.choice(items).upper()]
    for _ in range(draw(st.integers(0, 4))):
        words = generator.choice(items).split()
        start = generator.randint(0, len(words))
        around = [" ".join(generator.choices(WORDS, k=generator.randint(0, 9))) for _ in range(2)]
        texts.append(f"{around[0]}, {' '.join(words[start : start + 25])}. {around[1]}")
    return texts, items


@settings(deadline=None)
@given(texts_and_items(), st.sampled_from([4, 8, 13]))
def test_the_share_is_that_of_the_sets_and_the_named_item_has_it(made: tuple[list[str], list[str]], ngram: int) -> None:
    texts, items = made
    seen = contamination(texts, {"a": items[:2], "b": items[2:]}, ngram=ngram, min_overlap=0.5)
    assert seen.schema == dict(CONTAMINATION)
    assert len(seen) == len(texts)
    for text, row in zip(texts, seen.iter_rows(named=True), strict=True):
        expected = shares(text, items, ngram)
        assert row["measured"] == max(expected)
        assert row["kept"] is (max(expected) < 0.5)
        if not row["kept"]:
            number = row["row"] + (2 if row["benchmark"] == "b" else 0)
            assert number == expected.index(max(expected))
            assert row["span"] in text


def test_an_item_inside_a_longer_text_is_named_and_shown_as_it_stands_there() -> None:
    text = f"Here is one:\n{ITEM.replace('April,', 'APRIL --')} Think first."
    seen = contamination([ROOF, text, None], {"roofs": ["x " * 9], "gsm": [ROOF[:40], ITEM]}).to_dicts()
    assert [row["kept"] for row in seen] == [True, False, True]
    assert seen[1]["reason"] == "benchmark"
    assert (seen[1]["benchmark"], seen[1]["row"], seen[1]["measured"], seen[1]["limit"]) == ("gsm", 1, 1.0, 0.5)
    assert seen[1]["span"] == ITEM.replace("April,", "APRIL --").rstrip("?")
    assert 0.6 < seen[1]["text_share"] < 1
    assert seen[0]["span"] is None


def test_one_ngram_is_enough_with_no_least_overlap_and_thirteen_words_ask_for_more() -> None:
    text = "I know how then she sold half as many in May. Nothing else is said of it, and the rest is weather."
    found = [contamination([text], {"b": [ITEM]}, **options)["kept"][0] for options in ({}, {"min_overlap": 0})]
    assert found == [True, False]
    assert contamination([text], {"b": [ITEM]}, ngram=13, min_overlap=0)["kept"][0]


def test_short_items_must_stand_there_whole_and_very_short_ones_alone() -> None:
    items = ["Who wrote Faust, part two?", "Is it true?"]
    texts = [
        "Tell me: who wrote Faust part two and why?",
        "Who wrote Faust, part one?",
        "Is it true that",
        "is it true",
    ]
    seen = contamination(texts, {"b": items})
    assert seen["kept"].to_list() == [False, True, True, False]
    assert seen["row"].to_list() == [0, None, None, 1]
    assert seen["span"].to_list() == ["who wrote Faust part two", None, None, "is it true"]


def test_scripts_without_blanks_are_compared_by_their_letters() -> None:
    item = "東京から大阪まで新幹線で何時間かかりますか"
    texts = [f"質問です。{item}。教えてください。", "東京から京都まで自転車で行きました。とても楽しかったです。"]
    seen = contamination(texts, {"jp": [item]})
    assert seen["kept"].to_list() == [False, True]
    assert seen["span"][0] == item


def test_a_template_that_many_items_share_is_no_overlap() -> None:
    start = "Read the following passage and choose the one answer that fits it best of all:"
    items = [f"{start} {' '.join(WORDS[10 * n : 10 * n + 10])}" for n in range(SHARED_BY + 1)]
    seen = contamination([f"{start} red or blue?", f"{start} {' '.join(WORDS[:10])}"], {"b": items})
    assert seen["kept"].to_list() == [True, False]
    assert seen["measured"].to_list() == [0.0, 1.0]
    few = contamination([f"{start} red or blue?"], {"b": items[:2]}, min_overlap=0.3)
    assert few["kept"].to_list() == [False]


def test_a_benchmark_of_many_equal_items_is_found_by_its_first() -> None:
    seen = contamination([ITEM], {"b": [ROOF, *[ITEM] * 1_000]})
    assert seen["row"].to_list() == [1]


def test_what_is_found_does_not_depend_on_the_rows_beside_it() -> None:
    generator = random.Random(2)
    items = [" ".join(generator.choices(WORDS, k=20)) for _ in range(50)]
    texts = [f"so {one} and {other[:30]}" for one, other in pairwise(items * 100)]
    together = contamination(texts, {"b": items})
    assert together.filter(~pl.col("kept")).height == len(texts)
    for row in (0, 4_095, 4_096, 4_998):
        assert contamination([texts[row]], {"b": items}).rows() == [together.row(row)]


def test_nothing_to_compare_keeps_everything() -> None:
    assert contamination(["a text"], {})["kept"].to_list() == [True]
    assert contamination(["a text", "..."], {"b": [None, "", "?!"]})["kept"].to_list() == [True, True]
    assert contamination([], {"b": [ITEM]}).schema == dict(CONTAMINATION)


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({"texts": ["a"], "benchmarks": [ITEM]}, "benchmarks is ["),
        ({"texts": ["a"], "benchmarks": {"b": [1]}}, "benchmarks['b'][0] is 1, of type int"),
        ({"texts": ["a"], "benchmarks": {}, "ngram": 3}, "ngram is 3"),
        ({"texts": ["a"], "benchmarks": {}, "min_overlap": 1.5}, "min_overlap is 1.5"),
        ({"texts": [b"a"], "benchmarks": {}}, "texts[0] is b'a', of type bytes"),
    ],
)
def test_what_cannot_be_compared_is_refused(arguments: dict[str, object], what: str) -> None:
    with pytest.raises(FilterError) as caught:
        contamination(**arguments)  # type: ignore[arg-type]
    assert caught.value.what.startswith(what)
