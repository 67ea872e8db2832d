"""What secrets and personal data look like: a pattern for each kind, and the check that a match must pass.

Every repetition is bounded and separators between digits are told from digits, so that looking takes time linear
in the text. What a shape calls `likely` is for polars (Rust's `regex`): it matches wherever the shape can, and is
fast; the shape itself is for Python's `re`, on the few rows that it leaves. Keys and digits of numbers are ASCII.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from .secret_numbers import is_card, is_iban, is_phone


class Shape(NamedTuple):
    """One kind of secret: what is masked is the group `span`, where the pattern has one, else the whole match."""

    kind: str
    pattern: re.Pattern[str]
    likely: str
    is_real: Callable[[re.Match[str]], bool]


_KEYS = (
    r"sk-[A-Za-z0-9_-]{20,250}",  # OpenAI, Anthropic, OpenRouter and others that took the shape over
    r"[sr]k_(?:live|test)_[A-Za-z0-9]{16,120}",  # Stripe
    r"(?:AKIA|ASIA)[A-Z0-9]{16}",  # AWS
    r"gh[pousr]_[A-Za-z0-9]{36,251}|github_pat_[A-Za-z0-9_]{36,251}",
    r"glpat-[A-Za-z0-9_-]{20,60}",  # GitLab
    r"xox[abeoprs]-[A-Za-z0-9-]{20,250}",  # Slack
    r"AIza[A-Za-z0-9_-]{35}|GOCSPX-[A-Za-z0-9_-]{28}",  # Google
    r"hf_[A-Za-z0-9]{34,40}",  # Hugging Face
    r"npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_-]{50,250}",
    r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}",  # SendGrid
    r"(?:AC|SK)[0-9a-f]{32}",  # Twilio
    r"[0-9]{8,10}:AA[A-Za-z0-9_-]{33}",  # a Telegram bot
    r"gsk_[A-Za-z0-9]{52}|xai-[A-Za-z0-9]{80}|pplx-[A-Za-z0-9]{48}|r8_[A-Za-z0-9]{37}",  # Groq, xAI, Perplexity…
    r"dop_v1_[0-9a-f]{64}|dapi[0-9a-f]{32}|shp(?:at|ca|pa|ss)_[0-9a-f]{32}",  # DigitalOcean, Databricks, Shopify
)
_KEY = re.compile(
    rf"(?<![A-Za-z0-9_-])(?:{'|'.join(_KEYS)})(?![A-Za-z0-9_-])|\bBearer (?P<span>[A-Za-z0-9._~+/-]{{24,500}})"
)
_PRIVATE_KEY = re.compile(
    r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:\s{0,4}[A-Za-z-]{1,40}: [^\n]{1,200}\n){0,4}"  # how it is encrypted
    r"(?P<body>[A-Za-z0-9+/=\s\\]{40,16000})(?:-----END [A-Z0-9 ]{1,40}-----)?"
)
_JWT = re.compile(
    r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,2000}\.eyJ[A-Za-z0-9_-]{8,8000}\.(?P<sign>[A-Za-z0-9_-]{20,1000})"
)
_PASSWORD = re.compile(
    r"(?i:pass(?:word|wd|phrase|code)|pwd|secret|token|(?:api|access|private|secret)[ _-]?key)"
    r"""["'`]?\s{0,2}(?::=|=>|[:=])\s{0,2}"""
    r"""(?P<span>(?P<quote>["'`])[^\s"'`]{8,128}(?P=quote)|[^\s"'`<>,;(){}\[\]|]{8,128})"""
)
_EMAIL = re.compile(
    r"(?<![\w.+%-])(?P<local>[\w.+%-]{1,64})@"
    r"(?P<domain>(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,6}[^\W\d_]{2,24})(?![\w-])"
)
_NO_NUMBER_BEFORE = r"(?<![\w.,:/$€£¥₹#%=+(-])(?<![0-9] )"
_NO_NUMBER_AFTER = r"(?![\w%-]|[.,:/][0-9])"
_PHONE = re.compile(
    rf"{_NO_NUMBER_BEFORE}(?:"
    # International; North America; a trunk prefix of 0, as in most of the world.
    r"(?:\+|00)[1-9][0-9]{0,14}(?:[ .-]?\([0-9]{1,4}\)[ .-]?[0-9]{1,12})?(?:[ .-][0-9]{1,12}){0,6}"
    r"|(?:1[ .-])?(?:\([0-9]{3}\) ?|[0-9]{3}[.-])[0-9]{3}[.-][0-9]{4}"
    r"|(?:\(0[1-9][0-9]{0,4}\)|0[1-9][0-9]{0,4}) ?[ ./-][0-9]{2,8}(?:[ .-][0-9]{2,8}){0,4}"
    rf"){_NO_NUMBER_AFTER}"
)
_TOLD_PHONE = re.compile(
    r"\b(?i:phone|telephone|tel|mobile|cell|fax|whatsapp|call|text|dial)(?i: (?:number|no|me|us|at|on|is)){0,3}"
    rf"[.:#]{{0,2}} {{0,2}}(?P<span>\+?\(?[0-9](?:[ ().-]{{0,3}}[0-9]){{6,14}}){_NO_NUMBER_AFTER}"
)
_CARD = re.compile(
    r"(?<![\w.+-])(?:[0-9]{13,19}"
    r"|[0-9]{4}(?P<four>[ -])[0-9]{4}(?P=four)[0-9]{4}(?P=four)[0-9]{4}(?:(?P=four)[0-9]{3})?"
    r"|[0-9]{4}(?P<six>[ -])[0-9]{6}(?P=six)[0-9]{4,5})(?![\w-]|[.,][0-9])"
)
_IBAN = re.compile(
    r"(?<![A-Za-z0-9])[A-Z]{2}[0-9]{2}(?:(?: [A-Z0-9]{4}){2,7}(?: [A-Z0-9]{1,3})?|[A-Z0-9]{11,30})(?![A-Za-z0-9])"
)

