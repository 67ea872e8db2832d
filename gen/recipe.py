"""What is asked for: a directory of TOML files, read once, checked, frozen."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from thousandfold import prompts

from .errors import RecipeError
from .recipe_files import bytes_of, folder_of, named_files, read_files, toml_of, with_file
from .sealed import check_heldout, occurs, sealed_levels, sealing_key, withheld_tuples
from .settings import (
    Axis,
    BudgetSettings,
    JudgeSettings,
    Price,
    Rubric,
    Settings,
    ShareSettings,
    TeacherSettings,
    checked,
)
from .staff import check_judges, check_teachers, settle_judges, settle_teachers
from .tables import RESERVED_AXES

__all__ = [
    "Axis",
    "BudgetSettings",
    "JudgeSettings",
    "Price",
    "Recipe",
    "Rubric",
    "Settings",
    "ShareSettings",
    "TeacherSettings",
    "load",
    "load_rubric",
]

_AXIS = re.compile(r"[^\W_][\w -]{0,63}")


class Recipe:
    """A recipe directory, read and checked. Immutable."""

    def __init__(
        self,
        *,
        path: Path,
        settings: Settings,
        axes: Mapping[str, Axis],
        rubrics: Mapping[str, Rubric],
        files: Mapping[str, bytes],
    ) -> None:
        self.path = path
        self.settings = settings
        self.axes = axes
        self.rubrics = rubrics
        self.files = files  # relative path -> content, sorted: what was read, whatever becomes of it on disk
        self.prompts = {name: _prompt(name, path / "prompts") for name in prompts.NAMES}

    @cached_property
    def teachers(self) -> tuple[ShareSettings, ...]:
        """Who writes: the recipe's [[teachers]], or the one of [teacher]."""
        alone = ShareSettings(**self.settings.teacher.model_dump())
        return self.settings.teachers or (alone,)

    @cached_property
    def judges(self) -> tuple[JudgeSettings, ...]:
        """Who may judge: the recipe's [[judges]], or the one of [judge]."""
        return self.settings.judges or (self.settings.judge,)

    @cached_property
    def levels(self) -> dict[str, list[str]]:
        """axis -> its levels, in the recipe's order."""
        return {name: list(axis.levels) for name, axis in self.axes.items()}

    @cached_property
    def train_levels(self) -> dict[str, list[str]]:
        """axis -> the levels that training may see."""
        return {name: [x for x in ls if x not in self.sealed_of(name)] for name, ls in self.levels.items()}

    @cached_property
    def sealed(self) -> dict[str, dict[str, tuple[str, ...]]]:
        """Held-out set -> axis -> the levels that only this set sees."""
        return sealed_levels(self.settings, self.levels)

    def sealed_of(self, axis: str) -> tuple[str, ...]:
        """The levels of the axis that training never sees."""
        return tuple(level for sealed in self.sealed.values() for level in sealed.get(axis, ()))

    @cached_property
    def withheld(self) -> tuple[Mapping[str, str], ...]:
        """Tuples of levels that training sees apart but never together."""
        rules = [rule for rule in self._named if occurs(rule, self.train_levels)]
        return withheld_tuples(self.settings, self.train_levels, rules)

    @cached_property
    def never(self) -> list[Mapping[str, str]]:
        """Combinations that no context for training holds: forbidden, without the value, or withheld."""
        return [*self._named, *self.withheld]

    @property
    def _named(self) -> list[Mapping[str, str]]:
        return [*self.settings.contexts.forbid, *self.settings.heldout.control]

    @cached_property
    def sha256(self) -> str:
        digest = sha256()
        for name, content in self.files.items():
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
        return digest.hexdigest()


def load(
    path: str | Path, overrides: Mapping[str, Any] | None = None, *, names: Mapping[str, str] | None = None
) -> Recipe:
    """The recipe at `path` (the directory or its recipe.toml), with `overrides` laid over its settings.

    `overrides` maps dotted keys (`run.concurrency`) to values, `teachers` and `judges` to the models that write and
    judge in place of the recipe's; `names` says how such a key is called where it was given (`--concurrency`). Raises
    RecipeError naming file, key and value.
    """
    folder = folder_of(Path(path))
    files = read_files(folder)
    table = toml_of(folder / "recipe.toml", files["recipe.toml"])
    for dotted, value in (overrides or {}).items():
        if dotted not in ("teachers", "judges"):
            _lay(table, dotted, value)
    table = settle_teachers(table, (overrides or {}).get("teachers"), folder / "recipe.toml")
    table = settle_judges(table, (overrides or {}).get("judges"), folder / "recipe.toml")
    spoken = {key: (names or {}).get(key, key) for key in overrides or {}}
    settings = checked(Settings, table, folder / "recipe.toml", spoken=spoken)
    check_teachers(settings, folder / "recipe.toml")
    check_judges(settings, folder / "recipe.toml")
    for key, name in named_files(settings):
        files = with_file(files, folder, key, name)
    axes_table = toml_of(folder / "axes.toml", files["axes.toml"])
    axes = {name: checked(Axis, axis, folder / "axes.toml", name) for name, axis in axes_table.items()}
    rubrics = _rubrics(folder, files)
    if "facet" not in axes:
        # The value is an axis like any other; a recipe that names none plans over its rubrics.
        axes["facet"] = Axis(levels={facet: rubric.definition for facet, rubric in rubrics.items()})
    recipe = Recipe(path=folder, settings=settings, axes=axes, rubrics=rubrics, files=files)
    _check_names(recipe)
    _check_references(recipe)
    return recipe


