"""What is asked for: a directory of TOML files, read once, checked, frozen."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from thousandfold import prompts

from .errors import RecipeError
from .tables import RESERVED_AXES

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
"""Names that become part of a path: no separators, no leading dot or dash."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


PartT = TypeVar("PartT", bound=_Part)


class _ModelSettings(_Part):
    timeout_seconds: float = Field(default=600.0, gt=0)  # of one request; slow local servers need minutes
    attempts: int = Field(default=6, ge=1, le=50)
    structured: Literal["json_schema", "json_object", "text"] = "json_schema"


class TeacherSettings(_ModelSettings):
    model: str = "rehearsal"
    temperature: float | None = Field(default=None, ge=0, le=2)  # None: the provider's own default
    max_tokens: int = Field(default=2048, ge=16)


class JudgeSettings(_ModelSettings):
    # None: rehearsal judges rehearsal, and a real teacher runs unjudged; "none": unjudged in any case.
    model: str | None = None
    temperature: float | None = Field(default=0.0, ge=0, le=2)
    max_tokens: int = Field(default=1024, ge=16)
    samples: int = Field(default=1, ge=1, le=16)  # the level is the mean over so many asks
    evidence_from: float = Field(default=2.0, ge=0, le=4)  # spans are asked for texts of at least this level


class ContextSettings(_Part):
    strength: Literal["auto", 1, 2, 3, 4] = "auto"
    forbid: tuple[dict[str, str], ...] = ()


class HeldoutSettings(_Part):
    share: float = Field(default=0.1, ge=0, le=1)  # of size, on top of it
    levels: dict[str, tuple[str, ...]] = {}  # whole levels that training never sees


class DraftSettings(_Part):
    candidates: int = Field(default=4, ge=1, le=16)  # situations asked for; the most novel is kept
    redraws: int = Field(default=2, ge=0, le=5)  # of a context whose draft was dropped


class FilterSettings(_Part):
    near_duplicate_threshold: float = Field(default=0.7, gt=0, le=1)
    near_duplicate_ngram: int = Field(default=5, ge=1, le=50)
    max_echo_share: float = Field(default=0.3, gt=0, le=1)  # of an answer's 8-grams found in seed or prompt


class SelectionSettings(_Part):
    pool: float = Field(default=1.3, ge=1)  # kept drafts per exemplar wanted; selection needs a choice
    quota_share: float = Field(default=0.6, ge=0, le=1)  # least count of a level, as a share of its even part
    quotas: dict[str, dict[str, Annotated[int, Field(ge=0)]]] = {}  # least counts that replace the default


class RunSettings(_Part):
    max_rounds: int = Field(default=8, ge=1)
    concurrency: int = Field(default=64, ge=1, le=4096)


class BudgetSettings(_Part):
    usd: float | None = Field(default=None, gt=0)
    tokens: int | None = Field(default=None, gt=0)


class Price(_Part):
    """US dollars for a million tokens."""

    input: float = Field(ge=0)
    output: float = Field(ge=0)


class Settings(_Part):
    """`recipe.toml`."""

    name: str = Field(pattern=NAME)
    description: str = ""
    licence: str = "unknown"
    language: str = "en"
    size: int = Field(default=300, ge=1)
    seed: int = Field(default=1, ge=0, lt=2**31)
    teacher: TeacherSettings = TeacherSettings()
    judge: JudgeSettings = JudgeSettings()
    contexts: ContextSettings = ContextSettings()
    heldout: HeldoutSettings = HeldoutSettings()
    drafts: DraftSettings = DraftSettings()
    filters: FilterSettings = FilterSettings()
    selection: SelectionSettings = SelectionSettings()
    run: RunSettings = RunSettings()
    budget: BudgetSettings = BudgetSettings()
    prices: dict[str, Price] = {}


class Axis(_Part):
    description: str = ""
    levels: dict[str, str] = Field(min_length=1)  # level -> one line that a teacher can use


