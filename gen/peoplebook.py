"""Conversations that people brought, kept in the ledger: a later run has them without their files."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping

import polars as pl

from .ledger import Ledger
from .recipe import Recipe
from .tables import PEOPLE, frame, people_schema

_SCHEMA = """
CREATE TABLE IF NOT EXISTS people (
    id TEXT PRIMARY KEY,        -- a hash of the turns: the same text twice is one row
    record BLOB NOT NULL,       -- zlib of the JSON of a PEOPLE row with its levels
    at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
) WITHOUT ROWID"""


class PeopleBook(Ledger):
    """The ledger with a table of its own, which is made by the first who brings something."""

    def add(self, people: pl.DataFrame) -> tuple[int, int]:
        """Commits a PEOPLE frame, all or none; (how many are new, how many were there and are told otherwise now).

        What is said of a text later counts, so that a wrong level or licence can be set right by bringing it again.
        """
        rows = {row["id"]: json.dumps(row, sort_keys=True) for row in people.iter_rows(named=True)}
        with self._lock, self._guarded(), self._transaction():
            self._db.execute(_SCHEMA)
            before = self._records()
            changed = {key: told for key, told in rows.items() if before.get(key) != told}
            self._db.executemany(
                "INSERT INTO people (id, record) VALUES (?, ?)"
                " ON CONFLICT (id) DO UPDATE SET (record, at) = (excluded.record, excluded.at)",
                [(key, zlib.compress(told.encode(), 6)) for key, told in changed.items()],
            )
        known = sum(key in before for key in changed)
        return len(changed) - known, known

    def people(self, recipe: Recipe) -> tuple[pl.DataFrame, list[str]]:
        """(all of them as a PEOPLE frame by id, with a column per axis of `recipe`; what no longer fits it, in words).

        A recipe may have changed since: a level that it does not have any more is null, and a conversation of a facet
        that it does not have is left out; both are said.
        """
        with self._lock, self._guarded():
            has_any = self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'people'").fetchone()
            told = self._records() if has_any else {}
        rows, left_out, unknown = [], 0, 0
        for record in (json.loads(told[key]) for key in sorted(told)):
            if record["facet"] not in recipe.levels["facet"]:
                left_out += 1
                continue
            levels = {axis: record.get(axis) for axis in recipe.axes if axis != "facet"}
            fitting = {axis: level if level in recipe.levels[axis] else None for axis, level in levels.items()}
            unknown += fitting != levels
            rows.append({name: record[name] for name in PEOPLE} | fitting)
        notes = []
        if left_out:
            notes.append(f"{left_out} conversations by people are of a facet that the recipe has no more: left out")
        if unknown:
            notes.append(f"{unknown} conversations by people name a level that the recipe has no more: not counted")
        return frame(rows, people_schema(recipe.axes)), notes

    def _records(self) -> Mapping[str, str]:
        rows: list[tuple[str, bytes]] = self._db.execute("SELECT id, record FROM people").fetchall()
        return {key: zlib.decompress(record).decode() for key, record in rows}
