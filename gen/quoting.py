"""What a model wrote is data: text as it may stand in a frame of ours, which it can neither end nor speak in.

Three kinds of marks are neutralised, in whatever characters look alike and with whatever invisible ones in between:
the tags of our prompts (`</conversation>`), the marks of turns at the start of a line (`[assistant]`), and the control
tokens of chat templates (`<|im_end|>`), which a tokenizer would take at their word. Of each the first character alone
is replaced, `<` by `‹` and `[` by `［`: the text keeps its length, and a place in it is that place in the original.
"""

from __future__ import annotations

import re
import unicodedata

from thousandfold.prompts import TAGS

ROLES = ("system", "user", "assistant", "because", "tool", "developer", "function", "human")
_CONTROL = ("s", "bos", "eos", "pad", "unk", "think", "thinking", "start_of_turn", "end_of_turn", "tool_call", "sys")
_BRACKETED = ("inst", "system_prompt", "available_tools", "tool_calls", "tool_results")

OPENERS = "<[\u2329˂ᐸ≮⁅〈❬❮❲⟦⟨⧼〈〔【〚︹︻︿﹇﹝﹤＜"
"""All that is read as `<` or `[`; our replacements are not among them."""

_LOOKALIKES = {
    **dict.fromkeys("˂ᐸ〈❬❮⟨⧼〈︿", "<"),
    **dict.fromkeys("˃ᐳ〉❭❯⟩⧽〉›﹀", ">"),
    **dict.fromkeys("⁅❲⟦〔【〚﹝", "["),
    **dict.fromkeys("⁆❳⟧〕】〛﹞］", "]"),
    **dict.fromkeys("⁄∕⧸╱／", "/"),
    **dict.fromkeys("ǀ∣│￨｜", "|"),
    **dict.fromkeys("ᅟᅠㅤﾠ⠀", "\u200b"),  # letters that show nothing
    **dict(
        zip(
            "авгеѕӏјкмнопрстухԁһіԛԝѵαβγεικνορτυχϲϳօսոցհքᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢıɑɡ",
            "abresljkmhonpctyxdhiqwvabyeikvoptuxcjounghqabcdefghijklmnoprstuvwyziag",
            strict=True,
        )
    ),
}
"""Small letters of other scripts and signs that are read as one of ours."""

_INVISIBLE = "\u200b"
_Z = f"{_INVISIBLE}*"
_BLANK, _SPACE = rf"[ \n{_INVISIBLE}]*", f"[ {_INVISIBLE}]*"


class _Folding(dict[str, str]):
    """Character -> the one that it is read as; found out as each is met."""

    def __missing__(self, char: str) -> str:
        self[char] = folded = _folded(char)
        return folded


def _folded(char: str) -> str:
    if char in "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029":
        return "\n"
    if char.isspace():
        return " "
    if char in _LOOKALIKES:
        return _LOOKALIKES[char]
    if unicodedata.category(char) in ("Cc", "Cf", "Mn", "Me"):
        return _INVISIBLE
    if char in "‹［":
        return char
    plain = "".join(c for c in unicodedata.normalize("NFKD", char) if unicodedata.category(c) != "Mn").casefold()
    plain = _LOOKALIKES.get(plain, plain)
    return plain if len(plain) == 1 else char


_FOLDING = _Folding()


def _any_of(words: tuple[str, ...]) -> str:
    """One of the words, with invisible characters between its letters."""
    return "|".join(_Z.join(map(re.escape, word)) for word in words)


_TAG = re.compile(
    "<(?="
    + "|".join(
        (
            rf"{_BLANK}/{_BLANK}(?:{_any_of(TAGS)}){_Z}(?![\w-])",
            rf"{_BLANK}(?:{_any_of(TAGS)}){_Z}(?:[ \n/][^<>]*)?>",
            rf"{_Z}\|[^<>|\n]{{1,40}}\|{_Z}>",
            rf"{_SPACE}(?:/{_SPACE})?(?:{_any_of(_CONTROL)}){_Z}>",
        )
    )
    + ")"
)
_BRACKET = re.compile(rf"\[(?={_SPACE}(?:/{_SPACE})?(?:{_any_of(_BRACKETED)}){_SPACE}\])")
_ROLE = re.compile(rf"\[(?={_SPACE}(?:{_any_of(ROLES)}){_SPACE}\](?P<alone>{_SPACE}(?:\n|\Z))?)")
_PLAIN = re.compile(r"[\n -~]*")  # of which the small letters are all that folding makes
_OPENER = re.compile("[" + re.escape(OPENERS) + "]")
_NOT_IN_A_ROLE = re.compile(r"[^\w-]")


def quoted(text: str) -> str:
    """`text`, of the same length, with every mark of a frame of ours neutralised; all else as it is."""
    if not (_OPENER.search(text) if not text.isascii() else "<" in text or "[" in text):
        return text
    folded = text.lower() if _PLAIN.fullmatch(text) else "".join(map(_FOLDING.__getitem__, text))
    places = dict.fromkeys((found.start() for found in _TAG.finditer(folded)), "‹")
    places |= dict.fromkeys((found.start() for found in _BRACKET.finditer(folded)), "［")
    places |= dict.fromkeys((found.start() for found in _ROLE.finditer(folded) if _begins_a_turn(folded, found)), "［")
    if not places:
        return text
    letters = list(text)
    for place, neutral in places.items():
        letters[place] = neutral
    return "".join(letters)


def _begins_a_turn(folded: str, mark: re.Match[str]) -> bool:
    """At the start of a line; or indented, if nothing else stands on it."""
    place = mark.start()
    while place and folded[place - 1] in (" ", _INVISIBLE):
        place -= 1
    if place and folded[place - 1] != "\n":
        return False
    return mark["alone"] is not None or " " not in folded[place : mark.start()]


def quoted_role(role: str) -> str:
    """A role as it may stand in `[role]`: a word."""
    return _NOT_IN_A_ROLE.sub("_", role)[:40]
