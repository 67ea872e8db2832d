"""What training never sees: whole levels, tuples of levels, and combinations in which the value is not called for.

Decided by the recipe alone, so that no seed, no size and no reply can move the border. What the recipe does not name is
chosen here, and only while it asks for held-out prompts at all (`heldout.share` above 0).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from itertools import combinations, product
from pathlib import Path

from .constraints import Space, completion
from .errors import RecipeError
from .settings import Settings

Levels = Mapping[str, Sequence[str]]
Partial = Mapping[str, str]

SETS = ("id", "comp", "lodo", "far", "ctrl")
"""The held-out sets, in the order in which they take their parts of the held-out contexts."""

LODO_AXIS, LODO_DEFAULT, LODO_LEAST = "domain", 2, 6
"""Unless the recipe says otherwise the last two levels of `domain` are sealed, where it has six or more."""

FAR_AXES, FAR_LEAST = ("language", "kind"), 4
"""Unless the recipe says otherwise the last level of the first of these axes that has four or more is sealed."""

COMP_LEAST = 4
"""Levels that an axis must have for a pair of its levels to be withheld: each then keeps most of its partners."""


def sealed_levels(settings: Settings, levels: Levels) -> dict[str, dict[str, tuple[str, ...]]]:
    """Held-out set -> axis -> the levels that only this set sees, for `lodo`, `far` and `ctrl`."""
    heldout = settings.heldout
    found: dict[str, dict[str, tuple[str, ...]]] = {
        "lodo": dict(heldout.levels or {}),
        "far": dict(heldout.far or {}),
        "ctrl": {},
    }
    for partial in heldout.control:
        if len(partial) == 1:  # the level itself says that the value is not called for
            ((axis, level),) = partial.items()
            found["ctrl"][axis] = (*found["ctrl"].get(axis, ()), level)
    if heldout.share > 0 and heldout.levels is None:
        _seal_last(found, "lodo", LODO_AXIS, LODO_DEFAULT, LODO_LEAST, settings, levels)
    if heldout.share > 0 and heldout.far is None:
        axis = next((axis for axis in FAR_AXES if len(levels.get(axis, ())) >= FAR_LEAST), FAR_AXES[0])
        _seal_last(found, "far", axis, 1, FAR_LEAST, settings, levels)
    return found


def _seal_last(
    found: dict[str, dict[str, tuple[str, ...]]],
    name: str,
    axis: str,
    count: int,
    least: int,
    settings: Settings,
    levels: Levels,
) -> None:
    """Seals the last levels of an axis of which the recipe says nothing else."""
    named = any(axis in sealed for sealed in found.values()) or axis in settings.selection.quotas
    if len(levels.get(axis, ())) >= least and not named:
        found[name][axis] = tuple(levels[axis][-count:])


def sealing_key(sealed: Mapping[str, Mapping[str, Sequence[str]]], axis: str, level: str) -> str:
    """The key of the recipe that seals the level."""
    name = next(name for name, own in sealed.items() if level in own.get(axis, ()))
    return {"lodo": "heldout.levels", "far": "heldout.far", "ctrl": "heldout.control"}[name]


def check_heldout(
    path: Path, settings: Settings, levels: Levels, sealed: Mapping[str, Mapping[str, Sequence[str]]]
) -> None:
    """Raises RecipeError where the held-out keys of the recipe leave nothing, or contradict each other or the rules."""
    seen = {}
    for axis, own in levels.items():
        times = Counter(level for part in sealed.values() for level in part.get(axis, ()))
        for level in (level for level, number in times.items() if number > 1):
            raise RecipeError(
                what=f"{path}: {axis} = {level!r} is sealed twice under heldout",
                why="each sealed level belongs to one set",
                do="keep it under one of heldout.levels, heldout.far and heldout.control",
            )
        seen[axis] = [level for level in own if level not in times]
        if not seen[axis]:
            raise RecipeError(
                what=f"{path}: {sealing_key(sealed, axis, own[-1])} seals every level of {axis!r}",
                why="then no context is left for training",
                do="leave at least one level unsealed",
            )
    heldout, rules = settings.heldout, [*settings.contexts.forbid, *settings.heldout.control]
    named = [(f"heldout.tuples.{at}", partial) for at, partial in enumerate(heldout.tuples or ())]
    named += [(f"heldout.control.{at}", partial) for at, partial in enumerate(heldout.control) if len(partial) > 1]
    for key, partial in named:
        for axis, level in partial.items():
            if level not in seen[axis]:
                raise RecipeError(
                    what=f"{path}: {key} names {axis} = {level!r}, which {sealing_key(sealed, axis, level)} seals",
                    why="its set is made of levels that training sees",
                    do="name another level, or take it out of one of the two",
                )
        if not can_stand(partial, seen, lifted(rules, partial)):
            raise RecipeError(
                what=f"{path}: {key} ({', '.join(f'{axis} = {level!r}' for axis, level in partial.items())}) "
                "can stand in no context",
                why="contexts.forbid rules out what would have to stand beside it",
                do="drop it, or narrow the constraints on these levels",
            )


def lifted(rules: Sequence[Partial], partial: Partial) -> list[Partial]:
    """The rules without those that forbid just this combination, or a part of it."""
    return [rule for rule in rules if not rule.items() <= partial.items()]


def withheld_tuples(settings: Settings, seen: Levels, rules: Sequence[Partial]) -> tuple[Partial, ...]:
    """Tuples of levels that training sees apart but never together: those named, else pairs chosen by the seed.

    `seen` are the levels and `rules` the forbidden combinations of training. No level is in two chosen pairs, no two
    axes give two, and after all of them every level can still stand in training.
    """
    heldout = settings.heldout
    if heldout.tuples is not None:
        return heldout.tuples
    chosen: list[Partial] = []
    if heldout.share == 0 or not heldout.pairs:
        return ()
    wide = [axis for axis, own in seen.items() if axis != "facet" and len(own) >= COMP_LEAST]
    # The axes with most levels first: of their pairs training loses least, and the fewest seeds hold one.
    axes = sorted(
        _shuffled(combinations(wide, 2), settings.seed), key=lambda two: -len(seen[two[0]]) * len(seen[two[1]])
    )
    for first, second in axes:
        if len(chosen) == heldout.pairs:
            break
        taken = {(axis, level) for partial in chosen for axis, level in partial.items()}
        one, two = ([level for level in seen[axis] if (axis, level) not in taken] for axis in (first, second))
        pairs = ({first: a, second: b} for a, b in _shuffled(product(one, two), settings.seed, first, second))
        fitting = next((pair for pair in pairs if _fits(pair, seen, [*rules, *chosen])), None)
        if fitting is not None:
            chosen.append(fitting)
    return tuple(chosen)


def _shuffled(pairs: Iterable[tuple[str, str]], seed: int, *more: str) -> list[tuple[str, str]]:
    """In the order of their hashes: another pair more leaves the others in their order."""
    return sorted(pairs, key=lambda pair: sha256(repr((seed, *more, *pair)).encode()).digest())


def _fits(pair: Partial, seen: Levels, rules: Sequence[Partial]) -> bool:
    """Whether some context can hold the pair, and all levels can still be met without it."""
    if not can_stand(pair, seen, rules):
        return False
    try:
        Space.checked(seen, [*rules, pair])
    except RecipeError:
        return False
    return True


def can_stand(partial: Partial, levels: Levels, rules: Sequence[Partial]) -> bool:
    """Whether a row with these levels exists that no rule forbids."""
    only = {**levels, **{axis: [level] for axis, level in partial.items()}}
    space = Space.unchecked(only, [rule for rule in rules if occurs(rule, only)])
    return completion(space.rules, space.sizes) is not None


def occurs(rule: Partial, levels: Levels) -> bool:
    """Whether the combination is made of these levels."""
    return all(level in levels[axis] for axis, level in rule.items())
