"""slot_masked: the same answer with its nouns changed is the same text, and unlike answers stay unlike."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thousandfold.filters import FilterError, content_words, near_duplicates, slot_masked
from thousandfold.filters.masks import NUMBER_WORDS, SLOT, SLOT_THRESHOLD

REPOSITORY = Path(__file__).parents[2]
DATA = Path(os.environ.get("THOUSANDFOLD_TEST_DATA", REPOSITORY.parent / "shared" / "data"))

LETTER = (
    "Maria, I was wrong on {day} when I told {name} that the {noun} had arrived. It had not; I never looked, and you "
    "paid {sum} for a {noun} that stood in the rain for {count} days. {name} was right to be angry with me, and so are "
    "you. I have written to {name} and will bring what I owe. What I should have done is to look before I spoke, since "
    "you were going to act on it. If you would rather not see me for a while, say so, and I will leave it at the door."
)
ONE = {"day": "Monday", "name": "Ruth", "noun": "cabinet", "sum": "$1,250.00", "count": "three"}
OTHER = {"day": "3 May", "name": "Dr Ivan O'Neill", "noun": "ferry tickets", "sum": "€87", "count": "12"}


def masked(text: str, *terms: str) -> str | None:
    answer: str | None = slot_masked([text], terms=[list(terms)], min_words=0)[0]
    return answer


def test_the_same_answer_with_other_names_numbers_and_nouns_is_the_same_text() -> None:
    one, other = LETTER.format(**ONE), LETTER.format(**OTHER)
    texts = slot_masked([one, other], terms=[["cabinet"], ["ferry_tickets"]])
    assert texts[0] == texts[1]
    assert near_duplicates([one, other])["kept"].to_list() == [True, True]
    assert near_duplicates(texts, threshold=SLOT_THRESHOLD)["kept"].sum() == 1


def test_what_is_masked_and_what_is_not_reads_like_this() -> None:
    text = (
        "Ruth asked. I told Ruth J. Adams and NASA's Bob about 3.5 million dollars; The Times, at 10:30, wrote:"
        " Ruth lied. Then we all went home again, since it was late."
    )
    assert masked(text) == (
        f"{SLOT} asked I told {SLOT} and {SLOT} s {SLOT} about {SLOT} at {SLOT} wrote {SLOT} lied"
        " Then we all went home again since it was late"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mail ann@mail.com or see https://a.b/c?d=Ef now", f"mail {SLOT} or see {SLOT} now"),
        ("She said: “Maria, we told Maria it is late.”", f"She said {SLOT} we told {SLOT} it is late"),
        (
            "1. Write down how it went\n2. Send that in\n- Then rest a while",
            f"{SLOT} Write down how it went {SLOT} Send that in Then rest a while",
        ),
        (
            "it costs ٣٤ dinars, and ２０ more, as room b12 did",
            f"it costs {SLOT} dinars and {SLOT} more as room {SLOT} did",
        ),
        ("東京で2020年に会いました", f"東京で {SLOT} 年に会いました"),
        (
            "yesterday Ängström met Łukasz in old Москва while it rained on us both and on all the others too",
            f"yesterday {SLOT} met {SLOT} in old {SLOT} while it rained on us both and on all the others too",
        ),
    ],
)
def test_addresses_quotes_lists_and_other_scripts(text: str, expected: str) -> None:
    assert masked(text) == expected


def test_terms_are_whole_words_in_any_case_and_number_of_their_own_row_only() -> None:
    text = "The Nurse told two nurses that nursing in a Public-service clinic and the boxes start with art"
    assert masked(text, "nurse", "public_service", "box", "art") == (
        f"The {SLOT} told {SLOT} that nursing in a {SLOT} clinic and the {SLOT} start with {SLOT}"
    )
    assert slot_masked(["a dog ran", "a dog ran", "a dog ran"], terms=[["dog"], None, []], min_words=0).to_list() == [
        f"a {SLOT} ran",
        "a dog ran",
        "a dog ran",
    ]


def test_where_nouns_are_capitalised_by_the_language_only_numbers_and_terms_are_masked() -> None:
    german = "Gestern hat die Nachbarin mit dem Hund im Garten gestanden und 3 Stunden auf den Brief der Bank gewartet."
    assert masked(german) == german.replace("3", SLOT).replace(".", "")
    assert masked(german, "Garten") == german.replace("3", SLOT).replace(".", "").replace("Garten", SLOT)


def test_a_text_with_few_words_left_is_null_and_so_like_no_other() -> None:
    short = [
        "The capital of France is Paris.",
        "The capital of Peru is Lima.",
        "7, 8, 9 and 10",
        "5, 6, 7 and 8",
        "",
        None,
    ]
    assert slot_masked(short).to_list() == [None] * 6
    assert near_duplicates(slot_masked(short))["kept"].all()
    words = " ".join(f"w{chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(25))
    assert slot_masked([words, words[4:], f"{words[4:]} 12 13"]).to_list() == [words, None, None]


def test_content_words_are_the_longer_words_of_a_scenario_once_each() -> None:
    assert content_words(["The Lecture on a lecture, 12345 abcde!", None, "a b"]).to_list() == [
        ["lecture", "abcde"],
        [],
        [],
    ]


LOWER = (
    st.text(st.characters(max_codepoint=0x1FFFF), max_size=60)
    .map(str.lower)
    .map(lambda text: re.sub(r"\d|[A-Z]", "", text))
)


@settings(deadline=None)
@given(LOWER)
def test_a_text_without_names_and_numbers_keeps_exactly_its_words(text: str) -> None:
    text = "".join(sign for sign in text if not sign.isupper() and not sign.isdigit() and not sign.istitle())
    words = re.findall(r"\w+", text.encode("utf-8", "replace").decode())
    words = [word for word in words if word not in NUMBER_WORDS.split()]  # "saturday" is a slot in small letters, too
    text = " ".join(words)
    assert slot_masked([text], min_words=0)[0] == (" ".join(words))


@settings(deadline=None)
@given(st.lists(st.none() | st.text(max_size=50), max_size=6), st.randoms(use_true_random=False))
def test_every_row_is_answered_alone_and_says_only_what_it_said(
    texts: list[str | None], generator: random.Random
) -> None:
    terms = [re.findall(r"\w+", text or "")[: generator.randint(0, 2)] for text in texts]
    together = slot_masked(texts, terms=terms, min_words=0)
    assert together.dtype == pl.String
    for text, own, answer in zip(texts, terms, together, strict=True):
        assert slot_masked([text], terms=[own], min_words=0)[0] == answer
        assert (answer is None) is (text is None)
        if text is not None:
            said = text.encode("utf-8", "replace").decode()
            assert all(word == SLOT or word in said for word in answer.split())
            assert f"{SLOT} {SLOT}" not in answer
            assert not re.search(r"\d", answer.replace(SLOT, ""))


SCRIPT = """
import sys
from thousandfold.filters import slot_masked
sys.stdout.buffer.write(repr(slot_masked([sys.argv[1]], terms=[["look"]], min_words=0).to_list()).encode())
"""


def test_without_compiled_code_the_result_is_the_same() -> None:
    text = LETTER.format(**OTHER) + " 東京2020 naïve Łukasz 🙂"
    env = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run([sys.executable, "-W", "error", "-c", SCRIPT, text], env=env, capture_output=True, check=True)
    assert done.stdout.decode() == repr(slot_masked([text], terms=[["look"]], min_words=0).to_list())


def test_more_rows_than_one_batch_are_masked_by_their_own_terms() -> None:
    texts = [f"the thing number{chr(97 + i % 26)} is here" for i in range(9_000)]
    terms = [[f"number{chr(97 + i % 26)}"] for i in range(9_000)]
    assert slot_masked(texts, terms=terms, min_words=0).unique().to_list() == [f"the thing {SLOT} is here"]


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({"texts": "one"}, "texts is 'one', of type str"),
        ({"texts": ["a"], "terms": []}, "terms has 0 rows for 1 texts"),
        ({"texts": ["a"], "terms": ["nurse"]}, "terms[0] is 'nurse'"),
        ({"texts": ["a"], "terms": [[7]]}, "terms[0] is [7]"),
        ({"texts": ["a"], "min_words": -1}, "min_words is -1"),
    ],
)
def test_what_cannot_be_masked_is_refused(arguments: dict[str, object], what: str) -> None:
    with pytest.raises(FilterError) as caught:
        slot_masked(**arguments)  # type: ignore[arg-type]
    assert caught.value.what == what


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no data at {DATA}; set THOUSANDFOLD_TEST_DATA")
def test_masking_makes_no_unlike_answers_of_a_published_corpus_alike() -> None:
    records = json.loads((DATA / "alpaca_5000.json").read_text("utf-8"))
    texts = pl.Series([record["output"] for record in records if len(record["output"]) > 200])[:1_500]
    assert len(texts) == 1_500
    dropped = near_duplicates(slot_masked(texts), threshold=0.6)["kept"]
    assert dropped.to_list() == near_duplicates(texts, threshold=0.6)["kept"].to_list()
