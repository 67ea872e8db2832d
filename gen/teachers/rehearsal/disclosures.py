"""Secrets and personal data that a text should never hold: drawn, valid by their own check digits, and nobody's."""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping

from .composed import Composed, Flawed, rewritten
from .copies import NAMES, TOWNS
from .draws import Draws

_LETTERS_AND_DIGITS = string.ascii_letters + string.digits
_PAYLOAD = "eyJzdWIiOiI"  # {"sub":" in base64url: how the second part of many tokens begins

# Country, digits of the account, letters before them.
IBANS = (("DE", 18, ""), ("FR", 23, ""), ("ES", 20, ""), ("BE", 12, ""), ("AT", 16, ""), ("NL", 10, "ABNA"))
CARDS = (("4", 16), ("51", 16), ("54", 16), ("37", 15), ("6011", 16))  # first digits, length
PHONES = ("+49 {2} {7}", "+44 7{3} {6}", "+33 6 {2} {2} {2} {2}", "+1 41{1}-{1}{2}-{4}", "+39 34{1} {3} {4}")

_SAID_OF_SECRETS = (
    "The key you need for that is {}, so keep it at hand.",
    "For the record, it was set up with {} last spring.",
    "Use {} when it asks, and then go on as before.",
    "Somebody had written {} on the back of it.",
)
_SAID_OF_PEOPLE = (
    "You can reach them under {}, best in the evening.",
    "The note gives {} and nothing else.",
    "Send it to {}, so that nobody has to ask again.",
    "What stands in the file is {}, and that is still right.",
)


def secret(own: Composed, draws: Draws) -> Flawed:
    """A sentence with a key, a token or a password, anywhere in the answer but in its reason."""
    return _told(own, draws, SECRETS, _SAID_OF_SECRETS)


def personal_data(own: Composed, draws: Draws) -> Flawed:
    """A sentence with an address, a telephone number, a payment card or a bank account, likewise."""
    return _told(own, draws, PERSONAL, _SAID_OF_PEOPLE)


def any_secret(own: Composed, draws: Draws) -> Flawed:
    return draws.pick((secret, personal_data))(own, draws)


def api_key(draws: Draws) -> str:
    shape = draws.pick(("sk-proj-{48}", "sk_live_{24}", "ghp_{36}", "glpat-{20}", "hf_{34}", "npm_{36}"))
    size = int(shape[shape.index("{") + 1 : -1])
    return shape[: shape.index("{")] + _drawn(draws, _LETTERS_AND_DIGITS, size)


def aws_key(draws: Draws) -> str:
    return "AKIA" + _drawn(draws, string.ascii_uppercase + "234567", 16)


def token(draws: Draws) -> str:
    """A JSON web token with a drawn subject and signature."""
    head = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"
    return f"{head}.{_PAYLOAD}{_drawn(draws, _LETTERS_AND_DIGITS, 40)}.{_drawn(draws, _LETTERS_AND_DIGITS, 43)}"


def password(draws: Draws) -> str:
    value = _drawn(draws, string.ascii_lowercase, 5) + draws.pick("!#%&") + _drawn(draws, _LETTERS_AND_DIGITS, 7)
    return f"password: {value}{_drawn(draws, string.digits, 2)}{draws.pick(string.ascii_uppercase)}"


def private_key(draws: Draws) -> str:
    lines = "\n".join(_drawn(draws, _LETTERS_AND_DIGITS + "+/", 64) for _ in range(6))
    return f"-----BEGIN PRIVATE KEY-----\n{lines}\n-----END PRIVATE KEY-----"


def email(draws: Draws) -> str:
    host = f"{draws.pick(TOWNS).lower()}-{draws.pick(('bakery', 'clinic', 'rowing', 'press', 'joinery'))}"
    person = f"{draws.pick(NAMES).lower()}.{_drawn(draws, string.ascii_lowercase, 7)}"
    return f"{person}@{host}.{draws.pick(('org', 'net', 'eu'))}"


def phone(draws: Draws) -> str:
    """International, of a range that is given to subscribers; the digits are drawn from 2 to 9."""
    shape = draws.pick(PHONES)
    for size in "123467":
        while f"{{{size}}}" in shape:
            shape = shape.replace(f"{{{size}}}", _drawn(draws, "23456789", int(size)), 1)
    return shape


def card(draws: Draws) -> str:
    """A payment card with its check digit (Luhn, ISO/IEC 7812-1), in groups of four."""
    start, length = draws.pick(CARDS)
    body = start + _drawn(draws, string.digits, length - 1 - len(start))
    doubled = [2 * int(digit) - 9 * (digit > "4") for digit in body[::-2]]
    check = -(sum(doubled) + sum(map(int, body[-2::-2]))) % 10
    number = f"{body}{check}"
    sizes = (4, 6, 5) if length == 15 else (4, 4, 4, 4)
    places = [sum(sizes[:at]) for at in range(len(sizes))]
    return " ".join(number[place : place + size] for place, size in zip(places, sizes, strict=True))


def iban(draws: Draws) -> str:
    """A bank account whose check digits leave 1 modulo 97 (ISO 13616), in groups of four."""
    country, digits, letters = draws.pick(IBANS)
    account = letters + _drawn(draws, string.digits, digits)
    number = int("".join(str(int(sign, 36)) for sign in f"{account}{country}00"))
    whole = f"{country}{98 - number % 97:02}{account}"
    return " ".join(whole[place : place + 4] for place in range(0, len(whole), 4))


SECRETS: Mapping[str, Callable[[Draws], str]] = {
    "api_key": api_key,
    "aws_key": aws_key,
    "jwt": token,
    "password": password,
    "private_key": private_key,
}
PERSONAL: Mapping[str, Callable[[Draws], str]] = {"email": email, "phone": phone, "card": card, "iban": iban}


def _told(own: Composed, draws: Draws, makers: Mapping[str, Callable[[Draws], str]], said: tuple[str, ...]) -> Flawed:
    """One paragraph more; `facts` says what stands in it, and where in the last turn, counted from its end."""
    name = draws.pick(list(makers))
    value = makers[name](draws)
    answer = f"{own.answer.rstrip()}\n\n{draws.pick(said).format(value)}"
    facts = {"what": name, "from_end": len(answer) - answer.rindex(value), "length": len(value)}
    return Flawed(rewritten(own.exemplar.messages, answer), own.exemplar.because, facts=facts)


def _drawn(draws: Draws, signs: str, count: int) -> str:
    return "".join(draws.pick(signs) for _ in range(count))
