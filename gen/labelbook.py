"""What people said of texts: append-only rows in the ledger of OUT, with who and when, beside what was paid for.

Nothing here is ever shown to a teacher or a judge, and no run reads it while it asks. Labelling does not take the
lock of a run: each act is one short transaction, so several people and a run may have the file open at once.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import polars as pl

from .errors import DamageError, RecipeError, StorageError
from .ledger import Ledger
from .output import Output

Kind = Literal["label", "skip", "draw", "undo"]
Drawn = Literal["random", "active", "chosen"]

LEVELS = (0, 1, 2, 3, 4)
CLAIM_SECONDS = 1800.0  # how long a text on somebody's screen is kept from others; an hour's break gives it back

LABELS: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "id": pl.String,  # of the draft
    "facet": pl.String,
    "who": pl.String,
    "level": pl.Int64,  # 0 to 4, on the rubric of the facet
    "drawn": pl.String,  # random | active | chosen (by whoever made the file: no draw of ours)
    "probability": pl.Float64,  # that the draw took this text, in (0, 1]; null where chosen
    "at": pl.Datetime("ms", "UTC"),
    "text_sha256": pl.String,  # `text_sum` of the messages that the label was given for
    "release": pl.String,  # whose texts were drawn from
    "rubric_sha256": pl.String,
}

# Rows are never changed or deleted, not even by a bug: the triggers see to that. A claim is no label.
_SCHEMA = (
    """
CREATE TABLE IF NOT EXISTS {labels} (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    act TEXT NOT NULL CHECK (act IN ('label', 'skip', 'draw', 'undo')),
    id TEXT NOT NULL,
    facet TEXT NOT NULL,
    who TEXT NOT NULL,
    level INTEGER CHECK (level BETWEEN 0 AND 4),
    drawn TEXT NOT NULL CHECK (drawn IN ('random', 'active', 'chosen')),
    probability REAL,
    text_sha256 TEXT NOT NULL,
    rubric_sha256 TEXT NOT NULL,
    release TEXT NOT NULL,
    seconds REAL,                       -- on the screen before the key; NULL from a sheet
    withdraws INTEGER REFERENCES {labels} (number),
    at TEXT NOT NULL,
    CHECK ((act = 'label') = (level IS NOT NULL)),
    CHECK ((act = 'undo') = (withdraws IS NOT NULL))
)""",
    """
