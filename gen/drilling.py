"""The drill: flaws planted among clean drafts at known places, the recipe's filters, and what they made of them.

Everything is composed by rehearsal for the recipe's own contexts, and nothing is asked of a paid model. In two rounds,
because a run compares with closed rounds too: the first holds half of the clean and sealed drafts, the second the rest
and everything planted. So half of the copies repeat a draft of their own round, half one of the round before.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from thousandfold import filters

from .asking import Asker, StopSignal
from .budget import Budget
from .contexts import plan_contexts
from .drafts import Novelty, write_drafts
from .drill_kinds import KINDS
from .drill_rows import Planted, plant
from .errors import RecipeError
from .events import Event, OnEvent, ignore
from .judgements import judge_drafts
from .ledger import Ledger
from .paths import judge_of
from .pipeline import NO_BUDGET, filtered
from .recipe import Recipe, load
from .seeds import read_seeds
from .state import State
from .tables import said_by
from .teachers.rehearsal import RehearsalJudge, RehearsalTeacher
from .verdicts import Closed
from .waiting import wait

CLEAN, PLANTED = 2000, 200
ROUNDS = 2
LOWEST_SURE_COPY = 0.7  # the Jaccard from which copies are planted to be caught


@dataclass(frozen=True)
class Drill:
    """What the filters of a recipe catch of flaws that were planted, and what they drop of the clean.

    kinds         one row per kind of flaw, as `filters.detection` gives it
    misses        `kind, id, dropped_as`, the texts `asked` and `answered` (planted secrets masked), and `facts`:
                  JSON of what was measured when it was planted
    false_alarms  clean drafts that were dropped, counted: any reason first, then each
    alarms        the verdicts that these counts are of, with the texts `asked` and `answered`
    planted       `id, kind, original, facts` of every planted draft
    verdicts      VERDICTS frame of all drafts
    drafts        DRAFTS frame of all drafts, planted and clean
    contexts      CONTEXTS frame with one column per axis: the plan's, and those of lineage leaks
    apart         what is measured but no filter's to drop: `hollow` (by the rehearsal judge), `opening_tic`
    summary       `recipe, seed, clean, planted, off, notes`
    """

    kinds: pl.DataFrame
    misses: pl.DataFrame
    false_alarms: pl.DataFrame
    alarms: pl.DataFrame
    planted: pl.DataFrame
    verdicts: pl.DataFrame
    drafts: pl.DataFrame
    contexts: pl.DataFrame
    apart: Mapping[str, Any]
    summary: Mapping[str, Any]


def drill(
    recipe: str | Path,
    *,
    clean: int = CLEAN,
    planted: int = PLANTED,
    seed: int | None = None,
    on_event: OnEvent | None = None,
    names: Mapping[str, str] | None = None,
) -> Drill:
    """`clean` drafts for the recipe's contexts and `planted` flawed ones of each kind, through the recipe's filters.

    Equal arguments give an equal drill. It asks rehearsal only, whatever teacher the recipe names, and writes nothing
    into the recipe's output directory. A kind that a recipe gives no ground for (no sealed seeds, prompts too short to
    echo) is planted less often, or not at all, and the counts say so. Raises RecipeError.
    """
    _check(clean, planted)
    loaded, notes = _loaded(recipe, seed, names)
    tell = on_event or ignore
    seeds = read_seeds(loaded)
    tell(Event("room", {"name": "drafts", "total": clean}))
    contexts = _contexts(loaded, seeds, clean, planted)
    with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder) / "ledger.sqlite") as ledger:
        desk = _asker(ledger, tell)
        whole = wait(_clean(contexts, seeds, loaded, desk), StopSignal())
        flawed = plant(whole, contexts, seeds, loaded, count=planted)
        tell(Event("room", {"name": "verdicts", "total": whole.height + flawed.drafts.height}))
        state = _judged(whole, flawed, contexts, seeds, loaded)
        found = filters.detection(flawed.truth, state.verdicts, {kind: known.reasons for kind, known in KINDS.items()})
        hollow = wait(_hollow(state, flawed.truth, loaded, desk), StopSignal())
    texts = state.drafts.select("id", asked=said_by(state.drafts, "user"), answered=said_by(state.drafts, "assistant"))
    facts = flawed.truth.select("id", "facts")
    misses = found.misses.join(texts, on="id", maintain_order="left").join(facts, on="id", maintain_order="left")
    return Drill(
        kinds=found.kinds,
        misses=misses.with_columns(
            answered=pl.Series(list(map(_masked, misses["answered"], misses["facts"])), dtype=pl.String)
        ),
        false_alarms=found.false_alarms,
        alarms=found.alarms.join(texts, on="id", maintain_order="left"),
        planted=flawed.truth,
        verdicts=state.verdicts,
        drafts=state.drafts,
        contexts=state.contexts,
        apart={"hollow": hollow, "opening_tic": _tics(texts, flawed.truth)},
        summary={
            "recipe": loaded.settings.name,
            "seed": loaded.settings.seed,
            "clean": int(found.false_alarms["clean"][0]),
            "planted": flawed.truth.height,
            "off": list(loaded.settings.filters.off),
            "notes": [*notes, *_unplanted(found.kinds, planted)],
        },
    )


def _check(clean: int, planted: int) -> None:
    for name, value, least in (("clean", clean, ROUNDS), ("planted", planted, 1)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise RecipeError(
                what=f"{name} is {value!r}",
                why="it is how many drafts are composed, and both rounds need some",
                do=f"give a whole number from {least} up",
            )


def _loaded(recipe: str | Path, seed: int | None, names: Mapping[str, str] | None) -> tuple[Recipe, list[str]]:
    """The recipe as it is, but in English: rehearsal has no other language."""
    overrides = {} if seed is None else {"seed": seed}
    loaded = load(recipe, overrides, names=names)
    language, threshold = loaded.settings.language, loaded.settings.filters.near_duplicate_threshold
    notes = []
    if language.lower().partition("-")[0] != "en":
        notes.append(f"the recipe's language is {language}; rehearsal writes English, and is filtered as English")
        loaded = load(recipe, {**overrides, "language": "en"}, names=names)
    if threshold > LOWEST_SURE_COPY:
        notes.append(f"near_duplicate_threshold is {threshold:g}: near copies less alike are rightly kept")
    return loaded, notes


def _contexts(recipe: Recipe, seeds: pl.DataFrame, clean: int, planted: int) -> pl.DataFrame:
    """CONTEXTS as a run would plan them, with the round of each; sealed ones for the leaks to repeat."""
    plan = plan_contexts(recipe, seeds, train=clean, heldout=min(planted, clean))
    return plan.with_columns(_round=(pl.col("position") % ROUNDS + 1).cast(pl.UInt16))


def _asker(ledger: Ledger, on_event: OnEvent) -> Asker:
    models = (RehearsalTeacher(near_copy=0, cut_off=0, hollow=0), RehearsalJudge())
    budget = Budget(NO_BUDGET, {}, ledger.spent())
    return Asker(ledger=ledger, teachers={model.model: model for model in models}, budget=budget, on_event=on_event)


async def _clean(contexts: pl.DataFrame, seeds: pl.DataFrame, recipe: Recipe, asker: Asker) -> pl.DataFrame:
    """The drafts room on the contexts, written without a flaw; `round` is that of the context."""
    teacher = RehearsalTeacher(near_copy=0, cut_off=0, hollow=0).model
    todo = contexts.drop("_round").with_columns(draw=pl.lit(0, pl.UInt8))
    drafts = await write_drafts(todo, seeds, recipe, asker, Novelty(), teacher=teacher, round_number=1)
    return drafts.with_columns(round=contexts["_round"])


def _judged(whole: pl.DataFrame, flawed: Planted, contexts: pl.DataFrame, seeds: pl.DataFrame, recipe: Recipe) -> State:
    """The verdicts room on both rounds, as a run would: what the first kept is closed before the second."""
    plan = pl.concat([contexts.drop("_round"), flawed.contexts])
    drafts = pl.concat([whole, flawed.drafts])
    state, closed = State(contexts=plan), Closed(recipe, seeds)
    for number in range(1, ROUNDS + 1):
        own = drafts.filter(pl.col("round") == number)
        verdicts, scores = filtered(own, plan, seeds, recipe, closed)
        state.rounds = number
        state.drafts = pl.concat([state.drafts, own])
        state.verdicts = pl.concat([state.verdicts, verdicts])
        state.form_scores = pl.concat([state.form_scores, scores])
        closed.add(state.kept.filter(pl.col("round") == number))
    return state


async def _hollow(state: State, truth: pl.DataFrame, recipe: Recipe, asker: Asker) -> dict[str, Any]:
    """What the rehearsal judge makes of hollow drafts, and of as many clean ones: mean level, and rows below 2."""
    hollow = truth.filter(pl.col("kind") == "hollow")["id"]
    clean = state.drafts.filter(~pl.col("id").is_in(truth["id"].implode()))["id"].head(len(hollow))
    rows = state.drafts.filter(pl.col("id").is_in(pl.concat([hollow, clean]).implode()))
    facets = state.contexts.select(context_id="id", facet="facet")
    rows = rows.join(facets, on="context_id", maintain_order="left")
    judged = await judge_drafts(rows, recipe.rubrics, asker, judge_of(recipe, RehearsalJudge()))
    found: dict[str, Any] = {"judge": RehearsalJudge().model}
    for name, ids in (("hollow", hollow), ("clean", clean)):
        levels = judged.filter(pl.col("id").is_in(ids.implode()) & pl.col("level").is_not_null())["level"]
        found[name] = {"judged": len(levels), "mean_level": levels.mean(), "below_2": int((levels < 2).sum())}
    return found


def _tics(texts: pl.DataFrame, truth: pl.DataFrame) -> dict[str, Any]:
    """Whether the planted opening is seen as one family, and how large that is among all openings."""
    openings = texts.select("id", family=filters.tic_families(texts["answered"])["opening"])
    planted = openings.filter(pl.col("id").is_in(truth.filter(pl.col("kind") == "opening_tic")["id"].implode()))
    if not planted.height:
        return {"planted": 0, "family": None, "in_family": 0, "rows_in_family": 0, "rows": openings.height}
    counts = planted["family"].drop_nulls().value_counts().sort("count", "family", descending=[True, False])
    family, in_family = counts.row(0) if counts.height else (None, 0)
    return {
        "planted": planted.height,
        "family": family,
        "in_family": in_family,
        "rows_in_family": openings.filter(pl.col("family") == family).height,
        "rows": openings.height,
    }


def _masked(answered: str | None, facts: str) -> str | None:
    """The answer without the secret that was planted in it, which the filters did not see."""
    known = json.loads(facts)
    if answered is None or "from_end" not in known:
        return answered
    start = len(answered) - known["from_end"]
    return f"{answered[:start]}[{known['what']}]{answered[start + known['length'] :]}"


def _unplanted(kinds: pl.DataFrame, wanted: int) -> list[str]:
    short = kinds.filter(pl.col("planted") < wanted).select("kind", "planted").iter_rows()
    return [f"{kind}: planted {count} of {wanted}, for want of ground in this recipe" for kind, count in short]
