"""The ledger: what was committed is there, whole, whatever happens next; what is not ours is refused in words."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from thousandfold.gen.errors import DamageError, StorageError
from thousandfold.gen.ledger import Charge, Ledger, Spent
from thousandfold.gen.ledger_schema import APPLICATION_ID
from thousandfold.gen.teachers.base import Ask, Message, Outcome, Sampling, Usage

from ._asks import FREE, ask, asks, failure, reply

PUT = """
import os, resource, sys
from pathlib import Path
from thousandfold.gen.ledger import Charge, Ledger
from thousandfold.gen.teachers.base import Ask, Message, Outcome, Sampling
def ask(k): return Ask("test:writer", (Message("user", f"Question {k}"),), Sampling(max_tokens=100))
def entry(k, text): return ask(k), Outcome(ask(k).id, text=text), Charge(0, 0, 0)
ledger = Ledger(Path(sys.argv[1]))
"""


def run(code: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PUT + code, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


# ── what is put is what is got ──


def test_every_part_of_an_outcome_comes_back(ledger: Ledger) -> None:
    one, other, unknown = asks(3)
    good = Outcome(one.id, "Text.", "stop", usage=Usage(7, 9), served_model="m-2026", attempts=3, seconds=1.25)
    bad = Outcome(other.id, failure="timeout", detail="no answer in 600 s", attempts=6, seconds=3600.5)
    ledger.put_many([(one, good, FREE), (other, bad, FREE)])
    assert ledger.get_many([one.id, other.id, unknown.id]) == {one.id: good, other.id: bad}


def test_the_request_comes_back_as_it_was_sent(ledger: Ledger) -> None:
    sent = Ask("m", (Message("system", "Sé “b”"), Message("user", "\0")), Sampling(0.5, 99, 7), {"type": "object"}, 2)
    ledger.put_many([(sent, reply(sent), FREE)])
    assert ledger.request(sent.id) == (
        "m",
        {
            "messages": [["system", "Sé “b”"], ["user", "\0"]],
            "sampling": [0.5, 99, 7],
            "schema": {"type": "object"},
            "draw": 2,
        },
    )
    assert ledger.request("a-unknown") is None


@pytest.mark.parametrize(
    "text",
    ["", "nul \0 inside", "emoji 🙂 and ‘quotes’ and \u202e", "\r\n\t", "x" * 5_000_000, "é\u0301\ufdfa" * 1000],
    ids=["empty", "nul", "unicode", "blanks", "5 MB", "combining"],
)
def test_a_reply_of_any_text_and_size_comes_back_whole(ledger: Ledger, text: str) -> None:
    put = replace(reply(ask()), text=text)
    ledger.put_many([(ask(), put, FREE)])
    assert ledger.get_many([ask().id]) == {ask().id: put}


def test_what_utf8_cannot_hold_is_stored_as_the_replacement_character(ledger: Ledger) -> None:
    one, other = asks(2)
    odd = {"finish_reason": "st\ud800op", "served_model": "m\udfff"}
    ledger.put_many([(one, reply(one, text="a\ud800b", **odd), FREE), (other, failure(other, detail="\udc00"), FREE)])
    safe = {"finish_reason": "st\ufffdop", "served_model": "m\ufffd"}
    assert ledger.get_many([one.id, other.id]) == {
        one.id: reply(one, text="a\ufffdb", **safe),
        other.id: failure(other, detail="\ufffd"),
    }


def test_more_ids_than_sqlite_binds_at_once_are_found(ledger: Ledger) -> None:
    many = asks(1234)
    ledger.put_many((a, reply(a), FREE) for a in many)
    found = ledger.get_many([a.id for a in many])
    assert found == {a.id: reply(a) for a in many}


def test_nothing_is_asked_of_an_empty_list(ledger: Ledger) -> None:
    ledger.put_many([])
    assert ledger.get_many([]) == {}


def test_notes_come_back_as_json_values(ledger: Ledger) -> None:
    ledger.put_note("probe", {"a": [1, None, "é"]})
    ledger.put_note("probe", {"b": 2})
    assert ledger.note("probe") == {"b": 2}
    assert ledger.note("other") is None


# ── the first reply stands ──


def test_the_first_reply_to_an_ask_stands(ledger: Ledger) -> None:
    first, second = reply(ask(), text="first"), reply(ask(), text="second")
    ledger.put_many([(ask(), first, Charge(5, 30, 5))])
    ledger.put_many([(ask(), second, Charge(7, 30, 7))])
    ledger.put_many([(ask(), failure(ask()), FREE)])
    assert ledger.get_many([ask().id]) == {ask().id: first}
    assert ledger.spent().microusd == 5


def test_a_failure_gives_way_to_a_reply_and_what_it_cost_stays_counted(ledger: Ledger) -> None:
    ledger.put_many([(ask(), failure(ask(), "timeout"), Charge(None, 500, 50))])
    ledger.put_many([(ask(), reply(ask()), Charge(3, 30, 3))])
    assert ledger.get_many([ask().id]) == {ask().id: reply(ask())}
    assert ledger.spent() == Spent(
        replies=1, failures=0, prompt_tokens=10, completion_tokens=20, microusd=3, unpriced=0,
        counted_tokens=530, counted_microusd=53,
    )  # fmt: skip


def test_what_was_spent_is_summed_over_replies_and_failures(ledger: Ledger) -> None:
    one, two, three = asks(3)
    assert ledger.spent() == Spent(0, 0, 0, 0, 0, 0, 0, 0)
    ledger.put_many(
        [
            (one, reply(one), Charge(4, 30, 4)),
            (two, reply(two, usage=Usage()), Charge(None, 900, 90)),
            (three, failure(three), FREE),
        ]
    )
    assert ledger.spent() == Spent(
        replies=2, failures=1, prompt_tokens=10, completion_tokens=20, microusd=4, unpriced=1,
        counted_tokens=930, counted_microusd=94,
    )  # fmt: skip


# ── all or none, and on disk before it is used ──


def test_a_put_is_all_or_none(ledger: Ledger) -> None:
    one, two = asks(2)
    too_large = reply(two, usage=Usage(2**70, 0))  # no SQLite integer
    with pytest.raises(OverflowError):
        ledger.put_many([(one, reply(one), FREE), (two, too_large, FREE)])
    assert ledger.get_many([one.id, two.id]) == {}
    ledger.put_many([(one, reply(one), FREE)])
    assert ledger.get_many([one.id]) == {one.id: reply(one)}


def test_a_put_is_on_disk_when_it_returns(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    killed = run("ledger.put_many([entry(0, 'kept')]); os.kill(os.getpid(), 9)", path)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    with Ledger(path) as ledger:
        assert [o.text for o in ledger.get_many([asks(1)[0].id]).values()] == ["kept"]
        assert ledger.check() == []


def test_a_put_that_was_not_finished_leaves_no_trace(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    code = """
ledger.put_many([entry(0, "kept")])
with ledger._transaction():
    ledger._db.execute("DELETE FROM outcomes")
    os.kill(os.getpid(), 9)