class Rubric(_Part):
    """`values/<facet>.toml`: what the value is, and how far a text may express it."""

    facet: str = Field(min_length=1)
    definition: str = Field(min_length=1)
    in_scope: str = ""
    why_item: str = ""
    hollow_twin: str = ""
    over_expression: str = ""
    triggers: tuple[str, ...] = ()  # for tests of a judge only, never for scoring
    levels: dict[Literal["0", "1", "2", "3", "4"], str] = Field(min_length=5, max_length=5)
    evidence: dict[str, str] = Field(min_length=1)  # item -> what a span must show


class Recipe:
    """A recipe directory, read and checked. Immutable."""

    def __init__(
        self,
        *,
        path: Path,
        settings: Settings,
        axes: Mapping[str, Axis],
        rubrics: Mapping[str, Rubric],
    ) -> None:
        self.path = path
        self.settings = settings
        self.axes = axes
        self.rubrics = rubrics
        self.prompts = {name: _prompt(name, path / "prompts") for name in prompts.NAMES}

    def with_settings(self, settings: Settings) -> Recipe:
        recipe = Recipe(path=self.path, settings=settings, axes=self.axes, rubrics=self.rubrics)
        _check_references(recipe)
        return recipe

    @cached_property
    def levels(self) -> dict[str, list[str]]:
        """axis -> its levels, in the recipe's order."""
        return {name: list(axis.levels) for name, axis in self.axes.items()}

    @cached_property
    def train_levels(self) -> dict[str, list[str]]:
        """axis -> the levels that training may see."""
        sealed = self.settings.heldout.levels
        return {name: [x for x in ls if x not in sealed.get(name, ())] for name, ls in self.levels.items()}

    @cached_property
    def files(self) -> dict[str, bytes]:
        """relative path -> content, of every file that is part of the recipe, sorted."""
        found = [self.path / "recipe.toml", self.path / "axes.toml"]
        for folder, patterns in (
            ("seeds", ("*.md", "*.jsonl")),
            ("values", ("*.toml",)),
            ("prompts", ("*.md",)),
        ):
            for pattern in patterns:
                found.extend(sorted((self.path / folder).glob(pattern)))
        return {
            str(file.relative_to(self.path).as_posix()): file.read_bytes() for file in sorted(found) if file.is_file()
        }

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
    table = _read_toml(folder / "recipe.toml")
    for dotted, value in (overrides or {}).items():
        _lay(table, dotted, value)
    spoken = {key: (names or {}).get(key, key) for key in overrides or {}}
    settings = _checked(Settings, table, folder / "recipe.toml", spoken=spoken)
    axes_table = _read_toml(folder / "axes.toml")
    axes = {name: _checked(Axis, axis, folder / "axes.toml", name) for name, axis in axes_table.items()}
    rubrics = _rubrics(folder)
    if "facet" not in axes:
        # The value is an axis like any other; a recipe that names none plans over its rubrics.
        axes["facet"] = Axis(levels={facet: rubric.definition for facet, rubric in rubrics.items()})
    recipe = Recipe(path=folder, settings=settings, axes=axes, rubrics=rubrics)
    _check_references(recipe)
    return recipe


