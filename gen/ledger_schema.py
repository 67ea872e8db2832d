"""The shape of `ledger.sqlite`: its tables, its number, and how an older file is read and brought up to date."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from .errors import DamageError, StorageError

APPLICATION_ID = 0x7466_6C64  # "tfld": tells our file from any other SQLite file
FORMAT = 2

_SCHEMA = """
CREATE TABLE outcomes (
    ask_id TEXT PRIMARY KEY,
    model TEXT NOT NULL,
    purpose TEXT NOT NULL,
    request BLOB NOT NULL,          -- zlib of the JSON of messages, sampling, schema, draw
    reply BLOB,                     -- zlib of the text; NULL for a final failure
    finish_reason TEXT,
    failure TEXT,
    detail TEXT NOT NULL,           -- of a failure: the provider's own words; of a refusal, the model's
    prompt_tokens INTEGER,
    completion_tokens INTEGER,
    cost_microusd INTEGER,          -- NULL: price or usage unknown
    counted_tokens INTEGER NOT NULL,    -- what a limit counts: the worst case where the usage is unknown
    counted_microusd INTEGER NOT NULL,
    served_model TEXT,
    attempts INTEGER NOT NULL,
    seconds REAL NOT NULL,
    at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
) WITHOUT ROWID;
CREATE TABLE notes (                -- what a run must remember besides replies: key -> JSON
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
"""

_SINCE_2 = {
    "cached_tokens": "INTEGER",  # of the prompt's; NULL where the provider does not say
    "reasoning_tokens": "INTEGER",  # of the completion's
    "latency": "REAL",  # seconds of the last request alone
    "fingerprint": "TEXT",  # of the system that served it
    "logprobs": "BLOB",  # zlib of the JSON of [token, log-probability, alternatives]
    "follows": "TEXT",  # the first ask, where this one asks again for a reply that could be read
    "unreadable": "TEXT",  # why the reply could not be read
}
_INDEX = "CREATE INDEX follow_ups ON outcomes (follows) WHERE follows IS NOT NULL"


def format_of(db: sqlite3.Connection, path: Path, *, may_be_new: bool) -> int:
    """The file's format; 0 for one without tables, which is a run's that died as it began.

    Raises DamageError unless the file is ours and of a format that is known here.
    """
    application = db.execute("PRAGMA application_id").fetchone()[0]
    version = db.execute("PRAGMA user_version").fetchone()[0]
    empty = not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if may_be_new and empty and (application, version) == (0, 0):
        return 0
    if application != APPLICATION_ID or not 1 <= version <= FORMAT:
        raise DamageError(
            what=f"{path} is no ledger of this version (application {application:#x}, {version})",
            why="replies read from a file of another shape could be wrong",
            do="use the thousandfold version that wrote it, or another output directory",
        )
    return int(version)


def bring_up_to_date(db: sqlite3.Connection, version: int) -> None:
    """Makes the tables, or adds what they lack; to be called in a transaction. What is in them stays as it is."""
    if version == 0:
        for statement in _SCHEMA.split(";\n"):
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    if version < 2:
        for name, kind in _SINCE_2.items():
            db.execute(f"ALTER TABLE outcomes ADD COLUMN {name} {kind}")
        db.execute(_INDEX)
    db.execute(f"PRAGMA user_version = {FORMAT}")


def read_as_newest(db: sqlite3.Connection, version: int) -> None:
    """Lets a reader, who may not change the file, read an older one as if it were of this format."""
    if version < 2:
        lacks = ", ".join(f"NULL AS {name}" for name in _SINCE_2)
        db.execute(f"CREATE TEMP VIEW outcomes AS SELECT *, {lacks} FROM main.outcomes")


def address(path: Path, *, read_only: bool) -> str:
    """SQLite's URI for `path`.

    A reader that may write opens the file as a writer does, because only such a connection removes the -wal
    when it closes; what it may not do is forbidden by `query_only`. On a medium where nothing can be
    written there is no -wal to be read, and SQLite must be told so.
    """
    path = path.resolve()
    if not read_only:
        mode = "mode=rwc"
    elif os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
        mode = "mode=rw"
    elif path.with_name(path.name + "-wal").exists():
        mode = "mode=ro"
    else:
        mode = "mode=ro&immutable=1"
    return f"{path.as_uri()}?{mode}"


def trouble(path: Path, error: Exception) -> DamageError | StorageError:
    """What SQLite's error means for a person."""
    if isinstance(error, sqlite3.OperationalError):
        return StorageError(
            what=f"the ledger {path} cannot be written or read: {error}",
            why="a reply that is not on disk must not be used, so the run stops; all before it is safe",
            do="free space or mend the permissions, then run the same command again: it resumes",
        )
    return DamageError(
        what=f"the ledger {path} is damaged: {error}",
        why="it holds every reply that was paid for",
        do="restore it from a copy, or move it away to start anew",
    )
