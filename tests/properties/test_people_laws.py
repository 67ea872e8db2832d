"""Laws of what people bring: nothing is lost, and neither order, files, concurrency nor repetition decides anything."""

from __future__ import annotations

import random
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from thousandfold import gen
from thousandfold.gen.people import read_people
from thousandfold.gen.peoplebook import PeopleBook
from thousandfold.gen.recipe import load
from thousandfold.gen.release import read_table

from .._recipes import small_recipe
from .._runs import RESPECT, command, content
from ..test_people import file_of, letters

TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1).filter(str.strip)
ROW = st.fixed_dictionaries(
    {"prompt": TEXT, "response": TEXT},
    optional={"domain": st.sampled_from(["law", "farm", None]), "source": TEXT, "licence": TEXT, "id": TEXT},
)


@settings(max_examples=60)
@given(rows=st.lists(ROW, min_size=1, max_size=12), order=st.randoms(use_true_random=False), cut=st.integers(0, 12))
def test_each_text_is_kept_once_whatever_the_order_and_the_files(
    rows: list[dict[str, str | None]], order: random.Random, cut: int
) -> None:
    alike = {(str(r["prompt"]).strip(), str(r["response"]).strip()): r for r in rows}
    unique = list(alike.values())
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        recipe = load(small_recipe(folder / "recipe"))
        whole = read_people(file_of(folder, unique), recipe)
        assert whole.height == len(alike)
        shuffled = order.sample(unique, len(unique))
        with PeopleBook(folder / "ledger.sqlite") as book:
            for name, part in (("a", shuffled[:cut]), ("b", shuffled[cut:]), ("b", shuffled[cut:])):
                if part:
                    book.add(read_people(file_of(folder, part, "letters.jsonl"), recipe))
                assert name
        with PeopleBook(folder / "ledger.sqlite", read_only=True) as book:
            kept, notes = book.people(recipe)
        assert notes == []
        assert kept.equals(whole)


@settings(max_examples=3, suppress_health_check=list(HealthCheck))
@given(count=st.integers(1, 20), seed=st.integers(0, 1000))
def test_nothing_vanishes_and_every_run_over_the_ledger_writes_the_same_bytes(count: int, seed: int) -> None:
    rows = letters(count, seed=seed, domain="law")
    rows += [rows[0] | {"response": rows[0]["response"] + " So be it."}]
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        first = gen.run(RESPECT, size=12, out=folder / "a", drafts=file_of(folder, rows), concurrency=7)
        people = first.funnel["people"]
        assert people["brought"] == count + 1
        assert people["brought"] == people["kept"] + sum(people["dropped"].values())
        assert people["kept"] == people["scored"] + people["unscored"] + people["unjudged"]
        verdicts = read_table(first.release, "verdicts")  # type: ignore[arg-type]
        own = read_table(first.release, "people")["id"]  # type: ignore[arg-type]
        assert set(own) == set(verdicts.filter(pl.col("filter") == "levels")["id"])
        words = ("run", RESPECT, "--size", "12", "--json")
        again = command(*words, "--out", "a", "--offline", "--concurrency", "1", cwd=folder)
        assert again.json["new"] is False
        other = command(
            *words, "--out", "b", "--drafts", folder / "letters.jsonl", cwd=folder, env={"PYTHONHASHSEED": "7"}
        )
        assert content(folder / other.json["release"]) == content(first.release)
