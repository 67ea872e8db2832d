"""near_duplicates: its laws, its agreement with brute force, and what it refuses."""

from __future__ import annotations

import json
import os
import random
import re
from collections import Counter
from collections.abc import Sequence
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thousandfold.filters import FilterError, MinHashIndex, compiled, near_duplicates, portable

REPOSITORY = Path(__file__).parents[2]
DATA = Path(os.environ.get("THOUSANDFOLD_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
VOCABULARY = [f"word{number}" for number in range(60)]


def shingles(text: str, ngram: int = 5) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[start : start + ngram]) for start in range(max(1, len(words) - ngram + 1))}


def jaccard(one: str, other: str) -> float:
    a, b = shingles(one), shingles(other)
    return len(a & b) / len(a | b)


@st.composite
def families_of_texts(draw: st.DrawFn) -> list[str | None]:
    """A few texts, each with copies in which some words were changed; a null, an emoji, a short text between."""
    generator = random.Random(draw(st.integers(0, 2**32)))
    texts: list[str | None] = [None, "", "🙂", "two words", "Two Words!"]
    for _ in range(draw(st.integers(1, 3))):
        words = generator.choices(VOCABULARY, k=generator.randint(3, 90))
        for _ in range(draw(st.integers(1, 5))):
            texts.append(" ".join(words))
            for _ in range(draw(st.integers(0, 2))):
                words = [*words]
                words[generator.randrange(len(words))] = generator.choice(VOCABULARY)
    generator.shuffle(texts)
    return texts


def shuffled(count: int, seed: int) -> list[int]:
    order = list(range(count))
    random.Random(seed).shuffle(order)
    return order


# Laws


@settings(deadline=None)
@given(families_of_texts())
def test_every_row_is_answered_and_every_drop_names_a_kept_twin_and_its_exact_jaccard(texts: list[str | None]) -> None:
    given_texts = [*texts]
    seen = near_duplicates(texts)
    assert texts == given_texts
    assert seen.schema == {
        "kept": pl.Boolean,
        "twin": pl.UInt32,
        "twin_key": pl.String,
        "jaccard": pl.Float32,
        "cluster": pl.UInt32,
    }
    assert seen["kept"].null_count() == 0
    assert len(seen) == len(texts)
    for text, row in zip(texts, seen.iter_rows(named=True), strict=True):
        assert row["twin_key"] is None
        if row["kept"]:
            assert (row["twin"], row["jaccard"]) == (None, None)
        else:
            twin = texts[row["twin"]]
            assert text is not None
            assert twin is not None
            assert seen["kept"][row["twin"]]
            assert seen["cluster"][row["twin"]] == row["cluster"]
            assert jaccard(text, twin) >= 0.7
            assert row["jaccard"] == pytest.approx(jaccard(text, twin))


@settings(deadline=None)
@given(families_of_texts())
def test_no_two_kept_texts_are_close(texts: list[str | None]) -> None:
    kept = [
        text
        for text, stays in zip(texts, near_duplicates(texts)["kept"], strict=True)
        if stays and text is not None and re.search(r"\w", text)
    ]
    # A pair of .9 escapes all 25 bands of 5 with probability 2e-10.
    assert all(jaccard(one, other) < 0.9 for one, other in combinations(kept, 2))


@settings(deadline=None)
@given(families_of_texts(), st.integers(), st.booleans())
def test_which_texts_stay_does_not_depend_on_row_order(texts: list[str | None], seed: int, ranked: bool) -> None:
    prefer = [float(len(text or "") % 3) for text in texts] if ranked else None
    order = shuffled(len(texts), seed)

    def kept(rows: Sequence[int]) -> Counter[str | None]:
        moved = [texts[row] for row in rows]
        ranks = None if prefer is None else [prefer[row] for row in rows]
        stays = near_duplicates(moved, prefer=ranks)["kept"]
        return Counter(text for text, stay in zip(moved, stays, strict=True) if stay)

    assert kept(range(len(texts))) == kept(order)


@settings(deadline=None)
@given(families_of_texts(), st.integers(1, 6))
def test_what_was_kept_is_kept_again_and_copies_of_it_are_not(texts: list[str | None], copies: int) -> None:
    kept = [text for text, stays in zip(texts, near_duplicates(texts)["kept"], strict=True) if stays]
    assert near_duplicates(kept)["kept"].all()
    repeated = near_duplicates(kept * copies)
    words = [text is not None and text.strip() != "" for text in kept]
    assert repeated["kept"][: len(kept)].all()
    assert repeated["kept"][len(kept) :].to_list() == [not has_words for has_words in words] * (copies - 1)


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), st.text(alphabet=st.characters(categories=["L", "N", "Z", "P", "Cs", "So"])))))
def test_any_text_at_all_is_answered(texts: list[str | None]) -> None:
    assert near_duplicates(texts)["kept"].len() == len(texts)


