"""What is planted is found, at its rate; what is not there is not; and nothing depends on the order of rows."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from thousandfold.filters import FilterError, Tics, tic_rates, tics
from thousandfold.filters.tics import SUMMARY, TICS

DATA = Path(os.environ.get("THOUSANDFOLD_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
PHRASE = "and that is what it comes down to"


def prose(count: int, *, seed: int, words: int = 60) -> list[str]:
    """Texts of words with the frequencies of a language (Zipf), in sentences; no two begin alike by design."""
    draw = random.Random(seed)
    known = [f"w{chr(97 + i % 26)}{chr(97 + i // 26 % 26)}{chr(97 + i // 676)}" for i in range(3000)]
    weights = [1 / (rank + 3) for rank in range(len(known))]
    texts = []
    for _ in range(count):
        said = draw.choices(known, weights, k=words)
        cuts = [" ".join(said[i : i + 12]).capitalize() + "." for i in range(0, words, 12)]
        texts.append(" ".join(cuts))
    return texts


def planted(texts: list[str], phrase: str, *, every: int, place: str = "inside") -> list[str]:
    """Every so-manieth text says the phrase as its opening, inside, or as its closing."""
    said = {"opening": "{p} {t}", "inside": "{t} Well, {p}. It goes on.", "closing": "{t} {p}"}[place]
    return [said.format(p=phrase, t=text) if row % every == 0 else text for row, text in enumerate(texts)]


def lines(found: Tics, kind: str) -> list[dict[str, object]]:
    return found.table.filter(pl.col("kind") == kind).to_dicts()


def measure(found: Tics, name: str) -> dict[str, object]:
    return found.summary.filter(pl.col("measure") == name).row(0, named=True)


@pytest.mark.parametrize(("every", "count"), [(100, 20), (20, 100), (2, 1000)])
def test_a_phrase_planted_at_a_known_rate_is_the_one_that_is_listed(every: int, count: int) -> None:
    found = tics(planted(prose(2000, seed=1), PHRASE, every=every), reference=prose(2000, seed=2))
    (line,) = [line for line in lines(found, "phrase") if PHRASE in str(line["tic"])]
    assert line["tic"] == f"well {PHRASE}"
    assert (line["count"], line["rate"], line["reference_rate"]) == (count, count / 2000, 0.0)
    assert line["ratio"] == pytest.approx(count / 2000 / (0.5 / 2001))
    assert [line["tic"] for line in lines(found, "phrase") if PHRASE not in str(line["tic"])] in ([], ["it goes on"])
    assert all("that is what it comes down to" in example for example in line["examples"])  # type: ignore[attr-defined]
    assert len(line["examples"]) == 3  # type: ignore[arg-type]


def test_a_phrase_below_half_a_per_cent_or_five_times_the_reference_is_not_listed() -> None:
    rare = tics(planted(prose(2000, seed=1), PHRASE, every=250), reference=prose(2000, seed=2))
    common = tics(
        planted(prose(2000, seed=1), PHRASE, every=10),
        reference=planted(prose(2000, seed=2), PHRASE, every=40),
    )
    assert lines(rare, "phrase") == lines(common, "phrase") == []


@pytest.mark.parametrize("place", ["opening", "closing"])
def test_a_planted_opening_or_closing_is_listed_as_a_family_with_its_rate(place: str) -> None:
    texts = planted(prose(1000, seed=3), "Thank you for telling me this.", every=10, place=place)
    found = tics(texts, reference=prose(1000, seed=4))
    (line,) = lines(found, place)
    assert (line["tic"], line["count"], line["rate"]) == ("thank you for", 100, 0.1)
    top = measure(found, f"{place}_top")
    assert (top["of"], top["value"], top["reference_value"]) == ("thank you for", 0.1, 0.0)
    assert 0.08 < top["low"] < 0.1 < top["high"] < 0.125  # type: ignore[operator]


def test_the_rows_say_who_has_which_family_and_which_phrases() -> None:
    texts = planted(prose(400, seed=5), PHRASE, every=8)
    found = tics([*texts, None, ""], reference=prose(400, seed=6))
    assert found.rows.schema == {"opening": pl.String, "closing": pl.String, "tics": pl.List(pl.String)}
    assert found.rows.height == 402
    assert [f"well {PHRASE}" in said for said in found.rows["tics"]] == [
        row % 8 == 0 and row < 400 for row in range(402)
    ]
    assert found.rows["closing"][0] == "it goes on"
    assert found.rows.row(401) == (None, None, [])


def test_a_text_that_repeats_a_phrase_counts_once() -> None:
    texts = prose(600, seed=7)
    texts[0] += f" {PHRASE}." * 50
    assert lines(tics(texts, reference=prose(600, seed=8)), "phrase") == []


def test_of_phrases_within_each_other_the_longest_stands_for_all() -> None:
    whole = "i want to say that i hear you and that all of this matters a great deal to me today"
    found = tics(planted(prose(800, seed=9), whole, every=8, place="closing"), reference=prose(800, seed=10))
    assert [line["tic"] for line in lines(found, "phrase")] == [whole]


def test_a_longer_phrase_that_only_some_say_is_listed_beside_its_core() -> None:
    texts = planted(prose(1000, seed=11), "I understand your frustration.", every=5)
    texts = planted(texts, "I understand your frustration and am here to help.", every=20)
    found = [str(line["tic"]) for line in lines(tics(texts, reference=prose(1000, seed=12)), "phrase")]
    assert any(tic.endswith("i understand your frustration") for tic in found)
    assert any("frustration and am here to help" in tic for tic in found)


def test_shuffled_halves_of_one_corpus_hold_no_tic_and_cannot_be_told_apart() -> None:
    for seed in range(3):
        texts = planted(prose(1600, seed=20), PHRASE, every=10)
        random.Random(seed).shuffle(texts)
        found = tics(texts[:800], reference=texts[800:])
        assert found.table.height == 0
        auc = measure(found, "two_sample_auc")
        assert auc["low"] <= 0.5 <= auc["high"]  # type: ignore[operator]
        assert 0.4 < auc["value"] < 0.6  # type: ignore[operator]


def test_real_halves_hold_no_tic_and_a_planted_one_is_found() -> None:
    path = DATA / "alpaca_5000.json"
    if not path.is_file():
        pytest.skip(f"{path} is not there (set THOUSANDFOLD_TEST_DATA)")
    texts = [row["output"] for row in json.loads(path.read_text(encoding="utf-8"))]
    random.Random(0).shuffle(texts)
    own, reference = texts[:2500], texts[2500:]
    assert tics(own, reference=reference).table.height == 0
    marked = [f"{text} I hope this helps you along." if row % 100 == 0 else text for row, text in enumerate(own)]
    found = tics(marked, reference=reference)
    phrase = next(line for line in lines(found, "phrase") if "hope this helps you along" in str(line["tic"]))
    assert phrase["count"] == 25
    assert measure(found, "closing_top")["of"] == "i hope this"


def test_the_order_of_rows_and_of_references_decides_nothing() -> None:
    texts = planted(prose(300, seed=30), PHRASE, every=6)
    reference, card = prose(300, seed=31), ["warm" if row % 3 else "cold" for row in range(300)]
    order = list(range(300))
    random.Random(1).shuffle(order)
    texts = planted(texts, "so it is with all of them", every=6)  # equally frequent: the alphabet decides
    one = tics(texts, reference=reference, card={"tone": card})
    other = tics([texts[i] for i in order], reference=reference[::-1], card={"tone": [card[i] for i in order]})
    assert_frame_equal(one.table, other.table)
    assert_frame_equal(one.summary, other.summary)
    assert_frame_equal(one.rows[order], other.rows)


def test_it_changes_nothing_it_is_given_and_says_the_same_twice() -> None:
    texts = pl.Series("answers", planted(prose(200, seed=40), PHRASE, every=5))
    before = texts.clone()
    one, two = tics(texts), tics(texts)
    assert texts.equals(before)
    assert_frame_equal(one.table, two.table)
    assert_frame_equal(one.summary, two.summary)


def test_without_a_reference_rates_are_told_without_a_ratio() -> None:
    found = tics(planted(prose(400, seed=50), PHRASE, every=4))
    line = next(line for line in lines(found, "phrase") if PHRASE in str(line["tic"]))
    assert (line["count"], line["rate"]) == (100, 0.25)
    assert [line[name] for name in ("reference", "reference_rate", "ratio", "z", "adjusted_p")] == [None] * 5
    assert found.summary.filter(pl.col("measure") == "two_sample_auc").height == 0
    assert found.summary["reference"].null_count() == found.summary.height


def test_each_teacher_is_compared_with_the_others_without_any_corpus() -> None:
    texts = planted(prose(600, seed=60), PHRASE, every=3)
    groups = ["chatty" if row % 3 == 0 else "plain" for row in range(600)]
    found = tics(texts, groups=groups)
    (line,) = found.table.filter(pl.col("reference").is_not_null() & pl.col("tic").str.ends_with(PHRASE)).to_dicts()
    assert (line["group"], line["reference"], line["count"], line["rate"]) == ("chatty", "other groups", 200, 1.0)
    assert found.table.filter(pl.col("group") == "plain").height == 0


def test_several_references_are_compared_with_one_by_one() -> None:
    texts = planted(prose(500, seed=70), PHRASE, every=5)
    found = tics(
        texts, reference={"seeds": prose(500, seed=71), "earlier": planted(prose(500, seed=72), PHRASE, every=5)}
    )
    listed = found.table.filter(pl.col("tic").str.contains(PHRASE) & (pl.col("kind") == "phrase"))
    assert listed["reference"].to_list() == ["seeds"]
    assert set(found.summary["reference"]) == {"seeds", "earlier"}


def test_texts_that_are_all_the_same_are_one_family_and_share_everything() -> None:
    found = tics(["I hear you, and I am glad that you told me about it. Take care."] * 50)
    assert measure(found, "openings_effective")["value"] == 1.0
    assert measure(found, "opening_top")["value"] == 1.0
    assert measure(found, "shared_8grams")["value"] == 1.0
    assert found.rows["opening"].to_list() == ["i hear you"] * 50


@pytest.mark.parametrize(
    "texts",
    [
        [],
        [None],
        ["", "  "],
        ["🙂🙂", "🙂"],
        ["one"],
        ["a\ud800b"],
        pl.Series([], dtype=pl.String),
        pl.Series([None, None]),
    ],
)
def test_texts_with_hardly_a_word_are_answered_row_by_row(texts: list[str | None]) -> None:
    for reference in (None, ["one two three"], []):
        found = tics(texts, reference=reference, groups=["g"] * len(texts), card=["c"] * len(texts))
        assert found.table.schema == TICS
        assert found.summary.schema == SUMMARY
        assert found.rows.height == len(texts)
        assert found.table.height == 0


def test_a_script_without_blanks_is_counted_by_characters() -> None:
    draw = random.Random(5)
    characters = [chr(0x4E00 + i) for i in range(800)]
    texts = ["".join(draw.choices(characters, k=60)) + "。" for _ in range(300)]
    marked = [f"谢谢你告诉我这些{text}" if row % 5 == 0 else text for row, text in enumerate(texts)]
    found = tics(marked, reference=["".join(draw.choices(characters, k=60)) for _ in range(300)])
    assert [line["tic"] for line in lines(found, "opening")] == ["谢谢你"]
    assert [(line["tic"], line["count"]) for line in lines(found, "phrase")] == [("谢谢你告诉我这些", 60)]


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"reference": "a text"}, "reference is 'a text', of type str"),
        ({"reference": {"seeds": [1]}}, "seeds: row 0 is 1, of type int"),
        ({"groups": ["a"]}, "groups has 1 values for 2 texts"),
        ({"card": {"tone": ["a", "b", "c"]}}, "tone has 3 values for 2 texts"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_by_name(options: dict[str, object], what: str) -> None:
    with pytest.raises(FilterError) as refused:
        tics(["one", "two"], **options)  # type: ignore[arg-type]
    assert refused.value.what == what


def test_the_brief_says_what_the_whole_says() -> None:
    texts, reference = planted(prose(500, seed=80), PHRASE, every=5), planted(prose(100, seed=81), PHRASE, every=50)
    brief = tic_rates(texts, reference=reference)
    whole = tics(texts, reference=reference)
    assert brief["texts"] == 500
    assert brief["openings"]["effective"] == pytest.approx(measure(whole, "openings_effective")["value"], abs=0.01)
    assert brief["openings"]["families"] == whole.rows["opening"].n_unique()
    assert brief["closings"]["top"] == measure(whole, "closing_top")["of"] == "it goes on"
    assert {"phrase": "it goes on", "rate": 0.2, "reference_rate": 0.02} in brief["phrases"][:2]
    assert brief["listed"] == len(lines(whole, "phrase")) > 0


def test_the_brief_of_nothing_is_nothing() -> None:
    brief = tic_rates([None], reference=[])
    assert (brief["texts"], brief["phrases"], brief["listed"], brief["openings"]["top"]) == (0, [], 0, None)
