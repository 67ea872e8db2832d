"""Several teachers or judges in a recipe: which tables say who writes and judges, and what cannot be meant."""

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
    return _settled(table, given, path, "teacher", "says who writes")


def settle_judges(table: dict[str, Any], given: Sequence[str] | None, path: Path) -> dict[str, Any]:
    """The same of [judge] and [[judges]]."""
    return _settled(table, given, path, "judge", "says who judges")


def _settled(table: dict[str, Any], given: Sequence[str] | None, path: Path, one: str, does: str) -> dict[str, Any]:
    many = f"{one}s"
    several = table.get(many)
    if given is None:
        if several is not None and one in table:
            raise RecipeError(
                what=f"{path}: [{one}] and [[{many}]] both {does.replace('says', 'say')}",
                why="only one of them could be followed",
                do=f"move what [{one}] says into a [[{many}]] table of its own",
            )
        return table
    tables = [part for part in several if isinstance(part, dict)] if isinstance(several, list) else []
    alone = table.get(one, tables[0] if len(tables) == 1 else {})
    if not isinstance(alone, dict):
        return table  # the check names what stands in place of a table
    named = [{**next((t for t in tables if t.get("model") == spec), alone), "model": spec} for spec in given]
    for part in named:
        part.pop("share", None)
    rest = {key: value for key, value in table.items() if key not in (one, many)}
    return {**rest, one: named[0]} if len(named) == 1 else {**rest, many: named}


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


def check_judges(settings: Settings, path: Path) -> None:
    """Raises RecipeError where a panel has no model in a place, or one twice, or its rule wants more than it has."""
    names = [judge.model for judge in settings.judges]
    if None in names or "none" in names:
        raise RecipeError(
            what=f"{path}: judges.{[name in (None, 'none') for name in names].index(True)} names no model",
            why="each of several judges gives a level of its own",
            do='give each [[judges]] a model, or write [judge] with model = "none" to run unjudged',
        )
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise RecipeError(
            what=f"{path}: judges names the model {twice[0]!r} twice",
            why="its opinion would count twice, and replies are kept under a model's name",
            do="name it once; for more opinions of one judge raise its samples",
        )
    least, count = settings.panel.least, max(1, len(names))
    if least is not None and least > count:
        raise RecipeError(
            what=f"{path}: panel.least = {least}, with {count} judge{'' if count == 1 else 's'}",
            why="no text could ever have so many levels, so all would be unscored",
            do=f"give {count} or less, or name more [[judges]]",
        )
