"""Labels in the ledger: append-only, withdrawn by a new row, read back as what counts, and lost by nobody."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import polars as pl
import pytest

from thousandfold import gen
from thousandfold.gen.errors import OutputError, RecipeError, StorageError
from thousandfold.gen.labelbook import LABELS, LabelBook, text_sum
from thousandfold.gen.ledger import Ledger
from thousandfold.gen.output import Output

from ._labels import act, place
from ._runs import environment


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An output directory with an empty ledger."""
    with Ledger(tmp_path / "ledger.sqlite"):
        return tmp_path


def book(out: Path) -> LabelBook:
    return LabelBook(out / "ledger.sqlite")


def rows(out: Path, sql: str) -> list[tuple[object, ...]]:
    db = sqlite3.connect(out / "ledger.sqlite")
    try:
        return db.execute(sql).fetchall()
    finally:
        db.close()


def test_an_output_without_labels_is_an_empty_frame_with_the_documented_columns(out: Path) -> None:
    found = gen.labels(out)
    assert found.height == 0
    assert dict(found.schema) == {name: kind() if isinstance(kind, type) else kind for name, kind in LABELS.items()}
    documented = ["id", "facet", "who", "level", "drawn", "probability", "at", "text_sha256"]
    assert found.columns[: len(documented)] == documented


def test_looking_makes_no_table(out: Path) -> None:
    gen.labels(out)
    with book(out) as open_book:
        assert open_book.acts() == []
        assert open_book.given_out() == []
    assert rows(out, "SELECT name FROM sqlite_master WHERE name LIKE 'label%'") == []


def test_a_label_is_read_back_with_who_when_and_which_text(out: Path) -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    with book(out) as open_book:
        open_book.add([act(3, place("d-7", facet="apology"), text=text_sum([{"role": "user", "content": "é"}]))])
    (row,) = gen.labels(out).to_dicts()
    assert (row["id"], row["facet"], row["who"], row["level"], row["drawn"]) == ("d-7", "apology", "ana", 3, "random")
    assert before <= row["at"] <= datetime.now(UTC)
    assert row["text_sha256"] == sha256(rb'[["user","\u00e9"]]').hexdigest()


def test_of_two_labels_by_one_person_the_later_counts_and_both_stay(out: Path) -> None:
    with book(out) as open_book:
        open_book.add([act(1)])
        open_book.add([act(4), act(2, who="ben")])
    assert gen.labels(out).select("who", "level").rows() == [("ana", 4), ("ben", 2)]
    assert rows(out, "SELECT who, level FROM labels ORDER BY number") == [("ana", 1), ("ana", 4), ("ben", 2)]


def test_undo_withdraws_by_a_new_row_and_the_label_before_counts_again(out: Path) -> None:
    with book(out) as open_book:
        open_book.add([act(1), act(4), act(2, who="ben")])
        undone = open_book.undo("ana")
        assert undone is not None
        assert undone.level == 4
        assert gen.labels(out).select("who", "level").rows() == [("ana", 1), ("ben", 2)]
        open_book.undo("ana")
        assert open_book.undo("ana") is None
        assert gen.labels(out).select("who", "level").rows() == [("ben", 2)]
    assert rows(out, "SELECT act, level, withdraws FROM labels ORDER BY number") == [
        ("label", 1, None), ("label", 4, None), ("label", 2, None), ("undo", None, 2), ("undo", None, 1),
    ]  # fmt: skip


def test_undo_takes_back_a_skip_and_looks_only_among_the_ids_it_is_given(out: Path) -> None:
    with book(out) as open_book:
        open_book.add([act(1, place("d-1")), act(None, place("d-2"), kind="skip"), act(3, place("d-3"))])
        undone = open_book.undo("ana", ["d-1", "d-2"])
        assert undone is not None
        assert (undone.act, undone.place.id) == ("skip", "d-2")
    assert gen.labels(out)["id"].to_list() == ["d-1", "d-3"]


@pytest.mark.parametrize("sql", ["UPDATE labels SET level = 4", "DELETE FROM labels", "DELETE FROM label_draws"])
def test_rows_cannot_be_changed_or_deleted(out: Path, sql: str) -> None:
    with book(out) as open_book:
        open_book.add([act(1)])
        open_book.give_out([place()])
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        rows(out, sql)
    assert gen.labels(out)["level"].to_list() == [1]


def test_skips_are_no_labels(out: Path) -> None:
    with book(out) as open_book:
        open_book.add([act(None, kind="skip")])
    assert gen.labels(out).height == 0


def test_the_probability_of_random_draws_is_how_far_the_draw_has_come_in_the_facet(out: Path) -> None:
    with book(out) as open_book:
        near, far = place("d-1", probability=0.1), place("d-2", probability=0.2)
        other = place("d-3", facet="g", probability=0.5)
        open_book.add([act(None, place("d-4", probability=0.3), kind="skip")])  # drawn, though not labelled
        open_book.add([act(1, near), act(2, far, who="ben"), act(3, other)])
        open_book.add([act(4, place("d-5", drawn="active", probability=0.05))])
    found = {row["id"]: row["probability"] for row in gen.labels(out).to_dicts()}
    assert found == {"d-1": 0.3, "d-2": 0.3, "d-3": 0.5, "d-5": 0.05}


