"""Reading a conversation that a model wrote as plain text, with a mark before each turn, however it made the marks."""

from __future__ import annotations

import re

from .replies import UnreadableReplyError, without_thoughts
from .text import storable

_FENCE = re.compile(r"^\s*```[a-zA-Z]*[ \t]*\n(.*?)\n?[ \t]*```\s*$", re.DOTALL)
_NAMES = {
    "system": "system",
    "user": "user",
    "person": "user",
    "human": "user",
    "assistant": "assistant",
    "model": "assistant",
    "because": "because",
    "reason": "because",
}
_WORDS = "|".join(_NAMES)
_MARK = re.compile(
    rf"""^[ \t]*(?:
        \#{{0,6}}[ \t]*[*_]{{0,3}} \[ (?P<square>{_WORDS}) \] [*_]{{0,3}} :? [*_]{{0,3}}   # [user], **[user]:**
      | \#{{1,6}}[ \t]*[*_]{{0,3}} (?P<heading>{_WORDS}) [*_]{{0,3}} :? [*_]{{0,3}} (?=[ \t]*$)   # ## user
      | [*_]{{2,3}} (?P<bold>{_WORDS}) (?: : [*_]{{2,3}} | [*_]{{2,3}} :? )   # **User:** or **User**
      | (?P<plain>{_WORDS}) [ \t]* :   # User: …
    )[ \t]*""",
    re.MULTILINE | re.IGNORECASE | re.VERBOSE,
)
_FORMS = ("square", "heading", "bold", "plain")


def read_prose(text: str) -> tuple[list[tuple[str, str]], str]:
    """(role, content) of each turn, and the reason, out of a reply in plain text.

    Read are `[user]`, `## User`, `**User:**` and `User:`, in any case, alone on a line or before the words of a turn.
    Of these forms the first counts that the reply uses for both speakers, so that a turn may say `user: root` and stay
    whole. Code fences around all of it, reasoning in <think> tags, and words before the first mark are left out.
    Raises UnreadableReplyError where there is no turn, or no reason.
    """
    body = without_thoughts(storable(text))
    if fenced := _FENCE.match(body):
        body = fenced.group(1)
    marks = _marks(body)
    if not marks:
        raise UnreadableReplyError("no turn in the reply: neither a line [user] nor a line [assistant]")
    ends = [start for start, _, _ in marks[1:]] + [len(body)]
    parts = [(role, body[begin:end].strip()) for (_, begin, role), end in zip(marks, ends, strict=True)]
    turns = [(role, said) for role, said in parts if role != "because"]
    reasons = [said for role, said in parts if role == "because" and said]
    if not reasons:
        raise UnreadableReplyError("no reason in the reply: nothing stands under [because]")
    return turns, _unquoted(reasons[-1], turns[-1][1])


def _marks(body: str) -> list[tuple[int, int, str]]:
    """(start of the mark, end of it, role) in the order of the reply, all of one form but for the reason's."""
    found = [(mark, next(form for form in _FORMS if mark[form])) for mark in _MARK.finditer(body)]
    roles = {form: {_NAMES[mark[form].lower()] for mark, own in found if own == form} for form in _FORMS}
    form = next((form for form in _FORMS if {"user", "assistant"} <= roles[form]), None)
    if form is None:
        return []
    own = [(mark, _NAMES[mark[kind].lower()], kind) for mark, kind in found]
    last_turn = max(mark.start() for mark, role, kind in own if kind == form and role != "because")
    return [
        (mark.start(), mark.end(), role)
        for mark, role, kind in own
        if kind == form or (role == "because" and mark.start() > last_turn and "because" not in roles[form])
    ]


def _unquoted(reason: str, answer: str) -> str:
    """The reason as it stands in the answer: quotation marks around all of it are taken off where that finds it."""
    bare = reason.strip("\"“”'‘’*_ \n")
    return bare if reason not in answer and bare in answer else reason
