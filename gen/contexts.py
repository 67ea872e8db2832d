"""seeds → contexts: plan which combinations of levels to write for, and seal what training never sees.

The plan needs all axes at once; which seed a context descends from is decided context by context, in
plan order. A smaller plan is a prefix of a larger one, so a data set that grows keeps what it has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from .covering import covering_plan
from .errors import RecipeError
from .recipe import Recipe
from .tables import contexts_schema, frame, tagged_id

SPREAD = 1.25
"""A seed gets at most so many times its even share of contexts (and two more): close to even, while a
seed added later takes over little more than its own share (rendezvous hashing with bounded loads:
Mirrokni, Thorup, Zadimoghaddam, arXiv 1608.01350)."""


def plan_contexts(recipe: Recipe, seeds: pl.DataFrame, *, train: int, heldout: int) -> pl.DataFrame:
    """`train` contexts for training and `heldout` sealed ones, as a CONTEXTS frame with one column per axis.

    Held-out sets: `lodo` (a sealed level) and `id` (levels that training sees, lineages it does not), in
    equal parts. Raises RecipeError for constraints that clash and facets without seeds.
    """
    _check_facets(recipe, seeds)
    rows = _assign(recipe, seeds, "train", "train", recipe.train_levels, train)
    plans = heldout_levels(recipe, seeds)
    for index, (name, levels) in enumerate(plans):
        # The first plans take the remainder, so that the parts add up to `heldout`.
        count = heldout // len(plans) + (index < heldout % len(plans))
        part = _assign(recipe, seeds, "heldout", name, levels, count)
        # Plans of one set take turns, so that a smaller set is a prefix of a larger one.
        before, alike = (sum(other == name for other, _ in some) for some in (plans[:index], plans))
        rows += [{**row, "position": row["position"] * alike + before} for row in part]
    return frame(rows, contexts_schema(list(recipe.axes)))


def heldout_levels(recipe: Recipe, seeds: pl.DataFrame) -> list[tuple[str, dict[str, list[str]]]]:
    """(set, axis -> levels) of every held-out plan: one of the set `id`, then one of `lodo` for each sealed axis.

    Only facets with a held-out lineage take part, and of their levels those that the constraints then leave possible.
    """
    if recipe.settings.heldout.share == 0:
        return []
    lineages = set(seeds.filter(pl.col("split") == "heldout")["facet"])
    seen = recipe.train_levels
    sealed = [("lodo", {**seen, axis: list(levels)}) for axis, levels in recipe.settings.heldout.levels.items()]
    plans = []
    for name, levels in [("id", seen), *sealed]:
        own = {**levels, "facet": [facet for facet in levels["facet"] if facet in lineages]}
        rules = allowed_forbid(recipe, own)
        can = {axis: [level for level in own[axis] if _can_stand({axis: level}, own, rules)] for axis in own}
        if all(can.values()):
            plans.append((name, can))
    return plans


def _can_stand(
    given: Mapping[str, str], levels: Mapping[str, Sequence[str]], rules: Sequence[Mapping[str, str]]
) -> bool:
    """Whether a row with the `given` levels (by axis) exists that no rule forbids."""
    alive = [rule for rule in rules if all(given.get(axis, level) == level for axis, level in rule.items())]
    if not alive:
        return True
    undecided = next((axis for axis in alive[0] if axis not in given), None)
    return undecided is not None and any(
        _can_stand({**given, undecided: level}, levels, alive) for level in levels[undecided]
    )


def allowed_forbid(recipe: Recipe, levels: Mapping[str, Sequence[str]]) -> list[dict[str, str]]:
    """The recipe's forbidden combinations that can occur among `levels`."""
    return [f for f in recipe.settings.contexts.forbid if all(level in levels[axis] for axis, level in f.items())]


def plan_strength(recipe: Recipe) -> int:
    """The strength that is planned for: as asked, or 3 (pairs always come first, so any prefix is balanced)."""
    asked = recipe.settings.contexts.strength
    return min(3 if asked == "auto" else asked, len(recipe.axes))


def _assign(
    recipe: Recipe, seeds: pl.DataFrame, split: str, name: str, levels: Mapping[str, Sequence[str]], count: int
) -> list[dict[str, Any]]:
    if count == 0:
        return []
    plan = covering_plan(
        levels,
        strength=plan_strength(recipe) if split == "train" else min(2, len(levels)),
        size=count,
        forbid=allowed_forbid(recipe, levels),
        seed=recipe.settings.seed + sum(map(ord, name)) * (split == "heldout"),
    )
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
    return max(free, key=lambda seed_id: tagged_id("lineage", key, seed_id))


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
