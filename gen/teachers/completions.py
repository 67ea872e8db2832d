"""One request per ask over the OpenAI chat protocol, retried by tenacity (the client's own retries are off)."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import openai
from openai.types.chat import ChatCompletion

from ..errors import TeacherError
from ..text import redacted
from .base import Ask, Failure, Outcome, Usage
from .pace import DENIED, heals, retrying

if TYPE_CHECKING:
    from ..recipe import JudgeSettings, TeacherSettings

OPENAI_URL = "https://api.openai.com/v1"
NO_KEY = "none"  # a server of one's own needs no key, but the protocol wants the header


class NotACompletionError(ValueError):
    """An answer with status 200 that is no chat completion: a web page, or an error in disguise."""


class Completions:
    """An open client for one model; made inside the event loop that uses it."""

    def __init__(self, name: str, *, base_url: str | None, settings: TeacherSettings | JudgeSettings) -> None:
        """Raises TeacherError where a hosted model has no key. No request is made yet."""
        self._name = name
        self._base_url = base_url
        self._settings = settings
        self._answered = 0
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
            timeout=settings.timeout_seconds,
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
                attempts=self._settings.attempts, can_heal=_can_heal, seconds_asked=_seconds_asked
            ):
                with attempt:
                    attempts = attempt.retry_state.attempt_number
                    reply = await self._request(ask)
        except openai.APITimeoutError as error:
            if _is_connection_trouble(error):
                return self._gave_up(ask, error, attempts, started, settled)
            return self._failure(ask, "timeout", error, attempts, started)
        except openai.APIStatusError as error:
            if error.status_code in DENIED:
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

    def _gave_up(
        self, ask: Ask, error: openai.OpenAIError, attempts: int, started: float, answered_before: int
    ) -> Outcome:
        """A failure of this ask alone where others were answered meanwhile; else the server is out of reach."""
        if self._answered > answered_before:
            return self._failure(ask, "unreachable", error, attempts, started)
        raise self._unreachable(error) from error

    async def _request(self, ask: Ask) -> ChatCompletion:
        sampling: dict[str, Any] = {"max_completion_tokens": ask.sampling.max_tokens}
        if self._base_url is not None:
            # Many servers other than OpenAI's know only the older name.
            sampling = {"max_tokens": ask.sampling.max_tokens}
        if ask.sampling.temperature is not None:
            sampling["temperature"] = ask.sampling.temperature
        if ask.schema is not None and self._settings.structured != "text":
            sampling["response_format"] = _response_format(ask, self._settings.structured)
        reply: object = await self._client.chat.completions.create(
            model=self._name,
            messages=[{"role": m.role, "content": m.content} for m in ask.messages],  # type: ignore[misc]
            seed=ask.request_seed,
            **sampling,
        )
        if not isinstance(reply, ChatCompletion):  # the client hands on whatever is not JSON, or no object
            raise NotACompletionError(f"not a chat completion but {str(reply)[:200]!r}")
        if not reply.choices and (reply.model_extra or {}).get("error"):
            raise NotACompletionError(f"an error with status 200: {(reply.model_extra or {})['error']}")
        return reply

    def _failure(self, ask: Ask, kind: Failure, error: BaseException, attempts: int, started: float) -> Outcome:
        return Outcome(
            ask_id=ask.id,
            failure=kind,
            detail=self._words(error),
            attempts=attempts,
            seconds=time.monotonic() - started,
        )

    def _denied(self, error: openai.APIStatusError) -> TeacherError:
        return TeacherError(
            what=f"openai:{self._name} at {self._place} answered {error.status_code}: {self._words(error)}",
            why="a missing model or a refused key does not heal by waiting",
            do="check the model's name, the address (it ends in /v1), OPENAI_API_KEY and the account, then run again:"
            " it resumes",
        )

    def _unreachable(self, error: openai.OpenAIError) -> TeacherError:
        return TeacherError(
            what=f"openai:{self._name} at {self._place} did not answer after {self._settings.attempts} tries:"
            f" {self._words(error)}",
            why="an outage would otherwise be written down as a thousand failed drafts",
            do="start the server or wait for it, then run the same command again: it resumes",
        )

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


def _read(ask: Ask, reply: ChatCompletion, attempts: int, seconds: float) -> Outcome:
    # The client checks no types: whatever the server's JSON holds in a place is what stands there.
    choice: Any = reply.choices[0] if reply.choices else None
    message = getattr(choice, "message", None)
    finish_reason = _text(getattr(choice, "finish_reason", None))
    common: dict[str, Any] = {
        "ask_id": ask.id,
        "usage": Usage(_count(reply.usage, "prompt_tokens"), _count(reply.usage, "completion_tokens")),
        "served_model": _text(reply.model),
        "attempts": attempts,
        "seconds": seconds,
    }
    refusal = _text(getattr(message, "refusal", None))
    if refusal:
        return Outcome(failure="refused", detail=refusal, finish_reason="refusal", **common)
    content = _text(getattr(message, "content", None))
    if not content:
        lacks = f"text (finish_reason {finish_reason})" if choice is not None else "choices"
        return Outcome(failure="empty", detail=f"the reply has no {lacks}", finish_reason=finish_reason, **common)
    return Outcome(text=content, finish_reason=finish_reason, **common)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _count(usage: object, name: str) -> int | None:
    tokens = getattr(usage, name, None)
    return tokens if isinstance(tokens, int) and 0 <= tokens < 2**31 else None


def _can_heal(error: BaseException) -> bool:
    if isinstance(error, openai.APIStatusError):
        return heals(error.status_code)
    if isinstance(error, UnicodeEncodeError):  # the request's fault: the next try would be the same
        return False
    return isinstance(error, (openai.APIConnectionError, ValueError))


def _is_connection_trouble(error: openai.APITimeoutError) -> bool:
    """The aiohttp transport calls all trouble with a connection, a refused one too, a timeout of connecting."""
    return type(error.__cause__).__name__ == "ConnectTimeout"


def _seconds_asked(error: BaseException) -> float | None:
    """What `Retry-After` says, in seconds; the date form is rare and falls back to our own wait."""
    if not isinstance(error, openai.APIStatusError):
        return None
    try:
        return max(0.0, float(error.response.headers.get("retry-after", "")))
    except ValueError:
        return None
