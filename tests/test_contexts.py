"""Contexts: what training sees and never sees, which seed each descends from, and what the deficits choose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from thousandfold.gen.contexts import SPREAD, allowed_forbid, heldout_levels, plan_contexts
from thousandfold.gen.contexts import plan_strength as strength_of
from thousandfold.gen.errors import RecipeError
from thousandfold.gen.recipe import Recipe, load
from thousandfold.gen.seeds import read_seeds
from thousandfold.gen.tables import contexts_schema

from ._recipes import RECIPE, RESPECT, rubric, seed, small_recipe

TRAIN, HELDOUT = 300, 40


@pytest.fixture(scope="module")
def respect() -> Recipe:
    return load(RESPECT)


@pytest.fixture(scope="module")
def seeds(respect: Recipe) -> pl.DataFrame:
    return read_seeds(respect)


@pytest.fixture(scope="module")
def planned(respect: Recipe, seeds: pl.DataFrame) -> pl.DataFrame:
    return plan_contexts(respect, seeds, train=TRAIN, heldout=HELDOUT)


def of_set(contexts: pl.DataFrame, name: str) -> pl.DataFrame:
    return contexts.filter(pl.col("set") == name).sort("position")


def test_a_plan_has_as_many_contexts_as_asked_for_and_a_column_for_every_axis(
    respect: Recipe, planned: pl.DataFrame
) -> None:
    assert dict(planned.schema) == contexts_schema(list(respect.axes))
    assert Counter(planned.select("split", "set").iter_rows()) == {
        ("train", "train"): 300,
        ("heldout", "id"): 20,
        ("heldout", "lodo"): 20,
    }
    assert planned["id"].n_unique() == planned.height
    assert planned.null_count().sum_horizontal().item() == 0


@pytest.mark.parametrize(("train", "heldout"), [(120, 13), (1, 1), (299, 39)])
def test_a_smaller_plan_is_a_prefix_of_a_larger_one_in_every_set(
    respect: Recipe, seeds: pl.DataFrame, planned: pl.DataFrame, train: int, heldout: int
) -> None:
    smaller = plan_contexts(respect, seeds, train=train, heldout=heldout)
    for name in ("train", "id", "lodo"):
        part = of_set(smaller, name)
        assert part.equals(of_set(planned, name).head(part.height)), name


def test_no_context_holds_a_forbidden_combination(respect: Recipe, planned: pl.DataFrame) -> None:
    rules = respect.settings.contexts.forbid
    assert len(rules) == 6
    for row in planned.iter_rows(named=True):
        assert not any(rule.items() <= row.items() for rule in rules)


def test_training_and_the_id_set_never_meet_a_sealed_level_and_lodo_always_does(planned: pl.DataFrame) -> None:
    sealed = {"public service", "trades"}
    assert not sealed & set(planned.filter(pl.col("set") != "lodo")["domain"])
    assert set(planned.filter(pl.col("set") == "lodo")["domain"]) == sealed


def test_training_and_held_out_contexts_share_no_lineage(seeds: pl.DataFrame, planned: pl.DataFrame) -> None:
    split_of = dict(seeds.select("id", "split").iter_rows())
    facet_of = dict(seeds.select("id", "facet").iter_rows())
    for row in planned.iter_rows(named=True):
        assert split_of[row["seed_id"]] == row["split"]
        assert facet_of[row["seed_id"]] == row["facet"]


def test_the_seeds_of_a_facet_are_used_about_evenly_at_every_prefix(seeds: pl.DataFrame, planned: pl.DataFrame) -> None:
    for facet in seeds["facet"].unique():
        own = seeds.filter((pl.col("facet") == facet) & (pl.col("split") == "train"))["id"].to_list()
        drawn = of_set(planned, "train").filter(pl.col("facet") == facet)["seed_id"].to_list()
        loads: Counter[str] = Counter()
        for count, seed_id in enumerate(drawn, start=1):
            loads[seed_id] += 1
            assert max(loads.values()) <= SPREAD * count / len(own) + 2
        assert min(loads[seed_id] for seed_id in own) >= 0.5 * len(drawn) / len(own)


def test_one_more_seed_takes_over_little_more_than_its_own_share(
    respect: Recipe, seeds: pl.DataFrame, planned: pl.DataFrame
) -> None:
    after = of_set(planned, "train")
    for facet in seeds["facet"].unique():
        own = seeds.filter((pl.col("facet") == facet) & (pl.col("split") == "train"))["id"].sort()
        added = own[0]
        before = of_set(plan_contexts(respect, seeds.filter(pl.col("id") != added), train=TRAIN, heldout=0), "train")
        assert after.drop("id", "seed_id").equals(before.drop("id", "seed_id"))
        same = after["id"] == before["id"]
        assert (same == (after["seed_id"] == before["seed_id"])).all()
        drawn = after.filter(pl.col("facet") == facet).height
        changed = TRAIN - int(same.sum())
        assert 0 < changed <= 1.5 * drawn / len(own), facet  # an even share is drawn / len(own)
        assert (after.filter(~same)["facet"] == facet).all()


def test_two_sealed_axes_take_turns_in_the_lodo_set() -> None:
    sealed = {"domain": ["trades"], "stance": ["proud", "weary"]}
    recipe = load(RESPECT, {"heldout.levels": sealed})
    rows = read_seeds(recipe)
    large = plan_contexts(recipe, rows, train=5, heldout=24)
    lodo = of_set(large, "lodo")
    assert lodo["position"].to_list() == list(range(16))
    assert (lodo["domain"] == "trades").to_list() == [True, False] * 8
    assert lodo["stance"].is_in(["proud", "weary"]).to_list() == [False, True] * 8
    small = of_set(plan_contexts(recipe, rows, train=5, heldout=12), "lodo")
    assert small.equals(lodo.head(small.height))


def test_a_sealed_level_that_rules_others_out_takes_them_out_of_the_sealed_set_only(respect: Recipe) -> None:
    recipe = load(RESPECT, {"heldout.levels": {"difficulty": ["assistant erred"]}})
    contexts = plan_contexts(recipe, read_seeds(recipe), train=60, heldout=20)
    assert set(of_set(contexts, "lodo")["fault"]) == {"assistant", "shared"}
    assert set(of_set(contexts, "train")["fault"]) == set(respect.levels["fault"])


def test_a_facet_may_be_sealed_whole() -> None:
    recipe = load(RESPECT, {"heldout.levels": {"facet": ["honest apology"]}})
    contexts = plan_contexts(recipe, read_seeds(recipe), train=60, heldout=20)
    assert set(of_set(contexts, "lodo")["facet"]) == {"honest apology"}
    assert "honest apology" not in set(contexts.filter(pl.col("set") != "lodo")["facet"])


def test_a_sealed_facet_without_a_seed_has_no_set(tmp_path: Path) -> None:
    sealed = RECIPE + '[heldout.levels]\nfacet = ["tact"]\n'
    files = {
        "recipe.toml": sealed,
        "values/tact.toml": rubric("tact"),
        "seeds/a.md": seed(),
        "seeds/b.md": seed(words="b"),
    }
    recipe = load(small_recipe(tmp_path, {**files, "seeds/c.md": seed(words="c")}))
    rows = read_seeds(recipe)
    assert [name for name, _ in heldout_levels(recipe, rows)] == ["id"]
    assert set(plan_contexts(recipe, rows, train=4, heldout=2)["facet"]) == {"candour"}


def test_nothing_is_held_out_without_a_share_or_without_a_held_out_lineage(tmp_path: Path, seeds: pl.DataFrame) -> None:
    whole = load(RESPECT, {"heldout.share": 0.0})
    assert plan_contexts(whole, seeds, train=10, heldout=5)["split"].unique().to_list() == ["train"]
    few = load(small_recipe(tmp_path))
    assert plan_contexts(few, read_seeds(few), train=10, heldout=5)["split"].unique().to_list() == ["train"]


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"values/tact.toml": rubric("tact")}, "SEEDS: the facet 'tact' has no seed for training"),
        (
            {
                "recipe.toml": RECIPE + '[heldout.levels]\ndomain = ["farm"]\n',
                "values/tact.toml": rubric("tact"),
                "seeds/t.md": seed("tact", front="levels:\n  domain: farm\n"),
            },
            "SEEDS: the facet 'tact' has no seed for training (its 1 are on sealed levels)",
        ),
    ],
)
def test_a_facet_without_a_seed_for_training_is_refused(tmp_path: Path, changes: Mapping[str, str], what: str) -> None:
    recipe = load(small_recipe(tmp_path, changes))
    with pytest.raises(RecipeError) as caught:
        plan_contexts(recipe, read_seeds(recipe), train=4, heldout=0)
    assert caught.value.what.replace(str(tmp_path / "seeds"), "SEEDS") == what
    assert caught.value.why == "every context descends from a hand-written exemplar of its facet"
    assert caught.value.do == "write a seed with facet: tact, or take that level out of axes.toml"


def test_constraints_that_leave_a_level_no_row_are_refused_with_their_words(tmp_path: Path) -> None:
    rules = "".join(f'[[contexts.forbid]]\ndomain = "law"\ntone = "{tone}"\n' for tone in ("calm", "angry"))
    recipe = load(small_recipe(tmp_path, {"recipe.toml": RECIPE + rules}))
    with pytest.raises(RecipeError, match="domain = 'law'"):
        plan_contexts(recipe, read_seeds(recipe), train=4, heldout=0)


def test_constraints_about_sealed_levels_do_not_concern_training(respect: Recipe) -> None:
    sealed = load(RESPECT, {"heldout.levels": {"difficulty": ["assistant erred"]}})
    assert len(allowed_forbid(respect, respect.train_levels)) == 6
    assert len(allowed_forbid(sealed, sealed.train_levels)) == 3


@pytest.mark.parametrize(("asked", "expected"), [("auto", 3), (1, 1), (2, 2), (4, 3)])
def test_the_strength_is_as_asked_and_at_most_the_number_of_axes(tmp_path: Path, asked: Any, expected: int) -> None:
    recipe = load(small_recipe(tmp_path), {"contexts.strength": asked})
    assert len(recipe.axes) == 3
    assert strength_of(recipe) == expected