def _folder(path: Path) -> Path:
    folder = path.parent if path.name == "recipe.toml" else path
    if not (folder / "recipe.toml").is_file():
        missing = "does not exist" if not folder.exists() else "holds no recipe.toml"
        raise RecipeError(
            what=f"the recipe {str(path)!r} {missing}",
            why="a recipe is a directory with recipe.toml, axes.toml, seeds/ and values/",
            do="give the path of one, or write a starter with `thousandfold init DIR`",
        )
    return folder


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8"))
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
            do="check the file's permissions",
        ) from error
    except UnicodeDecodeError as error:
        raise RecipeError(
            what=f"{path} is not UTF-8: byte {error.start} is 0x{error.object[error.start]:02x}",
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
    table[last] = value


def _checked(
    model: type[PartT], table: Any, path: Path, *prefix: str, spoken: Mapping[str, str] | None = None
) -> PartT:
    try:
        # Strict for types (a string is no number), but TOML's lists may become tuples: JSON mode allows just that.
        return model.model_validate_json(_json(table))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join([*prefix, *map(str, first["loc"])]) or "(the whole file)"
        if first["type"] == "extra_forbidden":
            raise RecipeError(
                what=f"{path}: unknown key {key} = {_seen(first['input'])}",
                why="a key that is not read would be silently without effect",
                do=_known_keys(model, first["loc"]),
            ) from None
        if first["type"] == "missing":
            raise RecipeError(
                what=f"{path}: {key} is missing", why="it has no default", do=f"write {key} = …"
            ) from None
        given = (spoken or {}).get(key)
        rule = first["msg"].removeprefix("Input should ").removeprefix("Value should ")
        rest = f"; {error.error_count() - 1} more problems after it" if error.error_count() > 1 else ""
        raise RecipeError(
            what=f"{given} = {_seen(first['input'])}" if given else f"{path}: {key} = {_seen(first['input'])}",
            why=f"it should {rule}{rest}" if rule != first["msg"] else f"it is refused: {rule}{rest}",
            do=f"give {given or key} a value that fits",
        ) from None


def _json(table: Any) -> str:
    return json.dumps(table, default=str)


def _seen(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"


def _known_keys(model: type[BaseModel], loc: tuple[int | str, ...]) -> str:
    part: Any = model
    for step in loc[:-1]:
        field = part.model_fields.get(str(step)) if isinstance(part, type) and issubclass(part, BaseModel) else None
        part = field.annotation if field is not None else None
    if isinstance(part, type) and issubclass(part, BaseModel):
        return f"use one of {', '.join(part.model_fields)}, or take it out"
    return "take it out"


def load_rubric(path: Path) -> Rubric:
    """One `values/*.toml`. Raises RecipeError naming file, key and value."""
    return _checked(Rubric, _read_toml(path), path)


def _rubrics(folder: Path) -> dict[str, Rubric]:
    rubrics: dict[str, Rubric] = {}
    for path in sorted((folder / "values").glob("*.toml")):
        rubric = load_rubric(path)
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


def _check_references(recipe: Recipe) -> None:
    """Every axis and level that the settings name must exist."""
    path = recipe.path / "recipe.toml"
    for name in recipe.axes:
        if name in RESERVED_AXES:
            raise RecipeError(
                what=f"{recipe.path / 'axes.toml'}: an axis is called {name!r}",
                why="tables have a column of that name already",
                do="choose another name for the axis",
            )
    settings = recipe.settings
    for index, forbidden in enumerate(settings.contexts.forbid):
        for axis, level in forbidden.items():
            _check_level(recipe, axis, level, f"{path}: contexts.forbid[{index}]")
    for axis, levels in settings.heldout.levels.items():
        for level in levels:
            _check_level(recipe, axis, level, f"{path}: heldout.levels")
        if not recipe.train_levels[axis]:
            raise RecipeError(
                what=f"{path}: heldout.levels seals every level of {axis!r}",
                why="then no context is left for training",
                do="leave at least one level unsealed",
            )
    for axis, quotas in settings.selection.quotas.items():
        for level in quotas:
            _check_level(recipe, axis, level, f"{path}: selection.quotas")
            if level in settings.heldout.levels.get(axis, ()):
                raise RecipeError(
                    what=f"{path}: selection.quotas asks for {axis} = {level!r}, which heldout.levels seals",
                    why="a sealed level is never in training, so the quota cannot be met",
                    do="take it out of one of the two",
                )
    for facet in recipe.axes["facet"].levels:
        if facet not in recipe.rubrics:
            raise RecipeError(
                what=f"{recipe.path / 'axes.toml'}: facet has the level {facet!r}, which has no rubric",
                why="drafts of it could not be asked for or judged",
                do=f"write values/<name>.toml with facet = {facet!r}; there are {', '.join(recipe.rubrics)}",
            )


def _check_level(recipe: Recipe, axis: str, level: str, place: str) -> None:
    if axis not in recipe.axes:
        raise RecipeError(
            what=f"{place} names the axis {axis!r}, which does not exist",
            why="a setting about an unknown axis would be without effect",
            do=f"use one of {', '.join(recipe.axes)}, or add it to axes.toml",
        )
    if level not in recipe.axes[axis].levels:
        raise RecipeError(
            what=f"{place} names the level {level!r}, which {axis} does not have",
            why="a setting about an unknown level would be without effect",
            do=f"use one of {', '.join(recipe.axes[axis].levels)}, or add it to axes.toml",
        )
