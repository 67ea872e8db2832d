"""The common options of every command and library call: which setting of the recipe each one replaces."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .recipe import Recipe, load

SETTINGS: Mapping[str, str] = {
    "size": "size",
    "seed": "seed",
    "teacher": "teachers",
    "judge": "judges",
    "budget": "budget.usd",
    "budget_tokens": "budget.tokens",
    "concurrency": "run.concurrency",
}
"""Option -> the setting of the recipe that it replaces."""

NOT_SETTINGS = frozenset({"out", "offline", "on_event", "stop"})
"""Options that say how to run, and stand in no recipe."""


def load_with(recipe: str | Path, options: Mapping[str, Any], names: Mapping[str, str] | None = None) -> Recipe:
    """The recipe with `options` laid over its settings; `names` says how an option is called in messages.

    Raises RecipeError for a value that does not fit, TypeError for an option that does not exist.
    """
    for name in options:
        if name not in SETTINGS and name not in NOT_SETTINGS:
            raise TypeError(
                f"unexpected keyword argument {name!r}; the options are {', '.join(SETTINGS)}, out, offline"
            )
    # An empty tuple: a command line on which an option that may be repeated is not given at all.
    given = {name: value for name, value in options.items() if name in SETTINGS and value is not None and value != ()}
    overrides = {SETTINGS[name]: _written(name, value) for name, value in given.items()}
    return load(recipe, overrides, names={setting: (names or {}).get(name, name) for name, setting in SETTINGS.items()})


def _written(name: str, value: Any) -> Any:
    """`value` as it could stand in recipe.toml: of a model that was given as an object, just that it was."""
    if name in ("teacher", "judge"):
        several = models_in(value)
        return [_named(one, place if len(several) > 1 else 0) for place, one in enumerate(several, start=1)]
    return value


def _named(model: Any, place: int) -> str:
    return model if isinstance(model, str) else f"given in code ({place})" if place else "given in code"


def models_in(value: Any) -> list[Any]:
    """The option `teacher` or `judge` as a list: one model, or several."""
    return list(value) if isinstance(value, list | tuple) else [value]
