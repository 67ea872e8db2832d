"""One request per ask over the OpenAI chat protocol, retried by tenacity (the client's own retries are off)."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import httpx2  # what the openai client itself is built on, and answers with
import openai

from ..errors import TeacherError
from ..text import redacted
from .adaptive import Pace
from .base import Ask, Failure, Outcome, Usage
from .pace import DENIED, heals, retrying
from .rates import Rates, retry_after
from .troubles import Ending, Silence, lasting

if TYPE_CHECKING:
    from ..recipe import JudgeSettings, TeacherSettings

OPENAI_URL = "https://api.openai.com/v1"
NO_KEY = "none"  # a server of one's own needs no key, but the protocol wants the header


TOO_MUCH = frozenset({429, 503, 529})
"""What a server says that is given too much."""


class NotACompletionError(ValueError):
    """An answer with status 200 that is no chat completion: a web page, or an error in disguise."""


class SlowReplyError(Exception):
    """No whole reply in time: a server that hangs, or sends a byte now and then."""


class Completions:
    """An open client for one model; made inside the event loop that uses it."""

    def __init__(
        self, name: str, *, base_url: str | None, settings: TeacherSettings | JudgeSettings, pace: Pace, rates: Rates
    ) -> None:
        """Raises TeacherError where a hosted model has no key. No request is made yet."""
        self._pace = pace
        self._rates = rates
        self._name = name
        self._base_url = base_url
        self._settings = settings
        self._answered = 0
        self._ending = Ending()
        self._silence = Silence()
        self._key = os.environ.get("OPENAI_API_KEY", "").strip()
        if not self._key and base_url is None:
            raise TeacherError(
                what=f"no key for openai:{name}: the environment variable OPENAI_API_KEY is not set",
                why="hosted models answer only to a key",
                do=f"export OPENAI_API_KEY=…, or name your own server as openai:{name}@http://HOST:PORT/v1",
            )
        self._client = openai.AsyncOpenAI(
            base_url=base_url or OPENAI_URL,  # given outright, or the client would ask the environment
            api_key=self._key or NO_KEY,
            timeout=settings.timeout_seconds,  # of each read; a whole request is timed by us
            max_retries=0,
            http_client=openai.DefaultAioHttpClient(),
        )

    async def close(self) -> None:
        await self._client.close()

    async def one(self, ask: Ask) -> Outcome:
        """The outcome of one ask. Raises TeacherError where every other ask would meet the same."""
        started = time.monotonic()
        attempts = 0
        settled = self._answered
        try:
            async for attempt in retrying(
                attempts=self._settings.attempts,
                can_heal=_can_heal,
                seconds_asked=_seconds_asked,
                counts=_counts,
                deadline_seconds=self._settings.deadline_seconds,
                sleep=self._ending.nap,
            ):
                with attempt:
                    attempts += 1
                    left = max(1.0, self._settings.deadline_seconds - (time.monotonic() - started))
                    try:
                        reply = await self._paced(
                            ask, again=attempts > 1, seconds=min(self._settings.timeout_seconds, left)
                        )
                    except Exception:
                        # What is answered from here on shows that the server is there; what was before does not.
                        settled = self._answered if attempts == 1 else settled
                        raise
        except SlowReplyError as error:
            return self._failure(ask, "timeout", error, attempts, started)
        except openai.APITimeoutError as error:
            if _is_connection_trouble(error):
                return self._gave_up(ask, error, attempts, started, settled)
            return self._failure(ask, "timeout", error, attempts, started)
        except openai.APIStatusError as error:
            if error.status_code in DENIED or _is_spent(error):
                raise self._denied(error) from error
            if heals(error.status_code):
                return self._gave_up(ask, error, attempts, started, settled)
            return self._failure(ask, "bad_request", error, attempts, started)
        except openai.APIConnectionError as error:
            return self._gave_up(ask, error, attempts, started, settled)
        except (openai.OpenAIError, ValueError) as error:
            return self._failure(ask, "broken", error, attempts, started)
        self._answered += 1
        return _read(ask, reply, attempts, time.monotonic() - started)

    async def _paced(self, ask: Ask, *, again: bool, seconds: float) -> Mapping[str, Any]:
        """One request in a slot of its own; what becomes of it tells the pace how many the server can take."""
        slot = await self._pace.enter(again=again)
        try:
            estimate = _estimated_tokens(ask)
            await self._rates.admit(estimate)
            self._ending.check()
            slot.started = time.monotonic()
            async with asyncio.timeout(seconds):
                reply = await self._request(ask)
        except TimeoutError as error:
            self._pace.timed_out(slot)
            raise SlowReplyError(f"no whole reply within {seconds:g} seconds") from error
        except openai.APITimeoutError as error:
            if _is_connection_trouble(error):
                self._pace.leave()
            else:
                self._pace.timed_out(slot)
            raise
        except openai.APIStatusError as error:
            self._rates.heard(error.response.headers)
            if error.status_code in TOO_MUCH:
                self._pace.refuse(slot)
            else:
                self._pace.leave()
            raise
        except BaseException:
            self._pace.leave()
            raise
        self._pace.answered(slot, ask.purpose)
        usage = reply.get("usage")
        self._rates.settle(estimate, _count(_field(usage, "total_tokens")))
        return reply

    def _gave_up(
        self, ask: Ask, error: openai.OpenAIError, attempts: int, started: float, answered_before: int
    ) -> Outcome:
        """A failure of this ask alone where others were answered meanwhile; else the server is out of reach."""
        if self._answered > answered_before and lasting(error) is None:
            return self._failure(ask, "unreachable", error, attempts, started)
        raise self._unreachable(error) from error

    async def _request(self, ask: Ask) -> Mapping[str, Any]:
        """The reply's JSON object, of whatever shape.

        Through the client's own `post`, because building typed objects from a reply, and walking the request's
        schema for fields to rename, costs twice what the network does.
        """
        response = await self._client.post(
            "/chat/completions",
            content=self._body(ask),
            cast_to=httpx2.Response,
            options={"headers": {"Content-Type": "application/json"}},
        )
        self._rates.heard(response.headers)
        if not response.content.lstrip()[:1] == b"{":
            raise NotACompletionError(f"not a chat completion but {response.text[:200]!r}")
        try:
            reply = json.loads(response.content)
        except RecursionError as error:
            raise NotACompletionError("a chat completion that is nested too deeply") from error
        if not isinstance(reply, dict):
            raise NotACompletionError(f"not a chat completion but {response.text[:200]!r}")
        if not reply.get("choices") and reply.get("error"):
            raise NotACompletionError(f"an error with status 200: {reply['error']}")
        return reply

    def _body(self, ask: Ask) -> bytes:
        limit = "max_tokens" if self._base_url is not None else "max_completion_tokens"  # many know only the older name
        asked: dict[str, Any] = {
            "model": self._name,
            "messages": [{"role": m.role, "content": m.content} for m in ask.messages],
            "seed": ask.request_seed,
            limit: ask.sampling.max_tokens,
        }
        if ask.sampling.temperature is not None:
            asked["temperature"] = ask.sampling.temperature
        if ask.schema is not None and self._settings.structured != "text":
            asked["response_format"] = _response_format(ask, self._settings.structured)
        return json.dumps(asked, ensure_ascii=False).encode()

    def _failure(self, ask: Ask, kind: Failure, error: BaseException, attempts: int, started: float) -> Outcome:
        """One ask's own. Raises TeacherError where it is not: nobody else gets a usable answer, either."""
        if kind in ("timeout", "broken") and self._silence.grows(self._answered):
            raise self._unreachable(error) from error
        return Outcome(
            ask_id=ask.id,
            failure=kind,
            detail=self._words(error),
            attempts=attempts,
            seconds=time.monotonic() - started,
        )

    def _denied(self, error: openai.APIStatusError) -> TeacherError:
        trouble = TeacherError(
            what=f"openai:{self._name} at {self._place} answered {error.status_code}: {self._words(error)}",
            why="a missing model or a refused key does not heal by waiting",
            do="check the model's name, the address (it ends in /v1), OPENAI_API_KEY and the account, then run again:"
            " it resumes",
        )
        return self._ending.by(trouble)

    def _unreachable(self, error: BaseException) -> TeacherError:
        remedy = lasting(error)
        if remedy is not None:
            trouble = TeacherError(
                what=f"openai:{self._name} at {self._place} cannot be connected to: {self._words(error)}",
                why="that does not heal by waiting, and nothing was sent",
                do=remedy,
            )
            return self._ending.by(trouble)
        tries = (
            f"after {self._settings.attempts} tries"
            if _counts(error)
            else f"within {self._settings.deadline_seconds:g} seconds"
        )
        trouble = TeacherError(
            what=f"openai:{self._name} at {self._place} did not answer {tries}: {self._words(error)}",
            why="an outage would otherwise be written down as a thousand failed drafts",
            do="start the server or wait for it, then run the same command again: it resumes",
        )
        return self._ending.by(trouble)

    @property
    def _place(self) -> str:
        return self._base_url or OPENAI_URL

    def _words(self, error: BaseException) -> str:
        """The provider's own words, or what lies below a bare connection error; never the key."""
        cause = error.__cause__ if isinstance(error, openai.APIConnectionError) else None
        return redacted(str(cause or "") or str(error), key=self._key)


