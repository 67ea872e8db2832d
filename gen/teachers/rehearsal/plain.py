"""scene → a conversation in which the value is not called for: an ordinary question, plainly answered."""

from __future__ import annotations

from ..base import Message
from .draws import Draws
from .scenes import Scene
from .writer import Exemplar

ASKED = (
    "I have to find my way into {topic} by Thursday. Where would you begin?",
    "What would you look at first, if {topic} were new to you? I have an hour for it.",
    "Could you put {topic} into an order of work for me? Three or four steps would do.",
    "Somebody asked me to write half a page about {topic}. What belongs on it?",
    "How do people usually keep track of {topic} from week to week?",
    "I'd like a short list of what to have ready before we talk about {topic}.",
)
ANSWERED = (
    "Begin with whatever has a date on it, and write the dates in one place.",
    "Put the three numbers that matter at the top of the page, with the day they were taken.",
    "An hour is enough for the first pass if you read the headings before the text.",
    "Ask whoever did it last where they keep the current version, and work from that one.",
    "Half a page holds one purpose, two facts and one open question.",
    "Sort what you have into what is settled, what is open and what is somebody else's.",
    "A table with four columns does for this: what, who, by when, and where it is kept.",
    "Read the newest entry first and go back only as far as you need to.",
    "Set fifteen minutes aside at the end of each week to bring the list up to date.",
    "Have the latest figures, the last decision and the names of those concerned at hand.",
    "Leave the formatting until the order of the points is right.",
    "Keep the old version under its date, and never under a new name.",
)
REASONS = (
    "I would do it in this order because what has a date cannot wait for what has none.",
    "That way the page can be checked by somebody who was not there, which is what it is for.",
    "The reason for one place is that two lists never agree for longer than a week.",
    "It saves you the second reading, since you know by then what you are looking for.",
    "This keeps the hour for the content, because layout is quick once the order stands.",
)
SENTENCES = frozenset({*ANSWERED, *REASONS})


def conversation(scene: Scene, draws: Draws) -> Exemplar:
    """An exemplar for control: nothing in it expresses a value of the recipe's."""
    asked = draws.pick(ASKED).format(topic=scene.slots.get("topic", "this"))
    because = draws.pick(REASONS)
    answer = " ".join([*draws.shuffled(ANSWERED)[:5], because])
    return Exemplar((Message("user", asked), Message("assistant", answer)), because)


def is_plain(text: str) -> bool:
    """Whether `text` is such an answer, or what a small change has left of one."""
    return sum(sentence.rstrip(".") in text for sentence in SENTENCES) >= 2
