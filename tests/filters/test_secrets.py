"""secrets: what it finds of secrets made by chance, what it leaves alone, and that nothing of a secret is shown."""

from __future__ import annotations

import json
import os
import random
import string
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thousandfold.filters import FilterError, masked_secrets, secrets
from thousandfold.filters.secret_numbers import IBAN_LENGTHS, is_iban, luhn
from thousandfold.filters.secret_shapes import SHAPES
from thousandfold.filters.secrets import SECRETS, spans_of

REPOSITORY = Path(__file__).parents[2]
DATA = Path(os.environ.get("THOUSANDFOLD_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
BASE62 = string.ascii_letters + string.digits
URL_SAFE = BASE62 + "-_"
HEX = "0123456789abcdef"
FRAMES = ("Here it is: {}", "{}", "I use {} for this, every day.", "She wrote\n{}\nand left.", '("{}")', "Take {}.")

Make = Callable[[random.Random], str]


def drawn(generator: random.Random, letters: str, length: int) -> str:
    return "".join(generator.choices(letters, k=length))


def api_key(generator: random.Random) -> str:
    shapes = [
        lambda: "sk-" + drawn(generator, BASE62, 48),
        lambda: "sk-proj-" + drawn(generator, URL_SAFE, 120),
        lambda: "sk-ant-api03-" + drawn(generator, URL_SAFE, 93) + "AA",
        lambda: "sk_live_" + drawn(generator, BASE62, 24),
        lambda: "AKIA" + drawn(generator, string.ascii_uppercase + "234567", 16),
        lambda: "ghp_" + drawn(generator, BASE62, 36),
        lambda: "github_pat_" + drawn(generator, BASE62, 22) + "_" + drawn(generator, BASE62, 59),
        lambda: "glpat-" + drawn(generator, URL_SAFE, 20),
        lambda: f"xoxb-{drawn(generator, string.digits, 12)}-{drawn(generator, BASE62, 24)}",
        lambda: "AIza" + drawn(generator, URL_SAFE, 35),
        lambda: "hf_" + drawn(generator, string.ascii_letters, 34),
        lambda: "npm_" + drawn(generator, BASE62, 36),
        lambda: f"SG.{drawn(generator, URL_SAFE, 22)}.{drawn(generator, URL_SAFE, 43)}",
        lambda: "AC" + drawn(generator, HEX, 32),
        lambda: f"4{drawn(generator, string.digits, 9)}:AA{drawn(generator, URL_SAFE, 33)}",
        lambda: "gsk_" + drawn(generator, BASE62, 52),
        lambda: "xai-" + drawn(generator, BASE62, 80),
        lambda: "r8_" + drawn(generator, BASE62, 37),
        lambda: "dop_v1_" + drawn(generator, HEX, 64),
        lambda: "dapi" + drawn(generator, HEX, 32),
        lambda: "shpat_" + drawn(generator, HEX, 32),
    ]
    return generator.choice(shapes)()


def private_key(generator: random.Random) -> str:
    name = generator.choice(["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "])
    lines = [drawn(generator, BASE62 + "+/", 64) for _ in range(generator.randint(2, 26))]
    return "\n".join([f"-----BEGIN {name}PRIVATE KEY-----", *lines, f"-----END {name}PRIVATE KEY-----"])


def jwt(generator: random.Random) -> str:
    parts = (drawn(generator, URL_SAFE, length) for length in (18, generator.randint(20, 200), 43))
    return "eyJ{}.eyJ{}.{}".format(*parts)


def password(generator: random.Random) -> str:
    """As the rules of most services want it: three classes of signs."""
    length = generator.randint(10, 24)
    classes = generator.sample([string.ascii_lowercase, string.ascii_uppercase, string.digits, "!@#^*_+?-"], k=4)
    signs = [generator.choice(letters) for letters in classes]
    signs += generator.choices(BASE62, k=length - 4)
    generator.shuffle(signs)
    return "".join(signs)


def email(generator: random.Random) -> str:
    local = drawn(generator, string.ascii_lowercase, generator.randint(3, 9))
    local += generator.choice(["", ".", "_", "+"]) + drawn(generator, BASE62, 3)
    domain = ".".join(drawn(generator, string.ascii_lowercase, 6) for _ in range(generator.randint(1, 2)))
    return f"{local}@{domain}.{generator.choice(['com', 'de', 'co.uk', 'org', 'io', 'museum'])}"


def phone(generator: random.Random) -> str:
    def number(length: int) -> str:
        return drawn(generator, string.digits, length)

    area, exchange = (generator.choice("2346789") + generator.choice("2346789") + number(1) for _ in range(2))
    shapes = [
        f"+1 {area}-{exchange}-{number(4)}",
        f"+1{area}{exchange}{number(4)}",
        f"({area}) {exchange}-{number(4)}",
        f"{area}-{exchange}-{number(4)}",
        f"{area}.{exchange}.{number(4)}",
        f"+44 20 8{number(3)} {number(4)}",
        f"+44 (0)161 {generator.choice('23')}{number(2)} {number(4)}",
        f"+49 {generator.choice(['30', '151', '89'])} {number(8)}",
        f"+33 6 {number(2)} {number(2)} {number(2)} {number(2)}",
        f"06 {number(2)} {number(2)} {number(2)} {number(2)}",
        f"0161 {generator.choice('23')}{number(2)} {number(4)}",
        f"030/{number(8)}",
        f"+91 9{number(4)} {number(5)}",
        f"0049 40 {number(7)}",
    ]
    return generator.choice(shapes)


def card(generator: random.Random) -> str:
    prefix, length = generator.choice(
        [("4", 16), ("51", 16), ("55", 16), ("2299", 16), ("34", 15), ("37", 15), ("6011", 16)]
    )
    start = prefix + drawn(generator, string.digits, length - len(prefix) - 1)
    digits = next(start + check for check in string.digits if luhn(start + check))
    groups = [digits[:4], digits[4:10], digits[10:]] if length == 15 else [digits[i : i + 4] for i in range(0, 16, 4)]
    return generator.choice(["", " ", "-"]).join(groups)


def iban(generator: random.Random) -> str:
    country = generator.choice(["DE", "FR", "GB", "ES", "IT", "NL", "CH", "PL", "AT", "BE"])
    bank = drawn(generator, string.digits, IBAN_LENGTHS[country] - 4)
    rest = int("".join(str(int(sign, 36)) for sign in f"{bank}{country}00")) % 97
    account = f"{country}{98 - rest:02}{bank}"
    return generator.choice([account, " ".join(account[i : i + 4] for i in range(0, len(account), 4))])


MAKERS: dict[str, Make] = {
    "api_key": api_key,
    "private_key": private_key,
    "jwt": jwt,
    "password": password,
    "email": email,
    "phone": phone,
    "card": card,
    "iban": iban,
}


def planted(kind: str, generator: random.Random) -> tuple[str, str]:
    """(a secret, a text that holds it)."""
    secret = MAKERS[kind](generator)
    if kind == "password":
        frame = generator.choice(
            ["password: {}", 'DB_PASSWORD="{}"', "my pwd = {}", '{{"password": "{}"}}', "secret: '{}'"]
        )
        return secret, frame.format(secret)
    return secret, generator.choice(FRAMES).format(secret)


@pytest.mark.parametrize("kind", MAKERS)
def test_at_least_97_of_100_secrets_made_by_chance_are_found_whole(kind: str) -> None:
    generator = random.Random(kind)
    pairs = [planted(kind, generator) for _ in range(1_000)]
    answers = secrets([text for _, text in pairs])
    masked = masked_secrets([text for _, text in pairs])
    found = sum(
        answer == [kind] and secret not in after
        for answer, (secret, _), after in zip(answers["kinds"].to_list(), pairs, masked, strict=True)
    )
    assert found / len(pairs) >= 0.97


@st.composite
def texts_with_secrets(draw: st.DrawFn) -> str:
    generator = random.Random(draw(st.integers(0, 2**32)))
    words = st.sampled_from(
        ["so", "naïve", "🙂", "東京", "12", "call", "password:", "password=", "", ".", "@", "\n", "9", "key = '"]
    )
    parts = draw(st.lists(st.one_of(words, st.sampled_from(list(MAKERS)), st.text(max_size=5)), max_size=9))
    made = [MAKERS[part](generator) if part in MAKERS else part for part in parts]
    return draw(st.sampled_from([" ", ""])).join(made)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.none() | texts_with_secrets(), max_size=4))
