"""What is asked for: a directory of TOML files, read once, checked, frozen."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from thousandfold import prompts

from .errors import RecipeError
from .sealed import check_heldout, occurs, sealed_levels, sealing_key, withheld_tuples
from .settings import (
    Axis,
    BudgetSettings,
    JudgeSettings,
    Price,
    Rubric,
    Settings,
    TeacherSettings,
    checked,
)
from .tables import RESERVED_AXES

__all__ = [
    "Axis",
    "BudgetSettings",
    "JudgeSettings",
    "Price",
    "Recipe",
    "Rubric",
    "Settings",
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

    `overrides` maps dotted keys (`teacher.model`) to values; `names` says how such a key is called where it
    was given (`--teacher`). Raises RecipeError naming file, key and value.
    """
    folder = _folder(Path(path))
    files = _read_files(folder)
    table = _toml(folder / "recipe.toml", files["recipe.toml"])
    for dotted, value in (overrides or {}).items():
        _lay(table, dotted, value)
    spoken = {key: (names or {}).get(key, key) for key in overrides or {}}
    settings = checked(Settings, table, folder / "recipe.toml", spoken=spoken)
    for key, name in _named_files(settings):
        files = _with_file(files, folder, key, name)
    axes_table = _toml(folder / "axes.toml", files["axes.toml"])
    axes = {name: checked(Axis, axis, folder / "axes.toml", name) for name, axis in axes_table.items()}
    rubrics = _rubrics(folder, files)
    if "facet" not in axes:
        # The value is an axis like any other; a recipe that names none plans over its rubrics.
        axes["facet"] = Axis(levels={facet: rubric.definition for facet, rubric in rubrics.items()})
    recipe = Recipe(path=folder, settings=settings, axes=axes, rubrics=rubrics, files=files)
    _check_names(recipe)
    _check_references(recipe)
    return recipe


def _folder(path: Path) -> Path:
    folder = path.parent if path.name == "recipe.toml" else path
    try:
        trouble = "holds no recipe.toml" if folder.exists() else "does not exist"
        found = (folder / "recipe.toml").is_file()
    except OSError as error:  # not permitted, or no possible path
        trouble, found = f"cannot be read: {error.strerror}", False
    if not found:
        raise RecipeError(
            what=f"the recipe {str(path)!r} {trouble}",
            why="a recipe is a directory with recipe.toml, axes.toml, seeds/ and values/",
            do="give the path of one, or write a starter with `thousandfold init DIR`",
        )
    return folder


def _read_files(folder: Path) -> dict[str, bytes]:
    """relative path -> content of every file that is part of the recipe, sorted; hidden files are not."""
    found = {folder / "recipe.toml", folder / "axes.toml"}
    for pattern in ("seeds/*.md", "seeds/*.jsonl", "values/*.toml", "prompts/*.md"):
        found.update(path for path in folder.glob(pattern) if not path.name.startswith("."))
    names = {path.relative_to(folder).as_posix(): path for path in sorted(found)}
    for name, path in names.items():
        if not name.isprintable():
            raise RecipeError(
                what=f"{folder} holds a file with the name {name!r}",
                why="the release keeps the recipe's files by name, in UTF-8",
                do="rename the file",
            )
        if name.startswith("prompts/") and path.stem not in prompts.NAMES:
            raise RecipeError(
                what=f"{path} is named after no question",
                why="a prompt that is not read would be silently without effect",
                do=f"name it after the question it words: {', '.join(f'{name}.md' for name in prompts.NAMES)}",
            )
    return {name: _bytes(path) for name, path in names.items()}


def _named_files(settings: Settings) -> Iterator[tuple[str, str]]:
    """(key, file) of the files with texts to compare with."""
    if settings.tics.reference is not None:
        yield "tics.reference", settings.tics.reference
    yield from ((f"filters.benchmarks.{name}", file) for name, file in settings.filters.benchmarks.items())


def _with_file(files: dict[str, bytes], folder: Path, key: str, name: str) -> dict[str, bytes]:
    """The files with one that a setting names, so that its content is part of the recipe, its hash and its releases."""
    if name in files:
        return files
    parts = Path(name).parts
    if Path(name).is_absolute() or ".." in parts or not name.isprintable() or Path(name).as_posix() != name:
        raise RecipeError(
            what=f"{folder / 'recipe.toml'}: {key} = {name!r} is no file in the recipe's directory",
            why="the release keeps the recipe's files, so that it can be made again",
            do="copy the file there and give its path from there, such as reference/texts.jsonl",
        )
    return dict(sorted({**files, name: _bytes(folder / name)}.items()))


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise RecipeError(
            what=f"{path} is missing",
            why="a recipe needs it to say what contexts and values there are",
            do="write it, or copy one from a starter made by `thousandfold init DIR`",
        ) from None
    except OSError as error:
        raise RecipeError(
            what=f"{path} cannot be read: {error.strerror}",
            why="the recipe is read before anything is asked",
            do="check the file's kind and permissions",
        ) from error


def _toml(path: Path, data: bytes) -> dict[str, Any]:
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise RecipeError(
            what=f"{path}:{line} is not UTF-8: byte 0x{data[error.start]:02x}",
            why="TOML files are UTF-8",
            do="save the file as UTF-8",
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(
            what=f"{path} is not valid TOML: {error}",
            why="nothing in it can be trusted until it parses",
            do="mend that line",
        ) from error


def _lay(table: dict[str, Any], dotted: str, value: Any) -> None:
    *parents, last = dotted.split(".")
    for parent in parents:
        table = table.setdefault(parent, {})
        if not isinstance(table, dict):
            return  # a table is expected here: the check names what stands in its place
    table[last] = value


def load_rubric(path: Path) -> Rubric:
    """One `values/*.toml`. Raises RecipeError naming file, key and value."""
    return checked(Rubric, _toml(path, _bytes(path)), path)


def _rubrics(folder: Path, files: Mapping[str, bytes]) -> dict[str, Rubric]:
    rubrics: dict[str, Rubric] = {}
    for name, data in files.items():
        if not name.startswith("values/"):
            continue
        path = folder / name
        rubric = checked(Rubric, _toml(path, data), path)
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
