"""drafts → verdicts: run the filters, each saying kept or not, why, what it measured and its limit.

Form and secrets work row by row. The others compare a round's rows with each other and with what the closed rounds
kept; verdicts of closed rounds are final.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, get_args

import polars as pl

from thousandfold import filters

from .recipe import Recipe
from .references import texts_of
from .settings import FilterName
from .tables import VERDICTS, said_by

FILTERS: tuple[str, ...] = get_args(FilterName)
"""In the order in which they run; a row that one drops is not shown to the next."""


class Closed:
    """What the closed rounds kept, as the filters look it up; and what is sealed and never drafted.

    `seeds` is a SEEDS frame: the held-out ones are sealed as much as what descends from them.
    """

    def __init__(self, recipe: Recipe, seeds: pl.DataFrame | None = None) -> None:
        settings = recipe.settings.filters
        self.answers = filters.MinHashIndex(
            threshold=settings.near_duplicate_threshold, ngram=settings.near_duplicate_ngram
        )
        self.masked = filters.MinHashIndex(threshold=settings.slot_threshold, ngram=settings.near_duplicate_ngram)
        self.prompts = filters.MinHashIndex(
            threshold=settings.prompt_duplicate_threshold, ngram=settings.near_duplicate_ngram
        )
        self.sealed, self.train = filters.LeakIndex(), filters.LeakIndex()
        self.kept = pl.DataFrame(schema={"id": pl.String, "answer": pl.String})  # for the pass by meaning alone
        self.benchmarks = {
            name: texts_of(recipe.path / file, recipe.files[file], part="prompt")
            for name, file in settings.benchmarks.items()
        }
        self._by_meaning = settings.meaning_threshold is not None
        self.lineage_of: dict[str, str] = {}
        if seeds is not None:
            self.lineage_of = dict(seeds.select("id", "lineage").iter_rows())
            held = seeds.filter(pl.col("split") == "heldout")
            self.sealed.add(held["id"], said_by(held, "user"), held["lineage"])
            answers = said_by(held, "assistant")  # with another question before it, it is a copy all the same
            self.answers.add(held["id"], answers)
            self.masked.add(held["id"], filters.slot_masked(answers))

    def add(self, kept: pl.DataFrame) -> None:
        """Adds kept drafts (`id`, `split`, `seed_id`, `messages`) once their round is closed."""
        answers = said_by(kept, "assistant")
        self.answers.add(kept["id"], answers)
        self.masked.add(kept["id"], filters.slot_masked(answers))
        self.prompts.add(kept["id"], said_by(kept, "user"))
        for split, index in (("train", self.train), ("heldout", self.sealed)):
            part = kept.filter(pl.col("split") == split)
            index.add(part["id"], said_by(part, "user"), self.lineages(part))
        if self._by_meaning:
            self.kept = pl.concat([self.kept, kept.select("id", answer=answers)])

    def lineages(self, rows: pl.DataFrame) -> list[str]:
        """The hand-written ancestor of each row."""
        return [self.lineage_of.get(seed_id, seed_id) for seed_id in rows["seed_id"]]


class Sources(NamedTuple):
    """What a draft must not echo: seeds' turns by seed id; what the teacher was told, and the card, by draft id."""

    seeds: Mapping[str, str]
    prompts: Mapping[str, str]
    cards: Mapping[str, str] = {}


