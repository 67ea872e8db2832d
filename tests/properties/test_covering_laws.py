"""Laws of the covering plan on small spaces, where every allowed row can be listed."""

from __future__ import annotations

from collections import Counter
from itertools import combinations, product

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from thousandfold.gen.covering import coverage, covering_plan, met_strength
from thousandfold.gen.errors import RecipeError

Row = tuple[str, ...]
Axes = dict[str, list[str]]
Rules = list[dict[str, str]]
Space = tuple[Axes, Rules]


def tuples_in(rows: list[Row], t: int) -> set[tuple[tuple[int, ...], Row]]:
    return {(axes, tuple(row[a] for a in axes)) for row in rows for axes in combinations(range(len(row)), t)}


def allowed_rows(axes: Axes, rules: Rules) -> list[Row]:
    rows = [dict(zip(axes, levels, strict=True)) for levels in product(*axes.values())]
    return [tuple(row.values()) for row in rows if not any(rule.items() <= row.items() for rule in rules)]


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=5))
    axes = {f"a{i}": [f"{j}" for j in range(size)] for i, size in enumerate(sizes)}
    rule = st.lists(st.sampled_from(list(axes)), min_size=1, max_size=3, unique=True).flatmap(
        lambda names: st.fixed_dictionaries({name: st.sampled_from(axes[name]) for name in names})
    )
    return axes, draw(st.lists(rule, max_size=8))


def satisfiable(space: Space) -> bool:
    axes, rules = space
    rows = allowed_rows(axes, rules)
    return all({row[i] for row in rows} == set(levels) for i, levels in enumerate(axes.values()))


@given(spaces(), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_a_plan_is_refused_exactly_when_some_level_stands_in_no_allowed_row(space: Space, strength: int) -> None:
    try:
        covering_plan(space[0], strength=strength, forbid=space[1], size=1)
        refused = False
    except RecipeError:
        refused = True
    assert refused is not satisfiable(space)


@given(spaces().filter(satisfiable), st.integers(1, 4), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_a_whole_plan_meets_every_allowed_tuple_and_ends_with_the_last(space: Space, strength: int, seed: int) -> None:
    axes, rules = space
    t = min(strength, len(axes))
    rows = covering_plan(axes, strength=strength, forbid=rules, seed=seed).rows()
    allowed = allowed_rows(axes, rules)
    assert set(rows) <= set(allowed)
    assert len(set(rows)) == len(rows)
    assert tuples_in(rows, t) == tuples_in(allowed, t)
    assert tuples_in(rows[:-1], t) < tuples_in(allowed, t)


@given(spaces().filter(satisfiable), st.integers(1, 3), st.integers(0, 40), st.integers(0, 40))
@settings(max_examples=40, deadline=None)
def test_prefixes_agree_and_rows_repeat_only_when_all_are_used(space: Space, strength: int, n: int, m: int) -> None:
    axes, rules = space
    long = covering_plan(axes, strength=strength, forbid=rules, size=n + m).rows()
    allowed = allowed_rows(axes, rules)
    assert covering_plan(axes, strength=strength, forbid=rules, size=n).rows() == long[:n]
    assert len(long) == n + m
    assert set(long) <= set(allowed)
    assert len(set(long)) == min(n + m, len(allowed))


@given(spaces().filter(satisfiable), st.integers(1, 3), st.data())
@settings(max_examples=40, deadline=None)
def test_filled_rows_and_new_rows_together_meet_every_allowed_tuple(
    space: Space, strength: int, data: st.DataObject
) -> None:
    axes, rules = space
    allowed = allowed_rows(axes, rules)
    taken = data.draw(st.lists(st.sampled_from(allowed), max_size=12))
    filled = pl.DataFrame(taken, schema=dict.fromkeys(axes, pl.String), orient="row")
    new = covering_plan(axes, strength=strength, forbid=rules, filled=filled).rows()
    t = min(strength, len(axes))
    assert tuples_in(taken + new, t) == tuples_in(allowed, t)
    assert not set(new) & set(taken)
    assert bool(new) is (tuples_in(taken, t) != tuples_in(allowed, t))


@given(spaces().filter(satisfiable), st.data())
@settings(max_examples=40, deadline=None)
def test_coverage_and_met_strength_agree_with_counting_by_hand(space: Space, data: st.DataObject) -> None:
    axes, rules = space
    rows = data.draw(st.lists(st.sampled_from(list(product(*axes.values()))), max_size=30))
    frame = pl.DataFrame(rows, schema=dict.fromkeys(axes, pl.String), orient="row")
    allowed = allowed_rows(axes, rules)
    complete = 0
    for t in range(1, len(axes) + 1):
        possible, seen = tuples_in(allowed, t), coverage(frame, axes, strength=t, forbid=rules)
        assert (seen.met, seen.possible) == (len(tuples_in(rows, t) & possible), len(possible))
        complete = t if complete == t - 1 and seen.met == seen.possible else complete
    assert met_strength(frame, axes, rules, limit=5) == complete


@given(st.lists(st.integers(2, 4), min_size=2, max_size=4), st.integers(1, 3))
@settings(max_examples=20, deadline=None)
def test_twice_the_product_uses_every_level_evenly(sizes: list[int], strength: int) -> None:
    axes = {f"a{i}": [f"{j}" for j in range(size)] for i, size in enumerate(sizes)}
    everything = list(product(*axes.values()))
    plan = covering_plan(axes, strength=strength, size=min(2 * len(everything), 200))
    for axis, levels in axes.items():
        counts = Counter(plan[axis])
        assert max(counts.values()) - min(counts[level] for level in levels) <= 3