def _response_format(ask: Ask, structured: str) -> dict[str, Any]:
    if structured == "json_object":
        return {"type": "json_object"}
    return {
        "type": "json_schema",
        "json_schema": {"name": ask.purpose, "schema": ask.schema, "strict": True},
    }


def _read(ask: Ask, reply: Mapping[str, Any], attempts: int, seconds: float) -> Outcome:
    # Nobody has checked a type: whatever the server's JSON holds in a place is what stands there.
    choices = reply.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = _field(choice, "message")
    finish_reason = _text(_field(choice, "finish_reason"))
    usage = reply.get("usage")
    common: dict[str, Any] = {
        "ask_id": ask.id,
        "usage": Usage(_count(_field(usage, "prompt_tokens")), _count(_field(usage, "completion_tokens"))),
        "served_model": _text(reply.get("model")),
        "attempts": attempts,
        "seconds": seconds,
    }
    refusal = _text(_field(message, "refusal"))
    if refusal:
        return Outcome(failure="refused", detail=refusal, finish_reason="refusal", **common)
    content = _text(_field(message, "content"))
    if not content:
        lacks = f"text (finish_reason {finish_reason})" if choice is not None else "choices"
        return Outcome(failure="empty", detail=f"the reply has no {lacks}", finish_reason=finish_reason, **common)
    return Outcome(text=content, finish_reason=finish_reason, **common)


