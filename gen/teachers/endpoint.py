"""Any server that speaks the OpenAI chat protocol: hosted models, vLLM, llama.cpp, Ollama."""

from __future__ import annotations

import os
import re
import time
from collections.abc import AsyncIterable, AsyncIterator
from typing import TYPE_CHECKING, Any

import openai

from ..errors import TeacherError
from .base import Ask, Failure, Outcome, Usage
from .families import family_of
from .pace import each, retrying

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletion

    from ..recipe import JudgeSettings, TeacherSettings

# Statuses that may heal by themselves; every other 4xx says that the request or the key is wrong.
HEALING = frozenset({408, 409, 425, 429})
DENIED = frozenset({401, 403, 404})
_SECRET = re.compile(r"(?i)\b(sk-|bearer\s+|api[_-]?key\W{1,3})[\w.-]{6,}")


class EndpointTeacher:
    """Chat completions over HTTP, one request per ask, retried by tenacity (the client's own retries are off)."""

    def __init__(
        self, model: str, *, base_url: str | None, settings: TeacherSettings | JudgeSettings
    ) -> None:
        self._name = model
        self._base_url = base_url
        self._settings = settings
        self._client: openai.AsyncOpenAI | None = None

    @property
    def model(self) -> str:
        return f"openai:{self._name}"

    @property
    def family(self) -> str:
        return family_of(self._name)

    @property
    def max_in_flight(self) -> int:
        return 4096

    async def answer(self, asks: AsyncIterable[Ask]) -> AsyncIterator[Outcome]:
        if self._client is None:
            self._client = self._connect()
        async for outcome in each(asks, self._one):
            yield outcome

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None

    def _connect(self) -> openai.AsyncOpenAI:
        try:
            return openai.AsyncOpenAI(
                base_url=self._base_url,
                # A server of one's own needs no key, but the protocol wants the header.
                api_key=None if self._base_url is None else os.environ.get("OPENAI_API_KEY") or "none",
                timeout=self._settings.timeout_seconds,
                max_retries=0,
                http_client=openai.DefaultAioHttpClient(),
            )
        except openai.OpenAIError as error:
            raise TeacherError(
                what=f"no key for {self.model}: the environment variable OPENAI_API_KEY is not set",
                why="hosted models answer only to a key",
                do=f"export OPENAI_API_KEY=…, or name your own server as openai:{self._name}@http://HOST:PORT/v1",
            ) from error

    async def _one(self, ask: Ask) -> Outcome:
        started = time.monotonic()
        attempts = 0
        try:
            async for attempt in retrying(
                attempts=self._settings.attempts, can_heal=_can_heal, seconds_asked=_seconds_asked
            ):
                with attempt:
                    attempts = attempt.retry_state.attempt_number
                    reply = await self._request(ask)
        except (openai.APITimeoutError, TimeoutError) as error:
            return self._failure(ask, "timeout", error, attempts, started)
        except openai.APIStatusError as error:
            if error.status_code in DENIED:
                raise self._denied(error) from error
            if error.status_code in HEALING or error.status_code >= 500:
                raise self._unreachable(error) from error
            return self._failure(ask, "bad_request", error, attempts, started)
        except openai.APIConnectionError as error:
            raise self._unreachable(error) from error
        except (openai.OpenAIError, ValueError) as error:
            return self._failure(ask, "broken", error, attempts, started)
        return _read(ask, reply, attempts, time.monotonic() - started)

    async def _request(self, ask: Ask) -> ChatCompletion:
        assert self._client is not None
        sampling: dict[str, Any] = {"max_completion_tokens": ask.sampling.max_tokens}
        if self._base_url is not None:
            # Many servers other than OpenAI's know only the older name.
            sampling = {"max_tokens": ask.sampling.max_tokens}
        if ask.sampling.temperature is not None:
            sampling["temperature"] = ask.sampling.temperature
        if ask.schema is not None and self._settings.structured != "text":
            sampling["response_format"] = _response_format(ask, self._settings.structured)
        return await self._client.chat.completions.create(
            model=self._name,
            messages=[{"role": m.role, "content": m.content} for m in ask.messages],  # type: ignore[misc]
            seed=ask.request_seed,
            **sampling,
        )

    def _failure(
        self, ask: Ask, kind: Failure, error: BaseException, attempts: int, started: float
    ) -> Outcome:
        return Outcome(
            ask_id=ask.id,
            failure=kind,
            detail=redacted(_words(error)),
            attempts=attempts,
            seconds=time.monotonic() - started,
        )

    def _denied(self, error: openai.APIStatusError) -> TeacherError:
        return TeacherError(
            what=f"{self.model} at {self._place} answered {error.status_code}: {redacted(_words(error))}",
            why="a missing model or a refused key does not heal by waiting",
            do="check the model's name, the address (it ends in /v1) and OPENAI_API_KEY, then run again: it resumes",
        )

    def _unreachable(self, error: openai.OpenAIError) -> TeacherError:
        return TeacherError(
            what=f"{self.model} at {self._place} did not answer after {self._settings.attempts} tries:"
            f" {redacted(_words(error))}",
            why="an outage would otherwise be written down as a thousand failed drafts",
            do="start the server or wait for it, then run the same command again: it resumes",
        )

    @property
    def _place(self) -> str:
        return self._base_url or "api.openai.com"


def _response_format(ask: Ask, structured: str) -> dict[str, Any]:
    if structured == "json_object":
        return {"type": "json_object"}
    return {
        "type": "json_schema",
        "json_schema": {"name": ask.purpose, "schema": ask.schema, "strict": True},
    }


def _read(ask: Ask, reply: ChatCompletion, attempts: int, seconds: float) -> Outcome:
    usage = Usage(reply.usage.prompt_tokens, reply.usage.completion_tokens) if reply.usage else Usage()
    common: dict[str, Any] = {
        "ask_id": ask.id,
        "usage": usage,
        "served_model": reply.model,
        "attempts": attempts,
        "seconds": seconds,
    }
    if not reply.choices:
        return Outcome(failure="empty", detail="the reply has no choices", **common)
    choice = reply.choices[0]
    if choice.message.refusal:
        return Outcome(failure="refused", detail=choice.message.refusal, finish_reason="refusal", **common)
    if not choice.message.content:
        return Outcome(
            failure="empty",
            detail=f"the reply has no text (finish_reason {choice.finish_reason})",
            finish_reason=choice.finish_reason,
            **common,
        )
    return Outcome(text=choice.message.content, finish_reason=choice.finish_reason, **common)


def _can_heal(error: BaseException) -> bool:
    if isinstance(error, openai.APIStatusError):
        return error.status_code in HEALING or error.status_code >= 500
    return isinstance(error, (openai.APIConnectionError, openai.APIResponseValidationError, ValueError))


def _seconds_asked(error: BaseException) -> float | None:
    """What `Retry-After` says, in seconds; the date form is rare and falls back to our own wait."""
    if not isinstance(error, openai.APIStatusError):
        return None
    try:
        return max(0.0, float(error.response.headers.get("retry-after", "")))
    except ValueError:
        return None


def _words(error: BaseException) -> str:
    """The provider's own words, with the cause below a bare connection error."""
    text = str(error)
    cause = error.__cause__
    return f"{text} ({cause})" if isinstance(error, openai.APIConnectionError) and cause else text


def redacted(text: str) -> str:
    """`text` without anything that looks like a key, at most 500 characters."""
    return _SECRET.sub(lambda m: m.group(1) + "[redacted]", text)[:500]
