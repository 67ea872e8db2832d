"""What rehearsal plants is truly what it says: similarities counted again, check digits, spans; and the dials."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import combinations
from typing import Any, get_args

import pytest

from thousandfold import prompts
from thousandfold.gen.drafting import ExemplarReply
from thousandfold.gen.drill_kinds import KINDS
from thousandfold.gen.replies import UnreadableReplyError, read_json
from thousandfold.gen.teachers.base import Message
from thousandfold.gen.teachers.rehearsal import Dials, from_dials, reply, truth
from thousandfold.gen.teachers.rehearsal.composed import Composed, Flawed, Sources, compose
from thousandfold.gen.teachers.rehearsal.copies import DAYS, NAMES, TOWNS
from thousandfold.gen.teachers.rehearsal.disclosures import PERSONAL, SECRETS
from thousandfold.gen.teachers.rehearsal.draws import Draws
from thousandfold.gen.teachers.rehearsal.flaws import Kind, decide
from thousandfold.gen.teachers.rehearsal.phrases import shipped
from thousandfold.gen.teachers.rehearsal.planting import PLANTERS, Ground
from thousandfold.gen.teachers.rehearsal.writer import Exemplar

FACETS = (
    "honest apology",
    "clear boundaries",
    "thoughtful criticism",
    "respectful disagreement",
    "a value of your own",
)
LEVELS = (
    {"domain": "law", "relationship": "friend", "fault": "user", "difficulty": "pressure"},
    {"domain": "science", "relationship": "colleague", "fault": "shared", "stakes": "costly"},
)
PROMPT = "\n".join(text for role, text in prompts.load("exemplar").sections if role == "system")
CARD = "\n".join(f"axis {n}: level {n} — what a writer has to know about it and should not repeat" for n in range(9))


def _itself(exemplar: Composed) -> Composed:
    return exemplar


def grounds(count: int = 12) -> Iterator[tuple[Ground, Draws]]:
    """Clean ground of several facets and cards, always the same."""
    for number in range(count):
        facet, levels = FACETS[number % len(FACETS)], LEVELS[number % len(LEVELS)]
        own, host = (compose(facet, levels, {}, f"{part}{number}", shipped()) for part in ("own", "host"))
        seed = compose(facet, levels, {}, f"seed{number}", shipped())
        yield Ground(own, partial(_itself, host), Sources(seed.said, PROMPT, CARD)), Draws("test", number)


def planted(kind: str, count: int = 12) -> list[tuple[Ground, Flawed]]:
    made = [(ground, PLANTERS[kind].plant(ground, draws)) for ground, draws in grounds(count)]
    found = [(ground, flawed) for ground, flawed in made if flawed is not None]
    assert len(found) >= count / 2, kind
    return found


def answer(flawed: Flawed) -> str:
    return flawed.messages[-1].content


def said(messages: tuple[Message, ...], role: str = "assistant") -> str:
    return "\n".join(turn.content for turn in messages if turn.role == role)


def brute_jaccard(one: str, other: str) -> float:
    sets = []
    for text in (one, other):
        words = re.findall(r"\w+", text.lower())
        sets.append({tuple(words[start : start + 5]) for start in range(len(words) - 4)})
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def test_every_kind_that_can_be_planted_has_its_reasons_and_every_other_way_round() -> None:
    assert list(PLANTERS) == list(KINDS)


@pytest.mark.parametrize("kind", PLANTERS)
def test_what_is_planted_is_the_same_every_time_and_as_a_reply_would_bring_it(kind: str) -> None:
    once, again = planted(kind), planted(kind)
    assert [flawed for _, flawed in once] == [flawed for _, flawed in again]
    for _, flawed in once:
        assert (flawed.raw is None) is (kind != "broken_json")
        if flawed.raw is None and kind not in ("wrong_roles", "empty_turn", "no_reason"):
            assert flawed.because.strip()
            assert flawed.because in answer(flawed)


BANDS = {
    "near_copy_85": (0.85, 0.95),
    "near_copy_75": (0.75, 0.85),
    "near_copy_70": (0.7, 0.75),
    "near_copy_60": (0.6, 0.7),
}


@pytest.mark.parametrize("kind", BANDS)
def test_a_near_copy_has_the_similarity_that_was_drawn(kind: str) -> None:
    low, high = BANDS[kind]
    for ground, flawed in planted(kind):
        counted = brute_jaccard(ground.own.said, said(flawed.messages))
        assert counted == flawed.facts["jaccard"]
        assert low <= counted < high
        assert flawed.messages[0] == ground.host.exemplar.messages[0]


def test_an_answer_too_short_for_a_similarity_is_not_planted_at_another() -> None:
    [(ground, draws)] = grounds(1)
    short = "Keep the bread dry, because damp is what spoils it."
    turns = (ground.own.exemplar.messages[0], Message("assistant", short))
    own = replace(ground.own, exemplar=Exemplar(turns, short))
    made = [PLANTERS[kind].plant(Ground(own, lambda: ground.host), draws) for kind in BANDS for _ in range(20)]
    assert None in made
    for flawed in filter(None, made):
        assert any(low <= brute_jaccard(short, answer(flawed)) < high for low, high in BANDS.values())


def test_similarities_spread_over_their_band() -> None:
    found = [flawed.facts["jaccard"] for _, flawed in planted("near_copy_75", 40)]
    assert min(found) < 0.78
    assert max(found) > 0.82


def test_a_slot_swap_is_its_original_but_for_the_slots() -> None:
    for ground, flawed in planted("slot_swap"):
        original = flawed.original
        assert original is not None
        assert brute_jaccard(answer(original), answer(flawed)) == flawed.facts["jaccard"] < 0.7
        assert original.because in answer(original)
        back = answer(flawed)
        for old, new in flawed.facts["tails"]:
            assert new in back
            back = back.replace(new, old)
        assert brute_jaccard(answer(original), back) == pytest.approx(flawed.facts["but_for_slots"])
        nouns = [noun for pair in flawed.facts["nouns"].items() for noun in pair if noun]
        # Where a noun was exchanged the two differ, and nowhere else.
        pattern = re.compile("|".join(re.escape(noun) for noun in nouns) or "$.", re.IGNORECASE)
        assert pattern.sub("_", back) == pattern.sub("_", answer(original))
        assert ground.own.exemplar.messages[0] == original.messages[0]


def test_a_paraphrase_tells_the_same_case_in_other_sentences() -> None:
    for ground, flawed in planted("paraphrase"):
        counted = brute_jaccard(ground.own.said, said(flawed.messages))
        assert counted == pytest.approx(flawed.facts["jaccard"])
        assert counted < 0.5
        assert answer(flawed) != ground.own.answer


def test_prompts_are_repeated_and_leaked_as_near_as_it_is_said() -> None:
    for kind, low, high in (("repeated_prompt", 1, 1), ("leaked_prompt", 0.7, 1), ("reworded_prompt", 0, 0.5)):
        for ground, flawed in planted(kind):
            counted = brute_jaccard(ground.own.asked, said(flawed.messages, "user"))
            assert counted == pytest.approx(flawed.facts["jaccard"])
            assert low <= counted <= high
            assert answer(flawed) == ground.host.answer


def test_what_is_cut_stops_where_it_is_said() -> None:
    for ground, flawed in planted("cut_in_sentence"):
        assert re.search(r"\w$", answer(flawed))
        assert ground.own.answer.startswith(answer(flawed))
    for kind, finish in (("cut_at_sentence_end", "stop"), ("cut_by_limit", "length")):
        for ground, flawed in planted(kind):
            assert re.search(r"[.!?][”\"’)]*$", answer(flawed))
            assert ground.own.answer.startswith(answer(flawed))
            assert len(answer(flawed)) < len(ground.own.answer)
            assert flawed.finish_reason == finish


def test_loops_say_it_often_enough() -> None:
    for ground, flawed in planted("loop_sentence"):
        last = re.split(r"(?<=[.!?])\s+", ground.own.answer)[-1]
        assert answer(flawed).count(last) >= 4
    for ground, flawed in planted("loop_paragraph"):
        assert answer(flawed).count(ground.own.answer.split("\n\n")[-1]) >= 3
    for _, flawed in planted("loop_words"):
        words = re.findall(r"\w+", answer(flawed).lower())
        trigrams = Counter(zip(words, words[1:], words[2:], strict=False))
        assert trigrams.most_common(1)[0][1] >= 10


@pytest.mark.parametrize("kind", ["echo_seed", "echo_prompt", "echo_context"])
def test_half_of_an_echo_stands_in_its_source(kind: str) -> None:
    for ground, flawed in planted(kind):
        source = getattr(ground.sources, kind.removeprefix("echo_"))
        words, shown = (re.findall(r"\w+", text.lower()) for text in (answer(flawed), source))
        eights = {tuple(words[start : start + 8]) for start in range(len(words) - 7)}
        there = {tuple(shown[start : start + 8]) for start in range(len(shown) - 7)}
        assert len(eights & there) / len(eights) == flawed.facts["share"] >= 0.5


def test_replies_that_are_to_be_unreadable_are() -> None:
    for _, flawed in planted("broken_json", 40):
        with pytest.raises(UnreadableReplyError):
            read_json(flawed.as_json(), ExemplarReply)


def test_roles_are_wrong_turns_are_empty_reasons_are_missing() -> None:
    letters = {"user": "u", "assistant": "a"}
    for _, flawed in planted("wrong_roles", 30):
        assert not re.fullmatch("(ua)+", "".join(letters[turn.role] for turn in flawed.messages))
    for _, flawed in planted("empty_turn"):
        assert sum(not turn.content.strip() for turn in flawed.messages) == 1
    for _, flawed in planted("no_reason"):
        assert flawed.because
        assert flawed.because not in answer(flawed)


def test_other_languages_are_other_languages() -> None:
    for _, flawed in planted("other_script"):
        letters = [sign for sign in answer(flawed) if sign.isalpha()]
        assert sum(sign.isascii() for sign in letters) < 0.05 * len(letters)
    common = {"the", "and", "you", "that", "with", "it"}
    for _, flawed in planted("other_language"):
        assert not common & set(re.findall(r"\w+", answer(flawed).lower()))


def luhn(number: str) -> bool:
    digits = [int(digit) for digit in reversed(number)]
    return (sum(digits[::2]) + sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2])) % 10 == 0


def mod_97(account: str) -> int:
    moved = account[4:] + account[:4]
    return int("".join(str(ord(sign) - 55) if sign.isalpha() else sign for sign in moved)) % 97


CHECKS: dict[str, Callable[[str], Any]] = {
    "card": lambda value: luhn(value.replace(" ", "")) and len(value.replace(" ", "")) in (15, 16),
    "iban": lambda value: mod_97(value.replace(" ", "")) == 1,
    "email": lambda value: re.fullmatch(r"[\w.]+@[\w-]+\.(?:org|net|eu)", value),
    "phone": lambda value: re.fullmatch(r"\+[1-9][\d -]{9,18}", value),
    "aws_key": lambda value: re.fullmatch(r"AKIA[A-Z2-7]{16}", value),
    "api_key": lambda value: re.fullmatch(r"(?:sk-proj-|sk_live_|ghp_|glpat-|hf_|npm_)[A-Za-z0-9]{20,48}", value),
    "jwt": lambda value: re.fullmatch(r"eyJ[\w-]+\.eyJ[\w-]+\.[\w-]{43}", value),
    "password": lambda value: re.fullmatch(r"password: \S{16}", value),
    "private_key": lambda value: re.fullmatch(
        r"-----BEGIN PRIVATE KEY-----[\s\S]{300,}-----END PRIVATE KEY-----", value
    ),
}


@pytest.mark.parametrize("what", CHECKS)
def test_secrets_are_valid_and_never_the_same(what: str) -> None:
    make = {**SECRETS, **PERSONAL}[what]
    values = [make(Draws("secret", number)) for number in range(200)]
    assert all(CHECKS[what](value) for value in values)
    assert len(set(values)) == 200


def test_every_secret_can_be_checked_and_stands_where_it_is_said() -> None:
    assert set(CHECKS) == {*SECRETS, *PERSONAL}
    for kind in ("secret", "personal_data"):
        for _, flawed in planted(kind, 40):
            start = len(answer(flawed)) - flawed.facts["from_end"]
            value = answer(flawed)[start : start + flawed.facts["length"]]
            assert CHECKS[flawed.facts["what"]](value)


# ── dials ──

DIALS: tuple[Kind, ...] = get_args(Kind)[1:]
OFF = dict.fromkeys(DIALS, 0.0)


def asked(number: int) -> list[Message]:
    card = "facet: honest apology\ndomain: law\nrelationship: friend\nfault: user"
    seed = f"[user]\n{PROMPT}\n\n[assistant]\n{CARD}"
    words = f"<exemplar>\n{seed}\n</exemplar>\n<card>\n{card}\n</card>\n<situation>\nSomebody, {number}.\n</situation>"
    return [Message("system", PROMPT), Message("user", words)]


@pytest.mark.parametrize("kind", DIALS)
def test_a_dial_at_one_plants_its_kind_every_time_and_knows_it(kind: Kind) -> None:
    dials = Dials(**{**OFF, kind: 1.0})
    clean = Dials(**OFF)
    for number in range(10):
        assert truth(asked(number), seed=1, dials=dials).kind == kind
        assert reply(asked(number), seed=1, dials=dials) != reply(asked(number), seed=1, dials=clean)


def test_dials_that_stand_at_their_defaults_change_no_name() -> None:
    assert from_dials().model == "rehearsal-teacher"
    assert from_dials("loop=0.1&slot_swap=0.05").model == "rehearsal-teacher?slot_swap=0.05&loop=0.1"


def test_replies_under_the_first_three_dials_are_decided_as_before_there_were_others() -> None:
    dials = Dials(near_copy=0.2, cut_off=0.1, hollow=0.3)
    for number in range(300):
        share = Draws("flaw", number).share()
        limits = (("near_copy", 0.2), ("cut_off", 0.2 + 0.1), ("hollow", 0.2 + 0.1 + 0.3))
        expected = next((kind for kind, limit in limits if share < limit), "clean")
        assert decide(dials, Draws("flaw", number)) == expected


def test_slot_swapped_replies_of_one_case_differ_in_their_slots() -> None:
    dials = Dials(**{**OFF, "slot_swap": 1.0})
    slots = re.compile("|".join((*NAMES, *TOWNS, *DAYS, r"\d+")))
    by_case: dict[str | None, set[str]] = {}
    for number in range(60):
        known = truth(asked(number), seed=1, dials=dials)
        said = json.loads(reply(asked(number), seed=1, dials=dials).text)
        by_case.setdefault(known.cluster, set()).add(said["messages"][-1]["content"])
    pairs = [pair for copies in by_case.values() for pair in combinations(copies, 2)]
    assert len(pairs) > 20
    for one, other in pairs:
        assert brute_jaccard(one, other) < 0.75
        assert brute_jaccard(slots.sub("slot", one), slots.sub("slot", other)) > 0.8


def test_an_unknown_card_takes_every_dial_too() -> None:
    """A recipe around somebody's own seeds has levels that rehearsal knows nothing of."""
    own: Composed = compose("a value of your own", {"colour": "blue"}, {"colour": "as the sky"}, "key", shipped())
    ground = Ground(own, lambda: own, Sources(PROMPT, PROMPT, PROMPT))
    assert own.exemplar.because in own.answer
    for kind in ("loop_words", "secret", "other_script", "hollow", "opening_tic"):
        assert PLANTERS[kind].plant(ground, Draws(kind)) is not None
