"""The corridor: the rooms in order, in rounds. Nobody else knows the order.

    seeds → contexts → drafts → verdicts → judgements → selection → release

A round is a barrier: its outcomes are reduced in context order, so nothing that is decided depends on
arrival, clock, path, port or concurrency.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

import polars as pl

from .asking import Asker, StopSignal
from .card import card_text
from .contexts import heldout_levels, plan_contexts
from .deficits import Tally
from .drafts import Novelty, card, exemplar_prompt_text, scenario_asks, write_drafts
from .events import Event, OnEvent, ignore
from .frozen import freeze
from .judge_facts import judge_facts, judge_tables
from .judgements import judge_drafts
from .ledger import Ledger
from .measured import TOLD, measured_facts
from .models import Models, budget_of
from .output import Output
from .paths import forecast_of, panel_of, paths_with_twins
from .recipe import BudgetSettings, Recipe
from .release import Release, write_release
from .rounds import next_round
from .seeds import read_seeds
from .selection import Selection, select_exemplars
from .state import State, exemplars_of, facts_of, heldout_prompts, make_funnel
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
    measured: dict[str, Any]  # diversity; expression where somebody judged


async def run(
    recipe: Recipe,
    output: Output,
    ledger: Ledger,
    models: Models,
    *,
    offline: bool = False,
    stop: StopSignal | None = None,
    on_event: OnEvent = ignore,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Result:
    """The main job: seeds in, a release out."""
    asker = make_asker(recipe, ledger, models, offline=offline, stop=stop, on_event=on_event)
    seeds = read_seeds(recipe)
    _freeze(recipe, seeds, ledger, on_event)
    async with models:
        state = await _rounds(recipe, seeds, asker, models, on_event)
        pool = state.pool
        selection = select_exemplars(pool, recipe)
        selected = selection.frame
        twins = await write_twins(selected, state.contexts, recipe, asker, models.roster)
    heldout = heldout_prompts(state)
    exit_code = STOPPED_AT_BUDGET if twins.is_cut_short else _exit_code(asker, selected.height, selection, recipe)
    funnel = make_funnel(state, pool, selected.height, heldout.height)
    exemplars = exemplars_of(selected, recipe)
    if not selected.height:
        return Result(state, selection, exemplars, None, exit_code, funnel, {})
    tables = {
        "seeds": seeds,
        "contexts": state.contexts,
        "drafts": state.drafts,
        "verdicts": state.verdicts,
        "judgements": state.judgements,
        "selection": selection.table(pool),
        **twins.tables,
        **judge_tables(recipe, models, ledger),
    }
    facts = facts_of(recipe, models, ledger.spent(), state, selection, funnel, exit_code)
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
    for text in freeze(recipe, seeds, ledger, heldout=heldout_wanted(recipe)):
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


async def _rounds(recipe: Recipe, seeds: pl.DataFrame, asker: Asker, models: Models, on_event: OnEvent) -> State:
    """Rounds until the pool is large enough and its levels are filled, or the budget, or nothing new comes."""
    wanted, heldout = pool_wanted(recipe), heldout_wanted(recipe)
    whole = plan_contexts(recipe, seeds, train=math.ceil(wanted * PLAN_AHEAD), heldout=heldout)
    ahead = whole.filter(pl.col("split") == "train")
    desk = _Desk(recipe, seeds, asker, models, Novelty(), Closed(recipe, seeds), on_event, ahead)
    planned = _interleaved(whole.filter((pl.col("split") == "heldout") | (pl.col("position") < wanted)))
    _tell_what_is_not_sealed(recipe, seeds, on_event)
    foreseen = forecast_of(recipe, seeds, ahead.row(0, named=True), models, wanted=wanted, heldout=heldout)
    on_event(Event("forecast", {"usd": foreseen.usd, "tokens": foreseen.tokens}))
    state = State(contexts=planned.clear())
    todo = planned.with_columns(draw=pl.lit(0, pl.UInt8))
    full_rounds = fruitless = 0
    while todo.height and full_rounds < recipe.settings.run.max_rounds:
        todo, later = _affordable(todo, desk)
        if not todo.height:
            asker.budget.exhausted = True
            break
        full_rounds += not later.height
        fresh = todo.filter(pl.col("draw") == 0).drop("draw")
        state.contexts = pl.concat([state.contexts, fresh])
        redraws = todo.height - fresh.height
        on_event(Event("round", {"number": state.rounds + 1, "contexts": fresh.height, "redraws": redraws}))
        before = _usable(state)
        await _round(state, todo, desk)
        on_event(Event("pool", {"kept": state.pool.height, "wanted": wanted}))
        fruitless = 0 if _usable(state) > before else fruitless + (2 if todo.height >= FUTILE_DRAFTS else 1)
        if fruitless >= 2:
            on_event(Event("note", {"text": "nothing new comes: none of the last drafts can be used"}))
        if asker.budget.exhausted or fruitless >= 2:
            break
        todo = later
        if not later.height:
            following = next_round(state, recipe, pool_wanted=wanted, longer=partial(_longer, desk))
            _tell_what_is_closed(state.so_far, following.so_far, on_event)
            state.so_far, todo = following.so_far, following.contexts
    state.contexts = state.contexts.sort("split", "set", "position", descending=[True, False, False])
    return state


def _usable(state: State) -> int:
    """Drafts that came to something: selectable ones, and sealed prompts."""
    return state.pool.height + state.kept.filter(pl.col("split") == "heldout").height


def _tell_what_is_not_sealed(recipe: Recipe, seeds: pl.DataFrame, on_event: OnEvent) -> None:
    """Held-out prompts need lineages of their own: a facet with too few seeds has none, and that is said."""
    sealed = set(seeds.filter(pl.col("split") == "heldout")["facet"])
    without = [facet for facet in recipe.train_levels["facet"] if facet not in sealed]
    if recipe.settings.heldout.share and without:
        why = "a facet needs four seeds, or one on a sealed level"
        on_event(Event("note", {"text": f"no sealed prompts of {', '.join(without)}: {why}"}))


def _tell_what_is_closed(before: Tally, now: Tally, on_event: OnEvent) -> None:
    """Each cell that gets no more money, once."""
    known = {gone.cell for gone in before.given_up}
    for gone in now.given_up:
        if gone.cell not in known:
            on_event(Event("note", {"text": f"gives up {gone.words}"}))
    for axis, level in sorted(now.saturated - before.saturated):
        on_event(Event("note", {"text": f"{axis} = {level} is saturated: its drafts bring hardly a new idea any more"}))


def _interleaved(contexts: pl.DataFrame) -> pl.DataFrame:
    """Held-out contexts spread among training's, so that a run cut short by its budget has some of each."""
    share = (pl.col("position") + 1) / pl.len().over("set")
    return contexts.sort(share, "set", maintain_order=True)


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


def _affordable(todo: pl.DataFrame, desk: _Desk) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(now, later): `now` is what the budget can carry through every room at the worst; all without a budget.

    What was begun before goes on where it stopped; of the rest there is no more than can still be paid for.
    """
    paths = paths_with_twins(desk.recipe, desk.seeds, todo.row(0, named=True), desk.models)
    rooms = [room for _, path in paths if (room := desk.asker.budget.affordable(path)) is not None]
    if not rooms:
        return todo, todo.clear()
    of_run, of_ledger = (min(least) for least in zip(*rooms, strict=True))  # of the dearest teacher
    asks = scenario_asks(todo.head(of_run), desk.seeds, desk.recipe, desk.asker, teacher=desk.models.roster)
    begun = desk.asker.ledger.get_many([ask.id for ask in asks])
    count = sum(fresh <= of_ledger for fresh in accumulate(ask.id not in begun for ask in asks))
    return todo.head(count), todo.slice(count)


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
