"""The settings of a recipe as frozen models: every key, its type, bounds and default; and how a table is checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from .errors import RecipeError

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
"""Names that become part of a path: no separators, no leading dot or dash."""


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


PartT = TypeVar("PartT", bound=Part)


class _ModelSettings(Part):
    concurrency: int | None = Field(default=None, ge=1, le=4096)  # of this model; None: as [run] says
    timeout_seconds: float = Field(default=600.0, gt=0)  # of one request; slow local servers need minutes
    deadline_seconds: float = Field(default=1800.0, gt=0)  # of one ask, with all its tries and waits
    attempts: int = Field(default=8, ge=1, le=50)  # the waits between them outlast an outage of a minute
    requests_per_minute: float | None = Field(default=None, gt=0)
    tokens_per_minute: float | None = Field(default=None, gt=0)
    # auto: the first of the three others that the endpoint takes, found out once and noted in the ledger.
    structured: Literal["auto", "json_schema", "json_object", "text"] = "auto"
    # Likeliest tokens kept in each place of a reply; 0: none are asked for; None: of a level, where they are given.
    logprobs: int | None = Field(default=0, ge=0, le=20)
    engine: dict[str, Any] = {}  # keyword arguments of vllm.LLM, for vllm: models


class TeacherSettings(_ModelSettings):
    model: str = "rehearsal"
    temperature: float | None = Field(default=None, ge=0, le=2)  # None: the provider's own default
    max_tokens: int = Field(default=2048, ge=16)


class ShareSettings(TeacherSettings):
    """One of several teachers."""

    share: float = Field(default=1.0, ge=0.001, le=1000)  # of the contexts, beside the other teachers' shares


class JudgeSettings(_ModelSettings):
    # None: rehearsal judges rehearsal, and a real teacher runs unjudged; "none": unjudged in any case.
    model: str | None = None
    temperature: float | None = Field(default=0.0, ge=0, le=2)
    max_tokens: int = Field(default=1024, ge=16)
    # Enough for one digit from any tokenizer; a judge that reasons in its reply first needs some hundreds.
    level_tokens: int = Field(default=16, ge=1)
    # A level is an expectation: over the digits' probabilities. Zero is for judges whose digits alone are to count.
    logprobs: int | None = Field(default=None, ge=0, le=20)
    # Where they are not given, the level is the mean over so many asks; 4 to 8 of them want a temperature above 0.
    samples: int = Field(default=1, ge=1, le=16)
    evidence_from: float = Field(default=2.0, ge=0, le=4)  # spans are asked for texts of at least this level
    # A run whose judge has not passed `thousandfold judge check`, or has been changed since, asks nothing.
    require_checked_judge: bool = False


class PanelSettings(Part):
    """How several judges make one score: the mean of their levels."""

    # Judges that must have given a text a level, or it is unscored; None: every one. With fewer than all, scores of
    # texts on which a strict judge is silent are higher than those of others.
    least: int | None = Field(default=None, ge=1)


class AcceptanceSettings(Part):
    """Which drafts may be selected, by people's labels of them."""

    # All; those of which on average at most `alpha` are bad; or those of which `target` is good, but for a chance of
    # `delta`. Off until somebody has labelled texts.
    rule: Literal["none", "conformal", "high_probability"] = "none"
    alpha: float = Field(default=0.05, gt=0, lt=1)
    target: float = Field(default=0.95, gt=0, lt=1)
    delta: float = Field(default=0.1, gt=0, lt=1)
    good_from: float = Field(default=3.0, gt=0, le=4)  # mean level of a text's labels from which it is good

    @model_validator(mode="after")
    def _every_key_counts(self) -> Self:
        """A limit of another rule would be silently without effect."""
        read = {"none": (), "conformal": ("alpha", "good_from"), "high_probability": ("target", "delta", "good_from")}
        idle = sorted(self.model_fields_set - {"rule", *read[self.rule]})
        if idle:
            said = f'Value should have no {", ".join(idle)} where its rule is "{self.rule}", which does not read it'
            raise PydanticCustomError("idle", said)
        return self


class ContextSettings(Part):
    strength: Literal["auto", 1, 2, 3, 4] = "auto"
    forbid: tuple[Annotated[dict[str, str], Field(min_length=1)], ...] = ()


