"""Copies of what a teacher wrote before, at a similarity that is chosen, measured, and kept as the truth."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ..base import Message
from .composed import Composed, Flawed, rewritten
from .draws import Draws
from .phrases import capitalised
from .writer import conversation, levels_told, user_turn

NGRAM = 5  # words in a shingle
SLACK = 0.03  # a word set in between moves the Jaccard of 200 words by about this much
EDITS = 80  # tries to come near the similarity that was drawn; most need a dozen
EXCHANGES = 2  # of these, the first, that exchange a whole sentence
LEAK_SLACK = 0.75  # least Jaccard of a prompt with the sealed one that it repeats

_WORD = re.compile(r"\w+")
_GAP = re.compile(r"(?<=[a-z]) (?=[a-z]+\b)")
_SENTENCE = re.compile(r"[^\s].*?[.!?][”\"’)]*(?=\s|$)", re.DOTALL)
_IN_PAIRS = re.compile(r"[“”\"()\n]")  # a sentence with one of these may hold the first of a pair, and not the second
_PLAIN_END = re.compile(r"(?<=[a-z])\.(?=\s|$)")

FILLERS = (
    "also", "indeed", "simply", "perhaps", "certainly", "really", "now", "then", "too", "again", "still", "here",
    "of course", "in fact", "after all", "at least", "by now", "as such",
)  # fmt: skip
"""Words that can be set in nearly anywhere."""

TAILS = (
    ", as {name} said on {day}",
    ", which {name} in {town} has known for {number} years",
    ", and not only because {name} asked {number} times",
    ", whatever {name} wrote on page {number}",
    ", just as {name} from {town} put it on {day}",
    ", even though {name} has waited {number} weeks in {town}",
    ", with {name} and the other {number} still to hear of it",
    ", before {name} leaves {town} on {day}",
)
"""What makes an answer one about somebody: two or three slots each, no two of them side by side."""

NAMES = (
    "Amara", "Benedikt", "Chiara", "Dmitri", "Eleni", "Farid", "Grace", "Hanna", "Ivo", "Joana", "Keiko", "Lars",
    "Mei", "Nadia", "Oskar", "Priya", "Quentin", "Rosa", "Samir", "Tove", "Umberto", "Vera", "Wanda", "Yusuf",
)  # fmt: skip
TOWNS = (
    "Aarhus", "Bergen", "Cork", "Derby", "Esbjerg", "Faro", "Ghent", "Hull", "Izmir", "Jena", "Krakow", "Leeds",
    "Malmo", "Nantes", "Oulu", "Porto", "Quito", "Riga", "Split", "Turin", "Utrecht", "Varna", "Wells", "York",
)  # fmt: skip
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def shingles(text: str, ngram: int = NGRAM) -> frozenset[tuple[str, ...]]:
    """Tuples of consecutive words, lowered; a shorter text is one of all its words."""
    words = _WORD.findall(text.lower())
    size = min(ngram, len(words))
    return frozenset(zip(*(words[start:] for start in range(size)), strict=False))


def jaccard(one: str, other: str, ngram: int = NGRAM) -> float:
    """|A ∩ B| / |A ∪ B| of two texts' shingles, counted."""
    ours, theirs = shingles(one, ngram), shingles(other, ngram)
    return len(ours & theirs) / len(ours | theirs)


def near_copy(own: Composed, host: Composed, draws: Draws, *, low: float, high: float) -> Flawed | None:
    """`own`'s answer, a little reworded, to the question of `host`; Jaccard of what the assistants say in [low, high).

    Sentences are exchanged for some of `host`'s, and words set in, until the similarity that was drawn is reached.
    The reason is reworded with the rest. None where the text is too short for that similarity.
    """
    target = low + (high - SLACK - low) * draws.share()
    parts = at_reason(own)
    reached = jaccard(own.said, own.answer)
    for attempt in range(EDITS):
        tried = _exchanged(parts, host, draws) if attempt < EXCHANGES else _with_a_word_more(parts, draws)
        found = jaccard(own.said, "".join(tried))
        if found >= target:
            parts, reached = tried, found
        if reached < target + SLACK:
            break
    if not low <= reached < high:
        return None
    messages = (host.exemplar.messages[0], Message("assistant", "".join(parts)))
    return Flawed(messages, parts[1], facts={"jaccard": reached})


def copy(own: Composed, host: Composed) -> Flawed:
    """`own`'s answer, letter for letter, to the question of `host`."""
    messages = (host.exemplar.messages[0], Message("assistant", own.answer))
    return Flawed(messages, own.exemplar.because, facts={"jaccard": jaccard(own.said, own.answer)})


