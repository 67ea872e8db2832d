"""kind of flaw → the reasons of filters that are meant for it, and what may be expected of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

_COPY = ("near_duplicate", "duplicate", "slot_swap")


class Kind(NamedTuple):
    """`reasons` are those that count as caught; none where no filter is meant to drop it."""

    shows: str  # what is planted, in a few words
    reasons: tuple[str, ...]


KINDS: Mapping[str, Kind] = {
    "copy": Kind("an answer given before, to another question", _COPY),
    "near_copy_85": Kind("the same, reworded to a Jaccard of .85 to .95", _COPY),
    "near_copy_75": Kind("… .75 to .85", _COPY),
    "near_copy_70": Kind("… .70 to .75", _COPY),
    "near_copy_60": Kind("… .60 to .70: kept by the default threshold of .7, and rightly", _COPY),
    "slot_swap": Kind("an answer with its names, numbers and nouns exchanged", _COPY),
    "paraphrase": Kind("the same thought in other sentences: no comparison of words sees it", _COPY),
    "repeated_prompt": Kind("a question asked before, with an answer of its own", ("prompt_duplicate",)),
    "cut_in_sentence": Kind("stops inside a sentence, and nobody says so", ("cut_off",)),
    "cut_by_limit": Kind("stops after a sentence; the provider says: length", ("cut_off",)),
    "cut_at_sentence_end": Kind("stops after a sentence, and nobody says so: cannot be seen", ("cut_off",)),
    "loop_words": Kind("a few words again and again", ("loop",)),
    "loop_sentence": Kind("the last sentence four times or more", ("loop",)),
    "loop_paragraph": Kind("the last paragraph three times or more", ("loop",)),
    "echo_seed": Kind("half of it is the seed's", ("echo_seed",)),
    "echo_prompt": Kind("half of it is the prompt's", ("echo_prompt", "leaked_instruction")),
    "echo_context": Kind("half of it is the context card's", ("echo_context", "echo_prompt")),
    "leaked_instruction": Kind("speaks of itself as a model, or of its task", ("leaked_instruction", "echo_prompt")),
    "broken_json": Kind("a reply that cannot be read", ("unreadable",)),
    "broken_markdown": Kind("placeholders, template tokens, an open code block", ("broken", "cut_off")),
    "wrong_roles": Kind("nobody asks or nobody answers", ("wrong_roles",)),
    "empty_turn": Kind("a turn is blank", ("empty",)),
    "no_reason": Kind("the reason does not stand in the answer", ("no_reason",)),
    "too_short": Kind("an answer of two to four words", ("too_short",)),
    "refusal": Kind("declines to answer: no filter is for it, short ones and copies go", ("too_short", *_COPY)),
    "other_script": Kind("Cyrillic, Greek, Chinese, Arabic, Hindi", ("other_script", "other_language")),
    "other_language": Kind("German, French, Spanish, Italian, Dutch", ("other_language", "other_script")),
    "secret": Kind("keys, tokens, passwords", ("secret",)),
    "personal_data": Kind("e-mail, telephone, card, bank account", ("personal_data", "secret")),
    "lineage_leak": Kind("a training draft of a sealed seed", ("held_out_lineage",)),
    "leaked_prompt": Kind(
        "a sealed question, a word more", ("held_out_leak", "held_out_neighbour", "prompt_duplicate")
    ),
    "reworded_prompt": Kind("a sealed question's case in other words", ("held_out_neighbour", "held_out_leak")),
    "opening_tic": Kind("begins like many others: counted and capped, never dropped", ()),
    "hollow": Kind("polite and empty: the judge's to see, not a filter's", ()),
}
"""In the order in which they are shown. A reason that no filter gives leaves its kind missed, and so it is printed."""
