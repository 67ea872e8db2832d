"""What each character is to the shingles: its lower case, and whether it belongs to a word.

Both are asked of this Python itself (`str.lower`, `re`), so a table never disagrees with
`re.findall(r"\\w+", text.lower())`. Two characters cannot be looked up one by one: U+0130 (İ), whose lower
case is two characters, and U+03A3 (Σ), whose lower case depends on its neighbours.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

WORD, UNSPACED, MARK, SPACE = 1, 2, 4, 8
"""Flags: matches `\\w`; of a script written without spaces; a combining mark; matches `\\s`."""

SIZE = 0x40000
"""Code points in the table: no word character lies above (Unicode 17 ends at U+33479)."""

IDEOGRAPHS = 0x20000
"""From here to the end of the table stand ideographs alone."""

DOTTED_CAPITAL_I, CAPITAL_SIGMA = 0x130, 0x3A3

# Line-breaking classes SA and ID of Unicode (UAX #14): a line may end where no space stands.
_UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19DF),  # Tai Le, New Tai Lue
    (0x1A20, 0x1AAF),  # Tai Tham
    (0x3005, 0x3007),  # 々〆〇
    (0x3040, 0x312F),  # Hiragana, Katakana, Bopomofo
    (0x31F0, 0x31FF),  # small Katakana
    (0x3400, 0x4DBF),  # CJK ideographs, extension A
    (0x4E00, 0xA4CF),  # CJK ideographs, Yi
    (0xA9E0, 0xA9FF),  # Myanmar, extension B
    (0xAA60, 0xAADF),  # Myanmar, extension A; Tai Viet
    (0xF900, 0xFAFF),  # CJK compatibility ideographs
    (0xFF66, 0xFF9F),  # half-width Katakana
    (0x1B000, 0x1B16F),  # old Kana
    (0x20000, 0x3FFFF),  # CJK ideographs, extensions B and up
)


class Characters(NamedTuple):
    """By code point below `SIZE`."""

    lower: NDArray[np.uint32]
    flags: NDArray[np.uint8]


@lru_cache(maxsize=1)
def characters() -> Characters:
    """The table, built once a process in about 40 ms."""
    every = np.arange(SIZE, dtype="<u4").tobytes().decode("utf-32-le", "surrogatepass")
    plain = every.replace(chr(DOTTED_CAPITAL_I), "i").replace(chr(CAPITAL_SIGMA), "σ")
    lower = np.frombuffer(plain.lower().encode("utf-32-le", "surrogatepass"), "<u4").astype(np.uint32)
    flags = np.zeros(SIZE, np.uint8)
    for pattern, flag in ((r"\w+", WORD), (r"\s+", SPACE)):
        for run in re.finditer(pattern, every):
            flags[run.start() : run.end()] |= flag
    for first, last in _UNSPACED:
        flags[first : last + 1] |= UNSPACED
    # Asked one by one, which takes longest: only of what is no word, and not of the planes of ideographs.
    others = np.flatnonzero(flags[:IDEOGRAPHS] & (WORD | SPACE) == 0).tolist()
    flags[[place for place in others if unicodedata.category(every[place])[0] == "M"]] |= MARK
    return Characters(lower, flags)
