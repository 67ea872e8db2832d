"""Shingles: the words of Python's own `re`, in every script, by both ways of counting them."""

from __future__ import annotations

import re
import unicodedata

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from thousandfold.filters import backend, portable
from thousandfold.filters.characters import MARK, SIZE, characters
from thousandfold.filters.shingles import (
    ShingleColumn,
    containment,
    containments,
    jaccards,
    shingle_columns,
    shingle_sets,
    shingle_units,
)

TRICKY = [
    "Σ",
    "ΟΔΥΣΣΕΥΣ",
    "ΑΣ.",
    "İ",
    "Istanbul",
    "é",
    "́",
    "😀",
    "𝔘",
    "𐐀",
    "ǅ",
    "ß",
    "_",
    "'",
    "\ud800",
    "\udfff",
    "\x85",
    "　",
]
ANY_TEXT = st.one_of(
    st.text(),
    st.text(alphabet=st.characters(categories=["L", "N", "Z", "P", "M", "Cs", "So"])),
    st.lists(st.sampled_from([*TRICKY, " ", "a", "word", "42", "\n"]), max_size=40).map("".join),
)
CJK_OR_ANY = st.one_of(ANY_TEXT, st.text(alphabet="我很抱歉你说得对ไม่เป็นไรかなカナ한국 abİΣ,。", max_size=60))


def tuples(text: str, ngram: int) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[start : start + ngram]) for start in range(max(1, len(words) - ngram + 1))}


def portably(texts: list[str | None], ngram: int) -> ShingleColumn:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("thousandfold.filters.shingles.backend", lambda: portable)
        return shingle_columns(texts, ngram)


@settings(deadline=None, max_examples=300)
@given(ANY_TEXT, ANY_TEXT, st.integers(1, 4))
@example("ΑΣ ΣΑΣ", "ας σας", 1)
@example("İİa İ", "i̇i̇a i", 1)
def test_words_are_those_of_re_on_the_lowered_text(one: str, other: str, ngram: int) -> None:
    units = shingle_units([one, other]).to_list()
    column = shingle_columns([one, other], ngram)
    for text, unit, size in zip((one, other), units, column.sizes().tolist(), strict=True):
        if unit is None:
            assert text.strip() == ""
            assert size == 0
        elif unit == "word":
            assert size == len(tuples(text, ngram))
    if units == ["word", "word"] and all(re.search(r"\w", text) for text in (one, other)):
        a, b = tuples(one, ngram), tuples(other, ngram)
        rows = np.array([0]), np.array([1])
        assert jaccards(column, column, *rows).tolist() == [len(a & b) / len(a | b)]
        assert containments(column, column, *rows).tolist() == [len(a & b) / len(a)]
        assert containment(column.row(0), column.row(1)) == len(a & b) / len(a)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.one_of(st.none(), CJK_OR_ANY), max_size=6), st.integers(1, 8))
def test_numba_and_numpy_find_the_same_shingles(texts: list[str | None], ngram: int) -> None:
    column, other = shingle_columns(texts, ngram), portably(texts, ngram)
    assert column.offsets.tolist() == other.offsets.tolist()
    assert column.values.tolist() == other.values.tolist()


def test_every_character_of_unicode_is_lowered_and_split_as_python_does() -> None:
    points = [point for point in range(0x110000) if not 0xD800 <= point < 0xE000]
    for start in range(0, len(points), 1000):
        text = "x".join(map(chr, points[start : start + 1000]))
        if shingle_units([text]).to_list() == ["word"]:
            assert shingle_columns([text], 1).sizes().tolist() == [len(tuples(text, 1))]
            lowered = shingle_columns([text.lower()], 1)
            assert shingle_columns([text], 1).values.tolist() == lowered.values.tolist()
    assert not any(re.match(r"\w", chr(point)) for point in range(SIZE, 0x110000))


def test_the_combining_marks_are_those_of_unicode() -> None:
    marks = [point for point in range(SIZE) if unicodedata.category(chr(point)).startswith("M")]
    assert np.flatnonzero(characters().flags & MARK).tolist() == marks


def test_a_shingle_hash_is_the_same_on_every_machine_and_in_every_release() -> None:
    assert backend.backend().__name__.endswith(".compiled")
    expected = [[9617827538054428796, 14388397931144986403], [2406606886329102543], [1204069097625139105]]
    texts: list[str | None] = ["I was wrong about the dose.", "我很抱歉。", " 🙂"]
    assert [shingle_columns([text], 5).values.tolist() for text in texts] == expected
    assert [portably([text], 5).values.tolist() for text in texts] == expected


def test_a_text_in_a_script_without_spaces_is_cut_into_characters_and_a_korean_one_into_words() -> None:
    texts = [
        "我说错了剂量。",
        "ごめんなさい、間違えました",
        "ฉันเสียใจ",
        "죄송합니다 제가 틀렸습니다",
        "I was wrong",
        "the word 我",
        None,
        " ",
        "🙂",
    ]
    assert shingle_units(texts).to_list() == ["character"] * 3 + ["word"] * 3 + [None, None, "word"]
    assert shingle_columns(["我说错了剂量。"], 5).sizes().tolist() == [2]
    thai = sum(unicodedata.category(char)[0] in "LM" for char in texts[2] or "")
    assert shingle_columns([texts[2]], 1).sizes().tolist() == [len(set(texts[2] or ""))]
    assert thai == len(texts[2] or "")


def test_one_changed_character_of_a_long_chinese_text_costs_a_few_shingles_not_all() -> None:
    text = "他说得对我昨天没有看清楚表格就给你写了信这是我的错今天我会重新计算剂量然后告诉你结果"
    other = text.replace("昨天", "前天")
    column = shingle_columns([text, other], 5)
    size = len(text) - 4
    assert jaccards(column, column, np.array([0]), np.array([1])).tolist() == [(size - 5) / (size + 5)]


def test_null_and_blank_texts_have_no_shingles_but_wordless_ones_have_their_own() -> None:
    null, empty, blank, smile, same_smile, dots = shingle_sets([None, "", " \n", "🙂", " 🙂", "..."], 5)
    assert (null, empty, blank) == (None, None, None)
    assert smile is not None
    assert same_smile is not None
    assert dots is not None
    assert (containment(smile, same_smile), containment(smile, dots)) == (1.0, 0.0)


def test_a_column_of_nulls_and_a_column_of_nothing_have_no_shingles() -> None:
    for texts, rows in ((pl.Series([None, None]), 2), (pl.Series([], dtype=pl.String), 0), ([], 0)):
        column = shingle_columns(texts, 5)
        assert column.offsets.tolist() == [0] * (rows + 1)
        assert column.values.tolist() == []


def test_a_series_and_a_list_and_many_chunks_give_the_same_shingles(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [
        None if number % 7 == 0 else f"text {number} says é and {number * 31 % 11} things" for number in range(300)
    ]
    whole = shingle_columns(texts, 3)
    monkeypatch.setattr("thousandfold.filters.columns.CHUNK_BYTES", 100)
    for again in (shingle_columns(texts, 3), shingle_columns(pl.Series(texts), 3)):
        assert again.values.tolist() == whole.values.tolist()
        assert again.offsets.tolist() == whole.offsets.tolist()


def test_a_text_longer_than_a_table_of_hashes_has_each_shingle_once() -> None:
    text = " ".join(str(number) for number in range(70_000))
    column = shingle_columns([text, f"{text} {text}"], 1)
    assert column.sizes().tolist() == [70_000, 70_000]
    assert np.array_equal(column.row(0), column.row(1))
