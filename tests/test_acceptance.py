"""What labels let through: a promise in words, rows that stay with their reason, and nothing where labels are few."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from thousandfold import gen
from thousandfold.gen.acceptance import Acceptance, accept_drafts
from thousandfold.gen.acceptance_report import acceptance_notes
from thousandfold.gen.errors import RecipeError
from thousandfold.gen.guarantees import conformal_selection
from thousandfold.gen.label_desk import Wanted, desk_of
from thousandfold.gen.output import Output
from thousandfold.gen.recipe import load

from ._labels import judged
from ._runs import RESPECT, command, content, release_in

Says = Callable[[random.Random, float], float]
SIZE = 150
FOLDERS = ("train", "heldout", "tables")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of SIZE, without acceptance, and its recipe beside it."""
    folder = tmp_path_factory.mktemp("acceptance")
    shutil.copytree(RESPECT, folder / "recipe")
    gen.run(folder / "recipe", size=SIZE, out=folder / "out")
    return folder


@pytest.fixture
def home(run: Path, tmp_path: Path) -> Path:
    shutil.copytree(run, tmp_path / "home")
    return tmp_path / "home"


def sees(dice: random.Random, level: float) -> float:
    return level + dice.gauss(-0.9, 0.6)


def guesses(dice: random.Random, _: float) -> float:
    return dice.uniform(1.0, 4.0)


def label(home: Path, says: Says, *, count: int = 110, active: bool = False, who: str = "ana") -> None:
    known = dict(judged(home / "out").select("id", "level").iter_rows())
    with desk_of(home / "out") as desk:
        dice = random.Random(who)
        queue = desk.queue(Wanted(who, active=active, count=count if active else None))[:count]
        levels = [min(max(round(says(dice, known[place.id] or 0.0)), 0), 4) for place in queue]
        desk.book.add([desk.act(place, who, level) for place, level in zip(queue, levels, strict=True)])


def ask(home: Path, **settings: object) -> Path:
    """The recipe, with these lines in its table [acceptance]."""
    recipe = home / "recipe" / "recipe.toml"
    lines = "\n".join(f"{name} = {json.dumps(value)}" for name, value in settings.items())
    assert "\n[acceptance]\n" not in recipe.read_text()
    recipe.write_text(f"{recipe.read_text()}\n[acceptance]\n{lines}\n")
    return home / "recipe"


def pool(home: Path) -> pl.DataFrame:
    """What a run hands over, from the tables of the release."""
    scored = judged(home / "out").with_columns(state=pl.lit("scored"), _quality=pl.col("level") / 4)
    return scored.select("id", "facet", "messages", "state", "_quality")


def accepted(home: Path, rows: pl.DataFrame | None = None, **settings: object) -> Acceptance:
    recipe = load(ask(home, **settings), {"size": SIZE})
    return accept_drafts(pool(home) if rows is None else rows, Output.existing(home / "out"), recipe)


def facets_of(found: Acceptance) -> list[dict[str, Any]]:
    facets: list[dict[str, Any]] = found.facts["acceptance"]["facets"]
    return facets


def told(done: gen.Run) -> dict[str, Any]:
    found: dict[str, Any] = done.summary["acceptance"]
    return found


def test_by_default_nothing_is_filtered_and_nothing_is_said_of_it(run: Path) -> None:
    manifest = json.loads((release_in(run / "out") / "manifest.json").read_text())
    assert "acceptance" not in manifest
    assert "not_accepted" not in manifest["funnel"]


def test_where_every_text_has_a_label_the_judge_is_not_called_too_weak(home: Path) -> None:
    label(home, sees, count=1000)
    found = accepted(home, rule="conformal", alpha=0.05)
    assert all(facet["filtered"] and not facet["too_weak"] for facet in facets_of(found))


