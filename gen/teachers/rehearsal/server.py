"""Rehearsal over the OpenAI protocol: POST /v1/chat/completions and GET /v1/models on a local port."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from aiohttp import web

from ...errors import RecipeError
from ..base import Message
from .faults import Sky, Visit
from .flaws import Dials
from .reply import Reply, reply
from .teacher import JUDGE_FAMILY, TEACHER_FAMILY

MODELS = (TEACHER_FAMILY, JUDGE_FAMILY)

MAX_BODY_BYTES = 64 * 2**20  # aiohttp's own limit of 1 MiB refuses long conversations
WAITING_CONNECTIONS = 1024
SHUTDOWN_SECONDS = 2.0  # how long requests in flight are waited for

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Counts:
    """What the server has done so far."""

    requests: int = 0  # chat completions asked for
    answered: int = 0
    refused: int = 0  # answered with an error


COUNTS = web.AppKey("counts", Counts)
SKY = web.AppKey("sky", Sky)


class RefusalError(Exception):
    """A request that cannot be answered; it becomes an error of the protocol's shape."""

    def __init__(self, message: str, *, status: int = 400, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}


@dataclass(frozen=True)
class Request:
    """The fields of a chat completion request that rehearsal reads; it ignores all others."""

    model: str
    messages: tuple[Message, ...]
    seed: int
    max_tokens: int | None


def application(*, dials: Dials | None = None, latency_seconds: float = 0.0, sky: Sky | None = None) -> web.Application:
    """The server without its port. `app[COUNTS]` counts what it has done; `sky` holds its weather and its log."""
    app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[_shape_errors])
    app[COUNTS] = Counts()
    app[SKY] = sky = sky or Sky()
    dials = dials or Dials()

    async def complete(request: web.Request) -> web.StreamResponse:
        app[COUNTS].requests += 1
        line = sky.journal.arrived()
        sky.in_flight += 1
        try:
            asked = _read(await request.read())
            line.model, line.seed = asked.model, asked.seed
            visit = Visit(request, line, lambda: _completed(asked, dials))
            fault = sky.fault_for(visit)
            if latency_seconds:
                await asyncio.sleep(latency_seconds)
            answer = await sky.answer(visit, fault)
        except RefusalError as refusal:
            line.status, line.answer, line.sent = refusal.status, "error", "whole"
            raise
        finally:
            sky.in_flight -= 1
            sky.journal.over(line)
        app[COUNTS].answered += line.answer == "completion"
        app[COUNTS].refused += line.answer == "error"
        return answer

    app.router.add_post("/v1/chat/completions", complete)
    app.router.add_get("/v1/models", _models)
    return app