# Agreement with brute force


def brute_force(texts: list[str], threshold: float) -> tuple[list[bool], list[int | None]]:
    """The definition, word for word, over texts of which the first stays."""
    sets = [shingles(text) for text in texts]
    kept: list[int] = []
    twins: list[int | None] = []
    for row, own in enumerate(sets):
        scored = [(len(own & sets[other]) / len(own | sets[other]), other) for other in kept]
        best = max((similar for similar, _ in scored), default=0.0)
        twins.append(next(other for similar, other in scored if similar == best) if best >= threshold else None)
        if twins[-1] is None:
            kept.append(row)
    return [twin is None for twin in twins], twins


def mutated(words: list[str], generator: random.Random, changes: int) -> list[str]:
    words = [*words]
    for place in generator.sample(range(len(words)), changes):
        words[place] = f"new{generator.randrange(10**6)}"
    return words


def descending(count: int) -> list[float]:
    return [float(count - row) for row in range(count)]


def test_it_agrees_with_brute_force_where_copies_lie_far_from_the_threshold() -> None:
    generator = random.Random(3)
    texts = []
    for _ in range(60):
        words = [f"w{generator.randrange(400)}" for _ in range(200)]
        # One changed word of 200 costs up to 5 of 196 shingles: J from .86 to .95; 40 changed words leave J < .5.
        texts += [" ".join(mutated(words, generator, changes)) for changes in (0, 1, 2, 3, 40, 0, 1)]
    generator.shuffle(texts)
    seen = near_duplicates(texts, prefer=descending(len(texts)))
    kept, twins = brute_force(texts, 0.7)
    assert 60 <= kept.count(False) < 400
    assert seen["kept"].to_list() == kept
    assert seen["twin"].to_list() == twins


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.85, 0.95, 1.0])
def test_of_pairs_a_little_above_any_threshold_99_in_100_are_found(threshold: float) -> None:
    generator = random.Random(11)
    aim = min(threshold + 0.05, (1 + threshold) / 2)
    more = int(996 / aim) - 996  # a copy of 996 shingles with as many new ones has J = 996 / (996 + more) >= aim
    texts: list[str] = []
    for _ in range(250):
        words = [f"w{generator.randrange(10**9)}" for _ in range(1000 + more)]
        texts += [" ".join(words[:1000]), " ".join(words)]
    assert aim <= jaccard(texts[0], texts[1]) < aim + 0.001
    dropped = (~near_duplicates(texts, threshold=threshold)["kept"]).sum()
    assert 0.99 * 250 - 3 * (250 * 0.99 * 0.01) ** 0.5 <= dropped <= 250  # three standard deviations


def real_answers() -> list[str]:
    path = DATA / "alpaca_5000.json"
    if not path.is_file():
        pytest.skip(f"the test data {path} is not there (THOUSANDFOLD_TEST_DATA names its folder)")
    return [row["output"] for row in json.loads(path.read_text(encoding="utf-8"))]


def test_on_real_answers_every_drop_is_right_and_99_in_100_close_copies_are_found() -> None:
    generator = random.Random(5)
    originals = [text for text in dict.fromkeys(real_answers()) if len(text.split()) >= 60][:600]
    copies = [mutated(text.split(), generator, generator.randint(0, 4)) for text in originals]
    texts = originals + [" ".join(copy) for copy in copies]
    seen = near_duplicates(texts, prefer=descending(len(texts)))
    close = dropped_close = 0
    for row, original in enumerate(originals, start=len(originals)):
        exact = jaccard(texts[row], original)
        close += exact >= 0.8
        dropped_close += exact >= 0.8 and not seen["kept"][row]
    assert close >= 300
    assert dropped_close >= 0.99 * close
    for row, twin, similar in seen.with_row_index().filter(~pl.col("kept"))["index", "twin", "jaccard"].iter_rows():
        assert jaccard(texts[row], texts[twin]) >= 0.7
        assert jaccard(texts[row], texts[twin]) == pytest.approx(similar)


