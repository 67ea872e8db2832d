"""seeds → contexts: plan which combinations of levels to write for, and seal what training never sees.

The plan needs all axes at once; which seed a context descends from is decided context by context, in
plan order. A smaller plan is a prefix of a larger one, so a data set that grows keeps what it has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import polars as pl

from .covering import countable_strength, covering_plan, sealed_plan
from .errors import DamageError, RecipeError
from .recipe import Recipe
from .sealed import can_stand, lifted, occurs
from .tables import contexts_schema, frame, tagged_id

SPREAD = 1.25
"""A seed gets at most so many times its even share of contexts (and two more): close to even, while a
seed added later takes over little more than its own share (rendezvous hashing with bounded loads:
Mirrokni, Thorup, Zadimoghaddam, arXiv 1608.01350)."""


class HeldoutPlan(NamedTuple):
    """One plan of a held-out set: the levels that it varies, and the combinations that it must not hold."""

    set: str
    levels: Mapping[str, Sequence[str]]
    forbid: Sequence[Mapping[str, str]]


def plan_contexts(recipe: Recipe, seeds: pl.DataFrame, *, train: int, heldout: int) -> pl.DataFrame:
    """`train` contexts for training and `heldout` sealed ones, as a CONTEXTS frame with one column per axis.

    The held-out sets that the recipe has get equal parts: `id` (levels that training sees, lineages it does not),
    `comp` (a tuple of levels that training sees apart but never together), `lodo` (a sealed level), `far` (a sealed
    language or kind), `ctrl` (the value is not called for). Raises RecipeError for constraints that clash and facets
    without seeds, and DamageError should a sealed context ever come among training's.
    """
    _check_facets(recipe, seeds)
    rows = _assign(seeds, "train", "train", _train_plan(recipe, train))
    plans = heldout_levels(recipe, seeds)
    sets = list(dict.fromkeys(plan.set for plan in plans))
    for at, name in enumerate(sets):
        alike = [plan for plan in plans if plan.set == name]
        own = []
        for before, plan in enumerate(alike):
            # Plans of one set take turns, so that a smaller set is a prefix of a larger one.
            count = _part(_part(heldout, len(sets), at), len(alike), before)
            part = _assign(seeds, "heldout", name, _heldout_plan(recipe, plan, count))
            own += [{**row, "position": row["position"] * len(alike) + before} for row in part]
        rows += sorted(own, key=lambda row: int(row["position"]))
    contexts = frame(rows, contexts_schema(list(recipe.axes)))
    check_sealed(contexts, seeds, recipe)
    return contexts


def _part(whole: int, parts: int, at: int) -> int:
    """The first parts take the remainder, so that they add up to the whole."""
    return whole // parts + (at < whole % parts)


def heldout_levels(recipe: Recipe, seeds: pl.DataFrame) -> list[HeldoutPlan]:
    """The held-out plans: one of `id`, one of `comp` for each withheld tuple, one of `lodo` and `far` for each axis
    with sealed levels, one of `ctrl` for each combination without the value.

    Only facets with a held-out lineage take part, and of their levels those that the constraints then leave possible.
    """
    if recipe.settings.heldout.share == 0:
        return []
    lineages = set(seeds.filter(pl.col("split") == "heldout")["facet"])
    wanted: list[tuple[str, Mapping[str, Sequence[str]]]] = [("id", {})]
    wanted += [("comp", _only(partial)) for partial in recipe.withheld]
    wanted += [(name, {axis: levels}) for name in ("lodo", "far") for axis, levels in recipe.sealed[name].items()]
    wanted += [("ctrl", _only(partial)) for partial in recipe.settings.heldout.control]
    plans = []
    for name, fixed in wanted:
        own = {**recipe.train_levels, **fixed}
        own["facet"] = [facet for facet in own["facet"] if facet in lineages]
        if not own["facet"]:
            continue
        lift = {axis: levels[0] for axis, levels in fixed.items()} if name in ("comp", "ctrl") else {}
        rules = lifted(allowed_forbid(recipe, own), lift)
        can = {axis: [level for level in own[axis] if can_stand({axis: level}, own, rules)] for axis in own}
        if all(can.values()):
            plans.append(HeldoutPlan(name, can, [rule for rule in rules if occurs(rule, can)]))
    return plans


def _only(partial: Mapping[str, str]) -> dict[str, list[str]]:
    return {axis: [level] for axis, level in partial.items()}


def check_sealed(contexts: pl.DataFrame, seeds: pl.DataFrame, recipe: Recipe) -> None:
    """Raises DamageError where a context for training holds what training never sees, or descends from a sealed seed.

    That is: a sealed level, a combination that is forbidden, withheld or without the value, a held-out lineage, or
    just the levels of a held-out context of the sets that are told from training by their levels.
    """
    train = contexts.filter(pl.col("split") == "train")
    sealed_seeds = seeds.filter(pl.col("split") == "heldout")
    lineages = pl.concat([sealed_seeds["id"], sealed_seeds["lineage"]])
    found = [("descends from a held-out seed", pl.col("seed_id").is_in(lineages.implode()))]
    found += [
        (f"holds the sealed {axis} = {level!r}", pl.col(axis) == level)
        for axis in recipe.axes
        for level in recipe.sealed_of(axis)
    ]
    found += [
        (f"holds {' with '.join(f'{axis} = {level!r}' for axis, level in rule.items())}", _holds(rule))
        for rule in recipe.never
    ]
    for what, expression in found:
        leaked = train.filter(expression)
        if leaked.height:
            raise DamageError(
                what=f"the training context {leaked['id'][0]} {what}",
                why="then the sealed sets would not measure what training never saw",
                do="report this: the plan must never make such a context",
            )


def _holds(partial: Mapping[str, str]) -> pl.Expr:
    return pl.all_horizontal([pl.col(axis) == level for axis, level in partial.items()])


def allowed_forbid(recipe: Recipe, levels: Mapping[str, Sequence[str]]) -> list[Mapping[str, str]]:
    """What no context for training may hold, as far as it can occur among `levels`."""
    return [rule for rule in recipe.never if occurs(rule, levels)]


def plan_strength(recipe: Recipe) -> int:
    """The strength that is planned for: as asked, or the highest up to 3 whose tuples can be counted in memory.

    Pairs always come first, so any prefix is balanced.
    """
    asked = recipe.settings.contexts.strength
    return min(countable_strength(recipe.train_levels) if asked == "auto" else asked, len(recipe.axes))


def _train_plan(recipe: Recipe, count: int) -> pl.DataFrame:
    levels, strength = recipe.train_levels, plan_strength(recipe)
    forbid = allowed_forbid(recipe, levels)
    return covering_plan(levels, strength=strength, size=count, forbid=forbid, seed=recipe.settings.seed)


def _heldout_plan(recipe: Recipe, plan: HeldoutPlan, count: int) -> pl.DataFrame:
    seed = recipe.settings.seed + sum(map(ord, plan.set))
    return sealed_plan(plan.levels, size=count, forbid=plan.forbid, seed=seed)


def _assign(seeds: pl.DataFrame, split: str, name: str, plan: pl.DataFrame) -> list[dict[str, Any]]:
    by_facet = {
        str(facet): sorted(part["id"])
        for (facet,), part in seeds.filter(pl.col("split") == split).group_by("facet", maintain_order=True)
    }
    loads: Counter[str] = Counter()
    drawn: Counter[str] = Counter()
    seen: Counter[tuple[Any, ...]] = Counter()
    repeats: Counter[tuple[Any, ...]] = Counter()
    rows = []
    for position, row in enumerate(plan.iter_rows(named=True)):
        cell = tuple(row.values())
        key = tagged_id("cell", name, *map(str, cell), str(seen[cell]))
        seen[cell] += 1
        facet = row["facet"]
        seed_id = _seed_for(key, by_facet[facet], loads, drawn[facet])
        loads[seed_id] += 1
        drawn[facet] += 1
        context_id = tagged_id("c", key, seed_id, split)
        place = {"split": split, "set": name, "position": position, "repeat": repeats[cell, seed_id]}
        repeats[cell, seed_id] += 1
        rows.append({"id": context_id, "seed_id": seed_id, **place, **row})
    return rows


def _seed_for(key: str, seed_ids: Sequence[str], loads: Mapping[str, int], drawn: int) -> str:
    """The seed with the highest hash for this context among those that are not over their share yet."""
    cap = int(SPREAD * (drawn + 1) / len(seed_ids)) + 2
    free = [seed_id for seed_id in seed_ids if loads[seed_id] < cap]
    if len(free) == 1:
        return free[0]
    mixed = blake2b(key.encode(), digest_size=8)
    return max(free, key=lambda seed_id: _digest(mixed, seed_id))


def _digest(mixed: blake2b, seed_id: str) -> bytes:
    own = mixed.copy()
    own.update(seed_id.encode("utf-8", "surrogatepass"))
    return own.digest()


def _check_facets(recipe: Recipe, seeds: pl.DataFrame) -> None:
    have = set(seeds.filter(pl.col("split") == "train")["facet"])
    for facet in recipe.train_levels["facet"]:
        if facet not in have:
            held = seeds.filter(pl.col("facet") == facet).height
            raise RecipeError(
                what=f"{recipe.path / 'seeds'}: the facet {facet!r} has no seed for training"
                + (f" (its {held} are on sealed levels)" if held else ""),
                why="every context descends from a hand-written exemplar of its facet",
                do=f"write a seed with facet: {facet}, or take that level out of axes.toml",
            )
