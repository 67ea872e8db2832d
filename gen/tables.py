"""The schema of every table that travels between rooms. Imports nothing of ours.

Tables are polars frames joined by id. `contexts` carries one more String column per axis of the
recipe, in the recipe's order; every other table is exactly as written here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any

import polars as pl

MESSAGES = pl.List(pl.Struct({"role": pl.String, "content": pl.String}))
SPANS = pl.List(pl.Struct({"item": pl.String, "span": pl.String}))

BY_JUDGE = pl.List(
    pl.Struct(
        {
            "judge": pl.String,
            "level": pl.Float64,  # null where this judge gave none
            "method": pl.String,  # logprobs | samples; null without a level
            "note": pl.String,  # why there is no level, or why it is not by log-probabilities where they were given
            "spans": SPANS,
            "reason": pl.String,  # the judge's sentence, or why there is no evidence
            "level_ask_ids": pl.List(pl.String),
            "evidence_ask_id": pl.String,
        }
    )
)

SEEDS: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "id": pl.String,
    "lineage": pl.String,  # id of the hand-written ancestor: a seed is its own, near-copies share that of the first
    "facet": pl.String,
    "split": pl.String,  # train | heldout
    "messages": MESSAGES,
    "because": pl.String,  # a verbatim span of the last assistant turn; null where the seed gives none
    "reason": pl.String,  # why its author thinks it is good; null where the seed gives none
    "source": pl.String,
    "author": pl.String,
    "licence": pl.String,
}

CONTEXTS: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "id": pl.String,
    "seed_id": pl.String,
    "split": pl.String,  # train | heldout
    "set": pl.String,  # train, or the held-out set: id | comp | lodo | far | ctrl
    "position": pl.UInt32,  # order in the plan of its set; every prefix is balanced
    "repeat": pl.UInt16,  # 0, or how many contexts of the same levels and seed come before it
}

DRAFTS: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "id": pl.String,
    "context_id": pl.String,
    "draw": pl.UInt8,  # 0, then 1 and 2 where the draft before it was dropped
    "round": pl.UInt16,
    "scenario": pl.String,
    "messages": MESSAGES,  # null where the reply could not be read or never came
    "because": pl.String,
    "teacher": pl.String,
    "finish_reason": pl.String,
    "problem": pl.String,  # null, or why there is no conversation
    "scenario_ask_id": pl.String,
    "ask_id": pl.String,  # whose reply the draft is
    "earlier_ask_ids": pl.List(pl.String),  # of its first version and the critique of it; null where none was revised
}

VERDICTS: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "id": pl.String,  # of the draft
    "filter": pl.String,
    "kept": pl.Boolean,
    "reason": pl.String,  # null where kept
    "measured": pl.Float64,
    "limit": pl.Float64,
    "twin": pl.String,  # the draft it copies
}

JUDGEMENTS: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "id": pl.String,  # of the draft
    "facet": pl.String,
    "state": pl.String,  # scored | unscored | unjudged
    "level": pl.Float64,  # expected level, 0 to 4
    "score": pl.Float64,  # level / 4
    "spans": SPANS,  # evidence, verbatim in the text; of a panel, for items that at least half of it quotes a span for
    "reason": pl.String,  # the judge's sentence, or why there is no score
    "judge": pl.String,  # of a panel all, with commas
    "level_ask_id": pl.String,  # of the first judge, as the next one
    "evidence_ask_id": pl.String,
    "level_method": pl.String,  # logprobs | samples, with a + where a panel has both; null where unscored
    "level_range": pl.Float64,  # highest less lowest level of a panel; null where fewer than two gave one
    "by_judge": BY_JUDGE,  # each judge's own word, in the recipe's order
}

SELECTION: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "id": pl.String,  # of the draft
    "selected": pl.Boolean,
    "rank": pl.UInt32,  # 0-based greedy order; null where not selected
    "gain": pl.Float64,
    "reason": pl.String,
}

LADDERS: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "id": pl.String,
    "context_id": pl.String,
    "facet": pl.String,
    "kind": pl.String,  # genuine | hollow | violating | over_done
    "messages": MESSAGES,  # the draft's, but for its last turn; null where there is no text
    "ask_id": pl.String,  # null for genuine, which is the draft
    "draft_id": pl.String,
    "reason": pl.String,  # null, or why there is no text
    "split": pl.String,  # train | heldout
}

PAIRS: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "id": pl.String,  # of the draft, whose last turn is the chosen answer
    "facet": pl.String,
    "kept": pl.Boolean,
    "reason": pl.String,  # null where kept
    "detail": pl.String,  # why there is no text, in the words of whoever gave none
    "measured": pl.Float64,
    "limit": pl.Float64,
    "rejected": pl.String,  # the hollow answer; null where there is none
    "chosen_words": pl.UInt32,
    "rejected_words": pl.UInt32,
    "ask_id": pl.String,
}

RESERVED_AXES = frozenset({*SEEDS, *CONTEXTS, *DRAFTS, *VERDICTS, *JUDGEMENTS, *SELECTION} - {"facet"})
"""Names that an axis may not take, because a table has a column of that name. Nor may one begin with an
underscore: so are columns named that a room adds to a frame for its own use."""


def frame(rows: Iterable[Mapping[str, Any]], schema: Mapping[str, Any]) -> pl.DataFrame:
    """Rows (mappings with exactly the schema's keys) as a frame with that schema."""
    return pl.DataFrame(list(rows), schema=dict(schema), orient="row", strict=True)


def said_by(rows: pl.DataFrame, role: str) -> pl.Series:
    """All turns of one role in `messages`, joined by newlines; one string per row."""
    turns = pl.col("messages").list.eval(
        pl.element().struct.field("content").filter(pl.element().struct.field("role") == role)
    )
    return rows.select(turns.list.join("\n")).to_series()


def contexts_schema(axes: Sequence[str]) -> dict[str, Any]:
    return {**CONTEXTS, **dict.fromkeys(axes, pl.String)}


def tagged_id(tag: str, *parts: str) -> str:
    """`tag-` and 16 hex digits: a SHA-256 over the tag and the parts, each length-prefixed.

    64 bits keep the chance of any clash among ten million rows under 3e-6 (birthday bound).
    """
    digest = sha256()
    for part in (tag, *parts):
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big") + data)
    return f"{tag}-{digest.hexdigest()[:16]}"