def test_of_real_answers_that_recur_exactly_one_stays_and_the_two_empty_ones_are_kept() -> None:
    answers = real_answers()
    seen = near_duplicates(answers, threshold=1.0)
    times = Counter(text for text in answers if text)
    kept_times = Counter(text for text, kept in zip(answers, seen["kept"], strict=True) if kept)
    assert sum(count - 1 for count in times.values()) >= 30
    assert kept_times[""] == answers.count("") == 2
    assert max(kept_times[text] for text in times) == 1
    assert sum(kept_times[text] for text in times) == len({frozenset(shingles(text)) for text in times})


# Single behaviours


def test_a_chain_of_twelve_texts_each_like_the_next_does_not_collapse_to_one() -> None:
    words = [f"w{number}" for number in range(150)]
    chain = [" ".join(words[3 * link : 3 * link + 44]) for link in range(12)]  # 37 of 43 shingles: .86
    assert [jaccard(one, other) for one, other in pairwise(chain)] == pytest.approx([37 / 43] * 11)
    seen = near_duplicates(chain, prefer=descending(12))
    assert seen["kept"].to_list() == [True, False, False] * 4
    assert seen["twin"].to_list() == [None, 0, 0, None, 3, 3, None, 6, 6, None, 9, 9]
    # The middle one is nearer to the fourth than to the first, but the fourth was taken after it.
    assert seen["jaccard"].to_list()[1:3] == pytest.approx([37 / 43, 34 / 46])


def test_a_dropped_row_names_the_most_similar_of_the_kept_ones() -> None:
    words = [f"w{number}" for number in range(100)]
    left, middle, right = (" ".join(words[start : start + 54]) for start in (0, 4, 12))
    seen = near_duplicates([middle, right, left], prefer=[1, 2, 2])
    assert jaccard(left, right) < 0.7 <= jaccard(middle, right) < jaccard(middle, left)
    assert seen["twin"].to_list() == [2, None, None]
    assert seen["cluster"].to_list() == [0, 0, 0]


@pytest.mark.parametrize("prefer", [None, [0.5, 0.5, 0.5], [None, None, None], [float("nan"), None, float("-inf")]])
def test_of_identical_rows_with_equal_prefer_the_lowest_stays(prefer: list[float | None] | None) -> None:
    seen = near_duplicates(["I hear you."] * 3, prefer=prefer)
    assert seen["kept"].to_list() == [True, False, False]
    assert seen["twin"].to_list() == [None, 0, 0]
    assert seen["jaccard"].to_list() == [None, 1.0, 1.0]
    assert seen["cluster"].to_list() == [0, 0, 0]


@pytest.mark.parametrize("low", [None, float("nan"), -1.0])
def test_the_preferred_row_stays_and_null_and_nan_are_the_lowest(low: float | None) -> None:
    texts = pl.Series(["the same five words here"] * 3)
    assert near_duplicates(texts, prefer=[low, 0.0, low])["kept"].to_list() == [False, True, False]
    assert near_duplicates(texts, prefer=pl.Series([low, 0.0, 7.0]))["twin"].to_list() == [2, 2, None]


def test_null_and_blank_texts_are_kept_each_in_a_cluster_of_its_own() -> None:
    seen = near_duplicates([None, "", None, " \n\t", ""])
    assert seen["kept"].all()
    assert seen["cluster"].to_list() == [0, 1, 2, 3, 4]


def test_short_texts_compare_by_all_their_words_and_wordless_ones_by_themselves() -> None:
    seen = near_duplicates(["I am sorry", "I'm sorry", "i AM, sorry!", "🙂", "🙁", "🙂", "..."])
    assert seen["kept"].sum() == 5
    assert seen["cluster"].to_list() == [0, 1, 0, 3, 4, 3, 6]


def test_case_and_punctuation_do_not_tell_texts_apart_but_accents_and_scripts_do() -> None:
    assert near_duplicates(["ÉTÉ à Łódź", "été, À łódź"])["kept"].sum() == 1
    assert near_duplicates(["ete a Lodz", "été à Łódź", "Ете а Лодз", "我很抱歉", "我很遗憾"])["kept"].all()


def test_lone_surrogates_are_text_like_any_other() -> None:
    seen = near_duplicates(["half \ud800", "half \ud800", "whole \udfff", "\ud800", "\ud801", "\ud800"])
    assert seen["cluster"].to_list() == [0, 0, 2, 3, 4, 3]
    assert seen["kept"].to_list() == [True, False, True, True, True, False]


def test_zero_rows_give_zero_rows() -> None:
    nothings: list[Any] = [[], pl.Series([], dtype=pl.String), pl.Series([]), iter(())]
    for nothing in nothings:
        assert near_duplicates(nothing).shape == (0, 5)