CREATE TABLE IF NOT EXISTS {draws} (    -- what was given out: the batches of active mode, the rows of sheets
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    batch INTEGER NOT NULL,
    id TEXT NOT NULL,
    facet TEXT NOT NULL,
    drawn TEXT NOT NULL,
    probability REAL NOT NULL,
    release TEXT NOT NULL,
    at TEXT NOT NULL
)""",
    "CREATE INDEX IF NOT EXISTS {labels}_by_id ON {labels} (id, who)",
    "CREATE INDEX IF NOT EXISTS {draws}_by_id ON {draws} (id)",
    "CREATE TABLE IF NOT EXISTS {claims} (id TEXT PRIMARY KEY, who TEXT NOT NULL, at REAL NOT NULL)",
)
_APPEND_ONLY = (
    "CREATE TRIGGER IF NOT EXISTS {table}_no_{verb} BEFORE {verb} ON {table}"
    " BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
)


def append_only(*tables: str) -> list[str]:
    """Statements that forbid every change of what stands in `tables`."""
    return [_APPEND_ONLY.format(table=table, verb=verb) for table in tables for verb in ("update", "delete")]


@dataclass(frozen=True)
class Place:
    """One text of a queue: how it was drawn, and with which probability."""

    id: str
    facet: str
    drawn: Drawn
    probability: float | None  # None: chosen
    release: str


@dataclass(frozen=True)
class Act:
    """One row: a label, a skip, or a draw that finds a label there already. `number` and `at` come from the ledger."""

    act: Kind
    place: Place
    who: str
    text_sha256: str
    rubric_sha256: str
    level: int | None = None
    seconds: float | None = None
    withdraws: int | None = None
    at: str = ""
    number: int = 0

    def __post_init__(self) -> None:
        if self.act == "label" and self.level not in LEVELS:
            raise RecipeError(
                what=f"level {self.level} is not on the rubric",
                why=f"a label is one of its levels, {', '.join(map(str, LEVELS))}",
                do="give one of these, or skip the text",
            )


class LabelBook(Ledger):
    """The ledger as somebody who labels sees it: its own tables in the same file, made when first written to."""

    _labels, _draws, _claims = "labels", "label_draws", "label_claims"

    def _schema(self) -> list[str]:
        names = {"labels": self._labels, "draws": self._draws, "claims": self._claims}
        return [*(part.format(**names) for part in _SCHEMA), *append_only(self._labels, self._draws)]

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction; the tables are made by the first that writes."""
        with self._lock, self._guarded(), self._transaction():
            if not self._has_tables():
                for statement in self._schema():
                    self._db.execute(statement)
            yield

    def add(self, acts: Iterable[Act]) -> None:
        """Commits acts, all or none; on disk when it returns."""
        with self._writing():
            self._insert(acts)

    def undo(self, who: str, ids: Iterable[str] | None = None) -> Act | None:
        """Withdraws the last label or skip of `who` (among `ids`) by a new row; which it was, or None."""
        among = None if ids is None else set(ids)
        with self._writing():
            for act in reversed(self._standing(who)):
                if act.act in ("label", "skip") and (among is None or act.place.id in among):
                    self._insert([replace(act, act="undo", level=None, withdraws=act.number)])
                    return act
        return None

    def acts(self, who: str | None = None) -> list[Act]:
        """All acts that were not withdrawn, of one person or of all, in the order in which they came."""
        with self._lock, self._guarded():
            return self._standing(who)

    def claim(self, draft_id: str, who: str) -> bool:
        """Keeps a text for `who` while it is on the screen; False where another labelled it or has it before them."""
        now = time.time()
        with self._writing():
            others = [act for act in self._standing(None, draft_id) if act.act == "label" and act.place.id == draft_id]
            held = self._db.execute(
                f"SELECT 1 FROM {self._claims} WHERE id = ? AND who != ? AND at > ?",
                (draft_id, who, now - CLAIM_SECONDS),
            ).fetchone()
            if held or any(act.who != who for act in others):
                return False
            self._db.execute(f"INSERT OR REPLACE INTO {self._claims} VALUES (?, ?, ?)", (draft_id, who, now))
        return True

    def unclaim(self, who: str) -> None:
        """Gives back what `who` had on the screen."""
        with self._writing():
            self._db.execute(f"DELETE FROM {self._claims} WHERE who = ?", (who,))

    def give_out(self, places: Sequence[Place]) -> None:
        """Notes that these texts were drawn, as one batch."""
        at = _now()
        with self._writing():
            (last,) = self._db.execute(f"SELECT coalesce(max(batch), 0) FROM {self._draws}").fetchone()
            self._db.executemany(
                f"INSERT INTO {self._draws} (batch, id, facet, drawn, probability, release, at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                [(last + 1, p.id, p.facet, p.drawn, p.probability, p.release, at) for p in places],
            )

    def given_out(self) -> list[list[Place]]:
        """The batches, oldest first, each in the order in which it is shown."""
        batches: dict[int, list[Place]] = {}
        with self._lock, self._guarded():
            if self._has_tables():
                rows = self._db.execute(
                    f"SELECT batch, id, facet, drawn, probability, release FROM {self._draws} ORDER BY number"
                )
                for batch, *place in rows:
                    batches.setdefault(batch, []).append(Place(*place))
        return list(batches.values())

    def _insert(self, acts: Iterable[Act]) -> None:
        rows = [_row(act) for act in acts]
        marks = ", ".join("?" * len(COLUMNS.split(",")))
        self._db.executemany(f"INSERT INTO {self._labels} ({COLUMNS}) VALUES ({marks})", rows)

    def _standing(self, who: str | None, draft_id: str | None = None) -> list[Act]:
        if not self._has_tables():
            return []
        chosen = [(name, value) for name, value in (("who", who), ("id", draft_id)) if value is not None]
        where = "".join(f" AND {name} = ?" for name, _ in chosen)
        rows = self._db.execute(
            f"SELECT {COLUMNS}, number FROM {self._labels} WHERE act != 'undo' AND number NOT IN"
            f" (SELECT withdraws FROM {self._labels} WHERE act = 'undo'){where} ORDER BY number",
            [value for _, value in chosen],
        )
        return [act_of(row) for row in rows]

    def _has_tables(self) -> bool:
        return bool(self._db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (self._labels,)).fetchone())

    def _trouble(self, error: Exception) -> DamageError | StorageError:
        trouble = super()._trouble(error)
        if isinstance(trouble, StorageError):
            return StorageError(
                what=trouble.what,
                why="a label that is not on disk would be lost; every label before it is safe",
                do="free space, mend the permissions or end what keeps the file busy, then label again: it resumes",
            )
        return trouble


