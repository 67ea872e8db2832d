"""May this judge filter? Each fault of a judge fails the test that is made for it, and the honest judge passes all."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from thousandfold.gen import JudgeCheck, RecipeError, check_judge
from thousandfold.gen.judge_check_report import check_report
from thousandfold.gen.teachers.rehearsal import RehearsalJudge

from ._runs import RESPECT, Scripted, command, copied

FACET = "clear boundaries"


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One output directory for all judges: the ladders are written once."""
    return tmp_path_factory.mktemp("checks") / "out"


def checked(out: Path, judge: Any) -> JudgeCheck:
    return check_judge(RESPECT, facet=FACET, judge=judge, out=out)


@pytest.mark.parametrize(
    ("dial", "fails"),
    [
        ({}, []),
        ({"quality": 0.75}, ["V1"]),
        ({"keywords": 1.0}, ["V2"]),
        ({"length": 1.0}, ["V2", "V3"]),
        ({"position": 1.0}, ["V3"]),
    ],
    ids=["honest", "weak", "keywords", "length", "position"],
)
def test_a_fault_fails_the_test_that_is_made_for_it(dial: dict[str, float], fails: list[str], out: Path) -> None:
    found = checked(out, RehearsalJudge(**dial))
    (facet,) = found.facets
    assert facet.failed == fails, [one.as_dict() for one in facet.findings if one.passed is False]
    assert found.may_filter is (fails == [])
    no = [one.name for one in facet.findings if one.passed is False]
    if "length" in dial:
        # Trigger words make a hollow answer longer, too.
        assert no == ["hollow with trigger words", "half as long again"]
    if "position" in dial:
        assert no == ["levels from 4 to 0"]
    if "keywords" in dial:
        assert "hollow with trigger words" in no


def test_a_second_check_asks_nothing_and_finds_the_same(out: Path) -> None:
    first, second = checked(out, RehearsalJudge()), checked(out, RehearsalJudge())
    assert second.asked == 0
    assert second.facets == first.facets
    assert "V5" in second.facets[0].not_tried
    assert "V4" in second.facets[0].not_tried  # the recipe names no context in which boundaries are not called for
    assert "where it is not called for was not tried everywhere" in str(list(check_report(second))[-1])


WORDS = ("sorry", "our apologies", "deeply regret", "we value you")


class KeywordChat(BaseChatModel):
    """A judge from outside: it counts a few words, and calls that the level."""

    @property
    def _llm_type(self) -> str:
        return "keywords"

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        asked = str(messages[-1].content)
        shown = re.findall(r"\[assistant\]\n(.*?)(?=\n\n\[user\]|</conversation>)", asked, re.DOTALL)
        hits = sum(" ".join(shown).lower().count(word) for word in WORDS)
        return ChatResult(generations=[ChatGeneration(message=AIMessage(content=str(min(4, hits))))])


def test_a_judge_from_outside_that_reads_keywords_fails_on_a_rubric_of_its_own(tmp_path: Path) -> None:
    recipe = copied(RESPECT, tmp_path / "own")
    path = recipe / "values" / "honest_apology.toml"
    text = path.read_text(encoding="utf-8")
    given = text[text.index("triggers = [") : text.index("[levels]")]
    path.write_text(text.replace(given, f"triggers = {json.dumps(WORDS)}\n\n"), encoding="utf-8")
    found = check_judge(
        recipe, facet="honest apology", judge=KeywordChat(), teacher="rehearsal:hollow=0", out=tmp_path / "out"
    )
    (facet,) = found.facets
    assert "V2" in facet.failed
    assert not found.may_filter


def test_a_judge_that_says_nothing_readable_may_not_filter(out: Path) -> None:
    mumbling = Scripted(lambda _: "It is hard to say.", model="test:mumbling", family="mumblers")
    (facet,) = check_judge(RESPECT, facet=FACET, judge=mumbling, teacher="rehearsal:hollow=0", out=out).facets
    assert {"V1", "V2", "V3"} <= set(facet.failed)


def test_the_command_says_no_with_exit_1_and_the_figures_as_json(out: Path) -> None:
    words = ("judge", "check", RESPECT, "--facet", FACET, "--judge", "rehearsal:keywords=1", "--out", out)
    done = command(*words, "--json", cwd=out.parent)
    assert done.code == done.json["exit"] == 1
    assert done.json["facets"][0]["failed"] == ["V2"]
    shown = command(*words, "--offline", cwd=out.parent)
    assert shown.code == 1
    assert f"{FACET}: this judge may not filter, it failed V2" in shown.out
    assert "hollow with trigger words" in shown.out


def test_what_cannot_be_checked_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="'kindness' is no value of this recipe"):
        check_judge(RESPECT, facet="kindness", out=tmp_path / "out")
    with pytest.raises(RecipeError, match="contexts is 60"):
        check_judge(RESPECT, contexts=60, out=tmp_path / "out")
    with pytest.raises(RecipeError, match="there is no judge to check"):
        check_judge(RESPECT, judge="none", out=tmp_path / "out")
    with pytest.raises(RecipeError, match="of one family"):
        check_judge(RESPECT, judge=Scripted(lambda _: "3", family="rehearsal-teacher"), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
