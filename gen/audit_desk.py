"""The audit of the newest release as somebody who labels meets it: the drawn texts, in the order of the draw."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import polars as pl

from .audit_book import AuditBook, AuditPlan
from .errors import OutputError, RecipeError
from .label_desk import Desk, Wanted
from .label_queue import NO_BAND
from .labelbook import Place
from .output import Output
from .recipe import Recipe, load
from .release import read_manifest, read_table


class AuditDesk(Desk):
    """Gives out the texts of one plan, and nothing else; what calibration has of them is not looked at."""

    def __init__(self, release: Path, recipe: Recipe, texts: pl.DataFrame, book: AuditBook, plan: AuditPlan) -> None:
        super().__init__(release, recipe, texts, book)
        self.plan = plan
        self.drawn = book.drawn(plan)

    def place_of(self, draft_id: str) -> Place:
        return next(place for place in self.drawn if place.id == draft_id)

    def queue(self, wanted: Wanted) -> list[Place]:
        """All drawn texts. Raises RecipeError for somebody whose labels the plan does not count."""
        if wanted.who and self.plan.who and wanted.who not in self.plan.who:
            raise RecipeError(
                what=f"{wanted.who!r} is not among those whose labels this audit counts",
                why=f"the plan was fixed with {', '.join(self.plan.who)}",
                do=f"give --as {self.plan.who[0]}",
            )
        return list(self.drawn)

    def todo(self, wanted: Wanted, queue: Sequence[Place]) -> Iterator[Place]:
        """Every text for each of those whom the plan names; where it names nobody, each text for one person."""
        return super().todo(replace(wanted, overlap=1.0 if self.plan.who else 0.0), queue)

    def settle(self, who: str) -> None:
        """There is no other draw to come to."""


@contextmanager
def audit_desk_of(out: str | Path) -> Iterator[AuditDesk]:
    """The audit of the newest release of `out`, open for labelling. Raises OutputError where none is planned."""
    output = Output.existing(out)
    release = output.newest(why="an audit is about the texts that a release ships")
    with AuditBook(output.ledger_path, release.name) as book:
        plan = book.plan()
        if plan is None:
            raise OutputError(
                what=f"no audit of release {release.name} is planned",
                why="how many texts are drawn, and whether one may stop early, is fixed before the first label",
                do="`thousandfold judge audit OUT --size N` or `--stop-early` first",
            )
        ids = [place.id for place in book.drawn(plan)]
        drafts = read_table(release, "drafts").select("id", "messages")
        judged = read_table(release, "judgements").select("id", "facet")
        texts = judged.filter(pl.col("id").is_in(ids)).join(drafts, on="id", maintain_order="left")
        recipe = load(release / "recipe", {"seed": read_manifest(release)["settings"]["seed"]})
        yield AuditDesk(release, recipe, texts.with_columns(band=pl.lit(NO_BAND)), book, plan)
