"""Everything that cannot be recomputed: one SQLite file, two verbs for the rooms.

`get_many` and `put_many` are all that a room knows. A reply is committed (WAL, synchronous=FULL) before
`put_many` returns, so it is on disk before it is used. A clean close checkpoints and removes the -wal.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from .charges import Charge as Charge
from .charges import Spent as Spent
from .charges import Unpriced as Unpriced
from .errors import DamageError, StorageError
from .ledger_schema import FORMAT, address, bring_up_to_date, format_of, read_as_newest, trouble
from .teachers.base import Ask, Failure, Outcome, TokenLogprob, Usage, schema_text
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
                    "SELECT ask_id, reply, finish_reason, failure, detail, prompt_tokens, completion_tokens,"
                    " served_model, attempts, seconds, cached_tokens, reasoning_tokens, latency, fingerprint, logprobs"
                    " FROM outcomes"
                    f" WHERE ask_id IN ({','.join('?' * len(part))})",
                    part,
                )
                found.update((row[0], _outcome(row)) for row in rows)
        return found

    def put_many(self, entries: Iterable[tuple[Ask, Outcome, Charge]]) -> None:
        """Commits outcomes with their asks and what they cost, all or none.

        An ask that is in the ledger already keeps its first outcome, unless that was a failure; what the
        failure counted for stays counted.
        """
        rows = [_row(ask, outcome, charge) for ask, outcome, charge in entries]
        with self._lock, self._guarded(), self._transaction():
            self._db.executemany(
                f"INSERT INTO outcomes ({_COLUMNS}) VALUES ({','.join('?' * len(_COLUMNS.split(',')))})"
                " ON CONFLICT (ask_id) DO UPDATE SET (reply, finish_reason, failure, detail, prompt_tokens,"
                " completion_tokens, cost_microusd, counted_tokens, counted_microusd, served_model, attempts,"
                " seconds, cached_tokens, reasoning_tokens, latency, fingerprint, logprobs, at)"
                " = (excluded.reply, excluded.finish_reason, excluded.failure, excluded.detail,"
                " excluded.prompt_tokens, excluded.completion_tokens, excluded.cost_microusd,"
                " counted_tokens + excluded.counted_tokens, counted_microusd + excluded.counted_microusd,"
                " excluded.served_model, excluded.attempts, excluded.seconds, excluded.cached_tokens,"
                " excluded.reasoning_tokens, excluded.latency, excluded.fingerprint, excluded.logprobs, excluded.at)"
                " WHERE outcomes.failure IS NOT NULL",
                rows,
            )

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
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")  # on a full disk this is what fails
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


_COLUMNS = (
    "ask_id, model, purpose, request, reply, finish_reason, failure, detail, prompt_tokens,"
    " completion_tokens, cost_microusd, counted_tokens, counted_microusd, served_model, attempts, seconds,"
    " cached_tokens, reasoning_tokens, latency, fingerprint, logprobs, follows"
)


def _parts(ask_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ask_ids), 500):  # well under SQLite's limit on bound variables
        yield ask_ids[start : start + 500]


def as_stored(outcome: Outcome) -> Outcome:
    """`outcome` as the ledger will give it back: what UTF-8 cannot hold is replaced.

    A reply is used in this form from the start, so that a first run and its replay see the same.
    """
    words = {
        name: getattr(outcome, name) for name in ("text", "finish_reason", "detail", "served_model", "fingerprint")
    }
    clean: dict[str, Any] = {name: storable(word) for name, word in words.items() if word is not None}
    return replace(outcome, **clean) if any(words[name] != word for name, word in clean.items()) else outcome


def _row(ask: Ask, outcome: Outcome, charge: Charge) -> tuple[Any, ...]:
    outcome = as_stored(outcome)
    return (
        ask.id,
        ask.model,
        ask.purpose,
        zlib.compress(_request(ask), 1),
        None if outcome.text is None else zlib.compress(outcome.text.encode(), 1),
        outcome.finish_reason,
        outcome.failure,
        outcome.detail,
        outcome.usage.prompt_tokens,
        outcome.usage.completion_tokens,
        charge.cost_microusd,
        charge.counted_tokens,
        charge.counted_microusd,
        outcome.served_model,
        outcome.attempts,
        outcome.seconds,
        outcome.usage.cached_tokens,
        outcome.usage.reasoning_tokens,
        outcome.latency_seconds,
        outcome.fingerprint,
        None if outcome.logprobs is None else zlib.compress(json.dumps(outcome.logprobs).encode(), 1),
        ask.follows,
    )


def _request(ask: Ask) -> bytes:
    """JSON of what was asked; the schema, which thousands of asks share, is written out once for all."""
    asked = {
        "messages": [[m.role, m.content] for m in ask.messages],
        "sampling": [ask.sampling.temperature, ask.sampling.max_tokens, ask.sampling.seed],
    }
    return f'{json.dumps(asked)[:-1]}, "schema": {schema_text(ask.schema)}, "draw": {ask.draw}}}'.encode()


def _outcome(row: tuple[Any, ...]) -> Outcome:
    return Outcome(
        ask_id=row[0],
        text=None if row[1] is None else zlib.decompress(row[1]).decode("utf-8"),
        finish_reason=row[2],
        failure=cast("Failure | None", row[3]),
        detail=row[4],
        usage=Usage(row[5], row[6], row[10], row[11]),
        served_model=row[7],
        attempts=row[8],
        seconds=row[9],
        latency_seconds=row[12],
        fingerprint=row[13],
        logprobs=None if row[14] is None else _logprobs(row[14]),
    )


def _logprobs(packed: bytes) -> tuple[TokenLogprob, ...]:
    return tuple(
        TokenLogprob(token, value, tuple((other, chance) for other, chance in others))
        for token, value, others in json.loads(zlib.decompress(packed))
    )
