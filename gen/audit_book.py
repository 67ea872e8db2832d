"""Audits of releases: the plans, the draws and the fresh labels, in tables of their own beside calibration's.

A label of an audit is never one of `labels`: calibration may not learn from texts that were drawn from what it let
through, and an audit may not count what was said before its draw.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from .errors import RecipeError
from .labelbook import COLUMNS, Act, LabelBook, Place, act_of, append_only

Rule = Literal["fixed", "stop_early"]

_PLANS = (
    """
CREATE TABLE IF NOT EXISTS audit_plans (    -- of several for one release the last counts; none comes after a label
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    release TEXT NOT NULL,
    content_sha256 TEXT NOT NULL,
    rule TEXT NOT NULL CHECK (rule IN ('fixed', 'stop_early')),
    size INTEGER NOT NULL,
    shipped INTEGER NOT NULL,
    target REAL NOT NULL,
    good_from REAL NOT NULL,
    who TEXT NOT NULL,                      -- JSON list of names; empty: the first label of each text counts
    at TEXT NOT NULL
)""",
    """
CREATE TABLE IF NOT EXISTS audit_draws (
    plan INTEGER NOT NULL REFERENCES audit_plans (number),
    place INTEGER NOT NULL,                 -- in the order of the draw, from 0
    id TEXT NOT NULL,
    facet TEXT NOT NULL,
    PRIMARY KEY (plan, place)
) WITHOUT ROWID""",
)


@dataclass(frozen=True)
class AuditPlan:
    """What was fixed before the first label.

    rule       fixed: a bound once all `size` texts are labelled; stop_early: of at most `size`, one at any time
    shipped    exemplars of the release, from which was drawn
    target     share of good texts that is hoped for; decides nothing but what is said
    good_from  mean level from which a text is good
    who        whose labels count; none: the first label of each text, whoever gave it
    """

    release: str
    content_sha256: str
    rule: Rule
    size: int
    shipped: int
    target: float
    good_from: float
    who: tuple[str, ...]
    at: str = ""
    number: int = 0

    @property
    def terms(self) -> tuple[object, ...]:
        return self.rule, self.size, self.target, self.good_from, self.who


class AuditBook(LabelBook):
    """The fresh labels of one release's audit, and the plans of all."""

    _labels, _draws, _claims = "audit_labels", "audit_label_draws", "audit_label_claims"

    def __init__(self, path: Path, release: str, *, read_only: bool = False) -> None:
        super().__init__(path, read_only=read_only)
        self.release = release

    def _schema(self) -> list[str]:
        return [*super()._schema(), *_PLANS, *append_only("audit_plans", "audit_draws")]

    def plan(self) -> AuditPlan | None:
        """What stands for this release."""
        plans = [plan for plan in self.plans() if plan.release == self.release]
        return plans[-1] if plans else None

    def plans(self) -> list[AuditPlan]:
        """Of every release, oldest first, those that were replaced too."""
        with self._lock, self._guarded():
            if not self._has_tables():
                return []
            rows = self._db.execute(
                "SELECT release, content_sha256, rule, size, shipped, target, good_from, who, at, number"
                " FROM audit_plans ORDER BY number"
            ).fetchall()
        return [_plan(row) for row in rows]

    def fix(self, plan: AuditPlan, drawn: Sequence[tuple[str, str]]) -> None:
        """Notes a plan and its draw (id, facet). Raises RecipeError where a label was given under another one."""
        with self._writing():
            if self._db.execute(
                "SELECT 1 FROM audit_labels WHERE release = ? AND act = 'label'", (plan.release,)
            ).fetchone():
                raise RecipeError(
                    what=f"the audit of release {plan.release} cannot be planned anew: its first label is there",
                    why="a size or a rule that is chosen after labels were seen makes the bound wrong",
                    do="finish it as it was planned: `thousandfold judge audit OUT` says how",
                )
            row = (*_values(plan), datetime.now(UTC).isoformat(timespec="milliseconds"))
            number = self._db.execute(
                "INSERT INTO audit_plans (release, content_sha256, rule, size, shipped, target, good_from, who, at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            ).lastrowid
            self._db.executemany(
                "INSERT INTO audit_draws VALUES (?, ?, ?, ?)",
                [(number, place, *text) for place, text in enumerate(drawn)],
            )

    def drawn(self, plan: AuditPlan) -> list[Place]:
        """The texts of a plan, in the order of the draw."""
        with self._lock, self._guarded():
            rows = self._db.execute(
                "SELECT id, facet FROM audit_draws WHERE plan = ? ORDER BY place", (plan.number,)
            ).fetchall()
        share = plan.size / plan.shipped
        return [Place(draft_id, facet, "random", share, plan.release) for draft_id, facet in rows]

    def log(self) -> list[Act]:
        """Every act of this release's audit, withdrawn ones and their undoing too, in the order in which they came."""
        with self._lock, self._guarded():
            if not self._has_tables():
                return []
            rows = self._db.execute(
                f"SELECT {COLUMNS}, number FROM audit_labels WHERE release = ? ORDER BY number", (self.release,)
            ).fetchall()
        return [act_of(row) for row in rows]

    def given_out(self) -> list[list[Place]]:
        """The sheets of this release's audit."""
        return [batch for batch in super().given_out() if batch[0].release == self.release]

    def _standing(self, who: str | None, draft_id: str | None = None) -> list[Act]:
        return [act for act in super()._standing(who, draft_id) if act.place.release == self.release]


def _plan(row: Sequence[Any]) -> AuditPlan:
    names = [field.name for field in fields(AuditPlan)]
    return AuditPlan(**{**dict(zip(names, row, strict=True)), "who": tuple(json.loads(row[7]))})


def _values(plan: AuditPlan) -> tuple[object, ...]:
    head = plan.release, plan.content_sha256, plan.rule, plan.size, plan.shipped, plan.target, plan.good_from
    return *head, json.dumps(plan.who)
