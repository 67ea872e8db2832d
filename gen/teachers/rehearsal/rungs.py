"""scene → a lesser last turn for a conversation: hollow, violating or over-done, of the length that is wanted.

Composed like a genuine one, of sentences as long as those and with as much quoted, so that neither length nor form nor
a phrase that every such answer has tells them apart; only what they do.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from .draws import Draws
from .phrases import Choice, Variant, leaves, variants
from .questions import Question
from .scenes import Scene

USUAL_WORDS, USUAL_PARAGRAPHS = 200, 4  # of a genuine answer, where a prompt does not say

# How often an answer hands over words to be sent, or quotes the work: as often as genuine ones do.
HANDED_OVER, HANDED_OVER_ELSE = 0.85, 0.22
QUOTING = 0.7


def answer(question: Question, scene: Scene, key: str) -> str:
    """The reply to an ask for a lesser answer, as JSON."""
    draws = Draws("rung", question.purpose, key)
    table = scene.facet.rungs.get(question.purpose) or scene.facet.hollow
    sentences = _chosen(table, scene, draws, words=question.words or USUAL_WORDS)
    text = _set_out(sentences, question.paragraphs or USUAL_PARAGRAPHS, draws)
    return json.dumps({"answer": text}, ensure_ascii=False)


def _chosen(table: Mapping[str, Choice], scene: Scene, draws: Draws, *, words: int) -> list[str]:
    """Sentences of about so many words in all: an opening, a body in drawn order, what is quoted, and a close."""
    opening, closing = _one(table, "open", scene, draws), _one(table, "close", scene, draws)
    quoted = []
    if draws.chance(HANDED_OVER if scene.levels.get("kind") == "message" else HANDED_OVER_ELSE):
        quoted.append(_one(table, "deliver", scene, draws))
    if draws.chance(QUOTING):
        quoted.append(_one(table, "quoting", scene, draws))
    fixed = [text for text in (opening, *quoted, closing) if text]
    left = words - sum(len(text.split()) for text in fixed)
    body: list[str] = []
    for text in draws.shuffled(_filled(_offered(table.get("body"), scene), scene)):
        size = len(text.split())
        if left < size / 2:  # without it the whole comes nearer to what is wanted
            break
        body.append(text)
        left -= size
    for text in filter(None, quoted):
        body.insert((len(body) + 1) // 2 + draws.below(len(body) // 2 + 1), text)
    return [text for text in (opening, *body, closing) if text]


def _one(table: Mapping[str, Choice], part: str, scene: Scene, draws: Draws) -> str:
    offered = _filled(_offered(table.get(part), scene), scene)
    return draws.pick(offered) if offered else ""


def _filled(offered: Sequence[Variant], scene: Scene) -> list[str]:
    """The sentences whose slots this scene can fill."""
    return [variant.fill(scene.slots) for variant in offered if variant.slots <= scene.slots.keys()]


def _offered(choice: Choice | None, scene: Scene) -> Sequence[Variant]:
    """The sentences for this scene's levels; for a fault that is shared, those of either side."""
    levels = frozenset(scene.levels.values())
    if isinstance(choice, Mapping) and "shared" in levels and not {"shared", "any"} & choice.keys():
        return tuple(leaves(choice))
    return variants(choice, levels)


def _set_out(sentences: Sequence[str], paragraphs: int, draws: Draws) -> str:
    """The sentences in so many paragraphs, as even as they come out; which of them are longer is drawn."""
    count = max(1, min(paragraphs, len(sentences)))
    least, over = divmod(len(sentences), count)
    sizes = draws.shuffled([least + 1] * over + [least] * (count - over))
    parts, start = [], 0
    for size in sizes:
        parts.append(" ".join(sentences[start : start + size]))
        start += size
    return "\n\n".join(parts)