def give_verdicts(
    drafts: pl.DataFrame, sources: Sources, recipe: Recipe, closed: Closed
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(VERDICTS frame, form scores as `id`, `score`) for a round's drafts.

    `drafts` is a DRAFTS frame with the columns `seed_id` and `split` of its context. Drafts that a filter dropped
    have no verdict of the filters after it. Held-out drafts are taken before training's, so that a copy leaves
    training.
    """
    texts = drafts.with_columns(
        _seed_text=pl.col("seed_id").replace_strict(dict(sources.seeds), default=None, return_dtype=pl.String),
        _prompt_text=pl.col("id").replace_strict(dict(sources.prompts), default=None, return_dtype=pl.String),
        _card_text=pl.col("id").replace_strict(dict(sources.cards), default=None, return_dtype=pl.String),
    )
    scores = filters.form_scores(texts)
    rows = texts.join(scores, on="id", maintain_order="left")
    parts = [_form(rows, recipe)]
    for name in FILTERS[1:]:
        if name not in recipe.settings.filters.off and _is_asked_for(name, recipe):
            parts.append(_FILTERS[name](_left(rows, parts), recipe, closed))
    return pl.concat(parts), scores


def _is_asked_for(name: str, recipe: Recipe) -> bool:
    """Two filters have nothing to compare with unless the recipe says what."""
    settings = recipe.settings.filters
    return {"contamination": bool(settings.benchmarks), "meaning": settings.meaning_threshold is not None}.get(
        name, True
    )


def kept_ids(verdicts: pl.DataFrame) -> list[str]:
    """Ids that no filter dropped, in the verdicts' own order."""
    dropped = verdicts.filter(~pl.col("kept"))["id"].implode()
    return verdicts.filter(~pl.col("id").is_in(dropped))["id"].unique(maintain_order=True).to_list()


def _left(rows: pl.DataFrame, verdicts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The rows that no filter has dropped so far."""
    dropped = pl.concat([part.filter(~pl.col("kept"))["id"] for part in verdicts])
    return rows.filter(~pl.col("id").is_in(dropped.implode()))


def _form(rows: pl.DataFrame, recipe: Recipe) -> pl.DataFrame:
    """Each row's verdict of form. Switched off, it still drops what is no conversation: nothing could follow it."""
    settings = recipe.settings.filters
    silent = pl.col("teacher").is_null() & pl.col("because").is_null()  # people need not quote their reason
    parts = [_form_of(rows.filter(~silent), recipe, "because"), _form_of(rows.filter(silent), recipe, None)]
    form = rows.select("id").join(pl.concat(parts), on="id", maintain_order="left")
    if "form" not in settings.off:
        return form
    readable = pl.col("reason").ne_missing("unreadable")
    nothing = {name: pl.when(~readable).then(pl.col(name)) for name in ("reason", "measured", "limit")}
    return form.with_columns(kept=readable, **nothing)


def _form_of(rows: pl.DataFrame, recipe: Recipe, because: str | None) -> pl.DataFrame:
    settings = recipe.settings.filters
    return filters.form(
        rows,
        because=because,
        seed_text="_seed_text",
        prompt_text="_prompt_text",
        context_text="_card_text",
        seed_echo_limit=settings.max_echo_share,
        prompt_echo_limit=settings.max_echo_share,
        context_echo_limit=settings.max_echo_share,
        language=recipe.settings.language,
        min_words=settings.min_words,
        max_words=settings.max_words,
        expects=settings.expects,
    ).select(list(VERDICTS))


def _secrets(rows: pl.DataFrame, *_: object) -> pl.DataFrame:
    return _verdicts(rows, "secrets", filters.secrets(_conversations(rows)))


def _leaks(rows: pl.DataFrame, _: Recipe, closed: Closed) -> pl.DataFrame:
    """Prompts of training against prompts of the sealed sets, in both directions over time.

    By lineage too; but a sealed draft is not dropped for training's, whose lineages are told from it by the plan.
    """
    sealed = rows.filter(pl.col("split") == "heldout").sort("id")  # of two equal ones the first is named as twin
    of_sealed = _verdicts(sealed, "leaks", closed.train.query(said_by(sealed, "user"), are_sealed=True))
    kept = sealed.filter(of_sealed["kept"])
    fresh = filters.LeakIndex()
    fresh.add(kept["id"], said_by(kept, "user"), closed.lineages(kept))
    train = rows.filter(pl.col("split") == "train")
    prompts, lineages = said_by(train, "user"), closed.lineages(train)
    earlier, now = closed.sealed.query(prompts, lineages), fresh.query(prompts, lineages)
    return pl.concat([of_sealed, _verdicts(train, "leaks", _first_drop(earlier, now))])


def _contamination(rows: pl.DataFrame, recipe: Recipe, closed: Closed) -> pl.DataFrame:
    ngram = recipe.settings.filters.benchmark_ngram
    found = filters.contamination(_conversations(rows), closed.benchmarks, ngram=ngram)
    twin = pl.format("{} {}", pl.col("benchmark"), pl.col("row"))
    return _verdicts(
        rows,
        "contamination",
        found.with_columns(reason=pl.when(~pl.col("kept")).then(pl.lit("benchmark_overlap")), twin_key=twin),
    )


def _duplicates(rows: pl.DataFrame, recipe: Recipe, closed: Closed) -> pl.DataFrame:
    """Answers compared with answers."""
    settings = recipe.settings.filters
    compared = _Compared("duplicates", said_by(rows, "assistant"), settings.near_duplicate_threshold)
    return _copies(rows, compared, recipe, closed.answers)


def _slots(rows: pl.DataFrame, recipe: Recipe, closed: Closed) -> pl.DataFrame:
    """Answers in which names and numbers are masked: the same answer with other nouns."""
    masked = filters.slot_masked(said_by(rows, "assistant"))
    compared = _Compared("slots", masked, recipe.settings.filters.slot_threshold, reason="slot_swap")
    return _copies(rows, compared, recipe, closed.masked)


def _prompts(rows: pl.DataFrame, recipe: Recipe, closed: Closed) -> pl.DataFrame:
    """Questions compared with questions, apart from answers: they share scaffolding without being copies."""
    threshold = recipe.settings.filters.prompt_duplicate_threshold
    compared = _Compared("prompts", said_by(rows, "user"), threshold, reason="prompt_duplicate")
    return _copies(rows, compared, recipe, closed.prompts)


class _Compared(NamedTuple):
    filter: str
    texts: pl.Series
    threshold: float
    reason: str | None = None  # None: duplicate where they are equal, else near_duplicate


def _copies(rows: pl.DataFrame, compared: _Compared, recipe: Recipe, against: filters.MinHashIndex) -> pl.DataFrame:
    found = filters.near_duplicates(
        compared.texts,
        threshold=compared.threshold,
        ngram=recipe.settings.filters.near_duplicate_ngram,
        prefer=_preferred(rows),
        against=against,
    )
    likeness = pl.col("jaccard").cast(pl.Float64)
    alike = pl.when(likeness < 1).then(pl.lit("near_duplicate")).otherwise(pl.lit("duplicate"))
    named = alike if compared.reason is None else pl.lit(compared.reason)
    reason = pl.when(~pl.col("kept")).then(named)
    twins = rows["id"].gather(found["twin"].fill_null(0)) if rows.height else rows["id"]
    twin = pl.when(pl.col("twin").is_not_null()).then(twins).otherwise(pl.col("twin_key"))
    return _verdicts(
        rows,
        compared.filter,
        found.with_columns(reason=reason, measured=likeness, limit=pl.lit(compared.threshold), twin_key=twin),
    )


def _meaning(rows: pl.DataFrame, recipe: Recipe, closed: Closed) -> pl.DataFrame:
    """Answers compared by their vectors, with those of closed rounds too."""
    threshold = recipe.settings.filters.meaning_threshold
    assert threshold is not None  # or it would not have been asked for
    earlier = closed.kept.height
    texts = pl.concat([closed.kept["answer"], said_by(rows, "assistant")])
    prefer = pl.concat([pl.repeat(10.0, earlier, dtype=pl.Float64, eager=True), _preferred(rows)])
    found = filters.same_meaning(texts, threshold=threshold, prefer=prefer)
    ids = pl.concat([closed.kept["id"], rows["id"]])
    twin = pl.when(pl.col("twin").is_not_null()).then(ids.gather(found["twin"].fill_null(0)) if len(ids) else ids)
    found = found.with_columns(
        reason=pl.when(~pl.col("kept")).then(pl.lit("same_meaning")),
        measured=pl.col("cosine").cast(pl.Float64),
        limit=pl.lit(threshold),
        twin_key=twin,
    )
    return _verdicts(rows, "meaning", found.slice(earlier))


def _preferred(rows: pl.DataFrame) -> pl.Series:
    """Of two copies the better formed stays, and a sealed one before one for training."""
    return rows.select(pl.col("score").fill_null(0) + (pl.col("split") == "heldout")).to_series().cast(pl.Float64)


def _conversations(rows: pl.DataFrame) -> pl.Series:
    """Everything that is said, turn by turn; one string per row."""
    turns = pl.col("messages").list.eval(pl.element().struct.field("content"))
    return rows.select(turns.list.join("\n")).to_series()


def _first_drop(one: pl.DataFrame, other: pl.DataFrame) -> pl.DataFrame:
    """Row by row the answer that drops it, `one` before `other`; where both keep it, `one`."""
    keeps = one["kept"] & ~other["kept"]
    return one.select(pl.when(keeps).then(other[name]).otherwise(one[name]).alias(name) for name in one.columns)


def _verdicts(rows: pl.DataFrame, name: str, found: pl.DataFrame) -> pl.DataFrame:
    """A filter's answer (`kept`, `reason`, `measured`, `limit`, and `twin_key` where it names one) as VERDICTS."""
    twin = (
        found["twin_key"] if "twin_key" in found.columns else pl.repeat(None, rows.height, dtype=pl.String, eager=True)
    )
    return pl.DataFrame(
        {
            "id": rows["id"],
            "filter": pl.repeat(name, rows.height, dtype=pl.String, eager=True),
            **{column: found[column] for column in ("kept", "reason", "measured", "limit")},
            "twin": twin,
        },
        schema=dict(VERDICTS),
    )


_FILTERS: Mapping[str, Callable[[pl.DataFrame, Recipe, Closed], pl.DataFrame]] = {
    "secrets": _secrets,
    "leaks": _leaks,
    "contamination": _contamination,
    "duplicates": _duplicates,
    "slots": _slots,
    "prompts": _prompts,
    "meaning": _meaning,
}
"""Every filter after form."""
