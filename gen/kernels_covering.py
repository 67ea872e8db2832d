"""The inner loop of the covering plan, compiled: builds, improves and chooses rows one at a time."""

from __future__ import annotations

import numpy as np

from .constraints import Bools, Ints
from .kernels import (
    LOWEST,
    NOISE_BITS,
    POOL,
    PRIME,
    Rules,
    Shape,
    State,
    compiled,
    copy_into,
    free_slot,
    new_dice,
    record,
    roll,
    start_pool,
    start_set,
)

SWEEPS = 4  # over the axes of a finished candidate; nearly all stand still after two
LAST_DRAWS = 64  # uniform rows that are looked at where every candidate is used already

DONE, PHASE_MET, NOTHING_UNUSED, UNKNOWN = range(4)
"""What `grow` stops for: enough rows; a strength is complete; only used rows were found; a question for the search."""


@compiled
def grow(
    shape: Shape,
    rules: Rules,
    state: State,
    made: int,
    stop: int,
    phase: int,
    complete: bool,
    candidates: int,
    latest_due: int,
    seed: int,
    again: bool,
) -> tuple[int, int]:
    """Adds rows from position `made` of `state.rows` up to `stop`. Returns (why it stopped, rows there are now).

    `phase` is the strength whose tuples candidates start from, `complete` says that none of any strength is unmet,
    `again` that used rows may come again.
    """
    width, many = len(shape.sizes), len(shape.base)
    most_levels = rules.answers.shape[1]
    row, best, order = np.empty(width, np.int64), np.empty(width, np.int64), np.empty(width, np.int64)
    partial, best_partial, missing = np.empty(many, np.int64), np.empty(many, np.int64), np.empty(many, np.int64)
    scores, allowed = np.empty(most_levels, np.int64), np.empty(most_levels, np.bool_)
    pool = np.empty(POOL, np.int64)
    alive = np.empty(len(rules.rules), np.bool_)
    ways, named = np.empty(len(alive), np.int64), np.empty(len(alive), np.int64)
    while made < stop:
        dice = new_dice(seed, made)
        dice, chosen = start_set(shape, state.left, phase, complete, dice)
        dice = roll(dice)
        pooled = start_pool(shape, state.value, chosen, not complete, pool, dice)
        best_score, found = LOWEST, False
        for _ in range(candidates):
            dice = roll(dice)
            cell = pool[dice % pooled]
            dice = _order(shape, chosen, order, dice)
            dice = _build(
                shape, rules, state.value, chosen, cell, order, row, partial, missing, scores, allowed,
                alive, ways, named, dice,
            )  # fmt: skip
            if dice < 0:
                return UNKNOWN, made
            if phase == 2 and not complete:
                _improve(shape, rules.rules, state.value, row, partial, scores)
            if again or free_slot(state.rows, state.slots, row) >= 0:
                dice = roll(dice)
                score = _worth(state.value, partial) + (dice & ((1 << NOISE_BITS) - 1))
                if score > best_score:
                    best_score, found = score, True
                    copy_into(row, best)
                    copy_into(partial, best_partial)
        if not found:
            best_score = _draw_unused(shape, rules.rules, state, row, partial, best, best_partial, dice)
            if best_score == LOWEST:
                return NOTHING_UNUSED, made
        if record(shape, state, best, best_partial, made, latest_due, phase, complete):
            return PHASE_MET, made + 1
        made += 1
    return DONE, made


@compiled
def _order(shape: Shape, chosen: int, order: Ints, dice: int) -> int:
    """All axes in random order, those of the set first."""
    strength, width = shape.strength[chosen], len(order)
    for axis in range(width):
        order[axis] = axis
    for at in range(width):
        if at < strength:
            other = at
            while order[other] != shape.members[chosen, at]:
                other += 1
        else:
            dice = roll(dice)
            other = at + dice % (width - at)
        order[at], order[other] = order[other], order[at]
    return dice


@compiled
def _build(
    shape: Shape,
    rules: Rules,
    value: Ints,
    chosen: int,
    cell: int,
    order: Ints,
    row: Ints,
    partial: Ints,
    missing: Ints,
    scores: Ints,
    allowed: Bools,
    alive: Bools,
    ways: Ints,
    named: Ints,
    dice: int,
) -> int:
    """Fills `row` axis by axis, each with the level that the tuples it completes are worth most; the new dice.

    Returns -1 where it is not known yet which levels an axis may take; the question stands in `rules` then.
    """
    for at in range(len(partial)):
        partial[at] = shape.base[at]
        missing[at] = shape.strength[at]
    for rule in range(len(alive)):
        alive[rule] = True
        ways[rule] = rules.ways[rule]
        named[rule] = rules.named[rule]
    for step in range(len(order)):
        axis = order[step]
        if step < shape.strength[chosen]:
            level = cell // shape.strides[chosen, step] % shape.sizes[axis]
        else:
            for other in range(shape.sizes[axis]):
                allowed[other] = True
                scores[other] = 0
            if not _allow(rules, axis, order, step, alive, ways, named, allowed):
                return -1
            for at in range(shape.first[axis], shape.first[axis + 1]):
                if missing[shape.sets[at]] == 1:
                    number = partial[shape.sets[at]]
                    for level in range(shape.sizes[axis]):
                        scores[level] += value[number]
                        number += shape.steps[at]
            best, level = LOWEST, -1
            for other in range(shape.sizes[axis]):
                dice = roll(dice)
                score = scores[other] + (dice & ((1 << NOISE_BITS) - 1))
                if allowed[other] and score > best:
                    best, level = score, other
        row[axis] = level
        for at in range(shape.first[axis], shape.first[axis + 1]):
            partial[shape.sets[at]] += shape.steps[at] * level
            missing[shape.sets[at]] -= 1
        for rule in range(len(alive)):
            if rules.rules[rule, axis] >= 0:
                named[rule] -= 1
                ways[rule] -= rules.escapes[rule, axis]
                if rules.rules[rule, axis] != level:
                    alive[rule] = False
    return dice


