"""The corridor: the rooms in order, in rounds. Nobody else knows the order.

    seeds → contexts → drafts → verdicts → judgements → selection → release

A round is a barrier: its outcomes are reduced in context order, so nothing that is decided depends on
arrival, clock, path, port or concurrency.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from . import bringing
from .acceptance import accept_drafts
from .asking import Asker, StopSignal
from .audit_report import last_audit
from .card import card_text
from .contexts import heldout_levels, plan_contexts
from .drafts import Novelty, card, exemplar_prompt_text, write_drafts
from .events import Event, OnEvent, ignore
from .frozen import freeze
from .judge_facts import judge_facts, judge_tables
from .judgements import judge_drafts
from .ledger import Ledger
from .measured import TOLD, measured_facts
from .models import Models, budget_of
from .output import Output
from .paths import affordable, forecast_of, panel_of
from .recipe import BudgetSettings, Recipe
from .release import Release, write_release
from .rounds import beside_people, interleaved, next_round
from .seeds import read_seeds
from .selection import Selection, select_exemplars
from .state import State, exemplars_of, facts_of, heldout_prompts, make_funnel, usable
from .telling import newly_closed, not_sealed
from .twins import write_twins
from .verdicts import Closed, Sources, give_verdicts

NO_BUDGET = BudgetSettings()
OK, STOPPED_AT_BUDGET, QUOTAS_NOT_MET = 0, 3, 4
PLAN_AHEAD = 1.125
"""The plan is made once, an eighth longer than the first round needs; most runs never make it again."""
FUTILE_DRAFTS = 20
"""A round of so many drafts that adds nothing to the pool says that more of the same will not either."""


@dataclass(frozen=True)
class Result:
    """What came of a run, before it is dressed up for a caller."""

    state: State
    selection: Selection
    exemplars: pl.DataFrame
    release: Release | None
    exit_code: int
    funnel: dict[str, Any]
    measured: Mapping[str, Any]  # diversity; expression where somebody judged


async def run(
    recipe: Recipe,
    output: Output,
    ledger: Ledger,
    models: Models,
    *,
    people: pl.DataFrame | None = None,
    offline: bool = False,
    stop: StopSignal | None = None,
    on_event: OnEvent = ignore,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Result:
    """The main job: seeds in, a release out. `people` is a PEOPLE frame of conversations that people brought."""
    asker = make_asker(recipe, ledger, models, offline=offline, stop=stop, on_event=on_event)
    seeds = read_seeds(recipe)
    _freeze(recipe, seeds, ledger, on_event)
    async with models:
        state = await _rounds(recipe, seeds, asker, models, on_event, people)
        accepted = accept_drafts(state.pool, output, recipe)
        _tell(on_event, accepted.notes)
        selection = select_exemplars(pool := accepted.pool, recipe)
        selected = selection.frame
        twins = await write_twins(selected, state.contexts, recipe, asker, models.roster)
    heldout = heldout_prompts(state)
    exit_code = STOPPED_AT_BUDGET if twins.is_cut_short else _exit_code(asker, selected.height, selection, recipe)
    funnel = make_funnel(state, pool, selected, heldout.height)
    exemplars = exemplars_of(selected, recipe)
    if not selected.height:
        return Result(state, selection, exemplars, None, exit_code, funnel, accepted.facts)
    tables = {
        "seeds": seeds,
        "contexts": state.contexts,
        "drafts": state.drafts,
        "verdicts": pl.concat([state.verdicts, accepted.verdicts]),
        "judgements": state.judgements,
        "selection": selection.table(state.pool),
        **({"people": state.people} if state.brought else {}),
        **twins.tables,
        **judge_tables(recipe, models, ledger),
    }
    facts = facts_of(recipe, models, ledger.spent(), state, selection, funnel, exit_code)
    facts |= {"last_audit": last_audit(output), **accepted.facts}
    facts |= measured_facts(selected, pool, seeds, state, recipe) | twins.facts | judge_facts(recipe, models, ledger)
    release = write_release(
        output,
        recipe,
        tables,
        exemplars=selected,
        heldout=heldout,
        formats=twins.files,
        facts=facts,
        card=card_text(recipe, facts, exemplars),
        now=now(),
    )
    on_event(Event("release", {"path": release.path, "name": release.path.name, "new": release.new}))
    told = {name: value for name, value in facts.items() if name in TOLD}
    return Result(state, selection, exemplars, release, exit_code, funnel, told)


async def first_drafts(
    recipe: Recipe,
    ledger: Ledger,
    models: Models,
    count: int,
    *,
    offline: bool = False,
    stop: StopSignal | None = None,
    on_event: OnEvent = ignore,
) -> State:
    """The first `count` training contexts of the plan, drafted, filtered and judged: a preview or a pilot.

    Their asks are those of a run, so what is paid here is replayed there.
    """
    asker = make_asker(recipe, ledger, models, offline=offline, stop=stop, on_event=on_event)
    seeds = read_seeds(recipe)
    _freeze(recipe, seeds, ledger, on_event)
    contexts = plan_contexts(recipe, seeds, train=count, heldout=0)
    state = State(contexts=contexts)
    fresh = contexts.with_columns(draw=pl.lit(0, pl.UInt8))
    async with models:
        desk = _Desk(recipe, seeds, asker, models, Novelty(), Closed(recipe, seeds), on_event, contexts)
        await _round(state, fresh, desk)
    return state


def _freeze(recipe: Recipe, seeds: pl.DataFrame, ledger: Ledger, on_event: OnEvent) -> None:
    _tell(on_event, freeze(recipe, seeds, ledger, heldout=heldout_wanted(recipe)))


def _tell(on_event: OnEvent, notes: Iterable[str]) -> None:
    for text in notes:
        on_event(Event("note", {"text": text}))


def make_asker(
    recipe: Recipe,
    ledger: Ledger,
    models: Models,
    *,
    offline: bool = False,
    stop: StopSignal | None = None,
    on_event: OnEvent = ignore,
) -> Asker:
    settings = recipe.settings
    return Asker(
        ledger=ledger,
        teachers=models.by_identity,
        budget=budget_of(recipe, models, ledger),
        concurrency=settings.run.concurrency,
        at_once=models.at_once(recipe),
        replaceable=models.roster.models if settings.run.when_down == "move" else (),
        offline=offline,
        stop=stop,
        on_event=on_event,
    )


def check_contexts(recipe: Recipe) -> None:
    """Raises RecipeError where no context can be planned: wrong seeds, a facet without one, constraints that clash.

    Quick, and to be called before anything is written.
    """
    seeds = read_seeds(recipe)
    plan_contexts(recipe, seeds, train=1, heldout=len(heldout_levels(recipe, seeds)))


def pool_wanted(recipe: Recipe) -> int:
    return math.ceil(recipe.settings.size * recipe.settings.selection.pool)


def heldout_wanted(recipe: Recipe) -> int:
    return math.ceil(recipe.settings.size * recipe.settings.heldout.share)


@dataclass
class _Desk:
    """What every round needs at hand."""

    recipe: Recipe
    seeds: pl.DataFrame
    asker: Asker
    models: Models
    novelty: Novelty
    closed: Closed
    on_event: OnEvent
    planned: pl.DataFrame  # training contexts planned so far, in plan order


async def _rounds(
    recipe: Recipe,
    seeds: pl.DataFrame,
    asker: Asker,
    models: Models,
    on_event: OnEvent,
    people: pl.DataFrame | None = None,
) -> State:
    """Rounds until the pool is large enough and its levels are filled, or the budget, or nothing new comes."""
    wanted, heldout = pool_wanted(recipe), heldout_wanted(recipe)
    whole = plan_contexts(recipe, seeds, train=math.ceil(wanted * PLAN_AHEAD), heldout=heldout)
    ahead = whole.filter(pl.col("split") == "train")
    desk = _Desk(recipe, seeds, asker, models, Novelty(), Closed(recipe, seeds), on_event, ahead)
    state = State(contexts=whole.clear())
    if people is not None and people.height:
        await _take_in(people, state, desk)
    first = beside_people(state, recipe, ahead.filter(pl.col("position") < wanted))
    planned = interleaved(pl.concat([whole.filter(pl.col("split") == "heldout"), first]))
    _tell(on_event, not_sealed(recipe, seeds))
    foreseen = forecast_of(
        recipe, seeds, ahead.row(0, named=True), models, wanted=max(1, first.height), heldout=heldout
    )
    on_event(Event("forecast", {"usd": foreseen.usd, "tokens": foreseen.tokens}))
    todo = planned.with_columns(draw=pl.lit(0, pl.UInt8))
    full_rounds = fruitless = 0
    while todo.height and full_rounds < recipe.settings.run.max_rounds:
        todo, later = affordable(todo, recipe, seeds, asker, models)
        if not todo.height:
            asker.budget.exhausted = True
            break
        full_rounds += not later.height
        fresh = todo.filter(pl.col("draw") == 0).drop("draw")
        state.contexts = pl.concat([state.contexts, fresh])
        redraws = todo.height - fresh.height
        on_event(Event("round", {"number": state.rounds + 1, "contexts": fresh.height, "redraws": redraws}))
        before = usable(state)
        await _round(state, todo, desk)
        on_event(Event("pool", {"kept": state.pool.height, "wanted": wanted}))
        fruitless = 0 if usable(state) > before else fruitless + (2 if todo.height >= FUTILE_DRAFTS else 1)
        if fruitless >= 2:
            on_event(Event("note", {"text": "nothing new comes: none of the last drafts can be used"}))
        if asker.budget.exhausted or fruitless >= 2:
            break
        todo = later
        if not later.height:
            following = next_round(state, recipe, pool_wanted=wanted, longer=partial(_longer, desk))
            _tell(on_event, newly_closed(state.so_far, following.so_far))
            state.so_far, todo = following.so_far, following.contexts
    state.contexts = state.contexts.sort("split", "set", "position", descending=[True, False, False])
    return state


async def _round(state: State, todo: pl.DataFrame, desk: _Desk) -> None:
    """One pass through drafts, verdicts and judgements for `todo` (contexts with their `draw`)."""
    recipe, roster = desk.recipe, desk.models.roster
    state.rounds += 1
    desk.on_event(Event("room", {"name": "drafts", "total": todo.height}))
    drafts = await write_drafts(
        todo, desk.seeds, recipe, desk.asker, desk.novelty, teacher=roster, round_number=state.rounds
    )
    desk.on_event(Event("room", {"name": "verdicts", "total": drafts.height}))
    verdicts, scores = filtered(drafts, todo.drop("draw"), desk.seeds, recipe, desk.closed)
    await _weigh(state, drafts, verdicts, scores, desk)


async def _take_in(people: pl.DataFrame, state: State, desk: _Desk) -> None:
    """Round 0: what people brought, before anything is written beside it."""
    recipe = desk.recipe
    state.people, state.contexts = people, bringing.contexts_of(people, desk.seeds, recipe)
    drafts = bringing.drafts_of(people)
    verdicts, scores = bringing.verdicts_of(drafts, state.contexts, recipe, desk.closed)
    await _weigh(state, drafts, verdicts, scores, desk)
    for judge in desk.models.judges:
        state.judgements = bringing.without_the_stand_in(state.judgements, judge.family)
    _tell(desk.on_event, bringing.told(people, verdicts, state.pool, recipe))


async def _weigh(state: State, drafts: pl.DataFrame, verdicts: pl.DataFrame, scores: pl.DataFrame, desk: _Desk) -> None:
    """Takes a round's drafts with their verdicts, and has those judged that are kept for training."""
    recipe = desk.recipe
    state.drafts = pl.concat([state.drafts, drafts])
    state.verdicts = pl.concat([state.verdicts, verdicts])
    state.form_scores = pl.concat([state.form_scores, scores])
    kept = state.kept.filter(pl.col("round") == state.rounds)
    desk.closed.add(kept)
    dropped = Counter(verdicts.filter(~pl.col("kept"))["reason"])
    desk.on_event(Event("verdicts", {"kept": kept.height, "dropped": dict(dropped.most_common())}))
    train = kept.filter(pl.col("split") == "train")
    desk.on_event(Event("room", {"name": "judgements", "total": train.height}))
    judgements = await judge_drafts(train, recipe.rubrics, desk.asker, panel_of(recipe, desk.models))
    state.judgements = pl.concat([state.judgements, judgements])


