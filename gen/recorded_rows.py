"""recorded labels and judgements, anybody's → one row a text: what people said of it, and what the judge did.

No model and no release of ours is needed. Texts are kept by their hash.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import RecipeError
from .recorded_files import Row, read_rows
from .text import on_screen

Floats = npt.NDArray[np.float64]

PAIRWISE = {
    **dict.fromkeys(("1", "a", "first", "response1", "[[a]]"), 1.0),
    **dict.fromkeys(("2", "b", "second", "response2", "[[b]]"), 0.0),
    **dict.fromkeys(("0", "tie", "c", "draw", "equal", "both", "[[c]]"), 0.5),
}
"""What a verdict on two texts may be called: 1 where the first is better, 0 the second, 1/2 neither."""
WORDS = {**dict.fromkeys(("true", "yes"), 1.0), **dict.fromkeys(("false", "no"), 0.0)}
MISSING = frozenset({"", "na", "n/a", "nan", "none", "null", "-"})
MOST_SHOWN = 5


@dataclass(frozen=True)
class Recorded:
    """One entry a text, in the order of the file.

    ids       of the texts: the column, or the hash of the text
    sums      SHA-256 of each text; of the whole row where no text column was named
    raters    names of the people
    ratings   (raters, texts) their labels, NaN where they gave none
    labels    (texts,) of several labels the mean; of pairwise ones the majority, 1/2 where there is none
    scores    (texts,) the judge's; NaN is unscored, which is not zero
    unscored  how many, by what stood there
    good      (texts,) booleans: the label reaches `good_from`, or without one lies above the middle of the scale
    notes     what a person should know of how it was read; texts that nobody labelled are named here and left out
    """

    ids: list[str]
    sums: list[str]
    raters: list[str]
    ratings: Floats
    labels: Floats
    scores: Floats
    unscored: Mapping[str, int]
    good: npt.NDArray[np.bool_]
    good_words: str
    pairwise: bool
    notes: tuple[str, ...] = ()

    @property
    def scored(self) -> npt.NDArray[np.bool_]:
        return np.isfinite(self.scores)


def recorded(
    files: str | Path | Sequence[str | Path],
    *,
    score: str,
    label: str | Sequence[str],
    rater: str | None = None,
    id: str | None = None,  # noqa: A002 - as the column is called
    text: str | Sequence[str] = (),
    pairwise: bool = False,
    words: Mapping[str, float] | None = None,
    good_from: float | None = None,
) -> Recorded:
    """What people and a judge said of texts, from CSV, TSV, JSON or JSONL files.

    `label` names a column for each person, or with `rater` one column of labels beside who gave them, a row each.
    `score` names the judge's column. `id` tells which rows are of one text, and joins several files; without it
    the `text` columns do, and else each row is a text. Labels and scores are numbers, yes and no, or what `words` maps
    to numbers; with `pairwise` they are verdicts on two texts (1, 2, tie), read as 1, 0 and 1/2. A score that cannot be
    read, or is not there, leaves the text unscored; a label that cannot be read is an error with its place. Of two
    labels by one person for one text the later counts, and that is noted.

    Raises RecipeError for unknown columns, labels that cannot be read, and files without a label or a score.
    """
    labels, texts = _names(label), _names(text)
    paths = [files] if isinstance(files, (str, Path)) else list(files)
    rows, numbers, notes = read_rows(paths, id)
    for option, names in (("label", labels), ("score", [score]), ("rater", _names(rater)), ("id", _names(id))):
        _check_columns(rows, option, names)
    _check_columns(rows, "text", texts)
    if rater is not None and len(labels) != 1:
        raise RecipeError(
            what=f"--rater goes with one column of labels, and {len(labels)} were named",
            why="either each person has a column, or each row says whose label it is",
            do="name one --label, or leave --rater out",
        )
    for option, column in (("id", id), ("rater", rater)):
        _check_filled(rows, numbers, option, column)
    read = {name.casefold(): float(number) for name, number in (words or {}).items()}
    known = {**(PAIRWISE if pairwise else WORDS), **read}
    groups = _groups(rows, id, texts)
    ratings, raters, twice = _ratings(rows, numbers, groups, labels, rater, known, pairwise=pairwise)
    groups, ratings, without = _labelled(groups, ratings)
    scores, unscored = _scores(rows, groups, score, known, pairwise=pairwise)
    means = _majority(ratings) if pairwise else _mean(ratings)
    if not np.isfinite(scores).any():
        raise RecipeError(
            what=f"no row has a score that can be read in {score!r}: {_counts(unscored)}",
            why="what a score stands for is learnt from texts that have one",
            do="give numbers, or say what its words mean: --map WORD=NUMBER",
        )
    good, good_words = _good(means, good_from, pairwise=pairwise)
    sums = [_sum(rows[members[0]], texts) for members in groups.values()]
    return Recorded(
        ids=[key if id else digest for key, digest in zip(groups, sums, strict=True)],
        sums=sums,
        raters=raters,
        ratings=ratings,
        labels=means,
        scores=scores,
        unscored=unscored,
        good=good,
        good_words=good_words,
        pairwise=pairwise,
        notes=(*notes, *twice, *without),
    )


def _names(given: str | Sequence[str] | None) -> list[str]:
    return [given] if isinstance(given, str) else list(given or ())


def _check_columns(rows: Sequence[Row], option: str, names: Sequence[str]) -> None:
    seen = list(dict.fromkeys(str(name) for row in rows for name in row))
    for name in names:
        if name not in seen:
            shown = ", ".join(on_screen(column, width=30) for column in seen[:20])
            raise RecipeError(
                what=f"there is no column {name!r}, which --{option} names",
                why="nothing can be read from it",
                do=f"name one of {shown}",
            )
    if option in ("label", "score") and not names:
        raise RecipeError(what=f"no --{option} was named", why="it is what is read", do=f"give --{option} COLUMN")


def _check_filled(rows: Sequence[Row], numbers: Sequence[int], option: str, column: str | None) -> None:
    """Rows that do not say which text is meant, or who labels, would all be taken for one."""
    empty = [n for n, row in zip(numbers, rows, strict=True) if column is not None and _is_missing(row.get(column))]
    if empty:
        shown = ", ".join(map(str, empty[:MOST_SHOWN])) + (" …" if len(empty) > MOST_SHOWN else "")
        raise RecipeError(
            what=f"{len(empty)} rows have nothing in {column!r}, which --{option} names: {shown}",
            why="they cannot be told apart" if option == "id" else "whose label it is decides what it is compared with",
            do="fill it in or leave these rows out",
        )


def _labelled(groups: Mapping[str, list[int]], ratings: Floats) -> tuple[dict[str, list[int]], Floats, list[str]]:
    """Only the texts that somebody labelled, and a note of how many nobody did: no label is not a bad one."""
    there: npt.NDArray[np.bool_] = np.asarray(np.isfinite(ratings).any(axis=0))
    missing = int((~there).sum())
    kept = {key: rows for (key, rows), one in zip(groups.items(), there, strict=True) if one}
    return kept, ratings[:, there], [f"{missing} texts have no label and are left out"] if missing else []


def _groups(rows: Sequence[Row], key: str | None, texts: Sequence[str]) -> dict[str, list[int]]:
    """text -> its rows."""
    groups: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        own = str(row.get(key)) if key else _sum(row, texts) if texts else str(place)
        groups.setdefault(own, []).append(place)
    return groups


def _sum(row: Row, texts: Sequence[str]) -> str:
    part = {name: row.get(name) for name in texts} if texts else row
    return sha256(json.dumps(part, sort_keys=True, ensure_ascii=True, default=str).encode()).hexdigest()


def _ratings(
    rows: Sequence[Row],
    numbers: Sequence[int],
    groups: Mapping[str, Sequence[int]],
    labels: Sequence[str],
    rater: str | None,
    known: Mapping[str, float],
    *,
    pairwise: bool,
) -> tuple[Floats, list[str], list[str]]:
    """(raters by texts), the raters' names, and a note where one labelled a text twice."""
    given: dict[tuple[str, int], float] = {}
    wrong: list[str] = []
    twice = 0
    for text, members in enumerate(groups.values()):
        for place in members:
            for column in labels:
                value = rows[place].get(column)
                if _is_missing(value):
                    continue
                number = _number(value, known, pairwise=pairwise)
                who = column if rater is None else str(rows[place].get(rater))
                if number is None:
                    wrong.append(f"row {numbers[place]}: {column} = {on_screen(repr(value), width=40)}")
                    continue
                twice += (who, text) in given
                given[who, text] = number
    if wrong:
        more = f"; and {len(wrong) - MOST_SHOWN} more" if len(wrong) > MOST_SHOWN else ""
        raise RecipeError(
            what=f"{len(wrong)} labels cannot be read: {'; '.join(wrong[:MOST_SHOWN])}{more}",
            why="a label is a number" + (", or a verdict: 1, 2 or tie" if pairwise else "; words need one"),
            do="mend them, leave them empty, or say what a word means: --map WORD=NUMBER",
        )
    if not given:
        raise RecipeError(
            what=f"no row has a label in {', '.join(labels)}",
            why="what a score stands for is learnt from labels",
            do="name the columns in which people's labels stand",
        )
    names = sorted({who for who, _ in given}) if rater else list(labels)
    ratings = np.full((len(names), len(groups)), np.nan)
    for (who, text), number in given.items():
        ratings[names.index(who), text] = number
    notes = [f"{twice} labels by one person for one text came twice: the later counts"] if twice else []
    return ratings, names, notes