def _lay(table: dict[str, Any], dotted: str, value: Any) -> None:
    *parents, last = dotted.split(".")
    for parent in parents:
        table = table.setdefault(parent, {})
        if not isinstance(table, dict):
            return  # a table is expected here: the check names what stands in its place
    table[last] = value


def load_rubric(path: Path) -> Rubric:
    """One `values/*.toml`. Raises RecipeError naming file, key and value."""
    return checked(Rubric, toml_of(path, bytes_of(path)), path)


def _rubrics(folder: Path, files: Mapping[str, bytes]) -> dict[str, Rubric]:
    rubrics: dict[str, Rubric] = {}
    for name, data in files.items():
        if not name.startswith("values/"):
            continue
        path = folder / name
        rubric = checked(Rubric, toml_of(path, data), path)
        if rubric.facet in rubrics:
            raise RecipeError(
                what=f"{path}: facet = {rubric.facet!r} has a rubric already",
                why="scores are per facet, each with one rubric",
                do="rename the facet or delete one of the two files",
            )
        rubrics[rubric.facet] = rubric
    if not rubrics:
        raise RecipeError(
            what=f"{folder / 'values'} holds no rubric (*.toml)",
            why="without one nobody can say what the exemplars should express",
            do="write values/<facet>.toml, or copy one from `thousandfold init DIR`",
        )
    return rubrics


def _prompt(name: str, overrides: Path) -> prompts.Prompt:
    try:
        return prompts.load(name, overrides=overrides)
    except prompts.PromptError as error:
        raise RecipeError(what=error.what, why=error.why, do=error.do) from error


def _check_names(recipe: Recipe) -> None:
    """An axis becomes a column, and stands with its level on one line of a card: `axis: level`."""
    path = recipe.path / "axes.toml"
    for axis, levels in recipe.levels.items():
        if axis in RESERVED_AXES:
            raise RecipeError(
                what=f"{path}: an axis is called {axis!r}",
                why="tables have a column of that name already",
                do="choose another name for the axis",
            )
        if not _AXIS.fullmatch(axis):
            raise RecipeError(
                what=f"{path}: an axis is called {axis!r}",
                why="it becomes a column of tables and the start of a line `axis: level`",
                do="name it in letters, digits, blanks, dashes and underscores, beginning with a letter or digit",
            )
        for level in levels:
            if not level.isprintable() or not level or level != level.strip():
                raise RecipeError(
                    what=f"{path}: {axis} has the level {level!r}",
                    why="it stands on one line `axis: level` of what a teacher is shown",
                    do="name it on one line, without blanks at its ends or characters that do not show",
                )


def _check_references(recipe: Recipe) -> None:
    """Every axis and level that the settings name must exist, and can do what is asked of it."""
    path, settings = recipe.path / "recipe.toml", recipe.settings
    for index, forbidden in enumerate(settings.contexts.forbid):
        _check_levels(recipe, {axis: [level] for axis, level in forbidden.items()}, f"{path}: contexts.forbid.{index}")
    heldout = settings.heldout
    for key, sealed in (("levels", heldout.levels), ("far", heldout.far)):
        _check_levels(recipe, sealed or {}, f"{path}: heldout.{key}")
    for key, partials in (("tuples", heldout.tuples), ("control", heldout.control)):
        for index, partial in enumerate(partials or ()):
            named = {axis: [level] for axis, level in partial.items()}
            _check_levels(recipe, named, f"{path}: heldout.{key}.{index}")
    _check_levels(recipe, settings.selection.quotas, f"{path}: selection.quotas")
    check_heldout(path, settings, recipe.levels, recipe.sealed)
    _check_quotas(recipe, path)
    for facet in recipe.axes["facet"].levels:
        if facet not in recipe.rubrics:
            raise RecipeError(
                what=f"{recipe.path / 'axes.toml'}: facet has the level {facet!r}, which has no rubric",
                why="drafts of it could not be asked for or judged",
                do=f"write values/<name>.toml with facet = {facet!r}; there are {', '.join(recipe.rubrics)}",
            )


def _check_quotas(recipe: Recipe, path: Path) -> None:
    settings = recipe.settings
    for axis, quotas in settings.selection.quotas.items():
        for level in quotas:
            if level not in recipe.train_levels[axis]:
                raise RecipeError(
                    what=f"{path}: selection.quotas asks for {axis} = {level!r}, "
                    f"which {sealing_key(recipe.sealed, axis, level)} seals",
                    why="a sealed level is never in training, so the quota cannot be met",
                    do="take it out of one of the two",
                )
        total = sum(quotas.values())
        if total > settings.size:
            raise RecipeError(
                what=f"{path}: selection.quotas of {axis!r} sum to {total}, past the size {settings.size}",
                why="each exemplar has one level of an axis, so they cannot all be met",
                do=f"lower them to {settings.size} in all, or ask for a size of {total}",
            )


def _check_levels(recipe: Recipe, named: Mapping[str, Iterable[str]], place: str) -> None:
    for axis, levels in named.items():
        if axis not in recipe.axes:
            raise RecipeError(
                what=f"{place} names the axis {axis!r}, which does not exist",
                why="a setting about an unknown axis would be without effect",
                do=f"use one of {', '.join(recipe.axes)}, or add it to axes.toml",
            )
        for level in levels:
            if level not in recipe.axes[axis].levels:
                raise RecipeError(
                    what=f"{place} names the level {level!r}, which {axis} does not have",
                    why="a setting about an unknown level would be without effect",
                    do=f"use one of {', '.join(recipe.axes[axis].levels)}, or add it to axes.toml",
                )
