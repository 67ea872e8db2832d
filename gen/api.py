"""The library: what other pipelines call. Plain functions that work inside a running event loop too."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import polars as pl

from . import pipeline, teachers
from .asking import Asker, StopSignal
from .budget import Budget
from .contexts import allowed_forbid, plan_contexts, plan_strength
from .covering import Coverage, coverage, met_strength, uniform_coverage
from .drafts import longest_path
from .errors import OutputError, RecipeError, TeacherError
from .events import Event, OnEvent, ignore
from .forecast import Forecast, assumed, from_pilot
from .judgements import Judge, judge_drafts, longest_judging
from .ledger import Ledger
from .output import Output
from .recipe import JudgeSettings, Recipe, Rubric, TeacherSettings, load_rubric
from .recipe import load as load_recipe
from .release import read_manifest, read_table
from .seeds import read_seeds
from .tables import tagged_id
from .teachers.base import Teacher

if TYPE_CHECKING:
    from langchain_core.language_models.chat_models import BaseChatModel

T = TypeVar("T")

OPTIONS: Mapping[str, str] = {
    "size": "size",
    "seed": "seed",
    "teacher": "teacher.model",
    "judge": "judge.model",
    "budget": "budget.usd",
    "budget_tokens": "budget.tokens",
    "concurrency": "run.concurrency",
}
"""Keyword of a run -> the setting of the recipe that it replaces."""


@dataclass(frozen=True)
class Run:
    """What came of a run, or what stands in a release.

    exemplars  `id, messages, because, facet, score` and one column per axis, in greedy order
    funnel     rows by step, and why the others were dropped
    release    the release's directory; None where not one draft could be selected
    summary    `release, name, size, accepted, asked, replayed, paid_usd, rounds, funnel, shortfalls, exit`
    """

    exemplars: pl.DataFrame
    funnel: Mapping[str, Any]
    release: Path | None
    summary: Mapping[str, Any]


@dataclass(frozen=True)
class Plan:
    """contexts (CONTEXTS frame and one column per axis), coverage by strength, and the forecast."""

    contexts: pl.DataFrame
    coverage: Mapping[int, Coverage]
    uniform: Mapping[int, float]  # share that as many uniform draws would have met
    strength: int  # the largest t for which every t-tuple that training may see is met
    forecast: Forecast


def run(
    recipe: str | Path,
    *,
    size: int | None = None,
    teacher: str | Teacher | BaseChatModel | None = None,
    judge: str | Teacher | BaseChatModel | None = None,
    budget: float | None = None,
    budget_tokens: int | None = None,
    out: str | Path | None = None,
    seed: int | None = None,
    concurrency: int | None = None,
    offline: bool = False,
    on_event: OnEvent | None = None,
    stop: StopSignal | None = None,
    names: Mapping[str, str] | None = None,
) -> Run:
    """The main job: the recipe directory in, a release out.

    Every option replaces the recipe's own setting. `teacher` and `judge` may be a SPEC, a Teacher, or any
    LangChain chat model. `stop` ends the run early, keeping what is in flight; `names` says how options are
    called in messages. Outcomes 0, 3 (budget) and 4 (quotas) return; all else raises a ThousandfoldError.
    """
    options = {
        "size": size,
        "seed": seed,
        "teacher": teacher,
        "judge": judge,
        "budget": budget,
        "budget_tokens": budget_tokens,
        "concurrency": concurrency,
    }
    loaded = _load(recipe, options, names)
    tell = on_event or ignore
    output = pipeline.output_for(loaded, out)
    with _models(loaded, teacher, judge) as models, output.locked(), output.ledger() as ledger:
        asked = _Counted(tell)
        unfinished = ledger.note(UNFINISHED)
        asked.found(ledger, unfinished, loaded)
        ledger.put_note(UNFINISHED, {"size": loaded.settings.size})
        result = _wait(pipeline.run(loaded, output, ledger, models, offline=offline, stop=stop, on_event=asked))
        ledger.put_note(UNFINISHED, None)
    release = result.release.path if result.release else None
    summary = {
        "release": str(release) if release else None,
        "name": release.name if release else None,
        "new": bool(result.release and result.release.new),
        "size": loaded.settings.size,
        "accepted": result.exemplars.height,
        "heldout": result.funnel["heldout"],
        "asked": asked.asked,
        "replayed": asked.replayed,
        "paid_usd": asked.paid_usd,
        "rounds": result.state.rounds,
        "certificate": round(result.selection.certificate, 4),
        "judged": "unchecked" if models.judge else "unjudged",
        "funnel": result.funnel,
        "shortfalls": result.selection.shortfalls.to_dicts(),
        "exit": result.exit_code,
    }
    return Run(result.exemplars, result.funnel, release, summary)


def load(out: str | Path) -> Run:
    """The latest release of an output directory, read back. Raises OutputError where there is none."""
    release = Output.existing(out).latest()
    if release is None:
        raise OutputError(
            what=f"{str(out)!r} has no release yet",
            why="there is nothing to read back",
            do="finish a run first: `thousandfold run RECIPE`",
        )
    manifest = read_manifest(release)
    exemplars = exemplars_of(release)
    summary = {
        "release": str(release),
        "name": release.name,
        "size": manifest["settings"]["size"],
        "accepted": exemplars.height,
        "rounds": manifest["rounds"],
        "judged": manifest["judged"],
        "funnel": manifest["funnel"],
        "shortfalls": manifest["shortfalls"],
        "exit": manifest["exit"],
    }
    return Run(exemplars, manifest["funnel"], release, summary)


def exemplars_of(release: Path) -> pl.DataFrame:
    """`id, messages, because, facet, score` and one column per axis, joined from the tables of a release."""
    contexts = read_table(release, "contexts").rename({"id": "context_id"})
    chosen = read_table(release, "selection").filter("selected").sort("rank").select("id")
    judgements = read_table(release, "judgements").select("id", "score")
    rows = chosen.join(read_table(release, "drafts"), on="id", maintain_order="left")
    rows = rows.join(contexts, on="context_id", maintain_order="left")
    rows = rows.join(judgements, on="id", how="left", maintain_order="left")
    axes = [name for name in contexts.columns if name not in _NOT_AXES]
    return rows.select("id", "messages", "because", "facet", "score", *axes)


def plan(recipe: str | Path, *, pilot: int = 0, **options: Any) -> Plan:
    """The contexts that a run would write for, what they cover, and what it would ask and cost.

    Asks nothing unless `pilot` is above 0: then so many contexts are drafted, filtered and judged through
    the ledger of the output directory, where a run finds them again. `options` are those of `run`.
    """
    loaded = _load(recipe, options, options.pop("names", None))
    seeds = read_seeds(loaded)
    wanted, heldout = pipeline.pool_wanted(loaded), pipeline.heldout_wanted(loaded)
    contexts = plan_contexts(loaded, seeds, train=wanted, heldout=heldout)
    train = contexts.filter(pl.col("split") == "train")
    axes, forbid = loaded.train_levels, allowed_forbid(loaded, loaded.train_levels)
    strengths = range(1, min(3, len(axes)) + 1)
    cells = train.select(list(axes))
    with _models(loaded, options.get("teacher"), options.get("judge")) as models:
        forecast = (
            _pilot(loaded, models, pilot, options, wanted, heldout)
            if pilot
            else _assumed(loaded, models, seeds, train, wanted, heldout)
        )
    return Plan(
        contexts=contexts,
        coverage={t: coverage(cells, axes, strength=t, forbid=forbid) for t in strengths},
        uniform={t: uniform_coverage(axes, train.height, strength=t, forbid=forbid) for t in strengths},
        strength=met_strength(cells, axes, forbid, limit=plan_strength(loaded)),
        forecast=forecast,
    )


def preview(recipe: str | Path, count: int = 5, **options: Any) -> tuple[Recipe, pipeline.State]:
    """The first `count` contexts of the plan, drafted, filtered and judged; a run replays them for free."""
    loaded = _load(recipe, options, options.pop("names", None))
    return loaded, _first(loaded, count, options)[0]


def judge(
    frame: pl.DataFrame,
    rubric: str | Path | Rubric,
    *,
    judge: str | Teacher | BaseChatModel = "rehearsal",
    ledger: str | Path | None = None,
    samples: int = 1,
    concurrency: int = 64,
    on_event: OnEvent | None = None,
) -> pl.DataFrame:
    """The same rows with `level` (0 to 4), `score` (0 to 1; null = unscored), `spans` and `reason`.

    Does each text express the value? `frame` has a column `messages` (lists of role and content); `rubric`
    is a Rubric or the path of its TOML file. `ledger` names a file that keeps every reply, so that nothing
    is paid for twice; without it replies are forgotten. The rehearsal judge reads rehearsal's text only.
    """
    if "messages" not in frame.columns:
        raise RecipeError(
            what=f"the frame has no column 'messages'; it has {', '.join(frame.columns) or 'none'}",
            why="a judge reads conversations",
            do="give a column of lists of {role, content}",
        )
    read = rubric if isinstance(rubric, Rubric) else load_rubric(Path(rubric))
    settings = JudgeSettings(model=judge if isinstance(judge, str) else None, samples=samples)
    model = _made(judge, settings, as_judge=True)
    rows = frame.select("messages").with_columns(
        id=pl.Series([tagged_id("j", str(row)) for row in range(frame.height)], dtype=pl.String),
        facet=pl.lit(read.facet),
    )
    from thousandfold import prompts

    words = {name: prompts.load(name) for name in ("level", "evidence")}
    with _ledger_at(ledger) as book:
        asker = Asker(
            ledger=book,
            teachers={model.model: model},
            budget=Budget(pipeline.NO_BUDGET, {}, book.spent()),
            concurrency=concurrency,
            on_event=on_event or ignore,
        )
        work = judge_drafts(rows, {read.facet: read}, asker, Judge(model.model, settings, 0, words))
        judged = _wait(_closing(work, model))
    return frame.with_columns(judged.select("level", "score", "spans", "reason"))


def teacher(model: str | BaseChatModel | Teacher) -> Teacher:
    """A teacher from a SPEC (`openai:gpt-5-mini`), any LangChain chat model, or a Teacher as it is."""
    return _made(model, TeacherSettings(model=model if isinstance(model, str) else "rehearsal"), as_judge=False)


UNFINISHED = "unfinished run"
_NOT_AXES = frozenset({"context_id", "seed_id", "split", "set", "position", "facet"})


class _Counted:
    """Passes events on, and counts what they say was asked, replayed and paid."""

    def __init__(self, on_event: OnEvent) -> None:
        self._on_event = on_event
        self.asked = 0
        self.replayed = 0
        self._paid = 0.0
        self._unpriced = False

    def found(self, ledger: Ledger, unfinished: Any, recipe: Recipe) -> None:
        """Tells what the ledger held at the start, if anything."""
        replies = ledger.spent().replies
        if replies:
            expected = expected_asks(recipe)
            self._on_event(
                Event("found", {"replies": replies, "unfinished": unfinished is not None, "expected": expected})
            )

    def __call__(self, event: Event) -> None:
        if event.kind == "replies":
            self.asked += event.fields["asked"]
            self.replayed += event.fields["replayed"]
            cost = event.fields.get("cost_usd", 0.0)
            self._unpriced |= cost is None
            self._paid += cost or 0.0
        self._on_event(event)

    @property
    def paid_usd(self) -> float | None:
        return None if self._unpriced else round(self._paid, 6)


def expected_asks(recipe: Recipe) -> int:
    """Asks of a run in which no draft is dropped: two to write, and those of the judge for training's."""
    judging = recipe.settings.judge.samples + 1
    train, heldout = pipeline.pool_wanted(recipe), pipeline.heldout_wanted(recipe)
    return train * (2 + (judging if judge_spec(recipe) else 0)) + heldout * 2


