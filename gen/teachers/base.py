"""One small protocol for everything that answers: asks in, outcomes out, in any order."""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode

Purpose = Literal[
    "scenario", "exemplar", "critique", "revision", "level", "evidence", "hollow", "violating", "over_done"
]
Failure = Literal["refused", "unreachable", "timeout", "bad_request", "empty", "broken", "unasked"]
"""`unasked` is what a `Stoppable` teacher gave up when the run was stopped; it is in no ledger, and is asked anew."""


class Schema(dict[str, Any]):
    """A JSON schema as it goes with thousands of asks: written out once. It is not changed any more."""

    @cached_property
    def text(self) -> str:
        return json.dumps(self)

    @cached_property
    def canonical(self) -> str:
        return _canonical(self)


def schema_text(schema: Mapping[str, Any] | None) -> str:
    """`schema` as JSON, in the order of its keys; `null` where there is none."""
    return schema.text if isinstance(schema, Schema) else json.dumps(schema)


@dataclass(frozen=True)
class Message:
    role: str  # system | user | assistant
    content: str


@dataclass(frozen=True)
class Sampling:
    """What is asked of the sampler. `seed` is the recipe's; a request's own is derived from the ask's id."""

    temperature: float | None = None
    max_tokens: int = 2048
    seed: int = 0


@dataclass(frozen=True)
class Ask:
    """One question to a model.

    The id is a hash of all that can change the answer. What is left out, and why:

        purpose      a label for reports; the words of the question are in `messages`
        follows      what it follows stands in `messages`, too
        port, URL    the same model served elsewhere is the same model
        concurrency, deadline, path, clock: none of them changes a reply
    """

    model: str  # identity of the model (with its dials), never its address
    messages: tuple[Message, ...]
    sampling: Sampling
    schema: Mapping[str, Any] | None = None  # JSON schema of the reply, or None for plain text
    draw: int = 0  # k-th sample of the same question
    purpose: Purpose = "exemplar"
    follows: str | None = None  # id of the first ask, where this one only says what was wrong with its reply

    @cached_property
    def id(self) -> str:
        # The JSON of all of it with its keys in order, put together so that the schema need not be written each time.
        schema = self.schema.canonical if isinstance(self.schema, Schema) else _canonical(self.schema)
        asked = _canonical({"draw": self.draw, "messages": [[m.role, m.content] for m in self.messages]})
        sampling = [self.sampling.temperature, self.sampling.max_tokens, self.sampling.seed]
        sampled = _canonical({"model": self.model, "sampling": sampling})
        text = f'{asked[:-1]},{sampled[1:-1]},"schema":{schema}}}'
        return "a-" + sha256(b"ask\0" + text.encode()).hexdigest()[:32]

    @cached_property
    def request_seed(self) -> int:
        """31 bits of the id: different for every ask, the same in every run."""
        return request_seed(self.id)


def request_seed(ask_id: str) -> int:
    """31 bits of an ask's id."""
    return int(ask_id[2:10], 16) & 0x7FFF_FFFF


@dataclass(frozen=True)
class Usage:
    """Tokens as the provider counted them; None where it did not say."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None  # those of the prompt that came from the provider's cache
    reasoning_tokens: int | None = None  # those of the completion that nobody is shown


class TokenLogprob(NamedTuple):
    """One token of a reply, its natural log-probability, and (token, log-probability) of the likeliest in its place."""

    token: str
    logprob: float
    alternatives: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Outcome:
    """The reply to one ask, or its final failure. Exactly one of `text` and `failure` is set."""

    ask_id: str
    text: str | None = None
    finish_reason: str | None = None  # stop | length | content_filter | …, as served
    failure: Failure | None = None
    detail: str = ""  # of a failure: the provider's own words, redacted
    usage: Usage = field(default_factory=Usage)
    served_model: str | None = None
    attempts: int = 1  # requests that were sent for it
    seconds: float = 0.0  # from the first request to the reply, with all waits and tries
    latency_seconds: float | None = None  # of the last request alone
    fingerprint: str | None = None  # of the system that served it, as it calls itself
    logprobs: tuple[TokenLogprob, ...] | None = None  # where they were asked for and given


@runtime_checkable
class Metered(Protocol):
    """A teacher that repeats requests: it asks first where the one before may be billed without a reply."""

    def meter(self, again: Callable[[Ask], bool]) -> None:
        """`again` says whether the budget holds one more try of an ask, and counts the one before."""


@runtime_checkable
class Stoppable(Protocol):
    """A teacher whose asks may wait for long before a try: told to stop, it gives up those that cost nothing yet."""

    def heed(self, stopped: Callable[[], bool]) -> None:
        """`stopped` says whether the run was told to stop; only then may an outcome be `unasked`."""


@runtime_checkable
class Teacher(Protocol):
    """A model that writes or judges."""

    @property
    def model(self) -> str:
        """Identity, part of every ask's id: `openai:gpt-5-mini`, `rehearsal-teacher?hollow=0.2`."""

    @property
    def family(self) -> str:
        """Whose model it is; a judge is never of a teacher's family."""

    @property
    def max_in_flight(self) -> int:
        """How many asks it can usefully hold at once, whatever the run allows."""

    def answer(self, asks: AsyncIterable[Ask]) -> AsyncIterator[Outcome]:
        """One outcome for each ask, in any order; never raises for a single ask."""

    async def close(self) -> None:
        """Releases connections and engines; called once, after the last ask."""


class Memory(Protocol):
    """Where a teacher notes what it found out of its endpoint, so that the next run need not."""

    def recall(self, key: str) -> Any:
        """The JSON value that was remembered under `key`, or None."""

    def remember(self, key: str, value: Any, words: str | None) -> None:
        """Keeps `value`; `words`, where there are some, are said to a person once."""


@runtime_checkable
class Remembering(Protocol):
    """A teacher that can use a memory; it is lent one before the first ask of a run."""

    def remember_in(self, memory: Memory) -> None:
        """`memory` is used from now on."""