def filtered(
    drafts: pl.DataFrame, contexts: pl.DataFrame, seeds: pl.DataFrame, recipe: Recipe, closed: Closed
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The verdicts room on a round's drafts (and form scores): what a run and a drill have in common."""
    rows = drafts.join(contexts.rename({"id": "context_id"}), on="context_id", maintain_order="left")
    seed_texts = {seed["id"]: "\n".join(turn["content"] for turn in seed["messages"]) for seed in seeds.to_dicts()}
    prompts, cards, written = {}, {}, seeds.to_dicts()
    for row in rows.iter_rows(named=True):
        context = {**row, "id": row["context_id"]}
        prompts[row["id"]] = exemplar_prompt_text(recipe, context, row["scenario"], written)
        cards[row["id"]] = card(recipe, row)
    return give_verdicts(rows, Sources(seed_texts, prompts, cards), recipe, closed)


def _longer(desk: _Desk, count: int) -> pl.DataFrame:
    """At least `count` training contexts of the plan; a longer plan begins with the shorter one."""
    if desk.planned.height < count:
        desk.planned = plan_contexts(desk.recipe, desk.seeds, train=count, heldout=0)
    return desk.planned


def _exit_code(asker: Asker, selected: int, selection: Selection, recipe: Recipe) -> int:
    if selected >= recipe.settings.size and not selection.shortfalls.height:
        return OK
    return STOPPED_AT_BUDGET if asker.budget.exhausted else QUOTAS_NOT_MET


def output_path(recipe: Recipe, out: str | Path | None) -> Path:
    return Path(out) if out is not None else Path("outputs") / recipe.settings.name


def output_for(recipe: Recipe, out: str | Path | None) -> Output:
    return Output.prepare(output_path(recipe, out))
