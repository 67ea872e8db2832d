"""Verdicts: nothing vanishes, nothing depends on order, closed rounds stand, and what is sealed does not leak."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from typing import Any

import polars as pl
import pytest

from thousandfold.filters.leaks import LEAK_CONTAINMENT
from thousandfold.gen.asking import Asker
from thousandfold.gen.budget import Budget
from thousandfold.gen.contexts import plan_contexts
from thousandfold.gen.drafts import Novelty, write_drafts
from thousandfold.gen.ledger import Ledger
from thousandfold.gen.recipe import Recipe, load
from thousandfold.gen.seeds import read_seeds
from thousandfold.gen.tables import DRAFTS, VERDICTS, said_by
from thousandfold.gen.teachers.base import Ask, Outcome
from thousandfold.gen.teachers.rehearsal import RehearsalTeacher, truth
from thousandfold.gen.teachers.rehearsal.flaws import Kind
from thousandfold.gen.verdicts import FILTERS, Closed, Sources, give_verdicts, kept_ids

from ._recipes import RESPECT

WORDS = """
    amber barley candle dairy ember fathom gravel harbour inkwell juniper kettle lantern meadow nettle orchard
    parcel quarry ribbon saddle timber urchin velvet willow yonder zephyr anchor bramble cobble drizzle easel
"""


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return load(RESPECT)


ALWAYS = [name for name in FILTERS if name not in ("contamination", "meaning")]  # those need to be asked for


def prose(topic: str, length: int = 40) -> str:
    """A sentence of its own for every topic, always the same."""
    drawn = random.Random(topic)
    return f"{topic.capitalize()} " + " ".join(drawn.choice(WORDS.split()) for _ in range(length)) + "."


def draft(
    name: str, *, split: str = "train", ask: str | None = None, answer: str | None = None, **more: Any
) -> dict[str, Any]:
    """A draft that every filter keeps, but for what is given."""
    answer = prose(f"{name} answers") if answer is None else answer
    turns = [("user", prose(f"{name} asks") if ask is None else ask), ("assistant", answer)]
    row = {
        **dict.fromkeys(DRAFTS),
        "id": name,
        "messages": [{"role": role, "content": content} for role, content in turns],
        "because": answer.split(".")[0],
        "finish_reason": "stop",
        "seed_id": "seed" if split == "train" else "sealed seed",
        "split": split,
    }
    return row | more


def frame_of(rows: Iterable[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema={**DRAFTS, "seed_id": pl.String, "split": pl.String}, orient="row")


def judged(
    rows: pl.DataFrame, recipe: Recipe, closed: Closed | None = None, *, seed: str = "", prompt: str = ""
) -> pl.DataFrame:
    prompts = dict.fromkeys(rows["id"], prompt)
    verdicts = give_verdicts(
        rows, Sources({"seed": seed, "sealed seed": seed}, prompts), recipe, closed or Closed(recipe)
    )[0]
    check_conservation(rows, verdicts)
    return verdicts


def check_conservation(rows: pl.DataFrame, verdicts: pl.DataFrame) -> None:
    """Every draft is kept by all filters, or dropped by one, which is the last that saw it, with what it measured."""
    assert dict(verdicts.schema) == dict(VERDICTS)
    kept, gone = set(kept_ids(verdicts)), dropped(verdicts)
    assert len(kept) + len(gone) == rows.height
    assert kept | set(gone) == set(rows["id"])
    for draft_id in rows["id"]:
        own = verdicts.filter(pl.col("id") == draft_id)
        seen_by = ALWAYS if draft_id in kept else ALWAYS[: ALWAYS.index(gone[draft_id][0]) + 1]
        assert own["filter"].to_list() == list(seen_by)
        last = own.row(-1, named=True)
        assert (None in (last["reason"], last["measured"], last["limit"])) is (draft_id in kept)


def dropped(verdicts: pl.DataFrame) -> dict[str, tuple[str, str, str | None]]:
    """id -> (filter, reason, twin) of those that were dropped."""
    rows = verdicts.filter(~pl.col("kept")).select("id", "filter", "reason", "twin").rows()
    assert len({row[0] for row in rows}) == len(rows), "a row was dropped twice"
    return {row[0]: row[1:] for row in rows}


class Recording(RehearsalTeacher):
    """Rehearsal, often flawed, that remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(near_copy=0.2, cut_off=0.2, hollow=0.1)
        self.asked: dict[str, Ask] = {}

    def _outcome(self, ask: Ask) -> Outcome:
        self.asked[ask.id] = ask
        return super()._outcome(ask)


