"""The drill: what is planted is found where filters are on, and shows as missed where one is off or broken."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner

from thousandfold import filters, gen
from thousandfold.gen import Drill, RecipeError
from thousandfold.gen.cli import main
from thousandfold.gen.drill_kinds import KINDS
from thousandfold.gen.drill_report import drill_report
from thousandfold.gen.init import write_starter
from thousandfold.gen.recipe import load
from thousandfold.gen.seeds import read_seeds
from thousandfold.gen.settings import FilterSettings
from thousandfold.gen.tables import said_by
from thousandfold.gen.verdicts import FILTERS

from ._runs import RESPECT, Done, copied

SMALL: dict[str, Any] = {"clean": 30, "planted": 6}
COPIES = ("copy", "near_copy_85", "near_copy_75")
CUT = ("cut_in_sentence", "cut_by_limit")
ECHOES = ("echo_seed", "echo_prompt", "echo_context")


@pytest.fixture(scope="module")
def drilled() -> Drill:
    return gen.drill(RESPECT, clean=150, planted=20)


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def recall(drill: Drill, *kinds: str) -> list[float]:
    figures = dict(drill.kinds.select("kind", "recall").iter_rows())
    return [figures[kind] for kind in kinds]


def without(tmp_path: Path, *names: str) -> Path:
    """The example recipe with filters switched off."""
    recipe = copied(RESPECT, tmp_path / "recipe")
    with (recipe / "recipe.toml").open("a", encoding="utf-8") as file:
        file.write(f"\n[filters]\noff = {json.dumps(names)}\n")
    return recipe


def here(*words: str | Path, env: dict[str, str] | None = None) -> Done:
    found = CliRunner().invoke(main, [str(word) for word in words], env=env, catch_exceptions=False)
    return Done(found.exit_code, found.stdout, found.stderr)


def test_every_draft_is_planted_or_clean_and_has_its_verdicts(drilled: Drill) -> None:
    assert set(drilled.verdicts["id"]) == set(drilled.drafts["id"])
    assert drilled.drafts["id"].is_unique().all()
    assert drilled.planted.height == drilled.summary["planted"] == 20 * len(KINDS)
    assert drilled.false_alarms["clean"][0] == drilled.drafts.height - drilled.planted.height >= 150
    assert drilled.kinds["planted"].to_list() == [20] * len(KINDS)
    assert drilled.kinds["kind"].to_list() == list(KINDS)


def test_with_the_filters_on_what_they_are_for_is_caught_and_clean_drafts_are_kept(drilled: Drill) -> None:
    seen = (
        *COPIES,
        *CUT,
        *ECHOES,
        "broken_json",
        "broken_markdown",
        "wrong_roles",
        "empty_turn",
        "no_reason",
        "leaked_prompt",
    )
    assert min(recall(drilled, *seen)) >= 0.95
    assert drilled.false_alarms["share"][0] <= 0.005


def test_what_words_cannot_show_is_printed_as_missed(drilled: Drill) -> None:
    assert max(recall(drilled, "paraphrase", "cut_at_sentence_end")) <= 0.1
    assert {"paraphrase", "cut_at_sentence_end"} <= set(drilled.misses["kind"])


def test_a_near_copy_is_as_near_to_its_original_as_it_is_said(drilled: Drill) -> None:
    said = dict(drilled.drafts.select("id", said_by(drilled.drafts, "assistant").alias("said")).iter_rows())
    bands = {"near_copy_85": (0.85, 0.95), "near_copy_75": (0.75, 0.85), "near_copy_70": (0.7, 0.75)}
    rounds = dict(drilled.drafts.select("id", "round").iter_rows())
    copied_from = []
    for row in drilled.planted.filter(pl.col("kind").is_in(list(bands))).iter_rows(named=True):
        one, other = (shingles(said[row[name]]) for name in ("id", "original"))
        jaccard = len(one & other) / len(one | other)
        low, high = bands[row["kind"]]
        assert low <= jaccard < high
        assert jaccard == json.loads(row["facts"])["jaccard"]
        copied_from.append(rounds[row["original"]])
    assert min(copied_from.count(1), copied_from.count(2)) > 15, "copies of a closed round, and of their own"


def shingles(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[start : start + 5]) for start in range(len(words) - 4)}


def test_what_leaks_is_sealed_and_what_it_copies_is_there(drilled: Drill) -> None:
    contexts = drilled.contexts.rename({"id": "context_id"})
    drafts = drilled.drafts.join(contexts, on="context_id", validate="m:1", maintain_order="left")
    splits = dict(drafts.select("id", "split").iter_rows())
    assert len(splits) == drilled.drafts.height
    for row in drilled.planted.iter_rows(named=True):
        assert splits[row["id"]] == "train"
        if row["original"]:
            leaks = row["kind"] in ("leaked_prompt", "reworded_prompt")
            assert splits[row["original"]] == ("heldout" if leaks else "train")
    sealed = set(drafts.filter(pl.col("split") == "heldout")["seed_id"])
    kinds = drafts.drop("kind").join(drilled.planted, on="id")  # the recipe has an axis of that name
    lineage = set(kinds.filter(pl.col("kind") == "lineage_leak")["seed_id"])
    assert lineage <= {seed["id"] for seed in read_seeds(load(RESPECT)).to_dicts() if seed["split"] == "heldout"}
    assert not sealed & set(kinds.filter(pl.col("kind") != "lineage_leak")["seed_id"])
    assert set(drilled.planted.drop_nulls("original")["kind"]) == {
        "copy", "near_copy_85", "near_copy_75", "near_copy_70", "near_copy_60", "slot_swap", "paraphrase",
        "repeated_prompt", "leaked_prompt", "reworded_prompt",
    }  # fmt: skip


def test_hollow_and_tics_are_measured_apart(drilled: Drill) -> None:
    hollow, tic = drilled.apart["hollow"], drilled.apart["opening_tic"]
    assert hollow["hollow"]["judged"] == hollow["clean"]["judged"] == 20
    assert hollow["hollow"]["mean_level"] < 1.6 < 3 < hollow["clean"]["mean_level"]
    assert tic["in_family"] == tic["planted"] == 20 <= tic["rows_in_family"]


@pytest.mark.parametrize(
    ("off", "falls", "stays"),
    [
        (("form",), (*CUT, *ECHOES, "broken_markdown"), (*COPIES, "leaked_prompt")),
        (("duplicates", "slots"), COPIES, (*CUT, "leaked_prompt")),
        (("leaks", "prompts"), ("leaked_prompt", "lineage_leak"), (*CUT, *COPIES)),
        (("secrets",), ("secret", "personal_data"), (*CUT, *COPIES)),
        (("slots",), ("slot_swap",), (*CUT, *COPIES)),
    ],
)
def test_a_filter_that_is_off_shows(
    tmp_path: Path, off: tuple[str, ...], falls: tuple[str, ...], stays: tuple[str, ...]
) -> None:
    drill = gen.drill(without(tmp_path, *off), **SMALL)
    assert max(recall(drill, *falls)) <= 0.1
    assert min(recall(drill, *stays)) >= 0.9
    assert drill.summary["off"] == list(off)
    # With form off only what is no conversation is dropped by it.
    reasons = set(drill.verdicts.filter(~pl.col("kept") & pl.col("filter").is_in(off))["reason"])
    assert reasons == ({"unreadable"} if off == ("form",) else set())


def test_a_filter_that_is_blind_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = filters.near_duplicates

    def blind(texts: pl.Series, **options: Any) -> pl.DataFrame:
        return seen(pl.Series([f"nothing like another {number}" for number in range(len(texts))]), **options)

    monkeypatch.setattr(filters, "near_duplicates", blind)
    drill = gen.drill(RESPECT, **SMALL)
    assert max(recall(drill, *COPIES)) <= 0.1
    assert min(recall(drill, *CUT)) == 1


def test_a_filter_that_drops_at_random_shows_in_the_false_alarms(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = filters.form

    def careless(frame: pl.DataFrame, **columns: Any) -> pl.DataFrame:
        third = pl.int_range(pl.len()) % 3 == 0
        reason = pl.when(third).then(pl.lit("cut_off")).otherwise("reason").alias("reason")
        return seen(frame, **columns).with_columns(kept=pl.col("kept") & ~third).with_columns(reason)

    monkeypatch.setattr(filters, "form", careless)
    drill = gen.drill(RESPECT, **SMALL)
    [share] = drill.false_alarms.filter(pl.col("reason") == "cut_off")["share"]
    assert 0.15 < share < 0.55
    cut = drill.kinds.row(by_predicate=pl.col("kind") == "cut_in_sentence", named=True)
    assert cut["precision"] < 0.5
    assert drill.alarms.height == drill.false_alarms["dropped"][0]
    said = "\n".join(str(part) for part in drill_report(drill, misses=1))
    assert said.count("dropped though clean: cut_off, by form") == 1


def test_equal_arguments_give_an_equal_drill_and_another_seed_another() -> None:
    tiny: dict[str, Any] = {"clean": 20, "planted": 2}
    once, again, other = (gen.drill(RESPECT, **tiny, seed=seed) for seed in (3, 3, 4))
    for name in ("kinds", "misses", "planted", "verdicts", "drafts"):
        assert getattr(once, name).equals(getattr(again, name)), name
    assert once.apart == again.apart
    assert not set(once.drafts["id"]) & set(other.drafts["id"])


def recipes(folder: Path) -> Iterator[Path]:
    """The starter, and a recipe around seeds of another kind, without levels, reasons or facets."""
    write_starter(folder / "starter")
    yield folder / "starter"
    own = [
        {"instruction": f"Why is the {what} late?", "input": "", "output": f"The {what} waits for a part."}
        for what in ("bus", "boat", "post")
    ]
    (folder / "own.jsonl").write_text("\n".join(map(json.dumps, own)), encoding="utf-8")
    write_starter(folder / "around", folder / "own.jsonl")
    yield folder / "around"


def test_any_recipe_can_be_drilled_and_what_it_gives_no_ground_for_is_said(tmp_path: Path) -> None:
    for recipe in recipes(tmp_path):
        drill = gen.drill(recipe, clean=20, planted=3)
        assert recall(drill, "cut_in_sentence", "near_copy_75") == [1, 1]
        wanting = [note for note in drill.summary["notes"] if "for want of ground in this recipe" in note]
        unplanted = drill.kinds.filter(pl.col("planted") < 3)["kind"].to_list()
        assert [note.partition(":")[0] for note in wanting] == unplanted


def test_a_recipe_in_another_language_is_drilled_in_english_and_that_is_said(tmp_path: Path) -> None:
    drill = gen.drill(copied(RESPECT, tmp_path / "recipe", language="de"), clean=20, planted=3)
    assert drill.summary["notes"] == [
        "the recipe's language is de; rehearsal writes English, and is filtered as English"
    ]
    assert drill.false_alarms["dropped"][0] == 0


def test_secrets_that_were_missed_are_masked_in_every_report(drilled: Drill) -> None:
    said = dict(drilled.drafts.select("id", said_by(drilled.drafts, "assistant").alias("said")).iter_rows())
    looked = 0
    for row in drilled.misses.filter(pl.col("kind").is_in(["secret", "personal_data"])).iter_rows(named=True):
        facts = json.loads(row["facts"])
        start = len(said[row["id"]]) - facts["from_end"]
        value = said[row["id"]][start : start + facts["length"]]
        assert row["answered"] == said[row["id"]].replace(value, f"[{facts['what']}]")
        assert value not in json.dumps(drilled.misses.to_dicts())
        looked += 1
    missed = drilled.kinds.filter(pl.col("kind").is_in(["secret", "personal_data"]))["missed"].sum()
    assert looked == missed


@pytest.mark.parametrize(("name", "value"), [("clean", 1), ("clean", 2.5), ("planted", 0), ("planted", True)])
def test_counts_that_cannot_be_are_refused(name: str, value: Any) -> None:
    with pytest.raises(RecipeError) as refused:
        gen.drill(RESPECT, **{**SMALL, name: value})
    assert refused.value.what == f"{name} is {value!r}"


# The command.


def test_the_command_prints_figures_and_misses_and_writes_nothing(tmp_path: Path) -> None:
    recipe = shutil.copytree(RESPECT, tmp_path / "recipe")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    said = here("drill", recipe, "--clean", "20", "--planted", "2", "--misses", "1")
    assert said.code == 0
    lines = said.out.splitlines()
    assert lines[0].startswith("68 flawed drafts among ")
    for kind in KINDS:
        assert any(line.startswith(f"{kind} ") for line in lines), kind
    assert any(re.match(r"cut_in_sentence +2 +2 +0 +0 +100\.0 \[34–100\]", line) for line in lines)
    assert sum(line.startswith("missed: paraphrase ") for line in lines) == 1
    assert max(map(len, lines)) <= 120
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_the_commands_json_is_one_object_that_knows_the_same() -> None:
    env = {"THOUSANDFOLD_DRILL_CLEAN": "20", "THOUSANDFOLD_DRILL_PLANTED": "2", "THOUSANDFOLD_DRILL_JSON": "1"}
    said = here("drill", RESPECT, "--misses", "0", "--seed", "5", env=env)
    told = said.json
    assert said.code == told["exit"] == 0
    assert [told[key] for key in ("recipe", "seed", "planted", "off", "notes")] == ["respect", 5, 68, [], []]
    assert [kind["kind"] for kind in told["kinds"]] == list(KINDS)
    assert {"recall", "recall_low", "precision", "precision_high", "caught_as"} <= set(told["kinds"][0])
    assert told["false_alarms"][0]["reason"] is None
    assert told["misses"] == []


# The switch.


def test_a_filter_that_is_not_known_is_refused_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as refused:
        gen.drill(without(tmp_path, "spelling"), **SMALL)
    assert "filters.off.0 = 'spelling'" in refused.value.what
    assert all(f"'{name}'" in refused.value.why for name in FILTERS)


def test_no_filter_is_off_by_default() -> None:
    assert FilterSettings().off == ()


def test_a_run_with_every_filter_off_keeps_all_and_says_so_on_its_card(tmp_path: Path) -> None:
    run = gen.run(
        without(tmp_path, *FILTERS), size=10, out=tmp_path / "out", teacher="rehearsal:near_copy=0.5&hollow=0"
    )
    assert run.release is not None
    assert set(run.funnel["dropped"]) <= {"unreadable"}
    card = (run.release / "README.md").read_text(encoding="utf-8")
    assert "**Filters switched off by the recipe:** " + ", ".join(FILTERS) + "." in card
    manifest = json.loads((run.release / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["settings"]["filters"]["off"] == list(FILTERS)
