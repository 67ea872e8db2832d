"""What an error of the openai client means for its ask: whether another try may help, and what it costs."""

from __future__ import annotations

import httpx2
import openai

from .pace import heals
from .rates import retry_after
from .readings import count, field
from .troubles import lasting

TOO_MUCH = frozenset({429, 503, 529})
"""What a server says that is given too much."""


class NotACompletionError(ValueError):
    """An answer with status 200 that is no chat completion: a web page, or an error in disguise."""


class ErrorInDisguiseError(NotACompletionError):
    """An error with status 200; `status` is the one that it gives itself, as routers do, or 400."""

    def __init__(self, error: object) -> None:
        super().__init__(f"an error with status 200: {error}")
        self.status = count(field(error, "code")) or 400


class SlowReplyError(Exception):
    """No whole reply in time: a server that hangs, or sends a byte now and then."""


def can_heal(error: BaseException) -> bool:
    if isinstance(error, openai.APIStatusError):
        return heals(error.status_code) and not is_spent(error)
    if isinstance(error, UnicodeEncodeError):  # the request's fault: the next try would be the same
        return False
    if isinstance(error, openai.APIConnectionError):
        return lasting(error) is None
    return isinstance(error, (SlowReplyError, ValueError))


def may_be_billed(error: BaseException) -> bool:
    """Whether a model may have written a reply that never came: a status other than 200 says that none has."""
    if isinstance(error, openai.APIStatusError):
        return False
    return not isinstance(error.__cause__, httpx2.ConnectError)


def counts(error: BaseException) -> bool:
    """Whether a try is used up: not by a 429, which says "later" and nothing of the ask."""
    return not (isinstance(error, openai.APIStatusError) and error.status_code == 429)


def is_spent(error: openai.APIStatusError) -> bool:
    """A 429 that does not pass: the account has no money left."""
    return error.status_code == 429 and error.code in ("insufficient_quota", "billing_hard_limit_reached")


def seconds_asked(error: BaseException) -> float | None:
    return retry_after(error.response.headers) if isinstance(error, openai.APIStatusError) else None
