"""How each kind of bad weather looks on the wire: what is sent, how much of it, and when."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from .journal import Journal, Line
from .weather import Fault, Weather

POLL_SECONDS = 0.02
DRIPS = 50
USUAL_SECONDS = 5.0  # of an outage, and of a reply that drips
WEB_PAGE = "<!doctype html><html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>"

Completion = Mapping[str, Any]


class Door:
    """The server's port, which an outage shuts: until it opens again, connections are refused."""

    def __init__(self) -> None:
        self.runner: web.AppRunner | None = None
        self._outage: asyncio.Task[None] | None = None

    def shut(self, seconds: float) -> None:
        """Resets what is connected and refuses what comes. Returns at once; a second call meanwhile changes nothing."""
        if self._outage is None or self._outage.done():
            self._outage = asyncio.create_task(self._away(seconds))

    async def _away(self, seconds: float) -> None:
        runner = self.runner
        if runner is None or runner.server is None:
            return
        host, port = runner.addresses[0][:2]
        for site in list(runner.sites):
            await site.stop()
        for connection in list(runner.server.connections):
            if connection.transport is not None:
                connection.transport.abort()
        await asyncio.sleep(seconds)
        await web.TCPSite(runner, host, port, reuse_address=True).start()


def as_bytes(body: Mapping[str, Any]) -> bytes:
    # ASCII escapes: text from seeds may hold lone surrogates, which UTF-8 cannot carry.
    return json.dumps(body).encode()


def gone(request: web.Request) -> bool:
    """Whether nobody is there any more to be answered."""
    return request.transport is None or request.transport.is_closing()