def test_a_series_a_list_and_a_generator_of_the_same_texts_are_answered_alike() -> None:
    texts = ["one two three four five six", None, "one two three four five six", "seven"]
    from_list = near_duplicates(texts)
    assert near_duplicates(pl.Series(texts)).equals(from_list)
    assert near_duplicates(text for text in texts).equals(from_list)


def test_the_ngram_and_the_threshold_decide_what_is_near() -> None:
    texts = ["a b c d e f g h", "a b c d e f g z"]  # 5-grams: 3 of 5; words: 7 of 9
    assert near_duplicates(texts, threshold=0.6)["kept"].sum() == 1
    assert near_duplicates(texts, threshold=0.61)["kept"].sum() == 2
    assert near_duplicates(texts, ngram=1)["kept"].sum() == 1


# Size


def tallied(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What `take_sets` counted in each call: pairs looked at, pairs compared exactly."""
    counted: list[Any] = []
    real = compiled.take_sets

    def take_sets(*arguments: Any) -> Any:
        counted.append(arguments[-1])
        return real(*arguments)

    monkeypatch.setattr(compiled, "take_sets", take_sets)
    return counted


def test_thousands_of_copies_and_of_near_copies_cost_no_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = tallied(monkeypatch)
    words = [f"w{number}" for number in range(300)]
    near = [" ".join([*words[:place], "new", *words[place + 1 :]]) for place in range(300)]
    seen = near_duplicates([" ".join(words)] * 50_000 + near, prefer=[1.0] * 50_000 + [0.0] * 300)
    assert seen["kept"].sum() == 1
    assert counted[0].tolist() == [300, 300]


def test_texts_on_one_scaffold_are_all_kept_and_cost_no_square_of_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thousandfold.filters.groups.MOST_PER_BUCKET", 8)
    counted = tallied(monkeypatch)
    generator = random.Random(6)
    scaffold = [f"s{number}" for number in range(120)]
    texts = [" ".join(scaffold + [f"w{generator.randrange(10**6)}" for _ in range(60)]) for _ in range(4000)]
    assert 0.45 < jaccard(texts[0], texts[1]) < 0.5
    copies = [" ".join(mutated(text.split(), generator, 1)) for text in texts[:500]]
    assert all(jaccard(text, copy) > 0.8 for text, copy in zip(texts, copies, strict=False))
    seen = near_duplicates(texts + copies, prefer=descending(4500))
    assert seen["kept"][:4000].all()
    assert (~seen["kept"][4000:]).sum() >= 0.99 * 500
    assert seen["twin"][4000:].drop_nulls().is_in(list(range(500))).all()
    looked, compared = counted[0].tolist()
    assert looked <= 4500 * 25 * 8  # 0.9 million, where all who share a band would be 2.7
    assert compared < looked


def test_one_long_text_and_a_million_copies_of_a_short_one_are_answered() -> None:
    long = " ".join(str(number) for number in range(1_000_000))
    seen = near_duplicates(pl.concat([pl.Series([long, f"{long} more"]), pl.repeat("the same", 1_000_000, eager=True)]))
    assert seen["kept"].sum() == 2
    assert seen["cluster"].n_unique() == 2


# Both ways of counting, many chunks, other threads


@settings(deadline=None, max_examples=40)
@given(families_of_texts(), families_of_texts(), st.sampled_from([0.2, 0.7, 1.0]), st.integers(1, 6))
def test_numba_and_numpy_give_the_same_answer(
    texts: list[str | None], earlier: list[str | None], threshold: float, ngram: int
) -> None:
    prefer = [float(len(text or "") % 3) for text in texts]

    def answer() -> list[pl.DataFrame]:
        index = MinHashIndex(threshold=threshold, ngram=ngram)
        index.add([str(number) for number in range(len(earlier))], earlier)
        options: dict[str, Any] = {"threshold": threshold, "ngram": ngram, "prefer": prefer}
        return [
            near_duplicates(texts, **options),
            near_duplicates(texts, against=index, **options),
            index.query(texts),
        ]

    compiled_answer = answer()
    with pytest.MonkeyPatch.context() as patch:
        for module in ("shingles", "minhash", "groups", "index"):
            patch.setattr(f"thousandfold.filters.{module}.backend", lambda: portable)
        portable_answer = answer()
    for one, other in zip(compiled_answer, portable_answer, strict=True):
        assert one.equals(other)


@pytest.mark.parametrize("cores", [1, 2, 5])
def test_chunks_and_threads_change_nothing(cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [text for text in real_answers()[:1500] for _ in range(2)]
    whole = near_duplicates(texts, threshold=0.5)
    monkeypatch.setattr("thousandfold.filters.columns._cores", lambda: cores)
    monkeypatch.setattr("thousandfold.filters.columns.CHUNK_BYTES", 5_000)
    assert near_duplicates(pl.Series(texts), threshold=0.5).equals(whole)


def test_of_copies_of_a_dropped_text_those_taken_later_name_a_nearer_one_kept_meanwhile() -> None:
    words = [f"w{number}" for number in range(100)]
    far, middle, near = (" ".join(words[start : start + 54]) for start in (10, 3, 1))
    # 50 shingles each: 9 steps leave 41 of 59, 7 leave 43 of 57, 2 leave 48 of 52.
    assert jaccard(far, near) < 0.7 <= jaccard(far, middle) < jaccard(middle, near)
    seen = near_duplicates([far, middle, near, middle], prefer=[4, 3, 2, 1])
    assert seen["kept"].to_list() == [True, False, True, False]
    assert seen["twin"].to_list() == [None, 0, None, 2]


@settings(deadline=None)
@given(families_of_texts(), st.integers(0, 5))
def test_twins_are_those_of_brute_force(texts: list[str | None], ranks: int) -> None:
    some = [text for text in texts if text and re.search(r"\w", text)]
    prefer = [float(hash_free(text, ranks)) for text in some]
    order = sorted(range(len(some)), key=lambda row: -prefer[row])
    if len(set(prefer)) < len(prefer):
        prefer = [float(-order.index(row)) for row in range(len(some))]
    kept, twins = brute_force([some[row] for row in order], 0.7)
    seen = near_duplicates(some, prefer=prefer)
    # A pair just above the threshold may be missed, and then what follows differs: such examples say nothing.
    if seen["kept"].sum() == sum(kept):
        assert seen["twin"].to_list() == [
            None if (twin := twins[order.index(row)]) is None else order[twin] for row in range(len(some))
        ]


def hash_free(text: str, ranks: int) -> int:
    return sum(map(ord, text)) % (ranks + 1)


# Wrong arguments


@pytest.mark.parametrize(
    ("arguments", "what", "do"),
    [
        ({"threshold": 0}, "threshold is 0", "give a threshold such as 0.7"),
        ({"threshold": 1.2}, "threshold is 1.2", "give a threshold such as 0.7"),
        ({"threshold": float("nan")}, "threshold is nan", "give a threshold such as 0.7"),
        ({"threshold": "high"}, "threshold is 'high'", "give a threshold such as 0.7"),
        ({"ngram": 0}, "ngram is 0", "give a whole number of at least 1, such as 5"),
        ({"ngram": 2.5}, "ngram is 2.5", "give a whole number of at least 1, such as 5"),
        ({"num_perm": 1}, "num_perm is 1", "give a whole number of at least 2, such as 128"),
        ({"seed": -1}, "seed is -1", "give a whole number of at least 0, such as 1"),
        ({"seed": 2**32}, "seed is 4294967296", "give a whole number below 4294967296 (2**32)"),
        ({"ngram": 2**70}, f"ngram is {2**70}", "give a whole number below 4294967296 (2**32)"),
        (
            {"against": "cache/index"},
            "against is 'cache/index', of type str",
            "give a MinHashIndex: MinHashIndex.open(path), or one to which texts were added",
        ),
        ({"prefer": [1.0]}, "prefer has 1 values for 2 texts", "give one number, or None, for each text"),
        ({"texts": "one text"}, "texts is 'one text', of type str", "wrap a single text in a list: [text]"),
        ({"texts": None}, "texts is None, of type NoneType", "wrap a single text in a list: [text]"),
        (
            {"texts": ["a", 3]},
            "text 1 is 3, of type int",
            "give every text as a str, or None where there is none",
        ),
    ],
)
def test_a_wrong_argument_is_named_with_its_value_and_what_to_give(
    arguments: dict[str, Any], what: str, do: str
) -> None:
    with pytest.raises(FilterError) as caught:
        near_duplicates(**{"texts": ["a", "b"], **arguments})
    assert (caught.value.what, caught.value.do) == (what, do)
    assert caught.value.why


@pytest.mark.parametrize("prefer", [["high", "low"], 0.5, "ab", [[1], [2]], [object(), 1]])
def test_a_prefer_that_holds_no_numbers_is_refused(prefer: Any) -> None:
    with pytest.raises(FilterError, match=r"^prefer cannot be read as a column of numbers") as caught:
        near_duplicates(["a", "b"], prefer=prefer)
    assert caught.value.do == "give one number, or None, for each text"
