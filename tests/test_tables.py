"""The tables: their columns are the contract, rows must fit them, and ids hang on every part."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thousandfold.filters import VERDICT
from thousandfold.gen.tables import (
    CONTEXTS,
    DRAFTS,
    JUDGEMENTS,
    RESERVED_AXES,
    SEEDS,
    SELECTION,
    VERDICTS,
    contexts_schema,
    frame,
    tagged_id,
)


def test_the_columns_are_the_promised_ones() -> None:
    assert set(DRAFTS) >= {"id", "context_id", "messages", "because", "teacher"}
    assert set(VERDICTS) >= {"id", "filter", "kept", "reason", "measured", "limit"}
    assert set(JUDGEMENTS) >= {"id", "level", "score", "spans", "reason"}
    assert dict(VERDICTS) == dict(VERDICT), "what the filters answer is what the table holds"


def test_every_table_joins_by_id() -> None:
    assert {table["id"] for table in (SEEDS, CONTEXTS, DRAFTS, VERDICTS, JUDGEMENTS, SELECTION)} == {pl.String}


def test_contexts_have_a_column_for_every_axis_in_order() -> None:
    assert list(contexts_schema(["domain", "facet"])) == [*CONTEXTS, "domain", "facet"]


@pytest.mark.parametrize("name", ["id", "seed_id", "messages", "kept", "score", "rank", "split", "because", "gain"])
def test_an_axis_may_not_be_called_like_a_column(name: str) -> None:
    assert name in RESERVED_AXES


def test_facet_is_an_axis() -> None:
    assert "facet" not in RESERVED_AXES


def test_no_rows_make_an_empty_frame_with_the_schema() -> None:
    assert dict(frame([], DRAFTS).schema) == dict(DRAFTS)


def test_rows_of_nulls_keep_the_schema() -> None:
    made = frame([dict.fromkeys(JUDGEMENTS)], JUDGEMENTS)
    assert dict(made.schema) == dict(JUDGEMENTS)
    assert made.height == 1


@pytest.mark.parametrize("value", ["text", [1]])
def test_a_value_of_the_wrong_kind_does_not_slip_in(value: object) -> None:
    with pytest.raises((TypeError, pl.exceptions.PolarsError)):
        frame([{"id": "a", "selected": value, "rank": None, "gain": None, "reason": None}], SELECTION)


def test_an_id_is_its_tag_and_sixteen_hex_digits_and_never_changes() -> None:
    assert tagged_id("d", "context", "ask") == "d-c9e60737363f7450"


@given(st.lists(st.text(max_size=4), max_size=4), st.lists(st.text(max_size=4), max_size=4))
def test_different_parts_make_different_ids_however_they_are_cut(one: list[str], other: list[str]) -> None:
    assert (tagged_id("t", *one) == tagged_id("t", *other)) is (one == other)
    assert tagged_id("u", *one) != tagged_id("t", *one)
    assert tagged_id("t", "\ud800", *one).startswith("t-"), "lone surrogates have an id too"
