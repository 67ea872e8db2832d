"""Any server that speaks the OpenAI chat protocol: hosted models, vLLM, llama.cpp, Ollama."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .adaptive import FIRST_TRY, MOST_AT_ONCE, Pace
from .base import Ask, Memory, Outcome
from .families import family_of
from .pace import LAST_SECONDS, each
from .rates import Rates

if TYPE_CHECKING:
    from ..recipe import JudgeSettings, TeacherSettings
    from .completions import Completions


HOSTED = "api.openai.com"
"""Where a model without an address is asked (`completions.OPENAI_URL`)."""


class EndpointTeacher:
    """Chat completions over HTTP. Connects with the first ask, so that a replay never loads the client."""

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None,
        settings: TeacherSettings | JudgeSettings,
        concurrency: int | None = None,
    ) -> None:
        """`concurrency` says how many asks the server is given at once; None: that is found out."""
        self._concurrency = concurrency
        self._name = model
        self._base_url = base_url
        self._settings = settings
        self._client: Completions | None = None
        self._memory: Memory | None = None
        self._again: Callable[[Ask], bool] = lambda _: True
        self._stopped: Callable[[], bool] = lambda: False

    def remember_in(self, memory: Memory) -> None:
        """What the endpoint takes is noted in `memory`, and looked up there when it is connected to."""
        self._memory = memory

    def meter(self, again: Callable[[Ask], bool]) -> None:
        self._again = again

    def heed(self, stopped: Callable[[], bool]) -> None:
        self._stopped = stopped

    @property
    def model(self) -> str:
        return f"openai:{self._name}"

    @property
    def host(self) -> str:
        """Where it is asked, without the port: what a price depends on, and no identity does."""
        return urlsplit(self._base_url).hostname or "" if self._base_url else HOSTED

    @property
    def family(self) -> str:
        return family_of(self._name)

    @property
    def max_in_flight(self) -> int:
        return self._concurrency or MOST_AT_ONCE

    async def answer(self, asks: AsyncIterable[Ask]) -> AsyncIterator[Outcome]:
        client = self.connect()
        last = min(LAST_SECONDS, self._settings.timeout_seconds)
        async with aclosing(each(asks, client.one, ready=self.pace.room, last_seconds=last)) as outcomes:
            async for outcome in outcomes:
                yield outcome

    def connect(self) -> Completions:
        """The open client, made inside the event loop that uses it. Raises TeacherError where a key is missing."""
        if self._client is None:
            from .completions import Completions

            self.pace = Pace(start=self._concurrency or FIRST_TRY, most=self._concurrency or MOST_AT_ONCE)
            self.rates = Rates(self._settings.requests_per_minute, self._settings.tokens_per_minute)
            self._client = Completions(
                self._name,
                base_url=self._base_url,
                settings=self._settings,
                pace=self.pace,
                rates=self.rates,
                memory=self._memory,
            )
            self._client.again = self._again
            self._client.stopped = self._stopped
        return self._client

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None
