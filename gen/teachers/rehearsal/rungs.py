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

MOST_NAMED = 2
"""How often an answer names its topic, as genuine ones do; after that it says one of these."""
NAMED_BEFORE = ("this", "the matter", "all this")

WAYS = frozenset({"complies", "flatters", "misleads", "scolds"})
"""Ways to violate a value that do not go together: an answer keeps to one of them."""


def answer(question: Question, scene: Scene, key: str) -> str:
    """The reply to an ask for a lesser answer, as JSON."""
    draws = Draws("rung", question.purpose, key)
    table = scene.facet.rungs.get(question.purpose) or scene.facet.hollow
    sentences = _chosen(_Sentences(table, scene, draws), scene, draws, words=question.words or USUAL_WORDS)
    text = _set_out(sentences, question.paragraphs or USUAL_PARAGRAPHS, draws)
    return json.dumps({"answer": text}, ensure_ascii=False)


class _Sentences:
    """One answer's store of sentences: in one way, and with its topic named no more often than people do."""

    def __init__(self, table: Mapping[str, Choice], scene: Scene, draws: Draws) -> None:
        self._table, self._scene, self._draws = table, scene, draws
        body = table.get("body")
        ways = sorted(WAYS & body.keys()) if isinstance(body, Mapping) else []
        self._way = draws.pick(ways) if ways else None
        self._named = 0

    def of(self, part: str) -> Sequence[Variant]:
        """The sentences of a part that this scene can fill, in drawn order."""
        slots = self._scene.slots.keys()
        return self._draws.shuffled([v for v in self._offered(self._table.get(part)) if v.slots <= slots])

    def one(self, part: str) -> str:
        """One of them, filled; empty where there is none."""
        offered = self.of(part)
        return self.fill(offered[0]) if offered else ""

    def fill(self, variant: Variant) -> str:
        if "topic" not in variant.slots:
            return variant.fill(self._scene.slots)
        self._named += 1
        stand_in = {"topic": self._draws.pick(NAMED_BEFORE)} if self._named > MOST_NAMED else {}
        return variant.fill({**self._scene.slots, **stand_in})

    def _offered(self, choice: Choice | None) -> Sequence[Variant]:
        """Those for this scene's levels; for a fault that is shared, those of either side."""
        levels = frozenset(self._scene.levels.values())
        if isinstance(choice, Mapping) and self._way is not None:
            choice = choice.get(self._way, ())
        if isinstance(choice, Mapping) and "shared" in levels and not {"shared", "any"} & choice.keys():
            return tuple(leaves(choice))
        return variants(choice, levels)


def _chosen(store: _Sentences, scene: Scene, draws: Draws, *, words: int) -> list[str]:
    """Sentences of about so many words in all: an opening, a body, what is quoted, and a close."""
    opening, closing, quoted = store.one("open"), store.one("close"), []
    if draws.chance(HANDED_OVER if scene.levels.get("kind") == "message" else HANDED_OVER_ELSE):
        quoted.append(store.one("deliver"))
    if draws.chance(QUOTING):
        quoted.append(store.one("quoting"))
    left = words - sum(len(text.split()) for text in (opening, *quoted, closing))
    body: list[str] = []
    for variant in store.of("body"):
        text = store.fill(variant)
        size = len(text.split())
        if left < size / 2:  # without it the whole comes nearer to what is wanted
            break
        body.append(text)
        left -= size
    for text in filter(None, quoted):
        body.insert((len(body) + 1) // 2 + draws.below(len(body) // 2 + 1), text)
    return [text for text in (opening, *body, closing) if text]


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