"""
    killed = run(code, path)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    with Ledger(path) as ledger:
        assert [o.text for o in ledger.get_many([asks(1)[0].id]).values()] == ["kept"]


def test_every_commit_waits_for_the_disk(ledger: Ledger) -> None:
    pragmas = [ledger._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
    assert pragmas == ["wal", 2]  # 2 = FULL


def test_a_run_that_died_as_it_began_leaves_a_ledger_that_can_be_used(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    begun = sqlite3.connect(path)
    begun.execute("PRAGMA journal_mode = WAL")  # the file has a header now, and no table
    begun.close()
    assert path.stat().st_size > 0
    with Ledger(path) as ledger:
        ledger.put_many([(ask(), reply(ask()), FREE)])
        assert ledger.spent().replies == 1


def test_a_clean_close_leaves_one_file(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as ledger:
        ledger.put_many([(ask(), reply(ask()), FREE)])
        assert path.with_name("ledger.sqlite-wal").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["ledger.sqlite"]


def test_threads_share_one_ledger(ledger: Ledger) -> None:
    def work(worker: int) -> int:
        own = asks(50, draw=worker)
        for one in own:
            ledger.put_many([(one, reply(one, text=f"{worker}"), FREE)])
        return sum(o.text == f"{worker}" for o in ledger.get_many([a.id for a in own]).values())

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(work, range(8))) == [50] * 8
    assert ledger.spent().replies == 400


# ── a full disk ──


def big(number: int) -> tuple[Ask, Outcome, Charge]:
    one = ask(f"Big {number}")
    return one, reply(one, text=os.urandom(200_000).hex()), FREE


def test_a_full_disk_stops_the_put_and_spares_the_ledger(ledger: Ledger) -> None:
    small = asks(1)[0]
    ledger.put_many([(small, reply(small), FREE)])
    pages = ledger._db.execute("PRAGMA page_count").fetchone()[0]
    ledger._db.execute(f"PRAGMA max_page_count = {pages + 5}")
    with pytest.raises(StorageError) as caught:
        ledger.put_many([(asks(2)[1], reply(asks(2)[1]), FREE), big(1)])
    assert caught.value.what == f"the ledger {ledger.path} cannot be written or read: database or disk is full"
    assert caught.value.do == "free space or mend the permissions, then run the same command again: it resumes"
    assert ledger.get_many([a.id for a in asks(2)]) == {small.id: reply(small)}
    assert ledger.check() == []
    ledger._db.execute(f"PRAGMA max_page_count = {pages + 5000}")
    ledger.put_many([big(1)])
    assert ledger.spent().replies == 2


def test_a_commit_that_the_disk_refuses_leaves_a_ledger_that_can_go_on(tmp_path: Path) -> None:
    code = """
from thousandfold.gen.errors import StorageError
ledger.put_many([entry(0, "kept")])
size = Path(sys.argv[1] + "-wal").stat().st_size
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20_000, hard))
try:
    ledger.put_many([entry(1, os.urandom(50_000).hex())])
except StorageError as error:
    print(error.what)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