def labels(out: str | Path) -> pl.DataFrame:
    """What people said of the texts in an output directory: one row per person and text.

    Columns `id, facet, who, level, drawn, probability, at, text_sha256, release, rubric_sha256`, in the order in
    which they came. Withdrawn labels and skips are left out; of two labels by one person for one text the later
    counts. `drawn` is `random` where the draw at random came to the text, whoever labelled it before in active mode;
    `probability` is then the share of the facet's texts that the draw has come to, the same for all of them. Without
    labels the frame is empty. Raises OutputError where `out` is not an output directory.
    """
    with LabelBook(Output.existing(out).ledger_path, read_only=True) as book:
        acts = book.acts()
    counted = [_counted(act, drawn, reached) for act, drawn, reached in _standing_labels(acts)]
    return pl.DataFrame(counted, schema=dict(LABELS), orient="row")


def standing(acts: Iterable[Act]) -> dict[tuple[str, str], Act]:
    """(who, id) -> the label that counts, of acts in their order."""
    return {(act.who, act.place.id): act for act in acts if act.act == "label"}


def text_sum(messages: Sequence[Mapping[str, str]]) -> str:
    """SHA-256 of a conversation, hexadecimal: of the JSON of [[role, content], …] in UTF-8, without blanks."""
    turns = [[message["role"], message["content"]] for message in messages]
    return sha256(json.dumps(turns, ensure_ascii=True, separators=(",", ":")).encode()).hexdigest()


def depths(acts: Iterable[Act]) -> dict[tuple[str, str], float]:
    """(release, facet) -> the share of the facet's texts that the draw at random has come to."""
    reached: dict[tuple[str, str], float] = {}
    for act in acts:
        if act.place.drawn == "random" and act.place.probability is not None:
            key = act.place.release, act.place.facet
            reached[key] = max(reached.get(key, 0.0), act.place.probability)
    return reached


def _standing_labels(acts: Sequence[Act]) -> Iterable[tuple[Act, Place, dict[tuple[str, str], float]]]:
    """The labels that count, each with its draw: once drawn at random, a text stays so for its labeller."""
    at_random = {(act.who, act.place.id): act.place for act in acts if act.place.drawn == "random"}
    reached = depths(acts)
    found = sorted(standing(acts).items(), key=lambda item: item[1].number)
    return [(act, at_random.get(key, act.place), reached) for key, act in found]


def _counted(act: Act, drawn: Place, reached: Mapping[tuple[str, str], float]) -> tuple[object, ...]:
    probability = reached[drawn.release, drawn.facet] if drawn.drawn == "random" else drawn.probability
    at = datetime.fromisoformat(act.at)
    head = act.place.id, act.place.facet, act.who, act.level, drawn.drawn, probability, at
    return *head, act.text_sha256, drawn.release, act.rubric_sha256


COLUMNS = "act, id, facet, drawn, probability, release, who, text_sha256, rubric_sha256, level, seconds, withdraws, at"


def _row(act: Act) -> tuple[object, ...]:
    place = act.place.id, act.place.facet, act.place.drawn, act.place.probability, act.place.release
    said = act.who, act.text_sha256, act.rubric_sha256, act.level, act.seconds, act.withdraws
    return act.act, *place, *said, _now()


def act_of(row: Sequence[Any]) -> Act:
    return Act(row[0], Place(*row[1:6]), *row[6:])


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
