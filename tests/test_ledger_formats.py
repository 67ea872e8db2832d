"""A ledger of the first format opens, reads and replays; what the second format keeps besides comes back whole."""

from __future__ import annotations

import json
import sqlite3
import zlib
from pathlib import Path

import pytest

from thousandfold.gen.ledger import Charge, Ledger
from thousandfold.gen.ledger_schema import APPLICATION_ID, FORMAT
from thousandfold.gen.teachers.base import Ask, Message, Outcome, TokenLogprob, Usage

from ._asks import FREE, ask, asks, failure, reply

FIRST_FORMAT = """
CREATE TABLE outcomes (ask_id TEXT PRIMARY KEY, model TEXT NOT NULL, purpose TEXT NOT NULL, request BLOB NOT NULL,
    reply BLOB, finish_reason TEXT, failure TEXT, detail TEXT NOT NULL, prompt_tokens INTEGER,
    completion_tokens INTEGER, cost_microusd INTEGER, counted_tokens INTEGER NOT NULL,
    counted_microusd INTEGER NOT NULL, served_model TEXT, attempts INTEGER NOT NULL, seconds REAL NOT NULL,
    at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))) WITHOUT ROWID;
CREATE TABLE notes (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A ledger as the first version wrote it, with three replies."""
    path = tmp_path / "ledger.sqlite"
    with sqlite3.connect(path) as db:
        db.executescript(f"PRAGMA journal_mode = WAL; {FIRST_FORMAT}")
        for one in asks(3):
            sampling = [one.sampling.temperature, one.sampling.max_tokens, one.sampling.seed]
            request = {"messages": [["user", one.messages[0].content]], "sampling": sampling, "schema": None, "draw": 0}
            said = zlib.compress(f"Reply to {one.messages[0].content}".encode(), 1)
            db.execute(
                "INSERT INTO outcomes VALUES (?, 'test:writer', 'exemplar', ?, ?, 'stop', NULL, '', 10, 20, 4, 30, 4,"
                " 'm-2026', 2, 1.5, '2026-11-23T00:00:00.000Z')",
                (one.id, zlib.compress(json.dumps(request).encode(), 1), said),
            )
        db.execute("INSERT INTO notes VALUES ('probe', '[1]')")
        db.executescript(f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1")
    db.close()
    return path


EXPECTED = {
    one.id: Outcome(
        one.id, f"Reply to {one.messages[0].content}", "stop", usage=Usage(10, 20), served_model="m-2026", attempts=2,
        seconds=1.5,
    )
    for one in asks(3)
}  # fmt: skip


def holds_what_it_held(ledger: Ledger) -> bool:
    ids = [one.id for one in asks(3)]
    assert ledger.get_many(ids) == EXPECTED
    assert ledger.costs(ids) == dict.fromkeys(ids, (4, 30))
    assert ledger.spent().replies == 3
    assert ledger.spent().cached_share is None
    assert ledger.note("probe") == [1]
    assert not ledger.follow_ups(ids)
    assert not ledger.unreadable(ids)
    assert ledger.request(ids[0]) is not None
    assert ledger.check() == []
    return True


def test_a_ledger_of_the_first_format_is_read_without_being_changed(old: Path) -> None:
    before = old.read_bytes()
    with Ledger(old, read_only=True) as ledger:
        assert holds_what_it_held(ledger)
    assert old.read_bytes() == before


def test_a_ledger_of_the_first_format_is_brought_up_to_date_when_it_is_written(old: Path) -> None:
    with Ledger(old) as ledger:
        assert holds_what_it_held(ledger)
        new = asks(4)[3]
        ledger.put_many([(new, reply(new, fingerprint="fp_1"), FREE)])
    with sqlite3.connect(old) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (FORMAT,)
        [changed] = db.execute("SELECT count(*) FROM outcomes WHERE at = '2026-11-23T00:00:00.000Z'").fetchone()
    db.close()
    assert changed == 3
    with Ledger(old, read_only=True) as ledger:
        assert ledger.get_many([new.id])[new.id].fingerprint == "fp_1"


def test_an_old_and_a_new_ledger_have_the_same_columns(old: Path, tmp_path: Path) -> None:
    shapes = []
    for path in (old, tmp_path / "new.sqlite"):
        Ledger(path).close()
        with sqlite3.connect(path) as db:
            shapes.append([row[1:] for row in db.execute("PRAGMA table_info(outcomes)")])
        db.close()
    assert shapes[0] == shapes[1]
    assert len(shapes[0]) == 24


def test_all_that_a_server_says_of_a_reply_comes_back(ledger: Ledger) -> None:
    tokens = (TokenLogprob("Hé", -0.25, (("Hé", -0.25), ("Yo", -1.5))), TokenLogprob("\n", -9999.0))
    said = reply(
        ask(), usage=Usage(100, 20, 64, 12), latency_seconds=0.5, seconds=3.0, fingerprint="fp\ud800", logprobs=tokens
    )
    ledger.put_many([(ask(), said, FREE)])
    found = ledger.get_many([ask().id])[ask().id]
    assert found == reply(
        ask(), usage=Usage(100, 20, 64, 12), latency_seconds=0.5, seconds=3.0, fingerprint="fp\ufffd", logprobs=tokens
    )
    assert isinstance(found.logprobs, tuple)
    assert found.logprobs[0].alternatives[1] == ("Yo", -1.5)


def test_the_cached_share_is_of_those_prompts_alone_of_which_it_is_told(ledger: Ledger) -> None:
    one, other, silent = asks(3)
    entries = [(one, Usage(100, 1, 80, 3)), (other, Usage(300, 1, 0)), (silent, Usage(1000, 1))]
    ledger.put_many((to, reply(to, usage=usage), FREE) for to, usage in entries)
    spent = ledger.spent()
    assert (spent.cached_tokens, spent.cache_told_tokens, spent.reasoning_tokens) == (80, 400, 3)
    assert spent.cached_share == 0.2


def test_asks_that_follow_another_are_found_by_it_and_counted_with_it(ledger: Ledger) -> None:
    first, alone = asks(2)
    later = [
        Ask("test:writer", (*first.messages, *(Message("user", "again"),) * k), first.sampling, follows=first.id)
        for k in (2, 1)
    ]
    charges = {first.id: Charge(4, 30, 4), later[0].id: Charge(5, 50, 5), later[1].id: Charge(6, 40, 6)}
    ledger.put_many((one, reply(one), charges[one.id]) for one in (*later, first))
    ledger.put_many([(alone, reply(alone), Charge(None, 7, 7))])
    assert ledger.follow_ups([first.id, alone.id]) == {first.id: [later[1].id, later[0].id]}
    assert ledger.costs([first.id, alone.id]) == {first.id: (15, 120), alone.id: (None, 7)}


def test_why_a_reply_could_not_be_read_is_kept_with_it_and_the_first_reason_stays(ledger: Ledger) -> None:
    one, other = asks(2)
    ledger.put_many([(one, reply(one), FREE), (other, failure(other), FREE)])
    ledger.put_unreadable({one.id: "no JSON \ud800"})
    ledger.put_unreadable({one.id: "another", "a-unknown": "nothing"})
    assert ledger.unreadable([one.id, other.id, "a-unknown"]) == {one.id: "no JSON \ufffd"}
