"""rows → how varied they are, beside a random choice of as many and beside the seeds. Needs all rows; drops none.

No measure says it alone: some see words, some ideas, some the plan, and most of them change with the number of rows.
So each stands beside the same measure of a random choice of the same size, and prefixes are measured too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from math import fsum

import numpy as np
import numpy.typing as npt
import polars as pl

from thousandfold import filters
from thousandfold.filters.embed import embed
from thousandfold.filters.ngrams import grams_of, words_of
from thousandfold.filters.statistics import chao1
from thousandfold.filters.tics_corpus import compression_ratio
from thousandfold.filters.tics_families import spread

from .constraints import Forbid, Space
from .content import content_order, unit_vectors
from .errors import RecipeError
from .neighbours import nearest
from .tuples import Tuples, max_strength

IDEA_COSINE = 0.8
"""From here up two answers count as one idea. The offline embedder sees shared words and pairs of words: answers of the
same sentences in another order lie above it, and answers to one question in other words below."""
DRAWS = 5
"""Random choices whose mean is printed: of 300 rows their spread is some per cent of the measure."""
SAMPLE_CHARACTERS = 600
NEAR_SHARE = 0.05

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
    seeds: pl.Series | None = None,
    sizes: Sequence[int] | None = None,
    seed: int = 0,
) -> pl.DataFrame:
    """A `DIVERSITY` row for each prefix of `chosen`, one for as many random rows of `pool`, and one for `seeds`.

    `text` names a column of texts; `embedding` an Array or List column of numbers, of which cosines are taken in place
    of the offline embedder's. Without `text`, what needs words is null; without either, all but coverage is.
    `axes` are the columns of levels; as a mapping, with the levels that are possible (else those that occur), and
    `forbid` the combinations that are not. `pool` has the same columns and, as a rule, the chosen rows among its own; a
    random row is the mean of `DRAWS` choices. `seeds` are texts. `sizes` are the prefixes: by default as many rows as
    there are seeds, 100, 1,000, … and all.

    Vendi score: Friedman and Dieng, arXiv 2210.02410, from the d x d matrix X'X / n, whose spectrum is that of the
    n x n matrix of cosines; RKE: Jalali et al., arXiv 2306.11261. Compression: Shaib et al., arXiv 2403.00553, of texts
    cut to 600 characters, in the order given. Distinct-n: Li et al., arXiv 1510.03055. Ideas: a row joins the nearest
    idea whose first row has a cosine of .8 and more with it. Nearest rows are exact up to 40,000 rows, else found by
    inverted lists. Values are rounded to six digits.

    Raises RecipeError for unknown columns, values of the wrong kind, and sizes that are no prefix.
    """
    levels = _levels(axes, chosen if pool is None else pool)
    own = _Rows.of(chosen, text, embedding, levels, forbid)
    prefixes = _sizes(sizes, chosen.height, 0 if seeds is None else len(seeds))
    rows = [{"of": "selected", "size": size, **own.measured(np.arange(size))} for size in prefixes]
    if pool is not None:
        drawn = _Rows.of(pool, text, embedding, levels, forbid)
        orders = [content_order(pool, _draw_seed(seed, draw)) for draw in range(DRAWS)]
        for size in (size for size in prefixes if size <= pool.height):
            found = [drawn.measured(order[:size]) for order in orders]
            rows.append({"of": "random", "size": size, **_means(found)})
    if seeds is not None and len(seeds):
        written = _Rows.of(seeds.alias("text").to_frame(), "text", None, {}, ())
        rows.append({"of": "seeds", "size": len(seeds), **written.measured(np.arange(len(seeds)))})
    rounded = ({name: round(v, 6) if isinstance(v, float) else v for name, v in row.items()} for row in rows)
    return pl.DataFrame(list(rounded), schema=DIVERSITY)


def idea_numbers(texts: pl.Series) -> pl.Series:
    """A number for each text, shared by those whose vectors lie next to each other: one idea in several wordings."""
    twins = filters.same_meaning(texts, threshold=IDEA_COSINE)["twin"]
    return pl.select(pl.coalesce(twins, pl.int_range(len(texts), dtype=pl.UInt32, eager=True))).to_series()


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
            codes = space.codes(frame, "frame")
            highest = max_strength(space.sizes.tolist(), min(3, space.width))
            tuples = [Tuples.over(space, [strength]) for strength in range(1, highest + 1)]
        return cls(texts, vectors, exact, tuples, codes)

    @cached_property
    def grams(self) -> Sequence[tuple[npt.NDArray[np.uint64], Ints]]:
        """Of words, pairs and triples of words: the hash of each, and the row it stands in."""
        if self.texts is None:
            return ()
        words = words_of(self.texts)
        made = [grams_of(words, length) for length in (1, 2, 3)]
        return [(grams.hashes.copy(), grams.rows.copy()) for grams in made]

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
        found: dict[str, float | None] = {
            "openings": spread(self.openings[which]).effective,
            "compression": compression_ratio(self.texts[which].str.head(SAMPLE_CHARACTERS)),
        }
        inside = np.zeros(len(self.texts), np.bool_)
        inside[which] = True
        for length, (hashes, rows) in enumerate(self.grams, 1):
            own = hashes[inside[rows]]
            found[f"distinct_{length}"] = len(np.unique(own)) / len(own) if len(own) else None
        return found

    def _of_vectors(self, which: Ints) -> dict[str, float | None]:
        if self.exact is None or self.vectors is None:
            return {}
        return {**_spectrum(self.exact[which]), **_nearest(self.vectors[which]), **self._ideas(which)}

    def _ideas(self, which: Ints) -> dict[str, float | None]:
        assert self.exact is not None
        # The clusters go by vectors alone: each stands for its text, so that equal ones are one.
        vectors = self.exact[which]
        names = [blake2b(vector.tobytes(), digest_size=16).hexdigest() for vector in vectors]
        known = dict(zip(names, vectors, strict=True))
        twins = filters.same_meaning(names, threshold=IDEA_COSINE, embedder=lambda some: [known[n] for n in some])
        leaders = pl.select(pl.coalesce(twins["twin"], pl.int_range(len(which), dtype=pl.UInt32, eager=True)))
        ideas = chao1(leaders.to_series().value_counts()["count"].to_numpy().astype(np.int64))
        # Where no idea came twice, nothing says how many there are: half the square of the rows would be printed.
        told = ideas.seen < len(which)
        return {
            "ideas": float(ideas.seen),
            "ideas_estimate": ideas.estimate if told else None,
            "ideas_high": ideas.high if told else None,
        }


def _spectrum(vectors: Floats) -> dict[str, float | None]:
    """Vendi score and RKE of unit vectors; rows of zeros are like nothing, and left out."""
    vectors = vectors[vectors.any(axis=1)]
    if not len(vectors):
        return {}
    spectrum = np.linalg.eigvalsh(vectors.T @ vectors / len(vectors))
    shares = spectrum[spectrum > 1e-12]
    shares /= shares.sum()
    return {
        "vendi": float(np.exp(-(shares * np.log(shares)).sum())),
        "rke": float(1 / (shares * shares).sum()),
    }


def _nearest(vectors: npt.NDArray[np.int8]) -> dict[str, float | None]:
    """How far each row is from the row that is most like it."""
    if len(vectors) < 2:
        return {}
    found = nearest(vectors, 2)
    others = found.rows != np.arange(len(vectors))[:, None]
    place = np.where(others[:, 0] & (found.dots[:, 0] >= found.dots[:, 1]) | ~others[:, 1], 0, 1)[:, None]
    other = np.take_along_axis(found.rows, place, axis=1)[:, 0]
    dots = np.take_along_axis(found.dots, place, axis=1)[:, 0]
    lengths = np.sqrt((vectors.astype(np.int64) ** 2).sum(axis=1))
    distances = 1 - dots / np.maximum(lengths * lengths[other], 1.0)
    return {
        "nearest_median": float(np.median(distances)),
        "nearest_low": float(np.quantile(distances, NEAR_SHARE, method="lower")),
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


def _sizes(sizes: Sequence[int] | None, rows: int, seeds: int) -> list[int]:
    if sizes is None:
        tens = [10**power for power in range(2, 10)]
        return sorted({size for size in (seeds, *tens, rows) if 0 < size <= rows})
    for size in sizes:
        if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or not 0 < size <= rows:
            raise RecipeError(
                what=f"sizes holds {size!r}",
                why=f"the first so many of {rows} rows are measured",
                do=f"give whole numbers from 1 to {rows}",
            )
    return sorted({int(size) for size in sizes})


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
    lengths = np.sqrt((vectors * vectors).sum(axis=1, keepdims=True))
    unit: Floats = np.divide(vectors, lengths, where=lengths > 0, out=np.zeros_like(vectors))
    return unit


def _draw_seed(seed: int, draw: int) -> int:
    """Apart from each other, and from the seed by which the selection breaks ties."""
    return (seed << 8) + draw + 1
