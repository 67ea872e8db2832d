"""What a run has so far: its tables, and what is said of them in the funnel, the manifest and the card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from .deficits import NOTHING_TRIED, Tally
from .ledger import Spent
from .models import Models
from .prices import price_list
from .recipe import Recipe
from .selection import Selection
from .tables import DRAFTS, JUDGEMENTS, VERDICTS, frame, said_by
from .variety import idea_numbers
from .verdicts import kept_ids


@dataclass
class State:
    """All tables so far, and what the next round must know of the closed ones."""

    contexts: pl.DataFrame
    drafts: pl.DataFrame = field(default_factory=lambda: frame([], DRAFTS))
    verdicts: pl.DataFrame = field(default_factory=lambda: frame([], VERDICTS))
    judgements: pl.DataFrame = field(default_factory=lambda: frame([], JUDGEMENTS))
    form_scores: pl.DataFrame = field(
        default_factory=lambda: pl.DataFrame(schema={"id": pl.String, "score": pl.Float64})
    )
    rounds: int = 0
    so_far: Tally = NOTHING_TRIED

    @property
    def kept(self) -> pl.DataFrame:
        """Drafts that no filter dropped, with the columns of their context."""
        ids = kept_ids(self.verdicts)
        return self.drafts.filter(pl.col("id").is_in(ids)).join(
            self.contexts.rename({"id": "context_id"}), on="context_id", maintain_order="left"
        )

    @property
    def pool(self) -> pl.DataFrame:
        """Training drafts that the selection may choose from, with `_quality` in [0, 1]."""
        judged = self.judgements.select("id", "state", pl.col("score").alias("_judged"))
        joined = self.kept.filter(pl.col("split") == "train").join(judged, on="id", maintain_order="left")
        joined = joined.join(self.form_scores.rename({"score": "_form"}), on="id", maintain_order="left")
        quality = pl.when(pl.col("state") == "unjudged").then(pl.col("_form")).otherwise(pl.col("_judged"))
        return joined.with_columns(_quality=quality).drop("_form", "_judged").filter(pl.col("state") != "unscored")


def heldout_prompts(state: State) -> pl.DataFrame:
    """`id`, `set`, `messages` (the person's turns only) of the sealed contexts that kept a draft."""
    turns = pl.col("messages").list.eval(pl.element().filter(pl.element().struct.field("role") == "user"))
    rows = state.kept.filter(pl.col("split") == "heldout").sort("set", "position")
    return rows.select("id", "set", turns)


def exemplars_of(selected: pl.DataFrame, recipe: Recipe) -> pl.DataFrame:
    """`id, messages, because, facet, score`, one column per axis; score is null where nobody judged."""
    axes = [axis for axis in recipe.axes if axis != "facet"]
    score = pl.when(pl.col("state") == "scored").then(pl.col("_quality")).alias("score")
    return selected.select("id", "messages", "because", "facet", score, *axes)


def redraws_of(state: State, recipe: Recipe) -> pl.DataFrame:
    """Contexts whose last draft was dropped and that may be drawn again, with their next `draw`."""
    kept = set(kept_ids(state.verdicts))
    last: dict[str, tuple[int, bool]] = {}
    for context_id, draft_id, draw in state.drafts.select("context_id", "id", "draw").iter_rows():
        last[context_id] = (draw, draft_id in kept)
    draws = {
        context_id: draw + 1
        for context_id, (draw, was_kept) in last.items()
        if not was_kept and draw < recipe.settings.drafts.redraws
    }
    return state.contexts.filter(pl.col("id").is_in(list(draws))).with_columns(
        draw=pl.col("id").replace_strict(draws, default=0, return_dtype=pl.UInt8)
    )


def tries_of(state: State) -> pl.DataFrame:
    """One row per draft for training: its context's columns, and `accepted`, `reason`, `idea` as `tally` wants them."""
    pool = state.pool
    pool = pool.select("id", accepted=True, idea=idea_numbers(said_by(pool, "assistant")))
    dropped = state.verdicts.filter(~pl.col("kept")).select("id", "reason").unique("id", keep="first")
    contexts = state.contexts.filter(pl.col("split") == "train").rename({"id": "context_id"})
    rows = state.drafts.select("id", "context_id").join(contexts, on="context_id", maintain_order="left")
    rows = rows.join(pool, on="id", how="left", maintain_order="left")
    rows = rows.join(dropped, on="id", how="left", maintain_order="left")
    accepted = pl.col("accepted").fill_null(value=False)
    return rows.with_columns(accepted=accepted, reason=pl.when(~accepted).then(pl.col("reason").fill_null("unscored")))


def make_funnel(state: State, pool: pl.DataFrame, selected: int, heldout: int) -> dict[str, Any]:
    """How many rows came to each room, and why the others did not; in == kept + dropped at each step."""
    train = state.contexts.filter(pl.col("split") == "train")
    drafts = state.drafts.filter(pl.col("context_id").is_in(train["id"].implode()))
    dropped = state.verdicts.filter(~pl.col("kept") & pl.col("id").is_in(drafts["id"].implode()))
    states = Counter(state.judgements["state"])
    return {
        "contexts": train.height,
        "drafts": drafts.height,
        "dropped": dict(Counter(dropped["reason"]).most_common()),
        "kept": drafts.height - dropped.height,
        "scored": states["scored"],
        "unscored": states["unscored"],
        "unjudged": states["unjudged"],
        "pool": pool.height,
        "selected": selected,
        "heldout": heldout,
    }


def facts_of(
    recipe: Recipe,
    models: Models,
    spent: Spent,
    state: State,
    selection: Selection,
    funnel: Mapping[str, Any],
    exit_code: int,
) -> dict[str, Any]:
    """What the manifest and the card say besides the files."""
    return {
        "recipe": {"name": recipe.settings.name, "sha256": recipe.sha256},
        "settings": recipe.settings.model_dump(mode="json"),
        "prompts": {name: prompt.sha256 for name, prompt in recipe.prompts.items()},
        "models": {
            "teacher": {
                "model": ", ".join(teacher.model for teacher in models.teachers),
                "family": ", ".join(dict.fromkeys(models.family(teacher) for teacher in models.teachers)),
            },
            "teachers": _teachers(models, state, selection),
            "judge": {
                "model": ", ".join(judge.model for judge in models.judges),
                "family": ", ".join(models.family(judge) for judge in models.judges),
            }
            if models.judges
            else None,
        },
        "judges": _judges(models, state),
        "rehearsal": models.is_rehearsal,
        "judged": "unchecked" if models.judges else "unjudged",
        "price_list": price_list().as_dict(),
        "prices": {name: price.model_dump(exclude_none=True) for name, price in models.prices(recipe).items()},
        "cost": {
            "usd": None if spent.unpriced else spent.microusd / 1e6,
            "prompt_tokens": spent.prompt_tokens,
            "completion_tokens": spent.completion_tokens,
            "cached_tokens": spent.cached_tokens,
            "cached_share": spent.cached_share,  # of the prompt tokens of which it is known; null: of none
            "reasoning_tokens": spent.reasoning_tokens,
            "replies": spent.replies,
            "reasked": spent.reasked,
            "failures": spent.failures,
        },
        "rounds": state.rounds,
        "funnel": dict(funnel),
        "certificate": selection.certificate,
        "shortfalls": selection.shortfalls.to_dicts(),
        **state.so_far.as_dict(),
        "capped": selection.capped.to_dicts(),
        "exit": exit_code,
    }


def _teachers(models: Models, state: State, selection: Selection) -> list[dict[str, Any]]:
    """What came of each teacher, in the recipe's order."""
    counts = [Counter(rows["teacher"]) for rows in (state.drafts, state.kept, selection.frame)]
    return [
        {
            "model": teacher.model,
            "family": models.family(teacher),
            "share": round(models.roster.shares[teacher.model], 6),
            **dict(zip(("drafts", "kept", "selected"), (count[teacher.model] for count in counts), strict=True)),
        }
        for teacher in models.teachers
    ]


def _judges(models: Models, state: State) -> list[dict[str, Any]]:
    """What came of each judge, in the recipe's order: texts that it gave a level, by how, and those it gave none."""
    words = state.judgements.select(pl.col("by_judge").explode()).drop_nulls().unnest("by_judge")
    counts = {
        judge.model: Counter(words.filter(pl.col("judge") == judge.model)["method"].fill_null("none"))
        for judge in models.judges
    }
    return [
        {
            "model": judge.model,
            "family": models.family(judge),
            "logprobs": counts[judge.model]["logprobs"],
            "samples": counts[judge.model]["samples"],
            "unscored": counts[judge.model]["none"],
        }
        for judge in models.judges
    ]
