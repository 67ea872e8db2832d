"""asks → replies that can be read: one that cannot is kept with its reason, and asked for again with it.

The model is shown its reply and what was wrong with it, at most `run.reasks` times. Such a follow-up is an ask like
any other: its id is a hash of its words, so it is replayed, and its worst case is reserved before it is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Generic, TypeVar

from thousandfold.prompts import Prompt

from .asking import Asker
from .events import Event
from .ledger import Ledger
from .replies import UnreadableReplyError
from .teachers.base import Ask, Message, Outcome
from .text import storable

T = TypeVar("T")

SHOWN_BYTES = 2000
"""Of a reply that could not be read, so much is shown to the model that wrote it: its head and its end."""
HEAD_BYTES = 1400
PROBLEM_BYTES = 400

KEPT = 10_000
"""Readings of one kind that are kept in memory, with their texts: about twenty megabytes."""
READ_AT_ONCE = 100
"""Of the others, so many are read again at a time."""


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


class Readings(Mapping[str, Reading[T]]):
    """Id of an ask → its reading, for those that the budget reached, in no order of their own.

    The first `KEPT` are in memory; of the rest only what could not be read, and where else to look: it is read again
    out of the ledger.
    """

    def __init__(self, ledger: Ledger, read: Callable[[str], T]) -> None:
        self._ledger = ledger
        self._read = read
        self._kept: dict[str, Reading[T]] = {}
        self._left: set[str] = set()  # first asks of what is not kept
        self._later: dict[str, str] = {}  # of those that were asked again: id of the first ask → that of the last

    def put(self, first: str, reading: Reading[T]) -> None:
        if reading.problem is not None or len(self._kept) < KEPT:
            self._kept[first] = reading
            return
        self._left.add(first)
        if reading.outcome.ask_id != first:
            self._later[first] = reading.outcome.ask_id

    def __getitem__(self, first: str) -> Reading[T]:
        if first not in self:
            raise KeyError(first)
        return next(reading for reading in self.each([first]) if reading is not None)

    def __contains__(self, first: object) -> bool:
        return first in self._kept or first in self._left

    def __iter__(self) -> Iterator[str]:
        return chain(self._kept, self._left)

    def __len__(self) -> int:
        return len(self._kept) + len(self._left)

    def each(self, firsts: Iterable[str]) -> Iterator[Reading[T] | None]:
        """The reading of each, in order, or None; few at a time are in memory."""
        left = iter(firsts)
        while part := list(islice(left, READ_AT_ONCE)):
            again = self._again([self._later.get(first, first) for first in part if first in self._left])
            for first in part:
                yield self._kept.get(first) or again.get(self._later.get(first, first))

    def pairs(self) -> Iterator[tuple[str, Reading[T]]]:
        """All of them; few at a time are read again."""
        firsts = list(self)
        return (
            (first, reading) for first, reading in zip(firsts, self.each(firsts), strict=True) if reading is not None
        )

    def _again(self, ask_ids: Sequence[str]) -> dict[str, Reading[T]]:
        return {ask_id: _reading(o, self._read, None) for ask_id, o in self._ledger.get_many(ask_ids).items()}


async def readings_of(asker: Asker, asks: Iterable[Ask], read: Callable[[str], T], *, reasks: Reasks) -> Readings[T]:
    """ask id → its reading, for those asks that the budget reached, follow-ups included.

    `read` raises UnreadableReplyError for a reply that is not what was asked for; each is read as soon as it is in the
    ledger, and each reason is noted there. An iterator of asks is taken from as `Asker.settle` does.
    """
    found: Readings[T] = Readings(asker.ledger, read)
    waiting: Iterable[Ask] = asks
    firsts: dict[str, str] = {}
    reasons: dict[str, str] = {}
    for left in range(reasks.most, -1, -1):
        once = _Pass(found, read, reasks if left else None, firsts, reasons)
        await asker.settle(waiting, once.use)
        if once.unread:
            asker.ledger.put_unreadable(once.unread)
        if not once.following:
            break
        waiting = again = [once.following[first] for first in sorted(once.following)]  # not in the order of arrival
        firsts = {ask.id: first for first, ask in once.following.items()}
        asker.tell(Event("reasked", {"purpose": again[0].purpose, "count": len(again)}))
    return found


class _Pass(Generic[T]):
    """Reads what comes of one set of asks: a reading, or with `reasks` a follow-up."""

    def __init__(
        self,
        found: Readings[T],
        read: Callable[[str], T],
        reasks: Reasks | None,
        firsts: Mapping[str, str],
        reasons: dict[str, str],
    ) -> None:
        self._found, self._read, self._reasks = found, read, reasks
        self._firsts = firsts  # id of a follow-up → that of the first ask
        self._reasons = reasons  # id of the first ask → what was wrong with the last reply
        self.unread: dict[str, str] = {}
        self.following: dict[str, Ask] = {}

    def use(self, ask: Ask, outcome: Outcome) -> None:
        first = self._firsts.get(ask.id, ask.id)
        reading = _reading(outcome, self._read, self._reasons.get(first))
        if outcome.text is not None and reading.problem is not None:
            self.unread[ask.id] = self._reasons[first] = reading.problem
            if self._reasks is not None:
                told = _told(reading.problem, outcome, ask)
                self.following[first] = follow_up(ask, outcome.text, told, self._reasks)
                return
        self._found.put(first, reading)


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
