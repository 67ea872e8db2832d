"""messages → reply: the one pure function behind the teacher in process and the server."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from ..base import Ask, Message, Usage
from . import collapse, critic, flaws, judge, plain, planting, questions, rungs, scenes, writer
from .composed import Composed, Sources
from .draws import Draws
from .flaws import Dials, Kind, Truth
from .judge_faults import FAULTLESS, Faults
from .phrases import Fragments, shipped
from .questions import Question

CHARACTERS_PER_TOKEN = 4  # about right for English in most tokenisers; rehearsal has none of its own

NOT_A_QUESTION = (
    "This is rehearsal, an offline stand-in that composes from hand-written sentences. It is not a language "
    "model: it answers the questions that thousandfold asks, and this was none of them."
)


@dataclass(frozen=True)
class Reply:
    """What a provider would have sent."""

    text: str
    finish_reason: str  # stop | length
    usage: Usage


def reply(
    messages: Sequence[Message],
    *,
    seed: int,
    max_tokens: int | None = None,
    dials: Dials | None = None,
    faults: Faults = FAULTLESS,
    fragments: Fragments | None = None,
) -> Reply:
    """The answer to a prompt; equal arguments give an equal answer, in any process."""
    fragments = fragments or shipped()
    question = questions.read(messages)
    key = _key(messages, seed)
    text, cut = NOT_A_QUESTION, False
    if question is not None:
        text, cut = _answer(question, key, dials or Dials(), faults, fragments, messages)
    limit = max_tokens * CHARACTERS_PER_TOKEN if max_tokens is not None else len(text)
    cut = cut or len(text) > limit
    text = text[:limit]
    usage = Usage(_tokens("".join(m.content for m in messages)), _tokens(text))
    return Reply(text, "length" if cut else "stop", usage)


def truth(
    asked: Ask | Sequence[Message],
    *,
    seed: int | None = None,
    dials: Dials | None = None,
    fragments: Fragments | None = None,
) -> Truth:
    """Which flaw the reply was given. `seed` is that of the request; an ask knows its own."""
    messages = asked.messages if isinstance(asked, Ask) else asked
    if seed is None:
        seed = asked.request_seed if isinstance(asked, Ask) else 0
    question = questions.read(messages)
    if question is None or question.purpose != "exemplar":
        return Truth("clean")
    key = _key(messages, seed)
    kind = _kind(key, dials or Dials())
    if kind not in flaws.COPIES:
        return Truth(kind)
    scene = scenes.scene_of(question, fragments or shipped(), Draws("scene", key))
    return Truth(kind, flaws.cluster_of(scene))


def _answer(
    question: Question, key: str, dials: Dials, faults: Faults, fragments: Fragments, messages: Sequence[Message]
) -> tuple[str, bool]:
    """The text, and whether it was cut off on purpose."""
    if question.purpose == "scenario":
        return _situations(question, key, dials, fragments), False
    if question.purpose == "exemplar":
        text, cut = _exemplar(question, key, dials, fragments, messages)
        return (_as_prose(text) if question.prose else text), cut
    if question.purpose in ("critique", "revision"):
        return _second(question, key, dials, fragments), False
    if question.purpose in questions.RUNGS:
        return rungs.answer(question, scenes.scene_of(question, fragments, Draws("scene", key)), key), False
    marks = _fingerprints(fragments, question.facet)
    if question.purpose == "level":
        return judge.level(question, marks, faults), False
    return judge.evidence(question, marks), False


def _situations(question: Question, key: str, dials: Dials, fragments: Fragments) -> str:
    """Of a collapsed teacher, its favourites, which it knows to be likely; in a tail as many that are none."""
    draws = collapse.drawn(dials.collapse, question, "scenario", key)
    if question.tail is None or not isinstance(draws, collapse.Favoured):
        return scenes.situations(question, fragments, draws)
    likely = json.loads(scenes.situations(question, fragments, draws, likelier=0.3))["situations"]
    own = Draws("tail", key)
    if not own.chance(collapse.HEEDED_TAIL):
        return json.dumps({"situations": likely}, ensure_ascii=False)
    others = json.loads(scenes.situations(question, fragments, own))["situations"]
    half = (question.how_many + 1) // 2
    for entry in others:
        entry["probability"] = round(question.tail * (0.1 + 0.8 * own.share()), 4)
    return json.dumps({"situations": [*likely[: question.how_many - half], *others[:half]]}, ensure_ascii=False)


def _second(question: Question, key: str, dials: Dials, fragments: Fragments) -> str:
    """A critique, or the version that follows it. No flaw is planted in either."""
    scene = scenes.scene_of(question, fragments, Draws("scene", key))
    if question.purpose == "critique":
        return critic.critique(question, scene, Draws("critique", key))
    text = critic.revision(question, scene, collapse.drawn(dials.collapse, question, "revision", key)).as_json()
    return _as_prose(text) if question.prose else text


def _as_prose(text: str) -> str:
    """The same as plain text with marked turns; what is no exemplar in JSON stays what it is."""
    try:
        read = json.loads(text)
        turns = [(turn["role"], turn["content"]) for turn in read["messages"]]
        return "\n\n".join(f"[{role}]\n{said}" for role, said in [*turns, ("because", read["because"])])
    except (ValueError, KeyError, TypeError):
        return text


def _exemplar(
    question: Question, key: str, dials: Dials, fragments: Fragments, messages: Sequence[Message]
) -> tuple[str, bool]:
    scene = scenes.scene_of(question, fragments, Draws("scene", key))
    draws = collapse.drawn(dials.collapse, question, "exemplar", key)
    if question.control:
        return plain.conversation(scene, draws).as_json(), False
    kind = _kind(key, dials)
    if kind == "near_copy":
        return flaws.near_copy(scene, fragments, draws).as_json(), False
    if kind == "hollow":
        return flaws.hollow(scene, draws).as_json(), False
    whole = writer.conversation(scene, draws, exchanges=question.exchanges)
    if kind == "clean":
        return whole.as_json(), False
    own = Composed(scene, question.situation, whole, key)
    flawed = planting.alone(kind, own, fragments, lambda: _shown(messages), draws)
    if flawed is not None:
        return flawed.as_json(), False
    if draws.chance(0.5):
        return flaws.cut_json(whole.as_json(), draws), True
    return flaws.cut_off(whole, draws).as_json(), True


def _shown(messages: Sequence[Message]) -> Sources:
    """What the prompt holds that might come back as an answer."""
    system = "\n".join(m.content for m in messages if m.role == "system")
    asked = "\n".join(m.content for m in messages if m.role == "user")
    return Sources(questions.between(asked, "exemplar"), system, questions.between(asked, "card"))


def _kind(key: str, dials: Dials) -> Kind:
    return flaws.decide(dials, Draws("flaw", key))


def _key(messages: Sequence[Message], seed: int) -> str:
    return json.dumps([[[m.role, m.content] for m in messages], seed])


@lru_cache(maxsize=64)
def _fingerprints(fragments: Fragments, facet: str | None) -> judge.Fingerprints:
    return judge.Fingerprints(fragments.facet(facet))


def _tokens(text: str) -> int:
    return -(-len(text) // CHARACTERS_PER_TOKEN)
