"""Conversations in plain text: read however the turns are marked, and refused where there is none."""

from __future__ import annotations

import pytest

from thousandfold.gen.prose import read_prose
from thousandfold.gen.replies import UnreadableReplyError

TURNS = [("user", "Is it safe?\n\nI ask for my son."), ("assistant", "Not yet. Wait, because it is wet.")]


USER, ANSWER, REASON = TURNS[0][1], TURNS[1][1], "because it is wet"


@pytest.mark.parametrize(
    "text",
    [
        f"[user]\n{USER}\n\n[assistant]\n{ANSWER}\n\n[because]\n{REASON}",
        f"Here it is:\n\nUser: {USER}\nAssistant: {ANSWER}\nBecause: {REASON}",
        f"**User:** {USER}\n\n**Assistant:** {ANSWER}\n\n**Because:** “{REASON}”",
        f"## Person\n{USER}\n## Assistant\n{ANSWER}\n## Because\n{REASON}\n",
        f"```text\n[USER]\n{USER}\n[ASSISTANT]\n{ANSWER}\n[BECAUSE]\n{REASON}\n```",
        f"<think>[user] no</think>[user] {USER}\n[assistant] {ANSWER}\nReason: {REASON}",
    ],
)
def test_turns_are_read_in_every_form(text: str) -> None:
    assert read_prose(text) == (TURNS, "because it is wet")


def test_a_turn_may_itself_hold_what_looks_like_another_form_of_mark() -> None:
    turns, because = read_prose(
        "[user]\nuser: root\nBecause: it said so\n[assistant]\n**User:** is a field.\n[because]\nx"
    )
    assert turns == [("user", "user: root\nBecause: it said so"), ("assistant", "**User:** is a field.")]
    assert because == "x"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("I would rather not.", "no turn in the reply: neither a line [user] nor a line [assistant]"),
        ("[user]\nonly me", "no turn in the reply: neither a line [user] nor a line [assistant]"),
        ("[user]\na\n[assistant]\nb", "no reason in the reply: nothing stands under [because]"),
        ("[user]\na\n[assistant]\nb\n[because]\n ", "no reason in the reply: nothing stands under [because]"),
    ],
)
def test_what_has_no_turn_or_no_reason_is_refused(text: str, problem: str) -> None:
    with pytest.raises(UnreadableReplyError, match=r"^no ") as caught:
        read_prose(text)
    assert str(caught.value) == problem
