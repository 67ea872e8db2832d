"""Contexts: what training sees and never sees, which seed each descends from, and what the deficits choose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from thousandfold.gen.contexts import (
    SPREAD,
    allowed_forbid,
    check_sealed,
    heldout_levels,
    plan_contexts,
)
from thousandfold.gen.contexts import plan_strength as strength_of
from thousandfold.gen.covering import coverage
from thousandfold.gen.errors import DamageError, RecipeError
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
        **{("heldout", name): 8 for name in ("id", "comp", "lodo", "far", "ctrl")},
    }
    assert planned["id"].n_unique() == planned.height
    assert planned.null_count().sum_horizontal().item() == 0


@pytest.mark.parametrize(("train", "heldout"), [(120, 13), (1, 1), (299, 39)])
def test_a_smaller_plan_is_a_prefix_of_a_larger_one_in_every_set(
    respect: Recipe, seeds: pl.DataFrame, planned: pl.DataFrame, train: int, heldout: int
) -> None:
    smaller = plan_contexts(respect, seeds, train=train, heldout=heldout)
    for name in ("train", "id", "comp", "lodo", "far", "ctrl"):
        part = of_set(smaller, name)
        assert part.equals(of_set(planned, name).head(part.height)), name


def test_no_context_holds_a_forbidden_combination_but_the_control_set_those_that_it_is_for(
    respect: Recipe, planned: pl.DataFrame
) -> None:
    rules = respect.settings.contexts.forbid
    no_fault = {"facet": "honest apology", "fault": "none"}
    assert len(rules) == 6
    assert no_fault in rules
    for row in planned.iter_rows(named=True):
        broken = [rule for rule in rules if rule.items() <= row.items()]
        assert broken == ([no_fault] if row["set"] == "ctrl" else [])


def test_training_and_the_other_sets_never_meet_a_sealed_level_and_lodo_and_far_always_do(
    planned: pl.DataFrame,
) -> None:
    domains, kinds = {"public service", "trades"}, {"dilemma"}
    assert not domains & set(planned.filter(pl.col("set") != "lodo")["domain"])
    assert set(planned.filter(pl.col("set") == "lodo")["domain"]) == domains
    assert not kinds & set(planned.filter(pl.col("set") != "far")["kind"])
    assert set(planned.filter(pl.col("set") == "far")["kind"]) == kinds


def test_training_sees_the_levels_of_a_withheld_tuple_apart_and_comp_sees_just_one_such_tuple(
    respect: Recipe, planned: pl.DataFrame
) -> None:
    assert len(respect.withheld) == 6
    for row in planned.iter_rows(named=True):
        held = [partial for partial in respect.withheld if partial.items() <= row.items()]
        assert len(held) == (row["set"] == "comp")
    train, comp = of_set(planned, "train"), of_set(planned, "comp")
    for at, partial in enumerate(respect.withheld):
        assert partial.items() <= comp.row(at, named=True).items(), "the tuples take turns"
        assert all(level in set(train[axis]) for axis, level in partial.items())


def test_the_plan_meets_every_pair_that_training_may_see_and_no_other(respect: Recipe, seeds: pl.DataFrame) -> None:
    train = of_set(plan_contexts(respect, seeds, train=150, heldout=0), "train").select(list(respect.axes))
    may_see = pairs_by_brute_force(respect)
    met = {pair for row in train.iter_rows(named=True) for pair in combinations(row.items(), 2)}
    assert met == may_see
    bound = max(Counter(tuple(axis for axis, _ in pair) for pair in may_see).values())
    seen = coverage(train, respect.train_levels, strength=2, forbid=allowed_forbid(respect, respect.train_levels))
    assert (seen.met, seen.possible, seen.bound) == (len(met), len(may_see), bound)
    assert bound <= (seen.met_by or 0) <= 1.1 * bound


def pairs_by_brute_force(recipe: Recipe) -> set[tuple[tuple[str, str], ...]]:
    """The pairs of levels in all contexts that training may have: the product of the axes, block by block."""
    names, levels = list(recipe.axes), recipe.train_levels
    possible: set[tuple[tuple[str, str], ...]] = set()
    frame = pl.DataFrame({"none": [0]})
    for axis in names:
        frame = frame.join(pl.DataFrame({axis: levels[axis]}), how="cross")
    for rule in recipe.never:
        if all(level in levels[axis] for axis, level in rule.items()):
            frame = frame.filter(~pl.all_horizontal([pl.col(axis) == level for axis, level in rule.items()]))
    for one, two in combinations(names, 2):
        possible |= {((one, a), (two, b)) for a, b in frame.select(one, two).unique().iter_rows()}
    return possible


def test_unless_a_recipe_says_so_two_domains_a_kind_and_six_pairs_are_sealed() -> None:
    silent = load(RESPECT, {"heldout": {}})
    assert silent.sealed == {"lodo": {"domain": ("public service", "trades")}, "far": {"kind": ("repair",)}, "ctrl": {}}
    assert len(silent.withheld) == 6
    levels = [item for partial in silent.withheld for item in partial.items()]
    assert len(set(levels)) == len(levels) == 12, "no level is in two pairs"
    assert len({tuple(partial) for partial in silent.withheld}) == 6, "no two axes give two"
    nothing = load(RESPECT, {"heldout": {"levels": {}, "far": {}, "pairs": 0}})
    assert (nothing.sealed, nothing.withheld) == ({"lodo": {}, "far": {}, "ctrl": {}}, ())
    unmeasured = load(RESPECT, {"heldout": {"share": 0.0}})
    assert (unmeasured.sealed, unmeasured.withheld) == (nothing.sealed, ())


def test_a_quota_on_an_axis_leaves_its_levels_to_training() -> None:
    recipe = load(RESPECT, {"heldout": {}, "selection.quotas": {"domain": {"trades": 3}}})
    assert recipe.sealed["lodo"] == {}


def test_a_level_in_which_the_value_is_not_called_for_is_seen_by_the_control_set_alone(tmp_path: Path) -> None:
    control = RECIPE + '[[heldout.control]]\ntone = "angry"\n'
    more = {f"seeds/{i}.md": seed(words=f"{i} gates") for i in range(4)}
    recipe = load(small_recipe(tmp_path, {"recipe.toml": control, **more}))
    contexts = plan_contexts(recipe, read_seeds(recipe), train=6, heldout=4)
    assert set(contexts.filter(pl.col("set") == "ctrl")["tone"]) == {"angry"}
    assert set(contexts.filter(pl.col("set") != "ctrl")["tone"]) == {"calm"}


def test_a_seed_on_what_training_never_sees_is_held_out(tmp_path: Path) -> None:
    words = RECIPE + '[[heldout.tuples]]\ndomain = "law"\ntone = "calm"\n'
    words += '[[heldout.control]]\ndomain = "farm"\ntone = "angry"\n'
    fronts = {"both": ("law", "calm"), "one": ("law", "angry"), "control": ("farm", "angry"), "other": ("farm", "calm")}
    files = {
        f"seeds/{name}.md": seed(words=name, front=f"levels:\n  domain: {domain}\n  tone: {tone}\n")
        for name, (domain, tone) in fronts.items()
    }
    none = {"seeds/fence.md": None, "seeds/gate.md": None}
    recipe = load(small_recipe(tmp_path, {"recipe.toml": words, **files, **none}))
    splits = dict(read_seeds(recipe).select("id", "split").iter_rows())
    assert splits == {"both": "heldout", "one": "train", "control": "heldout", "other": "train"}


@pytest.mark.parametrize(
    ("leak", "what"),
    [
        ({"domain": "trades"}, "holds the sealed domain = 'trades'"),
        ({"kind": "dilemma"}, "holds the sealed kind = 'dilemma'"),
        ({"domain": "software", "stance": "anxious"}, "holds domain = 'software' with stance = 'anxious'"),
        ({"facet": "honest apology", "fault": "none"}, "holds facet = 'honest apology' with fault = 'none'"),
        ({"seed_id": "a held-out one"}, "descends from a held-out seed"),
    ],
)
def test_a_planted_leak_of_what_is_sealed_is_refused(
    respect: Recipe, seeds: pl.DataFrame, planned: pl.DataFrame, leak: dict[str, str], what: str
) -> None:
    if "seed_id" in leak:
        leak = {"seed_id": seeds.filter(pl.col("split") == "heldout")["id"][0]}
    check_sealed(planned, seeds, respect)
    victim = of_set(planned, "train")["id"][7]
    calm = {"difficulty": "expert", "relationship": "friend", "fault": "user", "kind": "advice", "stance": "weary"}
    planted = planned.with_columns(
        pl.when(pl.col("id") == victim).then(pl.lit(level)).otherwise(pl.col(column)).alias(column)
        for column, level in {**calm, "domain": "law", "facet": "clear boundaries", **leak}.items()
    )
    with pytest.raises(DamageError) as caught:
        check_sealed(planted, seeds, respect)
    assert caught.value.what == f"the training context {victim} {what}"


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
    large = plan_contexts(recipe, rows, train=5, heldout=80)
    lodo = of_set(large, "lodo")
    assert lodo["position"].to_list() == list(range(16))
    assert (lodo["domain"] == "trades").to_list() == [True, False] * 8
    assert lodo["stance"].is_in(["proud", "weary"]).to_list() == [False, True] * 8
    small = of_set(plan_contexts(recipe, rows, train=5, heldout=40), "lodo")
    assert small.equals(lodo.head(small.height))


def test_a_sealed_level_that_rules_others_out_takes_them_out_of_the_sealed_set_only(respect: Recipe) -> None:
    recipe = load(RESPECT, {"heldout.levels": {"difficulty": ["assistant erred"]}})
    contexts = plan_contexts(recipe, read_seeds(recipe), train=60, heldout=20)
    assert set(of_set(contexts, "lodo")["fault"]) == {"assistant", "shared"}
    assert set(of_set(contexts, "train")["fault"]) == set(respect.levels["fault"])


def test_a_facet_may_be_sealed_whole() -> None:
    recipe = load(RESPECT, {"heldout.levels": {"facet": ["honest apology"]}, "heldout.control": []})
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
    assert [plan.set for plan in heldout_levels(recipe, rows)] == ["id"]
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
    assert len(allowed_forbid(respect, respect.train_levels)) == 6 + 1 + 6  # forbidden, control, withheld
    assert len(allowed_forbid(sealed, sealed.train_levels)) == 3 + 1 + 6


@pytest.mark.parametrize(("asked", "expected"), [("auto", 3), (1, 1), (2, 2), (4, 3)])
def test_the_strength_is_as_asked_and_at_most_the_number_of_axes(tmp_path: Path, asked: Any, expected: int) -> None:
    recipe = load(small_recipe(tmp_path), {"contexts.strength": asked})
    assert len(recipe.axes) == 3
    assert strength_of(recipe) == expected
