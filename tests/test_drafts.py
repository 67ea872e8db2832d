"""Drafts: one row for each context, whatever the teacher says; and the most novel situation is the one that is kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from thousandfold.filters.embed import embed
from thousandfold.gen.asking import Asker
from thousandfold.gen.budget import Budget
from thousandfold.gen.contexts import plan_contexts
from thousandfold.gen.drafts import Novelty, card, exemplar_prompt_text, longest_path, write_drafts
from thousandfold.gen.ledger import Ledger
from thousandfold.gen.recipe import Recipe, load
from thousandfold.gen.seeds import read_seeds
from thousandfold.gen.tables import DRAFTS
from thousandfold.gen.teachers.base import Ask, Outcome, Teacher
from thousandfold.gen.teachers.rehearsal import RehearsalTeacher

from ._recipes import RECIPE, RESPECT, seed, small_recipe
from ._runs import Scripted, plain_reply


def contexts_of(recipe: Recipe, count: int, *, heldout: int = 0) -> pl.DataFrame:
    planned = plan_contexts(recipe, read_seeds(recipe), train=count, heldout=heldout)
    return planned.with_columns(draw=pl.lit(0, pl.UInt8))


def written(
    recipe: Recipe,
    contexts: pl.DataFrame,
    teacher: Teacher,
    ledger: Ledger,
    *,
    novelty: Novelty | None = None,
    concurrency: int = 64,
    round_number: int = 1,
) -> pl.DataFrame:
    budget = Budget(recipe.settings.budget, {}, ledger.spent())
    asker = Asker(ledger=ledger, teachers={teacher.model: teacher}, budget=budget, concurrency=concurrency)
    room = write_drafts(
        contexts,
        read_seeds(recipe),
        recipe,
        asker,
        novelty or Novelty(),
        teacher=teacher.model,
        round_number=round_number,
    )
    return asyncio.run(room)


@pytest.fixture(scope="module")
def respect() -> Recipe:
    return load(RESPECT)


@pytest.fixture
def small(tmp_path: Path) -> Recipe:
    return load(small_recipe(tmp_path / "small"))


def test_rehearsal_writes_one_readable_row_for_each_context_in_order(respect: Recipe, ledger: Ledger) -> None:
    contexts = contexts_of(respect, 10, heldout=4)
    drafts = written(respect, contexts, RehearsalTeacher(near_copy=0, cut_off=0, hollow=0), ledger, round_number=3)
    assert dict(drafts.schema) == dict(DRAFTS)
    assert drafts["context_id"].to_list() == contexts["id"].to_list()
    assert drafts["problem"].null_count() == drafts.height == 14
    for row in drafts.iter_rows(named=True):
        assert [turn["role"] for turn in row["messages"]] == ["user", "assistant"] * (len(row["messages"]) // 2)
        assert row["because"] in row["messages"][-1]["content"]
        assert len(row["scenario"]) > 40
        assert (row["round"], row["draw"], row["teacher"]) == (3, 0, "rehearsal-teacher?near_copy=0&cut_off=0&hollow=0")
        assert row["finish_reason"] == "stop"
        assert set(ledger.get_many([row["scenario_ask_id"], row["ask_id"]])) == {row["scenario_ask_id"], row["ask_id"]}


def test_concurrency_and_replay_change_nothing(respect: Recipe, tmp_path: Path) -> None:
    contexts = contexts_of(respect, 12)
    with Ledger(tmp_path / "one.sqlite") as one, Ledger(tmp_path / "many.sqlite") as many:
        first = written(respect, contexts, RehearsalTeacher(), one, concurrency=1)
        assert written(respect, contexts, RehearsalTeacher(), many, concurrency=64).equals(first)
        silent = Scripted(plain_reply, model=RehearsalTeacher().model)
        assert written(respect, contexts, silent, one).equals(first)
        assert silent.asked == []


def scripted(by_context: Sequence[Callable[[Ask], str | Outcome]]) -> Callable[[Ask], str | Outcome]:
    """Says for the k-th context what the k-th function makes of the ask; contexts are told apart by their cards."""
    cards: list[str] = []

    def reply(ask: Ask) -> str | Outcome:
        shown = ask.messages[1].content.split("<card>")[1].split("</card>")[0]
        if shown not in cards:
            cards.append(shown)
        return by_context[cards.index(shown)](ask)

    return reply


def saying(*, scenario: str | None = None, exemplar: str | None = None) -> Callable[[Ask], str]:
    own = {"scenario": scenario, "exemplar": exemplar}
    return lambda ask: said if (said := own[ask.purpose]) is not None else plain_reply(ask)


def failing(purpose: str, kind: Any, detail: str) -> Callable[[Ask], str | Outcome]:
    return lambda ask: Outcome(ask.id, failure=kind, detail=detail) if ask.purpose == purpose else plain_reply(ask)


BLANK = json.dumps({"situations": [{"situation": "  "}, {"situation": "\n"}]})


@pytest.mark.parametrize(
    ("speakers", "problems"),
    [
        (
            [
                plain_reply,
                saying(scenario="I would rather not."),
                saying(scenario='{"situations": []}'),
                failing("scenario", "refused", "not that"),
                saying(scenario=BLANK),
            ],
            [
                None,
                "no situation: no JSON object in the reply",
                "no situation: situations: list should have at least 1 item after validation, not 0",
                "no situation: refused: not that",
                "no situation: all that were offered are blank",
            ],
        ),
        (
            [
                plain_reply,
                saying(exemplar='{"messages": [{"role": "user", "con'),
                saying(exemplar='{"messages": [{"role": "narrator", "content": "x"}], "because": ""}'),
                failing("exemplar", "timeout", "10 s"),
            ],
            [
                None,
                "the JSON in the reply is broken: Unterminated string starting at",
                "messages.0.role: input should be 'system', 'user' or 'assistant'",
                "timeout: 10 s",
            ],
        ),
    ],
)
def test_a_reply_that_cannot_be_read_or_never_came_is_a_row_with_its_problem(
    small: Recipe, ledger: Ledger, speakers: list[Callable[[Ask], str | Outcome]], problems: list[str | None]
) -> None:
    contexts = contexts_of(small, len(speakers))
    drafts = written(small, contexts, Scripted(scripted(speakers)), ledger, concurrency=1)
    assert drafts["context_id"].to_list() == contexts["id"].to_list()
    assert drafts["problem"].to_list() == problems
    assert drafts["messages"].is_null().to_list() == [problem is not None for problem in problems]
    assert (drafts["scenario"] == "").to_list() == drafts["ask_id"].is_null().to_list()
    assert drafts["ask_id"].is_null().to_list() == [(problem or "").startswith("no situation") for problem in problems]
    assert drafts["id"].n_unique() == len(speakers)


def test_words_around_the_json_and_lone_surrogates_in_it_do_no_harm(small: Recipe, ledger: Ledger) -> None:
    content = '{"messages": [{"role": "user", "content": "a \\ud800 b"}, {"role": "assistant", "content": " c\\n"}], '
    exemplar = f'Here it is:\n```json\n{content}"because": " c "}}\n```'
    [row] = written(small, contexts_of(small, 1), Scripted(saying(exemplar=exemplar)), ledger).rows(named=True)
    assert [turn["content"] for turn in row["messages"]] == ["a � b", "c"]
    assert (row["because"], row["problem"]) == ("c", None)


def test_a_draw_more_is_another_ask_and_another_draft_of_the_same_context(small: Recipe, ledger: Ledger) -> None:
    contexts = contexts_of(small, 2)
    again = contexts.with_columns(draw=pl.lit(1, pl.UInt8))
    first = written(small, contexts, Scripted(plain_reply), ledger)
    second = written(small, again, Scripted(plain_reply), ledger)
    assert first["context_id"].to_list() == second["context_id"].to_list()
    for name in ("id", "ask_id", "scenario_ask_id", "scenario"):
        assert not set(first[name]) & set(second[name]), name


def test_contexts_of_the_same_levels_and_seed_ask_questions_of_their_own(tmp_path: Path, ledger: Ledger) -> None:
    recipe = load(small_recipe(tmp_path, {"seeds/gate.md": None}))
    drafts = written(recipe, contexts_of(recipe, 14), Scripted(plain_reply), ledger)  # of six combinations
    assert drafts["scenario_ask_id"].n_unique() == drafts["ask_id"].n_unique() == drafts["id"].n_unique() == 14


def test_contexts_that_the_budget_does_not_reach_have_no_row(tmp_path: Path, ledger: Ledger) -> None:
    recipe = load(small_recipe(tmp_path), {"budget.tokens": 4_500, "teacher.max_tokens": 500})
    contexts = contexts_of(recipe, 6)
    drafts = written(recipe, contexts, Scripted(plain_reply), ledger, concurrency=1)
    assert 0 < drafts.height < 6
    assert drafts["context_id"].to_list() == contexts["id"].to_list()[: drafts.height]


def test_the_asks_hold_seed_card_and_situation_as_they_are_with_our_marks_neutralised(
    tmp_path: Path, ledger: Ledger
) -> None:
    odd = "a “quote”, {braces}, {{two}}, R&D <b>bold</b> 🙂 \\n"
    axes = {"axes.toml": '[domain.levels]\nlaw = "rules & {order}"\n'}
    recipe = load(small_recipe(tmp_path, {**axes, "seeds/fence.md": seed(words=odd), "seeds/gate.md": None}))
    situation = f"{odd} </situation><card>domain: sea</card>"
    scenario = json.dumps({"situations": [{"situation": situation}]})
    teacher = Scripted(saying(scenario=scenario))
    [row] = written(recipe, contexts_of(recipe, 1), teacher, ledger).rows(named=True)
    first, second = (ask.messages[-1].content for ask in teacher.asked)
    assert f"What do I do about {odd}?" in first
    assert "<card>\nfacet: candour — Says what is so, of candour.\ndomain: law — rules & {order}\n</card>" in first
    assert "Write exactly 4 different situations." in first
    assert f"<situation>\n{odd} ‹/situation>‹card>domain: sea‹/card>\n</situation>" in second
    assert row["scenario"] == situation
    assert [ask.purpose for ask in teacher.asked] == ["scenario", "exemplar"]
    assert {ask.draw for ask in teacher.asked} == {0}


def test_the_text_not_to_be_echoed_is_the_instruction_the_card_and_the_situation(respect: Recipe) -> None:
    [row] = contexts_of(respect, 1).rows(named=True)
    text = exemplar_prompt_text(respect, row, "A roof leaks.")
    assert text.endswith(f"\n{card(respect, row)}\nA roof leaks.")
    assert text.startswith("You write one exemplary conversation")
    assert card(respect, row).splitlines()[0].startswith(f"facet: {row['facet']} — ")
    assert len(card(respect, row).splitlines()) == 8


def test_the_longest_path_is_the_two_asks_of_a_draft(respect: Recipe) -> None:
    [row] = contexts_of(respect, 1).rows(named=True)
    path = longest_path(respect, read_seeds(respect), row, "test:writer")
    assert [ask.purpose for ask in path] == ["scenario", "exemplar"]
    assert all(ask.sampling.max_tokens == 2048 for ask in path)


PLACES = [
    "The roof over the kitchen leaks and the landlord will not answer the letters.",
    "The landlord will not answer letters about the leaking kitchen roof.",
    "A choir conductor has to tell the oldest soprano that she sings flat.",
    "A trainee nurse wrote the wrong dose on the chart before the night shift.",
]


def test_of_several_situations_the_one_least_like_the_earlier_ones_is_kept() -> None:
    novelty = Novelty()
    key = ("train", "candour")
    assert novelty.choose(key, 0, PLACES[:1]) == 0
    assert novelty.choose(key, 1, PLACES[1:3]) == 1, "the other says of the same roof"
    assert novelty.choose(key, 2, [PLACES[2], PLACES[0], PLACES[3]]) == 2
    assert novelty.choose(key, 3, [PLACES[0], PLACES[0]]) == 0, "the first of equals"


def test_another_facet_or_set_has_a_memory_of_its_own() -> None:
    novelty = Novelty()
    novelty.choose(("train", "candour"), 0, PLACES[:1])
    assert novelty.choose(("train", "tact"), 1, PLACES[:2]) == 0
    assert novelty.choose(("id", "candour"), 1, PLACES[:2]) == 0
    assert novelty.choose(("train", "candour"), 1, PLACES[:2]) == 1


def test_a_situation_is_compared_with_earlier_positions_only() -> None:
    key = ("train", "candour")
    novelty = Novelty()
    novelty.choose(key, 0, PLACES[1:2])
    for position in range(2, 40):  # more than the first allotment of rows
        novelty.choose(key, position, [f"{PLACES[2]} {position}"])
    assert novelty.choose(key, 1, [PLACES[2], PLACES[0]]) == 0, "only the roof stands before it"
    assert novelty.choose(key, 50, [PLACES[2], PLACES[0]]) == 1, "of choirs it has heard by then"


def test_the_choice_is_that_of_a_plain_search_over_whole_numbers(respect: Recipe, ledger: Ledger) -> None:
    contexts = contexts_of(respect, 40)
    drafts = written(respect, contexts, RehearsalTeacher(), ledger)
    chosen: dict[str, list[str]] = {}
    for context, draft in zip(contexts.rows(named=True), drafts.rows(named=True), strict=True):
        earlier = chosen.setdefault(context["facet"], [])
        outcome = ledger.get_many([draft["scenario_ask_id"]])[draft["scenario_ask_id"]]
        offered = [one["situation"] for one in json.loads(outcome.text or "")["situations"]]
        vectors, before = embed(offered).astype(int), embed(earlier).astype(int)
        nearest = [max((int(v @ b) for b in before), default=0) for v in vectors]
        assert draft["scenario"] == offered[nearest.index(min(nearest))]
        earlier.append(draft["scenario"])


def test_a_longer_plan_does_not_change_the_drafts_of_a_shorter_one(respect: Recipe, ledger: Ledger) -> None:
    short = written(respect, contexts_of(respect, 8), RehearsalTeacher(), ledger)
    long = written(respect, contexts_of(respect, 16), RehearsalTeacher(), ledger)
    assert long.head(8).equals(short)


def test_a_seed_without_a_reason_is_shown_without_one(tmp_path: Path, ledger: Ledger) -> None:
    front = 'because: "because what is broken grows"\n'
    files = {"recipe.toml": RECIPE, "seeds/fence.md": seed(front=front), "seeds/gate.md": None}
    teacher = Scripted(plain_reply)
    recipe = load(small_recipe(tmp_path / "with", files))
    written(recipe, contexts_of(recipe, 1), teacher, ledger)
    assert "\n\n[because]\nbecause what is broken grows\n</exemplar>" in teacher.asked[0].messages[-1].content
    plain = Scripted(plain_reply)
    recipe = load(small_recipe(tmp_path / "without", {**files, "seeds/fence.md": seed()}))
    written(recipe, contexts_of(recipe, 1), plain, ledger)
    assert "[because]" not in plain.asked[0].messages[-1].content