_LIKELY_KEY = (
    r"sk-[A-Za-z0-9_-]{20}|[sr]k_(?:live|test)_|A[KS]IA[A-Z0-9]{16}|gh[pousr]_|github_pat_|glpat-|xox[a-z]-|AIza"
    r"|GOCSPX-|hf_[A-Za-z0-9]{34}|npm_|pypi-|SG\.[A-Za-z0-9_-]{22}|(?:AC|SK)[0-9a-f]{32}|Bearer [A-Za-z0-9._~+/-]{24}"
    r"|[0-9]{8}:AA|gsk_|xai-|pplx-|r8_|dop_v1_|dapi[0-9a-f]{32}|shp(?:at|ca|pa|ss)_"
)
_LIKELY_PASSWORD = r"""(?i-u:pass(?:word|wd|phrase|code)|pwd|secret|token|key)["'`]?\s{0,2}[:=]"""
_LIKELY_PHONE = (
    r"(?:\+|00)[1-9](?:[ ().-]{0,2}[0-9]){6}|[0-9]{3}(?:\) ?|[.-])[0-9]{3}[.-][0-9]{4}"
    r"|0[1-9](?:[ ()./-]{0,3}[0-9]){7}"
)
_LIKELY_TOLD = (
    r"(?i-u:phone|tel|mobile|cell|fax|whatsapp|call|text|dial)[a-zA-Z .:#]{0,25}\+?\(?[0-9](?:[ ().-]{0,3}[0-9]){6}"
)

# Words that say of a value that it stands for another; the second list only of a password.
_PLACEHOLDER = re.compile(
    r"(?i)example|your|xxx|placeholder|redacted|change|dummy|sample|insert|replace|1234567|abcdef|\*\*|\.\.\."
)
_WEAK_WORD = re.compile(r"(?i)passw|p@ssw|pa\$\$|secret|1234|abcd|qwerty|letmein|foobar|test|token|user|admin")
_DOCUMENTED_SIGNATURE = "SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c"  # of the token that jwt.io shows
# settings.api_key, App::key and nobody-knows-it are no values.
_NAME_PATH = re.compile(r"[A-Za-z_]\w*(?:(?:\.|->|::)[A-Za-z_]\w*)+|[a-z_]+(?:-[a-z_]+)+")
_RESERVED_DOMAIN = re.compile(r"(?i)(?:^|\.)(?:example(?:\.(?:com|org|net|edu))?|test|invalid|localhost|local)$")


