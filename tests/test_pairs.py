"""Pairs: a hollow twin stands beside its exemplar only where nothing but the value tells the two apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from thousandfold.gen.ladders import NOT_REACHED
from thousandfold.gen.pairs import match_pairs, pair_facts, pair_lines
from thousandfold.gen.recipe import Recipe, load
from thousandfold.gen.tables import LADDERS, PAIRS, frame

from ._recipes import RECIPE, small_recipe
from ._runs import VOCABULARY

CHOSEN = (
    "Mend the fence first, because what is broken grows. Begin at the corner by the road, where two posts lean, and "
    "leave the rest of it until the ground is dry.\n\nAsk your neighbour for the long hammer; it takes an hour."
)
HOLLOW = (
    "There is much to be said about a fence, and each farm has its own way with it. Some like wood, others would "
    "rather have wire, and both have stood for many years.\n\nYou will surely find the one that suits you and yours."
)


@pytest.fixture
def small(tmp_path: Path) -> Recipe:
    return load(small_recipe(tmp_path / "small"))


def conversation(answer: str, *, asked: str = "What do I do about the fence?") -> list[dict[str, str]]:
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]


def ladder(*answers: str | None, chosen: str = CHOSEN, reason: str = "refused: not that") -> pl.DataFrame:
    """A LADDERS frame of one genuine and one hollow row for each hollow answer; None: there is none, and why."""
    rows = []
    for number, answer in enumerate(answers):
        of = {"context_id": f"c-{number}", "facet": "candour", "draft_id": f"d-{number}", "split": "train"}
        genuine = {"id": f"l-{number}-g", "kind": "genuine", "messages": conversation(chosen), "ask_id": None}
        turns = None if answer is None else conversation(answer)
        hollow = {"id": f"l-{number}-h", "kind": "hollow", "messages": turns, "ask_id": f"a-{number}"}
        rows += [{**of, **genuine, "reason": None}, {**of, **hollow, "reason": None if answer else reason}]
    return frame(rows, LADDERS)


def reason_of(recipe: Recipe, answer: str | None, **changes: Any) -> tuple[Any, ...]:
    pairs = match_pairs(ladder(answer, **changes), recipe)
    return pairs.select("reason", "measured", "limit").row(0)


def test_a_twin_of_the_same_length_and_form_makes_a_pair(small: Recipe) -> None:
    pairs = match_pairs(ladder(HOLLOW), small)
    assert dict(pairs.schema) == dict(PAIRS)
    assert pairs.to_dicts() == [
        {
            "id": "d-0", "facet": "candour", "kept": True, "reason": None, "detail": None, "measured": None,
            "limit": None, "rejected": HOLLOW, "chosen_words": 42, "rejected_words": 44, "ask_id": "a-0",
        }
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("rejected", "reason", "limit"),
    [
        ("There is much to be said about a fence, and each farm has its own way with it.", "length", 1.25),
        (f"{HOLLOW} {HOLLOW.replace('fence', 'gate')}", "length", 1.25),
        (HOLLOW.replace("Some like", "- Some like").replace("with it. ", "with it.\n"), "markup", 0),
        ("# Fences\n\n" + HOLLOW, "markup", 0),
        (HOLLOW.replace("many", "**many**"), "markup", 0),
        (HOLLOW.replace(". ", ".\n\n").replace(", ", ",\n\n"), "paragraphs", 2),
        (CHOSEN.replace("hammer", "saw"), "copy", 0.3),
        (HOLLOW[:-20], "cut_off", 0),
        (HOLLOW.replace("Some like wood", "As an AI language model I like wood"), "leaked_instruction", 0),
        (HOLLOW + " Take ghp_" + "aB3dE6gH9jK2" * 3 + ".", "secret", None),
    ],
)
def test_a_twin_that_something_else_tells_apart_is_left_out(
    small: Recipe, rejected: str, reason: str, limit: float | None
) -> None:
    found = reason_of(small, rejected)
    assert found[0] == reason
    if limit is not None:
        assert found[2] == limit
        assert found[1] > limit or reason == "copy"


def test_the_length_ratio_is_the_recipes(tmp_path: Path) -> None:
    short = HOLLOW.replace("Some like wood, others would rather have wire, and both have stood for many years.", "")
    loose = load(small_recipe(tmp_path / "loose", {"recipe.toml": RECIPE + "[twins]\nlength_ratio = 2\n"}))
    tight = load(small_recipe(tmp_path / "tight"))
    assert (reason_of(loose, short)[0], reason_of(tight, short)[0]) == (None, "length")
    assert reason_of(tight, short)[1] == pytest.approx(42 / 29)


def test_markup_on_both_sides_tells_nothing(small: Recipe) -> None:
    listed = "Mend it so:\n\n- the corner first, because what is broken grows\n- the rest when the ground is dry"
    other = "There are ways:\n\n- some like wood, as it has always been done here\n- others would rather have wire"
    found = reason_of(small, other, chosen=listed)
    assert found == (None, None, None)


def test_what_never_came_is_counted_with_its_reason(small: Recipe) -> None:
    assert match_pairs(ladder(None), small).select("kept", "reason", "detail", "rejected").row(0) == (
        False, "no_answer", "refused: not that", None,
    )  # fmt: skip
    assert reason_of(small, None, reason=NOT_REACHED)[0] == "not_asked"


def test_the_same_hollow_answer_twice_makes_one_pair(small: Recipe) -> None:
    pairs = match_pairs(ladder(HOLLOW, HOLLOW.replace("surely", "certainly")), small)
    assert sorted(pairs["reason"].to_list(), key=str) == [None, "near_duplicate"]
    left_out = pairs.filter(~pl.col("kept")).row(0, named=True)
    assert left_out["measured"] > left_out["limit"] == 0.7


def test_no_more_hollow_answers_begin_alike_than_the_selection_allows(tmp_path: Path) -> None:
    words = VOCABULARY[:16]
    own = "[selection]\nopening_cap = 0.1\nclosing_cap = 1.0\n"
    recipe = load(small_recipe(tmp_path / "small", {"recipe.toml": RECIPE + own}))
    answers = []
    for number in range(40):
        said = [words[(number * 7 + k * (1 + number % 5)) % 16] + str(number) for k in range(24)]
        begins = "There is much to like" if number < 30 else f"The {said[0]} is {said[1]}"
        answers.append(f"{begins} {' '.join(said[2:13])}.\n\nOf {' '.join(said[13:])} more could be said by anyone.")
    pairs = match_pairs(ladder(*answers, chosen=" ".join(CHOSEN.split()[:30]).replace("dry", "dry.\n\n")), recipe)
    assert pairs["reason"].to_list().count("opening") == 10  # twenty of a family are always allowed
    assert pairs.filter(pl.col("reason") == "opening")["id"].to_list() == [f"d-{number}" for number in range(20, 30)]


def read_as_trl_documents_it(path: Path) -> list[dict[str, Any]]:
    """A reader of its own, after TRL's page on data sets: a conversational preference set with an explicit prompt."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        assert set(row) == {"id", "prompt", "chosen", "rejected"}
        for part in ("prompt", "chosen", "rejected"):
            assert row[part]
            assert isinstance(row[part], list)
            for message in row[part]:
                assert set(message) == {"role", "content"}
                assert isinstance(message["content"], str)
                assert message["content"].strip()
        roles = [message["role"] for message in row["prompt"]]
        assert [role for role in roles if role != "system"] == ["user", "assistant"] * (len(roles) // 2) + ["user"]
        assert [m["role"] for m in row["chosen"]] == [m["role"] for m in row["rejected"]] == ["assistant"]
        assert row["chosen"] != row["rejected"]
        assert row["chosen"][0] not in row["prompt"]  # TRL would train on the prompt twice, and say nothing
    return rows


def test_a_line_is_trls_preference_with_its_prompt_apart(small: Recipe, tmp_path: Path) -> None:
    before = [*conversation("Well.", asked="Good morning."), {"role": "user", "content": "And the “fence”?\u2028"}]
    turns = [*before, {"role": "assistant", "content": CHOSEN}]
    drafts = pl.DataFrame({"id": ["d-1", "d-0"], "messages": [conversation("unused"), turns]})
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(pair_lines(match_pairs(ladder(HOLLOW, "Cut off in the"), small), drafts))
    (row,) = [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]
    assert row == {
        "id": "d-0",
        "prompt": before,
        "chosen": [{"role": "assistant", "content": CHOSEN}],
        "rejected": [{"role": "assistant", "content": HOLLOW}],
    }


def test_the_facts_compare_the_two_sides(small: Recipe) -> None:
    pairs = match_pairs(ladder(HOLLOW, None, HOLLOW[:-20]), small)
    drafts = pl.DataFrame({"id": [f"d-{k}" for k in range(3)], "messages": [conversation(CHOSEN)] * 3})
    facts = pair_facts(pairs, drafts, small)
    assert facts["asked_for"] == facts["kept"] + sum(facts["left_out"].values()) == 3
    assert facts["left_out"] == {"no_answer": 1, "cut_off": 1}
    assert facts["median_length_ratio"] == round(44 / 42, 4)
    assert facts["forms"]["chosen"] == facts["forms"]["rejected"] == {
        "lists": 0.0, "headings": 0.0, "bold": 0.0, "paragraphs": 2.0,
    }  # fmt: skip
    assert facts["tics"]["rejected"]["openings"]["top_share"] == 1.0
