"""What the openai client sends through our own transport, over real HTTP: the same bytes, fewer steps."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import openai
import pytest
from aiohttp import web

from thousandfold.gen.teachers.wire import Wire, proxy_of

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
BODY = '{"model": "m", "note": "é"}'.encode()


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    try:
        yield f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/v1"  # type: ignore[attr-defined]
    finally:
        await runner.cleanup()


async def post(url: str, http_client: httpx2.AsyncClient) -> httpx2.Response:
    client = openai.AsyncOpenAI(base_url=url, api_key="a-key", max_retries=0, timeout=9, http_client=http_client)
    try:
        return await client.post(
            "/chat/completions",
            content=BODY,
            cast_to=httpx2.Response,
            options={"headers": {"Content-Type": "application/json"}},
        )
    finally:
        await client.close()


def test_a_server_is_sent_what_the_openai_clients_own_transport_sends() -> None:
    seen: list[Any] = []

    async def handle(request: web.Request) -> web.Response:
        seen.append((request.method, request.path_qs, sorted(request.headers.items()), await request.read()))
        return web.Response(text="{}")

    async def both() -> None:
        async with serving(handle) as url:
            await post(url, openai.DefaultAioHttpClient())
            await post(url, Wire(url))

    asyncio.run(both())
    assert seen[0] == seen[1]
    assert seen[1][0] == "POST"
    assert seen[1][3] == BODY
    assert ("Authorization", "Bearer a-key") in seen[1][2]


def test_a_redirect_is_followed_and_the_body_goes_with_it() -> None:
    seen: list[bytes] = []

    async def handle(request: web.Request) -> web.Response:
        if request.path.startswith("/v1"):
            raise web.HTTPTemporaryRedirect("/moved")
        seen.append(await request.read())
        return web.Response(text="there")

    async def sent() -> str:
        async with serving(handle) as url:
            return (await post(url, Wire(url))).text

    assert asyncio.run(sent()) == "there"
    assert seen == [BODY]


def test_a_compressed_reply_is_read() -> None:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(body=gzip.compress(b'{"a": 1}'), headers={"Content-Encoding": "gzip"})

    async def sent() -> bytes:
        async with serving(handle) as url:
            return (await post(url, Wire(url))).content

    assert asyncio.run(sent()) == b'{"a": 1}'


def test_an_error_of_the_server_is_the_openai_clients_own_error() -> None:
    async def handle(_: web.Request) -> web.Response:
        return web.json_response({"error": {"message": "slower", "code": "busy"}}, status=429)

    async def sent() -> openai.RateLimitError:
        async with serving(handle) as url:
            with pytest.raises(openai.RateLimitError, match="slower") as caught:
                await post(url, Wire(url))
        return caught.value

    assert asyncio.run(sent()).code == "busy"


def test_a_reply_that_is_cut_off_is_trouble_with_the_connection() -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b'{"half": ')
        assert request.transport is not None
        request.transport.abort()
        return response

    async def sent() -> None:
        async with serving(handle) as url:
            await post(url, Wire(url))

    with pytest.raises(openai.APIConnectionError) as caught:
        asyncio.run(sent())
    assert isinstance(caught.value.__cause__, httpx2.ReadError)


def test_a_server_that_is_not_there_is_no_timeout() -> None:
    with pytest.raises(openai.APIConnectionError) as caught:
        asyncio.run(post("http://127.0.0.1:9/v1", Wire("http://127.0.0.1:9/v1")))
    assert not isinstance(caught.value, openai.APITimeoutError)
    assert "127.0.0.1:9" in str(caught.value.__cause__)


def test_the_proxy_is_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "localhost,.inner.example")
    assert proxy_of("https://api.openai.com/v1") == "http://proxy.example:3128"
    assert proxy_of("https://models.inner.example/v1") is None
    assert proxy_of("http://api.example/v1") is None
    monkeypatch.setenv("all_proxy", "http://any.example:8080")
    assert proxy_of("http://api.example/v1") == "http://any.example:8080"