def test_what_is_not_accepted_is_not_selected_and_stays_in_the_tables_with_reason_measure_and_limit(home: Path) -> None:
    label(home, sees)
    said: list[str] = []
    done = gen.run(
        ask(home, rule="conformal", alpha=0.3), size=SIZE, out=home / "out", offline=True,
        on_event=lambda event: said.append(str(event.fields.get("text"))),
    )  # fmt: skip
    assert done.release is not None
    tables = done.release / "tables"
    verdicts = pl.read_parquet(tables / "verdicts.parquet").filter(pl.col("filter") == "acceptance")
    refused = verdicts.filter(pl.col("reason") == "below_acceptance")
    assert refused.height > 5
    assert refused.select((pl.col("measured") < pl.col("limit")).all()).item()
    by_people = verdicts.filter(pl.col("reason") == "labelled_not_good")
    assert by_people.height > 5
    assert by_people.select(((pl.col("measured") < 3) & (pl.col("limit") == 3)).all()).item()
    assert not set(verdicts["id"]) & set(done.exemplars["id"])
    selection = pl.read_parquet(tables / "selection.parquet")
    assert set(verdicts["id"]) <= set(selection["id"])
    assert done.funnel["not_accepted"] == verdicts.height
    assert done.funnel["pool"] + verdicts.height == selection.height
    assert any("on average at most 30.0% of the accepted texts are bad" in words for words in said)
    card = " ".join((done.release / "README.md").read_text().split())
    assert "Accepted by people's labels" in card
    assert "they do not filter" not in card
    assert done.summary["exit"] == (0 if done.exemplars.height == SIZE else 4)
    one = command("trace", home / "out", refused["id"][0], cwd=home).out
    assert "acceptance: dropped: below_acceptance" in one


def test_each_facet_ships_what_conformal_selection_gives_for_its_labels_and_what_people_say_of_the_labelled(
    home: Path,
) -> None:
    label(home, sees, count=100)
    found = accepted(home, rule="conformal", alpha=0.2)
    levels = dict(gen.labels(home / "out").select("id", "level").iter_rows())
    for facet in facets_of(found):
        assert facet["filtered"]
        rows = pool(home).filter(pl.col("facet") == facet["facet"])
        own = rows.filter(pl.col("id").is_in(list(levels)))
        rest = rows.filter(~pl.col("id").is_in(list(levels)))
        good = [levels[i] >= 3 for i in own["id"]]
        kept = conformal_selection(
            rest["_quality"].to_numpy(), labelled=own["_quality"].to_numpy(), good=good, alpha=0.2
        )
        expected = {i for i, is_kept in zip(rest["id"], kept.kept, strict=True) if not is_kept}
        expected |= {i for i, is_good in zip(own["id"], good, strict=True) if not is_good}
        assert set(found.verdicts["id"]) & set(rows["id"]) == expected
        assert facet["share"] == kept.share
    assert sorted([*found.verdicts["id"], *found.pool["id"]]) == sorted(pool(home)["id"])


def test_the_same_ledger_gives_the_same_bytes_and_the_manifest_says_which_labels_were_used(home: Path) -> None:
    label(home, sees)
    recipe = ask(home, rule="high_probability", target=0.7, delta=0.1)
    first = gen.run(recipe, size=SIZE, out=home / "out", offline=True)
    shutil.copy(home / "out" / "ledger.sqlite", home / "ledger.sqlite")
    (home / "again").mkdir()
    (home / "ledger.sqlite").rename(home / "again" / "ledger.sqlite")
    second = gen.run(recipe, size=SIZE, out=home / "again", offline=True, concurrency=3)
    assert content(first.release, *FOLDERS) == content(second.release, *FOLDERS)
    used = told(first)["labels"]
    assert used == told(second)["labels"]
    assert used["texts"] == gen.labels(home / "out")["id"].n_unique()
    label(home, sees, who="ben", count=20)
    assert told(gen.run(recipe, size=SIZE, out=home / "out", offline=True))["labels"]["sha256"] != used["sha256"]


def test_a_judge_whom_people_do_not_follow_ships_little_and_the_run_ends_with_its_shortfalls(home: Path) -> None:
    label(home, guesses)
    done = command(
        "run", ask(home, rule="conformal", alpha=0.02), "--size", str(SIZE), "--out", home / "out", "--offline",
        "--json", cwd=home,
    )  # fmt: skip
    assert done.code == done.json["exit"] == 4
    assert all(facet["too_weak"] for facet in done.json["acceptance"]["facets"])
    assert "this judge is too weak for that target, or the labels are too few" in " ".join(done.err.split())
    assert done.json["shortfalls"]
    assert done.json["accepted"] < SIZE
    assert "selection.pool" in done.err


def test_nothing_acceptable_leaves_what_people_called_good_and_has_no_limit_to_name(home: Path) -> None:
    label(home, sees)
    found = accepted(home, rule="high_probability", target=0.999, delta=0.001)
    for facet in facets_of(found):
        assert (facet["filtered"], facet["too_weak"], facet["threshold"]) == (True, True, None)
        assert facet["accepted"] == facet["good"]
    reasons = dict(found.verdicts["reason"].value_counts().iter_rows())
    assert set(reasons) == {"nothing_acceptable", "labelled_not_good"}
    assert (
        found.verdicts.filter(pl.col("reason") == "nothing_acceptable")["limit"].null_count()
        == (reasons["nothing_acceptable"])
    )