class HeldoutSettings(Part):
    """Sealed sets: `id` (levels that training sees, other lineages), `comp`, `lodo`, `far` and `ctrl`."""

    share: float = Field(default=0.1, ge=0, le=1)  # of size, on top of it; the sets get equal parts
    # lodo: whole levels that training never sees. None: the last two of `domain`, where it has six or more.
    levels: dict[str, tuple[str, ...]] | None = None
    # far: another language or kind of record. None: the last level of `language`, else of `kind`, of four or more.
    far: dict[str, tuple[str, ...]] | None = None
    # comp: levels that training sees apart but never together. None: `pairs` pairs, chosen by the recipe's seed.
    tuples: tuple[Annotated[dict[str, str], Field(min_length=2)], ...] | None = None
    pairs: int = Field(default=6, ge=0, le=100)
    # ctrl: combinations in which the value is not called for. Training never sees them; `forbid` may name them too.
    control: tuple[Annotated[dict[str, str], Field(min_length=1)], ...] = ()


class DraftSettings(Part):
    candidates: int = Field(default=4, ge=1, le=16)  # situations asked for; the most novel is kept
    redraws: int = Field(default=2, ge=0, le=5)  # of a context whose draft was dropped


class ExpansionSettings(Part):
    """Ways to keep what a teacher writes from becoming all alike. Off, each leaves every ask as it is without it."""

    # Situations: the teacher states how likely each is, and one is drawn from the tail, in place of the most novel one.
    verbalised: bool = False
    tail: float = Field(default=0.1, gt=0, le=1)  # drawn are situations less likely than this; the paper's own limit
    # Conversations as plain text with marked turns: the form of a reply alone makes a model's answers more alike.
    prose: bool = False
    rotation: bool = False  # each context is given a structure and an opening move out of two lists
    shots: int = Field(default=0, ge=0, le=8)  # exemplars beside the context's own seed, each of another lineage
    revise: bool = False  # a critique and a revision: two asks more for each draft
    # exchanges -> share of the contexts whose conversation is to have so many; of the rest the teacher decides.
    turns: dict[Literal["1", "2", "3", "4", "5", "6"], Annotated[float, Field(ge=0, le=1)]] = {}

    @field_validator("turns")
    @classmethod
    def _at_most_all(cls, turns: dict[str, float]) -> dict[str, float]:
        if sum(turns.values()) > 1 + 1e-9:
            raise PydanticCustomError("shares", "Value should have shares that sum to 1 or less")
        return turns


FilterName = Literal["form", "secrets", "leaks", "contamination", "duplicates", "slots", "prompts", "meaning"]
"""The filters, in the order in which they run."""


class FilterSettings(Part):
    off: tuple[FilterName, ...] = ()  # not run at all; the release says which, and a drill shows what that costs
    near_duplicate_threshold: float = Field(default=0.7, gt=0, le=1)
    near_duplicate_ngram: int = Field(default=5, ge=1, le=50)
    max_echo_share: float = Field(default=0.3, gt=0, le=1)  # of an answer's 8-grams found in seed or prompt
    # Words of the assistant's turns: "Yes, of course, do." shows nobody a value. None: no bound.
    min_words: int | None = Field(default=8, ge=0)
    max_words: int | None = Field(default=None, ge=1)
    expects: Literal["prose", "markdown", "json"] = "prose"
    # Jaccard of answers whose names and numbers are masked: a swap of nouns leaves more than this, unlike answers less.
    slot_threshold: float = Field(default=0.75, gt=0, le=1)
    # Higher than for answers: two questions about one matter may share most of their words.
    prompt_duplicate_threshold: float = Field(default=0.85, gt=0, le=1)
    # Cosine from which answers count as one thought; None: not compared. The offline embedder sees words alone.
    meaning_threshold: float | None = Field(default=None, gt=0, le=1)
    benchmarks: dict[str, Annotated[str, Field(min_length=1)]] = {}  # name -> a file in the recipe's directory
    benchmark_ngram: Literal[8, 13] = 8


class SelectionSettings(Part):
    pool: float = Field(default=1.3, ge=1, le=100)  # kept drafts per exemplar wanted; selection needs a choice
    quota_share: float = Field(default=0.6, ge=0, le=1)  # least count of a level, as a share of its even part
    quotas: dict[str, dict[str, Annotated[int, Field(ge=0)]]] = {}  # least counts that replace the default
    # Of size, how many may begin (end) alike. The largest family of 5,000 answers of an ordinary model has 1.4 %; at a
    # twentieth a set holds 20 families or more. 20 exemplars of one are always allowed; 1.0 is no cap.
    opening_cap: float = Field(default=0.05, gt=0, le=1)
    closing_cap: float = Field(default=0.05, gt=0, le=1)
    # Of size, how many one teacher may have written; 1.0 is no cap. Where it leaves places empty, the release says so.
    teacher_cap: float = Field(default=1.0, gt=0, le=1)


