"""ladders → pairs: which hollow twins stand beside their exemplar so that nothing but the value tells them apart.

Training on pairs extrapolates whatever differs between the two sides, length and bold type as well as the value
(delta learning, arXiv 2507.06187): so a pair whose answers differ in what is not meant is left out, with its reason.

Row by row: `no_answer`, then a verdict of form or of secrets on the hollow answer, then

- `copy`: share of its word 5-grams that stand in the chosen answer; below 0.3.
- `length`: words of the longer answer over those of the shorter; at most `twins.length_ratio`.
- `markup`: kinds of markup (lists, headings, code, bold) that only one side has; 0.
- `paragraphs`: how many more paragraphs one side has; at most 2.

And over all rows: `near_duplicate` of a hollow answer before it, then `opening` and `closing`: more hollow answers
begin or end alike than the selection allows of exemplars.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import polars as pl

from thousandfold import filters

from .ladders import GENUINE, NOT_REACHED, Form, form_of
from .recipe import Recipe
from .tables import PAIRS, frame
from .tics import FAMILIES, family_caps, with_families

PATH = "formats/preference/pairs.jsonl"

MOST_COPIED = 0.3
"""As for an answer that echoes what it was made from."""
COPY_NGRAM = 5
MOST_PARAGRAPHS_APART = 2

_OTHER_FORM = frozenset({"no_reason", "echo_context", "echo_seed", "echo_prompt"})
"""Reasons of form that are about what a hollow answer is not asked for, or not shown."""


class _Found(NamedTuple):
    """Why a pair is left out, and what was measured."""

    reason: str
    measured: float | None = None
    limit: float | None = None
    detail: str | None = None


def match_pairs(ladders: pl.DataFrame, recipe: Recipe) -> pl.DataFrame:
    """One PAIRS row for each hollow row of a LADDERS frame that also holds the genuine ones, in order."""
    chosen = {
        draft_id: turns[-1]["content"]
        for draft_id, turns in ladders.filter(pl.col("kind") == GENUINE).select("draft_id", "messages").iter_rows()
    }
    hollow = ladders.filter(pl.col("kind") == "hollow")
    found = _of_the_text(hollow, recipe)
    rows = []
    for row in hollow.to_dicts():
        rejected = row["messages"][-1]["content"] if row["messages"] else None
        verdict = found.get(row["id"])
        if verdict is None and rejected is not None:
            verdict = _apart(chosen[row["draft_id"]], rejected, recipe.settings.twins.length_ratio)
        rows.append(_row(row, chosen[row["draft_id"]], rejected, verdict))
    return _together(frame(rows, PAIRS), recipe)


def _row(row: Mapping[str, Any], chosen: str, rejected: str | None, found: _Found | None) -> dict[str, Any]:
    return {
        "id": row["draft_id"],
        "facet": row["facet"],
        "kept": found is None,
        "reason": found.reason if found else None,
        "detail": found.detail if found else None,
        "measured": found.measured if found else None,
        "limit": found.limit if found else None,
        "rejected": rejected,
        "chosen_words": len(chosen.split()),
        "rejected_words": None if rejected is None else len(rejected.split()),
        "ask_id": row["ask_id"],
    }


def _of_the_text(hollow: pl.DataFrame, recipe: Recipe) -> dict[str, _Found]:
    """id of a ladder's row → why it cannot be used, whatever stands beside it."""
    found = {
        row["id"]: _Found("not_asked" if row["reason"] == NOT_REACHED else "no_answer", detail=row["reason"])
        for row in hollow.filter(pl.col("messages").is_null()).to_dicts()
    }
    texts = hollow.filter(pl.col("messages").is_not_null())
    settings = recipe.settings.filters
    form = filters.form(
        texts,
        because=None,
        finish_reason=None,
        language=recipe.settings.language,
        min_words=settings.min_words,
        max_words=settings.max_words,
        expects=settings.expects,
        checks=[reason for reason in filters.FORM_REASONS if reason not in _OTHER_FORM],
    )
    answers = texts["messages"].list.last().struct.field("content")
    secrets = filters.secrets(answers).select("kept", "reason", "measured", "limit")
    for verdicts in (form.select("kept", "reason", "measured", "limit"), secrets):
        for row_id, verdict in zip(texts["id"], verdicts.iter_rows(named=True), strict=True):
            if not verdict["kept"]:
                found.setdefault(row_id, _Found(verdict["reason"], verdict["measured"], verdict["limit"]))
    return found


