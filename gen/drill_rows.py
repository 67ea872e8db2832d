"""clean drafts → flawed drafts: rehearsal's flaws as rows of a round, each with the truth about it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from .drafting import ExemplarReply, card, exemplar_prompt_text
from .recipe import Recipe
from .replies import UnreadableReplyError, read_json
from .tables import DRAFTS, contexts_schema, frame, tagged_id
from .teachers.base import Message
from .teachers.rehearsal.composed import Composed, Flawed, Sources, compose, composed_from
from .teachers.rehearsal.draws import Draws
from .teachers.rehearsal.phrases import shipped
from .teachers.rehearsal.planting import PLANTERS, Ground, Planter
from .teachers.rehearsal.teacher import TEACHER_FAMILY
from .teachers.rehearsal.writer import Exemplar

TRUTH = {"id": pl.String, "kind": pl.String, "original": pl.String, "facts": pl.String}
TRIES = 3  # grounds that are tried for each flaw wanted, before a recipe is said to give none
PLANTED_IN = 2  # the round of everything planted


@dataclass(frozen=True)
class Planted:
    """`drafts` are planted ones and originals that were made for them; `contexts` are those that only they have."""

    drafts: pl.DataFrame
    truth: pl.DataFrame  # TRUTH; `facts` is JSON
    contexts: pl.DataFrame


def plant(clean: pl.DataFrame, contexts: pl.DataFrame, seeds: pl.DataFrame, recipe: Recipe, *, count: int) -> Planted:
    """`count` flawed drafts of each kind, on contexts of training and copies of `clean` (a DRAFTS frame).

    `contexts` is a CONTEXTS frame with `_round`. What is planted stands in the second round; what it copies in both.
    """
    return _Field(clean, contexts, seeds, recipe).planted(count)


class _Field:
    """The ground for one drill: conversations by what they are for, drawn in a fixed order."""

    def __init__(self, clean: pl.DataFrame, contexts: pl.DataFrame, seeds: pl.DataFrame, recipe: Recipe) -> None:
        self._recipe = recipe
        self._seed = recipe.settings.seed
        self._near = recipe.settings.filters.near_duplicate_threshold
        self._seeds = {row["id"]: row for row in seeds.iter_rows(named=True)}
        self._contexts = {row["id"]: row for row in contexts.iter_rows(named=True)}
        rows = [row for row in clean.iter_rows(named=True) if row["messages"]]
        self._clean = [row for row in rows if self._contexts[row["context_id"]]["split"] == "train"]
        self._uncopied = iter(Draws("uncopied", self._seed).shuffled(self._clean))
        self._sealed = [row for row in rows if self._contexts[row["context_id"]]["split"] == "heldout"]
        self._train = [row for row in self._contexts.values() if row["split"] == "train"]
        self._sealed_seeds = [row for row in self._seeds.values() if row["split"] == "heldout"]
        self._drafts: list[dict[str, Any]] = []
        self._truth: list[dict[str, Any]] = []
        self._new_contexts: list[dict[str, Any]] = []

    def planted(self, count: int) -> Planted:
        for kind, planter in PLANTERS.items():
            done = tries = 0
            while done < count and tries < TRIES * count:
                done += self._one(kind, planter, tries)
                tries += 1
        schema = contexts_schema(list(self._recipe.axes))
        return Planted(frame(self._drafts, DRAFTS), frame(self._truth, TRUTH), frame(self._new_contexts, schema))

    def _one(self, kind: str, planter: Planter, number: int) -> bool:
        """Whether the `number`-th ground of this kind took a flaw."""
        draws = Draws("drill", self._seed, kind, number)
        context = self._lineage(draws) if kind == "lineage_leak" else draws.pick(self._train)
        source = self._source(planter, number)
        if context is None or (planter.of == "sealed" and source is None):
            return False
        own = self._composed(source) if source else self._fresh(context, f"{kind}/{number}/own")
        if source and not planter.for_host:
            context = self._contexts[source["context_id"]]
        ground = Ground(
            own,
            lambda: self._fresh(context, f"{kind}/{number}/host"),
            self._sources(context, own.situation),
            self._near,
        )
        flawed = planter.plant(ground, draws)
        if flawed is None:
            return False
        situation = ground.host.situation if planter.for_host else own.situation
        original = source["id"] if source else None
        made = flawed.original
        if planter.of == "clean" and source is None:
            made = Flawed(own.exemplar.messages, own.exemplar.because)
        if made is not None:
            original = self._put(f"{kind}/{number}/original", made, context, own.situation, 1 + number % PLANTED_IN)
        planted = self._put(f"{kind}/{number}", flawed, context, situation, PLANTED_IN)
        facts = json.dumps(dict(flawed.facts), ensure_ascii=False)
        self._truth.append({"id": planted, "kind": kind, "original": original, "facts": facts})
        return True

    def _source(self, planter: Planter, number: int) -> dict[str, Any] | None:
        """A draft of the set to copy, each clean one once: of two copies of one draft, one may not resemble the other.

        None where there is none left; a clean original is then made with its copy.
        """
        if planter.of == "sealed":
            return self._sealed[number % len(self._sealed)] if self._sealed else None
        return next(self._uncopied, None) if planter.of == "clean" else None

    def _put(self, name: str, flawed: Flawed, context: Mapping[str, Any], situation: str, round_number: int) -> str:
        """The id of the draft, which is read from its reply as that of any teacher is."""
        reply: ExemplarReply | None = None
        problem = None
        try:
            reply = read_json(flawed.as_json(), ExemplarReply)
        except UnreadableReplyError as error:
            problem = str(error)
        draft_id = tagged_id("d", "drill", str(self._seed), name)
        self._drafts.append(
            {
                **dict.fromkeys(DRAFTS),
                "id": draft_id,
                "context_id": context["id"],
                "draw": 0,
                "round": round_number,
                "scenario": situation,
                "messages": [{"role": t.role, "content": t.content.strip()} for t in reply.messages] if reply else None,
                "because": reply.because.strip() if reply else None,
                "teacher": TEACHER_FAMILY,
                "finish_reason": flawed.finish_reason,
                "problem": problem,
            }
        )
        return draft_id

    def _lineage(self, draws: Draws) -> dict[str, Any] | None:
        """A context of training that descends from a sealed seed of its facet, which no plan would make."""
        context = draws.pick(self._train)
        seeds = [seed["id"] for seed in self._sealed_seeds if seed["facet"] == context["facet"]]
        if not seeds:
            return None
        made = {**context, "seed_id": draws.pick(seeds)}
        made["id"] = tagged_id("c", "drill", context["id"], str(len(self._new_contexts)))
        self._contexts[made["id"]] = made
        self._new_contexts.append({name: made[name] for name in contexts_schema(list(self._recipe.axes))})
        return made

    def _fresh(self, context: Mapping[str, Any], key: str) -> Composed:
        """A conversation that nobody else has."""
        levels = self._levels(context)
        described = {axis: self._recipe.axes[axis].levels[level] for axis, level in levels.items()}
        return compose(context["facet"], levels, described, f"drill/{self._seed}/{key}", shipped())

    def _composed(self, row: Mapping[str, Any]) -> Composed:
        """A draft of the set with the scene that its situation tells."""
        context = self._contexts[row["context_id"]]
        messages = tuple(Message(turn["role"], turn["content"]) for turn in row["messages"])
        exemplar = Exemplar(messages, row["because"])
        return composed_from(context["facet"], self._levels(context), row["scenario"], exemplar, row["id"], shipped())

    def _levels(self, context: Mapping[str, Any]) -> dict[str, str]:
        return {axis: context[axis] for axis in self._recipe.axes if axis != "facet"}

    def _sources(self, context: Mapping[str, Any], situation: str) -> Sources:
        seed = "\n".join(turn["content"] for turn in self._seeds[context["seed_id"]]["messages"])
        shown = card(self._recipe, context)
        whole = exemplar_prompt_text(self._recipe, context, situation)
        return Sources(seed, whole.partition(shown)[0], f"{shown}\n{situation}")