ledger.put_many([entry(2, "later")])
ledger.close()
"""
    path = tmp_path / "ledger.sqlite"
    done = run(code, path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"the ledger {path} cannot be written or read: ")
    with Ledger(path) as ledger:
        assert [ledger.get_many([a.id]).get(a.id) is not None for a in asks(3)] == [True, False, True]
        assert ledger.check() == []


# ── what is not ours, or no longer whole ──


def a_foreign_database(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE contacts (name)")
    db.close()


def a_later_format(path: Path) -> None:
    Ledger(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (a_foreign_database, "is no ledger of this version (application 0x0, 0)"),
        (a_later_format, f"is no ledger of this version (application {APPLICATION_ID:#x}, 99)"),
        (lambda path: path.write_text("Dear diary, " * 500), "is damaged: file is not a database"),
    ],
    ids=["another database", "another format", "a text file"],
)
def test_a_file_that_is_no_ledger_is_refused_and_untouched(tmp_path: Path, make: object, words: str) -> None:
    path = tmp_path / "ledger.sqlite"
    make(path)  # type: ignore[operator]
    before = path.read_bytes()
    with pytest.raises(DamageError) as caught:
        Ledger(path)
    assert caught.value.what.endswith(words)
    assert path.read_bytes() == before


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """The path of a closed ledger of a hundred replies."""
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as ledger:
        ledger.put_many((a, reply(a, text=os.urandom(500).hex()), FREE) for a in asks(100))
    return path


def test_a_ledger_with_overwritten_pages_is_found_out(written: Path) -> None:
    data = bytearray(written.read_bytes())
    data[5 * 4096 : 9 * 4096] = b"\xa5" * (4 * 4096)
    written.write_bytes(data)
    with Ledger(written, read_only=True) as ledger:
        assert ledger.check() != []
        with pytest.raises(DamageError) as caught:
            ledger.get_many([a.id for a in asks(100)])
    assert caught.value.what == f"the ledger {written} is damaged: database disk image is malformed"
    assert caught.value.do == "restore it from a copy, or move it away to start anew"


def test_a_reply_whose_bytes_were_changed_is_found_out(written: Path) -> None:
    with sqlite3.connect(written) as db:
        db.execute("UPDATE outcomes SET reply = ? WHERE ask_id = ?", (b"not zlib", asks(1)[0].id))
    db.close()
    with Ledger(written) as ledger:
        assert ledger.check() == ["Error -3 while decompressing data: incorrect header check"]
        with pytest.raises(DamageError, match="incorrect header check"):
            ledger.get_many([asks(1)[0].id])
        assert len(ledger.get_many([a.id for a in asks(100)[1:]])) == 99


def test_a_reply_that_is_not_utf8_is_found_out(written: Path) -> None:
    with sqlite3.connect(written) as db:
        db.execute("UPDATE outcomes SET reply = ? WHERE ask_id = ?", (zlib.compress(b"\xff"), asks(1)[0].id))
    db.close()
    with Ledger(written) as ledger, pytest.raises(DamageError, match="can't decode byte 0xff"):
        ledger.get_many([asks(1)[0].id])


def test_a_sound_ledger_has_no_findings(written: Path) -> None:
    with Ledger(written, read_only=True) as ledger:
        assert ledger.check() == []


# ── reading only ──


def test_a_reader_changes_nothing_and_leaves_nothing(written: Path) -> None:
    before = written.read_bytes()
    with Ledger(written, read_only=True) as ledger:
        assert ledger.spent().replies == 100
        with pytest.raises(StorageError, match="attempt to write a readonly database"):
            ledger.put_many([(ask(), reply(ask()), FREE)])
        with pytest.raises(StorageError, match="attempt to write a readonly database"):
            ledger.put_note("a", 1)
    assert written.read_bytes() == before
    assert [p.name for p in written.parent.iterdir()] == ["ledger.sqlite"]


def test_a_reader_sees_what_a_writer_commits_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as writer, Ledger(path, read_only=True) as reader:
        assert reader.spent().replies == 0
        writer.put_many([(ask(), reply(ask()), FREE)])
        assert reader.get_many([ask().id]) == {ask().id: reply(ask())}


@pytest.mark.parametrize("empty", [False, True])
def test_a_reader_makes_no_ledger(tmp_path: Path, empty: bool) -> None:
    path = tmp_path / "ledger.sqlite"
    if empty:
        path.touch()
    with pytest.raises(DamageError if empty else StorageError):
        Ledger(path, read_only=True)
    assert [p.stat().st_size for p in tmp_path.iterdir()] == [0] * empty


def test_a_ledger_is_read_where_nothing_may_be_written(written: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from thousandfold.gen.ledger import Ledger
if os.geteuid() == 0:
    os.setuid(65534)  # root may write anywhere
with Ledger(Path(sys.argv[1]), read_only=True) as ledger:
    print(ledger.spent().replies)
"""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "ledger #1?.sqlite")
        copy.write_bytes(written.read_bytes())
        copy.chmod(0o444)
        Path(folder).chmod(0o555)
        done = subprocess.run([sys.executable, "-c", code, copy], capture_output=True, text=True, check=False)
        Path(folder).chmod(0o755)
    assert done.stdout == "100\n", done.stderr
