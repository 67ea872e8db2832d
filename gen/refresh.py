"""The cron door: `run` again, and say what changed. Resumes, refills, and releases only what is new."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import api
from .output import Output
from .pipeline import OK, QUOTAS_NOT_MET, output_path
from .recipe import load


def refresh(recipe: str | Path, **options: Any) -> dict[str, Any]:
    """Runs the recipe through its ledger; the run's summary plus what changed since the release before.

    Adds `changed`, `previous` (name or None), and the counts `added`, `removed`, `unchanged` of exemplars.
    `exit` is 4 only where a shortfall is new: one that the release before had too is known already.
    """
    before = _standing(output_path(load(recipe), options.get("out")))
    run = api.run(recipe, **options)
    name = before.summary["name"] if before else None
    old = set(before.exemplars["id"]) if before else set()
    new = set(run.exemplars["id"]) if run.release else old
    known = before is not None and _shortness(run) == _shortness(before)
    return {
        **run.summary,
        "changed": run.release is not None and run.release.name != name,
        "previous": name,
        "added": len(new - old),
        "removed": len(old - new),
        "unchanged": len(old & new),
        "exit": OK if run.summary["exit"] == QUOTAS_NOT_MET and known else run.summary["exit"],
    }


def _standing(out: Path) -> api.Run | None:
    """The latest release before this refresh, or None."""
    output = Output(out)
    if not output.ledger_path.is_file() or output.latest() is None:
        return None
    return api.load(out)


def _shortness(run: api.Run) -> tuple[Any, int]:
    """What is lacking: quotas by level, and exemplars in all."""
    return run.summary["shortfalls"], run.summary["size"] - run.summary["accepted"]
