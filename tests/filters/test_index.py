"""The index on disk: what comes back, what is refused, and that equal additions give equal bytes."""

from __future__ import annotations

import os
import random
import stat
from pathlib import Path

import polars as pl
import pytest

from thousandfold.filters import FilterError, MinHashIndex, near_duplicates

GENERATOR = random.Random(8)
TEXTS = [" ".join(f"w{GENERATOR.randrange(300)}" for _ in range(40)) for _ in range(60)]
KEYS = [f"draft-{number}-é" for number in range(60)]


def built(parts: int = 1, **settings: float) -> MinHashIndex:
    index = MinHashIndex(**settings)  # type: ignore[arg-type]
    size = -(-len(TEXTS) // parts)
    for start in range(0, len(TEXTS), size):
        index.add(KEYS[start : start + size], TEXTS[start : start + size])
    return index


def near(text: str) -> str:
    return text + " and more"


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "answers.index"
    built().save(path)
    return path


def test_an_opened_index_answers_as_the_one_that_was_saved(saved: Path) -> None:
    index = MinHashIndex.open(saved)
    queries = [*map(near, TEXTS), "something else", None, " "]
    assert index.query(queries).equals(built().query(queries))
    assert index.query(queries)["twin_key"].to_list() == [*KEYS, None, None, None]
    assert len(index) == 60
    assert KEYS[3] in index
    assert near_duplicates([near(TEXTS[3])], against=index)["twin_key"].to_list() == [KEYS[3]]


def test_an_opened_index_is_extended_and_saved_again_in_its_own_place(saved: Path) -> None:
    index = MinHashIndex.open(saved)
    index.add(["new", "nothing"], ["a text that was not there before at all", None])
    index.save(saved)
    again = MinHashIndex.open(saved)
    assert again.query(["A text that was not there before, at all!", near(TEXTS[0])])["twin_key"].to_list() == [
        "new",
        KEYS[0],
    ]
    assert len(again) == 62
    with pytest.raises(FilterError, match="is in the index already"):
        again.add([KEYS[5]], ["x"])


def test_settings_travel_with_the_file(tmp_path: Path) -> None:
    built(threshold=0.5, ngram=3, num_perm=64, seed=9).save(tmp_path / "i")
    index = MinHashIndex.open(tmp_path / "i")
    assert index.sketching == MinHashIndex(threshold=0.5, ngram=3, num_perm=64, seed=9).sketching
    with pytest.raises(FilterError, match=r"was built with threshold=0\.5"):
        near_duplicates(["x"], against=index)


def test_the_same_texts_give_the_same_bytes_however_they_were_added(tmp_path: Path) -> None:
    files = []
    for parts in (1, 2, 7, 60):
        built(parts).save(tmp_path / "i")
        files.append((tmp_path / "i").read_bytes())
    assert len(set(files)) == 1
    MinHashIndex.open(tmp_path / "i").save(tmp_path / "j")
    assert (tmp_path / "j").read_bytes() == files[0]


def test_many_small_additions_answer_like_one_large() -> None:
    queries = [near(text) for text in TEXTS]
    assert built(60).query(queries).equals(built().query(queries))


def test_a_text_that_came_again_keeps_its_first_key() -> None:
    index = built()
    index.add(["again"], [TEXTS[7].upper()])
    assert len(index) == 61
    assert "again" in index
    assert index.query([TEXTS[7]])["twin_key"].to_list() == [KEYS[7]]


def test_an_empty_index_is_saved_and_opened(tmp_path: Path) -> None:
    MinHashIndex().save(tmp_path / "i")
    index = MinHashIndex.open(tmp_path / "i")
    assert len(index) == 0
    assert index.query(["x", None])["twin_key"].to_list() == [None, None]
    index.add(["a"], ["x"])
    assert index.query(["X"])["twin_key"].to_list() == ["a"]


def test_every_flipped_byte_is_found(tmp_path: Path) -> None:
    path = tmp_path / "i"
    index = MinHashIndex(num_perm=4)
    index.add(["a", "b"], ["one two three four five six", "seven"])
    index.save(path)
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(FilterError):
            MinHashIndex.open(path)
    path.write_bytes(whole)
    assert len(MinHashIndex.open(path)) == 2


@pytest.mark.parametrize("left", [0, 5, 24, 100, 5000, -1])
def test_a_file_that_was_cut_short_is_refused(saved: Path, left: int) -> None:
    saved.write_bytes(saved.read_bytes()[:left])
    with pytest.raises(FilterError, match=r"is not an index of thousandfold|is damaged") as caught:
        MinHashIndex.open(saved)
    assert "build the index anew" in caught.value.do


def test_a_file_that_grew_is_refused(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes() + b"x")
    with pytest.raises(FilterError, match="is damaged"):
        MinHashIndex.open(saved)


def test_a_foreign_file_and_one_of_another_version_are_refused_with_what_to_do(saved: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    foreign.write_bytes(b"PK\x03\x04" * 100)
    with pytest.raises(FilterError) as caught:
        MinHashIndex.open(foreign)
    assert caught.value.what == f"{foreign} is not an index of thousandfold"
    whole = saved.read_bytes()
    saved.write_bytes(whole[:16] + (2).to_bytes(4, "little") + whole[20:])
    with pytest.raises(FilterError) as caught:
        MinHashIndex.open(saved)
    assert caught.value.what == f"{saved} is of version 2, and this is version 1"
    assert caught.value.do.startswith("delete it and build the index anew")


def test_a_missing_file_and_a_directory_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(FilterError, match="cannot be read") as caught:
            MinHashIndex.open(path)
        assert caught.value.do.startswith("give the path of a file that MinHashIndex.save wrote")


def test_a_save_that_fails_leaves_the_old_file_and_nothing_beside_it(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = saved.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        MinHashIndex().save(saved)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_a_saved_index_can_be_read_by_whom_the_user_lets(saved: Path) -> None:
    plain = saved.with_name("plain")
    plain.touch()
    assert stat.S_IMODE(saved.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_a_key_that_a_column_of_strings_cannot_hold_is_refused() -> None:
    with pytest.raises(FilterError, match="half a character") as caught:
        MinHashIndex().add(["half \ud800"], ["x"])
    assert caught.value.do == "give a key of whole characters"


def test_lone_surrogates_in_texts_are_compared_like_any_text() -> None:
    index = MinHashIndex()
    index.add(["a"], ["half \ud800"])
    assert index.query(["half \ud800", "\ud800"])["twin_key"].to_list() == ["a", None]
    assert index.query(pl.Series(["half"]))["twin_key"].to_list() == ["a"]
