"""One request per ask over the OpenAI chat protocol, retried by tenacity (the client's own retries are off)."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import TYPE_CHECKING, Any, Literal

import httpx2  # what the openai client itself is built on, and answers with
import openai

from ..errors import TeacherError
from ..text import redacted
from .abilities import REFUSING, Abilities, said_by
from .adaptive import Pace
from .base import Ask, Failure, Memory, Outcome
from .causes import (
    TOO_MUCH,
    ErrorInDisguiseError,
    NotACompletionError,
    SlowReplyError,
    can_heal,
    counts,
    is_spent,
    may_be_billed,
    seconds_asked,
)
from .pace import DENIED, heals, retrying
from .rates import Rates, estimated_tokens
from .readings import count, failed_generation, field, outcome_of
from .troubles import Ending, Silence, UnaskedError, lasting
from .wire import BLANK, LIMITS, Wire, decoded, encoded

if TYPE_CHECKING:
    from ..recipe import JudgeSettings, TeacherSettings

OPENAI_URL = "https://api.openai.com/v1"
NO_KEY = "none"  # a server of one's own needs no key, but the protocol wants the header


@dataclass
class _Course:
    """What has become of one ask so far."""

    ask: Ask
    answered_before: int  # replies to any ask before this one first failed
    has_failed: bool = False
    started: float = dataclass_field(default_factory=time.monotonic)
    requests: int = 0
    may_be_billed: bool = False  # for a try that gave no reply
    latency_seconds: float | None = None

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.started

    def failed_once(self, answered: int) -> None:
        """What is answered from its first failure on shows that the server is there; what was before does not."""
        if not self.has_failed:
            self.answered_before, self.has_failed = answered, True


class Completions:
    """An open client for one model; made inside the event loop that uses it."""

    def __init__(
        self,
        name: str,
        *,
        base_url: str | None,
        settings: TeacherSettings | JudgeSettings,
        pace: Pace,
        rates: Rates,
        memory: Memory | None = None,
    ) -> None:
        """Raises TeacherError where a hosted model has no key. No request is made yet."""
        self._pace = pace
        self._rates = rates
        self._name = name
        self._base_url = base_url
        self._settings = settings
        self._answered = 0
        self._chat = f"{(base_url or OPENAI_URL).rstrip('/')}/chat/completions"  # in full: nothing to be joined
        self._ending = Ending()
        self._silence = Silence()
        self._key = os.environ.get("OPENAI_API_KEY", "").strip()
        if not self._key and base_url is None:
            raise TeacherError(
                what=f"no key for openai:{name}: the environment variable OPENAI_API_KEY is not set",
                why="hosted models answer only to a key",
                do=f"export OPENAI_API_KEY=…, or name your own server as openai:{name}@http://HOST:PORT/v1",
            )
        self.abilities = Abilities(
            f"openai:{name} at {self._place}",
            structured=settings.structured,
            logprobs=settings.logprobs,
            memory=memory,
        )
        self._client = openai.AsyncOpenAI(
            base_url=base_url or OPENAI_URL,  # given outright, or the client would ask the environment
            api_key=self._key or NO_KEY,
            timeout=settings.timeout_seconds,  # said to the server; it is we who time, and whole requests
            max_retries=0,
            http_client=Wire(base_url or OPENAI_URL),
        )

    async def close(self) -> None:
        await self._client.close()

    again: Callable[[Ask], bool] = staticmethod(lambda _: True)
    """Whether the budget holds one more try of an ask whose last one may be billed; see `Metered`."""

    stopped: Callable[[], bool] = staticmethod(lambda: False)
    """Whether the run was told to stop; see `Stoppable`."""

    async def one(self, ask: Ask) -> Outcome:
        """The outcome of one ask. Raises TeacherError where every other ask would meet the same."""
        course = _Course(ask, answered_before=self._answered)
        try:
            reply = await self._healed(course)
        except UnaskedError:
            return Outcome(ask_id=ask.id, failure="unasked", attempts=course.requests, seconds=course.elapsed)
        except SlowReplyError as error:
            return self._failure(course, "timeout", error)
        except openai.APIStatusError as error:
            return self._status(course, error)
        except openai.APIConnectionError as error:
            return self._gave_up(course, error)
        except (openai.OpenAIError, ValueError) as error:
            return self._failure(course, "broken", error)
        self._answered += 1
        return outcome_of(
            ask, reply, attempts=course.requests, seconds=course.elapsed, latency_seconds=course.latency_seconds
        )

    async def _healed(self, course: _Course) -> Mapping[str, Any]:
        """The reply to the first try, or to one of those that tenacity allows after it has failed."""
        failed: Exception | None = None
        try:
            return await self._in_a_form_it_takes(course)
        except Exception as error:  # noqa: BLE001 - whatever it is, tenacity decides
            failed = error
            course.failed_once(self._answered)
        async for attempt in retrying(
            attempts=self._settings.attempts,
            can_heal=can_heal,
            affords=lambda error: self._affords(course, error),
            seconds_asked=seconds_asked,
            counts=counts,
            deadline_seconds=self._settings.deadline_seconds,
            elapsed=lambda: course.elapsed,
            sleep=lambda seconds: self._wait(course, seconds),
        ):
            with attempt:
                if failed is not None:  # the first one, as tenacity's own
                    first, failed = failed, None
                    raise first
                return await self._in_a_form_it_takes(course)
        raise AssertionError("tenacity ends with a reply or the last error")

    def _affords(self, course: _Course, error: BaseException) -> bool:
        course.may_be_billed |= may_be_billed(error)
        return not may_be_billed(error) or self.again(course.ask)

    async def _wait(self, course: _Course, seconds: float) -> None:
        await self._ending.nap(seconds, lambda: self.stopped() and not course.may_be_billed)
        self._check(course)

    def _check(self, course: _Course) -> None:
        """Before a request: raises what ends the stream, or UnaskedError where the run was stopped."""
        self._ending.check()
        if self.stopped() and not course.may_be_billed:  # a try that may be billed is counted with its outcome
            raise UnaskedError

    def _status(self, course: _Course, error: openai.APIStatusError) -> Outcome:
        """What an error with a status means for its ask. Raises TeacherError where others would meet the same."""
        written = failed_generation(error.body) if error.status_code < 500 else None
        if written is not None:
            self._answered += 1
            return Outcome(
                ask_id=course.ask.id,
                text=written,
                finish_reason="json_validate_failed",
                attempts=course.requests,
                seconds=course.elapsed,
            )
        if error.status_code in DENIED or is_spent(error):
            raise self._denied(error) from error
        if heals(error.status_code):
            return self._gave_up(course, error)
        return self._failure(course, "bad_request", error)

    async def _in_a_form_it_takes(self, course: _Course) -> Mapping[str, Any]:
        """One try: sent again at once in the next form where the server refuses the form, and not the ask."""
        while True:
            form = await self.abilities.turn(course.ask)
            try:
                reply = await self._paced(course, form.fields(course.ask))
            except openai.APIStatusError as error:
                words = said_by(error.body, str(error))
                if not self.abilities.refused(course.ask, form, error.status_code, redacted(words, key=self._key)):
                    raise
            except ErrorInDisguiseError as error:
                if not self.abilities.refused(course.ask, form, error.status, redacted(str(error), key=self._key)):
                    raise
            else:
                self.abilities.answered(course.ask, form)
                return reply

    async def _paced(self, course: _Course, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """One request in a slot of its own; what becomes of it tells the pace how many the server can take."""
        slot = await self._pace.enter(again=course.requests > 0)
        course.requests += 1
        ask, left = course.ask, max(1.0, self._settings.deadline_seconds - course.elapsed)
        seconds = min(self._settings.timeout_seconds, left)
        try:
            estimate = estimated_tokens(ask)
            await self._rates.admit(estimate, sleep=lambda seconds: self._wait(course, seconds))
            self._check(course)
            slot.started = time.monotonic()
            async with asyncio.timeout(seconds):
                reply = await self._request(ask, fields)
        except TimeoutError as error:
            self._pace.timed_out(slot)
            raise SlowReplyError(f"no whole reply within {seconds:g} seconds") from error
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
        course.latency_seconds = time.monotonic() - slot.started
        self._pace.answered(slot, ask.purpose)
        self._rates.settle(estimate, count(field(reply.get("usage"), "total_tokens")))
        return reply

    async def asked_with(self, ask: Ask, fields: Mapping[str, Any]) -> Mapping[str, Any] | Literal[False] | None:
        """The reply to one request with `fields` besides; False where they are refused, None for other trouble."""
        try:
            async with asyncio.timeout(self._settings.timeout_seconds):
                return await self._request(ask, {**self.abilities.form.fields(ask), **fields})
        except openai.APIStatusError as error:
            return False if error.status_code in REFUSING else None
        except (openai.OpenAIError, TimeoutError, ValueError):
            return None

    def _gave_up(self, course: _Course, error: openai.OpenAIError) -> Outcome:
        """A failure of this ask alone where others were answered meanwhile; else the server is out of reach."""
        if self._answered > course.answered_before and lasting(error) is None:
            return self._failure(course, "unreachable", error)
        raise self._unreachable(error) from error

    async def _request(self, ask: Ask, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """The reply's JSON object, of whatever shape.

        Through the client's own `post`, because building typed objects from a reply, and walking the request's
        schema for fields to rename, costs twice what the network does.
        """
        response = await self._client.post(
            self._chat,
            content=self._body(ask, fields),
            cast_to=httpx2.Response,
            options={"headers": {"Content-Type": "application/json"}, "idempotency_key": ask.id},
        )
        self._rates.heard(response.extensions[LIMITS])
        if not response.content.lstrip(BLANK)[:1] == b"{":
            raise NotACompletionError(f"not a chat completion but {response.text[:200]!r}")
        try:
            reply = decoded(response.content)
        except RecursionError as error:
            raise NotACompletionError("a chat completion that is nested too deeply") from error
        if not isinstance(reply, dict):
            raise NotACompletionError(f"not a chat completion but {response.text[:200]!r}")
        if not reply.get("choices") and reply.get("error"):
            raise ErrorInDisguiseError(reply["error"])
        return reply

    def _body(self, ask: Ask, fields: Mapping[str, Any]) -> bytes:
        limit = "max_tokens" if self._base_url is not None else "max_completion_tokens"  # many know only the older name
        asked: dict[str, Any] = {
            "model": self._name,
            "messages": [{"role": m.role, "content": m.content} for m in ask.messages],
            limit: ask.sampling.max_tokens,
        }
        if ask.sampling.temperature is not None:
            asked["temperature"] = ask.sampling.temperature
        return encoded({**asked, **fields})

    def _failure(self, course: _Course, kind: Failure, error: BaseException) -> Outcome:
        """One ask's own. Raises TeacherError where it is not: nobody else gets a usable answer, either."""
        if kind in ("timeout", "broken") and self._silence.grows(self._answered):
            raise self._unreachable(error) from error
        return Outcome(
            ask_id=course.ask.id,
            failure=kind,
            detail=self._words(error),
            attempts=course.requests,
            seconds=course.elapsed,
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
            f"after {self._settings.attempts} {'try' if self._settings.attempts == 1 else 'tries'}"
            if counts(error)
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
