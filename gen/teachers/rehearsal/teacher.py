"""asks → outcomes, offline: rehearsal as a teacher and as a judge. It is not a language model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from dataclasses import fields

from ...errors import RecipeError
from ..base import Ask, Outcome
from .flaws import Dials
from .judge_faults import FAULTLESS, FAULTS, Faults
from .reply import reply

TEACHER_FAMILY = "rehearsal-teacher"
JUDGE_FAMILY = "rehearsal-judge"

DIALS = tuple(dial.name for dial in fields(Dials))

IN_FLIGHT = 256  # nothing is ever waited for; the number only bounds what a run holds at once
YIELD_EVERY = 32  # outcomes between two pauses: about ten milliseconds that others wait at most


class _Rehearsal:
    """What both have in common: composing without waiting."""

    family: str
    max_in_flight = IN_FLIGHT

    def __init__(self, dials: Dials, faults: Faults = FAULTLESS) -> None:
        self.dials, self.faults = dials, faults

    @property
    def model(self) -> str:
        """The family, and the dials where they are not at their defaults."""
        return self.family + self.dials.suffix + self.faults.suffix

    async def answer(self, asks: AsyncIterable[Ask]) -> AsyncIterator[Outcome]:
        """One outcome for each ask, in the order of the asks."""
        answered = 0
        async for ask in asks:
            yield self._outcome(ask)
            answered += 1
            if answered % YIELD_EVERY == 0:
                await asyncio.sleep(0)

    def _outcome(self, ask: Ask) -> Outcome:
        most = ask.sampling.max_tokens
        said = reply(ask.messages, seed=ask.request_seed, max_tokens=most, dials=self.dials, faults=self.faults)
        return Outcome(
            ask_id=ask.id,
            text=said.text,
            finish_reason=said.finish_reason,
            usage=said.usage,
            served_model=self.model,
        )

    async def close(self) -> None:
        """Nothing is held open."""


class RehearsalTeacher(_Rehearsal):
    """Composes situations and exemplars from hand-written sentences, with flaws planted at known rates."""

    family = TEACHER_FAMILY

    def __init__(self, **dials: float) -> None:
        """`dials` are the fields of `Dials`, by name."""
        super().__init__(Dials(**dials))


class RehearsalJudge(_Rehearsal):
    """Rates what rehearsal composed, by recognising its sentences; it knows nothing of any other text."""

    family = JUDGE_FAMILY

    def __init__(self, **faults: float) -> None:
        """`faults` are the fields of `Faults`, by name: quality, keywords, length, position."""
        super().__init__(Dials(), Faults(**faults))


def from_dials(settings: str = "", *, judge: bool = False) -> RehearsalTeacher | RehearsalJudge:
    """The teacher with the dials of a SPEC, such as `hollow=0.2&near_copy=0`; or the judge, with its `quality=0.8`."""
    if judge:
        why = "after the colon stand its dials: its AUC, and the levels that a fault adds"
        return RehearsalJudge(**_parse(settings, FAULTS, why, "rehearsal:quality=0.8&length=1"))
    why = "after the colon stand its dials: the shares of exemplars that are flawed on purpose"
    return RehearsalTeacher(**_parse(settings, DIALS, why, "rehearsal:hollow=0.1&near_copy=0"))


def _parse(settings: str, known: Sequence[str], why: str, example: str) -> dict[str, float]:
    dials: dict[str, float] = {}
    for setting in filter(None, settings.split("&")):
        name, _, share = setting.partition("=")
        try:
            if name not in known:
                raise ValueError(name)
            dials[name] = float(share)
        except ValueError as error:
            raise RecipeError(
                what=f"rehearsal does not understand {setting!r}",
                why=why,
                do=f"write it as {example}; the dials are {', '.join(known)}",
            ) from error
    return dials