def _apart(chosen: str, rejected: str, length_ratio: float) -> _Found | None:
    """What tells the two answers apart besides the value, if anything does."""
    copied = _copied(rejected, chosen)
    if copied >= MOST_COPIED:
        return _Found("copy", copied, MOST_COPIED)
    one, other = form_of(chosen), form_of(rejected)
    ratio = max(one.words, other.words) / max(1, min(one.words, other.words))
    if ratio > length_ratio:
        return _Found("length", ratio, length_ratio)
    uneven = len(set(one.marks) ^ set(other.marks))
    if uneven:
        return _Found("markup", uneven, 0)
    apart = abs(one.paragraphs - other.paragraphs)
    return _Found("paragraphs", apart, MOST_PARAGRAPHS_APART) if apart > MOST_PARAGRAPHS_APART else None


def _copied(text: str, source: str) -> float:
    """The share of the text's word 5-grams that stand in the source; of a shorter text, whether all of it does."""
    own, known = _ngrams(text), _ngrams(source)
    return sum(ngram in known for ngram in own) / len(own) if own else float(text.split() == source.split())


def _ngrams(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[i : i + COPY_NGRAM]) for i in range(len(words) - COPY_NGRAM + 1)}


def _together(pairs: pl.DataFrame, recipe: Recipe) -> pl.DataFrame:
    """The pairs, without those whose hollow answers are too like others: copies, and full families."""
    kept = pairs.filter("kept")
    threshold = recipe.settings.filters.near_duplicate_threshold
    seen = filters.near_duplicates(
        kept["rejected"], threshold=threshold, ngram=recipe.settings.filters.near_duplicate_ngram
    )
    found = {
        row_id: _Found("near_duplicate", likeness, threshold)
        for row_id, is_kept, likeness in zip(kept["id"], seen["kept"], seen["jaccard"], strict=True)
        if not is_kept
    }
    left = kept.filter(~pl.col("id").is_in(list(found)))
    caps = family_caps(recipe.settings.selection, left.height)
    rows = with_families(left, left["rejected"])
    for kind, column in FAMILIES.items():
        counts = Counter[str]()
        for row_id, family in rows.select("id", column).iter_rows():
            if family is None or row_id in found or column not in caps:
                continue
            counts[family] += 1
            if counts[family] > caps[column]:
                found[row_id] = _Found(kind, counts[family], caps[column])
    return frame((_left_out(row, found.get(row["id"])) for row in pairs.to_dicts()), PAIRS)


def _left_out(row: dict[str, Any], found: _Found | None) -> dict[str, Any]:
    if found is None:
        return row
    return {**row, "kept": False, "reason": found.reason, "measured": found.measured, "limit": found.limit}


def pair_lines(pairs: pl.DataFrame, drafts: pl.DataFrame) -> bytes:
    """The kept pairs as JSON lines in TRL's explicit-prompt shape, and the `id` of the draft.

    `prompt` holds all turns before the last, `chosen` and `rejected` one assistant turn each.
    """
    turns = dict(drafts.select("id", "messages").iter_rows())

    def lines() -> Iterator[str]:
        for row_id, rejected in pairs.filter("kept").select("id", "rejected").iter_rows():
            *prompt, chosen = turns[row_id]
            line = {"id": row_id, "prompt": prompt, "chosen": [chosen]}
            line["rejected"] = [{"role": "assistant", "content": rejected}]
            yield json.dumps(line, ensure_ascii=False) + "\n"

    return "".join(lines()).encode()


def pair_facts(pairs: pl.DataFrame, drafts: pl.DataFrame, recipe: Recipe) -> dict[str, Any]:
    """How many pairs there are, why the others are not, and how alike the two sides are in what is not meant."""
    kept = pairs.filter("kept")
    turns = dict(drafts.select("id", "messages").iter_rows())
    chosen = pl.Series([turns[row_id][-1]["content"] for row_id in kept["id"]], dtype=pl.String)
    sides = {"chosen": chosen, "rejected": kept["rejected"]}
    facts: dict[str, Any] = {
        "asked_for": pairs.height,
        "kept": kept.height,
        "left_out": dict(Counter(pairs["reason"].drop_nulls()).most_common()),
        "by_facet": dict(sorted(Counter(kept["facet"]).items())),
        "limits": {"length_ratio": recipe.settings.twins.length_ratio, "paragraphs": MOST_PARAGRAPHS_APART},
    }
    if kept.height:
        ratio = (kept["rejected_words"] / kept["chosen_words"]).median()
        facts["median_length_ratio"] = round(float(str(ratio)), 4)
        facts["forms"] = {side: _shares([form_of(text) for text in texts]) for side, texts in sides.items()}
        facts["tics"] = {
            side: filters.tic_rates(texts, reference=other)
            for (side, texts), other in zip(sides.items(), reversed(sides.values()), strict=True)
        }
    return facts


def _shares(forms: list[Form]) -> dict[str, float]:
    """Of one side's answers, how many have each kind of markup; their mean count of paragraphs."""
    shares = {name: sum(name in form.marks for form in forms) / len(forms) for name in ("lists", "headings", "bold")}
    shares["paragraphs"] = sum(form.paragraphs for form in forms) / len(forms)
    return {name: round(share, 4) for name, share in shares.items()}
