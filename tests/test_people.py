"""Conversations by people: read whole or refused with the place, kept, filtered, judged, selected, explained."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from thousandfold import gen
from thousandfold.gen.contexts import plan_contexts
from thousandfold.gen.descent import descent
from thousandfold.gen.output import Output
from thousandfold.gen.people import read_people
from thousandfold.gen.peoplebook import PeopleBook
from thousandfold.gen.recipe import load
from thousandfold.gen.release import read_manifest, read_table
from thousandfold.gen.seeds import read_seeds

from ._recipes import small_recipe
from ._runs import RESPECT, command, content

SIZE = 24
NOUNS = "ledger orchard kettle violin harbour kiln saddle loom ferry abbey bicycle tannery parish oven".split()  # noqa: SIM905
VERBS = ["mend", "weigh", "paint", "lend", "carry", "borrow", "plant", "trim", "lift", "sort"]
QUALITIES = ["old", "heavy", "narrow", "bright", "crooked", "damp", "quiet", "patient", "hollow", "rusty"]
TIMES = ["Monday", "Tuesday", "Friday", "Sunday", "winter", "spring", "noon", "dusk"]


def letters(count: int, *, seed: int = 1, **more: Any) -> list[dict[str, Any]]:
    """So many conversations of plain sentences, no two alike."""
    draw = random.Random(seed)

    def sentence() -> str:
        first, last = (f"{draw.choice(QUALITIES)} {draw.choice(NOUNS)}" for _ in range(2))
        return f"The {first} needs somebody to {draw.choice(VERBS)} the {last} before {draw.choice(TIMES)}."

    return [
        {
            "prompt": " ".join(sentence() for _ in range(3)),
            "response": " ".join(sentence() for _ in range(6)) + f" I was wrong about the {draw.choice(NOUNS)} ({n}).",
            "facet": "honest apology",
            **more,
        }
        for n in range(count)
    ]


def file_of(folder: Path, rows: list[dict[str, Any]], name: str = "letters.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def refused(recipe: Path, rows: str | list[dict[str, Any]], folder: Path, name: str = "t.jsonl") -> gen.RecipeError:
    path = folder / name
    path.write_text(rows if isinstance(rows, str) else "".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    with pytest.raises(gen.RecipeError) as caught:
        read_people(path, load(recipe))
    assert str(path) in caught.value.what
    return caught.value


ASKED, ANSWERED = "What of the fence?", "Mend it first, because what is broken grows."
MESSAGES = [{"role": "user", "content": ASKED}, {"role": "assistant", "content": ANSWERED}]
SHAPES: list[Mapping[str, Any]] = [
    {"messages": MESSAGES},
    {"instruction": ASKED, "input": "", "output": ANSWERED},
    {"instruction": ASKED, "instances": [{"input": "", "output": ANSWERED}]},
    {"prompt": ASKED, "response": ANSWERED},
    {"question": ASKED, "answer": ANSWERED},
    {"prompt": MESSAGES[:1], "completion": MESSAGES[1:]},
]


@pytest.mark.parametrize("shape", SHAPES, ids=[" ".join(shape) for shape in SHAPES])
def test_every_shape_of_one_conversation_is_the_same_conversation(shape: dict[str, Any], tmp_path: Path) -> None:
    recipe = load(small_recipe(tmp_path / "recipe"))
    read = read_people(file_of(tmp_path, [shape]), recipe)
    assert read["messages"].to_list() == [MESSAGES]
    assert read["id"].to_list() == ["d-8b320169ff08ca03"]
    assert read.select("facet", "source", "licence").row(0) == ("candour", "letters.jsonl", None)


def test_lines_cells_and_parquet_rows_say_the_same(tmp_path: Path) -> None:
    recipe = load(small_recipe(tmp_path / "recipe"))
    rows: list[dict[str, Any]] = [
        {
            "prompt": 'He said "no", twice;\nwhy?',
            "response": ANSWERED,
            "domain": "law",
            "licence": "CC0-1.0",
            "id": "7",
        },
        {"prompt": ASKED, "response": ANSWERED, "domain": None, "licence": None, "id": "8"},
    ]
    table = pl.DataFrame(rows)
    table.write_csv(tmp_path / "letters.csv")
    table.write_parquet(tmp_path / "letters.parquet")
    read = [read_people(path, recipe) for path in (file_of(tmp_path, rows), *(tmp_path.glob("letters.[cp]*")))]
    assert len(read) == 3
    for other in read[1:]:
        assert other.drop("source", "file").equals(read[0].drop("source", "file"))
    assert sorted(read[0].select("given_id", "domain", "licence").rows()) == [
        ("7", "law", "CC0-1.0"),
        ("8", None, None),
    ]
    from_frame = read_people(table, recipe)
    assert from_frame.drop("source", "file").equals(read[0].drop("source", "file"))


def test_levels_stand_in_columns_or_nested_and_may_not_differ(tmp_path: Path) -> None:
    recipe = small_recipe(tmp_path / "recipe")
    both = {"prompt": ASKED, "response": ANSWERED, "levels": {"domain": "law"}, "tone": "calm"}
    read = read_people(file_of(tmp_path, [both]), load(recipe))
    assert read.select("domain", "tone").row(0) == ("law", "calm")
    error = refused(recipe, [both | {"domain": "farm"}], tmp_path)
    assert error.what.endswith("t.jsonl:1: domain = 'farm' beside levels.domain = 'law'")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"prompt": ASKED}, "t.jsonl:2 is not a conversation: its keys are prompt"),
        ({"messages": MESSAGES[:1]}, "t.jsonl:2 is not a conversation: it ends with user"),
        ({"messages": "hello"}, "messages is not a list of objects with role and content"),
        ({"prompt": ASKED, "response": " "}, "the assistant turn is empty"),
        ({"prompt": ASKED, "response": ANSWERED, "domain": "sea"}, "t.jsonl:2: domain = 'sea' is not a level"),
        ({"prompt": ASKED, "response": ANSWERED, "levels": {"mood": "x"}}, "the axis 'mood'"),
        ({"prompt": ASKED, "response": ANSWERED, "facet": "awe"}, "t.jsonl:2: facet = 'awe'"),
        ({"prompt": ASKED, "response": ANSWERED, "because": "I say so"}, "because = 'I say so' is not in the last"),
        ({"prompt": ASKED, "response": ANSWERED, "source": ["a"]}, "t.jsonl:2: source = \"['a']\" is a list"),
    ],
)
def test_a_row_that_cannot_be_used_refuses_the_file_with_its_place_and_value(
    row: dict[str, Any], said: str, tmp_path: Path
) -> None:
    assert said in refused(small_recipe(tmp_path / "r"), [{"prompt": ASKED, "response": ANSWERED}, row], tmp_path).what


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("t.jsonl", "{]", "t.jsonl:1 is not valid JSON"),
        ("t.jsonl", "\n\n", "t.jsonl holds no conversation"),
        ("t.csv", "prompt,response\na,b,c\n", "t.csv:2 has 3 cells, the first line 2"),
        ("t.csv", 'prompt,response\n"a,b\n', "is no CSV: unexpected end of data"),
        ("t.csv", "messages\nhello\n", "t.csv:2 is not valid JSON"),
        ("t.parquet", "no", "t.parquet is no Parquet file"),
        ("t.txt", "hello", "t.txt ends in .txt"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_refused(name: str, text: str, said: str, tmp_path: Path) -> None:
    assert said in refused(small_recipe(tmp_path / "r"), text, tmp_path, name).what


def test_where_a_recipe_has_several_facets_a_row_must_name_its_own(tmp_path: Path) -> None:
    error = refused(RESPECT, [{"prompt": ASKED, "response": ANSWERED}], tmp_path)
    assert "t.jsonl:1: facet = None (none is given)" in error.what
    assert "honest apology" in error.do


def test_a_refused_file_leaves_nothing_behind(tmp_path: Path) -> None:
    path = file_of(tmp_path, [*letters(2), {"prompt": "only"}])
    with pytest.raises(gen.RecipeError, match=r"letters\.jsonl:3"):
        gen.run(RESPECT, size=SIZE, out=tmp_path / "out", drafts=path)
    assert not (tmp_path / "out").exists()


def test_the_same_text_twice_is_one_and_what_is_said_of_it_last_counts(tmp_path: Path) -> None:
    recipe = load(small_recipe(tmp_path / "recipe"))
    row = {"prompt": ASKED, "response": ANSWERED}
    read = read_people(file_of(tmp_path, [row | {"domain": "law"}, row | {"domain": "farm"}]), recipe)
    assert read["domain"].to_list() == ["farm"]
    with PeopleBook(tmp_path / "ledger.sqlite") as book:
        assert book.add(read) == (1, 0)
        assert book.add(read) == (0, 0)
        assert book.add(read.with_columns(domain=pl.lit("school"))) == (0, 1)
        assert book.people(recipe)[0]["domain"].to_list() == ["school"]


def test_what_a_changed_recipe_no_longer_has_is_said_and_not_counted(tmp_path: Path) -> None:
    recipe = small_recipe(tmp_path / "recipe")
    rows = [{"prompt": ASKED, "response": ANSWERED, "domain": "farm"}]
    with PeopleBook(tmp_path / "ledger.sqlite") as book:
        book.add(read_people(file_of(tmp_path, rows), load(recipe)))
        axes = (recipe / "axes.toml").read_text(encoding="utf-8").replace('farm = "fields and beasts"\n', "")
        (recipe / "axes.toml").write_text(axes, encoding="utf-8")
        people, notes = book.people(load(recipe))
    assert people["domain"].to_list() == [None]
    assert notes == ["1 conversations by people name a level that the recipe has no more: not counted"]


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> gen.Run:
    return gen.run(RESPECT, size=SIZE, out=tmp_path_factory.mktemp("without") / "out")


@pytest.fixture(scope="module")
def brought(tmp_path_factory: pytest.TempPathFactory) -> gen.Run:
    """A run with twelve letters of two sources, and one copy among them."""
    folder = tmp_path_factory.mktemp("brought")
    rows = letters(12, domain="law", stakes=None)
    for number, row in enumerate(rows):
        row |= {"source": f"archive {number % 2}", "licence": ["CC-BY-4.0", None][number % 2], "id": f"L{number}"}
    rows[11]["response"] = rows[10]["response"] + " Yes."
    return gen.run(RESPECT, size=SIZE, out=folder / "out", drafts=file_of(folder, rows))


def test_they_pass_the_rooms_as_drafts_and_are_counted_apart(brought: gen.Run) -> None:
    people = brought.funnel["people"]
    assert people["brought"] == 12
    assert people["dropped"] == {"near_duplicate": 1}
    assert (people["kept"], people["pool"]) == (11, 11)
    assert (people["scored"], people["unjudged"]) == (0, 11)  # rehearsal's stand-in reads its own sentences only
    assert brought.funnel["drafts"] - sum(brought.funnel["dropped"].values()) == brought.funnel["kept"]
    drafts = read_table(brought.release, "drafts")  # type: ignore[arg-type]
    assert drafts.filter(pl.col("teacher").is_null()).height == 12
    own = drafts.filter(pl.col("round") == 0)["id"].implode()
    assert people["selected"] == brought.exemplars.filter(pl.col("id").is_in(own)).height


def test_what_they_cover_is_not_asked_for_again(brought: gen.Run, without: gen.Run) -> None:
    assert without.funnel["contexts"] - brought.funnel["contexts"] >= 9
    assert brought.exemplars.height == without.exemplars.height == SIZE
    contexts = read_table(brought.release, "contexts")  # type: ignore[arg-type]
    recipe = load(RESPECT, {"size": SIZE})
    whole = plan_contexts(recipe, read_seeds(recipe), train=200, heldout=0)
    assert set(contexts.filter(pl.col("set") == "train")["id"]) < set(whole["id"])


def test_source_and_licence_stand_in_tables_manifest_and_card(brought: gen.Run) -> None:
    assert brought.release is not None
    table = read_table(brought.release, "people").join(brought.exemplars.select("id"), on="id")
    told = read_manifest(brought.release)["people"]
    assert told == brought.summary["people"]
    for row in told["sources"]:
        licence = None if row["licence"] == "unknown" else row["licence"]
        own = table.filter(pl.col("source").eq(row["source"]) & pl.col("licence").eq_missing(pl.lit(licence)))
        assert (row["brought"], row["selected"]) == (6, own.height)
    card = (brought.release / "README.md").read_text(encoding="utf-8")
    assert "| archive 0 | CC-BY-4.0 | 6 |" in card
    assert "- cc-by-4.0" in card
    assert set(json.loads((brought.release / "train" / "sft.jsonl").read_text().splitlines()[0])) == {"id", "messages"}


def test_trace_explains_such_a_row(brought: gen.Run) -> None:
    assert brought.release is not None
    people = read_table(brought.release, "people").sort("given_id")
    out = brought.release.parent.parent
    found = descent(Output.existing(out), people["id"][0])
    assert found["people"]["given_id"] == "L0"
    assert found["seed"] is None
    done = command("trace", out, people["id"][0], cwd=out)
    assert "written by people, brought with letters.jsonl, there called L0" in done.out
    assert "archive 0, licence CC-BY-4.0" in done.out


def test_later_runs_have_them_without_the_file_and_offline(brought: gen.Run) -> None:
    assert brought.release is not None
    out = brought.release.parent.parent
    again = gen.run(RESPECT, size=SIZE, out=out, offline=True, concurrency=1)
    assert (again.release, again.summary["new"], again.summary["asked"]) == (brought.release, False, 0)
    assert gen.load(out).summary["people"] == brought.summary["people"]


def test_a_second_file_adds_and_the_order_of_files_decides_nothing(tmp_path: Path) -> None:
    one, two = file_of(tmp_path, letters(4), "one.jsonl"), file_of(tmp_path, letters(4, seed=2), "two.jsonl")
    gen.run(RESPECT, size=12, out=tmp_path / "a", drafts=one)
    later = gen.run(RESPECT, size=12, out=tmp_path / "a", drafts=two)
    at_once = gen.run(RESPECT, size=12, out=tmp_path / "b", drafts=[two, one], concurrency=1)
    assert later.funnel["people"]["brought"] == 8
    assert content(later.release) == content(at_once.release)


def test_people_alone_may_fill_a_set_and_only_their_missing_levels_are_asked_for(tmp_path: Path) -> None:
    run = gen.run(RESPECT, size=12, out=tmp_path / "out", drafts=pl.DataFrame(letters(40, domain="law")))
    contexts = read_table(run.release, "contexts").filter(pl.col("set") == "train")  # type: ignore[arg-type]
    assert 0 < contexts.height < 12
    facets = set(contexts["facet"])
    assert facets >= {"clear boundaries", "respectful disagreement", "thoughtful criticism"}
    assert not run.summary["shortfalls"]


def test_what_is_sealed_does_not_come_into_training_by_peoples_hands(tmp_path: Path) -> None:
    recipe = load(RESPECT, {"size": SIZE})
    seeds = read_seeds(recipe)
    seed = seeds.filter((pl.col("split") == "heldout") & (pl.col("facet") == "honest apology")).row(0, named=True)
    copy = [dict(turn) for turn in seed["messages"]]
    copy[-1]["content"] = letters(1, seed=9)[0]["response"]
    pair = dict(next(rule for rule in recipe.withheld if set(rule) <= set(recipe.axes) - {"facet"}))
    rows: list[dict[str, Any]] = [
        {"messages": copy, "facet": "honest apology"},
        letters(1, seed=3)[0] | {"domain": recipe.sealed_of("domain")[0]},
        letters(1, seed=4)[0] | pair,
        letters(1, seed=5)[0],
    ]
    run = gen.run(RESPECT, size=12, out=tmp_path / "out", drafts=pl.DataFrame(rows))
    people = run.funnel["people"]
    assert people["dropped"] == {"sealed_levels": 2, "held_out_lineage": 1}
    assert people["pool"] == 1
    verdicts = read_table(run.release, "verdicts").filter(pl.col("filter") == "levels")  # type: ignore[arg-type]
    assert sorted(verdicts.select("reason", "measured", "limit").rows(), key=str) == [
        ("sealed_levels", 1.0, 0.0), ("sealed_levels", 1.0, 0.0), (None, 0.0, 0.0), (None, 0.0, 0.0)
    ]  # fmt: skip


def test_a_held_out_prompt_that_a_letter_gives_away_is_drawn_anew(tmp_path: Path, without: gen.Run) -> None:
    assert without.release is not None
    sealed = next((without.release / "heldout").glob("*.jsonl")).read_text(encoding="utf-8").splitlines()
    asked = json.loads(sealed[0])["messages"]
    row = {"messages": [asked[0], {"role": "assistant", "content": letters(1, seed=6)[0]["response"]}]}
    run = gen.run(RESPECT, size=SIZE, out=tmp_path, drafts=pl.DataFrame([row | {"facet": "honest apology"}]))
    files = (run.release / "heldout").glob("*.jsonl")  # type: ignore[operator]
    lines = [line for path in files for line in path.read_text(encoding="utf-8").splitlines()]
    prompts = [json.loads(line)["messages"][0] for line in lines]
    assert run.funnel["people"]["pool"] == 1
    assert asked[0] not in prompts


def test_the_card_does_not_say_that_a_judge_passed_what_no_judge_could_read(brought: gen.Run) -> None:
    assert brought.release is not None
    people = brought.funnel["people"]
    assert people["unjudged"] == people["kept"]
    card = (brought.release / "README.md").read_text(encoding="utf-8")
    assert f"0 unscored, {people['unjudged']} unjudged). They passed the same filters and selection" in card


def test_trace_leaves_out_the_levels_that_nobody_said(tmp_path: Path) -> None:
    run = gen.run(RESPECT, size=8, out=tmp_path / "out", drafts=pl.DataFrame(letters(1)))
    (found,) = read_table(run.release, "people")["id"]  # type: ignore[arg-type]
    said = command("trace", "out", found, cwd=tmp_path).out
    assert "facet: honest apology" in said
    assert "None" not in said


def test_without_a_judge_they_are_unjudged_as_all_are(tmp_path: Path) -> None:
    run = gen.run(RESPECT, size=8, judge="none", out=tmp_path, drafts=pl.DataFrame(letters(3)))
    judgements = read_table(run.release, "judgements")  # type: ignore[arg-type]
    assert set(judgements["state"]) == {"unjudged"}
    assert run.funnel["people"]["unjudged"] == 3


def test_what_rehearsal_wrote_is_scored_when_people_bring_it(tmp_path: Path, without: gen.Run) -> None:
    rows = without.exemplars.head(6).select("messages", "facet", "because")
    run = gen.run(RESPECT, size=8, seed=5, out=tmp_path, drafts=rows)
    assert run.funnel["people"]["scored"] > 0


def test_the_command_takes_files_and_says_what_it_did_not_read(tmp_path: Path) -> None:
    path = file_of(tmp_path, letters(3, mood="fair"))
    done = command("run", RESPECT, "--size", "8", "--out", "out", "--drafts", path, "--json", cwd=tmp_path)
    assert done.json["people"]["brought"] == 3
    assert "people: 3 conversations read, 3 of them new" in done.err
    assert "people: not read: mood" in done.err
    assert (
        "3 do not say their domain, of which public service, trades are sealed: whether one of them shows" in done.err
    )
    status = command("status", "out", "--coverage", "--json", cwd=tmp_path).json
    facet = next(row for row in status["levels"] if row["level"] == "honest apology")
    assert facet["people"] == 3
    assert facet["pool"] - facet["people"] <= facet["drafts"]
    tics = command("tics", "out", "--json", cwd=tmp_path)
    assert tics.code == 0
    bad = command("run", RESPECT, "--out", "out2", "--drafts", "none.jsonl", cwd=tmp_path)
    assert (bad.code, "error: none.jsonl cannot be read" in bad.err) == (2, True)