def serve(
    port: int,
    *,
    host: str = "127.0.0.1",
    latency_seconds: float = 0.0,
    dials: Dials | None = None,
    sky: Sky | None = None,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serves until SIGINT or SIGTERM, then returns. Port 0 takes a free one.

    `on_ready` is called once with the base URL, which ends in /v1, as soon as requests are accepted. Only for
    the main thread: signals reach no other.
    """
    app = application(dials=dials, latency_seconds=latency_seconds, sky=sky)
    asyncio.run(_serve(app, host, port, on_ready))


async def _serve(app: web.Application, host: str, port: int, on_ready: Callable[[str], None] | None) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        base_url = await listen(runner, host, port)
        if on_ready is not None:
            on_ready(base_url)
        await stopped.wait()
    finally:
        await runner.cleanup()
        app[SKY].journal.close()


async def listen(runner: web.AppRunner, host: str, port: int) -> str:
    """Opens the port and gives the base URL."""
    site = web.TCPSite(runner, host, port, backlog=WAITING_CONNECTIONS)
    try:
        await site.start()
    except OSError as error:
        raise RecipeError(
            what=f"port {port} on {host} cannot be opened: {error.strerror}",
            why="the rehearsal server needs a port of its own",
            do="give another one, or 0 for any free port",
        ) from error
    if SKY in runner.app:
        runner.app[SKY].door.runner = runner
    number = runner.addresses[0][1]
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{number}/v1"


@web.middleware
async def _shape_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every error leaves in the shape that OpenAI clients read, unknown paths included."""
    try:
        return await handler(request)
    except RefusalError as refusal:
        problem = refusal
    except web.HTTPException as error:
        problem = RefusalError(f"{request.method} {request.path}: {error.reason}", status=error.status)
    request.app[COUNTS].refused += 1
    return _json(problem.body, status=problem.status)


async def _models(_: web.Request) -> web.Response:
    models = [{"id": name, "object": "model", "created": 0, "owned_by": "thousandfold"} for name in MODELS]
    return _json({"object": "list", "data": models})


def _read(body: bytes) -> Request:
    try:
        asked = json.loads(body)
    except ValueError as error:
        raise RefusalError(f"The body is not JSON: {error}.") from error
    if not isinstance(asked, dict):
        raise RefusalError("The body must be a JSON object with `model` and `messages`.")
    model = asked.get("model")
    if model not in MODELS:
        raise RefusalError(
            f"The model {model!r} does not exist here; use one of {', '.join(MODELS)}.",
            status=404,
            param="model",
            code="model_not_found",
        )
    if asked.get("stream"):
        raise RefusalError("Rehearsal sends whole replies only; leave out `stream`.", param="stream")
    if asked.get("n") not in (None, 1):
        raise RefusalError(f"Rehearsal gives one choice per request, not n={asked['n']!r}.", param="n")
    limit = "max_completion_tokens" if asked.get("max_completion_tokens") is not None else "max_tokens"
    return Request(
        model=model,
        messages=_messages(asked.get("messages")),
        seed=_integer(asked, "seed") or 0,
        max_tokens=_integer(asked, limit, least=1),
    )


def _messages(value: Any) -> tuple[Message, ...]:
    if not isinstance(value, list) or not value:
        raise RefusalError("`messages` is missing: give a list of at least one message.", param="messages")
    return tuple(_message(turn, place) for place, turn in enumerate(value))


def _message(turn: Any, place: int) -> Message:
    role = turn.get("role") if isinstance(turn, Mapping) else None
    content = turn.get("content") if isinstance(turn, Mapping) else None
    if isinstance(content, list):
        content = _joined(content)
    if not isinstance(role, str) or not isinstance(content, str):
        raise RefusalError(f"`messages[{place}]` needs a `role` and a `content` of text.", param=f"messages[{place}]")
    return Message(role, content)


def _joined(parts: Sequence[Any]) -> str | None:
    """The text of a content given in parts; None where a part is not text."""
    texts = [part.get("text") for part in parts if isinstance(part, Mapping)]
    whole = [text for text in texts if isinstance(text, str)]
    return "".join(whole) if len(whole) == len(parts) else None


def _integer(asked: Mapping[str, Any], name: str, *, least: int | None = None) -> int | None:
    value = asked.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or (least is not None and value < least):
        raise RefusalError(
            f"`{name}` is {value!r}; it must be an integer{f' from {least}' if least else ''}.", param=name
        )
    return value


def _completed(asked: Request, dials: Dials) -> dict[str, Any]:
    said = reply(asked.messages, seed=asked.seed, max_tokens=asked.max_tokens, dials=dials)
    return _completion(asked, said, dials)


def _completion(asked: Request, said: Reply, dials: Dials) -> dict[str, Any]:
    prompt, completion = said.usage.prompt_tokens or 0, said.usage.completion_tokens or 0
    digest = sha256(json.dumps([asked.model, asked.seed, said.text]).encode()).hexdigest()
    return {
        "id": f"chatcmpl-{digest[:24]}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": asked.model,
        "system_fingerprint": f"rehearsal{dials.suffix}",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": said.text, "refusal": None},
                "logprobs": None,
                "finish_reason": said.finish_reason,
            }
        ],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        },
    }


def _json(body: Mapping[str, Any], *, status: int = 200) -> web.Response:
    # ASCII escapes: text from seeds may hold lone surrogates, which UTF-8 cannot carry.
    return web.json_response(body, status=status, dumps=json.dumps)