def test_every_row_is_answered_and_what_is_masked_holds_no_secret(texts: list[str | None]) -> None:
    seen = secrets(texts)
    assert seen.schema == dict(SECRETS)
    assert len(seen) == len(texts)
    masked = masked_secrets(texts)
    assert secrets(masked)["kept"].all()
    assert masked_secrets(masked).to_list() == masked.to_list()
    for text, after, row in zip(texts, masked, seen.iter_rows(named=True), strict=True):
        assert row["kept"] is (row["reason"] is None) is (row["measured"] == 0) is (row["kinds"] == [])
        assert len(row["spans"]) == row["measured"]
        assert (after is None) is (text is None)
        if text is not None and row["kept"]:
            assert after == text.encode("utf-8", "replace").decode() or after == text


@settings(deadline=None, max_examples=100)
@given(texts_with_secrets())
def test_the_fast_look_never_passes_over_what_the_slow_one_finds(text: str) -> None:
    text = text.encode("utf-8", "replace").decode()
    for number, shape in enumerate(SHAPES):
        if spans_of(text, [number]):
            assert pl.Series([text]).str.contains(shape.likely).all(), shape.kind


@settings(deadline=None)
@given(texts_with_secrets())
def test_spans_are_in_order_apart_and_inside_the_text(text: str) -> None:
    ends = [0, *(span.end for span in spans_of(text)), len(text)]
    starts = [*(span.start for span in spans_of(text)), len(text)]
    assert ends == sorted(ends)
    assert all(end <= start for end, start in zip(ends, starts, strict=False))