@pytest.mark.parametrize(
    ("count", "says", "why"),
    [
        (6, sees, "of at least 20 labels drawn at random"),
        (110, lambda _, __: 4, "labelled texts are not good, and at least 5 must be"),
        (110, lambda _, __: 0, "labelled texts are good, and at least 5 must be"),
    ],
)
def test_with_too_few_labels_or_one_kind_only_nothing_is_filtered_and_the_release_is_marked(
    home: Path, count: int, says: Says, why: str
) -> None:
    label(home, says, count=count)
    found = accepted(home, rule="conformal")
    assert found.pool.equals(pool(home))
    assert all(why in facet["why_not"] and not facet["filtered"] for facet in facets_of(found))
    assert found.facts["acceptance"]["labels"]["texts"] == 0
    notes = acceptance_notes(found.facts["acceptance"])
    assert [note.startswith("**Not filtered, though the recipe asks for it.**") for note in notes] == [True]
    assert all(facet["facet"] in notes[0] for facet in facets_of(found))


def test_labels_of_active_mode_decide_their_own_texts_and_no_promise(home: Path) -> None:
    label(home, sees, count=100)
    label(home, lambda _, __: 0, who="ben", count=10, active=True)
    found = accepted(home, rule="conformal", alpha=0.2)
    active = set(gen.labels(home / "out").filter(pl.col("drawn") == "active")["id"])
    assert len(active) == 10
    assert not active & set(found.pool["id"])
    random_ones = gen.labels(home / "out").filter(pl.col("drawn") == "random")["id"].n_unique()
    assert sum(facet["labels"] for facet in facets_of(found)) == random_ones


def test_all_scores_equal_is_no_trouble_and_accepts_all_or_nothing(home: Path) -> None:
    label(home, sees, count=100)
    rows = pool(home).with_columns(_quality=pl.lit(0.75))
    found = accepted(home, rows, rule="conformal", alpha=0.2)
    assert found.pool.height + found.verdicts.height == rows.height
    labelled = set(gen.labels(home / "out")["id"])
    for facet in rows["facet"].unique():
        free = rows.filter((pl.col("facet") == facet) & ~pl.col("id").is_in(list(labelled)))
        assert len(set(free["id"]) & set(found.pool["id"])) in (0, free.height)


def test_labels_by_another_wording_of_the_rubric_are_set_aside(home: Path) -> None:
    label(home, sees)
    path = sorted((home / "recipe" / "values").glob("*.toml"))[0]
    path.write_text(path.read_text().replace('definition = "', 'definition = "Put otherwise: ', 1))
    facets = facets_of(accepted(home, rule="conformal", alpha=0.2))
    aside = [facet for facet in facets if facet["set_aside"]]
    assert [list(facet["set_aside"]) for facet in aside] == [["labelled by another wording of the rubric"]]
    assert [facet["facet"] for facet in facets if not facet["filtered"]] == [aside[0]["facet"]]


def test_a_draft_without_a_label_is_not_read_for_its_sum(home: Path) -> None:
    """A million scores are accepted in a second only if a million texts are not hashed."""
    label(home, sees, count=100)
    own = pool(home)
    labelled = set(gen.labels(home / "out")["id"])
    unread = pl.when(pl.col("id").is_in(list(labelled))).then("messages").alias("messages")  # null has no sum
    found = accepted(home, own.with_columns(unread), rule="conformal", alpha=0.2)
    assert found.verdicts.height > 0


def test_a_run_without_a_judge_has_nothing_to_accept_and_says_so(home: Path) -> None:
    label(home, sees)
    rows = pool(home).with_columns(state=pl.lit("unjudged"))
    found = accepted(home, rows, rule="conformal")
    assert {facet["why_not"] for facet in facets_of(found)} == {"no draft has a score"}
    assert found.pool.equals(rows)


def test_a_limit_that_cannot_be_is_refused_with_its_place(home: Path) -> None:
    with pytest.raises(RecipeError, match=r"acceptance\.alpha"):
        gen.run(ask(home, rule="conformal", alpha=1.0), size=SIZE, out=home / "out")


@pytest.mark.parametrize(
    ("settings", "idle"),
    [
        ({"alpha": 0.1}, "alpha"),
        ({"rule": "conformal", "target": 0.9}, "target"),
        ({"rule": "high_probability", "alpha": 0.1}, "alpha"),
    ],
)
def test_a_limit_that_the_rule_does_not_read_is_refused(home: Path, settings: dict[str, object], idle: str) -> None:
    with pytest.raises(RecipeError, match=f"no {idle} where its rule is"):
        gen.run(ask(home, **settings), size=SIZE, out=home / "out")
