"""texts → kept or dropped: those with keys, passwords or personal data in them, shown only masked. Row by row.

Kinds: `private_key`, `jwt`, `api_key` (shapes of well-known services), `password` (an assignment whose value looks
drawn), `email`, `iban` (length and check digits), `card` (known networks, check digit) and `phone` (international;
North America; a trunk prefix of 0; or any that a word such as "call" announces).

What is reserved for examples is nobody's: example.com, .test and their kind (RFC 2606, 6761), 555-01xx and Ofcom's
numbers for drama, cards that networks publish for tests, accounts of the IBAN registry's examples, and values that say
so themselves (`sk-xxxx`, `YOUR_KEY`). So are toll-free lines: a helpline is no person's.

Not seen: names and postal addresses, numbers spelled out or in digits that are not ASCII, keys without a shape of their
own, passwords in running prose.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, overload

import numpy as np
import polars as pl

from .secret_shapes import LIKELY, SHAPES
from .texts import text_column

SPAN = pl.Struct({"kind": pl.String, "start": pl.UInt32, "length": pl.UInt32})
"""Where a secret stands, in characters: what it is, and not a letter of it."""

SECRETS: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "kept": pl.Boolean,
    "reason": pl.String,  # secret | personal_data; null where kept
    "measured": pl.Float64,  # how many were found
    "limit": pl.Float64,  # 0: one is too many
    "kinds": pl.List(pl.String),  # distinct, in the order in which they stand
    "spans": pl.List(SPAN),
}
_PERSONAL = frozenset({"email", "phone", "card", "iban"})


class Found(NamedTuple):
    """One secret: its kind, and from which character up to which."""

    start: int
    end: int
    kind: str


def secrets(texts: pl.Series | Iterable[str | None]) -> pl.DataFrame:
    """One row per text, in order: `kept`, `reason`, `measured`, `limit`, `kinds`, `spans` (schema `SECRETS`).

    A text is dropped where anything was found: for `secret` if a key, token or password is among it, else for
    `personal_data`. No column holds a character of what was found. A null text is kept.

    Raises FilterError where `texts` is not a column of texts.
    """
    column = text_column(texts)
    answers = {row: _answer(spans_of(text, shapes)) for row, text, shapes in _likely(column)}
    found = pl.DataFrame(list(answers.values()), schema=dict(SECRETS), orient="row")
    nothing = pl.DataFrame([_answer([])], schema=dict(SECRETS), orient="row")
    places = np.full(len(column), len(found))  # of each row's answer; the last is the one of most
    places[list(answers)] = np.arange(len(found))
    return pl.concat([found, nothing])[places]


@overload
def masked_secrets(texts: str) -> str: ...
@overload
def masked_secrets(texts: pl.Series | list[str] | list[str | None] | tuple[str | None, ...]) -> pl.Series: ...
def masked_secrets(texts: str | pl.Series | Iterable[str | None]) -> str | pl.Series:
    """The text, or a Series of the texts, with every secret replaced by its kind: `[email]`.

    What is masked holds no secret: masking it again changes nothing, and `secrets` keeps it.
    """
    if isinstance(texts, str):
        return str(masked_secrets([texts])[0])
    column = text_column(texts)
    rows, masked = [], []
    for row, text, shapes in _likely(column):
        rows.append(row)
        masked.append(_masked(text, shapes))
    return column.scatter(rows, masked) if rows else column


def spans_of(text: str, shapes: Sequence[int] = range(len(SHAPES))) -> list[Found]:
    """The secrets of one text, in the order in which they stand; those that overlap are one.

    `shapes` are the numbers of those in SHAPES that are looked for.
    """
    found: list[tuple[int, int, int]] = []  # start, end, which shape
    for start, end, shape in sorted(_matches(text, shapes)):
        if found and start < found[-1][1]:
            before = found.pop()
            start, end, shape = before[0], max(before[1], end), min(before[2], shape)
        found.append((start, end, shape))
    return [Found(start, end, SHAPES[shape].kind) for start, end, shape in found]


def _matches(text: str, shapes: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    for number in shapes:
        pattern = SHAPES[number].pattern
        for match in pattern.finditer(text):
            if SHAPES[number].is_real(match):
                has_span = "span" in pattern.groupindex and match["span"] is not None
                yield (*match.span("span" if has_span else 0), number)


def _likely(column: pl.Series) -> Iterator[tuple[int, str, list[int]]]:
    """The rows that may hold a secret: their numbers, texts, and which shapes they may hold."""
    rows = column.str.contains(LIKELY).fill_null(value=False).arg_true()
    texts = column.gather(rows)
    which = np.column_stack([texts.str.contains(shape.likely).to_numpy() for shape in SHAPES])
    for row, text, shapes in zip(rows.to_list(), texts.to_list(), which, strict=True):
        yield row, text, np.flatnonzero(shapes).tolist()


def _masked(text: str, shapes: Sequence[int]) -> str:
    spans = spans_of(text, shapes)
    while spans:
        parts, end = [], 0
        for span in spans:
            parts += [text[end : span.start], f"[{span.kind}]"]
            end = span.end
        text = "".join([*parts, text[end:]])
        spans = spans_of(text)  # what stood right behind a secret may be one, now that a bracket parts the two
    return text


def _answer(spans: list[Found]) -> tuple[object, ...]:
    kinds = list(dict.fromkeys(span.kind for span in spans))
    reason = None if not kinds else "personal_data" if _PERSONAL.issuperset(kinds) else "secret"
    places = [{"kind": span.kind, "start": span.start, "length": span.end - span.start} for span in spans]
    return not spans, reason, float(len(spans)), 0.0, kinds, places
