"""Reading what a model wrote: JSON that is checked against its schema, however it is wrapped."""

from __future__ import annotations

import json
import re
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from .teachers.base import Schema
from .text import storable

# Chat templates that open the tag themselves leave only its end in the reply.
_THOUGHT = re.compile(r"^\s*(?:<think(?:ing)?>|(?![\s{`])).*?</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
_MOST_STARTS = 50  # braces in the words before the object, such as those of a template that is talked about
_FENCE = re.compile(r"^\s*```[a-zA-Z]*\s*\n(.*?)\n?\s*```\s*$", re.DOTALL)


class Reply(BaseModel):
    """Base of what is expected back. Extra keys are ignored: a model's asides cost nothing."""

    model_config = ConfigDict(frozen=True, extra="ignore")


ReplyT = TypeVar("ReplyT", bound=Reply)


class UnreadableReplyError(ValueError):
    """A reply that does not hold what was asked for; the text of the error says why, in one line."""


def schema_of(reply: type[Reply]) -> Schema:
    """JSON schema in the strict form that servers enforce: every key required, none besides."""
    schema = reply.model_json_schema()
    for part in (schema, *schema.get("$defs", {}).values()):
        if part.get("type") == "object":
            part["additionalProperties"] = False
            part["required"] = list(part["properties"])
    return Schema(schema)


def without_thoughts(text: str) -> str:
    """`text` without the reasoning that some models put before their reply, in <think> tags."""
    return _THOUGHT.sub("", text, count=1)


def read_json(text: str, reply: type[ReplyT]) -> ReplyT:
    """`text` as a `reply`; bounds are checked here whatever the server promised.

    Code fences, thoughts and words before or after the object are tolerated. Raises UnreadableReplyError with what is
    wrong with the first object in the reply.
    """
    body = without_thoughts(storable(text))
    fenced = _FENCE.match(body)
    if fenced:
        body = fenced.group(1)
    first: UnreadableReplyError | None = None
    start = body.find("{")
    for _ in range(_MOST_STARTS):
        if start < 0:
            break
        value, end, problem = _decoded(body, start)
        if problem is None:
            try:
                return reply.model_validate(value)
            except ValidationError as error:
                problem = _violation(error)
        first = first or problem
        start = body.find("{", end)
    raise first or UnreadableReplyError("no JSON object in the reply")


def _decoded(body: str, start: int) -> tuple[Any, int, UnreadableReplyError | None]:
    """(value, where it ends, None) of the JSON object at `start`; or what is wrong with it, and where to look on.

    A brace that no key follows stands in the words before the object. Of an object that is broken inside, none of the
    inner ones is the reply.
    """
    try:
        # strict=False: some engines let raw control characters into strings.
        value, end = json.JSONDecoder(strict=False).raw_decode(body, start)
        return _storable(value), end, None
    except RecursionError:
        return None, len(body), UnreadableReplyError("the JSON in the reply is nested too deeply")
    except ValueError as error:  # broken, or a number of thousands of digits
        message, end = str(error), len(body)
        if isinstance(error, json.JSONDecodeError):
            message = error.msg
            end = start + 1 if not body[start + 1 : error.pos].strip() else len(body)
        return None, end, UnreadableReplyError(f"the JSON in the reply is broken: {message}")


def _violation(error: ValidationError) -> UnreadableReplyError:
    first = error.errors(include_url=False)[0]
    where = ".".join(map(str, first["loc"])) or "the object"
    return UnreadableReplyError(f"{where}: {first['msg'][0].lower()}{first['msg'][1:]}")


def _storable(value: Any) -> Any:
    """JSON escapes can spell lone surrogates that the raw text did not contain."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        return {storable(str(key)): _storable(item) for key, item in value.items()}
    return value
