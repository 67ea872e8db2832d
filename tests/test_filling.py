"""Which contexts of a plan are still needed beside what is there: those that fill, and pairs nobody has."""

from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from thousandfold.gen.deficits import NOTHING_TRIED, Wanted, choose_contexts
from thousandfold.gen.filling import STEPS, contexts_beside

AXES = ["domain", "tone"]
PLAN = pl.DataFrame({"domain": [d for d in "abc" for _ in "xy"], "tone": list("xy") * 3}).with_row_index("position")
NOTHING = pl.DataFrame(schema={"domain": pl.String, "tone": pl.String})


def beside(there: pl.DataFrame, count: int, *wanted: Wanted, only_wanted: bool = False) -> list[tuple[str, str]]:
    found = contexts_beside(PLAN, count, wanted=wanted, there=there, axes=AXES, only_wanted=only_wanted)
    return found.select(AXES).rows()


def test_pairs_that_are_there_already_are_written_for_last() -> None:
    there = pl.DataFrame({"domain": ["a", "b"], "tone": ["x", "y"]})
    assert beside(there, 4) == [("a", "y"), ("b", "x"), ("c", "x"), ("c", "y")]


def test_a_level_that_is_not_known_meets_no_pair() -> None:
    there = pl.DataFrame({"domain": ["a", None], "tone": [None, "y"]}, schema=NOTHING.schema)
    assert beside(there, 6) == PLAN.select(AXES).rows()
    assert beside(there, 1) == [("a", "x")]


def test_what_is_lacking_comes_first_and_no_more_of_it_than_lacks() -> None:
    lacking = Wanted("domain", "c", 1, 5.0)
    assert beside(NOTHING, 1, lacking) == [("c", "x")]
    assert beside(NOTHING, 6, lacking, only_wanted=True) == [("c", "x")]
    assert beside(NOTHING, 6, only_wanted=True) == []


@given(
    there=st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xy")), max_size=8),
    count=st.integers(0, 6),
    lacking=st.integers(0, 3),
)
def test_one_at_a_time_it_chooses_as_a_later_round_does(there: list[tuple[str, str]], count: int, lacking: int) -> None:
    rows = pl.DataFrame(there, schema=NOTHING.schema, orient="row")
    wanted = [Wanted("domain", "b", lacking, 1.5), Wanted("tone", "y", 1, 0.5)]
    assert count <= STEPS
    ours = contexts_beside(PLAN, count, wanted=wanted, there=rows, axes=AXES, only_wanted=False)
    theirs = choose_contexts(PLAN, count, wanted=wanted, so_far=NOTHING_TRIED, met=rows, axes=AXES)
    assert ours.equals(theirs)