def judge_spec(recipe: Recipe) -> str | None:
    """The judge's SPEC, or None for unjudged: rehearsal judges rehearsal unless the recipe says otherwise."""
    asked = recipe.settings.judge.model
    if asked is None:
        own = recipe.settings.teacher.model.partition(":")[0] == "rehearsal"
        return "rehearsal" if own else None
    return None if asked == "none" else asked


def _load(recipe: str | Path, options: Mapping[str, Any], names: Mapping[str, str] | None) -> Recipe:
    overrides = {
        OPTIONS[name]: value if isinstance(value, (str, int, float)) else _IN_CODE
        for name, value in options.items()
        if value is not None and name in OPTIONS
    }
    spoken = {OPTIONS[name]: (names or {}).get(name, name) for name in OPTIONS}
    return load_recipe(recipe, overrides, names=spoken)


_IN_CODE = "given in code"


@contextmanager
def _models(recipe: Recipe, teacher_given: Any, judge_given: Any) -> Iterator[pipeline.Models]:
    settings = recipe.settings
    writer = _made(
        settings.teacher.model if isinstance(teacher_given, str | None) else teacher_given,
        settings.teacher,
        as_judge=False,
    )
    spec = judge_spec(recipe) if isinstance(judge_given, str | None) else judge_given
    reader = None if spec is None else _made(spec, settings.judge, as_judge=True)
    models = pipeline.Models(writer, reader)
    pipeline.check_families(models)
    yield models