@compiled
def _allow(
    rules: Rules, axis: int, order: Ints, step: int, alive: Bools, ways: Ints, named: Ints, allowed: Bools
) -> bool:
    """Clears `allowed` where the row could not be finished; False where that is not known yet.

    Only rules that no later axis can escape matter; one that names no other open axis just forbids its level.
    """
    simple, risky = True, False
    for rule in range(len(alive)):
        if alive[rule] and ways[rule] == rules.escapes[rule, axis]:
            risky = True
            own = rules.rules[rule, axis]
            if named[rule] > (own >= 0):
                simple = False
            elif own >= 0:
                allowed[own] = False
    if simple or not risky:
        return True
    key = _key(rules, axis, order, step, alive, ways)
    at = key % len(rules.keys)
    while rules.keys[at] != 0:
        if rules.keys[at] == key:
            for level in range(len(allowed)):
                allowed[level] = allowed[level] and rules.answers[at, level]
            return True
        at = at + 1 if at + 1 < len(rules.keys) else 0
    rules.asked[0], rules.asked[1] = axis, key
    for later in range(len(order)):
        rules.asked_open[later] = False
    for later in range(step, len(order)):
        rules.asked_open[order[later]] = True
    for rule in range(len(alive)):
        rules.asked_rules[rule] = alive[rule] and ways[rule] == rules.escapes[rule, axis]
    return False


@compiled
def _key(rules: Rules, axis: int, order: Ints, step: int, alive: Bools, ways: Ints) -> int:
    """62 bits for "which levels of this axis, given what these rules still say": two sums over the rules.

    Of a million questions two share a key with a chance of 1e-7.
    """
    key = 0
    for half in range(2):
        total = rules.marks[half, rules.offsets[axis]]
        for rule in range(len(alive)):
            if alive[rule] and ways[rule] == rules.escapes[rule, axis]:
                said = 0
                for later in range(step, len(order)):
                    level = rules.rules[rule, order[later]]
                    if level >= 0:
                        said = (said + rules.marks[half, rules.offsets[order[later]] + level]) % PRIME
                total = (total + said * said % PRIME * said) % PRIME
        key = key * PRIME + total
    return key + 1


@compiled
def _improve(shape: Shape, rules: Ints, value: Ints, row: Ints, partial: Ints, scores: Ints) -> None:
    """Changes one level at a time while the row gains by it: what was put first did not know what came later."""
    still, axis = 0, 0
    for _ in range(SWEEPS * len(row)):
        for level in range(shape.sizes[axis]):
            scores[level] = 0
        for at in range(shape.first[axis], shape.first[axis + 1]):
            number = partial[shape.sets[at]] - shape.steps[at] * row[axis]
            for level in range(shape.sizes[axis]):
                scores[level] += value[number]
                number += shape.steps[at]
        best = row[axis]
        for level in range(shape.sizes[axis]):
            if scores[level] > scores[best] and not _breaks(rules, row, axis, level):
                best = level
        still += 1
        if best != row[axis]:
            for at in range(shape.first[axis], shape.first[axis + 1]):
                partial[shape.sets[at]] += shape.steps[at] * (best - row[axis])
            row[axis], still = best, 1
        axis = axis + 1 if axis + 1 < len(row) else 0
        if still >= len(row):
            return


@compiled
def _breaks(rules: Ints, row: Ints, axis: int, level: int) -> bool:
    """Whether the row would hold a forbidden combination if `axis` stood at `level`."""
    for rule in range(len(rules)):
        if rules[rule, axis] == level:
            broken = True
            for other in range(len(row)):
                if other != axis and rules[rule, other] >= 0 and rules[rule, other] != row[other]:
                    broken = False
                    break
            if broken:
                return True
    return False


@compiled
def _worth(value: Ints, numbers: Ints) -> int:
    total = 0
    for at in range(len(numbers)):
        total += value[numbers[at]]
    return total


@compiled
def _draw_unused(
    shape: Shape, rules: Ints, state: State, row: Ints, partial: Ints, best: Ints, best_partial: Ints, dice: int
) -> int:
    """The most valuable of some uniform rows that are allowed and unused; its score, LOWEST where there is none."""
    best_score = LOWEST
    for _ in range(LAST_DRAWS):
        for axis in range(len(row)):
            dice = roll(dice)
            row[axis] = dice % shape.sizes[axis]
        broken = False
        for axis in range(len(row)):
            broken = broken or _breaks(rules, row, axis, row[axis])
        if not broken and free_slot(state.rows, state.slots, row) >= 0:
            copy_into(shape.base, partial)
            for axis in range(len(row)):
                for at in range(shape.first[axis], shape.first[axis + 1]):
                    partial[shape.sets[at]] += shape.steps[at] * row[axis]
            score = _worth(state.value, partial)
            if score > best_score:
                best_score = score
                copy_into(row, best)
                copy_into(partial, best_partial)
    return best_score
