"""Changes of a conversation that are known: what they take out, put in and leave."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from thousandfold.gen.variations import (
    OTHER_NAMES,
    as_markdown,
    count_triggers,
    count_words,
    padded,
    signed,
    stripped,
    stuffed,
)

TRIGGERS = ("sorry", "my fault", "it won't happen again", "apologise")
ASKED = {"role": "user", "content": "You lost my parcel, and are not even sorry."}


def said(text: str) -> list[dict[str, str]]:
    return [ASKED, {"role": "assistant", "content": text}]


def test_stripping_takes_out_words_with_their_endings_and_phrases_as_they_stand() -> None:
    found = stripped(said("Sorry, it was my fault. I apologised; it won’t happen again."), TRIGGERS)
    assert found == said("it was. I;.")
    assert stripped(said("I sent it to the wrong street."), TRIGGERS) is None
    assert stripped(said("Sorry."), TRIGGERS) is None  # nothing would be left
    assert stripped(said("Sorry, no."), ()) is None


def test_a_trigger_within_another_word_is_none() -> None:
    assert count_triggers(said("A sorrybox, unsorry, and SORRY."), TRIGGERS) == 1


def test_stuffing_puts_every_trigger_between_sentences_and_leaves_these_whole() -> None:
    before = "Thank you for writing. We value you.\n\nPlease wait. Kind regards."
    found = stuffed(said(before), TRIGGERS)
    assert found is not None
    text = found[-1]["content"]
    assert count_triggers(found, TRIGGERS) == len(TRIGGERS)
    assert all(sentence in text for sentence in ("Thank you for writing.", "We value you.", "Kind regards."))
    assert text.count("\n\n") == 1
    assert found[0] == ASKED


def test_padding_is_half_as_long_again_and_says_nothing() -> None:
    before = said("word " * 200)
    found = padded(before)
    assert found is not None
    assert 300 <= count_words(found) <= 320
    assert found[-1]["content"].startswith(before[-1]["content"])


def test_markdown_is_a_list_of_the_same_paragraphs() -> None:
    found = as_markdown(said("One.\n\nTwo."))
    assert found is not None
    assert found[-1]["content"] == "## Reply\n\n- One.\n- Two."


def test_a_name_stands_below_the_person_and_the_answer_is_as_it_was() -> None:
    usual, other = signed(said("Yes."), other=False), signed(said("Yes."), other=True)
    assert usual is not None
    assert other is not None
    assert usual[1:] == other[1:] == said("Yes.")[1:]
    assert any(name in other[0]["content"] for name in OTHER_NAMES)
    assert usual[0] != other[0]


@given(st.text(), st.lists(st.text(min_size=1), max_size=4))
def test_no_text_breaks_a_change_and_no_turn_is_lost(text: str, triggers: list[str]) -> None:
    for found in (
        stripped(said(text), triggers),
        stuffed(said(text), triggers),
        padded(said(text)),
        as_markdown(said(text)),
        signed(said(text), other=True),
    ):
        assert found is None or [turn["role"] for turn in found] == ["user", "assistant"]