def _made(given: Any, settings: TeacherSettings | JudgeSettings, *, as_judge: bool) -> Teacher:
    if isinstance(given, str):
        return teachers.make(given, settings, judge=as_judge)
    if isinstance(given, Teacher):
        return given
    from langchain_core.language_models.chat_models import BaseChatModel

    from .teachers.chatmodel import ChatModelTeacher

    if isinstance(given, BaseChatModel):
        return ChatModelTeacher(given)
    raise TeacherError(
        what=f"{type(given).__name__} is neither a SPEC, a Teacher, nor a LangChain chat model",
        why="it would be asked for text",
        do=f"give one of {teachers.SPECS}, or an object with model, family, max_in_flight, answer and close",
    )


@contextmanager
def _ledger_at(path: str | Path | None) -> Iterator[Ledger]:
    if path is not None:
        with Ledger(Path(path)) as book:
            yield book
        return
    with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder) / "ledger.sqlite") as book:
        yield book


def _assumed(
    recipe: Recipe, models: pipeline.Models, seeds: pl.DataFrame, train: pl.DataFrame, wanted: int, heldout: int
) -> Forecast:
    row = train.row(0, named=True)
    path = longest_path(recipe, seeds, row, models.teacher.model)
    if models.judge is not None:
        who = pipeline.judge_of(recipe, models.judge)
        path += longest_judging(recipe.rubrics[row["facet"]], who, reply_tokens=recipe.settings.teacher.max_tokens)
    with _ledger_at(None) as empty:
        budget = Budget(recipe.settings.budget, recipe.settings.prices, empty.spent())
    return assumed(path, wanted=wanted, heldout=heldout, budget=budget)


