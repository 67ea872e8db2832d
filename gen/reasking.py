"""asks → replies that can be read: one that cannot is kept with its reason, and asked for again with it.

The model is shown its reply and what was wrong with it, at most `run.reasks` times. Such a follow-up is an ask like
any other: its id is a hash of its words, so it is replayed, and its worst case is reserved before it is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from thousandfold.prompts import Prompt

from .asking import Asker
from .events import Event
from .replies import UnreadableReplyError
from .teachers.base import Ask, Message, Outcome
from .text import storable

T = TypeVar("T")

SHOWN_BYTES = 2000
"""Of a reply that could not be read, so much is shown to the model that wrote it: its head and its end."""
HEAD_BYTES = 1400
PROBLEM_BYTES = 400


@dataclass(frozen=True)
class Reasks:
    """How often is asked again, and in which words."""

    most: int
    prompt: Prompt


@dataclass(frozen=True)
class Reading(Generic[T]):
    """What came of one ask, with what it was asked again: `value`, or the `problem` that there is none."""

    outcome: Outcome  # of the last ask
    value: T | None = None
    problem: str | None = None


async def readings_of(
    asker: Asker, asks: Sequence[Ask], read: Callable[[str], T], *, reasks: Reasks
) -> dict[str, Reading[T]]:
    """ask id → its reading, for those asks that the budget reached, follow-ups included.

    `read` raises UnreadableReplyError for a reply that is not what was asked for. Each reason is noted in the ledger.
    """
    found: dict[str, Reading[T]] = {}
    waiting = {ask.id: ask for ask in asks}  # id of the first ask → the one that is asked now
    reasons: dict[str, str] = {}
    for left in range(reasks.most, -1, -1):
        outcomes = await asker.answers(list(waiting.values()))
        unread: dict[str, str] = {}
        following: dict[str, Ask] = {}
        for first, ask in waiting.items():
            outcome = outcomes.get(ask.id)
            if outcome is None:
                continue
            reading = found[first] = _reading(outcome, read, reasons.get(first))
            if outcome.text is None or reading.problem is None:
                continue
            unread[ask.id] = reasons[first] = reading.problem
            if left:
                del found[first]
                following[first] = follow_up(ask, outcome.text, _told(reading.problem, outcome, ask), reasks)
        if unread:
            asker.ledger.put_unreadable(unread)
        if not following:
            break
        purpose = next(iter(following.values())).purpose
        asker.tell(Event("reasked", {"purpose": purpose, "count": len(following)}))
        waiting = following
    return found


def follow_up(ask: Ask, text: str, problem: str, reasks: Reasks) -> Ask:
    """The ask that shows the model its reply `text` to `ask`, says what was wrong, and wants the whole of it again."""
    words = reasks.prompt.render(problem=_cut(problem, PROBLEM_BYTES, PROBLEM_BYTES))
    said = Message("assistant", _cut(text, SHOWN_BYTES, HEAD_BYTES) if text.strip() else "(nothing)")
    return Ask(
        model=ask.model,
        messages=(*ask.messages, said, *(Message(role, content) for role, content in words)),
        sampling=ask.sampling,
        schema=ask.schema,
        draw=ask.draw,
        purpose=ask.purpose,
        follows=ask.follows or ask.id,
    )


def with_follow_ups(path: Sequence[Ask], reasks: Reasks) -> list[Ask]:
    """`path`, each ask followed by the longest follow-ups that it can have: what it costs at the worst."""
    whole: list[Ask] = []
    for ask in path:
        whole.append(ask)
        for _ in range(reasks.most):
            whole.append(follow_up(whole[-1], "x" * SHOWN_BYTES, "x" * PROBLEM_BYTES, reasks))
    return whole


def _reading(outcome: Outcome, read: Callable[[str], T], reason: str | None) -> Reading[T]:
    if outcome.text is None:
        problem = f"{outcome.failure}: {outcome.detail}"
        return Reading(outcome, problem=f"{reason}; asked again: {problem}" if reason else problem)
    try:
        return Reading(outcome, read(outcome.text))
    except UnreadableReplyError as error:
        return Reading(outcome, problem=storable(str(error)))


def _told(problem: str, outcome: Outcome, ask: Ask) -> str:
    """The problem as the model is told it: that it was cut off explains more than what is missing at the end."""
    if outcome.finish_reason != "length":
        return f"{problem}."
    return f"it was cut off at the limit of {ask.sampling.max_tokens} tokens ({problem}). Keep all of it shorter."


def _cut(text: str, most_bytes: int, head_bytes: int) -> str:
    """`text` within so many bytes of UTF-8: its head, a mark, and its end where there is room for it."""
    data = storable(text).encode()
    if len(data) <= most_bytes:
        return data.decode()
    mark = " … "
    head = min(head_bytes, most_bytes - len(mark.encode()))
    end = most_bytes - head - len(mark.encode())
    return data[:head].decode(errors="ignore") + mark + (data[-end:].decode(errors="ignore") if end else "")
