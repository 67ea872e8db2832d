"""asks → answers, where the teacher of an ask may go down: its asks go to the next in line, and that is noted.

The ledger keeps who took over what. What it holds is replayed as it came about, so that a run in which a teacher was
parked can be made again, byte for byte; what it does not hold yet goes to its own teacher first, in every run anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from .asking import Asker
from .reasking import Reading, Reasks, readings_of
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
    questions: Sequence[Question], asker: Asker, read: Callable[[str], T], *, reasks: Reasks
) -> tuple[list[Ask], dict[str, Reading[T]]]:
    """(the asks, one for each question; ask id -> reading of those that the budget reached).

    Raises what `Asker.answers` raises.
    """
    asks = resolved(questions, asker)
    answers: dict[str, Reading[T]] = {}
    todo: list[int] = list(range(len(asks)))
    while todo:
        _note_moves([(questions[place], asks[place]) for place in todo], asker)
        answers |= await readings_of(asker, [asks[place] for place in todo], read, reasks=reasks)
        todo = [place for place in todo if asks[place].id not in answers and asks[place].model in asker.parked]
        for place in todo:
            asks[place] = questions[place].ask_of(_first(questions[place], asker))
    return asks, answers


def _first(question: Question, asker: Asker) -> str:
    return next(model for model in question.order if model not in asker.parked)


def _note_moves(asked: Sequence[tuple[Question, Ask]], asker: Asker) -> None:
    moves = {question.key: ask.model for question, ask in asked if ask.model != question.order[0]}
    if moves:
        before = asker.ledger.note(MOVED) or {}
        if moves.items() - before.items():
            asker.ledger.put_note(MOVED, before | moves)
