"""Rehearsal: what it composes reads well, is distinct, is the same everywhere, and its flaws are known."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from thousandfold import prompts
from thousandfold.gen.errors import RecipeError
from thousandfold.gen.teachers.base import Ask, Message, Sampling, Teacher
from thousandfold.gen.teachers.rehearsal import (
    Dials,
    Fragments,
    RehearsalJudge,
    RehearsalTeacher,
    from_dials,
    reply,
    truth,
)
from thousandfold.gen.teachers.rehearsal.draws import Draws
from thousandfold.gen.teachers.rehearsal.judge import NOT_OURS
from thousandfold.gen.teachers.rehearsal.phrases import Facet, Variant, leaves, shipped, variants

ROOT = Path(__file__).parents[1]
FILES = ROOT / "gen" / "teachers" / "rehearsal" / "fragments"
SHARED = {"axes", "situations"}
FACETS = ["respectful disagreement", "thoughtful criticism", "honest apology", "clear boundaries"]
KINDS = ["advice", "critique", "message", "dilemma", "repair"]
CODE = re.compile(r"`[^`]*`")  # keeps its own spaces and marks
CLEAN = Dials(near_copy=0, cut_off=0, hollow=0)


@cache
def respect_axes() -> dict[str, dict[str, str]]:
    table = tomllib.loads((ROOT / "examples/respect/axes.toml").read_text(encoding="utf-8"))
    return {axis: spec["levels"] for axis, spec in table.items() if "levels" in spec}


def allowed(card: Mapping[str, str]) -> bool:
    """The constraints of the respect recipe."""
    if card["facet"] == "honest apology" and card["fault"] in ("none", "third party"):
        return False
    if card["difficulty"] == "assistant erred" and card["fault"] in ("none", "user", "third party"):
        return False
    return not (card["kind"] == "repair" and card["fault"] == "none")


def cards(*, seed: str = "cards", **fixed: str) -> Iterator[dict[str, str]]:
    """Endless drawn cards of the respect recipe, some levels fixed."""
    draws = Draws(seed)
    while True:
        card = {axis: draws.pick(list(levels)) for axis, levels in respect_axes().items()} | fixed
        if allowed(card):
            yield card


def card_text(card: Mapping[str, str]) -> str:
    lines = [f"{axis}: {level} — {respect_axes()[axis][level]}" for axis, level in card.items() if axis != "facet"]
    return "\n".join([f"facet: {card['facet']}", *lines])


def scenario_ask(card: Mapping[str, str], how_many: int = 5) -> list[Message]:
    text = f"<card>\n{card_text(card)}\n</card>\nWrite exactly {how_many} different situations."
    return [Message("user", text)]


def exemplar_ask(card: Mapping[str, str], situation: str) -> list[Message]:
    text = f"<card>\n{card_text(card)}\n</card>\n<situation>\n{situation}\n</situation>"
    return [Message("user", text)]


def judge_ask(facet: str, messages: Sequence[Mapping[str, str]], tag: str, lines: str) -> list[Message]:
    shown = "\n\n".join(f"[{m['role']}] {m['content']}" for m in messages)
    text = f"facet: {facet}\n<{tag}>\n{lines}\n</{tag}>\n<conversation>\n{shown}\n</conversation>"
    return [Message("user", text)]


def situations(card: Mapping[str, str], seed: int = 0, how_many: int = 5) -> list[str]:
    read = json.loads(reply(scenario_ask(card, how_many), seed=seed).text)
    return [entry["situation"] for entry in read["situations"]]


def written(card: Mapping[str, str], seed: int, dials: Dials = CLEAN) -> dict[str, Any]:
    """The path of one draft: a situation, then the exemplar of it."""
    situation = situations(card, seed)[0]
    read: dict[str, Any] = json.loads(reply(exemplar_ask(card, situation), seed=seed, dials=dials).text)
    return read


def answer_of(exemplar: Mapping[str, Any]) -> str:
    return str(exemplar["messages"][-1]["content"])


def shingles(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return set(zip(*(words[start:] for start in range(5)), strict=False))


def jaccard(one: str, other: str) -> float:
    a, b = shingles(one), shingles(other)
    return len(a & b) / len(a | b)


def facet_files() -> list[str]:
    return sorted(file.stem for file in FILES.glob("*.toml") if file.stem not in SHARED)


def all_slots(facet: Facet) -> Iterator[tuple[str, dict[str, str]]]:
    """Every case of a facet, with another person."""
    for domain, cases in facet.cases.items():
        for case in cases:
            yield domain, {**case, "other": "my sister", "your_other": "your sister"}


# ── the hand-written files ──


def test_every_facet_of_respect_has_its_own_sentences() -> None:
    assert {shipped().facet(name).name for name in FACETS} == set(FACETS)
    assert shipped().facet("curiosity").name == "general"


@pytest.mark.parametrize("stem", facet_files())
def test_every_sentence_of_a_facet_fits_every_case(stem: str) -> None:
    facet = shipped().facet(stem)
    moves = {**facet.user, **facet.assistant, **facet.hollow}
    moves.pop("level", None)
    for domain, slots in all_slots(facet):
        for move, choice in moves.items():
            for variant in leaves(choice):
                assert variant.slots <= slots.keys(), f"{stem}: {move} needs {variant.slots} in {domain}"
                filled = CODE.sub("code", variant.fill(slots))
                assert not re.search(r"[{}]|  |^ | $", filled), filled


@pytest.mark.parametrize("stem", facet_files())
def test_every_order_of_a_facet_names_moves_that_are_written_and_holds_the_reason(stem: str) -> None:
    facet = shipped().facet(stem)
    assert len(facet.orders) >= 3
    for order in facet.orders:
        assert "because" in order
        assert len(set(order)) == len(order)
        assert all(list(leaves(facet.assistant.get(move))) for move in order), order


@pytest.mark.parametrize("stem", facet_files())
def test_every_kind_of_request_is_asked_and_delivered(stem: str) -> None:
    facet = shipped().facet(stem)
    for table in (facet.user["request"], facet.assistant["deliver"]):
        assert isinstance(table, Mapping)
        if stem != "general":
            assert set(KINDS) <= set(table)
        assert all(len(list(leaves(choice))) >= 4 for choice in table.values())


@pytest.mark.parametrize("stem", facet_files())
def test_topics_of_a_domain_can_be_told_apart(stem: str) -> None:
    for domain, cases in shipped().facet(stem).cases.items():
        topics = [case["topic"] for case in cases]
        assert len(set(topics)) == len(topics), domain


@pytest.mark.parametrize("stem", facet_files())
def test_every_sentence_can_be_recognised_by_its_longest_words(stem: str) -> None:
    facet = shipped().facet(stem)
    short = [
        variant.source
        for choice in (*facet.assistant.values(), *facet.hollow.values())
        for variant in leaves(choice)
        if variant.fingerprint is None
    ]
    assert short == []


@pytest.mark.parametrize("stem", facet_files())
def test_evidence_items_are_those_of_the_rubric_and_name_written_moves(stem: str) -> None:
    facet = shipped().facet(stem)
    for item, moves in facet.evidence.items():
        assert moves, item
        assert set(moves) <= set(facet.assistant), item
    rubrics = [tomllib.loads(f.read_text(encoding="utf-8")) for f in ROOT.glob("examples/*/values/*.toml")]
    rubric = next((rubric for rubric in rubrics if rubric["facet"] == facet.name), None)
    if facet.name in FACETS:
        assert rubric is not None
        assert set(facet.evidence) == set(rubric["evidence"])


def test_the_shared_sentences_know_every_level_of_the_respect_recipe() -> None:
    axes = shipped().axes
    for axis in ("stance", "difficulty", "relationship", "stakes", "fault"):
        choice = axes.user[axis]
        assert isinstance(choice, Mapping)
        assert set(choice) >= set(respect_axes()[axis])
    assert set(axes.others) == set(respect_axes()["relationship"])
    for table in (axes.user, axes.assistant):
        for choice in table.values():
            for variant in leaves(choice):
                assert variant.slots <= {"topic", "other", "your_other"}, variant.source


# ── reading and filling ──


TINY = """
facet = "plain speech"
[[cases.garden]]
topic = "the hedge"
[[cases.garden]]
topic = "the hedge by the gate"
[user]
statement = ["{topic} has grown over the path. {other} says so too."]
push = ["But {topic} was there before the path, as everyone knows."]
[user.request]
advice = ["What would you do about {topic}?"]
[assistant]
order = [["open", "because", "close"]]
open = ["“{topic}” is how I'd name it in front of {your_other}."]
because = ["A thing that is named can be looked at together."]
close = ["Start by looking at it together on a dry morning."]
held = ["I would cut it, and I would say so first."]
[assistant.deliver]
any = ["Cut a hand's breadth and look again before the next one."]
[assistant.credit]
user = ["You saw that the mistake was your own before I did."]
[hollow]
open = ["Thank you for raising {topic} with us today."]
body = ["There are many views on hedges.", "Everyone is entitled to feelings.", "It is always good to talk.",
  "Balance matters in every garden.", "Communication is key to all of it."]