def slot_swap(own: Composed, host: Composed, draws: Draws, *, below: float = 0.7) -> Flawed | None:
    """One answer about somebody (`original`), and the same with other names, towns, days, numbers and nouns.

    Nearly every sentence of `own` gets a tail with slots; the copy fills them anew, and has the other person and the
    topic of `host`. `facts` says how alike they are but for names and numbers (`but_for_slots`).
    None where the two would be near copies as they stand (Jaccard `below` or more).
    """
    before, reason, after = at_reason(own)
    tails = own.draws("tails").shuffled(TAILS)  # the same for every copy of one original
    ends = len(_PLAIN_END.findall(before)) + len(_PLAIN_END.findall(after))
    chosen = [tails[place % len(tails)] for place in range(ends)]
    pools = (draws.shuffled(NAMES), draws.shuffled(TOWNS), draws.shuffled(range(3, 99)))
    first, second = (_filled(chosen, [pool[half::2] for pool in pools], draws) for half in (0, 1))
    nouns = {
        own.scene.pair.your_other: host.scene.pair.your_other,
        own.scene.case.get("topic", ""): host.scene.case.get("topic", ""),
    }
    answer = _with_tails((before, reason, after), first)
    swapped = _swapped(_with_tails((before, reason, after), second), nouns)
    found = jaccard(answer, swapped)
    if found >= below:
        return None
    swaps = [*zip(first, second, strict=True)]
    original = Flawed((own.exemplar.messages[0], Message("assistant", answer)), reason)
    messages = (host.exemplar.messages[0], Message("assistant", swapped))
    but_for_slots = jaccard(answer, _swapped(answer, nouns))
    facts = {"jaccard": found, "but_for_slots": but_for_slots, "tails": swaps, "nouns": nouns}
    return Flawed(messages, _swapped(reason, nouns), facts=facts, original=original)


def paraphrase(own: Composed, draws: Draws, *, below: float = 0.7) -> Flawed | None:
    """The same case, person and card in other sentences: the same thought, which no comparison of words can see."""
    said = conversation(own.scene, Draws("paraphrase", own.key, draws.bits()))
    words = "\n".join(turn.content for turn in said.messages if turn.role == "assistant")
    found = jaccard(own.said, words)
    return None if found >= below else Flawed(said.messages, said.because, facts={"jaccard": found})


def repeated_prompt(own: Composed, host: Composed) -> Flawed:
    """`own`'s question once more, with the answer of `host`."""
    return Flawed(rewritten(own.exemplar.messages, host.answer), host.exemplar.because, facts={"jaccard": 1.0})


def leaked_prompt(sealed: Composed, host: Composed, draws: Draws) -> Flawed:
    """A sealed question with a word set in where it can take one, and the answer of `host`."""
    first, *rest = sealed.exemplar.messages
    parts = [first.content, "", ""]
    tried = _with_a_word_more(parts, draws)[0]
    if jaccard(first.content, tried) < LEAK_SLACK:
        tried = first.content
    messages = rewritten((Message("user", tried), *rest), host.answer)
    asked = "\n".join(turn.content for turn in messages if turn.role == "user")
    return Flawed(messages, host.exemplar.because, facts={"jaccard": jaccard(sealed.asked, asked)})


def reworded_prompt(sealed: Composed, host: Composed, draws: Draws, *, below: float = 0.5) -> Flawed | None:
    """The sealed question's case in other words, and the answer of `host`; None where the words are not other ones."""
    own = Draws("reworded", sealed.key, draws.bits())
    asked = user_turn(sealed.scene, levels_told(sealed.scene, own), own)
    found = jaccard(sealed.asked, asked)
    messages = (Message("user", asked), Message("assistant", host.answer))
    return None if found >= below else Flawed(messages, host.exemplar.because, facts={"jaccard": found})


def at_reason(own: Composed) -> list[str]:
    """The answer in three: what stands before its reason, the reason, what stands after it."""
    place = own.answer.find(own.exemplar.because)
    end = place + len(own.exemplar.because)
    return [own.answer[:place], own.answer[place:end], own.answer[end:]]


def sentences(text: str) -> list[str]:
    return _SENTENCE.findall(text)


def _exchanged(parts: Sequence[str], host: Composed, draws: Draws) -> list[str]:
    """One sentence outside the reason exchanged for one of `host`'s."""
    part = draws.pick((0, 2))
    ours, theirs = (
        [sentence for sentence in sentences(text) if not _IN_PAIRS.search(sentence)]
        for text in (parts[part], host.answer)
    )
    if not ours or not theirs:
        return list(parts)
    changed = list(parts)
    changed[part] = parts[part].replace(draws.pick(ours), draws.pick(theirs), 1)
    return changed


def _with_a_word_more(parts: Sequence[str], draws: Draws) -> list[str]:
    """One filler set in between two words; a longer part is the likelier."""
    gaps = [(number, gap.start()) for number, part in enumerate(parts) for gap in _GAP.finditer(part)]
    changed = list(parts)
    if gaps:
        number, place = draws.pick(gaps)
        changed[number] = f"{parts[number][:place]} {draws.pick(FILLERS)}{parts[number][place:]}"
    return changed


def _filled(tails: Sequence[str], pools: Sequence[Sequence[object]], draws: Draws) -> list[str]:
    """The tails with their slots filled, each name, town and number used once before any is used again."""
    names, towns, numbers = pools
    return [
        tail.format(
            name=names[place % len(names)],
            town=towns[place % len(towns)],
            number=numbers[place % len(numbers)],
            day=draws.pick(DAYS),
        )
        for place, tail in enumerate(tails)
    ]


def _with_tails(parts: Sequence[str], tails: Sequence[str]) -> str:
    left = iter(tails)
    before, reason, after = parts
    before, after = (_PLAIN_END.sub(lambda _: f"{next(left)}.", text) for text in (before, after))
    return f"{before}{reason}{after}"


def _swapped(text: str, nouns: Mapping[str, str]) -> str:
    for old, new in nouns.items():
        if old and new:
            text = text.replace(old, new).replace(capitalised(old), capitalised(new))
    return text
