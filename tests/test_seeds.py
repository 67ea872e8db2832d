"""Seeds: every accepted shape becomes the same rows, any other is refused by file and line; lineages are split."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from thousandfold.gen.errors import RecipeError
from thousandfold.gen.recipe import load
from thousandfold.gen.seeds import read_seeds, read_text
from thousandfold.gen.tables import SEEDS

from ._recipes import RECIPE, RESPECT, ROOT, rubric, seed, small_recipe

DATA = Path(os.environ.get("THOUSANDFOLD_TEST_DATA", ROOT.parent / "shared" / "data"))
NONE: Mapping[str, str | bytes | None] = {"seeds/fence.md": None, "seeds/gate.md": None}
TURNS = [{"role": "user", "content": "What now?"}, {"role": "assistant", "content": "Wait, for it is late."}]


def seeds_of(folder: Path, changes: Mapping[str, str | bytes | None]) -> pl.DataFrame:
    """The seeds of a small recipe that has no others than `changes` brings."""
    return read_seeds(load(small_recipe(folder, {**NONE, **changes})))


def refusal(folder: Path, changes: Mapping[str, str | bytes | None]) -> tuple[str, str, str]:
    """what, why, do, with the folder of seeds as `SEEDS`."""
    with pytest.raises(RecipeError) as caught:
        seeds_of(folder, changes)
    error = caught.value
    return error.what.replace(f"{folder / 'seeds'}", "SEEDS"), error.why, error.do


def lines(*records: Any) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def test_a_markdown_seed_with_all_its_fields_becomes_one_row(tmp_path: Path) -> None:
    text = """---
facet: candour
because: "The gate was left open: that is why."
reason: it says what happened
levels:
  domain: farm
author: A. Writer
licence: CC0-1.0
source: a notebook
---

## system
Be brief.

## user
Who let them out?

They are in the rape.
## assistant
I did. The gate was left open: that is why.

    > quoted, with ## user in the line
