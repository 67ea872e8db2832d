"""A card and a key → a whole conversation with the scene it was made from: what flaws are planted on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..base import Message
from .draws import Draws
from .phrases import Fragments
from .questions import Question
from .scenes import Scene, scene_of, situations
from .writer import Exemplar, conversation


@dataclass(frozen=True)
class Composed:
    """A genuine exemplar, the situation it answers, and all that it was composed from."""

    scene: Scene
    situation: str
    exemplar: Exemplar
    key: str  # of the draws, so that another key gives other sentences

    @property
    def answer(self) -> str:
        """The last turn, which the assistant's reason stands in."""
        return self.exemplar.messages[-1].content

    @property
    def said(self) -> str:
        """All that the assistant says, as the filters read it."""
        return "\n".join(turn.content for turn in self.exemplar.messages if turn.role == "assistant")

    @property
    def asked(self) -> str:
        """All that the person says."""
        return "\n".join(turn.content for turn in self.exemplar.messages if turn.role == "user")

    def draws(self, purpose: str) -> Draws:
        return Draws(purpose, self.key)


@dataclass(frozen=True)
class Sources:
    """What a teacher was shown, and might repeat instead of answering."""

    seed: str = ""  # the turns of the exemplar it was shown
    prompt: str = ""  # its instructions
    context: str = ""  # the context card, `axis: level — description` in lines


@dataclass(frozen=True)
class Flawed:
    """What the teacher sends instead of a good exemplar, and the truth about it.

    Either `messages` is there, or `raw`: a reply that is no exemplar. `facts` holds what was measured when it was
    planted, so that a test can measure it again.
    """

    messages: tuple[Message, ...] = ()
    because: str = ""
    finish_reason: str = "stop"
    raw: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    original: Flawed | None = None  # what this one copies, where that was made for it

    def as_json(self) -> str:
        """The reply as a provider would send it."""
        return self.raw if self.raw is not None else Exemplar(self.messages, self.because).as_json()


def compose(
    facet: str, levels: Mapping[str, str], described: Mapping[str, str], key: str, fragments: Fragments
) -> Composed:
    """A situation of the card's own, and the exemplar for it; equal arguments give an equal one."""
    asked = Question("scenario", facet=facet, levels=levels, described=described, how_many=1)
    reply = json.loads(situations(asked, fragments, Draws("situation", key)))
    return composed_for(facet, levels, reply["situations"][0]["situation"], key, fragments)


def composed_for(facet: str, levels: Mapping[str, str], situation: str, key: str, fragments: Fragments) -> Composed:
    """The exemplar for a situation that was told before."""
    question = Question("exemplar", facet=facet, levels=levels, situation=situation)
    scene = scene_of(question, fragments, Draws("scene", key))
    return Composed(scene, situation, conversation(scene, Draws("exemplar", key)), key)


def composed_from(
    facet: str, levels: Mapping[str, str], situation: str, exemplar: Exemplar, key: str, fragments: Fragments
) -> Composed:
    """An exemplar that was written before, with the scene that its situation tells."""
    question = Question("exemplar", facet=facet, levels=levels, situation=situation)
    return Composed(scene_of(question, fragments, Draws("scene", key)), situation, exemplar, key)


def rewritten(messages: tuple[Message, ...], answer: str) -> tuple[Message, ...]:
    """The conversation with another last turn."""
    return (*messages[:-1], Message("assistant", answer))
