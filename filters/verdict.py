"""What a filter answers: kept or not, why, what was measured, and the limit it was held to."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

VERDICT: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "id": pl.String,
    "filter": pl.String,
    "kept": pl.Boolean,
    "reason": pl.String,  # null where kept
    "measured": pl.Float64,
    "limit": pl.Float64,
    "twin": pl.String,  # the row it copies, where it copies one
}
"""Schema of a verdict frame: one row per input row, in the input's order."""


class FilterError(ValueError):
    """Wrong arguments to a filter, as what happened / why it matters / what to do."""

    def __init__(self, *, what: str, why: str, do: str) -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.do = do

    def __str__(self) -> str:
        return f"{self.what}\n  why: {self.why}\n  do:  {self.do}"
