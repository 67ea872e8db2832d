"""Rehearsal's lesser answers: as varied, as long and as neat as genuine ones, and worse in one respect only."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from thousandfold.gen.ladders import KINDS, form_of
from thousandfold.gen.teachers.base import Message
from thousandfold.gen.teachers.rehearsal import Fragments, judge, reply, rungs
from thousandfold.gen.teachers.rehearsal.composed import Composed, compose
from thousandfold.gen.teachers.rehearsal.judge import Fingerprints
from thousandfold.gen.teachers.rehearsal.phrases import leaves
from thousandfold.gen.teachers.rehearsal.questions import Question

FACETS = ("honest apology", "clear boundaries", "respectful disagreement", "thoughtful criticism", "general")
FAULTS, RECORDS = ("assistant", "user", "shared"), ("advice", "message", "critique", "repair")
FRAGMENTS = Fragments()


def composed(facet: str, number: int) -> Composed:
    domains = sorted(FRAGMENTS.facet(facet).cases)
    levels = {
        "domain": domains[number % len(domains)],
        "fault": FAULTS[number % 3],
        "kind": RECORDS[number % 4],
        "relationship": "friend",
    }
    return compose(facet, levels, {}, f"{facet} {number}", FRAGMENTS)


def lesser(of: Composed, kind: Any) -> str:
    form = form_of(of.answer)
    question = Question(
        kind, facet=of.scene.facet.name, levels=of.scene.levels, words=form.words, paragraphs=form.paragraphs
    )
    return str(json.loads(rungs.answer(question, of.scene, of.key))["answer"])


GENUINE: Mapping[str, list[Composed]] = {facet: [composed(facet, number) for number in range(120)] for facet in FACETS}


@pytest.mark.parametrize("facet", FACETS)
def test_every_case_can_fill_every_sentence(facet: str) -> None:
    known = FRAGMENTS.facet(facet)
    assert set(known.rungs) == set(KINDS)
    variants = [v for parts in known.rungs.values() for choice in parts.values() for v in leaves(choice)]
    assert len(variants) == len({variant.source for variant in variants}) > 100
    for case in (case for cases in known.cases.values() for case in cases):
        for variant in variants:
            assert variant.slots <= {*case, "other", "your_other"}, variant.source


@pytest.mark.parametrize("facet", FACETS)
def test_no_sentence_of_a_lesser_answer_passes_for_a_genuine_one(facet: str) -> None:
    known = FRAGMENTS.facet(facet)
    genuine = {v.fingerprint for choice in known.assistant.values() for v in leaves(choice)} - {None}
    others = {v.source for parts in known.rungs.values() for choice in parts.values() for v in leaves(choice)}
    assert not [(one, other) for one in genuine for other in others if str(one) in other]
    fingerprints = {v.fingerprint for parts in known.rungs.values() for c in parts.values() for v in leaves(c)} - {None}
    said = [v.source for choice in known.assistant.values() for v in leaves(choice)]
    assert not [(one, other) for one in fingerprints for other in said if str(one) in other]


@pytest.mark.parametrize("facet", FACETS)
def test_a_hundred_ladders_are_distinct_texts_of_the_length_that_is_asked_for(facet: str) -> None:
    for kind in KINDS:
        answers = [lesser(one, kind) for one in GENUINE[facet]]
        assert len(set(answers)) == len(answers)
        ratios = [len(a.split()) / len(one.answer.split()) for a, one in zip(answers, GENUINE[facet], strict=True)]
        assert 0.97 < statistics.median(ratios) < 1.03
        assert max(max(ratios), 1 / min(ratios)) < 1.25
        assert [form_of(a).paragraphs for a in answers] == [form_of(one.answer).paragraphs for one in GENUINE[facet]]


FEATURES: Mapping[str, Callable[[str], float]] = {
    "words": lambda a: len(a.split()),
    "words in a sentence": lambda a: len(a.split()) / len(re.findall(r"[.!?](?=\s|”|$)", a)),
    "characters in a word": lambda a: len(a) / len(a.split()),
    "commas": lambda a: a.count(",") / len(a),
    "semicolons": lambda a: a.count(";"),
    "quotations": lambda a: a.count("“"),
    "questions": lambda a: a.count("?"),
    "exclamations": lambda a: a.count("!"),
    "contractions": lambda a: len(re.findall(r"\w'\w", a)),
    "the first person": lambda a: len(re.findall(r"\bI\b", a)),
}


def auc(above: list[float], below: list[float]) -> float:
    pairs = [(a > b) + 0.5 * (a == b) for a in above for b in below]
    return sum(pairs) / len(pairs)


@pytest.mark.parametrize("name", FEATURES)
def test_no_mark_of_style_alone_tells_a_hollow_answer_from_a_genuine_one(name: str) -> None:
    measure = FEATURES[name]
    facets = [facet for facet in FACETS if facet != "general"]
    genuine = [measure(one.answer) for facet in facets for one in GENUINE[facet][:60]]
    hollow = [measure(lesser(one, "hollow")) for facet in facets for one in GENUINE[facet][:60]]
    assert 0.25 < auc(genuine, hollow) < 0.75


def rated(question: Any, answer: str, facet: str) -> int:
    asked = Question("level", facet=facet, conversation=f"[user]\nAnd?\n\n[assistant]\n{answer}")
    return int(judge.level(asked, question))


@pytest.mark.parametrize("facet", FACETS)
def test_the_rehearsal_judge_puts_the_rungs_in_their_order(facet: str) -> None:
    marks = Fingerprints(FRAGMENTS.facet(facet))
    levels = {"genuine": [rated(marks, one.answer, facet) for one in GENUINE[facet]]}
    levels |= {kind: [rated(marks, lesser(one, kind), facet) for one in GENUINE[facet]] for kind in KINDS}
    means = {kind: statistics.mean(found) for kind, found in levels.items()}
    assert means["genuine"] > 3
    assert means["violating"] < 0.3 < means["hollow"] < 1.3 < means["genuine"]
    assert means["over_done"] < 2
    wins = [g > h for g, h in zip(levels["genuine"], levels["hollow"], strict=True)]
    assert sum(wins) / len(wins) > 0.97


def test_an_answer_violates_in_one_way_only() -> None:
    known = FRAGMENTS.facet("respectful disagreement").rungs["violating"]["body"]
    assert isinstance(known, Mapping)
    marks = {way: [v.fingerprint for v in leaves(choice) if v.fingerprint] for way, choice in known.items()}
    assert set(marks) == {"flatters", "scolds"}
    seen = set()
    for one in GENUINE["respectful disagreement"]:
        answer = lesser(one, "violating")
        ways = {way for way, prints in marks.items() if any(mark in answer for mark in prints)}
        assert len(ways) == 1
        seen |= ways
    assert seen == set(marks)


def test_a_topic_is_not_named_in_every_sentence() -> None:
    for facet in FACETS:
        for one in GENUINE[facet]:
            named = lesser(one, "hollow").casefold().count(one.scene.slots["topic"].casefold())
            assert named <= rungs.MOST_NAMED + 2, facet  # the work itself may have the same name, or a quotation


def test_what_the_situation_leaves_open_the_conversation_tells() -> None:
    one = GENUINE["honest apology"][4]
    topic = one.scene.slots["topic"]
    card = f"facet: honest apology\ndomain: {one.scene.levels['domain']}\nrelationship: friend"
    asked = (
        f"<hollow>\nsmooth\n</hollow>\n<card>\n{card}\n</card>\n<situation>\nNothing yet.\n</situation>\n"
        f"<conversation>\n[user]\nIt is about {topic}. My old flatmate knows.\n</conversation>\n"
        "about 150 words in 3 paragraphs"
    )
    said = [json.loads(reply([Message("user", asked)], seed=number).text)["answer"].casefold() for number in range(12)]
    assert sum(topic.casefold() in text for text in said) >= 9
    others = [pair.your_other.casefold() for pair in FRAGMENTS.axes.pairs_of("friend")]
    assert {other for other in others for text in said if other in text} == {"your old flatmate"}


def test_equal_questions_get_equal_answers_and_others_another() -> None:
    one = GENUINE["general"][0]
    question = Question("hollow", facet="general", levels=one.scene.levels)
    assert rungs.answer(question, one.scene, "a") == rungs.answer(question, one.scene, "a")
    assert rungs.answer(question, one.scene, "a") != rungs.answer(question, one.scene, "b")