"""
    [row] = seeds_of(tmp_path, {"seeds/open gate.md": text}).rows(named=True)
    assert row == {
        "id": "open gate",
        "lineage": "open gate",
        "facet": "candour",
        "split": "train",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Who let them out?\n\nThey are in the rape."},
            {
                "role": "assistant",
                "content": "I did. The gate was left open: that is why.\n\n    > quoted, with ## user in the line",
            },
        ],
        "because": "The gate was left open: that is why.",
        "reason": "it says what happened",
        "source": "a notebook",
        "author": "A. Writer",
        "licence": "CC0-1.0",
        "domain": "farm",
        "tone": None,
    }


def test_front_matter_may_be_missing_empty_or_close_at_the_end_of_the_file(tmp_path: Path) -> None:
    body = "## user\nWhat now?\n## assistant\nWait, for it is late.\n"
    rows = seeds_of(
        tmp_path, {"seeds/a.md": body, "seeds/b.md": f"---\n---\n{body}", "seeds/c.md": f"--- \n---  \n{body}"}
    )
    assert rows["id"].to_list() == ["a", "b", "c"]
    assert rows["messages"].to_list() == [TURNS, TURNS, TURNS]
    assert rows["facet"].unique().to_list() == ["candour"]


def test_scalars_of_front_matter_stay_the_words_they_are(tmp_path: Path) -> None:
    front = "id: 007\nauthor: no\nsource: 2026-01-02\nlicence: ~\n"
    [row] = seeds_of(tmp_path, {"seeds/a.md": seed(front=front)}).rows(named=True)
    assert (row["id"], row["author"], row["source"], row["licence"]) == ("007", "no", "2026-01-02", "~")


@pytest.mark.parametrize(
    "record",
    [
        {"messages": TURNS},
        {"messages": [{**turn, "name": "x"} for turn in TURNS], "score": 3},
        {"instruction": "What now?", "input": "", "output": "Wait, for it is late."},
        {"instruction": "What now?", "input": None, "output": " Wait, for it is late.\n"},
        {"instruction": "What now?", "output": "Wait, for it is late."},
        {"instruction": "What now?", "instances": [{"input": "", "output": "Wait, for it is late."}], "name": "wait"},
    ],
)
def test_every_shape_of_jsonl_becomes_the_same_conversation(tmp_path: Path, record: Mapping[str, Any]) -> None:
    [row] = seeds_of(tmp_path, {"seeds/tasks.jsonl": lines(record)}).rows(named=True)
    assert row["messages"] == TURNS
    assert (row["source"], row["licence"], row["facet"], row["because"]) == ("tasks.jsonl", "unknown", "candour", None)
    assert row["id"] == row["lineage"]
    assert row["id"].startswith("s-")


def test_an_input_stands_below_its_instruction(tmp_path: Path) -> None:
    record = {"instruction": "Translate.", "input": "Guten Tag", "output": "Good day"}
    [row] = seeds_of(tmp_path, {"seeds/t.jsonl": lines(record)}).rows(named=True)
    assert row["messages"][0]["content"] == "Translate.\n\nGuten Tag"


def test_jsonl_fields_are_read_as_those_of_front_matter_are(tmp_path: Path) -> None:
    fields = {"id": 0, "because": "for it is late", "reason": "short", "levels": {"tone": "calm"}, "facet": "candour"}
    [row] = seeds_of(tmp_path, {"seeds/t.jsonl": lines({"messages": TURNS, **fields, "because": None} | fields)}).rows(
        named=True
    )
    assert (row["id"], row["because"], row["reason"], row["tone"]) == ("0", "for it is late", "short", "calm")


def test_blank_lines_a_byte_order_mark_and_crlf_do_not_show(tmp_path: Path) -> None:
    plain = seeds_of(tmp_path / "plain", {"seeds/a.md": seed(), "seeds/t.jsonl": lines({"messages": TURNS})})
    windows = {
        "seeds/a.md": b"\xef\xbb\xbf" + seed().replace("\n", "\r\n").encode(),
        "seeds/t.jsonl": b"\xef\xbb\xbf\r\n" + lines({"messages": TURNS}).replace("\n", "\r\n\r\n").encode(),
    }
    assert seeds_of(tmp_path / "windows", windows).equals(plain)


def test_a_line_separator_of_unicode_inside_a_string_is_no_end_of_line(tmp_path: Path) -> None:
    record = {"instruction": "one\u2028two", "output": "three\u0085four"}
    text = json.dumps(record, ensure_ascii=False) + "\n"
    [row] = seeds_of(tmp_path, {"seeds/t.jsonl": text}).rows(named=True)
    assert [turn["content"] for turn in row["messages"]] == ["one\u2028two", "three\u0085four"]


def test_lone_surrogates_of_json_become_replacement_characters(tmp_path: Path) -> None:
    turns = '"instruction": "a \\ud800 b", "output": "c \\udfff"'
    text = f'{{{turns}, "reason": "\\ud800", "id": "x\\udc00", "because": "c \\udfff"}}'
    [row] = seeds_of(tmp_path, {"seeds/t.jsonl": text}).rows(named=True)
    assert [turn["content"] for turn in row["messages"]] == ["a � b", "c �"]
    assert (row["id"], row["reason"], row["because"]) == ("x�", "�", "c �")


def test_the_175_tasks_of_self_instruct_are_175_seeds_of_their_own_lineage(tmp_path: Path) -> None:
    path = DATA / "self_instruct_seed_tasks.jsonl"
    if not path.is_file():
        pytest.skip(f"{path} is not here; THOUSANDFOLD_TEST_DATA names the folder that has it")
    rows = seeds_of(tmp_path, {"seeds/tasks.jsonl": path.read_bytes()})
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert rows.height == len(records) == 175
    assert rows["lineage"].n_unique() == 175
    by_id = {row["id"]: row for row in rows.iter_rows(named=True)}
    for record in records:
        turns = by_id[record["id"]]["messages"]
        assert [turn["role"] for turn in turns] == ["user", "assistant"]
        assert turns[0]["content"].startswith(record["instruction"].strip())
        assert turns[1]["content"] == record["instances"][0]["output"].strip()
    assert dict(rows["split"].value_counts().iter_rows()) == {"train": 157, "heldout": 18}


IS_A_SEED = "it is an optional system turn, then user and assistant in turn, ending with assistant"
HEAD_THEM = "head the turns `## user` and `## assistant` (.md), or give messages, or instruction and output (.jsonl)"
FRONT = "id, facet, because, reason, levels, author, licence, source"


@pytest.mark.parametrize(
    ("text", "line", "found"),
    [
        ("Just a note.\n", 1, "text before the first turn: 'Just a note.'"),
        ("---\nfacet: candour\n---\n\nhello\n## user\nx\n", 4, "text before the first turn: 'hello'"),
        ("", 1, "it ends with nothing"),
        ("## user\nx\n", 1, "it ends with user"),
        ("## assistant\nx\n", 1, "assistant comes first"),
        ("\n## user\nx\n## user\ny\n", 4, "user comes after user"),
        ("## user\nx\n## assistant\ny\n## system\nz\n", 5, "system comes after assistant"),
        ("## user\nx\n\n## assistant\n  \n## user\nz\n", 4, "the assistant turn is empty"),
        ("---\nfacet: candour\n---\n## user\nx\n## Notes\ny\n", 6, "a turn is headed 'Notes'"),
    ],
)
def test_a_markdown_file_that_is_no_conversation_is_refused_by_line(
    tmp_path: Path, text: str, line: int, found: str
) -> None:
    refused = refusal(tmp_path, {"seeds/a.md": text})
    assert refused == (f"SEEDS/a.md:{line} is not a conversation: {found}", IS_A_SEED, HEAD_THEM)


@pytest.mark.parametrize(
    ("record", "found"),
    [
        ([1, 2], "the line holds a list, not an object"),
        ("text", "the line holds a str, not an object"),
        ({}, "its keys are none"),
        ({"prompt": "x", "answer": "y"}, "its keys are answer, prompt"),
        ({"instruction": "x", "output": ["y"]}, "its keys are instruction, output"),
        ({"instruction": "x", "instances": []}, "its keys are instances, instruction"),
        ({"instruction": "x", "output": " "}, "the assistant turn is empty"),
        ({"instruction": "", "output": "x"}, "the user turn is empty"),
        ({"messages": "x"}, "messages is not a list of objects with role and content"),
        ({"messages": [{"role": "user"}]}, "messages is not a list of objects with role and content"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, "messages is not a list of objects with role and content"),
        ({"messages": []}, "it ends with nothing"),
        ({"messages": TURNS[:1]}, "it ends with user"),
        ({"messages": TURNS[::-1]}, "assistant comes first"),
        ({"messages": [*TURNS, {"role": "tool", "content": "x"}]}, "a turn is headed 'tool'"),
    ],
)
def test_a_line_of_jsonl_that_is_no_conversation_is_refused_by_line(tmp_path: Path, record: Any, found: str) -> None:
    refused = refusal(tmp_path, {"seeds/t.jsonl": lines({"messages": TURNS}) + "\n" + lines(record)})
    assert refused == (f"SEEDS/t.jsonl:3 is not a conversation: {found}", IS_A_SEED, HEAD_THEM)


@pytest.mark.parametrize(
    ("name", "content", "what", "do"),
    [
        (
            "t.jsonl",
            lines({"messages": TURNS}) + '{"instruction" "x"}\n',
            "SEEDS/t.jsonl:2 is not valid JSON: Expecting ':' delimiter at column 16",
            "mend that line",
        ),
        (
            "t.jsonl",
            "[" * 100_000,
            "SEEDS/t.jsonl:1 is not valid JSON: it is nested too deeply",
            "mend that line",
        ),
        (
            "a.md",
            b"## user\nx\n## assistant\ncaf\xe9\n",
            "SEEDS/a.md:4 is not UTF-8: byte 0xe9",
            "save the file as UTF-8",
        ),
        (
            "t.jsonl",
            b'{"instruction": "x",\n\n"\xff": 3}',
            "SEEDS/t.jsonl:3 is not UTF-8: byte 0xff",
            "save the file as UTF-8",
        ),
        (
            "a.md",
            "---\nfacet: candour\n## user\nx\n",
            "SEEDS/a.md:1 opens its front matter with --- and never closes it",
            "close it with a line of three dashes",
        ),
        (
            "a.md",
            "---\nfacet: candour\nreason: it says: no\n---\n## user\nx\n",
            "SEEDS/a.md:3: the front matter is not valid YAML: mapping values are not allowed here",
            'write key: "value" lines, with quotes around a value that holds a colon',
        ),
        (
            "a.md",
            "---\n- candour\n---\n## user\nx\n",
            "SEEDS/a.md:2: the front matter is a list, not key: value lines",
            f"write lines such as facet: …; the keys are {FRONT}",
        ),
        (
            "a.md",
            seed(front="colour: red\n"),
            "SEEDS/a.md:1: unknown key 'colour' in a seed",
            f"use {FRONT}; axis levels stand under levels",
        ),
        ("a.md", seed("tact"), "SEEDS/a.md:1: facet = 'tact'", "write one of candour"),
        (
            "a.md",
            seed(front="levels: farm\n"),
            "SEEDS/a.md:1: levels = 'farm'",
            "write indented lines under levels:, such as domain: law",
        ),
        (
            "a.md",
            seed(front="levels:\n  mood: calm\n"),
            "SEEDS/a.md:1: levels names the axis 'mood', which axes.toml does not have",
            "use one of domain, tone, facet, or add it to axes.toml",
        ),
        (
            "a.md",
            seed(front="levels:\n  tone: cold\n"),
            "SEEDS/a.md:1: tone = 'cold' is not a level of that axis",
            "use one of calm, angry, or add it to axes.toml",
        ),
        (
            "a.md",
            seed(front="levels:\n  tone: [calm, angry]\n"),
            "SEEDS/a.md:1: tone = ['calm', 'angry'] is not a level of that axis",
            "use one of calm, angry, or add it to axes.toml",
        ),
        (
            "a.md",
            seed(front="because: What is broken grows\n"),
            "SEEDS/a.md:1: because = 'What is broken grows' is not in the last assistant turn",
            "copy it from the last turn exactly, on one line",
        ),
        (
            "t.jsonl",
            lines({"messages": TURNS, "because": "What now?"}),
            "SEEDS/t.jsonl:1: because = 'What now?' is not in the last assistant turn",
            "copy it from the last turn exactly, on one line",
        ),
        (
            "t.jsonl",
            lines({"messages": TURNS, "reason": {"en": "short"}}),
            "SEEDS/t.jsonl:1: reason = \"{'en': 'short'}\" is a dict",
            'write reason: "one line of text", or leave it out',
        ),
        (
            "a.md",
            seed(front="author: [A, B]\n"),
            "SEEDS/a.md:1: author = \"['A', 'B']\" is a list",
            'write author: "one line of text", or leave it out',
        ),
    ],
)
def test_a_seed_that_cannot_be_used_is_refused_by_file_and_line(
    tmp_path: Path, name: str, content: str | bytes, what: str, do: str
) -> None:
    refused = refusal(tmp_path, {f"seeds/{name}": content})
    assert (refused[0], refused[2]) == (what, do)
    assert refused[1]


def test_a_facet_must_be_given_where_there_are_several(tmp_path: Path) -> None:
    two = {"values/tact.toml": rubric("tact"), "seeds/t.jsonl": lines({"messages": TURNS})}
    refused = refusal(tmp_path, two)
    expected = "SEEDS/t.jsonl:1: facet = None (none is given)", "rubrics and scores are per facet"
    assert refused == (*expected, "write one of candour, tact")


def test_an_id_that_is_used_twice_is_refused_with_both_places(tmp_path: Path) -> None:
    why, do = "every row names its seed by id", "rename the file or give each an id of its own; of .jsonl lines with "
    refused = refusal(tmp_path / "1", {"seeds/a.md": seed(), "seeds/b.md": seed(front="id: a\n")})
    assert refused == (
        "SEEDS/b.md:1: the seed id 'a' is that of SEEDS/a.md:1 already",
        why,
        f"{do}the same turns, drop one",
    )
    what, _, _ = refusal(tmp_path / "2", {"seeds/t.jsonl": lines({"messages": TURNS}, {"messages": TURNS})})
    assert what.startswith("SEEDS/t.jsonl:2: the seed id 's-")
    assert what.endswith("' is that of SEEDS/t.jsonl:1 already")


def test_a_recipe_without_seeds_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, {"seeds/notes.txt": "no seed"}) == (
        "SEEDS holds no seed (*.md or *.jsonl)",
        "every context descends from a hand-written exemplar",
        "write one as seeds/<name>.md: front matter, then `## user` and `## assistant` turns",
    )


def test_an_axis_may_be_called_place_or_answer(tmp_path: Path) -> None:
    axes = '[place.levels]\nhere = "x"\n[answer.levels]\nlong = "y"\n'
    front = "levels:\n  place: here\n  answer: long\n"
    rows = seeds_of(tmp_path, {"axes.toml": axes, "seeds/a.md": seed(front=front), "seeds/b.md": seed(words="b")})
    assert rows.select("id", "place", "answer").rows() == [("a", "here", "long"), ("b", None, None)]


def many(facet: str, count: int, front: str = "") -> dict[str, str | bytes | None]:
    return {f"seeds/{facet}{i}.md": seed(facet, words=f"{facet} {i}", front=front) for i in range(count)}


def test_a_seed_on_a_sealed_level_is_held_out(tmp_path: Path) -> None:
    sealed = RECIPE + '[heldout.levels]\ndomain = ["farm"]\n'
    files = {
        "recipe.toml": sealed,
        "seeds/a.md": seed(front="levels:\n  domain: farm\n"),
        "seeds/b.md": seed(words="b"),
    }
    assert seeds_of(tmp_path, files).select("id", "split").rows() == [("a", "heldout"), ("b", "train")]


@pytest.mark.parametrize(
    ("count", "share", "expected"), [(3, 0.1, 0), (4, 0.1, 1), (20, 0.1, 2), (20, 0.25, 5), (20, 1.0, 10), (20, 0.0, 0)]
)
def test_a_facet_with_four_seeds_or_more_gives_a_share_of_its_lineages_at_most_half(
    tmp_path: Path, count: int, share: float, expected: int
) -> None:
    files = {"recipe.toml": f"{RECIPE}[heldout]\nshare = {share}\n", **many("candour", count)}
    assert seeds_of(tmp_path, files)["split"].to_list().count("heldout") == expected


def test_seeds_on_sealed_levels_count_towards_the_share(tmp_path: Path) -> None:
    recipe = RECIPE + '[heldout.levels]\ndomain = ["farm"]\n'
    files = {"recipe.toml": recipe, "seeds/x.md": seed(front="levels:\n  domain: farm\n"), **many("candour", 8)}
    rows = seeds_of(tmp_path, files)
    assert rows.filter(pl.col("split") == "heldout")["id"].to_list() == ["x"]


def test_near_copies_are_one_lineage_and_never_on_both_sides(tmp_path: Path) -> None:
    # A planted leak: the sealed seed once more, its domain not given and a word changed, would reach training.
    words = (
        "the fence that the storm took down last week between our yard and the field of the people next door, who say "
        "that it was ours to keep and that they will not pay for any of the posts"
    )
    copies = {
        "sealed": seed(words=words, front="levels:\n  domain: farm\n"),
        "copied": seed(words=words.replace("week", "month")),
        "asked_alike": seed(words=words).replace("Mend", "Leave it be and talk first. Do not mend"),
        "other": seed(words="a quarrel over the plough"),
    }
    none = {"seeds/fence.md": None, "seeds/gate.md": None}
    files = {f"seeds/{name}.md": text for name, text in copies.items()}
    recipe = RECIPE + '[heldout.levels]\ndomain = ["farm"]\n'
    rows = read_seeds(load(small_recipe(tmp_path, {"recipe.toml": recipe, **files, **none})))
    assert dict(rows.select("id", "lineage").iter_rows()) == {
        "asked_alike": "asked_alike",
        "copied": "asked_alike",
        "other": "other",
        "sealed": "asked_alike",
    }
    assert rows.filter(pl.col("split") == "train")["id"].to_list() == ["other"]


def test_seeds_that_are_all_copies_of_one_leave_training_its_only_lineage(tmp_path: Path) -> None:
    files = {f"seeds/{name}.md": seed() for name in ("a", "b", "c", "d", "e")}
    rows = read_seeds(load(small_recipe(tmp_path, {**files, "seeds/fence.md": None, "seeds/gate.md": None})))
    assert set(rows["split"]) == {"train"}


def test_every_facet_of_the_shipped_recipe_has_lineages_on_both_sides() -> None:
    rows = read_seeds(load(RESPECT))
    sides = rows.group_by("facet").agg(pl.col("split").n_unique().alias("sides"))
    assert sides["sides"].to_list() == [2, 2, 2, 2]
    assert list(rows.schema)[: len(SEEDS)] == list(SEEDS)
    assert rows["because"].null_count() == 0


def test_the_rows_do_not_depend_on_the_order_in_which_files_were_written(tmp_path: Path) -> None:
    files = {**many("candour", 6), "seeds/t.jsonl": lines({"messages": TURNS}, {"messages": TURNS, "id": "a"})}
    forwards = seeds_of(tmp_path / "1", files)
    backwards = seeds_of(tmp_path / "2", dict(reversed(files.items())))
    assert forwards.equals(backwards)
    assert forwards["id"].is_sorted()


def test_a_seed_keeps_its_side_when_others_are_added_to_another_facet(tmp_path: Path) -> None:
    two = {"values/tact.toml": rubric("tact"), **many("candour", 8)}
    before = seeds_of(tmp_path / "1", two)
    after = seeds_of(tmp_path / "2", {**two, **many("tact", 5)})
    assert after.filter(pl.col("facet") == "candour").equals(before)


def test_a_file_is_read_as_text_or_refused_by_line(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(b"\xef\xbb\xbf[\r\n]")
    assert read_text(path) == "[\n]"
    path.write_bytes(b"[\n\xff]")
    with pytest.raises(RecipeError) as caught:
        read_text(path)
    assert caught.value.what == f"{path}:2 is not UTF-8: byte 0xff"
