"""What goes wrong inside one reply: cut off, looping, echoing, out of form, out of language, with a stock opening."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from ..base import Message
from . import flaws, slip_words
from .composed import Composed, Flawed, Sources, rewritten
from .copies import at_reason, sentences, shingles
from .draws import Draws

ECHO_NGRAM = 8
LEAST_ECHO = 0.5  # share of an echo's word 8-grams that stand in what it echoes
LEAST_ECHO_WORDS = 40  # a shorter source is all in the answer, and still no half of it

_OPEN = re.compile(r"[“(][^”)]*$")  # such a text is not cut after a sentence, but inside a quotation
_PAIRED = re.compile(r"[“”\"()\[\]{}<>`*#]")
_WORDS_ONLY = re.compile(r"\w+(?:[^\w\s]?\w+)*")


def cut_in_sentence(own: Composed, draws: Draws) -> Flawed:
    """The answer stops inside one of its last sentences, and the provider says nothing of it."""
    cut = flaws.cut_off(own.exemplar, draws)
    return Flawed(cut.messages, cut.because)


def cut_at_sentence_end(own: Composed, draws: Draws) -> Flawed | None:
    """Some last sentences are missing: to whoever has only the text, a shorter answer."""
    before, reason, after = at_reason(own)
    rest = sentences(after)
    if len(rest) < 2:
        return None
    lost = rest[1 + draws.below(len(rest) - 1) :]
    kept = f"{before}{reason}{after[: after.rfind(lost[0])].rstrip()}"
    return None if _OPEN.search(kept) or kept.count('"') % 2 else _last(own, kept)


def cut_by_limit(own: Composed, draws: Draws) -> Flawed | None:
    """The same, where the provider says that its limit was reached."""
    cut = cut_at_sentence_end(own, draws)
    return cut and Flawed(cut.messages, cut.because, finish_reason="length")


def broken_json(own: Composed, draws: Draws) -> Flawed:
    """A reply that was to be JSON and is none: not closed, a colon or a key missing, words instead of an object."""
    whole = own.exemplar.as_json()
    ways = (
        flaws.cut_json(whole, draws),
        whole.replace('"because":', '"because"', 1),
        f"Here you are.\n\n{own.answer}",
        json.dumps({"conversation": own.answer, "reason": own.exemplar.because}),
        whole.replace('"role": "user", ', "", 1),
    )
    return Flawed(raw=draws.pick(ways))


def loop_words(own: Composed, draws: Draws) -> Flawed:
    """A few words of a late sentence are said again and again, until the sentence ends after all."""
    before, reason, after = at_reason(own)
    late = _WORDS_ONLY.findall(after or before) or ["so"]
    size = min(1 + draws.below(4), len(late))
    start = draws.below(len(late) - size + 1)
    phrase = " ".join(late[start : start + size])
    again = ", ".join([phrase] * (12 + draws.below(30)))
    return _last(own, f"{before}{reason}{after.rstrip()} And {again}.")


def loop_sentence(own: Composed, draws: Draws) -> Flawed:
    """The last sentence comes four to fifteen times."""
    last = (sentences(own.answer) or [own.answer])[-1]
    return _last(own, " ".join([own.answer.rstrip(), *[last] * (3 + draws.below(12))]))


def loop_paragraph(own: Composed, draws: Draws) -> Flawed:
    """The last paragraph comes three to six times."""
    last = own.answer.rstrip().split("\n\n")[-1]
    return _last(own, "\n\n".join([own.answer.rstrip(), *[last] * (2 + draws.below(4))]))


def echo_any(own: Composed, draws: Draws, sources: Sources) -> Flawed:
    """The longest of the sources, or one of those that are long enough."""
    ways = (echo(own, draws, source) for source in draws.shuffled((sources.seed, sources.prompt, sources.context)))
    longest = max((sources.seed, sources.prompt, sources.context), key=len)
    return next((way for way in ways if way is not None), _last(own, f"{longest}\n\n{own.exemplar.because}"))


def loop_any(own: Composed, draws: Draws) -> Flawed:
    return draws.pick((loop_words, loop_sentence, loop_paragraph))(own, draws)


def broken_any(own: Composed, draws: Draws) -> Flawed:
    return draws.pick((broken_json, broken_markdown))(own, draws)


def echo(own: Composed, draws: Draws, source: str) -> Flawed | None:
    """Half of the answer or more is what the teacher was shown; its own reason still stands in it."""
    said = _PAIRED.sub(" ", source).split()
    if len(said) < LEAST_ECHO_WORDS:
        return None
    size = min(len(said), 60 + draws.below(60))
    start = draws.below(len(said) - size + 1)
    excerpt = " ".join(said[start : start + size]).rstrip(",;:")
    ended = excerpt if excerpt.endswith((".", "!", "?")) else f"{excerpt}."
    answer = f"{ended}\n\n{own.exemplar.because}"
    ours = shingles(answer, ECHO_NGRAM)
    share = len(ours & shingles(source, ECHO_NGRAM)) / len(ours)
    return None if share < LEAST_ECHO else _last(own, answer, share=share)


def echo_seed(own: Composed, draws: Draws, sources: Sources) -> Flawed | None:
    return echo(own, draws, sources.seed)


def echo_prompt(own: Composed, draws: Draws, sources: Sources) -> Flawed | None:
    return echo(own, draws, sources.prompt)


def echo_context(own: Composed, draws: Draws, sources: Sources) -> Flawed | None:
    return echo(own, draws, sources.context)


def leaked_instruction(own: Composed, draws: Draws) -> Flawed:
    """The teacher speaks of itself or of its task, before the answer or after it."""
    if draws.chance(0.7):
        return _last(own, f"{draws.pick(slip_words.LEAKS_BEFORE)}\n\n{own.answer}")
    return _last(own, f"{own.answer.rstrip()}\n\n{draws.pick(slip_words.LEAKS_AFTER)}")


def broken_markdown(own: Composed, draws: Draws) -> Flawed:
    """Signs that no reader should see, or a block of code that never ends."""
    before, reason, after = at_reason(own)
    ways = (
        (f"{own.answer.rstrip()}\n\n```text\n{reason}",),
        (before, reason, f"{after.rstrip()} Yours, [YOUR NAME]."),
        (before, reason, f"{after.rstrip()}<|im_end|>\n<|im_start|>user"),
        (before, reason, after.replace("’", "�").replace("'", "�"), " Caf� closed."),
    )
    return _last(own, "".join(draws.pick(ways)))


def refusal(own: Composed, draws: Draws) -> Flawed:
    """The teacher will not answer, though nothing was wrong with the question."""
    return _instead(own, [draws.pick(slip_words.REFUSALS), *draws.shuffled(slip_words.REFUSAL_REASONS)[:2]])


def other_language(own: Composed, draws: Draws) -> Flawed:
    """An answer in another language that is written in Latin letters."""
    return _instead(own, _some(draws.pick(slip_words.LANGUAGES), 6, draws))


def other_script(own: Composed, draws: Draws) -> Flawed:
    return _instead(own, _some(draws.pick(slip_words.SCRIPTS), 4, draws))


def too_short(own: Composed, draws: Draws) -> Flawed:
    return _instead(own, [draws.pick(slip_words.SHORT)])


def wrong_roles(own: Composed, draws: Draws) -> Flawed:
    """Nobody answers, nobody asks, or one speaks twice."""
    asked, *_, answered = own.exemplar.messages
    ways = ((asked,), (answered,), (answered, asked), (asked, asked, answered), (asked, answered, answered))
    return Flawed(draws.pick(ways), own.exemplar.because)


def empty_turn(own: Composed, draws: Draws) -> Flawed:
    asked, *_, answered = own.exemplar.messages
    if draws.chance(0.5):
        return Flawed((Message("user", draws.pick(("", "  ", "\n"))), answered), own.exemplar.because)
    return Flawed((asked, Message("assistant", draws.pick(("", " \n ", "\t")))), own.exemplar.because)


def no_reason(own: Composed, host: Composed) -> Flawed | None:
    """The reason is not in the answer, but in somebody else's."""
    if host.exemplar.because in own.answer:
        return None
    return Flawed(own.exemplar.messages, host.exemplar.because)


def tic(own: Composed, draws: Draws) -> Flawed:
    """The answer begins as many others do: `slip_words.TIC` and something after it."""
    first = next(place for place, turn in enumerate(own.exemplar.messages) if turn.role == "assistant")
    turns = list(own.exemplar.messages)
    opening = f"{slip_words.TIC} {draws.pick(slip_words.TIC_GOES_ON)}"
    turns[first] = Message("assistant", f"{opening} {turns[first].content}")
    return Flawed(tuple(turns), own.exemplar.because)


def _last(own: Composed, answer: str, **facts: float) -> Flawed:
    return Flawed(rewritten(own.exemplar.messages, answer), own.exemplar.because, facts=facts)


def _instead(own: Composed, said: Sequence[str]) -> Flawed:
    """Another answer altogether, whose last sentence is given as its reason."""
    return Flawed(rewritten(own.exemplar.messages, " ".join(said)), said[-1])


def _some(pool: Sequence[str], count: int, draws: Draws) -> list[str]:
    return draws.shuffled(pool)[:count]