@pytest.fixture(scope="module")
def rehearsed(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> tuple[pl.DataFrame, dict[str, Kind]]:
    """Eighty drafts of a teacher that is often flawed, with the columns of their contexts; id -> planted flaw."""
    teacher = Recording()
    seeds = read_seeds(recipe)
    contexts = plan_contexts(recipe, seeds, train=70, heldout=10).with_columns(draw=pl.lit(0, pl.UInt8))
    with Ledger(tmp_path_factory.mktemp("rehearsed") / "ledger.sqlite") as ledger:
        budget = Budget(recipe.settings.budget, {}, ledger.spent())
        asker = Asker(ledger=ledger, teachers={teacher.model: teacher}, budget=budget)
        room = write_drafts(contexts, seeds, recipe, asker, Novelty(), teacher=teacher.model, round_number=1)
        drafts = asyncio.run(room)
    asks = drafts.select("id", "ask_id").iter_rows()
    # A reply that could not be read was asked for again: the last of those asks wrote the draft.
    last = {ask.follows or ask.id: ask for ask in teacher.asked.values()}
    kinds = {draft_id: truth(last[ask_id], dials=teacher.dials).kind for draft_id, ask_id in asks}
    named = contexts.drop("draw").rename({"id": "context_id"})
    return drafts.join(named, on="context_id", maintain_order="left"), kinds


def given(rows: pl.DataFrame, recipe: Recipe) -> tuple[pl.DataFrame, pl.DataFrame]:
    seeds, prompts = dict.fromkeys(rows["seed_id"], ""), dict.fromkeys(rows["id"], "")
    return give_verdicts(rows, Sources(seeds, prompts), recipe, Closed(recipe))


def test_no_row_of_a_flawed_teacher_vanishes_and_the_input_is_not_changed(
    recipe: Recipe, rehearsed: tuple[pl.DataFrame, dict[str, Kind]]
) -> None:
    rows, _ = rehearsed
    before = rows.clone()
    verdicts, scores = given(rows, recipe)
    check_conservation(rows, verdicts)
    assert rows.equals(before)
    assert rows.height == 80
    assert len(dropped(verdicts)) > 5
    assert scores["id"].to_list() == rows["id"].to_list()


def test_planted_cut_offs_and_copies_are_dropped_and_the_rest_is_kept(
    recipe: Recipe, rehearsed: tuple[pl.DataFrame, dict[str, Kind]]
) -> None:
    rows, kinds = rehearsed
    gone = dropped(given(rows, recipe)[0])
    cut = {draft_id for draft_id, kind in kinds.items() if kind == "cut_off"}
    assert len(cut) >= 8
    assert {gone[draft_id][1] for draft_id in cut} <= {"cut_off", "unreadable"}
    assert {kinds[draft_id] for draft_id in gone} <= {"cut_off", "near_copy"}


def test_the_order_of_the_rows_decides_nothing(recipe: Recipe, rehearsed: tuple[pl.DataFrame, dict[str, Kind]]) -> None:
    rows, _ = rehearsed
    first = given(rows, recipe)[0].sort("id", "filter")
    for seed in (1, 2):
        assert given(rows.sample(fraction=1, shuffle=True, seed=seed), recipe)[0].sort("id", "filter").equals(first)


def test_a_copy_is_dropped_with_the_name_of_its_twin(recipe: Recipe) -> None:
    answer = prose("the well", 100)
    nearly = answer.replace("The well", "A well")
    verdicts = judged(
        frame_of([draft("a", answer=answer), draft("b", answer=answer), draft("c", answer=nearly)]), recipe
    )
    [keeper] = kept_ids(verdicts)
    reasons = {draft_id: (reason, twin) for draft_id, (_, reason, twin) in dropped(verdicts).items()}
    assert len(reasons) == 2
    assert {twin for _, twin in reasons.values()} == {keeper}
    assert sorted(reason for reason, _ in reasons.values()) == (
        ["duplicate", "near_duplicate"] if keeper != "c" else ["near_duplicate", "near_duplicate"]
    )
    row = verdicts.filter(pl.col("reason") == "near_duplicate").row(0, named=True)
    assert row["limit"] == 0.7
    assert 0.7 <= row["measured"] < 1


def test_prompts_that_share_their_scaffold_are_no_copies(recipe: Recipe) -> None:
    rows = [draft(name, ask=f"{prose('the same frame')} {prose(name, 12)}") for name in ("a", "b", "c")]
    assert dropped(judged(frame_of(rows), recipe)) == {}


def test_a_question_asked_twice_is_dropped_though_its_answer_is_another(recipe: Recipe) -> None:
    rows = [draft(name, ask=prose("the same question")) for name in ("a", "b")]
    [(name, reason, twin)] = dropped(judged(frame_of(rows), recipe)).values()
    assert (name, reason) == ("prompts", "prompt_duplicate")
    assert twin in ("a", "b")


def test_an_answer_with_its_names_and_numbers_exchanged_is_dropped_with_its_twin(recipe: Recipe) -> None:
    words = f"She met Anna Lindqvist at 10 o'clock in Oslo. {prose('the mill', 60)}"
    other = words.replace("Anna Lindqvist", "Peter Okafor").replace("10", "4").replace("Oslo", "Cairo")
    rows = [draft("one", answer=words * 1), draft("two", answer=other)]
    [(name, reason, _)] = dropped(judged(frame_of(rows), recipe)).values()
    assert (name, reason) in {("slots", "slot_swap"), ("duplicates", "near_duplicate")}


def test_what_holds_a_key_or_somebodys_number_is_dropped_and_not_shown(recipe: Recipe) -> None:
    key = "AKIA" + "Q7R2M5T8W3Z6Y4X9"
    rows = [draft("one", answer=f"{prose('the mill')} The key is {key} and it works."), draft("two")]
    verdicts = judged(frame_of(rows), recipe)
    assert dropped(verdicts) == {"one": ("secrets", "secret", None)}
    assert key not in str(verdicts.rows())


def test_of_two_copies_the_better_formed_stays_whatever_the_order(recipe: Recipe) -> None:
    words = prose("the mill", 100)
    poor = draft("a", answer=words)  # one sentence of a hundred words
    better = draft("b", answer=words.replace(" willow ", " willow. ").replace(" kettle ", " kettle. "), because="")
    better["because"] = better["messages"][-1]["content"].split(".")[0]
    for rows in ([poor, better], [better, poor]):
        assert kept_ids(judged(frame_of(rows), recipe)) == ["b"]


def test_the_verdicts_of_closed_rounds_stand(recipe: Recipe) -> None:
    words = prose("the mill", 100)
    better = words.replace(" willow ", " willow. ").replace(" kettle ", " kettle. ")
    closed = Closed(recipe)
    first = frame_of([draft("old", answer=words)])
    assert kept_ids(judged(first, recipe, closed)) == ["old"]
    closed.add(first)
    again = frame_of([draft("new", answer=better, because=better.split(".")[0]), draft("other")])
    verdicts = judged(again, recipe, closed)
    assert dropped(verdicts) == {"new": ("duplicates", "duplicate", "old")}
    assert set(verdicts["id"]) == {"new", "other"}, "closed rounds are not judged again"


def test_what_was_dropped_is_no_twin_for_what_comes_later(recipe: Recipe) -> None:
    answer = prose("the barn", 60)
    cut = draft("cut", answer=answer, finish_reason="length")
    assert dropped(judged(frame_of([cut, draft("whole", answer=answer)]), recipe)) == {"cut": ("form", "cut_off", None)}


def test_of_a_copy_across_the_split_the_sealed_one_stays_even_if_it_is_worse_formed(recipe: Recipe) -> None:
    words = prose("the mill", 100)
    better = words.replace(" willow ", " willow. ").replace(" kettle ", " kettle. ")
    rows = [draft("train", answer=better, because=better.split(".")[0]), draft("sealed", answer=words, split="heldout")]
    for order in (rows, rows[::-1]):
        assert dropped(judged(frame_of(order), recipe)) == {"train": ("duplicates", "duplicate", "sealed")}


def test_a_training_prompt_that_repeats_a_sealed_one_is_refused_with_its_twin(recipe: Recipe) -> None:
    sealed = draft("sealed", split="heldout", ask=f"{prose('the ferry')} What do I do?")
    leak = draft("leak", ask=f"Hello! {prose('the ferry')} And then?")
    verdicts = judged(frame_of([leak, draft("fine"), sealed]), recipe)
    assert dropped(verdicts) == {"leak": ("leaks", "held_out_leak", "sealed")}
    row = verdicts.filter(pl.col("reason") == "held_out_leak").row(0, named=True)
    assert row["limit"] == LEAK_CONTAINMENT <= row["measured"] <= 1


def test_the_answer_of_a_sealed_seed_is_refused_under_another_question_too(recipe: Recipe) -> None:
    turns = [{"role": "user", "content": prose("the ferry")}, {"role": "assistant", "content": prose("the mill", 100)}]
    seeds = pl.DataFrame({"id": ["s"], "lineage": ["s"], "split": ["heldout"], "messages": [turns]})
    nearly = prose("the mill", 100).replace(" willow ", " poplar ", 1)
    rows = [draft("copy", answer=prose("the mill", 100)), draft("near", answer=nearly), draft("fine")]
    found = dropped(judged(frame_of(rows), recipe, Closed(recipe, seeds)))
    assert {row: (said[0], said[2]) for row, said in found.items()} == dict.fromkeys(
        ("copy", "near"), ("duplicates", "s")
    )


@pytest.mark.parametrize(("first", "second"), [("heldout", "train"), ("train", "heldout")])
def test_a_leak_is_seen_across_rounds_in_both_directions(recipe: Recipe, first: str, second: str) -> None:
    question = prose("the ferry")
    closed = Closed(recipe)
    closed.add(frame_of([draft("old", split=first, ask=question)]))
    new = frame_of([draft("new", split=second, ask=question), draft("other", split=second)])
    assert dropped(judged(new, recipe, closed)) == {"new": ("leaks", "held_out_leak", "old")}


def test_a_sealed_prompt_that_was_dropped_itself_drops_nothing(recipe: Recipe) -> None:
    question = prose("the ferry")
    closed = Closed(recipe)
    closed.add(frame_of([draft("old", ask=question)]))
    new = frame_of([draft("sealed", split="heldout", ask=question), draft("train", ask=question)])
    assert dropped(judged(new, recipe, closed)) == {
        "sealed": ("leaks", "held_out_leak", "old"),
        "train": ("prompts", "prompt_duplicate", "old"),  # and no leak
    }


def test_of_two_sealed_twins_the_one_named_does_not_depend_on_order(recipe: Recipe) -> None:
    question = prose("the ferry")
    rows = [draft(name, split="heldout", ask=question) for name in ("s1", "s2")] + [draft("leak", ask=question)]
    for order in (rows, rows[::-1]):
        assert dropped(judged(frame_of(order), recipe))["leak"] == ("leaks", "held_out_leak", "s1")


BECAUSE = "because the bridge was built for carts and not for the weight of a loaded lorry in the wet"
PROMPT = "You write one exemplary conversation between a person and an assistant."


@pytest.mark.parametrize(
    ("reason", "changes"),
    [
        ("unreadable", {"messages": None, "because": None}),
        ("wrong_roles", {"messages": [{"role": "assistant", "content": prose("alone")}]}),
        ("empty", {"ask": "  "}),
        ("broken", {"answer": f"Dear [YOUR NAME], {prose('the letter')}"}),
        ("cut_off", {"answer": prose("the letter").rstrip(".")}),
        ("cut_off", {"finish_reason": "length"}),
        ("no_reason", {"because": "something else entirely"}),
        ("echo_seed", {"answer": f"No, {BECAUSE}."}),
        ("echo_prompt", {"answer": f"As it says: {PROMPT}", "because": "As it says"}),
    ],
)
def test_form_says_what_is_wrong(recipe: Recipe, reason: str, changes: dict[str, Any]) -> None:
    rows = frame_of([draft("x", **changes), draft("y")])
    verdicts = judged(rows, recipe, seed=f"They may not cross {BECAUSE}.", prompt=PROMPT)
    assert dropped(verdicts) == {"x": ("form", reason, None)}


def test_the_echo_limit_is_the_recipes_own(recipe: Recipe) -> None:
    row = draft("x", answer=f"{prose('a long way round')} {BECAUSE}.", because=BECAUSE)
    seed = f"They may not cross {BECAUSE}."
    strict = load(RESPECT, {"filters.max_echo_share": 0.1})
    assert dropped(judged(frame_of([row]), recipe, seed=seed)) == {}
    assert dropped(judged(frame_of([row]), strict, seed=seed)) == {"x": ("form", "echo_seed", None)}


def test_a_round_in_which_nothing_survives_is_no_trouble(recipe: Recipe) -> None:
    rows = frame_of([draft("x", messages=None, because=None)])
    verdicts = judged(rows, recipe)
    assert kept_ids(verdicts) == []
    assert verdicts.height == 1
    assert judged(rows.clear(), recipe).height == 0


def test_what_a_role_said_is_joined_by_newlines() -> None:
    turns = [{"role": role, "content": content} for role, content in [("user", "a"), ("assistant", "b"), ("user", "c")]]
    rows = frame_of([draft("x", messages=turns), draft("y")])
    assert said_by(rows, "user").to_list()[0] == "a\nc"
    assert said_by(rows, "assistant").to_list()[0] == "b"
    assert said_by(rows, "system").to_list() == ["", ""]