def _scores(
    rows: Sequence[Row],
    groups: Mapping[str, Sequence[int]],
    column: str,
    known: Mapping[str, float],
    *,
    pairwise: bool,
) -> tuple[Floats, dict[str, int]]:
    """(texts,) of each the mean over its rows; and what stood where there is none."""
    scores, unscored = np.full(len(groups), np.nan), Counter[str]()
    for text, members in enumerate(groups.values()):
        values = [rows[place].get(column) for place in members]
        numbers = [n for value in values if (n := _number(value, known, pairwise=pairwise)) is not None]
        if numbers:
            scores[text] = sum(numbers) / len(numbers)
        else:
            unscored["nothing" if _is_missing(values[0]) else on_screen(str(values[0]), width=40)] += 1
    return scores, dict(unscored.most_common())


def _number(value: Any, known: Mapping[str, float], *, pairwise: bool) -> float | None:
    name = str(value).strip().casefold()
    if name in known:
        return known[name]
    if pairwise or _is_missing(value):
        return None
    try:
        number = float(name.replace(",", ".", 1))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _is_missing(value: Any) -> bool:
    return value is None or str(value).strip().casefold() in MISSING


def _mean(ratings: Floats) -> Floats:
    there = np.isfinite(ratings)
    count = there.sum(axis=0)
    total = np.where(there, ratings, 0.0).sum(axis=0)
    return np.asarray(np.divide(total, count, where=count > 0, out=np.full(ratings.shape[1], np.nan)))


def _majority(ratings: Floats) -> Floats:
    """What more than half of a text's people say; 1/2 where no verdict has so many."""
    there = np.isfinite(ratings).sum(axis=0)
    found = np.where(there > 0, 0.5, np.nan)
    for verdict in (1.0, 0.0):
        found[(ratings == verdict).sum(axis=0) * 2 > there] = verdict
    return found


def _good(labels: Floats, good_from: float | None, *, pairwise: bool) -> tuple[npt.NDArray[np.bool_], str]:
    if good_from is not None:
        return labels >= good_from, f"label {good_from:g} and up"
    if pairwise:
        return labels == 1.0, "the first of the two is better"
    low, high = float(np.nanmin(labels)), float(np.nanmax(labels))
    middle = (low + high) / 2
    return labels > middle, f"label above {middle:g}, the middle of {low:g} to {high:g} (--good-from sets another)"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in list(counts.items())[:MOST_SHOWN])
