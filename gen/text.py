"""Text from people and models may contain anything; these make it safe for files and for a screen."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from thousandfold.prompts import as_data

_SURROGATES = re.compile("[\ud800-\udfff]")
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def storable(text: str) -> str:
    """`text` with lone surrogates, which UTF-8 cannot hold, replaced by U+FFFD."""
    return _SURROGATES.sub("�", text)


def on_screen(text: str, *, width: int | None = None) -> str:
    """`text` without control characters (terminal escapes, direction overrides); newlines and tabs stay.

    With `width`, on one line and at most so many characters, the cut shown as an ellipsis.
    """
    clean = _UNPRINTABLE.sub("�", storable(text))
    if width is None:
        return clean
    line = " ".join(clean.split())
    return line if len(line) <= width else line[: width - 1] + "…"


def conversation_text(messages: Sequence[Mapping[str, str]]) -> str:
    """A conversation as a model is shown it; the prompts' own delimiters inside are neutralised."""
    return "\n\n".join(f"[{m['role']}]\n{as_data(m['content'])}" for m in messages)
