"""form and form_scores: each reason with its measure, what must pass, and what is refused."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thousandfold.filters import VERDICT, FilterError, form, form_scores

REPOSITORY = Path(__file__).parents[2]
DATA = Path(os.environ.get("THOUSANDFOLD_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
TURNS = pl.List(pl.Struct({"role": pl.String, "content": pl.String}))

BECAUSE = "You can only plan around a delay that you know of."
ANSWER = f"Tell them today that the part will be late. {BECAUSE} They may be cross, and they will still be able to act."
ASK = "The part for my customer will be two weeks late. Should I tell them?"


def turns(*contents: str | None, roles: str = "uaua") -> list[dict[str, str | None]]:
    names = {"s": "system", "u": "user", "a": "assistant", "t": "tool"}
    return [{"role": names[role], "content": content} for role, content in zip(roles, contents, strict=False)]


def drafts(*messages: list[dict[str, str | None]] | None, **columns: Sequence[str | None]) -> pl.DataFrame:
    count = len(messages)
    data: dict[str, Any] = {
        "id": [f"draft-{row}" for row in range(count)],
        "messages": list(messages),
        "because": [BECAUSE] * count,
        "finish_reason": ["stop"] * count,
        **columns,
    }
    return pl.DataFrame(data, schema_overrides={"messages": TURNS, **dict.fromkeys(columns, pl.String)})


def verdict(*contents: str | None, roles: str = "uaua", **columns: str | None) -> tuple[Any, Any, Any]:
    """(reason, measured, limit) of one conversation."""
    given_columns: dict[str, Any] = {name: [value] for name, value in columns.items()}
    frame = drafts(turns(*contents, roles=roles), **given_columns)
    seed, prompt = (name if name in columns else None for name in ("seed_text", "prompt_text"))
    row = form(frame, seed_text=seed, prompt_text=prompt).row(0, named=True)
    assert row["kept"] == (row["reason"] is None)
    return row["reason"], row["measured"], row["limit"]


def reason_for(ending: str) -> Any:
    """The reason for an answer that gives its reason first and then ends like this."""
    return verdict(ASK, f"{BECAUSE} {ending}")[0]


GOOD = (None, None, None)


# The verdict frame


def test_there_is_one_verdict_per_row_in_order_with_the_documented_schema() -> None:
    frame = drafts(turns(ASK, ANSWER), None, turns(ASK, ""), turns(ASK, ANSWER))
    before = frame.clone()
    verdicts = form(frame)
    assert verdicts.schema == VERDICT
    assert verdicts["id"].to_list() == frame["id"].to_list()
    assert verdicts["filter"].unique().to_list() == ["form"]
    assert verdicts["kept"].to_list() == [True, False, False, True]
    assert verdicts["reason"].to_list() == [None, "unreadable", "empty", None]
    assert verdicts["measured"].to_list() == [None, 0.0, 1.0, None]
    assert verdicts["limit"].to_list() == [None, 1.0, 0.0, None]
    assert frame.equals(before)


MESSY = st.text(alphabet=st.sampled_from('aä東 \n.!?"“”()[]{}`*-#|🙂\ufffd\x00\u200d'), max_size=40)
CONVERSATIONS = st.none() | st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "user", "assistant", "tool", None]), "content": st.none() | MESSY}
    ),
    max_size=5,
)


@settings(deadline=None)
@given(st.lists(CONVERSATIONS, min_size=1, max_size=6), st.integers())
def test_every_drop_has_a_reason_a_measure_and_a_limit_and_rows_are_judged_one_by_one(
    conversations: list[Any], seed: int
) -> None:
    frame = drafts(*conversations, because=[random.Random(seed).choice([None, "a", ""])] * len(conversations))
    verdicts = form(frame)
    dropped = verdicts.filter(~pl.col("kept"))
    kept = verdicts.filter("kept")
    assert len(kept) + len(dropped) == len(frame)
    assert sum(dropped.select("reason", "measured", "limit").null_count().row(0)) == 0
    assert kept.select("reason", "measured", "limit").null_count().row(0) == (len(kept),) * 3
    alone = [form(frame[row : row + 1]) for row in range(len(frame))]
    assert pl.concat(alone).equals(verdicts)
    assert pl.concat([form_scores(frame[row : row + 1]) for row in range(len(frame))]).equals(form_scores(frame))


def test_a_draft_that_fails_in_several_ways_has_the_first_reason() -> None:
    assert verdict(ASK, "", roles="ua", because=None, finish_reason="length")[0] == "empty"
    assert verdict(ASK, "Dear [NAME], and then", because=None)[0] == "broken"
    assert verdict(ASK, "I will do it and the", because=None)[0] == "cut_off"


def test_zero_rows_give_zero_verdicts() -> None:
    for frame in (drafts(), drafts().with_columns(messages=pl.lit(None))):
        assert form(frame).schema == VERDICT
        assert form(frame).height == 0
        assert form_scores(frame).height == 0


# Readable, in order, not empty


def test_a_null_or_empty_conversation_is_unreadable() -> None:
    assert form(drafts(None, []))["reason"].to_list() == ["unreadable", "unreadable"]
    assert form(drafts(None).with_columns(messages=pl.lit(None)))["reason"].to_list() == ["unreadable"]


@pytest.mark.parametrize(
    ("roles", "measured"),
    [("u", 0.0), ("a", 0.0), ("uau", 2.0), ("su", 0.0), ("uua", 0.0), ("uaa", 2.0), ("usa", 0.0), ("uat", 2.0)],
)
def test_roles_out_of_order_are_counted_from_where_the_order_ends(roles: str, measured: float) -> None:
    assert verdict(*[ANSWER] * len(roles), roles=roles) == ("wrong_roles", measured, len(roles))


@pytest.mark.parametrize("roles", ["ua", "sua", "uaua", "suaua"])
def test_roles_in_order_pass(roles: str) -> None:
    assert verdict(*[ANSWER] * len(roles), roles=roles) == GOOD


def test_a_missing_role_or_turn_is_out_of_order() -> None:
    nameless: list[Any] = [{"role": None, "content": ASK}, *turns(ANSWER, roles="a")]
    missing: list[Any] = [None, *turns(ANSWER, roles="a")]
    assert form(drafts(nameless, missing))["reason"].to_list() == ["wrong_roles", "wrong_roles"]


@pytest.mark.parametrize("blank", ["", " \n\t", "\u3000", None])
def test_every_blank_turn_is_counted(blank: str | None) -> None:
    assert verdict(blank, ANSWER) == ("empty", 1.0, 0.0)
    assert verdict(ASK, blank, blank, ANSWER) == ("empty", 2.0, 0.0)


# Broken


@pytest.mark.parametrize(
    "text",
    [
        "Dear [NAME], I am sorry. {because}",
        "Dear [Your Name], I am sorry. {because}",
        "Dear [Manager's name], I am sorry. {because}",
        "Call me at [insert phone number]. {because}",
        "Dear <your name>, I am sorry. {because}",
        "Dear {{{{name}}}}, I am sorry. {because}",
        "Talk to {{your_other}} first. {because}",
        "A \x00 zero. {because}",
        "An escape \x1b[31m in red. {because}",
        "Lost \ufffd letter. {because}",
        "{because} Done.<|im_end|>",
        "[INST] Do it. [/INST] {because}",
    ],
)
def test_text_that_no_person_would_send_is_broken(text: str) -> None:
    reason, measured, limit = verdict(ASK, text.format(because=BECAUSE))
    assert (reason, limit) == ("broken", 0.0)
    assert measured == (2.0 if "[/INST]" in text else 1.0)


def test_raw_json_is_broken_with_and_without_a_fence() -> None:
    reply = json.dumps({"messages": [{"role": "user", "content": ASK}], "because": BECAUSE})
    for text in (reply, f"```json\n{reply}\n```", f"[{reply}]", reply[:-20]):
        assert verdict(ASK, text) == ("broken", 1.0, 0.0)


def test_broken_marks_are_counted_in_every_turn() -> None:
    assert verdict("Dear [NAME], dear [NAME]", f"{ANSWER} \ufffd.") == ("broken", 3.0, 0.0)


@pytest.mark.parametrize(
    "text",
    [
        "See [1], [a], [x] and [the guide](https://example.org/FAQ). {because}",
        "The set {{a, b}} and f({{x}}) are fine. {because}",
        "He wrote that [his brother] left. {because}",
        "Write `Dear [NAME]` or `{{{{name}}}}` in the template. {because}",
        "Use this:\n```\nDear [NAME], {{{{x}}}}\n```\n{because}",
        "Tabs\tand\r\nWindows lines are text. {because}",
        "مرحبا، שלום, 👩\u200d👩\u200d👧 and e\u0301. {because}",
        "She said “yes”, he said 'no' & left <b>early</b>. {because}",
    ],
)
def test_brackets_braces_and_any_script_are_ordinary_text(text: str) -> None:
    assert verdict(ASK, text.format(because=BECAUSE)) == GOOD


# Cut off


@pytest.mark.parametrize(
    "ending",
    [
        "Ask her first.",
        "Would you ask her?!",
        "Ask her first…",
        "Ask her first...",
        "Say: “I was wrong.”",
        'Say: "I was wrong."',
        "Say: 'I was wrong.'",
        "(Ask her first.)",
        "**Ask her first.**",
        "_Ask her first._ ",
        "Ask her first. 🙂",
        "Ask her first 🙂",
        "Take care ❤️",
        "Ask her first.[1]",
        "Ask her first! #late #honest",
        "Ask her first.\u200b",
        "まず彼女に聞いてください。",
        "「先に聞いてください。」",
        "पहले उससे पूछो।",
        "اسألها أولاً؟",
        "ถามเธอก่อน",
        "Do this:\n- ask her\n- then write it down",
        "Do this:\n1. ask her\n2) write it down",
        "People to trust:\n- the one you work with\n- the ones you talk to",
        "Ask her first.\n\n- The White House\n- Gateway Arch, St. Louis",
        "Ask her first. Then:\n1. the date.\n2. the place\n3. the hour",
        "1. Ask her first.",
        "Do this:\n\n```\nask(her)\n```",
        "Do this:\n\n    ask(her)",
        "| who | what |\n|---|---|\n| her | ask |",
        "Write:\n\nDear Mo,\n\nI was wrong.\n\nWarmly,\nAnna Lee",
        "“One paragraph of a quote.\n\n“And its end.”",
        "Er sagte: „Das war falsch.“",
        'The board is 12" wide. Cut it.',
        "That hurts :( but it is true.",
        "First a) ask, then b) write.",
        "Don't say 'tis nothing.",
    ],
)
def test_a_finished_text_is_not_cut_off(ending: str) -> None:
    assert reason_for(ending) is None


@pytest.mark.parametrize(
    "ending",
    [
        "Then you should",
        "Then you should,",
        "Here is what to do:",
        "Then ask her; and",
        "Say: “I was wrong.",
        'Say: "I was wrong.',
        "Sag: „Das war falsch.",
        "Ask her (as you did in May.",
        "Ask her [as you did in May.",
        "「先に聞いてください。",
        "Do this:\n```\nask(her)",
        "Do this:\n```\nask(her)  # And wait.",
        "Do this:\n- ask her\n\nAnd then you",
        "Do this:\n1. Ask her first.\n2. Write it down, so that you both",
        "Do this:\n1. ask her\n2. Say it once more. Then wait for a day or two and ask",
        "Do this:\n- ask her\n- then write it down and",
        "Do this:\n* ask her\n* write it down,",
        "Do this:\n· Ask her first. 🙂\n· Then write it *down.*\n· And when she has",
        "A long sentence, with a comma,\nand then it stops",
    ],
)
def test_a_text_that_stops_inside_something_is_cut_off(ending: str) -> None:
    assert reason_for(ending) == "cut_off"


def test_signs_of_a_cut_are_counted() -> None:
    assert verdict(ASK, ANSWER, finish_reason="length") == ("cut_off", 1.0, 0.0)
    assert verdict(ASK, f"{BECAUSE} Say: “I was (and", finish_reason="length") == ("cut_off", 4.0, 0.0)


def test_an_earlier_turn_may_end_as_it_likes() -> None:
    assert verdict("should i tell them", "It depends", "on what", ANSWER) == GOOD


def test_an_unknown_or_missing_finish_reason_says_nothing() -> None:
    assert verdict(ASK, ANSWER, finish_reason=None) == GOOD
    assert verdict(ASK, ANSWER, finish_reason="end_turn") == GOOD


# JSON that was asked for


@pytest.mark.parametrize("text", ['{"a": NaN}', "[-Infinity]", "{'a': 1}", '{"a": 1} and more.', "No."])
def test_what_other_readers_cannot_read_is_broken_json(text: str) -> None:
    frame = drafts(turns(ASK, text), turns(ASK, '{"a": [1, "NaN"]}'))
    assert form(frame, because=None, finish_reason=None, expects="json")["reason"].to_list() == ["broken_json", None]


# Loops


@pytest.mark.parametrize("mark", ["{}. ", "{}) ", "({}) ", "{}: "])
def test_what_is_said_again_under_other_numbers_is_a_loop(mark: str) -> None:
    said = "\n".join(mark.format(number) + BECAUSE for number in range(1, 6))
    assert verdict(ASK, said) == ("loop", 5.0, 3.0)


def test_a_numbered_list_and_a_table_of_numbers_are_no_loop() -> None:
    times = " ".join(f"{number} times 3 is {3 * number}." for number in range(1, 13))
    assert reason_for(times) is None
    assert reason_for("Do this:\n1. ask her first\n2. ask her first, and wait\n3. ask her, and write it down.") is None


# The reason


@pytest.mark.parametrize("because", [None, "", "  ", "You can only plan for a delay.", BECAUSE.upper(), BECAUSE + "  "])
def test_a_reason_that_is_not_a_verbatim_span_of_the_last_turn_is_no_reason(because: str | None) -> None:
    assert verdict(ASK, ANSWER, because=because) == ("no_reason", 0.0, 1.0)


def test_a_reason_that_stands_only_in_an_earlier_turn_is_no_reason() -> None:
    assert verdict(ASK, ANSWER, "And then?", "Then write it down.") == ("no_reason", 0.0, 1.0)
    assert verdict(f"{ASK} {BECAUSE}", "Tell them today.") == ("no_reason", 0.0, 1.0)


def test_signs_with_a_meaning_in_patterns_are_plain_text_in_a_reason() -> None:
    reason = "It costs $5 (or more) [today]: a.b* \\d+?"
    assert verdict(ASK, f"{reason} So ask.", because=reason) == GOOD
    assert verdict(ASK, "It costs 5 dollars. So ask.", because=".*")[0] == "no_reason"


def test_checks_whose_column_is_not_named_are_left_out() -> None:
    frame = drafts(turns(ASK, ANSWER)).select("id", "messages")
    assert form(frame, because=None, finish_reason=None)["kept"].to_list() == [True]


# Echo


WORDS = [f"word{number}" for number in range(100)]


@pytest.mark.parametrize("source", ["seed", "prompt"])
def test_an_answer_that_repeats_its_source_is_an_echo_with_the_share_it_repeats(source: str) -> None:
    said = " ".join(WORDS[:57]) + "."  # 50 shingles of 8 words
    column = {f"{source}_text": " ".join(WORDS[:22])}  # 15 of them
    assert verdict(ASK, said, because=said, **column) == (f"echo_{source}", 0.3, 0.3)
    less = {f"{source}_text": " ".join(WORDS[:21])}  # 14 of them
    assert verdict(ASK, said, because=said, **less) == GOOD


def test_the_share_is_of_all_the_assistant_says_and_not_of_what_the_user_says() -> None:
    seed = " ".join(WORDS[:40]) + "."
    other = " ".join(f"other{number}" for number in range(300)) + "."
    assert verdict(ASK, seed, "And?", ANSWER, seed_text=seed)[0] == "echo_seed"
    assert verdict(ASK, other, "And?", seed, because=seed, seed_text=seed) == GOOD
    assert verdict(seed, ANSWER, seed_text=seed) == GOOD


@pytest.mark.parametrize("nothing", [None, "", " "])
def test_nothing_can_be_echoed_of_a_missing_text(nothing: str | None) -> None:
    assert verdict(ASK, ANSWER, seed_text=nothing, prompt_text=nothing) == GOOD


def test_the_echo_limits_can_be_set() -> None:
    frame = drafts(turns(ASK, ANSWER), seed_text=[ANSWER])
    assert form(frame, seed_text="seed_text", seed_echo_limit=1.0)["limit"].to_list() == [1.0]
    half = drafts(turns(ASK, ANSWER + " " + " ".join(WORDS) + "."), seed_text=[ANSWER])
    assert form(half, seed_text="seed_text", seed_echo_limit=1.0)["kept"].to_list() == [True]
    assert form(half, seed_text="seed_text", seed_echo_limit=0.1)["reason"].to_list() == ["echo_seed"]


# Scores


def score(answer: str | None) -> float | None:
    value: float | None = form_scores(drafts(turns(ASK, answer)))["score"].item()
    return value


def sentence(length: int, start: int = 0) -> str:
    return " ".join(f"w{number}" for number in range(start, start + length)) + "."


def test_a_score_is_the_mean_of_four_whole_number_ratios() -> None:
    good = " ".join(sentence(10, 10 * number) for number in range(9))
    assert score(good) == 1.0
    # 20 words of 60; sentences of 5 words, 8 at least; one paragraph; 5 distinct words of 20.
    poor = " ".join([sentence(5)] * 4)
    assert score(poor) == pytest.approx(float((Fraction(20, 60) + Fraction(20, 32) + 1 + Fraction(5, 20)) / 4))
    # 500 words, 400 at most; 50 a sentence, 28 at most; one paragraph of 120 at most; all distinct.
    long = " ".join(sentence(50, 50 * number) for number in range(10))
    assert score(long) == pytest.approx(float((Fraction(400, 500) + Fraction(28, 50) + Fraction(120, 500) + 1) / 4))
    # The same in ten paragraphs.
    assert score(long.replace(". ", ".\n\n")) == pytest.approx(
        float((Fraction(400, 500) + Fraction(28, 50) + 1 + 1) / 4)
    )


def test_only_the_first_hundred_words_count_for_variety_so_that_length_does_not_lower_it() -> None:
    hundred = " ".join(sentence(10, 10 * number) for number in range(10))
    assert score(f"{hundred}\n\n{hundred}") == 1.0


def test_a_row_without_words_of_the_assistant_has_no_score() -> None:
    frame = drafts(None, [], turns(ASK, roles="u"), turns(ASK, ""), turns(ASK, "…"), turns(ASK, "No."))
    scores = form_scores(frame)
    assert scores["id"].to_list() == frame["id"].to_list()
    assert scores["score"].null_count() == 5
    assert scores["score"].is_null().to_list() == [True] * 5 + [False]
    assert scores.schema == {"id": pl.String, "score": pl.Float64}


@settings(deadline=None)
@given(st.lists(st.none() | st.text(), max_size=8))
def test_scores_lie_between_zero_and_one(answers: list[str | None]) -> None:
    usable = [None if answer is None else answer.encode("utf-8", "ignore").decode() for answer in answers]
    frame = drafts(*(turns(ASK, answer) for answer in usable))
    before = frame.clone()
    scores = form_scores(frame)["score"].drop_nulls()
    assert scores.is_between(0, 1).all()
    assert frame.equals(before)


# Real text


def real(rows: int) -> pl.DataFrame:
    path = DATA / "alpaca_5000.json"
    if not path.is_file():
        pytest.skip(f"the test data {path} is not there (THOUSANDFOLD_TEST_DATA names its folder)")
    records = json.loads(path.read_text(encoding="utf-8"))[:rows]
    return drafts(*(turns(record["instruction"], record["output"]) for record in records))


def test_real_answers_of_some_length_pass_and_the_same_answers_cut_in_a_sentence_do_not() -> None:
    frame = real(5_000)
    prose = frame.filter(
        pl.col("messages").list.last().struct.field("content").str.count_matches(r"\w+") >= 40,
        ~pl.col("messages").list.last().struct.field("content").str.contains(r"[\[{<`|=;]|\n *[\d*-]"),
    )
    assert len(prose) > 1_000
    whole = form(prose, because=None)
    assert whole["kept"].sum() >= 0.97 * len(prose)
    cut = [
        turns(asked["content"], answered["content"][: len(answered["content"]) // 2].rstrip(" .!?"))
        for asked, answered in prose["messages"].to_list()
    ]
    # Most of what is missed is verse and lists without signs, which may end anywhere.
    assert (form(drafts(*cut), because=None)["reason"] == "cut_off").sum() >= 0.96 * len(prose)


# Wrong arguments


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({"ids": "key"}, "the frame has no column 'key'; it has id, messages, because, finish_reason"),
        ({"seed_text": "seed"}, "the frame has no column 'seed'; it has id, messages, because, finish_reason"),
        ({"messages": "because"}, "column 'because' is String"),
        ({"because": "messages"}, "column 'messages' is List(Struct({'role': String, 'content': String}))"),
        ({"seed_echo_limit": 0}, "seed_echo_limit is 0"),
        ({"prompt_echo_limit": 30}, "prompt_echo_limit is 30"),
        ({"prompt_echo_limit": "some"}, "prompt_echo_limit is 'some'"),
    ],
)
def test_a_wrong_argument_is_named_with_what_is_there(arguments: dict[str, Any], what: str) -> None:
    with pytest.raises(FilterError) as caught:
        form(drafts(turns(ASK, ANSWER)), **arguments)
    assert caught.value.what == what
    assert caught.value.why
    assert caught.value.do


def test_a_list_that_holds_no_turns_is_refused() -> None:
    frame = pl.DataFrame({"id": ["a"], "messages": [["just text"]]})
    with pytest.raises(FilterError) as caught:
        form_scores(frame)
    assert str(caught.value) == (
        "column 'messages' is List(String)\n"
        "  why: a conversation is a list of turns, each with a role and a content\n"
        "  do:  give List(Struct({'role': String, 'content': String}))"
    )
