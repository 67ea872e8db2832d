"""files → seeds: read the hand-written exemplars, check them, and say which lineages are sealed as held-out.

Row by row, but for the ids (all rows) and the split (all seeds of a facet).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from .conversations import (
    Place,
    check_turn,
    checked_because,
    content_id,
    decoded,
    facet_of,
    json_lines,
    levels_of,
    messages_of,
    not_a_conversation,
    text_of,
    whole,
)
from .conversations import read_text as read_text
from .errors import RecipeError
from .lineages import lineages
from .recipe import Recipe
from .tables import SEEDS, frame, tagged_id

FRONT_KEYS = ("id", "facet", "because", "reason", "levels", "author", "licence", "source")
_FRONT = re.compile(r"---[ \t]*\n(.*?)^---[ \t]*(?:\n|\Z)", re.MULTILINE | re.DOTALL)
_TURN = re.compile(r"^## (\w+)[ \t]*$", re.MULTILINE)


def read_seeds(recipe: Recipe) -> pl.DataFrame:
    """All seeds of the recipe as a `SEEDS` frame plus one String column per axis (null where not given).

    Sorted by id. Raises RecipeError naming file and line.
    """
    placed = list(_rows(recipe))
    if not placed:
        raise RecipeError(
            what=f"{recipe.path / 'seeds'} holds no seed (*.md or *.jsonl)",
            why="every context descends from a hand-written exemplar",
            do="write one as seeds/<name>.md: front matter, then `## user` and `## assistant` turns",
        )
    _check_ids(placed)
    rows = sorted((row for _, row in placed), key=lambda row: str(row["id"]))
    _split(rows, recipe)
    schema = {**SEEDS, **{axis: pl.String for axis in recipe.axes if axis != "facet"}}
    return frame([{name: row[name] for name in schema} for row in rows], schema)


def _rows(recipe: Recipe) -> Iterator[tuple[Place, dict[str, Any]]]:
    for name, data in recipe.files.items():
        path = recipe.path / name
        if name.startswith("seeds/") and path.suffix == ".md":
            yield Place(path, 1), _markdown(path, decoded(path, data), recipe)
        elif name.startswith("seeds/"):
            for place, record in json_lines(path, decoded(path, data)):
                yield place, _from_record(record, recipe, place)


def _markdown(path: Path, text: str, recipe: Recipe) -> dict[str, Any]:
    front, body, first_line = _front_matter(text, path)
    parts = _TURN.split(body)
    if parts[0].strip():
        raise not_a_conversation(Place(path, first_line), f"text before the first turn: {parts[0].strip()[:60]!r}")
    messages = []
    line = first_line + parts[0].count("\n")
    for role, content in zip(parts[1::2], parts[2::2], strict=True):
        messages.append({"role": role, "content": content.strip()})
        check_turn(messages, Place(path, line))
        line += content.count("\n")
    return _seed(front, messages, recipe, place=Place(path, 1), default_id=path.stem)


def _front_matter(text: str, path: Path) -> tuple[dict[str, Any], str, int]:
    """(fields, body, the body's first line number); no front matter is no fields."""
    import yaml

    if text.partition("\n")[0].rstrip() != "---":
        return {}, text, 1
    found = _FRONT.match(text)
    if found is None:
        raise RecipeError(
            what=f"{path}:1 opens its front matter with --- and never closes it",
            why="the turns would be read as front matter",
            do="close it with a line of three dashes",
        )
    try:
        # BaseLoader keeps every scalar a string: `no` stays "no", a date stays text.
        fields = yaml.load(found[1], Loader=yaml.BaseLoader) or {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise RecipeError(
            what=f"{path}:{2 + mark.line if mark else 1}: the front matter is not valid YAML: "
            f"{getattr(error, 'problem', None) or error}",
            why="facet and levels are read from it",
            do='write key: "value" lines, with quotes around a value that holds a colon',
        ) from None
    if not isinstance(fields, dict):
        raise RecipeError(
            what=f"{path}:2: the front matter is a {type(fields).__name__}, not key: value lines",
            why="facet and levels are read from it by name",
            do=f"write lines such as facet: …; the keys are {', '.join(FRONT_KEYS)}",
        )
    return fields, text[found.end() :], found[0].count("\n") + 1


def _from_record(record: Mapping[str, Any], recipe: Recipe, place: Place) -> dict[str, Any]:
    messages = messages_of(record, place)
    front = {key: record[key] for key in FRONT_KEYS if record.get(key) is not None}
    return _seed(front, messages, recipe, place=place, default_id=content_id("s", messages))


def _seed(
    front: Mapping[str, Any], messages: list[dict[str, str]], recipe: Recipe, *, place: Place, default_id: str
) -> dict[str, Any]:
    unknown = sorted(set(front) - set(FRONT_KEYS))
    if unknown:
        raise RecipeError(
            what=f"{place}: unknown key {unknown[0]!r} in a seed",
            why="a key that is not read would be silently without effect",
            do=f"use {', '.join(FRONT_KEYS)}; axis levels stand under levels",
        )
    messages = whole(messages, place)
    levels = front.get("levels") or {}
    texts = {key: text_of(front.get(key), key, place) for key in FRONT_KEYS if key != "levels"}
    seed_id = texts["id"] or default_id
    row = {
        "id": seed_id,
        "lineage": seed_id,
        "messages": messages,
        "because": checked_because(texts["because"], messages, place),
        "reason": texts["reason"],
        "source": texts["source"] or place.path.name,
        "author": texts["author"],
        "licence": texts["licence"] or recipe.settings.licence,
        "facet": facet_of(texts["facet"], levels, recipe, place),
    }
    return {**row, **levels_of(levels, recipe, place)}


def _check_ids(placed: Sequence[tuple[Place, Mapping[str, Any]]]) -> None:
    first: dict[str, Place] = {}
    for place, row in placed:
        if row["id"] in first:
            raise RecipeError(
                what=f"{place}: the seed id {row['id']!r} is that of {first[row['id']]} already",
                why="every row names its seed by id",
                do="rename the file or give each an id of its own; of .jsonl lines with the same turns, drop one",
            )
        first[row["id"]] = place


def _split(rows: list[dict[str, Any]], recipe: Recipe) -> None:
    """Gives each seed its lineage, and marks it train or heldout; near-copies are one lineage and on one side.

    A seed on what training never sees (a sealed level, a withheld tuple, a combination without the value) is held-out
    with its lineage. A facet with at least four seeds and fewer held-out ones than `heldout.share` of them (one at
    least, half at most) gives those whose lineages hash lowest, so that held-out contexts have lineages of their own.
    """
    share, never = recipe.settings.heldout.share, [*recipe.withheld, *recipe.settings.heldout.control]
    for row, first in zip(rows, lineages([row["messages"] for row in rows]), strict=True):
        row["lineage"] = rows[first]["id"]
    sealed = {
        row["lineage"]
        for row in rows
        if any(row.get(axis) in recipe.sealed_of(axis) for axis in recipe.axes)
        or any(partial.items() <= row.items() for partial in never)
    }
    for facet in recipe.levels["facet"]:
        own = [str(row["lineage"]) for row in rows if row["facet"] == facet]
        wanted = min(max(1, round(share * len(own))), len(own) // 2) if share and len(own) >= 4 else 0
        free = sorted({*own} - sealed, key=lambda lineage: tagged_id("split", lineage))
        for lineage in free[:-1]:  # one is left to training
            if sum(other in sealed for other in own) < wanted:
                sealed.add(lineage)
    for row in rows:
        row["split"] = "heldout" if row["lineage"] in sealed else "train"
