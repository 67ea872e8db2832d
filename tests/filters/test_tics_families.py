"""Which texts begin alike and end alike: what makes a family, and how evenly texts are spread over them."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thousandfold.filters import FilterError, tic_families
from thousandfold.filters.tics_families import spread


def opening(text: str) -> str | None:
    family: str | None = tic_families([text])["opening"][0]
    return family


def closing(text: str) -> str | None:
    family: str | None = tic_families([text])["closing"][0]
    return family


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("Thank you for telling me this.", "thank you for"),
        ("**Thank you**, for sharing", "thank you for"),
        ("You're right about it.", "you are right"),
        ("You’re right!", "you are right"),
        ("I can't say", "i can not"),
        ("I cannot say", "i can not"),
        ("It's time to go", "it is time"),
        ("D'accord, je l'ai", "d'accord je l'ai"),
        ("Dear Anna Lee, thank you", "dear <name> thank"),
        ("Dear Ben, thank you", "dear <name> thank"),
        ("1,250.50 people came", "<number> people came"),
        ("Well-being matters", "well being matters"),
        ("Sorry. You are right", "sorry you are"),
        ("Yes.", "yes"),
        ("谢谢你告诉我这件事", "谢谢你"),
        ("ขอบคุณที่บอกฉัน", "ขอบ"),
        ("شكرا لك على المشاركة معي", "شكرا لك على"),
    ],
)
def test_an_opening_is_its_first_three_words_in_one_spelling(text: str, family: str) -> None:
    assert opening(text) == family


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("Try it. Let me know how it goes!", "let me know"),
        ("Try it.\nLet me know if I can help 🙂", "let me know"),
        ("He said: “Try it.” I hope this helps.", "i hope this"),
        ("Try it.** I hope that it helps", "i hope that"),
        ("One line\n\nTake good care", "take good care"),
        ("Do that.\n\nWarmly,\nAnna Lee", "warmly <name>"),
        ("Pay 3.50 for it", "pay <number> for"),
        ("谢谢你。希望这对你有帮助！", "希望这"),
        ("Only one sentence", "only one sentence"),
    ],
)
def test_a_closing_is_how_the_last_sentence_begins(text: str, family: str) -> None:
    assert closing(text) == family


@pytest.mark.parametrize("text", [None, "", " \n\t", "🙂🙂", "…!?", "\u200d"])
def test_a_text_without_a_word_has_no_family(text: str | None) -> None:
    assert tic_families([text]).row(0) == (None, None)


def test_a_very_long_text_is_looked_at_from_its_ends_only() -> None:
    long = "Begin here and now. " + "word " * 200_000 + "stop. Then all is well."
    assert tic_families([long]).row(0) == ("begin here and", "then all is")


def test_a_lone_surrogate_is_no_word_and_no_crash() -> None:
    assert opening("one \ud800 two three four") == "one two three"


@given(st.lists(st.one_of(st.none(), st.text(max_size=40)), max_size=12))
def test_every_row_has_its_answer_by_itself(texts: list[str | None]) -> None:
    together = tic_families(texts)
    assert together.schema == {"opening": pl.String, "closing": pl.String}
    assert together.height == len(texts)
    assert together.rows() == [tic_families([text]).row(0) for text in texts]


def test_a_series_of_nothing_but_nulls_has_nothing_but_nulls() -> None:
    assert tic_families(pl.Series([None, None])).rows() == [(None, None)] * 2
    assert tic_families([]).height == 0


@pytest.mark.parametrize(
    ("texts", "what"),
    [
        ("a single text", "texts is 'a single text', of type str"),
        (7, "texts is 7, of type int"),
        (["fine", 7], "texts: row 1 is 7, of type int"),
        (pl.Series([1, 2]), "texts: row 0 is 1, of type int"),
    ],
)
def test_what_is_no_column_of_texts_is_refused_by_name(texts: object, what: str) -> None:
    with pytest.raises(FilterError) as refused:
        tic_families(texts)  # type: ignore[arg-type]
    assert refused.value.what == what
    assert refused.value.do


def test_the_effective_number_of_even_families_is_their_number() -> None:
    found = spread(pl.Series(["a", "b", "c", "d"] * 5))
    assert (found.effective, found.top, found.top_count, found.top_share) == (4.0, "a", 5, 0.25)
    assert found.top_interval.low < 0.25 < found.top_interval.high


def test_the_effective_number_is_one_over_the_sum_of_squared_shares() -> None:
    found = spread(pl.Series(["a"] * 6 + ["b"] * 3 + ["c", None]))
    assert found.effective == pytest.approx(1 / (0.6**2 + 0.3**2 + 0.1**2))
    assert (found.top, found.top_share) == ("a", 0.6)


def test_the_spread_of_nothing_is_nothing() -> None:
    assert spread(pl.Series([None], dtype=pl.String)) == (0.0, None, 0, 0.0, (0.0, 1.0))
