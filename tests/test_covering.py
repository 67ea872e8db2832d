"""The covering plan against brute force: tuples are counted here with itertools alone."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import combinations, product
from math import prod
from random import Random
from typing import Any

import numpy as np
import polars as pl
import pytest

from thousandfold.gen.constraints import Space
from thousandfold.gen.covering import Coverage, coverage, covering_plan, met_strength, uniform_coverage
from thousandfold.gen.errors import RecipeError
from thousandfold.gen.planner import Planner
from thousandfold.gen.tuples import Tuples

Row = tuple[str, ...]
Axes = dict[str, list[str]]
Forbid = Sequence[Mapping[str, str]]


def axes_of(*sizes: int) -> Axes:
    return {f"axis{i}": [f"level{i}.{j}" for j in range(size)] for i, size in enumerate(sizes)}


EIGHT = axes_of(12, 10, 8, 6, 5, 5, 4, 4)
APOLOGY: Axes = {
    "facet": ["honest apology", "clear boundaries", "thoughtful criticism"],
    "fault": ["none", "user", "assistant", "third party"],
    "difficulty": ["assistant erred", "pressure", "expert"],
    "kind": ["advice", "repair"],
    "stakes": ["everyday", "serious", "irreversible"],
}
NEEDS_A_FAULT: Forbid = [
    {"facet": "honest apology", "fault": "none"},
    {"facet": "honest apology", "fault": "third party"},
    {"difficulty": "assistant erred", "fault": "none"},
    {"difficulty": "assistant erred", "fault": "user"},
    {"difficulty": "assistant erred", "fault": "third party"},
    {"kind": "repair", "fault": "none"},
]


def tuples_in(rows: Sequence[Row], t: int) -> Iterator[tuple[tuple[int, ...], Row]]:
    for row in rows:
        for axes in combinations(range(len(row)), t):
            yield axes, tuple(row[axis] for axis in axes)


def allowed_rows(axes: Axes, forbid: Forbid = ()) -> list[Row]:
    names = list(axes)
    return [
        row
        for row in product(*axes.values())
        if not any(all(row[names.index(axis)] == level for axis, level in rule.items()) for rule in forbid)
    ]


@pytest.fixture(scope="module")
def eight() -> list[Row]:
    return covering_plan(EIGHT, strength=3).rows()


def test_eight_axes_meet_every_triple_in_at_most_a_thousand_rows_and_every_pair_by_row_125(eight: list[Row]) -> None:
    sizes = [len(levels) for levels in EIGHT.values()]
    triples = sum(a * b * c for a, b, c in combinations(sizes, 3))
    pairs = sum(a * b for a, b in combinations(sizes, 2))
    assert len(set(tuples_in(eight, 3))) == triples
    assert len(set(tuples_in(eight[:125], 2))) == pairs
    assert 960 <= len(eight) <= 1000, f"{len(eight)} rows; the bound from below is 12 x 10 x 8 = 960"
    assert len(set(tuples_in(eight[:-1], 3))) < triples, "the plan went on after the last triple was met"


def test_strength_2_needs_at_most_125_rows_for_the_eight_axes() -> None:
    rows = covering_plan(EIGHT, strength=2).rows()
    assert len(set(tuples_in(rows, 2))) == sum(len(a) * len(b) for a, b in combinations(EIGHT.values(), 2))
    assert 120 <= len(rows) <= 125


def test_every_prefix_uses_the_levels_of_each_axis_evenly(eight: list[Row]) -> None:
    for axis, levels in enumerate(EIGHT.values()):
        counts = Counter(dict.fromkeys(levels, 0))
        for n, row in enumerate(eight, start=1):
            counts[row[axis]] += 1
            spread = max(counts.values()) - min(counts.values())
            assert spread <= (6 if n <= 120 else 10), f"row {n}, axis {axis}: {counts}"


MIXED: Axes = axes_of(9, 9, 9, 2, 2, 2, 2)
GREEDY_CASES: list[tuple[Axes, Forbid]] = [
    (axes_of(6, 5, 4, 3, 2), ()),
    (axes_of(4, 4, 4, 4, 4, 4), ()),
    (axes_of(*[3] * 13), ()),
    (axes_of(20, 15, 2, 2, 2), ()),
    (MIXED, [{"axis0": "level0.0", "axis1": f"level1.{i}"} for i in range(4)]),
    (APOLOGY, NEEDS_A_FAULT),
]


@pytest.mark.parametrize(("axes", "forbid"), GREEDY_CASES, ids=lambda case: "x".join(str(len(x)) for x in case))
def test_every_prefix_meets_95_percent_of_the_pairs_of_a_greedy_plan_of_that_length(axes: Axes, forbid: Forbid) -> None:
    wide = sorted(len(levels) for levels in axes.values())[-2:]
    greedy = [greedy_pairs(axes, forbid, rows=wide[0] * wide[1] + 5, seed=seed) for seed in range(3)]
    planned = covering_plan(axes, strength=3, forbid=forbid).rows()
    met: set[tuple[tuple[int, ...], Row]] = set()
    for row, wanted in zip(planned, map(max, *greedy), strict=False):
        met |= set(tuples_in([row], 2))
        assert len(met) >= 0.95 * wanted


def greedy_pairs(axes: Axes, forbid: Forbid, *, rows: int, seed: int) -> list[int]:
    """Pairs met after each row of a greedy plan that knows nothing of ours: the best of many rows, axis by axis."""
    draw, levels = Random(seed), list(axes.values())
    unmet = set(tuples_in(allowed_rows(axes, forbid), 2)) if len(axes) < 8 else all_pairs(axes)
    total, met = len(unmet), []
    for _ in range(rows):
        made = [greedy_row(levels, unmet, draw) for _ in range(30)]
        names = list(axes)
        fine = [
            row
            for row in made
            if not any(rule.items() <= dict(zip(names, row, strict=True)).items() for rule in forbid)
        ]
        gains = [len(unmet.intersection(tuples_in([row], 2))) for row in fine]
        if fine:
            unmet -= set(tuples_in([fine[gains.index(max(gains))]], 2))
        met.append(total - len(unmet))
    return met


def allowed(row: Row, axes: Axes, forbid: Forbid) -> bool:
    levels = dict(zip(axes, row, strict=True))
    return not any(rule.items() <= levels.items() for rule in forbid)


def all_pairs(axes: Axes) -> set[tuple[tuple[int, ...], Row]]:
    levels = list(axes.values())
    return {((a, b), pair) for a, b in combinations(range(len(levels)), 2) for pair in product(levels[a], levels[b])}


def greedy_row(levels: Sequence[Sequence[str]], unmet: set[tuple[tuple[int, ...], Row]], draw: Random) -> Row:
    row: dict[int, str] = {}
    for axis in draw.sample(range(len(levels)), len(levels)):
        gains = [
            sum((tuple(sorted((axis, a))), (level, x) if axis < a else (x, level)) in unmet for a, x in row.items())
            for level in levels[axis]
        ]
        row[axis] = draw.choice([level for level, gain in zip(levels[axis], gains, strict=True) if gain == max(gains)])
    return tuple(row[axis] for axis in range(len(levels)))


def test_a_higher_strength_begins_with_the_rows_of_strength_2() -> None:
    pairs = covering_plan(EIGHT, strength=2).rows()
    assert covering_plan(EIGHT, strength=3, size=len(pairs)).rows() == pairs
    assert covering_plan(APOLOGY, strength=4, size=12, forbid=NEEDS_A_FAULT).rows() == (
        covering_plan(APOLOGY, strength=2, size=12, forbid=NEEDS_A_FAULT).rows()
    )


def test_a_smaller_size_is_a_prefix_of_a_larger_one_and_of_the_whole_array(eight: list[Row]) -> None:
    for size in (0, 1, 60, 300):
        assert covering_plan(EIGHT, size=size).rows() == eight[:size]
    assert covering_plan(EIGHT, size=len(eight) + 40).rows()[: len(eight)] == eight


@pytest.mark.parametrize("sizes", [(6, 5, 4, 3), (12, 10, 8, 6, 5, 5, 4, 4), (2, 2, 2, 2, 2, 2, 2, 2, 2), (7, 7, 7)])
def test_beyond_the_array_every_tuple_has_its_share_of_the_rows_give_or_take_8(sizes: tuple[int, ...]) -> None:
    axes = axes_of(*sizes)
    rows = covering_plan(axes, strength=3, size=min(2500, prod(sizes))).rows()
    for n in {len(rows) // 3, len(rows) // 2, len(rows)}:
        for t in (1, 2, 3):
            counts = Counter(tuples_in(rows[:n], t))
            for chosen in combinations(range(len(sizes)), t):
                cells = product(*(list(axes.values())[axis] for axis in chosen))
                share = n / prod(sizes[axis] for axis in chosen)
                assert all(abs(counts[chosen, cell] - share) <= 8 for cell in cells)


def test_no_combination_comes_twice_in_plans_that_come_near_to_all_of_them() -> None:
    for sizes in ((9, 8, 7, 6), (40, 30), (2,) * 11):
        size = prod(sizes) - 3
        assert covering_plan(axes_of(*sizes), size=size).n_unique() == size


def test_no_row_comes_twice_before_every_allowed_row_came_once() -> None:
    allowed = set(allowed_rows(APOLOGY, NEEDS_A_FAULT))
    rows = covering_plan(APOLOGY, strength=2, size=len(allowed) + 20, forbid=NEEDS_A_FAULT).rows()
    assert len(rows) == len(allowed) + 20
    assert set(rows[: len(allowed)]) == allowed
    assert set(rows) == allowed


@pytest.mark.parametrize("strength", [1, 2, 3, 4])
def test_constraints_hold_in_every_row_and_every_tuple_that_they_allow_is_met(strength: int) -> None:
    rows = covering_plan(APOLOGY, strength=strength, forbid=NEEDS_A_FAULT).rows()
    allowed = allowed_rows(APOLOGY, NEEDS_A_FAULT)
    assert set(rows) <= set(allowed)
    assert set(tuples_in(rows, strength)) == set(tuples_in(allowed, strength))


def test_a_chain_of_constraints_leads_into_no_dead_end() -> None:
    # x may only be followed by x: of 2**9 rows ten are allowed, and nearly every greedy start is a dead end
    axes = {f"axis{i}": ["x", "y"] for i in range(9)}
    forbid = [{f"axis{i}": "x", f"axis{i + 1}": "y"} for i in range(8)]
    allowed = set(allowed_rows(axes, forbid))
    assert len(allowed) == 10
    assert set(covering_plan(axes, forbid=forbid).rows()) == allowed
    twice = covering_plan(axes, strength=2, size=20, forbid=forbid).rows()
    assert set(twice[:10]) == allowed
    assert set(twice) == allowed


def test_an_unused_row_that_no_draw_finds_is_found_by_search() -> None:
    # the row of 20 y is one draw in 2**20
    axes = {f"axis{i}": ["x", "y"] for i in range(20)}
    forbid = [{f"axis{i}": "x", f"axis{i + 1}": "y"} for i in range(19)]
    rows = covering_plan(axes, strength=1, size=24, forbid=forbid).rows()
    assert len(set(rows[:21])) == 21
    assert len(set(rows)) == 21


def test_at_a_high_strength_the_low_strengths_still_come_first() -> None:
    axes = axes_of(*[2] * 12)
    plan = covering_plan(axes, strength=6, size=40)
    assert met_strength(plan[:12], axes) >= 2
    assert met_strength(plan, axes) >= 3


def test_filled_rows_count_as_met_and_are_not_returned() -> None:
    whole = covering_plan(APOLOGY, forbid=NEEDS_A_FAULT)
    some = whole.sample(20, seed=3)
    rest = covering_plan(APOLOGY, forbid=NEEDS_A_FAULT, filled=some)
    assert not set(rest.rows()) & set(some.rows())
    assert len(rest) <= whole.height
    assert met_strength(pl.concat([some, rest]), APOLOGY, NEEDS_A_FAULT) == 3
    assert covering_plan(APOLOGY, forbid=NEEDS_A_FAULT, filled=whole).rows() == []
    assert len(covering_plan(APOLOGY, forbid=NEEDS_A_FAULT, filled=whole, size=7)) == 7


def test_filled_may_be_a_table_of_contexts_in_any_order() -> None:
    some = covering_plan(APOLOGY, size=15)
    table = some.with_row_index("id").select("id", *reversed(some.columns)).sample(fraction=1, shuffle=True, seed=1)
    kept = table.clone()
    assert covering_plan(APOLOGY, filled=table).equals(covering_plan(APOLOGY, filled=some))
    assert table.equals(kept)


def test_weights_set_how_often_a_level_comes_once_coverage_is_complete() -> None:
    axes = axes_of(6, 5, 4, 4, 4, 3)
    plan = covering_plan(axes, strength=2, size=400, weights={"axis0": {"level0.1": 3}, "axis5": {"level5.0": 0.25}})
    first, last = Counter(plan["axis0"]), Counter(plan["axis5"])
    assert first["level0.1"] == pytest.approx(400 * 3 / 8, abs=8)
    assert last["level5.0"] == pytest.approx(400 * 0.25 / 2.25, abs=8)
    assert met_strength(plan[:45], axes) == 2


def test_weights_as_far_apart_as_floats_go_still_make_a_covering_plan() -> None:
    axes = axes_of(3, 3, 3)
    plan = covering_plan(axes, size=60, weights={"axis0": {"level0.0": 5e-324}, "axis1": {"level1.0": 1.7e308}})
    assert met_strength(plan, axes) == 3


def test_the_same_seed_gives_the_same_rows_in_another_process(eight: list[Row]) -> None:
    code = (
        "from thousandfold.gen.covering import covering_plan\n"
        f"plan = covering_plan({EIGHT!r}, size=150, seed=0)\n"
        "print(plan.write_csv(include_header=False), end='')"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": salt}, capture_output=True, text=True, check=True
        )
        for salt in ("1", "2")
    ]
    written = "".join(",".join(row) + "\n" for row in eight[:150])
    assert [run.stdout for run in runs] == [written, written]


@pytest.mark.parametrize("forbid", [(), NEEDS_A_FAULT], ids=["free", "constrained"])
def test_without_numba_come_the_same_rows_only_later(forbid: Forbid) -> None:
    # three of the rules are about levels that no later axis can escape, so the search is asked as well
    code = (
        "import sys; sys.modules['numba'] = None\n"
        "from thousandfold.gen.covering import covering_plan\n"
        f"plan = covering_plan({APOLOGY!r}, strength=3, size=60, forbid={list(forbid)!r})\n"
        "print(plan.write_csv(include_header=False), end='')"
    )
    plain = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    compiled = covering_plan(APOLOGY, strength=3, size=60, forbid=forbid)
    assert plain.stdout == compiled.write_csv(include_header=False)


def test_another_seed_gives_other_rows_and_any_whole_number_is_a_seed() -> None:
    plans = [covering_plan(EIGHT, size=20, seed=seed).rows() for seed in (0, 1, -1, 2**70)]
    assert len({tuple(plan) for plan in plans}) == 4


def test_coverage_counts_what_brute_force_counts() -> None:
    plan = covering_plan(APOLOGY, size=25, forbid=NEEDS_A_FAULT)
    allowed = allowed_rows(APOLOGY, NEEDS_A_FAULT)
    for strength in (1, 2, 3, 4, 5):
        met, possible = len(set(tuples_in(plan.rows(), strength))), len(set(tuples_in(allowed, strength)))
        seen = coverage(plan, APOLOGY, strength=strength, forbid=NEEDS_A_FAULT)
        bound = max(Counter(axes for axes, _ in set(tuples_in(allowed, strength))).values())
        assert (seen.strength, seen.met, seen.possible, seen.share) == (strength, met, possible, met / possible)
        assert (seen.bound, seen.met_by) == (bound, None if met < possible else seen.met_by)


def test_rows_that_break_a_constraint_do_not_count_towards_coverage() -> None:
    broken = pl.DataFrame({"facet": ["honest apology"], "fault": ["none"]})
    axes = {axis: APOLOGY[axis] for axis in ("facet", "fault")}
    assert coverage(broken, axes, strength=2, forbid=NEEDS_A_FAULT[:2]).met == 0
    assert coverage(broken, axes, strength=2).met == 1


def test_met_strength_is_the_largest_strength_that_is_complete(eight: list[Row]) -> None:
    plan = pl.DataFrame(eight, schema=list(EIGHT), orient="row")
    assert met_strength(plan, EIGHT) == 3
    assert met_strength(plan, EIGHT, limit=2) == 2
    assert met_strength(plan[:-1], EIGHT) == 2
    assert met_strength(plan[:11], EIGHT) == 0
    assert met_strength(plan[["axis0", "axis1"]], axes_of(12, 10), limit=3) == 2


def test_uniform_coverage_without_constraints_is_the_exact_expectation() -> None:
    sizes, rows = (4, 3, 2), 7
    expected = sum(Fraction(a * b) * (1 - Fraction(a * b - 1, a * b) ** rows) for a, b in combinations(sizes, 2)) / sum(
        a * b for a, b in combinations(sizes, 2)
    )
    assert uniform_coverage(axes_of(*sizes), rows, strength=2) == pytest.approx(float(expected), rel=1e-12)
    assert uniform_coverage(axes_of(*sizes), 0, strength=2) == 0


def test_as_many_uniform_draws_as_the_plan_has_rows_miss_a_tenth_of_the_triples(eight: list[Row]) -> None:
    assert uniform_coverage(EIGHT, len(eight), strength=3) == pytest.approx(0.904, abs=0.002)


def test_uniform_coverage_under_constraints_is_near_the_expectation_over_the_allowed_rows() -> None:
    allowed, rows = allowed_rows(APOLOGY, NEEDS_A_FAULT), 60
    holding = Counter(tuples_in(allowed, 3))
    expected = sum(1 - (1 - n / len(allowed)) ** rows for n in holding.values()) / len(holding)
    drawn = uniform_coverage(APOLOGY, rows, strength=3, forbid=NEEDS_A_FAULT, seed=5)
    assert drawn == pytest.approx(expected, abs=0.03)
    assert drawn == uniform_coverage(APOLOGY, rows, strength=3, forbid=NEEDS_A_FAULT, seed=5)


def test_uniform_coverage_ends_where_hardly_any_draw_is_allowed() -> None:
    axes = {f"axis{i}": ["x", "y"] for i in range(24)}
    forbid = [{f"axis{i}": "x", f"axis{i + 1}": "y"} for i in range(23)]
    assert 0 < uniform_coverage(axes, 30, strength=2, forbid=forbid) < 1


def test_an_axis_with_one_level_is_a_constant_column() -> None:
    plan = covering_plan({"language": ["English"], "stakes": ["low", "high"], "tone": ["dry", "warm"]})
    assert plan["language"].to_list() == ["English"] * 4
    assert set(plan.select("stakes", "tone").rows()) == set(product(["low", "high"], ["dry", "warm"]))


def test_strength_above_the_number_of_axes_means_that_number() -> None:
    axes = axes_of(3, 2)
    assert sorted(covering_plan(axes, strength=9).rows()) == sorted(product(*axes.values()))
    assert coverage(covering_plan(axes, strength=9), axes, strength=9) == Coverage(2, 6, 6, 1.0, bound=6, met_by=6)


def test_strength_1_needs_as_many_rows_as_the_widest_axis_has_levels() -> None:
    assert len(covering_plan(EIGHT, strength=1)) == 12


def test_an_empty_plan_has_its_string_columns() -> None:
    plan = covering_plan(APOLOGY, size=0)
    assert plan.schema == pl.Schema(dict.fromkeys(APOLOGY, pl.String))
    assert plan.height == 0


def test_two_hundred_axes_can_be_planned_at_strength_2() -> None:
    axes = axes_of(*[2] * 200)
    forbid = [{f"axis{i}": f"level{i}.0", f"axis{i + 1}": f"level{i + 1}.0"} for i in range(0, 200, 2)]
    plan = covering_plan(axes, strength=2, forbid=forbid)
    pairs = 4 * 200 * 199 // 2 - 100
    seen = coverage(plan, axes, strength=2, forbid=forbid)
    assert (seen.met, seen.possible, seen.bound) == (pairs, pairs, 4)
    assert len(set(tuples_in(plan.rows(), 2))) == pairs
    assert len(plan) <= 25


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"axes": {}}, "axes is empty", "give axes such as"),
    ({"axes": {"a": []}}, "axes['a'] has no level", "give 'a' at least one level"),
    ({"axes": {"a": "low"}}, "axes['a'] holds 'low', where a list of strings belongs", "list of strings"),
    ({"axes": {"a": ["x", 3]}}, "axes['a'] holds 3, where a list of strings belongs", "list of strings"),
    ({"axes": {"a": ["x", "y", "x"]}}, "axes['a'] has the level 'x' twice", "keep one 'x'"),
    ({"strength": 0}, "strength is 0", "from 1 up"),
    ({"strength": 2.5}, "strength is 2.5", "from 1 up"),
    ({"size": -1}, "size is -1", "from 0 up"),
    ({"size": True}, "size is True", "from 0 up"),
    ({"axes": ["a", "b"]}, "axes is ['a', 'b']", "give a mapping such as"),
    ({"axes": {"a": {"x"}}}, "axes['a'] holds {'x'}, where a list of strings belongs", "list of strings"),
    ({"axes": {"a": 3}}, "axes['a'] holds 3, where a list of strings belongs", "list of strings"),
    ({"seed": 1.5}, "seed is 1.5", "give a whole number"),
    ({"filled": [{"a": "x", "b": "p"}]}, "filled is a list", "give a polars DataFrame"),
    ({"weights": {"a": 2}}, "weights is {'a': 2}", "write weights="),
    ({"forbid": {"a": "x", "b": "p"}}, "forbid is {'a': 'x', 'b': 'p'}", "write them as forbid=[{"),
    ({"forbid": [("a", "x")]}, "forbid[0] is ('a', 'x')", "write them as forbid=[{"),
    ({"forbid": [{}]}, "forbid[0] is empty", "name levels that exclude each other"),
    ({"forbid": [{"a": "x", "colour": "red"}]}, "forbid[0] names the axis 'colour'", "use one of 'a', 'b'"),
    ({"forbid": [{"a": "x", "b": "red"}]}, "forbid[0] names b = 'red'", "use one of 'p', 'q'"),
    ({"weights": {"colour": {"red": 2}}}, "weights names the axis 'colour'", "use one of 'a', 'b'"),
    ({"weights": {"a": {"red": 2}}}, "weights names a = 'red'", "use one of 'x', 'y'"),
    ({"weights": {"a": {"x": 0}}}, "weights['a']['x'] is 0", "give a positive number"),
    ({"weights": {"a": {"x": float("nan")}}}, "weights['a']['x'] is nan", "give a positive number"),
    ({"weights": {"a": {"x": float("inf")}}}, "weights['a']['x'] is inf", "give a positive number"),
    ({"weights": {"a": {"x": 10**400}}}, "weights['a']['x'] is 1000", "give a positive number"),
    ({"weights": {"a": {"x": "much"}}}, "weights['a']['x'] is 'much'", "give a positive number"),
    ({"filled": pl.DataFrame({"a": ["x"]})}, "filled has no column 'b'", "add the column 'b'"),
    ({"filled": pl.DataFrame({"a": ["x", "z"], "b": ["p", "q"]})}, "filled has 'z' in row 1", "use one of 'x', 'y'"),
    ({"filled": pl.DataFrame({"a": ["x"], "b": [None]})}, "filled has None in row 0", "use one of 'p', 'q'"),
    ({"forbid": [{"a": "x"}]}, "no allowed row can contain a = 'x', because of forbid[0] (a = 'x')", "take 'x' out"),
    (
        {"forbid": [{"a": "y", "b": "p"}, {"a": "x", "b": "p"}, {"a": "x", "b": "p"}]},
        "no allowed row can contain b = 'p', because of forbid[0] (a = 'y' with b = 'p'), forbid[2]",
        "drop or narrow",
    ),
    ({"axes": {1: ["x", "y"]}}, "axes names an axis 1", "write '1'"),
    ({"axes": {"a": ["x\ud800"]}}, r"axes['a'] has 'x\ud800', which holds half a character", "whole character"),
    ({"forbid": [{"b": "p"}, {"b": "q"}]}, "no row is allowed, because of forbid[0] (b = 'p'), forbid[1]", "drop"),
]


@pytest.mark.parametrize(("wrong", "what", "do"), BAD, ids=[case[1][:40] for case in BAD])
def test_a_wrong_argument_is_named_with_its_value_and_what_to_write(wrong: dict[str, Any], what: str, do: str) -> None:
    arguments: dict[str, Any] = {"axes": {"a": ["x", "y"], "b": ["p", "q"]}} | wrong
    with pytest.raises(RecipeError) as raised:
        covering_plan(**arguments)
    assert raised.value.what.startswith(what)
    assert do in raised.value.do
    assert raised.value.why


def test_a_clash_names_no_constraint_that_is_not_part_of_it() -> None:
    axes = axes_of(2, 2, 2)
    beside = {"axis2": "level2.0", "axis0": "level0.0"}
    clashing = [{"axis1": "level1.0", "axis0": level} for level in axes["axis0"]]
    with pytest.raises(RecipeError, match=r"axis1 = 'level1\.0'") as raised:
        covering_plan(axes, forbid=[beside, *clashing])
    assert "forbid[0]" not in raised.value.what
    assert "forbid[1]" in raised.value.what
    assert "forbid[2]" in raised.value.what


def test_more_tuples_than_memory_holds_are_refused_with_the_strength_that_fits() -> None:
    with pytest.raises(RecipeError, match="strength 3 over 200 axes means") as raised:
        covering_plan(axes_of(*[5] * 200), strength=3)
    assert raised.value.do == "use strength=2, or fewer axes or levels"


@pytest.mark.parametrize("strength", [2, 3])
def test_a_short_plan_of_axes_with_very_many_levels_makes_no_row_more_than_it_returns(strength: int) -> None:
    """Of 1,000 x 1,000 x 1,000 combinations a thousand are asked for; to meet all pairs would take a million rows."""
    space = Space.checked(axes_of(150, 150, 2), ())
    even = [np.full(len(levels), len(levels), np.float64) for levels in space.levels]
    none = np.empty((0, 3), np.int64)
    planner, longer = (Planner(space, Tuples.over(space, range(1, strength + 1)), even, none, 0) for _ in range(2))
    rows = planner.rows(40)
    assert planner.made == 40
    assert np.array_equal(rows, longer.rows(300)[:40])


def test_a_negative_number_of_draws_is_refused() -> None:
    with pytest.raises(RecipeError, match="rows is -1"):
        uniform_coverage(EIGHT, -1, strength=2)