def _field(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, dict) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _count(tokens: object) -> int | None:
    return tokens if isinstance(tokens, int) and 0 <= tokens < 2**31 else None


def _can_heal(error: BaseException) -> bool:
    if isinstance(error, openai.APIStatusError):
        return heals(error.status_code) and not _is_spent(error)
    if isinstance(error, UnicodeEncodeError):  # the request's fault: the next try would be the same
        return False
    if isinstance(error, openai.APIConnectionError):
        return lasting(error) is None
    return isinstance(error, (SlowReplyError, ValueError))


def _counts(error: BaseException) -> bool:
    """Whether a try is used up: not by a 429, which says "later" and nothing of the ask."""
    return not (isinstance(error, openai.APIStatusError) and error.status_code == 429)


def _is_spent(error: openai.APIStatusError) -> bool:
    """A 429 that does not pass: the account has no money left."""
    return error.status_code == 429 and error.code in ("insufficient_quota", "billing_hard_limit_reached")


def _estimated_tokens(ask: Ask) -> int:
    """About four bytes a token, and the whole room for the reply, as providers reckon before they answer."""
    return sum(len(m.content) for m in ask.messages) // 4 + ask.sampling.max_tokens


def _is_connection_trouble(error: openai.APITimeoutError) -> bool:
    """The aiohttp transport calls all trouble with a connection, a refused one too, a timeout of connecting."""
    return type(error.__cause__).__name__ == "ConnectTimeout"


def _seconds_asked(error: BaseException) -> float | None:
    return retry_after(error.response.headers) if isinstance(error, openai.APIStatusError) else None
