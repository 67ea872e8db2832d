"""Where the next round's money goes: shortfall x price / acceptance, no closed cell, and ties that widen the plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thousandfold.gen.deficits import GivenUp, Tally, Wanted, choose_contexts, tally

AXES = ["domain", "tone"]
CANDIDATES = pl.DataFrame(
    {
        "id": ["c0", "c1", "c2", "c3", "c4"],
        "domain": ["law", "law", "farm", "farm", "school"],
        "tone": ["calm", "angry", "calm", "angry", "angry"],
        "row": [0, 0, 0, 0, 0],  # an axis may be called that
    }
)
CAP = 5


def tries(*rows: tuple[str, str, str | None], ideas: Sequence[int] | None = None) -> pl.DataFrame:
    """Drafts as (domain, tone, why it was dropped); each accepted one has an idea of its own unless `ideas` says."""
    accepted = [reason is None for *_, reason in rows]
    numbers = list(range(len(rows))) if ideas is None else list(ideas)
    return pl.DataFrame(
        {
            "domain": [domain for domain, _, _ in rows],
            "tone": [tone for _, tone, _ in rows],
            "accepted": accepted,
            "reason": [reason for *_, reason in rows],
            "idea": [number if kept else None for number, kept in zip(numbers, accepted, strict=True)],
        },
        schema={"domain": pl.String, "tone": pl.String, "accepted": pl.Boolean, "reason": pl.String, "idea": pl.UInt32},
    )


def want(axis: str, level: str, lacking: int, price: float = 1.0) -> Wanted:
    return Wanted(axis, level, lacking, price)


def chosen(wanted: Sequence[Wanted], count: int, *, met: pl.DataFrame = CANDIDATES, **options: Any) -> list[str]:
    so_far = options.pop("so_far", tally(tries(), AXES, cell_cap=CAP))
    found = choose_contexts(CANDIDATES, count, wanted=wanted, so_far=so_far, met=met, axes=AXES, **options)
    assert found.columns == CANDIDATES.columns
    return found["id"].to_list()


@pytest.mark.parametrize(
    ("wanted", "count", "expected"),
    [
        ([], 2, ["c0", "c1"]),
        ([want("domain", "school", 1)], 1, ["c4"]),
        ([want("domain", "farm", 1), want("tone", "angry", 1)], 1, ["c3"]),
        ([want("domain", "farm", 2)], 3, ["c0", "c2", "c3"]),
        (
            [want("domain", "farm", 1), want("tone", "angry", 1)],
            2,
            ["c0", "c3"],
        ),  # c3 serves both
        ([want("domain", "school", 1), want("domain", "law", 1)], 2, ["c0", "c4"]),
        ([want("domain", "sea", 9)], 2, ["c0", "c1"]),
        ([want("domain", "school", 1)], 9, ["c0", "c1", "c2", "c3", "c4"]),
        ([want("domain", "school", 1, price=0.5), want("domain", "farm", 1, price=2.0)], 1, ["c2"]),
        ([want("domain", "school", 5), want("domain", "farm", 1, price=4.0)], 1, ["c4"]),  # 5 x 1 outweighs 1 x 4
    ],
)
def test_the_contexts_chosen_serve_what_is_short_at_its_price_and_come_in_plan_order(
    wanted: list[Wanted], count: int, expected: list[str]
) -> None:
    assert chosen(wanted, count) == expected


def test_a_level_that_passes_seldom_gets_more_contexts_for_the_same_shortfall() -> None:
    so_far = tally(tries(*[("law", "calm", None)] * 8, *[("farm", "calm", "cut_off")] * 4), AXES, cell_cap=CAP)
    assert so_far.needed(want("domain", "law", 2)) == 2  # 2 x 9 / 9
    assert so_far.needed(want("domain", "farm", 2)) == 10  # 2 x 5 / 1
    assert so_far.needed(want("domain", "sea", 2)) == 2  # never tried: it is expected to pass
    assert chosen([want("domain", "law", 2), want("domain", "farm", 2)], 2, so_far=so_far) == ["c2", "c3"]


def test_ties_go_to_pairs_of_levels_that_are_not_met_yet() -> None:
    met = CANDIDATES.filter(pl.col("id").is_in(["c0", "c1", "c3"]))
    assert chosen([], 2, met=met) == ["c2", "c4"]


def test_where_the_pool_is_full_only_contexts_that_serve_a_wanted_level_are_chosen() -> None:
    assert chosen([want("domain", "farm", 1)], 4, only_wanted=True) == ["c2"]
    assert chosen([], 4, only_wanted=True) == []


def test_a_level_in_which_nothing_passes_is_given_up_with_its_reasons_and_gets_no_more() -> None:
    rows = [("law", "calm", None)] * 30 + [("school", "calm", "cut_off")] * 4 + [("school", "angry", "loop")] * 2
    so_far = tally(tries(*rows), AXES, cell_cap=CAP)
    assert so_far.given_up == [GivenUp((("domain", "school"),), 6, {"cut_off": 4, "loop": 2})]
    assert so_far.given_up[0].words == "domain = school: 6 drafts, all dropped (cut_off 4, loop 2)"
    assert so_far.state_of("domain", "school") == "given up"
    assert chosen([want("domain", "school", 3)], 5, so_far=so_far) == ["c0", "c1", "c2", "c3"]


def test_a_pair_is_given_up_where_both_its_levels_pass_elsewhere() -> None:
    rows = [("law", "calm", None)] * 20 + [("farm", "angry", None)] * 20 + [("law", "angry", "cut_off")] * 6
    so_far = tally(tries(*rows), AXES, cell_cap=CAP)
    assert [gone.cell for gone in so_far.given_up] == [(("domain", "law"), ("tone", "angry"))]
    assert so_far.state_of("domain", "law") == "open"
    assert chosen([want("domain", "law", 9)], 5, so_far=so_far) == ["c0", "c2", "c3", "c4"]


@pytest.mark.parametrize(
    ("failures", "others_kept", "others_dropped", "given_up"),
    [
        (CAP, 100, 1, True),
        (CAP - 1, 100, 0, False),  # below the cap
        (CAP, 10, 10, False),  # where half of all fail, five failures are chance: 1 in 32
        (21, 10, 10, True),  # 2**-21 is below one in a million
        (20, 0, 10, False),  # everything fails: the cell is no exception
        (CAP, 0, 0, False),  # there are no others to compare with
    ],
)
def test_a_cell_is_given_up_only_where_its_failures_are_beyond_chance(
    failures: int, others_kept: int, others_dropped: int, given_up: bool
) -> None:
    rows = [("school", "calm", "cut_off")] * failures
    rows_of_others = [("law", "calm", None)] * others_kept + [("law", "calm", "cut_off")] * others_dropped
    so_far = tally(tries(*rows, *rows_of_others), AXES, cell_cap=CAP)
    assert (so_far.state_of("domain", "school") == "given up") is given_up


@pytest.mark.parametrize(("fresh", "saturated"), [(1, True), (2, False), (40, False)])
def test_a_level_is_saturated_where_fewer_than_one_draft_in_twenty_is_new(fresh: int, saturated: bool) -> None:
    ideas = [*range(fresh), *[1000] * (40 - fresh)] if fresh < 40 else range(40)
    rows = [("law", "calm", None)] * 40 + [("farm", "angry", None)] * 2
    so_far = tally(tries(*rows, ideas=[*ideas, 2000, 2001]), AXES, cell_cap=CAP)
    assert so_far.missing_mass("domain", "law") == fresh / 40
    assert (so_far.state_of("domain", "law") == "saturated") is saturated
    assert so_far.missing_mass("domain", "sea") is None
    left = chosen([want("domain", "law", 3)], 5, so_far=so_far)
    assert ("c0" in left) is not saturated


def test_a_missing_mass_is_not_believed_before_there_are_forty_drafts() -> None:
    so_far = tally(tries(*[("law", "calm", None)] * 39, ideas=[7] * 39), AXES, cell_cap=CAP)
    assert so_far.missing_mass("domain", "law") == 0
    assert so_far.state_of("domain", "law") == "open"


def test_what_was_given_up_survives_the_way_through_json() -> None:
    gone = GivenUp((("domain", "law"), ("tone", "angry")), 9, {"cut_off": 8, "loop": 1})
    assert GivenUp.from_dict(gone.as_dict()) == gone


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")), max_size=25),
    st.dictionaries(st.tuples(st.just("domain"), st.sampled_from("abcd")), st.integers(0, 4)),
    st.dictionaries(st.tuples(st.just("tone"), st.sampled_from("xyz")), st.integers(0, 4)),
    st.integers(0, 25),
)
def test_a_search_through_all_candidates_would_choose_the_same(
    cells: list[tuple[str, str]], one: dict[tuple[str, str], int], two: dict[tuple[str, str], int], count: int
) -> None:
    candidates = pl.DataFrame(cells, schema=dict.fromkeys(AXES, pl.String), orient="row").with_row_index("at")
    wanted = [want(axis, level, lacking) for (axis, level), lacking in (one | two).items()]
    lacking, left = Counter(one | two), list(candidates.rows(named=True))
    met: set[tuple[Any, ...]] = set()
    expected: list[int] = []
    while left and len(expected) < count:
        worths = [
            (
                sum(max(0, lacking[axis, row[axis]]) for axis in AXES),
                sum(pair not in met for pair in combinations([(axis, row[axis]) for axis in AXES], 2)),
            )
            for row in left
        ]
        best = left.pop(worths.index(max(worths)))
        expected.append(best["at"])
        lacking.subtract([(axis, best[axis]) for axis in AXES])
        met |= set(combinations([(axis, best[axis]) for axis in AXES], 2))
    found = choose_contexts(
        candidates, count, wanted=wanted, so_far=Tally(tally(tries(), AXES, cell_cap=CAP).levels),
        met=candidates.clear(), axes=AXES,
    )  # fmt: skip
    assert found["at"].to_list() == sorted(expected)
