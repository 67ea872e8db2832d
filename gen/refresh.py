"""The cron door: `run` again, and say what changed. Resumes, refills, and releases only what is new."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import api
from .output import Output
from .pipeline import OK, QUOTAS_NOT_MET, output_for
from .recipe import load


def refresh(recipe: str | Path, **options: Any) -> dict[str, Any]:
    """Runs the recipe through its ledger; the run's summary plus what changed since the release before.

    Adds `changed`, `previous` (name or None), and the counts `added`, `removed`, `unchanged` of exemplars.
    `exit` is 4 only where a shortfall is new: one that the release before had too is known already.
    """
    loaded = load(recipe)
    output = output_for(loaded, options.get("out"))
    before = _standing(output)
    run = api.run(recipe, **options)
    old = set(before.exemplars["id"]) if before else set()
    new = set(run.exemplars["id"]) if run.release else old
    known = before.summary["shortfalls"] if before else []
    short_again = run.summary["exit"] == QUOTAS_NOT_MET and run.summary["shortfalls"] == known and before is not None
    return {
        **run.summary,
        "changed": bool(run.summary["new"]),
        "previous": before.summary["name"] if before else None,
        "added": len(new - old),
        "removed": len(old - new),
        "unchanged": len(old & new),
        "exit": OK if short_again else run.summary["exit"],
    }


def _standing(output: Output) -> api.Run | None:
    """The latest release before this refresh, or None."""
    if not output.ledger_path.is_file() or output.latest() is None:
        return None
    return api.load(output.path)
