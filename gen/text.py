"""Text from people and models may contain anything; these make it safe for files and for a screen."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from .quoting import quoted, quoted_role

_SURROGATES = re.compile("[\ud800-\udfff]")
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_SECRET = re.compile(r"(?i)\b(sk-|bearer\s+|api[_-]?key\W{1,3})[\w.-]{6,}")


def storable(text: str) -> str:
    """`text` with lone surrogates, which UTF-8 cannot hold, replaced by U+FFFD."""
    return text if text.isascii() else _SURROGATES.sub("�", text)


def on_screen(text: str, *, width: int | None = None) -> str:
    """`text` without control characters (terminal escapes, direction overrides); newlines and tabs stay.

    With `width`, on one line and at most so many characters, the cut shown as an ellipsis.
    """
    clean = _UNPRINTABLE.sub("�", storable(text))
    if width is None:
        return clean
    line = " ".join(clean.split())
    return line if len(line) <= width else line[: width - 1] + "…"


def redacted(text: str, *, key: str | None = None) -> str:
    """`text` without `key` and without anything else that looks like a key, at most 500 characters."""
    if key:
        text = text.replace(key, "[redacted]")
    return _SECRET.sub(lambda m: m.group(1) + "[redacted]", text)[:500]


def conversation_text(messages: Sequence[Mapping[str, str]]) -> str:
    """A conversation as a model is shown it: `[role]`, then the turn, in which our own marks are neutralised.

    `<tag>` and `</tag>` of the prompts become `‹tag>`, and a line that begins like a turn of its own, `［user]`; see
    `quoted`.
    """
    return "\n\n".join(f"[{quoted_role(m['role'])}]\n{quoted(m['content'])}" for m in messages)


def escaped(text: str) -> str:
    """Markdown that a recipe's words cannot break out of: one line, no table bars, no tags."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").replace("{name}", "{ name }")