@pytest.mark.parametrize(
    "text",
    [
        "Write to anna@example.com, b@mail.example.org, c@host.test or root@localhost.",
        "Write to you@yourcompany.com, john.doe@gmail.com or noreply@service.com; git clone git@github.com:a/b.git",
        "Call 555-0123, (212) 555-0199, 212-555-0100, 555-123-4567 or +1 555 123 4567.",
        "Call 020 7946 0018, +44 1632 960123 or 07700 900461.",  # Ofcom's, for drama
        "Call 123-456-7890, 0123456789, 987-654-3210 or 000-000-0000.",
        "The helplines are 1-800-273-8255 and 0800 123 4567; in danger dial 911 or 112.",
        "Pay with 4111 1111 1111 1111, 4242424242424242, 5555-5555-5555-4444 or 3782 822463 10005.",
        "The account is DE89 3704 0044 0532 0130 00.",  # the registry's example
        "4111 1111 1111 1112 and 1234567812345678 fail the check digit.",
        "GB82 WEST 1234 5698 7654 33 leaves another rest than 1.",
        "sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx, sk-your-api-key-goes-here-please, AKIAIOSFODNN7EXAMPLE",
        "sk-learn-compatible-estimators-are-fine and ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx too",
        "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ"
        ".SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c",
        "password: yes, it was forgotten. Password = getpass.getpass(). secret: nobody-knows-it",
        'api_key = os.environ["API_KEY"]; token = settings.auth.token; password="<your password>"; pwd: $DB_PASSWORD',
        "From 1998-2004, at 10:30-11:45, on 2020-01-15 and 15.10.2021, for $1,234,567.89 or 12 345 678 euros.",
        "ISBN 978-0-306-40615-7, doi 10.1000/182, 192.168.100.200, version 10.0.19045.3570, pi 3.14159265358979",
        "Steps 01 02 03 04 05 06; 00100000 01110011 01101001; page 1589-1594; 1 000 000 000 people",
        "A tweet by @anna_banana at 5 pm, 3@2 and a@b",
    ],
)
def test_examples_numbers_and_code_are_no_secrets(text: str) -> None:
    assert [(span.kind, text[span.start : span.end]) for span in spans_of(text)] == []


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Mail ann.lee+x@mail.uni-köln.de now.", "Mail [email] now."),
        ("Call me at 638 7812 tomorrow", "Call me at [phone] tomorrow"),
        ("tel: 4930123981, thanks", "tel: [phone], thanks"),
        ("(020) 8123 4985 or 212-736-5000", "[phone] or [phone]"),
        ("password = 'hJ3kx9qPw!'", "password = [password]"),
        ("x https://ann:hJ3kx9qPw@db.host.com/", "x https://ann:[email]/"),
        ("4539 1488 0343 6467 exp 12/29", "[card] exp 12/29"),
        ("curl -H 'Authorization: Bearer 9f8aXk2LmQ0zR7tYb3WcVd1E'", "curl -H 'Authorization: Bearer [api_key]'"),
    ],
)
def test_a_secret_is_replaced_by_its_kind_and_the_rest_stays(text: str, masked: str) -> None:
    assert masked_secrets(text) == masked
    assert masked_secrets([text, None]).to_list() == [masked, None]


