"""Does this text express the value? The judges' question as a function, for any frame of conversations."""

from __future__ import annotations

import tempfile
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import polars as pl

from thousandfold import prompts

from .asking import Asker, StopSignal
from .budget import Budget
from .errors import RecipeError
from .events import OnEvent, ignore
from .judgements import Judge, Panel, judge_drafts
from .ledger import Ledger
from .models import check_families, check_identities, families_of, made
from .options import models_in
from .recipe import BudgetSettings, JudgeSettings, Rubric, load_rubric
from .settings import checked
from .tables import MESSAGES, tagged_id
from .teachers.base import Teacher
from .waiting import wait

if TYPE_CHECKING:
    from langchain_core.language_models.chat_models import BaseChatModel

T = TypeVar("T")
FrameT = TypeVar("FrameT")

NO_CONVERSATION = "there is no conversation"
NO_ANSWER = "there is no turn of the assistant to be judged"
TOLD = ("level", "score", "spans", "reason")
DETAILS = ("level_method", "level_range", "by_judge")


def judge(
    frame: FrameT,
    rubric: str | Path | Mapping[str, Any] | Rubric,
    *,
    judge: str | Teacher | BaseChatModel | Sequence[str | Teacher | BaseChatModel] = "rehearsal",
    ledger: str | Path | None = None,
    samples: int = 1,
    temperature: float = 0.0,
    least: int | None = None,
    details: bool | None = None,
    families: Mapping[str, str] | None = None,
    concurrency: int | None = None,
    on_event: OnEvent | None = None,
) -> FrameT:
    """The same rows with `level` (0 to 4), `score` (level / 4; null = unscored, never zero), `spans` and `reason`.

    frame     a DataFrame or LazyFrame of polars, or a DataFrame of pandas, and comes back as such; with a column
              `messages`: lists of {role, content}. What the assistant's turns express is judged; a row without one is
              unscored. Columns of the new names are replaced, all others stay. Rows that are alike are asked for once.
    rubric    the path of its TOML file, the same as a mapping, or a Rubric
    judge     a SPEC, a Teacher, any LangChain chat model, or a list of them, of different families: a panel, whose
              level is the mean of its members'. `families` (pattern -> family) mends what a model's name hides.
    least     members of a panel that must have given a level, or the row is unscored; None: every one
    ledger    a file that keeps every reply, readable or not, so that nothing is paid for twice; without it they are
              forgotten
    samples   where an endpoint gives no log-probabilities, the level is the mean of so many replies, which differ only
              at a `temperature` above 0
    details   adds `level_method` (logprobs | samples), `level_range` (highest less lowest level of a panel) and
              `by_judge` (each one's own word); None: where there are several judges

    The rehearsal judge reads rehearsal's own sentences only. Raises RecipeError for what cannot be meant, TeacherError
    for a judge that cannot be asked, StorageError for a ledger that cannot be written.

    >>> import polars as pl
    >>> from thousandfold import gen
    >>> rubric = {
    ...     "facet": "honest apology",
    ...     "definition": "Names what was done and mends it.",
    ...     "levels": {"0": "denies", "1": "empty words", "2": "general", "3": "names the fault", "4": "mends it"},
    ...     "evidence": {"names_the_act": "what was done, in plain words"},
    ... }
    >>> letter = "Thank you for bringing this to our attention. Thank you for your patience and understanding."
    >>> said = [{"role": "assistant", "content": letter}]
    >>> letters = pl.DataFrame({"from": ["shop", "bank"], "messages": [said, None]})
    >>> gen.judge(letters, rubric).select("from", "level", "score", "reason").rows()
    [('shop', 1.0, 0.25, None), ('bank', None, None, 'there is no conversation')]
    """
    read = _rubric(rubric)
    given = _members(judge)
    spoken = {name: name for name in ("samples", "temperature", "concurrency")}
    told = {"samples": samples, "temperature": temperature, "concurrency": concurrency}
    settings = checked(JudgeSettings, told, Path(), spoken=spoken)
    _check_least(least, len(given))
    whole = frame.collect() if isinstance(frame, pl.LazyFrame) else frame
    rows = _conversations(_columns(whole)).with_columns(facet=pl.lit(read.facet))
    models = [made(one, settings, as_judge=True, concurrency=concurrency) for one in given]
    check_identities(models, "judges", "name it once")
    check_families((), models, families_of(models, families or {}))
    words = {name: prompts.load(name) for name in ("level", "evidence", "reask")}
    panel = Panel(tuple(Judge(model.model, settings, 0, words) for model in models), least)
    judged = _judged(rows.filter(pl.col("lack").is_null()), read, panel, models, ledger, concurrency, on_event)
    joined = rows.select("id", "lack").join(judged, on="id", how="left", maintain_order="left")
    joined = joined.with_columns(
        pl.coalesce("lack", "reason").alias("reason"), pl.col("spans", "by_judge").fill_null([])
    )
    wanted = details if details is not None else len(models) > 1
    done = _with(whole, joined.select(*TOLD, *(DETAILS if wanted else ())))
    return cast(FrameT, done.lazy() if isinstance(frame, pl.LazyFrame) else done)


def _judged(
    rows: pl.DataFrame,
    rubric: Rubric,
    panel: Panel,
    models: Sequence[Teacher],
    ledger: str | Path | None,
    concurrency: int | None,
    on_event: OnEvent | None,
) -> pl.DataFrame:
    stop = StopSignal()
    with _ledger_at(ledger) as book:
        asker = Asker(
            ledger=book,
            teachers={model.model: model for model in models},
            budget=Budget(BudgetSettings(), {}, book.spent()),
            concurrency=concurrency,
            stop=stop,
            on_event=on_event or ignore,
        )
        return wait(_closing(judge_drafts(rows, {rubric.facet: rubric}, asker, panel), *models), stop)