def _pilot(
    recipe: Recipe, models: pipeline.Models, count: int, options: Mapping[str, Any], wanted: int, heldout: int
) -> Forecast:
    state, ledger_path = _first(recipe, count, options)
    with Ledger(ledger_path, read_only=True) as ledger:
        budget = Budget(recipe.settings.budget, recipe.settings.prices, ledger.spent())
        tokens, costs = [], []
        asks = 0
        judged = {row["id"]: row for row in state.judgements.iter_rows(named=True)}
        for draft in state.drafts.iter_rows(named=True):
            own = judged.get(draft["id"], {})
            ids = [draft["scenario_ask_id"], draft["ask_id"], own.get("level_ask_id"), own.get("evidence_ask_id")]
            outcomes = ledger.get_many([i for i in ids if i])
            asks += len(outcomes)
            usages = [o.usage for o in outcomes.values()]
            tokens.append(sum((u.prompt_tokens or 0) + (u.completion_tokens or 0) for u in usages))
            identity = [models.teacher.model if i in ids[:2] else own.get("judge") or "" for i in outcomes]
            costs.append([budget.cost(m, u) for m, u in zip(identity, usages, strict=True)])
    priced = all(cost is not None for row in costs for cost in row)
    return from_pilot(
        drafts=state.drafts.height,
        kept=state.pool.height,
        asks=asks,
        tokens=tokens,
        usd=[sum(c or 0 for c in row) / 1e6 for row in costs] if priced else None,
        wanted=wanted,
        heldout=heldout,
    )


def _first(recipe: Recipe, count: int, options: Mapping[str, Any]) -> tuple[pipeline.State, Path]:
    output = pipeline.output_for(recipe, options.get("out"))
    with (
        _models(recipe, options.get("teacher"), options.get("judge")) as models,
        output.locked(),
        output.ledger() as ledger,
    ):
        state = _wait(
            pipeline.first_drafts(
                recipe,
                ledger,
                models,
                count,
                offline=bool(options.get("offline")),
                on_event=options.get("on_event") or ignore,
            )
        )
    return state, output.ledger_path


async def _closing(work: Coroutine[Any, Any, T], *models: Teacher) -> T:
    try:
        return await work
    finally:
        for model in models:
            await model.close()


def _wait(work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, from plain code and from inside a running event loop (a notebook) alike."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    return _in_thread(lambda: asyncio.run(work))


def _in_thread(call: Callable[[], T]) -> T:
    box: list[T] = []
    trouble: list[BaseException] = []

    def target() -> None:
        try:
            box.append(call())
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            trouble.append(error)

    thread = threading.Thread(target=target, name="thousandfold")
    thread.start()
    thread.join()
    if trouble:
        raise trouble[0]
    return box[0]
