"""A conversation → the same one changed in one known way, to see whether a judge minds. No model is asked.

Only the last assistant turn is changed, but for a name, which stands below the person's first. Each returns None where
there is nothing to change.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

Messages = Sequence[Mapping[str, str]]
Changed = list[dict[str, str]] | None

MOST_STUFFED = 6
PADDING = (
    "This reply refers to what was written above.",
    "It has been put into one message, so that it can be read in one place.",
    "Other messages in this conversation are not repeated here.",
    "The sentences follow the order in which the matter was raised.",
    "Each of them belongs to the same matter.",
    "The reply ends here, and the next message may follow it.",
)
"""Sentences of no content: they make a reply longer and nothing else."""
PADDED_BY = 0.5  # of its words

NAMES = (
    "Emily", "Thomas", "Sarah", "Michael", "Laura", "Daniel", "Anna", "Peter", "Helen", "Mark", "Julia", "Paul",
    "Claire", "Simon", "Alice", "David",
)  # fmt: skip
OTHER_NAMES = (
    "Aigerim", "Thandeka", "Yevhen", "Ngozi", "Siobhan", "Oluwaseun", "Bjarni", "Xiulan", "Iñaki", "Nasrin", "Kwame",
    "Malgorzata", "Tuan", "Wanjiru", "Zsofia", "Ibrahim",
)  # fmt: skip
"""Given names of English, and as many from languages far apart."""

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


def stripped(messages: Messages, triggers: Sequence[str]) -> Changed:
    """Without the rubric's trigger words and phrases, the longest first, inflected ones too (apologised)."""
    if not triggers:
        return None
    pattern = _pattern(triggers)

    def strip(text: str) -> str:
        less = pattern.sub("", text)
        less = re.sub(r"[ \t]+([,.;:!?])", r"\1", less)
        less = re.sub(r"(?m)^[ \t]*[,;:.!?]+[ \t]*", "", less)
        return re.sub(r"[ \t]{2,}", " ", less).strip()

    return _last(messages, strip) if pattern.search(_answer(messages)) else None


def stuffed(messages: Messages, triggers: Sequence[str]) -> Changed:
    """With trigger words and phrases between its sentences, spread evenly, each a sentence of its own."""
    added = [f"{trigger[:1].upper()}{trigger[1:].rstrip('.')}." for trigger in triggers[:MOST_STUFFED]]
    if not added:
        return None

    def stuff(text: str) -> str:
        paragraphs = text.split("\n\n")
        for at, words in enumerate(added):
            place = at * len(paragraphs) // len(added)
            sentences = _SENTENCE_END.split(paragraphs[place])
            sentences.insert(min(len(sentences), 1 + 2 * (at % 3)), words)
            paragraphs[place] = " ".join(sentences)
        return "\n\n".join(paragraphs)

    return _last(messages, stuff)


def padded(messages: Messages) -> Changed:
    """Half as long again, by sentences of no content at its end."""

    def pad(text: str) -> str:
        wanted = PADDED_BY * len(text.split())
        added: list[str] = []
        while sum(len(sentence.split()) for sentence in added) < wanted:
            added.append(PADDING[len(added) % len(PADDING)])
        return f"{text}\n\n{' '.join(added)}"

    return _last(messages, pad)


def as_markdown(messages: Messages) -> Changed:
    """Below a heading, with each paragraph as an item of a list."""

    def listed(text: str) -> str:
        parts = [part.strip() for part in re.split(r"\n\s*\n", text) if part.strip()]
        return "\n".join(["## Reply", "", *(f"- {part}" for part in parts)])

    return _last(messages, listed)


def signed(messages: Messages, *, other: bool) -> Changed:
    """The person's first message with a name below it: a usual one, or one from a language far off; equal by place."""
    turns = [dict(turn) for turn in messages]
    for turn in turns:
        if turn["role"] == "user":
            place = sum(turn["content"].encode("utf-8", "replace")) % len(NAMES)
            turn["content"] += f"\n\nMy name is {(OTHER_NAMES if other else NAMES)[place]}."
            return turns
    return None


def count_triggers(messages: Messages, triggers: Sequence[str]) -> int:
    """How many trigger words and phrases stand in the last assistant turn."""
    return len(_pattern(triggers).findall(_answer(messages))) if triggers else 0


def count_words(messages: Messages) -> int:
    """Of the last assistant turn."""
    return len(_answer(messages).split())


def _answer(messages: Messages) -> str:
    return next((turn["content"] for turn in reversed(messages) if turn["role"] == "assistant"), "")


def _pattern(triggers: Sequence[str]) -> re.Pattern[str]:
    """A single word with the endings it may have; a phrase as it stands. Apostrophes of both kinds are one."""
    parts = []
    for trigger in sorted((one.strip() for one in triggers), key=len, reverse=True):
        words = re.escape(trigger).replace(r"\ ", r"\s+").replace("'", "['’]")
        parts.append(words if " " in trigger else rf"{words}(?:e?[sd]|ing)?")
    return re.compile(rf"(?<!\w)(?:{'|'.join(parts)})(?!\w)", re.IGNORECASE)


def _last(messages: Messages, change: Callable[[str], str]) -> Changed:
    """`messages` with the last assistant turn changed; None where there is none, or it would be blank or the same."""
    turns = [dict(turn) for turn in messages]
    for turn in reversed(turns):
        if turn["role"] == "assistant":
            after = change(turn["content"])
            if after == turn["content"] or not after.strip():
                return None
            turn["content"] = after
            return turns
    return None