close = ["We wish you well with everything ahead."]
[evidence]
names_it = ["open"]
"""


@pytest.fixture
def tiny(tmp_path: Path) -> Fragments:
    (tmp_path / "plain_speech.toml").write_text(TINY, encoding="utf-8")
    (tmp_path / "general.toml").write_text(TINY.replace("plain speech", "general"), encoding="utf-8")
    (tmp_path / "situations.toml").write_bytes((FILES / "situations.toml").read_bytes())
    return Fragments(tmp_path)


def tiny_ask(**levels: str) -> list[Message]:
    card = "\n".join(["facet: plain speech", *(f"{axis}: {level}" for axis, level in levels.items())])
    return [Message("user", f"<card>\n{card}\n</card><situation>It is the HEDGE by the gate.</situation>")]


def test_a_slot_that_begins_a_sentence_gets_its_capital() -> None:
    variant = Variant("{it} fell. {it} broke: {it}, or “{it}”. Say: “{it} fell.” {{kept}}")
    filled = variant.fill({"it": "the cup"})
    assert filled == "The cup fell. The cup broke: the cup, or “the cup”. Say: “The cup fell.” {kept}"


def test_the_longest_topic_named_in_the_situation_is_the_case(tiny: Fragments) -> None:
    said = reply(tiny_ask(domain="garden"), seed=1, dials=CLEAN, fragments=tiny).text
    assert "The hedge by the gate" in said


def test_unknown_axes_and_missing_shared_sentences_are_left_out(tiny: Fragments) -> None:
    asked = tiny_ask(domain="the moon", weather="rain", kind="song", stance="angry", fault="nobody")
    exemplar = json.loads(reply(asked, seed=1, dials=CLEAN, fragments=tiny).text)
    assert exemplar["messages"][0]["role"] == "user"
    assert "rain" not in exemplar["messages"][0]["content"]
    assert exemplar["because"] == "A thing that is named can be looked at together."
    assert exemplar["because"] in answer_of(exemplar)


def test_a_facet_without_a_file_is_served_from_the_general_one(tiny: Fragments) -> None:
    assert tiny.facet("Plain Speech").name == "plain speech"
    assert tiny.facet("wit").name == "general"
    assert tiny.facet("axes").name == "general"


def test_a_move_by_level_falls_back_from_the_level_to_any_other() -> None:
    own, rest = (Variant("own"),), (Variant("rest"),)
    assert variants({"user": own, "any": rest}, frozenset({"user"})) == own
    assert variants({"user": own, "any": rest}, frozenset({"none"})) == rest
    assert variants({"user": own}, frozenset({"none"})) == own
    assert variants({"none": (), "user": own}, frozenset({"none"})) == ()
    assert variants(None) == ()


@given(st.lists(st.integers(), min_size=1, max_size=40), st.text())
def test_draws_stay_in_range_and_repeat(items: list[int], key: str) -> None:
    one, other = Draws(key, 1), Draws(key, 1)
    assert one.shuffled(items) == other.shuffled(items)
    assert sorted(Draws(key).shuffled(items)) == sorted(items)
    assert one.pick(items) in items
    assert 0 <= one.share() < 1


# ── situations ──


@pytest.mark.parametrize("how_many", [1, 5, 12])
def test_a_scenario_ask_gets_as_many_different_situations_as_it_wants(how_many: int) -> None:
    for card, seed in zip(cards(seed="situations"), range(60), strict=False):
        read = json.loads(reply(scenario_ask(card, how_many), seed=seed).text)["situations"]
        told = [entry["situation"] for entry in read]
        assert len(set(told)) == how_many
        assert all(0 < entry["probability"] < 0.5 for entry in read)
        for situation in told:
            assert 2 <= len(re.findall(r"[.!?](?= |$)", situation)) <= 4, situation


def test_an_exemplar_is_about_what_its_situation_names() -> None:
    for card, seed in zip(cards(seed="recovered"), range(200), strict=False):
        situation = situations(card, seed)[0]
        cases = shipped().facet(card["facet"]).cases_of(card["domain"])
        named = [case["topic"] for case in cases if case["topic"].casefold() in situation.casefold()]
        exemplar = json.loads(reply(exemplar_ask(card, situation), seed=seed, dials=CLEAN).text)
        words = " ".join(turn["content"] for turn in exemplar["messages"]).casefold()
        case = next(case for case in cases if case["topic"] == max(named, key=len))
        assert any(value.casefold() in words for value in case.values()), (case, words)


# ── exemplars ──


def test_exemplars_read_as_clean_text() -> None:
    for card, seed in zip(cards(seed="aloud"), range(800), strict=False):
        exemplar = written(card, seed)
        turns = exemplar["messages"]
        assert [turn["role"] for turn in turns] == ["user", "assistant"] * (len(turns) // 2)
        for turn in turns:
            text = CODE.sub("code", turn["content"])
            assert not re.search(r"[{}]|  | \n|\n\n\n| [,.;:!?]|\.\.(?!\.)", text), text
            for paragraph in text.split("\n\n"):
                assert re.search(r"[.!?…”][”’)\"]*$", paragraph), paragraph  # a quoted draft may end bare
                assert re.match(r"[“\"‘(]*[A-Z0-9]", paragraph), paragraph
                assert not re.search(r"[.!?] [a-z]", re.sub(r"[“\"][^”\"]*[”\"]", "", paragraph)), paragraph


def test_the_reason_stands_letter_for_letter_in_the_last_turn() -> None:
    for card, seed in zip(cards(seed="because"), range(400), strict=False):
        exemplar = written(card, seed)
        assert len(exemplar["because"].split()) >= 6
        assert exemplar["because"] in answer_of(exemplar)


def test_a_card_with_pressure_makes_the_user_push_back() -> None:
    turns = [
        len(written(card, seed)["messages"])
        for card, seed in zip(cards(difficulty="pressure"), range(60), strict=False)
    ]
    assert set(turns) == {4}
    others = Counter(
        len(written(card, seed)["messages"]) for card, seed in zip(cards(difficulty="expert"), range(300), strict=False)
    )
    assert set(others) == {2, 4}
    assert 0.1 < others[4] / 300 < 0.3


def test_answers_are_neither_scraps_nor_essays() -> None:
    words = [
        len(answer_of(written(card, seed)).split())
        for card, seed in zip(cards(seed="length"), range(400), strict=False)
    ]
    assert 110 <= np.median(words) <= 240
    assert min(words) >= 70
    assert max(words) <= 330


def test_five_thousand_clean_exemplars_are_distinct() -> None:
    """Word 5-grams, exact: |A ∩ B| for all pairs is one sparse product, done in strips."""
    answers = [answer_of(written(card, seed)) for card, seed in zip(cards(seed="distinct"), range(5000), strict=False)]
    columns: dict[tuple[str, ...], int] = defaultdict(lambda: len(columns))
    rows = [sorted(columns[shingle] for shingle in shingles(answer)) for answer in answers]
    sizes = np.array([len(row) for row in rows])
    starts = np.concatenate([[0], np.cumsum(sizes)])
    flat = np.concatenate([np.array(row) for row in rows])
    table = sparse.csr_matrix((np.ones(len(flat), dtype=np.int32), flat, starts))
    closest = 0.0
    for start in range(0, len(answers), 500):
        common = (table[start : start + 500] @ table.T).tocoo()
        one, other = common.row + start, common.col
        shares = common.data / (sizes[one] + sizes[other] - common.data)
        closest = max(closest, float(shares[one != other].max()))
    assert len(set(answers)) == 5000
    assert 0.05 < closest < 0.7


def evenness(families: Counter[str]) -> float:
    """1 / Σ p² (Simpson): how many equally large families would be as even."""
    total = families.total()
    return total * total / sum(count * count for count in families.values())


@pytest.mark.parametrize("facet", [*FACETS, "curiosity"])
def test_no_facet_has_a_habit_of_beginning_or_ending(facet: str) -> None:
    """Families as the caps of the selection count them: three words, of the answer and of its last sentence."""
    answers = [
        answer_of(written(card, seed))
        for card, seed in zip(cards(seed="families", facet=facet), range(800), strict=False)
    ]
    last = [re.split(r"[.!?…][”’)\"]*\s+", answer)[-1] for answer in answers]
    for texts in (answers, last):
        families = Counter(" ".join(re.findall(r"[\w’']+", text.lower())[:3]) for text in texts)
        assert evenness(families) >= 40, families.most_common(5)
        assert families.most_common(1)[0][1] <= 0.05 * len(answers), families.most_common(5)


def test_the_same_question_gets_the_same_answer_in_every_process() -> None:
    asked = [
        (scenario_ask(card) if seed % 2 else exemplar_ask(card, "Nothing known."), seed)
        for card, seed in zip(cards(seed="process"), range(20), strict=False)
    ]
    here = [reply(messages, seed=seed).text for messages, seed in asked]
    script = (
        "import json, sys\n"
        "from thousandfold.gen.teachers.base import Message\n"
        "from thousandfold.gen.teachers.rehearsal import reply\n"
        "asked = json.load(sys.stdin)\n"
        "print(json.dumps([reply([Message('user', text)], seed=seed).text for text, seed in asked]))\n"
    )
    for hash_seed in ("0", "4711"):
        run = subprocess.run(
            [sys.executable, "-c", script],
            input=json.dumps([(messages[-1].content, seed) for messages, seed in asked][::-1]),
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
        )
        assert json.loads(run.stdout)[::-1] == here


def test_text_that_no_encoding_carries_does_not_stop_it() -> None:
    card = next(cards(seed="surrogate"))
    asked = exemplar_ask(card, "A lone \ud800 surrogate, \x00 and \u2028.")
    assert json.loads(reply(asked, seed=1, dials=CLEAN).text)["because"]


# ── planted flaws ──


def planted(count: int, **fixed: str) -> list[tuple[dict[str, str], list[Message], int]]:
    return [
        (card, exemplar_ask(card, situations(card, seed)[0]), seed)
        for card, seed in zip(cards(seed="flaws", **fixed), range(count), strict=False)
    ]


def test_flaws_come_at_the_rates_of_the_dials() -> None:
    dials = Dials(near_copy=0.2, cut_off=0.1, hollow=0.3)
    kinds = Counter(truth(asked, seed=seed, dials=dials).kind for _, asked, seed in planted(1000))
    # Three standard deviations of a share of 0.3 over 1,000 are 0.043.
    assert abs(kinds["near_copy"] / 1000 - 0.2) < 0.045
    assert abs(kinds["cut_off"] / 1000 - 0.1) < 0.045
    assert abs(kinds["hollow"] / 1000 - 0.3) < 0.045


def test_near_copies_of_a_case_are_near_copies_of_each_other() -> None:
    dials = Dials(near_copy=1, cut_off=0, hollow=0)
    clusters: dict[str, list[str]] = defaultdict(list)
    for _, asked, seed in planted(400, domain="law"):
        known = truth(asked, seed=seed, dials=dials)
        assert known.kind == "near_copy"
        assert known.cluster is not None
        exemplar = json.loads(reply(asked, seed=seed, dials=dials).text)
        assert exemplar["because"] in answer_of(exemplar)
        clusters[known.cluster].append(answer_of(exemplar))
    pairs = [pair for copies in clusters.values() for pair in combinations(set(copies), 2)]
    shares = [jaccard(*pair) for pair in pairs]
    assert len(shares) > 100
    assert min(shares) >= 0.75
    assert np.median(shares) <= 0.95
    firsts = [copies[0] for copies in clusters.values()]
    assert max(jaccard(*pair) for pair in combinations(firsts, 2)) < 0.7


def test_cut_off_exemplars_stop_in_the_middle_and_say_length() -> None:
    dials = Dials(near_copy=0, cut_off=1, hollow=0)
    readable = 0
    for _, asked, seed in planted(200):
        said = reply(asked, seed=seed, dials=dials)
        assert said.finish_reason == "length"
        assert truth(asked, seed=seed, dials=dials).kind == "cut_off"
        try:
            answer = answer_of(json.loads(said.text))
        except json.JSONDecodeError:
            continue
        readable += 1
        assert re.search(r"\w$", answer), answer
    assert 70 < readable < 130


def test_hollow_exemplars_hold_a_hollow_reason_and_a_genuine_question() -> None:
    dials = Dials(near_copy=0, cut_off=0, hollow=1)
    for card, asked, seed in planted(100):
        said = reply(asked, seed=seed, dials=dials)
        exemplar = json.loads(said.text)
        assert said.finish_reason == "stop"
        assert exemplar["because"] in answer_of(exemplar)
        bodies = [variant.fingerprint for variant in leaves(shipped().facet(card["facet"]).hollow["body"])]
        assert sum(body is not None and body in answer_of(exemplar) for body in bodies) >= 4


def test_another_draw_of_a_flawed_exemplar_is_decided_afresh() -> None:
    card = next(cards(seed="draw"))
    messages = tuple(exemplar_ask(card, situations(card)[0]))
    asks = [Ask("rehearsal-teacher", messages, Sampling(), draw=draw) for draw in range(200)]
    kinds = Counter(truth(ask, dials=Dials(hollow=0.5)).kind for ask in asks)
    texts = {reply(ask.messages, seed=ask.request_seed, dials=CLEAN).text for ask in asks}
    assert 60 < kinds["hollow"] < 140
    assert len(texts) == 200


def test_scenarios_are_never_flawed() -> None:
    card = next(cards(seed="scenario"))
    assert truth(scenario_ask(card), seed=1, dials=Dials(near_copy=1, cut_off=0, hollow=0)).kind == "clean"


@pytest.mark.parametrize(
    ("dials", "what"),
    [
        ({"hollow": 1.5}, "the rehearsal dial hollow is 1.5"),
        ({"cut_off": -0.1}, "the rehearsal dial cut_off is -0.1"),
        ({"hollow": 0.6, "near_copy": 0.6}, "the rehearsal dials near_copy, cut_off, hollow add up to 1.21"),
    ],
)
def test_a_dial_out_of_range_is_refused(dials: dict[str, float], what: str) -> None:
    with pytest.raises(RecipeError) as caught:
        RehearsalTeacher(**dials)
    assert caught.value.what == what


# ── the judge ──


def level_of(facet: str, messages: Sequence[Mapping[str, str]]) -> int:
    levels = "\n".join(f"{level}: words for it" for level in range(5))
    said = reply(judge_ask(facet, messages, "levels", levels), seed=0).text
    assert said in ("0", "1", "2", "3", "4")
    return int(said)


def levels(dials: Dials, count: int = 400) -> Counter[int]:
    found: Counter[int] = Counter()
    for card, seed in zip(cards(seed="judged"), range(count), strict=False):
        found[level_of(card["facet"], written(card, seed, dials)["messages"])] += 1
    return found


def test_genuine_answers_are_rated_three_or_four_and_few_are_one_level_off() -> None:
    found = levels(CLEAN)
    assert found[3] + found[4] >= 0.93 * 400
    assert 0.2 < found[3] / 400 < 0.8
    assert found[2] > 0
    assert found[0] + found[1] == 0


def test_hollow_answers_are_rated_one_and_few_are_one_level_off() -> None:
    found = levels(Dials(near_copy=0, cut_off=0, hollow=1))
    assert 0.9 * 400 <= found[1] < 400
    assert found[3] + found[4] == 0


def test_a_text_that_rehearsal_did_not_compose_gets_no_level() -> None:
    strange = [{"role": "user", "content": "Hm?"}, {"role": "assistant", "content": "I like boats."}]
    assert reply(judge_ask("honest apology", strange, "levels", "0: none"), seed=0).text == NOT_OURS
    asked = judge_ask("honest apology", strange, "evidence", "names_the_act: says what was done")
    assert json.loads(reply(asked, seed=0).text) == {"items": [], "reason": NOT_OURS}


def test_evidence_is_verbatim_and_only_for_the_items_offered() -> None:
    seen: Counter[str] = Counter()
    for card, seed in zip(cards(seed="evidence"), range(200), strict=False):
        exemplar = written(card, seed)
        names = list(shipped().facet(card["facet"]).evidence)
        offered = names[: 1 + seed % len(names)]
        lines = "\n".join(f"{name}: what a span must show" for name in offered)
        asked = judge_ask(card["facet"], exemplar["messages"], "evidence", lines)
        for entry in json.loads(reply(asked, seed=0).text)["items"]:
            assert entry["item"] in offered
            assert entry["span"] in answer_of(exemplar)
            assert re.match(r"[“\"‘(]*[A-Z0-9]", entry["span"])
            assert re.search(r"[.!?…][”’)\"]*$", entry["span"])
            seen[entry["item"]] += 1
    assert set(seen) == {name for facet in FACETS for name in shipped().facet(facet).evidence}


# ── the teacher and its identity ──


def outcomes(teacher: Teacher, asks: Sequence[Ask]) -> list[Any]:
    async def run() -> list[Any]:
        async def stream() -> AsyncIterator[Ask]:
            for ask in asks:
                yield ask

        found = [outcome async for outcome in teacher.answer(stream())]
        await teacher.close()
        return found

    return asyncio.run(run())


def test_a_teacher_gives_one_outcome_for_each_ask_and_is_what_reply_says() -> None:
    teacher = RehearsalTeacher()
    asks = [
        Ask(teacher.model, tuple(scenario_ask(card)), Sampling(max_tokens=4000), draw=draw)
        for card, draw in zip(cards(seed="teacher"), range(100), strict=False)
    ]
    found = outcomes(teacher, asks)
    assert [outcome.ask_id for outcome in found] == [ask.id for ask in asks]
    for ask, outcome in zip(asks, found, strict=True):
        said = reply(ask.messages, seed=ask.request_seed)
        assert (outcome.text, outcome.finish_reason, outcome.usage) == (said.text, "stop", said.usage)
        assert outcome.served_model == "rehearsal-teacher"
        assert outcome.failure is None


def test_others_run_while_it_composes() -> None:
    card = next(cards(seed="yield"))
    asks = [Ask("m", tuple(scenario_ask(card)), Sampling(), draw=draw) for draw in range(100)]

    async def run() -> int:
        async def stream() -> AsyncIterator[Ask]:
            for ask in asks:
                yield ask

        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(other())
        _ = [outcome async for outcome in RehearsalTeacher().answer(stream())]
        task.cancel()
        return turns

    assert asyncio.run(run()) >= 3


def test_dials_that_were_turned_are_part_of_the_identity() -> None:
    assert RehearsalTeacher().model == "rehearsal-teacher"
    assert RehearsalTeacher(hollow=0.2).model == "rehearsal-teacher?hollow=0.2"
    assert from_dials("hollow=0.2&near_copy=0").model == "rehearsal-teacher?near_copy=0&hollow=0.2"
    assert from_dials().model == "rehearsal-teacher"
    assert (RehearsalTeacher(hollow=0.2).family, RehearsalJudge().family) == (
        "rehearsal-teacher",
        "rehearsal-judge",
    )
    assert from_dials(judge=True).model == "rehearsal-judge"
    assert isinstance(RehearsalTeacher(), Teacher)
    assert isinstance(RehearsalJudge(), Teacher)


@pytest.mark.parametrize("settings", ["hollow", "hollow=much", "speed=3", "hollow=0.1,cut_off=0.2"])
def test_dials_that_cannot_be_read_are_refused_with_the_names_there_are(settings: str) -> None:
    with pytest.raises(RecipeError) as caught:
        from_dials(settings)
    assert caught.value.what == f"rehearsal does not understand {settings!r}"
    assert "the dials are near_copy, cut_off, hollow, " in caught.value.do


def test_the_judge_has_dials_of_its_own() -> None:
    assert from_dials("length=1&quality=0.8", judge=True).model == "rehearsal-judge?quality=0.8&length=1"
    with pytest.raises(RecipeError, match="rehearsal does not understand 'hollow=1'") as caught:
        from_dials("hollow=1", judge=True)
    assert "the dials are quality, keywords, length, position" in caught.value.do
    with pytest.raises(RecipeError, match=r"dial quality is 0\.2"):
        from_dials("quality=0.2", judge=True)


def test_the_shipped_prompts_are_understood() -> None:
    card = next(cards(seed="prompts", facet="honest apology"))
    fields = {"definition": "owns it", "card": card_text(card), "exemplar": "[user] Hi\n[assistant] Ho"}
    scenario = rendered("scenario", how_many="3", **fields)
    told = json.loads(reply(scenario, seed=1).text)["situations"]
    assert len(told) == 3
    exemplar = json.loads(
        reply(rendered("exemplar", situation=told[0]["situation"], **fields), seed=1, dials=CLEAN).text
    )
    conversation = "\n\n".join(f"[{turn['role']}] {turn['content']}" for turn in exemplar["messages"])
    asked = {"facet": "honest apology", "rubric": "facet: other", "conversation": conversation}
    assert reply(rendered("level", levels="0: none\n4: full", **asked), seed=1).text in ("3", "4")
    items = "\n".join(f"{name}: shown" for name in shipped().facet("honest apology").evidence)
    spans = json.loads(reply(rendered("evidence", items=items, **asked), seed=1).text)["items"]
    assert len(spans) >= 3


def rendered(name: str, **fields: str) -> list[Message]:
    return [Message(role, text) for role, text in prompts.load(name).render(**fields)]


def test_fragments_are_read_only_when_they_are_needed() -> None:
    script = (
        "import sys, thousandfold.gen.teachers.rehearsal as r\n"
        "from thousandfold.gen.teachers.rehearsal.phrases import shipped\n"
        "assert shipped.cache_info().currsize == 0\n"
        "assert not {'aiohttp', 'numpy', 'polars', 'openai'} & set(sys.modules), sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
