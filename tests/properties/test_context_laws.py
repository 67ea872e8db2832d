"""Laws of the planned contexts, on recipes that are drawn."""

from __future__ import annotations

from pathlib import Path

import polars as pl
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from thousandfold.gen.contexts import plan_contexts
from thousandfold.gen.errors import RecipeError
from thousandfold.gen.recipe import Axis, Recipe, Rubric, Settings
from thousandfold.gen.seeds import read_seeds

RUBRIC = {"definition": "x", "levels": dict.fromkeys("01234", ""), "evidence": {"item": "x"}}


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    """Two to four axes and a facet, some rules, some sealed levels, one to six seeds a facet."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=2, max_size=4))
    facets = [f"f{i}" for i in range(draw(st.integers(1, 3)))]
    axes = {f"a{i}": [f"a{i}.{j}" for j in range(size)] for i, size in enumerate(sizes)} | {"facet": facets}
    rule = st.lists(st.sampled_from(list(axes)), min_size=2, max_size=2, unique=True).flatmap(
        lambda names: st.fixed_dictionaries({name: st.sampled_from(axes[name]) for name in names})
    )
    sealed = {axis: tuple(levels[1:2]) for axis, levels in axes.items() if len(levels) > 2 and draw(st.booleans())}
    files = {
        f"seeds/{facet}.{i}.md": f"---\nfacet: {facet}\n---\n## user\n{i}?\n## assistant\n{i}.\n".encode()
        for facet in facets
        for i in range(draw(st.integers(1, 6)))
    }
    rubrics = {facet: Rubric.model_validate({"facet": facet, **RUBRIC}) for facet in facets}
    wanted = {
        "name": "drawn",
        "seed": draw(st.integers(0, 9)),
        "contexts": {"forbid": draw(st.lists(rule, max_size=3))},
        "heldout": {"levels": sealed, "share": 0.3},
    }
    return Recipe(
        path=Path("drawn"),
        settings=Settings.model_validate(wanted, strict=False),
        axes={axis: Axis(levels=dict.fromkeys(levels, "")) for axis, levels in axes.items()},
        rubrics=rubrics,
        files=files,
    )


@given(recipes(), st.integers(1, 30), st.integers(0, 30), st.integers(0, 12), st.integers(0, 12))
@settings(max_examples=40, deadline=None)
def test_plans_keep_to_the_rules_the_seals_and_the_lineages_and_grow_by_prefixes(
    recipe: Recipe, train: int, more_train: int, heldout: int, more_heldout: int
) -> None:
    seeds = read_seeds(recipe)
    try:
        plan_contexts(recipe, seeds, train=1, heldout=0)
    except RecipeError:  # rules that leave a level no row, or a sealed facet with all the seeds
        assume(False)
    large = plan_contexts(recipe, seeds, train=train + more_train, heldout=heldout + more_heldout)
    small = plan_contexts(recipe, seeds, train=train, heldout=heldout)
    sealed = {(axis, level) for axis in recipe.axes for level in recipe.sealed_of(axis)}
    sides = dict(seeds.select("id", "split").iter_rows())
    assert large["id"].n_unique() == large.height
    for row in large.iter_rows(named=True):
        broken = [rule for rule in recipe.never if rule.items() <= row.items()]
        assert broken == [] or (row["set"] == "comp" and len(broken) == 1 and broken[0] in recipe.withheld)
        assert bool(sealed & row.items()) == (row["set"] == "lodo")
        assert (row["split"] == "train") == (row["set"] == "train")
        assert sides[row["seed_id"]] == row["split"]
    for (name,), part in small.group_by("set"):
        whole = large.filter(pl.col("set") == name).sort("position")
        assert part.sort("position").equals(whole.head(part.height)), name
    assert small.filter(pl.col("split") == "train").height == train
    assert small.filter(pl.col("split") == "heldout").height in (0, heldout)
