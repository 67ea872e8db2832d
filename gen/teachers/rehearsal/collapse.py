"""The dial for mode collapse: how a teacher falls back on its favourites, and what in a prompt keeps it from that.

This models a teacher. The shares below are set, not found: with them a run can be seen to become less varied and,
where a prompt says what real prompts say against it, more varied again. They prove that the words arrive and the
switches work, and nothing about any real model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from .draws import Draws
from .questions import Question

T = TypeVar("T")

FAVOURITES = 2
"""A collapsed reply takes of everything (cases, structures, sentences of a move) one of the first so many."""

HEEDED_TAIL = 0.8
"""Share of collapsed replies to a question for unlikely situations that hold some which are no favourites."""
HEEDED_ROTATION = 0.7
"""Share of collapsed conversations that a given structure and opening keep from being so."""
HEEDED_SHOT = 0.25
"""The same, for each exemplar beside the first."""
HEEDED_PROSE = 0.3
"""The same, of asking for plain text instead of JSON."""
HEEDED_CRITIQUE = 0.5
"""The same of a revision, beside all else."""


class Favoured(Draws):
    """Draws that fall on the first few of whatever is offered."""

    def pick(self, items: Sequence[T]) -> T:
        return super().pick(self.few(items))

    def below(self, size: int) -> int:
        return super().below(min(size, FAVOURITES))

    def few(self, items: Sequence[T]) -> Sequence[T]:
        return items[:FAVOURITES]


def drawn(collapse: float, question: Question, name: str, key: str) -> Draws:
    """The draws of a reply: ordinary ones, or those of a teacher that has collapsed and is not kept from it."""
    collapsed = Draws("collapse", name, key).chance(collapse * (1 - heeded(question)))
    return (Favoured if collapsed else Draws)(name, key)


def heeded(question: Question) -> float:
    """Share of collapsed replies that what the question says turns into ordinary ones; each thing by itself."""
    if question.purpose == "scenario":
        return 0.0  # a tail is heeded situation by situation
    left = 1.0 - HEEDED_ROTATION * question.rotated
    left *= 1.0 - HEEDED_PROSE * question.prose
    left *= 1.0 - HEEDED_CRITIQUE * bool(question.critique)
    return 1.0 - left * (1.0 - HEEDED_SHOT) ** question.shots