async def send(
    request: web.Request, line: Line, body: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.StreamResponse:
    """Answers with all of `body`, and notes in `line` how much of it went out."""
    line.status = status
    response = web.Response(body=body, status=status, headers={"Content-Type": "application/json", **(headers or {})})
    if gone(request):
        return response
    line.sent = "part"
    try:
        await response.prepare(request)
        await response.write_eof()
    except ConnectionError:
        return response
    line.sent = "whole"
    return response


async def send_completion(
    request: web.Request, line: Line, completion: Completion, *, headers: Mapping[str, str] | None = None
) -> web.StreamResponse:
    _note(line, completion)
    return await send(request, line, as_bytes(completion), headers=headers)


@dataclass
class Visit:
    """One request on its way to an answer; `make` gives what would be answered in fair weather."""

    request: web.Request
    line: Line
    make: Callable[[], Completion]

    async def complete(self, **changes: Any) -> web.StreamResponse:
        """Answers in fair weather, with these fields of the completion changed; None takes one out."""
        made = {key: value for key, value in {**self.make(), **changes}.items() if value is not None}
        return await send_completion(self.request, self.line, made)


@dataclass
class Sky:
    """What a server remembers of its weather."""

    weather: Weather = field(default_factory=Weather)
    journal: Journal = field(default_factory=Journal)
    door: Door = field(default_factory=Door)
    in_flight: int = 0
    _expired: set[str] = field(default_factory=set)

    def fault_for(self, visit: Visit) -> Fault | None:
        """What this request meets: a key that has expired before, or what the schedule says."""
        key = visit.request.headers.get("Authorization", "")
        if key in self._expired:
            return Fault(kind="expired_key")
        line = visit.line
        fault = self.weather.at(number=line.number, seconds=line.at, in_flight=self.in_flight)
        if fault is not None and fault.kind == "expired_key":
            self._expired.add(key)
        return fault

    async def answer(self, visit: Visit, fault: Fault | None) -> web.StreamResponse:
        if fault is None:
            return await visit.complete()
        visit.line.fault = fault.kind
        if fault.kind.isdigit():
            words = "Slow down, please." if fault.kind == "429" else "This is the weather that was asked for."
            headers = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
            return await _error(visit, int(fault.kind), words, headers=headers)
        if fault.kind == "outage":
            self.door.shut(fault.for_seconds or USUAL_SECONDS)
            return _nothing(visit)
        return await _KINDS[fault.kind](visit, fault.for_seconds)


async def _error(
    visit: Visit, status: int, words: str, *, code: str | None = None, headers: Mapping[str, str] | None = None
) -> web.StreamResponse:
    visit.line.answer = "error"
    error = {"message": f"{words} (request {visit.line.number})", "type": "weather", "param": None, "code": code}
    return await send(visit.request, visit.line, as_bytes({"error": error}), status=status, headers=headers)


async def _expired(visit: Visit, _: float | None) -> web.StreamResponse:
    return await _error(visit, 401, "The API key has expired.", code="expired_key")


async def _reset(visit: Visit, _: float | None) -> web.StreamResponse:
    """Half of the body, then RST."""
    body = as_bytes(visit.make())
    response = await _begun(visit, len(body))
    if not gone(visit.request):
        await response.write(body[: len(body) // 2])
        _hang_up(visit.request)
    return response


async def _hang(visit: Visit, for_seconds: float | None) -> web.StreamResponse:
    waited = 0.0
    while not gone(visit.request) and (for_seconds is None or waited < for_seconds):
        await asyncio.sleep(POLL_SECONDS)
        waited += POLL_SECONDS
    return _nothing(visit)


async def _drip(visit: Visit, for_seconds: float | None) -> web.StreamResponse:
    made = visit.make()
    body = as_bytes(made)
    response = await _begun(visit, len(body))
    size = max(1, len(body) // DRIPS)
    for start in range(0, len(body), size):
        await asyncio.sleep((for_seconds or USUAL_SECONDS) * size / len(body))
        if gone(visit.request):
            return response
        await response.write(body[start : start + size])
    visit.line.sent = "whole"  # whoever has all that was announced may go before the end is written
    _note(visit.line, made)
    return response


async def _wrong_type(visit: Visit, _: float | None) -> web.StreamResponse:
    return await send_completion(visit.request, visit.line, visit.make(), headers={"Content-Type": "text/html"})


async def _html(visit: Visit, _: float | None) -> web.StreamResponse:
    visit.line.answer = "unusable"
    return await send(visit.request, visit.line, WEB_PAGE.encode(), headers={"Content-Type": "text/html"})


async def _truncated(visit: Visit, _: float | None) -> web.StreamResponse:
    """Half of the JSON, sent as if it were all."""
    visit.line.answer = "unusable"
    body = as_bytes(visit.make())
    return await send(visit.request, visit.line, body[: len(body) // 2])


_KINDS: dict[str, Callable[[Visit, float | None], Awaitable[web.StreamResponse]]] = {
    "reset": _reset,
    "hang": _hang,
    "drip": _drip,
    "wrong_type": _wrong_type,
    "html": _html,
    "truncated": _truncated,
    "empty": lambda visit, _: visit.complete(choices=[]),
    "other_model": lambda visit, _: visit.complete(model="another-model-2026"),
    "no_usage": lambda visit, _: visit.complete(usage=None),
    "same_id": lambda visit, _: visit.complete(id="chatcmpl-the-same"),
    "expired_key": _expired,
}


def _note(line: Line, completion: Completion) -> None:
    usage = completion.get("usage") or {}
    line.answer = "completion" if completion["choices"] else "empty"
    line.prompt_tokens, line.completion_tokens = usage.get("prompt_tokens"), usage.get("completion_tokens")


async def _begun(visit: Visit, length: int) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(length)})
    visit.line.status, visit.line.answer = 200, "unusable"
    if not gone(visit.request):
        visit.line.sent = "part"
        await response.prepare(visit.request)
    return response


def _nothing(visit: Visit) -> web.StreamResponse:
    _hang_up(visit.request)
    return web.Response()


def _hang_up(request: web.Request) -> None:
    """Resets the connection: with no time to linger, what the kernel sends is an RST."""
    if request.transport is not None:
        raw = request.transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
