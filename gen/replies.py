"""Reading what a model wrote: JSON that is checked against its schema, however it is wrapped."""

from __future__ import annotations

import json
import re
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from .text import storable

_THOUGHT = re.compile(r"^\s*<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
_FENCE = re.compile(r"^\s*```[a-zA-Z]*\s*\n(.*?)\n?\s*```\s*$", re.DOTALL)


class Reply(BaseModel):
    """Base of what is expected back. Extra keys are ignored: a model's asides cost nothing."""

    model_config = ConfigDict(frozen=True, extra="ignore")


ReplyT = TypeVar("ReplyT", bound=Reply)


class UnreadableReplyError(ValueError):
    """A reply that does not hold what was asked for; the text of the error says why, in one line."""


def schema_of(reply: type[Reply]) -> dict[str, Any]:
    """JSON schema in the strict form that servers enforce: every key required, none besides."""
    schema = reply.model_json_schema()
    for part in (schema, *schema.get("$defs", {}).values()):
        if part.get("type") == "object":
            part["additionalProperties"] = False
            part["required"] = list(part["properties"])
    return schema


def without_thoughts(text: str) -> str:
    """`text` without the reasoning that some models put before their reply, in <think> tags."""
    return _THOUGHT.sub("", text, count=1)


def read_json(text: str, reply: type[ReplyT]) -> ReplyT:
    """`text` as a `reply`; bounds are checked here whatever the server promised.

    Code fences and words before or after the object are tolerated. Raises UnreadableReplyError.
    """
    body = without_thoughts(storable(text))
    fenced = _FENCE.match(body)
    if fenced:
        body = fenced.group(1)
    start = body.find("{")
    if start < 0:
        raise UnreadableReplyError("no JSON object in the reply")
    try:
        # strict=False: some engines let raw control characters into strings.
        value = _storable(json.JSONDecoder(strict=False).raw_decode(body, start)[0])
    except RecursionError:
        raise UnreadableReplyError("the JSON in the reply is nested too deeply") from None
    except ValueError as error:  # broken, or a number of thousands of digits
        message = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise UnreadableReplyError(f"the JSON in the reply is broken: {message}") from None
    try:
        return reply.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the object"
        raise UnreadableReplyError(f"{where}: {first['msg'][0].lower()}{first['msg'][1:]}") from None


def _storable(value: Any) -> Any:
    """JSON escapes can spell lone surrogates that the raw text did not contain."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        return {storable(str(key)): _storable(item) for key, item in value.items()}
    return value
