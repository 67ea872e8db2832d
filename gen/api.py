"""The library: what other pipelines call. Plain functions that work inside a running event loop too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import polars as pl

from . import pipeline
from .asking import StopSignal
from .events import Event, OnEvent, ignore
from .expansion import writing_asks
from .judge_facts import judge_facts, tell_of_judge
from .ledger import Ledger
from .measured import TOLD
from .models import judge_count, made, models_of
from .options import load_with
from .output import Output
from .people import Drafts, columns_not_read, read_people
from .peoplebook import PeopleBook
from .recipe import Recipe, TeacherSettings
from .release import read_manifest, read_table
from .teachers.base import Teacher
from .twins import twins_wanted
from .waiting import wait

if TYPE_CHECKING:
    from langchain_core.language_models.chat_models import BaseChatModel

T = TypeVar("T")


@dataclass(frozen=True)
class Run:
    """What came of a run, or what stands in a release.

    exemplars  `id, messages, because, facet, score` and one column per axis, in greedy order
    funnel     rows by step, and why the others were dropped
    release    the release's directory; None where not one draft could be selected
    summary    `release, name, size, accepted, asked, replayed, failed, tokens, paid_usd, cached_share, rounds, funnel,
               shortfalls, given_up, diversity, expression, exit`; what a release does not have is left out
    """

    exemplars: pl.DataFrame
    funnel: Mapping[str, Any]
    release: Path | None
    summary: Mapping[str, Any]


def run(
    recipe: str | Path,
    *,
    size: int | None = None,
    teacher: str | Teacher | BaseChatModel | Sequence[str | Teacher | BaseChatModel] | None = None,
    judge: str | Teacher | BaseChatModel | Sequence[str | Teacher | BaseChatModel] | None = None,
    budget: float | None = None,
    budget_tokens: int | None = None,
    out: str | Path | None = None,
    seed: int | None = None,
    concurrency: int | None = None,
    offline: bool = False,
    on_event: OnEvent | None = None,
    stop: StopSignal | None = None,
    names: Mapping[str, str] | None = None,
    drafts: Drafts | None = None,
) -> Run:
    """The main job: the recipe directory in, a release out.

    Every option replaces the recipe's own setting. `teacher` and `judge` may be a SPEC, a Teacher, or any
    LangChain chat model; also a list of them: teachers then write equal shares, and a score is the judges' mean.
    `stop` ends the run early, keeping what is in flight; `names` says how options are called in messages. `drafts` are
    conversations that people wrote: a file (.jsonl, .csv, .parquet), a frame, or a list of them. They are kept in the
    ledger, so that later runs have them too; pass the filters, the judge and the selection as drafts do; and count for
    the levels that are given with them, so that fewer are asked for. Outcomes 0, 3 (budget) and 4 (quotas) return; all
    else raises a ThousandfoldError.
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
    loaded = load_with(recipe, options, names)
    models = models_of(loaded, teacher, judge)
    pipeline.check_contexts(loaded)
    if isinstance(drafts, list | tuple) and not drafts:  # an option that is not given
        drafts = None
    brought = None if drafts is None else read_people(drafts, loaded)  # before anything is written
    output = pipeline.output_for(loaded, out)
    asked = _Counted(on_event or ignore)
    stop = stop or StopSignal()
    with output.locked(), output.ledger() as ledger:
        asked.found(ledger, ledger.note(UNFINISHED), loaded)
        tell_of_judge(loaded, models, ledger, asked)
        before = ledger.spent()
        ledger.put_note(UNFINISHED, {"size": loaded.settings.size})
        people = _people(output, loaded, brought, drafts, asked)
        work = pipeline.run(loaded, output, ledger, models, people=people, offline=offline, stop=stop, on_event=asked)
        result = wait(work, stop)
        ledger.put_note(UNFINISHED, None)
        cached_share = ledger.spent().cached_share_since(before)
        judged = judge_facts(loaded, models, ledger)["judged"]
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
        "failed": asked.failed,
        "tokens": asked.tokens,
        "paid_usd": asked.paid_usd,
        "cached_share": cached_share,
        "rounds": result.state.rounds,
        "certificate": round(result.selection.certificate, 4),
        "judged": judged,
        "funnel": result.funnel,
        "shortfalls": result.selection.shortfalls.to_dicts(),
        **result.state.so_far.as_dict(),
        "capped": result.selection.capped.to_dicts(),
        **result.measured,
        "exit": result.exit_code,
    }
    return Run(result.exemplars, result.funnel, release, summary)


def load(out: str | Path) -> Run:
    """The latest release of an output directory, read back. Raises OutputError where there is none."""
    release = Output.existing(out).newest(why="there is nothing to read back")
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
        "given_up": manifest.get("given_up", []),
        "saturated": manifest.get("saturated", []),
        "capped": manifest.get("capped", []),  # a release made before there were caps
        **{name: value for name, value in manifest.items() if name in TOLD},
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


def teacher(model: str | BaseChatModel | Teacher) -> Teacher:
    """A teacher from a SPEC (`openai:gpt-5-mini`), any LangChain chat model, or a Teacher as it is."""
    return made(model, TeacherSettings(model=model if isinstance(model, str) else "rehearsal"))


def _people(
    output: Output, recipe: Recipe, brought: pl.DataFrame | None, drafts: Drafts | None, on_event: OnEvent
) -> pl.DataFrame:
    """All conversations that people brought to this output, `brought` among them; what is to be said of it is said."""
    notes = []
    with PeopleBook(output.ledger_path) as book:
        if brought is not None and drafts is not None:
            new, changed = book.add(brought)
            again = f", {changed} known ones are told otherwise now" if changed else ""
            notes.append(f"people: {brought.height} conversations read, {new} of them new{again}")
            ignored = columns_not_read(drafts, recipe)
            notes += [f"people: not read: {', '.join(ignored[:12])}"] if ignored else []
        people, lapsed = book.people(recipe)
    for text in [*notes, *lapsed]:
        on_event(Event("note", {"text": text}))
    return people


UNFINISHED = "unfinished run"
_NOT_AXES = frozenset({"context_id", "seed_id", "split", "set", "position", "repeat", "facet"})


class _Counted:
    """Passes events on, and counts what they say was asked, replayed and paid."""

    def __init__(self, on_event: OnEvent) -> None:
        self._on_event = on_event
        self.asked = 0
        self.replayed = 0
        self.failed = 0
        self.tokens = 0
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
            self.failed += event.fields["failed"]
            self.tokens += event.fields["tokens"]
            cost = event.fields.get("cost_usd", 0.0)
            self._unpriced |= cost is None
            self._paid += cost or 0.0
        self._on_event(event)

    @property
    def paid_usd(self) -> float | None:
        return None if self._unpriced else round(self._paid, 6)


def expected_asks(recipe: Recipe) -> int:
    """Asks of a run in which no draft is dropped: those that write, and those of the judge for training's."""
    judging = sum(judge.samples + 1 for judge in recipe.judges) if judge_count(recipe) else 0
    train, heldout = pipeline.pool_wanted(recipe), pipeline.heldout_wanted(recipe)
    writing = writing_asks(recipe.settings.expansion)
    twins = twins_wanted(recipe, recipe.settings.size)
    return train * (writing + judging) + heldout * writing + twins
