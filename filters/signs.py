"""What broken and cut-off text looks like, as patterns for polars (Rust's `regex`: no look-around).

Code blocks and inline code are taken out before any but `FENCE`, `ENDED`, `LIST_ITEM`, `CODE_OR_TABLE` and
`SIGN_OFF` is looked for: braces and brackets mean something else there.
"""

from __future__ import annotations

# One pattern of alternatives, so that a place which looks broken in two ways is counted once.
BROKEN = "|".join(
    (
        # Control characters but tab, newline and carriage return; the replacement character; noncharacters.
        r"[\x00-\x08\x0B\x0C\x0E-\x1F\x7F-\x{9F}\x{FFFD}\x{FFFE}\x{FFFF}]",
        r"\{\{[^{}\n]{1,60}\}\}",  # {{name}}
        r"""(?m:^|[\s"'“‘(])\{[a-z][a-z0-9_]{2,}\}""",  # {other_person}, but not the {a} of a formula
        r"\[[A-Z][A-Z _'’/-]{2,}\](?:[^(]|$)",  # [YOUR NAME], but not [A], [1], [x], nor the link [FAQ](…)
        r"(?i:[\[<](?:your|insert)\b[^\]>\n]{1,60}[\]>])(?:[^(]|$)",  # [your phone number], <insert date>
        r"(?i:\[(?:[^\]\n]{0,40}\b)?(?:name|date|company|title|address|recipient|sender)\])(?:[^(]|$)",
        r"<\|[A-Za-z_]{2,}\|>|\[/?INST\]|</s>|<</?SYS>>",  # tokens of chat templates
    )
)
RAW_JSON = r'^\s*(?:```(?:json)?\s*)?\[?\s*\{\s*"[^"\n]{1,80}"\s*:'

FENCE = r"(?m)^[ \t]*(?:```|~~~)"
FENCED = r"(?ms)^[ \t]*(?:```|~~~).*?^[ \t]*(?:```|~~~)[ \t]*$"
INLINE_CODE = r"`[^`\n]+`"
EMOTICON = r"[:;=]['’]?-?[(\[{]"

# Signs that end a sentence in any script; Thai and Lao letters, which need none; an emoji in place of a sign.
TERMINAL = r"[.!?…‽。！？｡؟۔।॥።։៕။\p{Thai}\p{Lao}\p{Extended_Pictographic}]"
_CLOSERS = r"""[\s"'”’»›“‘)\]}）】」』〉》*_~`\p{Extended_Pictographic}\p{M}\x{200B}-\x{200D}\x{1F3FB}-\x{1F3FF}]*"""
# "done.", 'done."', "**done.**", "done. 🙂", "done.[1]", "done. #late"
ENDED = rf"{TERMINAL}{_CLOSERS}(?:\[\^?\d+\]|\s*#\w+)*$"
LIST_ITEM = r"(?:^|\n)[ \t]*(?:[-*+•–]|\(?(?:\d{1,3}|[a-zA-Z])[.)])[ \t]+[^\n]+$"
CODE_OR_TABLE = r"(?:^|\n)(?: {4}|\t)[^\n]*$|(?:^|\n)[ \t]*\|[^\n]*\|$|(?:^|\n)[ \t]*(?:```|~~~)$"
# "Warmly,\nAnna Lee": a comma, then up to three capitalised words alone on the last line.
SIGN_OFF = r"[,，]\s*\n\s*[—–-]?\s*\p{Lu}[\w.'’-]*(?: \p{Lu}[\w.'’-]*){0,2}$"

GERMAN_QUOTE = r"„[^“”]*[“”]"  # closes with the sign that opens “…”
INCHES = r'\d"'
STRAIGHT_QUOTE = '"'
OPEN_TO_THE_END = (
    r"“[^”]*$",  # a quote of several paragraphs may open in each of them, and close once
    r"„[^“”]*$",
    r"«[^»]*$",
    r"「[^」]*$",
    r"\([^)]*$",
    r"\[[^\]]*$",
    r"\{[^}]*$",
)