def test_a_key_makes_it_a_secret_and_an_address_alone_personal_data() -> None:
    mail, key = "ann.lee@mail.com", "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
    seen = secrets([mail, f"{mail} {key}", key, "neither"])
    assert seen["reason"].to_list() == ["personal_data", "secret", "secret", None]
    assert seen["measured"].to_list() == [1, 2, 1, 0]
    assert seen["kinds"].to_list() == [["email"], ["email", "api_key"], ["api_key"], []]
    assert seen["spans"][1].to_list() == [
        {"kind": "email", "start": 0, "length": 16},
        {"kind": "api_key", "start": 17, "length": 40},
    ]


def test_no_column_of_the_answer_holds_a_letter_of_the_secret() -> None:
    generator = random.Random(3)
    pairs = [planted(kind, generator) for kind in MAKERS for _ in range(20)]
    told = secrets([text for _, text in pairs]).write_json()
    assert not any(secret in told or secret[-8:] in told for secret, _ in pairs)


def test_nulls_blanks_and_zero_rows_are_kept() -> None:
    assert secrets([None, "", " "])["kept"].to_list() == [True, True, True]
    assert secrets(pl.Series([None, None]))["kept"].to_list() == [True, True]
    assert len(secrets([])) == 0
    assert masked_secrets(pl.Series([], dtype=pl.String)).to_list() == []


@pytest.mark.parametrize("texts", ["one text", 7, [7], pl.Series([1, 2])])
def test_what_is_no_column_of_texts_is_refused(texts: object) -> None:
    with pytest.raises(FilterError, match="texts") as caught:
        secrets(texts)  # type: ignore[arg-type]
    assert "give texts as a polars Series of strings" in caught.value.do


@pytest.mark.parametrize(
    "part",
    [
        "a",
        "1",
        "1 ",
        "a.",
        "a@",
        "@",
        "+1",
        "(0",
        "-",
        "password=",
        "-----BEGIN PRIVATE KEY-----",
        "eyJa.",
        "sk-a",
        "GB82 ",
    ],
)
def test_a_megabyte_of_anything_takes_time_linear_in_it(part: str) -> None:
    def seconds(size: int) -> float:
        text = part * (size // len(part))
        started = time.process_time()
        spans_of(text)
        return time.process_time() - started

    seconds(10_000)
    assert seconds(400_000) < 16 * max(seconds(50_000), 0.02)  # 8 for linear time, 64 for square


@given(st.integers(0, 10**15 - 1))
def test_luhn_accepts_exactly_one_check_digit(number: int) -> None:
    assert sum(luhn(f"{number}{check}") for check in range(10)) == 1


def test_an_account_with_two_digits_swapped_is_none() -> None:
    account = iban(random.Random(5)).replace(" ", "")
    other = next(i for i in range(4, len(account) - 1) if account[i] != account[i + 1])
    swapped = account[:other] + account[other + 1] + account[other] + account[other + 2 :]
    assert is_iban(account)
    assert not is_iban(swapped)


# What is found on alpaca_5000.json, read by hand and found right: sha256 of the text (16 digits of it) → the kinds.
READ_BY_HAND = {"44d33295417fb13c": ["email"], "8ebdb3b9413cb868": ["password"], "b2f46d43daf7e0ab": ["email"]}


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no data at {DATA}; set THOUSANDFOLD_TEST_DATA")
def test_on_a_published_corpus_only_what_was_read_and_found_right_is_dropped() -> None:
    records = json.loads((DATA / "alpaca_5000.json").read_text("utf-8"))
    texts = [record[field] for record in records for field in ("instruction", "input", "output")]
    seen = secrets(texts)
    dropped = {
        sha256(text.encode()).hexdigest()[:16]: kinds.to_list()
        for text, kinds, kept in zip(texts, seen["kinds"], seen["kept"], strict=True)
        if not kept
    }
    assert dropped == READ_BY_HAND
