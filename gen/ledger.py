"""Everything that cannot be recomputed: one SQLite file, two verbs for the rooms.

`get_many` and `put_many` are all that a room knows. A reply is committed (WAL, synchronous=FULL) before
`put_many` returns, so it is on disk before it is used. A clean close checkpoints and removes the -wal.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .charges import Charge as Charge
from .charges import Spent as Spent
from .charges import Unpriced as Unpriced
from .errors import DamageError, StorageError
from .ledger_rows import OUTCOME, PUT, outcome_of, row_of
from .ledger_schema import FORMAT, address, bring_up_to_date, format_of, read_as_newest, trouble
from .teachers.base import Ask, Outcome
from .text import storable


class Ledger:
    """The open ledger. One process writes at a time (the lock on OUT sees to that); threads may share it."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self._lock = threading.Lock()
        with self._guarded():
            self._db = sqlite3.connect(
                address(path, read_only=read_only), uri=True, check_same_thread=False, isolation_level=None
            )
            try:
                self._db.execute("PRAGMA busy_timeout = 10000")
                version = format_of(self._db, path, may_be_new=not read_only)
                if read_only:
                    read_as_newest(self._db, version)
                    self._db.execute("PRAGMA query_only = ON")
                else:
                    self._prepare(version)
            except BaseException:
                self._db.close()
                raise

    def _prepare(self, version: int) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        if version < FORMAT:
            with self._transaction():
                bring_up_to_date(self._db, version)

    def get_many(self, ask_ids: Sequence[str]) -> dict[str, Outcome]:
        """ask id -> its outcome, for those that are in the ledger."""
        found: dict[str, Outcome] = {}
        with self._lock, self._guarded():
            for part in _parts(ask_ids):
                rows = self._db.execute(
                    f"SELECT {OUTCOME} FROM outcomes WHERE ask_id IN ({','.join('?' * len(part))})",
                    part,
                )
                found.update((row[0], outcome_of(row)) for row in rows)
        return found

    def put_many(self, entries: Iterable[tuple[Ask, Outcome, Charge]]) -> None:
        """Commits outcomes with their asks and what they cost, all or none.

        An ask that is in the ledger already keeps its first outcome, unless that was a failure; what the
        failure counted for stays counted.
        """
        self.begin_many(entries)()

    def begin_many(self, entries: Iterable[tuple[Ask, Outcome, Charge]]) -> Callable[[], None]:
        """`put_many` in two steps: the outcomes are written, and what is returned commits them, in any thread.

        Writing takes microseconds and the interpreter, committing waits for the disk. A thread that wrote row by row
        would have to win the interpreter back from a busy event loop for every row. Until the commit has ended no
        other call of this ledger goes on; called again, it does nothing.
        """
        rows = [row_of(ask, outcome, charge) for ask, outcome, charge in entries]
        self._lock.acquire()
        try:
            with self._guarded(), self._rolled_back():
                self._db.execute("BEGIN IMMEDIATE")
                self._db.executemany(PUT, rows)
        except BaseException:
            self._lock.release()
            raise
        return partial(self._commit, [True])

    def _commit(self, is_open: list[bool]) -> None:
        try:
            is_open.pop()
        except IndexError:  # whoever took it up before has committed, and the lock may be another's by now
            return
        try:
            with self._guarded(), self._rolled_back():
                self._db.execute("COMMIT")  # on a full disk this is what fails
        finally:
            self._lock.release()

    def request(self, ask_id: str) -> tuple[str, dict[str, Any]] | None:
        """(model, request) as it was sent, or None for an unknown id."""
        with self._lock, self._guarded():
            row = self._db.execute("SELECT model, request FROM outcomes WHERE ask_id = ?", (ask_id,)).fetchone()
        return None if row is None else (row[0], json.loads(zlib.decompress(row[1])))

    def follow_ups(self, ask_ids: Sequence[str]) -> dict[str, list[str]]:
        """ask id -> ids of the asks that asked again for its reply, the first one first; only where there are some."""
        found: dict[str, list[tuple[int, str]]] = {}
        with self._lock, self._guarded():
            for part in _parts(ask_ids):
                rows = self._db.execute(
                    f"SELECT follows, ask_id, request FROM outcomes WHERE follows IN ({','.join('?' * len(part))})",
                    part,
                )
                for first, ask_id, request in rows:  # each repeats the conversation of the one before it
                    turns = len(json.loads(zlib.decompress(request))["messages"])
                    found.setdefault(first, []).append((turns, ask_id))
        return {first: [ask_id for _, ask_id in sorted(later)] for first, later in found.items()}

    def put_unreadable(self, reasons: Mapping[str, str]) -> None:
        """Notes with each reply (ask id -> reason) why it could not be read; a reason that is noted already stays."""
        rows = [(storable(reason), ask_id) for ask_id, reason in reasons.items()]
        with self._lock, self._guarded(), self._transaction():
            self._db.executemany("UPDATE outcomes SET unreadable = ? WHERE ask_id = ? AND unreadable IS NULL", rows)

    def unreadable(self, ask_ids: Sequence[str]) -> dict[str, str]:
        """ask id -> why its reply could not be read, for those of which that is noted."""
        found: dict[str, str] = {}
        with self._lock, self._guarded():
            for part in _parts(ask_ids):
                places = ",".join("?" * len(part))
                rows = self._db.execute(
                    f"SELECT ask_id, unreadable FROM outcomes WHERE unreadable IS NOT NULL AND ask_id IN ({places})",
                    part,
                )
                found.update(rows)
        return found

    def costs(self, ask_ids: Sequence[str]) -> dict[str, tuple[int | None, int]]:
        """ask id -> (micro-dollars, None where unknown; tokens as a limit counts them), for those in the ledger.

        What asking again for a reply that could be read has cost is in them.
        """
        found: dict[str, tuple[int | None, int]] = {}
        with self._lock, self._guarded():
            for part in _parts(ask_ids):
                places = ",".join("?" * len(part))
                rows = self._db.execute(
                    "SELECT coalesce(follows, ask_id), iif(count(cost_microusd) = count(*), sum(cost_microusd), NULL),"
                    f" sum(counted_tokens) FROM outcomes WHERE ask_id IN ({places}) OR follows IN ({places})"
                    " GROUP BY 1",
                    (*part, *part),
                )
                found.update((row[0], (row[1], row[2])) for row in rows)
        return found

    def charges(self, ask_ids: Sequence[str]) -> dict[str, Charge]:
        """ask id -> what it cost, for those in the ledger."""
        found: dict[str, Charge] = {}
        with self._lock, self._guarded():
            for part in _parts(ask_ids):
                rows = self._db.execute(
                    "SELECT ask_id, cost_microusd, counted_tokens, counted_microusd FROM outcomes"
                    f" WHERE ask_id IN ({','.join('?' * len(part))})",
                    part,
                )
                found.update((row[0], Charge(*row[1:])) for row in rows)
        return found

    def unpriced(self) -> list[Unpriced]:
        """What was kept while no price of its model was known, by model."""
        with self._lock, self._guarded():
            rows = self._db.execute(
                "SELECT model, count(*), sum(iif(known, prompt_tokens, 0)), sum(iif(known, completion_tokens, 0)),"
                " sum(iif(known, 0, counted_tokens)) FROM (SELECT *, prompt_tokens + completion_tokens IS NOT NULL AS"
                " known FROM outcomes) WHERE cost_microusd IS NULL AND counted_microusd = 0 AND counted_tokens > 0"
                " GROUP BY model ORDER BY model"
            ).fetchall()
        return [Unpriced(*row) for row in rows]

    def spent(self) -> Spent:
        with self._lock, self._guarded():
            row = self._db.execute(
                "SELECT count(reply), count(failure), coalesce(sum(prompt_tokens), 0),"
                " coalesce(sum(completion_tokens), 0), coalesce(sum(cost_microusd), 0),"
                " sum(reply IS NOT NULL AND cost_microusd IS NULL), sum(counted_tokens),"
                " sum(counted_microusd), sum(cached_tokens), sum(reasoning_tokens),"
                " sum(iif(cached_tokens IS NULL, 0, prompt_tokens)), count(follows) FROM outcomes"
            ).fetchone()
        return Spent(*(int(x or 0) for x in row))

    def note(self, key: str) -> Any:
        """The JSON value noted under `key`, or None."""
        with self._lock, self._guarded():
            row = self._db.execute("SELECT value FROM notes WHERE key = ?", (key,)).fetchone()
        return None if row is None else json.loads(row[0])

    def put_note(self, key: str, value: Any) -> None:
        with self._lock, self._guarded(), self._transaction():
            self._db.execute(
                "INSERT INTO notes VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                (key, json.dumps(value, sort_keys=True)),
            )

    def check(self) -> list[str]:
        """SQLite's own integrity findings; empty when the file is sound."""
        with self._lock:
            try:
                rows = [row[0] for row in self._db.execute("PRAGMA integrity_check")]
                for (request,) in self._db.execute("SELECT request FROM outcomes"):
                    zlib.decompress(request)
                for (reply,) in self._db.execute("SELECT reply FROM outcomes WHERE reply IS NOT NULL"):
                    zlib.decompress(reply)
            except (sqlite3.Error, zlib.error) as error:
                return [str(error)]
        return [row for row in rows if row != "ok"]

    def close(self) -> None:
        with self._lock:
            self._db.close()  # the last connection checkpoints and removes the -wal

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._rolled_back():
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")  # on a full disk this is what fails

    @contextmanager
    def _rolled_back(self) -> Iterator[None]:
        """Nothing of a transaction is left where something fails."""
        try:
            yield
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, zlib.error, UnicodeDecodeError) as error:
            raise self._trouble(error) from error

    def _trouble(self, error: Exception) -> DamageError | StorageError:
        return trouble(self.path, error)


def _parts(ask_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ask_ids), 500):  # well under SQLite's limit on bound variables
        yield ask_ids[start : start + 500]
