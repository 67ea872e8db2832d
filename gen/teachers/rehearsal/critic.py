"""A first version → what a critic says of it, and the revision: composed like all of rehearsal."""

from __future__ import annotations

import json

from ..base import Message
from .draws import Draws
from .questions import Question, turns
from .scenes import Scene
from .writer import Exemplar, conversation

OPENING_WORDS = 6

_BEGINS = (
    "The answer begins with “{opening} …”, and so could the answer to anybody; let it begin with {topic}.",
    "“{opening} …” is an opening that costs nothing. What decides this case is {topic}, and it comes too late.",
    "Nothing in “{opening} …” belongs to this person; a first sentence about {topic} would.",
    "It takes until after “{opening} …” to reach {topic}, which the person wrote about first.",
)
_BUILT = (
    "The parts follow each other in the order in which such answers always do; the one that costs most should lead.",
    "Every sentence is as long as the one before it, and none of them could be taken out without being missed less.",
    "Two sentences in the middle say the same; keep the one with the fact in it.",
    "{your_other} is spoken about and never seen; one thing that they would say belongs here.",
    "It is right in each part and has no centre; say what hangs on what.",
)
_REASON = (
    "The reason is good and stands alone; it should follow from what was said about {topic}, and then hold elsewhere.",
    "As a reason, “{because}” would help in another case if it named what is weighed against what.",
    "“{because}” says that it matters; say why, so that somebody with another case can use it.",
    "Keep the thought in “{because}”, and put it where the decision falls.",
)
_KEPT = (
    "What the person writes can stay as it is.",
    "That it does the thing asked for, and does not only speak of it, should stay.",
    "It is honest about what it cannot know, which should stay.",
    "The length is right.",
)


def critique(question: Question, scene: Scene, draws: Draws) -> str:
    """The reply to a critique ask, as JSON."""
    said = _marked(question.draft)
    answer = next((content for role, content in reversed(said) if role == "assistant"), "")
    slots = {
        **scene.slots,
        "opening": " ".join(answer.split()[:OPENING_WORDS]).rstrip(".,;:"),
        "because": question.draft.rpartition("[because]")[2].strip().rstrip(".")[:200],
        "topic": scene.case.get("topic", "the matter itself"),
    }
    sentences = [draws.pick(offered).format(**slots) for offered in (_BEGINS, _BUILT, _REASON, _KEPT)]
    whole = " ".join(sentence[0].upper() + sentence[1:] for sentence in sentences)
    return json.dumps({"critique": whole}, ensure_ascii=False)


def revision(question: Question, scene: Scene, draws: Draws) -> Exemplar:
    """The person's first turn as it was, and another conversation from there on, with its own reason."""
    fresh = conversation(scene, draws, exchanges=question.exchanges)
    first = next((content for role, content in _marked(question.draft) if role == "user"), "")
    if not first:
        return fresh
    return Exemplar((Message("user", first), *fresh.messages[1:]), fresh.because)


def _marked(draft: str) -> list[tuple[str, str]]:
    body = draft.rpartition("[because]")[0] or draft
    return [(turn.role, turn.content) for turn in turns(body)]
