"""gen.judge on any frame: whatever rows, rubric and judge it is given, the same rows come back, or it says why not."""

from __future__ import annotations

import asyncio
import doctest
import inspect
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from polars.testing import assert_frame_equal

from thousandfold import gen
from thousandfold.gen import Ask, Outcome

from ._recipes import RESPECT
from ._runs import Scripted

PATH = RESPECT / "values" / "honest_apology.toml"
RUBRIC = {
    "facet": "candour",
    "definition": "Says what is so.",
    "levels": {"0": "lies", "1": "hides", "2": "hints", "3": "says it", "4": "says it and why"},
    "evidence": {"says_it": "the plain words"},
}


def turns(answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": "Well?"}, {"role": "assistant", "content": answer}]


def frame_of(*answers: str) -> pl.DataFrame:
    return pl.DataFrame({"n": range(len(answers)), "messages": [turns(answer) for answer in answers]})


def judge_saying(level: str, name: str = "j") -> Scripted:
    return Scripted(
        lambda ask: level if ask.purpose == "level" else '{"items": []}', model=f"test:{name}", family=f"family-{name}"
    )


def reading_numbers(name: str = "j") -> Scripted:
    """A judge who gives the level that stands in the text as `No. 3`."""

    def reply(ask: Ask) -> str:
        return ask.messages[-1].content.rpartition("No. ")[2][0] if ask.purpose == "level" else '{"items": []}'

    return Scripted(reply, model=f"test:{name}", family=name)


def test_the_example_in_its_docstring_is_true() -> None:
    [example] = doctest.DocTestFinder(recurse=False).find(gen.judge, "judge", globs={})
    assert doctest.DocTestRunner().run(example) == (0, 7)


def test_a_rubric_may_be_a_path_its_words_a_mapping_or_an_object() -> None:
    judge = judge_saying("3")
    made = gen.Rubric.model_validate(RUBRIC)
    scored = [
        gen.judge(frame_of("Yes."), rubric, judge=judge)["score"][0] for rubric in (PATH, str(PATH), RUBRIC, made)
    ]
    assert scored == [0.75] * 4
    asked = [ask.messages[-1].content for ask in judge.asked if ask.purpose == "level"]
    assert asked[0] == asked[1]
    assert asked[2] == asked[3]
    assert "Says what is so." in asked[2]


@pytest.mark.parametrize(
    ("rubric", "what"),
    [
        ({**RUBRIC, "extra": 1}, "rubric: unknown key extra = 1"),
        ({key: RUBRIC[key] for key in RUBRIC if key != "levels"}, "rubric: levels is missing"),
        ({**RUBRIC, "levels": {"0": "a"}}, "rubric: levels = {'0': 'a'}"),
        ({}, "rubric: facet is missing"),
        (3, "the rubric is int"),
        (None, "the rubric is NoneType"),
        (RESPECT / "values", "cannot be read"),
        ("nothing.toml", "nothing.toml is missing"),
    ],
)
def test_a_rubric_that_is_none_is_refused(rubric: Any, what: str) -> None:
    with pytest.raises(gen.RecipeError) as caught:
        gen.judge(frame_of("Yes."), rubric, judge=judge_saying("3"))
    assert what in caught.value.what


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"judge": []}, "judge is []"),
        ({"judge": "none"}, "judge is 'none'"),
        ({"judge": None}, "judge is None"),
        ({"judge": 3}, "int is neither a SPEC, a Teacher, nor a LangChain chat model"),
        ({"judge": "nonsense"}, "the model 'nonsense' is of no known form"),
        ({"judge": ["openai:qwen-a", "openai:qwen-b"]}, "are of one family (qwen)"),
        ({"judge": ["openai:a", "openai:a"]}, "two of the judges are 'openai:a'"),
        ({"judge": ["openai:a", "openai:b"], "families": {"*": "one"}}, "are of one family (one)"),
        ({"samples": 0}, "samples = 0"),
        ({"samples": 2.5}, "samples = 2.5"),
        ({"temperature": -1.0}, "temperature = -1.0"),
        ({"concurrency": 0}, "concurrency = 0"),
        ({"least": 2}, "least is 2, with 1 judge"),
        ({"least": 0}, "least is 0, with 1 judge"),
        ({"least": True}, "least is True, with 1 judge"),
    ],
)
def test_an_option_that_cannot_be_meant_is_refused(options: dict[str, Any], what: str) -> None:
    with pytest.raises(gen.ThousandfoldError) as caught:
        gen.judge(frame_of("Yes."), RUBRIC, **{"judge": judge_saying("3"), **options})
    assert what in caught.value.what


