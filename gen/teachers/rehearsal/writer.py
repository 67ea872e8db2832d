"""scene → conversation: sentences chosen by hash, put into the order of one of the facet's moves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..base import Message
from .draws import Draws
from .scenes import Scene

TOLD: Mapping[str, float] = {
    "stance": 0.75,
    "difficulty": 0.7,
    "relationship": 0.45,
    "stakes": 0.4,
    "fault": 0.3,
}
"""How often a user's turn has a sentence for each axis: a person does not recite the whole card."""

OTHER_TOLD = 0.4  # the same for a recipe's own axes
MOST_TOLD = 3  # with the statement and the request that makes 3-5 parts

MULTI_TURN = 0.2  # share of conversations with a second exchange where the card does not ask for one


@dataclass(frozen=True)
class Exemplar:
    """A conversation, and the reason it gives, verbatim from its last turn."""

    messages: tuple[Message, ...]
    because: str

    def as_json(self) -> str:
        turns = [{"role": m.role, "content": m.content} for m in self.messages]
        return json.dumps({"messages": turns, "because": self.because}, ensure_ascii=False)


def conversation(scene: Scene, draws: Draws, *, exchanges: int | None = None) -> Exemplar:
    """A genuine exemplar, of so many exchanges as far as there are sentences for them."""
    told = levels_told(scene, draws)
    said = moves(scene, told, draws)
    because = next((text for move, text in said if move == "because"), said[-1][1])
    answer = paragraphs([text for _, text in said], draws)
    return exchange(scene, told, answer, because, draws, exchanges=exchanges)


def exchange(
    scene: Scene, told: Mapping[str, str], answer: str, because: str, draws: Draws, *, exchanges: int | None = None
) -> Exemplar:
    """The whole conversation around its last turn: one exchange, or two where the user pushes back; or so many."""
    turns = [Message("user", user_turn(scene, told, draws))]
    if exchanges is not None:
        turns += _pushes(scene, exchanges - 1, draws)
    elif scene.levels.get("difficulty") == "pressure" or draws.chance(MULTI_TURN):
        held = scene.say(scene.facet.assistant.get("held"), draws)
        push = scene.say(scene.facet.user.get("push"), draws)
        if held and push:
            turns += [Message("assistant", held), Message("user", push)]
    return Exemplar((*turns, Message("assistant", answer)), because)


def _pushes(scene: Scene, count: int, draws: Draws) -> list[Message]:
    """So many times an answer that the user does not leave at that, none of them twice; fewer where words run out."""
    turns: list[Message] = []
    used: set[str] = set()
    for _ in range(8 * count):
        held = scene.say(scene.facet.assistant.get("held"), draws)
        push = scene.say(scene.facet.user.get("push"), draws)
        if len(turns) < 2 * count and held and push and not used & {held, push}:
            turns += [Message("assistant", held), Message("user", push)]
            used |= {held, push}
    return turns


def levels_told(scene: Scene, draws: Draws) -> dict[str, str]:
    """The user's sentences for the axes that they mention: one at least if there is any, `MOST_TOLD` at most."""
    generic = scene.facet.user.get("level")
    found: dict[str, str] = {}
    for axis, level in scene.levels.items():
        sentence = scene.say_level(scene.axes.user, axis, draws)
        if not sentence and axis not in scene.axes.user and axis not in ("domain", "kind"):
            sentence = scene.say(generic, draws, axis=axis, level=level)
        if sentence:
            found[axis] = sentence
    wanted = [axis for axis in found if draws.chance(TOLD.get(axis, OTHER_TOLD))] or list(found)[:1]
    chosen = draws.shuffled(wanted)[:MOST_TOLD]
    return {axis: found[axis] for axis in chosen}


def user_turn(scene: Scene, told: Mapping[str, str], draws: Draws) -> str:
    """The user's first turn: the case in their words, what they mention of the card, and what they ask for."""
    stance = told.get("stance", "")
    rest = draws.shuffled([sentence for axis, sentence in told.items() if axis != "stance"])
    statement = scene.say(scene.facet.user["statement"], draws)
    request = scene.say(scene.facet.user["request"], draws)
    layouts = (
        [stance, statement, *rest, request],
        [statement, stance, *rest, request],
        [statement, *rest, stance, request],
        [statement, *rest, request, stance],
    )
    sentences = [sentence for sentence in draws.pick(layouts) if sentence]
    told_first = sentences.index(request) if draws.chance(0.4) else len(sentences)
    parts = (sentences[:told_first], sentences[told_first:])
    return "\n\n".join(" ".join(part) for part in parts if part)


def moves(scene: Scene, told: Mapping[str, str], draws: Draws) -> list[tuple[str, str]]:
    """The genuine answer as (move, sentence), in one of the facet's orders.

    Shared sentences are set in where they tear no two moves apart: one for the difficulty after the first move
    (never before the reason, which may answer it), one for the stakes before what is handed over, and that only
    where the user spoke of them.
    """
    order = list(draws.pick(scene.facet.orders))
    if "deliver" not in order:
        order.insert(len(order) - 1, "deliver")
    said = [(move, scene.say(scene.facet.assistant.get(move), draws)) for move in order]
    difficulty = scene.say_level(scene.axes.assistant, "difficulty", draws)
    stakes = scene.say_level(scene.axes.assistant, "stakes", draws)
    if draws.chance(0.85 if "difficulty" in told else 0.35):
        said.insert(2 if order[1] == "because" else 1, ("difficulty", difficulty))
    if draws.chance(0.8 if "stakes" in told else 0):
        said.insert([move for move, _ in said].index("deliver"), ("stakes", stakes))
    return [(move, text) for move, text in said if text]


def paragraphs(sentences: Sequence[str], draws: Draws) -> str:
    """The sentences in paragraphs of two or three, never ending on a paragraph of one."""
    groups: list[Sequence[str]] = []
    left = sentences
    while left:
        size = len(left) if len(left) <= 3 else 2 + draws.below(2 if len(left) > 4 else 1)
        groups.append(left[:size])
        left = left[size:]
    return "\n\n".join(" ".join(group) for group in groups)
