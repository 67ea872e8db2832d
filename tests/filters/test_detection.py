"""What was planted against what was dropped: counts by hand, intervals as scipy has them, nothing counted twice."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from thousandfold import filters
from thousandfold.filters.detection import ALARMS, FALSE_ALARMS, KINDS, MISSES

CAUGHT_BY = {"copy": ("near_duplicate", "duplicate"), "cut": ("cut_off",), "hollow": ()}


def planted(*rows: tuple[Any, ...]) -> pl.DataFrame:
    schema = {"id": pl.String, "kind": pl.String, "original": pl.String}
    return pl.DataFrame([(*row, None)[:3] for row in rows], schema=schema, orient="row")


def verdicts(**dropped: tuple[str, ...] | str | None) -> pl.DataFrame:
    """One verdict of form for each name, and one of duplicates for those that form kept; a drop as (reason, twin)."""
    rows: list[tuple[object, ...]] = []
    for name, drop in dropped.items():
        reason, twin = (drop, None) if isinstance(drop, str | None) else drop
        by_form = reason in ("cut_off", "loop")
        rows.append((name, "form", not by_form, reason if by_form else None, None, None, None))
        if not by_form:
            rows.append((name, "duplicates", reason is None, reason, 0.8, 0.7, twin))
    return pl.DataFrame(rows, schema=dict(filters.VERDICT), orient="row")


def row_of(found: filters.Detection, kind: str) -> dict[str, Any]:
    return found.kinds.row(by_predicate=pl.col("kind") == kind, named=True)


def test_counts_are_those_made_by_hand_and_intervals_those_of_scipy() -> None:
    seen = verdicts(
        c1=("near_duplicate", "x"), c2=("duplicate", "x"), c3=None, c4="cut_off", k1="cut_off", k2=None,
        a="cut_off", b=None, c=("near_duplicate", "b"), d=None, e=None,
    )  # fmt: skip
    found = filters.detection(
        planted(("c1", "copy"), ("c2", "copy"), ("c3", "copy"), ("c4", "copy"), ("k1", "cut"), ("k2", "cut")),
        seen,
        CAUGHT_BY,
    )
    copy = row_of(found, "copy")
    assert [copy[name] for name in ("planted", "caught", "missed", "dropped_otherwise", "false_alarms")] == [
        4,
        2,
        2,
        1,
        1,
    ]
    assert (copy["recall"], copy["precision"]) == (0.5, 2 / 3)
    recall, precision = (binomtest(2, n).proportion_ci(method="wilson") for n in (4, 3))
    assert [copy["recall_low"], copy["recall_high"]] == pytest.approx([recall.low, recall.high])
    assert [copy["precision_low"], copy["precision_high"]] == pytest.approx([precision.low, precision.high])
    assert copy["caught_as"] == [
        {"filter": "duplicates", "reason": "duplicate", "rows": 1},
        {"filter": "duplicates", "reason": "near_duplicate", "rows": 1},
    ]
    cut = row_of(found, "cut")
    assert [cut[name] for name in ("planted", "caught", "missed", "false_alarms")] == [2, 1, 1, 1]
    assert found.misses.rows() == [("copy", "c3", None), ("copy", "c4", "cut_off"), ("cut", "k2", None)]
    assert found.false_alarms.select("reason", "clean", "dropped", "share").rows() == [
        (None, 5, 2, 0.4), ("cut_off", 5, 1, 0.2), ("near_duplicate", 5, 1, 0.2),
    ]  # fmt: skip
    assert found.alarms.rows() == [
        ("a", "form", "cut_off", None, None, None), ("c", "duplicates", "near_duplicate", 0.8, 0.7, "b"),
    ]  # fmt: skip
    share = binomtest(2, 5).proportion_ci(method="wilson")
    assert found.false_alarms.select("low", "high").row(0) == pytest.approx((share.low, share.high))


def test_a_filter_that_is_off_shows_even_where_another_drops_the_same_rows() -> None:
    rows = planted(*((f"k{n}", "cut") for n in range(10)))
    on = verdicts(**{f"k{n}": "cut_off" for n in range(10)})
    off = verdicts(**{f"k{n}": ("near_duplicate", "k0") for n in range(10)})
    assert row_of(filters.detection(rows, on, CAUGHT_BY), "cut")["recall"] == 1
    without = row_of(filters.detection(rows, off, CAUGHT_BY), "cut")
    assert (without["recall"], without["missed"], without["dropped_otherwise"]) == (0, 10, 10)


def test_an_original_that_went_in_place_of_its_copy_is_a_catch_and_no_false_alarm() -> None:
    rows = planted(("copy", "copy", "original"), ("other", "copy", "source"))
    seen = verdicts(copy=None, original=("near_duplicate", "copy"), other=None, source=("near_duplicate", "stranger"))
    found = filters.detection(rows, seen, CAUGHT_BY)
    copy = row_of(found, "copy")
    assert [copy[name] for name in ("caught", "missed", "false_alarms")] == [1, 1, 1]
    assert found.misses["id"].to_list() == ["other"]
    assert found.false_alarms["dropped"].to_list() == [1, 1]


def test_an_original_dropped_for_something_else_catches_nothing() -> None:
    rows = planted(("copy", "copy", "original"))
    found = filters.detection(rows, verdicts(copy=None, original="cut_off"), CAUGHT_BY)
    assert row_of(found, "copy")["caught"] == 0
    assert found.false_alarms["reason"].to_list() == [None, "cut_off"]


def test_what_was_not_planted_has_no_recall_and_what_nothing_was_dropped_for_no_precision() -> None:
    found = filters.detection(planted(("k", "cut")), verdicts(k=None), CAUGHT_BY)
    assert [row_of(found, "hollow")[name] for name in ("planted", "recall", "recall_low")] == [0, None, None]
    assert [row_of(found, "cut")[name] for name in ("recall", "precision")] == [0.0, None]
    assert found.false_alarms.row(0) == (None, 0, 0, None, None, None)


def test_no_rows_at_all_are_an_answer_too() -> None:
    found = filters.detection(planted(), verdicts(), CAUGHT_BY)
    assert found.kinds["kind"].to_list() == list(CAUGHT_BY)
    assert found.misses.height == 0
    for frame, schema in zip(found, (KINDS, MISSES, FALSE_ALARMS, ALARMS), strict=True):
        assert dict(frame.schema) == dict(schema)


@given(
    st.lists(st.tuples(st.sampled_from(["copy", "cut", None]), st.sampled_from(["cut_off", "duplicate", "loop", None])))
)
def test_every_planted_row_is_caught_or_missed_and_every_clean_drop_an_alarm(rows: list[tuple[Any, Any]]) -> None:
    names = {f"r{n}": row for n, row in enumerate(rows)}
    found = filters.detection(
        planted(*((name, kind) for name, (kind, _) in names.items() if kind)),
        verdicts(**{name: reason for name, (_, reason) in names.items()}),
        CAUGHT_BY,
    )
    for kind in CAUGHT_BY:
        own = row_of(found, kind)
        assert own["planted"] == sum(planted_kind == kind for planted_kind, _ in rows) == own["caught"] + own["missed"]
        assert own["caught"] == sum(kind == k and reason in CAUGHT_BY[kind] for k, reason in rows)
        assert own["dropped_otherwise"] <= own["missed"] == found.misses.filter(pl.col("kind") == kind).height
    assert found.false_alarms["dropped"][0] == sum(kind is None and reason is not None for kind, reason in rows)


@pytest.mark.parametrize(
    ("rows", "seen", "sentence"),
    [
        (planted(("a", "copy")).drop("kind"), verdicts(a=None), "planted has no column 'kind'; it has id, original"),
        (planted(("a", "copy")), verdicts(a=None).drop("twin"), "verdicts has no column 'twin'"),
        (planted(("a", "leak")), verdicts(a=None), "planted holds the kind 'leak', which caught_by does not"),
        (planted(("a", "copy"), ("a", "cut")), verdicts(a=None), "planted names 'a' more than once"),
        (planted(("a", "copy")), verdicts(b=None), "planted names 'a', of which no verdict speaks"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_words(rows: pl.DataFrame, seen: pl.DataFrame, sentence: str) -> None:
    with pytest.raises(filters.FilterError) as refused:
        filters.detection(rows, seen, CAUGHT_BY)
    assert refused.value.what.startswith(sentence)
