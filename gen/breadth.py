"""rows → how varied they are, beside a random choice of as many and beside the seeds. Needs all rows; drops none.

No measure says it alone: some see words, some ideas, some the plan, and most of them change with the number of rows.
So each stands beside the same measure of a random choice of the same size, and prefixes are measured too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import fsum

import numpy as np
import numpy.typing as npt
import polars as pl

from thousandfold import filters
from thousandfold.filters.embed import embed
from thousandfold.filters.texts import text_column
from thousandfold.filters.tics_corpus import compression_ratio
from thousandfold.filters.tics_families import spread

from .constraints import Forbid, Space
from .content import content_order, unit_vectors
from .errors import RecipeError
from .tuples import Tuples, max_strength
from .variety import NEAR_SHARE, distances, distinct, ideas, spectrum

DRAWS = 5
"""Random choices whose mean is printed: of 300 rows their spread is some per cent of the measure."""
MANY_ROWS = 2_000
"""From here up one random choice is measured: the spread has shrunk with the rows, and the cost has grown."""
SAMPLE_CHARACTERS = 600

DIVERSITY: Mapping[str, type[pl.DataType]] = {
    "of": pl.String,  # selected | random | seeds
    "size": pl.UInt32,  # rows measured
    "levels": pl.Float64,  # share of the allowed levels that stand in some row; null without axes
    "pairs": pl.Float64,  # the same of pairs of levels of two axes
    "triples": pl.Float64,
    "vendi": pl.Float64,  # exp of the entropy of the spectrum of cosines: 1 to the number of dimensions
    "rke": pl.Float64,  # the same of order 2, 1 / Σ λ²: less moved by rare rows
    "openings": pl.Float64,  # 1 / Σ p² of the first three words
    "compression": pl.Float64,  # bytes over zlib's bytes: the higher the more alike
    "distinct_1": pl.Float64,  # different words over words
    "distinct_2": pl.Float64,
    "distinct_3": pl.Float64,
    "nearest_median": pl.Float64,  # 1 - cosine with the row that is most like it, 0 to 2
    "nearest_low": pl.Float64,  # a twentieth of the rows have a nearer one
    "ideas": pl.Float64,  # clusters of rows whose cosine reaches IDEA_COSINE
    "ideas_estimate": pl.Float64,  # Chao's estimate of how many there are at least; null where none came twice
    "ideas_high": pl.Float64,  # where its 95 % interval ends
}
MEASURES = tuple(DIVERSITY)[2:]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def diversity(
    chosen: pl.DataFrame,
    *,
    text: str | None = None,
    embedding: str | None = None,
    axes: Mapping[str, Sequence[str]] | Iterable[str] = (),
    forbid: Forbid = (),
    pool: pl.DataFrame | None = None,
    seeds: pl.Series | Iterable[str | None] | None = None,
    sizes: Sequence[int] | int | None = None,
    seed: int = 0,
) -> pl.DataFrame:
    """A `DIVERSITY` row for each prefix of `chosen`, one for as many random rows of `pool`, and one for `seeds`.

    `text` names a column of texts; `embedding` an Array or List column of numbers, of which cosines are taken in place
    of the offline embedder's. Without `text`, what needs words is null; without either, all but coverage is.
    `axes` are the columns of levels; as a mapping, with the levels that are possible (else those that occur), and
    `forbid` the combinations that are not. `pool` has the same columns and, as a rule, the chosen rows among its own; a
    random row is the mean of `DRAWS` choices, and one choice from `MANY_ROWS` rows up. `seeds` are texts. `sizes` are
    the prefixes: by default as many rows as there are seeds, 100, 1,000, … and all.

    Vendi score: Friedman and Dieng, arXiv 2210.02410, from the d x d matrix X'X / n, whose spectrum is that of the
    n x n matrix of cosines; RKE: Jalali et al., arXiv 2306.11261. Compression: Shaib et al., arXiv 2403.00553, of texts
    cut to 600 characters, in the order given. Distinct-n: Li et al., arXiv 1510.03055. Ideas: a row joins the nearest
    idea whose first row has a cosine of .8 and more with it. Nearest rows are exact up to 40,000 rows, else found by
    inverted lists. Values are rounded to six digits.

    Raises RecipeError for unknown columns, values of the wrong kind, and sizes that are no prefix.
    """
    _check_arguments(chosen, pool, text, seed)
    written = None if seeds is None else _texts(seeds)
    levels = _levels(axes, chosen if pool is None else pool)
    own = _Rows.of(chosen, text, embedding, levels, forbid)
    prefixes = _sizes(sizes, chosen.height, 0 if written is None else len(written))
    rows = [{"of": "selected", "size": size, **own.measured(np.arange(size))} for size in prefixes]
    if pool is not None:
        draws = _Draws(pool, [size for size in prefixes if size <= pool.height], seed)
        drawn = _Rows.of(pool[draws.needed], text, embedding, levels, forbid)
        found = ((size, [drawn.measured(some) for some in draws.of(size)]) for size in draws.sizes)
        rows += [{"of": "random", "size": size, **_means(own)} for size, own in found]
    if written is not None and len(written):
        said = _Rows.of(written.alias("text").to_frame(), "text", None, {}, ())
        rows.append({"of": "seeds", "size": len(written), **said.measured(np.arange(len(written)))})
    rounded = ({name: round(v, 6) if isinstance(v, float) else v for name, v in row.items()} for row in rows)
    return pl.DataFrame(list(rounded), schema=DIVERSITY)


class _Draws:
    """Random choices from a pool; `needed` are its rows that some choice holds, ascending."""

    def __init__(self, pool: pl.DataFrame, sizes: Sequence[int], seed: int) -> None:
        self.sizes = sizes
        longest = [max((size for size in sizes if not at or size < MANY_ROWS), default=0) for at in range(DRAWS)]
        orders = [content_order(pool, _draw_seed(seed, at))[:most] for at, most in enumerate(longest) if most]
        self.needed: Ints = np.unique(np.concatenate([np.empty(0, np.int64), *orders]))
        self._orders = [np.searchsorted(self.needed, order) for order in orders]

    def of(self, size: int) -> list[Ints]:
        """The choices of so many rows, as places among those needed."""
        return [order[:size] for order in self._orders[: DRAWS if size < MANY_ROWS else 1]]


@dataclass(frozen=True)
class _Rows:
    """Columns of rows, made ready so that any part of them can be measured. None for what is not there."""

    texts: pl.Series | None
    vectors: npt.NDArray[np.int8] | None
    exact: Floats | None  # (n, d) of unit length, or zeros
    tuples: Sequence[Tuples]
    codes: Ints

    @classmethod
    def of(
        cls,
        frame: pl.DataFrame,
        text: str | None,
        embedding: str | None,
        levels: Mapping[str, Sequence[str]],
        forbid: Forbid,
    ) -> _Rows:
        _check_columns(frame, [name for name in (text, embedding, *levels) if name is not None])
        texts = None if text is None else frame[text].cast(pl.String).fill_null("")
        vectors = exact = None
        if embedding is not None and frame.height:
            vectors, exact = unit_vectors(frame[embedding]), _unit(_numbers(frame[embedding]))
        elif texts is not None:
            vectors = embed(texts.to_list())
            exact = _unit(vectors.astype(np.float64))
        tuples: list[Tuples] = []
        codes = np.empty((frame.height, 0), np.int64)
        if levels:
            space = Space.checked(levels, forbid)
            codes = space.codes(frame, "frame", may_lack=True)
            highest = max_strength(space.sizes.tolist(), min(3, space.width))
            tuples = [Tuples.over(space, [strength]) for strength in range(1, highest + 1)]
        return cls(texts, vectors, exact, tuples, codes)

    @cached_property
    def openings(self) -> pl.Series | None:
        return None if self.texts is None else filters.tic_families(self.texts)["opening"]

    def measured(self, which: Ints) -> dict[str, float | None]:
        """Every one of `MEASURES` of the rows `which`."""
        found: dict[str, float | None] = dict.fromkeys(MEASURES)
        for name, tuples in zip(("levels", "pairs", "triples"), self.tuples, strict=False):
            found[name] = tuples.coverage(self.codes[which]).share
        if len(which):
            found |= self._of_vectors(which) | self._of_words(which)
        return found

    def _of_words(self, which: Ints) -> dict[str, float | None]:
        if self.texts is None or self.openings is None:
            return {}
        texts = self.texts[which]
        return {
            "openings": spread(self.openings[which]).effective,
            "compression": compression_ratio(texts.str.head(SAMPLE_CHARACTERS)),
            **{f"distinct_{length}": distinct(texts, length) for length in (1, 2, 3)},
        }

    def _of_vectors(self, which: Ints) -> dict[str, float | None]:
        if self.exact is None or self.vectors is None:
            return {}
        exact, alone = self.exact[which], len(which) == 1
        apart = np.full(1, 2.0) if alone else distances(self.vectors[which])
        found, clusters = spectrum(exact), ideas(exact, apart)
        # Where no idea came twice, nothing says how many there are: half the square of the rows would be printed.
        told = clusters.seen < len(which)
        return {
            **({} if found is None else found._asdict()),
            "nearest_median": None if alone else float(np.median(apart)),
            "nearest_low": None if alone else float(np.quantile(apart, NEAR_SHARE, method="lower")),
            "ideas": float(clusters.seen),
            "ideas_estimate": clusters.estimate if told else None,
            "ideas_high": clusters.high if told else None,
        }


def _means(found: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    """The mean of each measure; null where one of the choices has none."""
    made: dict[str, float | None] = {}
    for name in MEASURES:
        values = [value for own in found if (value := own[name]) is not None]
        made[name] = fsum(values) / len(found) if len(values) == len(found) else None
    return made


def _levels(axes: Mapping[str, Sequence[str]] | Iterable[str], rows: pl.DataFrame) -> Mapping[str, Sequence[str]]:
    if isinstance(axes, Mapping):
        return axes
    names = [axes] if isinstance(axes, str) else list(axes)
    _check_columns(rows, names)
    return {name: rows[name].cast(pl.String).drop_nulls().unique().sort().to_list() for name in names}


def _sizes(sizes: Sequence[int] | int | None, rows: int, seeds: int) -> list[int]:
    if sizes is None:
        tens = [10**power for power in range(2, 10)]
        return sorted({size for size in (seeds, *tens, rows) if 0 < size <= rows})
    sizes = [sizes] if isinstance(sizes, (int, np.integer)) else sizes
    for size in sizes:
        if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or not 0 < size <= rows:
            raise RecipeError(
                what=f"sizes holds {size!r}",
                why=f"the first so many of {rows} rows are measured",
                do=f"give whole numbers from 1 to {rows}",
            )
    return sorted({int(size) for size in sizes})


def _check_arguments(chosen: object, pool: object, text: str | None, seed: object) -> None:
    for name, given in (("chosen", chosen), ("pool", pool)):
        if not (isinstance(given, pl.DataFrame) or (given is None and name == "pool")):
            raise RecipeError(
                what=f"{name} is a {type(given).__name__}",
                why="the rows of a polars DataFrame are measured",
                do="collect a lazy frame first; make a frame of anything else",
            )
        if isinstance(given, pl.DataFrame) and text in given.columns and given.schema[text].is_nested():
            raise RecipeError(
                what=f"text names the column {text!r} of type {given.schema[text]}",
                why="it should hold one text in each row",
                do="take the text out into a column of its own, or name a column of numbers as embedding",
            )
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise RecipeError(what=f"seed is {seed!r}", why="it chooses the random rows", do="give a whole number")


def _texts(seeds: pl.Series | Iterable[str | None]) -> pl.Series:
    try:
        return text_column(seeds, name="seeds")
    except filters.FilterError as error:
        raise RecipeError(what=error.what, why=error.why, do=error.do) from error


def _check_columns(frame: pl.DataFrame, names: Iterable[str]) -> None:
    for name in names:
        if name not in frame.columns:
            raise RecipeError(
                what=f"the frame has no column {name!r}; it has {', '.join(frame.columns) or 'none'}",
                why="its rows are to be measured by it",
                do="name columns that the frame has",
            )


def _numbers(column: pl.Series) -> Floats:
    width = column.dtype.size if isinstance(column.dtype, pl.Array) else int(column.list.len()[0])
    return column.cast(pl.Array(pl.Float64, width)).to_numpy().astype(np.float64)


def _unit(vectors: Floats) -> Floats:
    """Scaled by the largest number first, so that no square over- or underflows."""
    largest = np.abs(vectors).max(axis=1, keepdims=True)
    vectors = np.divide(vectors, largest, where=largest > 0, out=np.zeros_like(vectors))
    lengths = np.sqrt((vectors * vectors).sum(axis=1, keepdims=True))
    unit: Floats = np.divide(vectors, lengths, where=lengths > 0, out=np.zeros_like(vectors))
    return unit


def _draw_seed(seed: int, draw: int) -> int:
    """Apart from each other, and from the seed by which the selection breaks ties."""
    return (seed << 8) + draw + 1
