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


class _Folding(dict[int, str]):
    """Code point -> the one character that it is read as; found out as each is met."""

    def __missing__(self, code: int) -> str:
        self[code] = folded = _folded(chr(code))
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


_MARK = re.compile(
    "|".join(
        (
            rf"<(?={_BLANK}/{_BLANK}(?:{_any_of(TAGS)}){_Z}(?![\w-]))",
            rf"<(?={_BLANK}(?:{_any_of(TAGS)}){_Z}(?:[ \n/][^<>]*)?>)",
            rf"<(?={_Z}\|[^<>|\n]{{1,40}}\|{_Z}>)",
            rf"<(?={_SPACE}/?{_SPACE}(?:{_any_of(_CONTROL)}){_Z}>)",
            rf"\[(?={_SPACE}/?{_SPACE}(?:{_any_of(_BRACKETED)}){_SPACE}\])",
            rf"(?:\A|(?<=\n)){_Z}\[(?={_SPACE}(?:{_any_of(ROLES)}){_SPACE}\])",
            rf"(?:\A|(?<=\n)){_SPACE}\[(?={_SPACE}(?:{_any_of(ROLES)}){_SPACE}\]{_SPACE}(?:\n|\Z))",  # indented, alone
        )
    )
)
_OPENER = re.compile("[" + re.escape(OPENERS) + "]")
_NOT_IN_A_ROLE = re.compile(r"[^\w-]")


def quoted(text: str) -> str:
    """`text`, of the same length, with every mark of a frame of ours neutralised; all else as it is."""
    if not _OPENER.search(text):
        return text
    letters: list[str] | None = None
    for found in _MARK.finditer(text.translate(_FOLDING)):
        letters = letters if letters is not None else list(text)
        place = found.end() - 1
        letters[place] = "‹" if found[0][-1] == "<" else "［"
    return text if letters is None else "".join(letters)


def quoted_role(role: str) -> str:
    """A role as it may stand in `[role]`: a word."""
    return _NOT_IN_A_ROLE.sub("_", role)[:40]