@pytest.mark.parametrize("frame", [[turns("Yes.")], None, "Yes.", {"messages": []}, pl.Series([turns("Yes.")])])
def test_what_is_no_frame_is_refused(frame: Any) -> None:
    with pytest.raises(gen.RecipeError, match="the frame is"):
        gen.judge(frame, RUBRIC, judge=judge_saying("3"))


def test_a_ledger_that_cannot_be_written_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no ledger")
    for path in (tmp_path / "missing" / "judged.sqlite", tmp_path, tmp_path / "text"):
        with pytest.raises(gen.ThousandfoldError):
            gen.judge(frame_of("Yes."), RUBRIC, judge=judge_saying("3"), ledger=path)


def test_every_kind_of_row_comes_back_in_its_place_and_all_columns_with_it() -> None:
    extra = [{"role": "assistant", "content": "No. 4", "name": "a", "tool_calls": None}]
    rows = [
        turns("No. 1"),
        None,
        [],
        turns("No. 4"),
        [{"role": "user", "content": "No. 2"}],
        turns(" \n"),
        turns("No. 1"),
        extra,
    ]
    frame = pl.DataFrame({"who": list("abcdefgh"), "messages": rows, "score": ["mine"] * 8}, strict=False)
    judge = reading_numbers()
    scored = gen.judge(frame, RUBRIC, judge=judge)
    assert_frame_equal(scored.select("who", "messages"), frame.select("who", "messages"))
    assert scored["level"].to_list() == [1.0, None, None, 4.0, None, None, 1.0, 4.0]
    lacks = ["there is no conversation"] * 2 + ["there is no turn of the assistant to be judged"] * 2
    assert scored.filter(pl.col("level").is_null())["reason"].to_list() == lacks
    assert scored["spans"].null_count() == 0
    assert Counter(ask.purpose for ask in judge.asked) == {"level": 3, "evidence": 2}  # rows that are alike once


def test_a_lazy_frame_comes_back_as_one() -> None:
    scored = gen.judge(frame_of("Yes.").lazy(), RUBRIC, judge=judge_saying("3"))
    assert isinstance(scored, pl.LazyFrame)
    assert scored.collect()["score"].to_list() == [0.75]


def test_a_frame_of_pandas_comes_back_as_one_with_its_index() -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed, and nothing here needs it")
    frame = pandas.DataFrame(
        {"messages": [turns("No. 3"), None, turns("No. 1"), float("nan")], "x": [object()] * 4}, index=list("dcba")
    )
    scored = gen.judge(frame, RUBRIC, judge=reading_numbers())
    assert list(scored.index) == list("dcba")
    assert list(scored.columns) == ["messages", "x", "level", "score", "spans", "reason"]
    assert list(scored["score"].dropna()) == [0.75, 0.25]
    assert list(scored["score"].isna()) == [False, True, False, True]
    assert list(frame.columns) == ["messages", "x"]
    for wrong in (pandas.DataFrame({"text": ["a"]}), pandas.DataFrame({"messages": ["a", 3, [turns("b")]]})):
        with pytest.raises(gen.RecipeError):
            gen.judge(wrong, RUBRIC, judge=reading_numbers())
    assert len(gen.judge(frame.iloc[:0], RUBRIC, judge=reading_numbers())) == 0


