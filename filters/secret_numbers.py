"""Whether digits are a phone number, a payment card or a bank account: check digits, ranges, and what is reserved."""

from __future__ import annotations

import re
from itertools import pairwise

# Numbers that card networks and payment services publish for tests: nobody's account.
_TEST_CARDS = """
    4111111111111111 4242424242424242 4012888888881881 4222222222222 4000056655665556 4917610000000000
    5555555555554444 5105105105105100 5200828282828210 2223003122003222 5431111111111111 2223000048400011
    378282246310005 371449635398431 378734493671000 6011111111111117 6011000990139424 6011981111111113
    3056930009020004 30569309025904 38520000023237 36227206271667 3530111333300000 3566002020360505
    6200000000000005 4000002500003155 4000000000009995
"""
TEST_CARDS = frozenset(_TEST_CARDS.split())
_CARD = re.compile(
    r"4(?:.{12}|.{15}|.{18})"  # Visa
    r"|(?:5[1-5]..|222[1-9]|22[3-9].|2[3-6]..|27[01].|2720).{12}"  # Mastercard
    r"|3[47].{13}"  # American Express
    r"|(?:6011|64[4-9].|65..).{12}"  # Discover
    r"|3(?:0[0-5].|095|6..|[89]..).{10}"  # Diners Club
    r"|35(?:2[89]|[3-8].).{12}"  # JCB
    r"|62.{14,17}"  # UnionPay
)

# The account numbers of the IBAN registry's and Wikipedia's examples.
_EXAMPLE_IBANS = """
    DE89370400440532013000 GB82WEST12345698765432 GB29NWBK60161331926819 FR1420041010050500013M02606
    FR7630006000011234567890189 CH9300762011623852957 NL91ABNA0417164300 BE68539007547034
    ES9121000418450200051332 IT60X0542811101000000123456 AT611904300234573201 SE4550000000058398257466
    NO9386011117947 DK5000400440116243 FI2112345600000785 PL61109010140000071219812874 IE29AIBK93115212345678
    PT50000201231234567890154 LU280019400644750000 GR1601101250000000012300695 TR330006100519786457841326
"""
EXAMPLE_IBANS = frozenset(_EXAMPLE_IBANS.split())
# Country and length, as in SWIFT's IBAN registry.
_LENGTHS = """
    AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20
    EG29 ES24 FI18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20
    LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29
    PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24
    XK20 YE30
"""
IBAN_LENGTHS = {entry[:2]: int(entry[2:]) for entry in _LENGTHS.split()}

# Numbers that Ofcom keeps for radio and television drama, without the trunk prefix.
_OFCOM_DRAMA = re.compile(
    r"1632960|2079460|1(?:1[3-8]|[2-6]1)4960|1914980|28(?:90180|96496)|2920180|7700900|8081570|9098790|3069990"
)
_TOLL_FREE = re.compile(r"(?:800|833|844|855|866|877|888)[2-9]")  # NANP: lines of organisations, helplines among them
_DATE = re.compile(
    r"[0-9]{1,2}[./ -][0-9]{1,2}[./ -](?:19|20)[0-9]{2}|(?:19|20)[0-9]{2}[./ -][0-9]{1,2}[./ -][0-9]{1,2}"
)
_NOT_A_PHONE_BEFORE = re.compile(r"(?i)(?:is[bs]n(?:-1[03])?|doi|arxiv|version|v)[: ]*$")


def digits_of(text: str) -> str:
    return re.sub("[^0-9]", "", text)


def luhn(digits: str) -> bool:
    """Whether the last digit checks the others (ISO/IEC 7812-1, annex B)."""
    doubled = (2 * int(digit) - 9 * (digit > "4") for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10 == 0


def is_card(text: str) -> bool:
    """A number of a known network, of its length, with its check digit, of more than three different digits."""
    digits = digits_of(text)
    is_real = _CARD.fullmatch(digits) is not None and luhn(digits)
    return is_real and len(set(digits)) > 3 and digits not in TEST_CARDS


def is_iban(text: str) -> bool:
    """A known country, its length, and check digits that leave 1 modulo 97 (ISO 13616); not a published example."""
    account = text.replace(" ", "")
    if IBAN_LENGTHS.get(account[:2]) != len(account) or account in EXAMPLE_IBANS:
        return False
    return int("".join(str(int(sign, 36)) for sign in account[4:] + account[:4])) % 97 == 1


def is_phone(text: str, before: str = "", *, is_told: bool = False) -> bool:
    """Seven to fifteen digits (E.164) that can be someone's: no reserved or toll-free range, sequence, date or ISBN.

    `is_told` says that a word such as "call" announced it, so that seven digits are enough and a number of ten
    need not be one of North America. `before` is what stands before it.
    """
    digits = digits_of(text)
    is_international = text.startswith(("+", "00"))
    if text.startswith("00"):
        digits = digits[2:]
    least = 7 if is_told else 8 if is_international else 9
    if not least <= len(digits) <= 15 or len(set(digits)) < 4 or text.count("(") != text.count(")"):
        return False
    if _DATE.match(text) or _NOT_A_PHONE_BEFORE.search(before) or _is_counting(text, digits):
        return False
    national = digits[1:] if len(digits) == 11 and digits[0] == "1" else digits
    is_american = (len(national) == 10 and national != digits) or (not is_international and national[0] != "0")
    if is_american and not is_told and not _in_north_america(national):
        return False
    return not _is_nobodys(digits, national)


def _in_north_america(national: str) -> bool:
    """Area code and exchange begin with 2 to 9, and no area code ends in 11 (the North American Numbering Plan)."""
    return len(national) == 10 and national[0] > "1" and national[3] > "1" and national[1:3] != "11"


def _is_nobodys(digits: str, national: str) -> bool:
    """Toll-free lines, and what is reserved: 555-01xx, area 555, the 555-1234 of every example, Ofcom's drama."""
    if (len(national) == 10 and _TOLL_FREE.match(national)) or re.match("0?80[08]", digits):
        return True
    if len(national) in (7, 10) and (national.startswith("555") or national[-7:-2] == "55501"):
        return True
    return _OFCOM_DRAMA.match(re.sub(r"^(?:44)?0?", "", digits)) is not None


def _is_counting(text: str, digits: str) -> bool:
    """0123456789, 9876543210 and their kind, or groups that count: 01 02 03 04 05."""
    steps = [(int(after) - int(before)) % 10 for before, after in pairwise(digits)]
    groups = [int(group) for group in re.findall("[0-9]+", text)]
    strides = {after - before for before, after in pairwise(groups)}
    return max(steps.count(1), steps.count(9)) >= len(steps) - 2 or (len(groups) > 3 and len(strides) == 1)