def test_a_text_that_the_random_draw_comes_to_later_counts_as_random(out: Path) -> None:
    with book(out) as open_book:
        open_book.add([act(4, place(drawn="active", probability=0.05)), act(3, place(drawn="active"), who="ben")])
        open_book.add([act(None, place(probability=0.4), kind="draw")])
    found = gen.labels(out).select("who", "level", "drawn", "probability").rows()
    assert found == [("ana", 4, "random", 0.4), ("ben", 3, "active", 0.5)]


def test_a_chosen_text_has_no_probability(out: Path) -> None:
    with book(out) as open_book:
        open_book.add([act(4, place(drawn="chosen", probability=None))])
    assert gen.labels(out).select("drawn", "probability").rows() == [("chosen", None)]


@pytest.mark.parametrize("level", [-1, 5, None])
def test_a_label_needs_a_level_of_the_rubric(level: int | None) -> None:
    with pytest.raises(RecipeError, match=f"level {level} is not on the rubric"):
        act(level)


def test_a_claim_keeps_a_text_from_others_until_it_is_given_back(out: Path) -> None:
    with book(out) as open_book:
        assert open_book.claim("d-1", "ana")
        assert open_book.claim("d-1", "ana")
        assert not open_book.claim("d-1", "ben")
        open_book.unclaim("ana")
        assert open_book.claim("d-1", "ben")
        open_book.add([act(3, place("d-2"))])
        assert not open_book.claim("d-2", "ben")
        assert open_book.claim("d-2", "ana")


def test_a_claim_that_was_forgotten_ends_by_itself(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with book(out) as open_book:
        open_book.claim("d-1", "ana")
        monkeypatch.setattr("thousandfold.gen.labelbook.CLAIM_SECONDS", -1.0)
        assert open_book.claim("d-1", "ben")


def test_batches_come_back_as_they_were_given_out(out: Path) -> None:
    first, second = [place("d-2"), place("d-1", drawn="active")], [place("d-3", facet="g")]
    with book(out) as open_book:
        open_book.give_out(first)
        open_book.give_out(second)
        assert open_book.given_out() == [first, second]


WRITER = """
import sys
from pathlib import Path
from thousandfold.gen.labelbook import Act, LabelBook, Place
path, who, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
with LabelBook(path) as book:
    for number in range(count):
        place = Place(f"d-{number}", "f", "random", 0.5, "r")
        book.add([Act("label", place, who, "t", "r", level=number % 5)])
"""


def test_several_labellers_at_once_while_a_run_holds_the_lock_lose_nothing(out: Path) -> None:
    """Processes of their own, from tables that are not there yet, beside an open ledger that writes too."""
    names, count = ("ana", "ben", "ana"), 40  # two terminals of one person are two writers as well
    with Output(out).locked(), Ledger(out / "ledger.sqlite") as ledger:
        writers = [
            subprocess.Popen([sys.executable, "-c", WRITER, out / "ledger.sqlite", name, str(count)], env=environment())
            for name in names
        ]
        noted = 0
        while any(writer.poll() is None for writer in writers):
            ledger.put_note("run", noted)
            noted += 1
        assert [writer.returncode for writer in writers] == [0, 0, 0]
        assert ledger.note("run") == noted - 1
    assert rows(out, "SELECT who, count(*) FROM labels GROUP BY who") == [("ana", 2 * count), ("ben", count)]
    found = gen.labels(out)
    assert found.group_by("who").len().sort("who").rows() == [("ana", count), ("ben", count)]
    assert found.filter(pl.col("level") != pl.col("id").str.slice(2).cast(pl.Int64) % 5).height == 0


def test_a_book_that_stays_busy_is_an_error_that_says_what_to_do(out: Path) -> None:
    with book(out) as open_book:
        open_book._db.execute("PRAGMA busy_timeout = 50")
        other = sqlite3.connect(out / "ledger.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match="cannot be written or read: database is locked") as seen:
            open_book.add([act(3)])
        other.execute("ROLLBACK")
        other.close()
        assert "every label before it is safe" in seen.value.why
        open_book.add([act(3)])
    assert gen.labels(out).height == 1


def test_labels_of_what_is_no_output_directory_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="holds no ledger"):
        gen.labels(tmp_path)


def test_a_sound_ledger_with_labels_is_still_a_sound_ledger(out: Path) -> None:
    with book(out) as open_book:
        open_book.add([act(3)])
    with Ledger(out / "ledger.sqlite", read_only=True) as ledger:
        assert ledger.check() == []
    assert not (out / "ledger.sqlite-wal").exists()
