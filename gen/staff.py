"""Several teachers in a recipe: which tables say who writes, and what cannot be meant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .errors import RecipeError
from .settings import Settings


def settle_teachers(table: dict[str, Any], given: Sequence[str] | None, path: Path) -> dict[str, Any]:
    """The recipe's table, in which either [teacher] or [[teachers]] says who writes.

    `given` are models that an option named in place of the recipe's. Each has the settings of the table with its model,
    or of [teacher], or of the only one there is; several have equal shares. Raises RecipeError where a recipe has both
    tables.
    """
    several = table.get("teachers")
    if given is None:
        if several is not None and "teacher" in table:
            raise RecipeError(
                what=f"{path}: [teacher] and [[teachers]] both say who writes",
                why="only one of them could be followed",
                do="move what [teacher] says into a [[teachers]] table of its own, with its share",
            )
        return table
    tables = [part for part in several if isinstance(part, dict)] if isinstance(several, list) else []
    one = table.get("teacher", tables[0] if len(tables) == 1 else {})
    if not isinstance(one, dict):
        return table  # the check names what stands in place of a table
    named = [{**next((t for t in tables if t.get("model") == spec), one), "model": spec} for spec in given]
    for part in named:
        part.pop("share", None)
    rest = {key: value for key, value in table.items() if key not in ("teacher", "teachers")}
    return {**rest, "teacher": named[0]} if len(named) == 1 else {**rest, "teachers": named}


def check_teachers(settings: Settings, path: Path) -> None:
    """Raises RecipeError where two teachers are one model, or a cap leaves no way to fill a release."""
    counts = Counter(teacher.model for teacher in settings.teachers)
    twice = [model for model, count in counts.items() if count > 1]
    if twice:
        raise RecipeError(
            what=f"{path}: teachers names the model {twice[0]!r} twice",
            why="a reply is kept under its model's name, so they would be one teacher",
            do="give it one [[teachers]] table, with the share of both",
        )
    cap, writers = settings.selection.teacher_cap, max(1, len(settings.teachers))
    if cap * writers < 1:
        raise RecipeError(
            what=f"{path}: selection.teacher_cap = {cap:g}, with {writers} teacher{'' if writers == 1 else 's'}",
            why=f"together they may write {cap * writers:.0%} of a release, so that it could never be full",
            do=f"give {1 / writers:.3g} or more, or name more teachers",
        )
