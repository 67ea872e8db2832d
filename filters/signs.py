"""What broken and cut-off text looks like, as patterns for polars (Rust's `regex`: no look-around).

Code blocks and inline code are taken out before any but `FENCE`, `ENDED`, `LIST_ITEM`, `CODE_OR_TABLE` and
`SIGN_OFF` is looked for: braces and brackets mean something else there.

Where a word begins or ends is asked of ASCII letters alone, `(?-u:…)`: asked of all letters, the engine leaves its fast
path at the first character that is not ASCII (a curly apostrophe will do), and is then some twenty times slower.
"""

from __future__ import annotations

# One pattern of alternatives, so that a place which looks broken in two ways is counted once.
BROKEN = "|".join(
    (
        # Control characters but tab, newline and carriage return; the replacement character; noncharacters.
        r"[\x00-\x08\x0B\x0C\x0E-\x1F\x7F-\x{9F}\x{FFFD}\x{FFFE}\x{FFFF}]",
        r"\{\{[^{}\n]+\}\}",  # {{name}}
        r"""(?m:^|[\s"'“‘(])\{[a-z][a-z0-9_]{2,}\}""",  # {other_person}, but not the {a} of a formula
        r"\[[A-Z]{2}[A-Z _'’/-]+\](?:[^(]|$)",  # [YOUR NAME], but not [A], [1], [x], nor the link [FAQ](…)
        r"(?i:[\[<](?:your|insert)(?-u:\b)[^\]>\n]+[\]>])(?:[^(]|$)",  # [your phone number], <insert date>
        r"(?i:\[(?:[^\]\n]*(?-u:\b))?(?:name|date|company|title|address|recipient|sender)\])(?:[^(]|$)",
        r"<\|[A-Za-z_]{2,}\|>|\[/?INST\]|</s>|<</?SYS>>",  # tokens of chat templates
    )
)
# A quick look for what all of them have: without one of these there is nothing broken.
MAY_BE_BROKEN = r"[\x00-\x08\x0B\x0C\x0E-\x1F\x7F-\x{9F}\x{FFFD}-\x{FFFF}{\[<]"
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
ITEM_MARK = r"^[ \t]*(?:[-*+•–·]|\(?(?:\d{1,3}|[a-zA-Z])[.)])[ \t]+"
NUMBERED = r"(?m)^[ \t]*\(?\d{1,4}[.):][ \t]+"
ITEM = rf"(?m){ITEM_MARK}.*\S.*$"
ENDED_ITEM = rf"(?m){ITEM_MARK}.*{TERMINAL}{_CLOSERS.replace(chr(92) + 's', ' ')}$"
CODE_OR_TABLE = r"(?:^|\n)(?: {4}|\t)[^\n]*$|(?:^|\n)[ \t]*\|[^\n]*\|$|(?:^|\n)[ \t]*(?:```|~~~)$"
# "Warmly,\nAnna Lee": a comma, then up to three capitalised words alone on the last line.
SIGN_OFF = r"[,，]\s*\n\s*[—–-]?\s*\p{Lu}[\w.'’-]*(?: \p{Lu}[\w.'’-]*){0,2}$"

GERMAN_QUOTE = r"„[^“”]*[“”]"  # closes with the sign that opens “…”
INCHES = r'\d"(?:[\s.,;:)x×]|$)'
STRAIGHT_QUOTE = r'(?:^|[\s(—-])"\w[^"\n]*$'  # opened in the last line, and not closed
OPEN_TO_THE_END = (
    r"“[^”]*$",  # a quote of several paragraphs may open in each of them, and close once
    r"„[^“”]*$",
    r"«[^»]*$",
    r"「[^」]*$",
    r"\([^)]*$",
    r"\[[^\]]*$",
    r"\{[^}]*$",
)

LINE = r"(?m)^.*\S.*$"
ENDED_LINE = rf"(?m){TERMINAL}{_CLOSERS.replace(chr(92) + 's', ' ')}$"
ANNOUNCED = r":[ \t*_]*\n\s*[^\n]*\s*$"
EARLIER_SENTENCE = r"[a-z\d)”’\"'][.!?][”’)\"']? +\S"
# A word after which no sentence of English ends, or a sign that promises more.
DANGLING = (
    r"\w[,;]? (?i:(?:the|an?|and|or|but|nor|of|to|into|onto|upon|from|with|within|without|for|by|at|in|on|as|than|that"
    r"|which|who|whose|when|where|while|because|if|unless|although|though"
    r"|is|are|was|were|be|been|being|has|have|had|will|would|can|could"
    r"|should|may|might|must|their|his|our|your|my|its|these|those|this|every|each|such|very|between|through|during"
    r"|about|against|among|toward|towards|(?:and|then|that|if|so) (?:you|we|they|he|she|it|i)))$|[,–—(\[{“«/]$|\w-$"
)
# A phrase may end in a preposition or a verb ("people to talk with", "who you are"), and "St. Louis" is no sentence.
DANGLING_ITEM = (
    r"\w[,;]? (?i:the|an?|and|or|but|nor|than|whose|because|unless|although|their|our|your|my|into|such as)$"
    r"|[,–—(\[{“«/]$|\w-$"
)
SENTENCE_IN_ITEM = rf"(?:\S+ +){{3}}\S*?{EARLIER_SENTENCE}"
# Ends that need no sign: a quotation, a title in quotes, who said it, an address, a bracket, code, an equation.
NEEDS_NO_SIGN = (
    r"[\"”’»)\]}>;]$|[\"”»][ ]*(?:[-—–~]+[ ]*|\()[^\n\"”»]+$|\S+@\S+\.\w+$|(?:https?://|www\.)\S+$"
    r"|[=≈→⇒×÷√|][^.!?\n]*$"
)
# "Topics: trade, war", "She - Pronoun": a label and what belongs to it, no sentence.
LABELLED = r"^\W*[\w' ]{1,40}(?::| [-–—] )"
CODE_LINE = (
    r"(?m)^\s*(?:def |class |import |from \w+ import |return(?-u:\b)|public |private |function(?-u:\b)|var |let |const "
    r"|#include|SELECT |INSERT |UPDATE |CREATE |<[a-zA-Z!/?]|print\(|[A-Za-z0-9_.]+ ?= ?\S)|[;{]\s*$|^\s*[})\]];?\s*$"
)
TABLE_ROW = r"(?m)^\s*\|.*\|\s*$"
