"""A judge behind an address: what it says to each question, and whether it gives log-probabilities."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from ._loopback import loopback


@dataclass
class JudgeServer:
    """`level` is what it writes where a level is wanted; `shares` the probabilities it then gives, by token."""

    level: str | Callable[[dict[str, Any]], str | None] | None = "3"
    evidence: str = '{"items": [], "reason": "seen"}'
    shares: Mapping[str, float] | None = None
    refuses_logprobs: bool = False
    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)

    @property
    def levels(self) -> list[dict[str, Any]]:
        return [body for body in self.bodies if "response_format" not in body]

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.bodies.append(body)
        if self.refuses_logprobs and "logprobs" in body:
            error = {"message": "This model does not support the 'logprobs' parameter.", "param": "logprobs"}
            return web.json_response({"error": error}, status=400)
        return web.json_response(self._reply(body))

    def _reply(self, body: dict[str, Any]) -> dict[str, Any]:
        is_level = "response_format" not in body
        said = (self.level(body) if callable(self.level) else self.level) if is_level else self.evidence
        given = None
        if self.shares is not None and body.get("logprobs"):
            told = [{"token": token, "logprob": math.log(share)} for token, share in self.shares.items()]
            told = told[: body["top_logprobs"]]
            given = {"content": [{"token": said, "logprob": math.log(self.shares[str(said)]), "top_logprobs": told}]}
        choice = {"message": {"role": "assistant", "content": said}, "finish_reason": "stop", "logprobs": given}
        usage = {"prompt_tokens": 100, "completion_tokens": 1}
        return {"model": body["model"], "choices": [choice], "usage": usage}


@contextmanager
def judge_server(**settings: Any) -> Iterator[JudgeServer]:
    """A server on a free port, in a thread of its own, until the end of the block."""
    server = JudgeServer(**settings)
    app = web.Application(client_max_size=1 << 24)
    app.router.add_post("/v1/chat/completions", server.answer)
    with loopback(app) as server.url:
        yield server
