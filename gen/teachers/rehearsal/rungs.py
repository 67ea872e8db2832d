"""scene → a lesser last turn for a conversation: hollow, violating or over-done, of the length that is wanted."""

from __future__ import annotations

import json

from . import flaws
from .draws import Draws
from .questions import Question
from .scenes import Scene


def answer(question: Question, scene: Scene, key: str) -> str:
    """The reply to an ask for a lesser answer, as JSON."""
    draws = Draws("rung", question.purpose, key)
    return json.dumps({"answer": flaws.hollow(scene, draws).messages[-1].content}, ensure_ascii=False)