class TwinSettings(Part):
    """Hollow twins of exemplars, for preference pairs: one ask more for each."""

    share: float = Field(default=0.0, ge=0, le=1)  # of the exemplars, how many get one; evenly over facets and axes
    # Words of the longer answer of a pair over those of the shorter; beyond it, length alone could tell them apart.
    length_ratio: float = Field(default=1.25, ge=1, le=10)


class TicSettings(Part):
    reference: str | None = Field(default=None, min_length=1)  # a file in the recipe's directory: what tics are beside


class RunSettings(Part):
    # A teacher that goes down: the run stops and can be resumed, or the other teachers take its contexts over.
    when_down: Literal["pause", "move"] = "pause"
    max_rounds: int = Field(default=8, ge=1)
    # Of a reply that cannot be read, with the error shown to the model. What two do not mend, a third hardly does.
    reasks: int = Field(default=2, ge=0, le=2)
    # Failures before a level, or a pair of levels, may be given up: three contexts, each drawn three times.
    cell_cap: int = Field(default=9, ge=2, le=1000)
    # None: as many as the server takes, found out as the run goes.
    concurrency: int | None = Field(default=None, ge=1, le=4096)


class BudgetSettings(Part):
    usd: float | None = Field(default=None, gt=0, le=1e9)
    tokens: int | None = Field(default=None, gt=0)


class Price(Part):
    """US dollars for a million tokens."""

    input: float = Field(ge=0)
    output: float = Field(ge=0)
    cached_input: float | None = Field(default=None, ge=0)  # read from the provider's cache; None: as input
    cache_write: float | None = Field(default=None, ge=0)  # where writing into the cache is billed; None: as input


class Settings(Part):
    """`recipe.toml`."""

    name: str = Field(pattern=NAME)
    description: str = ""
    licence: str = "unknown"
    language: str = "en"
    size: int = Field(default=300, ge=1, le=10_000_000)
    seed: int = Field(default=1, ge=0, lt=2**31)
    teacher: TeacherSettings = TeacherSettings()
    teachers: tuple[ShareSettings, ...] = ()  # several, in place of the one
    judge: JudgeSettings = JudgeSettings()
    judges: tuple[JudgeSettings, ...] = ()  # several of different families, in place of the one
    panel: PanelSettings = PanelSettings()
    # Pattern of a model's name, with * and ? -> its family, before the table of patterns that comes with the package.
    families: dict[Annotated[str, Field(min_length=1)], Annotated[str, Field(pattern=NAME)]] = {}
    acceptance: AcceptanceSettings = AcceptanceSettings()
    contexts: ContextSettings = ContextSettings()
    heldout: HeldoutSettings = HeldoutSettings()
    drafts: DraftSettings = DraftSettings()
    expansion: ExpansionSettings = ExpansionSettings()
    filters: FilterSettings = FilterSettings()
    selection: SelectionSettings = SelectionSettings()
    twins: TwinSettings = TwinSettings()
    tics: TicSettings = TicSettings()
    run: RunSettings = RunSettings()
    budget: BudgetSettings = BudgetSettings()
    prices: dict[str, Price] = {}


class Axis(Part):
    description: str = ""
    levels: dict[str, str] = Field(min_length=1)  # level -> one line that a teacher can use


class Rubric(Part):
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


def checked(model: type[PartT], table: Any, path: Path, *prefix: str, spoken: Mapping[str, str] | None = None) -> PartT:
    """`table` as a `model`. Raises RecipeError naming `path`, the key (below `prefix`) and the value.

    `spoken` says what a dotted key is called where its value was given, if not in the file.
    """
    try:
        # Strict for types (a string is no number), but TOML's lists may become tuples: JSON mode allows just that.
        return model.model_validate_json(_json(table))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        steps = [str(step) for step in first["loc"] if step != "[key]"]
        key = ".".join([*prefix, *steps]) or "(the whole file)"
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
        rest = f" (and {error.error_count() - 1} more such problems)" if error.error_count() > 1 else ""
        raise RecipeError(
            what=f"{given or f'{path}: {key}'} = {_seen(first['input'])}",
            why=f"it should {_rule(first['type'], first['msg'])}{rest}",
            do=f"give {given or key} such a value",
        ) from None


def _rule(kind: str, message: str) -> str:
    """What pydantic says that a value should, in the words of TOML."""
    if kind == "string_pattern_mismatch":  # NAME is the one pattern
        return "be 1 to 64 letters, digits, dots, dashes and underscores, beginning with a letter or digit"
    rule = message.partition(" should ")[2].partition(" after validation")[0]
    return rule.replace("be an object", "be a table")


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
