"""The newest release as somebody who labels meets it: its texts and rubrics, what is next, and the open book."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl

from .errors import OutputError, RecipeError
from .label_evidence import rubric_sum
from .label_queue import Text, active_batch, band_of, is_shared, random_queue
from .labelbook import Act, LabelBook, Place, depths, standing, text_sum
from .output import Output
from .recipe import Recipe, load
from .release import read_manifest, read_table

ACTIVE_COUNT = 20  # texts of a batch in active mode, where no count is given
LONGEST_NAME = 64


@dataclass(frozen=True)
class Wanted:
    """What is asked for: whose labels, which texts, how many."""

    who: str  # "": a sheet for whoever fills it
    count: int | None = None  # labels of this sitting, or rows of a sheet; None: no end
    active: bool = False
    overlap: float = 1.0  # share of the texts that are for everybody
    facet: str | None = None


@dataclass
class Sitting:
    """What came of it for one person, as `--json` prints it."""

    who: str
    labelled: int = 0  # in this sitting
    skipped: int = 0
    known: int = 0  # labels of a sheet that stood there already
    hasty: int = 0  # labels that came within a second of their text
    total: int = 0  # of this person in all
    left: int = 0  # texts of the queue that this person has not labelled
    notes: list[str] = field(default_factory=list)


class Desk:
    """The texts and rubrics of the newest release, and the open book."""

    def __init__(self, release: Path, recipe: Recipe, texts: pl.DataFrame, book: LabelBook) -> None:
        self.release = release.name
        self.recipe = recipe
        self.book = book
        self.seed = recipe.settings.seed
        self.facets = dict(texts.select("id", "facet").iter_rows())
        self.texts = [Text(*row) for row in texts.select("id", "facet", "band").iter_rows()]
        self.messages: dict[str, list[dict[str, str]]] = dict(texts.select("id", "messages").iter_rows())

    def _check_facet(self, facet: str | None) -> None:
        if facet is not None and facet not in self.facets.values():
            raise RecipeError(
                what=f"release {self.release} has no text of the facet {facet!r}",
                why="there would be nothing to label",
                do=f"use one of {', '.join(sorted(set(self.facets.values())))}",
            )

    def act(self, place: Place, who: str, level: int | None, seconds: float | None = None) -> Act:
        """A label, or a skip where there is no level, for the text as it stands now."""
        sums = text_sum(self.messages[place.id]), rubric_sum(self.recipe.rubrics[place.facet])
        return Act("skip" if level is None else "label", place, who, *sums, level=level, seconds=seconds)

    def place_of(self, draft_id: str) -> Place:
        """Of a text that no queue gave out: whoever labelled it chose it."""
        return Place(draft_id, self.facets[draft_id], "chosen", None, self.release)

    def queue(self, wanted: Wanted) -> list[Place]:
        """All texts at random, or in active mode the batch that is not yet done by this person, else a new one."""
        self._check_facet(wanted.facet)
        texts = [text for text in self.texts if wanted.facet in (None, text.facet)]
        if not wanted.active:
            return random_queue(texts, seed=self.seed, release=self.release)
        batches = self.book.given_out()
        done = set(_mine(self.book.acts(wanted.who)))
        for batch in batches:
            current = [p for p in batch if p.drawn == "active" and p.release == self.release]
            current = [p for p in current if wanted.facet in (None, p.facet)]
            if any(place.id not in done for place in current):
                return current
        said: dict[str, list[int]] = {}
        for (_, draft_id), act in standing(self.book.acts()).items():
            said.setdefault(draft_id, []).append(act.level or 0)
        count = wanted.count or ACTIVE_COUNT
        new = active_batch(texts, said, count=count, seed=self.seed, batch=len(batches), release=self.release)
        if new:
            self.book.give_out(new)
        return new

    def todo(self, wanted: Wanted, queue: Sequence[Place]) -> Iterator[Place]:
        """What this person has not labelled, skipped texts last; each is asked for when its turn has come."""
        acts = _mine(self.book.acts(wanted.who)) if wanted.who else {}
        same = {i for i, act in acts.items() if i in self.messages and act.text_sha256 == text_sum(self.messages[i])}
        fresh = [place for place in queue if place.id not in same]
        skipped = [place for place in queue if place.id in same and acts[place.id].act == "skip"]
        apart = wanted.overlap < 1 and not wanted.active
        in_sheets = {p.id for batch in self.book.given_out() for p in batch if p.drawn == "random"} if apart else set()
        for place in fresh + skipped:
            for_all = not apart or is_shared(place.id, seed=self.seed, overlap=wanted.overlap)
            if for_all or (place.id not in in_sheets and self.book.claim(place.id, wanted.who)):
                yield place

    def settle(self, who: str) -> None:
        """Notes where the draw at random has come to a text that this person labelled in active mode before.

        It has come as far as the last text that it gave out; where nothing of a facet is left to give out, to the end.
        """
        acts = self.book.acts(who)
        at_random = {act.place.id for act in acts if act.place.drawn == "random"}
        labelled, reached = standing(acts), depths(acts)
        queue = random_queue(self.texts, seed=self.seed, release=self.release)
        left = {place.facet for place in queue if place.id not in at_random and (who, place.id) not in labelled}
        found = [
            replace(labelled[who, place.id], act="draw", place=place, level=None, seconds=None)
            for place in queue
            if (who, place.id) in labelled and place.id not in at_random
            if place.facet not in left or (place.probability or 1) <= reached.get((self.release, place.facet), 0)
        ]
        if found:
            self.book.add(found)


@contextmanager
def desk_of(out: str | Path) -> Iterator[Desk]:
    """The newest release of `out`, open for labelling. Raises OutputError where there is none, or nothing to read."""
    output = Output.existing(out)
    release = output.newest(why="texts to label are the kept drafts of the newest one")
    drafts = read_table(release, "drafts").select("id", "messages")
    judged = read_table(release, "judgements").select("id", "facet", "level")
    texts = judged.join(drafts, on="id", maintain_order="left").filter(pl.col("messages").is_not_null())
    texts = texts.with_columns(band=pl.Series([band_of(level) for level in texts["level"]], dtype=pl.String))
    if texts.is_empty():
        raise OutputError(
            what=f"release {release.name} of {str(out)!r} has no kept draft",
            why="there is nothing to label",
            do="`thousandfold status OUT` says what was dropped, and why",
        )
    recipe = load(release / "recipe", {"seed": read_manifest(release)["settings"]["seed"]})
    with LabelBook(output.ledger_path) as book:
        yield Desk(release, recipe, texts, book)


def name_of(text: str) -> str:
    """A labeller's name as it is kept: one line, composed (NFC). Raises RecipeError for what is no name."""
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if not name or not name.isprintable() or len(name) > LONGEST_NAME:
        raise RecipeError(
            what=f"{text[:80]!r} is no name of a labeller",
            why="labels are kept by who gave them",
            do=f"give a name of 1 to {LONGEST_NAME} characters, such as --as ana",
        )
    return name


def sum_up(desk: Desk, queue: Sequence[Place], sitting: Sitting) -> None:
    """Fills in what this person has labelled in all, and what is left of the queue."""
    labelled = {draft_id for who, draft_id in standing(desk.book.acts(sitting.who)) if who == sitting.who}
    sitting.total = len(labelled)
    sitting.left = sum(place.id not in labelled for place in queue)


def _mine(acts: Iterable[Act]) -> dict[str, Act]:
    """id -> the label that counts, or the skip where there is none, of one person's acts."""
    found: dict[str, Act] = {}
    for act in acts:
        if act.act == "label" or (act.act == "skip" and act.place.id not in found):
            found[act.place.id] = act
    return found
