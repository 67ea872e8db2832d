"""one part against another → the lines of the table of tics, and which rows hold them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from .tics_families import family_counts
from .tics_ngrams import Ints
from .tics_parts import Part
from .tics_phrases import MOST_WITHOUT_REFERENCE, Side, Tic, against, counted_from, least_count, rows_of, tics_of
from .tics_skeletons import LONGEST, SHORTEST, Skeletons, readable
from .tics_words import excerpt

TICS: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "kind": pl.String,  # opening | closing | phrase | skeleton | telling
    "tic": pl.String,  # lower case; `_` in a skeleton is a run of other words
    "group": pl.String,  # the group whose texts were counted; null: all
    "reference": pl.String,  # what they were compared with; null: nothing
    "count": pl.Int64,  # texts that have it; of a sample for skeletons, where there are more than SKELETON_TEXTS
    "rate": pl.Float64,  # of the texts that hold anything, in [0, 1]
    "reference_rate": pl.Float64,
    "ratio": pl.Float64,  # of both rates, the reference with half a text more, so that it is never infinite
    "z": pl.Float64,  # log odds ratio with an informative Dirichlet prior, in standard errors
    "adjusted_p": pl.Float64,  # Benjamini-Hochberg over all candidates of its kind; null for `telling`
    "examples": pl.List(pl.String),  # up to three, cut out of texts, for the 200 most frequent of a kind
}

SKELETON_TEXTS = 20_000
"""Skeletons are looked for in so many texts of each side: few words make for many frequent n-grams."""
LEAST_Z = 3.0  # of a telling word: what speaks against the reference's tics is no tic itself
EXAMPLES = 3
EXAMPLED = 200  # tics of a kind, the most frequent


class Held(NamedTuple):
    """A listed phrase and the rows of the corpus that hold it."""

    phrase: str
    rows: Ints


def table_of(part: Part, other: Part | None, telling: Sequence[tuple[int, ...]]) -> tuple[pl.DataFrame, list[Held]]:
    """(lines of the schema `TICS`, phrases with their rows). `telling` are the words of the two-sample test."""
    lines = [*_family_lines(part, other, "opening"), *_family_lines(part, other, "closing")]
    phrases = tics_of(_side(part), _side(other) if other else None)
    names = readable(part.corpus.vocabulary, [tic.gram for tic in phrases])
    held = [Held(name, part.ascending[tic.rows]) for name, tic in zip(names, phrases, strict=True)]
    lines += [
        _line(part, other, "phrase", name, tic, rows, number)
        for number, ((name, rows), tic) in enumerate(zip(held, phrases, strict=True))
    ]
    lines += _skeleton_lines(part, other)
    lines += _telling_lines(part, other, telling) if other else ()
    return pl.DataFrame(lines, schema=dict(TICS), orient="row"), held


def _side(part: Part) -> Side:
    return Side(part.phrasing, part.texts)


def _family_lines(part: Part, other: Part | None, kind: str) -> Iterator[dict[str, Any]]:
    """Families that are listed by the same rule as phrases; without a reference, the largest."""
    families = part.families(kind)
    own = family_counts(families)
    least = least_count(part.texts)
    names = sorted((f for f, n in own.items() if n >= counted_from(part.texts)), key=lambda f: (-own[f], f))
    counts = np.array([own[name] for name in names], np.int64)
    rows_of = dict(families.to_frame("f").with_row_index("row").group_by("f").agg("row").iter_rows())
    if other is None or not names:
        tests: list[tuple[Any, ...]] = [(None, None, None, None)] * len(names)
        chosen = (counts >= least) & (np.arange(len(names)) < MOST_WITHOUT_REFERENCE)
    else:
        theirs = family_counts(other.families(kind))
        reference = np.array([theirs.get(name, 0) for name in names], np.int64)
        test = against(counts, part.texts, reference, other.texts)
        tests = list(zip(reference.tolist(), *(numbers.tolist() for numbers in test), strict=True))
        chosen = test.listed(counts, part.texts)
    for name, numbers, is_listed in zip(names, tests, chosen, strict=True):
        if is_listed:
            rows = part.ascending[np.array(rows_of[name], np.int64)]
            yield _line(part, other, kind, name, Tic((), rows, *numbers), rows)


def _skeleton_lines(part: Part, other: Part | None) -> Iterator[dict[str, Any]]:
    vocabulary = part.corpus.vocabulary
    own = part.sampled(SKELETON_TEXTS)
    theirs = other.sampled(SKELETON_TEXTS) if other else None
    skeletons = Skeletons([own, *([theirs] if theirs else [])], vocabulary)
    side = Side(skeletons.of(own), own.height)
    reference = Side(skeletons.of(theirs), theirs.height) if theirs else None
    found = tics_of(side, reference, shortest=SHORTEST, longest=LONGEST, telling=skeletons.telling)
    names = readable(vocabulary, [tic.gram for tic in found])
    for number, (tic, name) in enumerate(zip(found, names, strict=True)):
        there = _rate(tic.reference_count, reference.texts if reference else 0)
        line = _line(part, other, "skeleton", name, tic, part.rows[tic.rows], number)
        yield line | {"rate": len(tic.rows) / own.height, "reference_rate": there}


def _telling_lines(part: Part, other: Part, telling: Sequence[tuple[int, ...]]) -> Iterator[dict[str, Any]]:
    """How often the words are said by which the classifier knows the texts; chosen by it, so without a p."""
    rows = rows_of(part.phrasing, telling)
    counts = np.array([len(found) for found in rows], np.int64)
    theirs = np.array([len(found) for found in rows_of(other.phrasing, telling)], np.int64)
    test = against(counts, part.texts, theirs, other.texts)
    for i, name in enumerate(readable(part.corpus.vocabulary, telling)):
        if test.z[i] < LEAST_Z:
            continue
        tic = Tic(telling[i], rows[i], int(theirs[i]), float(test.ratio[i]), float(test.z[i]), None)
        yield _line(part, other, "telling", name, tic, part.ascending[rows[i]])


def _rate(count: int | None, texts: int) -> float | None:
    return None if count is None or not texts else count / texts


def _line(
    part: Part, other: Part | None, kind: str, name: str, tic: Tic, rows: Ints, number: int = 0
) -> dict[str, Any]:
    """One line of the table; `rows` are those of the corpus, `number` counts the tics of the kind."""
    return {
        "kind": kind,
        "tic": name,
        "group": part.name,
        "reference": other.name if other else None,
        "count": len(tic.rows),
        "rate": len(tic.rows) / part.texts,
        "reference_rate": _rate(tic.reference_count, other.texts if other else 0),
        "ratio": tic.ratio,
        "z": tic.z,
        "adjusted_p": tic.adjusted_p,
        "examples": _examples(part, kind, tic, rows) if number < EXAMPLED else [],
    }


def _examples(part: Part, kind: str, tic: Tic, rows: Ints) -> list[str]:
    """Cut out of the texts that come first in the order that content decides, each once."""
    words = [part.corpus.vocabulary.words[code] for code in tic.gram]
    first = rows[np.argsort(part.corpus.places[rows], kind="stable")[: 4 * EXAMPLES]]
    found: dict[str, None] = {}
    for row in first.tolist():
        text = part.corpus.texts[row]
        if kind == "closing":
            found.setdefault("…" + " ".join(text[-80:].split()) if len(text) > 80 else " ".join(text.split()))
        else:
            found.setdefault(excerpt(text, words if kind != "opening" else []))
        if len(found) == EXAMPLES:
            break
    return list(found)