_STAND_IN_PERSON = re.compile(
    r"(?:git|you|your.*|my[._-]?\w*(?:mail|address).*|user(?:[._-]?name)?|name|someone|somebody|(?:john|jane)[._-]?doe"
    r"|no[._-]?reply|do[._-]?not[._-]?reply)"
)
_STAND_IN_DOMAIN = re.compile(r"(?:your|example|domain\.).*")


def is_varied(value: str) -> bool:
    """Whether its characters are as mixed as those of something drawn by chance; decided in whole numbers.

    Two of its characters, taken at random, are equal in at most one of eight cases. (Expected are one of ten for
    digits, one of sixteen for hexadecimal, one of 62 for base62.)
    """
    counts = Counter(value).values()
    return 8 * sum(count * (count - 1) for count in counts) <= len(value) * (len(value) - 1)


def _has(value: str, *patterns: str) -> bool:
    return all(re.search(pattern, value) for pattern in patterns)


def _is_key(match: re.Match[str]) -> bool:
    value = match["span"] or match[0]
    is_mixed = _has(value[4:], "[0-9]", "[A-Za-z]") or _has(value[4:], "[a-z]", "[A-Z]") or value.startswith("A")
    return is_mixed and is_varied(value) and not _PLACEHOLDER.search(value)


def _is_private_key(match: re.Match[str]) -> bool:
    body = re.sub(r"\\n|[^A-Za-z0-9+/=]", "", match["body"])
    return len(body) >= 40 and is_varied(body)


def _is_jwt(match: re.Match[str]) -> bool:
    return match["sign"] != _DOCUMENTED_SIGNATURE and is_varied(match["sign"])


def _is_password(match: re.Match[str]) -> bool:
    """A literal that looks drawn: classes of characters mixed, and no name, path, address or word in its place."""
    value = match["span"].strip("\"'`") if match["quote"] else match["span"].rstrip(".!?:")
    if len(value) < 8 or value[0] in "$%{[<(/.&" or "://" in value or _NAME_PATH.fullmatch(value):
        return False
    if _PLACEHOLDER.search(value) or _WEAK_WORD.search(value) or not is_varied(value):
        return False
    classes = sum(_has(value, pattern) for pattern in ("[a-z]", "[A-Z]", "[0-9]", "[^A-Za-z0-9]"))
    if match["quote"]:
        return classes >= 2
    return _has(value, "[0-9]", "[A-Za-z]") and (classes >= 3 or len(value) >= 16)


def _is_email(match: re.Match[str]) -> bool:
    """Not of a domain that RFC 2606 and 6761 reserve, and nobody's: git@…, noreply@…, you@yourcompany.com."""
    local, domain = match["local"].lower(), match["domain"].lower()
    is_stand_in = _STAND_IN_PERSON.fullmatch(local) or _STAND_IN_DOMAIN.fullmatch(domain)
    return not is_stand_in and _RESERVED_DOMAIN.search(domain) is None


# Of two that overlap the one that stands first here gives the kind.
SHAPES = (
    Shape("private_key", _PRIVATE_KEY, "PRIVATE KEY", _is_private_key),
    Shape("jwt", _JWT, r"eyJ[A-Za-z0-9_-]{8}", _is_jwt),
    Shape("api_key", _KEY, _LIKELY_KEY, _is_key),
    Shape("password", _PASSWORD, _LIKELY_PASSWORD, _is_password),
    Shape("email", _EMAIL, r"[\w.+%-]@[^\W_]", _is_email),
    Shape("iban", _IBAN, r"[A-Z]{2}[0-9]{2} ?[A-Z0-9]{4}", lambda match: is_iban(match[0])),
    Shape("card", _CARD, r"[0-9](?:[ -]?[0-9]){12}", lambda match: is_card(match[0])),
    Shape("phone", _PHONE, _LIKELY_PHONE, lambda match: is_phone(match[0], _before(match))),
    Shape("phone", _TOLD_PHONE, _LIKELY_TOLD, lambda match: is_phone(match["span"], is_told=True)),
)
LIKELY = "|".join(shape.likely for shape in SHAPES)


def _before(match: re.Match[str]) -> str:
    return match.string[max(0, match.start() - 24) : match.start()]