def test_a_panel_gives_the_mean_and_each_ones_word() -> None:
    scored = gen.judge(frame_of("Yes.", "No."), RUBRIC, judge=[judge_saying("4", "a"), judge_saying("1", "b")])
    assert scored.columns == [
        "n", "messages", "level", "score", "spans", "reason", "level_method", "level_range", "by_judge",
    ]  # fmt: skip
    assert scored["score"].to_list() == [0.625, 0.625]
    assert scored["level_range"].to_list() == [3.0, 3.0]
    assert [word["level"] for word in scored["by_judge"][0].to_list()] == [4.0, 1.0]
    bare = gen.judge(frame_of("Yes."), RUBRIC, judge=[judge_saying("4", "a"), judge_saying("1", "b")], details=False)
    assert bare.columns == ["n", "messages", "level", "score", "spans", "reason"]


def test_a_panel_may_do_without_one_that_is_silent_where_that_is_said() -> None:
    judges = [judge_saying("4", "a"), judge_saying("?", "b")]
    assert gen.judge(frame_of("Yes."), RUBRIC, judge=judges)["score"].to_list() == [None]
    assert gen.judge(frame_of("Yes."), RUBRIC, judge=judges, least=1)["score"].to_list() == [1.0]


def test_a_chat_model_of_langchain_judges_alone_or_in_a_panel() -> None:
    chat = FakeListChatModel(responses=["3"])
    assert gen.judge(frame_of("Yes."), RUBRIC, judge=chat)["score"].to_list() == [0.75]
    scored = gen.judge(frame_of("Yes."), RUBRIC, judge=[chat, judge_saying("1")])
    assert scored["score"].to_list() == [0.5]


def test_it_works_inside_a_running_event_loop() -> None:
    async def notebook() -> pl.DataFrame:
        return gen.judge(frame_of("Yes."), RUBRIC, judge=[judge_saying("2", "a"), judge_saying("4", "b")])

    assert asyncio.run(notebook())["score"].to_list() == [0.75]


def test_one_at_a_time_and_many_at_once_give_the_same_frame(tmp_path: Path) -> None:
    frame = frame_of(*(f"Text {k}: No. {k % 5}" for k in range(60)))
    found = [
        gen.judge(frame, RUBRIC, judge=[reading_numbers("a"), judge_saying("3", "b")], concurrency=concurrency)
        for concurrency in (1, 64)
    ]
    assert_frame_equal(found[0], found[1])
    kept = tmp_path / "judged.sqlite"
    for _ in range(2):
        judges = [reading_numbers("a"), judge_saying("3", "b")]
        assert_frame_equal(gen.judge(frame, RUBRIC, judge=judges, ledger=kept), found[0])
    assert [judge.asked for judge in judges] == [[], []]


def test_ten_thousand_rows_come_back_in_order() -> None:
    frame = frame_of(*(f"Text {k}: No. {k * 7 % 2}" for k in range(10_000)))
    judge = reading_numbers()
    scored = gen.judge(frame, RUBRIC, judge=judge)
    assert scored["level"].to_list() == [float(k * 7 % 2) for k in range(10_000)]
    assert scored["n"].to_list() == list(range(10_000))
    assert len(judge.asked) == 10_000


def test_a_member_that_fails_for_good_is_an_error_and_all_are_closed() -> None:
    def fail(ask: Ask) -> Outcome:
        return Outcome(ask_id=ask.id, failure="bad_request", detail="no such model")

    judges = [judge_saying("3", "a"), Scripted(fail, model="test:b", family="b")]
    with pytest.raises(gen.TeacherError, match="no such model"):
        gen.judge(frame_of("Yes."), RUBRIC, judge=judges, least=1)
    assert [judge.closed for judge in judges] == [1, 1]


def test_its_options_are_told_in_its_docstring() -> None:
    told = inspect.getdoc(gen.judge) or ""
    options = set(inspect.signature(gen.judge).parameters) - {"concurrency", "on_event"}
    assert {name for name in options if f"{name} " not in told and f"`{name}`" not in told} == set()
