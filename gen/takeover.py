"""asks → answers, where the teacher of an ask may go down: its asks go to the next in line, and that is noted.

The ledger keeps who took over what. What it holds is replayed as it came about, so that a run in which a teacher was
parked can be made again, byte for byte; what it does not hold yet goes to its own teacher first, in every run anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice, repeat
from typing import Generic, NamedTuple, TypeVar

from .asking import Asker
from .reasking import Reading, Readings, Reasks, readings_of
from .teachers.base import Ask

T = TypeVar("T")

MOVED = "asked of another teacher"
"""Of the ledger's note: key of a question -> the model that was asked in its teacher's place."""


@dataclass(frozen=True)
class Question:
    """One ask that several models could be given."""

    key: str  # the same in every run, whoever is asked
    order: Sequence[str]  # models, its own first
    ask_of: Callable[[str], Ask]


class Asked(NamedTuple):
    """The ask that was made of a question."""

    id: str
    model: str


class Answers(Generic[T]):
    """What came of questions: an ask for each, in order; fewer where the budget did not reach the rest."""

    def __init__(self, ids: Sequence[str], models: Sequence[str], readings: Mapping[str, Reading[T]]) -> None:
        """`models` are those that were asked, one for each of `ids`, or the one for all."""
        self.ids = ids
        self._models = models
        self._readings = readings

    def each(self) -> Iterator[tuple[Asked, Reading[T] | None]]:
        """Each ask with its reading, or None where the budget did not reach it; few at a time are in memory."""
        readings = self._readings
        found = readings.each(self.ids) if isinstance(readings, Readings) else map(readings.get, self.ids)
        models = self._models if len(self._models) == len(self.ids) else repeat(self._models[0])
        return (
            (Asked(ask_id, model), reading) for ask_id, model, reading in zip(self.ids, models, found, strict=False)
        )


def resolved(questions: Sequence[Question], asker: Asker) -> list[Ask]:
    """What to ask for each question: of whoever took it over and answered, else of the first that is not parked."""
    several = any(len(question.order) > 1 for question in questions)
    moved: dict[str, str] = (asker.ledger.note(MOVED) or {}) if several else {}
    taken = {
        place: question.ask_of(moved[question.key])
        for place, question in enumerate(questions if moved else ())
        if moved.get(question.key) in question.order
    }
    held = asker.ledger.get_many([ask.id for ask in taken.values()]) if taken else {}
    return [
        taken[place] if place in taken and taken[place].id in held else question.ask_of(_first(question, asker))
        for place, question in enumerate(questions)
    ]


async def answered(
    questions: Iterable[Question], asker: Asker, read: Callable[[str], T], *, reasks: Reasks
) -> Answers[T]:
    """What comes of the questions. Where nobody can take over, each is taken, and its ask made, as it is sent.

    Raises what `Asker.settle` raises.
    """
    left = iter(questions)
    begin = list(islice(left, 1))
    if begin and len(begin[0].order) > 1:
        return await _answered_by_any([*begin, *left], asker, read, reasks=reasks)
    ids: list[str] = []

    def asks() -> Iterator[Ask]:
        for question in chain(begin, left):
            ask = question.ask_of(question.order[0])
            ids.append(ask.id)
            yield ask

    readings = await readings_of(asker, asks(), read, reasks=reasks)
    return Answers(ids, [question.order[0] for question in begin], readings)


async def _answered_by_any(
    questions: Sequence[Question], asker: Asker, read: Callable[[str], T], *, reasks: Reasks
) -> Answers[T]:
    asks = resolved(questions, asker)
    answers: dict[str, Reading[T]] = {}
    todo: list[int] = list(range(len(asks)))
    while todo:
        _note_moves([(questions[place], asks[place]) for place in todo], asker)
        found = await readings_of(asker, [asks[place] for place in todo], read, reasks=reasks)
        answers.update(found.pairs())
        todo = [place for place in todo if asks[place].id not in answers and asks[place].model in asker.parked]
        for place in todo:
            asks[place] = questions[place].ask_of(_first(questions[place], asker))
    return Answers([ask.id for ask in asks], [ask.model for ask in asks], answers)


def _first(question: Question, asker: Asker) -> str:
    return next(model for model in question.order if model not in asker.parked)


def _note_moves(asked: Sequence[tuple[Question, Ask]], asker: Asker) -> None:
    moves = {question.key: ask.model for question, ask in asked if ask.model != question.order[0]}
    if moves:
        before = asker.ledger.note(MOVED) or {}
        if moves.items() - before.items():
            asker.ledger.put_note(MOVED, before | moves)