def _rubric(rubric: str | Path | Mapping[str, Any] | Rubric) -> Rubric:
    if isinstance(rubric, Rubric):
        return rubric
    if isinstance(rubric, Mapping):
        return checked(Rubric, dict(rubric), Path("rubric"))
    if isinstance(rubric, str | Path):
        return load_rubric(Path(rubric))
    raise RecipeError(
        what=f"the rubric is {type(rubric).__name__}",
        why="it says what each level of the value looks like",
        do="give the path of its TOML file, a mapping with the same keys, or a Rubric",
    )


def _members(judge: Any) -> list[Any]:
    members = models_in(judge)
    if not members or any(one in (None, "none") for one in members if isinstance(one, str | None)):
        raise RecipeError(
            what=f"judge is {judge!r}",
            why="somebody must judge",
            do="give a SPEC, a Teacher, a LangChain chat model, or a list of them",
        )
    return members


def _check_least(least: Any, count: int) -> None:
    if least is not None and (isinstance(least, bool) or not isinstance(least, int) or not 1 <= least <= count):
        raise RecipeError(
            what=f"least is {least!r}, with {count} judge{'' if count == 1 else 's'}",
            why="it is how many of the judges must have given a level",
            do=f"give a whole number from 1 to {count}, or None for every one",
        )


def _is_pandas(frame: Any) -> bool:
    return type(frame).__module__.partition(".")[0] == "pandas" and hasattr(frame, "assign")


def _columns(frame: Any) -> pl.DataFrame:
    """The frame as far as a judge reads it: its column `messages`."""
    if isinstance(frame, pl.DataFrame):
        return frame
    if not _is_pandas(frame):
        raise RecipeError(
            what=f"the frame is {type(frame).__name__}",
            why="its rows come back with a score each",
            do="give a polars or pandas DataFrame with a column 'messages', such as pl.DataFrame({'messages': […]})",
        )
    if "messages" not in frame.columns:
        return pl.DataFrame(schema=[str(name) for name in frame.columns])
    try:
        return pl.DataFrame({"messages": [_turns(value) for value in frame["messages"]]}, strict=True)
    except (TypeError, ValueError, pl.exceptions.PolarsError):
        return pl.DataFrame({"messages": pl.Series([None], dtype=pl.Object)})


def _turns(value: Any) -> list[Any] | None:
    """One cell of pandas, which holds lists, arrays, or a NaN for nothing."""
    if value is None or isinstance(value, float):
        return None
    return list(value)


def _with(frame: Any, new: pl.DataFrame) -> Any:
    if _is_pandas(frame):
        return frame.assign(**{name: new[name].to_list() for name in new.columns})
    return frame.with_columns(new.get_columns())


def _conversations(frame: pl.DataFrame) -> pl.DataFrame:
    """`id`, `messages` and `lack` (why there is nothing to judge, or null) for each row of a caller's frame."""
    if "messages" not in frame.columns:
        problem = f"the frame has no column 'messages'; it has {', '.join(frame.columns) or 'none'}"
    elif not _holds_turns(frame.schema["messages"]):
        problem = f"the column 'messages' is of type {frame.schema['messages']}"
    else:
        return frame.select(
            pl.Series("id", [tagged_id("j", str(row)) for row in range(frame.height)], dtype=pl.String),
            _as_messages(frame.schema["messages"]),
        ).with_columns(lack=_lack())
    raise RecipeError(
        what=problem, why="a judge reads conversations", do="give a column of lists of {role, content}, both text"
    )


def _as_messages(dtype: pl.DataType) -> pl.Expr:
    """Turns with what they hold besides left out (`name`, `tool_calls`)."""
    if isinstance(dtype, pl.Null):
        return pl.col("messages").cast(MESSAGES)
    turn = pl.element().struct
    return pl.col("messages").list.eval(pl.struct(turn.field("role"), turn.field("content"))).cast(MESSAGES)


def _lack() -> pl.Expr:
    turn = pl.element().struct
    broken = pl.col("messages").list.eval(turn.field("role").is_null() | turn.field("content").is_null()).list.any()
    says = (turn.field("role") == "assistant") & (turn.field("content").str.strip_chars() != "")
    whole = ((pl.col("messages").list.len() > 0) & ~broken).fill_null(value=False)
    answers = pl.col("messages").list.eval(says).list.any().fill_null(value=False)
    return pl.when(~whole).then(pl.lit(NO_CONVERSATION)).when(~answers).then(pl.lit(NO_ANSWER))


def _holds_turns(dtype: pl.DataType) -> bool:
    if isinstance(dtype, pl.Null):  # a column of nothing but nulls
        return True
    inner = dtype.inner if isinstance(dtype, pl.List | pl.Array) else None
    fields = {field.name: field.dtype for field in inner.fields} if isinstance(inner, pl.Struct) else {}
    return fields.get("role") == fields.get("content") == pl.String


@contextmanager
def _ledger_at(path: str | Path | None) -> Iterator[Ledger]:
    if path is not None:
        with Ledger(Path(path)) as book:
            yield book
        return
    with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder) / "ledger.sqlite") as book:
        yield book


async def _closing(work: Coroutine[Any, Any, T], *models: Teacher) -> T:
    try:
        return await work
    finally:
        for model in models:
            await model.close()
