"""A server that bills: every request it takes, at the most that it could come to, by a meter of its own."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from thousandfold.gen import Ask, Message, Sampling

from ._loopback import loopback
from ._runs import plain_reply


@dataclass
class Meter:
    """What was asked of a server, and what it will send a bill for."""

    url: str = ""
    gathers: int = 0  # requests that it holds before it answers the first
    tells_usage: bool = True
    cached: float = 0.0  # share of the prompt that it says came from its cache
    denied: dict[str, int] = field(default_factory=dict)  # model -> requests after which its key is refused
    tokens: Counter[str] = field(default_factory=Counter)  # prompt, cached, completion
    asked: Counter[str] = field(default_factory=Counter)  # by model; those refused are not among them
    hangs: dict[int, float] = field(default_factory=dict)  # seconds before the answer to the k-th request
    gathered: asyncio.Event = field(default_factory=asyncio.Event)
    in_flight: int = 0
    most_in_flight: int = 0

    def usd(self, *, input_price: float, output_price: float, cached_price: float | None = None) -> float:
        """The bill, at prices for a million tokens."""
        cheap = input_price if cached_price is None else cached_price
        fresh = self.tokens["prompt"] - self.tokens["cached"]
        return (fresh * input_price + self.tokens["cached"] * cheap + self.tokens["completion"] * output_price) / 1e6

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.json()
        model = body["model"]
        if self.asked[model] >= self.denied.get(model, 1 << 30):
            return web.json_response({"error": {"message": "this key has expired"}}, status=401)
        self.asked[model] += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        if self.most_in_flight >= self.gathers:
            self.gathered.set()
        await self.gathered.wait()
        await asyncio.sleep(self.hangs.get(sum(self.asked.values()), 0.0))
        self.in_flight -= 1
        return web.json_response(self._reply(body))

    def _reply(self, body: dict[str, Any]) -> dict[str, Any]:
        schema = body.get("response_format", {}).get("json_schema", {}).get("schema")
        prompt = sum(len(m["content"].encode()) + 8 for m in body["messages"])
        prompt += len(json.dumps(schema)) if schema else 0
        used = {"prompt": prompt, "completion": body["max_tokens"], "cached": int(prompt * self.cached)}
        self.tokens.update(used)
        ask = Ask(
            body["model"],
            tuple(Message(m["role"], m["content"]) for m in body["messages"]),
            Sampling(),
            draw=body["seed"],
            purpose="scenario" if "situations" in json.dumps(schema) else "exemplar",
        )
        message = {"role": "assistant", "content": plain_reply(ask)}
        told = {
            "prompt_tokens": used["prompt"],
            "completion_tokens": used["completion"],
            "prompt_tokens_details": {"cached_tokens": used["cached"]},
        }
        usage = {"usage": told} if self.tells_usage else {}
        return {"model": body["model"], "choices": [{"message": message, "finish_reason": "stop"}], **usage}


@contextmanager
def billing(**settings: Any) -> Iterator[Meter]:
    """A server on a free port until the end of the block."""
    meter = Meter(**settings)
    app = web.Application()
    app.router.add_post("/v1/chat/completions", meter.answer)
    with loopback(app) as meter.url:
        yield meter
